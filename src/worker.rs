//! `sidereal worker`: runs the forward model for a coordinator elsewhere.

use crate::exit::{CommandError, Ending};
use crate::services::{Peer, PeerArguments, n_threads, run_peer, seconds};
use crate::terminal::Terminal;
use clap::Args;
use sidereal_models::Catalogue;
use sidereal_store::StorageChoice;
use sidereal_worker::{WorkerConfig, WorkerError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Args)]
pub struct WorkerArguments {
    #[command(flatten)]
    peer: PeerArguments,

    /// Simulations at a time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Seconds that this process may live, where something will end it (a job's time limit): it is given no
    /// work that it cannot end
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    time_limit: Option<Duration>,

    /// Send shards through the coordinator, though the campaign directory may be within reach
    #[arg(long)]
    upload: bool,
}

pub fn run(
    arguments: &WorkerArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    let Peer {
        access,
        identity,
        storage,
        name,
        patience,
        idle_timeout,
    } = arguments.peer.resolve()?;
    let started = Instant::now();
    let config = WorkerConfig {
        access,
        identity,
        storage: if arguments.upload {
            StorageChoice::ThroughCoordinator
        } else {
            storage
        },
        name,
        models: models.clone(),
        n_threads: n_threads(arguments.threads),
        patience,
        idle_timeout,
        grace: arguments.peer.grace,
        ends_at: arguments.time_limit.map(|limit| started + limit),
    };
    let run = |shutdown| sidereal_worker::run(config, shutdown);
    run_peer(terminal, run, WorkerError::is_unusable_input)
}
