//! Draws of a posterior whose likelihood costs nothing: sequential Monte Carlo from the prior (Del Moral et al. 2006), moved
//! along differences of other particles (ter Braak 2006), which follow ridges and jump between modes.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sidereal_inference::base::{equal_draws, largest};
use sidereal_inference::weights::effective_sample_size;

/// Effective particles that a step of the exponent leaves.
const KEPT: f64 = 0.5;
/// Moves a particle that end a step, on the way and at its end, and the sweeps that this may take.
const MOVES: (f64, f64) = (1.5, 5.0);
const MOST_SWEEPS: (u32, u32) = (12, 40);
/// Share of moves by a whole difference: from one mode to another.
const WHOLE: f64 = 0.1;
/// Steps of the exponent are halved this often at most.
const MOST_HALVINGS: u32 = 60;
const MOST_STEPS: u32 = 200;
/// Particles of each step that are kept as waypoints.
pub const WAYPOINTS: usize = 8;

/// Places of the prior in the coordinates that particles move in: z on lines, turns on circles.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// Which coordinates are circles, on [0, 1).
    pub circles: Vec<bool>,
    /// `[n, d]`
    pub at: Vec<f64>,
}

impl Swarm {
    /// `n` draws of the prior.
    pub fn of_prior(circles: Vec<bool>, n: usize, rng: &mut ChaCha8Rng) -> Self {
        let at = (0..n)
            .flat_map(|_| circles.clone())
            .map(|is_circle| match is_circle {
                true => rng.random(),
                false => StandardNormal.sample(rng),
            })
            .collect();
        Self { circles, at }
    }

    pub fn log_prior(&self, at: &[f64]) -> f64 {
        let lines = at
            .iter()
            .zip(&self.circles)
            .filter(|(_, is_circle)| !**is_circle);
        lines.map(|(z, _)| -0.5 * z * z).sum()
    }
}

/// Where a particle was on the way, and how far particles spread there along each coordinate.
#[derive(Debug, Clone)]
pub struct Waypoint {
    pub at: Vec<f64>,
    pub spread: Vec<f64>,
}

impl Swarm {
    /// Some of the particles.
    fn waypoints(&self) -> Vec<Waypoint> {
        let d = self.circles.len();
        let n = self.at.len() / d.max(1);
        let spread = (0..d).map(|k| {
            let values = || self.at.iter().skip(k).step_by(d);
            let mean = values().sum::<f64>() / n as f64;
            let square = values().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            square.sqrt().max(1e-9)
        });
        let spread: Vec<f64> = spread.collect();
        let chosen = self.at.chunks_exact(d);
        chosen
            .step_by((n / WAYPOINTS).max(1))
            .map(|at| Waypoint {
                at: at.to_vec(),
                spread: spread.clone(),
            })
            .collect()
    }
}

/// Draws of prior · likelihood^exponent, and where some were on the way. `log_likelihood` takes places `[n, d]`; what is not
/// finite is impossible.
pub fn temper(
    mut swarm: Swarm,
    exponent: f64,
    log_likelihood: impl Fn(&[f64]) -> Vec<f64>,
    rng: &mut ChaCha8Rng,
) -> (Swarm, Vec<Waypoint>) {
    let d = swarm.circles.len();
    let n = swarm.at.len() / d.max(1);
    let known = |at: &[f64]| -> Vec<f64> {
        let values = log_likelihood(at).into_iter();
        values
            .map(|value| {
                if value.is_finite() {
                    value
                } else {
                    f64::NEG_INFINITY
                }
            })
            .collect()
    };
    let mut value = known(&swarm.at);
    let mut reached = 0.0;
    let mut way = Vec::new();
    for _ in 0..MOST_STEPS {
        if reached >= exponent {
            break;
        }
        let rise = largest_rise(&value, exponent - reached);
        let weight = weights(&value, rise);
        let chosen = equal_draws(&weight, n, rng.random());
        if chosen.len() < n {
            break;
        }
        let of_chosen = |i: &usize| swarm.at[i * d..(i + 1) * d].to_vec();
        swarm.at = chosen.iter().flat_map(of_chosen).collect();
        value = chosen.iter().map(|&i| value[i]).collect();
        reached += rise;
        let is_last = reached >= exponent;
        let (moves, most) = match is_last {
            true => (MOVES.1, MOST_SWEEPS.1),
            false => (MOVES.0, MOST_SWEEPS.0),
        };
        let mut n_moved = 0;
        for _ in 0..most {
            n_moved += sweep(&mut swarm, &mut value, reached, &known, rng);
            if n_moved as f64 >= moves * n as f64 {
                break;
            }
        }
        way.extend(swarm.waypoints());
    }
    (swarm, way)
}

