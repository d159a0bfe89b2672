//! The work loop against a small coordinator over gRPC on loopback.

mod coordinator;

use coordinator::{FakeCoordinator, Manner, TOKEN};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::draws::Draws;
use sidereal_inference::ids::{AttemptId, RoundId};
use sidereal_inference::shard::{self, ShardRows, Weighed};
use sidereal_inference::task::{BatchLease, BatchReport};
use sidereal_proto::message::FromWorker;
use sidereal_worker::{
    ChaCha8Rng, SimulationError, Simulator, WorkerConfig, WorkerError, run, run_batch,
    run_with_simulator,
};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// A campaign of a sine at three times, and its directory.
struct Workplace {
    campaign: Campaign,
    directory: TempDir,
}

fn workplace() -> Workplace {
    let directory = tempfile::tempdir().expect("temporary directory");
    let observation = "time,value,sigma\n0,1,0.5\n0.5,2,0.5\n1,3,0.5\n";
    std::fs::write(directory.path().join("observation.csv"), observation).expect("write");
    let text = r#"
        name = "loopback"
        parameters = [
            { name = "omega", prior = { uniform = { low = 6.0, high = 38.0 } } },
            { name = "phi0", prior = { uniform = { low = 0.0, high = 6.0 } } },
            { name = "A", prior = { normal = { mean = 0.0, sd = 2.0 } } },
        ]
        [simulator]
        builtin = "sine"
        [observation]
        path = "observation.csv"
    "#;
    let campaign = campaign_file::parse(text, &directory.path().join("campaign.toml"))
        .unwrap_or_else(|error| panic!("{error}"));
    Workplace {
        campaign,
        directory,
    }
}

impl Workplace {
    fn draws(&self, rows: Range<u64>) -> Draws {
        Draws::from_prior(&self.campaign.space, self.campaign.seed, RoundId(0), rows)
    }

    fn lease(&self, attempt: u64, rows: Range<u64>) -> BatchLease {
        BatchLease {
            attempt: AttemptId(attempt),
            draws: self.draws(rows),
            shard_path: format!("rounds/000/shards/{attempt}.parquet"),
            lease_s: 30.0,
        }
    }

    /// Leases of `n_rows` each over rows 0 to `end`, numbered from 0.
    fn leases(&self, n_rows: u64, end: u64) -> Vec<BatchLease> {
        (0..end)
            .step_by(n_rows as usize)
            .zip(0..)
            .map(|(first, attempt)| self.lease(attempt, first..(first + n_rows).min(end)))
            .collect()
    }

    fn coordinator(
        &self,
        address: SocketAddr,
        leases: Vec<BatchLease>,
        manner: Manner,
    ) -> FakeCoordinator {
        let directory = self.directory.path().to_str().expect("UTF-8");
        FakeCoordinator::start(address, &self.campaign, directory, leases, manner)
    }

