//! What the coordinator hands out and gets back: leases, tasks and reports. Paths are relative to
//! the campaign directory, with `/` between parts.

use super::directory::StoredFile;
use super::draws::Draws;
use crate::base::{AttemptId, FlowId, RoundId};
use crate::weights::{Objective, Proposal};
use serde::{Deserialize, Serialize};

/// A time-limited right to run the forward model on a contiguous range of a round's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchLease {
    /// This try.
    pub attempt: AttemptId,
    /// What is to be simulated.
    pub draws: Draws,
    /// Where the worker writes its shard: a name unique to the attempt.
    pub shard_path: String,
    /// Seconds after which the batch is offered again unless the worker is heard from.
    pub lease_s: f64,
}

/// A worker's word that a batch is done; the shard is not part of the round until recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchReport {
    /// That of the lease.
    pub attempt: AttemptId,
    /// What was written.
    pub shard: ShardFile,
    /// Seconds spent in the forward model.
    pub seconds: f64,
}

/// One shard: rows `first_row .. first_row + n_rows` of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFile {
    /// Of the campaign's.
    pub round: RoundId,
    /// Within the round.
    pub first_row: u64,
    /// Failed ones included.
    pub n_rows: u64,
    /// Rows that the forward model gave no answer for.
    pub n_failed: u64,
    /// Where it is, and what it holds.
    pub file: StoredFile,
}

/// Scores of all rows of one round under `flows`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoresFile {
    /// Whose rows they are of.
    pub round: RoundId,
    /// Each once, in the order of the file's columns.
    pub flows: Vec<FlowId>,
    /// Where they are, and what they hold.
    pub file: StoredFile,
}

/// A trained model: a directory with `weights.safetensors` and `model.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFiles {
    /// Its number.
    pub flow: FlowId,
    /// The directory.
    pub path: String,
    /// 64 lower-case hexadecimal digits.
    pub weights_sha256: String,
    /// As `weights_sha256`.
    pub model_json_sha256: String,
}

/// A round whose rows are all final, as the trainer sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinalRound {
    /// Its number.
    pub round: RoundId,
    /// Failed ones included.
    pub n_rows: u64,
    /// What it was drawn from.
    pub proposal: Proposal,
    /// In row order, without gaps.
    pub shards: Vec<ShardFile>,
    /// None where the coordinator drew them from the prior.
    pub draws: Option<StoredFile>,
    /// All scores so far; together they hold each flow once.
    pub scores: Vec<ScoresFile>,
}

/// One unit of the trainer's work, leased like a batch: train, then score, then draw.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerTask {
    /// This try.
    pub attempt: AttemptId,
    /// The flow to train on `rounds`; None where only draws are asked for.
    pub train: Option<FlowId>,
    /// The next round's draws; None where only a model is asked for (amortized).
    pub draw: Option<DrawTask>,
    /// All final rounds, in order.
    pub rounds: Vec<FinalRound>,
    /// All flows trained so far, in order.
    pub models: Vec<ModelFiles>,
    /// What reused rounds were drawn from, a file for each campaign that they are of.
    pub reused: Vec<StoredFile>,
    /// Directory that this attempt writes under; no other attempt does.
    pub output: String,
    /// Directories of earlier attempts at the same task, oldest first; checkpoints may be there.
    pub earlier_attempts: Vec<String>,
    /// Seconds after which the task is offered again unless the trainer is heard from.
    pub lease_s: f64,
}

/// Draws of a round from a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrawTask {
    /// Its number.
    pub round: RoundId,
    /// As many as are to be drawn.
    pub n_rows: u64,
    /// What they are drawn from.
    pub proposal: Proposal,
}

/// Model, draws and scores of one trainer task, committed together by one record.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerReport {
    /// That of the task.
    pub attempt: AttemptId,
    /// The trained flow; None where none was asked for.
    pub model: Option<ModelFiles>,
    /// How it went; there with `model`.
    pub training: Option<TrainingSummary>,
    /// The next round's; None where none were asked for.
    pub draws: Option<StoredFile>,
    /// Every earlier round under the new flow, and the drawn round under every flow.
    pub scores: Vec<ScoresFile>,
    /// Spent on all of it.
    pub seconds: f64,
}

/// How far a training has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// Its number.
    pub flow: FlowId,
    /// Epochs that are over.
    pub epoch: u32,
    /// `training.max_epochs`
    pub max_epochs: u32,
    /// Mean of the epoch.
    pub training_loss: f64,
    /// After the epoch.
    pub validation_loss: f64,
    /// Of all epochs so far.
    pub best_validation_loss: f64,
    /// Seconds of the last epoch.
    pub epoch_s: f64,
}

/// How one flow was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// Its number.
    pub flow: FlowId,
    /// What the flow was fitted to.
    pub objective: Objective,
    /// Rows that it was fitted to, those held out included.
    pub n_rows: u64,
    /// Epochs that it took.
    pub n_epochs: u32,
    /// Counted from 1; 0: none was better than the start.
    pub best_epoch: u32,
    /// After `best_epoch`.
    pub best_validation_loss: f64,
    /// Mean loss of each epoch.
    pub training_loss: Vec<f64>,
    /// After each epoch.
    pub validation_loss: Vec<f64>,
    /// Times the training went back to an earlier epoch because it diverged, or its loss was not finite.
    pub n_recoveries: u32,
    /// SHA-256 of the model's weights.
    pub weights_sha256: String,
}
