//! One-dimensional priors and their maps to the unconstrained space, in which each is standard normal.

use super::beta;
use super::beta::UnitPoint;
use super::prior_error::PriorError;
use super::sampled::SampledDensity;
use crate::base::normal;
use serde::{Deserialize, Serialize};

/// A prior of one parameter, in the parameter's own units. Usable only where [`Prior::check`] passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "fields are the usual parameters of these distributions"
)]
pub enum Prior {
    /// The same density from `low` to `high`.
    Uniform { low: f64, high: f64 },
    /// With this mean and standard deviation.
    Normal { mean: f64, sd: f64 },
    /// A normal one cut off at `low` and `high`; `mean` and `sd` are those before that.
    TruncatedNormal {
        mean: f64,
        sd: f64,
        low: f64,
        high: f64,
    },
    /// ln(parameter) is normal with these `mean` and `sd`.
    LogNormal { mean: f64, sd: f64 },
    /// ln(parameter) is uniform from ln `low` to ln `high`.
    LogUniform { low: f64, high: f64 },
    /// Beta(alpha, beta) stretched to [low, high] (0 and 1 unless given).
    Beta {
        alpha: f64,
        beta: f64,
        low: f64,
        high: f64,
    },
    /// Fitted to samples.
    Samples(SampledDensity),
}

/// Beyond this |z| the bounded priors' maps stand still: Φ is about to underflow.
const Z_LIMIT: f64 = 37.5;

/// Magnitudes of bounds, means, widths and standard deviations. Between them nothing that is computed of a prior
/// overflows or loses its digits to underflow.
const SMALLEST: f64 = 1e-300;
const LARGEST: f64 = 1e300;

/// The least width or standard deviation, in units of the parameter's own magnitude: less leaves too few numbers.
const LEAST_RELATIVE_WIDTH: f64 = 1e-12;

/// Widths of a truncated normal's interval in standard deviations.
const TRUNCATED_WIDTHS: (f64, f64) = (1e-290, 1e290);

/// The interval of a truncated normal may not lie further out than this many standard deviations.
const MAX_TRUNCATION: f64 = 37.0;

impl Prior {
    /// Whether the numbers make a distribution that f64 can hold.
    pub fn check(&self) -> Result<(), PriorError> {
        match *self {
            Self::Uniform { low, high } => check_bounds(low, high),
            Self::Normal { mean, sd } => check_normal(mean, sd),
            Self::TruncatedNormal {
                mean,
                sd,
                low,
                high,
            } => {
                check_normal(mean, sd)?;
                check_bounds(low, high)?;
                let distance = ((low - mean) / sd).max((mean - high) / sd);
                if distance > MAX_TRUNCATION {
                    return refuse(format!(
                        "low {low} to high {high} lies {distance:.1} sd from mean {mean}; \
                         at most {MAX_TRUNCATION} are possible"
                    ));
                }
                let width = (high - low) / sd;
                let (least, most) = TRUNCATED_WIDTHS;
                if !(least..=most).contains(&width) {
                    return refuse(format!(
                        "low {low} to high {high} are {width:?} sd, expected {least:?} to {most:?}"
                    ));
                }
                Ok(())
            }
            Self::LogNormal { mean, sd } => {
                check_normal(mean, sd)?;
                if mean.abs() + 10.0 * sd > 700.0 {
                    return refuse(format!(
                        "mean {mean} and sd {sd} are of ln(parameter): exp(mean ± 10 sd) is beyond what numbers can hold"
                    ));
                }
                if sd < LEAST_RELATIVE_WIDTH {
                    return refuse(format!(
                        "sd {sd:?} of ln(parameter) is too narrow to tell its values apart, expected at least {LEAST_RELATIVE_WIDTH:?}"
                    ));
                }
                Ok(())
            }
            Self::LogUniform { low, high } => {
                check_bounds(low, high)?;
                if low < SMALLEST {
                    return refuse(format!("low is {low:?}, expected at least {SMALLEST:?}"));
                }
                Ok(())
            }
            Self::Beta {
                alpha,
                beta,
                low,
                high,
            } => {
                for (key, value) in [("alpha", alpha), ("beta", beta)] {
                    if !(0.01..=1e6).contains(&value) {
                        return refuse(format!("{key} {value} is not in [0.01, 1e6]"));
                    }
                }
                check_bounds(low, high)
            }
            Self::Samples(ref density) => {
                let bounds = [density.low, density.high].into_iter().flatten();
                bounds
                    .clone()
                    .try_for_each(|bound| check_magnitude("a bound", bound))?;
                density.check()
            }
        }
    }

    /// The bounds, infinite where there are none.
    pub fn support(&self) -> (f64, f64) {
        match *self {
            Self::Uniform { low, high }
            | Self::TruncatedNormal { low, high, .. }
            | Self::LogUniform { low, high }
            | Self::Beta { low, high, .. } => (low, high),
            Self::Normal { .. } => (f64::NEG_INFINITY, f64::INFINITY),
            Self::LogNormal { .. } => (0.0, f64::INFINITY),
            Self::Samples(ref density) => density.support(),
        }
    }

