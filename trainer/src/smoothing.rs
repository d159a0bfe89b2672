//! Smoothed resampling of weighted draws: each is moved a little towards or away from one of its neighbours.
//!
//! A few hundred effective draws, shown as they are again and again, are soon learned by heart. Moves along
//! differences of neighbours follow the draws' own local shape, so that narrow ridges stay narrow and modes apart, and
//! shrink as the draws become dense (a smoothed bootstrap, Silverman & Young 1987, with the kernels of SMOTE, Chawla et
//! al. 2002).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sidereal_inference::method::fewest_draws;

/// Draws, taken in proportion to their weight, that neighbours are looked for among.
const SUPPORT: usize = 1024;
/// Neighbours of a draw.
const NEIGHBOURS: usize = 16;
/// Standard deviation of a move, in units of the distance to the neighbour, where the draws are as few as a flow is
/// ever fitted to; with more of them it falls with the fourth root of their effective number.
const WIDTH: f64 = 0.6;

/// A draw as one epoch sees it: row, and how far it is moved towards which other row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    pub row: usize,
    pub neighbour: usize,
    pub share: f64,
}

impl Shown {
    pub fn as_it_is(row: usize) -> Self {
        Self {
            row,
            neighbour: row,
            share: 0.0,
        }
    }
}

/// Where draws are.
pub struct Places<'a> {
    /// Row-major `[n, d]`, of each piece in its own frame.
    pub y: &'a [f32],
    pub d: usize,
    /// `[n, n_pieces]`: 1 of the piece that a row is of.
    pub piece: &'a [f32],
    /// 0 where there is but one.
    pub n_pieces: usize,
}

impl Places<'_> {
    /// Infinite between pieces.
    fn squared_distance(&self, a: usize, b: usize) -> f32 {
        let piece = |row: usize| &self.piece[row * self.n_pieces..(row + 1) * self.n_pieces];
        if piece(a) != piece(b) {
            return f32::INFINITY;
        }
        let place = |row: usize| &self.y[row * self.d..(row + 1) * self.d];
        let both = place(a).iter().zip(place(b));
        both.map(|(a, b)| (a - b) * (a - b)).sum()
    }
}

/// The neighbours of all draws.
pub struct Smoothing {
    n_neighbours: usize,
    /// Rows, `[n, n_neighbours]`.
    neighbours: Vec<u32>,
    width: f64,
}

impl Smoothing {
    /// Only `rows` have a weight above zero.
    pub fn new(places: &Places, weight: &[f64], rows: &[usize]) -> Self {
        let d = places.d;
        let support = support(weight, rows);
        let n_neighbours = NEIGHBOURS.max(2 * d).min(support.len().saturating_sub(1));
        let mut neighbours = vec![0; weight.len() * n_neighbours];
        let mut by_distance: Vec<(f32, u32)> = Vec::with_capacity(support.len());
        for &row in rows {
            if n_neighbours == 0 || weight[row] <= 0.0 {
                continue;
            }
            by_distance.clear();
            for &other in support.iter().filter(|&&other| other as usize != row) {
                by_distance.push((places.squared_distance(row, other as usize), other));
            }
            let last = n_neighbours.min(by_distance.len()) - 1;
            by_distance
                .select_nth_unstable_by(last, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let own = &mut neighbours[row * n_neighbours..(row + 1) * n_neighbours];
            for (own, (distance, other)) in own.iter_mut().zip(&by_distance) {
                // A piece may have fewer draws: the others stay where they are.
                *own = if distance.is_finite() {
                    *other
                } else {
                    row as u32
                };
            }
            own.sort_unstable();
        }
        let (sum, square) = rows.iter().fold((0.0, 0.0), |(sum, square), &row| {
            (sum + weight[row], square + weight[row] * weight[row])
        });
        let n_eff = sum * sum / square.max(f64::MIN_POSITIVE);
        Self {
            n_neighbours,
            neighbours,
            width: WIDTH * (fewest_draws(d) / n_eff).min(1.0).powf(0.25),
        }
    }

    /// How a row is shown once.
    pub fn show(&self, row: usize, rng: &mut ChaCha8Rng) -> Shown {
        if self.n_neighbours == 0 {
            return Shown::as_it_is(row);
        }
        let pick = rng.random_range(0..self.n_neighbours);
        let normal: f64 = StandardNormal.sample(rng);
        Shown {
            row,
            neighbour: self.neighbours[row * self.n_neighbours + pick] as usize,
            share: self.width * normal,
        }
    }
}

/// Distinct rows, taken in proportion to their weight, in ascending order.
fn support(weight: &[f64], rows: &[usize]) -> Vec<u32> {
    let total: f64 = rows.iter().map(|&row| weight[row]).sum();
    let (mut support, mut passed, mut next) = (Vec::new(), 0.0, 0.5);
    for &row in rows {
        passed += weight[row] / total * SUPPORT as f64;
        if next < passed {
            support.push(row as u32);
            next = (passed - 0.5).floor() + 1.5;
        }
    }
    support
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    /// Two ridges along (1, 1), far apart, each 100 times as long as wide.
    fn ridges(n: usize) -> Vec<f32> {
        (0..n)
            .flat_map(|i| {
                let along = (i as f32 * 0.618_034).fract();
                let across = 0.01 * ((i as f32 * 0.754_878).fract() - 0.5);
                let middle = if i % 2 == 0 { -5.0 } else { 5.0 };
                [middle + along + across, middle + along - across]
            })
            .collect()
    }

    fn of_one_piece(y: &[f32], d: usize) -> Places<'_> {
        Places {
            y,
            d,
            piece: &[],
            n_pieces: 0,
        }
    }

