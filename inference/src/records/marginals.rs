//! Weighted marginals of the parameters, and of what the model gives beside.

use super::posterior::Posterior;
use crate::base::weighted_quantiles;
use crate::space::ParameterSpace;
use crate::space::circle::{axis_start, moved_to};
use serde::{Deserialize, Serialize};

/// One parameter's weighted marginal. On a circle it is cut in an empty place, and mean and median lie within its
/// bounds; quantiles are those next to the median and may lie beyond a bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterSummary {
    /// Of the parameter.
    pub name: String,
    /// In the parameter's own units, as all that follows.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Half of the mass lies below.
    pub median: f64,
    /// 16 % of the mass lie below.
    pub quantile_16: f64,
    /// 84 % of the mass lie below.
    pub quantile_84: f64,
}

/// The weighted marginal of all that is shown, in the order of [`ParameterSpace::shown`]; NaN where no weight is positive.
pub fn parameter_summaries(space: &ParameterSpace, posterior: &Posterior) -> Vec<ParameterSummary> {
    marginals(space, posterior, &posterior.weight)
}

/// As [`parameter_summaries`], with other weights.
pub(crate) fn marginals(
    space: &ParameterSpace,
    posterior: &Posterior,
    weight: &[f64],
) -> Vec<ParameterSummary> {
    let columns = space.shown().enumerate();
    columns
        .map(|(j, (name, parameter))| {
            let mut rows = Vec::with_capacity(posterior.n_rows());
            for (i, &weight) in weight.iter().enumerate() {
                let value = posterior.shown_row(space, i).nth(j);
                // A derived quantity without a value takes no part.
                rows.extend(
                    value
                        .filter(|value| !value.is_nan())
                        .map(|value| (value, weight)),
                );
            }
            let (column, weight): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
            match parameter {
                Some(parameter) if parameter.periodic => {
                    summarize_circle(name, &column, &weight, parameter.prior.support())
                }
                Some(_) | None => summarize_parameter(name, &column, &weight),
            }
        })
        .collect()
}

fn summarize_parameter(name: &str, values: &[f64], weights: &[f64]) -> ParameterSummary {
    let total: f64 = weights.iter().sum();
    let expectation = |f: &dyn Fn(f64) -> f64| {
        values
            .iter()
            .zip(weights)
            .map(|(&value, weight)| weight * f(value))
            .sum::<f64>()
            / total
    };
    let mean = expectation(&|value| value);
    let quantiles = weighted_quantiles(values, weights, &[0.16, 0.5, 0.84]);
    ParameterSummary {
        name: name.to_owned(),
        mean,
        sd: expectation(&|value| (value - mean) * (value - mean)).sqrt(),
        median: quantiles[1],
        quantile_16: quantiles[0],
        quantile_84: quantiles[2],
    }
}

fn summarize_circle(
    name: &str,
    values: &[f64],
    weights: &[f64],
    (low, high): (f64, f64),
) -> ParameterSummary {
    let period = high - low;
    let start = axis_start(values, weights, (low, high));
    let moved: Vec<f64> = values
        .iter()
        .map(|&value| moved_to(start, period, value))
        .collect();
    let found = summarize_parameter(name, &moved, weights);
    let mean = moved_to(low, period, found.mean);
    let median = moved_to(low, period, found.median);
    ParameterSummary {
        mean,
        median,
        quantile_16: found.quantile_16 - found.median + median,
        quantile_84: found.quantile_84 - found.median + median,
        ..found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Prior};

    #[test]
    fn parameters_are_summarized_by_weight() {
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            prior: Prior::Normal { mean: 0.0, sd: 1.0 },
            periodic: false,
        };
        let space = ParameterSpace::independent(vec![parameter("a"), parameter("b")]);
        let posterior = Posterior {
            n_parameters: 2,
            theta: vec![0.0, 7.0, 4.0, 7.0, 1e9, -1e9],
            n_derived: 0,
            derived: Vec::new(),
            log_likelihood: vec![0.0; 3],
            log_prior: vec![0.0; 3],
            log_proposal: vec![0.0; 3],
            round: vec![0; 3],
            row_id: vec![0, 1, 2],
            weight: vec![0.75, 0.25, 0.0],
        };
        let found = parameter_summaries(&space, &posterior);
        assert_eq!(
            (found[0].name.as_str(), found[0].mean, found[0].sd),
            ("a", 1.0, 3f64.sqrt())
        );
        // The steps' middles are at 0.375 and 0.875.
        assert_eq!((found[0].quantile_16, found[0].median), (0.0, 1.0));
        assert!((found[0].quantile_84 - 3.72).abs() < 1e-14);
        assert_eq!(
            (found[1].mean, found[1].sd, found[1].median),
            (7.0, 0.0, 7.0)
        );
    }

    #[test]
    fn parameters_on_circles_are_summarized_across_their_bounds() {
        let space = ParameterSpace::independent(vec![Parameter {
            name: "phase".to_owned(),
            prior: Prior::Uniform {
                low: 0.0,
                high: 360.0,
            },
            periodic: true,
        }]);
        let rounded = |value: f64| (1e9 * value).round() / 1e9;
        let summary = |theta: &[f64]| {
            let n = theta.len();
            let posterior = Posterior {
                n_parameters: 1,
                theta: theta.to_vec(),
                n_derived: 0,
                derived: Vec::new(),
                log_likelihood: vec![0.0; n],
                log_prior: vec![0.0; n],
                log_proposal: vec![0.0; n],
                round: vec![0; n],
                row_id: (0..n as u64).collect(),
                weight: vec![1.0 / n as f64; n],
            };
            let found = parameter_summaries(&space, &posterior).remove(0);
            [
                found.mean,
                found.sd,
                found.median,
                found.quantile_16,
                found.quantile_84,
            ]
            .map(rounded)
        };
        // 350, 354, 358, 362, 366: their variance is 32.
        let sd = rounded(32f64.sqrt());
        let (low, high) = (351.2, 364.8);
        assert_eq!(
            summary(&[350.0, 354.0, 358.0, 2.0, 6.0]),
            [358.0, sd, 358.0, low, high]
        );
        // The same a third of a turn further on, and where the median is beyond the bound.
        assert_eq!(
            summary(&[110.0, 114.0, 118.0, 122.0, 126.0]),
            [118.0, sd, 118.0, 111.2, 124.8]
        );
        assert_eq!(
            summary(&[354.0, 358.0, 2.0, 6.0, 10.0]),
            [2.0, sd, 2.0, -4.8, 8.8]
        );
    }
}
