//! Minima of smooth functions of a few variables: BFGS (Nocedal & Wright 2006, algorithm 6.1) with halved steps.

/// Steps are halved this often before the search ends.
const MOST_HALVINGS: u32 = 20;
/// A step must bring this part of what the slope promises (Armijo).
const LEAST_GAIN: f64 = 1e-4;
/// No variable moves further in one step.
const LONGEST_STEP: f64 = 2.0;
/// Smaller gains end the search.
const SMALLEST_GAIN: f64 = 1e-4;

/// Where `function` (value and gradient, None where it has none) is least, from `start` on, after `n_steps` at most; `start`
/// where it has no value there.
pub fn minimum(
    function: impl Fn(&[f64]) -> Option<(f64, Vec<f64>)>,
    start: Vec<f64>,
    n_steps: u32,
) -> (f64, Vec<f64>) {
    let n = start.len();
    let Some((mut value, mut gradient)) = function(&start) else {
        return (f64::INFINITY, start);
    };
    let mut x = start;
    let mut inverse = identity(n);
    for _ in 0..n_steps {
        let mut direction: Vec<f64> = (0..n)
            .map(|i| -dot(&inverse[i * n..(i + 1) * n], &gradient))
            .collect();
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            inverse = identity(n);
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        let longest = direction.iter().fold(0.0f64, |most, d| most.max(d.abs()));
        let mut length = (LONGEST_STEP / longest.max(f64::MIN_POSITIVE)).min(1.0);
        let mut better = None;
        for _ in 0..MOST_HALVINGS {
            let there: Vec<f64> = x
                .iter()
                .zip(&direction)
                .map(|(x, d)| x + length * d)
                .collect();
            if let Some((found, slopes)) = function(&there)
                && found <= value + LEAST_GAIN * length * slope
            {
                better = Some((found, slopes, there));
                break;
            }
            length *= 0.5;
        }
        let Some((found, slopes, there)) = better else {
            break;
        };
        let step: Vec<f64> = there.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = slopes.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        update(&mut inverse, &step, &change);
        let gain = value - found;
        (value, gradient, x) = (found, slopes, there);
        if gain < SMALLEST_GAIN {
            break;
        }
    }
    (value, x)
}

/// The inverse of the curvature, from a step and the change of the gradient along it.
fn update(inverse: &mut [f64], step: &[f64], change: &[f64]) {
    let n = step.len();
    let along = dot(step, change);
    if along <= 1e-12 {
        return;
    }
    let moved: Vec<f64> = (0..n)
        .map(|i| dot(&inverse[i * n..(i + 1) * n], change))
        .collect();
    let factor = (1.0 + dot(change, &moved) / along) / along;
    for i in 0..n {
        for j in 0..n {
            inverse[i * n + j] +=
                factor * step[i] * step[j] - (step[i] * moved[j] + moved[i] * step[j]) / along;
        }
    }
}

fn identity(n: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; n * n];
    matrix.iter_mut().step_by(n + 1).for_each(|one| *one = 1.0);
    matrix
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_bent_valley_is_found() {
        // Rosenbrock (1960): 100 (y - x²)² + (1 - x)².
        let valley = |at: &[f64]| {
            let (bend, rest) = (at[1] - at[0] * at[0], 1.0 - at[0]);
            let slopes = vec![-400.0 * at[0] * bend - 2.0 * rest, 200.0 * bend];
            Some((100.0 * bend * bend + rest * rest, slopes))
        };
        let (value, x) = minimum(valley, vec![-1.2, 1.0], 200);
        assert!(value < 1e-4, "{value}");
        assert!(
            (x[0] - 1.0).abs() < 0.02 && (x[1] - 1.0).abs() < 0.04,
            "{x:?}"
        );
    }

    #[test]
    fn places_without_a_value_are_walked_around() {
        let half_line =
            |at: &[f64]| (at[0] > 0.0).then(|| (at[0] - at[0].ln(), vec![1.0 - 1.0 / at[0]]));
        let (_, x) = minimum(half_line, vec![0.01], 100);
        assert!((x[0] - 1.0).abs() < 0.05, "{x:?}");
        assert_eq!(
            minimum(half_line, vec![-1.0], 9),
            (f64::INFINITY, vec![-1.0])
        );
    }
}