/// The largest rise of the exponent, up to `most`, that leaves enough effective particles.
fn largest_rise(value: &[f64], most: f64) -> f64 {
    let is_enough = |rise: f64| {
        let log_weight: Vec<f64> = value.iter().map(|value| times(rise, *value)).collect();
        effective_sample_size(&log_weight) >= KEPT * value.len() as f64
    };
    if is_enough(most) {
        return most;
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..MOST_HALVINGS {
        let middle = 0.5 * (low + high);
        match is_enough(middle) {
            true => low = middle,
            false => high = middle,
        }
        if low > 0.99 * high {
            break;
        }
    }
    // Where half of the particles are impossible, no rise leaves enough.
    if low > 0.0 {
        low
    } else {
        high.max(f64::MIN_POSITIVE)
    }
}

fn weights(value: &[f64], rise: f64) -> Vec<f64> {
    let most = largest(value.iter().copied());
    let weight = value.iter().map(|value| times(rise, value - most).exp());
    weight
        .map(|one| if one.is_nan() { 0.0 } else { one })
        .collect()
}

/// exponent · value, where a value of -inf stays impossible.
fn times(exponent: f64, value: f64) -> f64 {
    if value == f64::NEG_INFINITY {
        value
    } else {
        exponent * value
    }
}

/// Moves each half of the particles along differences within the other one; how many moved.
fn sweep(
    swarm: &mut Swarm,
    value: &mut [f64],
    exponent: f64,
    log_likelihood: &impl Fn(&[f64]) -> Vec<f64>,
    rng: &mut ChaCha8Rng,
) -> usize {
    let d = swarm.circles.len();
    let n = value.len();
    let middle = n / 2;
    let mut n_moved = 0;
    for (own, others) in [(0..middle, middle..n), (middle..n, 0..middle)] {
        if others.len() < 2 {
            continue;
        }
        let mut proposed = Vec::with_capacity(own.len() * d);
        for i in own.clone() {
            let first = rng.random_range(others.clone());
            // Another one than the first.
            let mut second = rng.random_range(others.start..others.end - 1);
            if second >= first {
                second += 1;
            }
            let length = match rng.random::<f64>() < WHOLE {
                true => 1.0,
                false => {
                    let normal: f64 = StandardNormal.sample(rng);
                    2.38 / (2.0 * d as f64).sqrt() * (0.4 * normal).exp()
                }
            };
            for k in 0..d {
                let gap = swarm.at[first * d + k] - swarm.at[second * d + k];
                let from = swarm.at[i * d + k];
                proposed.push(match swarm.circles[k] {
                    true => (from + length * (gap - gap.round())).rem_euclid(1.0),
                    false => from + length * gap,
                });
            }
        }
        let found = log_likelihood(&proposed);
        for (i, (place, found)) in own.zip(proposed.chunks_exact(d).zip(found)) {
            let here = &swarm.at[i * d..(i + 1) * d];
            let gain =
                exponent * (found - value[i]) + swarm.log_prior(place) - swarm.log_prior(here);
            // Also where there is no gain to speak of: NaN stays.
            if rng.random::<f64>().ln() < gain {
                swarm.at[i * d..(i + 1) * d].copy_from_slice(place);
                value[i] = found;
                n_moved += 1;
            }
        }
    }
    n_moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn a_narrow_normal_is_drawn_with_its_moments() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let swarm = Swarm::of_prior(vec![false; 2], 2000, &mut rng);
        // Correlated, at (1, -0.5), 0.02 wide.
        let log_likelihood = |at: &[f64]| {
            let of_row = |x: &[f64]| {
                let (a, b) = ((x[0] - 1.0) / 0.02, (x[1] + 0.5) / 0.02);
                -0.5 * (a * a + b * b - 1.8 * a * b) / 0.19
            };
            at.chunks_exact(2).map(of_row).collect()
        };
        let (found, _) = temper(swarm, 1.0, log_likelihood, &mut rng);
        let mean = |k: usize| found.at.iter().skip(k).step_by(2).sum::<f64>() / 2000.0;
        assert!((mean(0) - 1.0).abs() < 0.003 && (mean(1) + 0.5).abs() < 0.003);
        let product: f64 = found
            .at
            .chunks_exact(2)
            .map(|x| (x[0] - 1.0) * (x[1] + 0.5) / 0.0004)
            .sum();
        assert!((product / 2000.0 - 0.9).abs() < 0.15, "{product}");
    }

    #[test]
    fn both_of_two_modes_stay_and_circles_are_crossed() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let swarm = Swarm::of_prior(vec![false, true], 2000, &mut rng);
        let log_likelihood = |at: &[f64]| {
            let of_row = |x: &[f64]| {
                let apart = ((x[0].abs() - 1.5) / 0.05).powi(2);
                let turns = x[1] - x[1].round();
                -0.5 * (apart + (turns / 0.03).powi(2))
            };
            at.chunks_exact(2).map(of_row).collect()
        };
        let (found, _) = temper(swarm, 1.0, log_likelihood, &mut rng);
        let share = |is: &dyn Fn(&[f64]) -> bool| {
            found.at.chunks_exact(2).filter(|x| is(x)).count() as f64 / 2000.0
        };
        assert!((share(&|x| x[0] > 0.0) - 0.5).abs() < 0.1);
        assert!((share(&|x| x[1] > 0.5) - 0.5).abs() < 0.1);
        assert!(share(&|x| x[1] > 0.1 && x[1] < 0.9) < 0.01);
    }

    #[test]
    fn impossible_places_are_left() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let swarm = Swarm::of_prior(vec![false], 1000, &mut rng);
        let log_likelihood = |at: &[f64]| {
            let of_place = |z: &f64| if *z > 1.5 { 0.0 } else { f64::NAN };
            at.iter().map(of_place).collect()
        };
        let (found, _) = temper(swarm, 1.0, log_likelihood, &mut rng);
        assert!(found.at.iter().all(|&z| z > 1.5));
    }
}
