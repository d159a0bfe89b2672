//! `sidereal trainer`: trains flows and draws from them for a coordinator elsewhere.

use crate::exit::{CommandError, Ending};
use crate::noise::noise_of;
use crate::services::{Peer, PeerArguments, n_threads, run_peer};
use crate::settings::DeviceArgument;
use crate::terminal::Terminal;
use clap::Args;
use sidereal_models::Catalogue;
use sidereal_trainer::{TrainerConfig, TrainerError};

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

pub fn run(
    arguments: &TrainerArguments,
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
    let config = TrainerConfig {
        access,
        identity,
        storage,
        name,
        device: arguments.device.map(Into::into),
        noise: noise_of(models, n_threads(arguments.threads)),
        n_threads: n_threads(arguments.threads),
        patience,
        idle_timeout,
        grace: arguments.peer.grace,
    };
    let run = |shutdown| sidereal_trainer::run(config, shutdown);
    run_peer(terminal, run, TrainerError::is_unusable_input)
}
