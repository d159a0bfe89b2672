//! What a watcher of a campaign is told, in the order in which it happens.

use crate::base::{FlowId, RoundId};
use crate::method::{Standing, StopReason};
use crate::records::{TrainingProgress, TrainingSummary};
use crate::weights::{RoundKind, RoundSummary};
use serde::{Deserialize, Serialize};

/// One step of a campaign. A watcher that joins late first gets every `RoundWeighed` and
/// `Trained` so far, then the current state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Progress {
    /// A round's rows are to be simulated.
    RoundOpened {
        /// Its number.
        round: RoundId,
        /// What it is for.
        kind: RoundKind,
        /// Rows in all.
        n_rows: u64,
    },
    /// A shard became part of its round.
    RowsCommitted {
        /// Its number.
        round: RoundId,
        /// Rows that are committed by now.
        n_committed: u64,
        /// Rows in all.
        n_rows: u64,
        /// Of those committed the ones that the forward model gave no answer for.
        n_failed: u64,
    },
    /// Boxed: far larger than the others.
    RoundWeighed {
        /// The round in numbers.
        summary: Box<RoundSummary>,
        /// From its opening to its last row.
        seconds: f64,
        /// None without an observation, and for all but the newest round where a watcher joins late.
        standing: Option<Box<Standing>>,
        /// Lost modes that the newest searches have found so far.
        n_found: u64,
    },
    /// An epoch of a flow's training is over.
    Training(TrainingProgress),
    /// Scoring and drawing after the training.
    Drawing {
        /// The round whose draws they are.
        round: RoundId,
        /// So many draws.
        n_rows: u64,
    },
    /// A flow was trained.
    Trained {
        /// How it went.
        summary: Box<TrainingSummary>,
        /// Of the whole task, scoring and drawing included.
        seconds: f64,
    },
    /// No round follows, but for a top-up.
    Stopped {
        /// Why.
        reason: StopReason,
        /// What the final proposal is made of; None where that is the prior.
        best_flow: Option<FlowId>,
    },
    /// Nothing goes on: the storage is at fault.
    Paused {
        /// What the storage said.
        reason: String,
    },
    /// It goes on.
    Resumed,
    /// `posterior.parquet` and `summary.json` are written.
    Finished,
    /// The campaign cannot go on.
    Failed {
        /// Why it cannot.
        message: String,
    },
}
