//! What has happened in a campaign, as recorded in the journal: facts only, never leases.

use serde::{Deserialize, Serialize};
use sidereal_inference::base::{CampaignHash, FlowId, RoundId, RunId};
use sidereal_inference::campaign::{DeviceChoice, Refinement, Rounds, Workers};
use sidereal_inference::method::{Probing, StopReason};
use sidereal_inference::records::{
    DrawTask, FinalRound, ModelFiles, ReusedSource, ScoresFile, ShardFile, StoredFile,
    TrainingSummary,
};
use sidereal_inference::weights::{Proposal, RoundKind, RoundSummary, WeightDiagnostics};

/// A fact and when it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds that coordinators have run on this campaign before the event, all runs together.
    pub elapsed_s: f64,
    /// What has happened.
    pub fact: Fact,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A coordinator has taken the campaign; every other one stops at its next write.
    Opened(Box<Opened>),
    /// The newest coordinator has ended; nobody needs to ask whether it lives.
    Closed,
    /// Simulations of earlier campaigns are this one's first rounds.
    Reused(Box<Reused>),
    /// The rows of a round are to be simulated.
    RoundOpened(RoundPlan),
    /// These rows are final.
    ShardCommitted(ShardFile),
    /// A row that no worker survived or could run is final as a failed one; its shard is committed by the
    /// same record.
    RowGivenUp(GivenUp),
    /// Every row of the round is final and weighed.
    RoundWeighed {
        /// The round by itself.
        summary: Box<RoundSummary>,
        /// All rounds together; None without an observation.
        combined: Option<WeightDiagnostics>,
        /// Searches for lost modes that begin or go on after this round.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probing: Option<Probing>,
    },
    /// A trainer is to do this.
    TaskOpened(Task),
    /// Model, draws and scores of the open task, together.
    TaskCommitted(Box<TaskResult>),
    /// No further round is trained; a top-up round may follow.
    Stopped(Stopped),
    /// The stop is taken back because a target was raised.
    Reopened,
    /// The results are written.
    Finished(Results),
}

/// What a coordinator starts with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The coordinator's own name.
    pub run: RunId,
    /// Of everything that must not change within a campaign.
    pub campaign: CampaignHash,
    /// What it decides from.
    pub settings: Settings,
    /// Where the coordinator can be asked whether it still lives; None where nobody can.
    pub address: Option<String>,
    /// What to know it by, PEM; None for plain text.
    pub certificate: Option<String>,
    /// The name in the certificate.
    pub server_name: Option<String>,
    /// The machine that it runs on.
    pub host: Option<String>,
}

/// What decisions are made from; `rounds.max`, `rounds.stop`, workers and device may change
/// between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Without one a model for any observation is trained.
    pub has_observation: bool,
    /// Length of a row's parameters.
    pub n_parameters: usize,
    /// What flows are fitted to.
    pub refinement: Refinement,
    /// `[rounds]` of the campaign file.
    pub rounds: Rounds,
    /// `[workers]` of the campaign file.
    pub workers: Workers,
    /// Where flows are trained.
    pub device: DeviceChoice,
}

/// Simulations of earlier campaigns, copied and weighed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reused {
    /// Where they are from.
    pub sources: Vec<ReusedSource>,
    /// What they were drawn from, a file for each source.
    pub proposals: Vec<StoredFile>,
    /// In the order of the sources.
    pub rounds: Vec<ReusedRound>,
    /// All of them together.
    pub combined: Option<WeightDiagnostics>,
}

impl Reused {
    /// Rows of all rounds.
    pub fn n_rows(&self) -> u64 {
        self.sources.iter().map(|source| source.n_rows).sum()
    }
}

/// One of its rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReusedRound {
    /// As copied.
    pub files: FinalRound,
    /// By itself, weighed as here.
    pub summary: RoundSummary,
}

/// What a round is made of before any row is simulated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundPlan {
    /// Its number, without gaps from 0 on.
    pub round: RoundId,
    /// What it is for.
    pub kind: RoundKind,
    /// Rows to simulate, at least 1.
    pub n_rows: u64,
    /// What the rows are drawn from.
    pub proposal: Proposal,
    /// None: drawn from the prior on the fly.
    pub draws: Option<StoredFile>,
    /// Of the drawn rows under every flow.
    pub scores: Vec<ScoresFile>,
}

/// A row that is final without an answer of the forward model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The row's round.
    pub round: RoundId,
    /// Its number in the round.
    pub row: u64,
    /// What its last worker said.
    pub message: String,
}

/// What a trainer is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The flow to train on all training rounds; None where only draws are asked for.
    pub train: Option<FlowId>,
    /// None where only a model is asked for.
    pub draw: Option<DrawTask>,
}

/// What a trainer made, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// The trained flow's files.
    pub model: Option<ModelFiles>,
    /// How it was trained; there where the model is.
    pub training: Option<TrainingSummary>,
    /// The next round's rows.
    pub draws: Option<StoredFile>,
    /// Of the draws under every flow, and of earlier rounds under the new one.
    pub scores: Vec<ScoresFile>,
}

/// Why no further round is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// The rule that applied.
    pub reason: StopReason,
    /// The round whose proposal was the most efficient.
    pub best_round: RoundId,
}

/// The result files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// `summary.json`.
    pub summary: StoredFile,
    /// `posterior.parquet`; None without an observation.
    pub posterior: Option<StoredFile>,
}

impl Task {
    /// Whether the result holds what is asked for.
    pub(crate) fn is_done_by(&self, result: &TaskResult) -> bool {
        let flow = result.model.as_ref().map(|model| model.flow);
        flow == self.train && result.draws.is_some() == self.draw.is_some()
    }
}

impl Settings {
    /// Whether campaigns stop for the same reasons with both.
    pub(crate) fn stops_like(&self, other: &Self) -> bool {
        self.rounds.max == other.rounds.max && self.rounds.stop == other.rounds.stop
    }
}
