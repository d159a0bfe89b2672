//! What a worker is started with.

use sidereal_models::Catalogue;
use sidereal_proto::access::AccessSource;
use sidereal_proto::client::ClientIdentity;
use sidereal_store::StorageChoice;
use std::time::Duration;
use tokio::time::Instant;

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Where the coordinator is.
    pub access: AccessSource,
    /// Shown where the coordinator asks for a certificate.
    pub identity: Option<ClientIdentity>,
    /// Where shards go; without a directory through the coordinator.
    pub storage: StorageChoice,
    /// For logs: host name and process id.
    pub name: String,
    /// The models that it can run.
    pub models: Catalogue,
    /// Rows simulated at once, at least 1.
    pub n_threads: usize,
    /// How long to wait for a coordinator that is not up yet or restarts.
    pub patience: Duration,
    /// After how long, connected but without any lease, the worker leaves in peace; None: never.
    pub idle_timeout: Option<Duration>,
    /// How long after the shutdown the batch at work may take; one that takes longer is handed back.
    pub grace: Duration,
    /// When the worker's life ends, for the coordinator to lease no more than fits; None: not known.
    pub ends_at: Option<Instant>,
}

impl WorkerConfig {
    /// How long a worker waits for its coordinator unless told otherwise.
    pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(300);
    /// Ends, with the farewells, within the 30 s that Slurm and Kubernetes leave after SIGTERM.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(25);
}
