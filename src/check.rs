//! `sidereal check`: a trained model asked about targets whose truth is known.

mod page;
mod summary;

use crate::exit::{CommandError, Ending};
use crate::plots::calibration;
use crate::services::{create_directory, n_threads};
use crate::settings::{NetworkArguments, positive};
use crate::terminal::Terminal;
use crate::{results, trained_model};
use clap::Args;
use sidereal_inference::base::files;
use sidereal_inference::campaign::DeviceChoice;
use sidereal_inference::method::Effort;
use sidereal_inference::records::{CheckedTarget, encode_checked};
use sidereal_inference::weights::MIN_N_EFF;
use sidereal_models::Catalogue;
use sidereal_predict::{CheckPlan, PredictError, Predictor};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use summary::{Asked, CheckSummary};

/// Where directories of checks are, unless the user says where.
const OUT: &str = "checks";
const SUMMARY_FILE: &str = "check.json";
const TABLE_FILE: &str = "check.parquet";
const PICTURE_FILE: &str = "check.png";
const PAGE_FILE: &str = "check.html";

#[derive(Args)]
pub struct CheckArguments {
    /// Directory of a model (with model.json) that was trained for any observation, or of a finished campaign without [observation]
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Targets, drawn from the prior and simulated with noise
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    targets: u64,

    /// Effective sample size that the draws of each target shall have
    #[arg(long, value_name = "N", default_value_t = 200.0, value_parser = positive, allow_negative_numbers = true)]
    n_eff: f64,

    /// Most simulations of each target
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    simulations: u64,

    /// Seed of targets and draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Directory of the results [default: checks/<name of the campaign>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    network: NetworkArguments,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,

    /// No progress on standard error, only warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
}

pub fn run(
    arguments: &CheckArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    for (name, found) in [
        ("--n-eff", arguments.n_eff),
        ("--simulations", arguments.simulations as f64),
    ] {
        if found < MIN_N_EFF {
            return Err(CommandError::unusable(format!(
                "{name}: found {found}, expected {MIN_N_EFF} or more: no target can be trusted with fewer effective draws"
            )));
        }
    }
    let (model_directory, model) = trained_model::load(
        &arguments.model,
        DeviceChoice::from(arguments.network.device),
    )?;
    let failed = |error: &PredictError| {
        let message = format!("{}: {error}", model_directory.display());
        CommandError::of(message, error.is_unusable_input())
    };
    let predictor = Predictor::new(&model, models, n_threads(arguments.network.threads))
        .map_err(|error| failed(&error))?;
    predictor
        .check_checkable()
        .map_err(|error| failed(&error))?;
    let campaign = model.campaign();
    let out = arguments.out.clone();
    let out = out.unwrap_or_else(|| Path::new(OUT).join(&campaign.name));
    // Before anything is simulated.
    create_directory(&out.display().to_string())?;
    let asked = Asked {
        n_targets: arguments.targets,
        n_eff: arguments.n_eff,
        simulations: arguments.simulations,
        seed: arguments.seed,
    };
    let plan = CheckPlan {
        n_targets: asked.n_targets,
        effort: Effort::UpTo {
            n_eff: asked.n_eff,
            simulations: asked.simulations,
        },
        seed: asked.seed,
    };
    let truths = predictor.truths(plan).map_err(|error| failed(&error))?;
    let n_failed = truths.n_failed();
    terminal.count("checking", arguments.targets - n_failed);
    let checked = Mutex::new(Vec::new());
    let done = |target: CheckedTarget| {
        let mut checked = checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.push(target);
        terminal.advance();
    };
    let ended = predictor.check(plan, &truths, done);
    terminal.clear();
    ended.map_err(|error| failed(&error))?;
    let mut targets = checked.into_inner().unwrap_or_else(PoisonError::into_inner);
    targets.sort_by_key(|target| target.target);

    let summary = CheckSummary::of(asked, &model_directory, &model, &targets, n_failed);
    let names: Vec<&str> = campaign
        .space
        .parameters
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let table_path = out.join(TABLE_FILE);
    let table = encode_checked(&targets, &names, &table_path).map_err(CommandError::failed)?;
    let picture = calibration::draw(&targets).map_err(CommandError::failed)?;
    let json = serde_json::to_string_pretty(&summary).map_err(CommandError::failed)?;
    let page = page::render(&campaign.name, &summary, &picture);
    for (name, bytes) in [
        (TABLE_FILE, table.as_slice()),
        (PICTURE_FILE, &picture),
        (SUMMARY_FILE, json.as_bytes()),
        (PAGE_FILE, page.as_bytes()),
    ] {
        files::write_atomically(&out.join(name), bytes).map_err(CommandError::failed)?;
    }
    match arguments.json {
        true => results::print(&format!("{json}\n")),
        false => {
            let mut text = summary.text();
            let page = out.join(PAGE_FILE);
            results::line(&mut text, "page", &page.display().to_string());
            results::print(&text);
        }
    }
    if summary.warnings.is_empty() {
        return Ok(Ending::Done);
    }
    terminal.not_trusted(&summary.warnings);
    Ok(Ending::NotTrusted)
}
