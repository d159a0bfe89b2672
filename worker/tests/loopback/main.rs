//! The work loop against a small coordinator over gRPC on loopback.

mod coordinator;
mod finding;
mod leaving;
mod workplace;

use bytes::Bytes;
use coordinator::Manner;
use sidereal_inference::base::AttemptId;
use sidereal_inference::base::files::FileError;
use sidereal_inference::records::shard::ShardRows;
use sidereal_inference::records::{Created, Directory, Storage};
use sidereal_models::{Catalogue, run_batch};
use sidereal_proto::message::{FailureCause, FromWorker};
use sidereal_store::StorageChoice;
use sidereal_worker::{WorkerConfig, WorkerError, run};
use std::io;
use std::time::Duration;
use workplace::*;

#[tokio::test]
async fn batches_become_the_same_rows_whatever_threads_and_lease_sizes() {
    let workplace = workplace();
    let simulator = Catalogue::default()
        .simulator(&workplace.campaign.simulator, &workplace.campaign.space)
        .expect("simulator");
    let expected =
        run_batch(&workplace.campaign, &*simulator, workplace.draws(0..100)).expect("rows");
    for (n_threads, n_rows) in [(1, 100), (4, 17), (1, 30)] {
        let leases = workplace.leases(n_rows, 100);
        let coordinator = workplace.coordinator(anywhere(), leases.clone(), Manner::UntilDone);
        let config = WorkerConfig {
            n_threads,
            ..config(coordinator.access())
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
    run(config(coordinator.access()), never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let heard = coordinator.heard();
    let [
        (1, FailureCause::Rows, narrow),
        (2, FailureCause::Storage, blocked),
    ] = &failures(&heard)[..]
    else {
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
            storage: StorageChoice::Directory(
                sidereal_store::open(inner.to_str().expect("UTF-8")).expect("directory"),
            ),
            ..config(coordinator.access())
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

#[tokio::test]
async fn leases_beyond_the_credits_are_refused() {
    let (workplace, simulator) = workplace_of_slow();
    let coordinator = workplace.coordinator(anywhere(), workplace.leases(2, 8), Manner::AllAtOnce);
    run(slow_config(coordinator.access(), &simulator), never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let heard = coordinator.heard();
    let refused = "2 leases are in hand already, this one came without a credit".to_owned();
    let rows = FailureCause::Rows;
    assert_eq!(
        failures(&heard),
        [(2, rows, refused.clone()), (3, rows, refused)]
    );
    let attempts: Vec<u64> = reports(&heard)
        .iter()
        .map(|report| report.attempt.0)
        .collect();
    assert_eq!(attempts, [0, 1]);
}

#[tokio::test]
async fn without_a_directory_shards_go_through_the_coordinator() {
    let workplace = workplace();
    let leases = workplace.leases(10, 20);
    let coordinator = workplace.coordinator(anywhere(), leases.clone(), Manner::UntilDone);
    let config = WorkerConfig {
        storage: StorageChoice::ThroughCoordinator,
        ..config(coordinator.access())
    };
    run(config, never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(coordinator.uploads(), [AttemptId(0), AttemptId(1)]);
    let reports = reports(&coordinator.heard());
    assert_eq!(reports.len(), 2);
    for report in &reports {
        workplace.shard(report, &leases);
    }
}

#[tokio::test]
async fn a_directory_of_another_campaign_is_not_taken_for_the_coordinators() {
    let workplace = workplace();
    let text = workplace.directory.path().join("campaign.toml");
    std::fs::write(&text, "name = \"another\"").expect("write");
    let leases = workplace.leases(10, 10);
    let coordinator = workplace.coordinator(anywhere(), leases, Manner::UntilDone);
    run(config(coordinator.access()), never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(coordinator.uploads(), [AttemptId(0)]);
}

/// A directory that is full for one shard.
#[derive(Debug)]
struct FullFor {
    path: String,
    directory: Directory,
}

fn plain<T>(result: Result<T, FileError>) -> io::Result<T> {
    result.map_err(|error| error.source)
}

impl Storage for FullFor {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        plain(self.directory.read(path))
    }

    fn write(&self, path: &str, contents: Bytes) -> io::Result<()> {
        if path == self.path {
            return Err(io::ErrorKind::StorageFull.into());
        }
        plain(self.directory.write(path, contents))
    }

    fn create(&self, path: &str, contents: Bytes) -> io::Result<Created> {
        plain(self.directory.create(path, contents))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        plain(self.directory.list(folder))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        plain(self.directory.remove(path))
    }

    fn location(&self) -> &str {
        self.directory.location()
    }
}

#[tokio::test]
async fn a_shard_that_cannot_be_stored_is_not_the_rows_fault() {
    let workplace = workplace();
    let leases = workplace.leases(10, 30);
    let coordinator = workplace.coordinator(anywhere(), leases.clone(), Manner::UntilDone);
    let directory = FullFor {
        path: leases[0].shard_path.clone(),
        directory: workplace.opened(),
    };
    let config = WorkerConfig {
        storage: StorageChoice::Directory(Directory::new(directory)),
        patience: Duration::from_millis(400),
        ..config(coordinator.access())
    };
    run(config, never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let heard = coordinator.heard();
    let [(0, FailureCause::Storage, message)] = &failures(&heard)[..] else {
        panic!("{heard:?}");
    };
    assert!(message.contains(&leases[0].shard_path), "{message}");
    let reports = reports(&heard);
    assert_eq!(reports.len(), 2);
    for report in &reports {
        workplace.shard(report, &leases);
    }
}
