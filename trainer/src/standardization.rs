//! What the network is shown: data as channels, parameters standardized; fixed before a training
//! and stored with the model.

use crate::elementary::{asinh, tamed, vectorized};
use crate::flow::axis::{Axis, axes};
use crate::training_set::TrainingSet;
use serde::{Deserialize, Serialize};
use sidereal_inference::campaign::{Campaign, Noise};
use sidereal_inference::space::circle::Circle;
use sidereal_inference::space::{Bounds, Lean, circle};
use sidereal_inference::weights::Objective;

/// The channel that measures the distance to the reference in standard deviations of Gaussian noise, or, where
/// the simulator draws the noise, in distances of the training data that are close to it.
pub const DISTANCE_CHANNEL: usize = 1;
/// Standard deviations up to which the first channel is linear.
const LINEAR: f32 = 3.0;

/// Scales of data and parameters, from the rows that a flow is trained on. A flow that was fitted to
/// weighted draws sees no data: its columns of x are empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardization {
    /// Where the circle of each periodic parameter is cut, in turns after the prior's lower bound; 0 for
    /// others. What follows is of z cut there.
    pub seams: Vec<f64>,
    /// Which bounds each parameter's posterior leans on; what follows is of the coordinate v that has them at a finite
    /// place. Empty where none is leant on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leans: Vec<Lean>,
    /// For a flow that knows circles: the periodic parameters, which it sees in turns.
    pub circles: Vec<Option<Circle>>,
    /// Mean of each unconstrained parameter z (or v).
    pub z_mean: Vec<f64>,
    /// Standard deviation of each z.
    pub z_sd: Vec<f64>,
    /// Mean of each simulated datum.
    pub x_mean: Vec<f64>,
    /// Standard deviation of each simulated datum with its noise.
    pub x_sd: Vec<f64>,
    /// What the second channel is relative to: the observation, or the mean where there is none.
    pub reference: Vec<f64>,
    /// The second channel's unit of each datum, where no sigma is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Vec<f64>>,
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
        let leans = set.leans().to_vec();
        let z: Vec<f64> = set
            .z()
            .chunks_exact(d)
            .flat_map(|z| z.iter().enumerate())
            .map(|(j, &z)| line(&seams, &leans, j, z).0)
            .collect();
        let (z_mean, z_sd) = column_moments(&z, d, Some(set.weight()));
        let z_sd = z_sd.iter().map(|sd| sd.max(1e-6)).collect();
        match set.objective() {
            Objective::Simulations => {}
            Objective::WeightedDraws { .. } => {
                return Self {
                    seams,
                    leans,
                    circles,
                    z_mean,
                    z_sd,
                    x_mean: Vec::new(),
                    x_sd: Vec::new(),
                    reference: Vec::new(),
                    unit: None,
                    log_sigma: None,
                };
            }
        }
        let (x_mean, simulated_sd) = column_moments(set.simulated(), set.n_data(), None);
        let reference = match set.observed() {
            Some(observed) => observed.to_vec(),
            None => x_mean.clone(),
        };
        let (x_sd, unit, log_sigma) = match set.typical_sigma() {
            Some(typical) => {
                let x_sd = simulated_sd
                    .iter()
                    .zip(&typical.sigma)
                    .map(|(sd, sigma)| sd.hypot(*sigma))
                    .collect();
                (x_sd, None, typical.log_sigma)
            }
            None => {
                // Counts may be the same in every row.
                let x_sd = simulated_sd
                    .iter()
                    .map(|&sd| if sd > 0.0 { sd } else { 1.0 })
                    .collect();
                let unit = close_distances(set.simulated(), &reference);
                (x_sd, Some(unit), None)
            }
        };
        Self {
            seams,
            leans,
            circles,
            z_mean,
            z_sd,
            x_mean,
            x_sd,
            reference,
            unit,
            log_sigma,
        }
    }

    /// Refuses what cannot be of a flow of `campaign` that was fitted to `objective`, with the reason.
    pub fn check(&self, campaign: &Campaign, objective: Objective) -> Result<(), String> {
        let n_parameters = campaign.space.len();
        let n_data = match objective {
            Objective::Simulations => campaign.simulator.grid.len(),
            Objective::WeightedDraws { .. } => 0,
        };
        check_numbers("seams", &self.seams, n_parameters, &TURNS)?;
        if !self.leans.is_empty() && self.leans.len() != n_parameters {
            return Err(format!(
                "standardization.leans has {} entries, expected {n_parameters}",
                self.leans.len()
            ));
        }
        check_numbers("z_mean", &self.z_mean, n_parameters, &FINITE)?;
        check_numbers("z_sd", &self.z_sd, n_parameters, &POSITIVE)?;
        for (j, lean) in self.leans.iter().enumerate() {
            let (low, high) = lean.bounds();
            let mean = self.z_mean[j];
            if !(low < mean && mean < high) {
                return Err(format!(
                    "standardization.z_mean[{j}] is {mean}, expected a number between the bounds {low} and {high}"
                ));
            }
        }
        check_numbers("x_mean", &self.x_mean, n_data, &FINITE)?;
        check_numbers("x_sd", &self.x_sd, n_data, &POSITIVE)?;
        check_numbers("reference", &self.reference, n_data, &FINITE)?;
        let needs_unit = match (objective, &campaign.noise) {
            (Objective::Simulations, Noise::Simulator) => true,
            (Objective::Simulations, Noise::Gaussian(_)) | (Objective::WeightedDraws { .. }, _) => {
                false
            }
        };
        match &self.unit {
            Some(unit) if needs_unit => check_numbers("unit", unit, n_data, &POSITIVE)?,
            None if !needs_unit => {}
            Some(_) => return Err("standardization.unit is given, expected none".into()),
            None => return Err("standardization.unit is missing".into()),
        }
        let needs_log_sigma = match objective {
            Objective::Simulations => campaign.noise.sigma_varies(),
            Objective::WeightedDraws { .. } => false,
        };
        match self.log_sigma {
            Some((mean, sd)) if needs_log_sigma => {
                check_numbers("log_sigma's mean", &[mean], 1, &FINITE)?;
                check_numbers("log_sigma's deviation", &[sd], 1, &POSITIVE)?;
            }
            None if !needs_log_sigma => {}
            Some(_) => {
                return Err(
                    "standardization.log_sigma is given, expected none where sigma is the same in all simulations"
                        .into(),
                );
            }
            None => {
                return Err(
                    "standardization.log_sigma is missing, expected it where sigma varies".into(),
                );
            }
        }
        let axes = axes(campaign);
        let n_circles = self.circles.len();
        if n_circles != 0 && n_circles != axes.len() {
            return Err(format!(
                "standardization.circles has {n_circles} entries, expected {}",
                axes.len()
            ));
        }
        for (j, axis) in axes.into_iter().enumerate() {
            match (axis, self.circle(j)) {
                (Axis::Line, None) => {}
                (Axis::Circle, Some(circle)) => {
                    check_numbers("circles: centre", &[circle.centre], 1, &TURNS)?;
                    check_numbers(
                        "circles: enlargement",
                        &[circle.enlargement],
                        1,
                        &AT_LEAST_ONE,
                    )?;
                }
                (Axis::Line, Some(_)) => {
                    return Err(format!(
                        "standardization.circles has one for parameter {j}, which the flow takes for a line"
                    ));
                }
                (Axis::Circle, None) => {
                    return Err(format!(
                        "standardization.circles has none for parameter {j}, which the flow takes for a circle"
                    ));
                }
            }
        }
        Ok(())
    }

    pub fn n_channels(&self) -> usize {
        if self.log_sigma.is_some() { 3 } else { 2 }
    }

    /// Channels of one datum after the other, `[length, channels]` row-major, appended to `out`; x is `[length]`, and so
    /// is sigma where there is no unit.
    ///
    /// The first channel is standardized by the training data; the second measures the distance to
    /// the reference in noise standard deviations (or in its unit), compressed by asinh. Both are linear nearby and
    /// logarithmic far away, so that outliers do not throw the network off and late rounds resolve
    /// what the first cannot.
    pub fn append_channels(&self, x: &[f64], sigma: &[f64], out: &mut Vec<f32>) {
        let unit = self.unit.as_deref().unwrap_or(sigma);
        let start = out.len();
        for (i, (&x, &unit)) in x.iter().zip(unit).enumerate() {
            out.push(((x - self.x_mean[i]) / self.x_sd[i]) as f32);
            out.push(((x - self.reference[i]) / unit) as f32);
            if let Some((mean, sd)) = self.log_sigma {
                out.push(((unit.ln() - mean) / sd) as f32);
            }
        }
        let added = &mut out[start..];
        vectorized(
            #[inline(always)]
            || {
                for point in added.chunks_exact_mut(self.n_channels()) {
                    point[0] = tamed(point[0], LINEAR);
                    point[DISTANCE_CHANNEL] = asinh(point[DISTANCE_CHANNEL]);
                }
            },
        );
    }

    /// y `[parameters]` of one row's stored z `[parameters]`, appended to `out`: (z - mean) / sd on lines, turns from the
    /// centre on circles.
    /// Returns log |det dy/dz|, which turns a density of y into one of z.
    pub fn append_y(&self, z: &[f64], out: &mut Vec<f32>) -> f64 {
        let mut log_determinant = 0.0;
        for (j, &z) in z.iter().enumerate() {
            let (y, log_slope) = match self.circle(j) {
                Some(circle) => circle.y(z),
                None => {
                    let (v, log_slope) = line(&self.seams, &self.leans, j, z);
                    let y = (v - self.z_mean[j]) / self.z_sd[j];
                    (y, log_slope - self.z_sd[j].ln())
                }
            };
            out.push(y as f32);
            log_determinant += log_slope;
        }
        log_determinant
    }

    /// y of a stored z moved by `share` of the way to `other`, appended to `out`; on circles the shorter way.
    pub fn append_moved_y(&self, z: &[f64], other: &[f64], share: f64, out: &mut Vec<f32>) {
        let start = out.len();
        self.append_y(z, out);
        let middle = out.len();
        self.append_y(other, out);
        for j in 0..z.len() {
            let (own, other) = (out[start + j], out[middle + j]);
            let difference = other - own;
            out[start + j] = match self.circle(j) {
                Some(_) => {
                    let moved = own + share as f32 * (difference - difference.round());
                    moved - moved.round()
                }
                None => own + share as f32 * difference,
            };
        }
        out.truncate(middle);
    }

    /// z of one row: the inverse of [`append_y`](Self::append_y). What lies beyond a bound that is leant on comes back
    /// within.
    pub fn z(&self, y: &[f32], z: &mut [f64]) {
        for (z, &y) in z.iter_mut().zip(y) {
            *z = f64::from(y);
        }
        if let Some(bounds) = self.bounds()
            && bounds.gauge(z) > 1.0
        {
            bounds.inverted(z);
        }
        for (j, z) in z.iter_mut().enumerate() {
            *z = match self.circle(j) {
                Some(circle) => circle.z(*z),
                None => {
                    let v = self.z_mean[j] + self.z_sd[j] * *z;
                    match self.lean(j) {
                        Lean::None => circle::uncut(self.seams[j], v),
                        lean @ (Lean::Low | Lean::High | Lean::Both) => lean.z(v),
                    }
                }
            };
        }
    }

    /// The bounds that are leant on, in y; None where there are none. A flow's density within them is the sum of two, that at
    /// y and that at its [other side](Bounds::inverted).
    pub fn bounds(&self) -> Option<Bounds> {
        let of_parameter = |(j, lean): (usize, &Lean)| {
            let (low, high) = lean.bounds();
            let (mean, sd) = (self.z_mean[j], self.z_sd[j]);
            ((low - mean) / sd, (high - mean) / sd)
        };
        Bounds::new(self.leans.iter().enumerate().map(of_parameter).collect())
    }

    fn lean(&self, parameter: usize) -> Lean {
        self.leans.get(parameter).copied().unwrap_or_default()
    }

    fn circle(&self, parameter: usize) -> Option<&Circle> {
        self.circles.get(parameter)?.as_ref()
    }
}

