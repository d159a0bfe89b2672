//! `sidereal status`: where a campaign stands, from its directory alone or from its coordinator.

use crate::campaign_directory::load_campaign;
use crate::exit::{CommandError, Ending};
use crate::services::{identity, runtime};
use crate::terminal::Terminal;
use crate::words::{self, RoundPurpose};
use crate::{numbers, results};
use clap::Args;
use sidereal_inference::account::{CampaignStatus, LiveStatus, PeerStatus, RoundStatus, Stage};
use sidereal_inference::method::Standing;
use sidereal_proto::access::{ACCESS_FILE, Access, AccessFile};
use sidereal_proto::client::{Client, ClientError, ClientIdentity};
use sidereal_store::Kind;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a coordinator has to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks.
const WATCHING: Duration = Duration::from_secs(2);
/// Peers that the table shows.
const MAX_PEERS: usize = 20;

#[derive(Args)]
pub struct StatusArguments {
    /// Campaign directory (a path or s3://bucket/prefix), or host:port of a coordinator with --access
    #[arg(value_name = "DIR|ADDRESS")]
    place: String,

    /// Access file, where it is not in the campaign directory
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,

    /// Certificate (PEM) to show where the coordinator asks for one (mutual TLS)
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,

    /// Private key (PEM) of --client-certificate
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,

    /// Look again every two seconds until the campaign is finished
    #[arg(long)]
    watch: bool,

    /// Print as JSON, one line a look
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &StatusArguments, terminal: &Terminal) -> Result<Ending, CommandError> {
    let runtime = runtime(1)?;
    loop {
        let (status, source) = look(arguments, &runtime, terminal)?;
        if arguments.json {
            let json = serde_json::to_string(&status).map_err(CommandError::failed)?;
            results::print(&format!("{json}\n"));
        } else {
            if arguments.watch && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
                // Home, and clear what is below.
                results::print("\x1b[H\x1b[J");
            }
            results::print(&table(&status, &source));
        }
        if !arguments.watch || status.stage == Stage::Finished {
            return Ok(Ending::Done);
        }
        std::thread::sleep(WATCHING);
    }
}

/// The status, and in words where it is from.
fn look(
    arguments: &StatusArguments,
    runtime: &tokio::runtime::Runtime,
    terminal: &Terminal,
) -> Result<(CampaignStatus, String), CommandError> {
    let place = &arguments.place;
    let is_directory = sidereal_store::kind(place) == Kind::ObjectStore && place.starts_with("s3:")
        || Path::new(place).is_dir();
    if !is_directory {
        return ask_address(arguments, runtime);
    }
    let access_file = arguments.access.clone().or_else(|| {
        let path = Path::new(place).join(ACCESS_FILE);
        path.exists().then_some(path)
    });
    let identity = own_identity(arguments)?;
    if let Some(path) = access_file {
        match AccessFile::load(&path) {
            Ok(file) if file.finished => {}
            Ok(file) => match runtime.block_on(ask(&file.access, identity.as_ref())) {
                Ok(status) => {
                    let source = format!("coordinator at {}", file.access.address);
                    return Ok((status, source));
                }
                Err(error) => {
                    tracing::debug!(%error, "no coordinator answers");
                }
            },
            Err(error) => terminal.note(&error.to_string()),
        }
    }
    let directory = sidereal_store::open(place).map_err(CommandError::unusable)?;
    let campaign = load_campaign(&directory)?;
    let (status, _) = sidereal_coordinator::read_status(&directory, &campaign.name)
        .map_err(CommandError::failed)?;
    let source = match status.stage == Stage::Finished {
        true => "journal",
        false => "journal; no coordinator answers",
    };
    Ok((status, source.to_owned()))
}

fn ask_address(
    arguments: &StatusArguments,
    runtime: &tokio::runtime::Runtime,
) -> Result<(CampaignStatus, String), CommandError> {
    let place = &arguments.place;
    let Some(path) = &arguments.access else {
        return Err(CommandError::unusable(format!(
            "{place}: not a directory; for a coordinator's address give its access file with --access"
        )));
    };
    let file = AccessFile::load(path).map_err(CommandError::unusable)?;
    let address = match file.access.certificate {
        _ if place.contains("://") => place.clone(),
        Some(_) => format!("https://{place}"),
        None => format!("http://{place}"),
    };
    let access = Access {
        address,
        ..file.access
    };
    let status = runtime
        .block_on(ask(&access, own_identity(arguments)?.as_ref()))
        .map_err(|error| CommandError::failed(format!("{}: {error}", access.address)))?;
    Ok((status, format!("coordinator at {}", access.address)))
}

