//! A Gaussian process of the forward model, learnt from the simulations that exist, and the likelihood that it gives any
//! place for nothing (Rasmussen & Williams 2006; for simulators e.g. Higdon et al. 2008).
//!
//! Simulated data less the observation, in units of the errors, are taken apart into principal components; one kernel
//! foretells all of them. How wrong it is, measured by leaving out each simulation in turn where the likelihood is
//! high, widens the likelihood: that alone keeps an early surrogate vague and a late one sharp.

use super::descent::minimum;
use super::kernel::Shape;
use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Accum, Mat, Par, Side};
use sidereal_inference::base::largest;
use sidereal_inference::weights::effective_sample_size;

/// Components that are kept at most, and the least variance of one, in units of that of the noise.
const MOST_COMPONENTS: usize = 30;
const LEAST_VARIANCE: f64 = 0.003;
/// Rows that lengths are fitted to.
const ROWS_FOR_LENGTHS: usize = 300;
const STEPS_FOR_LENGTHS: u32 = 25;
/// Least and most variance that is not the kernel's, relative to its own.
const NUGGETS: (f64, f64) = (1e-7, 0.1);
/// Standard deviation of ln(length) around ln(range of the prior / 2): what is not known stays where it is.
const LENGTH_SD: f64 = 2.0;
/// Effective rows that errors are judged by, nearest to the posterior.
const JUDGES: f64 = 40.0;
/// Squared errors of rows left out become this much variance: with less, what they happen to be in two modes decides which of
/// them stays.
const CAUTION: f64 = 4.0;

/// Simulations as they are learnt from.
pub struct Lesson {
    /// Coordinates of a place: one a line, two a circle.
    pub width: usize,
    /// Of each coordinate the parameter that it belongs to.
    pub parameter: Vec<usize>,
    /// `[n, width]`
    pub places: Vec<f64>,
    /// `[n, data]`: (simulated - observed) / sigma
    pub residuals: Vec<f64>,
    /// `[n]`
    pub log_likelihood: Vec<f64>,
}

/// The likelihood of any place, by what the simulator is taken to give there.
pub struct Surrogate {
    shape: Shape,
    /// One over the length, of each coordinate.
    scale: Vec<f64>,
    /// `[n, width]`, scaled
    places: Mat<f64>,
    /// `[n, components]`
    coefficients: Mat<f64>,
    /// Of each component what the observation is, and one over its variance there.
    target: Vec<f64>,
    precision: Vec<f64>,
}

/// Lengths, one a parameter, and the variance beside the kernel's.
struct Kernel {
    shape: Shape,
    lengths: Vec<f64>,
    nugget: f64,
}

impl Surrogate {
    /// None where nothing can be learnt: too few rows, or data that are all alike.
    pub fn fit(lesson: &Lesson) -> Option<Self> {
        let n = lesson.log_likelihood.len();
        let components = Components::of(lesson)?;
        let kernel = Kernel::fit(lesson, &components)?;
        let scale: Vec<f64> = lesson
            .parameter
            .iter()
            .map(|&parameter| 1.0 / kernel.lengths[parameter])
            .collect();
        let places = Mat::from_fn(n, lesson.width, |i, j| {
            lesson.places[i * lesson.width + j] * scale[j]
        });
        let alike = |i: usize, j: usize| {
            let square: f64 = (0..lesson.width)
                .map(|k| (places[(i, k)] - places[(j, k)]).powi(2))
                .sum();
            kernel.shape.at(square)
        };
        let matrix = Mat::from_fn(n, n, |i, j| if i >= j { alike(i, j) } else { 0.0 });
        let mut nugget = kernel.nugget;
        let factor = loop {
            let mut matrix = matrix.clone();
            (0..n).for_each(|i| matrix[(i, i)] += nugget);
            match matrix.llt(Side::Lower) {
                Ok(factor) => break factor,
                Err(_) if nugget < NUGGETS.1 => nugget *= 10.0,
                Err(_) => return None,
            }
        };
        let mut coefficients = factor.solve(&components.scores);
        let inverse = factor.inverse();
        let m = components.sd.len();
        // What each row's own data would be by all others: closed form.
        let weight = judges(&lesson.log_likelihood);
        let precision = (0..m).map(|j| {
            let squares = (0..n).map(|i| {
                let error = components.sd[j] * coefficients[(i, j)] / inverse[(i, i)];
                weight[i] * error * error
            });
            1.0 / (1.0 + CAUTION * squares.sum::<f64>())
        });
        let precision: Vec<f64> = precision.collect();
        for j in 0..m {
            for i in 0..n {
                coefficients[(i, j)] *= components.sd[j];
            }
        }
        let is_usable = precision.iter().all(|one| one.is_finite());
        is_usable.then_some(Self {
            shape: kernel.shape,
            scale,
            places,
            coefficients,
            target: components.target,
            precision,
        })
    }

