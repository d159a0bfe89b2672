//! Sessions, the messages of their streams, and progress between wire and domain.

use super::wire_error::{JsonField, WireError, finite_and_not_negative, required};
use crate::message::{
    FailureCause, FromTrainer, FromWorker, Identification, PeerKind, Registration, Session,
    ToTrainer, ToWorker, UploadPiece,
};
use crate::{PROTOCOL_VERSION, v1};
use sidereal_inference::account::{CampaignStatus, Progress};
use sidereal_inference::base::{AttemptId, CampaignHash, PeerId, RoundId, RunId};
use sidereal_inference::campaign::model::{ModelId, Origin};

impl From<&Registration> for v1::RegisterRequest {
    fn from(registration: &Registration) -> Self {
        let kind = match registration.kind {
            PeerKind::Worker => v1::PeerKind::Worker,
            PeerKind::Trainer => v1::PeerKind::Trainer,
        };
        Self {
            protocol_version: PROTOCOL_VERSION,
            kind: kind.into(),
            name: registration.name.clone(),
            n_threads: registration.n_threads,
            campaign: registration.campaign.as_ref().map(|hash| hash.0.clone()),
            remaining_s: registration.remaining_s,
            models: registration.models.iter().map(model_to_wire).collect(),
        }
    }
}

/// Longest name of a peer.
const MAX_NAME_BYTES: usize = 256;
/// Most models of a worker.
const MAX_MODELS: usize = 1000;
/// Length of a hash.
const MAX_HASH_BYTES: usize = 64;
/// Longest message of a failure that is kept: it goes into the journal and into shards.
const MAX_FAILURE_CHARS: usize = 2000;

const CAMPAIGN: JsonField = JsonField {
    message: "session",
    field: "campaign_json",
    expected: "a campaign",
};
const STATUS: JsonField = JsonField {
    message: "status",
    field: "status_json",
    expected: "the status of a campaign",
};
const PROGRESS: JsonField = JsonField {
    message: "progress",
    field: "progress_json",
    expected: "a step of a campaign",
};

/// For messages.
const EXPECTED_VERSION: &str = "3";
const _: () = assert!(
    PROTOCOL_VERSION == 3,
    "EXPECTED_VERSION says something else"
);

/// A peer that speaks another version of the protocol is refused here.
pub fn registration_from_wire(wire: v1::RegisterRequest) -> Result<Registration, WireError> {
    const MESSAGE: &str = "registration";
    if wire.protocol_version != PROTOCOL_VERSION {
        return Err(WireError::Value {
            message: MESSAGE,
            field: "protocol_version",
            found: wire.protocol_version.to_string(),
            expected: EXPECTED_VERSION,
        });
    }
    let kind = match v1::PeerKind::try_from(wire.kind) {
        Ok(v1::PeerKind::Worker) => PeerKind::Worker,
        Ok(v1::PeerKind::Trainer) => PeerKind::Trainer,
        Ok(v1::PeerKind::Unspecified) | Err(_) => {
            return Err(WireError::Value {
                message: MESSAGE,
                field: "kind",
                found: wire.kind.to_string(),
                expected: "1 (worker) or 2 (trainer)",
            });
        }
    };
    let hash = wire.campaign.as_deref().unwrap_or_default();
    for (field, text, most, expected) in [
        (
            "name",
            wire.name.as_str(),
            MAX_NAME_BYTES,
            "at most 256 bytes",
        ),
        ("campaign", hash, MAX_HASH_BYTES, "at most 64 bytes"),
    ] {
        if text.len() > most {
            return Err(WireError::Value {
                message: MESSAGE,
                field,
                found: format!("of {} bytes", text.len()),
                expected,
            });
        }
    }
    Ok(Registration {
        kind,
        name: wire.name,
        n_threads: wire.n_threads,
        campaign: wire.campaign.map(CampaignHash),
        remaining_s: wire
            .remaining_s
            .map(|seconds| finite_and_not_negative(seconds, MESSAGE, "remaining_s"))
            .transpose()?,
        models: models_from_wire(wire.models)?,
    })
}

