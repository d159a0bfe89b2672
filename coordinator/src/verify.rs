//! Checks what workers and trainers report against what they were asked for, before anything is recorded.

use crate::campaign::event::{Task, TaskResult};
use crate::campaign::state::{WeighedRound, rows_of};
use crate::finish::files_of;
use crate::rounds::RoundDraws;
use sidereal_inference::base::files::FileError;
use sidereal_inference::base::{FlowId, RoundId, files};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::shard::{ShardLayout, Weighed};
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{
    Directory, DrawTask, Draws, ModelFiles, Scores, ScoresFile, ShardFile, TrainerReport, shard,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest difference between a draw's log proposal density and that of its scores.
const MAX_DIFFERENCE: f64 = 1e-6;

/// What a shard is checked against.
#[derive(Debug, Clone)]
pub struct AskedRows {
    pub(crate) directory: Directory,
    pub(crate) campaign: Arc<Campaign>,
    /// Of the shard's round.
    pub(crate) draws: Arc<RoundDraws>,
    /// What no peer knows, for the choice of rows that are looked at closely; no result depends on it.
    pub(crate) secret: Arc<str>,
}

/// Looks at the file of a reported shard before it is recorded; the error says what is wrong with it.
pub type ShardCheck = fn(&ShardFile, &AskedRows) -> Result<(), TableError>;

/// Whether a shard holds what was asked for.
pub(crate) fn check_shard(shard: &ShardFile, asked: &AskedRows) -> Result<(), TableError> {
    let AskedRows {
        directory,
        campaign,
        draws,
        secret,
    } = asked;
    let expected = draws.rows(campaign, rows_of(shard));
    let layout = ShardLayout::of(campaign);
    let weighed = Weighed::of(campaign);
    shard::check(directory, shard, layout, weighed, &expected, secret)
}

/// A trainer's report that is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{what} is {found}, expected {expected}")]
    Mismatch {
        what: String,
        found: String,
        expected: String,
    },
}

impl ReportError {
    /// Whether the storage is at fault and not the report.
    pub fn is_store_fault(&self) -> bool {
        match self {
            Self::Table(error) => error.is_store_fault(),
            Self::File(error) => error.is_store_fault(),
            Self::Mismatch { .. } => false,
        }
    }
}

/// What a report is checked against.
#[derive(Debug)]
pub struct Expectation {
    pub task: Task,
    /// The directory that the attempt writes under.
    pub output: String,
    /// All weighed rounds.
    pub rounds: Vec<WeighedRound>,
    /// Flows trained before.
    pub flows: Vec<FlowId>,
}

/// Reads every file that the report names; what comes back is ready to be recorded.
pub fn check_report(
    directory: &Directory,
    campaign: &Campaign,
    expected: &Expectation,
    report: TrainerReport,
) -> Result<TaskResult, ReportError> {
    check_model(directory, expected, &report)?;
    let mut flows = expected.flows.clone();
    flows.extend(expected.task.train);
    let mut files_by_round: BTreeMap<RoundId, Vec<&ScoresFile>> = BTreeMap::new();
    for scores in &report.scores {
        check_path(&scores.file.path, &expected.output)?;
        files_by_round.entry(scores.round).or_default().push(scores);
    }
    if campaign.observation.is_some()
        && let Some(flow) = expected.task.train
    {
        for round in &expected.rounds {
            let files = files_by_round
                .remove(&round.files.round)
                .unwrap_or_default();
            load_scores(
                directory,
                round.files.round,
                round.files.n_rows,
                &files,
                &[flow],
            )?;
        }
    }
    match (&expected.task.draw, &report.draws) {
        (Some(draw), Some(stored)) => {
            check_path(&stored.path, &expected.output)?;
            let draws = Draws::load(directory, stored, &campaign.space, draw.round)?;
            let files = files_by_round.remove(&draw.round).unwrap_or_default();
            let scores = load_scores(directory, draw.round, draw.n_rows, &files, &flows)?;
            check_draws(campaign, draw, &draws, &scores)?;
        }
        (None, None) => {}
        (Some(_), None) => return Err(mismatch("draws", "missing", "some")),
        (None, Some(_)) => return Err(mismatch("draws", "reported", "none")),
    }
    if let Some(round) = files_by_round.keys().next() {
        return Err(mismatch("scores", round, "none of that round"));
    }
    Ok(TaskResult {
        model: report.model,
        training: report.training,
        draws: report.draws,
        scores: report.scores,
    })
}

