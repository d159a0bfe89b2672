//! A small campaign, its directory, and what the tests start workers with.

use crate::coordinator::{FakeCoordinator, Manner, TOKEN};
use sidereal_inference::base::{AttemptId, RoundId};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::records::shard::{ShardLayout, ShardRows, Weighed};
use sidereal_inference::records::{BatchLease, BatchReport, Directory, Draws, shard};
use sidereal_models::{Catalogue, ChaCha8Rng, ReadyModel, SimulationError, Simulator};
use sidereal_proto::access::{Access, AccessSource};
use sidereal_proto::message::{FailureCause, FromWorker};
use sidereal_store::StorageChoice;
use sidereal_worker::WorkerConfig;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// A campaign of a sine at three times, and its directory.
pub struct Workplace {
    pub campaign: Campaign,
    pub directory: TempDir,
}

pub fn workplace() -> Workplace {
    workplace_of("builtin = \"sine\"", &Catalogue::default())
}

/// Whose model is a guest.
pub fn workplace_of_slow() -> (Workplace, Arc<Slow>) {
    let simulator = Arc::new(Slow {
        n_rows_begun: AtomicUsize::new(0),
    });
    let workplace = workplace_of("guest = \"slow\"", &with_slow(&simulator));
    (workplace, simulator)
}

fn with_slow(simulator: &Arc<Slow>) -> Catalogue {
    Catalogue::default().with_guest(ReadyModel {
        name: "slow",
        simulator: Arc::clone(simulator) as Arc<dyn Simulator>,
    })
}

fn workplace_of(simulator: &str, models: &Catalogue) -> Workplace {
    let directory = tempfile::tempdir().expect("temporary directory");
    let observation = "time,value,sigma\n0,1,0.5\n0.5,2,0.5\n1,3,0.5\n";
    std::fs::write(directory.path().join("observation.csv"), observation).expect("write");
    let text = format!(
        r#"
        name = "loopback"
        parameters = [
            {{ name = "omega", prior = {{ uniform = {{ low = 6.0, high = 38.0 }} }} }},
            {{ name = "phi0", prior = {{ uniform = {{ low = 0.0, high = 6.0 }} }} }},
            {{ name = "A", prior = {{ normal = {{ mean = 0.0, sd = 2.0 }} }} }},
        ]
        [simulator]
        {simulator}
        [observation]
        path = "observation.csv"
    "#
    );
    let path = directory.path().join("campaign.toml");
    std::fs::write(&path, text).expect("write");
    let campaign = campaign_file::load(&path, models).unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(&path, campaign_file::to_toml(&campaign)).expect("write");
    Workplace {
        campaign,
        directory,
    }
}

impl Workplace {
    pub fn draws(&self, rows: Range<u64>) -> Draws {
        Draws::from_prior(&self.campaign.space, self.campaign.seed, RoundId(0), rows)
    }

    pub fn lease(&self, attempt: u64, rows: Range<u64>) -> BatchLease {
        BatchLease {
            attempt: AttemptId(attempt),
            draws: self.draws(rows),
            shard_path: format!("rounds/000/shards/{attempt}.parquet"),
            lease_s: 30.0,
        }
    }

    /// Leases of `n_rows` each over rows 0 to `end`, numbered from 0.
    pub fn leases(&self, n_rows: u64, end: u64) -> Vec<BatchLease> {
        (0..end)
            .step_by(n_rows as usize)
            .zip(0..)
            .map(|(first, attempt)| self.lease(attempt, first..(first + n_rows).min(end)))
            .collect()
    }

    pub fn coordinator(
        &self,
        address: SocketAddr,
        leases: Vec<BatchLease>,
        manner: Manner,
    ) -> FakeCoordinator {
        let directory = self.directory.path().to_str().expect("UTF-8");
        FakeCoordinator::start(address, &self.campaign, directory, leases, manner)
    }

    pub fn opened(&self) -> Directory {
        sidereal_store::open(self.directory.path().to_str().expect("UTF-8")).expect("directory")
    }

    /// The shard of a report, checked against the draws that were leased.
    pub fn shard(&self, report: &BatchReport, leases: &[BatchLease]) -> ShardRows {
        let lease = leases
            .iter()
            .find(|lease| lease.attempt == report.attempt)
            .expect("lease");
        assert_eq!(report.shard.file.path, lease.shard_path);
        // Storage blocks, and the tests run on an event loop.
        std::thread::scope(|scope| {
            let read = scope.spawn(|| {
                let (directory, layout) = (&self.opened(), ShardLayout::of(&self.campaign));
                let (shard, weighed) = (&report.shard, Weighed::ByObservation);
                shard::check(directory, shard, layout, weighed, &lease.draws, "")
                    .unwrap_or_else(|error| panic!("{error}"));
                ShardRows::load(directory, shard, layout).unwrap_or_else(|error| panic!("{error}"))
            });
            read.join().expect("a shard")
        })
    }
}

pub fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn config(access: Access) -> WorkerConfig {
    WorkerConfig {
        access: AccessSource::Fixed(access),
        identity: None,
        storage: StorageChoice::AsCoordinatorSays,
        name: "test".to_owned(),
        models: Catalogue::default(),
        n_threads: 1,
        patience: Duration::from_secs(20),
        idle_timeout: None,
        grace: Duration::from_secs(20),
        ends_at: None,
    }
}

/// Of a worker that has the guest.
pub fn slow_config(access: Access, simulator: &Arc<Slow>) -> WorkerConfig {
    WorkerConfig {
        models: with_slow(simulator),
        ..config(access)
    }
}

/// Plain text, with the right token.
pub fn access(address: SocketAddr) -> Access {
    Access {
        address: format!("http://{address}"),
        server_name: String::new(),
        certificate: None,
        token: TOKEN.to_owned(),
    }
}

/// A shutdown that nobody asks for.
pub fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}

pub fn reports(heard: &[FromWorker]) -> Vec<BatchReport> {
    let report = |message: &FromWorker| match message {
        FromWorker::Report(report) => Some(report.clone()),
        FromWorker::Credits(_)
        | FromWorker::Failure { .. }
        | FromWorker::Heartbeat
        | FromWorker::Drain => None,
    };
    heard.iter().filter_map(report).collect()
}

pub fn failures(heard: &[FromWorker]) -> Vec<(u64, FailureCause, String)> {
    let failure = |message: &FromWorker| match message {
        FromWorker::Failure {
            attempt,
            message,
            cause,
        } => Some((attempt.0, *cause, message.clone())),
        FromWorker::Credits(_)
        | FromWorker::Report(_)
        | FromWorker::Heartbeat
        | FromWorker::Drain => None,
    };
    heard.iter().filter_map(failure).collect()
}

/// Takes 50 ms a row.
pub struct Slow {
    pub n_rows_begun: AtomicUsize,
}

impl Simulator for Slow {
    fn n_data(&self) -> usize {
        3
    }

    fn simulate(
        &self,
        _parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        self.n_rows_begun.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
        out.fill(0.0);
        Ok(())
    }
}

pub async fn wait_for_rows(simulator: &Slow, n_rows: usize) {
    while simulator.n_rows_begun.load(Ordering::Relaxed) < n_rows {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
