//! One unit of the trainer's work: train, check the stored scores, score, draw, write.
//!
//! Files are written under the task's own directory; nothing counts until the coordinator records it.

use crate::draw::{self, DrawPlan};
use crate::estimator::Estimator;
use crate::model::{Model, ModelError, Scorer};
use crate::noise::{AddNoise, not_run};
use crate::reused::{ReusedFlows, ReusedScoresError};
use crate::rows::{self, BlindSpot, RowsError};
use crate::standardization::Standardization;
use crate::training::{self, Observer, TrainingError, TrainingState};
use crate::{checkpoint, device};
use burn::tensor::Device;
use sidereal_inference::base::files::FileError;
use sidereal_inference::base::{FlowId, Purpose, RoundId, files, while_store_fails};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{
    Directory, DrawTask, FinalRound, ModelFiles, Scores, ScoresFile, StoredFile, TrainerReport,
    TrainerTask, TrainingProgress, TrainingSummary,
};
use sidereal_inference::weights::Objective;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Largest difference between a stored log density and the same one computed again.
const SCORE_TOLERANCE: f64 = 1e-3;
/// Stored draws that are scored again before a trainer draws.
const N_CHECKED: u64 = 256;
/// Time between checkpoints: what a crash may cost.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// How often a task that waits for the storage looks whether it is to end.
const GLANCE: Duration = Duration::from_millis(100);

/// Why a task could not be done.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The training ended without a model.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// A model cannot be read, written, or used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The recorded rows cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// What reused rounds were drawn from cannot be read.
    #[error(transparent)]
    Reused(#[from] ReusedScoresError),
    /// A file of draws or scores cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file of draws or scores cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A model scores stored draws differently from when they were drawn.
    #[error(
        "{flow} scores row {row} as {found}, but {stored} was recorded; this machine or binary computes differently from the one that trained it"
    )]
    ScoresDiffer {
        /// The model.
        flow: FlowId,
        /// The first row that differs.
        row: u64,
        /// Its log density here.
        found: f64,
        /// Its log density as recorded.
        stored: f64,
    },
    /// The campaign has no observation, and draws are asked for.
    #[error("the task names {0} but the campaign has no observation to score it at")]
    NoObservation(FlowId),
}

impl TaskError {
    /// Whether the storage is at fault and not the task.
    pub fn is_store_fault(&self) -> bool {
        match self {
            Self::Table(error) | Self::Rows(RowsError::Table(error)) => error.is_store_fault(),
            Self::File(error) | Self::Model(ModelError::File(error)) => error.is_store_fault(),
            Self::Reused(error) => error.is_store_fault(),
            Self::Training(_)
            | Self::Model(
                ModelError::Invalid { .. }
                | ModelError::Parameters { .. }
                | ModelError::Observation(_)
                | ModelError::Features(_)
                | ModelError::NotFinite(_),
            )
            | Self::Rows(RowsError::Weights(_) | RowsError::Gap { .. })
            | Self::ScoresDiffer { .. }
            | Self::NoObservation(_) => false,
        }
    }
}

/// What a task runs with.
pub struct TaskContext<'a> {
    /// What is inferred.
    pub campaign: &'a Campaign,
    /// Where the campaign's files are.
    pub directory: &'a Directory,
    /// Where networks are trained; without autodiff.
    pub device: &'a Device,
    /// The threads; results do not depend on their number.
    pub pool: &'a rayon::ThreadPool,
    /// What adds noise to simulations, where a function of the user's does.
    pub noise: Option<&'a dyn AddNoise>,
    /// None but in measurements.
    pub blind_spot: Option<BlindSpot>,
    /// Set to end the task after the current epoch.
    pub interrupted: &'a AtomicBool,
    /// Called as the task goes on.
    pub on_progress: &'a mut dyn FnMut(TaskProgress),
}

/// How far a task has come.
#[derive(Debug, Clone)]
pub enum TaskProgress {
    /// After an epoch.
    Training(TrainingProgress),
    /// The rows of a round are about to be drawn.
    Drawing {
        /// Which round.
        round: RoundId,
        /// How many rows.
        n_rows: u64,
    },
    /// The storage is at fault; what was computed is kept until it is not.
    Paused {
        /// What the storage said.
        reason: String,
    },
    /// The storage answers again.
    Resumed,
}

