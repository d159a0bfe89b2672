//! Where a campaign stands and who works on it, for people and programs that look at it from outside.

use crate::base::{RoundId, RunId};
use crate::method::{Standing, StopReason};
use crate::records::TrainingProgress;
use crate::weights::{RoundKind, WeightDiagnostics};
use serde::{Deserialize, Serialize};

/// A campaign at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignStatus {
    /// Its name.
    pub campaign: String,
    /// The newest coordinator.
    pub run: Option<RunId>,
    /// What it is busy with.
    pub stage: Stage,
    /// Rounds that are weighed, in order.
    pub rounds: Vec<RoundStatus>,
    /// The round whose rows are simulated or weighed.
    pub open_round: Option<OpenRoundStatus>,
    /// All rounds together.
    pub combined: Option<WeightDiagnostics>,
    /// After the newest weighed round; None without one or without an observation.
    pub standing: Option<Standing>,
    /// Rows of all rounds, failed ones and searches included.
    pub n_simulations: u64,
    /// Flows trained so far.
    pub n_flows: usize,
    /// Seconds spent on the campaign, all runs together.
    pub elapsed_s: f64,
    /// Why it stopped; None while it goes on.
    pub stopped: Option<StopReason>,
    /// What only the coordinator knows; None where the journal alone was read.
    pub live: Option<LiveStatus>,
}

/// What a campaign is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing was simulated yet.
    New,
    /// Rows of the open round are missing.
    Simulating,
    /// The rows of the open round are all there, its weights are not.
    Weighing,
    /// A flow is being fitted.
    Training,
    /// A trained flow scores the rounds so far and draws the next one.
    Drawing,
    /// It has stopped, and its results are being written.
    Finishing,
    /// The results are written.
    Finished,
}

/// A weighed round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundStatus {
    /// Its number.
    pub round: RoundId,
    /// What it was for.
    pub kind: RoundKind,
    /// Rows in all.
    pub n_rows: u64,
    /// Rows that the forward model gave no answer for.
    pub n_failed: u64,
    /// Of its own weights.
    pub n_eff: f64,
    /// n_eff / n_rows.
    pub efficiency: f64,
    /// Of its own weights; None where too few are positive.
    pub pareto_k: Option<f64>,
    /// Whether its flow is not fitted to the posterior itself yet.
    pub is_on_the_way: bool,
    /// From its opening to its last row.
    pub simulating_s: f64,
    /// Of the tasks after it; 0 where there was none.
    pub training_s: f64,
}

/// A round some of whose rows may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRoundStatus {
    /// Its number.
    pub round: RoundId,
    /// Rows in all.
    pub n_rows: u64,
    /// Rows that are committed.
    pub n_committed: u64,
    /// Of those committed the ones that the forward model gave no answer for.
    pub n_failed: u64,
}

/// What is kept in the coordinator's memory alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveStatus {
    /// Workers and trainers.
    pub peers: Vec<PeerStatus>,
    /// Workers with repeated losses, connected or not, which are given nothing for now while there are others.
    pub held_back: Vec<HeldBack>,
    /// Of the flow that is trained.
    pub training: Option<TrainingProgress>,
    /// Why nothing goes on at the moment: a store that refuses, a full disk.
    pub paused: Option<String>,
    /// Calls refused since the coordinator started.
    pub n_refused: u64,
}

/// A connected worker or trainer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// As it calls itself.
    pub name: String,
    /// Else it is a worker.
    pub is_trainer: bool,
    /// Leases that it holds now.
    pub n_leases: usize,
    /// Rows of its leases.
    pub n_rows: u64,
    /// Rows that it has simulated for this coordinator.
    pub n_done: u64,
    /// None until it was measured.
    pub rows_per_s: Option<f64>,
    /// Seconds since it was heard from.
    pub silent_s: f64,
}

/// A worker that is held back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Of its newest registration.
    pub name: String,
    /// Times that it lost or failed what it held, each batch since then taken off.
    pub n_losses: u32,
    /// Seconds until it is given something again.
    pub for_s: f64,
}
