//! The coordinator as its peers see it: over loopback gRPC, with a worker and a trainer that do real
//! work on a linear-Gaussian campaign, and with ones that misbehave.

mod corpus;
mod faulty;
mod hands;
mod journals;
mod lateness;
mod peers;
mod repair;
mod reports;
mod results;
mod runs;
mod shards;
mod starts;
mod strangers;
mod weather;

use hands::code;
use peers::{Habit, campaign, registration, spawn_worker};
use runs::{Trial, config, expect_calm, finish, run_until, stop};
use sidereal_coordinator::{StartError, start};
use sidereal_inference::account::Progress;
use sidereal_inference::base::{FlowId, PeerId};
use sidereal_inference::records::Directory;
use sidereal_inference::weights::RoundKind;
use sidereal_proto::message::{FromTrainer, FromWorker, PeerKind};
use tokio_stream::StreamExt;
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_batches_and_restarts_do_not_change_a_byte() {
    let (_guard, calm) = on_disk();
    let outcome = finish(&calm, campaign(), &[Habit::Steady]).await;
    expect_calm(&calm).await;
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

    let (_guard, wild) = on_disk();
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
        run_until(&wild, rough.clone(), moment).await;
    }
    let habits = [Habit::Steady, Habit::Dying, Habit::Dying, Habit::Steady];
    finish(&wild, rough, &habits).await;
    expect_calm(&wild).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_campaign_gives_its_summary_again_and_goes_on_with_a_raised_target() {
    let directory = Directory::in_memory();
    let mut short = campaign();
    short.rounds.max = 2;
    short.rounds.stop.top_up = 0;
    let first = finish(&directory, short.clone(), &[Habit::Steady]).await;
    assert_eq!(first.summary.rounds.len(), 2);

    let running = start(config(&directory, short.clone()))
        .await
        .expect("starts");
    assert!(running.was_finished);
    let again = running.wait().await.expect("finished");
    assert_eq!(again, first);

    short.rounds.max = 3;
    let more = finish(&directory, short, &[Habit::Steady]).await;
    assert_eq!(more.summary.rounds.len(), 3);
    assert_eq!(more.summary.rounds[..2], first.summary.rounds[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_observation_a_model_is_the_result() {
    let directory = Directory::in_memory();
    let mut amortized = campaign();
    amortized.observation = None;
    amortized.noise = peers::constant_noise();
    amortized.rounds.max = 1;
    let outcome = finish(&directory, amortized, &[Habit::Steady]).await;
    assert_eq!(outcome.summary.combined, None);
    assert_eq!(outcome.summary.best_flow, Some(FlowId(0)));
    assert_eq!(outcome.posterior_path, None);
    let model = outcome.model_path.expect("a model");
    assert!(directory.read(&format!("{model}/model.json")).is_ok());
    assert!(
        !directory
            .list("")
            .expect("list")
            .contains(&"posterior.parquet".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_campaigns_and_changed_keys_are_refused() {
    let directory = Directory::in_memory();
    let running = start(config(&directory, campaign())).await.expect("starts");
    stop(running).await;

    let mut changed = campaign();
    changed.rounds.simulations = 300;
    let error = start(config(&directory, changed))
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
    let error = start(config(&directory, other)).await.expect_err("refused");
    assert!(matches!(error, StartError::OtherCampaign { .. }), "{error}");

    // A stop may change.
    let mut raised = campaign();
    raised.rounds.max = 9;
    let running = start(config(&directory, raised)).await.expect("starts");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_ends_in_an_error_for_its_peer_alone() {
    let trial = Trial::start().await;
    let mut client = trial.client().await;
    let unknown = PeerId(4242);
    let heartbeats = || tokio_stream::iter([FromWorker::Heartbeat]).chain(tokio_stream::pending());
    let mut leases = client.work(unknown, heartbeats()).await.expect("opens");
    let error = leases
        .next()
        .await
        .expect("an answer")
        .expect_err("refused");
    assert_eq!(code(error), Code::NotFound);

    // A worker is no trainer.
    let session = client
        .register(&registration(PeerKind::Worker))
        .await
        .expect("registered");
    let ready = tokio_stream::iter([FromTrainer::Ready]).chain(tokio_stream::pending());
    let mut tasks = client.train(session.peer, ready).await.expect("opens");
    let error = tasks.next().await.expect("an answer").expect_err("refused");
    assert_eq!(code(error), Code::NotFound);

    // Its shard is not what it says: that worker is sent away, its rows go to another.
    let liar = spawn_worker(&trial.reach(), Habit::Lying);
    let told = liar.await.expect("no panic");
    assert_eq!(told, Some(Code::InvalidArgument));
    let outcome = trial.ends_calmly().await;
    assert_eq!(outcome.summary.simulations, 700);
}

/// A campaign directory on a file system, until the guard goes.
fn on_disk() -> (tempfile::TempDir, Directory) {
    let guard = tempfile::tempdir().expect("temporary directory");
    let location = guard.path().to_str().expect("UTF-8");
    let directory = sidereal_store::create(location).expect("a directory");
    (guard, directory)
}
