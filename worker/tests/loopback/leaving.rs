//! Shutdown, cancelled leases, and having nothing to do.

use crate::coordinator::Manner;
use crate::workplace::*;
use sidereal_inference::base::AttemptId;
use sidereal_proto::message::FromWorker;
use sidereal_worker::{WorkerConfig, run};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;

#[tokio::test]
async fn a_worker_without_the_campaigns_model_ends_with_the_names_of_both() {
    let (workplace, _) = workplace_of_slow();
    let coordinator = workplace.coordinator(anywhere(), workplace.leases(8, 40), Manner::Endless);
    let error = run(config(coordinator.access()), never())
        .await
        .expect_err("only the program that brings it can run it");
    assert!(error.is_unusable_input(), "{error}");
    assert_eq!(
        error.to_string(),
        "cannot build the campaign's simulator: the campaign's model is slow (a guest, version 1), this program has the \
         built-in models only"
    );
}

#[tokio::test]
async fn shutdown_finishes_the_batch_at_work_and_hands_back_the_next() {
    let (workplace, simulator) = workplace_of_slow();
    let mut leases = workplace.leases(8, 40);
    leases[0].lease_s = 0.3;
    leases[1].lease_s = 0.3;
    let coordinator = workplace.coordinator(anywhere(), leases, Manner::Endless);
    let (ask, shutdown) = watch::channel(false);
    let worker = tokio::spawn(run(slow_config(coordinator.access(), &simulator), shutdown));
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
async fn a_batch_that_takes_longer_than_the_grace_is_handed_back() {
    let (workplace, simulator) = workplace_of_slow();
    let leases = workplace.leases(1000, 2000);
    let coordinator = workplace.coordinator(anywhere(), leases, Manner::Endless);
    let (ask, shutdown) = watch::channel(false);
    let config = WorkerConfig {
        grace: Duration::from_millis(200),
        ..slow_config(coordinator.access(), &simulator)
    };
    let worker = tokio::spawn(run(config, shutdown));
    wait_for_rows(&simulator, 1).await;
    ask.send(true).expect("worker listens");
    let asked = Instant::now();
    let ended = worker.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    let waited = asked.elapsed();
    assert!(
        waited >= Duration::from_millis(200) && waited < Duration::from_secs(10),
        "{waited:?}"
    );
    assert_eq!(
        coordinator.heard(),
        [FromWorker::Credits(2), FromWorker::Drain]
    );
}

#[tokio::test]
async fn a_coordinator_lost_while_draining_ends_the_wait() {
    let (workplace, simulator) = workplace_of_slow();
    let coordinator =
        workplace.coordinator(anywhere(), workplace.leases(1000, 1000), Manner::Endless);
    let (ask, shutdown) = watch::channel(false);
    let worker = tokio::spawn(run(slow_config(coordinator.access(), &simulator), shutdown));
    wait_for_rows(&simulator, 1).await;
    ask.send(true).expect("worker listens");
    wait_for_rows(&simulator, 4).await;
    let lost = Instant::now();
    drop(coordinator);
    let ended = worker.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        lost.elapsed() < Duration::from_secs(10),
        "the grace is 20 s"
    );
}

#[tokio::test]
async fn cancelled_batches_are_answered_by_a_credit_each() {
    let (workplace, simulator) = workplace_of_slow();
    let leases = vec![
        workplace.lease(0, 0..1000),
        workplace.lease(1, 1000..1008),
        workplace.lease(2, 1008..1010),
    ];
    let coordinator = workplace.coordinator(anywhere(), leases.clone(), Manner::Endless);
    let (ask, shutdown) = watch::channel(false);
    let worker = tokio::spawn(run(slow_config(coordinator.access(), &simulator), shutdown));
    wait_for_rows(&simulator, 1).await;
    // Nobody has it.
    coordinator.cancel(AttemptId(9));
    // It waits.
    coordinator.cancel(AttemptId(1));
    let n_credits = |heard: &[FromWorker]| {
        let is_credit = |message: &&FromWorker| **message == FromWorker::Credits(1);
        heard.iter().filter(is_credit).count()
    };
    coordinator.wait_until(|heard| n_credits(heard) == 1).await;
    // It runs.
    coordinator.cancel(AttemptId(0));
    coordinator.wait_until(|heard| n_credits(heard) == 3).await;
    ask.send(true).expect("worker listens");
    let ended = worker.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    let heard = coordinator.heard();
    let [
        FromWorker::Credits(2),
        FromWorker::Credits(1),
        FromWorker::Credits(1),
        FromWorker::Report(report),
        FromWorker::Credits(1),
        FromWorker::Drain,
    ] = &heard[..]
    else {
        panic!("{heard:?}");
    };
    assert_eq!(report.attempt, AttemptId(2));
    workplace.shard(report, &leases);
    let n_rows = simulator.n_rows_begun.load(Ordering::Relaxed);
    assert!(n_rows < 500, "{n_rows} rows, of which 2 were asked for");
}

#[tokio::test]
async fn a_worker_without_work_leaves_in_peace() {
    let workplace = workplace();
    let leases = workplace.leases(4, 8);
    let coordinator = workplace.coordinator(anywhere(), leases, Manner::Endless);
    let config = WorkerConfig {
        idle_timeout: Some(Duration::from_millis(200)),
        ..config(coordinator.access())
    };
    run(config, never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let heard = coordinator.heard();
    assert_eq!(reports(&heard).len(), 2);
    assert_eq!(heard.last(), Some(&FromWorker::Drain));
}
