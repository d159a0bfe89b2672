//! `sidereal fit`: a whole campaign on this machine.

use crate::campaign_directory::{self, Found};
use crate::exit::{CommandError, Ending};
use crate::one_process::{self, LocalCampaign, LocalEnding};
use crate::services::{create_directory, earlier, n_cores, n_threads};
use crate::settings::SettingArguments;
use crate::terminal::{CampaignView, Terminal};
use crate::{estimate, noise, report, results, reuse, words};
use clap::Args;
use sidereal_inference::account::{Stage, Summary};
use sidereal_inference::campaign::{Campaign, MOST_WORKERS};
use sidereal_inference::records::Directory;
use sidereal_models::Catalogue;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Args)]
pub struct FitArguments {
    /// Campaign file (TOML)
    #[arg(value_name = "CAMPAIGN.toml")]
    campaign: PathBuf,

    /// Campaign directory: a new or empty one, or one that this campaign was begun in; a path or
    /// s3://bucket/prefix [default: runs/<campaign name>]
    #[arg(long, value_name = "DIR")]
    out: Option<String>,

    /// Begin with the simulations of these campaigns, which have the same model: another observation on the same grid,
    /// other errors, other priors, or more draws; nothing is simulated as long as they are enough
    #[arg(long, value_name = "DIR", num_args = 1..)]
    from: Vec<String>,

    #[command(flatten)]
    settings: SettingArguments,

    /// As `workers.count` in the file: simulations at a time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_WORKERS)))]
    workers: Option<u32>,

    /// Threads of the training on a CPU; the result does not depend on them [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Where to listen for workers of other machines, such as 0.0.0.0:0 (port 0: any free one); they find it through the
    /// campaign directory
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = one_process::LOOPBACK)]
    listen: SocketAddr,

    /// Go on with a campaign that was run on another machine and did not end in peace there
    #[arg(long)]
    take_over: bool,

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

pub fn run(
    arguments: &FitArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    let (mut campaign, source) = arguments.settings.campaign(&arguments.campaign, models)?;
    if let Some(count) = arguments.workers {
        campaign.workers.count = Some(count);
    }
    let directory = arguments.out.clone().unwrap_or_else(|| {
        let path = campaign_directory::default_for(&campaign);
        path.display().to_string()
    });
    let found =
        campaign_directory::inspect(&directory, &campaign, arguments.settings.changed_model())?;
    let earlier_ones = reuse::open(&arguments.from)?;
    // What cannot be reused is told before anything is written.
    let reuses = match found {
        Found::Nothing if !earlier_ones.is_empty() => Some(reuse::plan(&campaign, &earlier_ones)?),
        Found::Nothing | Found::Begun => None,
    };
    if arguments.dry_run {
        let state = state(&directory, &campaign, found)?;
        let mut data = words::data(&campaign, source.as_ref(), models);
        if let Some(reuses) = reuses {
            data.push(("reuses", reuses));
        }
        results::print(&plan(&campaign, data, &directory, &state));
        if found == Found::Nothing {
            let model = models.build(&campaign, 1).map_err(CommandError::unusable)?;
            model.try_out(&campaign).map_err(CommandError::unusable)?;
            noise::try_out(models, &model, &campaign)?;
            let machine = estimate::Machine {
                model: &model,
                n_workers: n_workers(&campaign),
                n_cores: n_cores(),
                n_threads: n_threads(arguments.threads),
            };
            let mut text = String::new();
            if !earlier_ones.is_empty() {
                let value = "no simulation where those that are reused are enough, else at most:";
                results::line(&mut text, "will take", value);
            }
            for (name, value) in estimate::lines(&campaign, &machine) {
                results::line(&mut text, name, &value);
            }
            results::print(&text);
        }
        return Ok(Ending::Done);
    }
    if found == Found::Begun {
        let begun = sidereal_store::open(&directory).map_err(CommandError::unusable)?;
        reuse::check(&begun, &earlier_ones)?;
        if let Some(summary) = campaign_directory::finished_before(&begun, &campaign, terminal)? {
            return show_again(&begun, &campaign, &summary, arguments, terminal, models);
        }
    }
    let model = models.build(&campaign, 1).map_err(CommandError::unusable)?;
    model.try_out(&campaign).map_err(CommandError::unusable)?;
    noise::try_out(models, &model, &campaign)?;
    drop(model);
    let device = sidereal_trainer::device::choose(campaign.training.device)
        .map_err(CommandError::unusable)?;
    let n_workers = n_workers(&campaign);
    terminal.note(&format!(
        "{}: {}",
        campaign.name,
        words::campaign_line(&campaign)
    ));
    terminal.note(
        "each round proposes parameters, simulates them and weighs them by their likelihood; a neural network \
         learns from the weighted draws what to propose next",
    );
    terminal.note(&format!(
        "in {directory} (report.html shows how far it is) with {n_workers} worker{}, training on {}",
        if n_workers == 1 { "" } else { "s" },
        sidereal_trainer::device::name(&device)
    ));
    for note in words::data_notes(&campaign, source.as_ref(), models) {
        terminal.note(&note);
    }
    one_process::allow_open_files(n_workers)?;
    let directory = create_directory(&directory)?;
    if !earlier_ones.is_empty() {
        let n_threads = n_threads(arguments.threads);
        reuse::begin(&directory, &campaign, &earlier_ones, n_threads, terminal)?;
    }
    let local = LocalCampaign {
        campaign: campaign.clone(),
        directory: directory.clone(),
        models: models.clone(),
        n_workers,
        n_threads: n_threads(arguments.threads),
        listen: arguments.listen,
        earlier: earlier(arguments.take_over),
    };
    let ending = one_process::run(local, CampaignView::new(terminal), terminal)?;
    terminal.clear();
    match ending {
        LocalEnding::Interrupted => {
            if let Err(error) = report::write_so_far(&directory, &campaign, models) {
                tracing::debug!(%error, "no page of what is there so far");
            }
            terminal.note("interrupted; the same command goes on");
            Ok(Ending::Interrupted)
        }
        LocalEnding::Finished(outcome) => {
            report::write(&directory, &campaign, &outcome.summary, terminal, models)?;
            results::show(&outcome.summary, &directory, arguments.json, terminal)
        }
        LocalEnding::WasFinished(outcome) => show_again(
            &directory,
            &campaign,
            &outcome.summary,
            arguments,
            terminal,
            models,
        ),
    }
}