fn check_model(
    directory: &Directory,
    expected: &Expectation,
    report: &TrainerReport,
) -> Result<(), ReportError> {
    match (expected.task.train, &report.model, &report.training) {
        (None, None, None) => Ok(()),
        (Some(flow), Some(model), Some(training)) => {
            if model.flow != flow || training.flow != flow {
                return Err(mismatch("trained flow", model.flow, flow));
            }
            if training.weights_sha256 != model.weights_sha256 {
                return Err(mismatch(
                    "SHA-256 of the weights in the training summary",
                    &training.weights_sha256,
                    &model.weights_sha256,
                ));
            }
            check_model_files(directory, expected, model)
        }
        (asked, found, _) => Err(mismatch(
            "model",
            found.as_ref().map_or("missing", |_| "reported"),
            asked.map_or("none", |_| "one"),
        )),
    }
}

fn check_model_files(
    directory: &Directory,
    expected: &Expectation,
    model: &ModelFiles,
) -> Result<(), ReportError> {
    if model.path != expected.output {
        check_path(&model.path, &expected.output)?;
    }
    for (name, sha256) in files_of(model) {
        let path = format!("{}/{name}", model.path);
        let found = files::sha256_hex(&directory.read(&path)?);
        if found != *sha256 {
            let what = format!("SHA-256 of {}", directory.join(&path).display());
            return Err(mismatch(what, found, sha256));
        }
    }
    Ok(())
}

fn check_path(path: &str, output: &str) -> Result<(), ReportError> {
    let is_below = path
        .strip_prefix(output)
        .is_some_and(|rest| rest.starts_with('/'));
    if is_below {
        return Ok(());
    }
    Err(mismatch(
        "path",
        format!("{path:?}"),
        format!("a file under {output:?}"),
    ))
}

/// Scores of a round under exactly these flows.
fn load_scores(
    directory: &Directory,
    round: RoundId,
    n_rows: u64,
    stored: &[&ScoresFile],
    flows: &[FlowId],
) -> Result<BTreeMap<FlowId, Vec<f64>>, ReportError> {
    let mut scores_by_flow = BTreeMap::new();
    for file in stored {
        let scores = Scores::load(directory, file, n_rows)?;
        for (flow, log_density) in scores.flows.into_iter().zip(scores.log_density) {
            if scores_by_flow.insert(flow, log_density).is_some() {
                return Err(mismatch(
                    format!("scores of {round}"),
                    flow,
                    "each flow once",
                ));
            }
        }
    }
    let found: Vec<u32> = scores_by_flow.keys().map(|flow| flow.0).collect();
    let mut expected: Vec<u32> = flows.iter().map(|flow| flow.0).collect();
    expected.sort_unstable();
    if found != expected {
        return Err(mismatch(
            format!("flows that {round} is scored under"),
            format!("{found:?}"),
            format!("{expected:?}"),
        ));
    }
    Ok(scores_by_flow)
}

fn check_draws(
    campaign: &Campaign,
    task: &DrawTask,
    draws: &Draws,
    scores: &BTreeMap<FlowId, Vec<f64>>,
) -> Result<(), ReportError> {
    if draws.first_row != 0 || draws.n_rows() as u64 != task.n_rows {
        return Err(mismatch(
            format!("rows of the draws of {}", task.round),
            format!("{} from {}", draws.n_rows(), draws.first_row),
            format!("{} from 0", task.n_rows),
        ));
    }
    if draws.n_parameters != campaign.space.len() {
        return Err(mismatch(
            "parameters of the draws",
            draws.n_parameters,
            campaign.space.len(),
        ));
    }
    for row in 0..draws.n_rows() {
        let what = |column: &str| format!("{column} of row {row} of {}", task.round);
        let drawn = draws.component[row];
        if !task
            .proposal
            .components
            .iter()
            .any(|(component, _)| *component == drawn)
        {
            return Err(mismatch(what("component"), drawn, "one of the proposal"));
        }
        let is_finite = draws.log_prior[row].is_finite()
            && draws.z_row(row).iter().all(|z| z.is_finite())
            && draws.theta_row(row).iter().all(|theta| theta.is_finite());
        if !is_finite {
            return Err(mismatch(
                what("z, parameters or log prior"),
                "not finite",
                "finite",
            ));
        }
        let log_proposal =
            task.proposal
                .log_density_at(draws.z_row(row), draws.log_prior[row], |flow| {
                    scores
                        .get(&flow)
                        .map_or(f64::NEG_INFINITY, |scores| scores[row])
                });
        let found = draws.log_proposal[row];
        let difference = (found - log_proposal).abs() / (1.0 + log_proposal.abs());
        // Two infinities have no difference that is a number.
        if difference.is_nan() || difference > MAX_DIFFERENCE {
            return Err(mismatch(what("log_proposal"), found, log_proposal));
        }
    }
    Ok(())
}

fn mismatch(what: impl Into<String>, found: impl ToString, expected: impl ToString) -> ReportError {
    ReportError::Mismatch {
        what: what.into(),
        found: found.to_string(),
        expected: expected.to_string(),
    }
}
