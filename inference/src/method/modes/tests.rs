//! Modes of made-up posteriors, of equal weights.

use super::*;
use crate::space::{Parameter, Prior};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal, Uniform};

fn parameter(j: usize, prior: Prior, periodic: bool) -> Parameter {
    Parameter {
        name: format!("p{j}"),
        prior,
        periodic,
    }
}

/// Of standard deviation 30.
fn wide(d: usize) -> ParameterSpace {
    let prior = Prior::Normal {
        mean: 0.0,
        sd: 30.0,
    };
    ParameterSpace::independent((0..d).map(|j| parameter(j, prior.clone(), false)).collect())
}

/// 2,000 draws and their log densities, given standard normal numbers and one between 0 and 1.
fn posterior(d: usize, seed: u64, draw: impl Fn(&[f64], f64) -> (Vec<f64>, f64)) -> Posterior {
    const N: usize = 2000;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let between = Uniform::new(0.0, 1.0).expect("bounds");
    let (mut theta, mut log_likelihood) = (Vec::new(), Vec::new());
    for _ in 0..N {
        let normal: Vec<f64> = (0..d).map(|_| StandardNormal.sample(&mut rng)).collect();
        let (x, height) = draw(&normal, between.sample(&mut rng));
        theta.extend(x);
        log_likelihood.push(height);
    }
    Posterior {
        n_parameters: d,
        theta,
        n_derived: 0,
        derived: Vec::new(),
        log_likelihood,
        log_prior: vec![0.0; N],
        log_proposal: vec![0.0; N],
        round: vec![0; N],
        row_id: (0..N as u64).collect(),
        weight: vec![1.0 / N as f64; N],
    }
}

