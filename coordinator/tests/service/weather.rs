//! Whole campaigns on stores that fail now and then.

use super::faulty::{Faults, Faulty};
use super::peers::{Habit, Reach, campaign, spawn_trainer, spawn_worker};
use super::runs::{Trial, config, expect_calm, soon, stop};
use sidereal_coordinator::{CampaignFailure, StartError, start};
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

async fn until_paused(trial: &Trial, expected: f64) {
    soon(async {
        while trial.metric("sidereal_paused").await != Some(expected) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
