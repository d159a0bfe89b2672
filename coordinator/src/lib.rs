//! The coordinator: the campaign's state machine, its journal, and the service that leases its work.
//!
//! ```text
//!  workers, trainers, watchers
//!      | gRPC
//!  service ---> driver (one task) ---> journal ---> files
//!                 |  ^
//!        decide,  |  | results of work off the loop:
//!        apply    |  | checked shards, weighed rounds, written results
//!                 v  |
//!             campaign (pure)
//! ```

mod asking;
pub mod campaign;
mod driver;
mod finish;
mod finished;
pub mod journal;
mod metrics;
mod repair;
mod rounds;
mod serve;
mod service;
mod start;
mod status;
mod verify;
mod weigh;

pub use asking::Earlier;
pub use driver::{AfterTheEnd, CampaignFailure, CampaignOutcome, ShardChecks};
pub use finish::{FinishError, SoFar};
pub use finished::{
    FinishedCampaign, ResultsError, Unfinished, read_or_restore, read_results, read_unfinished,
};
pub use repair::{Committed, DamagedShard, RepairError};
pub use serve::ServeConfig;
pub use start::{CoordinatorConfig, Running, StartError, Stopper, start};
pub use status::{StatusError, read_status};
