//! Every bijection in one table: round trip, log-determinant against autodiff, plain numbers against tensors.

use super::affine::Affine;
use super::axis::Axis;
use super::bijection::{Base, Bijection};
use super::conditional::ConditionalConfig;
use super::host::{BaseDraws, Lanes};
use super::made::MadeConfig;
use super::mixture::Mixture;
use super::spline;
use super::splines::{Layout, Splines};
use crate::parameters::{Initializer, NamedTensor, host, named_tensors, with_named_tensors};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sidereal_inference::base::{Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::NsfSize;

const FEATURES: usize = 3;
const ROWS: usize = 32;
const ALL_AXES: [Axis; 4] = [Axis::Line, Axis::Circle, Axis::Line, Axis::Circle];

/// Log-determinants of the plain-number version; y becomes u.
fn there(bijection: &dyn Bijection, features: Tensor<2>, y: &mut [Lanes]) -> Lanes {
    let mut log_determinant = Lanes::ZERO;
    let own = bijection.at(features);
    own.forward(&mut own.scratch(), y, &mut log_determinant);
    log_determinant
}

/// u becomes y, in the plain-number version.
fn back(bijection: &dyn Bijection, features: Tensor<2>, u: &mut [Lanes]) {
    let own = bijection.at(features);
    own.inverse(&mut own.scratch(), u);
}

/// Name, axes and bijection, with weights far from the identity.
fn table(device: &Device) -> Vec<(String, Vec<Axis>, Box<dyn Bijection>)> {
    let mut table: Vec<(String, Vec<Axis>, Box<dyn Bijection>)> = Vec::new();
    let mut initializer = Initializer::drawing(rng(1), device);
    for d in [1, 2, 4] {
        let rank: Vec<usize> = (0..d).rev().collect();
        let columns: Vec<usize> = (0..d).collect();
        let made = MadeConfig {
            rank: &rank,
            columns: &columns,
            n_features: FEATURES,
            hidden: 16,
            layers: 2,
            n_outputs: 2,
        };
        let affine = moved(Affine::init(&made, 3.0, &mut initializer));
        let axes = vec![Axis::Line; d];
        table.push((format!("affine, {d}"), axes, Box::new(affine)));
    }
    let lines = [Axis::Line; 4];
    for (name, axes) in [
        ("line", &lines[..1]),
        ("lines", &lines[..3]),
        ("circle", &ALL_AXES[1..2]),
        ("mixed", &ALL_AXES[..]),
    ] {
        let d = axes.len();
        let autoregressive: Vec<usize> = (0..d).collect();
        let coupling: Vec<usize> = (0..d).map(|i| usize::from(d > 1 && i >= d / 2)).collect();
        for (grouping, rank) in [("spline", autoregressive), ("coupling", coupling)] {
            for bins in [2, 7] {
                let config = ConditionalConfig {
                    axes,
                    rank: &rank,
                    n_features: FEATURES,
                    size: NsfSize {
                        blocks: 1,
                        hidden: 16,
                        layers: 2,
                        bins,
                        tail_bound: 2.0,
                        max_log_scale: 3.0,
                    },
                };
                let conditional = moved(config.init(0.4, &mut initializer));
                table.push((
                    format!("{grouping} of {bins} bins, {name}"),
                    axes.to_vec(),
                    Box::new(conditional),
                ));
            }
        }
    }
    table
}

#[test]
fn bijections_come_back_and_state_their_log_determinant() {
    let device = Device::flex().autodiff();
    for (name, axes, bijection) in table(&device) {
        let d = axes.len();
        let features = Tensor::<2>::from_floats([[0.3, -0.7, 1.1]], &device);
        let y = points(&axes, ROWS, 2);
        let forward =
            |input: Tensor<2>| bijection.forward(input, features.clone().expand([ROWS, FEATURES]));
        let input = || Tensor::<2>::from_data(TensorData::new(y.clone(), [ROWS, d]), &device);
        // Rows do not see each other, so that the gradient of a column's sum holds a row of each Jacobian.
        let mut jacobians = vec![vec![0.0; d * d]; ROWS];
        for i in 0..d {
            let input = input().require_grad();
            let gradients = forward(input.clone()).0.narrow(1, i, 1).sum().backward();
            let gradient = host(input.grad(&gradients).expect("y has a gradient"));
            for (row, jacobian) in jacobians.iter_mut().enumerate() {
                for j in 0..d {
                    jacobian[i * d + j] = f64::from(gradient[row * d + j]);
                }
            }
        }
        let (u, log_determinant) = forward(input());
        let u = host(u);
        let stated = host(log_determinant);
        let mut columns = to_lanes(&y, d);
        let own_log_determinant = there(&*bijection, features.clone().inner(), &mut columns);
        let own_u = columns.clone();
        back(&*bijection, features.clone().inner(), &mut columns);
        for row in 0..ROWS {
            let expected = log_abs_determinant(&mut jacobians[row], d);
            let found = f64::from(stated[row]);
            assert!(
                (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{name}, row {row}: {found}, expected {expected}"
            );
            let own = own_log_determinant.0[row];
            assert!((own - stated[row]).abs() < 1e-4, "{name}, row {row}: {own}");
            for i in 0..d {
                let gap = |a: f32, b: f32| match axes[i] {
                    Axis::Line => (a - b).abs() / (1.0 + a.abs()),
                    Axis::Circle => {
                        assert!(b.abs() <= 0.5, "{name}: {b} turns");
                        (a - b - (a - b).round()).abs()
                    }
                };
                let (expected, found) = (u[row * d + i], own_u[i].0[row]);
                assert!(
                    gap(expected, found) < 1e-4,
                    "{name}, row {row}: u {found}, expected {expected}"
                );
                // Where a spline is nearly flat its inverse is steep.
                let (expected, found) = (y[row * d + i], columns[i].0[row]);
                assert!(
                    gap(expected, found) < 1e-2,
                    "{name}, row {row}: back at {found}, started at {expected}"
                );
            }
        }
        there(&*bijection, features.inner(), &mut columns);
        let again = columns;
        for (i, axis) in axes.iter().enumerate() {
            for (expected, found) in own_u[i].0.iter().zip(&again[i].0) {
                let gap = match axis {
                    Axis::Line => (expected - found).abs() / (1.0 + expected.abs()),
                    Axis::Circle => (expected - found - (expected - found).round()).abs(),
                };
                assert!(gap < 1e-4, "{name}: u {found}, expected {expected}");
            }
        }
    }
}

/// Value and log slope, and all their derivatives, by hand and by autodiff, ends and outside included.
#[test]
fn splines_over_plain_numbers_have_the_derivatives_of_the_tensor_operations() {
    let device = Device::flex().autodiff();
    let (n, d) = (70, ALL_AXES.len());
    for bins in [2, 5, 16] {
        let splines = Splines {
            layout: Layout { bins },
            tail_bound: 2.0,
            axes: &ALL_AXES,
        };
        let n_outputs = splines.layout.n_outputs();
        let mut rng = rng(3);
        let mut numbers = |n: usize, scale: f64| -> Vec<f32> {
            (0..n)
                .map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * scale) as f32)
                .collect()
        };
        let x = points(&ALL_AXES, n, 4);
        let raw = numbers(n * n_outputs * d, 2.0);
        let weight_u = numbers(n * d, 1.0);
        let weight_log = numbers(n, 1.0);
        let run = |by_tensors: bool| {
            let leaf = |values: &[f32], shape: [usize; 3]| {
                Tensor::<3>::from_data(TensorData::new(values.to_vec(), shape), &device)
                    .require_grad()
            };
            let x = leaf(&x, [1, n, d]);
            let raw = leaf(&raw, [n, n_outputs, d]);
            let flat = x.clone().squeeze_dim::<2>(0);
            let (u, log_slope) = if by_tensors {
                spline::forward_by_tensors(flat, raw.clone(), &splines)
            } else {
                spline::forward(flat, raw.clone(), &splines)
            };
            let constant = |values: &[f32]| {
                Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), &device)
            };
            let loss = (u.clone().reshape([n * d]) * constant(&weight_u)).sum()
                + (log_slope.clone() * constant(&weight_log)).sum();
            let gradients = loss.backward();
            let gradient = |leaf: &Tensor<3>| host(leaf.grad(&gradients).expect("a gradient"));
            [host(u), host(log_slope), gradient(&x), gradient(&raw)]
        };
        let names = ["u", "log slope", "by x", "by raw outputs"];
        for ((name, own), tensors) in names.into_iter().zip(run(false)).zip(run(true)) {
            for (i, (&own, &expected)) in own.iter().zip(&tensors).enumerate() {
                assert!(
                    (own - expected).abs() < 2e-4 * (1.0 + expected.abs()),
                    "{bins} bins, {name} {i}: {own}, expected {expected}"
                );
            }
            assert!(own.iter().any(|&value| value != 0.0), "{name}");
        }
    }
}

