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
const N_DRAWS: usize = 2000;
/// More pieces than this are none: what has so many is something else.
pub const MOST: usize = 40;
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
            let is_bad = |value: &&f64| value.is_nan() || value.abs() > 1e30;
            if let Some(bad) = values.iter().find(is_bad) {
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
        if self.pieces.is_empty() {
            return 0;
        }
        let mut left = rng.random::<f64>() * self.total();
        let is_own = |piece: &Piece| {
            left -= piece.share;
            left < 0.0
        };
        let own = self.pieces.iter().position(is_own);
        own.unwrap_or(self.pieces.len() - 1)
    }

    /// Of all shares, which are rounded.
    fn total(&self) -> f64 {
        self.pieces.iter().map(|piece| piece.share).sum()
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
        let total = self.total();
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    fn piece(share: f64, mean: [f64; 2]) -> Piece {
        Piece {
            share,
            mean: mean.to_vec(),
            factor: vec![0.5, 0.0, -0.25, 0.125],
        }
    }

    #[test]
    fn a_frame_and_its_inverse() {
        let piece = piece(1.0, [1.0, -2.0]);
        let v = piece.local(&[2.0, -2.25]);
        // (2 - 1) / 0.5 = 2; (-0.25 + 0.25 · 2) / 0.125 = 2
        assert_eq!(v, [2.0, 2.0]);
        let mut back = [2.0, 2.0];
        piece.bring_back(&mut back);
        assert_eq!(back, [2.0, -2.25]);
        assert_eq!(piece.log_volume(), 0.0625f64.ln());
    }

    #[test]
    fn a_place_is_of_the_piece_that_is_densest_there() {
        let pieces = [piece(0.5, [0.0, 0.0]), piece(0.5, [4.0, 0.0])];
        assert_eq!(piece_of(&pieces, &[1.0, 0.0]), 0);
        assert_eq!(piece_of(&pieces, &[3.5, 0.25]), 1);
    }

    /// Half of the draws of each mode count twice, those of the second mode thrice that.
    #[test]
    fn pieces_have_the_moments_of_their_draws() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (mut y, mut weight) = (Vec::new(), Vec::new());
        for i in 0..2000 {
            let [a, b]: [f64; 2] = [(); 2].map(|()| StandardNormal.sample(&mut rng));
            let middle = if i < 1000 { -1.0 } else { 1.0 };
            y.extend([middle + 0.01 * a, 0.01 * (a + b)].map(|y| y as f32));
            weight.push(if i < 1000 { 1.0 } else { 3.0 });
        }
        let mut found = pieces(&y, 2, &weight);
        found.sort_by(|a, b| a.share.total_cmp(&b.share));
        let shares: Vec<f64> = found.iter().map(|piece| piece.share).collect();
        assert_eq!(shares, [0.25, 0.75]);
        for (piece, middle) in found.iter().zip([-1.0, 1.0]) {
            assert!((piece.mean[0] - middle).abs() < 2e-3, "{piece:?}");
            assert!(piece.mean[1].abs() < 2e-3, "{piece:?}");
            for (found, expected) in piece.factor.iter().zip([0.01, 0.0, 0.01, 0.01]) {
                assert!((found - expected).abs() < 2e-3, "{piece:?}");
            }
        }
        let half = &y[..2];
        assert!(pieces(&half.repeat(50), 2, &[1.0; 50]).is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_piece_is_told() {
        let good = piece(0.5, [0.0, 0.0]);
        assert_eq!(good.fault(2), None);
        let told = |change: &dyn Fn(&mut Piece)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.fault(2).expect("a fault")
        };
        assert_eq!(
            told(&|piece| piece.share = 0.0),
            "share 0.0, expected one in (0, 1]"
        );
        assert_eq!(
            told(&|piece| piece.mean = vec![0.0]),
            "mean of 1 numbers, expected 2"
        );
        assert_eq!(
            told(&|piece| piece.factor[1] = f64::NAN),
            "factor with NaN, expected numbers up to 1e30"
        );
        assert_eq!(
            told(&|piece| piece.factor[3] = -1.0),
            "factor with -1.0 on its diagonal, expected more than 0"
        );
    }
}
