//! Bounds of a prior that a posterior leans on, as a flow sees them.
//!
//! Where the likelihood does not vanish at a bound, the posterior keeps the prior's whole normal tail towards it in z, and
//! what other parameters have to do with this one is squeezed into that tail: the last hundredth of the prior's width is all
//! beyond z = 2.3. A flow fitted to draws that lack the tail never draws there and never learns. Such a parameter is
//! therefore seen in another coordinate v, in which the bound is a finite place and the posterior goes on straight up to it.
//! Half of the normal distribution of v, or its middle half where both bounds are leant on, is the prior; what a
//! flow draws beyond a bound is brought back within by [`Bounds::inverted`], an exact map with two sources for each place.

use super::parameters::ParameterSpace;
use super::prior::Prior;
use crate::base::{normal, sorted_with_weights};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use std::f64::consts::{LN_2, SQRT_2};

/// Φ⁻¹(3/4): where the bounds are in v if both are leant on.
const THREE_QUARTERS: f64 = 0.674_489_750_196_081_7;

/// Shares of the posterior nearest to a bound, and the largest ratio of the distances that they reach to from it: a tenth
/// where the density is level up to the bound, 0.4 where the bound is 2.8 standard deviations from a Gaussian's middle.
const NEAR: f64 = 0.02;
const FAR: f64 = 0.2;
const LEANING: f64 = 0.4;

/// Which bounds of its prior the posterior of a parameter leans on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lean {
    /// No bound.
    #[default]
    None,
    /// The lower one.
    Low,
    /// The upper one.
    High,
    /// Both of them.
    Both,
}

impl Lean {
    const ALL: [Self; 4] = [Self::None, Self::Low, Self::High, Self::Both];

    /// As it goes over the wire.
    pub fn code(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Low => 1,
            Self::High => 2,
            Self::Both => 3,
        }
    }

    /// None where no lean has that code.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|lean| lean.code() == code)
    }

    /// v of a stored z, and log dv/dz; z itself where no bound is leant on.
    pub fn v(self, z: f64) -> (f64, f64) {
        let v = match self {
            Self::None => return (z, 0.0),
            // Φ(v) = Φ(z) / 2
            Self::High if z < FAR_OUT => normal::quantile_of_log(normal::log_cdf(z) - LN_2),
            Self::High => normal::lower_quantile(if z <= 0.0 {
                0.5 * normal::tail(z)
            } else {
                0.5 - 0.5 * normal::tail(z)
            }),
            Self::Low => return mirrored(Self::High.v(-z)),
            // Φ(v) = 1/4 + Φ(z) / 2
            Self::Both if z <= 0.0 => normal::lower_quantile(0.25 + 0.5 * normal::tail(z)),
            Self::Both => return mirrored(Self::Both.v(-z)),
        };
        (v, normal::log_density(z) - normal::log_density(v) - LN_2)
    }

    /// z of a v within the bounds: the inverse of [`v`](Self::v), finite.
    pub fn z(self, v: f64) -> f64 {
        match self {
            Self::None => v,
            Self::High if v < FAR_OUT => normal::quantile_of_log(normal::log_cdf(v) + LN_2),
            Self::High if v <= -THREE_QUARTERS => normal::lower_quantile(2.0 * normal::tail(v)),
            // 1 - 2 Φ(v)
            Self::High => {
                let beyond = libm::erf(-v / SQRT_2);
                -normal::lower_quantile(beyond.max(NEXT_TO_THE_BOUND))
            }
            Self::Low => -Self::High.z(-v),
            Self::Both if v <= 0.0 => {
                let below = 2.0 * (normal::tail(v) - 0.25);
                normal::lower_quantile(below.max(NEXT_TO_THE_BOUND))
            }
            Self::Both => -Self::Both.z(-v),
        }
    }

    /// A draw of v from the prior.
    pub fn draw(self, rng: &mut ChaCha8Rng) -> f64 {
        self.v(StandardNormal.sample(rng)).0
    }

    /// The bounds in v; infinite where they are not leant on.
    pub fn bounds(self) -> (f64, f64) {
        match self {
            Self::None => (f64::NEG_INFINITY, f64::INFINITY),
            Self::Low => (0.0, f64::INFINITY),
            Self::High => (f64::NEG_INFINITY, 0.0),
            Self::Both => (-THREE_QUARTERS, THREE_QUARTERS),
        }
    }
}

/// Below this z the tail's mass is told by its logarithm; wild flows draw far beyond what numbers hold otherwise.
const FAR_OUT: f64 = -30.0;

/// The share of the prior that a draw keeps from a bound at least.
const NEXT_TO_THE_BOUND: f64 = 1e-18;

fn mirrored((v, log_slope): (f64, f64)) -> (f64, f64) {
    (-v, log_slope)
}

