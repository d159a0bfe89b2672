//! Which rows are given out next, and what becomes of rows whose batch failed.

use sidereal_inference::records::shard::tried_again;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// Times that a row is tried alone, but for one that takes too long.
const TRIES: u32 = 3;

/// Times that a row is tried alone that takes too long: each costs the whole limit.
const TRIES_OF_SLOW: u32 = 2;

/// A batch that failed is cut in as many pieces. With halves the way to one bad row among 8,192 would be 13 new children long; so
/// it is 4.
const PIECES: usize = 16;

/// Why a batch has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The process ended, or what it sent did; says how.
    #[error("{0}")]
    Ended(String),
    #[error("took longer than {} s", .0.as_secs_f64())]
    TooLong(Duration),
    /// What came is not an answer.
    #[error("{0}")]
    Nonsense(String),
    /// The child says that another try may help.
    #[error("{0}")]
    TryAgain(String),
}

/// Rows that are run together, by their place among all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub rows: Range<usize>,
    /// Tries before this one that a row alone, or this batch as a whole, has had.
    n_tries: u32,
}

/// What a child that is free is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Run(Batch),
    /// All rows are given out; some may come back.
    Wait,
    Done,
}

/// A row that is not tried again.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost {
    pub row: usize,
    pub message: String,
}

/// Every row is in one place: not given out yet, waiting to be tried again, given out, or done.
#[derive(Debug)]
pub struct Schedule {
    /// The id of row 0.
    first_row: u64,
    block: u64,
    /// Not given out yet.
    fresh: Range<usize>,
    again: VecDeque<Batch>,
    n_given_out: usize,
}

impl Schedule {
    pub fn new(first_row: u64, n_rows: usize, block: usize) -> Self {
        Self {
            first_row,
            block: block.max(1) as u64,
            fresh: 0..n_rows,
            again: VecDeque::new(),
            n_given_out: 0,
        }
    }

    /// How many rows were never given out.
    pub fn n_left(&self) -> usize {
        self.fresh.len()
    }

    /// Whether no row is left, and none can come back.
    pub fn is_done(&self) -> bool {
        self.fresh.is_empty() && self.again.is_empty() && self.n_given_out == 0
    }

    /// `length`: how many rows a new batch is to have; it ends where a block ends.
    pub fn next(&mut self, length: usize) -> Next {
        let batch = match self.again.pop_front() {
            Some(batch) => batch,
            None if !self.fresh.is_empty() => {
                let end = self.end_of_batch(self.fresh.clone(), length);
                let rows = self.fresh.start..end;
                self.fresh.start = end;
                Batch { rows, n_tries: 0 }
            }
            None if self.is_done() => return Next::Done,
            None => return Next::Wait,
        };
        self.n_given_out += 1;
        Next::Run(batch)
    }

    /// A batch came back; the rows that must be tried again are `again`, in their order, each with the reason.
    pub fn on_answered(&mut self, batch: &Batch, again: &[(usize, String)]) -> Vec<Lost> {
        self.n_given_out -= 1;
        let mut lost = Vec::new();
        for run in again.chunk_by(|(left, _), (right, _)| left + 1 == *right) {
            let [(first, message), ..] = run else {
                continue;
            };
            let rows = Batch {
                rows: *first..first + run.len(),
                n_tries: batch.n_tries,
            };
            lost.extend(self.put_back(rows, &Failure::TryAgain(message.clone())));
        }
        lost
    }

    /// A batch came to nothing, by a failure that its rows may have caused.
    pub fn on_failed(&mut self, batch: Batch, failure: &Failure) -> Option<Lost> {
        self.n_given_out -= 1;
        self.put_back(batch, failure)
    }

    fn put_back(&mut self, batch: Batch, failure: &Failure) -> Option<Lost> {
        let Batch { rows, n_tries } = batch;
        let n_tries = n_tries + 1;
        let is_slow = match failure {
            Failure::TooLong(_) => true,
            Failure::Ended(_) | Failure::Nonsense(_) | Failure::TryAgain(_) => false,
        };
        if rows.len() <= 1 {
            let limit = if is_slow { TRIES_OF_SLOW } else { TRIES };
            if n_tries >= limit {
                return Some(Lost {
                    row: rows.start,
                    message: tried_again(n_tries, failure),
                });
            }
            self.again.push_back(Batch { rows, n_tries });
        } else if n_tries == 1 && !is_slow {
            self.again.push_back(Batch { rows, n_tries });
        } else {
            let pieces = self.pieces(rows).into_iter().map(|rows| Batch {
                // A piece is not tried twice as a whole; a row is as often as any.
                n_tries: u32::from(rows.len() > 1),
                rows,
            });
            self.again.extend(pieces);
        }
        None
    }

    /// The rows in pieces that end where blocks end, or, of a single block, in pieces of the block.
    fn pieces(&self, rows: Range<usize>) -> Vec<Range<usize>> {
        let length = rows.len().div_ceil(PIECES);
        let is_one_block = self.end_of_batch(rows.clone(), 1) == rows.end;
        let mut pieces = Vec::new();
        let mut left = rows;
        while !left.is_empty() {
            let end = match is_one_block {
                true => left.end.min(left.start + length),
                false => self.end_of_batch(left.clone(), length),
            };
            pieces.push(left.start..end);
            left.start = end;
        }
        pieces
    }