fn own_identity(arguments: &StatusArguments) -> Result<Option<ClientIdentity>, CommandError> {
    identity(
        arguments.client_certificate.as_deref(),
        arguments.client_key.as_deref(),
    )
}

async fn ask(access: &Access, identity: Option<&ClientIdentity>) -> Result<CampaignStatus, String> {
    let asked = async {
        let mut client = Client::connect(access, identity).await?;
        client.status().await
    };
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(result) => result.map_err(|error: ClientError| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

/// The status as people read it.
fn table(status: &CampaignStatus, source: &str) -> String {
    let mut text = String::new();
    results::line(&mut text, "campaign", &status.campaign);
    results::line(&mut text, "source", source);
    results::line(&mut text, "stage", &stage(status));
    if let Some(paused) = status.live.as_ref().and_then(|live| live.paused.as_ref()) {
        results::line(&mut text, "paused", paused);
    }
    // Weights mean nothing on the way.
    let is_on_the_way = |standing: &Standing| standing.way.is_some();
    if let Some(combined) = &status.combined
        && !status.standing.as_ref().is_some_and(is_on_the_way)
    {
        text.push_str(&results::weights(combined));
    }
    if let Some(standing) = &status.standing {
        results::line(&mut text, "progress", &words::standing(standing));
    }
    let simulations = numbers::count(status.n_simulations);
    results::line(&mut text, "simulations", &simulations);
    if let Some(reason) = &status.stopped {
        results::line(&mut text, "stopped", &words::stop_reason(reason));
    }
    results::line(&mut text, "time", &numbers::seconds(status.elapsed_s));
    if !status.rounds.is_empty() {
        text.push_str(&rounds(&status.rounds));
    }
    if let Some(live) = &status.live {
        text.push_str(&peers(live));
    }
    text
}

fn stage(status: &CampaignStatus) -> String {
    let name = match status.stage {
        Stage::New => "new",
        Stage::Simulating => "simulating",
        Stage::Weighing => "weighing",
        Stage::Training => "training",
        Stage::Drawing => "drawing",
        Stage::Finishing => "writing the results",
        Stage::Finished => "finished",
    };
    let mut text = name.to_owned();
    if let Some(open) = &status.open_round {
        let share = numbers::percent(open.n_committed as f64 / open.n_rows.max(1) as f64);
        let _ = write!(
            text,
            " {}: {} of {} rows ({share})",
            open.round,
            numbers::count(open.n_committed),
            numbers::count(open.n_rows)
        );
        if open.n_failed > 0 {
            let _ = write!(text, ", {} failed", numbers::count(open.n_failed));
        }
    }
    let training = status.live.as_ref().and_then(|live| live.training.as_ref());
    if let (Stage::Training, Some(training)) = (status.stage, training) {
        let _ = write!(
            text,
            " on round {}: pass {} of at most {}",
            training.flow.0, training.epoch, training.max_epochs
        );
    }
    text
}

fn rounds(rounds: &[RoundStatus]) -> String {
    let mut text = format!(
        "\n{:<14} {:>11} {:>8} {:>8} {:>10} {:>6} {:>10} {:>10}\n",
        "round", "simulations", "failed", "n_eff", "efficiency", "k-hat", "simulating", "training"
    );
    let mut kinds = Vec::new();
    for round in rounds {
        let kind = RoundPurpose::of(round.kind, round.is_on_the_way);
        if let Some(kind) = kind.filter(|kind| !kinds.contains(kind)) {
            kinds.push(kind);
        }
        let name = match kind {
            None => round.round.0.to_string(),
            Some(kind) => format!("{} {}", round.round.0, kind.name()),
        };
        let _ = writeln!(
            text,
            "{name:<14} {:>11} {:>8} {:>8.1} {:>10} {:>6} {:>10} {:>10}",
            numbers::count(round.n_rows),
            numbers::count(round.n_failed),
            round.n_eff,
            match round.efficiency < 1e-4 {
                true => "0 %".to_owned(),
                false => numbers::percent(round.efficiency),
            },
            words::pareto_k(round.pareto_k),
            numbers::seconds(round.simulating_s),
            numbers::seconds(round.training_s),
        );
    }
    for kind in kinds {
        let _ = writeln!(text, "{}: {}", kind.name(), kind.explained());
    }
    text
}

fn peers(live: &LiveStatus) -> String {
    let n_trainers = live.peers.iter().filter(|peer| peer.is_trainer).count();
    let n_workers = live.peers.len() - n_trainers;
    let mut text = format!(
        "\n{n_workers} workers, {n_trainers} trainers, {} calls refused\n",
        live.n_refused
    );
    for held in &live.held_back {
        let _ = writeln!(
            text,
            "{} is held back for {}: it lost or failed what it held {} times",
            shown_name(&held.name),
            numbers::seconds(held.for_s),
            held.n_losses
        );
    }
    if live.peers.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "{:<30} {:<8} {:>7} {:>10} {:>10} {:>10} {:>8}",
        "name", "kind", "leases", "rows", "done", "rows/s", "silent"
    );
    for peer in live.peers.iter().take(MAX_PEERS) {
        text.push_str(&peer_line(peer));
    }
    if live.peers.len() > MAX_PEERS {
        let _ = writeln!(text, "and {} more", live.peers.len() - MAX_PEERS);
    }
    text
}

fn peer_line(peer: &PeerStatus) -> String {
    let name = shown_name(&peer.name);
    let kind = if peer.is_trainer { "trainer" } else { "worker" };
    let rows_per_s = peer
        .rows_per_s
        .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
    format!(
        "{name:<30} {kind:<8} {:>7} {:>10} {:>10} {rows_per_s:>10} {:>8}\n",
        peer.n_leases,
        numbers::count(peer.n_rows),
        numbers::count(peer.n_done),
        numbers::seconds(peer.silent_s),
    )
}

/// A name is a peer's word: nothing in it may steer the terminal.
fn shown_name(name: &str) -> String {
    let characters = name.chars();
    characters
        .filter(|character| !character.is_control())
        .take(30)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::account::{HeldBack, OpenRoundStatus};
    use sidereal_inference::base::{RoundId, RunId};
    use sidereal_inference::weights::RoundKind;

    #[test]
    fn a_running_campaign_is_shown_with_its_peers() {
        let status = CampaignStatus {
            campaign: "line".to_owned(),
            run: Some(RunId("a".to_owned())),
            stage: Stage::Simulating,
            rounds: vec![RoundStatus {
                round: RoundId(0),
                kind: RoundKind::Training,
                n_rows: 1000,
                n_failed: 2,
                n_eff: 12.34,
                efficiency: 0.01234,
                pareto_k: Some(0.4),
                is_on_the_way: true,
                simulating_s: 3.0,
                training_s: 61.0,
            }],
            open_round: Some(OpenRoundStatus {
                round: RoundId(1),
                n_rows: 1000,
                n_committed: 250,
                n_failed: 0,
            }),
            combined: None,
            standing: None,
            n_simulations: 1250,
            n_flows: 1,
            elapsed_s: 70.0,
            stopped: None,
            live: Some(LiveStatus {
                peers: vec![PeerStatus {
                    name: "node\x1b[31m:1".to_owned(),
                    is_trainer: false,
                    n_leases: 2,
                    n_rows: 128,
                    n_done: 1122,
                    rows_per_s: Some(21.0),
                    silent_s: 0.5,
                }],
                held_back: vec![HeldBack {
                    name: "sick\x1b:7".to_owned(),
                    n_losses: 3,
                    for_s: 20.0,
                }],
                training: None,
                paused: None,
                n_refused: 0,
            }),
        };
        let text = table(&status, "coordinator at https://node:1");
        for part in [
            "simulating round 1: 250 of 1,000 rows (25",
            "\n0 finding            1,000        2     12.3      1.2 %   0.40 ",
            "1 workers, 0 trainers, 0 calls refused",
            "node[31m:1",
            "sick:7 is held back for 20",
            "it lost or failed what it held 3 times",
            "\nfinding: the proposal is broader than the posterior on purpose, so that it loses no mode\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(!text.contains('\x1b'), "{text}");
    }
}
