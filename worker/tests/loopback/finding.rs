//! How a worker finds its coordinator, waits for it, and when it does not.

use crate::coordinator::Manner;
use crate::workplace::*;
use sidereal_inference::base::CampaignHash;
use sidereal_inference::campaign_file;
use sidereal_proto::access::{Access, AccessFile, AccessSource};
use sidereal_proto::peer::GaveUp;
use sidereal_store::StorageChoice;
use sidereal_worker::{WorkerConfig, WorkerError, run};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_coordinator_that_comes_late_dies_and_returns_is_survived() {
    let workplace = workplace();
    let address = {
        let listener = std::net::TcpListener::bind(anywhere()).expect("bind");
        listener.local_addr().expect("address")
    };
    let worker = tokio::spawn(run(config(access(address)), never()));
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
        ..config(access(address))
    };
    match run(config, never()).await {
        Err(WorkerError::GaveUp(GaveUp { waited, last, .. })) => {
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
    let good = config(coordinator.access());
    let ended = |config| async move {
        let ended = run(config, never()).await;
        ended
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let token = "another".to_owned();
    assert_eq!(
        ended(config(Access {
            token,
            ..coordinator.access()
        }))
        .await,
        "the coordinator refused to register: the token is not this campaign's"
    );
    let address = "not an address".to_owned();
    assert_eq!(
        ended(config(Access {
            address,
            ..coordinator.access()
        }))
        .await,
        "cannot use the coordinator's address or token: coordinator address \"not an address\" is not a URI such as \
         http://127.0.0.1:1234"
    );
    let foreign = tempfile::tempdir().expect("temporary directory");
    let text = std::fs::read_to_string(workplace.directory.path().join("campaign.toml"));
    let text = text.expect("read").replace("seed = 0", "seed = 5");
    std::fs::write(foreign.path().join("campaign.toml"), text).expect("write");
    let observation = workplace.directory.path().join("observation.csv");
    std::fs::copy(observation, foreign.path().join("observation.csv")).expect("copy");
    let location = foreign.path().to_str().expect("UTF-8");
    let storage = StorageChoice::Directory(sidereal_store::open(location).expect("directory"));
    let message = ended(WorkerConfig { storage, ..good }).await;
    assert!(
        message.contains(&format!("{location} is the directory of campaign")),
        "{message}"
    );
}

#[tokio::test]
async fn work_for_a_coordinator_that_died_is_abandoned() {
    let (workplace, simulator) = workplace_of_slow();
    let coordinator = workplace.coordinator(
        anywhere(),
        vec![workplace.lease(0, 0..1000)],
        Manner::Endless,
    );
    let address = coordinator.address;
    let worker = tokio::spawn(run(slow_config(access(address), &simulator), never()));
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

/// Started with an access file.
fn config_with_file(path: &Path) -> WorkerConfig {
    WorkerConfig {
        access: AccessSource::File(path.to_owned()),
        ..config(access(anywhere()))
    }
}

#[tokio::test]
async fn an_access_file_that_appears_later_is_waited_for() {
    let workplace = workplace();
    let path = workplace.directory.path().join("access.json");
    let ends_at = Some(Instant::now() + Duration::from_secs(1000));
    let config = WorkerConfig {
        ends_at,
        ..config_with_file(&path)
    };
    let worker = tokio::spawn(run(config, never()));
    sleep(Duration::from_millis(200)).await;
    assert!(!worker.is_finished(), "it waits for the file");

    let leases = workplace.leases(10, 20);
    let coordinator = workplace.coordinator(anywhere(), leases, Manner::UntilDone);
    let campaign = campaign_file::identity(&workplace.campaign);
    AccessFile::new(coordinator.access(), Some(campaign.clone()), false)
        .store(&path)
        .expect("store");
    let ended = worker.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reports(&coordinator.heard()).len(), 2);
    let [registration] = &coordinator.registrations()[..] else {
        panic!("{:?}", coordinator.registrations());
    };
    assert_eq!(registration.campaign, Some(campaign));
    let remaining_s = registration.remaining_s.expect("an end");
    assert!((900.0..1000.0).contains(&remaining_s), "{remaining_s}");
}

#[tokio::test]
async fn a_coordinator_elsewhere_with_another_token_is_found_through_the_file() {
    let workplace = workplace();
    let path = workplace.directory.path().join("access.json");
    let publish = |access: Access| {
        let campaign = Some(CampaignHash("any".to_owned()));
        let file = AccessFile::new(access, campaign, false);
        file.store(&path).expect("store");
    };
    let first = workplace.coordinator(anywhere(), workplace.leases(10, 10), Manner::Endless);
    publish(first.access());
    let worker = tokio::spawn(run(config_with_file(&path), never()));
    first.wait_until(|heard| reports(heard).len() == 1).await;

    // The port then belongs to a coordinator with other secrets.
    let address = first.address;
    publish(Access {
        token: "stale".to_owned(),
        ..first.access()
    });
    drop(first);
    let others = workplace.coordinator(address, Vec::new(), Manner::Endless);
    sleep(Duration::from_millis(300)).await;
    assert!(!worker.is_finished(), "the file may be stale");

    let leases = vec![workplace.lease(1, 10..20)];
    let second = workplace.coordinator(anywhere(), leases, Manner::UntilDone);
    assert_ne!(second.address, address);
    publish(second.access());
    let ended = worker.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reports(&second.heard()).len(), 1);
    assert!(others.registrations().is_empty());
}

#[tokio::test]
async fn a_finished_campaign_is_left_in_peace() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("access.json");
    let file = AccessFile::new(access(anywhere()), None, true);
    file.store(&path).expect("store");
    let ended = run(config_with_file(&path), never()).await;
    ended.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn a_file_that_is_no_access_file_is_an_error() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("access.json");
    std::fs::write(&path, "{}").expect("write");
    match run(config_with_file(&path), never()).await {
        Err(WorkerError::Access(error)) => {
            assert!(error.to_string().contains("not an access file"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
