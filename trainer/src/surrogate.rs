//! Draws of the posterior by a surrogate of the forward model: where each simulation says what the data are, a few hundred
//! foretell them everywhere, and tempering on what they foretell costs no simulations.
//!
//! Only proposals follow from it. Their draws are simulated and weighed as any others, so that a surrogate that is wrong
//! costs simulations, never the result.

mod descent;
mod emulator;
mod kernel;
mod particles;
mod peaks;

use emulator::{Lesson, Surrogate};
use particles::{Swarm, temper};
use rayon::prelude::*;
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{Campaign, Observation};
use sidereal_inference::records::shard::{RowStatus, ShardRows};
use sidereal_inference::space::ParameterSpace;
use sidereal_inference::space::circle;
use sidereal_inference::weights::final_exponent;

/// The first flow's exponent, as a part of the final one: nothing is known yet of how well this foretells, and what it draws wide
/// of the posterior keeps later weights from growing heavy.
const FIRST_EXPONENT: f64 = 0.3;
/// Draws of the surrogate's posterior.
const N_PARTICLES: usize = 2000;
/// Places whose data are foretold together: fixed, so that results never depend on threads.
const CHUNK_ROWS: usize = 256;
/// Rows that are all learnt from; of more, the newest, the best, and some of the others.
const ALL_ROWS: usize = 800;
const NEWEST_ROWS: usize = 300;
const BEST_ROWS: usize = 250;
const OTHER_ROWS: usize = 250;

/// Simulations with the observation, as they come in.
pub struct Simulations<'a> {
    campaign: &'a Campaign,
    observation: &'a Observation,
    /// `[n, parameters]`
    z: Vec<f64>,
    /// `[n, data]`
    simulated: Vec<f32>,
    /// `[n]`
    log_likelihood: Vec<f64>,
}

impl<'a> Simulations<'a> {
    pub fn new(campaign: &'a Campaign, observation: &'a Observation) -> Self {
        Self {
            campaign,
            observation,
            z: Vec::new(),
            simulated: Vec::new(),
            log_likelihood: Vec::new(),
        }
    }

    /// Takes what rows there are with data and a likelihood.
    pub fn push(&mut self, rows: &ShardRows) {
        for i in 0..rows.draws.n_rows() {
            let data = &rows.simulated[i * rows.n_data..(i + 1) * rows.n_data];
            let Some(log_likelihood) = rows.log_likelihood[i] else {
                continue;
            };
            let is_usable = rows.status[i] == RowStatus::Ok
                && log_likelihood.is_finite()
                && data.iter().all(|x| x.is_finite());
            if is_usable {
                self.z.extend_from_slice(rows.draws.z_row(i));
                self.simulated.extend_from_slice(data);
                self.log_likelihood.push(log_likelihood);
            }
        }
    }

    /// Draws `[n, parameters]` (z) of the surrogate's posterior, made a little wider as flows are, for the first flow much
    /// wider; none where nothing can be learnt.
    pub fn posterior_draws(
        &self,
        flow: FlowId,
        is_first: bool,
        pool: &rayon::ThreadPool,
    ) -> Option<Vec<f64>> {
        let space = &self.campaign.space;
        let d = space.len();
        let surrogate = Surrogate::fit(&self.lesson())?;
        let circles: Vec<bool> = space.parameters.iter().map(|one| one.periodic).collect();
        let log_likelihood = |at: &[f64]| -> Vec<f64> {
            let of_chunk = |at: &[f64]| {
                let places: Vec<f64> = at
                    .chunks_exact(d)
                    .flat_map(|at| coordinates(space, &turns(&circles, at)))
                    .collect();
                surrogate.log_likelihood(&places)
            };
            let chunks: Vec<Vec<f64>> =
                pool.install(|| at.par_chunks(CHUNK_ROWS * d).map(of_chunk).collect());
            chunks.concat()
        };
        let round = RoundId(flow.0);
        let mut rng = stream(self.campaign.seed, round, RowId(0), Purpose::Surrogate);
        let swarm = Swarm::of_prior(circles.clone(), N_PARTICLES, &mut rng);
        let exponent = match is_first {
            true => FIRST_EXPONENT * final_exponent(d),
            false => final_exponent(d),
        };
        let (found, way) = temper(swarm, exponent, log_likelihood, &mut rng);
        let log_posterior = |at: &[f64]| {
            let places = at.chunks_exact(d).map(|at| found.log_prior(at));
            let both = log_likelihood(at).into_iter().zip(places);
            both.map(|(likelihood, prior)| likelihood + prior).collect()
        };
        let simulated = self.z.iter().enumerate();
        let simulated = simulated.map(|(i, &z)| match circles[i % d] {
            true => circle::turns(z),
            false => z,
        });
        let simulated: Vec<f64> = simulated.collect();
        let lost = peaks::left_behind(&way, &found, &simulated, &log_posterior, pool, &mut rng);
        let z = found
            .at
            .iter()
            .chain(&lost)
            .enumerate()
            .map(|(i, &at)| match circles[i % d] {
                true => circle::quantile(at),
                false => at,
            });
        Some(z.collect())
    }

