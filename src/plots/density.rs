//! Weighted histograms and smooth densities on grids, with the levels that enclose a given mass.

/// Positive weights of draws, normalized to sum 1, with the number of equal draws they are worth.
pub struct Weights<'a> {
    pub weight: &'a [f64],
    pub n_eff: f64,
}

impl<'a> Weights<'a> {
    /// None where no weight is positive.
    pub fn new(weight: &'a [f64]) -> Option<Self> {
        let sum: f64 = weight.iter().sum();
        let squares: f64 = weight.iter().map(|w| w * w).sum();
        (sum > 0.0 && squares > 0.0).then(|| Self {
            weight,
            n_eff: sum * sum / squares,
        })
    }
}

/// Weighted histogram of `values` over [low, high] in `n_bins` bins; what lies outside is left out.
pub fn histogram(values: &[f64], weight: &[f64], low: f64, high: f64, n_bins: usize) -> Vec<f64> {
    let mut bins = vec![0.0; n_bins];
    for (&value, &weight) in values.iter().zip(weight) {
        if let Some(bin) = bin_of(value, low, high, n_bins) {
            bins[bin] += weight;
        }
    }
    bins
}

/// The number of bins with the least cross-validated error (Rudemo 1982), n_eff taken as the sample size.
pub fn best_n_bins(values: &[f64], weights: &Weights, low: f64, high: f64) -> usize {
    let n = weights.n_eff.max(2.0);
    let risk = |n_bins: usize| {
        let squares: f64 = histogram(values, weights.weight, low, high, n_bins)
            .iter()
            .map(|p| p * p)
            .sum();
        n_bins as f64 * (2.0 - (n + 1.0) * squares) / (n - 1.0)
    };
    let candidates = (12..=60).step_by(4).map(|n_bins| (n_bins, risk(n_bins)));
    candidates
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(12, |(n_bins, _)| n_bins)
}

/// A density on a square grid over a rectangle, row-major, y rising with the row.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    pub n: usize,
    pub density: Vec<f64>,
    /// Of x and y.
    pub ends: [Ends; 2],
}

/// The limits of one axis of a [`Grid`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    pub low: f64,
    pub high: f64,
    pub ends: Ends,
}

/// What lies beyond the limits of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Nothing: mass that is spread there comes back.
    Walls,
    /// The other end: the axis is a whole circle.
    Joined,
}

impl Ends {
    /// The cell, of `n`, that cell `i` is, which may lie beyond the limits.
    fn cell(self, i: isize, n: usize) -> usize {
        match self {
            Self::Walls => {
                let folded = i.rem_euclid(2 * n as isize) as usize;
                if folded < n {
                    folded
                } else {
                    2 * n - 1 - folded
                }
            }
            Self::Joined => i.rem_euclid(n as isize) as usize,
        }
    }
}

impl Grid {
    /// Smooth weighted density of (x, y): a Gaussian kernel, reflected at walls and going round circles, as wide as its
    /// cross-validated squared error allows, so that narrow modes stay narrow.
    pub fn smooth(x: &[f64], y: &[f64], weights: &Weights, limits: [Limits; 2], n: usize) -> Self {
        let ends = limits.map(|limits| limits.ends);
        let mut counts = vec![0.0; n * n];
        let mut squares = 0.0;
        for ((&x, &y), &weight) in x.iter().zip(y).zip(weights.weight) {
            let column = bin_of(x, limits[0].low, limits[0].high, n);
            let row = bin_of(y, limits[1].low, limits[1].high, n);
            if let (Some(column), Some(row)) = (column, row) {
                counts[row * n + column] += weight;
                squares += weight * weight;
            }
        }
        let widest = n as f64 / 6.0;
        let widths = (0..)
            .map(|i| 0.8 * 1.35f64.powi(i))
            .take_while(|&width| width < widest);
        let mut candidates: Vec<(f64, Vec<f64>)> = Vec::new();
        for width in widths {
            let kernel = gaussian_kernel(width);
            let density = smoothed(&counts, n, &kernel, ends);
            let own: f64 = density.iter().map(|d| d * d).sum();
            let others: f64 = counts.iter().zip(&density).map(|(c, d)| c * d).sum();
            let at_itself = kernel[0] * kernel[0] * squares;
            candidates.push((
                own - 2.0 * (others - at_itself) / (1.0 - squares).max(1e-12),
                density,
            ));
        }
        // The risk is noisy and flat near its least value: of what is as good, the smoothest.
        let least = candidates
            .iter()
            .map(|(risk, _)| *risk)
            .fold(f64::INFINITY, f64::min);
        let allowed = least + 0.03 * least.abs();
        let chosen = candidates
            .into_iter()
            .rev()
            .find(|(risk, _)| *risk <= allowed);
        Self {
            n,
            density: chosen.map_or(counts, |(_, density)| density),
            ends,
        }
    }

