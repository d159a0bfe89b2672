//! What the network is shown: data as channels, parameters standardized; fixed before a training
//! and stored with the model.

use crate::elementary::{tamed, vectorized};
use crate::flow::{Axis, axes};
use crate::pieces::{self, Piece, piece_of};
use serde::{Deserialize, Serialize};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::space::circle::Circle;
use sidereal_inference::space::{Bounds, Lean, circle};
use sidereal_inference::weights::Objective;

/// Standard deviations up to which a datum is shown as it is.
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
    /// Pieces of the draws that stand far apart, each with a frame of its own in what follows from the above; empty where
    /// there is but one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
    /// Mean of each simulated datum.
    pub x_mean: Vec<f64>,
    /// Standard deviation of each simulated datum with its noise.
    pub x_sd: Vec<f64>,
    /// Mean and standard deviation of ln(sigma), where sigma varies from simulation to simulation.
    pub log_sigma: Option<(f64, f64)>,
}

/// What a network is shown of a row, beside its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inputs {
    /// Channels of a datum.
    pub channels: usize,
    /// Pieces of weighted draws that are told apart; 0 where there is but one.
    pub pieces: usize,
}

impl Inputs {
    /// Of data alone.
    pub fn of_channels(channels: usize) -> Self {
        Self {
            channels,
            pieces: 0,
        }
    }
}

impl Standardization {
    /// Refuses what cannot be of a flow of `campaign` that was fitted to `objective`, with the reason.
    pub(crate) fn check(&self, campaign: &Campaign, objective: Objective) -> Result<(), String> {
        let n_parameters = campaign.space.len();
        let n_data = match objective {
            Objective::Simulations => campaign.simulator.grid.len(),
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => 0,
        };
        check_numbers("seams", &self.seams, n_parameters, &TURNS)?;
        let (n_leans, n_circles) = (self.leans.len(), self.circles.len());
        for (name, n) in [("leans", n_leans), ("circles", n_circles)] {
            if n != 0 && n != n_parameters {
                return Err(format!(
                    "standardization.{name} has {n} entries, expected {n_parameters}"
                ));
            }
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
        if objective == Objective::Simulations && !self.pieces.is_empty() {
            return Err(
                "standardization.pieces are given, expected none of a flow that sees data".into(),
            );
        }
        let n_pieces = self.pieces.len();
        if n_pieces == 1 || n_pieces > pieces::MOST {
            return Err(format!(
                "standardization.pieces has {n_pieces} entries, expected none, or 2 to {}",
                pieces::MOST
            ));
        }
        for (k, piece) in self.pieces.iter().enumerate() {
            if let Some(fault) = piece.fault(n_parameters) {
                return Err(format!("standardization.pieces[{k}] has a {fault}"));
            }
        }
        check_numbers("x_mean", &self.x_mean, n_data, &FINITE)?;
        check_numbers("x_sd", &self.x_sd, n_data, &POSITIVE)?;
        let needs_log_sigma = match objective {
            Objective::Simulations => campaign.noise.sigma_varies(),
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => false,
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
        for (j, axis) in axes(campaign).into_iter().enumerate() {
            let (found, taken_for) = match (axis, self.circle(j)) {
                (Axis::Line, None) => continue,
                (Axis::Circle, Some(circle)) => {
                    let enlargement = circle.enlargement;
                    check_numbers("circles: centre", &[circle.centre], 1, &TURNS)?;
                    check_numbers("circles: enlargement", &[enlargement], 1, &AT_LEAST_ONE)?;
                    continue;
                }
                (Axis::Line, Some(_)) => ("one", "line"),
                (Axis::Circle, None) => ("none", "circle"),
            };
            return Err(format!(
                "standardization.circles has {found} for parameter {j}, which the flow takes for a {taken_for}"
            ));
        }
        Ok(())
    }

    /// Of a datum: 2 where sigma varies, else 1.
    pub fn n_channels(&self) -> usize {
        if self.log_sigma.is_some() { 2 } else { 1 }
    }

    /// What a network with these scales is shown.
    pub fn inputs(&self) -> Inputs {
        Inputs {
            channels: self.n_channels(),
            pieces: self.pieces.len(),
        }
    }

    /// Channels of one datum after the other, `[length, channels]` row-major, appended to `out`; x is `[length]`, and so
    /// is sigma where it varies.
    ///
    /// A datum is standardized by the training data, linear nearby and logarithmic far away, so that outliers do not
    /// throw the network off; its sigma, where that varies, is beside it.
    pub fn append_channels(&self, x: &[f64], sigma: &[f64], out: &mut Vec<f32>) {
        let start = out.len();
        for (i, &x) in x.iter().enumerate() {
            out.push(((x - self.x_mean[i]) / self.x_sd[i]) as f32);
            if let Some((mean, sd)) = self.log_sigma {
                out.push(((sigma[i].ln() - mean) / sd) as f32);
            }
        }
        let added = &mut out[start..];
        vectorized(
            #[inline(always)]
            || {
                for point in added.chunks_exact_mut(self.n_channels()) {
                    point[0] = tamed(point[0], LINEAR);
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

    /// Brings the last `d` numbers of `y` into the frame of their piece, and appends which one that is, 1 among zeros, to `told`;
    /// nothing where there are no pieces.
    pub(crate) fn tell_piece(&self, d: usize, y: &mut [f32], told: &mut Vec<f32>) {
        if self.pieces.is_empty() {
            return;
        }
        let start = y.len() - d;
        let y = &mut y[start..];
        let own = piece_of(&self.pieces, y);
        let local = self.pieces[own].local(y);
        for (y, v) in y.iter_mut().zip(local) {
            *y = v as f32;
        }
        told.extend((0..self.pieces.len()).map(|piece| f32::from(u8::from(piece == own))));
    }

    /// y of a stored z moved by `share` of the way to `other`, appended to `out`; on circles the shorter way.
    pub(crate) fn append_moved_y(&self, z: &[f64], other: &[f64], share: f64, out: &mut Vec<f32>) {
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
    pub(crate) fn z(&self, y: &[f32], z: &mut [f64]) {
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
    pub(crate) fn bounds(&self) -> Option<Bounds> {
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
pub(crate) fn line(seams: &[f64], leans: &[Lean], parameter: usize, z: f64) -> (f64, f64) {
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
