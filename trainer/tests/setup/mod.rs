//! A small linear-Gaussian campaign and rows of it, made without any service.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses its own part"
)]

use burn::tensor::Device;
use rand_distr::{Distribution, StandardNormal};
use sidereal_inference::base::{FlowId, RoundId};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::records::Draws;
use sidereal_inference::weights::Objective;
use sidereal_models::Catalogue;
use sidereal_trainer::standardization::Standardization;
use sidereal_trainer::training::{self, Fitted, Observer, TrainingError, TrainingState};
use sidereal_trainer::training_set::TrainingSet;
use std::path::Path;

/// Two parameters, six data with noise of 0.3; `extra` is appended to the campaign file.
pub fn campaign(extra: &str) -> Campaign {
    campaign_with_noise("gaussian = { sigma = 0.3 }", extra)
}

/// The same with other `noise`.
pub fn campaign_with_noise(noise: &str, extra: &str) -> Campaign {
    let text = format!(
        r#"
name = "small"
seed = 3
parameters = [
    {{ name = "a", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
    {{ name = "b", prior = {{ uniform = {{ low = -1.0, high = 3.0 }} }} }},
]
[simulator]
builtin = "linear-gaussian"
grid = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
matrix = [[1.0, 0.0], [1.0, 0.2], [1.0, 0.4], [1.0, 0.6], [1.0, 0.8], [1.0, 1.0]]
[noise]
{noise}
[rounds]
max = 1
simulations = 400
{extra}
"#
    );
    campaign_file::parse(&text, Path::new("small.toml"), &Catalogue::default())
        .expect("the campaign file is valid")
}

/// Rows of round 0 in a training set.
pub fn training_set(campaign: &Campaign, n_rows: u64) -> TrainingSet<'_> {
    let mut set = TrainingSet::new(campaign, FlowId(0), Objective::Simulations);
    let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), 0..n_rows);
    for i in 0..draws.n_rows() {
        let theta = draws.theta_row(i);
        let x: Vec<f32> = (0..6)
            .map(|j| (theta[0] + 0.2 * f64::from(j) * theta[1]) as f32)
            .collect();
        set.push_simulation(draws.z_row(i), &x);
    }
    set
}

/// Standard normal numbers of a stream of the test's own.
pub fn normals(n: usize) -> Vec<f64> {
    let mut rng = sidereal_inference::base::stream(
        99,
        RoundId(0),
        sidereal_inference::base::RowId(0),
        sidereal_inference::base::Purpose::Predict,
    );
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Calls a closure after each epoch.
pub struct AfterEpoch<F>(pub F);

impl<F: FnMut(&TrainingState) -> Result<(), TrainingError>> Observer for AfterEpoch<F> {
    fn on_epoch(&mut self, state: &TrainingState, _seconds: f64) -> Result<(), TrainingError> {
        (self.0)(state)
    }
}

pub fn pool(n_threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .expect("threads start")
}

/// Trains from scratch or from `resumed`, on the CPU.
pub fn fit(
    campaign: &Campaign,
    n_threads: usize,
    resumed: Option<TrainingState>,
    observer: &mut dyn Observer,
) -> Result<Fitted, TrainingError> {
    fit_on(&Device::flex(), campaign, n_threads, resumed, observer)
}

pub fn fit_on(
    device: &Device,
    campaign: &Campaign,
    n_threads: usize,
    resumed: Option<TrainingState>,
    observer: &mut dyn Observer,
) -> Result<Fitted, TrainingError> {
    let set = training_set(campaign, 400);
    let standardization = Standardization::new(&set);
    let estimator = training::network(&set, &standardization, device);
    training::fit(
        &set,
        &standardization,
        estimator,
        resumed,
        &pool(n_threads),
        observer,
    )
}

/// Draws from the prior, in z, with weights that make them draws from N(1, 0.5²) in each of both.
pub fn weighted_draws(campaign: &Campaign, n_rows: u64) -> TrainingSet<'_> {
    let objective = Objective::WeightedDraws { exponent: 1.0 };
    let mut set = TrainingSet::new(campaign, FlowId(0), objective);
    let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), 0..n_rows);
    for i in 0..draws.n_rows() {
        let z = draws.z_row(i);
        let log_weight: f64 = z
            .iter()
            .map(|z| 0.5 * z * z - 0.5 * ((z - 1.0) / 0.5).powi(2))
            .sum();
        set.push_draw(z, log_weight.exp());
    }
    set
}

/// Fits a flow to weighted draws, on the CPU.
pub fn fit_to_draws(set: &TrainingSet, n_threads: usize) -> Fitted {
    let standardization = Standardization::new(set);
    let estimator = training::network(set, &standardization, &Device::flex());
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    training::fit(
        set,
        &standardization,
        estimator,
        None,
        &pool(n_threads),
        &mut ignore,
    )
    .expect("training")
}