    pub fn largest(&self) -> f64 {
        self.density.iter().copied().fold(0.0, f64::max)
    }

    /// The density above which lies the share `mass` of the whole.
    pub fn level(&self, mass: f64) -> f64 {
        let mut sorted = self.density.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let wanted = mass * sorted.iter().sum::<f64>();
        let mut reached = 0.0;
        for density in sorted {
            reached += density;
            if reached >= wanted {
                return density;
            }
        }
        0.0
    }

    /// Bilinear density at (u, v) in [0, 1]², cells' centres being the nodes.
    pub fn at(&self, u: f64, v: f64) -> f64 {
        let split = |position: f64| {
            let place = position * self.n as f64 - 0.5;
            (place.floor() as isize, place - place.floor())
        };
        let ((column, a), (row, b)) = (split(u), split(v));
        let lower = self.cell(row, column) * (1.0 - a) + self.cell(row, column + 1) * a;
        let upper = self.cell(row + 1, column) * (1.0 - a) + self.cell(row + 1, column + 1) * a;
        lower * (1.0 - b) + upper * b
    }

    /// The density of a cell, which may lie one beyond the limits.
    fn cell(&self, row: isize, column: isize) -> f64 {
        let [across, upwards] = self.ends;
        self.density[upwards.cell(row, self.n) * self.n + across.cell(column, self.n)]
    }

    /// The lines on which the density is `level`, as pieces within [0, 1]² (marching squares).
    pub fn contour(&self, level: f64) -> Vec<[(f64, f64); 2]> {
        let n = self.n;
        // One ring of cells beyond the edge holds the edge's values, or those of the other edge, so that lines reach the
        // frame.
        let value = |row: usize, column: usize| self.cell(row as isize - 1, column as isize - 1);
        let place = |i: f64| ((i - 0.5) / n as f64).clamp(0.0, 1.0);
        let mut pieces = Vec::new();
        for row in 0..=n {
            for column in 0..=n {
                let corners =
                    [(0, 0), (0, 1), (1, 1), (1, 0)].map(|(up, right)| (row + up, column + right));
                let mut crossings = Vec::with_capacity(4);
                for edge in 0..4 {
                    let (from, to) = (corners[edge], corners[(edge + 1) % 4]);
                    let (a, b) = (value(from.0, from.1), value(to.0, to.1));
                    if (a >= level) != (b >= level) {
                        let t = (level - a) / (b - a);
                        let between =
                            |from: usize, to: usize| from as f64 + t * (to as f64 - from as f64);
                        crossings
                            .push((place(between(from.1, to.1)), place(between(from.0, to.0))));
                    }
                }
                for pair in crossings.chunks_exact(2) {
                    pieces.push([pair[0], pair[1]]);
                }
            }
        }
        pieces
    }
}

fn bin_of(value: f64, low: f64, high: f64, n_bins: usize) -> Option<usize> {
    let place = (value - low) / (high - low);
    (0.0..=1.0)
        .contains(&place)
        .then(|| ((place * n_bins as f64) as usize).min(n_bins - 1))
}

/// One half of a discrete Gaussian of sum 1, from its centre outwards.
fn gaussian_kernel(width: f64) -> Vec<f64> {
    let reach = (4.0 * width).ceil() as usize;
    let half: Vec<f64> = (0..=reach)
        .map(|i| (-0.5 * (i as f64 / width).powi(2)).exp())
        .collect();
    let sum = 2.0 * half.iter().sum::<f64>() - half[0];
    half.iter().map(|k| k / sum).collect()
}

fn smoothed(counts: &[f64], n: usize, kernel: &[f64], [across, upwards]: [Ends; 2]) -> Vec<f64> {
    let mut along_rows = vec![0.0; n * n];
    for row in 0..n {
        spread(
            &counts[row * n..(row + 1) * n],
            kernel,
            across,
            |column, value| along_rows[row * n + column] = value,
        );
    }
    let mut density = vec![0.0; n * n];
    let mut line = vec![0.0; n];
    for column in 0..n {
        for (row, value) in line.iter_mut().enumerate() {
            *value = along_rows[row * n + column];
        }
        spread(&line, kernel, upwards, |row, value| {
            density[row * n + column] = value
        });
    }
    density
}

