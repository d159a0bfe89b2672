//! Periodic parameters: where the circle of their uniform prior is cut open to be unconstrained.
//!
//! Cut at the prior's bounds, a posterior that lies across them falls into two far pieces, of which a
//! flow easily loses one. Each flow therefore cuts each circle where the least of the posterior is.

use crate::normal;
use crate::space::ParameterSpace;

/// Candidate places of a cut, and the width of the neighbourhood that should be empty, in turns.
const N_CANDIDATES: usize = 64;
const WIDTH: f64 = 0.05;

/// z of the same point with the circle cut `seam` turns after the prior's lower bound; standard normal where
/// z is. `seam` is in [0, 1); 0 leaves z as it is.
pub fn cut_at(seam: f64, z: f64) -> f64 {
    if seam == 0.0 {
        return z;
    }
    quantile((turns(z) - seam).rem_euclid(1.0))
}

/// The inverse of [`cut_at`].
pub fn uncut(seam: f64, z: f64) -> f64 {
    if seam == 0.0 {
        return z;
    }
    quantile((turns(z) + seam).rem_euclid(1.0))
}

/// Seams that lie opposite of z on each circle; 0 for parameters that are not periodic.
pub fn opposite_seams(space: &ParameterSpace, z: &[f64]) -> Vec<f64> {
    space
        .parameters
        .iter()
        .zip(z)
        .map(|(parameter, &z)| {
            if parameter.periodic {
                (turns(z) + 0.5).rem_euclid(1.0)
            } else {
                0.0
            }
        })
        .collect()
}

/// For each parameter the place with the least weight around it; 0 for parameters that are not periodic.
/// `z` is row-major.
pub fn emptiest_seams(space: &ParameterSpace, z: &[f64], weight: &[f64]) -> Vec<f64> {
    let n_parameters = space.len();
    let of_parameter = |j: usize| -> f64 {
        let places: Vec<f64> = z
            .iter()
            .skip(j)
            .step_by(n_parameters)
            .map(|&z| turns(z))
            .collect();
        let around = |candidate: usize| -> f64 {
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
        };
        let best = (0..N_CANDIDATES)
            .map(|candidate| (around(candidate), candidate))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(0, |(_, candidate)| candidate);
        best as f64 / N_CANDIDATES as f64
    };
    space
        .parameters
        .iter()
        .enumerate()
        .map(|(j, parameter)| {
            if parameter.periodic {
                of_parameter(j)
            } else {
                0.0
            }
        })
        .collect()
}

/// Φ(z)
fn turns(z: f64) -> f64 {
    if z <= 0.0 {
        normal::tail(z)
    } else {
        1.0 - normal::tail(z)
    }
}

/// Φ⁻¹, finite on all of [0, 1].
fn quantile(p: f64) -> f64 {
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
    use crate::prior::Prior;
    use crate::space::Parameter;

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
        assert!((cut_at(0.25, 0.0) + 0.674_489_750_196_081_7).abs() < 1e-12);
        assert!((uncut(0.25, 0.0) - 0.674_489_750_196_081_7).abs() < 1e-12);
        for seam in [0.0, 0.015_625, 0.5, 0.984_375] {
            for z in [-8.0, -3.0, -0.1, 0.0, 1.7, 6.0] {
                let back = uncut(seam, cut_at(seam, z));
                // Far out z is the finer of the two.
                assert!((turns(back) - turns(z)).abs() < 1e-15, "{seam} {z} {back}");
            }
        }
        assert!(cut_at(0.5, 0.0).is_finite() && cut_at(0.3, f64::INFINITY).is_finite());
    }

    #[test]
    fn neighbours_across_the_bounds_become_neighbours() {
        let [below, above] =
            [0.999, 0.001].map(|turn| space().parameters[0].prior.to_unconstrained(turn));
        assert!((below - above).abs() > 6.0);
        assert!((cut_at(0.5, below) - cut_at(0.5, above)).abs() < 0.01);
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
}
