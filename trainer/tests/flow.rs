//! The flow: normalized, invertible, with the log-determinant that autodiff gives, every weight used.

mod setup;

use burn::tensor::{Device, Tensor, TensorData};
use setup::{campaign, normals};
use sidereal_inference::campaign::Flow as FlowConfig;
use sidereal_inference::ids::{FlowId, RoundId, RowId};
use sidereal_inference::refinement::Objective;
use sidereal_inference::seeds::{Purpose, stream};
use sidereal_trainer::estimator::Estimator;
use sidereal_trainer::flow::{BaseDraws, Flow};
use sidereal_trainer::parameters::{
    Initializer, NamedTensor, flat_gradients, host, named_tensors, with_named_tensors,
};

const FEATURES: usize = 3;

/// A flow far from the identity: all its weights are moved at random.
fn flow(d: usize, blocks: usize, components: usize) -> Flow {
    let device = Device::flex();
    let rng = stream(1, RoundId(0), RowId(0), Purpose::Initialize);
    let mut initializer = Initializer {
        rng,
        device: &device,
    };
    let config = FlowConfig::Maf {
        blocks,
        hidden: 16,
        layers: 2,
        components,
        max_log_scale: 3.0,
    };
    let flow = Flow::init(&config, d, FEATURES, &mut initializer);
    let tensors: Vec<NamedTensor> = named_tensors(&flow)
        .into_iter()
        .map(|tensor| {
            let random = normals(tensor.values.len());
            let values = tensor
                .values
                .iter()
                .zip(random)
                .map(|(value, random)| value + 0.1 * random as f32)
                .collect();
            NamedTensor { values, ..tensor }
        })
        .collect();
    with_named_tensors(flow, &tensors).expect("the tensors are the flow's own")
}

fn features(n: usize) -> Tensor<2> {
    Tensor::<2>::from_floats([[0.3, -0.7, 1.1]], &Device::flex()).expand([n, FEATURES])
}

fn rows(values: &[f32], d: usize) -> Tensor<2> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), [values.len() / d, d]),
        &Device::flex(),
    )
}

/// ∫ q(y) dy over a grid wide enough for the flow's tails.
#[test]
fn density_integrates_to_one() {
    let (low, step, n) = (-30.0, 0.02, 3000);
    for (blocks, components) in [(0, 1), (0, 3), (1, 1), (2, 3), (3, 4)] {
        let flow = flow(1, blocks, components);
        let grid: Vec<f32> = (0..n).map(|i| low + step * i as f32).collect();
        let log_density = host(flow.log_density(rows(&grid, 1), features(n)));
        let mass: f64 = log_density
            .iter()
            .map(|&value| f64::from(value).exp())
            .sum::<f64>()
            * f64::from(step);
        assert!(
            (mass - 1.0).abs() < 2e-3,
            "{blocks} blocks, {components} components: mass {mass}"
        );
    }
}

