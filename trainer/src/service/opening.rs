//! The way to a session: access, connection, registration, campaign directory, stream of tasks.

use super::{OUTBOX, TrainerConfig, TrainerError};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::directory::Directory;
use sidereal_proto::access::{AccessError, AccessFile, AccessSource};
use sidereal_proto::client::{Client, ClientError, Incoming};
use sidereal_proto::message::{FromTrainer, PeerKind, Registration, Session, ToTrainer};
use sidereal_store::StorageChoice;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

/// Longest wait for the answer to a call, or of a storage.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What came of the way to a session.
pub(super) enum Opened {
    Session(Box<OpenSession>),
    /// The campaign has its results.
    Finished,
    /// Worth another try.
    NotYet(String),
}

/// A session whose stream of tasks is open.
pub(super) struct OpenSession {
    pub campaign: Campaign,
    pub directory: Directory,
    pub to_coordinator: mpsc::Sender<FromTrainer>,
    pub tasks: Incoming<ToTrainer>,
}

pub(super) async fn open(config: &TrainerConfig) -> Result<Opened, TrainerError> {
    let file = match read_access(&config.access).await? {
        Ok(file) if file.finished => return Ok(Opened::Finished),
        Ok(file) => file,
        Err(reason) => return Ok(Opened::NotYet(reason)),
    };
    let (mut client, session) = match register(config, &file).await? {
        Ok(registered) => registered,
        Err(reason) => return Ok(Opened::NotYet(reason)),
    };
    let directory = match directory_for(config, &session).await? {
        Ok(directory) => directory,
        Err(reason) => return Ok(Opened::NotYet(reason)),
    };
    let (to_coordinator, messages) = mpsc::channel(OUTBOX);
    let call = client.train(session.peer, ReceiverStream::new(messages));
    match timeout(ANSWER_TIMEOUT, call).await {
        Ok(Ok(tasks)) => Ok(Opened::Session(Box::new(OpenSession {
            campaign: session.campaign,
            directory,
            to_coordinator,
            tasks,
        }))),
        Ok(Err(error)) => lost_or_refused(config, error).map(Opened::NotYet),
        Err(_) => Ok(Opened::NotYet(no_answer("the coordinator"))),
    }
}

/// The access as it stands now. The inner error is worth another try.
async fn read_access(source: &AccessSource) -> Result<Result<AccessFile, String>, TrainerError> {
    let source = source.clone();
    match timeout(ANSWER_TIMEOUT, on_a_thread("access", move || source.read())).await {
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
        Ok(Err(source)) => Err(TrainerError::Start {
            operation: "reading the access file",
            source,
        }),
        Err(_) => Ok(Err(no_answer("the access file"))),
    }
}

/// Connects and registers. The inner error is worth another try.
async fn register(
    config: &TrainerConfig,
    file: &AccessFile,
) -> Result<Result<(Client, Session), String>, TrainerError> {
    let registration = Registration {
        kind: PeerKind::Trainer,
        name: config.name.clone(),
        n_threads: u32::try_from(config.n_threads.max(1)).unwrap_or(u32::MAX),
        campaign: file.campaign.clone(),
        remaining_s: None,
    };
    let opening = async {
        let mut client = Client::connect(&file.access, config.identity.as_ref()).await?;
        let session = client.register(&registration).await?;
        Ok::<_, ClientError>((client, session))
    };
    match timeout(ANSWER_TIMEOUT, opening).await {
        Ok(Ok(opened)) => Ok(Ok(opened)),
        Ok(Err(error)) => lost_or_refused(config, error).map(Err),
        Err(_) => Ok(Err(no_answer("the coordinator"))),
    }
}

/// The campaign directory. The inner error is worth another try.
async fn directory_for(
    config: &TrainerConfig,
    session: &Session,
) -> Result<Result<Directory, String>, TrainerError> {
    let (choice, location) = (config.storage.clone(), session.directory.clone());
    let campaign = campaign_file::identity(&session.campaign);
    let resolving = on_a_thread("storage", move || choice.resolve(&location, &campaign));
    match timeout(ANSWER_TIMEOUT, resolving).await {
        Ok(Ok(Ok(Some(directory)))) => Ok(Ok(directory)),
        Ok(Ok(Ok(None))) => Err(TrainerError::NoDirectory {
            location: session.directory.clone(),
        }),
        Ok(Ok(Err(error))) if error.is_transient() => Ok(Err(error.to_string())),
        Ok(Ok(Err(error))) => Err(error.into()),
        Ok(Err(source)) => Err(TrainerError::Start {
            operation: "opening the campaign directory",
            source,
        }),
        Err(_) => Ok(Err(no_answer(match &config.storage {
            StorageChoice::Directory(directory) => directory.location(),
            StorageChoice::AsCoordinatorSays | StorageChoice::ThroughCoordinator => {
                &session.directory
            }
        }))),
    }
}

/// A reason to try again, or the error that trying again would only repeat.
fn lost_or_refused(config: &TrainerConfig, error: ClientError) -> Result<String, TrainerError> {
    if error.is_transient(&config.access) {
        Ok(reason_of(&error))
    } else {
        Err(error.into())
    }
}

/// What went wrong with a call, for logs.
pub(super) fn reason_of(error: &ClientError) -> String {
    let mut message = error.to_string();
    let mut cause = match error {
        // It says all there is.
        ClientError::Refused(status) if status.message().is_empty() => {
            return status.code().description().to_owned();
        }
        ClientError::Refused(_) => None,
        ClientError::Address { .. }
        | ClientError::Plaintext { .. }
        | ClientError::Token(_)
        | ClientError::Connect { .. }
        | ClientError::Wire(_) => std::error::Error::source(error),
    };
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

fn no_answer(whose: &str) -> String {
    format!("no answer of {whose} within {} s", ANSWER_TIMEOUT.as_secs())
}

/// Runs what may block for long on a thread of its own. Dropped, it leaves the thread behind: a storage
/// that hangs keeps neither the loop nor the end of the runtime waiting.
async fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // The receiver is gone where nobody waits any more.
            let _ = sender.send(work());
        })?;
    receiver
        .await
        .map_err(|_| io::Error::other(format!("thread {name:?} panicked")))
}
