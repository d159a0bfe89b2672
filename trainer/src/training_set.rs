//! Training rows in memory, in row order: simulations, with Gaussian noise added anew whenever they are shown,
//! or weighted draws.

use crate::loss;
use crate::noise::AddNoise;
use crate::smoothing::Shown;
use crate::standardization::Standardization;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{Campaign, GaussianNoise, Noise, RowNoise, SLICE_ROWS};
use sidereal_inference::space::Lean;
use sidereal_inference::weights::Objective;
use std::ops::Range;

/// Rows by which scales of noise are known.
pub(crate) const N_TYPICAL: usize = 1000;

/// Rows that a flow is trained on: z, a weight, and, where it is fitted to simulations, their data,
/// without noise where that is Gaussian.
#[derive(Debug, Clone)]
pub struct TrainingSet<'a> {
    pub(crate) campaign: &'a Campaign,
    pub(crate) flow: FlowId,
    pub(crate) objective: Objective,
    /// `[parameters]`, in turns after the prior's lower bound; 0 where a parameter is not periodic.
    pub(crate) seams: Vec<f64>,
    /// `[parameters]`, or empty where no bound is leant on.
    pub(crate) leans: Vec<Lean>,
    /// `[n_rows, parameters]`, row-major; unconstrained, circles cut at the prior's bounds.
    pub(crate) z: Vec<f64>,
    /// `[n_rows, length]`, row-major, with the noise's offset; empty for weighted draws.
    pub(crate) simulated: Vec<f32>,
    /// `[n_rows]`; 1 of simulations.
    pub(crate) weight: Vec<f64>,
    /// What adds noise to simulations, where a function of the user's does.
    pub(crate) noise: Option<&'a dyn AddNoise>,
    /// Of each datum with such noise: mean and standard deviation.
    pub(crate) noisy_moments: Option<(Vec<f64>, Vec<f64>)>,
}

/// Rows made ready for the network.
#[derive(Debug, Default, PartialEq)]
pub struct Minibatch {
    /// Rows.
    pub n: usize,
    /// Data of a row; for weighted draws their pieces.
    pub length: usize,
    /// `[n, length, channels]`; for weighted draws `[n, pieces]`, or empty where there are none
    pub x: Vec<f32>,
    /// `[n, parameters]`
    pub y: Vec<f32>,
    /// `[n]`; 1 of simulations
    pub weight: Vec<f32>,
    /// `[n]`; log of the prior's density at y
    pub log_prior: Vec<f32>,
}

impl<'a> TrainingSet<'a> {
    /// For training `flow`; rows are added by [`push_simulation`](Self::push_simulation) or
    /// [`push_draw`](Self::push_draw), as the objective asks.
    pub fn new(campaign: &'a Campaign, flow: FlowId, objective: Objective) -> Self {
        Self {
            campaign,
            flow,
            objective,
            seams: vec![0.0; campaign.space.len()],
            leans: Vec::new(),
            z: Vec::new(),
            simulated: Vec::new(),
            weight: Vec::new(),
            noise: None,
            noisy_moments: None,
        }
    }

    /// Cuts the circles of periodic parameters at `seams`, one for each parameter, in turns.
    pub(crate) fn with_seams(mut self, seams: Vec<f64>) -> Self {
        self.seams = seams;
        self
    }

    /// Says which bounds the posterior leans on, for each parameter.
    pub(crate) fn with_leans(mut self, leans: Vec<Lean>) -> Self {
        self.leans = leans;
        self
    }

    /// A row with its data, without noise where that is Gaussian: z `[parameters]`, simulated `[length]`.
    pub fn push_simulation(&mut self, z: &[f64], simulated: &[f32]) {
        self.z.extend_from_slice(z);
        match self.campaign.noise.terms() {
            Some(terms) if terms.offset.is_some() => {
                let theta = self.theta(z);
                let noise = terms.of_row(&self.campaign.space, &theta);
                let data = simulated.iter().enumerate();
                self.simulated
                    .extend(data.map(|(i, &x)| noise.mean(i, f64::from(x)) as f32));
            }
            Some(_) | None => self.simulated.extend_from_slice(simulated),
        }
        self.weight.push(1.0);
    }

