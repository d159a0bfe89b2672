//! One observation after the other: draws of the model's flow, simulated once each and weighed.

use crate::observed;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId};
use sidereal_inference::campaign::model::Declaration;
use sidereal_inference::campaign::{Campaign, Errors, Observation, Reading, Target};
use sidereal_inference::method::fit_check::{Fit, check_posterior};
use sidereal_inference::method::{
    Effort, Mode, misfit, modes, next_draws, thin_tail, trust_prediction,
};
use sidereal_inference::records::shard::ShardRows;
use sidereal_inference::records::{
    Draws, ModelBand, ParameterSummary, Posterior, PosteriorRow, parameter_summaries,
};
use sidereal_inference::space::ParameterSpace;
use sidereal_inference::weights;
use sidereal_inference::weights::{Component, Objective, Proposal, WeightDiagnostics};
use sidereal_models::{BatchError, BuildError, Catalogue};
use sidereal_trainer::Model;
use sidereal_trainer::draw::{DrawPlan, draw, score};
use sidereal_trainer::model::{ModelError, Scorer};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;

/// Of the `summary.json` of a prediction.
pub const FORMAT: &str = "sidereal-prediction";
const VERSION: u32 = 1;

/// A prediction that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The flow is one campaign's own.
    #[error(
        "{flow} was fitted to the posterior of the campaign's own observation, expected a model for any observation (from a \
         campaign file without [observation])"
    )]
    NotAmortized {
        /// The model's flow.
        flow: FlowId,
    },
    /// The forward model does not take its options.
    #[error(transparent)]
    Simulator(#[from] BuildError),
    /// The system has no threads left.
    #[error("cannot start {n_threads} threads: {source}")]
    Threads {
        /// So many were asked for.
        n_threads: usize,
        /// What the system said.
        #[source]
        source: ThreadPoolBuildError,
    },
    /// The network cannot be asked about the observation.
    #[error(transparent)]
    Scorer(ModelError),
    /// The network cannot be drawn from.
    #[error(transparent)]
    Draw(ModelError),
    /// The simulations are not what the model promises.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Targets of a check would have no errors.
    #[error(
        "a function adds the noise of this model (noise.python), and its likelihood is that of each observation's own errors, which targets \
         made for a check do not have: hold it against observations of known truth with predict"
    )]
    NoErrors,
}

impl PredictError {
    /// Whether the user has to change something.
    pub fn is_unusable_input(&self) -> bool {
        match self {
            Self::NotAmortized { .. } | Self::Simulator(_) | Self::Scorer(_) | Self::NoErrors => {
                true
            }
            Self::Threads { .. } | Self::Draw(_) | Self::Batch(_) => false,
        }
    }

    /// Whether it is about this observation, and others may do.
    pub fn is_of_observation(&self) -> bool {
        match self {
            Self::Scorer(_) | Self::Draw(_) => true,
            Self::NotAmortized { .. }
            | Self::Simulator(_)
            | Self::Threads { .. }
            | Self::Batch(_)
            | Self::NoErrors => false,
        }
    }
}

/// The `summary.json` of one prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// [`FORMAT`].
    pub format: String,
    /// Of the format.
    pub version: u32,
    /// Path of the observation, as it was given.
    pub observation: String,
    /// Path of the model, as it was given.
    pub model: String,
    /// The model's flow.
    pub flow: FlowId,
    /// SHA-256 of the model's weights.
    pub weights_sha256: String,
    /// Of draws and simulations.
    pub seed: u64,
    /// Draws whose simulation failed.
    pub n_failed: u64,
    /// What the weighted draws are worth.
    #[serde(flatten)]
    pub weights: WeightDiagnostics,
    /// Quantiles of each parameter; none where no weight is positive.
    pub parameters: Vec<ParameterSummary>,
    /// The posterior's modes.
    pub modes: Vec<Mode>,
    /// Whether the model fits the observation.
    pub fit: Fit,
    /// Why the result is not to be trusted; empty where it is.
    pub warnings: Vec<String>,
}

