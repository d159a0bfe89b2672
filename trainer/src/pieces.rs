//! Pieces of weighted draws that stand far apart, as narrow modes do: the flow sees each in a frame of its own.
//!
//! One frame for all would show each piece as narrow as it is beside the distance between them, and a network that is smooth
//! on the scale of that distance learns neither a narrow piece's shape nor its correlations. With pieces a flow is
//! q(y) = Σ_k share_k q(v_k | k) / |det L_k|, v_k = L_k⁻¹ (y - mean_k), with one network for q(v | k) that is told k.

use crate::flow::{BaseDraws, HostFlow};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use sidereal_inference::base::{cholesky, equal_draws, log_sum_exp, moments, offset};
use sidereal_inference::method::far_apart;

/// Draws of equal weight that pieces are found among.
const N_DRAWS: usize = 800;
/// More pieces than this are none: what has so many is something else.
const MOST: usize = 40;
/// Effective draws, for each parameter, that the covariance of all pieces counts for beside a piece's own.
const SHRINKAGE: f64 = 1.0;

/// One piece: a frame in y.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Its share of the draws.
    pub share: f64,
    /// Mean of its draws, `[parameters]`.
    pub mean: Vec<f64>,
    /// Lower triangular factor of their covariance, `[parameters, parameters]`, row-major.
    pub factor: Vec<f64>,
}

impl Piece {
    /// y `[parameters]` in this frame.
    pub fn local(&self, y: &[f32]) -> Vec<f64> {
        let y: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
        offset(&y, &self.mean, &self.factor)
    }

    /// The inverse of [`local`](Self::local), in place.
    pub fn bring_back(&self, v: &mut [f32]) {
        let d = v.len();
        for i in (0..d).rev() {
            let row = self.factor[i * d..=i * d + i].iter().zip(v.iter());
            let moved: f64 = row.map(|(factor, &v)| factor * f64::from(v)).sum();
            v[i] = (self.mean[i] + moved) as f32;
        }
    }

    /// ln |det dy/dv|
    pub fn log_volume(&self) -> f64 {
        let d = self.mean.len();
        (0..d).map(|i| self.factor[i * d + i].ln()).sum()
    }

    /// What is wrong with a piece that was read from a file, of `d` parameters.
    pub fn fault(&self, d: usize) -> Option<String> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Some(format!("share {:?}, expected one in (0, 1]", self.share));
        }
        for (name, values, n) in [("mean", &self.mean, d), ("factor", &self.factor, d * d)] {
            if values.len() != n {
                return Some(format!("{name} of {} numbers, expected {n}", values.len()));
            }
            if let Some(bad) = values.iter().find(|value| !(value.abs() <= 1e30)) {
                return Some(format!("{name} with {bad:?}, expected numbers up to 1e30"));
            }
        }
        let diagonal = (0..d).map(|i| self.factor[i * d + i]);
        diagonal
            .filter(|value| *value < 1e-30)
            .map(|value| format!("factor with {value:?} on its diagonal, expected more than 0"))
            .next()
    }
}

/// The piece that y is of: where a Gaussian of its covariance is densest.
pub fn piece_of(pieces: &[Piece], y: &[f32]) -> usize {
    let height = |piece: &Piece| {
        let square: f64 = piece.local(y).iter().map(|v| v * v).sum();
        piece.share.ln() - piece.log_volume() - 0.5 * square
    };
    let heights = pieces.iter().map(height).enumerate();
    heights
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(piece, _)| piece)
}

/// The pieces of draws y `[n, d]`; none where there is but one.
pub fn pieces(y: &[f32], d: usize, weight: &[f64]) -> Vec<Piece> {
    let place = |row: usize| -> Vec<f64> {
        let own = &y[row * d..(row + 1) * d];
        own.iter().map(|&y| f64::from(y)).collect()
    };
    // Each once, with how often it came.
    let mut chosen: Vec<(usize, f64)> = Vec::new();
    for row in equal_draws(weight, N_DRAWS, 0.5) {
        match chosen.last_mut() {
            Some((last, times)) if *last == row => *times += 1.0,
            Some(_) | None => chosen.push((row, 1.0)),
        }
    }
    let places: Vec<Vec<f64>> = chosen.iter().map(|&(row, _)| place(row)).collect();
    let number_of = far_apart(&places);
    let n = number_of.iter().max().map_or(0, |last| last + 1);
    if !(2..=MOST).contains(&n) {
        return Vec::new();
    }
    let of_piece = |piece: usize| -> (Vec<Vec<f64>>, Vec<f64>) {
        let own = chosen.iter().zip(&places).zip(&number_of);
        let own = own.filter(|(_, number)| **number == piece);
        own.map(|((&(_, times), place), _)| (place.clone(), times))
            .unzip()
    };
    let total: f64 = chosen.iter().map(|(_, times)| times).sum();
    let parts: Vec<Part> = (0..n)
        .map(|piece| Part::of(of_piece(piece), total))
        .collect();
    let mut pooled = vec![0.0; d * d];
    for part in &parts {
        for (pooled, own) in pooled.iter_mut().zip(&part.covariance) {
            *pooled += part.share * own;
        }
    }
    let pieces: Option<Vec<Piece>> = parts.into_iter().map(|part| part.piece(&pooled)).collect();
    pieces.unwrap_or_default()
}