/// The result of a campaign that had finished before.
fn show_again(
    directory: &Directory,
    campaign: &Campaign,
    summary: &Summary,
    arguments: &FitArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    terminal.note("finished before; this is its result");
    campaign_directory::keep_truth(directory, campaign, terminal)?;
    report::write(directory, campaign, summary, terminal, models)?;
    results::show(summary, directory, arguments.json, terminal)
}

/// What `--dry-run` prints.
fn plan(campaign: &Campaign, data: Vec<(&str, String)>, directory: &str, state: &str) -> String {
    let mut text = String::new();
    results::line(&mut text, "campaign", &campaign.name);
    for (position, parameter) in campaign.space.parameters.iter().enumerate() {
        let prior = words::prior(&campaign.space, position);
        results::line(
            &mut text,
            "parameter",
            &format!("{}: {prior}", parameter.name),
        );
    }
    for (name, value) in data.into_iter().chain(words::settings(campaign)) {
        results::line(&mut text, name, &value);
    }
    results::line(&mut text, "directory", &format!("{directory} ({state})"));
    text
}

/// What the command would do with the campaign directory.
fn state(location: &str, campaign: &Campaign, found: Found) -> Result<String, CommandError> {
    match found {
        Found::Nothing => return Ok("new".to_owned()),
        Found::Begun => {}
    }
    let directory = sidereal_store::open(location).map_err(CommandError::unusable)?;
    let (status, _) = sidereal_coordinator::read_status(&directory, &campaign.name)
        .map_err(CommandError::failed)?;
    let next = match &status.open_round {
        Some(open) => open.round.0 as usize,
        None => status.rounds.len(),
    };
    Ok(match status.stage {
        Stage::Finished => {
            let begun = campaign_directory::load_campaign(&directory)?;
            if begun.rounds.max == campaign.rounds.max && begun.rounds.stop == campaign.rounds.stop
            {
                "finished, would print its result again".to_owned()
            } else {
                "finished, would be judged again by the changed stops".to_owned()
            }
        }
        Stage::Finishing => "all rounds are done, would write the result".to_owned(),
        Stage::New | Stage::Simulating | Stage::Weighing | Stage::Training | Stage::Drawing => {
            let so_far = status.standing.as_ref().map_or(String::new(), |standing| {
                format!(": {}", words::standing(standing))
            });
            format!("begun, would go on at round {next}{so_far}")
        }
    })
}

fn n_workers(campaign: &Campaign) -> usize {
    let count = campaign.workers.count;
    count.map_or_else(n_cores, |count| count as usize)
}