/// What each parameter's posterior leans on, judged by weighted draws: `theta` is row-major `[n, d]`. Empty where no bound
/// is leant on.
///
/// Distances are those in the parameter's own units, so that the far tail of a truncated normal prior is no bound.
pub fn leans(space: &ParameterSpace, theta: &[f64], weight: &[f64]) -> Vec<Lean> {
    let d = space.len();
    let of_parameter = |j: usize| {
        let Some((low, high)) = bounds_of(space, j) else {
            return Lean::None;
        };
        let sorted = sorted_with_weights(theta.iter().skip(j).step_by(d).copied(), weight);
        let on_low = is_leant_on(sorted.iter().map(|(x, weight)| (x - low, *weight)));
        let on_high = is_leant_on(sorted.iter().rev().map(|(x, weight)| (high - x, *weight)));
        match (on_low, on_high) {
            (false, false) => Lean::None,
            (true, false) => Lean::Low,
            (false, true) => Lean::High,
            (true, true) => Lean::Both,
        }
    };
    all_or_nothing((0..d).map(of_parameter).collect())
}

/// How many times as heavy each draw is to be for a flow that has these bounds: thrice at a bound, falling to once where a tenth
/// of the posterior is nearer to it. A flow's edge is soft, so that it draws half as often at a bound as it should, and the
/// few heavy draws there would have larger errors than n_eff tells.
pub fn emphasis(leans: &[Lean], theta: &[f64], weight: &[f64]) -> Vec<f64> {
    const REACH: f64 = 0.1;
    let d = leans.len();
    let total: f64 = weight.iter().sum();
    let mut emphasis = vec![1.0; weight.len()];
    for (j, lean) in leans.iter().enumerate() {
        let mut order: Vec<usize> = (0..weight.len()).filter(|&i| weight[i] > 0.0).collect();
        order.sort_by(|&a, &b| theta[a * d + j].total_cmp(&theta[b * d + j]));
        let mut nearest_first = |order: &mut dyn Iterator<Item = &usize>| {
            let mut passed = 0.0;
            for &i in order {
                passed += weight[i] / total;
                if passed >= REACH {
                    break;
                }
                emphasis[i] *= 3.0 - 2.0 * passed / REACH;
            }
        };
        match lean {
            Lean::None => {}
            Lean::Low => nearest_first(&mut order.iter()),
            Lean::High => nearest_first(&mut order.iter().rev()),
            Lean::Both => {
                nearest_first(&mut order.iter());
                nearest_first(&mut order.iter().rev());
            }
        }
    }
    emphasis
}

/// The bound next to a place, for each parameter; none where it is further than a sixth of the prior, or far in the tail of a
/// truncated normal one. Empty where none is near.
pub fn near(space: &ParameterSpace, z: &[f64]) -> Vec<Lean> {
    const ONE_SIXTH: f64 = 1.0;
    let mut theta = vec![0.0; z.len()];
    space.constrain(z, &mut theta);
    let of_parameter = |j: usize| {
        let Some((low, high)) = bounds_of(space, j) else {
            return Lean::None;
        };
        let is_far = match space.parameters[j].prior {
            Prior::TruncatedNormal { sd, .. } => (theta[j] - low).min(high - theta[j]) > sd,
            Prior::Uniform { .. }
            | Prior::LogUniform { .. }
            | Prior::Beta { .. }
            | Prior::Normal { .. }
            | Prior::LogNormal { .. }
            | Prior::Samples(_) => false,
        };
        match z[j] {
            _ if is_far => Lean::None,
            z if z >= ONE_SIXTH => Lean::High,
            z if z <= -ONE_SIXTH => Lean::Low,
            _ => Lean::None,
        }
    };
    all_or_nothing((0..z.len()).map(of_parameter).collect())
}

fn all_or_nothing(leans: Vec<Lean>) -> Vec<Lean> {
    match leans.iter().all(|lean| *lean == Lean::None) {
        true => Vec::new(),
        false => leans,
    }
}

/// The bounds of a parameter that a posterior may lean on.
fn bounds_of(space: &ParameterSpace, j: usize) -> Option<(f64, f64)> {
    let parameter = &space.parameters[j];
    if parameter.periodic || space.is_joint(j) {
        return None;
    }
    match parameter.prior {
        // Zero is no bound of a logarithm, and no bound is one of what is fitted to samples.
        Prior::Normal { .. } | Prior::LogNormal { .. } | Prior::Samples(_) => None,
        Prior::Uniform { .. }
        | Prior::TruncatedNormal { .. }
        | Prior::LogUniform { .. }
        | Prior::Beta { .. } => Some(parameter.prior.support()),
    }
}

