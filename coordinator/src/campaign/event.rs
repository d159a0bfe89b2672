//! What has happened in a campaign, as recorded in the journal: facts only, never leases.

use serde::{Deserialize, Serialize};
use sidereal_inference::base::{CampaignHash, RoundId, RunId};
use sidereal_inference::campaign::{DeviceChoice, Rounds, Workers};
use sidereal_inference::method::{Probing, StopReason};
use sidereal_inference::records::{ShardFile, StoredFile};
use sidereal_inference::weights::{RoundSummary, WeightDiagnostics};

use super::state::{RoundPlan, Task, TaskResult};

/// A fact and when it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds that coordinators have run on this campaign before the event, all runs together.
    pub elapsed_s: f64,
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
    /// The rows of a round are to be simulated.
    RoundOpened(RoundPlan),
    /// These rows are final.
    ShardCommitted(ShardFile),
    /// A row that no worker survived or could run is final as a failed one; its shard is committed by the
    /// same record.
    RowGivenUp {
        round: RoundId,
        row: u64,
        message: String,
    },
    /// Every row of the round is final and weighed; `combined` has all rounds, None without an
    /// observation.
    RoundWeighed {
        summary: Box<RoundSummary>,
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
    Stopped {
        reason: StopReason,
        /// The round whose proposal was the most efficient.
        best_round: RoundId,
    },
    /// The stop is taken back because a target was raised.
    Reopened,
    /// The results are written.
    Finished {
        summary: StoredFile,
        /// None without an observation.
        posterior: Option<StoredFile>,
    },
}

/// What a coordinator starts with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub run: RunId,
    /// Of everything that must not change within a campaign.
    pub campaign: CampaignHash,
    pub settings: Settings,
    /// Where the coordinator can be asked whether it still lives; None where nobody can.
    pub address: Option<String>,
    /// What to know it by: PEM, and the name in it; None for plain text.
    pub certificate: Option<String>,
    pub server_name: Option<String>,
    /// The machine that it runs on.
    pub host: Option<String>,
}

/// What decisions are made from; `rounds.max`, `rounds.stop`, workers and device may change
/// between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub has_observation: bool,
    pub n_parameters: usize,
    /// Whether flows are fitted to weighted draws.
    pub is_refined: bool,
    pub rounds: Rounds,
    pub workers: Workers,
    pub device: DeviceChoice,
}

impl Settings {
    /// Whether campaigns stop for the same reasons with both.
    pub fn stops_like(&self, other: &Self) -> bool {
        self.rounds.max == other.rounds.max && self.rounds.stop == other.rounds.stop
    }
}
