//! Peaks of a surrogate's posterior that its draws have left.
//!
//! How likely each of several modes is, a young surrogate foretells with errors of many nats, and draws of its posterior are of the one
//! that it happens to favour. That the others are there it knows all the same. So peaks are climbed to from where particles were on
//! their way, and those that no particle ended at are drawn from beside the posterior: true likelihoods then tell what they
//! are worth.

use super::particles::{Swarm, WAYPOINTS, Waypoint};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use sidereal_inference::base::{cholesky, solved_upper};

/// Peaks that are drawn from, the highest ones, and draws of each: a flow sees so many as a piece of its own.
const MOST: usize = 6;
const DRAWS_OF_EACH: usize = 60;
/// Simulations around a peak by which it has been tried.
const TRIED: usize = 3;
/// A peak is no mode that lies further below the highest one than this part of what lies between that and the prior.
const LOW: f64 = 0.1;
/// Particles around a peak, within so many squared standard deviations and as many for each parameter, by which it is not lost.
const FEWEST_AROUND: usize = 10;
const NEAR: (f64, f64) = (9.0, 4.0);
const STEPS: u32 = 60;
/// Pairs of parameters that are tried anew at most, particles that each is tried at, places of each try, and how many of them are
/// climbed from; and in what units, for what is tried anew and what is held.
const MOST_PAIRS: usize = 24;
const PER_PAIR: usize = 4;
const PLACES: usize = 64;
const BEST: usize = 2;
const ASIDE: f64 = 0.1;
const HELD: f64 = 0.01;
/// Slopes are differences over this part of the particles' spread.
const DIFFERENCE: f64 = 1e-3;
/// Nats that a step for the curvature should go down by, and how often it is halved or doubled for that.
const DOWN: (f64, f64) = (0.3, 3.0);
const MOST_CHANGES: u32 = 60;

/// A top with its curvature.
struct Peak {
    at: Vec<f64>,
    height: f64,
    /// Lower triangular factor of the inverse covariance, row-major `[d, d]`.
    factor: Vec<f64>,
}

/// Draws `[n, d]` around the peaks that `swarm` has left and none of the simulations at `simulated` `[n, d]` has tried, climbed
/// to from `way`; `log_posterior` takes places `[n, d]`.
pub fn left_behind(
    way: &[Waypoint],
    swarm: &Swarm,
    simulated: &[f64],
    log_posterior: &(impl Fn(&[f64]) -> Vec<f64> + Sync),
    pool: &rayon::ThreadPool,
    rng: &mut ChaCha8Rng,
) -> Vec<f64> {
    let climbed = |start: &Waypoint| climb(start, log_posterior);
    let starts = [way, &aside(swarm, log_posterior, rng)].concat();
    let mut peaks: Vec<Peak> = pool.install(|| {
        let climbed = starts.par_iter().filter_map(climbed);
        climbed.collect::<Vec<Peak>>()
    });
    peaks.sort_by(|a, b| b.height.total_cmp(&a.height));
    let d = swarm.circles.len();
    let highest = peaks.first().map_or(f64::NEG_INFINITY, |peak| peak.height);
    let lowest = highest - LOW * (highest - height_of_prior(way, log_posterior));
    peaks.retain(|peak| peak.height >= lowest);
    let near = NEAR.0 + NEAR.1 * d as f64;
    let mut apart: Vec<Peak> = Vec::new();
    for peak in peaks {
        if apart
            .iter()
            .all(|other| other.square(&swarm.circles, &peak.at) > near)
        {
            apart.push(peak);
        }
    }
    let n_around = |peak: &Peak, places: &[f64]| {
        let squares = places.chunks_exact(d);
        let squares = squares.map(|at| peak.square(&swarm.circles, at));
        squares.filter(|square| *square < near).count()
    };
    apart.retain(|peak| {
        n_around(peak, &swarm.at) < FEWEST_AROUND && n_around(peak, simulated) < TRIED
    });
    let mut draws = Vec::new();
    for peak in apart.iter().take(MOST) {
        for _ in 0..DRAWS_OF_EACH {
            draws.extend(peak.draw(&swarm.circles, rng));
        }
    }
    draws
}

