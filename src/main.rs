//! The `sidereal` command: arguments, progress and printing; the work is done by the other crates.

mod campaign_directory;
mod exit;
mod fit;
#[cfg(test)]
mod gallery;
mod local;
mod numbers;
mod page;
mod plots;
mod predict;
mod report;
mod results;
mod terminal;
mod words;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use terminal::Terminal;

/// Neural posterior estimation made exact by importance sampling.
#[derive(Parser)]
#[command(version, after_help = EXIT_STATUS)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a whole campaign on this machine; the same command goes on where it stopped
    Fit(fit::FitArguments),
    /// Weighted posteriors of observations from a trained model
    Predict(predict::PredictArguments),
    /// Write the plots and report.html of a finished campaign again
    Report(report::ReportArguments),
}

const EXIT_STATUS: &str = "Exit status: 0 done; 1 failed; 2 unusable input; 3 finished but not to be trusted; \
                           4 interrupted, the same command goes on.\nResults go to standard output, everything \
                           else to standard error. SIDEREAL_LOG sets what is logged (default: warn).";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = match &cli.verb {
        Verb::Fit(arguments) => arguments.quiet,
        Verb::Predict(arguments) => arguments.quiet,
        Verb::Report(_) => false,
    };
    let terminal = Terminal::new(quiet);
    terminal.start_logging();
    let result = match cli.verb {
        Verb::Fit(arguments) => fit::run(&arguments, &terminal),
        Verb::Predict(arguments) => predict::run(&arguments, &terminal),
        Verb::Report(arguments) => report::run(&arguments, &terminal),
    };
    if let Err(error) = &result {
        terminal.error(&error.to_string());
    }
    exit::status(&result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_fit_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
