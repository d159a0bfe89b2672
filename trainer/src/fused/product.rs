//! Matrix products over row-major slices, on the calling thread.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// The first `n_rows` rows of a row-major matrix.
pub fn rows(values: &[f32], n_rows: usize, n_columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(&values[..n_rows * n_columns], n_rows, n_columns)
}

/// Overlapping rows: row i holds `width` values from `i · stride` on.
pub fn windows(values: &[f32], n_rows: usize, width: usize, stride: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice_with_stride(
        &values[..(n_rows - 1) * stride + width],
        n_rows,
        width,
        stride,
    )
}

/// out = a · b
pub fn product(out: &mut [f32], a: MatRef<f32>, b: MatRef<f32>) {
    accumulate(out, a, b, Accum::Replace);
}

/// out += a · b
pub fn add_product(out: &mut [f32], a: MatRef<f32>, b: MatRef<f32>) {
    accumulate(out, a, b, Accum::Add);
}

fn accumulate(out: &mut [f32], a: MatRef<f32>, b: MatRef<f32>, how: Accum) {
    let (n, m) = (a.nrows(), b.ncols());
    let out = MatMut::from_row_major_slice_mut(&mut out[..n * m], n, m);
    matmul(out, how, a, b, 1.0, Par::Seq);
}