    /// A row of weighted draws: z `[parameters]`.
    pub fn push_draw(&mut self, z: &[f64], weight: f64) {
        self.z.extend_from_slice(z);
        self.weight.push(weight);
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.weight.len()
    }

    pub(crate) fn n_parameters(&self) -> usize {
        self.campaign.space.len()
    }

    pub(crate) fn n_data(&self) -> usize {
        self.campaign.simulator.grid.len()
    }

    /// Over up to 1,000 rows, as validation draws sigma: its root mean square of each datum, jitter included, and mean and
    /// standard deviation of its logarithm, without. None where the simulator draws the noise, or a function adds it.
    pub(crate) fn typical_sigma(&self) -> Option<(Vec<f64>, (f64, f64))> {
        let noise = match &self.campaign.noise {
            Noise::Gaussian(noise) if self.campaign.training_noise.is_none() => noise,
            Noise::Gaussian(_) | Noise::Simulator => return None,
        };
        let n = self.n_rows().clamp(1, N_TYPICAL);
        let mut square = vec![0.0; self.n_data()];
        let (mut sum, mut sum_of_squares) = (0.0, 0.0);
        let mut sigma = vec![0.0; self.n_data()];
        for row in 0..n {
            self.draw_sigma(noise, row, Purpose::ValidationNoise, &mut sigma);
            let of_row = self.jitter(noise, row);
            for ((i, square), sigma) in square.iter_mut().enumerate().zip(&sigma) {
                let sd = of_row.sd(i, *sigma);
                *square += sd * sd;
                sum += sigma.ln();
                sum_of_squares += sigma.ln() * sigma.ln();
            }
        }
        let n_values = (n * self.n_data()) as f64;
        let mean = sum / n_values;
        let sd = (sum_of_squares / n_values - mean * mean).max(1e-12).sqrt();
        let root = |square: &f64| (square / n as f64).sqrt();
        Some((square.iter().map(root).collect(), (mean, sd)))
    }

    /// The given rows with noise of `purpose`, made ready for the network; many of them by all threads of the
    /// rayon pool that this is called in. Where a function adds the noise, the rows' data with it are `noisy`.
    pub fn minibatch(
        &self,
        rows: &[usize],
        purpose: Purpose,
        noisy: Option<&[f32]>,
        standardization: &Standardization,
    ) -> Minibatch {
        if rows.len() <= SLICE_ROWS {
            return self.slice(rows, purpose, noisy, standardization);
        }
        let slice = |index: usize| {
            let places = index * SLICE_ROWS..rows.len().min((index + 1) * SLICE_ROWS);
            let noisy = noisy.map(|x| self.data_of(x, &places));
            self.slice(&rows[places], purpose, noisy, standardization)
        };
        let n_slices = rows.len().div_ceil(SLICE_ROWS);
        let parts: Vec<Minibatch> = (0..n_slices).into_par_iter().map(slice).collect();
        let of_all = |values: fn(&Minibatch) -> &[f32]| -> Vec<f32> {
            parts.iter().flat_map(values).copied().collect()
        };
        Minibatch {
            n: rows.len(),
            length: self.length(standardization),
            x: of_all(|part| &part.x),
            y: of_all(|part| &part.y),
            weight: of_all(|part| &part.weight),
            log_prior: of_all(|part| &part.log_prior),
        }
    }

