//! What a trainer is started with, and why one stopped.

use crate::device::NoDevice;
use crate::noise::NoiseSource;
use sidereal_inference::campaign::DeviceChoice;
use sidereal_proto::access::{AccessError, AccessSource};
use sidereal_proto::client::{ClientError, ClientIdentity};
use sidereal_proto::peer::{GaveUp, OpeningError, ThreadError};
use sidereal_store::{ChoiceError, StorageChoice};
use std::time::Duration;

/// What a trainer is started with.
#[derive(Debug, Clone)]
pub struct TrainerConfig {
    /// How the coordinator is found.
    pub access: AccessSource,
    /// Shown where the coordinator asks for a certificate.
    pub identity: Option<ClientIdentity>,
    /// Where the shards are; a trainer cannot do without.
    pub storage: StorageChoice,
    /// For logs: host name and process id.
    pub name: String,
    /// None: the campaign's.
    pub device: Option<DeviceChoice>,
    /// How it comes by noise that a function of the user's adds.
    pub noise: NoiseSource,
    /// Threads that a minibatch is shared among, at least 1; the result does not depend on them.
    pub n_threads: usize,
    /// How long to wait for a coordinator that is not up yet or restarts.
    pub patience: Duration,
    /// After how long, connected but without any task, the trainer leaves in peace; None: never.
    pub idle_timeout: Option<Duration>,
    /// How long after the shutdown a task may take to end its epoch; one that takes longer is left behind.
    pub grace: Duration,
}

impl TrainerConfig {
    /// How long a trainer waits for its coordinator unless told otherwise.
    pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(300);
    /// Ends, with the farewell, within the 30 s that Slurm and Kubernetes leave after SIGTERM.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(25);
}

/// Why a trainer stopped without being told to.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// There is an access file, and it is not one.
    #[error("cannot use the access to the coordinator: {0}")]
    Access(#[from] AccessError),
    /// The coordinator refuses this trainer.
    #[error(transparent)]
    Coordinator(#[from] ClientError),
    /// Waiting longer may help.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// The directory that the trainer was given is not this campaign's.
    #[error("cannot use the campaign directory: {0}")]
    Directory(#[from] ChoiceError),
    /// A trainer cannot do without the campaign directory.
    #[error(
        "a trainer reads the simulations and needs the campaign directory; {location}, as the coordinator calls it, is out of reach from this machine, not this campaign's, or was ruled out"
    )]
    NoDirectory {
        /// Where the coordinator says that it is.
        location: String,
    },
    /// The device that was asked for is not there.
    #[error(transparent)]
    Device(#[from] NoDevice),
    /// What adds the campaign's noise cannot be set up.
    #[error("{0}")]
    Noise(String),
    /// The threads that a minibatch is shared among do not start.
    #[error("cannot start {n} training threads: {source}")]
    Threads {
        /// How many.
        n: usize,
        /// What the machine says.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
    /// The thread of a task or of a blocking call does not start, or panicked.
    #[error(transparent)]
    Thread(#[from] ThreadError),
}

impl TrainerError {
    /// Whether the user has to change something: exit status 2.
    pub fn is_unusable_input(&self) -> bool {
        match self {
            Self::Access(_)
            | Self::Coordinator(_)
            | Self::Directory(_)
            | Self::NoDirectory { .. }
            | Self::Device(_)
            | Self::Noise(_) => true,
            Self::GaveUp(_) | Self::Threads { .. } | Self::Thread(_) => false,
        }
    }
}

impl From<OpeningError> for TrainerError {
    fn from(error: OpeningError) -> Self {
        match error {
            OpeningError::Access(error) => Self::Access(error),
            OpeningError::Call { error, .. } => Self::Coordinator(error),
            OpeningError::Thread(error) => Self::Thread(error),
        }
    }
}
