//! Periodic parameters: the circle of their uniform prior as a flow sees it.
//!
//! Cut at the prior's bounds, a posterior that lies across them falls into two far pieces, of which a flow easily
//! loses one. A flow that knows lines only therefore cuts each circle where the least of the posterior is; one that
//! knows circles sees turns from the posterior's centre, whose neighbourhood is enlarged.

use super::parameters::{Parameter, ParameterSpace};
use crate::base::{column, normal};
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};

/// Candidate places of a cut, and the width of the neighbourhood that should be empty, in turns.
const N_CANDIDATES: usize = 64;
const WIDTH: f64 = 0.05;
/// Places around which no more than this share of the weight lies beyond the least are as empty.
const AS_EMPTY: f64 = 1e-3;
/// A circle on which no place has less than this share of the mean weight has no empty place.
const NO_EMPTIER: f64 = 0.5;
/// Standard deviation, in radians, below which a circle is enlarged no more.
const LEAST_SD: f64 = 1e-5;

/// z of the same point with the circle cut `seam` turns after the prior's lower bound, and the log slope of that map;
/// standard normal where z is. `seam` is in [0, 1); 0 leaves z as it is.
pub fn cut_at(seam: f64, z: f64) -> (f64, f64) {
    if seam == 0.0 {
        return (z, 0.0);
    }
    let cut = quantile((turns(z) - seam).rem_euclid(1.0));
    (cut, normal::log_density(z) - normal::log_density(cut))
}

/// The inverse of [`cut_at`].
pub fn uncut(seam: f64, z: f64) -> f64 {
    if seam == 0.0 {
        return z;
    }
    quantile((turns(z) + seam).rem_euclid(1.0))
}

/// A circle as a flow sees it: turns y in [-1/2, 1/2] from a centre, after a Möbius map of the circle that enlarges
/// the centre's neighbourhood, tan(π y) = enlargement · tan(π t).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Circle {
    /// In turns after the prior's lower bound.
    pub centre: f64,
    /// At least 1.
    pub enlargement: f64,
}

impl Circle {
    /// Around the circular mean of weighted z. Spread over about a radian where they are closer together.
    pub fn around(z: impl Iterator<Item = f64>, weight: &[f64]) -> Self {
        let (mut cos, mut sin, mut total) = (0.0, 0.0, 0.0);
        for (z, weight) in z.zip(weight) {
            let angle = TAU * turns(z);
            cos += weight * angle.cos();
            sin += weight * angle.sin();
            total += weight;
        }
        if total <= 0.0 {
            return Self {
                centre: 0.0,
                enlargement: 1.0,
            };
        }
        let resultant = (cos.hypot(sin) / total).min(1.0);
        let sd = (-2.0 * resultant.max(f64::MIN_POSITIVE).ln()).sqrt();
        Self {
            centre: (sin.atan2(cos) / TAU).rem_euclid(1.0),
            enlargement: (1.0 / sd.max(LEAST_SD)).max(1.0),
        }
    }

    /// y of a stored z, and log dy/dz.
    pub fn y(&self, z: f64) -> (f64, f64) {
        let from_centre = turns(z) - self.centre;
        let (y, log_slope) = enlarged(from_centre - from_centre.round(), self.enlargement);
        (y, log_slope + normal::log_density(z))
    }

    /// The inverse of [`y`](Self::y).
    pub fn z(&self, y: f64) -> f64 {
        let (from_centre, _) = enlarged(y, 1.0 / self.enlargement);
        quantile((from_centre + self.centre).rem_euclid(1.0))
    }
}

/// tan(π y) = factor · tan(π t): y and log dy/dt.
fn enlarged(t: f64, factor: f64) -> (f64, f64) {
    let (sin, cos) = (PI * t).sin_cos();
    let y = (factor * sin).atan2(cos) / PI;
    let square = factor * sin * (factor * sin) + cos * cos;
    (y, factor.ln() - square.ln())
}