    /// Two pieces, each in its own frame: rows next to each other are not of the same one.
    #[test]
    fn no_draw_moves_towards_another_piece() {
        let n = 100;
        let y: Vec<f32> = (0..n).map(|i| i as f32 / n as f32).collect();
        let piece: Vec<f32> = (0..n)
            .flat_map(|i| if i % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] })
            .collect();
        let places = Places {
            y: &y,
            d: 1,
            piece: &piece,
            n_pieces: 2,
        };
        let rows: Vec<usize> = (0..n).collect();
        let smoothing = Smoothing::new(&places, &vec![1.0; n], &rows);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for row in rows {
            let neighbour = smoothing.show(row, &mut rng).neighbour;
            assert!(
                neighbour % 2 == row % 2 && neighbour != row,
                "{row} {neighbour}"
            );
        }
        // A piece of two draws has no more neighbours than one.
        let few: Vec<f32> = (0..n)
            .flat_map(|i| if i < 2 { [1.0, 0.0] } else { [0.0, 1.0] })
            .collect();
        let rows: Vec<usize> = (0..n).collect();
        let places = Places {
            piece: &few,
            ..places
        };
        let smoothing = Smoothing::new(&places, &vec![1.0; n], &rows);
        let seen: std::collections::BTreeSet<usize> = (0..200)
            .map(|_| smoothing.show(0, &mut rng).neighbour)
            .collect();
        assert_eq!(Vec::from_iter(seen), [0, 1]);
    }

    #[test]
    fn moves_follow_the_shape_of_the_draws() {
        let n = 400;
        let y = ridges(n);
        let rows: Vec<usize> = (0..n).collect();
        let smoothing = Smoothing::new(&of_one_piece(&y, 2), &vec![1.0; n], &rows);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut along, mut across) = (0.0f64, 0.0f64);
        for &row in &rows {
            let shown = smoothing.show(row, &mut rng);
            assert_eq!(shown.row, row);
            assert_eq!(shown.neighbour % 2, row % 2, "of the same ridge");
            let moved =
                |j: usize| shown.share * f64::from(y[2 * shown.neighbour + j] - y[2 * row + j]);
            along += (moved(0) + moved(1)).powi(2);
            across += (moved(0) - moved(1)).powi(2);
        }
        assert!(along > 4.0 * across && across > 0.0, "{along} {across}");
    }

    #[test]
    fn moves_shrink_as_the_draws_become_dense() {
        let width = |n: usize| {
            let rows: Vec<usize> = (0..n).collect();
            Smoothing::new(&of_one_piece(&ridges(n), 2), &vec![1.0; n], &rows).width
        };
        assert_eq!(width(100), WIDTH);
        assert!((width(2400) - 0.5 * WIDTH).abs() < 1e-12);
    }

    #[test]
    fn a_draw_without_neighbours_stays() {
        let smoothing = Smoothing::new(&of_one_piece(&[0.0, 1.0], 1), &[1.0, 0.0], &[0]);
        let shown = smoothing.show(0, &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(shown, Shown::as_it_is(0));
    }

    #[test]
    fn support_holds_each_row_once_and_light_rows_rarely() {
        let mut weight = vec![1.0; 3000];
        weight[7] = 1e6;
        let rows: Vec<usize> = (0..3000).collect();
        assert!(
            support(&weight, &rows).len() <= 6,
            "one row has almost all the weight"
        );
        let even = support(&vec![1.0; 3000], &rows);
        assert_eq!(even.len(), SUPPORT);
        assert!(even.is_sorted_by(|a, b| a < b));
    }
}
