//! `sidereal trainer`: trains flows and draws from them for a coordinator elsewhere.

use crate::exit::{CommandError, Ending};
use crate::fit::{DeviceArgument, n_cores};
use crate::services::{
    FEWEST_OPEN_FILES, Peer, PeerArguments, allow_open_files, runtime, shutdown_on_signals,
};
use crate::terminal::Terminal;
use clap::Args;
use sidereal_trainer::TrainerConfig;
use std::time::Duration;

#[derive(Args)]
pub struct TrainerArguments {
    #[command(flatten)]
    peer: PeerArguments,

    /// Threads of the training on a CPU; the result does not depend on them [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Where networks run [default: as the campaign says]
    #[arg(long)]
    device: Option<DeviceArgument>,
}

pub fn run(arguments: &TrainerArguments, terminal: &Terminal) -> Result<Ending, CommandError> {
    let Peer {
        access,
        identity,
        storage,
        name,
        patience,
        idle_timeout,
    } = arguments.peer.resolve()?;
    let config = TrainerConfig {
        access,
        identity,
        storage,
        name,
        device: arguments.device.map(Into::into),
        n_threads: arguments.threads.map_or_else(n_cores, usize::from),
        patience,
        idle_timeout,
        grace: arguments.peer.grace,
        blind_spot: None,
    };
    allow_open_files(FEWEST_OPEN_FILES, FEWEST_OPEN_FILES)?;
    let runtime = runtime(1)?;
    runtime
        .block_on(async {
            let shutdown = shutdown_on_signals(terminal, 0);
            sidereal_trainer::run(config, shutdown).await
        })
        .map_err(|error| match error.is_unusable_input() {
            true => CommandError::unusable(error),
            false => CommandError::failed(error),
        })?;
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(Ending::Done)
}