    /// The shard of a report, checked against the draws that were leased.
    fn shard(&self, report: &BatchReport, leases: &[BatchLease]) -> ShardRows {
        let directory = self.directory.path();
        let lease = leases
            .iter()
            .find(|lease| lease.attempt == report.attempt)
            .expect("lease");
        assert_eq!(report.shard.file.path, lease.shard_path);
        let space = &self.campaign.space;
        shard::check(
            directory,
            &report.shard,
            space,
            3,
            Weighed::ByObservation,
            &lease.draws,
        )
        .unwrap_or_else(|error| panic!("{error}"));
        ShardRows::load(directory, &report.shard, space).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn config(address: SocketAddr) -> WorkerConfig {
    WorkerConfig {
        address: format!("http://{address}"),
        token: TOKEN.to_owned(),
        directory: None,
        name: "test".to_owned(),
        n_threads: 1,
        patience: Duration::from_secs(20),
    }
}

/// A shutdown that nobody asks for.
fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}

fn reports(heard: &[FromWorker]) -> Vec<BatchReport> {
    let report = |message: &FromWorker| match message {
        FromWorker::Report(report) => Some(report.clone()),
        FromWorker::Credits(_)
        | FromWorker::Failure { .. }
        | FromWorker::Heartbeat
        | FromWorker::Drain => None,
    };
    heard.iter().filter_map(report).collect()
}

fn failures(heard: &[FromWorker]) -> Vec<(u64, String)> {
    let failure = |message: &FromWorker| match message {
        FromWorker::Failure { attempt, message } => Some((attempt.0, message.clone())),
        FromWorker::Credits(_)
        | FromWorker::Report(_)
        | FromWorker::Heartbeat
        | FromWorker::Drain => None,
    };
    heard.iter().filter_map(failure).collect()
}

#[tokio::test]
async fn batches_become_the_same_rows_whatever_threads_and_lease_sizes() {
    let workplace = workplace();
    let simulator = sidereal_worker::simulators::build(
        &workplace.campaign.simulator,
        &workplace.campaign.space,
    )
    .expect("simulator");
    let expected =
        run_batch(&workplace.campaign, &*simulator, workplace.draws(0..100)).expect("rows");
    for (n_threads, n_rows) in [(1, 100), (4, 17), (1, 30)] {
        let leases = workplace.leases(n_rows, 100);
        let coordinator = workplace.coordinator(anywhere(), leases.clone(), Manner::UntilDone);
        let config = WorkerConfig {
            n_threads,
            ..config(coordinator.address)
        };
        run(config, never())
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        // Each report asks for the next lease, so that two are always in hand.
        let heard = coordinator.heard();
        let reports = reports(&heard);
        assert_eq!(heard[0], FromWorker::Credits(2));
        assert_eq!(reports.len(), leases.len());
        for (i, report) in reports.iter().enumerate() {
            assert_eq!(heard[1 + 2 * i], FromWorker::Report(report.clone()));
            assert!(
                heard
                    .get(2 + 2 * i)
                    .is_none_or(|next| *next == FromWorker::Credits(1))
            );
        }
        let mut row = 0;
        for report in &reports {
            let rows = workplace.shard(report, &leases);
            for i in 0..rows.status.len() {
                assert_eq!(rows.draws.first_row + i as u64, row as u64);
                let bits = |rows: &ShardRows, i: usize| {
                    let data: Vec<u32> =
                        rows.simulated_row(i).iter().map(|x| x.to_bits()).collect();
                    (data, rows.log_likelihood[i].map(f64::to_bits))
                };
                assert_eq!(bits(&rows, i), bits(&expected, row), "row {row}");
                row += 1;
            }
        }
        assert_eq!(row, 100);
    }
}

#[tokio::test]
async fn a_coordinator_that_comes_late_dies_and_returns_is_survived() {
    let workplace = workplace();
    let address = {
        let listener = std::net::TcpListener::bind(anywhere()).expect("bind");
        listener.local_addr().expect("address")
    };
    let worker = tokio::spawn(run(config(address), never()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!worker.is_finished(), "it waits for a coordinator");

    let leases = workplace.leases(10, 20);
    let coordinator = workplace.coordinator(address, leases.clone(), Manner::Endless);
    coordinator
        .wait_until(|heard| reports(heard).len() == 2)
        .await;
    for report in reports(&coordinator.heard()) {
        workplace.shard(&report, &leases);
    }
    drop(coordinator);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        !worker.is_finished(),
        "it waits for the coordinator's return"
    );

    let leases = vec![workplace.lease(2, 20..30)];
    let coordinator = workplace.coordinator(address, leases.clone(), Manner::UntilDone);
    let ended = worker.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    let reports = reports(&coordinator.heard());
    assert_eq!(reports.len(), 1);
    workplace.shard(&reports[0], &leases);
}

#[tokio::test]
async fn patience_ends() {
    let listener = std::net::TcpListener::bind(anywhere()).expect("bind");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let patience = Duration::from_millis(300);
    let config = WorkerConfig {
        patience,
        ..config(address)
    };
    match run(config, never()).await {
        Err(WorkerError::GaveUp { waited, last, .. }) => {
            assert!(waited >= patience, "{waited:?}");
            assert!(last.contains(&address.to_string()), "{last}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_waiting_cannot_mend_ends_at_once() {
    let workplace = workplace();
    let coordinator = workplace.coordinator(anywhere(), Vec::new(), Manner::Endless);
    let good = config(coordinator.address);
    let ended = |config| async move {
        let ended = run(config, never()).await;
        ended
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let token = "another".to_owned();
    assert_eq!(
        ended(WorkerConfig {
            token,
            ..good.clone()
        })
        .await,
        "the coordinator refused to register: the token is not this campaign's"
    );
    let address = "not an address".to_owned();
    assert_eq!(
        ended(WorkerConfig {
            address,
            ..good.clone()
        })
        .await,
        "cannot use the coordinator's address or token: coordinator address \"not an address\" is not a URI such as \
         http://127.0.0.1:1234"
    );
    let directory = Some("/nonexistent/campaign".into());
    assert_eq!(
        ended(WorkerConfig { directory, ..good }).await,
        "the campaign directory /nonexistent/campaign is not a directory on this machine; the worker needs access to it \
         to store its shards"
    );
}

#[tokio::test]
async fn leases_that_cannot_be_run_are_refused_and_the_worker_goes_on() {
    let workplace = workplace();
    let mut narrow = workplace.lease(1, 0..4);
    narrow.draws.n_parameters = 2;
    narrow.draws.theta.truncate(8);
    narrow.draws.z.truncate(8);
    let mut blocked = workplace.lease(2, 4..8);
    blocked.shard_path = "observation.csv/shard.parquet".to_owned();
    let leases = vec![narrow, blocked, workplace.lease(3, 8..12)];
    let coordinator = workplace.coordinator(anywhere(), leases.clone(), Manner::UntilDone);
    run(config(coordinator.address), never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let heard = coordinator.heard();
    let [(1, narrow), (2, blocked)] = &failures(&heard)[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(narrow, "draws have 2 parameters a row, expected 3");
    assert!(blocked.contains("observation.csv"), "{blocked}");
    let reports = reports(&heard);
    assert_eq!(reports.len(), 1);
    workplace.shard(&reports[0], &leases);
}

#[tokio::test]
async fn a_shard_path_outside_the_directory_writes_nothing() {
    for path in [
        "../escaped.parquet",
        "/tmp/escaped.parquet",
        "rounds/../../escaped.parquet",
    ] {
        let mut workplace = workplace();
        let outer = std::mem::replace(
            &mut workplace.directory,
            tempfile::tempdir().expect("directory"),
        );
        let inner = outer.path().join("campaign");
        std::fs::create_dir(&inner).expect("create");
        let mut lease = workplace.lease(1, 0..4);
        lease.shard_path = path.to_owned();
        let coordinator = workplace.coordinator(anywhere(), vec![lease], Manner::UntilDone);
        let config = WorkerConfig {
            directory: Some(inner.clone()),
            ..config(coordinator.address)
        };
        match run(config, never()).await {
            Err(WorkerError::Answer { message, .. }) => {
                assert!(message.contains("shard_path"), "{message}")
            }
            other => panic!("{path}: {other:?}"),
        }
        assert_eq!(std::fs::read_dir(&inner).expect("list").count(), 0);
        assert!(!outer.path().join("escaped.parquet").exists());
    }
}

/// Takes 50 ms a row.
struct Slow {
    n_rows_begun: AtomicUsize,
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

fn slow() -> Arc<Slow> {
    Arc::new(Slow {
        n_rows_begun: AtomicUsize::new(0),
    })
}

async fn wait_for_rows(simulator: &Slow, n_rows: usize) {
    while simulator.n_rows_begun.load(Ordering::Relaxed) < n_rows {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn shutdown_finishes_the_batch_at_work_and_hands_back_the_next() {
    let workplace = workplace();
    let mut leases = workplace.leases(8, 40);
    leases[0].lease_s = 0.3;
    leases[1].lease_s = 0.3;
    let coordinator = workplace.coordinator(anywhere(), leases, Manner::Endless);
    let simulator = slow();
    let (ask, shutdown) = watch::channel(false);
    let worker = tokio::spawn(run_with_simulator(
        config(coordinator.address),
        Arc::clone(&simulator) as Arc<dyn Simulator>,
        shutdown,
    ));
    wait_for_rows(&simulator, 1).await;
    ask.send(true).expect("worker listens");
    let ended = worker.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    let mut heard = coordinator.heard();
    // 400 ms of work at a lease of 0.3 s.
    let n_heard = heard.len();
    heard.retain(|message| *message != FromWorker::Heartbeat);
    assert!(
        n_heard - heard.len() >= 2,
        "{} heartbeats",
        n_heard - heard.len()
    );
    let [
        FromWorker::Credits(2),
        FromWorker::Report(report),
        FromWorker::Drain,
    ] = &heard[..]
    else {
        panic!("{heard:?}");
    };
    assert_eq!((report.attempt, report.shard.n_rows), (AttemptId(0), 8));
    assert_eq!(simulator.n_rows_begun.load(Ordering::Relaxed), 8);
}

#[tokio::test]
async fn work_for_a_coordinator_that_died_is_abandoned() {
    let workplace = workplace();
    let coordinator = workplace.coordinator(
        anywhere(),
        vec![workplace.lease(0, 0..1000)],
        Manner::Endless,
    );
    let address = coordinator.address;
    let simulator = slow();
    let worker = tokio::spawn(run_with_simulator(
        config(address),
        Arc::clone(&simulator) as Arc<dyn Simulator>,
        never(),
    ));
    wait_for_rows(&simulator, 1).await;
    drop(coordinator);
    let leases = vec![workplace.lease(1, 0..2)];
    let coordinator = workplace.coordinator(address, leases.clone(), Manner::UntilDone);
    let ended = worker.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    let reports = reports(&coordinator.heard());
    assert_eq!(reports.len(), 1);
    workplace.shard(&reports[0], &leases);
    let n_rows = simulator.n_rows_begun.load(Ordering::Relaxed);
    assert!(n_rows < 100, "{n_rows} rows, of which 2 counted");
}

#[tokio::test]
async fn leases_beyond_the_credits_are_refused() {
    let workplace = workplace();
    let coordinator = workplace.coordinator(anywhere(), workplace.leases(2, 8), Manner::AllAtOnce);
    let simulator = slow() as Arc<dyn Simulator>;
    run_with_simulator(config(coordinator.address), simulator, never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let heard = coordinator.heard();
    let refused = "2 leases are in hand already, this one came without a credit".to_owned();
    assert_eq!(failures(&heard), [(2, refused.clone()), (3, refused)]);
    let attempts: Vec<u64> = reports(&heard)
        .iter()
        .map(|report| report.attempt.0)
        .collect();
    assert_eq!(attempts, [0, 1]);
}
