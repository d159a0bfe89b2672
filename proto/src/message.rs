//! What coordinator, workers and trainers say to each other, in domain types.

use sidereal_inference::base::{AttemptId, CampaignHash, PeerId, RoundId, RunId};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign::model::ModelId;
use sidereal_inference::records::{
    BatchLease, BatchReport, TrainerReport, TrainerTask, TrainingProgress,
};

/// What a peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerKind {
    Worker,
    Trainer,
}

/// A peer that wants to open a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    pub kind: PeerKind,
    /// Host name and process id, for logs.
    pub name: String,
    pub n_threads: u32,
    /// The campaign that the peer was started for; None: any.
    pub campaign: Option<CampaignHash>,
    /// Seconds that the peer will live; None: without a limit that it knows.
    pub remaining_s: Option<f64>,
    /// That a worker can run.
    pub models: Vec<ModelId>,
}

/// The coordinator's answer to a [`Registration`].
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub peer: PeerId,
    pub run: RunId,
    pub campaign: Campaign,
    /// The campaign directory as the coordinator names it.
    pub directory: String,
}

/// From a worker to the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// The worker can take this many more leases.
    Credits(u32),
    Report(BatchReport),
    /// The batch could not be run for a reason that is not the parameters'.
    Failure {
        attempt: AttemptId,
        message: String,
        cause: FailureCause,
    },
    Heartbeat,
    /// The worker leaves: its leases are offered to others.
    Drain,
}

/// From the coordinator to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum ToWorker {
    Lease(BatchLease),
    /// No more work will come.
    Done,
    /// The rows of this lease are final already.
    Cancel(AttemptId),
}

/// What was at fault where a batch or task was not run or not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// Running these rows, or the task, failed.
    Rows,
    /// Files could not be read or written; the rows are not to blame.
    Storage,
}

/// Which campaign a coordinator serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identification {
    pub campaign_name: String,
    pub campaign: CampaignHash,
    pub run: RunId,
}

/// A piece of a shard on its way to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPiece {
    pub peer: PeerId,
    pub attempt: AttemptId,
    pub path: String,
    pub contents: Vec<u8>,
}

/// From a trainer to the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum FromTrainer {
    /// The trainer is free for a task.
    Ready,
    Report(Box<TrainerReport>),
    Failure {
        attempt: AttemptId,
        message: String,
        cause: FailureCause,
    },
    Training(TrainingProgress),
    /// Scoring and drawing of a round's rows has begun.
    Drawing {
        round: RoundId,
        n_rows: u64,
    },
    /// The work stands still: the storage is at fault.
    Paused {
        reason: String,
    },
    /// The work goes on.
    Resumed,
    Heartbeat,
    Drain,
}

/// From the coordinator to a trainer.
#[derive(Debug, Clone, PartialEq)]
pub enum ToTrainer {
    Task(Box<TrainerTask>),
    /// No more tasks will come.
    Done,
}
