//! A density of one parameter that is fitted to weighted samples: a standard normal, stretched piece by piece.

use super::prior_error::PriorError;
use crate::base::normal::{self, tail};
use crate::base::weighted_quantiles;
use serde::{Deserialize, Serialize};

/// Fewer effective samples say too little of a density.
const LEAST_N_EFF: f64 = 50.0;

/// Effective samples beyond the outermost value; and the farthest that lies, in standard deviations.
const N_EFF_OF_TAIL: f64 = 10.0;
const MOST_REACH: f64 = 3.0;

/// More are none that were fitted.
const MOST_VALUES: usize = 1000;

/// Beyond this |z| a bounded parameter stands still.
const Z_LIMIT: f64 = 37.5;

/// With u the parameter on a line (itself, or a logarithm of its distance from its bounds): u is piecewise linear in a
/// standard normal z, and so both are known in closed form, with normal tails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredDensity")]
pub struct SampledDensity {
    /// None: no bound.
    pub low: Option<f64>,
    /// None: no bound.
    pub high: Option<f64>,
    /// z of the last of `values`, and less that of the first; the others lie at equal distances.
    pub reach: f64,
    /// u, ascending.
    pub values: Vec<f64>,
    /// Of z with those of earlier parameters that are fitted to the same file, in their order.
    pub correlations: Vec<f64>,
    /// SHA-256 of the file.
    pub digest: String,
}

/// As model files have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDensity {
    low: Option<f64>,
    high: Option<f64>,
    reach: f64,
    values: Vec<f64>,
    correlations: Vec<f64>,
    digest: String,
}

impl TryFrom<StoredDensity> for SampledDensity {
    type Error = PriorError;

    fn try_from(stored: StoredDensity) -> Result<Self, PriorError> {
        let StoredDensity {
            low,
            high,
            reach,
            values,
            correlations,
            digest,
        } = stored;
        let density = Self {
            low,
            high,
            reach,
            values,
            correlations,
            digest,
        };
        density.check().map(|()| density)
    }
}

impl SampledDensity {
    /// Fits the samples with positive weights; all samples lie within the bounds, and weights are not negative.
    pub fn fit(
        samples: &[f64],
        weights: &[f64],
        (low, high): (Option<f64>, Option<f64>),
        digest: String,
    ) -> Result<Self, PriorError> {
        let total: f64 = weights.iter().sum();
        let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
        let n_eff = total * total / squares;
        if n_eff.is_nan() || n_eff < LEAST_N_EFF {
            let n_rows = samples.len();
            return Err(PriorError(format!(
                "the {n_rows} samples are worth {:.0} of equal weight, expected {LEAST_N_EFF} at least",
                if n_eff.is_nan() { 0.0 } else { n_eff }
            )));
        }
        let share = N_EFF_OF_TAIL / n_eff;
        let reach = (-normal::lower_quantile(share)).min(MOST_REACH);
        // Narrower pieces as there are more samples, as with histograms.
        let n_pieces = (2.0 * reach / (2.0 * n_eff.powf(-0.2))).round().max(2.0);
        let step = 2.0 * reach / n_pieces;
        let probabilities: Vec<f64> = (0..=n_pieces as usize)
            .map(|k| {
                let z = k as f64 * step - reach;
                if z < 0.0 { tail(z) } else { 1.0 - tail(z) }
            })
            .collect();
        let mut density = Self {
            low,
            high,
            reach,
            values: Vec::new(),
            correlations: Vec::new(),
            digest,
        };
        let on_line: Vec<f64> = samples.iter().map(|&x| density.on_line(x)).collect();
        density.values = weighted_quantiles(&on_line, weights, &probabilities);
        match density.check() {
            Ok(()) => Ok(density),
            Err(_) => Err(PriorError(
                "too many samples are one and the same number, expected those of a density"
                    .to_owned(),
            )),
        }
    }

    /// Whether the numbers make a distribution that f64 can hold.
    pub fn check(&self) -> Result<(), PriorError> {
        let refuse = |message: String| Err(PriorError(message));
        if let (Some(low), Some(high)) = (self.low, self.high)
            && low >= high
        {
            return refuse(format!("low {low} is not below high {high}"));
        }
        let n = self.values.len();
        if !(3..=MOST_VALUES).contains(&n) {
            return refuse(format!("{n} values, expected 3 to {MOST_VALUES}"));
        }
        if !(self.reach > 0.0 && self.reach <= MOST_REACH) {
            return refuse(format!(
                "reach is {}, expected more than 0 and at most {MOST_REACH}",
                self.reach
            ));
        }
        let largest = self.values[0].abs().max(self.values[n - 1].abs());
        let ascends = |pair: &[f64]| pair[1] - pair[0] > 1e-12 * largest;
        if !(largest < 1e300 && self.values.windows(2).all(ascends)) {
            return refuse("the values do not ascend".to_owned());
        }
        match self
            .correlations
            .iter()
            .find(|rho| rho.is_nan() || rho.abs() >= 1.0)
        {
            Some(rho) => refuse(format!(
                "a correlation is {rho}, expected it between -1 and 1"
            )),
            None => Ok(()),
        }
    }

