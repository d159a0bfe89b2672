//! The coordinator as its peers see it: over loopback gRPC, with a worker and a trainer that do real
//! work on a linear-Gaussian campaign, and with ones that misbehave.

mod peers;
mod runs;

use peers::{Habit, TOKEN, campaign, spawn_trainer, spawn_worker};
use runs::{Files, config, finish, run_until};
use sidereal_coordinator::journal::JournalError;
use sidereal_coordinator::{CampaignFailure, StartError, start};
use sidereal_inference::ids::{FlowId, PeerId};
use sidereal_inference::progress::Progress;
use sidereal_inference::summary::RoundKind;
use sidereal_proto::client::{Client, ClientError};
use sidereal_proto::message::{FromTrainer, FromWorker, PeerKind, Registration};
use tokio_stream::StreamExt;
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_batches_and_restarts_do_not_change_a_byte() {
    let calm = tempfile::tempdir().expect("temporary directory");
    let outcome = finish(calm.path(), campaign(), &[Habit::Steady]).await;
    let expected = Files::read(calm.path());
    assert_eq!(outcome.summary.simulations, 700);
    let kinds: Vec<RoundKind> = outcome.summary.rounds.iter().map(|r| r.kind).collect();
    assert_eq!(
        kinds,
        [
            RoundKind::Training,
            RoundKind::Training,
            RoundKind::Training,
            RoundKind::TopUp
        ]
    );
    assert_eq!(outcome.summary.best_flow.map(|flow| flow.0 < 2), Some(true));
    assert_eq!(outcome.summary.model.as_deref(), Some("model"));
    assert!(calm.path().join("model/weights.safetensors").exists());
    // Closed form: data x = θ + 0.5 ε under a standard normal prior, two of them.
    let evidence = outcome
        .summary
        .combined
        .and_then(|combined| combined.evidence)
        .expect("evidence");
    let exact = peers::exact_log_evidence();
    assert!(
        (evidence.log_evidence - exact).abs() < 5.0 * evidence.error,
        "{evidence:?}, exact {exact}"
    );
    for (parameter, exact) in outcome.summary.parameters.iter().zip(peers::exact_mean()) {
        assert!(
            (parameter.mean - exact).abs() < 0.15,
            "{parameter:?}, exact {exact}"
        );
    }

    let wild = tempfile::tempdir().expect("temporary directory");
    let mut rough = campaign();
    rough.workers.batch_rows = Some(7);
    let moments: [fn(&Progress) -> bool; 6] = [
        |progress| {
            matches!(
                progress,
                Progress::RowsCommitted {
                    n_committed: 1..,
                    ..
                }
            )
        },
        |progress| matches!(progress, Progress::RoundWeighed { .. }),
        |progress| matches!(progress, Progress::Drawing { .. }),
        |progress| matches!(progress, Progress::RoundOpened { round, .. } if round.0 == 2),
        |progress| matches!(progress, Progress::Stopped { .. }),
        |progress| matches!(progress, Progress::RowsCommitted { round, n_committed: 1.., .. } if round.0 == 3),
    ];
    for moment in moments {
        run_until(wild.path(), rough.clone(), moment).await;
    }
    let habits = [Habit::Steady, Habit::Dying, Habit::Dying, Habit::Steady];
    finish(wild.path(), rough, &habits).await;
    assert_eq!(Files::read(wild.path()), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_campaign_gives_its_summary_again_and_goes_on_with_a_raised_target() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut short = campaign();
    short.rounds.max = 2;
    short.rounds.stop.top_up = 0;
    let first = finish(directory.path(), short.clone(), &[Habit::Steady]).await;
    assert_eq!(first.summary.rounds.len(), 2);

    let running = start(config(directory.path(), short.clone()))
        .await
        .expect("starts");
    assert!(running.was_finished);
    let again = running.wait().await.expect("finished");
    assert_eq!(again, first);

    short.rounds.max = 3;
    let more = finish(directory.path(), short, &[Habit::Steady]).await;
    assert_eq!(more.summary.rounds.len(), 3);
    assert_eq!(more.summary.rounds[..2], first.summary.rounds[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_observation_a_model_is_the_result() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut amortized = campaign();
    amortized.observation = None;
    amortized.noise = peers::constant_noise();
    amortized.rounds.max = 1;
    let outcome = finish(directory.path(), amortized, &[Habit::Steady]).await;
    assert_eq!(outcome.summary.combined, None);
    assert_eq!(outcome.summary.best_flow, Some(FlowId(0)));
    assert_eq!(outcome.posterior_path, None);
    let model = outcome.model_path.expect("a model");
    assert!(model.join("model.json").exists());
    assert!(!directory.path().join("posterior.parquet").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_campaigns_and_changed_keys_are_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let running = start(config(directory.path(), campaign()))
        .await
        .expect("starts");
    running.stop();
    assert!(matches!(
        running.wait().await,
        Err(CampaignFailure::Interrupted)
    ));

    let mut changed = campaign();
    changed.rounds.simulations = 300;
    let error = start(config(directory.path(), changed))
        .await
        .expect_err("refused");
    assert!(error.is_unusable_input());
    let StartError::ChangedKeys { keys, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(keys[0].contains("simulations"), "{keys:?}");

    let mut other = campaign();
    other.name = "other".to_owned();
    let error = start(config(directory.path(), other))
        .await
        .expect_err("refused");
    assert!(matches!(error, StartError::OtherCampaign { .. }), "{error}");

    // A stop may change.
    let mut raised = campaign();
    raised.rounds.max = 9;
    let running = start(config(directory.path(), raised))
        .await
        .expect("starts");
    running.stop();
    assert!(running.wait().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_coordinators_the_second_goes_on() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let first = start(config(directory.path(), campaign()))
        .await
        .expect("starts");
    let second = start(config(directory.path(), campaign()))
        .await
        .expect("starts");
    let worker = spawn_worker(&first.address, Habit::Steady);
    let failure = first.wait().await.expect_err("superseded");
    assert!(
        matches!(
            &failure,
            CampaignFailure::Journal(JournalError::Superseded { .. })
        ),
        "{failure}"
    );
    worker.abort();
    let worker = spawn_worker(&second.address, Habit::Steady);
    let trainer = spawn_trainer(&second.address);
    let outcome = second.wait().await.expect("finishes");
    assert_eq!(outcome.summary.simulations, 700);
    worker.abort();
    trainer.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_ends_in_an_error_for_its_peer_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let running = start(config(directory.path(), campaign()))
        .await
        .expect("starts");
    let address = format!("http://{}", running.address);

    let mut stranger = Client::connect(&address, "wrong").await.expect("connects");
    let registration = Registration {
        kind: PeerKind::Worker,
        name: "stranger".to_owned(),
        n_threads: 1,
    };
    let error = stranger.register(&registration).await.expect_err("refused");
    assert_eq!(code(&error), Some(Code::Unauthenticated));

    let mut client = Client::connect(&address, TOKEN).await.expect("connects");
    let unknown = PeerId(4242);
    let heartbeats = || tokio_stream::iter([FromWorker::Heartbeat]).chain(tokio_stream::pending());
    let mut leases = client.work(unknown, heartbeats()).await.expect("opens");
    let error = leases
        .next()
        .await
        .expect("an answer")
        .expect_err("refused");
    assert_eq!(code(&error), Some(Code::NotFound));

    // A worker is no trainer.
    let session = client.register(&registration).await.expect("registered");
    let ready = tokio_stream::iter([FromTrainer::Ready]).chain(tokio_stream::pending());
    let mut tasks = client.train(session.peer, ready).await.expect("opens");
    let error = tasks.next().await.expect("an answer").expect_err("refused");
    assert_eq!(code(&error), Some(Code::NotFound));

    // Its shard is not what it says: that worker is sent away, its rows go to another.
    let liar = spawn_worker(&running.address, Habit::Lying);
    let told = liar.await.expect("no panic");
    assert_eq!(told, Some(Code::InvalidArgument));
    let worker = spawn_worker(&running.address, Habit::Steady);
    let trainer = spawn_trainer(&running.address);
    let outcome = running.wait().await.expect("finishes");
    assert_eq!(outcome.summary.simulations, 700);
    assert_eq!(worker.await.expect("no panic"), None);
    trainer.await.expect("no panic");
}

fn code(error: &ClientError) -> Option<Code> {
    match error {
        ClientError::Refused(status) => Some(status.code()),
        ClientError::Address { .. }
        | ClientError::Token(_)
        | ClientError::Connect { .. }
        | ClientError::Wire(_) => None,
    }
}