fn spread(line: &[f64], kernel: &[f64], ends: Ends, mut set: impl FnMut(usize, f64)) {
    let (n, reach) = (line.len(), kernel.len() - 1);
    let padded: Vec<f64> = (0..n + 2 * reach)
        .map(|i| line[ends.cell(i as isize - reach as isize, n)])
        .collect();
    for i in 0..n {
        let centre = i + reach;
        let mut value = kernel[0] * padded[centre];
        for (distance, k) in kernel.iter().enumerate().skip(1) {
            value += k * (padded[centre - distance] + padded[centre + distance]);
        }
        set(i, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_keeps_both_ends() {
        let bins = histogram(&[0.0, 0.5, 1.0, 1.1], &[1.0, 2.0, 4.0, 8.0], 0.0, 1.0, 2);
        assert_eq!(bins, [1.0, 6.0]);
    }

    #[test]
    fn smoothing_loses_no_mass_at_the_limits() {
        let n = 16;
        let mut counts = vec![0.0; n * n];
        counts[0] = 0.25;
        counts[n * n - 1] = 0.75;
        for ends in [[Ends::Walls; 2], [Ends::Joined, Ends::Walls]] {
            let density = smoothed(&counts, n, &gaussian_kernel(3.0), ends);
            assert!((density.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn circles_have_no_edge() {
        // All of the mass in one cell beside the edge of x, a circle, and of y, which ends there.
        let n = 16;
        let mut counts = vec![0.0; n * n];
        counts[0] = 1.0;
        let ends = [Ends::Joined, Ends::Walls];
        let density = smoothed(&counts, n, &gaussian_kernel(1.5), ends);
        assert_eq!(density[1], density[n - 1]);
        assert!(density[2] == density[n - 2] && density[2] < density[1]);
        assert_eq!(density[(n - 1) * n], 0.0);
        let grid = Grid { n, density, ends };
        // Bilinear from one edge to the other: the same at both.
        assert_eq!(grid.at(0.0, 0.1), grid.at(1.0, 0.1));
        // The line around the mass is cut by the edge, and goes on at the other one at the same heights.
        let mut heights = [Vec::new(), Vec::new()];
        for (x, y) in grid.contour(grid.level(0.68)).into_iter().flatten() {
            if x == 0.0 {
                heights[0].push(y);
            } else if x == 1.0 {
                heights[1].push(y);
            }
        }
        assert!(!heights[0].is_empty());
        let lowest = heights.map(|heights| heights.into_iter().fold(f64::INFINITY, f64::min));
        assert!((lowest[0] - lowest[1]).abs() < 0.5 / n as f64, "{lowest:?}");
    }

    #[test]
    fn levels_enclose_their_mass_and_contours_lie_on_them() {
        let n = 64;
        let density = |i: usize| (-0.5 * ((i as f64 + 0.5) / n as f64 - 0.5).powi(2) / 0.01).exp();
        let grid = Grid {
            n,
            density: (0..n * n)
                .map(|i| density(i % n) * density(i / n))
                .collect(),
            ends: [Ends::Walls; 2],
        };
        // The mass within radius r of a round Gaussian of width s is 1 - exp(-r² / 2s²).
        let level = grid.level(0.68);
        let radius = (-2.0 * 0.01 * (1.0f64 - 0.68).ln()).sqrt();
        let contour = grid.contour(level);
        assert!(!contour.is_empty());
        for (x, y) in contour.into_iter().flatten() {
            let found = (x - 0.5).hypot(y - 0.5);
            assert!((found - radius).abs() < 0.01, "{found} {radius}");
        }
    }

    #[test]
    fn narrow_modes_stay_narrow() {
        // Two modes of width 0.02 at 0.25 and 0.75, by Gaussian quantiles: between them must be nothing.
        let n_draws = 400;
        let spot = |i: usize| {
            let u = (i / 2) as f64 / (n_draws / 2) as f64 - 0.5;
            (if i.is_multiple_of(2) { 0.25 } else { 0.75 }) + 0.04 * u + 0.1 * u.powi(3)
        };
        let x: Vec<f64> = (0..n_draws).map(spot).collect();
        let y: Vec<f64> = (0..n_draws)
            .map(|i| 0.5 + 0.1 * ((i * 37 % n_draws) as f64 / n_draws as f64 - 0.5))
            .collect();
        let weight = vec![1.0 / n_draws as f64; n_draws];
        let weights = Weights::new(&weight).expect("positive");
        let limits = [Limits {
            low: 0.0,
            high: 1.0,
            ends: Ends::Walls,
        }; 2];
        let grid = Grid::smooth(&x, &y, &weights, limits, 96);
        assert!(grid.at(0.5, 0.5) < 1e-3 * grid.at(0.25, 0.5));
        assert!((grid.at(0.25, 0.5) / grid.at(0.75, 0.5) - 1.0).abs() < 0.05);
    }
}
