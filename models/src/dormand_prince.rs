//! Ordinary differential equations by the Runge-Kutta pair of orders 5 and 4 of Dormand and Prince (1980), with
//! the step size that keeps the error within a tolerance (Hairer, Nørsett and Wanner 1993, section II.4).

use sidereal_inference::campaign::model::Complaint;

/// Steps after which an equation counts as too stiff for an explicit method.
const MOST_STEPS: usize = 200_000;

/// Row i: coefficients of the slopes 0 to i in the argument of slope i + 1; the last is the solution of order 5.
const COEFFICIENTS: [&[f64]; 6] = [
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[
        19372.0 / 6561.0,
        -25360.0 / 2187.0,
        64448.0 / 6561.0,
        -212.0 / 729.0,
    ],
    &[
        9017.0 / 3168.0,
        -355.0 / 33.0,
        46732.0 / 5247.0,
        49.0 / 176.0,
        -5103.0 / 18656.0,
    ],
    &[
        35.0 / 384.0,
        0.0,
        500.0 / 1113.0,
        125.0 / 192.0,
        -2187.0 / 6784.0,
        11.0 / 84.0,
    ],
];

/// Order 5 minus order 4.
const ERROR: [f64; 7] = [
    71.0 / 57600.0,
    0.0,
    -71.0 / 16695.0,
    71.0 / 1920.0,
    -17253.0 / 339200.0,
    22.0 / 525.0,
    -1.0 / 40.0,
];

/// Refuses times that are not from 0 on, where differential equations begin, each after the one before.
pub(crate) fn check_times(what: &str, times: &[f64]) -> Result<(), Complaint> {
    let mut last = -f64::MIN_POSITIVE;
    for (i, &time) in times.iter().enumerate() {
        if time <= last {
            return Err(Complaint::of_model(format!(
                "point {i} of {what} is {time}, expected times from 0 on, each after the one before"
            )));
        }
        last = time;
    }
    Ok(())
}

/// Why there is no solution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum IntegrationError {
    #[error("no solution from t = {time} on within {MOST_STEPS} steps")]
    TooManySteps { time: f64 },
    #[error("the solution is not finite at t = {time}")]
    NotFinite { time: f64 },
}

/// The solution of y' = slope(y) with y(0) = `start` at `times`, which ascend from 0 or later. In each step the
/// estimated error of every y_i is at most `tolerance` (1 + |y_i|) in the root mean square.
pub(crate) fn integrate<const N: usize>(
    slope: impl Fn(&[f64; N]) -> [f64; N],
    start: [f64; N],
    times: &[f64],
    tolerance: f64,
) -> Result<Vec<[f64; N]>, IntegrationError> {
    let mut solution = Vec::with_capacity(times.len());
    let (mut time, mut y) = (0.0, start);
    let mut first_slope = slope(&y);
    let mut step = first_step(&y, &first_slope, tolerance);
    let mut n_steps = 0;
    for &end in times {
        while time < end {
            n_steps += 1;
            if n_steps > MOST_STEPS {
                return Err(IntegrationError::TooManySteps { time });
            }
            // A step that all but reaches the end goes there, so that no tiny one is left.
            let is_last = time + 1.01 * step >= end;
            let taken = if is_last { end - time } else { step };
            let trial = try_step(&slope, &y, &first_slope, taken, tolerance);
            if trial.error.is_nan() {
                step = 0.1 * taken;
                if time + step <= time {
                    return Err(IntegrationError::NotFinite { time });
                }
                continue;
            }
            let factor = (0.9 * libm::pow(trial.error, -0.2)).clamp(0.2, 5.0);
            if trial.error <= 1.0 {
                time = if is_last { end } else { time + taken };
                (y, first_slope) = (trial.y, trial.slope);
                // A step cut short by an end says little about the next.
                step = if taken < step {
                    step.max(taken * factor)
                } else {
                    taken * factor
                };
            } else {
                step = taken * factor.min(1.0);
                if time + step <= time {
                    return Err(IntegrationError::TooManySteps { time });
                }
            }
        }
        solution.push(y);
    }
    Ok(solution)
}