/// What a parameter that is no circle is standardized from, and its log slope: z cut, or v where a bound is leant on.
fn line(seams: &[f64], leans: &[Lean], parameter: usize, z: f64) -> (f64, f64) {
    match leans.get(parameter) {
        Some(Lean::None) | None => circle::cut_at(seams[parameter], z),
        Some(lean @ (Lean::Low | Lean::High | Lean::Both)) => lean.v(z),
    }
}

/// What a number must be: words, and whether one is.
type Expected = (&'static str, fn(f64) -> bool);

/// Networks see them in single precision.
const FINITE: Expected = ("a number that single precision holds", |value| {
    value.abs() <= f64::from(f32::MAX)
});
const POSITIVE: Expected = ("a positive number that single precision holds", |value| {
    value as f32 > 0.0 && value <= f64::from(f32::MAX)
});
const TURNS: Expected = ("turns from 0 to 1", |value| (0.0..=1.0).contains(&value));
const AT_LEAST_ONE: Expected = ("a number from 1 on that single precision holds", |value| {
    value >= 1.0 && value <= f64::from(f32::MAX)
});

fn check_numbers(
    name: &str,
    values: &[f64],
    n: usize,
    (expected, is_good): &Expected,
) -> Result<(), String> {
    if values.len() != n {
        return Err(format!(
            "standardization.{name} has {} numbers, expected {n} by the campaign's space.parameters or simulator.grid",
            values.len()
        ));
    }
    match values.iter().position(|&value| !is_good(value)) {
        Some(bad) => Err(format!(
            "standardization.{name}[{bad}] is {:?}, expected {expected}",
            values[bad]
        )),
        None => Ok(()),
    }
}

/// For each datum the distance from the reference that a tenth of the rows is within; rows that are exactly there
/// (counts of zero) are left out.
fn close_distances(simulated: &[f32], reference: &[f64]) -> Vec<f64> {
    let of_datum = |i: usize| -> f64 {
        let mut distances: Vec<f64> = simulated
            .iter()
            .skip(i)
            .step_by(reference.len())
            .map(|&x| (f64::from(x) - reference[i]).abs())
            // An observation has more digits than f32.
            .filter(|&distance| distance > 1e-6 * reference[i].abs())
            .collect();
        let tenth = distances.len() / 10;
        if distances.is_empty() {
            return 1.0;
        }
        let (_, distance, _) = distances.select_nth_unstable_by(tenth, f64::total_cmp);
        *distance
    };
    (0..reference.len()).map(of_datum).collect()
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
