//! Losses against closed forms: what a flow tends to where its simulations come from a narrow proposal.

mod setup;

use burn::tensor::{Device, Tensor, TensorData};
use rand_distr::{Distribution, StandardNormal};
use setup::{AfterEpoch, pool};
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{Campaign, Loss};
use sidereal_inference::campaign_file;
use sidereal_inference::space::standard_normal_log_density;
use sidereal_inference::weights::Objective;
use sidereal_models::Catalogue;
use sidereal_trainer::estimator::Estimator;
use sidereal_trainer::loss::log_score;
use sidereal_trainer::parameters::{host, named_tensors};
use sidereal_trainer::standardization::{Inputs, Standardization};
use sidereal_trainer::training::{self, TrainingState};
use sidereal_trainer::training_set::TrainingSet;
use std::path::Path;

/// x = θ + 0.5 ε, θ ~ N(0, 1).
fn campaign(training: &str) -> Campaign {
    let text = format!(
        r#"
name = "one"
parameters = [{{ name = "a", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }}]
[simulator]
builtin = "linear-gaussian"
grid = [0.0]
matrix = [[1.0]]
[noise]
gaussian = {{ sigma = 0.5 }}
[featurizer]
kind = "mlp"
layers = 1
hidden = 16
features = 4
[flow]
kind = "maf"
blocks = 2
hidden = 16
layers = 1
components = 2
[training]
batch_size = 96
learning_rate = 1e-2
max_epochs = 60
{training}
"#
    );
    campaign_file::parse(&text, Path::new("one.toml"), &Catalogue::default())
        .expect("the campaign file is valid")
}

fn log_normal(z: f64) -> f64 {
    standard_normal_log_density(&[z])
}

/// A tenth of the draws is from the prior, the others are from N(0.8, 0.4²).
fn log_proposal(z: f64) -> f64 {
    let narrow = log_normal((z - 0.8) / 0.4).exp() / 0.4;
    (0.9 * narrow + 0.1 * log_normal(z).exp()).ln()
}

fn training_set(campaign: &Campaign, n: u64) -> TrainingSet<'_> {
    let mut set = TrainingSet::new(campaign, FlowId(0), Objective::Simulations);
    for row in 0..n {
        let mut rng = stream(7, RoundId(0), RowId(row), Purpose::Draw);
        let normal: f64 = StandardNormal.sample(&mut rng);
        let z = if row % 10 == 0 {
            normal
        } else {
            0.8 + 0.4 * normal
        };
        set.push_simulation(&[z], &[z as f32]);
    }
    set
}

const STEP: f64 = 0.02;

fn grid() -> Vec<f64> {
    (-250..=250).map(|i| STEP * f64::from(i)).collect()
}

/// The density on the grid of a network trained with the loss that `training` names, at x = [`OBSERVED`].
fn fitted(training: &str, n_rows: u64, n_threads: usize) -> (Estimator, Vec<f64>) {
    let campaign = campaign(training);
    let set = training_set(&campaign, n_rows);
    let standardization = Standardization::new(&set);
    let device = Device::flex();
    let estimator = training::network(&set, &standardization, &device);
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let pool = pool(n_threads);
    let fitted = training::fit(&set, &standardization, estimator, None, &pool, &mut ignore)
        .expect("training");
    let (mut x, mut y) = (Vec::new(), Vec::new());
    standardization.append_channels(&[OBSERVED], &[0.5], &mut x);
    let log_determinant: Vec<f64> = grid()
        .into_iter()
        .map(|z| standardization.append_y(&[z], &mut y))
        .collect();
    let x = TensorData::new(x, [1, 1, standardization.n_channels()]);
    let features = fitted
        .estimator
        .features(Tensor::<3>::from_data(x, &Device::flex()));
    let density = fitted
        .estimator
        .at(features)
        .log_density(&y)
        .iter()
        .zip(log_determinant)
        .map(|(&log_density, log_determinant)| (f64::from(log_density) + log_determinant).exp())
        .collect();
    (fitted.estimator, density)
}

/// p(θ|x) ∝ N(x; θ, 0.5²) `prior`(θ) on the grid.
fn posterior(observed: f64, log_prior: fn(f64) -> f64) -> Vec<f64> {
    let density: Vec<f64> = grid()
        .into_iter()
        .map(|z| (log_normal((observed - z) / 0.5) + log_prior(z)).exp())
        .collect();
    let sum: f64 = density.iter().sum();
    density
        .iter()
        .map(|density| density / (sum * STEP))
        .collect()
}

/// Total variation distance.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    0.5 * STEP * a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>()
}

const OBSERVED: f64 = 0.2;

#[test]
fn plain_loss_tends_to_the_posterior_under_the_proposal() {
    let (_, found) = fitted("loss = \"nll\"", 4000, 2);
    let target = posterior(OBSERVED, log_proposal);
    assert!(distance(&found, &target) < 0.08);
    assert!(distance(&found, &posterior(OBSERVED, log_normal)) > 0.3);
}

#[test]
fn atomic_loss_tends_to_the_posterior() {
    let (_, found) = fitted("loss = \"apt\"\natoms = 10", 4000, 2);
    let distance = distance(&found, &posterior(OBSERVED, log_normal));
    assert!(distance < 0.08, "{distance}");
}

#[test]
fn atoms_do_not_depend_on_threads() {
    let apt = "loss = \"apt\"\natoms = 5";
    let [one, three] = [1, 3].map(|n_threads| fitted(apt, 300, n_threads).0);
    assert_eq!(named_tensors(&one), named_tensors(&three));
}

#[test]
fn atoms_are_the_rows_that_follow() {
    let campaign = setup::campaign("");
    let set = setup::training_set(&campaign, 30);
    let standardization = Standardization::new(&set);
    let device = Device::flex();
    let channels = standardization.n_channels();
    let objective = Objective::Simulations;
    let estimator = Estimator::init(
        &campaign,
        FlowId(0),
        objective,
        Inputs::of_channels(channels),
        &device,
    );
    let batch = set.minibatch(
        &[3, 11, 20, 4],
        Purpose::ValidationNoise,
        None,
        &standardization,
    );
    let x = Tensor::<3>::from_data(TensorData::new(batch.x.clone(), [4, 6, channels]), &device);
    let y = Tensor::<2>::from_data(TensorData::new(batch.y.clone(), [4, 2]), &device);
    // log q(y_j | x_i) - log p(y_j)
    let log_ratio = |i: usize, j: usize| {
        let log_density =
            estimator.log_density(y.clone().narrow(0, j, 1), Some(x.clone().narrow(0, i, 1)));
        f64::from(host(log_density)[0]) - f64::from(batch.log_prior[j])
    };
    for atoms in [2, 3, 4, 9] {
        let found = host(log_score(
            &estimator,
            Loss::Apt { atoms },
            y.clone(),
            Some(x.clone()),
            &batch.log_prior,
        ));
        for (i, found) in found.into_iter().enumerate() {
            let sum: f64 = (0..atoms.min(4))
                .map(|k| log_ratio(i, (i + k) % 4).exp())
                .sum();
            let expected = log_ratio(i, i) - sum.ln();
            assert!(
                (f64::from(found) - expected).abs() < 1e-4,
                "{atoms} atoms, row {i}: {found} is not {expected}"
            );
        }
    }
    let plain = host(log_score(
        &estimator,
        Loss::Nll,
        y.clone(),
        Some(x.clone()),
        &batch.log_prior,
    ));
    assert_eq!(
        plain,
        host(estimator.log_density(y.clone(), Some(x.clone())))
    );
}
