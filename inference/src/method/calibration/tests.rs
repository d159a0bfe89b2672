//! Standings of truths against exact numbers, and calibrations of posteriors that are right, too narrow and too wide.

use super::*;
use crate::space::circle::quantile;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn at(turns: &[f64]) -> Vec<f64> {
    turns.iter().map(|&turn| quantile(turn)).collect()
}

#[test]
fn the_truth_stands_among_the_draws_by_their_weights() {
    let z = at(&[0.1, 0.9, 0.3, 0.5, 0.6, 0.2, 0.5, 0.5]);
    let posterior = SeenPosterior {
        z: &z,
        log_density: &[-1.0, -2.0, -3.0, -2.5],
        weight: &[2.0, 4.0, 2.0, 0.0],
    };
    let truth = at(&[0.3, 0.3]);
    let found = standings(
        &ParameterSpace::unit_cube(2),
        posterior,
        (&truth, -2.5),
        &[0.3, 0.0],
    )
    .expect("weights");
    // Of 8: 2 below and 4 at it; none of the last draw's, which weighs nothing.
    assert_eq!(found.rank, [0.5, 0.25]);
    assert_eq!(found.credibility, 0.75);
    // The truth is 0.3 away; over the seam of the circle the first is (0.2, 0.1) away, the second 0.5, the third (0.3, 0.2).
    assert_eq!(found.tarp, 0.25);
    let nothing = SeenPosterior {
        weight: &[0.0; 4],
        ..posterior
    };
    assert_eq!(
        standings(
            &ParameterSpace::unit_cube(2),
            nothing,
            (&truth, -2.5),
            &[0.3, 0.0]
        ),
        None
    );
}

/// Exact values by scipy.stats.kstwo.sf.
#[test]
fn p_values_are_those_of_kolmogorov_and_smirnov() {
    let found = uniformity(&[0.35, 0.1, 0.6, 0.2]);
    assert!((found.distance - 0.4).abs() < 1e-12);
    for (n, distance, expected) in [
        (10.0, 0.3, 0.270_536),
        (10.0, 0.45, 0.022_892),
        (50.0, 0.1, 0.662_311),
        (50.0, 0.2, 0.031_439),
        (200.0, 0.05, 0.680_263),
        (200.0, 0.11, 0.014_580),
        (1000.0, 0.03, 0.322_690),
        (1000.0, 0.05, 0.013_012),
        (1000.0, 0.07, 0.000_105),
    ] {
        let found = p_of_distance(distance, n);
        // It is exact where it decides.
        let most = if expected < 0.05 { 0.0005 } else { 0.015 };
        assert!(
            (found - expected).abs() < most,
            "{n} {distance}: {found}, exactly {expected}"
        );
    }
    assert_eq!(p_of_distance(1e-4, 100.0), 1.0);
    assert!(p_of_distance(0.9, 100.0) < 1e-12);
}

#[test]
fn coverage_is_the_share_up_to_each_level() {
    let found = coverage(&[0.04, 0.07, 0.52, 1.0], 20);
    assert_eq!(found.len(), 20);
    let at = |i: usize| (found[i].level, found[i].found);
    assert_eq!(
        (at(0), at(1), at(9)),
        ((0.05, 0.25), (0.1, 0.5), (0.5, 0.5))
    );
    assert_eq!((at(10), at(19)), ((0.55, 0.75), (1.0, 1.0)));
}

/// Posteriors of a mean from a datum of error 0.1, by 300 draws whose standard deviation is `scale` times the right one.
fn of_scale(scale: f64, n_targets: usize) -> Calibration {
    let space = ParameterSpace::unit_cube(2);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut normal = || -> f64 {
        let uniform: f64 = rng.random();
        quantile(uniform)
    };
    let all: Vec<Standings> = (0..n_targets)
        .map(|_| {
            // Standard normal z of the prior; the data have an error of 0.5, the posterior 1 / √5 about 0.8 x.
            let truth = [normal(), normal()];
            let sd = 1.0 / 5f64.sqrt();
            let middle = truth.map(|z| 0.8 * (z + 0.5 * normal()));
            let mut draws = Vec::new();
            for _ in 0..300 {
                draws.extend(middle.map(|middle| middle + scale * sd * normal()));
            }
            let density = |z: &[f64]| -> f64 {
                let squares = z.iter().zip(&middle);
                squares.map(|(z, middle)| -(z - middle).powi(2)).sum()
            };
            let log_density: Vec<f64> = draws.chunks_exact(2).map(density).collect();
            let posterior = SeenPosterior {
                z: &draws,
                log_density: &log_density,
                weight: &[1.0; 300],
            };
            let reference = [0.0, 0.0].map(|_: f64| turns(normal()));
            standings(&space, posterior, (&truth, density(&truth)), &reference).expect("weights")
        })
        .collect();
    let all: Vec<&Standings> = all.iter().collect();
    calibration(&space, &all)
}

#[test]
fn posteriors_that_are_too_narrow_or_too_wide_are_told() {
    let right = of_scale(1.0, 300);
    assert_eq!(right.verdict, CalibrationVerdict::Calibrated, "{right:?}");
    let names: Vec<&str> = right.tests.iter().map(|test| test.of.as_str()).collect();
    assert_eq!(names, ["p0", "p1", "credibility", "tarp"]);
    for level in right.coverage.iter().chain(&right.tarp_coverage) {
        assert!((level.found - level.level).abs() < 0.09, "{level:?}");
    }
    for (scale, too_many) in [(0.7, false), (1.4, true)] {
        let wrong = of_scale(scale, 300);
        assert_eq!(wrong.verdict, CalibrationVerdict::NotCalibrated, "{scale}");
        let half = wrong.coverage[9];
        assert_eq!(half.found > half.level, too_many, "{half:?}");
    }
    assert_eq!(of_scale(1.0, 49).verdict, CalibrationVerdict::TooFew);
    // Even a few tell of something that is far off.
    assert_eq!(of_scale(0.2, 40).verdict, CalibrationVerdict::NotCalibrated);
    let nothing = calibration(&ParameterSpace::unit_cube(2), &[]);
    assert_eq!(
        (nothing.p, nothing.verdict),
        (None, CalibrationVerdict::TooFew)
    );
}
