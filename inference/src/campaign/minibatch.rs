//! How a minibatch of simulations is shared among threads: the trainer's slices, whose rows are each other's atoms.

use std::ops::Range;

/// Most rows of a minibatch that one thread works on: fixed, so that threads never change the sums.
pub const SLICE_ROWS: usize = 32;

/// The fewest slices of at most `most` of `n_rows` rows, in their order; no two differ by more than one row.
pub fn even_slices(n_rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let n_slices = n_rows.div_ceil(most.max(1));
    // The first slices have one row more where rows do not come out even.
    let start = move |slice: usize| {
        let (fewest, n_longer) = (n_rows / n_slices, n_rows % n_slices);
        slice * fewest + slice.min(n_longer)
    };
    (0..n_slices).map(move |slice| start(slice)..start(slice + 1))
}

/// Rows of the smallest slice of a minibatch.
pub fn fewest_slice_rows(batch_size: usize) -> usize {
    batch_size / batch_size.div_ceil(SLICE_ROWS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_even_and_leave_no_row_out() {
        for (n_rows, expected) in [
            (0, vec![]),
            (1, vec![1]),
            (32, vec![32]),
            (33, vec![17, 16]),
            (64, vec![32, 32]),
            (65, vec![22, 22, 21]),
            (100, vec![25; 4]),
            (128, vec![32; 4]),
        ] {
            let slices: Vec<Range<usize>> = even_slices(n_rows, SLICE_ROWS).collect();
            let found: Vec<usize> = slices.iter().map(Range::len).collect();
            assert_eq!(found, expected, "{n_rows} rows");
            assert!(slices.into_iter().flatten().eq(0..n_rows), "{n_rows} rows");
        }
        for n_rows in 1..5000 {
            let rows = even_slices(n_rows, SLICE_ROWS).map(|slice| slice.len());
            assert_eq!(rows.min(), Some(fewest_slice_rows(n_rows)), "{n_rows} rows");
        }
    }
}
