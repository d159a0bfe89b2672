//! `sidereal draw`: more draws of a finished campaign's posterior, from its best proposal, without training.

use crate::exit::{CommandError, Ending};
use crate::one_process::{self, LocalCampaign, LocalEnding};
use crate::services::{earlier, n_cores};
use crate::settings::positive;
use crate::terminal::{CampaignView, Terminal};
use crate::{campaign_directory, numbers, report, results, words};
use clap::Args;
use sidereal_inference::account::Summary;
use sidereal_inference::campaign::{Campaign, MOST_WORKERS};
use sidereal_inference::method::fresh_draws_for;
use sidereal_inference::records::Directory;
use sidereal_inference::weights::{Component, RoundKind, RoundSummary};
use sidereal_models::Catalogue;

/// Simulations for each effective draw asked for that are made without being told to.
const DEAREST: f64 = 10.0;
/// Rounds of draws; the first one nearly always is enough.
const MOST_ROUNDS: u32 = 5;

#[derive(Args)]
pub struct DrawArguments {
    /// Directory of a finished campaign
    #[arg(value_name = "DIR")]
    directory: String,

    /// Effective sample size that all draws together shall have
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    n_eff: f64,

    /// Most further simulations [default: ten times N]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    simulations: Option<u64>,

    /// Simulations at a time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_WORKERS)))]
    workers: Option<u32>,

    /// Go on with a campaign that was run on another machine and did not end in peace there
    #[arg(long)]
    take_over: bool,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,

    /// No progress on standard error, only warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
}

pub fn run(
    arguments: &DrawArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    let directory = sidereal_store::open(&arguments.directory).map_err(CommandError::unusable)?;
    let (mut campaign, mut summary) = campaign_directory::load_finished(&directory)?;
    if campaign.observation.is_none() {
        return Err(CommandError::unusable(format!(
            "{}: an amortized model has no observation of its own to draw for; `sidereal predict --draws N` draws for any",
            directory.location()
        )));
    }
    models
        .build(&campaign, 1)
        .map_err(|error| CommandError::unusable(format!("{}: {error}", directory.location())))?;
    let n_workers = arguments
        .workers
        .map_or_else(n_cores, |count| count as usize);
    one_process::allow_open_files(n_workers)?;
    let mut left = arguments
        .simulations
        .unwrap_or((DEAREST * arguments.n_eff).ceil() as u64);
    for _ in 0..MOST_ROUNDS {
        let n_eff = summary.combined.as_ref().map_or(0.0, |all| all.n_eff);
        if n_eff >= arguments.n_eff {
            break;
        }
        let wanted = affordable(&directory, &summary, arguments.n_eff, left)?;
        left -= wanted;
        terminal.note(&format!(
            "n_eff {} of {}: drawing {} more",
            numbers::short(n_eff),
            numbers::short(arguments.n_eff),
            numbers::count(wanted)
        ));
        ask_for_draws(&mut campaign, &summary, arguments.n_eff, wanted);
        let local = LocalCampaign {
            campaign: campaign.clone(),
            directory: directory.clone(),
            models: models.clone(),
            n_workers,
            n_threads: n_cores(),
            listen: one_process::LOOPBACK,
            earlier: earlier(arguments.take_over),
        };
        let ending = one_process::run(local, CampaignView::after_the_stop(terminal), terminal)?;
        terminal.clear();
        summary = match ending {
            LocalEnding::Interrupted => {
                terminal.note("interrupted; `sidereal fit` with the campaign's file goes on");
                return Ok(Ending::Interrupted);
            }
            LocalEnding::Finished(outcome) | LocalEnding::WasFinished(outcome) => outcome.summary,
        };
    }
    report::write(&directory, &campaign, &summary, terminal, models)?;
    results::show(&summary, &directory, arguments.json, terminal)
}

/// Draws that the target needs, refused where they are more than `left`.
fn affordable(
    directory: &Directory,
    summary: &Summary,
    target: f64,
    left: u64,
) -> Result<u64, CommandError> {
    if summary.best_flow.is_none() && !summary.reused.is_empty() {
        return Err(CommandError::unusable(format!(
            "{}: its draws are those of {}, and it has no flow of its own to draw from; `sidereal fit` with a larger \
             rounds.stop.n_eff goes on",
            directory.location(),
            words::reused(summary)
        )));
    }
    let n_eff = summary.combined.as_ref().map_or(0.0, |all| all.n_eff);
    let efficiency = best_round(summary).map_or(0.0, |round| round.all.efficiency);
    let wanted = fresh_draws_for(target - n_eff, efficiency);
    if wanted <= left {
        return Ok(wanted);
    }
    Err(CommandError::unusable(format!(
        "{}: n_eff is {}, and at the {} efficiency of the best proposal {} takes about {} more simulations, found a limit \
         of {} (--simulations)",
        directory.location(),
        numbers::short(n_eff),
        numbers::percent(efficiency),
        numbers::short(target),
        numbers::count(wanted),
        numbers::count(left)
    )))
}

/// The round that shows how efficient the best flow's proposal is.
fn best_round(summary: &Summary) -> Option<&RoundSummary> {
    let best = Component::Flow(summary.best_flow?);
    summary.rounds.iter().rfind(|round| match round.kind {
        RoundKind::Training => round.proposal.newest() == best,
        RoundKind::Probe | RoundKind::TopUp | RoundKind::Reused => false,
    })
}

/// Sets the campaign's stops so that all rounds are done and `wanted` fresh draws follow.
fn ask_for_draws(campaign: &mut Campaign, summary: &Summary, target: f64, wanted: u64) {
    let rounds = summary.rounds.iter();
    let n_rounds = rounds
        .filter(|round| round.kind == RoundKind::Training)
        .count();
    campaign.rounds.max = u32::try_from(n_rounds).unwrap_or(u32::MAX);
    let stop = &mut campaign.rounds.stop;
    stop.n_eff = Some(target);
    stop.efficiency = None;
    stop.wall_time_s = None;
    stop.simulations = Some(summary.simulations.saturating_add(wanted));
    stop.top_up = wanted;
}