/// A prediction with its draws.
#[derive(Debug)]
pub struct Predicted {
    /// Its numbers.
    pub prediction: Prediction,
    /// All draws whose likelihood is known, with their weights.
    pub posterior: Posterior,
    /// None where the data cannot be compared.
    pub band: Option<ModelBand>,
}

/// Draws of one observation, simulated and weighed.
pub(crate) struct Weighed {
    pub rows: ShardRows,
    pub log_weights: Vec<f64>,
    pub diagnostics: WeightDiagnostics,
}

/// A trained model with the forward model to weigh its draws by.
pub struct Predictor<'a> {
    pub(crate) model: &'a Model,
    models: &'a Catalogue,
    pub(crate) forward: sidereal_models::Model,
    pub(crate) pool: ThreadPool,
}

impl<'a> Predictor<'a> {
    /// `n_threads` draw and simulate.
    pub fn new(
        model: &'a Model,
        models: &'a Catalogue,
        n_threads: usize,
    ) -> Result<Self, PredictError> {
        let campaign = model.campaign();
        let forward = models.build(campaign, n_threads)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .build()
            .map_err(|source| PredictError::Threads { n_threads, source })?;
        Ok(Self {
            model,
            models,
            forward,
            pool,
        })
    }

    /// Refuses a model that was fitted to one campaign's own observation.
    pub fn check_amortized(&self) -> Result<(), PredictError> {
        match self.model.training().objective {
            Objective::Simulations => Ok(()),
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                let flow = self.model.flow();
                Err(PredictError::NotAmortized { flow })
            }
        }
    }

    /// The observation in a file, where the model can be asked about it; else why not, with the file's name.
    pub fn observation(&self, path: &Path, reading: &Reading) -> Result<Observation, String> {
        let (errors, declaration) = self.expected()?;
        let (observation, _) =
            Observation::read(path, errors, reading).map_err(|error| error.to_string())?;
        match observed::mistake(self.model.campaign(), declaration, &observation) {
            None => Ok(observation),
            Some(mistake) => Err(format!("{}: {mistake}", path.display())),
        }
    }

    /// The targets of a catalogue in one file; those that the model cannot be asked about say why.
    pub fn targets(&self, path: &Path, reading: &Reading) -> Result<Vec<Target>, String> {
        let (errors, declaration) = self.expected()?;
        let mut targets = Target::read_all(path, errors, reading)?;
        for target in &mut targets {
            let mistake =
                |found: &Observation| observed::mistake(self.model.campaign(), declaration, found);
            if let Some(mistake) = target.observation.as_ref().ok().and_then(mistake) {
                target.observation = Err(mistake);
            }
        }
        Ok(targets)
    }

    /// Where the errors of observations are, and what the model declares; one in processes of its own declares nothing.
    fn expected(&self) -> Result<(Errors, Option<&dyn Declaration>), String> {
        let campaign = self.model.campaign();
        let declaration = match campaign.simulator.external {
            None => {
                let declaration = self.models.declaration_of(&campaign.simulator);
                Some(declaration.map_err(|error| error.to_string())?)
            }
            Some(_) => None,
        };
        Ok((observed::errors(campaign, declaration), declaration))
    }

    /// Draws, simulates and weighs. The same seed gives the same bytes, whatever the number of threads. `name` and
    /// `model_name` are told in the prediction.
    pub fn predict(
        &self,
        observation: &Observation,
        effort: Effort,
        seed: u64,
        names: (&str, &Path),
    ) -> Result<Predicted, PredictError> {
        let mut predicted = self.predict_without_modes(observation, effort, seed, names)?;
        let (space, posterior) = (&self.model.campaign().space, &predicted.posterior);
        let n_eff = predicted.prediction.weights.n_eff;
        predicted.prediction.modes = modes(space, posterior, n_eff);
        Ok(predicted)
    }

    /// As [`Self::predict`], but for the modes, which can take longer to find than all else.
    pub(crate) fn predict_without_modes(
        &self,
        observation: &Observation,
        effort: Effort,
        seed: u64,
        (name, model_name): (&str, &Path),
    ) -> Result<Predicted, PredictError> {
        let Weighed {
            rows,
            log_weights,
            diagnostics,
        } = self.weighed(observation, effort, seed)?;
        let campaign = self.model.campaign();
        let space = &campaign.space;
        let posterior = posterior(space, &rows, &weights::normalized(&log_weights));
        let (fit, band) = check_fit(campaign, observation, &rows, &posterior);
        let n_failed = n_failed(&rows);
        let mut warnings = trust_prediction(&diagnostics, n_failed);
        warnings.extend(misfit(&fit, campaign.trust.misfit));
        warnings.extend(thin_tail(space, &posterior));
        let prediction = Prediction {
            format: FORMAT.to_owned(),
            version: VERSION,
            observation: name.to_owned(),
            model: model_name.display().to_string(),
            flow: self.model.flow(),
            weights_sha256: self.model.training().weights_sha256.clone(),
            seed,
            n_failed,
            parameters: match diagnostics.evidence {
                Some(_) => parameter_summaries(space, &posterior),
                None => Vec::new(),
            },
            modes: Vec::new(),
            weights: diagnostics,
            fit,
            warnings,
        };
        Ok(Predicted {
            prediction,
            posterior,
            band,
        })
    }

    /// Step by step, until the draws come to what they are to come to.
    pub(crate) fn weighed(
        &self,
        observation: &Observation,
        effort: Effort,
        seed: u64,
    ) -> Result<Weighed, PredictError> {
        let scorers = BTreeMap::from([(self.model.flow(), self.scorer(observation)?)]);
        let campaign = Campaign {
            seed,
            observation: Some(observation.clone()),
            ..self.model.campaign().clone()
        };
        let simulate = |rows: Range<u64>| -> Result<ShardRows, PredictError> {
            let draws = self.drawn(&scorers, rows, seed)?;
            let run = || self.forward.run(&campaign, draws);
            Ok(self.pool.install(run)?)
        };
        let mut rows = simulate(0..next_draws(effort, None))?;
        loop {
            let log_weights = log_weights(&rows);
            let diagnostics = weights::diagnostics(&log_weights);
            let end = rows.draws.end_row();
            match next_draws(effort, Some(&diagnostics)) {
                0 => {
                    return Ok(Weighed {
                        rows,
                        log_weights,
                        diagnostics,
                    });
                }
                n_more => rows.append(simulate(end..end + n_more)?),
            }
        }
    }

    /// Draws of the network alone, those that [`Self::predict`] weighs; `log_proposal` is its density.
    pub fn draws(
        &self,
        observation: &Observation,
        n_draws: u64,
        seed: u64,
    ) -> Result<Draws, PredictError> {
        let scorers = BTreeMap::from([(self.model.flow(), self.scorer(observation)?)]);
        self.drawn(&scorers, 0..n_draws, seed)
    }

    pub(crate) fn scorer(&self, observation: &Observation) -> Result<Scorer<'_>, PredictError> {
        let scorer = self.model.scorer(observation);
        scorer.map_err(PredictError::Scorer)
    }

    fn drawn(
        &self,
        scorers: &BTreeMap<FlowId, Scorer>,
        rows: Range<u64>,
        seed: u64,
    ) -> Result<Draws, PredictError> {
        let flow = self.model.flow();
        let proposal = Proposal::of(vec![(Component::Flow(flow), 1.0)]);
        let plan = DrawPlan {
            campaign: self.model.campaign(),
            seed,
            purpose: Purpose::Predict,
            round: RoundId(0),
            rows,
            proposal: &proposal,
        };
        let (draws, _) = draw(&plan, scorers, &self.pool).map_err(PredictError::Draw)?;
        Ok(draws)
    }

    /// The density of the network alone at rows of parameters, in their own units; `log_proposal` of what comes back. Outside the
    /// prior and on its bounds it is zero.
    pub fn density_at(
        &self,
        observation: &Observation,
        theta: Vec<f64>,
    ) -> Result<Draws, PredictError> {
        let campaign = self.model.campaign();
        let (space, d) = (&campaign.space, campaign.space.len());
        let scorer = self.scorer(observation)?;
        let rows = theta.chunks_exact(d);
        let log_prior: Vec<f64> = rows.map(|theta| space.log_prior(theta)).collect();
        let n_rows = log_prior.len();
        let mut draws = Draws {
            z: vec![0.0; n_rows * d],
            theta,
            log_proposal: vec![f64::NEG_INFINITY; n_rows],
            component: vec![Component::Flow(self.model.flow()); n_rows],
            log_prior,
            ..Draws::empty(RoundId(0), 0, d)
        };
        let mut inside = Vec::new();
        let mut z = vec![0.0; d];
        for row in (0..n_rows).filter(|&row| draws.log_prior[row] > f64::NEG_INFINITY) {
            let of_row = row * d..(row + 1) * d;
            space.unconstrain(&draws.theta[of_row.clone()], &mut z);
            // On a bound itself there is no density.
            if z.iter().all(|z| z.is_finite()) {
                draws.z[of_row].copy_from_slice(&z);
                inside.push(row);
            }
        }
        let log_density = score(campaign, &scorer, &draws, &self.pool);
        let log_density = log_density.map_err(PredictError::Draw)?;
        for row in inside {
            draws.log_proposal[row] = log_density[row];
        }
        Ok(draws)
    }
}

