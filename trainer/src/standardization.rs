//! What the network is shown: data as channels, parameters standardized; fixed before a training
//! and stored with the model.

use crate::flow::axis::{Axis, axes};
use crate::training_set::TrainingSet;
use serde::{Deserialize, Serialize};
use sidereal_inference::circle::{self, Circle};
use sidereal_inference::refinement::Objective;

/// The channel that measures the distance to the reference in noise standard deviations.
pub const DISTANCE_CHANNEL: usize = 1;

/// Scales of data and parameters, from the rows that a flow is trained on. A flow that was fitted to
/// weighted draws sees no data: its columns of x are empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardization {
    /// Where the circle of each periodic parameter is cut, in turns after the prior's lower bound; 0 for
    /// others. What follows is of z cut there.
    pub seams: Vec<f64>,
    /// For a flow that knows circles: the periodic parameters, which it sees in turns.
    #[serde(default)]
    pub circles: Vec<Option<Circle>>,
    /// Mean of each unconstrained parameter z.
    pub z_mean: Vec<f64>,
    /// Standard deviation of each z.
    pub z_sd: Vec<f64>,
    /// Mean of each simulated datum.
    pub x_mean: Vec<f64>,
    /// Standard deviation of each simulated datum with its noise.
    pub x_sd: Vec<f64>,
    /// What the second channel is relative to: the observation, or the mean where there is none.
    pub reference: Vec<f64>,
    /// Mean and standard deviation of ln(sigma), where sigma varies from simulation to simulation.
    pub log_sigma: Option<(f64, f64)>,
}

impl Standardization {
    pub fn new(set: &TrainingSet) -> Self {
        let d = set.n_parameters();
        let circles: Vec<Option<Circle>> = axes(set.campaign())
            .into_iter()
            .enumerate()
            .map(|(j, axis)| match axis {
                Axis::Line => None,
                Axis::Circle => {
                    let z = set.z().iter().skip(j).step_by(d).copied();
                    Some(Circle::around(z, set.weight()))
                }
            })
            .collect();
        let seams: Vec<f64> = set
            .seams()
            .iter()
            .zip(&circles)
            .map(|(&seam, circle)| if circle.is_some() { 0.0 } else { seam })
            .collect();
        let z: Vec<f64> = set
            .z()
            .chunks_exact(d)
            .flat_map(|z| z.iter().zip(&seams))
            .map(|(&z, &seam)| circle::cut_at(seam, z).0)
            .collect();
        let (z_mean, z_sd) = column_moments(&z, d, Some(set.weight()));
        let z_sd = z_sd.iter().map(|sd| sd.max(1e-6)).collect();
        match set.objective() {
            Objective::Simulations => {}
            Objective::WeightedDraws { .. } => {
                return Self {
                    seams,
                    circles,
                    z_mean,
                    z_sd,
                    x_mean: Vec::new(),
                    x_sd: Vec::new(),
                    reference: Vec::new(),
                    log_sigma: None,
                };
            }
        }
        let (x_mean, simulated_sd) = column_moments(set.simulated(), set.n_data(), None);
        let typical = set.typical_sigma();
        let x_sd = simulated_sd
            .iter()
            .zip(&typical.sigma)
            .map(|(sd, sigma)| sd.hypot(*sigma))
            .collect();
        let reference = match set.observed() {
            Some(observed) => observed.to_vec(),
            None => x_mean.clone(),
        };
        Self {
            seams,
            circles,
            z_mean,
            z_sd,
            x_mean,
            x_sd,
            reference,
            log_sigma: typical.log_sigma,
        }
    }

    pub fn n_channels(&self) -> usize {
        if self.log_sigma.is_some() { 3 } else { 2 }
    }

    /// Channels of one datum after the other, `[length, channels]` row-major, appended to `out`.
    ///
    /// The first channel is standardized by the training data; the second measures the distance to
    /// the reference in noise standard deviations, compressed by asinh. Both are linear nearby and
    /// logarithmic far away, so that outliers do not throw the network off and late rounds resolve
    /// what the first cannot.
    pub fn append_channels(&self, x: &[f64], sigma: &[f64], out: &mut Vec<f32>) {
        for (i, (&x, &sigma)) in x.iter().zip(sigma).enumerate() {
            out.push(tamed((x - self.x_mean[i]) / self.x_sd[i]) as f32);
            out.push((((x - self.reference[i]) / sigma).asinh()) as f32);
            if let Some((mean, sd)) = self.log_sigma {
                out.push(((sigma.ln() - mean) / sd) as f32);
            }
        }
    }

    /// y of one row's stored z, appended to `out`: (z - mean) / sd on lines, turns from the centre on circles.
    /// Returns log |det dy/dz|, which turns a density of y into one of z.
    pub fn append_y(&self, z: &[f64], out: &mut Vec<f32>) -> f64 {
        let mut log_determinant = 0.0;
        for (j, &z) in z.iter().enumerate() {
            let (y, log_slope) = match self.circle(j) {
                Some(circle) => circle.y(z),
                None => {
                    let (cut, log_slope) = circle::cut_at(self.seams[j], z);
                    let y = (cut - self.z_mean[j]) / self.z_sd[j];
                    (y, log_slope - self.z_sd[j].ln())
                }
            };
            out.push(y as f32);
            log_determinant += log_slope;
        }
        log_determinant
    }

    /// z of one row: the inverse of [`append_y`](Self::append_y).
    pub fn z(&self, y: &[f32], z: &mut [f64]) {
        for (j, (z, &y)) in z.iter_mut().zip(y).enumerate() {
            let y = f64::from(y);
            *z = match self.circle(j) {
                Some(circle) => circle.z(y),
                None => circle::uncut(self.seams[j], self.z_mean[j] + self.z_sd[j] * y),
            };
        }
    }

    fn circle(&self, parameter: usize) -> Option<&Circle> {
        self.circles.get(parameter)?.as_ref()
    }
}

/// The identity up to three standard deviations, logarithmic beyond.
fn tamed(value: f64) -> f64 {
    const LINEAR: f64 = 3.0;
    if value.abs() <= LINEAR {
        return value;
    }
    value.signum() * (LINEAR + (1.0 + value.abs() - LINEAR).ln())
}

/// Mean and standard deviation of each column of a row-major matrix; rows without weights count alike.
fn column_moments<T: Copy + Into<f64>>(
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
