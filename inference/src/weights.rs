//! Importance weights: proposals and their densities, rounds combined, evidence and diagnostics.
//!
//! All sums run in row order, so that the same columns give the same bytes.

mod columns;
mod combine;
mod combined;
mod diagnostics;
mod evidence;
mod fresh;
mod local;
mod objective;
mod pareto;
mod proposal;
mod round_summary;

pub(crate) use columns::round_log_weights;
pub use columns::{RoundColumns, WeightsError, log_density_under, mixture_log_proposal};
pub use combine::combine;
pub use combined::CombinedWeights;
pub(crate) use combined::mass_below;
pub use diagnostics::MIN_N_EFF;
pub use diagnostics::{
    MAX_PARETO_K, WeightDiagnostics, diagnostics, effective_sample_size, log_weight, n_eff_of,
    normalized,
};
pub use evidence::Evidence;
pub use local::LocalDensity;
pub use objective::{Objective, final_exponent};
pub(crate) use proposal::pairs;
pub use proposal::{Component, Proposal};
pub use round_summary::{RoundKind, RoundSummary, summarize_round};