/// z with each periodic parameter as a point on a circle, on which a small distance is one of z at the prior's median.
pub fn embedded(space: &ParameterSpace, z: &[f64]) -> Vec<f64> {
    let radius = TAU.sqrt() / TAU;
    let mut embedded = Vec::with_capacity(z.len());
    for (parameter, &z) in space.parameters.iter().zip(z) {
        if parameter.periodic {
            let (sin, cos) = (TAU * turns(z)).sin_cos();
            embedded.extend([radius * cos, radius * sin]);
        } else {
            embedded.push(z);
        }
    }
    embedded
}

/// Seams that lie opposite of z on each circle; 0 for parameters that are not periodic.
pub fn opposite_seams(space: &ParameterSpace, z: &[f64]) -> Vec<f64> {
    of_circles(space, |j| (turns(z[j]) + 0.5).rem_euclid(1.0))
}

/// For each parameter the place with the least weight around it; 0 for parameters that are not periodic.
/// `z` is row-major.
pub fn emptiest_seams(space: &ParameterSpace, z: &[f64], weight: &[f64]) -> Vec<f64> {
    let of_parameter = |j: usize| -> f64 {
        let z = column(z, space.len(), j);
        let places: Vec<f64> = z.iter().map(|&z| turns(z)).collect();
        let best = (0..N_CANDIDATES)
            .map(|candidate| (weight_around(candidate, &places, weight), candidate))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(0, |(_, candidate)| candidate);
        best as f64 / N_CANDIDATES as f64
    };
    of_circles(space, of_parameter)
}

/// One number a parameter, by its place; 0 for parameters that are not periodic.
fn of_circles(space: &ParameterSpace, of_parameter: impl Fn(usize) -> f64) -> Vec<f64> {
    let parameters = space.parameters.iter().enumerate();
    let number = |(j, parameter): (usize, &Parameter)| match parameter.periodic {
        true => of_parameter(j),
        false => 0.0,
    };
    parameters.map(number).collect()
}

/// Where an axis of one period should begin for these values of a periodic parameter, whose prior's bounds are `low` and
/// `high`: in an empty place, so that no mode is cut in two, and of all that are as empty in the one that moves the
/// fewest of them beyond the bounds; `low` itself where that is one, or where no place is empty.
pub fn axis_start(values: &[f64], weight: &[f64], (low, high): (f64, f64)) -> f64 {
    let places: Vec<f64> = values
        .iter()
        .map(|value| (value - low) / (high - low))
        .collect();
    let around: Vec<f64> = (0..N_CANDIDATES)
        .map(|candidate| weight_around(candidate, &places, weight))
        .collect();
    let total: f64 = weight.iter().sum();
    let least = around.iter().copied().fold(f64::INFINITY, f64::min);
    if least > NO_EMPTIER * WIDTH * TAU.sqrt() * total {
        return low;
    }
    let starts = (0..N_CANDIDATES)
        .filter(|&candidate| around[candidate] <= least + AS_EMPTY * total)
        .map(|candidate| {
            let seam = candidate as f64 / N_CANDIDATES as f64;
            let below = places
                .iter()
                .zip(weight)
                .filter(|(place, _)| **place < seam);
            let below: f64 = below.map(|(_, weight)| weight).sum();
            // What is below the seam moves up by a period, or what is above it down.
            if below <= total - below {
                (below, seam)
            } else {
                (total - below, seam - 1.0)
            }
        });
    let start = starts.min_by(|a, b| a.0.total_cmp(&b.0));
    low + start.map_or(0.0, |(_, seam)| seam) * (high - low)
}

/// `value` moved by whole periods into [start, start + period).
pub fn moved_to(start: f64, period: f64, value: f64) -> f64 {
    let turns = ((value - start) / period).floor();
    // What is there already keeps its last digit.
    if turns == 0.0 {
        value
    } else {
        value - turns * period
    }
}

