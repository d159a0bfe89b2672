//! Why a coordinator did not start, and why one ended without a result.

use crate::campaign::apply::Misfit;
use crate::finish::FinishError;
use crate::journal::JournalError;
use crate::status::StatusError;
use crate::weigh::WeighError;
use sidereal_inference::campaign_file::CampaignError;
use sidereal_inference::files::FileError;
use sidereal_inference::ids::{RoundId, RunId};
use sidereal_inference::table::TableError;
use sidereal_proto::access::AccessError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::task::JoinError;

/// Why a coordinator did not start. Nothing has been recorded in the directory.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("token is empty")]
    NoToken,
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("cannot serve: {message}")]
    Serve { message: String },
    /// A newcomer never ends a healthy one.
    #[error("{location}: the campaign is served already, by run {} at {address}", run.0)]
    Served {
        location: String,
        run: RunId,
        address: String,
    },
    #[error("{location}: another coordinator (run {}) took the campaign at the same moment", run.0)]
    Outrun { location: String, run: RunId },
    #[error(
        "{location}: the campaign was run on {host} and has not ended there; from {here} it cannot be asked \
         whether it still lives; if it does not, take it over with --take-over"
    )]
    Elsewhere {
        location: String,
        host: String,
        here: String,
    },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    UnreadableCampaign(#[from] CampaignError),
    #[error("{location}: belongs to campaign {found:?}, not to {expected:?}")]
    OtherCampaign {
        location: String,
        found: String,
        expected: String,
    },
    #[error("{}: the campaign there was started with other values: {}", path.display(), keys.join(", "))]
    ChangedKeys {
        /// The `campaign.toml` that the campaign was started with.
        path: PathBuf,
        /// Each as `key: old -> new`.
        keys: Vec<String>,
    },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Recorded(#[from] StatusError),
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Open(#[from] CampaignFailure),
}

impl StartError {
    /// Whether the user has to change something: exit status 2.
    pub fn is_unusable_input(&self) -> bool {
        match self {
            Self::NoToken
            | Self::Access(_)
            | Self::Serve { .. }
            | Self::Served { .. }
            | Self::Outrun { .. }
            | Self::Elsewhere { .. }
            | Self::UnreadableCampaign(_)
            | Self::OtherCampaign { .. }
            | Self::ChangedKeys { .. } => true,
            Self::Journal(error) => error.is_unusable_store(),
            Self::File(_) | Self::Recorded(_) | Self::Listen { .. } | Self::Open(_) => false,
        }
    }
}

/// Why a coordinator ended without a result. The campaign directory is sound in each case.
#[derive(Debug, thiserror::Error)]
pub enum CampaignFailure {
    /// Asked to; the same command goes on where it stopped.
    #[error("interrupted; the same command goes on")]
    Interrupted,
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot record a decision: {0}")]
    Misfit(#[from] Misfit),
    #[error("cannot read the draws of {round}: {source}")]
    Draws {
        round: RoundId,
        #[source]
        source: TableError,
    },
    #[error("cannot weigh {round}: {source}")]
    Weigh {
        round: RoundId,
        #[source]
        source: WeighError,
    },
    #[error("cannot write the results: {0}")]
    Finish(#[from] FinishError),
    /// Not a matter of single rows any more.
    #[error(
        "row {row} of {round} cannot be simulated, as {n_given_up} rows of it before: {message}; \
         the same command goes on once the cause is mended"
    )]
    Rows {
        n_given_up: u64,
        round: RoundId,
        row: u64,
        message: String,
    },
    #[error(
        "{n_refused} shards after each other were not what they should be, the last one: {message}"
    )]
    Shards { n_refused: u32, message: String },
    #[error("cannot write the shard of a row that is given up: {0}")]
    GivenUp(TableError),
    #[error("a trainer's task failed {n_failures} times: {message}")]
    Task { n_failures: u32, message: String },
    #[error("the service ended: {message}")]
    Service { message: String },
    #[error("a part of the coordinator panicked: {message}")]
    Panicked { message: String },
}

/// A part that has ended without a result.
impl From<JoinError> for CampaignFailure {
    fn from(error: JoinError) -> Self {
        Self::Panicked {
            message: error.to_string(),
        }
    }
}
