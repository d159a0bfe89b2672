//! A whole campaign in one process: coordinator, workers and trainer, over gRPC on loopback.

use crate::exit::{CommandError, STATUS_INTERRUPTED};
use crate::noise::noise_of;
use crate::report::LivePage;
use crate::services::{
    self, FEWEST_OPEN_FILES, advertised, host_name, load_or_create_secrets, runtime,
    shutdown_on_signals, start_coordinator,
};
use crate::terminal::{CampaignView, Terminal};
use sidereal_coordinator::{
    AfterTheEnd, CampaignFailure, CampaignOutcome, CoordinatorConfig, Earlier, ServeConfig,
};
use sidereal_inference::account::Progress;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Directory;
use sidereal_models::Catalogue;
use sidereal_proto::access::{ACCESS_FILE, Access, AccessSource, SERVER_NAME, Secrets};
use sidereal_proto::client::{Client, ClientError, Incoming};
use sidereal_store::{Kind, StorageChoice};
use sidereal_trainer::TrainerConfig;
use sidereal_worker::WorkerConfig;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long workers and trainer may take to end once nothing is left to do, or after an interruption.
const FAREWELL: Duration = Duration::from_secs(20);
/// How long the coordinator may take to tell its last steps.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The coordinator is in this process: one that is silent for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Threads that serve connections; simulations and training have their own.
const SERVICE_THREADS: usize = 2;
/// Open files that each worker needs: both ends of its connection, and the shard that it writes.
const OPEN_FILES_PER_WORKER: u64 = 4;

/// Any free port that this machine alone can reach.
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What is run, where, and by how many.
pub struct LocalCampaign {
    pub campaign: Campaign,
    pub directory: Directory,
    pub models: Catalogue,
    pub n_workers: usize,
    /// Threads that the trainer shares a minibatch among.
    pub n_threads: usize,
    /// Where further workers are listened for.
    pub listen: SocketAddr,
    pub earlier: Earlier,
}

/// How a campaign in this process ended.
pub enum LocalEnding {
    Finished(Box<CampaignOutcome>),
    /// Finished before, nothing was run.
    WasFinished(Box<CampaignOutcome>),
    Interrupted,
}

/// Refuses more workers than this process may have files open for.
pub fn allow_open_files(n_workers: usize) -> Result<(), CommandError> {
    let needed = FEWEST_OPEN_FILES + OPEN_FILES_PER_WORKER * n_workers as u64;
    services::allow_open_files(needed, needed)
}

