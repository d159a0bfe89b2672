//! Flows fitted to draws of narrow modes far apart.

mod setup;

use burn::tensor::Device;
use rand_distr::{Distribution, StandardNormal, Uniform};
use setup::{fit_to_draws, pool};
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, log_sum_exp, stream};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Directory;
use sidereal_inference::weights::{Component, Objective, Proposal, final_exponent};
use sidereal_models::Catalogue;
use sidereal_trainer::draw::{self, DrawPlan};
use sidereal_trainer::model::Model;
use sidereal_trainer::standardization::Standardization;
use sidereal_trainer::training_set::TrainingSet;
use std::collections::BTreeMap;
use std::path::Path;

const N_DRAWN: u64 = 4000;
const FLOW: FlowId = FlowId(1);
/// Standard deviations of a mode in z, beside modes that are 2 apart.
const NARROW: f64 = 0.003;
const MODES: [([f64; 2], f64); 2] = [([-1.0, 0.3], 0.9), ([1.0, 0.3], -0.9)];

/// ln of two Gaussians' equal mixture, each with a strong correlation of its own, at z.
fn log_target(z: &[f64]) -> f64 {
    let of_mode = |(mean, rho): ([f64; 2], f64)| {
        let (a, b) = ((z[0] - mean[0]) / NARROW, (z[1] - mean[1]) / NARROW);
        let square = (a * a - 2.0 * rho * a * b + b * b) / (1.0 - rho * rho);
        let norm = std::f64::consts::TAU * NARROW * NARROW * (1.0 - rho * rho).sqrt();
        -0.5 * square - norm.ln() - 2f64.ln()
    };
    log_sum_exp(MODES.into_iter().map(of_mode))
}

fn draws(n: u64) -> Vec<[f64; 2]> {
    let mut rng = stream(7, RoundId(0), RowId(0), Purpose::Predict);
    let between = Uniform::new(0.0, 1.0).expect("bounds");
    let draw = |_| {
        let (mean, rho) = MODES[usize::from(between.sample(&mut rng) < 0.5)];
        let [a, b]: [f64; 2] = [(); 2].map(|()| StandardNormal.sample(&mut rng));
        [
            mean[0] + NARROW * a,
            mean[1] + NARROW * (rho * a + (1.0 - rho * rho).sqrt() * b),
        ]
    };
    (0..n).map(draw).collect()
}

/// Standard normal priors, so that z is θ.
fn campaign() -> Campaign {
    let text = r#"
name = "modes"
seed = 3
parameters = [
    { name = "a", prior = { normal = { mean = 0.0, sd = 1.0 } } },
    { name = "b", prior = { normal = { mean = 0.0, sd = 1.0 } } },
]
[simulator]
builtin = "linear-gaussian"
matrix = [[1.0, 0.0]]
[observation]
grid = [0.0]
value = [0.0]
sigma = [1.0]
"#;
    sidereal_inference::campaign_file::parse(text, Path::new("modes.toml"), &Catalogue::default())
        .expect("a campaign")
}

#[test]
fn narrow_modes_far_apart_are_fitted_as_well_as_one() {
    let campaign = campaign();
    let objective = Objective::WeightedDraws {
        exponent: final_exponent(2),
    };
    let mut set = TrainingSet::new(&campaign, FLOW, objective);
    for z in draws(1500) {
        set.push_draw(&z, 1.0 / 1500.0);
    }
    let standardization = Standardization::new(&set);
    assert_eq!(standardization.pieces.len(), 2);
    let fitted = fit_to_draws(&set, 2);
    let model = Model::new(
        campaign.clone(),
        standardization,
        fitted.summary,
        fitted.estimator,
        Device::flex(),
    );
    // What is drawn from is what was stored.
    let directory = Directory::in_memory();
    model.store(&directory, "model").expect("stored");
    let model = Model::load(&directory, "model", &Device::flex()).expect("a model");
    let observation = campaign.observation.as_ref().expect("an observation");
    let scorers = BTreeMap::from([(FLOW, model.scorer(observation).expect("a scorer"))]);
    let proposal = Proposal::of(vec![(Component::Flow(FLOW), 1.0)]);
    let plan = DrawPlan {
        campaign: &campaign,
        seed: 3,
        purpose: Purpose::Draw,
        round: RoundId(1),
        rows: 0..N_DRAWN,
        proposal: &proposal,
    };
    let (draws, _) = draw::draw(&plan, &scorers, &pool(2)).expect("draws");
    let n = draws.n_rows();
    let log_weight = |i: usize| log_target(draws.z_row(i)) - draws.log_proposal[i];
    let weight: Vec<f64> = (0..n).map(|i| log_weight(i).exp()).collect();
    let sum: f64 = weight.iter().sum();
    let efficiency = sum * sum / weight.iter().map(|w| w * w).sum::<f64>() / n as f64;
    let left: f64 = (0..n)
        .filter(|&i| draws.z_row(i)[0] < 0.0)
        .map(|i| weight[i])
        .sum();
    let mass = sum / n as f64;
    assert!(efficiency > 0.75, "{efficiency}");
    assert!((mass - 1.0).abs() < 0.03, "{mass}");
    assert!((left / sum - 0.5).abs() < 0.03, "{}", left / sum);
}