/// Runs a task. The report depends on the campaign and the recorded rows alone (and on the device).
pub fn run(task: &TrainerTask, context: &mut TaskContext) -> Result<TrainerReport, TaskError> {
    let started = Instant::now();
    let mut models = Vec::with_capacity(task.models.len() + 1);
    for stored in &task.models {
        let (directory, device) = (context.directory, context.device);
        models.push(patiently(context, || {
            Model::load(directory, &stored.path, device)
        })?);
    }
    let (mut model, mut training) = (None, None);
    if let Some(flow) = task.train {
        let (trained, files) = train(flow, task, &models, context)?;
        training = Some(TrainingSummary {
            weights_sha256: files.weights_sha256.clone(),
            ..trained.training().clone()
        });
        model = Some(files);
        models.push(trained);
    }
    let (draws, scores) = match &task.draw {
        Some(draw) => {
            let (draws, scores) = score_and_draw(task, draw, &models, context)?;
            (Some(draws), scores)
        }
        None => (None, Vec::new()),
    };
    Ok(TrainerReport {
        attempt: task.attempt,
        model,
        training,
        draws,
        scores,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn train(
    flow: FlowId,
    task: &TrainerTask,
    earlier: &[Model],
    context: &mut TaskContext,
) -> Result<(Model, ModelFiles), TaskError> {
    let objectives = earlier
        .iter()
        .map(|model| (model.flow(), model.training().objective));
    let earlier: Vec<_> = objectives.collect();
    let (campaign, directory, pool) = (context.campaign, context.directory, context.pool);
    let blind_spot = context.blind_spot;
    let set = patiently(context, || {
        rows::training_set(
            campaign,
            flow,
            &earlier,
            &task.rounds,
            directory,
            blind_spot,
            pool,
        )
    })?;
    let set = match (&campaign.training_noise, set.objective, context.noise) {
        (Some(_), Objective::Simulations, Some(noise)) => set.with_noise(noise),
        (Some(noise), Objective::Simulations, None) => Err(not_run(noise)),
        (None, Objective::Simulations, _)
        | (_, Objective::WeightedDraws { .. } | Objective::SurrogateDraws, _) => Ok(set),
    };
    let set = set.map_err(|reason| TrainingError::Noise { flow, reason })?;
    let standardization = Standardization::new(&set);
    let device = device::of(set.objective, context.device);
    let estimator = training::network(&set, &standardization, &device);
    let name = task_name(context.campaign, flow, set.objective, &task.rounds);
    let resumed = latest_checkpoint(task, &name, &estimator, context);
    if let Some(state) = &resumed {
        tracing::info!(
            flow = flow.0,
            epoch = state.epoch,
            "training goes on from a checkpoint"
        );
    }
    let mut observer = TaskObserver {
        flow,
        max_epochs: training::schedule(&set).max_epochs,
        directory: context.directory,
        output: &task.output,
        name,
        last_checkpoint: Instant::now(),
        interrupted: context.interrupted,
        on_progress: context.on_progress,
    };
    let fitted = training::fit(
        &set,
        &standardization,
        estimator,
        resumed,
        context.pool,
        &mut observer,
    )?;
    let model = Model::new(
        context.campaign.clone(),
        standardization,
        fitted.summary,
        fitted.estimator,
        device,
    );
    let files = patiently(context, || model.store(directory, &task.output))?;
    Ok((model, files))
}

/// What is trained on what: a checkpoint is only good for exactly this.
fn task_name(
    campaign: &Campaign,
    flow: FlowId,
    objective: Objective,
    rounds: &[FinalRound],
) -> String {
    let mut text = format!(
        "{} {flow} {objective:?}",
        campaign_file::identity(campaign).0
    );
    if let Some(noise) = &campaign.training_noise {
        text.push_str(&format!(" {}", noise.digest));
    }
    for round in rounds {
        // Rows are the same however they are split into shards, so the shards' own hashes are no part of it.
        text.push_str(&format!(" {} {}", round.round, round.n_rows));
    }
    files::sha256_hex(text.as_bytes())
}

fn latest_checkpoint(
    task: &TrainerTask,
    name: &str,
    estimator: &Estimator,
    context: &TaskContext,
) -> Option<TrainingState> {
    task.earlier_attempts
        .iter()
        .chain([&task.output])
        .filter_map(|attempt| checkpoint::load(context.directory, attempt, name, estimator))
        .max_by_key(|state| state.epoch)
}

struct TaskObserver<'a> {
    flow: FlowId,
    max_epochs: u32,
    directory: &'a Directory,
    output: &'a str,
    name: String,
    last_checkpoint: Instant,
    interrupted: &'a AtomicBool,
    on_progress: &'a mut dyn FnMut(TaskProgress),
}

impl Observer for TaskObserver<'_> {
    fn on_epoch(&mut self, state: &TrainingState, seconds: f64) -> Result<(), TrainingError> {
        (self.on_progress)(TaskProgress::Training(TrainingProgress {
            flow: self.flow,
            epoch: state.epoch,
            max_epochs: self.max_epochs,
            training_loss: state.training_loss.last().copied().unwrap_or(f64::NAN),
            validation_loss: state.validation_loss.last().copied().unwrap_or(f64::NAN),
            best_validation_loss: state.best_validation_loss,
            epoch_s: seconds,
        }));
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        if interrupted || self.last_checkpoint.elapsed() > CHECKPOINT_INTERVAL {
            if let Err(error) = checkpoint::store(self.directory, self.output, &self.name, state) {
                tracing::warn!(%error, "cannot write a checkpoint; the training goes on without");
            }
            self.last_checkpoint = Instant::now();
        }
        if interrupted {
            Err(TrainingError::Interrupted)
        } else {
            Ok(())
        }
    }
}

/// Scores earlier rounds under the new flow, draws the next round, and scores it under every flow.
fn score_and_draw(
    task: &TrainerTask,
    draw_task: &DrawTask,
    models: &[Model],
    context: &mut TaskContext,
) -> Result<(StoredFile, Vec<ScoresFile>), TaskError> {
    let (campaign, directory, pool) = (context.campaign, context.directory, context.pool);
    let Some(observation) = &campaign.observation else {
        let newest = models.last().map_or(FlowId(0), Model::flow);
        return Err(TaskError::NoObservation(newest));
    };
    (context.on_progress)(TaskProgress::Drawing {
        round: draw_task.round,
        n_rows: draw_task.n_rows,
    });
    let mut scorers = BTreeMap::new();
    for model in models {
        scorers.insert(model.flow(), model.scorer(observation)?);
    }
    patiently(context, || {
        check_stored_scores(task, &scorers, campaign, directory, pool)
    })?;
    let mut stored = Vec::new();
    if let Some((flow, scorer)) = task
        .train
        .and_then(|flow| Some((flow, scorers.get(&flow)?)))
    {
        for round in &task.rounds {
            let draws = patiently(context, || rows::load_draws(campaign, round, directory))?;
            let log_density = draw::score(campaign, scorer, &draws, pool)?;
            let scores = Scores {
                round: round.round,
                flows: vec![flow],
                log_density: vec![log_density],
            };
            stored.push(store_scores(&scores, &task.output, context)?);
        }
    }
    let plan = DrawPlan {
        campaign,
        seed: campaign.seed,
        purpose: Purpose::Draw,
        round: draw_task.round,
        rows: 0..draw_task.n_rows,
        proposal: &draw_task.proposal,
    };
    let (draws, mut scores) = draw::draw(&plan, &scorers, pool)?;
    for file in &task.reused {
        let device = context.device;
        let reused = patiently(context, || ReusedFlows::load(directory, file, device))?;
        let (flows, log_density) = reused.score(&campaign.space, &draws, pool)?;
        scores.flows.extend(flows);
        scores.log_density.extend(log_density);
    }
    let name = format!("{}/draws.parquet", task.output);
    let draws = patiently(context, || draws.store(&campaign.space, directory, &name))?;
    stored.push(store_scores(&scores, &task.output, context)?);
    Ok((draws, stored))
}

fn store_scores(
    scores: &Scores,
    output: &str,
    context: &mut TaskContext,
) -> Result<ScoresFile, TaskError> {
    let name = format!("{output}/scores-round-{:03}.parquet", scores.round.0);
    let directory = context.directory;
    patiently(context, || scores.store(directory, &name))
}

/// Reads or writes files, again and again while the storage is at fault: what was computed must not be lost by a full
/// disk. Ends with the error where the task is to end.
fn patiently<T, E>(
    context: &mut TaskContext,
    mut work: impl FnMut() -> Result<T, E>,
) -> Result<T, TaskError>
where
    TaskError: From<E>,
{
    let interrupted = context.interrupted;
    let on_progress = &mut *context.on_progress;
    let mut is_paused = false;
    let pause = |error: &TaskError, wait: Duration| {
        tracing::warn!(%error, retry_s = wait.as_secs_f64(), "the store does not answer; tried again");
        is_paused = true;
        on_progress(TaskProgress::Paused {
            reason: error.to_string(),
        });
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if interrupted.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            std::thread::sleep(GLANCE);
        }
        ControlFlow::Continue(())
    };
    let done = while_store_fails(TaskError::is_store_fault, pause, || {
        work().map_err(TaskError::from)
    });
    if is_paused {
        (context.on_progress)(TaskProgress::Resumed);
    }
    done
}

