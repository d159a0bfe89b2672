//! Scales of a training set: the standardization of what is trained on it.

use crate::flow::{Axis, axes};
use crate::pieces::pieces;
use crate::standardization::{Standardization, line};
use crate::training_set::TrainingSet;
use sidereal_inference::space::circle::Circle;
use sidereal_inference::weights::Objective;

impl Standardization {
    /// From the rows of `set`.
    pub fn new(set: &TrainingSet) -> Self {
        let d = set.n_parameters();
        let circles: Vec<Option<Circle>> = axes(set.campaign)
            .into_iter()
            .enumerate()
            .map(|(j, axis)| match axis {
                Axis::Line => None,
                Axis::Circle => {
                    let z = set.z.iter().skip(j).step_by(d).copied();
                    Some(Circle::around(z, &set.weight))
                }
            })
            .collect();
        let cut = |(&seam, circle): (_, &Option<Circle>)| if circle.is_some() { 0.0 } else { seam };
        let seams: Vec<f64> = set.seams.iter().zip(&circles).map(cut).collect();
        let leans = set.leans.clone();
        let z: Vec<f64> = set
            .z
            .chunks_exact(d)
            .flat_map(|z| z.iter().enumerate())
            .map(|(j, &z)| line(&seams, &leans, j, z).0)
            .collect();
        let (z_mean, z_sd) = column_moments(&z, d, Some(&set.weight));
        let z_sd = z_sd.iter().map(|sd| sd.max(1e-6)).collect();
        let of_draws = Self {
            seams,
            leans,
            circles,
            z_mean,
            z_sd,
            pieces: Vec::new(),
            x_mean: Vec::new(),
            x_sd: Vec::new(),
            log_sigma: None,
        };
        match set.objective {
            Objective::Simulations => {}
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                return of_draws.with_pieces(set);
            }
        }
        let moments = set.noisy_moments.clone();
        let (x_mean, simulated_sd) =
            moments.unwrap_or_else(|| column_moments(&set.simulated, set.n_data(), None));
        let (x_sd, log_sigma) = match set.typical_sigma() {
            Some((sigma, log_sigma)) => {
                let both = simulated_sd.iter().zip(&sigma);
                let x_sd = both.map(|(sd, sigma)| sd.hypot(*sigma)).collect();
                let varies = set.campaign.noise.sigma_varies();
                (x_sd, varies.then_some(log_sigma))
            }
            None => {
                // Counts may be the same in every row.
                let or_one = |&sd: &f64| if sd > 0.0 { sd } else { 1.0 };
                (simulated_sd.iter().map(or_one).collect(), None)
            }
        };
        Self {
            x_mean,
            x_sd,
            log_sigma,
            ..of_draws
        }
    }
}

impl Standardization {
    /// With the pieces of the draws of `set`; frames have no place for circles.
    fn with_pieces(mut self, set: &TrainingSet) -> Self {
        if self.circles.iter().any(Option::is_some) {
            return self;
        }
        let d = set.n_parameters();
        let mut y = Vec::with_capacity(set.z.len());
        for z in set.z.chunks_exact(d) {
            self.append_y(z, &mut y);
        }
        self.pieces = pieces(&y, d, &set.weight);
        self
    }
}

/// Mean and standard deviation of each column of a row-major matrix; rows without weights count alike.
pub(crate) fn column_moments<T: Copy + Into<f64>>(
    values: &[T],
    n_columns: usize,
    weights: Option<&[f64]>,
) -> (Vec<f64>, Vec<f64>) {
    let n_rows = values.len() / n_columns.max(1);
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let total = (0..n_rows).map(weight).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut mean = vec![0.0; n_columns];
    for (row, values) in values.chunks_exact(n_columns).enumerate() {
        for (mean, &value) in mean.iter_mut().zip(values) {
            *mean += weight(row) * value.into();
        }
    }
    mean.iter_mut().for_each(|mean| *mean /= total);
    let mut variance = vec![0.0; n_columns];
    for (row, values) in values.chunks_exact(n_columns).enumerate() {
        for ((variance, mean), &value) in variance.iter_mut().zip(&mean).zip(values) {
            let deviation = value.into() - mean;
            *variance += weight(row) * deviation * deviation;
        }
    }
    let sd = variance
        .iter()
        .map(|variance| (variance / total).sqrt())
        .collect();
    (mean, sd)
}
