//! A model asked about targets whose truth is known: is what it says calibrated, and how efficient is it?

use crate::predictor::{PredictError, Predictor, Weighed, n_failed, posterior};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use sidereal_inference::base::{Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{Campaign, Noise, Observation};
use sidereal_inference::method::{Effort, SeenPosterior, standings, thin_tail, trust_prediction};
use sidereal_inference::records::shard::{RowStatus, ShardRows};
use sidereal_inference::records::{CheckedTarget, Draws};
use sidereal_inference::weights;
use sidereal_trainer::draw::score;
use std::sync::atomic::AtomicBool;

/// What targets a model is checked on.
#[derive(Debug, Clone, Copy)]
pub struct CheckPlan {
    /// Targets drawn from the prior.
    pub n_targets: u64,
    /// For each of them.
    pub effort: Effort,
    /// Of truths, noise and draws; not those of the training, whatever the model's seed.
    pub seed: u64,
}

/// Parameters drawn from the prior and what the model makes of them, with noise.
#[derive(Debug)]
pub struct Truths {
    rows: ShardRows,
    /// None where the simulation failed.
    observations: Vec<Option<Observation>>,
}

impl Truths {
    /// Targets whose simulation failed, which nothing is asked about.
    pub fn n_failed(&self) -> u64 {
        self.observations.iter().filter(|one| one.is_none()).count() as u64
    }
}

impl Predictor<'_> {
    /// Simulates all targets.
    pub fn truths(&self, plan: CheckPlan) -> Result<Truths, PredictError> {
        let campaign = Campaign {
            seed: stream(plan.seed, RoundId(1), RowId(0), Purpose::Check).next_u64(),
            ..self.model.campaign().clone()
        };
        let draws = Draws::from_prior(
            &campaign.space,
            campaign.seed,
            RoundId(0),
            0..plan.n_targets,
        );
        let rows = self.pool.install(|| self.forward.run(&campaign, draws))?;
        let mut data: Vec<Vec<f64>> = Vec::with_capacity(rows.status.len());
        for row in 0..rows.status.len() {
            let simulated = rows.simulated_row(row);
            data.push(simulated.iter().map(|&x| f64::from(x)).collect());
        }
        let is_ok: Vec<bool> = rows
            .status
            .iter()
            .map(|status| *status == RowStatus::Ok)
            .collect();
        let added = self.noise_of_function(plan, &campaign, &rows, &is_ok, &mut data)?;
        let observation = |(row, mut value): (usize, Vec<f64>)| {
            let mut rng = own_stream(plan, row);
            let mut sigma = Vec::new();
            if let Noise::Gaussian(noise) = &campaign.noise {
                sigma = vec![0.0; value.len()];
                noise.draw_sigma(None, &mut rng, &mut sigma);
                let of_row = noise
                    .terms
                    .of_row(&campaign.space, rows.draws.theta_row(row));
                for (i, (value, sigma)) in
                    value.iter_mut().zip(&sigma).enumerate().filter(|_| !added)
                {
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    *value = of_row.mean(i, *value) + of_row.sd(i, *sigma) * normal;
                }
            }
            is_ok[row].then(|| Observation {
                grid: campaign.simulator.grid.clone(),
                value,
                sigma,
            })
        };
        let observations = data.into_iter().enumerate().map(observation).collect();
        Ok(Truths { rows, observations })
    }

    /// Where a function adds the noise it is asked; whether there is one.
    fn noise_of_function(
        &self,
        plan: CheckPlan,
        campaign: &Campaign,
        rows: &ShardRows,
        is_ok: &[bool],
        data: &mut [Vec<f64>],
    ) -> Result<bool, PredictError> {
        let Some(noise) = self
            .models
            .noise(campaign, self.pool.current_num_threads())?
        else {
            return Ok(false);
        };
        let asked: Vec<usize> = (0..data.len()).filter(|&row| is_ok[row]).collect();
        let simulated: Vec<f64> = asked.iter().flat_map(|&row| data[row].clone()).collect();
        let theta = asked
            .iter()
            .map(|&row| campaign.space.model_parameters(rows.draws.theta_row(row)));
        let block = noise.block().max(1);
        let seed = |place: usize| {
            let mut seed = [0; 16];
            let row = RowId((place - place % block) as u64);
            stream(plan.seed, RoundId(2), row, Purpose::Check).fill_bytes(&mut seed);
            seed
        };
        let seeds = (0..asked.len()).map(seed).collect();
        let theta: Vec<Vec<f64>> = theta.collect();
        let noisy = noise.add(0, &simulated, &theta, seeds, &AtomicBool::new(false))?;
        let n_data = rows.n_data.max(1);
        for (&row, noisy) in asked.iter().zip(noisy.chunks_exact(n_data)) {
            data[row] = noisy.to_vec();
        }
        Ok(true)
    }

    /// Asks about all targets, as many at a time as there are threads, and gives each to `done` as it comes, in any order. The
    /// same plan gives the same, whatever the number of threads. An error of `done` ends it.
    pub fn check<E: Send + From<PredictError>>(
        &self,
        plan: CheckPlan,
        truths: &Truths,
        done: impl Fn(CheckedTarget) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let all: Vec<(usize, &Observation)> = truths
            .observations
            .iter()
            .enumerate()
            .filter_map(|(row, observation)| Some((row, observation.as_ref()?)))
            .collect();
        self.for_each(&all, |&(row, observation)| {
            let checked = self.check_one(plan, &truths.rows.draws, row, observation)?;
            done(checked)
        })
    }

    fn check_one(
        &self,
        plan: CheckPlan,
        truths: &Draws,
        row: usize,
        observation: &Observation,
    ) -> Result<CheckedTarget, PredictError> {
        let mut rng = stream(plan.seed, RoundId(3), RowId(row as u64), Purpose::Check);
        let (space, seed) = (&self.model.campaign().space, rng.next_u64());
        let reference: Vec<f64> = (0..space.len()).map(|_| rng.random()).collect();
        let Weighed {
            rows,
            log_weights,
            diagnostics,
        } = self.weighed(observation, plan.effort, seed)?;
        let truth = truths.slice(row as u64..row as u64 + 1);
        let campaign = Campaign {
            observation: Some(observation.clone()),
            ..self.model.campaign().clone()
        };
        let scorer = self.scorer(observation)?;
        let network_density = score(&campaign, &scorer, &truth, &self.pool);
        let network_density = network_density.map_err(PredictError::Draw)?[0];
        let z = truth.z.clone();
        let draws = &rows.draws;
        let network = SeenPosterior {
            z: &draws.z,
            log_density: &draws.log_proposal,
            weight: &vec![1.0; draws.n_rows()],
        };
        let network = standings(space, network, (&z, network_density), &reference);
        let log_prior = truth.log_prior[0];
        let of_truth = self
            .pool
            .install(|| self.forward.run(&campaign, truth))?
            .log_likelihood[0];
        let log_posterior: Vec<f64> = rows
            .log_likelihood
            .iter()
            .zip(&draws.log_prior)
            .map(|(log_likelihood, log_prior)| {
                log_likelihood.unwrap_or(f64::NEG_INFINITY) + log_prior
            })
            .collect();
        let weight = weights::normalized(&log_weights);
        let weighted = SeenPosterior {
            z: &draws.z,
            log_density: &log_posterior,
            weight: &weight,
        };
        let of_truth = of_truth.unwrap_or(f64::NEG_INFINITY) + log_prior;
        let weighted = standings(space, weighted, (&z, of_truth), &reference);
        let mut warnings = trust_prediction(&diagnostics, n_failed(&rows));
        warnings.extend(thin_tail(space, &posterior(space, &rows, &weight)));
        Ok(CheckedTarget {
            target: row as u64,
            theta: truths.theta_row(row).to_vec(),
            network,
            weighted,
            weights: diagnostics,
            warnings,
        })
    }
}

/// What a target's noise is made of.
fn own_stream(plan: CheckPlan, row: usize) -> impl Rng {
    stream(plan.seed, RoundId(0), RowId(row as u64), Purpose::Check)
}
