//! `sidereal predict`: weighted posteriors of observations from a trained model.

mod targets;

use crate::campaign_directory::{self, POSTERIOR_FILE, SUMMARY_FILE};
use crate::exit::{CommandError, Ending};
use crate::fit::DeviceArgument;
use crate::numbers;
use crate::plots::{PlotError, corner, fit};
use crate::report::{CORNER_FILE, CORNER_PDF_FILE, FIT_PICTURE};
use crate::results;
use crate::services::create_directory;
use crate::terminal::Terminal;
use crate::words;
use clap::Args;
use serde::{Deserialize, Serialize};
use sidereal_inference::campaign::{Campaign, DeviceChoice};
use sidereal_inference::directory::Directory;
use sidereal_inference::files;
use sidereal_inference::fit_check::{Fit, check_posterior};
use sidereal_inference::ids::{FlowId, RoundId};
use sidereal_inference::model_band::{FIT_FILE, ModelBand};
use sidereal_inference::modes::{Mode, modes};
use sidereal_inference::observation::Observation;
use sidereal_inference::posterior::Posterior;
use sidereal_inference::proposal::{Component, Proposal};
use sidereal_inference::refinement::Objective;
use sidereal_inference::samples::Samples;
use sidereal_inference::seeds::Purpose;
use sidereal_inference::shard::ShardRows;
use sidereal_inference::summary::{ParameterSummary, WeightDiagnostics, parameter_summaries};
use sidereal_inference::tails::thin_tail;
use sidereal_inference::trust::{misfit, trust_prediction};
use sidereal_inference::weights;
use sidereal_models::{Catalogue, Simulator};
use sidereal_trainer::Model;
use sidereal_trainer::draw::{DrawPlan, draw};
use sidereal_trainer::model::{MODEL_FILE, WEIGHTS_FILE};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use targets::{Target, targets};

const FORMAT: &str = "sidereal-prediction";
const VERSION: u32 = 1;

#[derive(Args)]
pub struct PredictArguments {
    /// Directory of a model (with model.json), or of a finished campaign, whose best flow is taken
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Observations (text with columns, ECSV or FITS: grid, value, sigma) on the grid that the model was trained on
    #[arg(value_name = "OBSERVATION", required = true)]
    observations: Vec<PathBuf>,

    /// As `observation.columns` in a campaign file: { grid = "bjd", value = "flux", sigma = "flux_err" } [default: as
    /// in the model's campaign, else by the usual names]
    #[arg(long, value_name = "NAMES")]
    columns: Option<String>,

    /// Draws, each simulated once, of every observation
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    draws: u64,

    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Where a directory named like the observation's file is made for each
    #[arg(long, value_name = "DIR", default_value = "predictions")]
    out: PathBuf,

    /// Where the network runs
    #[arg(long, default_value = "cpu")]
    device: DeviceArgument,

    /// Threads of simulations and network [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Print the summaries as a JSON list
    #[arg(long)]
    json: bool,

    /// No progress on standard error, only warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// The `summary.json` of one prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Prediction {
    format: String,
    version: u32,
    observation: String,
    model: String,
    flow: FlowId,
    /// SHA-256 of the model's weights.
    weights_sha256: String,
    seed: u64,
    n_failed: u64,
    #[serde(flatten)]
    weights: WeightDiagnostics,
    parameters: Vec<ParameterSummary>,
    #[serde(default)]
    modes: Vec<Mode>,
    /// Whether the model fits the observation.
    #[serde(default)]
    fit: Option<Fit>,
    /// Why the result is not to be trusted; empty where it is.
    warnings: Vec<String>,
}

