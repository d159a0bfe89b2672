//! The `sidereal` command: arguments, progress and printing; the work is done by the other crates.
//!
//! A program with forward models of its own gets the whole command with them:
//!
//! ```no_run
//! use sidereal::models::Catalogue;
//!
//! fn main() -> std::process::ExitCode {
//!     sidereal::run(Catalogue::default()) // .with_guest(MyModel)
//! }
//! ```
#![warn(missing_docs)]

mod access;
mod campaign_directory;
mod check;
mod coordinator;
mod draw;
mod estimate;
mod exit;
mod fit;
#[cfg(test)]
mod gallery;
mod logs;
mod noise;
mod numbers;
mod one_process;
mod page;
mod plots;
mod predict;
mod repair;
mod report;
mod results;
mod reuse;
mod schema;
mod services;
mod settings;
mod status;
mod terminal;
mod trained_model;
mod trainer;
mod words;
mod worker;

/// What a forward model promises, and the models that are built in.
pub use sidereal_models as models;

use clap::{Parser, Subcommand};
use sidereal_models::Catalogue;
use std::process::ExitCode;
use terminal::Terminal;

/// Neural posterior estimation made exact by importance sampling.
#[derive(Parser)]
#[command(version, after_help = EXIT_STATUS)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// What is logged, such as info or warn,sidereal_worker=debug [default: SIDEREAL_LOG, else info for the
    /// services and warn for the rest]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,

    /// The interpreter that runs models in Python [default: `workers.python` of the campaign, else that of the active
    /// environment]
    #[arg(long, global = true, value_name = "PATH")]
    python: Option<std::path::PathBuf>,

    /// How log lines on standard error look
    #[arg(long, global = true, value_enum, default_value_t = logs::LogFormat::Text)]
    log_format: logs::LogFormat,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a whole campaign on this machine; the same command goes on where it stopped
    Fit(fit::FitArguments),
    /// Own a campaign and lease its work to workers and trainers on other machines
    Coordinator(Box<coordinator::CoordinatorArguments>),
    /// Run the forward model for a coordinator
    Worker(worker::WorkerArguments),
    /// Train flows and draw from them for a coordinator
    Trainer(trainer::TrainerArguments),
    /// Show where a campaign stands
    Status(status::StatusArguments),
    /// Make an access file and its key before any coordinator runs, for a secret store
    Access(access::AccessArguments),
    /// Weighted posteriors of observations from a trained model
    Predict(predict::PredictArguments),
    /// Is a trained model calibrated, and how efficient is it? Asked about targets whose truth is known
    Check(check::CheckArguments),
    /// More draws of a finished campaign's posterior, without training
    Draw(draw::DrawArguments),
    /// Write the plots and report.html of a finished campaign again
    Report(report::ReportArguments),
    /// Simulate again the rows of committed shards that are damaged or missing
    Repair(repair::RepairArguments),
    /// Print the JSON Schema of campaign files
    Schema,
}

const EXIT_STATUS: &str = "Exit status: 0 done; 1 failed; 2 unusable input; 3 finished but not to be trusted; \
                           4 interrupted, the same command goes on.\nResults go to standard output, everything \
                           else to standard error. SIDEREAL_LOG sets what is logged.";

/// The command with these forward models, and how it ended.
pub fn run(models: Catalogue) -> ExitCode {
    let cli = Cli::parse();
    let models = models.with_python(cli.python);
    let (quiet, filter) = match &cli.verb {
        Verb::Fit(arguments) => (arguments.quiet, "warn"),
        Verb::Predict(arguments) => (arguments.quiet, "warn"),
        Verb::Check(arguments) => (arguments.quiet, "warn"),
        Verb::Draw(arguments) => (arguments.quiet, "warn"),
        Verb::Report(_) | Verb::Repair(_) | Verb::Status(_) | Verb::Access(_) | Verb::Schema => {
            (false, "warn")
        }
        Verb::Coordinator(_) | Verb::Worker(_) | Verb::Trainer(_) => (false, "info"),
    };
    let terminal = Terminal::new(quiet);
    let result = match logs::log_filter(cli.log.as_deref(), filter) {
        Ok(filter) => {
            terminal.start_logging(cli.log_format, filter);
            run_verb(cli.verb, &terminal, &models)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        terminal.error(&error.to_string());
    }
    exit::status(&result)
}

fn run_verb(
    verb: Verb,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<exit::Ending, exit::CommandError> {
    match verb {
        Verb::Fit(arguments) => fit::run(&arguments, terminal, models),
        Verb::Coordinator(arguments) => coordinator::run(&arguments, terminal, models),
        Verb::Worker(arguments) => worker::run(&arguments, terminal, models),
        Verb::Trainer(arguments) => trainer::run(&arguments, terminal, models),
        Verb::Status(arguments) => status::run(&arguments, terminal),
        Verb::Access(arguments) => access::run(&arguments),
        Verb::Predict(arguments) => predict::run(&arguments, terminal, models),
        Verb::Check(arguments) => check::run(&arguments, terminal, models),
        Verb::Draw(arguments) => draw::run(&arguments, terminal, models),
        Verb::Report(arguments) => report::run(&arguments, terminal, models),
        Verb::Repair(arguments) => repair::run(&arguments, models),
        Verb::Schema => schema::run(models),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_fit_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
