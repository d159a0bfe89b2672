//! The trainer's loop against a small coordinator over gRPC on loopback.

mod coordinator;
#[path = "../setup/mod.rs"]
mod setup;

use coordinator::{FakeCoordinator, Then};
use sidereal_inference::base::{AttemptId, FlowId, RoundId};
use sidereal_inference::campaign::{Campaign, DeviceChoice};
use sidereal_inference::campaign_file;
use sidereal_inference::records::shard::{RowStatus, ShardRows};
use sidereal_inference::records::{Draws, FinalRound, TrainerTask};
use sidereal_inference::weights::{Component, Proposal};
use sidereal_proto::access::{Access, AccessFile, AccessSource};
use sidereal_proto::message::FromTrainer;
use sidereal_store::StorageChoice;
use sidereal_trainer::noise::NoiseSource;
use sidereal_trainer::{TrainerConfig, TrainerError, run};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::sleep;

/// A directory with a campaign whose training takes for ever, in small epochs.
struct Workplace {
    campaign: Campaign,
    directory: TempDir,
}

fn workplace() -> Workplace {
    let campaign = setup::campaign(
        r#"
[featurizer]
kind = "mlp"
layers = 1
hidden = 4
features = 4
[flow]
kind = "maf"
blocks = 1
hidden = 4
layers = 1
components = 1
[training]
max_epochs = 1000000
patience = 1000000
"#,
    );
    let directory = tempfile::tempdir().expect("temporary directory");
    let text = campaign_file::to_toml(&campaign);
    std::fs::write(directory.path().join("campaign.toml"), text).expect("write");
    Workplace {
        campaign,
        directory,
    }
}

impl Workplace {
    fn location(&self) -> String {
        self.directory.path().to_str().expect("UTF-8").to_owned()
    }

    fn coordinator(&self, tasks: Vec<TrainerTask>, then: Then) -> FakeCoordinator {
        FakeCoordinator::start(&self.campaign, &self.location(), tasks, then)
    }

    /// Training on 40 simulations of round 0, which are stored.
    fn task(&self, attempt: u64) -> TrainerTask {
        let campaign = &self.campaign;
        let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), 0..40);
        let simulated = (0..40)
            .flat_map(|i| [draws.theta_row(i)[0] as f32; 6])
            .collect();
        let rows = ShardRows {
            draws,
            log_likelihood: vec![None; 40],
            n_data: 6,
            simulated,
            n_derived: 0,
            derived: Vec::new(),
            status: vec![RowStatus::Ok; 40],
            message: vec![None; 40],
        };
        let (location, space) = (self.location(), campaign.space.clone());
        // Storage blocks, and the tests run on an event loop.
        let store = move || {
            let directory = sidereal_store::open(&location).expect("directory");
            rows.store(&directory, "rounds/000/shards/0.parquet", &space)
        };
        let shard = std::thread::spawn(store)
            .join()
            .expect("no panic")
            .unwrap_or_else(|error| panic!("{error}"));
        TrainerTask {
            attempt: AttemptId(attempt),
            train: Some(FlowId(0)),
            draw: None,
            rounds: vec![FinalRound {
                round: RoundId(0),
                n_rows: 40,
                proposal: Proposal::of(vec![(Component::Prior, 1.0)]),
                shards: vec![shard],
                draws: None,
                scores: Vec::new(),
            }],
            models: Vec::new(),
            reused: Vec::new(),
            output: format!("rounds/000/model-{attempt}"),
            earlier_attempts: Vec::new(),
            lease_s: 30.0,
        }
    }
}

fn config(access: Access) -> TrainerConfig {
    TrainerConfig {
        access: AccessSource::Fixed(access),
        identity: None,
        storage: StorageChoice::AsCoordinatorSays,
        name: "test".to_owned(),
        device: Some(DeviceChoice::Cpu),
        noise: NoiseSource::default(),
        n_threads: 1,
        patience: Duration::from_secs(20),
        idle_timeout: None,
        grace: Duration::from_secs(20),
    }
}

fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}

fn is_training(message: &FromTrainer) -> bool {
    matches!(message, FromTrainer::Training(_))
}

#[tokio::test]
async fn an_access_file_that_appears_later_is_waited_for_and_finished_ends_the_wait() {
    let workplace = workplace();
    let path = workplace.directory.path().join("access.json");
    let campaign = campaign_file::identity(&workplace.campaign);
    let publish = |access: Access, finished| {
        let file = AccessFile::new(access, Some(campaign.clone()), finished);
        file.store(&path).expect("store");
    };
    let coordinator = workplace.coordinator(Vec::new(), Then::Done);
    let started = || {
        let config = TrainerConfig {
            access: AccessSource::File(path.clone()),
            ..config(coordinator.access())
        };
        tokio::spawn(run(config, never()))
    };
    let trainer = started();
    sleep(Duration::from_millis(200)).await;
    assert!(!trainer.is_finished(), "it waits for the file");
    let stale = Access {
        token: "stale".to_owned(),
        ..coordinator.access()
    };
    publish(stale, false);
    sleep(Duration::from_millis(300)).await;
    assert!(!trainer.is_finished(), "the file may be stale");
    publish(coordinator.access(), false);
    let ended = trainer.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    let registrations = coordinator.registrations();
    assert_eq!(registrations.len(), 1);
    assert_eq!(registrations[0].campaign.as_ref(), Some(&campaign));

    publish(coordinator.access(), true);
    let ended = started().await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(coordinator.registrations().len(), 1, "it did not even ask");
}