    fn lesson(&self) -> Lesson {
        let space = &self.campaign.space;
        let (d, n_data) = (space.len(), self.observation.value.len());
        let rows = self.rows();
        let parameter = space
            .parameters
            .iter()
            .enumerate()
            .flat_map(|(i, one)| vec![i; if one.periodic { 2 } else { 1 }]);
        let parameter: Vec<usize> = parameter.collect();
        let place = |&row: &usize| {
            let z = &self.z[row * d..(row + 1) * d];
            coordinates(
                space,
                &z.iter().map(|&z| circle::turns(z)).collect::<Vec<_>>(),
            )
        };
        let residual = |&row: &usize| {
            let data = &self.simulated[row * n_data..(row + 1) * n_data];
            let observed = self.observation.value.iter().zip(&self.observation.sigma);
            let gaps = data.iter().zip(observed);
            gaps.map(|(&x, (value, sigma))| (f64::from(x) - value) / sigma)
                .collect::<Vec<_>>()
        };
        Lesson {
            width: parameter.len(),
            parameter,
            places: rows.iter().flat_map(place).collect(),
            residuals: rows.iter().flat_map(residual).collect(),
            log_likelihood: rows.iter().map(|&row| self.log_likelihood[row]).collect(),
        }
    }

    /// The rows to learn from. Draws that refute what was taken for a peak must be among them, however low: the newest.
    fn rows(&self) -> Vec<usize> {
        let n = self.log_likelihood.len();
        if n <= ALL_ROWS {
            return (0..n).collect();
        }
        let older = n - NEWEST_ROWS;
        let mut by_rank: Vec<usize> = (0..older).collect();
        by_rank.sort_by(|&a, &b| {
            self.log_likelihood[b]
                .total_cmp(&self.log_likelihood[a])
                .then(a.cmp(&b))
        });
        let (best, others) = by_rank.split_at(BEST_ROWS);
        let step = (others.len() / OTHER_ROWS).max(1);
        let others = others.iter().step_by(step).take(OTHER_ROWS);
        let mut rows: Vec<usize> = best.iter().chain(others).copied().collect();
        rows.extend(older..n);
        rows.sort_unstable();
        rows
    }
}

/// Quantiles of the prior, of particles' coordinates.
fn turns(circles: &[bool], at: &[f64]) -> Vec<f64> {
    let both = at.iter().zip(circles);
    both.map(|(&at, is_circle)| if *is_circle { at } else { circle::turns(at) })
        .collect()
}

/// Where the surrogate sees quantiles of the prior: lines of unit variance, circles of it in both directions.
fn coordinates(space: &ParameterSpace, turns: &[f64]) -> Vec<f64> {
    let mut coordinates = Vec::with_capacity(turns.len() + 1);
    for (parameter, turns) in space.parameters.iter().zip(turns) {
        match parameter.periodic {
            true => {
                let (sin, cos) = (std::f64::consts::TAU * turns).sin_cos();
                coordinates.extend([2f64.sqrt() * cos, 2f64.sqrt() * sin]);
            }
            false => coordinates.push(12f64.sqrt() * (turns - 0.5)),
        }
    }
    coordinates
}
