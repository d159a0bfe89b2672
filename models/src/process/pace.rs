//! How many rows a batch has, by the time that rows have taken.

use std::time::Duration;

/// What a batch should take: far more than the 0.3 ms that its way costs.
const BATCH: Duration = Duration::from_millis(50);

/// What a batch should take at least, where the last rows are shared out.
const LAST_BATCH: Duration = Duration::from_millis(5);

/// Batches grow by this factor at most.
const GROWTH: usize = 4;

/// No batch has more rows.
pub const MOST_ROWS: usize = 8_192;

/// Nor more bytes of data, but for a single row (a single block).
const MOST_BYTES: usize = 32 << 20;

/// The time that a row takes, as measured.
#[derive(Debug, Clone)]
pub struct Pace {
    /// A row, or a block of rows.
    unit: usize,
    longest: usize,
    seconds_per_row: Option<f64>,
    /// The rows of the longest batch that was measured.
    n_rows_measured: usize,
}

impl Pace {
    /// `n_values` is how many numbers a row is answered with.
    pub fn new(block: usize, n_values: usize) -> Self {
        let unit = block.max(1);
        let by_bytes = MOST_BYTES / size_of::<f64>() / n_values.max(1);
        Self {
            unit,
            longest: by_bytes.min(MOST_ROWS).max(unit),
            seconds_per_row: None,
            n_rows_measured: 0,
        }
    }

    /// A batch was answered.
    pub fn on_answered(&mut self, n_rows: usize, took: Duration) {
        let measured = took.as_secs_f64() / n_rows.max(1) as f64;
        self.seconds_per_row = Some(match self.seconds_per_row {
            Some(before) => f64::midpoint(before, measured),
            None => measured,
        });
        self.n_rows_measured = self.n_rows_measured.max(n_rows);
    }

    /// Rows of the next batch, of `n_left` that `n_children` share; at least one row (one block).
    pub fn next_length(&self, n_left: usize, n_children: usize) -> usize {
        let Some(seconds) = self.seconds_per_row else {
            return self.unit;
        };
        let rows_in = |time: Duration| (time.as_secs_f64() / seconds.max(1e-9)) as usize;
        let share = n_left.div_ceil(n_children.max(1));
        rows_in(BATCH)
            .min(share.max(rows_in(LAST_BATCH)))
            .min(self.n_rows_measured.saturating_mul(GROWTH))
            .min(self.longest)
            .max(self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 1_000_000;

    #[test]
    fn batches_begin_with_one_row_and_grow_to_50_ms() {
        let mut pace = Pace::new(0, 50);
        assert_eq!(pace.next_length(MANY, 2), 1);
        let mut lengths = Vec::new();
        for _ in 0..4 {
            let n_rows = pace.next_length(MANY, 2);
            pace.on_answered(n_rows, Duration::from_millis(n_rows as u64));
            lengths.push(pace.next_length(MANY, 2));
        }
        assert_eq!(lengths, [4, 16, 50, 50]);
    }

    #[test]
    fn a_slow_row_stands_alone_and_a_block_is_never_cut() {
        let mut pace = Pace::new(0, 1);
        pace.on_answered(1, Duration::from_secs(3));
        assert_eq!(pace.next_length(MANY, 2), 1);
        let mut pace = Pace::new(64, 1);
        assert_eq!(pace.next_length(MANY, 2), 64);
        pace.on_answered(64, Duration::from_secs(3));
        assert_eq!(pace.next_length(10, 2), 64);
    }

    #[test]
    fn quick_rows_are_bounded_in_number_and_in_bytes() {
        let next = |n_values| {
            let mut pace = Pace::new(0, n_values);
            for n_rows in [1, 4, 16, 64, 256, 1_024, 4_096] {
                pace.on_answered(n_rows, Duration::ZERO);
            }
            pace.next_length(MANY, 2)
        };
        assert_eq!(next(50), MOST_ROWS);
        assert_eq!(next(1 << 20), 4);
        assert_eq!(next(1 << 30), 1);
    }

    #[test]
    fn the_last_rows_are_shared_out() {
        let mut pace = Pace::new(0, 1);
        pace.on_answered(1_000, Duration::from_secs(1));
        assert_eq!(pace.next_length(60, 2), 30);
        assert_eq!(pace.next_length(4, 2), 5);
    }
}
