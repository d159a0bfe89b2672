//! Many targets at a time, each by itself: what one comes to depends on its id, its observation and the effort alone.

use crate::predictor::{PredictError, Predicted, Predictor};
use sidereal_inference::base::{TargetId, seed_of_target};
use sidereal_inference::campaign::{Noise, Observation};
use sidereal_inference::method::Effort;
use sidereal_inference::method::fit_check::Fit;
use sidereal_inference::records::{CatalogueQuantiles, CatalogueRow, TargetStatus};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What all targets of a catalogue have in common.
#[derive(Debug, Clone, Copy)]
pub struct CataloguePlan<'a> {
    /// Of each target.
    pub effort: Effort,
    /// Each target's own follows from it, see [`seed_of_target`].
    pub seed: u64,
    /// Path of the model, as it was given.
    pub model_name: &'a Path,
}

impl Predictor<'_> {
    /// Asks about the targets in their order, as many at a time as there are threads, and gives each to `done` as it comes,
    /// in any order, without modes. An error of `done` ends it.
    pub fn predict_all<E: Send>(
        &self,
        plan: CataloguePlan,
        targets: &[(&TargetId, &Observation)],
        done: impl Fn(&TargetId, Result<Predicted, PredictError>) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let predict = |&(id, observation): &(&TargetId, &Observation)| {
            let seed = seed_of_target(plan.seed, id);
            let name = id.to_string();
            let names = (name.as_str(), plan.model_name);
            let predicted = self.predict_without_modes(observation, plan.effort, seed, names);
            done(id, predicted)
        };
        self.for_each(targets, predict)
    }

    /// Does something with each of `all` in their order, as many at a time as there are threads; the first error ends it.
    pub(crate) fn for_each<T: Sync, E: Send>(
        &self,
        all: &[T],
        one: impl Fn(&T) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        if self.is_told_each_observation() {
            return all.iter().try_for_each(one);
        }
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        // Each thread takes whole ones, and helps the others with theirs once none is left.
        let lane = || {
            while !has_failed.load(Ordering::Relaxed) {
                let Some(next) = all.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                one(next).inspect_err(|_| has_failed.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        };
        let ended = self.pool.broadcast(|_| lane());
        ended.into_iter().collect()
    }

    /// Whether what runs the model is started anew for every observation, so that only one can be asked about at a time.
    fn is_told_each_observation(&self) -> bool {
        let campaign = self.model.campaign();
        match campaign.noise {
            Noise::Simulator => campaign.simulator.external.is_some(),
            Noise::Gaussian(_) => false,
        }
    }
}

/// The row of a target that was asked about; `posterior` is where its draws are.
pub fn predicted_row(
    target: &TargetId,
    n_data: u64,
    predicted: &Predicted,
    posterior: String,
) -> CatalogueRow {
    let prediction = &predicted.prediction;
    let weights = &prediction.weights;
    let finite = |number: f64| Some(number).filter(|number| number.is_finite());
    let check = match &prediction.fit {
        Fit::Checked(check) => Some(check),
        Fit::NotChecked { .. } => None,
    };
    CatalogueRow {
        status: match prediction.warnings.is_empty() {
            true => TargetStatus::Done,
            false => TargetStatus::NotTrusted,
        },
        reasons: prediction.warnings.clone(),
        simulations: weights.n,
        n_failed: prediction.n_failed,
        n_eff: finite(weights.n_eff),
        efficiency: finite(weights.efficiency),
        pareto_k: weights.pareto_k.and_then(finite),
        log_evidence: weights
            .evidence
            .and_then(|found| finite(found.log_evidence)),
        log_evidence_error: weights.evidence.and_then(|found| finite(found.error)),
        chi_square: check.and_then(|check| finite(check.chi_square)),
        degrees_of_freedom: check.and_then(|check| finite(check.degrees_of_freedom)),
        p_of_fit: check.and_then(|check| finite(check.p)),
        posterior: Some(posterior),
        parameters: prediction
            .parameters
            .iter()
            .map(|found| CatalogueQuantiles {
                median: finite(found.median),
                quantile_16: finite(found.quantile_16),
                quantile_84: finite(found.quantile_84),
            })
            .collect(),
        ..row_without(
            target,
            prediction.seed,
            n_data,
            TargetStatus::Done,
            String::new(),
        )
    }
}

/// The row of a target that has no posterior, and why.
pub fn row_without(
    target: &TargetId,
    seed: u64,
    n_data: u64,
    status: TargetStatus,
    reason: String,
) -> CatalogueRow {
    CatalogueRow {
        target: target.clone(),
        status,
        reasons: vec![reason],
        n_data,
        simulations: 0,
        n_failed: 0,
        n_eff: None,
        efficiency: None,
        pareto_k: None,
        log_evidence: None,
        log_evidence_error: None,
        chi_square: None,
        degrees_of_freedom: None,
        p_of_fit: None,
        seed,
        posterior: None,
        parameters: Vec::new(),
    }
}