    /// Up to a constant, at places `[n, width]`: `[n]`
    pub fn log_likelihood(&self, places: &[f64]) -> Vec<f64> {
        let width = self.scale.len();
        let (rows, n) = (places.len() / width, self.places.nrows());
        let scaled: Vec<f64> = places
            .chunks_exact(width)
            .flat_map(|place| place.iter().zip(&self.scale).map(|(x, scale)| x * scale))
            .collect();
        let mut alike = Mat::zeros(n, rows);
        for (column, place) in scaled.chunks_exact(width).enumerate() {
            let out = alike.col_as_slice_mut(column);
            for (k, x) in place.iter().enumerate() {
                for (out, known) in out.iter_mut().zip(self.places.col_as_slice(k)) {
                    *out += (known - x) * (known - x);
                }
            }
            out.iter_mut().for_each(|out| *out = self.shape.at(*out));
        }
        let mut foretold = Mat::zeros(self.target.len(), rows);
        matmul(
            foretold.as_mut(),
            Accum::Replace,
            self.coefficients.transpose(),
            alike.as_ref(),
            1.0,
            Par::Seq,
        );
        let of_row = |row: usize| {
            let terms = foretold.col_as_slice(row).iter().zip(&self.target);
            let squares = terms
                .zip(&self.precision)
                .map(|((foretold, target), precision)| precision * (foretold - target).powi(2));
            -0.5 * squares.sum::<f64>()
        };
        (0..rows).map(of_row).collect()
    }
}

