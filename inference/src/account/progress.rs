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
    RoundOpened {
        round: RoundId,
        kind: RoundKind,
        n_rows: u64,
    },
    RowsCommitted {
        round: RoundId,
        n_committed: u64,
        n_rows: u64,
        n_failed: u64,
    },
    /// Boxed: far larger than the others.
    RoundWeighed {
        summary: Box<RoundSummary>,
        seconds: f64,
        /// None without an observation, and for all but the newest round where a watcher joins late.
        standing: Option<Box<Standing>>,
        /// Lost modes that the newest searches have found so far.
        n_found: u64,
    },
    Training(TrainingProgress),
    /// Scoring and drawing after the training.
    Drawing {
        round: RoundId,
        n_rows: u64,
    },
    Trained {
        summary: Box<TrainingSummary>,
        seconds: f64,
    },
    Stopped {
        reason: StopReason,
        best_flow: Option<FlowId>,
    },
    /// Nothing goes on: the storage is at fault.
    Paused {
        reason: String,
    },
    /// It goes on.
    Resumed,
    /// `posterior.parquet` and `summary.json` are written.
    Finished,
    /// The campaign cannot go on.
    Failed {
        message: String,
    },
}