fn square(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

fn log_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + terms.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// Shares of `modes` of Gaussians of scatter 1 and the given shares at the given places on the first axis.
fn masses(d: usize, seed: u64, parts: &[(f64, f64)]) -> Vec<f64> {
    let posterior = posterior(d, seed, |normal, u| {
        let mut below = 0.0;
        let place = parts.iter().find(|(share, _)| {
            below += share;
            u < below
        });
        let mut x = normal.to_vec();
        x[0] += place.or(parts.last()).map_or(0.0, |(_, place)| *place);
        let terms: Vec<f64> = parts
            .iter()
            .map(|(share, place)| {
                let first = x[0] - place;
                share.ln() - 0.5 * (first * first + square(&x[1..]))
            })
            .collect();
        (x, log_sum(&terms))
    });
    modes(&wide(d), &posterior, 2000.0)
        .iter()
        .map(|mode| mode.mass)
        .collect()
}

#[test]
fn modes_that_stand_apart_have_their_masses() {
    for d in [1, 2, 5, 8] {
        for seed in 0..3 {
            for parts in [
                vec![(0.7, 0.0), (0.3, 6.0)],
                vec![(0.9, 0.0), (0.1, 10.0)],
                vec![(0.4, -9.0), (0.35, 0.0), (0.25, 9.0)],
            ] {
                let found = masses(d, seed, &parts);
                assert_eq!(found.len(), parts.len(), "{d} parameters: {found:?}");
                for (found, (share, _)) in found.iter().zip(&parts) {
                    // Four standard deviations of a share of 2,000 draws.
                    let error = 4.0 * (share * (1.0 - share) / 2000.0).sqrt() + 0.003;
                    assert!(
                        (found - share).abs() < error,
                        "{d} parameters: {found} for {share}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_hangs_together_is_one_mode() {
    type Shape = fn(&[f64], f64) -> (Vec<f64>, f64);
    let ball: Shape = |x, _| (x.to_vec(), -0.5 * square(x));
    let banana: Shape = |x, _| {
        let mut bent = x.to_vec();
        bent[1] = 0.1 * x[1] + x[0] * x[0];
        (bent, -0.5 * square(x))
    };
    let funnel: Shape = |x, _| {
        let mut wider = x.to_vec();
        for other in &mut wider[1..] {
            *other *= x[0].exp();
        }
        let height = -0.5 * square(x) - x[0] * (x.len() - 1) as f64;
        (wider, height)
    };
    let ring: Shape = |x, u| {
        let mut around = x.to_vec();
        let radius = 10.0 + 0.5 * x[0];
        let (sin, cos) = (std::f64::consts::TAU * u).sin_cos();
        (around[0], around[1]) = (radius * cos, radius * sin);
        (around, -0.5 * (x[0] * x[0] + square(&x[2..])))
    };
    // Six tenths of it within a ball a tenth as wide.
    let nested: Shape = |x, u| {
        let width: f64 = if u < 0.6 { 0.1 } else { 1.0 };
        let at: Vec<f64> = x.iter().map(|x| width * x).collect();
        let of = |share: f64, width: f64| {
            share.ln() - 0.5 * square(&at) / (width * width) - x.len() as f64 * width.ln()
        };
        let height = log_sum(&[of(0.6, 0.1), of(0.4, 1.0)]);
        (at, height)
    };
    for d in [2, 5, 8] {
        for seed in 0..3 {
            for (name, shape) in [
                ("ball", ball),
                ("banana", banana),
                ("funnel", funnel),
                ("ring", ring),
                ("nested", nested),
            ] {
                let found = modes(&wide(d), &posterior(d, seed, shape), 2000.0);
                assert_eq!(found.len(), 1, "{name} of {d} parameters, seed {seed}");
                assert!((found[0].mass - 1.0).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn modes_on_circles_are_told_apart_across_the_bounds() {
    let turn = 360.0;
    let circle = Prior::Uniform {
        low: 0.0,
        high: turn,
    };
    let line = Prior::Uniform {
        low: -4.0,
        high: 4.0,
    };
    let space =
        ParameterSpace::independent(vec![parameter(0, circle, true), parameter(1, line, false)]);
    // (phase, amplitude) at (358, 1) and (178, -1).
    let posterior = posterior(2, 0, |x, u| {
        let (phase, sign) = if u < 0.6 { (358.0, 1.0) } else { (178.0, -1.0) };
        let theta = vec![
            (phase + 4.0 * x[0]).rem_euclid(turn),
            sign * (1.0 + 0.1 * x[1]),
        ];
        (theta, -0.5 * square(x))
    });
    let found = modes(&space, &posterior, 400.0);
    assert_eq!(found.len(), 2);
    let (first, second) = (&found[0], &found[1]);
    assert!((first.mass - 0.6).abs() < 0.05, "{first:?}");
    assert!((first.mass + second.mass - 1.0).abs() < 1e-12);
    // Of 2,000 draws of equal weight.
    let error = (first.mass * (1.0 - first.mass) / 2000.0).sqrt();
    assert!((first.error - error).abs() < 1e-12, "{first:?}");
    for (mode, phase, amplitude) in [(first, 358.0, 1.0), (second, 178.0, -1.0)] {
        let (of_phase, of_amplitude) = (&mode.parameters[0], &mode.parameters[1]);
        assert!((of_phase.median - phase).abs() < 0.6, "{of_phase:?}");
        assert!((of_phase.sd - 4.0).abs() < 0.4, "{of_phase:?}");
        assert!((of_amplitude.median - amplitude).abs() < 0.02);
        assert!((of_amplitude.sd - 0.1).abs() < 0.01);
    }
}

#[test]
fn few_draws_tell_nothing_of_modes() {
    let posterior = posterior(1, 0, |x, _| (x.to_vec(), -0.5 * square(x)));
    assert_eq!(modes(&wide(1), &posterior, 99.0), []);
    assert_eq!(modes(&wide(1), &posterior, f64::NAN), []);
    assert_eq!(modes(&wide(1), &posterior, 100.0).len(), 1);
}

/// Draws of equal weight, given standard normal numbers and one between 0 and 1.
fn places(d: usize, n: usize, seed: u64, draw: impl Fn(&[f64], f64) -> Vec<f64>) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let between = Uniform::new(0.0, 1.0).expect("bounds");
    let place = |_| {
        let normal: Vec<f64> = (0..d).map(|_| StandardNormal.sample(&mut rng)).collect();
        draw(&normal, between.sample(&mut rng))
    };
    (0..n).map(place).collect()
}

fn n_far_apart(places: &[Vec<f64>]) -> usize {
    far_apart(places)
        .into_iter()
        .max()
        .map_or(0, |last| last + 1)
}

#[test]
fn one_piece_is_one_whatever_its_shape() {
    for (d, n, seeds) in [(2, 800, 3), (5, 800, 2), (8, 800, 2), (8, 2000, 1)] {
        for seed in 0..seeds {
            let ball = places(d, n, seed, |x, _| x.to_vec());
            assert_eq!(n_far_apart(&ball), 1, "ball {d}");
            let ridge = |x: &[f64], _| {
                let mut x = x.to_vec();
                x[1] = x[0] + 1e-4 * x[1];
                x
            };
            assert_eq!(n_far_apart(&places(d, n, seed, ridge)), 1, "ridge {d} {n}");
            let banana = |x: &[f64], _| {
                let mut x = x.to_vec();
                x[1] = 0.1 * x[1] + 3.0 * x[0] * x[0];
                x
            };
            assert_eq!(
                n_far_apart(&places(d, n, seed, banana)),
                1,
                "banana {d} {n}"
            );
            let funnel = |x: &[f64], _| {
                let mut x = x.to_vec();
                let scale = (1.5 * x[0]).exp();
                x[1..].iter_mut().for_each(|x| *x *= scale);
                x
            };
            assert_eq!(
                n_far_apart(&places(d, n, seed, funnel)),
                1,
                "funnel {d} {n}"
            );
            let few = places(d, 40, seed, |x, _| x.to_vec());
            assert_eq!(n_far_apart(&few), 1, "few {d}");
        }
    }
}

#[test]
fn narrow_modes_far_apart_are_pieces() {
    for (d, n_modes, n) in [
        (2, 2, 400),
        (3, 2, 800),
        (3, 6, 800),
        (5, 3, 800),
        (2, 20, 800),
        (3, 20, 2000),
    ] {
        let at = |mode: usize, j: usize| ((1 + mode) * (3 + 2 * j) % 23) as f64;
        let draw = |x: &[f64], between: f64| {
            let mode = (between * n_modes as f64) as usize;
            let place = x.iter().enumerate();
            place.map(|(j, x)| at(mode, j) + 0.01 * x).collect()
        };
        let found = places(d, n, 4, draw);
        let piece_of = far_apart(&found);
        assert_eq!(n_far_apart(&found), n_modes, "{d} {n_modes}");
        for (a, piece_a) in found.iter().zip(&piece_of) {
            for (b, piece_b) in found.iter().zip(&piece_of) {
                assert_eq!(squared_distance(a, b) < 0.1, piece_a == piece_b);
            }
        }
    }
}

/// It has no spread; with the first of all pieces it would spread that so far that all are one.
#[test]
fn a_lone_place_goes_with_the_one_next_to_it() {
    let places: Vec<Vec<f64>> = [
        [0.0, 0.0],
        [1.0, 0.1],
        [0.1, 1.0],
        [90.0, 0.0],
        [91.0, 0.1],
        [90.1, 1.0],
        [93.0, 3.0],
    ]
    .map(|place| place.to_vec())
    .to_vec();
    let found = super::separated(&places, vec![0, 0, 0, 3, 3, 3, 6], super::FAR_APART);
    assert_eq!(found, [0, 0, 0, 1, 1, 1, 1]);
}

/// Aliases of all weights, among the draws that a flow's pieces are found in.
#[test]
fn a_mode_of_one_hundredth_is_a_piece_among_many_draws() {
    let draw = |x: &[f64], between: f64| {
        // The first has 1.5 %, the others the more the later.
        let mode = ((between - 0.015).max(0.0) * 20.0).sqrt().ceil();
        vec![x[0] * 0.05, x[1] * 0.03, 5.0 * mode + 0.1 * x[2]]
    };
    assert_eq!(n_far_apart(&places(3, 2000, 1, draw)), 6);
}

/// A mode that has a hundredth of the draws is a part of the one next to it; none stands alone.
#[test]
fn what_is_small_is_no_piece() {
    let draw = |x: &[f64], between: f64| {
        let shift = if between < 0.01 { 50.0 } else { 0.0 };
        vec![x[0] + shift, x[1]]
    };
    assert_eq!(n_far_apart(&places(2, 800, 1, draw)), 1);
}
