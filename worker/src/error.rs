//! Why a worker stopped without being told to.

use sidereal_models::BuildError;
use sidereal_models::process::ChildError;
use sidereal_proto::access::AccessError;
use sidereal_proto::client::ClientError;
use sidereal_proto::peer::{GaveUp, OpeningError, ThreadError};
use sidereal_store::ChoiceError;

/// What a worker could not do. None of these is mended by starting the same worker again at once,
/// except [`WorkerError::GaveUp`].
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There is an access file, and it is not one.
    #[error("cannot use the access to the coordinator: {0}")]
    Access(#[from] AccessError),
    /// The address or the token cannot be used as they stand.
    #[error("cannot use the coordinator's address or token: {0}")]
    Address(String),
    /// A thread that reads or writes files did not do its work.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// Waiting longer may help.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// The coordinator answered, and does not want this worker: wrong token, campaign or protocol version.
    #[error("the coordinator refused to {operation}: {message}")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The coordinator's words.
        message: String,
    },
    /// Coordinator and worker speak the same protocol version and yet do not understand each other.
    #[error("cannot understand the coordinator's answer to {operation}: {message}")]
    Answer {
        /// What was asked for.
        operation: &'static str,
        /// What is wrong with the answer.
        message: String,
    },
    /// The campaign's model does not take its options.
    #[error("cannot build the campaign's simulator: {0}")]
    Simulator(#[from] BuildError),
    /// Its processes do not start.
    #[error("cannot run the campaign's model: {0}")]
    Children(#[from] ChildError),
    /// The directory that the worker was given is not this campaign's.
    #[error("cannot use the campaign directory: {0}")]
    Directory(#[from] ChoiceError),
    /// It panicked where nothing should.
    #[error("the simulation thread ended unexpectedly")]
    SimulationThread,
}

impl WorkerError {
    /// Whether the user has to change something: exit status 2.
    pub fn is_unusable_input(&self) -> bool {
        match self {
            Self::Access(_)
            | Self::Address(_)
            | Self::Refused { .. }
            | Self::Simulator(_)
            | Self::Children(_)
            | Self::Directory(_) => true,
            Self::Thread(_) | Self::GaveUp(_) | Self::Answer { .. } | Self::SimulationThread => {
                false
            }
        }
    }

    /// Of a call that trying again would not help.
    pub(crate) fn of_call(operation: &'static str, error: ClientError) -> Self {
        match error {
            ClientError::Address { .. }
            | ClientError::Plaintext { .. }
            | ClientError::Token(_)
            | ClientError::Connect { .. } => Self::Address(error.to_string()),
            ClientError::Wire(error) => Self::Answer {
                operation,
                message: error.to_string(),
            },
            ClientError::Refused(_) => Self::Refused {
                operation,
                message: error.reason(),
            },
        }
    }
}

impl From<OpeningError> for WorkerError {
    fn from(error: OpeningError) -> Self {
        match error {
            OpeningError::Access(error) => Self::Access(error),
            OpeningError::Call { operation, error } => Self::of_call(operation, error),
            OpeningError::Thread(error) => Self::Thread(error),
        }
    }
}
