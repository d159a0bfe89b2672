//! The noise that a function adds to rows of a training set, in the order in which they are shown.

use crate::noise::AddNoise;
use crate::scales::column_moments;
use crate::training_set::{N_TYPICAL, TrainingSet};
use rand::Rng;
use sidereal_inference::base::{Purpose, RoundId, RowId, stream};

impl<'a> TrainingSet<'a> {
    /// With a function that adds noise to the simulations that are in the set.
    pub fn with_noise(mut self, noise: &'a dyn AddNoise) -> Result<Self, String> {
        let rows: Vec<usize> = (0..self.n_rows().min(N_TYPICAL)).collect();
        let n = rows.len();
        self.noise = Some(noise);
        let sequence = NoiseSequence::new(&self, rows, Purpose::ValidationNoise);
        let noisy = sequence.map(|mut sequence| sequence.take(n)).transpose()?;
        let moments = noisy.map(|noisy| column_moments(&noisy, self.n_data(), None));
        self.noisy_moments = moments;
        Ok(self)
    }
}

/// Rows of a training set in an order, which get their noise in this order, as many at a time as are asked for: a row's
/// noise does not depend on how many.
pub struct NoiseSequence<'a> {
    set: &'a TrainingSet<'a>,
    noise: &'a dyn AddNoise,
    rows: Vec<usize>,
    purpose: Purpose,
    /// The place of the first row without noise.
    next: usize,
    /// With noise and not asked for yet.
    kept: Vec<f32>,
}

impl<'a> NoiseSequence<'a> {
    /// None where no function adds noise to the rows of `set`.
    pub fn new(set: &'a TrainingSet<'a>, rows: Vec<usize>, purpose: Purpose) -> Option<Self> {
        Some(Self {
            set,
            noise: set.noise?,
            rows,
            purpose,
            next: 0,
            kept: Vec::new(),
        })
    }

    /// Data of the next `n` rows with noise, \[row, datum\].
    pub fn take(&mut self, n: usize) -> Result<Vec<f32>, String> {
        let length = self.set.n_data();
        let n_missing = n.saturating_sub(self.kept.len() / length.max(1));
        if n_missing > 0 {
            let block = self.noise.block().max(1);
            let end = (self.next + n_missing).next_multiple_of(block);
            self.make(end.min(self.rows.len()))?;
        }
        let rest = self.kept.split_off((n * length).min(self.kept.len()));
        Ok(std::mem::replace(&mut self.kept, rest))
    }

    /// Gives noise to the rows up to `end`.
    fn make(&mut self, end: usize) -> Result<(), String> {
        let (set, block) = (self.set, self.noise.block().max(1));
        let length = set.n_data();
        let places = self.next..end;
        let of_row = |row: usize| &set.simulated[row * length..(row + 1) * length];
        let simulated = self.rows[places.clone()]
            .iter()
            .flat_map(|&row| of_row(row));
        let simulated: Vec<f64> = simulated.map(|&x| f64::from(x)).collect();
        let n_parameters = set.n_parameters();
        let theta = self.rows[places.clone()].iter().map(|&row| {
            let theta = set.theta(&set.z[row * n_parameters..(row + 1) * n_parameters]);
            set.campaign.space.model_parameters(&theta)
        });
        let theta: Vec<Vec<f64>> = theta.collect();
        let seed = |place: usize| {
            let row = RowId(self.rows[place - place % block] as u64);
            let mut seed = [0; 16];
            let round = RoundId(set.flow.0);
            stream(set.campaign.seed, round, row, self.purpose).fill_bytes(&mut seed);
            seed
        };
        let seeds = places.map(seed).collect();
        let noisy = self
            .noise
            .add(self.next as u64, &simulated, &theta, seeds)?;
        for x in noisy {
            let rounded = x as f32;
            if !rounded.is_finite() {
                return Err(format!(
                    "found {x:e} in data with noise, expected numbers that single precision holds"
                ));
            }
            self.kept.push(rounded);
        }
        self.next = end;
        Ok(())
    }
}
