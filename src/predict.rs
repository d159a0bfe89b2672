//! `sidereal predict`: weighted posteriors of observations from a trained model.

mod alone;
mod targets;

use crate::campaign_directory::{self, POSTERIOR_FILE, SUMMARY_FILE};
use crate::exit::{CommandError, Ending};
use crate::plots::{PlotError, corner, fit};
use crate::report::{CORNER_FILE, CORNER_PDF_FILE, FIT_PICTURE};
use crate::services::{create_directory, n_threads};
use crate::settings::DeviceArgument;
use crate::terminal::Terminal;
use crate::{numbers, results, words};
use clap::Args;
use sidereal_inference::base::files;
use sidereal_inference::campaign::{Campaign, DeviceChoice};
use sidereal_inference::campaign_file;
use sidereal_inference::records::{Directory, FIT_FILE, Samples};
use sidereal_inference::weights::WeightDiagnostics;
use sidereal_models::Catalogue;
use sidereal_predict::{PredictError, Predicted, Prediction, Predictor};
use sidereal_trainer::Model;
use sidereal_trainer::model::{MODEL_FILE, WEIGHTS_FILE};
use std::path::{Path, PathBuf};
use targets::{Target, targets};

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

    /// Print draws of the network alone and its density at them, as CSV; nothing is simulated and nothing is weighed
    #[arg(long, conflicts_with_all = ["json", "out"])]
    alone: bool,

    /// Print the density of the network alone at the parameters of a CSV file, a row a line in the model's order without a
    /// header; nothing is simulated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "out", "alone", "draws"])]
    density_at: Option<PathBuf>,

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
    // Told with what it is about.
    let failed = |path: &Path, error: &PredictError| {
        let message = format!("{}: {error}", path.display());
        CommandError::of(message, error.is_unusable_input())
    };
    let predictor = Predictor::new(&model, models, n_threads(arguments.threads))
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
    let targets = targets(&arguments.observations, &arguments.out, read)?;
    // Before anything is simulated.
    for target in &targets {
        create_directory(&target.directory.display().to_string())?;
    }
    let results = Results {
        campaign: model.campaign(),
        grid_name: models.grid_name(&model.campaign().simulator),
        terminal,
    };
    let mut predictions = Vec::with_capacity(targets.len());
    terminal.count("predicting", targets.len() as u64);
    for target in &targets {
        let names = (target.path.as_path(), model_directory.as_path());
        let predicted = predictor
            .predict(&target.observation, arguments.draws, arguments.seed, names)
            .map_err(|error| failed(&target.path, &error))?;
        results.write(target, &predicted)?;
        predictions.push(predicted.prediction);
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

/// Where predictions are written.
struct Results<'a> {
    campaign: &'a Campaign,
    /// What the data lie on, for pictures.
    grid_name: &'static str,
    terminal: &'a Terminal,
}

impl Results<'_> {
    fn write(&self, target: &Target, predicted: &Predicted) -> Result<(), CommandError> {
        let Predicted {
            prediction,
            posterior,
            band,
        } = predicted;
        let (campaign, terminal) = (self.campaign, self.terminal);
        let directory = &target.directory;
        let storage = create_directory(&directory.display().to_string())?;
        posterior
            .store(&campaign.space, &storage, POSTERIOR_FILE)
            .map_err(CommandError::failed)?;
        Samples::of(&campaign.space, posterior, prediction.seed)
            .store(&storage)
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
            picture(FIT_PICTURE, fit::draw(band, self.grid_name))?;
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
        if let Some(poor) = words::poor_fit(&prediction.fit) {
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
        results::line(&mut text, "fit", &words::fit_in_short(&prediction.fit));
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
            words::fit_p(&prediction.fit),
            evidence.as_ref().map_or("none".to_owned(), words::evidence)
        ));
    }
    text
}
