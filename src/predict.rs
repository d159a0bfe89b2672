//! `sidereal predict`: weighted posteriors of observations from a trained model.

mod alone;
mod catalogue;
mod catalogue_directory;
mod catalogue_numbers;
mod catalogue_page;
mod observations;
mod targets;

use crate::exit::{CommandError, Ending};
use crate::results;
use crate::services::{create_directory, n_threads};
use crate::settings::{NetworkArguments, positive};
use crate::terminal::Terminal;
use crate::trained_model;
use clap::Args;
use observations::Results;
use sidereal_inference::campaign::DeviceChoice;
use sidereal_inference::campaign_file;
use sidereal_inference::method::Effort;
use sidereal_models::Catalogue;
use sidereal_predict::{PredictError, Predictor};
use std::path::{Path, PathBuf};
use targets::targets;

/// Of an observation that is asked about by itself.
const DRAWS: u64 = 5000;
/// Of a target of a catalogue.
const N_EFF: f64 = 1000.0;
const SIMULATIONS: u64 = 5000;

#[derive(Args)]
pub struct PredictArguments {
    /// Directory of a model (with model.json), or of a finished campaign, whose best flow is taken
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Observations (text with columns, ECSV or FITS: grid, value, sigma) on the grid that the model was trained on; or a catalogue:
    /// one Parquet file with a row a datum and a column `target`, or a folder of observations
    #[arg(value_name = "OBSERVATION", required = true)]
    observations: Vec<PathBuf>,

    /// As `observation.columns` in a campaign file: { grid = "bjd", value = "flux", sigma = "flux_err" } [default: as
    /// in the model's campaign, else by the usual names]
    #[arg(long, value_name = "NAMES")]
    columns: Option<String>,

    /// Draws, each simulated once, of every observation [default: 5000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    draws: Option<u64>,

    /// Of a catalogue: effective sample size that the draws of each target shall have; makes several files one [default: 1000]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true,
          conflicts_with_all = ["draws", "alone", "density_at"])]
    n_eff: Option<f64>,

    /// Of a catalogue: most simulations of each target; makes several files one [default: 5000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000),
          conflicts_with_all = ["draws", "alone", "density_at"])]
    simulations: Option<u64>,

    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Print draws of the network alone and its density at them, as CSV; nothing is simulated and nothing is weighed
    #[arg(long, conflicts_with_all = ["json", "out"])]
    alone: bool,

    /// Print the density of the network alone at the parameters of a CSV file, a row a line in the model's order without a
    /// header; nothing is simulated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "out", "alone", "draws"])]
    density_at: Option<PathBuf>,

    /// Where a directory named like the observation's file is made for each [default: predictions]; of a catalogue the directory
    /// of its results, where the same command goes on [default: predictions/<its name>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    network: NetworkArguments,

    /// Print the summaries, or the rows of a catalogue, as a JSON list
    #[arg(long)]
    json: bool,

    /// No progress on standard error, only warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
}

pub fn run(
    arguments: &PredictArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    let (model_directory, model) = trained_model::load(
        &arguments.model,
        DeviceChoice::from(arguments.network.device),
    )?;
    // Told with what it is about.
    let failed = |path: &Path, error: &PredictError| {
        let message = format!("{}: {error}", path.display());
        CommandError::of(message, error.is_unusable_input())
    };
    let predictor = Predictor::new(&model, models, n_threads(arguments.network.threads))
        .map_err(|error| failed(&model_directory, &error))?;
    let mut reading = model.campaign().reading.clone();
    if let Some(columns) = &arguments.columns {
        reading.columns =
            campaign_file::parse_columns(columns, "--columns").map_err(CommandError::unusable)?;
    }
    let read = |path: &Path| predictor.observation(path, &reading);
    if let Some(asked) = alone::asked(arguments, &model.campaign().space)? {
        let [path] = &arguments.observations[..] else {
            let found = arguments.observations.len();
            let message =
                format!("found {found} observations, expected one with --alone or --density-at");
            return Err(CommandError::UnusableInput(message));
        };
        let observation = read(path).map_err(CommandError::unusable)?;
        let draws = asked.answer(&predictor, &observation);
        let draws = draws.map_err(|error| failed(path, &error))?;
        results::print(&alone::csv(&model.campaign().space, &draws));
        return Ok(Ending::Done);
    }
    predictor
        .check_amortized()
        .map_err(|error| failed(&model_directory, &error))?;
    let is_catalogue = arguments.n_eff.is_some() || arguments.simulations.is_some();
    if let Some(source) = catalogue::source(&arguments.observations, is_catalogue)? {
        if arguments.draws.is_some() {
            let message = "found --draws, expected --n-eff and --simulations with a catalogue";
            return Err(CommandError::unusable(message));
        }
        let asked = catalogue::Asked {
            source: &source,
            reading: &reading,
            n_eff: arguments.n_eff.unwrap_or(N_EFF),
            simulations: arguments.simulations.unwrap_or(SIMULATIONS),
            seed: arguments.seed,
            model_directory: &model_directory,
            out: arguments.out.as_deref(),
            as_json: arguments.json,
        };
        return catalogue::run(&asked, &predictor, model.campaign(), terminal);
    }
    let out = arguments.out.as_deref();
    let out = out.unwrap_or(Path::new(catalogue::OUT));
    let targets = targets(&arguments.observations, out, read)?;
    // Before anything is simulated.
    for target in &targets {
        create_directory(&target.directory.display().to_string())?;
    }
    let results = Results {
        campaign: model.campaign(),
        grid_name: models.grid_name(&model.campaign().simulator),
        terminal,
    };
    let effort = Effort::Draws(arguments.draws.unwrap_or(DRAWS));
    let mut predictions = Vec::with_capacity(targets.len());
    terminal.count("predicting", targets.len() as u64);
    for target in &targets {
        let name = target.path.display().to_string();
        let names = (name.as_str(), model_directory.as_path());
        let predicted = predictor
            .predict(&target.observation, effort, arguments.seed, names)
            .map_err(|error| failed(&target.path, &error))?;
        results.write(target, &predicted)?;
        predictions.push(predicted.prediction);
        terminal.advance();
    }
    terminal.clear();
    observations::show(arguments.json, &targets, &predictions, terminal)
}
