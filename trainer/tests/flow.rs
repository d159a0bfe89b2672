//! The flow: normalized, invertible, with the log-determinant that autodiff gives, every weight used.

mod setup;

use burn::tensor::{Device, Tensor, TensorData};
use setup::{campaign, fit_to_draws, normals, pool};
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{Campaign, Flow as FlowConfig, NsfSize};
use sidereal_inference::records::Draws;
use sidereal_inference::weights::{Component, Objective, Proposal};
use sidereal_models::Catalogue;
use sidereal_trainer::draw::{self, DrawPlan};
use sidereal_trainer::estimator::Estimator;
use sidereal_trainer::flow::{Axis, BaseDraws, Flow, HostFlow};
use sidereal_trainer::model::Model;
use sidereal_trainer::parameters::{
    Initializer, NamedTensor, flat_gradients, host, named_tensors, with_named_tensors,
};
use sidereal_trainer::standardization::{Inputs, Standardization};
use sidereal_trainer::training_set::TrainingSet;
use std::collections::BTreeMap;

const FEATURES: usize = 3;
const LINE: Axis = Axis::Line;
const CIRCLE: Axis = Axis::Circle;

fn maf(blocks: usize, components: usize) -> FlowConfig {
    FlowConfig::Maf {
        blocks,
        hidden: 16,
        layers: 2,
        components,
        max_log_scale: 3.0,
    }
}

fn nsf_size(blocks: usize, bins: usize) -> NsfSize {
    NsfSize {
        blocks,
        hidden: 16,
        layers: 2,
        bins,
        tail_bound: 3.0,
        max_log_scale: 3.0,
    }
}

fn nsf(blocks: usize, bins: usize) -> FlowConfig {
    FlowConfig::Nsf(nsf_size(blocks, bins))
}

fn coupling(blocks: usize, bins: usize) -> FlowConfig {
    FlowConfig::NsfCoupling(nsf_size(blocks, bins))
}

