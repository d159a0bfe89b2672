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
    /// Runs the forward model.
    Worker,
    /// Trains flows and draws from them.
    Trainer,
}

/// A peer that wants to open a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// What the peer does.
    pub kind: PeerKind,
    /// Host name and process id, for logs.
    pub name: String,
    /// Rows, or pieces of a minibatch, at a time.
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
    /// What the peer is called from now on.
    pub peer: PeerId,
    /// The coordinator's run.
    pub run: RunId,
    /// What is run.
    pub campaign: Campaign,
    /// The campaign directory as the coordinator names it.
    pub directory: String,
}

/// From a worker to the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// The worker can take this many more leases.
    Credits(u32),
    /// A batch is stored.
    Report(BatchReport),
    /// The batch could not be run for a reason that is not the parameters'.
    Failure {
        /// The lease.
        attempt: AttemptId,
        /// What went wrong.
        message: String,
        /// What was at fault.
        cause: FailureCause,
    },
    /// The worker lives.
    Heartbeat,
    /// The worker leaves: its leases are offered to others.
    Drain,
}

/// From the coordinator to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum ToWorker {
    /// Rows to run.
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
    /// As the user calls it.
    pub campaign_name: String,
    /// Of everything that must not change within it.
    pub campaign: CampaignHash,
    /// The coordinator's run.
    pub run: RunId,
}

/// A piece of a shard on its way to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPiece {
    /// Who sends it.
    pub peer: PeerId,
    /// The lease.
    pub attempt: AttemptId,
    /// Where the lease says that the shard goes; of the first piece only.
    pub path: String,
    /// What follows on the piece before.
    pub contents: Vec<u8>,
}

/// From a trainer to the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum FromTrainer {
    /// The trainer is free for a task.
    Ready,
    /// The task is done.
    Report(Box<TrainerReport>),
    /// The task could not be done.
    Failure {
        /// The lease.
        attempt: AttemptId,
        /// What went wrong.
        message: String,
        /// What was at fault.
        cause: FailureCause,
    },
    /// An epoch is over.
    Training(TrainingProgress),
    /// Scoring and drawing of a round's rows has begun.
    Drawing {
        /// The round that is drawn.
        round: RoundId,
        /// Its rows.
        n_rows: u64,
    },
    /// The work stands still: the storage is at fault.
    Paused {
        /// What the storage says.
        reason: String,
    },
    /// The work goes on.
    Resumed,
    /// The trainer lives.
    Heartbeat,
    /// The trainer leaves: its task is offered to others.
    Drain,
}

/// From the coordinator to a trainer.
#[derive(Debug, Clone, PartialEq)]
pub enum ToTrainer {
    /// What to train and draw.
    Task(Box<TrainerTask>),
    /// No more tasks will come.
    Done,
}
