//! Starts coordinators, ends them at chosen moments, and reads what they leave.

use super::peers::{Habit, TOKEN, spawn_trainer, spawn_worker};
use sidereal_coordinator::{CampaignFailure, CoordinatorConfig, Outcome, start};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::progress::Progress;
use sidereal_proto::client::Client;
use std::path::Path;

/// Bytes that must not depend on chance.
#[derive(Debug, PartialEq)]
pub struct Files {
    posterior: Vec<u8>,
    /// Without `timing`.
    summary: serde_json::Value,
}

impl Files {
    pub fn read(directory: &Path) -> Self {
        let read = |name: &str| std::fs::read(directory.join(name)).expect("result file");
        let mut summary: serde_json::Value =
            serde_json::from_slice(&read("summary.json")).expect("JSON");
        let timing = summary.as_object_mut().and_then(|map| map.remove("timing"));
        assert!(timing.is_some());
        Self {
            posterior: read("posterior.parquet"),
            summary,
        }
    }
}

pub fn config(directory: &Path, campaign: Campaign) -> CoordinatorConfig {
    CoordinatorConfig {
        directory: directory.to_owned(),
        campaign,
        listen: ([127, 0, 0, 1], 0).into(),
        token: TOKEN.to_owned(),
    }
}

/// Runs a campaign to its end with these workers, and a watcher that hears of every round.
pub async fn finish(directory: &Path, campaign: Campaign, habits: &[Habit]) -> Outcome {
    let running = start(config(directory, campaign)).await.expect("starts");
    let mut client = Client::connect(&format!("http://{}", running.address), TOKEN)
        .await
        .expect("connects");
    let mut progress = client.watch().await.expect("watches");
    let workers: Vec<_> = habits
        .iter()
        .map(|&habit| spawn_worker(&running.address, habit))
        .collect();
    let trainer = spawn_trainer(&running.address);
    let mut told = Vec::new();
    while let Some(Ok(step)) = progress.next().await {
        told.push(step);
    }
    let outcome = running.wait().await.expect("finishes");
    assert_eq!(told.last(), Some(&Progress::Finished));
    let weighed: Vec<_> = told
        .iter()
        .filter_map(|step| match step {
            Progress::RoundWeighed { summary, .. } => Some(summary.as_ref().clone()),
            Progress::RoundOpened { .. }
            | Progress::RowsCommitted { .. }
            | Progress::Training(_)
            | Progress::Drawing { .. }
            | Progress::Trained { .. }
            | Progress::Stopped { .. }
            | Progress::Finished
            | Progress::Failed { .. } => None,
        })
        .collect();
    assert_eq!(weighed, outcome.summary.rounds);
    trainer.await.expect("no panic");
    for worker in workers {
        worker.await.expect("no panic");
    }
    outcome
}

/// Ends a coordinator as soon as a watcher hears of `moment`; a campaign that is past it ends at once.
pub async fn run_until(directory: &Path, campaign: Campaign, moment: fn(&Progress) -> bool) {
    let running = start(config(directory, campaign)).await.expect("starts");
    let mut client = Client::connect(&format!("http://{}", running.address), TOKEN)
        .await
        .expect("connects");
    let mut progress = client.watch().await.expect("watches");
    let workers = [
        spawn_worker(&running.address, Habit::Dying),
        spawn_worker(&running.address, Habit::Steady),
    ];
    let trainer = spawn_trainer(&running.address);
    while let Some(Ok(step)) = progress.next().await {
        if moment(&step) {
            break;
        }
    }
    running.stop();
    let failure = running.wait().await.expect_err("interrupted");
    assert!(matches!(failure, CampaignFailure::Interrupted), "{failure}");
    trainer.await.expect("no panic");
    for worker in workers {
        worker.await.expect("no panic");
    }
}
