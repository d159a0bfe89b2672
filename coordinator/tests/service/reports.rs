//! Trainers that report what they were not asked for, or files that are not what they say.

use super::hands::TrainerHand;
use super::peers::{Habit, run_task, spawn_worker};
use super::runs::Trial;
use sidereal_inference::base::files::sha256_hex;
use sidereal_inference::base::{AttemptId, FlowId, RoundId};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::{
    Directory, Draws, Scores, ScoresFile, StoredFile, TrainerReport,
};
use sidereal_inference::weights::Component;
use sidereal_proto::message::FromTrainer;
use tonic::Code;

type Spoil = fn(&Directory, &Campaign, &mut TrainerReport);

/// Times that a task may fail; one more ends the campaign.
const REPEATS: usize = 3;

const SPOILT: [(&str, Spoil, &str); 21] = [
    (
        "draws cut",
        |directory, _, report| cut(directory, &draws(report).path.clone()),
        "the size is",
    ),
    (
        "draws cut and owned up to",
        |directory, _, report| {
            let path = draws(report).path.clone();
            let bytes = directory.read(&path).expect("read").slice(..100).to_vec();
            *draws(report) = directory.store(&path, bytes).expect("store");
        },
        "as Parquet",
    ),
    (
        "a lying hash of the draws",
        |_, _, report| draws(report).sha256 = sha256_hex(b"other"),
        "the SHA-256 is",
    ),
    (
        "draws missing",
        |directory, _, report| directory.remove(&draws(report).path).expect("remove"),
        "cannot read",
    ),
    (
        "no draws",
        |_, _, report| report.draws = None,
        "draws is missing",
    ),
    (
        "draws elsewhere",
        |_, _, report| draws(report).path = "rounds/draws.parquet".to_owned(),
        "path",
    ),
    (
        "draws outside",
        |_, _, report| draws(report).path.push_str("/../../../../../etc/passwd"),
        "path",
    ),
    (
        "fewer draws",
        |directory, campaign, report| {
            change_draws(directory, campaign, report, |draws| {
                *draws = draws.slice(0..10)
            });
        },
        "rows",
    ),
    (
        "another proposal density",
        |directory, campaign, report| {
            change_draws(directory, campaign, report, |draws| {
                draws.log_proposal[4] += 0.1
            });
        },
        "log_proposal of row 4",
    ),
    (
        "a component that was not proposed",
        |directory, campaign, report| {
            change_draws(directory, campaign, report, |draws| {
                draws.component[4] = Component::Flow(FlowId(55))
            });
        },
        "component of row 4",
    ),
    (
        "draws that are NaN",
        |directory, campaign, report| {
            change_draws(directory, campaign, report, |draws| {
                draws.theta[0] = f64::NAN
            });
        },
        "a in line 0",
    ),
    (
        "scores cut",
        |directory, _, report| cut(directory, &scores(report).file.path.clone()),
        "the size is",
    ),
    (
        "a lying hash of the scores",
        |_, _, report| scores(report).file.sha256 = sha256_hex(b"other"),
        "the SHA-256 is",
    ),
    (
        "scores that are NaN",
        |directory, _, report| {
            change_scores(directory, report, |scores| {
                scores.log_density[0][3] = f64::NAN
            });
        },
        "in line 3 is NaN",
    ),
    (
        "fewer scores",
        |directory, _, report| {
            change_scores(directory, report, |scores| {
                for column in &mut scores.log_density {
                    column.pop();
                }
            });
        },
        "the number of rows",
    ),
    (
        "no scores",
        |_, _, report| report.scores.clear(),
        "scored under",
    ),
    (
        "scores twice",
        |_, _, report| {
            let again = scores(report).clone();
            report.scores.push(again);
        },
        "once",
    ),
    (
        "scores of no such round",
        |_, _, report| scores(report).round = RoundId(77),
        "",
    ),
    (
        "scores elsewhere",
        |_, _, report| scores(report).file.path = "summary.json".to_owned(),
        "path",
    ),
    (
        "a size that lies",
        |_, _, report| draws(report).n_bytes = u64::MAX,
        "the size is",
    ),
    (
        "scores of other flows",
        |_, _, report| scores(report).flows = vec![FlowId(3)],
        "",
    ),
];