/// Of distances from a bound with their weights, the nearest first.
fn is_leant_on(nearest_first: impl Iterator<Item = (f64, f64)> + Clone) -> bool {
    let total: f64 = nearest_first.clone().map(|(_, weight)| weight).sum();
    let reach = |share: f64| {
        let mut passed = 0.0;
        nearest_first
            .clone()
            .find(|(_, weight)| {
                passed += weight;
                passed >= share * total
            })
            .map(|(distance, _)| distance)
    };
    let reached = reach(NEAR).zip(reach(FAR));
    reached.is_some_and(|(near, far)| near <= LEANING * far)
}

/// The bounds that are leant on, around an origin within them.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// One pair a parameter: below zero and above it, infinite where there is no bound.
    bounds: Vec<(f64, f64)>,
    n_bounded: usize,
}

impl Bounds {
    /// None where nothing is bounded.
    pub fn new(bounds: Vec<(f64, f64)>) -> Option<Self> {
        let n_bounded = bounds.iter().filter(|bounds| is_bounded(bounds)).count();
        (n_bounded > 0).then_some(Self { bounds, n_bounded })
    }

    /// How far out y is: the factor by which it lies beyond the nearest bound in its direction from the origin, at most 1
    /// within the bounds.
    pub fn gauge(&self, y: &[f64]) -> f64 {
        y.iter()
            .zip(&self.bounds)
            .map(|(&y, &(low, high))| if y < 0.0 { y / low } else { y / high })
            .fold(0.0, f64::max)
    }

    /// Moves the bounded coordinates along their ray to the other side of the bounds, r to r_bound² / r: what is outside comes
    /// within, what is within goes outside. Returns log |det| of that map, the volume there over the one here; None, and y as
    /// it is, at the origin, whose other side is infinitely far.
    pub fn inverted(&self, y: &mut [f64]) -> Option<f64> {
        // What a flow draws a thousand times as far out as the bounds is nothing.
        const NEXT_TO_THE_ORIGIN: f64 = 1e-3;
        let gauge = self.gauge(y);
        if gauge < NEXT_TO_THE_ORIGIN {
            return None;
        }
        for (y, bounds) in y.iter_mut().zip(&self.bounds) {
            if is_bounded(bounds) {
                *y /= gauge * gauge;
            }
        }
        Some(-2.0 * self.n_bounded as f64 * gauge.ln())
    }
}

