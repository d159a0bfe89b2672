//! Defaults that follow from other things: the data's length, the number of parameters, other keys.

use super::choices::FeaturizerKind;
use crate::campaign::{Flow, patch};

/// Data up to this length are features as they are; longer ones are summarized by a `resnet`.
const LONGEST_MLP_DATA: usize = 16;
/// Convolutions halve the data's length until about this many steps are left.
const STEPS_AFTER_STAGES: usize = 6;
const MOST_STAGES: usize = 6;
/// Whatever the data's length, as at most 128 patches enter the first stage.
pub(super) const MOST_STAGES_OF_ANY: u64 = 7;

/// Which featurizer a campaign gets that names none.
pub(super) fn featurizer_kind(n_data: usize) -> FeaturizerKind {
    if n_data <= LONGEST_MLP_DATA {
        FeaturizerKind::Mlp
    } else {
        FeaturizerKind::Resnet
    }
}

pub(super) const RESNET_GRU_CHANNELS: usize = 16;
pub(super) const RESNET_CHANNELS: usize = 32;

/// Room for several summaries of each parameter.
pub(super) fn features(n_parameters: usize) -> usize {
    (8 * n_parameters).clamp(64, 256)
}

pub(super) fn stages(n_data: usize) -> usize {
    let n_steps = n_data / patch(n_data);
    let halvings = (n_steps / STEPS_AFTER_STAGES).max(1).ilog2() as usize;
    halvings.clamp(1, MOST_STAGES).min(most_stages(n_data))
}

/// More stages would have a single step of the data left to halve.
pub(super) fn most_stages(n_data: usize) -> usize {
    let n_steps = n_data.div_ceil(patch(n_data));
    n_steps.max(1).ilog2() as usize
}

pub(super) fn maf_blocks(n_parameters: usize) -> usize {
    if n_parameters <= 5 { 4 } else { 6 }
}

pub(super) fn nsf_blocks(n_parameters: usize) -> usize {
    if n_parameters <= 5 { 3 } else { 4 }
}

pub(super) const MAF_MAX_LOG_SCALE: f64 = 5.0;
pub(super) const NSF_MAX_LOG_SCALE: f64 = 3.0;

/// A conditioner needs a unit for each parameter at least.
pub(super) fn conditioner_units(n_parameters: usize) -> usize {
    (16 * n_parameters).clamp(64, n_parameters.max(256))
}

pub(super) fn learning_rate(flow: Option<&Flow>) -> f64 {
    match flow {
        Some(Flow::Maf { .. }) | None => 2e-3,
        // At twice that, two of three trainings on 1,280 simulations of the sine example diverged.
        Some(Flow::Nsf(_) | Flow::NsfCoupling(_)) => 1e-3,
    }
}

/// Rounds of a campaign with an observation; one without has one.
pub(super) const ROUNDS_MAX: u64 = 10;
/// Where the budget is to end it.
pub(super) const PLANNED_ROUNDS_MAX: u64 = 50;
pub(super) const ROUND_SIMULATIONS: u64 = 1280;
/// All simulations of an amortized campaign are in one round.
pub(super) const AMORTIZED_SIMULATIONS: u64 = 12_800;