    /// The bounds, infinite where there are none.
    pub fn support(&self) -> (f64, f64) {
        (
            self.low.unwrap_or(f64::NEG_INFINITY),
            self.high.unwrap_or(f64::INFINITY),
        )
    }

    /// log of the normalized density at x, which is within the support.
    pub(super) fn log_density(&self, x: f64) -> f64 {
        let u = self.on_line(x);
        if !u.is_finite() {
            return f64::NEG_INFINITY;
        }
        let (z, slope) = self.z_and_slope(u);
        let log_stretch = match (self.low, self.high) {
            (None, None) => 0.0,
            (Some(low), None) => -(x - low).ln(),
            (None, Some(high)) => -(high - x).ln(),
            (Some(low), Some(high)) => (high - low).ln() - (x - low).ln() - (high - x).ln(),
        };
        normal::log_density(z) - slope.ln() + log_stretch
    }

    pub(super) fn unconstrained(&self, x: f64) -> f64 {
        let u = self.on_line(x).clamp(-f64::MAX, f64::MAX);
        self.z_and_slope(u).0.clamp(-Z_LIMIT, Z_LIMIT)
    }

    pub(super) fn constrained(&self, z: f64) -> f64 {
        let z = z.clamp(-Z_LIMIT, Z_LIMIT);
        let (first, last) = (self.values[0], self.values[self.values.len() - 1]);
        let u = if z < -self.reach {
            first + (z + self.reach) * self.tail_slopes().0
        } else if z >= self.reach {
            last + (z - self.reach) * self.tail_slopes().1
        } else {
            let step = self.step();
            let piece = (((z + self.reach) / step) as usize).min(self.values.len() - 2);
            let start = piece as f64 * step - self.reach;
            let (left, right) = (self.values[piece], self.values[piece + 1]);
            left + (right - left) * ((z - start) / step)
        };
        match (self.low, self.high) {
            (None, None) => u,
            (Some(low), None) => low + u.exp(),
            (None, Some(high)) => high - (-u).exp(),
            // Measured from the nearer bound.
            (Some(low), Some(high)) if u <= 0.0 => low + (high - low) * u.exp() / (1.0 + u.exp()),
            (Some(low), Some(high)) => high - (high - low) * (-u).exp() / (1.0 + (-u).exp()),
        }
    }

    /// u, ascending with x.
    fn on_line(&self, x: f64) -> f64 {
        match (self.low, self.high) {
            (None, None) => x,
            (Some(low), None) => (x - low).ln(),
            (None, Some(high)) => -(high - x).ln(),
            (Some(low), Some(high)) => (x - low).ln() - (high - x).ln(),
        }
    }

    /// z at u, and du/dz there.
    fn z_and_slope(&self, u: f64) -> (f64, f64) {
        let n = self.values.len();
        let (first, last) = (self.values[0], self.values[n - 1]);
        let (low_slope, high_slope) = self.tail_slopes();
        if u < first {
            return ((u - first) / low_slope - self.reach, low_slope);
        }
        if u >= last {
            return ((u - last) / high_slope + self.reach, high_slope);
        }
        let step = self.step();
        let piece = self.values.partition_point(|&value| value <= u).max(1) - 1;
        let (left, right) = (self.values[piece], self.values[piece + 1]);
        let z = (piece as f64 + (u - left) / (right - left)) * step - self.reach;
        (z, (right - left) / step)
    }

    /// Beyond the values, as over the two outermost pieces.
    fn tail_slopes(&self) -> (f64, f64) {
        let (n, width) = (self.values.len(), 2.0 * self.step());
        (
            (self.values[2] - self.values[0]) / width,
            (self.values[n - 1] - self.values[n - 3]) / width,
        )
    }