pub fn run(
    arguments: &PredictArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    let model_directory = model_directory(&arguments.model)?;
    for name in [MODEL_FILE, WEIGHTS_FILE] {
        files::check(&model_directory.join(name), files::MOST_DATA_BYTES)
            .map_err(CommandError::unusable)?;
    }
    let device = sidereal_trainer::device::choose(DeviceChoice::from(arguments.device))
        .map_err(CommandError::unusable)?;
    let model =
        Model::load(&open(&model_directory)?, "", &device).map_err(CommandError::unusable)?;
    match model.training().objective {
        Objective::Simulations => {}
        Objective::WeightedDraws { .. } => {
            return Err(CommandError::unusable(format!(
                "{}: {} was fitted to the posterior of the campaign's own observation, expected a model for any \
                 observation (from a campaign file without [observation])",
                model_directory.display(),
                model.flow()
            )));
        }
    }
    let simulator = models
        .build(&model.campaign().simulator, &model.campaign().space)
        .map_err(CommandError::unusable)?;
    let targets = targets(arguments, model.campaign(), models)?;
    // Before anything is simulated.
    for target in &targets {
        create_directory(&target.directory.display().to_string())?;
    }
    let n_threads = arguments.threads.map_or_else(
        || available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .map_err(|error| {
            CommandError::failed(format!("cannot start {n_threads} threads: {error}"))
        })?;

    let predictor = Predictor {
        arguments,
        model_directory: &model_directory,
        model: &model,
        simulator: &*simulator,
        grid_name: models.grid_name(&model.campaign().simulator),
        pool: &pool,
    };
    let mut predictions = Vec::with_capacity(targets.len());
    terminal.count("predicting", targets.len() as u64);
    for target in &targets {
        predictions.push(predictor.predict(target, terminal)?);
        terminal.advance();
    }
    terminal.clear();
    show(arguments, &targets, &predictions, terminal)
}

fn open(path: &Path) -> Result<Directory, CommandError> {
    sidereal_store::open(&path.display().to_string()).map_err(CommandError::unusable)
}

/// The model directory that an argument means.
fn model_directory(path: &Path) -> Result<PathBuf, CommandError> {
    if path.join(MODEL_FILE).exists() {
        return Ok(path.to_owned());
    }
    if !path.join(campaign_directory::CAMPAIGN_FILE).exists() {
        return Err(CommandError::unusable(format!(
            "{}: neither a model directory, which has a {MODEL_FILE}, nor a campaign directory",
            path.display()
        )));
    }
    let directory = open(path)?;
    let (_, summary) = campaign_directory::load_finished(&directory)?;
    match summary.model {
        Some(model) => Ok(path.join(model)),
        None => Err(CommandError::unusable(format!(
            "{}: the campaign ended without a flow",
            path.display()
        ))),
    }
}

struct Predictor<'a> {
    arguments: &'a PredictArguments,
    model_directory: &'a Path,
    model: &'a Model,
    simulator: &'a dyn Simulator,
    /// What the data lie on, for pictures.
    grid_name: &'static str,
    pool: &'a rayon::ThreadPool,
}

