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

/// What the random numbers of a check are for, as rounds of their streams.
const OF_NOISE: RoundId = RoundId(0);
const OF_TRUTHS: RoundId = RoundId(1);
const OF_DRAWS: RoundId = RoundId(2);

impl CheckPlan {
    fn stream(&self, of: RoundId, row: usize) -> impl Rng + use<> {
        stream(self.seed, of, RowId(row as u64), Purpose::Check)
    }
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
    /// Refuses a model that cannot be checked: one of one observation, and one whose noise a function adds, because its likelihood
    /// is that of each observation's own errors, which no target here has.
    pub fn check_checkable(&self) -> Result<(), PredictError> {
        self.check_amortized()?;
        match self.model.campaign().training_noise {
            None => Ok(()),
            Some(_) => Err(PredictError::NoErrors),
        }
    }

    /// Simulates all targets of a model that [can be checked](Self::check_checkable).
    pub fn truths(&self, plan: CheckPlan) -> Result<Truths, PredictError> {
        let campaign = Campaign {
            seed: plan.stream(OF_TRUTHS, 0).next_u64(),
            ..self.model.campaign().clone()
        };
        let draws = Draws::from_prior(
            &campaign.space,
            campaign.seed,
            RoundId(0),
            0..plan.n_targets,
        );
        let rows = self.pool.install(|| self.forward.run(&campaign, draws))?;
        let observation = |row: usize| {
            if rows.status[row] != RowStatus::Ok {
                return None;
            }
            let simulated = rows.simulated_row(row).iter();
            let mut value: Vec<f64> = simulated.map(|&x| f64::from(x)).collect();
            let mut sigma = Vec::new();
            if let Noise::Gaussian(noise) = &campaign.noise {
                let mut rng = plan.stream(OF_NOISE, row);
                sigma = vec![0.0; value.len()];
                noise.draw_sigma(None, &mut rng, &mut sigma);
                let of_row = noise
                    .terms
                    .of_row(&campaign.space, rows.draws.theta_row(row));
                for (i, (value, sigma)) in value.iter_mut().zip(&sigma).enumerate() {
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    *value = of_row.mean(i, *value) + of_row.sd(i, *sigma) * normal;
                }
            }
            Some(Observation {
                grid: campaign.simulator.grid.clone(),
                value,
                sigma,
            })
        };
        let observations = (0..rows.status.len()).map(observation).collect();
        Ok(Truths { rows, observations })
    }

    /// Asks about all targets, as many at a time as there are threads, and gives each to `done` as it comes, in any order. The
    /// same plan gives the same, whatever the number of threads.
    pub fn check(
        &self,
        plan: CheckPlan,
        truths: &Truths,
        done: impl Fn(CheckedTarget) + Sync,
    ) -> Result<(), PredictError> {
        let all: Vec<(usize, &Observation)> = truths
            .observations
            .iter()
            .enumerate()
            .filter_map(|(row, observation)| Some((row, observation.as_ref()?)))
            .collect();
        self.for_each(&all, |&(row, observation)| {
            done(self.check_one(plan, &truths.rows.draws, row, observation)?);
            Ok(())
        })
    }

    fn check_one(
        &self,
        plan: CheckPlan,
        truths: &Draws,
        row: usize,
        observation: &Observation,
    ) -> Result<CheckedTarget, PredictError> {
        let mut rng = plan.stream(OF_DRAWS, row);
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