    /// The part of `data` \[row, datum\] that is of some rows.
    pub(crate) fn data_of<'x>(&self, data: &'x [f32], rows: &Range<usize>) -> &'x [f32] {
        let length = self.n_data();
        &data[rows.start * length..rows.end * length]
    }

    /// Of what a row shows.
    fn length(&self, standardization: &Standardization) -> usize {
        match self.objective {
            Objective::Simulations => self.n_data(),
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                standardization.pieces.len()
            }
        }
    }

    fn slice(
        &self,
        rows: &[usize],
        purpose: Purpose,
        noisy: Option<&[f32]>,
        standardization: &Standardization,
    ) -> Minibatch {
        let (d, length) = (self.n_parameters(), self.n_data());
        let mut batch = Minibatch {
            n: rows.len(),
            length: self.length(standardization),
            x: Vec::with_capacity(rows.len() * length * standardization.n_channels()),
            y: Vec::with_capacity(rows.len() * d),
            weight: Vec::with_capacity(rows.len()),
            log_prior: Vec::with_capacity(rows.len()),
        };
        for &row in rows {
            let z = &self.z[row * d..(row + 1) * d];
            let log_determinant = standardization.append_y(z, &mut batch.y);
            standardization.tell_piece(d, &mut batch.y, &mut batch.x);
            batch.weight.push(self.weight[row] as f32);
            batch
                .log_prior
                .push(loss::log_prior(z, log_determinant) as f32);
        }
        match self.objective {
            Objective::Simulations => {}
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => return batch,
        }
        let mut sigma = vec![0.0; length];
        let mut x = vec![0.0; length];
        for (i, &row) in rows.iter().enumerate() {
            let simulated = match noisy {
                Some(noisy) => self.data_of(noisy, &(i..i + 1)),
                None => self.data_of(&self.simulated, &(row..row + 1)),
            };
            match &self.campaign.noise {
                Noise::Gaussian(noise) if self.campaign.training_noise.is_none() => {
                    let mut rng = self.draw_sigma(noise, row, purpose, &mut sigma);
                    let of_row = self.jitter(noise, row);
                    let data = x.iter_mut().zip(simulated).zip(&sigma).enumerate();
                    for (i, ((x, &simulated), &sigma)) in data {
                        let normal: f64 = StandardNormal.sample(&mut rng);
                        *x = f64::from(simulated) + of_row.sd(i, sigma) * normal;
                    }
                }
                Noise::Gaussian(_) | Noise::Simulator => {
                    for (x, &simulated) in x.iter_mut().zip(simulated) {
                        *x = f64::from(simulated);
                    }
                }
            }
            standardization.append_channels(&x, &sigma, &mut batch.x);
        }
        batch
    }

    /// Weighted draws, each moved as it is shown.
    pub(crate) fn shown(&self, shown: &[Shown], standardization: &Standardization) -> Minibatch {
        let d = self.n_parameters();
        let mut batch = Minibatch {
            n: shown.len(),
            length: self.length(standardization),
            y: Vec::with_capacity(shown.len() * d + d),
            weight: vec![1.0; shown.len()],
            ..Minibatch::default()
        };
        let z = |row: usize| &self.z[row * d..(row + 1) * d];
        for draw in shown {
            let (own, other) = (z(draw.row), z(draw.neighbour));
            standardization.append_moved_y(own, other, draw.share, &mut batch.y);
            standardization.tell_piece(d, &mut batch.y, &mut batch.x);
        }
        batch
    }

    /// What the jitter of a row makes of sigma; the offset is in its data already.
    fn jitter(&self, noise: &'a GaussianNoise, row: usize) -> RowNoise<'a> {
        if noise.terms.jitter.is_none() {
            return RowNoise::default();
        }
        let d = self.n_parameters();
        let theta = self.theta(&self.z[row * d..(row + 1) * d]);
        noise.terms.of_row(&self.campaign.space, &theta)
    }

    pub(crate) fn theta(&self, z: &[f64]) -> Vec<f64> {
        let mut theta = vec![0.0; z.len()];
        self.campaign.space.constrain(z, &mut theta);
        theta
    }

    fn draw_sigma(
        &self,
        noise: &GaussianNoise,
        row: usize,
        purpose: Purpose,
        sigma: &mut [f64],
    ) -> rand_chacha::ChaCha8Rng {
        let mut rng = stream(
            self.campaign.seed,
            RoundId(self.flow.0),
            RowId(row as u64),
            purpose,
        );
        noise.draw_sigma(self.campaign.observation.as_ref(), &mut rng, sigma);
        rng
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_models::Catalogue;
    use std::path::Path;

    #[test]
    fn a_minibatch_is_its_slices_end_to_end() {
        let text = "name = \"one\"\nparameters = [{ name = \"a\", prior = { normal = { mean = 0, sd = 1 } } }]\n\
                    [simulator]\nbuiltin = \"linear-gaussian\"\ngrid = [0.0, 1.0]\nmatrix = [[1.0], [2.0]]\n[noise]\n\
                    gaussian = { sigma = 0.5 }\n";
        let campaign = sidereal_inference::campaign_file::parse(
            text,
            Path::new("one.toml"),
            &Catalogue::default(),
        )
        .expect("the campaign file is valid");
        let mut set = TrainingSet::new(&campaign, FlowId(0), Objective::Simulations);
        for i in 0..100u8 {
            let a = f64::from(i) / 50.0 - 1.0;
            set.push_simulation(&[a], &[a as f32, 2.0 * a as f32]);
        }
        let standardization = Standardization::new(&set);
        // Not in order, and not a whole number of slices.
        let rows: Vec<usize> = (0..2 * SLICE_ROWS + 5).map(|i| i * 37 % 100).collect();
        let purpose = Purpose::TrainingNoise { epoch: 3 };
        let whole = set.minibatch(&rows, purpose, None, &standardization);
        let mut joined = Minibatch {
            n: rows.len(),
            length: 2,
            ..Minibatch::default()
        };
        for row in &rows {
            let one = set.minibatch(&[*row], purpose, None, &standardization);
            joined.x.extend(one.x);
            joined.y.extend(one.y);
            joined.weight.extend(one.weight);
            joined.log_prior.extend(one.log_prior);
        }
        assert_eq!(whole, joined);
    }

    /// Offset and jitter of one instrument, of draws of the prior: the rows' own parameters, again and again.
    #[test]
    fn noise_has_the_offset_and_the_jitter_of_the_row() {
        let text = "name = \"one\"\nparameters = [{ name = \"a\", prior = { normal = { mean = 0, sd = 1 } } },\n\
                    { name = \"gamma\", prior = { normal = { mean = 0, sd = 10 } } },\n\
                    { name = \"s\", prior = { uniform = { low = 0, high = 8 } } }]\n\
                    [simulator]\nbuiltin = \"linear-gaussian\"\ngrid = [0.0, 1.0]\nmatrix = [[1.0], [2.0]]\n[noise]\n\
                    gaussian = { sigma = 3.0, jitter = { B = \"s\" }, offset = { B = \"gamma\" }, by = [\"A\", \"B\"] }\n";
        let campaign = sidereal_inference::campaign_file::parse(
            text,
            Path::new("one.toml"),
            &Catalogue::default(),
        )
        .expect("the campaign file is valid");
        let mut set = TrainingSet::new(&campaign, FlowId(0), Objective::Simulations);
        // a = 1, gamma = 10 and s = 4, which is the middle of its prior: sigma is 3 and 5.
        set.push_simulation(&[1.0, 1.0, 0.0], &[1.0, 2.0]);
        assert_eq!(set.simulated, [1.0, 12.0]);
        let (sigma, (log_mean, _)) = set.typical_sigma().expect("gaussian noise");
        assert!((sigma[0] - 3.0).abs() < 1e-14 && (sigma[1] - 5.0).abs() < 1e-14);
        // What the network may be shown is the error bar.
        assert!((log_mean - 3f64.ln()).abs() < 1e-14);
        let standardization = Standardization::new(&set);
        let n = 4000;
        let mut noise = [0.0; 2];
        let mut x = Vec::new();
        standardization.append_channels(&[1.0, 12.0], &[3.0; 2], &mut x);
        let mean = x.clone();
        x.clear();
        standardization.append_channels(&[2.0, 13.0], &[3.0; 2], &mut x);
        let n_channels = standardization.n_channels();
        let slope = [x[0] - mean[0], x[n_channels] - mean[n_channels]];
        for epoch in 0..n {
            let purpose = Purpose::TrainingNoise { epoch };
            let shown = set.minibatch(&[0], purpose, None, &standardization).x;
            for i in 0..2 {
                let at = i * n_channels;
                let deviation = f64::from((shown[at] - mean[at]) / slope[i]);
                noise[i] += deviation * deviation / f64::from(n);
            }
        }
        // Variances of 9 and 25, within 4.5 standard errors.
        for (found, expected) in noise.into_iter().zip([9.0, 25.0]) {
            let error = expected * (2.0 / f64::from(n)).sqrt();
            assert!((found - expected).abs() < 4.5 * error, "{found}");
        }
    }
}
