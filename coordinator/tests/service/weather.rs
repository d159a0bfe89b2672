//! Whole campaigns on stores that fail now and then.

use super::faulty::{Faults, Faulty};
use super::hands::{TrainerHand, WorkerHand};
use super::peers::{Habit, Reach, campaign, registration, spawn_trainer, spawn_worker};
use super::runs::{Trial, config, expect_calm, soon, stop};
use sidereal_coordinator::{CampaignFailure, StartError, start};
use sidereal_proto::message::{FromTrainer, FromWorker, PeerKind, Registration};
use std::time::Duration;

/// What a store does at its worst; nothing of it may show in the results, however often a coordinator gives
/// up and is started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_now_and_then_does_not_change_a_byte() {
    for seed in 0..4 {
        run_in_bad_weather(seed).await;
    }
}

async fn run_in_bad_weather(seed: u64) {
    let faulty = Faulty::new(
        seed,
        Faults {
            refused: 0.03,
            lost: 0.01,
            tried_again: 0.01,
            late: 0.0,
        },
    );
    let directory = faulty.directory();
    let mut failures: Vec<String> = Vec::new();
    loop {
        assert!(failures.len() < 60, "seed {seed}: {failures:#?}");
        let running = match start(config(&directory, campaign())).await {
            Ok(running) => running,
            Err(error @ (StartError::File(_) | StartError::Journal(_) | StartError::Access(_))) => {
                failures.push(format!("start: {error}"));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let reach = Reach {
            access: running.access.clone(),
            directory: Some(directory.clone()),
        };
        // Peers whose coordinator has sent them away for a fault of the store come back.
        let peers = tokio::spawn({
            let (reach, directory) = (reach.clone(), directory.clone());
            async move {
                loop {
                    let worker = spawn_worker(&reach, Habit::Steady);
                    let trainer = spawn_trainer(&reach.access, &directory);
                    tokio::select! {
                        _ = worker => {}
                        _ = trainer => {}
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        let result = soon(running.wait()).await;
        peers.abort();
        match result {
            Ok(_) => break,
            Err(failure @ CampaignFailure::Misfit(_)) => panic!("{failure}"),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    faulty.set_faults(Faults::default());
    println!(
        "seed {seed}: {} faults, {} failures: {failures:#?}",
        faulty.n_faults(),
        failures.len()
    );
    expect_calm(&directory).await;
}

/// A full disk, say: the campaign waits, still answers, and goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_cannot_be_written_pauses_the_campaign() {
    let faulty = Faulty::new(5, Faults::default());
    let directory = faulty.directory();
    let trial = Trial::start_on(&directory).await;
    faulty.set_journal_down(true);
    let worker = spawn_worker(&trial.reach(), Habit::Steady);
    until_paused(&trial, 1.0).await;
    let status = trial.client().await.status().await.expect("status");
    let open_round = status.open_round.expect("an open round");
    assert_eq!(
        open_round.n_committed, 0,
        "what is not recorded is not told"
    );
    faulty.set_journal_down(false);
    until_paused(&trial, 0.0).await;
    trial.ends_calmly_with(worker).await;
}

/// Who cannot wait for the disk stops it, and goes on later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_campaign_can_be_stopped_and_goes_on_later() {
    let faulty = Faulty::new(6, Faults::default());
    let directory = faulty.directory();
    let trial = Trial::start_on(&directory).await;
    faulty.set_journal_down(true);
    let worker = spawn_worker(&trial.reach(), Habit::Steady);
    until_paused(&trial, 1.0).await;
    soon(stop(trial.running)).await;
    worker.await.expect("no panic");
    faulty.set_journal_down(false);
    Trial::start_on(&directory).await.ends_calmly().await;
}

/// Unmounted, say: nothing is written in its place, the reason is told, and once it is back the campaign goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_moved_away_pauses_the_campaign_and_is_not_made_anew() {
    let parent = tempfile::tempdir().expect("temporary directory");
    let parent = parent.path().canonicalize().expect("a path");
    let (place, elsewhere) = (parent.join("campaign"), parent.join("elsewhere"));
    let directory = sidereal_store::create(place.to_str().expect("UTF-8")).expect("a directory");
    let trial = Trial::start_on(&directory).await;
    std::fs::rename(&place, &elsewhere).expect("moved away");
    until_paused(&trial, 1.0).await;
    let status = trial.client().await.status().await.expect("status");
    let reason = status.live.and_then(|live| live.paused).expect("a reason");
    let opened = place.join("journal/00000000.json");
    assert!(
        reason.contains(&format!("{} is not there any more", opened.display())),
        "{reason}"
    );
    assert!(!place.exists());
    std::fs::rename(&elsewhere, &place).expect("moved back");
    until_paused(&trial, 0.0).await;
    trial.ends_calmly().await;
}

/// A trainer that cannot store what it has trained says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trainer_that_waits_for_its_disk_is_shown_and_stays() {
    let trial = Trial::start().await;
    let worker = spawn_worker(&trial.reach(), Habit::Steady);
    let mut trainer = TrainerHand::open(&trial.reach()).await;
    assert!(trainer.task().await.is_some());
    let mut client = trial.client().await;
    for (message, expected) in [
        (
            FromTrainer::Paused {
                reason: "the disk is full".to_owned(),
            },
            1.0,
        ),
        (FromTrainer::Resumed, 0.0),
    ] {
        trainer.send(message).await;
        until_paused(&trial, expected).await;
        let status = client.status().await.expect("status");
        let paused = status.live.and_then(|live| live.paused);
        assert_eq!(
            paused.is_some_and(|reason| reason.ends_with(": the disk is full")),
            expected == 1.0
        );
    }
    trainer.leave().await;
    trial.ends_calmly_with(worker).await;
}

/// A worker that is killed again and again, whatever it runs, beside a healthy one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_in_a_crash_loop_does_not_change_a_byte() {
    let trial = Trial::start().await;
    let reach = trial.reach();
    let sick = tokio::spawn(async move {
        for n in 0_u64.. {
            let registration = Registration {
                name: format!("node:{n}"),
                ..registration(PeerKind::Worker)
            };
            let mut hand = WorkerHand::open_as(&reach, &registration).await;
            let credits = hand.sender.send(FromWorker::Credits(2)).await;
            credits.expect("the stream is open");
            // It dies with what it got, or of boredom.
            let _ = tokio::time::timeout(Duration::from_millis(50), hand.messages.next()).await;
        }
    });
    trial.ends_calmly().await;
    sick.abort();
}

async fn until_paused(trial: &Trial, expected: f64) {
    soon(async {
        while trial.metric("sidereal_paused").await != Some(expected) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