    fn step(&self) -> f64 {
        2.0 * self.reach / (self.values.len() - 1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles 0, 1, 4 at z of -2, 0 and 2.
    fn density(low: Option<f64>, high: Option<f64>) -> SampledDensity {
        SampledDensity {
            low,
            high,
            reach: 2.0,
            values: vec![0.0, 1.0, 4.0],
            correlations: Vec::new(),
            digest: String::new(),
        }
    }

    #[test]
    fn pieces_are_linear_in_z() {
        let unbounded = density(None, None);
        // The tails go on with 4 in 4.
        for (z, x, slope) in [
            (-3.0, -1.0, 1.0),
            (-2.0, 0.0, 0.5),
            (-1.0, 0.5, 0.5),
            (0.0, 1.0, 1.5),
            (1.0, 2.5, 1.5),
            (2.0, 4.0, 1.0),
            (3.5, 5.5, 1.0),
        ] {
            assert_eq!(unbounded.constrained(z), x);
            assert_eq!(unbounded.unconstrained(x), z);
            let expected = normal::log_density(z) - f64::ln(slope);
            assert!((unbounded.log_density(x) - expected).abs() < 1e-15);
        }
        // exp(0.5) above 1; its density has 1/(x - 1) beside.
        let from_low = density(Some(1.0), None);
        let x = from_low.constrained(-1.0);
        assert_eq!(x, 1.0 + 0.5f64.exp());
        let expected = normal::log_density(-1.0) - 0.5f64.ln() - 0.5;
        assert!((from_low.log_density(x) - expected).abs() < 1e-14);
        assert_eq!(from_low.log_density(1.0), f64::NEG_INFINITY);
        let to_high = density(None, Some(1.0));
        assert_eq!(to_high.constrained(-1.0), 1.0 - (-0.5f64).exp());
        let between = density(Some(-1.0), Some(3.0));
        let x = between.constrained(0.0);
        // The logistic function of 1.
        assert!((x - (-1.0 + 4.0 / (1.0 + (-1.0f64).exp()))).abs() < 1e-15);
    }

    #[test]
    fn densities_integrate_to_one_and_their_maps_are_inverse() {
        for (low, high) in [
            (None, None),
            (Some(1.0), None),
            (None, Some(1.0)),
            (Some(-1.0), Some(3.0)),
        ] {
            let density = density(low, high);
            density.check().expect("a density");
            // By the trapezoidal rule over x at close z.
            let (mut mass, mut before) = (0.0, None);
            for i in 0..=160_000 {
                let z = f64::from(i) / 10_000.0 - 8.0;
                let x = density.constrained(z);
                let p = density.log_density(x).exp();
                if let Some((x0, p0)) = before {
                    mass += 0.5 * (x - x0) * (p + p0);
                }
                before = Some((x, p));
                if (-4.0..=4.0).contains(&z) {
                    let again = density.unconstrained(x);
                    assert!((again - z).abs() < 1e-9, "{low:?} {high:?}: {again} {z}");
                }
            }
            // At two edges of pieces the density jumps.
            assert!((mass - 1.0).abs() < 1e-4, "{low:?} {high:?}: {mass}");
        }
    }

    #[test]
    fn what_is_fitted_has_the_quantiles_of_the_samples() {
        // Of a normal of mean 3 and sd 2, at 10,000 quantiles, half of them twice with half the weight.
        let n = 10_000;
        let normal_at = |p: f64| match p < 0.5 {
            true => normal::lower_quantile(p),
            false => -normal::lower_quantile(1.0 - p),
        };
        let (mut samples, mut weights) = (Vec::new(), Vec::new());
        for i in 0..n {
            let x = 3.0 + 2.0 * normal_at((f64::from(i) + 0.5) / f64::from(n));
            let copies = 1 + i % 2;
            for _ in 0..copies {
                samples.push(x);
                weights.push(1.0 / f64::from(copies));
            }
        }
        let found = SampledDensity::fit(&samples, &weights, (None, None), "digest".to_owned())
            .expect("a density");
        assert_eq!(found.digest, "digest");
        for z in [-3.5, -2.0, -0.7, 0.0, 1.3, 3.5] {
            let x = found.constrained(z);
            assert!((x - (3.0 + 2.0 * z)).abs() < 5e-3, "{z}: {x}");
        }
        assert!((found.log_density(3.0) + 0.5 * (8.0 * std::f64::consts::PI).ln()).abs() < 1e-3);
        let few = SampledDensity::fit(&samples[..20], &weights[..20], (None, None), String::new());
        assert_eq!(
            few.expect_err("too few").0,
            "the 20 samples are worth 18 of equal weight, expected 50 at least"
        );
        let same = SampledDensity::fit(&[1.5; 100], &[1.0; 100], (None, None), String::new());
        assert_eq!(
            same.expect_err("no density").0,
            "too many samples are one and the same number, expected those of a density"
        );
    }
}