fn model_to_wire(model: &ModelId) -> v1::ForwardModel {
    let origin = match model.origin {
        Origin::Builtin => v1::ModelOrigin::Builtin,
        Origin::Guest => v1::ModelOrigin::Guest,
        Origin::Python => v1::ModelOrigin::Python,
        Origin::Command => v1::ModelOrigin::Command,
    };
    v1::ForwardModel {
        origin: origin.into(),
        name: model.name.clone(),
        version: model.version,
    }
}

fn models_from_wire(models: Vec<v1::ForwardModel>) -> Result<Vec<ModelId>, WireError> {
    let wrong = |found: String, expected| WireError::Value {
        message: "registration",
        field: "models",
        found,
        expected,
    };
    if models.len() > MAX_MODELS {
        return Err(wrong(models.len().to_string(), "at most 1000"));
    }
    let model = |model: v1::ForwardModel| {
        let origin = match v1::ModelOrigin::try_from(model.origin) {
            Ok(v1::ModelOrigin::Builtin) => Origin::Builtin,
            Ok(v1::ModelOrigin::Guest) => Origin::Guest,
            Ok(v1::ModelOrigin::Python) => Origin::Python,
            Ok(v1::ModelOrigin::Command) => Origin::Command,
            Ok(v1::ModelOrigin::Unspecified) | Err(_) => {
                let found = format!("origin {}", model.origin);
                return Err(wrong(
                    found,
                    "1 (built in), 2 (a guest), 3 (in Python) or 4 (a program)",
                ));
            }
        };
        if model.name.len() > MAX_NAME_BYTES {
            let found = format!("a name of {} bytes", model.name.len());
            return Err(wrong(found, "at most 256 bytes"));
        }
        Ok(ModelId {
            origin,
            name: model.name,
            version: model.version,
        })
    };
    models.into_iter().map(model).collect()
}

impl TryFrom<&Session> for v1::RegisterReply {
    type Error = WireError;

    fn try_from(session: &Session) -> Result<Self, WireError> {
        Ok(Self {
            peer_id: session.peer.0,
            run_id: session.run.0.clone(),
            campaign_json: CAMPAIGN.write(&session.campaign)?.into_bytes(),
            directory: session.directory.clone(),
        })
    }
}

impl TryFrom<v1::RegisterReply> for Session {
    type Error = WireError;

    fn try_from(wire: v1::RegisterReply) -> Result<Self, WireError> {
        Ok(Self {
            peer: PeerId(wire.peer_id),
            run: RunId(wire.run_id),
            campaign: CAMPAIGN.read(&wire.campaign_json)?,
            directory: wire.directory,
        })
    }
}

/// What a worker says, with who says it.
pub fn worker_message(peer: PeerId, message: FromWorker) -> v1::WorkerMessage {
    use v1::worker_message::Message;
    let message = match message {
        FromWorker::Credits(credits) => Message::Credits(credits),
        FromWorker::Report(report) => Message::Report((&report).into()),
        FromWorker::Failure {
            attempt,
            message,
            cause,
        } => Message::Failure(v1::BatchFailure {
            attempt: attempt.0,
            message,
            cause: cause_to_wire(cause),
        }),
        FromWorker::Heartbeat => Message::Heartbeat(v1::Heartbeat { paused: None }),
        FromWorker::Drain => Message::Drain(v1::Drain {}),
    };
    v1::WorkerMessage {
        peer_id: peer.0,
        message: Some(message),
    }
}

