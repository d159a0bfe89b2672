//! Shards: simulated rows, written by workers and checked by the coordinator.

mod check;
mod rows;
#[cfg(test)]
mod tests;

pub use check::{Weighed, check, recomputed_lines};
pub use rows::{
    MAX_MESSAGE_BYTES, RowStatus, ShardLayout, ShardRows, damaged, for_each_rows, tried_again,
};
pub(super) use rows::{for_each_shard, was_tried_again};