/// Only where a flow is trained.
const SPOILT_MODELS: [(&str, Spoil, &str); 7] = [
    (
        "weights changed",
        |directory, _, report| {
            let path = format!("{}/weights.safetensors", model(report).path);
            directory.write(&path, "other").expect("write");
        },
        "SHA-256 of",
    ),
    (
        "a lying hash of the weights",
        |_, _, report| {
            let sha256 = sha256_hex(b"other");
            model(report).weights_sha256.clone_from(&sha256);
            if let Some(training) = &mut report.training {
                training.weights_sha256 = sha256;
            }
        },
        "SHA-256 of",
    ),
    (
        "a model elsewhere",
        |_, _, report| model(report).path = "../model".to_owned(),
        "path",
    ),
    (
        "another flow",
        |_, _, report| model(report).flow = FlowId(9),
        "trained flow",
    ),
    (
        "a summary of other weights",
        |_, _, report| {
            if let Some(training) = &mut report.training {
                training.weights_sha256 = sha256_hex(b"other");
            }
        },
        "training summary",
    ),
    (
        "no model",
        |_, _, report| report.model = None,
        "has no model",
    ),
    (
        "neither model nor summary",
        |_, _, report| (report.model, report.training) = (None, None),
        "model is missing",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoilt_reports_are_refused_and_cost_nothing() {
    spoil_all(&SPOILT, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoilt_models_are_refused_and_cost_nothing() {
    // The third task only draws.
    spoil_all(&SPOILT_MODELS, 2).await;
}

/// As many campaigns as it takes to report all of this, a few for each of the first tasks.
async fn spoil_all(spoilt: &[(&str, Spoil, &str)], n_tasks: usize) {
    for part in spoilt.chunks(n_tasks * REPEATS) {
        let trial = Trial::start().await;
        let worker = spawn_worker(&trial.reach(), Habit::Steady);
        for of_task in part.chunks(REPEATS) {
            for &(name, spoil, reason) in of_task {
                let refusal = report(&trial, spoil).await;
                assert!(refusal.contains(reason), "{name}: {refusal}");
            }
            // The task is still there for a sound one.
            let mut hand = TrainerHand::open(&trial.reach()).await;
            let report = good_report(&trial, &mut hand).await;
            hand.send(FromTrainer::Report(Box::new(report))).await;
            hand.leave().await;
        }
        assert_eq!(trial.n_refused().await, part.len() as u64);
        trial.ends_calmly_with(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_on_tasks_of_others_do_nothing() {
    let trial = Trial::start().await;
    let worker = spawn_worker(&trial.reach(), Habit::Steady);
    let mut owner = TrainerHand::open(&trial.reach()).await;
    let report = good_report(&trial, &mut owner).await;
    let mut thief = TrainerHand::open(&trial.reach()).await;
    let unknown = TrainerReport {
        attempt: AttemptId(report.attempt.0 + 1000),
        ..report.clone()
    };
    thief.send(FromTrainer::Report(Box::new(unknown))).await;
    thief
        .send(FromTrainer::Report(Box::new(report.clone())))
        .await;
    let refusal = thief.refusal().await;
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("is not leased to"), "{refusal}");
    owner.send(FromTrainer::Report(Box::new(report))).await;
    owner.leave().await;
    trial.ends_calmly_with(worker).await;
}

/// A trainer takes a task and reports something spoilt; why it is sent away.
async fn report(trial: &Trial, spoil: Spoil) -> String {
    let mut hand = TrainerHand::open(&trial.reach()).await;
    let mut report = good_report(trial, &mut hand).await;
    spoil(&trial.directory, &hand.session.campaign, &mut report);
    hand.send(FromTrainer::Report(Box::new(report))).await;
    let refusal = hand.refusal().await;
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    refusal.message().to_owned()
}

async fn good_report(trial: &Trial, hand: &mut TrainerHand) -> TrainerReport {
    let task = hand.task().await.expect("a task");
    run_task(&hand.session.campaign, &trial.directory, &task).expect("runs")
}

fn draws(report: &mut TrainerReport) -> &mut StoredFile {
    report.draws.as_mut().expect("draws")
}

/// Of the drawn rows, which every task has.
fn scores(report: &mut TrainerReport) -> &mut ScoresFile {
    report.scores.last_mut().expect("scores")
}

fn model(report: &mut TrainerReport) -> &mut sidereal_inference::records::ModelFiles {
    report.model.as_mut().expect("a model")
}

fn cut(directory: &Directory, path: &str) {
    let bytes = directory.read(path).expect("read");
    let half = bytes.slice(..bytes.len() / 2);
    directory.write(path, half).expect("write");
}

fn change_draws(
    directory: &Directory,
    campaign: &Campaign,
    report: &mut TrainerReport,
    change: fn(&mut Draws),
) {
    let round = scores(report).round;
    let stored = draws(report);
    let mut changed = Draws::load(directory, stored, &campaign.space, round).expect("own draws");
    change(&mut changed);
    *stored = changed
        .store(&campaign.space, directory, &stored.path)
        .expect("store");
}

fn change_scores(directory: &Directory, report: &mut TrainerReport, change: fn(&mut Scores)) {
    let stored = scores(report);
    let bytes = |scores: &Scores| scores.log_density.first().map_or(0, Vec::len) as u64;
    let n_rows = [200, 100]
        .into_iter()
        .find(|&n_rows| Scores::load(directory, stored, n_rows).is_ok())
        .expect("own scores");
    let mut changed = Scores::load(directory, stored, n_rows).expect("own scores");
    assert_eq!(bytes(&changed), n_rows);
    change(&mut changed);
    *stored = changed.store(directory, &stored.file.path).expect("store");
}