/// Who speaks, and what; refuses a message that lacks a part.
pub fn worker_message_from_wire(
    wire: v1::WorkerMessage,
) -> Result<(PeerId, FromWorker), WireError> {
    use v1::worker_message::Message;
    let message = match required(wire.message, "worker message", "message")? {
        Message::Credits(credits) => FromWorker::Credits(credits),
        Message::Report(report) => FromWorker::Report(report.try_into()?),
        Message::Failure(failure) => FromWorker::Failure {
            attempt: AttemptId(failure.attempt),
            cause: cause_from_wire(failure.cause)?,
            message: failure_message(failure.message),
        },
        Message::Heartbeat(v1::Heartbeat { paused: _ }) => FromWorker::Heartbeat,
        Message::Drain(v1::Drain {}) => FromWorker::Drain,
    };
    Ok((PeerId(wire.peer_id), message))
}

fn failure_message(message: String) -> String {
    if message.len() <= MAX_FAILURE_CHARS {
        return message;
    }
    message.chars().take(MAX_FAILURE_CHARS).collect()
}

fn cause_to_wire(cause: FailureCause) -> i32 {
    match cause {
        FailureCause::Rows => v1::FailureCause::Rows,
        FailureCause::Storage => v1::FailureCause::Storage,
    }
    .into()
}

fn cause_from_wire(cause: i32) -> Result<FailureCause, WireError> {
    match v1::FailureCause::try_from(cause) {
        Ok(v1::FailureCause::Rows) => Ok(FailureCause::Rows),
        Ok(v1::FailureCause::Storage) => Ok(FailureCause::Storage),
        Ok(v1::FailureCause::Unspecified) | Err(_) => Err(WireError::Value {
            message: "failure",
            field: "cause",
            found: cause.to_string(),
            expected: "1 (rows) or 2 (storage)",
        }),
    }
}

