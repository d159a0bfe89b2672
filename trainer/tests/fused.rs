//! The fused operations are what burn's own would be: values, and the gradients of weights and parameters.

mod setup;

use burn::tensor::{Device, Tensor, TensorData};
use setup::normals;
use sidereal_inference::base::FlowId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::weights::Objective;
use sidereal_models::Catalogue;
use sidereal_trainer::estimator::{Estimator, Leaves};
use sidereal_trainer::parameters::{self, host};
use sidereal_trainer::standardization::Inputs;
use std::path::Path;

const N_ROWS: usize = 7;

fn campaign(length: usize, featurizer: &str, components: usize) -> Campaign {
    let grid: Vec<f64> = (0..length).map(|i| i as f64).collect();
    let matrix = vec![[1.0, 0.5, -0.5]; length];
    let text = format!(
        r#"
name = "small"
parameters = [
    {{ name = "a", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
    {{ name = "b", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
    {{ name = "c", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
]
[simulator]
builtin = "linear-gaussian"
grid = {grid:?}
matrix = {matrix:?}
[noise]
gaussian = {{ sigma = 0.3 }}
[rounds]
max = 1
[featurizer]
{featurizer}
[flow]
kind = "maf"
blocks = 3
hidden = 10
layers = 3
components = {components}
"#
    );
    campaign_file::parse(&text, Path::new("small.toml"), &Catalogue::default())
        .expect("the campaign file is valid")
}

/// Log densities, the gradient of each tensor of weights by its name, and that of y.
struct Evaluated {
    log_density: Vec<f32>,
    d_weights: Vec<(String, Vec<f32>)>,
    d_y: Vec<f32>,
}

/// Where the gradients of weights are to gather.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathering {
    Parts,
    Parameters,
}

fn evaluated(
    campaign: &Campaign,
    objective: Objective,
    channels: usize,
    expected: Gathering,
) -> [Evaluated; 2] {
    let device = Device::flex().autodiff();
    let initial = Estimator::init(
        campaign,
        FlowId(0),
        objective,
        Inputs::of_channels(channels),
        &device,
    );
    let by_name = |gradient: &[f32]| {
        let mut rest = gradient;
        let mut named = Vec::new();
        for tensor in parameters::named_tensors(&initial) {
            // Running statistics are no weights.
            if !tensor.name.contains("running_") {
                let (own, others) = rest.split_at(tensor.values.len());
                named.push((tensor.name, own.to_vec()));
                rest = others;
            }
        }
        assert!(rest.is_empty(), "{} left over", rest.len());
        named
    };
    let weights = parameters::flat(&initial);
    let n_weights = weights.dims()[0];
    let length = campaign.simulator.grid.len();
    let mut numbers = normals(n_weights + N_ROWS * (4 + length * channels))
        .into_iter()
        .map(|number| number as f32);
    let mut next = |n: usize| -> Vec<f32> { numbers.by_ref().take(n).collect() };
    // Biases begin at zero, and the output layers near it.
    let noise = Tensor::from_data(
        TensorData::new(next(n_weights), [n_weights]),
        &weights.device(),
    );
    let weights = weights + noise * 0.1;
    let y = Tensor::<2>::from_data(TensorData::new(next(N_ROWS * 3), [N_ROWS, 3]), &device);
    let share = Tensor::<1>::from_data(TensorData::new(next(N_ROWS), [N_ROWS]), &device);
    let x = match objective {
        Objective::Simulations => {
            let data =
                TensorData::new(next(N_ROWS * length * channels), [N_ROWS, length, channels]);
            Some(Tensor::<3>::from_data(data, &device))
        }
        Objective::WeightedDraws { .. } | Objective::SurrogateDraws => None,
    };
    let fused = {
        let y = y.clone().require_grad();
        let (own, leaves) = initial.with_leaves(&weights);
        let found = match &leaves {
            Leaves::Parts(_) => Gathering::Parts,
            Leaves::Parameters => Gathering::Parameters,
        };
        assert_eq!(found, expected);
        let log_density = own.log_density(y.clone(), x.clone());
        let mut gradients = (log_density.clone() * share.clone()).sum().backward();
        Evaluated {
            log_density: host(log_density.inner()),
            d_weights: by_name(&host(Tensor::cat(
                leaves.gradients(&own, &mut gradients),
                0,
            ))),
            d_y: host(y.grad(&gradients).expect("y has a gradient")),
        }
    };
    let by_parts = {
        let y = y.require_grad();
        let own = parameters::with_flat(initial.clone(), &weights);
        let log_density = own.log_density_by_parts(y.clone(), x);
        let mut gradients = (log_density.clone() * share).sum().backward();
        Evaluated {
            log_density: host(log_density.inner()),
            d_y: host(y.grad(&gradients).expect("y has a gradient")),
            d_weights: by_name(&host(parameters::flat_gradients(&own, &mut gradients))),
        }
    };
    [fused, by_parts]
}

/// The largest magnitude.
fn scale(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |largest, value| largest.max(value.abs()))
}

/// In units of their own largest magnitude, or of `least`: what is zero but for rounding is not compared.
fn assert_close(name: &str, fused: &[f32], by_parts: &[f32], least: f32) {
    assert_eq!(fused.len(), by_parts.len(), "{name}");
    let scale = scale(by_parts).max(least);
    for (i, (fused, by_parts)) in fused.iter().zip(by_parts).enumerate() {
        assert!(
            (fused - by_parts).abs() <= 2e-4 * scale,
            "{name} {i}: {fused} fused, {by_parts} by parts"
        );
    }
}

fn check(length: usize, featurizer: &str, components: usize, objective: Objective) {
    check_gathering(length, featurizer, components, objective, Gathering::Parts);
}

fn check_gathering(
    length: usize,
    featurizer: &str,
    components: usize,
    objective: Objective,
    gathering: Gathering,
) {
    let campaign = campaign(length, featurizer, components);
    for channels in [1, 2] {
        let [fused, by_parts] = evaluated(&campaign, objective, channels, gathering);
        assert_close(
            "log density",
            &fused.log_density,
            &by_parts.log_density,
            0.0,
        );
        assert_close("gradient of y", &fused.d_y, &by_parts.d_y, 0.0);
        let largest = by_parts.d_weights.iter().map(|(_, own)| scale(own));
        let least = 5e-3 * largest.fold(0.0, f32::max);
        for ((name, fused), (_, by_parts)) in fused.d_weights.iter().zip(&by_parts.d_weights) {
            assert_close(&format!("gradient of {name}"), fused, by_parts, least);
            if scale(by_parts) <= least {
                continue;
            }
            // Masked weights take none, a few units of a relu may be off; all others do.
            let n_zero = |gradient: &[f32]| gradient.iter().filter(|value| **value == 0.0).count();
            let (fused, by_parts) = (n_zero(fused), n_zero(by_parts));
            assert!(
                fused.abs_diff(by_parts) <= by_parts / 20,
                "{name}: {fused} zeros, {by_parts} by parts"
            );
        }
    }
}

#[test]
fn resnet_gru_of_odd_lengths() {
    let featurizer = "kind = \"resnet-gru\"\nchannels = 5\nstages = 3\nhidden = 9\nfeatures = 6";
    check(13, featurizer, 3, Objective::Simulations);
}

#[test]
fn resnet_gru_of_patches_that_do_not_come_out_even() {
    let featurizer = "kind = \"resnet-gru\"\nchannels = 4\nstages = 2\nhidden = 8\nfeatures = 6";
    check(299, featurizer, 1, Objective::Simulations);
}

#[test]
fn resnet() {
    let featurizer = "kind = \"resnet\"\nchannels = 4\nstages = 2\nfeatures = 6";
    check(16, featurizer, 3, Objective::Simulations);
}

#[test]
fn resnet_of_one_datum() {
    let weight = "kind = \"resnet\"\nchannels = 4\nstages = 0\nfeatures = 6";
    check(1, weight, 3, Objective::Simulations);
    let batch = format!("{weight}\nnormalization = \"batch\"");
    let (objective, gathering) = (Objective::Simulations, Gathering::Parameters);
    check_gathering(1, &batch, 3, objective, gathering);
}

#[test]
fn resnet_down_to_one_step() {
    let featurizer = "kind = \"resnet\"\nchannels = 4\nstages = 4\nfeatures = 6";
    check(16, featurizer, 3, Objective::Simulations);
}

#[test]
fn gru() {
    let featurizer = "kind = \"gru\"\nhidden = 7\nfeatures = 6";
    check(11, featurizer, 3, Objective::Simulations);
}

#[test]
fn mlp() {
    let featurizer = "kind = \"mlp\"\nlayers = 3\nhidden = 11\nfeatures = 6";
    check(8, featurizer, 2, Objective::Simulations);
}

#[test]
fn flow_alone() {
    let featurizer = "kind = \"mlp\"\nlayers = 1\nhidden = 4\nfeatures = 4";
    check(4, featurizer, 4, Objective::WeightedDraws { exponent: 1.0 });
}

#[test]
fn batch_normalization_stays_with_burn() {
    let featurizer =
        "kind = \"resnet\"\nchannels = 4\nstages = 2\nfeatures = 6\nnormalization = \"batch\"";
    let (objective, gathering) = (Objective::Simulations, Gathering::Parameters);
    check_gathering(16, featurizer, 2, objective, gathering);
}
