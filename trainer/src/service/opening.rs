//! The way to a session: access, connection, registration, campaign directory, stream of tasks.

use super::config::{TrainerConfig, TrainerError};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::records::Directory;
use sidereal_proto::client::Incoming;
use sidereal_proto::message::{FromTrainer, PeerKind, Registration, Session, ToTrainer};
use sidereal_proto::peer::{
    Unopened, answer_of_thread, answer_to, no_answer, read_access, register,
};
use sidereal_store::StorageChoice;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Messages that wait to be sent.
pub(super) const OUTBOX: usize = 64;

/// A session whose stream of tasks is open.
pub(super) struct OpenSession {
    pub campaign: Campaign,
    pub directory: Directory,
    pub to_coordinator: mpsc::Sender<FromTrainer>,
    pub tasks: Incoming<ToTrainer>,
}

/// From the access to the opened stream of tasks; None where the campaign has its results.
pub(super) async fn open(
    config: &TrainerConfig,
) -> Result<Option<OpenSession>, Unopened<TrainerError>> {
    let file = read_access(&config.access).await?;
    if file.finished {
        return Ok(None);
    }
    let registration = Registration {
        models: Vec::new(),
        kind: PeerKind::Trainer,
        name: config.name.clone(),
        n_threads: u32::try_from(config.n_threads.max(1)).unwrap_or(u32::MAX),
        campaign: file.campaign.clone(),
        remaining_s: None,
    };
    let identity = config.identity.as_ref();
    let (mut client, session) = register(&config.access, &file, identity, &registration).await?;
    let directory = directory_for(config, &session).await?;
    let (to_coordinator, messages) = mpsc::channel(OUTBOX);
    let call = client.train(session.peer, ReceiverStream::new(messages));
    let tasks = answer_to("train", &config.access, call).await?;
    Ok(Some(OpenSession {
        campaign: session.campaign,
        directory,
        to_coordinator,
        tasks,
    }))
}

/// The campaign directory.
async fn directory_for(
    config: &TrainerConfig,
    session: &Session,
) -> Result<Directory, Unopened<TrainerError>> {
    let (choice, location) = (config.storage.clone(), session.directory.clone());
    let campaign = campaign_file::identity(&session.campaign);
    let operation = "opening the campaign directory";
    let resolved = answer_of_thread(operation, move || choice.resolve(&location, &campaign)).await;
    match resolved.map_err(TrainerError::from)? {
        Some(Ok(Some(directory))) => Ok(directory),
        Some(Ok(None)) => Err(TrainerError::NoDirectory {
            location: session.directory.clone(),
        }
        .into()),
        Some(Err(error)) if error.is_transient() => Err(Unopened::NotYet(error.to_string())),
        Some(Err(error)) => Err(TrainerError::from(error).into()),
        None => Err(no_answer(
            match &config.storage {
                StorageChoice::Directory(directory) => directory.location(),
                StorageChoice::AsCoordinatorSays | StorageChoice::ThroughCoordinator => {
                    &session.directory
                }
            },
            operation,
        )),
    }
}