/// The best of places that share all but two parameters with a particle: modes that a posterior has by a symmetry of the model do.
fn aside(
    swarm: &Swarm,
    log_posterior: &(impl Fn(&[f64]) -> Vec<f64> + Sync),
    rng: &mut ChaCha8Rng,
) -> Vec<Waypoint> {
    let d = swarm.circles.len();
    let n = swarm.at.len() / d.max(1);
    let pairs: Vec<[usize; 2]> = (0..d)
        .flat_map(|i| (i + 1..d).map(move |j| [i, j]))
        .collect();
    let stride = pairs.len().div_ceil(MOST_PAIRS).max(1);
    let mut starts = Vec::new();
    let particles = swarm.at.chunks_exact(d).step_by((n / PER_PAIR).max(1));
    for particle in particles.take(PER_PAIR) {
        for pair in pairs.iter().step_by(stride) {
            let mut places = Vec::with_capacity(PLACES * d);
            for _ in 0..PLACES {
                let mut at = particle.to_vec();
                for &k in pair {
                    at[k] = match swarm.circles[k] {
                        true => rng.random(),
                        false => StandardNormal.sample(rng),
                    };
                }
                places.extend(at);
            }
            let height = log_posterior(&places);
            let mut order: Vec<usize> = (0..PLACES).collect();
            order.sort_by(|&a, &b| height[b].total_cmp(&height[a]));
            let spread: Vec<f64> = (0..d)
                .map(|k| if pair.contains(&k) { ASIDE } else { HELD })
                .collect();
            starts.extend(order.into_iter().take(BEST).map(|i| Waypoint {
                at: places[i * d..(i + 1) * d].to_vec(),
                spread: spread.clone(),
            }));
        }
    }
    starts
}

/// The median at the first of the way, which are all but draws of the prior.
fn height_of_prior(way: &[Waypoint], log_posterior: &impl Fn(&[f64]) -> Vec<f64>) -> f64 {
    let first = way.iter().take(WAYPOINTS);
    let mut heights = log_posterior(&first.flat_map(|one| one.at.clone()).collect::<Vec<f64>>());
    heights.retain(|height| height.is_finite());
    heights.sort_by(f64::total_cmp);
    heights
        .get(heights.len() / 2)
        .copied()
        .unwrap_or(f64::NEG_INFINITY)
}

impl Peak {
    /// Squared distance in standard deviations.
    fn square(&self, circles: &[bool], at: &[f64]) -> f64 {
        let d = at.len();
        let gap: Vec<f64> = (0..d)
            .map(|k| {
                let gap = at[k] - self.at[k];
                if circles[k] { gap - gap.round() } else { gap }
            })
            .collect();
        (0..d)
            .map(|j| {
                let own: f64 = (j..d).map(|i| self.factor[i * d + j] * gap[i]).sum();
                own * own
            })
            .sum()
    }

    fn draw(&self, circles: &[bool], rng: &mut ChaCha8Rng) -> Vec<f64> {
        let normal: Vec<f64> = self.at.iter().map(|_| StandardNormal.sample(rng)).collect();
        let offset = solved_upper(&self.factor, &normal);
        let places = self.at.iter().zip(&offset).zip(circles);
        places
            .map(|((at, offset), is_circle)| match is_circle {
                true => (at + offset).rem_euclid(1.0),
                false => at + offset,
            })
            .collect()
    }
}