impl Predictor<'_> {
    /// Draws, simulates and weighs, and writes the results.
    fn predict(&self, target: &Target, terminal: &Terminal) -> Result<Prediction, CommandError> {
        let rows = self.simulate(&target.observation).map_err(|error| {
            let reason = error.to_string();
            CommandError::failed(format!("{}: {reason}", target.path.display()))
        })?;
        let log_weights: Vec<f64> = rows
            .log_likelihood
            .iter()
            .zip(rows.draws.log_prior.iter().zip(&rows.draws.log_proposal))
            .map(|(log_likelihood, (log_prior, log_proposal))| {
                weights::log_weight(*log_likelihood, *log_prior, *log_proposal)
            })
            .collect();
        let diagnostics = weights::diagnostics(&log_weights);
        let posterior = posterior(&rows, &weights::normalized(&log_weights));
        let campaign = self.model.campaign();
        let (fit, band) = check_fit(campaign, &target.observation, &rows, &posterior);
        let n_failed = rows
            .log_likelihood
            .iter()
            .filter(|log_likelihood| log_likelihood.is_none())
            .count() as u64;
        let mut warnings = trust_prediction(&diagnostics, n_failed);
        warnings.extend(misfit(&fit, campaign.trust.misfit));
        warnings.extend(thin_tail(&campaign.space, &posterior));
        let parameters = match diagnostics.evidence {
            Some(_) => parameter_summaries(&campaign.space, &posterior),
            None => Vec::new(),
        };
        let modes = modes(&campaign.space, &posterior, diagnostics.n_eff);
        let prediction = Prediction {
            format: FORMAT.to_owned(),
            version: VERSION,
            observation: target.path.display().to_string(),
            model: self.model_directory.display().to_string(),
            flow: self.model.flow(),
            weights_sha256: self.model.training().weights_sha256.clone(),
            seed: self.arguments.seed,
            n_failed,
            warnings,
            fit: Some(fit),
            weights: diagnostics,
            parameters,
            modes,
        };
        self.write(target, &posterior, band.as_ref(), &prediction, terminal)?;
        Ok(prediction)
    }

    fn simulate(&self, observation: &Observation) -> Result<ShardRows, CommandError> {
        let flow = self.model.flow();
        let scorer = self
            .model
            .scorer(observation)
            .map_err(CommandError::unusable)?;
        let proposal = Proposal::of(vec![(Component::Flow(flow), 1.0)]);
        let plan = DrawPlan {
            campaign: self.model.campaign(),
            seed: self.arguments.seed,
            purpose: Purpose::Predict,
            round: RoundId(0),
            rows: 0..self.arguments.draws,
            proposal: &proposal,
        };
        let (draws, _) = draw(&plan, &BTreeMap::from([(flow, scorer)]), self.pool)
            .map_err(CommandError::failed)?;
        let campaign = Campaign {
            seed: self.arguments.seed,
            observation: Some(observation.clone()),
            ..self.model.campaign().clone()
        };
        self.pool
            .install(|| sidereal_worker::run_batch(&campaign, self.simulator, draws))
            .map_err(CommandError::failed)
    }

    fn write(
        &self,
        target: &Target,
        posterior: &Posterior,
        band: Option<&ModelBand>,
        prediction: &Prediction,
        terminal: &Terminal,
    ) -> Result<(), CommandError> {
        let campaign = self.model.campaign();
        let directory = &target.directory;
        let storage = create_directory(&directory.display().to_string())?;
        posterior
            .store(&campaign.space, &storage, POSTERIOR_FILE)
            .map_err(CommandError::failed)?;
        Samples::of(posterior, prediction.seed)
            .store(&campaign.space, &storage)
            .map_err(CommandError::failed)?;
        let mut json = serde_json::to_string_pretty(prediction).map_err(CommandError::failed)?;
        json.push('\n');
        files::write_atomically(&directory.join(SUMMARY_FILE), json.as_bytes())
            .map_err(CommandError::failed)?;
        let picture = |name: &str, drawn: Result<Vec<u8>, PlotError>| match drawn {
            Ok(png) => {
                files::write_atomically(&directory.join(name), &png).map_err(CommandError::failed)
            }
            Err(error) => {
                terminal.note(&format!(
                    "{}: {name} is left out: {error}",
                    target.path.display()
                ));
                Ok(())
            }
        };
        if let Some(band) = band {
            band.store(&storage, FIT_FILE)
                .map_err(CommandError::failed)?;
            let grid_name = self.grid_name;
            picture(FIT_PICTURE, fit::draw(band, grid_name))?;
        }
        let corner = corner::draw(
            posterior,
            &prediction.parameters,
            &prediction.modes,
            campaign,
        );
        if let Ok(corner) = &corner {
            picture(CORNER_PDF_FILE, Ok(corner.pdf()))?;
        }
        picture(CORNER_FILE, corner.and_then(|corner| corner.png()))
    }
}

/// Whether the model fits, and what its draws predict.
fn check_fit(
    campaign: &Campaign,
    observation: &Observation,
    rows: &ShardRows,
    posterior: &Posterior,
) -> (Fit, Option<ModelBand>) {
    let places: Vec<usize> = (0..rows.log_likelihood.len())
        .filter(|&row| rows.log_likelihood[row].is_some())
        .collect();
    let simulated = |draws: &BTreeSet<usize>| -> Result<BTreeMap<usize, Vec<f32>>, Infallible> {
        Ok(draws
            .iter()
            .map(|&draw| (draw, rows.simulated_row(places[draw]).to_vec()))
            .collect())
    };
    let Ok(checked) = check_posterior(&campaign.noise, observation, posterior, simulated);
    checked
}