/// A flow far from the identity: all its weights are moved at random.
fn flow(config: &FlowConfig, axes: &[Axis], device: &Device) -> Flow {
    let rng = stream(1, RoundId(0), RowId(0), Purpose::Initialize);
    let mut initializer = Initializer::drawing(rng, device);
    let flow = Flow::init(config, axes, FEATURES, &mut initializer);
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

/// One feature vector: `[1, features]`
fn features() -> Tensor<2> {
    Tensor::<2>::from_floats([[0.3, -0.7, 1.1]], &Device::flex())
}

fn host_flow(config: &FlowConfig, axes: &[Axis]) -> HostFlow {
    let flow = flow(config, axes, &Device::flex());
    flow.at(features())
}

fn rows(values: &[f32], d: usize, device: &Device) -> Tensor<2> {
    let shape = [values.len() / d, d];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// Standard normal on lines, all around on circles.
fn points(axes: &[Axis], n: usize) -> Vec<f32> {
    normals(n * axes.len())
        .iter()
        .enumerate()
        .map(|(i, &normal)| match axes[i % axes.len()] {
            Axis::Line => 2.0 * normal as f32,
            Axis::Circle => (normal - normal.round()) as f32,
        })
        .collect()
}

/// ∫ q(y) dy over a grid wide enough for the flow's tails, in one dimension.
#[test]
fn densities_integrate_to_one() {
    for (config, axis) in [
        (maf(1, 1), LINE),
        (maf(2, 3), LINE),
        (maf(3, 4), LINE),
        (nsf(1, 2), LINE),
        (nsf(3, 8), LINE),
        (coupling(2, 5), LINE),
        (nsf(1, 2), CIRCLE),
        (nsf(3, 8), CIRCLE),
        (coupling(2, 5), CIRCLE),
    ] {
        let (low, high, n) = match axis {
            Axis::Line => (-300.0, 300.0, 60_000),
            Axis::Circle => (-0.5, 0.5, 4000),
        };
        let step = (high - low) / f64::from(n);
        let grid: Vec<f32> = (0..n)
            .map(|i| (low + step * (f64::from(i) + 0.5)) as f32)
            .collect();
        let log_density = host_flow(&config, &[axis]).log_density(&grid);
        let mass = mass(&log_density) * step;
        assert!((mass - 1.0).abs() < 2e-3, "{config:?}, {axis:?}: {mass}");
    }
}

#[test]
fn densities_integrate_to_one_in_two_dimensions() {
    for (config, axes) in [
        (maf(2, 3), [LINE, LINE]),
        (nsf(2, 4), [LINE, LINE]),
        (nsf(2, 4), [CIRCLE, LINE]),
        (nsf(2, 4), [CIRCLE, CIRCLE]),
        (coupling(2, 4), [LINE, CIRCLE]),
    ] {
        let grid = |axis: Axis| -> (f64, Vec<f32>) {
            let (low, high, n) = match axis {
                Axis::Line => (-60.0, 60.0, 2400),
                Axis::Circle => (-0.5, 0.5, 300),
            };
            let step = (high - low) / f64::from(n);
            let at = |i| (low + step * (f64::from(i) + 0.5)) as f32;
            (step, (0..n).map(at).collect())
        };
        let (first, second) = (grid(axes[0]), grid(axes[1]));
        let mut points = Vec::new();
        for &a in &first.1 {
            for &b in &second.1 {
                points.extend([a, b]);
            }
        }
        let log_density = host_flow(&config, &axes).log_density(&points);
        let mass = mass(&log_density) * first.0 * second.0;
        assert!((mass - 1.0).abs() < 3e-3, "{config:?}, {axes:?}: {mass}");
    }
}

fn mass(log_density: &[f32]) -> f64 {
    log_density
        .iter()
        .map(|&value| f64::from(value).exp())
        .sum()
}

/// What draws are scored with is what the training maximizes.
#[test]
fn densities_over_plain_numbers_are_those_of_the_tensors() {
    for (config, axes) in [
        (maf(3, 4), &[LINE; 5][..]),
        (maf(2, 1), &[LINE; 1]),
        (nsf(3, 8), &[LINE; 5]),
        (nsf(3, 8), &[CIRCLE, LINE, LINE, CIRCLE]),
        (coupling(4, 6), &[CIRCLE, LINE, LINE, CIRCLE, LINE]),
    ] {
        let n = 77;
        let y = points(axes, n);
        let flow = flow(&config, axes, &Device::flex());
        let own = flow.at(features()).log_density(&y);
        let tensors = flow.log_density(
            rows(&y, axes.len(), &Device::flex()),
            features().expand([n, FEATURES]),
        );
        for (row, (own, expected)) in own.iter().zip(host(tensors)).enumerate() {
            assert!(
                (own - expected).abs() < 2e-5 * (10.0 + expected.abs()),
                "{config:?}, row {row}: {own}, expected {expected}"
            );
        }
    }
}

/// The density of draws, found by counting, is the density that the flow states.
#[test]
fn draws_follow_the_stated_density() {
    let n = 20_000;
    for (config, axis) in [(maf(2, 3), LINE), (nsf(2, 6), LINE), (nsf(2, 6), CIRCLE)] {
        let flow = host_flow(&config, &[axis]);
        let normal = normals(n);
        let uniform: Vec<f64> = (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect();
        let mut sorted = flow.draw(&BaseDraws {
            uniform: &uniform,
            normal: &normal,
        });
        sorted.sort_by(f32::total_cmp);
        let (low, step) = match axis {
            Axis::Line => (sorted[0] - 20.0, 0.005),
            Axis::Circle => (-0.5, 0.0005),
        };
        let n_grid = ((sorted[n - 1] - low) / step) as usize + 1;
        let grid: Vec<f32> = (0..n_grid).map(|i| low + step * i as f32).collect();
        let log_density = flow.log_density(&grid);
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
            "{config:?}, {axis:?}: largest distance of the distribution functions {gap}"
        );
    }
}

/// The stated density is the base density over the volume change of drawing, which runs the other way.
#[test]
fn log_determinant_agrees_with_finite_differences_of_the_inverse() {
    // With one component the base is Gaussian: a flow's density at its own draw is the base density over the
    // volume change of the map from normal numbers to draws. Spline flows map uniform numbers.
    for (config, axes) in [
        (maf(3, 1), &[LINE; 1][..]),
        (maf(3, 1), &[LINE; 3]),
        (maf(3, 1), &[LINE; 5]),
        (nsf(2, 4), &[LINE; 3]),
        (nsf(2, 4), &[CIRCLE, LINE, CIRCLE]),
        (coupling(3, 4), &[LINE, CIRCLE, LINE]),
    ] {
        let flow = host_flow(&config, axes);
        let (n, d) = (8, axes.len());
        let normal = normals(n * d);
        let uniform: Vec<f64> = normal
            .iter()
            .map(|x| 0.1 + 0.8 * x.rem_euclid(1.0))
            .collect();
        let map = |shift: &dyn Fn(usize) -> f64| {
            let shifted = |base: &[f64]| -> Vec<f64> {
                base.iter().enumerate().map(|(i, x)| x + shift(i)).collect()
            };
            flow.draw(&BaseDraws {
                uniform: &shifted(&uniform),
                normal: &shifted(&normal),
            })
        };
        let stated = flow.log_density(&map(&|_| 0.0));
        let h = 1e-3;
        let mut jacobians = vec![vec![0.0; d * d]; n];
        for j in 0..d {
            let (up, down) = (
                map(&|i| if i % d == j { h } else { 0.0 }),
                map(&|i| if i % d == j { -h } else { 0.0 }),
            );
            for (row, jacobian) in jacobians.iter_mut().enumerate() {
                for (i, axis) in axes.iter().enumerate() {
                    let gap = f64::from(up[row * d + i] - down[row * d + i]);
                    let gap = match axis {
                        Axis::Line => gap,
                        Axis::Circle => gap - gap.round(),
                    };
                    jacobian[i * d + j] = gap / (2.0 * h);
                }
            }
        }
        for (row, jacobian) in jacobians.iter_mut().enumerate() {
            let log_base: f64 = match config {
                FlowConfig::Maf { .. } => normal[row * d..(row + 1) * d]
                    .iter()
                    .map(|value| -0.5 * value * value - 0.918_938_533_204_672_8)
                    .sum(),
                FlowConfig::Nsf(_) | FlowConfig::NsfCoupling(_) => 0.0,
            };
            let expected = log_base - log_abs_determinant(jacobian, d);
            let found = f64::from(stated[row]);
            assert!(
                (found - expected).abs() < 0.03,
                "{config:?}, {axes:?}, row {row}: {found}, expected {expected}"
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
fn every_weight_of_every_flow_gets_a_gradient() {
    let device = Device::flex().autodiff();
    let axes = [LINE, CIRCLE, LINE];
    for (config, axes) in [
        (maf(2, 3), [LINE; 3]),
        (nsf(2, 4), [LINE; 3]),
        (nsf(2, 4), axes),
        (coupling(2, 4), axes),
    ] {
        let flow = flow(&config, &axes, &device);
        let n = 600;
        let y = rows(&points(&axes, n), 3, &device);
        // Different features for each row, so that their weights' gradients do not vanish together.
        let values: Vec<f32> = normals(n * FEATURES).iter().map(|&x| x as f32).collect();
        let features = rows(&values, FEATURES, &device);
        let mut gradients = flow.log_density(y, features).sum().backward();
        let gradient = host(flat_gradients(&flow, &mut gradients));
        let mut offset = 0;
        for tensor in named_tensors(&flow) {
            let own = &gradient[offset..offset + tensor.values.len()];
            offset += own.len();
            let n_zero = own.iter().filter(|value| **value == 0.0).count();
            // Masks cut most of an input matrix, and a unit may be switched off by chance.
            let allowed = if tensor.name.ends_with("output.bias") {
                0
            } else {
                own.len() * 9 / 10
            };
            assert!(
                n_zero <= allowed && own.iter().all(|value| value.is_finite()),
                "{config:?}, {axes:?}, {}: {n_zero} of {} gradients are zero",
                tensor.name,
                own.len()
            );
        }
        assert_eq!(offset, gradient.len());
    }
}

/// An angle whose posterior lies across the bounds of its prior, bent by a length, fitted as weighted draws.
#[test]
fn a_posterior_across_the_seam_of_a_circle_is_found() {
    let campaign = ring("nsf");
    let mut set = TrainingSet::new(
        &campaign,
        FlowId(0),
        Objective::WeightedDraws { exponent: 1.0 },
    );
    let draws = Draws::from_prior(&campaign.space, 3, RoundId(0), 0..20_000);
    let log_posterior = |theta: &[f64]| {
        let turns = theta[0] / std::f64::consts::TAU - 0.05 * theta[1];
        let turns = turns - turns.round();
        -0.5 * (turns / 0.02).powi(2)
    };
    for i in 0..draws.n_rows() {
        set.push_draw(draws.z_row(i), log_posterior(draws.theta_row(i)).exp());
    }
    let standardization = Standardization::new(&set);
    let fitted = fit_to_draws(&set, 2);
    let model = Model::new(
        campaign.clone(),
        standardization,
        fitted.summary,
        fitted.estimator,
        Device::flex(),
    );
    let observation = campaign.observation.as_ref().expect("an observation");
    let scorers = BTreeMap::from([(FlowId(0), model.scorer(observation).expect("a scorer"))]);
    let proposal = Proposal::of(vec![(Component::Flow(FlowId(0)), 1.0)]);
    let plan = DrawPlan {
        campaign: &campaign,
        seed: 5,
        purpose: Purpose::Predict,
        round: RoundId(1),
        rows: 0..4000,
        proposal: &proposal,
    };
    let (found, scores) = draw::draw(&plan, &scorers, &pool(2)).expect("draws");
    let log_weight: Vec<f64> = (0..found.n_rows())
        .map(|i| log_posterior(found.theta_row(i)) + found.log_prior[i] - found.log_proposal[i])
        .collect();
    let weight: Vec<f64> = log_weight.iter().map(|w| w.exp()).collect();
    let sum: f64 = weight.iter().sum();
    let square: f64 = weight.iter().map(|w| w * w).sum();
    let efficiency = sum * sum / square / weight.len() as f64;
    assert!(efficiency > 0.85, "efficiency {efficiency}");
    // The evidence is the share of the prior under the ridge: log q is normalized across the seam as well.
    let evidence = sum / weight.len() as f64;
    let expected = 0.02 * std::f64::consts::TAU.sqrt();
    assert!(
        (evidence / expected - 1.0).abs() < 0.03,
        "{evidence}, expected {expected}"
    );
    // On both sides of the seam.
    let below = (0..found.n_rows())
        .filter(|&i| found.theta_row(i)[0] < std::f64::consts::PI)
        .count();
    assert!((1200..2800).contains(&below), "{below} of 4000");
    // The density at the stored z is what scoring gives, and what the draws carry.
    let again = draw::score(&campaign, &scorers[&FlowId(0)], &found, &pool(1)).expect("scores");
    assert_eq!(again, scores.log_density[0]);
    assert_eq!(again, found.log_proposal);
}

/// An angle and a length.
fn ring(flow: &str) -> Campaign {
    let text = format!(
        r#"
name = "ring"
seed = 3
parameters = [
    {{ name = "angle", prior = {{ uniform = {{ low = 0.0, high = 6.283185307179586 }} }}, periodic = true }},
    {{ name = "length", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
]
[simulator]
builtin = "linear-gaussian"
[observation]
grid = [0.0, 1.0]
value = [0.0, 0.0]
sigma = [1.0, 1.0]
[flow]
kind = "{flow}"
blocks = 2
hidden = 32
"#
    );
    sidereal_inference::campaign_file::parse(
        &text,
        std::path::Path::new("ring.toml"),
        &Catalogue::default(),
    )
    .expect("the campaign file is valid")
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
        let estimator = Estimator::init(
            &campaign,
            FlowId(0),
            Objective::Simulations,
            Inputs::of_channels(2),
            &device,
        );
        let n = 64;
        let y: Vec<f32> = normals(n * 2).iter().map(|&value| value as f32).collect();
        let x: Vec<f32> = normals(n * 12).iter().map(|&value| value as f32).collect();
        let y = Tensor::<2>::from_data(TensorData::new(y, [n, 2]), &device);
        let x = Tensor::<3>::from_data(TensorData::new(x, [n, 6, 2]), &device);
        let mut gradients = estimator.log_density(y, Some(x)).sum().backward();
        let gradient = host(flat_gradients(&estimator, &mut gradients));
        assert!(
            gradient.iter().all(|value| value.is_finite()),
            "{featurizer}"
        );
        let mut rest = &gradient[..];
        for tensor in named_tensors(&estimator) {
            // Running statistics are no weights.
            if tensor.name.contains("running_") {
                continue;
            }
            let (own, others) = rest.split_at(tensor.values.len());
            rest = others;
            let n_not_zero = own.iter().filter(|value| **value != 0.0).count();
            // Masked weights of the conditioners get none, and a unit may be switched off by chance.
            let fewest = if tensor.name.starts_with("flow") {
                1
            } else {
                own.len().div_ceil(2)
            };
            assert!(
                n_not_zero >= fewest,
                "{featurizer}, {}: {n_not_zero} of {} gradients are not zero",
                tensor.name,
                own.len()
            );
        }
        assert!(rest.is_empty(), "{featurizer}: {} left over", rest.len());
    }
}