/// Scores some stored draws again: a trainer that computes differently must not draw.
fn check_stored_scores(
    task: &TrainerTask,
    scorers: &BTreeMap<FlowId, Scorer>,
    campaign: &Campaign,
    directory: &Directory,
    pool: &rayon::ThreadPool,
) -> Result<(), TaskError> {
    let Some(round) = task.rounds.last().filter(|round| !round.scores.is_empty()) else {
        return Ok(());
    };
    let draws = rows::load_draws(campaign, round, directory)?;
    let checked = draws.slice(0..round.n_rows.min(N_CHECKED));
    for file in &round.scores {
        let stored = Scores::load(directory, file, round.n_rows)?;
        for (flow, stored) in stored.flows.iter().zip(&stored.log_density) {
            let Some(scorer) = scorers.get(flow) else {
                continue;
            };
            let found = draw::score(campaign, scorer, &checked, pool)?;
            for (row, (&found, &stored)) in found.iter().zip(stored).enumerate() {
                let both_zero = found == f64::NEG_INFINITY && stored == f64::NEG_INFINITY;
                if !both_zero && (found - stored).abs() > SCORE_TOLERANCE * (1.0 + stored.abs()) {
                    return Err(TaskError::ScoresDiffer {
                        flow: *flow,
                        row: row as u64,
                        found,
                        stored,
                    });
                }
            }
        }
    }
    Ok(())
}