/// The mixture base, drawn from and scored over plain numbers, against its tensors: see `tests/flow.rs`. Here:
/// the first and the last component are reached.
#[test]
fn mixtures_pick_components_by_their_weight() {
    let device = Device::flex();
    let mut initializer = Initializer::drawing(rng(5), &device);
    let config = MadeConfig {
        rank: &[0],
        columns: &[0],
        n_features: FEATURES,
        hidden: 4,
        layers: 1,
        n_outputs: 0,
    };
    // Means at -1, 0 and 1, weights near a third.
    let mixture = Mixture::init(config, 3, 3.0, &mut initializer);
    let features = Tensor::<2>::zeros([1, FEATURES], &device);
    let own = mixture.at(features);
    let uniform: Vec<f64> = (0..32).map(|lane| f64::from(lane) / 31.0).collect();
    let base = BaseDraws {
        uniform: &uniform,
        normal: &[0.0; 32],
    };
    let mut u = [Lanes::ZERO];
    own.draw(&mut own.scratch(), &base, &mut u);
    let counts = [-1.0, 0.0, 1.0].map(|mean: f32| {
        let near = u[0].0.iter().filter(|&&u| (u - mean).abs() < 0.3);
        near.count()
    });
    assert_eq!(counts.iter().sum::<usize>(), 32, "{:?}", u[0]);
    assert!(
        counts.iter().all(|&count| count.abs_diff(11) <= 2),
        "{counts:?}"
    );
}