fn is_bounded((low, high): &(f64, f64)) -> bool {
    low.is_finite() || high.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::parameters::Parameter;

    #[test]
    fn coordinates_come_back_and_stay_within_the_bounds() {
        for lean in Lean::ALL {
            let (low, high) = lean.bounds();
            for z in [-8.0, -3.0, -0.7, 0.0, 0.3, 2.0, 5.0] {
                let (v, _) = lean.v(z);
                assert!(v >= low && v <= high, "{lean:?} {z} {v}");
                // As exact as the share of the prior beyond z.
                let tolerance = 1e-15 * (0.5 * z * z).exp().max(1.0) * 10.0;
                assert!(
                    (lean.z(v) - z).abs() < tolerance,
                    "{lean:?} {z} {}",
                    lean.z(v)
                );
            }
            for v in [low.max(-40.0), high.min(40.0)] {
                assert!(lean.z(v).is_finite(), "{lean:?} {v}");
            }
        }
        // The prior's middle is at a quarter of the normal distribution, or in its middle.
        assert!((Lean::High.v(0.0).0 + THREE_QUARTERS).abs() < 1e-12);
        assert!((Lean::Low.v(0.0).0 - THREE_QUARTERS).abs() < 1e-12);
        assert_eq!(Lean::Both.v(0.0).0, 0.0);
        // Up to the bound v goes on like the prior's own share.
        let (near, nearer) = (
            Lean::High.v(2.326_347_874_040_841),
            Lean::High.v(3.090_232_306_167_813),
        );
        assert!(
            (near.0 / nearer.0 - 10.0).abs() < 1e-3,
            "{near:?} {nearer:?}"
        );
    }

    #[test]
    fn wild_draws_have_a_place_too() {
        for z in [-31.0, -1038.9, -3e5] {
            let (v, log_slope) = Lean::High.v(z);
            assert!(
                v < z && v > z - 1.0 && log_slope.is_finite(),
                "{z} {v} {log_slope}"
            );
            assert!(
                (Lean::High.z(v) / z - 1.0).abs() < 1e-9,
                "{z} {}",
                Lean::High.z(v)
            );
            assert!(Lean::Both.v(z).0.is_finite() && Lean::Low.v(z).0.is_finite());
        }
    }

    #[test]
    fn slopes_are_those_of_finite_differences() {
        let step = 1e-5;
        for lean in Lean::ALL {
            for z in [-2.5, -0.3, 0.1, 1.9] {
                let expected = ((lean.v(z + step).0 - lean.v(z - step).0) / (2.0 * step)).ln();
                assert!((lean.v(z).1 - expected).abs() < 1e-5, "{lean:?} {z}");
            }
        }
    }

    #[test]
    fn what_is_beyond_comes_within_and_volumes_are_told() {
        let infinite = f64::INFINITY;
        let bounded = Bounds::new(vec![(-2.0, infinite), (-infinite, infinite), (-1.0, 0.5)])
            .expect("two are bounded");
        assert_eq!(Bounds::new(vec![(-infinite, infinite)]), None);
        let mut y = [3.0, 7.0, 1.0];
        assert_eq!(bounded.gauge(&y), 2.0);
        assert_eq!(bounded.inverted(&mut y), Some(-4.0 * 2f64.ln()));
        assert_eq!(y, [0.75, 7.0, 0.25]);
        assert_eq!(bounded.inverted(&mut y), Some(4.0 * 2f64.ln()));
        assert_eq!(y, [3.0, 7.0, 1.0]);
        // Nothing bounds that direction.
        assert_eq!(bounded.inverted(&mut [5.0, 1.0, 0.0]), None);
    }

    #[test]
    fn both_sources_together_keep_the_mass() {
        // A normal density over a box of one and a half: folded, it integrates to one within.
        let bounded = Bounds::new(vec![(-0.4, 0.8), (-1.0, f64::INFINITY)]).expect("bounded");
        let density = |y: &[f64; 2]| (normal::log_density(y[0]) + normal::log_density(y[1])).exp();
        let n = 600;
        let mut sum = 0.0;
        for i in 0..n {
            for j in 0..12 * n {
                let y = [
                    -0.4 + 1.2 * (f64::from(i) + 0.5) / f64::from(n),
                    -1.0 + 12.0 * (f64::from(j) + 0.5) / f64::from(12 * n),
                ];
                let mut other = y;
                let folded = bounded
                    .inverted(&mut other)
                    .map_or(0.0, |log_volume| density(&other) * log_volume.exp());
                sum += density(&y) + folded;
            }
        }
        let integral = sum * 1.2 / f64::from(n) / f64::from(n);
        assert!((integral - 1.0).abs() < 2e-3, "{integral}");
    }

    #[test]
    fn draws_next_to_bounds_are_heavier() {
        // A hundred equal draws of two parameters, the second the other way round.
        let theta: Vec<f64> = (0..100)
            .flat_map(|i| [f64::from(i), -f64::from(i)])
            .collect();
        let found = emphasis(&[Lean::Low, Lean::Low], &theta, &[0.5; 100]);
        for (i, expected) in [
            (0, 2.8),
            (4, 2.0),
            (9, 1.0),
            (50, 1.0),
            (95, 2.0),
            (99, 2.8),
        ] {
            assert!((found[i] - expected).abs() < 1e-9, "{i}: {}", found[i]);
        }
        assert_eq!(
            emphasis(&[Lean::None; 2], &theta, &[0.5; 100]),
            vec![1.0; 100]
        );
        assert_eq!(
            emphasis(&[Lean::Both, Lean::None], &theta, &[0.5; 100]),
            found
        );
    }

    #[test]
    fn leaning_is_seen_in_the_parameters_own_units() {
        let uniform = Prior::Uniform {
            low: 0.0,
            high: 1.0,
        };
        let wide = Prior::TruncatedNormal {
            mean: 0.5,
            sd: 0.05,
            low: 0.0,
            high: 1.0,
        };
        let of = |prior: &Prior, periodic: bool, draws: &dyn Fn(f64) -> f64| {
            let space = ParameterSpace::independent(vec![Parameter {
                name: "a".to_owned(),
                prior: prior.clone(),
                periodic,
            }]);
            let theta: Vec<f64> = (0..1000)
                .map(|i| draws((f64::from(i) + 0.5) / 1000.0))
                .collect();
            leans(&space, &theta, &[1.0; 1000])
                .first()
                .copied()
                .unwrap_or_default()
        };
        assert_eq!(of(&uniform, false, &|u| u), Lean::Both);
        assert_eq!(of(&uniform, true, &|u| u), Lean::None);
        assert_eq!(of(&uniform, false, &|u| 0.4 + 0.2 * u), Lean::None);
        assert_eq!(of(&uniform, false, &|u| 1.0 - 0.01 * u), Lean::High);
        assert_eq!(of(&uniform, false, &|u| 1e-3 * u), Lean::Low);
        // Its bounds are ten standard deviations away.
        let prior = |u: f64| {
            wide.from_unconstrained(if u < 0.5 {
                normal::lower_quantile(u)
            } else {
                -normal::lower_quantile(1.0 - u)
            })
        };
        assert_eq!(of(&wide, false, &prior), Lean::None);
    }
}