/// Runs a campaign in this process, with its progress on the terminal.
pub fn run(
    local: LocalCampaign,
    mut view: CampaignView,
    terminal: &Terminal,
) -> Result<LocalEnding, CommandError> {
    let runtime = runtime(SERVICE_THREADS)?;
    let mut page = LivePage::new(&local.directory, &local.campaign, &local.models);
    let ending = runtime.block_on(async {
        let interrupted = shutdown_on_signals(terminal, STATUS_INTERRUPTED);
        let on_progress = |step: &Progress| {
            view.show(step);
            if matches!(step, Progress::RoundWeighed { .. }) {
                page.on_round();
            }
        };
        serve(local, interrupted, on_progress).await
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    page.finish();
    ending
}

/// Runs the campaign until it is finished, fails, or `interrupted` turns true.
async fn serve(
    local: LocalCampaign,
    mut interrupted: watch::Receiver<bool>,
    mut on_progress: impl FnMut(&Progress),
) -> Result<LocalEnding, CommandError> {
    let running = tokio::select! {
        running = start_coordinator(config(&local)?) => running?,
        // Nothing is recorded yet, or a record that cannot be written is waited for.
        Ok(_) = interrupted.wait_for(|interrupted| *interrupted) => {
            return Ok(LocalEnding::Interrupted);
        }
    };
    if running.was_finished {
        let outcome = running.wait().await.map_err(CommandError::failed)?;
        return Ok(LocalEnding::WasFinished(Box::new(outcome)));
    }
    let access = own_access(&running.access, local.listen);
    let mut steps = watch_steps(&access).await;
    let (shut_down, shutdown) = watch::channel(false);
    let mut peers = start_peers(&local, &access, &shutdown);

    let stopper = running.stopper();
    let mut outcome = std::pin::pin!(running.wait());
    let mut steps_end = steps.is_none();
    let mut was_interrupted = false;
    let mut peer_failure = None;
    let result = loop {
        tokio::select! {
            result = &mut outcome => break result,
            step = next_step(&mut steps), if !steps_end => match step {
                Some(Ok(step)) => on_progress(&step),
                Some(Err(_)) | None => steps_end = true,
            },
            Some(ended) = peers.join_next(), if !peers.is_empty() => {
                // A peer that leaves in peace was told that no more work comes.
                if let Some(message) = failure_of(ended) {
                    peer_failure.get_or_insert(message);
                    stopper.stop();
                }
            }
            Ok(_) = interrupted.wait_for(|interrupted| *interrupted), if !was_interrupted => {
                was_interrupted = true;
                stopper.stop();
                // A trainer keeps its checkpoint, a worker ends its batch.
                let _ = shut_down.send(true);
            }
        }
    };
    let last_words = async {
        while let Some(Ok(step)) = next_step(&mut steps).await {
            on_progress(&step);
        }
    };
    if !steps_end {
        // Progress is for people: what does not come in time is left out.
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
    }
    // Without receivers nobody is left to be told.
    let _ = shut_down.send(true);
    let farewell = async { while peers.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!(
            "workers or trainer did not end in {} s and are left behind",
            FAREWELL.as_secs()
        );
    }
    match (result, peer_failure) {
        (Ok(outcome), _) => Ok(LocalEnding::Finished(Box::new(outcome))),
        (Err(_), Some(message)) => Err(CommandError::Failed(message)),
        (Err(CampaignFailure::Interrupted), None) => Ok(LocalEnding::Interrupted),
        (Err(failure), None) => Err(CommandError::failed(failure)),
    }
}

/// How the coordinator is reached from this process, which need not find this machine by its name.
fn own_access(access: &Access, listen: SocketAddr) -> Access {
    let port = access.address.rsplit_once(':').map(|(_, port)| port);
    match port {
        Some(port) if listen.ip().is_unspecified() => Access {
            address: format!("https://{}:{port}", Ipv4Addr::LOCALHOST),
            ..access.clone()
        },
        Some(_) | None => access.clone(),
    }
}

/// None where the coordinator has ended already: its outcome says the rest.
async fn watch_steps(access: &Access) -> Option<Incoming<Progress>> {
    let steps = async { Client::connect(access, None).await?.watch().await };
    match steps.await {
        Ok(steps) => Some(steps),
        Err(error) => {
            tracing::debug!(%error, "the campaign is not watched");
            None
        }
    }
}

async fn next_step(
    steps: &mut Option<Incoming<Progress>>,
) -> Option<Result<Progress, ClientError>> {
    match steps {
        Some(steps) => steps.next().await,
        None => None,
    }
}

type PeerResult = Result<(), String>;

fn start_peers(
    local: &LocalCampaign,
    access: &Access,
    shutdown: &watch::Receiver<bool>,
) -> JoinSet<PeerResult> {
    let mut peers = JoinSet::new();
    for index in 0..local.n_workers {
        let config = WorkerConfig {
            access: AccessSource::Fixed(access.clone()),
            identity: None,
            storage: StorageChoice::Directory(local.directory.clone()),
            name: format!("worker {index}"),
            models: local.models.clone(),
            n_threads: 1,
            patience: PATIENCE,
            idle_timeout: None,
            grace: FAREWELL,
            ends_at: None,
        };
        let shutdown = shutdown.clone();
        peers.spawn(async move {
            sidereal_worker::run(config, shutdown)
                .await
                .map_err(|error| format!("worker {index}: {error}"))
        });
    }
    let config = TrainerConfig {
        access: AccessSource::Fixed(access.clone()),
        identity: None,
        storage: StorageChoice::Directory(local.directory.clone()),
        name: "trainer".to_owned(),
        device: None,
        noise: noise_of(&local.models, local.n_threads),
        n_threads: local.n_threads,
        patience: PATIENCE,
        idle_timeout: None,
        grace: FAREWELL,
    };
    let shutdown = shutdown.clone();
    peers.spawn(async move {
        sidereal_trainer::run(config, shutdown)
            .await
            .map_err(|error| format!("trainer: {error}"))
    });
    peers
}

fn failure_of(ended: Result<PeerResult, tokio::task::JoinError>) -> Option<String> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(message)) => Some(message),
        Err(error) => Some(format!(
            "a worker or the trainer ended unexpectedly: {error}"
        )),
    }
}

/// A coordinator. On a file system others find it through its access file; with
/// object storage its secrets are this process's own.
fn config(local: &LocalCampaign) -> Result<CoordinatorConfig, CommandError> {
    let location = local.directory.location();
    let access_file = match sidereal_store::kind(location) {
        Kind::FileSystem => Some(Path::new(location).join(ACCESS_FILE)),
        Kind::ObjectStore => None,
    };
    let secrets = match &access_file {
        Some(path) => load_or_create_secrets(path)?,
        None => Secrets::generate().map_err(CommandError::failed)?,
    };
    Ok(CoordinatorConfig {
        directory: local.directory.clone(),
        campaign: local.campaign.clone(),
        serve: ServeConfig {
            listen: local.listen,
            is_plaintext: false,
            client_ca: None,
            health: None,
            metrics: None,
        },
        trusted: None,
        secrets,
        advertise: advertised(local.listen),
        server_name: SERVER_NAME.to_owned(),
        access_file,
        host: host_name(),
        identity: None,
        earlier: local.earlier,
        after_the_end: AfterTheEnd::Exit,
        lease_s: CoordinatorConfig::DEFAULT_LEASE_S,
    })
}