/// All rows whose likelihood is known.
fn posterior(rows: &ShardRows, weight: &[f64]) -> Posterior {
    let draws = &rows.draws;
    let mut posterior = Posterior {
        n_parameters: draws.n_parameters,
        theta: Vec::new(),
        log_likelihood: Vec::new(),
        log_prior: Vec::new(),
        log_proposal: Vec::new(),
        round: Vec::new(),
        weight: Vec::new(),
    };
    for (row, log_likelihood) in rows.log_likelihood.iter().enumerate() {
        let Some(log_likelihood) = *log_likelihood else {
            continue;
        };
        posterior.theta.extend_from_slice(draws.theta_row(row));
        posterior.log_likelihood.push(log_likelihood);
        posterior.log_prior.push(draws.log_prior[row]);
        posterior.log_proposal.push(draws.log_proposal[row]);
        posterior.round.push(draws.round.0);
        posterior.weight.push(weight[row]);
    }
    posterior
}

fn show(
    arguments: &PredictArguments,
    targets: &[Target],
    predictions: &[Prediction],
    terminal: &Terminal,
) -> Result<Ending, CommandError> {
    if arguments.json {
        let json = serde_json::to_string_pretty(predictions).map_err(CommandError::failed)?;
        results::print(&format!("{json}\n"));
    } else {
        results::print(&text(targets, predictions));
    }
    let warnings: Vec<String> = predictions
        .iter()
        .filter(|prediction| !prediction.warnings.is_empty())
        .map(|prediction| {
            format!(
                "{}: {}",
                prediction.observation,
                prediction.warnings.join("; ")
            )
        })
        .collect();
    for prediction in predictions
        .iter()
        .filter(|prediction| prediction.warnings.is_empty())
    {
        if let Some(poor) = prediction.fit.as_ref().and_then(words::poor_fit) {
            terminal.note(&format!("{}: {poor}", prediction.observation));
        }
    }
    if warnings.is_empty() {
        return Ok(Ending::Done);
    }
    terminal.not_trusted(&warnings);
    Ok(Ending::NotTrusted)
}

/// One prediction in full, several as a line each.
fn text(targets: &[Target], predictions: &[Prediction]) -> String {
    if let ([target], [prediction]) = (targets, predictions) {
        let mut text = String::new();
        if !prediction.parameters.is_empty() {
            text.push_str(&results::posterior(
                &prediction.parameters,
                &prediction.modes,
            ));
            text.push('\n');
        }
        text.push_str(&results::weights(&prediction.weights));
        if let Some(fit) = &prediction.fit {
            results::line(&mut text, "fit", &words::fit_in_short(fit));
        }
        results::line(
            &mut text,
            "results",
            &target.directory.display().to_string(),
        );
        return text;
    }
    let widest = predictions
        .iter()
        .map(|prediction| prediction.observation.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = format!(
        "{:<widest$}  {:>7}  {:>10}  {:>5}  {:>8}  log evidence\n",
        "observation", "n_eff", "efficiency", "k-hat", "p of fit"
    );
    for prediction in predictions {
        let WeightDiagnostics {
            n_eff,
            efficiency,
            pareto_k,
            evidence,
            ..
        } = &prediction.weights;
        text.push_str(&format!(
            "{:<widest$}  {:>7}  {:>10}  {:>5}  {:>8}  {}\n",
            prediction.observation,
            numbers::short(*n_eff),
            numbers::percent(*efficiency),
            words::pareto_k(*pareto_k),
            prediction.fit.as_ref().map_or("–".to_owned(), words::fit_p),
            evidence.as_ref().map_or("none".to_owned(), words::evidence)
        ));
    }
    text
}
