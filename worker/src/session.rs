//! The way to a session and back to the next: read the access, connect, register, work; again after the
//! coordinator comes back.
//!
//! ```text
//!            ┌──── absent, lost: wait, jittered ◄────┐
//!            ▼                                       │
//! start ─► access ─► register ─► stream (stream.rs) ─┤
//!            │          │           │ Done, drained,  │ patience over
//!            │ finished │ refused   │ idle            ▼
//!            ▼          ▼           ▼               error
//!           end       error        end
//! ```
//!
//! Leases end with their session: what was simulated for a lost one is dropped, and the coordinator
//! offers it again.

use crate::config::WorkerConfig;
use crate::error::WorkerError;
use crate::simulation::{Model, SimulationThread};
use crate::simulators::{self, BuildError, Simulator};
use crate::storing::{ShardStorage, Uploader};
use crate::stream::{self, OpenSession, SessionEnd};
use crate::waits::{asked_to_stop, backoff, on_a_thread};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_proto::access::{AccessError, AccessFile, AccessSource};
use sidereal_proto::client::{Client, ClientError};
use sidereal_proto::message::{PeerKind, Registration, Session};
use sidereal_store::StorageChoice;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::{info, warn};

/// Longest wait for the answer to a call, or of a storage.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the simulation thread's last row.
const FAREWELL: Duration = Duration::from_secs(1);

/// Works until the coordinator has no more work or `shutdown` turns true, with the simulator that
/// the campaign names.
///
/// On shutdown the batch that runs is finished and reported first, as far as `config.grace` allows.
pub async fn run(config: WorkerConfig, shutdown: watch::Receiver<bool>) -> Result<(), WorkerError> {
    work_until_done(config, ModelSource::Campaign, shutdown).await
}

/// [`run`] with a simulator of the user's own; it gives as many values as the campaign's grid has
/// points.
pub async fn run_with_simulator(
    config: WorkerConfig,
    simulator: Arc<dyn Simulator>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    work_until_done(config, ModelSource::Own(simulator), shutdown).await
}

enum ModelSource {
    Campaign,
    Own(Arc<dyn Simulator>),
}

async fn work_until_done(
    config: WorkerConfig,
    model: ModelSource,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let mut simulation = SimulationThread::start(config.n_threads)?;
    let result = reconnect_until_done(&config, &model, &mut simulation, &mut shutdown).await;
    simulation.end(FAREWELL).await;
    result
}

async fn reconnect_until_done(
    config: &WorkerConfig,
    model: &ModelSource,
    simulation: &mut SimulationThread,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let coordinator = match &config.access {
        AccessSource::Fixed(access) => access.address.clone(),
        AccessSource::File(path) => path.display().to_string(),
    };
    let mut backoff = backoff();
    let mut silent_since = Instant::now();
    loop {
        let opened = tokio::select! {
            opened = open(config, model) => opened?,
            () = asked_to_stop(shutdown) => return Ok(()),
        };
        let end = match opened {
            Opened::Session(session) => {
                stream::work(config, *session, simulation, shutdown).await?
            }
            Opened::Finished => {
                info!(%coordinator, "the campaign is finished");
                return Ok(());
            }
            Opened::NotYet(reason) => SessionEnd::Lost {
                reason,
                heard_from: false,
            },
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
                    silent_since = Instant::now();
                    backoff.reset();
                }
                reason
            }
        };
        let waited = silent_since.elapsed();
        let Some(left) = config
            .patience
            .checked_sub(waited)
            .filter(|left| !left.is_zero())
        else {
            return Err(WorkerError::GaveUp {
                coordinator,
                waited,
                last: reason,
            });
        };
        let wait = backoff.next_wait().min(left);
        warn!(%coordinator, %reason, wait_s = wait.as_secs_f64(), "waiting for the coordinator");
        tokio::select! {
            () = sleep(wait) => {}
            () = asked_to_stop(shutdown) => return Ok(()),
        }
    }
}

/// What came of the way to a session.
enum Opened {
    Session(Box<OpenSession>),
    /// The campaign has its results.
    Finished,
    /// Worth another try.
    NotYet(String),
}

/// From the access to the opened stream of leases.
async fn open(config: &WorkerConfig, source: &ModelSource) -> Result<Opened, WorkerError> {
    let file = match read_access(&config.access).await? {
        Ok(file) if file.finished => return Ok(Opened::Finished),
        Ok(file) => file,
        Err(reason) => return Ok(Opened::NotYet(reason)),
    };
    let (mut client, session) = match register(config, &file).await? {
        Ok(registered) => registered,
        Err(reason) => return Ok(Opened::NotYet(reason)),
    };
    let storage = match storage_for(config, &session, &client).await? {
        Ok(storage) => storage,
        Err(reason) => return Ok(Opened::NotYet(reason)),
    };
    info!(
        address = %file.access.address, peer = %session.peer, run = %session.run.0,
        campaign = %session.campaign.name, storage = %place(&storage), "registered"
    );
    let model = Model {
        simulator: simulator_for(&session.campaign, source)?,
        campaign: session.campaign,
    };
    let (outgoing, messages) = mpsc::channel(stream::OUTBOX);
    let call = client.work(session.peer, ReceiverStream::new(messages));
    match timeout(ANSWER_TIMEOUT, call).await {
        Ok(Ok(incoming)) => Ok(Opened::Session(Box::new(OpenSession {
            model: Arc::new(model),
            storage,
            outgoing,
            incoming,
        }))),
        Ok(Err(error)) => lost_or_refused(&config.access, "work", error).map(Opened::NotYet),
        Err(_) => Ok(Opened::NotYet(no_answer("the coordinator", "work"))),
    }
}

