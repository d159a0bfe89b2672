//! All defaults of a campaign file, from the data's length and the number of parameters.

use crate::campaign::{
    DeviceChoice, Featurizer, Flow, Loss, Normalization, NsfSize, Training, patch,
};

/// Data up to this length are features as they are; longer ones are summarized by a `resnet`.
const LONGEST_MLP_DATA: usize = 16;
/// Convolutions halve the data's length until about this many steps are left.
const STEPS_AFTER_STAGES: usize = 6;
const MOST_STAGES: usize = 6;

/// Which featurizer a campaign gets that names none.
pub(super) fn featurizer_kind(n_data: usize) -> &'static str {
    if n_data <= LONGEST_MLP_DATA {
        "mlp"
    } else {
        "resnet"
    }
}

/// Sizes of the featurizer `resnet-gru`.
pub(super) fn resnet_gru(n_data: usize, n_parameters: usize) -> Featurizer {
    Featurizer::ResnetGru {
        channels: 16,
        stages: stages(n_data),
        hidden: 64,
        features: features(n_parameters),
        normalization: Normalization::Weight,
    }
}

/// Sizes of the featurizer `resnet`.
pub(super) fn resnet(n_data: usize, n_parameters: usize) -> Featurizer {
    Featurizer::Resnet {
        channels: 32,
        stages: stages(n_data),
        features: features(n_parameters),
        normalization: Normalization::Weight,
    }
}

/// Sizes of the featurizer `gru`.
pub(super) fn gru(n_parameters: usize) -> Featurizer {
    Featurizer::Gru {
        hidden: 64,
        features: features(n_parameters),
    }
}

/// Sizes of the featurizer `mlp`.
pub(super) fn mlp(n_parameters: usize) -> Featurizer {
    Featurizer::Mlp {
        layers: 2,
        hidden: 64,
        features: features(n_parameters),
    }
}

/// Room for several summaries of each parameter.
fn features(n_parameters: usize) -> usize {
    (8 * n_parameters).clamp(64, 256)
}

fn stages(n_data: usize) -> usize {
    let n_steps = n_data / patch(n_data);
    let halvings = (n_steps / STEPS_AFTER_STAGES).max(1).ilog2() as usize;
    halvings.clamp(1, MOST_STAGES).min(most_stages(n_data))
}

/// More stages would have a single step of the data left to halve.
pub(super) fn most_stages(n_data: usize) -> usize {
    let n_steps = n_data.div_ceil(patch(n_data));
    n_steps.max(1).ilog2() as usize
}

/// Which flow a campaign gets that names none.
pub(super) const FLOW_KIND: &str = "maf";

/// Sizes of the flow `maf`.
pub(super) struct MafSize {
    pub blocks: usize,
    pub hidden: usize,
    pub layers: usize,
    pub components: usize,
    pub max_log_scale: f64,
}

pub(super) fn maf(n_parameters: usize) -> MafSize {
    MafSize {
        blocks: if n_parameters <= 5 { 4 } else { 6 },
        hidden: conditioner_units(n_parameters),
        layers: 2,
        components: 8,
        max_log_scale: 5.0,
    }
}

/// A conditioner needs a unit for each parameter at least.
fn conditioner_units(n_parameters: usize) -> usize {
    (16 * n_parameters).clamp(64, n_parameters.max(256))
}

/// Sizes of the flows `nsf` and `nsf-coupling`.
pub(super) fn nsf(n_parameters: usize) -> NsfSize {
    NsfSize {
        blocks: if n_parameters <= 5 { 3 } else { 4 },
        hidden: conditioner_units(n_parameters),
        layers: 2,
        bins: 8,
        tail_bound: 5.0,
        max_log_scale: 3.0,
    }
}

pub(super) fn training(flow: Option<&Flow>) -> Training {
    let learning_rate = match flow {
        Some(Flow::Maf { .. }) | None => 2e-3,
        // At twice that, two of three trainings on 1,280 simulations of the sine example diverged.
        Some(Flow::Nsf(_) | Flow::NsfCoupling(_)) => 1e-3,
    };
    Training {
        device: DeviceChoice::Auto,
        batch_size: 64,
        learning_rate,
        max_epochs: 100,
        patience: 30,
        validation_fraction: 0.1,
        clip_norm: 5.0,
        rounds: 4,
        loss: Loss::Nll,
        refinement: true,
    }
}

/// Atoms of the loss `apt`, as in its paper and in sbi.
pub(super) const ATOMS: usize = 10;

/// Rounds of a campaign with an observation; one without has one.
pub(super) const ROUNDS_MAX: u64 = 10;
/// Where the budget is to end it.
pub(super) const PLANNED_ROUNDS_MAX: u64 = 50;
pub(super) const ROUND_SIMULATIONS: u64 = 1280;
/// All simulations of an amortized campaign are in one round.
pub(super) const AMORTIZED_SIMULATIONS: u64 = 12_800;
pub(super) const DEFENSIVE_SHARE: f64 = 0.1;