    /// Where a batch of about `length` rows ends that begins with the first of `rows`.
    fn end_of_batch(&self, rows: Range<usize>, length: usize) -> usize {
        let place_in_block = (self.first_row + rows.start as u64) % self.block;
        let n_blocks = (length as u64 / self.block).max(1);
        let n_rows = n_blocks
            .saturating_mul(self.block)
            .saturating_sub(place_in_block);
        let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
        rows.end.min(rows.start.saturating_add(n_rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> Failure {
        Failure::Ended("gone".to_owned())
    }

    fn next(schedule: &mut Schedule, length: usize) -> Batch {
        match schedule.next(length) {
            Next::Run(batch) => batch,
            other @ (Next::Wait | Next::Done) => panic!("found {other:?}, expected rows"),
        }
    }

    /// Runs all rows one batch after the other; a batch fails where `failure_of` says so.
    fn run(
        schedule: &mut Schedule,
        length: usize,
        failure_of: impl Fn(&Range<usize>) -> Option<Failure>,
    ) -> (Vec<Range<usize>>, Vec<Lost>, Vec<usize>) {
        let (mut given, mut lost, mut done) = (Vec::new(), Vec::new(), Vec::new());
        while let Next::Run(batch) = schedule.next(length) {
            given.push(batch.rows.clone());
            match failure_of(&batch.rows) {
                Some(failure) => lost.extend(schedule.on_failed(batch, &failure)),
                None => {
                    done.extend(batch.rows.clone());
                    assert_eq!(schedule.on_answered(&batch, &[]), []);
                }
            }
        }
        assert_eq!(schedule.next(length), Next::Done);
        done.extend(lost.iter().map(|lost| lost.row));
        done.sort_unstable();
        (given, lost, done)
    }

    #[test]
    fn rows_are_given_out_once_and_in_order() {
        let mut schedule = Schedule::new(5, 10, 0);
        let (given, lost, done) = run(&mut schedule, 4, |_| None);
        assert_eq!(given, [0..4, 4..8, 8..10]);
        assert_eq!(lost, []);
        assert_eq!(done, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_free_child_waits_while_rows_may_come_back() {
        let mut schedule = Schedule::new(0, 2, 0);
        let batch = next(&mut schedule, 2);
        assert_eq!(schedule.next(2), Next::Wait);
        assert_eq!(schedule.on_failed(batch, &ended()), None);
        let batch = next(&mut schedule, 1);
        assert_eq!(batch.rows, 0..2);
        assert_eq!(schedule.on_answered(&batch, &[]), []);
        assert_eq!(schedule.next(2), Next::Done);
    }

    #[test]
    fn batches_end_where_blocks_end() {
        // Row ids 6..19 with blocks of 4: the blocks end before 8, 12, 16 and 20.
        let given = |length| run(&mut Schedule::new(6, 13, 4), length, |_| None).0;
        assert_eq!(given(1), [0..2, 2..6, 6..10, 10..13]);
        assert_eq!(given(8), [0..6, 6..13]);
        assert_eq!(given(11), [0..6, 6..13]);
    }

    #[test]
    fn one_bad_row_is_found_and_the_others_are_answered() {
        let mut schedule = Schedule::new(0, 8_192, 0);
        let (given, lost, done) = run(&mut schedule, 8_192, |rows| {
            rows.contains(&5_000).then(ended)
        });
        let of_bad: Vec<_> = given
            .into_iter()
            .filter(|rows| rows.contains(&5_000))
            .collect();
        let alone = 5_000..5_001;
        assert_eq!(
            of_bad,
            [
                0..8_192,
                0..8_192,
                4_608..5_120,
                4_992..5_024,
                5_000..5_002,
                alone.clone(),
                alone.clone(),
                alone
            ]
        );
        let message = "tried 3 times: gone".to_owned();
        assert_eq!(
            lost,
            [Lost {
                row: 5_000,
                message
            }]
        );
        assert_eq!(done, (0..8_192).collect::<Vec<_>>());
    }

    #[test]
    fn what_takes_too_long_is_not_tried_whole_and_a_row_twice() {
        let mut schedule = Schedule::new(0, 3, 0);
        let (given, lost, _) = run(&mut schedule, 3, |rows| {
            let failure = Failure::TooLong(Duration::from_millis(10_500));
            rows.contains(&1).then_some(failure)
        });
        assert_eq!(given, [0..3, 0..1, 1..2, 2..3, 1..2]);
        let message = "tried 2 times: took longer than 10.5 s".to_owned();
        assert_eq!(lost, [Lost { row: 1, message }]);
    }

    #[test]
    fn blocks_that_fail_are_cut_at_their_ends_and_then_within() {
        let mut schedule = Schedule::new(2, 6, 4);
        let (given, lost, done) = run(&mut schedule, 8, |rows| rows.contains(&3).then(ended));
        // Row ids 2..8: the first block is rows 0..2.
        assert_eq!(
            given,
            [0..6, 0..6, 0..2, 2..6, 2..3, 3..4, 4..5, 5..6, 3..4, 3..4]
        );
        assert_eq!(lost.len(), 1);
        assert_eq!(done, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn rows_that_say_so_are_tried_again_without_the_others() {
        let reason = |row| (row, "no memory".to_owned());
        let mut schedule = Schedule::new(0, 6, 0);
        let batch = next(&mut schedule, 6);
        let again = [reason(1), reason(2), reason(4)];
        assert_eq!(schedule.on_answered(&batch, &again), []);
        let pair = next(&mut schedule, 6);
        assert_eq!(pair.rows, 1..3);
        assert_eq!(schedule.on_answered(&pair, &[]), []);
        let alone = next(&mut schedule, 6);
        assert_eq!(alone.rows, 4..5);
        assert_eq!(schedule.on_answered(&alone, &[reason(4)]), []);
        let alone = next(&mut schedule, 6);
        let message = "tried 3 times: no memory".to_owned();
        assert_eq!(
            schedule.on_answered(&alone, &[reason(4)]),
            [Lost { row: 4, message }]
        );
        assert_eq!(schedule.next(6), Next::Done);
    }
}