/// The density of draws, found by counting, is the density that the flow states.
#[test]
fn draws_follow_the_stated_density() {
    let n = 20_000;
    let flow = flow(1, 2, 3);
    let normal = normals(n);
    let uniform: Vec<f64> = (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect();
    let draws = host(flow.draw(&BaseDraws { uniform, normal }, features(n)));
    let mut sorted = draws.clone();
    sorted.sort_by(f32::total_cmp);
    let (low, step) = (sorted[0] - 5.0, 0.005);
    let n_grid = ((sorted[n - 1] - low) / step) as usize + 1;
    let grid: Vec<f32> = (0..n_grid).map(|i| low + step * i as f32).collect();
    let log_density = host(flow.log_density(rows(&grid, 1), features(n_grid)));
    let mut cumulative = 0.0;
    let mut gap: f64 = 0.0;
    let mut next = 0;
    for (&y, &log_density) in grid.iter().zip(&log_density) {
        while next < n && sorted[next] <= y {
            next += 1;
        }
        cumulative += f64::from(log_density).exp() * f64::from(step);
        gap = gap.max((cumulative - next as f64 / n as f64).abs());
    }
    assert!(
        gap < 0.015,
        "largest distance of the distribution functions {gap}"
    );
}

/// The stated density is the base density over the volume change of drawing, which runs the other way.
#[test]
fn log_determinant_agrees_with_finite_differences_of_the_inverse() {
    for d in [1, 2, 3, 5] {
        let flow = flow(d, 3, 1);
        let n = 8;
        // With one component the base is Gaussian: a flow's density at its own draw is the base
        // density over the volume change of the map from normal numbers to draws.
        let normal = normals(n * d);
        let map = |normal: &[f64]| {
            let uniform = vec![0.5; normal.len()];
            host(flow.draw(
                &BaseDraws {
                    uniform,
                    normal: normal.to_vec(),
                },
                features(normal.len() / d),
            ))
        };
        let centre = map(&normal);
        let stated = host(flow.log_density(rows(&centre, d), features(n)));
        let h = 1e-3;
        for row in 0..n {
            let mut jacobian = vec![0.0; d * d];
            for j in 0..d {
                let shifted = |sign: f64| {
                    let mut own = normal[row * d..(row + 1) * d].to_vec();
                    own[j] += sign * h;
                    map(&own)
                };
                let (up, down) = (shifted(1.0), shifted(-1.0));
                for i in 0..d {
                    jacobian[i * d + j] = f64::from(up[i] - down[i]) / (2.0 * h);
                }
            }
            let log_base: f64 = normal[row * d..(row + 1) * d]
                .iter()
                .map(|value| -0.5 * value * value - 0.918_938_533_204_672_8)
                .sum();
            let expected = log_base - log_abs_determinant(&mut jacobian, d);
            let found = f64::from(stated[row]);
            assert!(
                (found - expected).abs() < 0.03,
                "d = {d}, row {row}: {found}, expected {expected}"
            );
        }
    }
}

/// Gaussian elimination with pivoting.
fn log_abs_determinant(matrix: &mut [f64], d: usize) -> f64 {
    let mut sum = 0.0;
    for column in 0..d {
        let pivot = (column..d)
            .max_by(|&a, &b| {
                matrix[a * d + column]
                    .abs()
                    .total_cmp(&matrix[b * d + column].abs())
            })
            .unwrap_or(column);
        for k in 0..d {
            matrix.swap(column * d + k, pivot * d + k);
        }
        let value = matrix[column * d + column];
        sum += value.abs().ln();
        for row in column + 1..d {
            let factor = matrix[row * d + column] / value;
            for k in column..d {
                matrix[row * d + k] -= factor * matrix[column * d + k];
            }
        }
    }
    sum
}

#[test]
fn every_weight_of_every_network_gets_a_gradient() {
    for featurizer in [
        "kind = \"resnet-gru\"\nchannels = 4\nstages = 2\nhidden = 6\nfeatures = 5",
        "kind = \"resnet-gru\"\nchannels = 4\nstages = 2\nhidden = 6\nfeatures = 5\nnormalization = \"batch\"",
        "kind = \"resnet\"\nchannels = 4\nstages = 2\nfeatures = 5",
        "kind = \"gru\"\nhidden = 6\nfeatures = 5",
        "kind = \"mlp\"\nlayers = 2\nhidden = 6\nfeatures = 5",
    ] {
        let campaign = campaign(&format!(
            "[featurizer]\n{featurizer}\n[flow]\nkind = \"maf\"\nblocks = 2\nhidden = 8\ncomponents = 3"
        ));
        let device = Device::flex().autodiff();
        let estimator = Estimator::init(&campaign, FlowId(0), Objective::Simulations, 2, &device);
        let n = 64;
        let y: Vec<f32> = normals(n * 2).iter().map(|&value| value as f32).collect();
        let x: Vec<f32> = normals(n * 12).iter().map(|&value| value as f32).collect();
        let y = Tensor::<2>::from_data(TensorData::new(y, [n, 2]), &device);
        let x = Tensor::<3>::from_data(TensorData::new(x, [n, 6, 2]), &device);
        let mut gradients = estimator.log_density(y, Some(x)).sum().backward();
        let gradient = host(flat_gradients(&estimator, &mut gradients));
        let n_weights: usize = gradient.len();
        let n_zero = gradient.iter().filter(|value| **value == 0.0).count();
        // Masked weights of the conditioners get none, and a unit may be switched off by chance.
        assert!(
            n_zero * 2 < n_weights,
            "{featurizer}: {n_zero} of {n_weights} gradients are zero"
        );
        assert!(
            gradient.iter().all(|value| value.is_finite()),
            "{featurizer}"
        );
    }
}