/// The access as it stands now. The inner error is worth another try.
async fn read_access(source: &AccessSource) -> Result<Result<AccessFile, String>, WorkerError> {
    let source = source.clone();
    let reading = on_a_thread("access", move || source.read());
    match timeout(ANSWER_TIMEOUT, reading).await {
        Ok(Ok(Ok(file))) => Ok(Ok(file)),
        Ok(Ok(Err(error))) if error.is_missing() => {
            Ok(Err(format!("the coordinator is not up yet: {error}")))
        }
        Ok(Ok(Err(AccessError::File(error))))
            if error.source.kind() != io::ErrorKind::PermissionDenied =>
        {
            // A shared file system has its moments, and a file on it may just be replaced.
            Ok(Err(error.to_string()))
        }
        Ok(Ok(Err(error))) => Err(error.into()),
        Ok(Err(source)) => Err(WorkerError::Start {
            operation: "reading the access file",
            source,
        }),
        Err(_) => Ok(Err(no_answer("the file system", "reading the access file"))),
    }
}

/// Connects and registers. The inner error is worth another try.
async fn register(
    config: &WorkerConfig,
    file: &AccessFile,
) -> Result<Result<(Client, Session), String>, WorkerError> {
    let registration = Registration {
        kind: PeerKind::Worker,
        name: config.name.clone(),
        n_threads: u32::try_from(config.n_threads.max(1)).unwrap_or(u32::MAX),
        campaign: file.campaign.clone(),
        remaining_s: config
            .ends_at
            .map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64()),
    };
    let opening = async {
        let mut client = Client::connect(&file.access, config.identity.as_ref()).await?;
        let session = client.register(&registration).await?;
        Ok::<_, ClientError>((client, session))
    };
    match timeout(ANSWER_TIMEOUT, opening).await {
        Ok(Ok(opened)) => Ok(Ok(opened)),
        Ok(Err(error)) => lost_or_refused(&config.access, "register", error).map(Err),
        Err(_) => Ok(Err(no_answer("the coordinator", "register"))),
    }
}

/// Where the session's shards go. The inner error is worth another try.
async fn storage_for(
    config: &WorkerConfig,
    session: &Session,
    client: &Client,
) -> Result<Result<ShardStorage, String>, WorkerError> {
    let (choice, location) = (config.storage.clone(), session.directory.clone());
    let campaign = campaign_file::identity(&session.campaign);
    let resolving = on_a_thread("storage", move || choice.resolve(&location, &campaign));
    let directory = match timeout(ANSWER_TIMEOUT, resolving).await {
        Ok(Ok(Ok(directory))) => directory,
        Ok(Ok(Err(error))) if error.is_transient() => return Ok(Err(error.to_string())),
        Ok(Ok(Err(error))) => return Err(error.into()),
        Ok(Err(source)) => {
            return Err(WorkerError::Start {
                operation: "opening the campaign directory",
                source,
            });
        }
        Err(_) => match &config.storage {
            StorageChoice::Directory(directory) => {
                return Ok(Err(no_answer(
                    directory.location(),
                    "reading campaign.toml",
                )));
            }
            // As good as out of reach.
            StorageChoice::AsCoordinatorSays | StorageChoice::ThroughCoordinator => None,
        },
    };
    Ok(Ok(match directory {
        Some(directory) => ShardStorage::Directory(directory),
        None => ShardStorage::Upload(Box::new(Uploader {
            client: client.clone(),
            peer: session.peer,
            access: config.access.clone(),
        })),
    }))
}

fn place(storage: &ShardStorage) -> &str {
    match storage {
        ShardStorage::Directory(directory) => directory.location(),
        ShardStorage::Upload(_) => "through the coordinator",
    }
}

fn simulator_for(
    campaign: &Campaign,
    model: &ModelSource,
) -> Result<Arc<dyn Simulator>, BuildError> {
    let simulator = match model {
        ModelSource::Campaign => simulators::build(&campaign.simulator, &campaign.space)?,
        ModelSource::Own(simulator) => Arc::clone(simulator),
    };
    let (found, expected) = (simulator.n_data(), campaign.simulator.grid.len());
    if found != expected || found == 0 {
        return Err(BuildError::Length { found, expected });
    }
    Ok(simulator)
}

/// A reason to try again, or the error that trying again would only repeat.
pub(crate) fn lost_or_refused(
    access: &AccessSource,
    operation: &'static str,
    error: ClientError,
) -> Result<String, WorkerError> {
    let is_transient = error.is_transient(access);
    Err(match error {
        ClientError::Refused(status) if is_transient => return Ok(reason_of(&status)),
        error if is_transient => return Ok(with_causes(&error)),
        ClientError::Address { .. }
        | ClientError::Plaintext { .. }
        | ClientError::Token(_)
        | ClientError::Connect { .. } => WorkerError::Address(error.to_string()),
        ClientError::Wire(error) => WorkerError::Answer {
            operation,
            message: error.to_string(),
        },
        ClientError::Refused(status) => WorkerError::Refused {
            operation,
            message: reason_of(&status),
        },
    })
}

fn reason_of(status: &Status) -> String {
    if status.message().is_empty() {
        status.code().description().to_owned()
    } else {
        status.message().to_owned()
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

fn no_answer(whose: &str, operation: &str) -> String {
    format!(
        "no answer of {whose} to {operation} within {} s",
        ANSWER_TIMEOUT.as_secs()
    )
}
