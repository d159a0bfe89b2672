//! `sidereal fit`: a whole campaign on this machine.

use crate::campaign_directory::{self, Found};
use crate::exit::{CommandError, Ending, STATUS_INTERRUPTED};
use crate::local::{self, LocalCampaign, LocalEnding};
use crate::report;
use crate::results;
use crate::terminal::{CampaignView, Terminal};
use crate::words;
use clap::{Args, ValueEnum};
use sidereal_inference::campaign::{Campaign, DeviceChoice};
use sidereal_inference::campaign_file;
use sidereal_inference::summary::Summary;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::sync::watch;

/// Threads that serve connections; simulations and training have their own.
const SERVICE_THREADS: usize = 2;

#[derive(Args)]
pub struct FitArguments {
    /// Campaign file (TOML)
    #[arg(value_name = "CAMPAIGN.toml")]
    campaign: PathBuf,

    /// Campaign directory: a new or empty one, or one that this campaign was begun in [default: runs/<campaign name>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// As `seed` in the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,

    /// As `workers.count` in the file: simulations at a time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    workers: Option<u32>,

    /// As `training.device` in the file
    #[arg(long)]
    device: Option<DeviceArgument>,

    /// Threads of the training on a CPU; the result does not depend on them [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Check the file and print what would be run
    #[arg(long)]
    dry_run: bool,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,

    /// No progress on standard error, only warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// Where networks run.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DeviceArgument {
    /// A GPU where there is a real one, else the CPU
    Auto,
    Cpu,
    /// A GPU through Vulkan, Metal or DirectX 12
    Wgpu,
}

impl From<DeviceArgument> for DeviceChoice {
    fn from(argument: DeviceArgument) -> Self {
        match argument {
            DeviceArgument::Auto => Self::Auto,
            DeviceArgument::Cpu => Self::Cpu,
            DeviceArgument::Wgpu => Self::Wgpu,
        }
    }
}

pub fn run(arguments: &FitArguments, terminal: &Terminal) -> Result<Ending, CommandError> {
    let campaign = campaign_of(arguments)?;
    let directory = arguments
        .out
        .clone()
        .unwrap_or_else(|| campaign_directory::default_for(&campaign));
    let found = campaign_directory::inspect(&directory, &campaign)?;
    if arguments.dry_run {
        results::print(&plan(&campaign, &directory, found));
        return Ok(Ending::Done);
    }
    let device = sidereal_trainer::device::choose(campaign.training.device)
        .map_err(CommandError::unusable)?;
    let n_workers = campaign
        .workers
        .count
        .map_or_else(n_cores, |count| count as usize);
    let n_threads = arguments.threads.map_or_else(n_cores, usize::from);
    terminal.note(&format!(
        "{}: {}",
        campaign.name,
        words::campaign_line(&campaign)
    ));
    terminal.note(&format!(
        "in {} with {n_workers} worker{}, training on {}",
        directory.display(),
        if n_workers == 1 { "" } else { "s" },
        sidereal_trainer::device::name(&device)
    ));
    let local = LocalCampaign {
        campaign: campaign.clone(),
        directory: directory.clone(),
        n_workers,
        n_threads,
    };
    let ending = run_here(local, terminal)?;
    terminal.clear();
    match ending {
        LocalEnding::Interrupted => {
            terminal.note("interrupted; the same command goes on");
            Ok(Ending::Interrupted)
        }
        LocalEnding::Finished(outcome) => {
            report::write(&directory, &campaign, &outcome.summary, terminal)?;
            show(&outcome.summary, &directory, arguments, terminal)
        }
        LocalEnding::WasFinished(outcome) => {
            terminal.note("finished before; this is its result");
            report::write(&directory, &campaign, &outcome.summary, terminal)?;
            show(&outcome.summary, &directory, arguments, terminal)
        }
    }
}

/// The campaign file with the arguments that stand for its keys, checked as far as it goes without running.
fn campaign_of(arguments: &FitArguments) -> Result<Campaign, CommandError> {
    let mut campaign = campaign_file::load(&arguments.campaign).map_err(CommandError::unusable)?;
    if let Some(seed) = arguments.seed {
        campaign.seed = seed;
    }
    if let Some(count) = arguments.workers {
        campaign.workers.count = Some(count);
    }
    if let Some(device) = arguments.device {
        campaign.training.device = device.into();
    }
    sidereal_worker::simulators::build(&campaign.simulator, &campaign.space).map_err(|error| {
        CommandError::unusable(format!("{}: {error}", arguments.campaign.display()))
    })?;
    Ok(campaign)
}

fn run_here(local: LocalCampaign, terminal: &Terminal) -> Result<LocalEnding, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SERVICE_THREADS)
        .enable_all()
        .build()
        .map_err(|error| {
            CommandError::failed(format!("cannot start the services' threads: {error}"))
        })?;
    let (interrupt, interrupted) = watch::channel(false);
    let mut view = CampaignView::new(terminal);
    let ending = runtime.block_on(async {
        tokio::spawn(interrupt_on_signals(interrupt, terminal.clone()));
        local::run(local, interrupted, |step| view.show(step)).await
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    ending
}

/// The first Ctrl-C (or SIGTERM) ends cleanly, the second one at once.
async fn interrupt_on_signals(interrupt: watch::Sender<bool>, terminal: Terminal) {
    if next_signal().await.is_err() {
        tracing::warn!(
            "signals cannot be caught; Ctrl-C ends at once, which loses nothing that was recorded"
        );
        // The sender must live: without it the campaign would look as if it were told.
        return std::future::pending().await;
    }
    terminal.note("interrupted: ending cleanly; once more ends at once");
    // Without a receiver the campaign has ended already.
    let _ = interrupt.send(true);
    if next_signal().await.is_ok() {
        terminal.clear();
        std::process::exit(i32::from(STATUS_INTERRUPTED));
    }
}

#[cfg(unix)]
async fn next_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn next_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

fn show(
    summary: &Summary,
    directory: &Path,
    arguments: &FitArguments,
    terminal: &Terminal,
) -> Result<Ending, CommandError> {
    if arguments.json {
        let json = serde_json::to_string_pretty(summary).map_err(CommandError::failed)?;
        results::print(&format!("{json}\n"));
    } else {
        let mut text = results::campaign(summary);
        results::line(
            &mut text,
            "report",
            &directory.join("report.html").display().to_string(),
        );
        results::print(&text);
    }
    if summary.warnings.is_empty() {
        return Ok(Ending::Done);
    }
    terminal.not_trusted(&summary.warnings);
    Ok(Ending::NotTrusted)
}

/// What `--dry-run` prints.
fn plan(campaign: &Campaign, directory: &Path, found: Found) -> String {
    let mut text = String::new();
    results::line(&mut text, "campaign", &campaign.name);
    for parameter in &campaign.space.parameters {
        results::line(
            &mut text,
            "parameter",
            &format!("{}: {}", parameter.name, words::prior(&parameter.prior)),
        );
    }
    let kind = match &campaign.observation {
        Some(observation) => format!("one observation of {} data", observation.value.len()),
        None => "none: a model for any observation is trained".to_owned(),
    };
    results::line(&mut text, "observation", &kind);
    for (name, value) in words::settings(campaign) {
        results::line(&mut text, name, &value);
    }
    let state = match found {
        Found::Nothing => "new",
        Found::Begun => "begun, would go on",
    };
    results::line(
        &mut text,
        "directory",
        &format!("{} ({state})", directory.display()),
    );
    text
}

fn n_cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}