impl From<ToWorker> for v1::LeaseMessage {
    fn from(message: ToWorker) -> Self {
        use v1::lease_message::Message;
        let message = match message {
            ToWorker::Lease(lease) => Message::Lease((&lease).into()),
            ToWorker::Done => Message::Done(v1::Done {}),
            ToWorker::Cancel(attempt) => Message::Cancel(v1::Cancel { attempt: attempt.0 }),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<v1::LeaseMessage> for ToWorker {
    type Error = WireError;

    fn try_from(wire: v1::LeaseMessage) -> Result<Self, WireError> {
        use v1::lease_message::Message;
        match required(wire.message, "lease message", "message")? {
            Message::Lease(lease) => Ok(Self::Lease(lease.try_into()?)),
            Message::Cancel(cancel) => Ok(Self::Cancel(AttemptId(cancel.attempt))),
            Message::Done(v1::Done {}) => Ok(Self::Done),
        }
    }
}

/// What a trainer says, with who says it.
pub fn trainer_message(peer: PeerId, message: FromTrainer) -> v1::TrainerMessage {
    use v1::trainer_message::Message;
    let message = match message {
        FromTrainer::Ready => Message::Ready(v1::Ready {}),
        FromTrainer::Report(report) => Message::Report((&*report).into()),
        FromTrainer::Failure {
            attempt,
            message,
            cause,
        } => Message::Failure(v1::TaskFailure {
            attempt: attempt.0,
            message,
            cause: cause_to_wire(cause),
        }),
        FromTrainer::Training(progress) => Message::Progress((&progress).into()),
        FromTrainer::Drawing { round, n_rows } => Message::Drawing(v1::DrawingProgress {
            round: round.0,
            n_rows,
        }),
        FromTrainer::Paused { reason } => Message::Heartbeat(v1::Heartbeat {
            paused: Some(reason),
        }),
        FromTrainer::Resumed => Message::Heartbeat(v1::Heartbeat {
            paused: Some(String::new()),
        }),
        FromTrainer::Heartbeat => Message::Heartbeat(v1::Heartbeat { paused: None }),
        FromTrainer::Drain => Message::Drain(v1::Drain {}),
    };
    v1::TrainerMessage {
        peer_id: peer.0,
        message: Some(message),
    }
}

/// Who speaks, and what; refuses a message that lacks a part.
pub fn trainer_message_from_wire(
    wire: v1::TrainerMessage,
) -> Result<(PeerId, FromTrainer), WireError> {
    use v1::trainer_message::Message;
    let message = match required(wire.message, "trainer message", "message")? {
        Message::Ready(v1::Ready {}) => FromTrainer::Ready,
        Message::Report(report) => FromTrainer::Report(Box::new(report.try_into()?)),
        Message::Failure(failure) => FromTrainer::Failure {
            attempt: AttemptId(failure.attempt),
            cause: cause_from_wire(failure.cause)?,
            message: failure_message(failure.message),
        },
        Message::Progress(progress) => FromTrainer::Training(progress.into()),
        Message::Drawing(drawing) => FromTrainer::Drawing {
            round: RoundId(drawing.round),
            n_rows: drawing.n_rows,
        },
        Message::Heartbeat(v1::Heartbeat { paused }) => match paused {
            None => FromTrainer::Heartbeat,
            Some(reason) if reason.is_empty() => FromTrainer::Resumed,
            Some(reason) => FromTrainer::Paused {
                reason: failure_message(reason),
            },
        },
        Message::Drain(v1::Drain {}) => FromTrainer::Drain,
    };
    Ok((PeerId(wire.peer_id), message))
}

impl From<ToTrainer> for v1::TaskMessage {
    fn from(message: ToTrainer) -> Self {
        use v1::task_message::Message;
        let message = match message {
            ToTrainer::Task(task) => Message::Task((&*task).into()),
            ToTrainer::Done => Message::Done(v1::Done {}),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<v1::TaskMessage> for ToTrainer {
    type Error = WireError;

    fn try_from(wire: v1::TaskMessage) -> Result<Self, WireError> {
        use v1::task_message::Message;
        match required(wire.message, "task message", "message")? {
            Message::Task(task) => Ok(Self::Task(Box::new(task.try_into()?))),
            Message::Done(v1::Done {}) => Ok(Self::Done),
        }
    }
}

impl From<&Identification> for v1::IdentifyReply {
    fn from(identification: &Identification) -> Self {
        Self {
            protocol_version: PROTOCOL_VERSION,
            campaign_name: identification.campaign_name.clone(),
            campaign: identification.campaign.0.clone(),
            run_id: identification.run.0.clone(),
        }
    }
}

impl From<v1::IdentifyReply> for Identification {
    fn from(wire: v1::IdentifyReply) -> Self {
        Self {
            campaign_name: wire.campaign_name,
            campaign: CampaignHash(wire.campaign),
            run: RunId(wire.run_id),
        }
    }
}

impl From<UploadPiece> for v1::UploadPiece {
    fn from(piece: UploadPiece) -> Self {
        Self {
            peer_id: piece.peer.0,
            attempt: piece.attempt.0,
            path: piece.path,
            contents: piece.contents,
        }
    }
}

impl From<v1::UploadPiece> for UploadPiece {
    fn from(wire: v1::UploadPiece) -> Self {
        Self {
            peer: PeerId(wire.peer_id),
            attempt: AttemptId(wire.attempt),
            path: wire.path,
            contents: wire.contents,
        }
    }
}

/// Where a campaign stands, for a reply.
pub fn status_to_wire(status: &CampaignStatus) -> Result<v1::StatusReply, WireError> {
    let status_json = STATUS.write(status)?;
    Ok(v1::StatusReply { status_json })
}

/// Where a campaign stands; refuses what is no status.
pub fn status_from_wire(wire: v1::StatusReply) -> Result<CampaignStatus, WireError> {
    STATUS.read(wire.status_json.as_bytes())
}

/// A step of a campaign, for those who watch.
pub fn progress_to_wire(progress: &Progress) -> Result<v1::ProgressMessage, WireError> {
    let progress_json = PROGRESS.write(progress)?;
    Ok(v1::ProgressMessage { progress_json })
}

/// A step of a campaign; refuses what is none.
pub fn progress_from_wire(wire: v1::ProgressMessage) -> Result<Progress, WireError> {
    PROGRESS.read(wire.progress_json.as_bytes())
}