/// The weight of what lies around a candidate place of a cut.
fn weight_around(candidate: usize, places: &[f64], weight: &[f64]) -> f64 {
    let seam = candidate as f64 / N_CANDIDATES as f64;
    places
        .iter()
        .zip(weight)
        .map(|(place, weight)| {
            let distance = (place - seam).rem_euclid(1.0);
            let distance = distance.min(1.0 - distance) / WIDTH;
            weight * (-0.5 * distance * distance).exp()
        })
        .sum()
}

/// Φ(z): of a circle, turns after the prior's lower bound.
pub fn turns(z: f64) -> f64 {
    if z <= 0.0 {
        normal::tail(z)
    } else {
        1.0 - normal::tail(z)
    }
}

/// Φ⁻¹, finite on all of [0, 1].
pub fn quantile(p: f64) -> f64 {
    const NEXT_TO_THE_CUT: f64 = f64::EPSILON / 4.0;
    if p <= 0.5 {
        normal::lower_quantile(p.max(NEXT_TO_THE_CUT))
    } else {
        -normal::lower_quantile((1.0 - p).max(NEXT_TO_THE_CUT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::parameters::Parameter;
    use crate::space::prior::Prior;

    fn space() -> ParameterSpace {
        let parameter = |name: &str, periodic| Parameter {
            name: name.to_owned(),
            prior: Prior::Uniform {
                low: 0.0,
                high: 1.0,
            },
            periodic,
        };
        ParameterSpace::independent(vec![parameter("angle", true), parameter("length", false)])
    }

    #[test]
    fn cuts_move_the_point_and_come_back() {
        // A quarter turn: the median moves to the lower quartile's place, and the other way.
        assert!((cut_at(0.25, 0.0).0 + 0.674_489_750_196_081_7).abs() < 1e-12);
        assert!((uncut(0.25, 0.0) - 0.674_489_750_196_081_7).abs() < 1e-12);
        for seam in [0.0, 0.015_625, 0.5, 0.984_375] {
            for z in [-8.0, -3.0, -0.1, 0.0, 1.7, 6.0] {
                let back = uncut(seam, cut_at(seam, z).0);
                // Far out z is the finer of the two.
                assert!((turns(back) - turns(z)).abs() < 1e-15, "{seam} {z} {back}");
            }
        }
        assert!(cut_at(0.5, 0.0).0.is_finite() && cut_at(0.3, f64::INFINITY).0.is_finite());
    }

    #[test]
    fn slopes_are_those_of_finite_differences() {
        let step = 1e-5;
        let check = |log_slope: f64, up: f64, down: f64, of: &str| {
            let expected = ((up - down) / (2.0 * step)).ln();
            assert!(
                (log_slope - expected).abs() < 1e-5,
                "{of}: {log_slope}, {expected}"
            );
        };
        for z in [-2.5, -0.3, 0.1, 1.9] {
            for seam in [0.0, 0.3, 0.984_375] {
                let at = |z| cut_at(seam, z).0;
                check(cut_at(seam, z).1, at(z + step), at(z - step), "cut");
            }
            for (centre, enlargement) in [(0.0, 1.0), (0.3, 1.0), (0.9, 7.0), (0.5, 300.0)] {
                let circle = Circle {
                    centre,
                    enlargement,
                };
                let at = |z| circle.y(z).0;
                check(circle.y(z).1, at(z + step), at(z - step), "circle");
            }
        }
    }

    #[test]
    fn circles_are_seen_from_their_centre_and_come_back() {
        // Across the bounds, from -0.01 to 0.01 turns.
        let z: Vec<f64> = (0..=100)
            .map(|i| quantile((f64::from(i - 50) * 2e-4).rem_euclid(1.0)))
            .collect();
        let circle = Circle::around(z.iter().copied(), &[1.0; 101]);
        assert!(circle.centre.min(1.0 - circle.centre) < 1e-9, "{circle:?}");
        let sd = TAU * 2e-4 * ((101.0f64.powi(2) - 1.0) / 12.0).sqrt();
        assert!((circle.enlargement * sd - 1.0).abs() < 1e-3, "{circle:?}");
        for (i, &z) in z.iter().enumerate() {
            let (y, _) = circle.y(z);
            assert!(
                y.abs() < 0.4 && (y < 0.0) == (i < 50) || i == 50,
                "{i}: {y}"
            );
            assert!((turns(circle.z(y)) - turns(z)).abs() < 1e-12);
        }
        for z in [-38.0, -8.0, 0.0, 8.0, 38.0] {
            let (y, log_slope) = circle.y(z);
            assert!(y.abs() <= 0.5 && log_slope.is_finite() && circle.z(y).is_finite());
        }
        // Two opposite points have no centre.
        let opposite = [quantile(0.2), quantile(0.7)];
        let circle = Circle::around(opposite.into_iter(), &[1.0, 1.0]);
        assert_eq!(circle.enlargement, 1.0);
        assert!(Circle::around([0.3].into_iter(), &[0.0]).z(0.1).is_finite());
    }

    #[test]
    fn neighbours_across_the_bounds_become_neighbours() {
        let [below, above] =
            [0.999, 0.001].map(|turn| space().parameters[0].prior.to_unconstrained(turn));
        assert!((below - above).abs() > 6.0);
        assert!((cut_at(0.5, below).0 - cut_at(0.5, above).0).abs() < 0.01);
        let [below, above] = [below, above].map(|angle| embedded(&space(), &[angle, 0.7]));
        assert!((below[1] - above[1]).abs() < 0.01 && below[2] == 0.7);
        // At the median a step on the circle is one of z.
        let [low, high] = [-0.01, 0.01].map(|angle| embedded(&space(), &[angle, 0.7]));
        let step = (low[0] - high[0]).hypot(low[1] - high[1]);
        assert!((step / 0.02 - 1.0).abs() < 1e-3, "{step}");
    }

    #[test]
    fn circles_are_cut_where_they_are_empty() {
        let prior = space().parameters[0].prior.clone();
        let z: Vec<f64> = [(0.95, 0.1), (0.02, 0.1), (0.4, 0.1), (0.7, 0.1)]
            .iter()
            .flat_map(|&(angle, length)| {
                [
                    prior.to_unconstrained(angle),
                    prior.to_unconstrained(length),
                ]
            })
            .collect();
        // The last row weighs nothing, so the widest gap is between 0.4 and 0.95.
        let seams = emptiest_seams(&space(), &z, &[1.0, 1.0, 1.0, 0.0]);
        assert!((seams[0] - 0.675).abs() < 0.02, "{seams:?}");
        assert_eq!(seams[1], 0.0);
    }

    #[test]
    fn axes_begin_where_nothing_is_and_move_as_little_as_they_can() {
        let start = |values: &[f64]| axis_start(values, &vec![1.0; values.len()], (1.0, 3.0));
        // Within the bounds nothing moves.
        assert_eq!(start(&[1.6, 1.7, 2.5]), 1.0);
        // Across them, the smaller part moves: up, or down.
        let up = start(&[2.8, 2.9, 2.95, 1.05]);
        assert!((1.2..2.0).contains(&up), "{up}");
        let down = start(&[2.95, 1.05, 1.1, 1.2]);
        assert!((-0.8..0.95).contains(&down), "{down}");
        // Rows without weight are not seen, and a full circle begins at its bound.
        assert_eq!(axis_start(&[1.0, 2.0], &[0.0, 1.0], (1.0, 3.0)), 1.0);
        let full: Vec<f64> = (0..200).map(|i| 1.0 + f64::from(i) / 100.0).collect();
        assert_eq!(start(&full), 1.0);
        assert_eq!(axis_start(&[], &[], (1.0, 3.0)), 1.0);

        assert_eq!(moved_to(1.5, 2.0, 1.25), 3.25);
        assert_eq!(moved_to(1.5, 2.0, 1.5), 1.5);
        assert_eq!(moved_to(-0.5, 2.0, 2.75), 0.75);
        assert_eq!(moved_to(1.5, 2.0, 0.1 + 2.0), 0.1 + 2.0);
    }
}
