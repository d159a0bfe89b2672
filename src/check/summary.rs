//! `check.json`: what a check found, in numbers.

use crate::{numbers, results};
use serde::Serialize;
use sidereal_inference::base::{FlowId, weighted_quantiles};
use sidereal_inference::method::{Calibration, CalibrationVerdict, calibration};
use sidereal_inference::records::{CheckedTarget, Standings};
use sidereal_trainer::Model;
use std::path::Path;

const FORMAT: &str = "sidereal-check";
const VERSION: u32 = 1;

/// Fewest of the targets that can be trusted, for a model that is of use.
const LEAST_TRUSTED: f64 = 0.9;

/// What was asked of a check.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub n_targets: u64,
    /// Of each target.
    pub n_eff: f64,
    /// The most simulations of each.
    pub simulations: u64,
    pub seed: u64,
}

/// n_eff of a target by its simulations, over all targets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Efficiency {
    pub median: f64,
    pub quantile_05: f64,
    pub quantile_95: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckSummary {
    pub format: String,
    pub version: u32,
    /// Path of the model, as it was given.
    pub model: String,
    pub flow: FlowId,
    pub weights_sha256: String,
    pub seed: u64,
    /// What was asked of each target.
    pub n_eff: f64,
    /// The most simulations of each.
    pub simulations_per_target: u64,
    pub n_targets: u64,
    /// Targets that could not be simulated.
    pub n_failed: u64,
    /// Of all targets together, the targets' own apart.
    pub simulations: u64,
    /// Targets whose weighted draws can be trusted.
    pub n_trusted: u64,
    /// None where no target could be simulated.
    pub efficiency: Option<Efficiency>,
    /// Of the network's draws as they are.
    pub network: Calibration,
    /// Of the weighted draws of those targets that can be trusted.
    pub weighted: Calibration,
    /// Why the model is not to be trusted; empty where it is.
    pub warnings: Vec<String>,
}

impl CheckSummary {
    pub fn of(
        asked: Asked,
        directory: &Path,
        model: &Model,
        targets: &[CheckedTarget],
        n_failed: u64,
    ) -> Self {
        let space = &model.campaign().space;
        let trusted: Vec<&CheckedTarget> = targets
            .iter()
            .filter(|target| target.warnings.is_empty())
            .collect();
        let network: Vec<&Standings> = targets
            .iter()
            .filter_map(|one| one.network.as_ref())
            .collect();
        let weighted: Vec<&Standings> = trusted
            .iter()
            .filter_map(|one| one.weighted.as_ref())
            .collect();
        let mut summary = Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            model: directory.display().to_string(),
            flow: model.flow(),
            weights_sha256: model.training().weights_sha256.clone(),
            seed: asked.seed,
            n_eff: asked.n_eff,
            simulations_per_target: asked.simulations,
            n_targets: asked.n_targets,
            n_failed,
            simulations: targets.iter().map(|target| target.weights.n).sum(),
            n_trusted: trusted.len() as u64,
            efficiency: efficiency(targets),
            network: calibration(space, &network),
            weighted: calibration(space, &weighted),
            warnings: Vec::new(),
        };
        summary.warnings = warnings(&summary);
        summary
    }

    /// A line a number.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| results::line(&mut text, name, value);
        line("targets", &numbers::count(self.n_targets));
        line("can be trusted", &trusted_of(self));
        if let Some(efficiency) = &self.efficiency {
            line("efficiency", &efficiency_line(efficiency));
        }
        line("weighted draws", &verdict(&self.weighted));
        line("network alone", &verdict(&self.network));
        line("simulations", &numbers::count(self.simulations));
        text
    }
}

fn efficiency(targets: &[CheckedTarget]) -> Option<Efficiency> {
    let all: Vec<f64> = targets
        .iter()
        .map(|target| target.weights.efficiency)
        .collect();
    let probabilities = [0.5, 0.05, 0.95];
    match weighted_quantiles(&all, &vec![1.0; all.len()], &probabilities)[..] {
        [median, quantile_05, quantile_95] if !all.is_empty() => Some(Efficiency {
            median,
            quantile_05,
            quantile_95,
        }),
        _ => None,
    }
}

fn warnings(summary: &CheckSummary) -> Vec<String> {
    let mut warnings = Vec::new();
    let (n_trusted, n_targets) = (summary.n_trusted, summary.n_targets);
    if (n_trusted as f64) < LEAST_TRUSTED * (n_targets - summary.n_failed) as f64 {
        warnings.push(format!(
            "{} of {} targets can be trusted after at most {} simulations each, expected {} or more: train on more simulations, or \
             predict with more",
            numbers::count(n_trusted),
            numbers::count(n_targets),
            numbers::count(summary.simulations_per_target),
            numbers::short_percent(LEAST_TRUSTED)
        ));
    }
    if summary.n_failed > 0 {
        warnings.push(format!(
            "{} of {} targets could not be simulated",
            numbers::count(summary.n_failed),
            numbers::count(n_targets)
        ));
    }
    match summary.weighted.verdict {
        CalibrationVerdict::Calibrated => {}
        CalibrationVerdict::NotCalibrated => warnings.push(format!(
            "weighted draws are {}: is the likelihood that of the simulator and its noise?",
            verdict(&summary.weighted)
        )),
        CalibrationVerdict::TooFew => {
            warnings.push(format!("weighted draws: {}", verdict(&summary.weighted)))
        }
    }
    warnings
}

pub fn trusted_of(summary: &CheckSummary) -> String {
    let share = summary.n_trusted as f64 / summary.n_targets.max(1) as f64;
    format!(
        "{} ({})",
        numbers::count(summary.n_trusted),
        numbers::percent(share)
    )
}

pub fn efficiency_line(efficiency: &Efficiency) -> String {
    format!(
        "{} (median; 90 % of the targets between {} and {})",
        numbers::percent(efficiency.median),
        numbers::percent(efficiency.quantile_05),
        numbers::percent(efficiency.quantile_95)
    )
}

/// One line.
pub fn verdict(found: &Calibration) -> String {
    let n = numbers::count(found.n_targets);
    let (Some(p), Some(worst)) = (
        found.p,
        found
            .tests
            .iter()
            .min_by(|a, b| a.uniformity.p.total_cmp(&b.uniformity.p)),
    ) else {
        return "no target to tell calibration by".to_owned();
    };
    let p = numbers::short(p);
    match found.verdict {
        CalibrationVerdict::Calibrated => format!("calibrated (p {p}, {n} targets)"),
        CalibrationVerdict::NotCalibrated => {
            format!("not calibrated (p {p}, {n} targets; worst: {})", worst.of)
        }
        CalibrationVerdict::TooFew => format!("too few targets to tell calibration by ({n})"),
    }
}