struct Trial<const N: usize> {
    y: [f64; N],
    /// At `y`: the first slope of the next step.
    slope: [f64; N],
    /// In units of the tolerance; NaN where the step left the numbers.
    error: f64,
}

fn try_step<const N: usize>(
    slope: &impl Fn(&[f64; N]) -> [f64; N],
    y: &[f64; N],
    first_slope: &[f64; N],
    step: f64,
    tolerance: f64,
) -> Trial<N> {
    let mut slopes = [*first_slope; 7];
    let mut next = *y;
    for (i, row) in COEFFICIENTS.iter().enumerate() {
        for (j, next) in next.iter_mut().enumerate() {
            let increment: f64 = row.iter().zip(&slopes).map(|(c, slope)| c * slope[j]).sum();
            *next = y[j] + step * increment;
        }
        slopes[i + 1] = slope(&next);
    }
    let mut square = 0.0;
    for j in 0..N {
        let error: f64 = ERROR
            .iter()
            .zip(&slopes)
            .map(|(c, slope)| c * slope[j])
            .sum();
        let scaled = step * error / (tolerance * (1.0 + y[j].abs().max(next[j].abs())));
        square += scaled * scaled;
    }
    let is_finite = next.iter().chain(&slopes[6]).all(|value| value.is_finite());
    let error = libm::sqrt(square / N as f64);
    Trial {
        y: next,
        slope: slopes[6],
        error: if is_finite && error.is_finite() {
            error.max(1e-10)
        } else {
            f64::NAN
        },
    }
}

/// A step over which y hardly moves.
fn first_step<const N: usize>(y: &[f64; N], slope: &[f64; N], tolerance: f64) -> f64 {
    let fastest = y
        .iter()
        .zip(slope)
        .map(|(y, slope)| slope.abs() / (1.0 + y.abs()))
        .fold(1e-6, f64::max);
    0.1 * libm::pow(tolerance, 0.2) / fastest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oscillator_keeps_its_circle() {
        let times: Vec<f64> = (0..=40).map(|i| 0.5 * f64::from(i)).collect();
        let solution = integrate(|&[x, v]: &[f64; 2]| [v, -x], [0.0, 1.0], &times, 1e-10);
        for (time, [x, v]) in times.iter().zip(solution.expect("a solution")) {
            assert!((x - time.sin()).abs() < 1e-8, "{time}: {x}");
            assert!((v - time.cos()).abs() < 1e-8, "{time}: {v}");
        }
    }

    #[test]
    fn the_error_follows_the_tolerance() {
        // y' = y - y², y(0) = 0.01: the logistic function.
        let exact = 1.0 / (1.0 + 99.0 * (-12.0f64).exp());
        let error = |tolerance: f64| {
            let solution = integrate(|&[y]: &[f64; 1]| [y - y * y], [0.01], &[12.0], tolerance);
            (solution.expect("a solution")[0][0] - exact).abs()
        };
        assert!(error(1e-4) > error(1e-7) && error(1e-7) > error(1e-10));
        assert!(error(1e-10) < 1e-10);
    }

    #[test]
    fn a_solution_that_ends_is_an_error() {
        // y' = y², y(0) = 1 is infinite at t = 1.
        let found = integrate(|&[y]: &[f64; 1]| [y * y], [1.0], &[0.5, 2.0], 1e-8);
        assert!(found.is_err(), "{found:?}");
        let before = integrate(|&[y]: &[f64; 1]| [y * y], [1.0], &[0.5], 1e-10);
        assert!((before.expect("a solution")[0][0] - 2.0).abs() < 1e-8);
    }

    #[test]
    fn coefficients_add_up() {
        let nodes = [0.2, 0.3, 0.8, 8.0 / 9.0, 1.0, 1.0];
        for (row, node) in COEFFICIENTS.iter().zip(nodes) {
            assert!((row.iter().sum::<f64>() - node).abs() < 1e-14);
        }
        assert!(ERROR.iter().sum::<f64>().abs() < 1e-15);
    }
}
