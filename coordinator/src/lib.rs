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
//!
//! [`start`] serves a campaign until it has its results. What its journal says is read without one:
//!
//! ```
//! let directory = sidereal_inference::records::Directory::in_memory();
//! let (status, address) = sidereal_coordinator::read_status(&directory, "line")?;
//! assert_eq!((status.n_simulations, address), (0, None));
//! # Ok::<(), sidereal_coordinator::StatusError>(())
//! ```
#![warn(missing_docs)]

mod asking;
mod campaign;
mod driver;
mod error;
mod finish;
mod finished;
pub mod journal;
mod metrics;
mod repair;
mod reuse;
mod rounds;
mod serve;
mod service;
mod start;
mod status;
mod verify;
mod weigh;

pub use asking::Earlier;
pub use campaign::apply::Misfit;
pub use campaign::event;
pub use driver::{AfterTheEnd, CampaignOutcome};
pub use error::{CampaignFailure, StartError};
pub use finish::{FinishError, SoFar};
pub use finished::{
    FinishedCampaign, ResultsError, Unfinished, read_or_restore, read_results, read_unfinished,
};
pub use repair::{Committed, DamagedShard, RepairError};
pub use reuse::{Begun, ReuseError, ScoreReused, check_reused, reusable, reuse};
pub use serve::ServeConfig;
pub use start::{CoordinatorConfig, Running, Stopper, start, start_with_check};
pub use status::{StatusError, read_status};
pub use verify::{AskedRows, ShardCheck};
pub use weigh::WeighError;