    /// log p(x), normalized, in the parameter's own units; -inf outside the support and for NaN.
    pub fn log_density(&self, x: f64) -> f64 {
        let (lowest, highest) = self.support();
        if !(x >= lowest && x <= highest && x.is_finite()) {
            return f64::NEG_INFINITY;
        }
        match *self {
            Self::Uniform { low, high } => -(high - low).ln(),
            Self::Normal { mean, sd } => normal::log_density((x - mean) / sd) - sd.ln(),
            Self::TruncatedNormal {
                mean,
                sd,
                low,
                high,
            } => {
                let log_mass =
                    normal::log_mass((low - mean) / sd, (high - mean) / sd, (high - low) / sd);
                normal::log_density((x - mean) / sd) - sd.ln() - log_mass
            }
            Self::LogNormal { .. } if x == 0.0 => f64::NEG_INFINITY,
            Self::LogNormal { mean, sd } => {
                normal::log_density((x.ln() - mean) / sd) - sd.ln() - x.ln()
            }
            Self::LogUniform { low, high } => -x.ln() - log_ratio(high, low).ln(),
            Self::Beta {
                alpha,
                beta,
                low,
                high,
            } => {
                let width = high - low;
                power(alpha, (x - low) / width) + power(beta, (high - x) / width)
                    - beta::log_beta(alpha, beta)
                    - width.ln()
            }
            Self::Samples(ref density) => density.log_density(x),
        }
    }

    /// z = Φ⁻¹(F(x)): finite for every x in the support, bounds included; x beyond a bound counts as at it.
    ///
    /// Relatively exact in the distance from the nearer bound, so that z = 9 is as good as z = -9 wherever
    /// f64 can tell x from the bound.
    pub fn to_unconstrained(&self, x: f64) -> f64 {
        if x.is_nan() {
            return x;
        }
        let x = self.inside(x);
        match *self {
            Self::Normal { mean, sd } => ((x - mean) / sd).clamp(-f64::MAX, f64::MAX),
            Self::LogNormal { mean, sd } => (x.ln() - mean) / sd,
            Self::Uniform { low, high } => {
                let width = high - low;
                quantile_of_tails((x - low) / width, (high - x) / width)
            }
            Self::LogUniform { low, high } => {
                let width = log_ratio(high, low);
                quantile_of_tails(log_ratio(x, low) / width, -log_ratio(x, high) / width)
            }
            Self::TruncatedNormal {
                mean,
                sd,
                low,
                high,
            } => {
                let (a, t, b) = ((low - mean) / sd, (x - mean) / sd, (high - mean) / sd);
                let log_mass = normal::log_mass(a, b, (high - low) / sd);
                let log_lower = normal::log_mass(a, t, (x - low) / sd) - log_mass;
                let log_upper = normal::log_mass(t, b, (high - x) / sd) - log_mass;
                quantile_of_log_tails(log_lower, log_upper)
            }
            Self::Beta {
                alpha,
                beta,
                low,
                high,
            } => {
                let width = high - low;
                let point = if x - low <= high - x {
                    UnitPoint::FromZero((x - low) / width)
                } else {
                    UnitPoint::FromOne((high - x) / width)
                };
                let (log_lower, log_upper) = beta::log_tails(alpha, beta, point);
                quantile_of_log_tails(log_lower, log_upper)
            }
            Self::Samples(ref density) => density.unconstrained(x),
        }
    }

    /// x = F⁻¹(Φ(z)): finite, strictly between the bounds, and monotone up to rounding (1e-14), for every number z.
    ///
    /// Each half of the distribution is measured from its own bound, so neither end loses digits to the other.
    pub fn from_unconstrained(&self, z: f64) -> f64 {
        if z.is_nan() {
            return z;
        }
        let x = match *self {
            Self::Normal { mean, sd } => mean + sd * z,
            Self::LogNormal { mean, sd } => (mean + sd * z).exp(),
            Self::Uniform { low, high } => {
                let part = (high - low) * normal::tail(z.clamp(-Z_LIMIT, Z_LIMIT));
                if z <= 0.0 {
                    low + part
                } else {
                    (high - part).max(0.5 * low + 0.5 * high)
                }
            }
            Self::LogUniform { low, high } => {
                let part = log_ratio(high, low) * normal::tail(z.clamp(-Z_LIMIT, Z_LIMIT));
                if z <= 0.0 {
                    low * part.exp()
                } else {
                    high * (-part).exp()
                }
            }
            Self::TruncatedNormal {
                mean,
                sd,
                low,
                high,
            } => {
                let (a, b, width) = ((low - mean) / sd, (high - mean) / sd, (high - low) / sd);
                if z <= 0.0 {
                    match truncated_below_median(a, b, width, z.max(-Z_LIMIT)) {
                        Truncated::FromBound(distance) => low + sd * distance,
                        Truncated::FromMean(t) => mean + sd * t,
                    }
                } else {
                    match truncated_below_median(-b, -a, width, (-z).max(-Z_LIMIT)) {
                        Truncated::FromBound(distance) => high - sd * distance,
                        Truncated::FromMean(t) => mean - sd * t,
                    }
                }
            }
            Self::Beta {
                alpha,
                beta,
                low,
                high,
            } => match beta::quantile(alpha, beta, z.clamp(-Z_LIMIT, Z_LIMIT)) {
                UnitPoint::FromZero(x) => low + (high - low) * x,
                UnitPoint::FromOne(y) => high - (high - low) * y,
            },
            Self::Samples(ref density) => density.constrained(z),
        };
        self.inside(x)
    }

