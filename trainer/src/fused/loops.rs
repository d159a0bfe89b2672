//! Elementwise loops over slices.

use crate::elementary::{relu, vectorized};

/// Each row plus `bias`.
pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (value, bias) in row.iter_mut().zip(bias) {
                    *value += bias;
                }
            }
        },
    );
}

/// relu of each row plus `bias`.
pub fn add_bias_relu(rows: &mut [f32], bias: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (value, bias) in row.iter_mut().zip(bias) {
                    *value = relu(*value + bias);
                }
            }
        },
    );
}

/// Sum of all rows, written over `sum`.
pub fn column_sums(rows: &[f32], sum: &mut [f32]) {
    sum.fill(0.0);
    vectorized(
        #[inline(always)]
        || {
            for row in rows.chunks_exact(sum.len()) {
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        },
    );
}

/// Zero where `output`, that of a relu, is zero.
pub fn mask_by_relu(gradient: &mut [f32], output: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (gradient, &output) in gradient.iter_mut().zip(output) {
                *gradient = if output > 0.0 { *gradient } else { 0.0 };
            }
        },
    );
}

/// out = relu(values)
pub fn relu_into(out: &mut [f32], values: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (out, &value) in out.iter_mut().zip(values) {
                *out = relu(value);
            }
        },
    );
}

/// sum += values
pub fn add(sum: &mut [f32], values: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += value;
            }
        },
    );
}

/// out = a · b, elementwise
pub fn multiply_into(out: &mut [f32], a: &[f32], b: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = a * b;
            }
        },
    );
}

/// values = values · factors, elementwise
pub fn multiply(values: &mut [f32], factors: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (value, factor) in values.iter_mut().zip(factors) {
                *value *= factor;
            }
        },
    );
}
