//! How long, how fast and on what share of the rows a network is trained.

use crate::training_set::TrainingSet;
use sidereal_inference::campaign::{Loss, Training};
use sidereal_inference::weights::Objective;

/// How a network is trained: as the campaign file says on simulations; on weighted draws, which are cheap, in
/// a way of its own.
pub fn schedule(set: &TrainingSet) -> Training {
    let config = set.campaign.training.clone();
    match set.objective {
        Objective::Simulations => config,
        Objective::WeightedDraws { .. } | Objective::SurrogateDraws => Training {
            batch_size: 256,
            learning_rate: draws_rate(set),
            max_epochs: 150,
            patience: 30,
            validation_fraction: 0.2,
            clip_norm: 5.0,
            loss: Loss::Nll,
            ..config
        },
    }
}

/// The learning rate for weighted draws: lower on the way, where few effective draws are soon learned by heart.
fn draws_rate(set: &TrainingSet) -> f64 {
    if set.objective.is_final(set.n_parameters()) {
        1e-3
    } else {
        5e-4
    }
}