/// A flow at one feature vector, or at that of each piece: to draw from and to score with, in y.
pub struct ProposalFlow {
    /// Empty where there is but one.
    pieces: Vec<Piece>,
    flows: Vec<HostFlow>,
}

impl ProposalFlow {
    /// As many flows as pieces; one where there are none.
    pub fn new(pieces: Vec<Piece>, flows: Vec<HostFlow>) -> Self {
        Self { pieces, flows }
    }

    /// The piece to draw from; takes a random number only where there are several.
    pub fn pick(&self, rng: &mut impl Rng) -> usize {
        let Some(last) = self.pieces.len().checked_sub(1) else {
            return 0;
        };
        let (mut left, uniform) = (rng.random::<f64>(), self.pieces.iter().take(last));
        for (piece, one) in uniform.enumerate() {
            left -= one.share;
            if left < 0.0 {
                return piece;
            }
        }
        last
    }

    /// Draws y `[n, d]` of a piece.
    pub fn draw(&self, piece: usize, base: &BaseDraws) -> Vec<f32> {
        let mut y = self.flows[piece].draw(base);
        if let Some(piece) = self.pieces.get(piece) {
            y.chunks_exact_mut(piece.mean.len())
                .for_each(|v| piece.bring_back(v));
        }
        y
    }

    /// log q of rows of y.
    pub fn log_density(&self, y: &[f32]) -> Vec<f64> {
        let own = |flow: &HostFlow, y: &[f32]| -> Vec<f64> {
            flow.log_density(y).into_iter().map(f64::from).collect()
        };
        if self.pieces.is_empty() {
            return own(&self.flows[0], y);
        }
        let total: f64 = self.pieces.iter().map(|piece| piece.share).sum();
        let of_piece = |(piece, flow): (&Piece, &HostFlow)| -> Vec<f64> {
            let rows = y.chunks_exact(piece.mean.len());
            let local: Vec<f32> = rows
                .flat_map(|y| piece.local(y))
                .map(|v| v as f32)
                .collect();
            let weight = (piece.share / total).ln() - piece.log_volume();
            let log_density = own(flow, &local).into_iter();
            // So far from a piece that single precision has no number for it, there is nothing of it.
            log_density
                .map(|one| {
                    if one.is_nan() {
                        f64::NEG_INFINITY
                    } else {
                        weight + one
                    }
                })
                .collect()
        };
        let parts: Vec<Vec<f64>> = self.pieces.iter().zip(&self.flows).map(of_piece).collect();
        let n = parts.first().map_or(0, Vec::len);
        (0..n)
            .map(|row| log_sum_exp(parts.iter().map(|part| part[row])))
            .collect()
    }
}

/// Moments of the draws of a piece.
struct Part {
    share: f64,
    n_eff: f64,
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

impl Part {
    fn of((places, weight): (Vec<Vec<f64>>, Vec<f64>), total: f64) -> Self {
        let sum: f64 = weight.iter().sum();
        let normalized: Vec<f64> = weight.iter().map(|weight| weight / sum).collect();
        let (mean, covariance) = moments(&places, &normalized);
        Self {
            share: sum / total,
            n_eff: 1.0 / normalized.iter().map(|weight| weight * weight).sum::<f64>(),
            mean,
            covariance,
        }
    }

    /// With a little of all pieces' covariance, which few draws need; none where all of them lie on a line.
    fn piece(self, pooled: &[f64]) -> Option<Piece> {
        let d = self.mean.len();
        let share = SHRINKAGE * d as f64 / (SHRINKAGE * d as f64 + self.n_eff);
        let both = self.covariance.iter().zip(pooled);
        let shrunk: Vec<f64> = both
            .map(|(own, pooled)| (1.0 - share) * own + share * pooled)
            .collect();
        Some(Piece {
            share: self.share,
            factor: cholesky(&shrunk, d)?,
            mean: self.mean,
        })
    }
}
