//! The way to a session and back to the next, as `sidereal_proto::peer` draws it: read the access, connect,
//! register, work; again after the coordinator comes back.
//!
//! Leases end with their session: what was simulated for a lost one is dropped, and the coordinator
//! offers it again.

use crate::config::WorkerConfig;
use crate::error::WorkerError;
use crate::simulation::{Model, SimulationThread};
use crate::storing::{ShardStorage, Uploader};
use crate::stream::{self, OpenSession, SessionEnd};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_proto::access::AccessFile;
use sidereal_proto::client::Client;
use sidereal_proto::message::{PeerKind, Registration, Session};
use sidereal_proto::peer::{
    Patience, Unopened, answer_of_thread, answer_to, asked_to_stop, no_answer, on_a_thread,
    read_access, register,
};
use sidereal_store::StorageChoice;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tracing::{info, warn};

/// Longest wait for the simulation thread's last row.
const FAREWELL: Duration = Duration::from_secs(1);

/// Works until the coordinator has no more work or `shutdown` turns true, with the campaign's model out of
/// `config.models`.
///
/// On shutdown the batch that runs is finished and reported first, as far as `config.grace` allows.
pub async fn run(
    config: WorkerConfig,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let mut simulation = SimulationThread::start(config.n_threads)?;
    let result = reconnect_until_done(&config, &mut simulation, &mut shutdown).await;
    simulation.end(FAREWELL).await;
    result
}

async fn reconnect_until_done(
    config: &WorkerConfig,
    simulation: &mut SimulationThread,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let coordinator = config.access.place();
    let mut patience = Patience::new(&config.access, config.patience);
    // Kept from one session to the next: processes of its own take their time to start.
    let mut held = None;
    loop {
        let opened = tokio::select! {
            opened = open(config, &mut held) => opened,
            () = asked_to_stop(shutdown) => return Ok(()),
        };
        let end = match opened {
            Ok(Some(session)) => stream::work(config, session, simulation, shutdown).await?,
            Ok(None) => {
                info!(%coordinator, "the campaign is finished");
                return Ok(());
            }
            Err(Unopened::NotYet(reason)) => SessionEnd::Lost {
                reason,
                heard_from: false,
            },
            Err(Unopened::Failed(error)) => return Err(error),
        };
        let reason = match end {
            SessionEnd::Done => {
                info!("no more work");
                return Ok(());
            }
            SessionEnd::Drained => {
                info!("drained");
                return Ok(());
            }
            SessionEnd::Idle => {
                info!("no work for too long");
                return Ok(());
            }
            SessionEnd::Lost { reason, heard_from } => {
                if heard_from {
                    patience.on_heard_from();
                }
                reason
            }
        };
        let wait = patience.next_wait(&reason)?;
        warn!(%coordinator, %reason, wait_s = wait.as_secs_f64(), "waiting for the coordinator");
        tokio::select! {
            () = sleep(wait) => {}
            () = asked_to_stop(shutdown) => return Ok(()),
        }
    }
}

/// From the access to the opened stream of leases; None where the campaign has its results.
async fn open(
    config: &WorkerConfig,
    held: &mut Option<Arc<Model>>,
) -> Result<Option<OpenSession>, Unopened<WorkerError>> {
    let file = read_access(&config.access).await?;
    if file.finished {
        return Ok(None);
    }
    let registration = registration(config, &file);
    let identity = config.identity.as_ref();
    let (mut client, session) = register(&config.access, &file, identity, &registration).await?;
    let storage = storage_for(config, &session, &client).await?;
    info!(
        address = %file.access.address, peer = %session.peer, run = %session.run.0,
        campaign = %session.campaign.name, storage = %place(&storage), "registered"
    );
    let Session { peer, campaign, .. } = session;
    let model = match held.take().filter(|held| held.campaign == campaign) {
        Some(model) => model,
        None => Arc::new(model(config, campaign).await?),
    };
    *held = Some(Arc::clone(&model));
    let (outgoing, messages) = mpsc::channel(stream::OUTBOX);
    let call = client.work(peer, ReceiverStream::new(messages));
    let incoming = answer_to("work", &config.access, call).await?;
    Ok(Some(OpenSession {
        model,
        storage,
        outgoing,
        incoming,
    }))
}

/// The campaign's model, started: processes of its own take their time.
async fn model(config: &WorkerConfig, campaign: Campaign) -> Result<Model, Unopened<WorkerError>> {
    let (models, n_threads) = (config.models.clone(), config.n_threads);
    let start = move || {
        let model = models.build(&campaign, n_threads)?;
        model.start(&campaign)?;
        Ok::<_, WorkerError>(Model { model, campaign })
    };
    let started = on_a_thread("starting the model", start).await;
    Ok(started.map_err(WorkerError::from)??)
}

fn registration(config: &WorkerConfig, file: &AccessFile) -> Registration {
    Registration {
        kind: PeerKind::Worker,
        name: config.name.clone(),
        n_threads: u32::try_from(config.n_threads.max(1)).unwrap_or(u32::MAX),
        campaign: file.campaign.clone(),
        models: config.models.ids(),
        remaining_s: config
            .ends_at
            .map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64()),
    }
}

/// Where the session's shards go.
async fn storage_for(
    config: &WorkerConfig,
    session: &Session,
    client: &Client,
) -> Result<ShardStorage, Unopened<WorkerError>> {
    let (choice, location) = (config.storage.clone(), session.directory.clone());
    let campaign = campaign_file::identity(&session.campaign);
    let operation = "opening the campaign directory";
    let resolved = answer_of_thread(operation, move || choice.resolve(&location, &campaign)).await;
    let directory = match resolved.map_err(WorkerError::from)? {
        Some(Ok(directory)) => directory,
        Some(Err(error)) if error.is_transient() => {
            return Err(Unopened::NotYet(error.to_string()));
        }
        Some(Err(error)) => return Err(WorkerError::from(error).into()),
        None => match &config.storage {
            StorageChoice::Directory(directory) => {
                return Err(no_answer(directory.location(), operation));
            }
            // As good as out of reach.
            StorageChoice::AsCoordinatorSays | StorageChoice::ThroughCoordinator => None,
        },
    };
    Ok(match directory {
        Some(directory) => ShardStorage::Directory(directory),
        None => ShardStorage::Upload(Box::new(Uploader {
            client: client.clone(),
            peer: session.peer,
            access: config.access.clone(),
        })),
    })
}

fn place(storage: &ShardStorage) -> &str {
    match storage {
        ShardStorage::Directory(directory) => directory.location(),
        ShardStorage::Upload(_) => "through the coordinator",
    }
}