/// The top above a place; None where there is none.
fn climb(start: &Waypoint, log_posterior: &impl Fn(&[f64]) -> Vec<f64>) -> Option<Peak> {
    let d = start.at.len();
    let place = |y: &[f64]| -> Vec<f64> {
        let moved = start.at.iter().zip(&start.spread).zip(y);
        moved.map(|((at, spread), y)| at + spread * y).collect()
    };
    // In units of the spread: the value and its slopes from one call.
    let downhill = |y: &[f64]| {
        let mut places = place(y);
        for k in 0..d {
            for step in [DIFFERENCE, -DIFFERENCE] {
                let mut aside = y.to_vec();
                aside[k] += step;
                places.extend(place(&aside));
            }
        }
        let values = log_posterior(&places);
        let slopes = values[1..].chunks_exact(2);
        let slopes: Vec<f64> = slopes
            .map(|both| (both[1] - both[0]) / (2.0 * DIFFERENCE))
            .collect();
        values
            .iter()
            .all(|value| value.is_finite())
            .then(|| (-values[0], slopes))
    };
    let (value, y) = super::descent::minimum(downhill, vec![0.0; d], STEPS);
    if !value.is_finite() {
        return None;
    }
    let at = place(&y);
    let height = -value;
    let value_at = |steps: &[(usize, f64)]| {
        let mut aside = at.clone();
        for &(k, step) in steps {
            aside[k] += step;
        }
        log_posterior(&aside)[0]
    };
    let mut step = Vec::with_capacity(d);
    let mut curvature = vec![0.0; d * d];
    for k in 0..d {
        let down = |h: f64| height - 0.5 * (value_at(&[(k, h)]) + value_at(&[(k, -h)]));
        let mut h = 0.1 * start.spread[k];
        let mut depth = down(h);
        for _ in 0..MOST_CHANGES {
            h *= match depth {
                depth if depth < DOWN.0 => 1.5,
                depth if depth > DOWN.1 => 0.6,
                _ => break,
            };
            depth = down(h);
        }
        curvature[k * d + k] = 2.0 * depth / (h * h);
        step.push(h);
    }
    for i in 0..d {
        for j in 0..i {
            let cross = |a: f64, b: f64| value_at(&[(i, a * step[i]), (j, b * step[j])]);
            let twist = cross(1.0, 1.0) + cross(-1.0, -1.0) - cross(1.0, -1.0) - cross(-1.0, 1.0);
            curvature[i * d + j] = -twist / (4.0 * step[i] * step[j]);
            curvature[j * d + i] = curvature[i * d + j];
        }
    }
    // Where the parameters together make no peak, each has its own width.
    let factor = cholesky(&curvature, d).or_else(|| {
        let own = (0..d * d).map(|i| if i % (d + 1) == 0 { curvature[i] } else { 0.0 });
        cholesky(&own.collect::<Vec<f64>>(), d)
    })?;
    Some(Peak { at, height, factor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    /// Two normal peaks, 0.02 and 0.01 wide and correlated, at ±(1, -0.5), the second this much lower.
    fn log_posterior(lower: f64) -> impl Fn(&[f64]) -> Vec<f64> + Sync {
        move |at: &[f64]| {
            let of_row = |x: &[f64]| {
                let of_peak = |sign: f64| {
                    let (a, b) = ((x[0] - sign) / 0.02, (x[1] + 0.5 * sign) / 0.01);
                    -0.5 * (a * a + b * b - 1.8 * a * b) / 0.19
                };
                of_peak(1.0).max(of_peak(-1.0) - lower)
            };
            at.chunks_exact(2).map(of_row).collect()
        }
    }

    fn found(lower: f64, swarm: &[f64], simulated: &[f64]) -> Vec<f64> {
        let starts = [[0.7, -0.6], [-0.8, 0.3], [-1.3, 0.6]];
        let way = starts.map(|at| Waypoint {
            at: at.to_vec(),
            spread: vec![0.5; 2],
        });
        let swarm = Swarm {
            circles: vec![false; 2],
            at: swarm.to_vec(),
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let pool = pool.expect("one thread");
        left_behind(
            &way,
            &swarm,
            simulated,
            &log_posterior(lower),
            &pool,
            &mut rng,
        )
    }

    #[test]
    fn a_peak_that_no_particle_is_at_is_drawn_from_once() {
        let draws = found(5.0, &[1.0, -0.5].repeat(100), &[0.0; 10]);
        assert_eq!(draws.len(), 2 * DRAWS_OF_EACH);
        let mean = |k: usize| draws.iter().skip(k).step_by(2).sum::<f64>() / DRAWS_OF_EACH as f64;
        assert!((mean(0) + 1.0).abs() < 0.02 && (mean(1) - 0.5).abs() < 0.01);
        let squares = draws.chunks_exact(2).map(|x| {
            let (a, b) = ((x[0] + 1.0) / 0.02, (x[1] - 0.5) / 0.01);
            (a * a + b * b - 1.8 * a * b) / 0.19
        });
        // Of two dimensions.
        let square = squares.sum::<f64>() / DRAWS_OF_EACH as f64;
        assert!((square - 2.0).abs() < 1.0, "{square}");
    }

    #[test]
    fn what_particles_are_at_is_left_alone() {
        let both = [[1.0, -0.5].repeat(50), [-1.0, 0.5].repeat(50)].concat();
        assert!(found(5.0, &both, &[]).is_empty());
    }

    #[test]
    fn what_simulations_have_tried_is_left_alone() {
        let known = [1.0, -0.5].repeat(100);
        let tried = |n: usize| found(5.0, &known, &[-1.01, 0.5].repeat(n)).len();
        assert_eq!([tried(2), tried(3)], [2 * DRAWS_OF_EACH, 0]);
    }

    #[test]
    fn what_is_far_too_low_is_no_mode() {
        // The starts are hundreds of nats below.
        assert!(found(500.0, &[1.0, -0.5].repeat(100), &[]).is_empty());
    }
}