    /// The nearest number strictly between the bounds.
    fn inside(&self, x: f64) -> f64 {
        let (low, high) = match *self {
            // ln must stay exact, which it is not for subnormal numbers.
            Self::LogNormal { .. } => (f64::MIN_POSITIVE, f64::MAX),
            Self::Normal { .. } => (-f64::MAX, f64::MAX),
            Self::Uniform { low, high }
            | Self::TruncatedNormal { low, high, .. }
            | Self::LogUniform { low, high }
            | Self::Beta { low, high, .. } => (low.next_up(), high.next_down()),
            Self::Samples(ref density) => {
                let (low, high) = density.support();
                (low.next_up(), high.next_down())
            }
        };
        x.clamp(low, high)
    }
}

fn check_bounds(low: f64, high: f64) -> Result<(), PriorError> {
    check_magnitude("low", low)?;
    check_magnitude("high", high)?;
    if low >= high {
        return refuse(format!("low {low} is not below high {high}"));
    }
    let width = high - low;
    if width < SMALLEST {
        return refuse(format!(
            "low {low:?} to high {high:?} is too narrow, expected at least {SMALLEST:?} between them"
        ));
    }
    let least = LEAST_RELATIVE_WIDTH * low.abs().max(high.abs());
    if width < least {
        return refuse(format!(
            "low {low} to high {high} is too narrow to tell its values apart, expected at least {least:?} between them"
        ));
    }
    Ok(())
}

fn check_normal(mean: f64, sd: f64) -> Result<(), PriorError> {
    check_magnitude("mean", mean)?;
    if sd.is_nan() || sd <= 0.0 {
        return refuse(format!("sd {sd} is not a positive number"));
    }
    if !(SMALLEST..=LARGEST).contains(&sd) {
        return refuse(format!(
            "sd is {sd:?}, expected {SMALLEST:?} to {LARGEST:?}"
        ));
    }
    let least = LEAST_RELATIVE_WIDTH * mean.abs();
    if sd < least {
        return refuse(format!(
            "sd {sd:?} is too narrow to tell the values around mean {mean} apart, expected at least {least:?}"
        ));
    }
    Ok(())
}

fn check_magnitude(key: &str, value: f64) -> Result<(), PriorError> {
    if !value.is_finite() {
        return refuse(format!("{key} {value} is not finite"));
    }
    if value.abs() > LARGEST {
        return refuse(format!(
            "{key} is {value:?}, expected {:?} to {LARGEST:?}",
            -LARGEST
        ));
    }
    Ok(())
}

fn refuse(message: String) -> Result<(), PriorError> {
    Err(PriorError(message))
}

/// (shape - 1) ln x, with 0 · ln 0 = 0; at an infinite bound of the density its nearest finite value.
fn power(shape: f64, x: f64) -> f64 {
    if shape == 1.0 {
        return 0.0;
    }
    let x = match shape < 1.0 {
        true => x.max(f64::MIN_POSITIVE),
        false => x,
    };
    (shape - 1.0) * x.ln()
}

/// ln(x / reference), exact near the reference; the quotient itself overflows for the widest priors.
fn log_ratio(x: f64, reference: f64) -> f64 {
    let relative = (x - reference) / reference;
    if relative.abs() < 0.5 {
        relative.ln_1p()
    } else {
        x.ln() - reference.ln()
    }
}

fn quantile_of_tails(lower: f64, upper: f64) -> f64 {
    let z = if lower <= upper {
        normal::lower_quantile(lower)
    } else {
        -normal::lower_quantile(upper)
    };
    z.clamp(-Z_LIMIT, Z_LIMIT)
}

fn quantile_of_log_tails(log_lower: f64, log_upper: f64) -> f64 {
    let z = if log_lower <= log_upper {
        normal::quantile_of_log(log_lower)
    } else {
        -normal::quantile_of_log(log_upper)
    };
    z.clamp(-Z_LIMIT, Z_LIMIT)
}

/// A point of the lower half of a truncated standard normal.
enum Truncated {
    FromBound(f64),
    FromMean(f64),
}

/// Where the standard normal truncated to [a, b], `width` apart, has mass Φ(z) below it, for z <= 0.
fn truncated_below_median(a: f64, b: f64, width: f64, z: f64) -> Truncated {
    let log_target = normal::log_cdf(z) + normal::log_mass(a, b, width);
    let log_outside = normal::log_cdf(a);
    if a > 0.0 || log_target <= log_outside {
        return Truncated::FromBound(normal::width_of_log_mass(a, log_target, width));
    }
    let log_cdf = log_target + (log_outside - log_target).exp().ln_1p();
    Truncated::FromMean(normal::quantile_of_log(log_cdf))
}

#[cfg(test)]
mod tests;