#[tokio::test]
async fn what_waiting_cannot_mend_ends_at_once() {
    let workplace = workplace();
    let coordinator = workplace.coordinator(Vec::new(), Then::Wait);
    let token = "another".to_owned();
    let wrong = config(Access {
        token,
        ..coordinator.access()
    });
    let error = run(wrong, never()).await.expect_err("a wrong token");
    assert_eq!(
        error.to_string(),
        "coordinator: the token is not this campaign's"
    );

    let through = TrainerConfig {
        storage: StorageChoice::ThroughCoordinator,
        ..config(coordinator.access())
    };
    let error = run(through, never()).await.expect_err("no directory");
    assert!(
        matches!(&error, TrainerError::NoDirectory { location } if *location == workplace.location()),
        "{error}"
    );
    let elsewhere = FakeCoordinator::start(
        &workplace.campaign,
        "/nonexistent/campaign",
        Vec::new(),
        Then::Wait,
    );
    let error = run(config(elsewhere.access()), never())
        .await
        .expect_err("no directory");
    assert!(
        error.to_string().contains("/nonexistent/campaign"),
        "{error}"
    );
}

#[tokio::test]
async fn a_coordinator_that_is_not_there_is_given_up() {
    let workplace = workplace();
    let access = workplace.coordinator(Vec::new(), Then::Wait).access();
    let config = TrainerConfig {
        patience: Duration::from_millis(300),
        ..config(access.clone())
    };
    match run(config, never()).await {
        Err(TrainerError::GaveUp(error)) => assert_eq!(error.coordinator, access.address),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_trainer_without_tasks_leaves_in_peace() {
    let workplace = workplace();
    let coordinator = workplace.coordinator(Vec::new(), Then::Wait);
    let config = TrainerConfig {
        idle_timeout: Some(Duration::from_millis(200)),
        ..config(coordinator.access())
    };
    run(config, never())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        coordinator.heard(),
        [FromTrainer::Ready, FromTrainer::Drain]
    );
}

#[tokio::test]
async fn shutdown_ends_a_training_after_its_epoch_with_a_checkpoint() {
    let workplace = workplace();
    let coordinator = workplace.coordinator(vec![workplace.task(0)], Then::Wait);
    let (ask, shutdown) = watch::channel(false);
    let trainer = tokio::spawn(run(config(coordinator.access()), shutdown));
    coordinator
        .wait_until(|heard| heard.iter().any(is_training))
        .await;
    ask.send(true).expect("trainer listens");
    let ended = trainer.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    let heard = coordinator.heard();
    assert_eq!(heard.last(), Some(&FromTrainer::Drain));
    let is_report = |message: &FromTrainer| {
        matches!(
            message,
            FromTrainer::Report(_) | FromTrainer::Failure { .. }
        )
    };
    assert!(!heard.iter().any(is_report), "{heard:?}");
    let checkpoint = "rounds/000/model-0/checkpoint.safetensors";
    assert!(workplace.directory.path().join(checkpoint).exists());
}

#[tokio::test]
async fn without_any_grace_a_task_is_left_behind() {
    let workplace = workplace();
    let coordinator = workplace.coordinator(vec![workplace.task(0)], Then::Wait);
    let (ask, shutdown) = watch::channel(false);
    let config = TrainerConfig {
        grace: Duration::ZERO,
        ..config(coordinator.access())
    };
    let trainer = tokio::spawn(run(config, shutdown));
    coordinator
        .wait_until(|heard| heard.iter().any(is_training))
        .await;
    ask.send(true).expect("trainer listens");
    let ended = trainer.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    // The thread that was left behind may still tell of its epoch.
    assert!(coordinator.heard().contains(&FromTrainer::Drain));
}

#[tokio::test]
async fn a_task_for_a_coordinator_that_died_is_abandoned() {
    let workplace = workplace();
    let path = workplace.directory.path().join("access.json");
    let publish = |coordinator: &FakeCoordinator| {
        let file = AccessFile::new(coordinator.access(), None, false);
        file.store(&path).expect("store");
    };
    let coordinator = workplace.coordinator(vec![workplace.task(0)], Then::Wait);
    publish(&coordinator);
    let config = TrainerConfig {
        access: AccessSource::File(path.clone()),
        ..config(coordinator.access())
    };
    let trainer = tokio::spawn(run(config, never()));
    coordinator
        .wait_until(|heard| heard.iter().any(is_training))
        .await;
    drop(coordinator);
    let next = workplace.coordinator(Vec::new(), Then::Done);
    publish(&next);
    let ended = trainer.await.expect("no panic");
    ended.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(next.heard(), [FromTrainer::Ready]);
}