/// Weights, summing to 1, of rows by their likelihood to a power that leaves enough of them.
fn judges(log_likelihood: &[f64]) -> Vec<f64> {
    let most = largest(log_likelihood.iter().copied());
    let weights = |power: f64| -> Vec<f64> {
        let all = log_likelihood.iter().map(|value| power * (value - most));
        all.collect()
    };
    let mut power = 1.0;
    while power > 1e-12 && effective_sample_size(&weights(power)) < JUDGES {
        power *= 0.8;
    }
    let weights: Vec<f64> = weights(power).into_iter().map(f64::exp).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// What data are made of.
struct Components {
    /// `[n, components]`, of unit variance.
    scores: Mat<f64>,
    /// Standard deviation of each, in units of the noise.
    sd: Vec<f64>,
    /// What each is for the observation, in units of the noise.
    target: Vec<f64>,
}

impl Components {
    fn of(lesson: &Lesson) -> Option<Self> {
        let n = lesson.log_likelihood.len();
        let n_data = lesson.residuals.len() / n.max(1);
        let mut data = Mat::from_fn(n, n_data, |i, j| lesson.residuals[i * n_data + j]);
        let mut mean = vec![0.0; n_data];
        for (j, mean) in mean.iter_mut().enumerate() {
            *mean = data.col_as_slice(j).iter().sum::<f64>() / n as f64;
            data.col_as_slice_mut(j)
                .iter_mut()
                .for_each(|value| *value -= *mean);
        }
        // Of data beside each other, or of rows, whichever are fewer: both have the same components.
        let is_of_data = n_data <= n;
        let size = n.min(n_data);
        let mut products = Mat::zeros(size, size);
        let (left, right) = match is_of_data {
            true => (data.transpose(), data.as_ref()),
            false => (data.as_ref(), data.transpose()),
        };
        let share = 1.0 / n as f64;
        matmul(
            products.as_mut(),
            Accum::Replace,
            left,
            right,
            share,
            Par::Seq,
        );
        let spectrum = products.self_adjoint_eigen(Side::Lower).ok()?;
        let variances = spectrum.S().column_vector();
        let kept: Vec<usize> = (0..size)
            .rev()
            .take(MOST_COMPONENTS)
            .filter(|&j| variances[j] > LEAST_VARIANCE)
            .collect();
        if kept.is_empty() {
            return None;
        }
        let m = kept.len();
        let sd: Vec<f64> = kept.iter().map(|&j| variances[j].sqrt()).collect();
        // Directions in data, [data, components].
        let vectors = Mat::from_fn(size, m, |i, j| spectrum.U()[(i, kept[j])]);
        let directions = match is_of_data {
            true => vectors,
            false => {
                let mut directions = Mat::zeros(n_data, m);
                matmul(
                    directions.as_mut(),
                    Accum::Replace,
                    data.transpose(),
                    vectors.as_ref(),
                    1.0,
                    Par::Seq,
                );
                for (j, sd) in sd.iter().enumerate() {
                    let length = sd * (n as f64).sqrt();
                    let column = directions.col_as_slice_mut(j);
                    column.iter_mut().for_each(|value| *value /= length);
                }
                directions
            }
        };
        let mut scores = Mat::zeros(n, m);
        matmul(
            scores.as_mut(),
            Accum::Replace,
            data.as_ref(),
            directions.as_ref(),
            1.0,
            Par::Seq,
        );
        let mut target = vec![0.0; m];
        for (j, target) in target.iter_mut().enumerate() {
            let direction = directions.col_as_slice(j);
            *target = -mean.iter().zip(direction).map(|(a, b)| a * b).sum::<f64>();
            let column = scores.col_as_slice_mut(j);
            column.iter_mut().for_each(|score| *score /= sd[j]);
        }
        Some(Self { scores, sd, target })
    }
}

impl Kernel {
    /// By the largest marginal likelihood of some of the rows, of either shape.
    fn fit(lesson: &Lesson, components: &Components) -> Option<Self> {
        let n = lesson.log_likelihood.len();
        let m = components.sd.len();
        let n_lengths = lesson.parameter.last()? + 1;
        // Evenly through all ranks of the likelihood.
        let mut by_rank: Vec<usize> = (0..n).collect();
        by_rank.sort_by(|&a, &b| {
            lesson.log_likelihood[a]
                .total_cmp(&lesson.log_likelihood[b])
                .then(a.cmp(&b))
        });
        let n_rows = n.min(ROWS_FOR_LENGTHS);
        let rows: Vec<usize> = (0..n_rows).map(|i| by_rank[i * n / n_rows]).collect();
        let scores = Mat::from_fn(n_rows, m, |i, j| components.scores[(rows[i], j)]);
        let mut squares = vec![Mat::<f64>::zeros(n_rows, n_rows); n_lengths];
        for (k, &parameter) in lesson.parameter.iter().enumerate() {
            let at = |i: usize| lesson.places[rows[i] * lesson.width + k];
            for j in 0..n_rows {
                for i in 0..n_rows {
                    squares[parameter][(i, j)] += (at(i) - at(j)).powi(2);
                }
            }
        }
        let tried = [Shape::Gaussian, Shape::Matern].map(|shape| {
            let mut start = vec![0.0; n_lengths + 1];
            start[n_lengths] = -2.0;
            let misfit = |at: &[f64]| misfit(shape, &squares, &scores, at);
            let (value, at) = minimum(misfit, start, STEPS_FOR_LENGTHS);
            (value, shape, at)
        });
        let (value, shape, at) = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
        value.is_finite().then(|| Self {
            shape,
            lengths: at[..n_lengths].iter().map(|x| x.exp()).collect(),
            nugget: nugget(at[n_lengths]).0,
        })
    }
}

/// The nugget of an unbounded variable, and the slope of its logarithm.
fn nugget(x: f64) -> (f64, f64) {
    let (least, most) = (NUGGETS.0.ln(), NUGGETS.1.ln());
    let share = 1.0 / (1.0 + (-x).exp());
    let slope = (most - least) * share * (1.0 - share);
    ((least + (most - least) * share).exp(), slope)
}

/// -log marginal likelihood of the scores over the variance that fits best, by ln(lengths) and the nugget's variable, and
/// its gradient.
fn misfit(
    shape: Shape,
    squares: &[Mat<f64>],
    scores: &Mat<f64>,
    at: &[f64],
) -> Option<(f64, Vec<f64>)> {
    let (n, m) = (scores.nrows(), scores.ncols());
    let n_lengths = squares.len();
    let inverse_squares: Vec<f64> = at[..n_lengths].iter().map(|x| (-2.0 * x).exp()).collect();
    let (nugget, nugget_slope) = nugget(at[n_lengths]);
    let mut kernel = Mat::zeros(n, n);
    let mut slopes = Mat::<f64>::zeros(n, n);
    for j in 0..n {
        for i in j..n {
            let square = squares
                .iter()
                .zip(&inverse_squares)
                .map(|(squares, scale)| squares[(i, j)] * scale)
                .sum();
            let (value, slope) = shape.at_with_slope(square);
            kernel[(i, j)] = value;
            slopes[(i, j)] = slope;
        }
        kernel[(j, j)] += nugget;
    }
    let factor = kernel.llt(Side::Lower).ok()?;
    let solved = factor.solve(scores);
    let explained: f64 = (0..m)
        .map(|j| {
            let both = solved.col_as_slice(j).iter().zip(scores.col_as_slice(j));
            both.map(|(a, b)| a * b).sum::<f64>()
        })
        .sum();
    let variance = explained / (n * m) as f64;
    let log_volume: f64 = (0..n).map(|i| factor.L()[(i, i)].ln()).sum();
    let prior: f64 = at[..n_lengths]
        .iter()
        .map(|x| 0.5 * (x / LENGTH_SD).powi(2))
        .sum();
    let value = 0.5 * (n * m) as f64 * variance.ln() + m as f64 * log_volume + prior;
    if !value.is_finite() {
        return None;
    }
    // By K: (m K⁻¹ - A Aᵀ / variance) / 2, with A = K⁻¹ scores.
    let mut by_kernel = factor.inverse();
    matmul(
        by_kernel.as_mut(),
        Accum::Add,
        solved.as_ref(),
        solved.transpose(),
        -1.0 / (variance * m as f64),
        Par::Seq,
    );
    let half = 0.5 * m as f64;
    let mut gradient = vec![0.0; n_lengths + 1];
    for j in 0..n {
        gradient[n_lengths] += half * by_kernel[(j, j)] * nugget * nugget_slope;
        for i in j + 1..n {
            let both = 2.0 * half * by_kernel[(i, j)] * slopes[(i, j)];
            for (k, squares) in squares.iter().enumerate() {
                gradient[k] += both * squares[(i, j)] * inverse_squares[k];
            }
        }
    }
    for (slope, x) in gradient.iter_mut().zip(&at[..n_lengths]) {
        *slope += x / LENGTH_SD.powi(2);
    }
    Some((value, gradient))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places of a plane, evenly but without a grid, and data that bend there.
    fn lesson(n: usize) -> Lesson {
        let place = |i: usize| {
            let i = i as f64;
            [
                3.4 * ((i * 0.618_034).fract() - 0.5),
                3.4 * ((i * 0.754_878).fract() - 0.5),
            ]
        };
        let places: Vec<f64> = (0..n).flat_map(place).collect();
        let residuals: Vec<f64> = places.chunks_exact(2).flat_map(data).collect();
        let log_likelihood = residuals
            .chunks_exact(N_DATA)
            .map(|data| -0.5 * data.iter().map(|x| x * x).sum::<f64>())
            .collect();
        Lesson {
            width: 2,
            parameter: vec![0, 1],
            places,
            residuals,
            log_likelihood,
        }
    }

    const N_DATA: usize = 12;

    fn data(x: &[f64]) -> [f64; N_DATA] {
        std::array::from_fn(|k| 5.0 * ((x[0] * (1.0 + 0.1 * k as f64)).sin() + 0.5 * x[1] - 0.2))
    }

    #[test]
    fn the_likelihood_of_places_that_were_not_simulated_is_known() {
        let surrogate = Surrogate::fit(&lesson(150)).expect("learns");
        let place = [0.31, -0.17];
        let exact = -0.5 * data(&place).iter().map(|x| x * x).sum::<f64>();
        let there = [0.9, 0.8];
        let exact_there = -0.5 * data(&there).iter().map(|x| x * x).sum::<f64>();
        let found = surrogate.log_likelihood(&[place, there].concat());
        let gap = (found[0] - found[1]) - (exact - exact_there);
        assert!(
            gap.abs() < 0.05 * (exact - exact_there).abs(),
            "{found:?} {exact} {exact_there}"
        );
    }

    #[test]
    fn what_is_known_badly_is_flat() {
        let contrast = |n| {
            let surrogate = Surrogate::fit(&lesson(n)).expect("learns");
            let found = surrogate.log_likelihood(&[0.2, 0.2, 1.5, 1.5]);
            found[0] - found[1]
        };
        let (few, many) = (contrast(12), contrast(150));
        assert!(few < 0.5 * many, "{few} {many}");
    }

    #[test]
    fn more_data_than_rows_are_the_same_to_it() {
        let few = lesson(60);
        // The same data twice, each with half of its weight.
        let twice: Vec<f64> = few
            .residuals
            .chunks_exact(N_DATA)
            .flat_map(|data| data.repeat(6).into_iter().map(|x| x / 6f64.sqrt()))
            .collect();
        let many = Lesson {
            residuals: twice,
            places: few.places.clone(),
            parameter: few.parameter.clone(),
            log_likelihood: few.log_likelihood.clone(),
            width: 2,
        };
        let at = [0.3, 0.1, -0.4, 1.2];
        let a = Surrogate::fit(&few).expect("learns").log_likelihood(&at);
        let b = Surrogate::fit(&many).expect("learns").log_likelihood(&at);
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-3 * a.abs(), "{a} {b}");
        }
    }

    #[test]
    fn gradients_are_those_of_the_values() {
        let lesson = lesson(40);
        let components = Components::of(&lesson).expect("components");
        let mut squares = vec![Mat::<f64>::zeros(40, 40); 2];
        for (k, squares) in squares.iter_mut().enumerate() {
            for j in 0..40 {
                for i in 0..40 {
                    let gap = lesson.places[2 * i + k] - lesson.places[2 * j + k];
                    squares[(i, j)] = gap * gap;
                }
            }
        }
        for shape in [Shape::Gaussian, Shape::Matern] {
            let at = [0.2, 0.7, 1.0];
            let value =
                |at: &[f64]| misfit(shape, &squares, &components.scores, at).expect("a value");
            let (_, gradient) = value(&at);
            for k in 0..3 {
                let (mut above, mut below) = (at, at);
                above[k] += 1e-5;
                below[k] -= 1e-5;
                let expected = (value(&above).0 - value(&below).0) / 2e-5;
                let gap = (gradient[k] - expected).abs();
                assert!(
                    gap < 1e-3 * (1.0 + expected.abs()),
                    "{shape:?} {k}: {gradient:?} {expected}"
                );
            }
        }
    }

    #[test]
    fn data_that_are_all_alike_teach_nothing() {
        let mut lesson = lesson(20);
        lesson.residuals.iter_mut().for_each(|x| *x = 1.0);
        assert!(Surrogate::fit(&lesson).is_none());
    }
}
