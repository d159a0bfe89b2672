//! Shards: simulated rows, written by workers and checked by the coordinator.

mod check;
#[cfg(test)]
mod long_shards;
mod rows;
#[cfg(test)]
mod tests;

pub use check::{Weighed, check, recomputed_lines};
pub(super) use rows::for_each_rows_without_data;
pub use rows::{MAX_MESSAGE_BYTES, RowStatus, ShardRows, damaged, for_each_rows};
