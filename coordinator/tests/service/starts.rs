//! Two coordinators on one campaign: exactly one goes on, and a newcomer never ends a healthy one.

use super::on_disk;
use super::peers::{Habit, campaign};
use super::runs::{Trial, config, expect_calm, finish, secrets, soon, spawn_peers, stop};
use sidereal_coordinator::journal::{self, JournalError};
use sidereal_coordinator::{CampaignFailure, CoordinatorConfig, Earlier, StartError, start};
use sidereal_inference::records::Directory;
use sidereal_proto::access::Secrets;
use sidereal_proto::client::Client;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_is_refused_while_the_first_one_answers() {
    let trial = Trial::start().await;
    let n_events = n_events(&trial.directory);
    for earlier in [Earlier::Respect, Earlier::TakeOver] {
        let error = start(CoordinatorConfig {
            earlier,
            ..config(&trial.directory, campaign())
        })
        .await
        .expect_err("served");
        let StartError::Served { run, address, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*address, trial.running.access.address);
        let mut client = trial.client().await;
        assert_eq!(*run, client.identify().await.expect("identifies").run);
        assert!(error.is_unusable_input());
    }
    assert_eq!(
        self::n_events(&trial.directory),
        n_events,
        "nothing is recorded"
    );
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_one_goes_on_once_the_first_is_stopped() {
    let directory = Directory::in_memory();
    for _ in 0..3 {
        let running = start(config(&directory, campaign())).await.expect("starts");
        stop(running).await;
    }
    finish(&directory, campaign(), &[Habit::Steady]).await;
    expect_calm(&directory).await;
}

#[test]
fn the_next_one_goes_on_once_the_process_of_the_first_is_gone() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let directory = Directory::in_memory();
    let process = runtime();
    let first = process
        .block_on(start(config(&directory, campaign())))
        .expect("starts");
    process.shutdown_background();
    let next = runtime();
    next.block_on(async {
        let error = Client::connect(&first.access, None).await.err();
        assert!(error.is_some(), "the first one is gone");
        finish(&directory, campaign(), &[Habit::Steady]).await;
        expect_calm(&directory).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_another_host_the_loopback_address_says_nothing() {
    let trial = Trial::start().await;
    let elsewhere = |earlier| CoordinatorConfig {
        host: "there".to_owned(),
        earlier,
        ..config(&trial.directory, campaign())
    };
    let error = start(elsewhere(Earlier::Respect))
        .await
        .expect_err("refused");
    assert!(
        matches!(&error, StartError::Elsewhere { host, here, .. } if host == "here" && here == "there"),
        "{error}"
    );
    // The user knows better; the first one stops at its next write.
    let second = start(elsewhere(Earlier::TakeOver)).await.expect("starts");
    let (workers, trainer) = spawn_peers(&trial.running, &trial.directory, &[Habit::Steady]);
    let failure = soon(trial.running.wait()).await.expect_err("superseded");
    assert!(
        matches!(
            &failure,
            CampaignFailure::Journal(JournalError::Superseded { .. })
        ),
        "{failure}"
    );
    for worker in workers {
        worker.await.expect("no panic");
    }
    trainer.await.expect("no panic");
    let second = Trial {
        running: second,
        directory: trial.directory,
    };
    second.ends_calmly().await;
}

/// Its key file is lost, or it was started with another one: it cannot prove to the first one that it may ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_with_other_secrets_does_not_end_a_healthy_one() {
    let trial = Trial::start().await;
    let other = Secrets::generate().expect("secrets");
    let mut other_token = secrets().clone();
    other_token.token.clone_from(&other.token);
    for secrets in [other, other_token] {
        let result = start(CoordinatorConfig {
            secrets,
            ..config(&trial.directory, campaign())
        })
        .await;
        assert!(
            result.is_err(),
            "the newcomer took a campaign that is served"
        );
    }
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_start_at_the_same_moment_exactly_one_runs() {
    for race in 0..20 {
        let (_guard, directory) = if race % 2 == 0 {
            let (guard, directory) = on_disk();
            (Some(guard), directory)
        } else {
            (None, Directory::in_memory())
        };
        let start_one = || {
            let config = config(&directory, campaign());
            tokio::spawn(start(config))
        };
        let (first, second) = tokio::join!(start_one(), start_one());
        let results = [first.expect("no panic"), second.expect("no panic")];
        let mut n_running = 0;
        for result in results {
            match result {
                Ok(running) => {
                    n_running += 1;
                    stop(running).await;
                }
                Err(error) => assert!(
                    matches!(
                        &error,
                        StartError::Served { .. } | StartError::Outrun { .. }
                    ),
                    "race {race}: {error}"
                ),
            }
        }
        assert_eq!(n_running, 1, "race {race}");
    }
}

fn n_events(directory: &Directory) -> usize {
    journal::read(directory).expect("a journal").events.len()
}

/// Which looks the same from a machine whose clock is years off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_whose_dates_do_not_fit_the_clock_is_told() {
    for (from, to, words) in [
        (1999, 2001, "certificate expired"),
        (2998, 3001, "certificate not valid yet"),
    ] {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec![sidereal_proto::access::SERVER_NAME.to_owned()];
        let mut params = rcgen::CertificateParams::new(names).expect("parameters");
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let mut secrets = secrets().clone();
        secrets.certificate = params.self_signed(&key).expect("a certificate").pem();
        secrets.private_key = key.serialize_pem();
        let directory = Directory::in_memory();
        let running = start(CoordinatorConfig {
            secrets,
            ..config(&directory, campaign())
        })
        .await
        .expect("starts");
        let error = Client::connect(&running.access, None)
            .await
            .expect_err("refused");
        let reason = error.reason();
        assert!(
            reason.contains(words) && reason.ends_with("; is this machine's clock right?"),
            "{reason}"
        );
        stop(running).await;
    }
}
