//! What everything stands on: identifiers, seeds, files, and numbers without a subject.

pub mod files;
mod ids;
mod matrices;
pub(crate) mod normal;
mod panics;
mod retry;
mod seeds;
mod weighted;

pub use ids::{AttemptId, CampaignHash, FlowId, LocalId, PeerId, RoundId, RowId, RunId, TargetId};
pub use matrices::{cholesky, moments, offset, solved_upper};
pub(crate) use matrices::{
    cholesky_of_pivots, column, mahalanobis_squared, solved_lower, squared_distance,
};
pub use panics::words_of_panic;
pub use retry::while_store_fails;
pub use seeds::{Purpose, seed_of_target, stream};
pub(crate) use weighted::sorted_with_weights;
pub use weighted::{equal_draws, largest, log_sum_exp, weighted_quantiles};
