//! Peers that fall silent, wake up, vanish, or never finish.

use super::hands::{TrainerHand, WorkerHand};
use super::peers::{Habit, registration, run_task, simulate, spawn_trainer, spawn_worker};
use super::runs::{Trial, soon};
use sidereal_inference::account::Progress;
use sidereal_inference::records::BatchReport;
use sidereal_proto::message::{FromTrainer, FromWorker, PeerKind, Registration, ToWorker};
use std::time::{Duration, Instant};

/// A worker, stopped for a while with a lease in hand, is replaced; what it reports then does no harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_worker_is_replaced_and_may_wake_up() {
    let trial = Trial::start_with(|config| config.lease_s = 1.0).await;
    let mut progress = trial.client().await.watch().await.expect("watches");
    let mut paused = WorkerHand::open(&trial.reach()).await;
    let lease = paused.lease().await;
    let attempt = lease.attempt;
    let worker = spawn_worker(&trial.reach(), Habit::Steady);
    loop {
        let step = soon(progress.next())
            .await
            .expect("open")
            .expect("progress");
        if matches!(step, Progress::RoundWeighed { .. }) {
            break;
        }
    }
    assert_eq!(
        trial.metric("sidereal_leases_expired_total").await,
        Some(1.0)
    );
    let ToWorker::Cancel(cancelled) = next(&mut paused).await else {
        panic!("not told that its lease is needless");
    };
    assert_eq!(cancelled, attempt);
    let path = lease.shard_path.clone();
    let campaign = paused.session.campaign.clone();
    let shard = simulate(&campaign, lease, Habit::Steady)
        .store(&trial.directory, &path, &campaign.space)
        .expect("store");
    paused
        .send(FromWorker::Report(BatchReport {
            attempt,
            shard,
            seconds: 5.0,
        }))
        .await;
    // It is as welcome as before.
    paused.send(FromWorker::Heartbeat).await;
    let outcome = trial.ends_calmly_with(worker).await;
    assert_eq!(outcome.summary.simulations, 700);
    assert_eq!(next(&mut paused).await, ToWorker::Done);
}

async fn next(hand: &mut WorkerHand) -> ToWorker {
    soon(hand.messages.next())
        .await
        .expect("open")
        .expect("no refusal")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_trainer_is_replaced_and_may_wake_up() {
    let trial = Trial::start_with(|config| config.lease_s = 1.0).await;
    let mut progress = trial.client().await.watch().await.expect("watches");
    let worker = spawn_worker(&trial.reach(), Habit::Steady);
    let mut paused = TrainerHand::open(&trial.reach()).await;
    let task = paused.task().await.expect("a task");
    let trainer = spawn_trainer(&trial.running.access, &trial.directory);
    loop {
        let step = soon(progress.next())
            .await
            .expect("open")
            .expect("progress");
        if matches!(step, Progress::Trained { .. }) {
            break;
        }
    }
    assert_eq!(
        trial.metric("sidereal_leases_expired_total").await,
        Some(1.0)
    );
    let report = run_task(&paused.session.campaign, &trial.directory, &task).expect("runs");
    // The campaign may be over by now.
    let _ = paused
        .sender
        .send(FromTrainer::Report(Box::new(report)))
        .await;
    trial.ends_calmly_with(worker).await;
    trainer.await.expect("no panic");
}

/// The late report comes first: it is taken, and the replacement's is not needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_late_trainer_and_its_replacement_the_first_report_counts() {
    let trial = Trial::start_with(|config| config.lease_s = 1.0).await;
    let mut progress = trial.client().await.watch().await.expect("watches");
    let worker = spawn_worker(&trial.reach(), Habit::Steady);
    let mut paused = TrainerHand::open(&trial.reach()).await;
    let task = paused.task().await.expect("a task");
    let mut second = TrainerHand::open(&trial.reach()).await;
    let second_task = second.task().await.expect("the same task");
    assert_eq!(second_task.train, task.train);
    assert_eq!(second_task.earlier_attempts, Vec::<String>::new());
    assert_ne!(second_task.output, task.output);
    let report = run_task(&paused.session.campaign, &trial.directory, &task).expect("runs");
    paused.send(FromTrainer::Report(Box::new(report))).await;
    loop {
        let step = soon(progress.next())
            .await
            .expect("open")
            .expect("progress");
        if matches!(step, Progress::Trained { .. }) {
            break;
        }
    }
    paused.leave().await;
    let report = run_task(&second.session.campaign, &trial.directory, &second_task);
    second
        .send(FromTrainer::Report(Box::new(report.expect("runs"))))
        .await;
    second.leave().await;
    let n_ignored = trial.metric("sidereal_reports_ignored_total").await;
    assert!(n_ignored >= Some(1.0), "{n_ignored:?}");
    trial.ends_calmly_with(worker).await;
}

/// A row that kills its worker each time, as a simulator that runs out of memory would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_no_worker_survives_is_given_up_and_the_campaign_says_so() {
    let trial = Trial::start().await;
    let worker = spawn_worker(&trial.reach(), Habit::KilledBy(5));
    let trainer = spawn_trainer(&trial.running.access, &trial.directory);
    let outcome = soon(trial.running.wait()).await.expect("finishes");
    worker.await.expect("no panic");
    trainer.await.expect("no panic");
    let summary = outcome.summary;
    assert_eq!(summary.simulations, 700);
    assert_eq!(summary.rounds[0].n_failed, 1);
    assert_eq!(summary.rounds[1].n_failed, 0);
    let [condition] = summary.not_reproducible.as_slice() else {
        panic!("{:?}", summary.not_reproducible);
    };
    assert_eq!(
        condition,
        "1 rows were given up because no worker could run them, the first of them row 5 of round 0: \
         test was lost while it ran this"
    );
}

/// It was asleep itself, or its machine: how long it says that its rows took is no measure of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_took_for_ever_does_not_keep_work_from_those_with_little_time() {
    let trial = Trial::start().await;
    let mut slow = WorkerHand::open(&trial.reach()).await;
    let lease = slow.lease().await;
    let (attempt, path) = (lease.attempt, lease.shard_path.clone());
    let campaign = slow.session.campaign.clone();
    let shard = simulate(&campaign, lease, Habit::Steady)
        .store(&trial.directory, &path, &campaign.space)
        .expect("store");
    slow.send(FromWorker::Report(BatchReport {
        attempt,
        shard,
        seconds: 1e7,
    }))
    .await;
    slow.send(FromWorker::Drain).await;
    while slow.messages.next().await.is_some() {}
    let brief = Registration {
        remaining_s: Some(3600.0),
        ..registration(PeerKind::Worker)
    };
    let mut brief = WorkerHand::open_as(&trial.reach(), &brief).await;
    brief.lease().await;
    drop(brief);
    trial.ends_calmly().await;
}

/// A worker that is heard from and never done with its last lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_keeps_its_round_waiting_is_run_a_second_time() {
    let trial = Trial::start().await;
    let mut slow = WorkerHand::open(&trial.reach()).await;
    let lease = slow.lease().await;
    let heart = slow.sender.clone();
    let beating = tokio::spawn(async move {
        while heart.send(FromWorker::Heartbeat).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let started = Instant::now();
    let outcome = trial.ends_calmly().await;
    let seconds = started.elapsed().as_secs_f64();
    assert!((4.5..20.0).contains(&seconds), "took {seconds} s");
    assert_eq!(outcome.summary.simulations, 700);
    // Told that its lease is not needed any more, unless that came with the end.
    let told = next(&mut slow).await;
    assert_eq!(told, ToWorker::Cancel(lease.attempt));
    beating.abort();
}
