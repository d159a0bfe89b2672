//! What the network is shown: data as channels, parameters standardized; fixed before a training
//! and stored with the model.

use crate::training_set::TrainingSet;
use serde::{Deserialize, Serialize};

/// The channel that measures the distance to the reference in noise standard deviations.
pub const DISTANCE_CHANNEL: usize = 1;

/// Scales of data and parameters, from the rows that a flow is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardization {
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
        let (z_mean, z_sd) = column_moments(set.z(), set.n_parameters());
        let (x_mean, simulated_sd) = column_moments(set.simulated(), set.n_data());
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
            z_mean,
            z_sd: z_sd.iter().map(|sd| sd.max(1e-6)).collect(),
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

    /// y = (z - mean) / sd of one row, appended to `out`.
    pub fn append_y(&self, z: &[f64], out: &mut Vec<f32>) {
        for ((z, mean), sd) in z.iter().zip(&self.z_mean).zip(&self.z_sd) {
            out.push(((z - mean) / sd) as f32);
        }
    }

    /// z = mean + sd · y of one row.
    pub fn z(&self, y: &[f32], z: &mut [f64]) {
        for (i, z) in z.iter_mut().enumerate() {
            *z = self.z_mean[i] + self.z_sd[i] * f64::from(y[i]);
        }
    }

    /// log |det dy/dz|: what turns a density of y into one of z.
    pub fn log_determinant(&self) -> f64 {
        -self.z_sd.iter().map(|sd| sd.ln()).sum::<f64>()
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

/// Mean and standard deviation of each column of a row-major matrix.
fn column_moments<T: Copy + Into<f64>>(values: &[T], n_columns: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (values.len() / n_columns.max(1)).max(1) as f64;
    let mut mean = vec![0.0; n_columns];
    for row in values.chunks_exact(n_columns) {
        for (mean, &value) in mean.iter_mut().zip(row) {
            *mean += value.into();
        }
    }
    mean.iter_mut().for_each(|mean| *mean /= n);
    let mut variance = vec![0.0; n_columns];
    for row in values.chunks_exact(n_columns) {
        for ((variance, mean), &value) in variance.iter_mut().zip(&mean).zip(row) {
            let deviation = value.into() - mean;
            *variance += deviation * deviation;
        }
    }
    let sd = variance
        .iter()
        .map(|variance| (variance / n).sqrt())
        .collect();
    (mean, sd)
}