/// Whether the model fits, and what its draws predict.
fn check_fit(
    campaign: &Campaign,
    observation: &Observation,
    rows: &ShardRows,
    posterior: &Posterior,
) -> (Fit, Option<ModelBand>) {
    let simulated = |draws: &BTreeSet<usize>| -> Result<BTreeMap<usize, Vec<f32>>, Infallible> {
        let of_draw = |&draw: &usize| {
            let row = posterior.row_id[draw] as usize;
            (draw, rows.simulated_row(row).to_vec())
        };
        Ok(draws.iter().map(of_draw).collect())
    };
    let Ok(checked) = check_posterior(
        &campaign.space,
        &campaign.noise,
        observation,
        posterior,
        simulated,
    );
    checked
}

pub(crate) fn n_failed(rows: &ShardRows) -> u64 {
    let failed = rows.log_likelihood.iter().filter(|value| value.is_none());
    failed.count() as u64
}

fn log_weights(rows: &ShardRows) -> Vec<f64> {
    let draws = &rows.draws;
    rows.log_likelihood
        .iter()
        .zip(draws.log_prior.iter().zip(&draws.log_proposal))
        .map(|(log_likelihood, (log_prior, log_proposal))| {
            weights::log_weight(*log_likelihood, *log_prior, *log_proposal)
        })
        .collect()
}

/// All rows whose likelihood is known.
pub(crate) fn posterior(space: &ParameterSpace, rows: &ShardRows, weight: &[f64]) -> Posterior {
    let draws = &rows.draws;
    let known = rows.log_likelihood.iter().enumerate();
    let known = known.filter_map(|(row, log_likelihood)| {
        Some(PosteriorRow {
            theta: draws.theta_row(row),
            derived: rows.derived_row(row),
            log_likelihood: (*log_likelihood)?,
            log_prior: draws.log_prior[row],
            log_proposal: draws.log_proposal[row],
            round: draws.round,
            row: RowId(row as u64),
            weight: weight[row],
        })
    });
    Posterior::of_rows(space, known)
}