/// A conditioner that has lost its numbers does not make finite ones, which would be taken for draws and densities.
#[test]
fn what_is_not_a_number_stays_so() {
    let device = Device::flex();
    let lost = || Tensor::<2>::full([1, FEATURES], f32::NAN, &device);
    let all_lost = |lanes: &[Lanes]| lanes.iter().all(|lanes| lanes.0.iter().all(|x| x.is_nan()));
    for (name, axes, bijection) in table(&device) {
        let finite = to_lanes(&points(&axes, ROWS, 9), axes.len());
        let mut u = finite.clone();
        let log_determinant = there(&*bijection, lost(), &mut u);
        assert!(all_lost(&[log_determinant]), "{name}: {log_determinant:?}");
        assert!(all_lost(&u), "{name}: {u:?}");
        let mut y = finite;
        back(&*bijection, lost(), &mut y);
        assert!(all_lost(&y), "{name}: {y:?}");
    }
    let mut initializer = Initializer::drawing(rng(5), &device);
    let config = MadeConfig {
        rank: &[0],
        columns: &[0],
        n_features: FEATURES,
        hidden: 4,
        layers: 2,
        n_outputs: 0,
    };
    let mixture = Mixture::init(config, 3, 3.0, &mut initializer);
    let own = mixture.at(lost());
    let scratch = &mut own.scratch();
    let mut log_density = Lanes::ZERO;
    own.log_density(scratch, &[Lanes::ZERO], &mut log_density);
    let mut u = [Lanes::ZERO];
    let base = BaseDraws {
        uniform: &[0.5; ROWS],
        normal: &[0.0; ROWS],
    };
    own.draw(scratch, &base, &mut u);
    assert!(
        all_lost(&[log_density]) && all_lost(&u),
        "{log_density:?} {u:?}"
    );
}

fn rng(row: u64) -> ChaCha8Rng {
    stream(1, RoundId(0), RowId(row), Purpose::Initialize)
}

/// The network with all its weights moved at random.
fn moved<M: Module>(module: M) -> M {
    let mut rng = rng(7);
    let tensors: Vec<NamedTensor> = named_tensors(&module)
        .into_iter()
        .map(|tensor| {
            let values = tensor
                .values
                .iter()
                .map(|value| value + (rng.random::<f64>() - 0.5) as f32)
                .collect();
            NamedTensor { values, ..tensor }
        })
        .collect();
    with_named_tensors(module, &tensors).expect("the tensors are the module's own")
}

/// Points within and outside of the splines on lines, all around on circles.
fn points(axes: &[Axis], n: usize, row: u64) -> Vec<f32> {
    let mut rng = rng(row);
    (0..n)
        .flat_map(|_| axes)
        .map(|axis| {
            let uniform = rng.random::<f64>() - 0.5;
            match axis {
                Axis::Line => (uniform * 6.0) as f32,
                Axis::Circle => uniform as f32,
            }
        })
        .collect()
}

fn to_lanes(rows: &[f32], d: usize) -> Vec<Lanes> {
    let mut columns = vec![Lanes::ZERO; d];
    for (row, values) in rows.chunks_exact(d).enumerate() {
        for (column, &value) in columns.iter_mut().zip(values) {
            column.0[row] = value;
        }
    }
    columns
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
