//! Why a coordinator did not start, and why one ended without a result.

use crate::campaign::apply::Misfit;
use crate::finish::FinishError;
use crate::journal::JournalError;
use crate::status::StatusError;
use crate::weigh::WeighError;
use sidereal_inference::base::files::FileError;
use sidereal_inference::base::{RoundId, RunId};
use sidereal_inference::campaign_file::CampaignError;
use sidereal_inference::records::table::TableError;
use sidereal_proto::access::AccessError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::task::JoinError;

/// Why a coordinator did not start. Nothing has been recorded in the directory.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Every call must carry one.
    #[error("token is empty")]
    NoToken,
    /// The access file cannot be written.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Certificate, key or services cannot be used.
    #[error("cannot serve: {message}")]
    Serve {
        /// Why.
        message: String,
    },
    /// A newcomer never ends a healthy one.
    #[error("{location}: the campaign is served already, by run {} at {address}", run.0)]
    Served {
        /// The campaign directory.
        location: String,
        /// The coordinator that answers.
        run: RunId,
        /// Where.
        address: String,
    },
    /// It was faster to record that it opened the campaign.
    #[error("{location}: another coordinator (run {}) took the campaign at the same moment", run.0)]
    Outrun {
        /// The campaign directory.
        location: String,
        /// The other one.
        run: RunId,
    },
    /// An earlier one listened on the loopback of another machine.
    #[error(
        "{location}: the campaign was run on {host} and has not ended there; from {here} it cannot be asked \
         whether it still lives; if it does not, take it over with --take-over"
    )]
    Elsewhere {
        /// The campaign directory.
        location: String,
        /// Its machine.
        host: String,
        /// This machine.
        here: String,
    },
    /// The directory cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The `campaign.toml` in the directory is no campaign.
    #[error("{0}")]
    UnreadableCampaign(#[from] CampaignError),
    /// The directory is another campaign's.
    #[error("{location}: belongs to campaign {found:?}, not to {expected:?}")]
    OtherCampaign {
        /// The campaign directory.
        location: String,
        /// Name or hash of the campaign there.
        found: String,
        /// Of the one to run.
        expected: String,
    },
    /// What must not change within a campaign has.
    #[error("{}: the campaign there was started with other values: {}", path.display(), keys.join(", "))]
    ChangedKeys {
        /// The `campaign.toml` that the campaign was started with.
        path: PathBuf,
        /// Each as `key: old -> new`.
        keys: Vec<String>,
    },
    /// The journal cannot be read or opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its records do not follow from each other.
    #[error(transparent)]
    Recorded(#[from] StatusError),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// That it opens the campaign cannot be recorded.
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
    /// What happens cannot be recorded.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A mistake in this program.
    #[error("cannot record a decision: {0}")]
    Misfit(#[from] Misfit),
    /// The stored draws of the open round are damaged.
    #[error("cannot read the draws of {round}: {source}")]
    Draws {
        /// The open round.
        round: RoundId,
        /// What is wrong with them.
        #[source]
        source: TableError,
    },
    /// A stored round gives no weights.
    #[error("cannot weigh {round}: {source}")]
    Weigh {
        /// The complete round.
        round: RoundId,
        /// Why.
        #[source]
        source: WeighError,
    },
    /// All rounds are done, and the results are not there.
    #[error("cannot write the results: {0}")]
    Finish(#[from] FinishError),
    /// Not a matter of single rows any more.
    #[error(
        "row {row} of {round} cannot be simulated, as {n_given_up} rows of it before: {message}; \
         the same command goes on once the cause is mended"
    )]
    Rows {
        /// Rows of the round before it.
        n_given_up: u64,
        /// The open round.
        round: RoundId,
        /// One too many.
        row: u64,
        /// What its worker said.
        message: String,
    },
    /// Not a matter of single workers any more.
    #[error(
        "{n_refused} shards after each other were not what they should be, the last one: {message}"
    )]
    Shards {
        /// Without a good one in between.
        n_refused: u32,
        /// What was wrong with the last one.
        message: String,
    },
    /// A row without an answer cannot be made final.
    #[error("cannot write the shard of a row that is given up: {0}")]
    GivenUp(TableError),
    /// Whichever trainer tried it.
    #[error("a trainer's task failed {n_failures} times: {message}")]
    Task {
        /// In a row.
        n_failures: u32,
        /// What the last trainer said.
        message: String,
    },
    /// Nobody can connect any more.
    #[error("the service ended: {message}")]
    Service {
        /// Why.
        message: String,
    },
    /// A mistake in this program.
    #[error("a part of the coordinator panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
}

/// A part that has ended without a result.
impl From<JoinError> for CampaignFailure {
    fn from(error: JoinError) -> Self {
        Self::Panicked {
            message: error.to_string(),
        }
    }
}
