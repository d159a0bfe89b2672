//! Fits an estimator to training rows: fresh noise each epoch, Adam, cosine decay, gradient clipping,
//! early stopping with return to the best epoch, and recovery from a loss that is not finite.

use crate::estimator::{Estimator, Leaves};
use crate::fused;
use crate::loss;
use crate::optimizer::{self, HostAdam};
use crate::parameters::{self, NamedTensor};
use crate::standardization::Standardization;
use crate::training_set::{Minibatch, TrainingSet};
use burn::module::Module;
use burn::optim::{Adam, AdamConfig, AdamState, Optimizer};
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sidereal_inference::campaign::{Featurizer, Loss, Normalization, Training};
use sidereal_inference::ids::{FlowId, RoundId, RowId};
use sidereal_inference::minibatch::{SLICE_ROWS, even_slices};
use sidereal_inference::refinement::Objective;
use sidereal_inference::seeds::{Purpose, stream};
use sidereal_inference::summary::TrainingSummary;

/// Rows of a minibatch of weighted draws, which pass through a flow alone, that one thread works on.
const DRAW_SLICE_ROWS: usize = 128;
/// The learning rate ends at this share of its start.
const FINAL_RATE: f64 = 0.01;
/// The learning rate after each recovery, relative to before.
const RECOVERY_RATE: f64 = 0.3;
const MAX_RECOVERIES: u32 = 5;
/// Weighted draws are resampled to this number in each epoch.
const DRAWS_PER_EPOCH: usize = 2560;

/// Why a training ended without a model.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error("{found} usable rows are too few to train on; at least {expected} are needed")]
    TooFewRows { found: usize, expected: usize },
    #[error(
        "the loss of {flow} was not finite {n} times, at ever lower learning rates; the simulated data may hold values far beyond their usual range"
    )]
    NotFinite { flow: FlowId, n: u32 },
    #[error("the training was interrupted")]
    Interrupted,
}

/// Everything that the next epoch depends on: what a checkpoint holds.
#[derive(Clone)]
pub struct TrainingState {
    pub epoch: u32,
    pub values: Tensor<1>,
    /// Running mean of `values` over the last steps: what is validated, and what a model is made of.
    pub average: Tensor<1>,
    pub adam: Option<AdamState<1>>,
    /// All tensors of the network by name at the best epoch, running statistics included.
    pub best: Vec<NamedTensor>,
    /// Running statistics are not in `values`; here are all tensors at the end of the last epoch.
    pub current: Vec<NamedTensor>,
    pub best_epoch: u32,
    pub best_validation_loss: f64,
    pub training_loss: Vec<f64>,
    pub validation_loss: Vec<f64>,
    pub n_recoveries: u32,
}

/// A fitted estimator with how it came about.
pub struct Fitted {
    pub estimator: Estimator,
    pub summary: TrainingSummary,
}

/// What the shell around a training does after each epoch.
pub trait Observer {
    /// Called after each epoch with its state; an error ends the training.
    fn on_epoch(&mut self, state: &TrainingState, seconds: f64) -> Result<(), TrainingError>;
}

/// Trains `estimator` (on an autodiff device) on `set`, from `resumed` where there is a checkpoint, whose network is
/// this one.
///
/// The result depends on campaign, rows and initial weights alone, not on threads or interruptions.
pub fn fit(
    set: &TrainingSet,
    standardization: &Standardization,
    estimator: Estimator,
    resumed: Option<TrainingState>,
    pool: &rayon::ThreadPool,
    observer: &mut dyn Observer,
) -> Result<Fitted, TrainingError> {
    let fitted = fit_with_buffers(set, standardization, estimator, resumed, pool, observer);
    pool.broadcast(|_| fused::clear_buffers());
    fitted
}

/// [`fit`], after which the pool's threads still keep their scratch memory.
fn fit_with_buffers(
    set: &TrainingSet,
    standardization: &Standardization,
    estimator: Estimator,
    resumed: Option<TrainingState>,
    pool: &rayon::ThreadPool,
    observer: &mut dyn Observer,
) -> Result<Fitted, TrainingError> {
    let schedule = schedule(set);
    let split = Split::new(set, schedule.validation_fraction)?;
    let adam = AdamConfig::new().with_epsilon(1e-8).build();
    let mut estimator = estimator;
    let mut state = match resumed {
        Some(state) => {
            estimator = restore(estimator, &state.current);
            state
        }
        None => TrainingState::new(&estimator),
    };
    let slicing = Slicing::of(set);
    let validation = validation_batches(set, &split.validation, standardization, pool);
    while state.epoch < schedule.max_epochs
        && state.epoch.saturating_sub(state.best_epoch) <= schedule.patience
    {
        let started = std::time::Instant::now();
        let before = state.clone();
        let epoch = Epoch {
            set,
            schedule: &schedule,
            standardization,
            adam: &adam,
            pool,
            slicing,
        };
        let (trained, training_loss) = epoch.run(estimator, &split.training, &mut state);
        estimator = trained;
        let averaged = parameters::with_flat(estimator.clone(), &state.average);
        let validation_loss = mean_loss(&averaged, schedule.loss, &validation, pool);
        if !(training_loss.is_finite() && validation_loss.is_finite()) {
            if before.n_recoveries >= MAX_RECOVERIES {
                return Err(TrainingError::NotFinite {
                    flow: set.flow(),
                    n: MAX_RECOVERIES + 1,
                });
            }
            tracing::warn!(
                flow = set.flow().0,
                epoch = state.epoch,
                "loss is not finite: back to the last good epoch at a lower rate"
            );
            estimator = restore(estimator, &before.current);
            state = TrainingState {
                n_recoveries: before.n_recoveries + 1,
                adam: None,
                ..before
            };
            continue;
        }
        state.current = parameters::named_tensors(&estimator);
        state.training_loss.push(training_loss);
        state.validation_loss.push(validation_loss);
        state.epoch += 1;
        if validation_loss < state.best_validation_loss {
            state.best_validation_loss = validation_loss;
            state.best_epoch = state.epoch;
            state.best = parameters::named_tensors(&averaged);
        }
        observer.on_epoch(&state, started.elapsed().as_secs_f64())?;
    }
    let estimator = restore(estimator, &state.best);
    let summary = TrainingSummary {
        flow: set.flow(),
        objective: set.objective(),
        n_rows: set.n_rows() as u64,
        n_epochs: state.epoch,
        best_epoch: state.best_epoch,
        best_validation_loss: state.best_validation_loss,
        training_loss: state.training_loss,
        validation_loss: state.validation_loss,
        n_recoveries: state.n_recoveries,
        weights_sha256: String::new(),
    };
    Ok(Fitted {
        estimator: estimator.valid(),
        summary,
    })
}

impl TrainingState {
    fn new(estimator: &Estimator) -> Self {
        let current = parameters::named_tensors(estimator);
        let values = parameters::flat(estimator);
        Self {
            epoch: 0,
            average: values.clone(),
            values,
            adam: None,
            best: current.clone(),
            current,
            best_epoch: 0,
            best_validation_loss: f64::INFINITY,
            training_loss: Vec::new(),
            validation_loss: Vec::new(),
            n_recoveries: 0,
        }
    }
}

/// How a network is trained: as the campaign file says on simulations; on weighted draws, which are cheap, in
/// a way of its own.
pub fn schedule(set: &TrainingSet) -> Training {
    let config = set.campaign().training.clone();
    match set.objective() {
        Objective::Simulations => config,
        Objective::WeightedDraws { .. } => Training {
            batch_size: 256,
            learning_rate: 3e-3,
            max_epochs: 150,
            patience: 30,
            validation_fraction: 0.2,
            clip_norm: 5.0,
            loss: Loss::Nll,
            ..config
        },
    }
}

/// Rows held out for validation and rows trained on, both in ascending order.
struct Split {
    training: Vec<usize>,
    validation: Vec<usize>,
}

impl Split {
    fn new(set: &TrainingSet, fraction: f64) -> Result<Self, TrainingError> {
        const FEWEST: usize = 20;
        let n = set.n_rows();
        if n < FEWEST {
            return Err(TrainingError::TooFewRows {
                found: n,
                expected: FEWEST,
            });
        }
        let mut rows: Vec<usize> = (0..n).collect();
        rows.shuffle(&mut stream(
            set.campaign().seed,
            RoundId(set.flow().0),
            RowId(0),
            Purpose::Split,
        ));
        let n_validation = ((n as f64 * fraction).round() as usize).clamp(1, n / 2);
        let mut validation = rows.split_off(n - n_validation);
        rows.sort_unstable();
        validation.sort_unstable();
        Ok(Self {
            training: rows,
            validation,
        })
    }
}

/// How a minibatch is shared among threads.
#[derive(Debug, Clone, Copy)]
enum Slicing {
    /// Even slices of at most so many rows, gradients summed in their order.
    Rows(usize),
    /// Batch normalization needs the statistics of the whole minibatch; a GPU wants it whole.
    Whole,
}

impl Slicing {
    fn of(set: &TrainingSet) -> Self {
        match set.objective() {
            Objective::Simulations => {}
            Objective::WeightedDraws { .. } => return Self::Rows(DRAW_SLICE_ROWS),
        }
        match &set.campaign().featurizer {
            Featurizer::ResnetGru {
                normalization: Normalization::Batch,
                ..
            }
            | Featurizer::Resnet {
                normalization: Normalization::Batch,
                ..
            } => Self::Whole,
            Featurizer::ResnetGru {
                normalization: Normalization::Weight,
                ..
            }
            | Featurizer::Resnet {
                normalization: Normalization::Weight,
                ..
            }
            | Featurizer::Gru { .. }
            | Featurizer::Mlp { .. } => Self::Rows(SLICE_ROWS),
        }
    }

    fn rows(self, batch: &[usize]) -> Vec<&[usize]> {
        match self {
            Self::Rows(most) => even_slices(batch.len(), most)
                .map(|slice| &batch[slice])
                .collect(),
            Self::Whole => vec![batch],
        }
    }
}

/// A slice's share of a minibatch.
struct SliceGradient {
    /// `[1]`
    loss: Tensor<1>,
    /// `[n]` end to end
    gradient: Vec<Tensor<1>>,
    /// Whether its memory is to be given back.
    is_lent: bool,
}

struct Epoch<'a> {
    set: &'a TrainingSet<'a>,
    schedule: &'a Training,
    standardization: &'a Standardization,
    adam: &'a Adam,
    pool: &'a rayon::ThreadPool,
    slicing: Slicing,
}

impl Epoch<'_> {
    /// One pass over the training rows; the mean loss.
    fn run(
        &self,
        estimator: Estimator,
        rows: &[usize],
        state: &mut TrainingState,
    ) -> (Estimator, f64) {
        let rows = self.rows(rows, state.epoch);
        let batch_size = self.schedule.batch_size.min(rows.len());
        let batches: Vec<&[usize]> = rows
            .chunks(batch_size.max(1))
            .filter(|batch| batch.len() == batch_size)
            .collect();
        if on_wgpu(&estimator) {
            self.run_on_device(estimator, &batches, state)
        } else {
            // All of it on the pool's threads: to wake one for each step would take as long as a small step.
            self.pool
                .install(|| self.run_on_cpu(estimator, &batches, state))
        }
    }

    fn run_on_cpu(
        &self,
        mut estimator: Estimator,
        batches: &[&[usize]],
        state: &mut TrainingState,
    ) -> (Estimator, f64) {
        let device = estimator.devices()[0].clone().inner();
        let mut adam = HostAdam::new(&state.values, &state.average, state.adam.take());
        let mut losses = Vec::with_capacity(batches.len());
        for (step, batch) in batches.iter().enumerate() {
            let values = adam.values_tensor(&device);
            match self.slicing {
                Slicing::Rows(_) => {}
                Slicing::Whole => estimator = parameters::with_flat(estimator, &values),
            }
            let parts = self.gradients(&estimator, &values, batch, state.epoch, self.slicing);
            let mut loss = 0.0;
            let mut gradients: Vec<Vec<Vec<f32>>> = Vec::with_capacity(parts.len());
            let are_lent = parts.iter().all(|part| part.is_lent);
            for part in parts {
                loss += parameters::host(part.loss)
                    .into_iter()
                    .map(f64::from)
                    .sum::<f64>();
                gradients.push(part.gradient.into_iter().map(parameters::host).collect());
            }
            losses.push(loss);
            adam.recycle(values);
            let step = optimizer::Step {
                rate: self.rate(step, batches.len(), state),
                clip_norm: self.schedule.clip_norm,
                keep: average_decay(adam.n_steps + 1),
            };
            adam.step(&gradients, &step, self.pool);
            if are_lent {
                gradients.into_iter().flatten().for_each(fused::give_back);
            }
        }
        (state.values, state.average, state.adam) = adam.into_tensors(&device);
        estimator = parameters::with_flat(estimator, &state.values);
        let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        (estimator, mean)
    }

    fn run_on_device(
        &self,
        mut estimator: Estimator,
        batches: &[&[usize]],
        state: &mut TrainingState,
    ) -> (Estimator, f64) {
        let mut losses = Vec::with_capacity(batches.len());
        for (step, batch) in batches.iter().enumerate() {
            let rate = self.rate(step, batches.len(), state);
            let parts = self.gradients(
                &estimator,
                &state.values,
                batch,
                state.epoch,
                Slicing::Whole,
            );
            let Some(SliceGradient { loss, gradient, .. }) = parts.into_iter().next() else {
                continue;
            };
            let gradient = Tensor::cat(gradient, 0);
            let norm = gradient.clone().powi_scalar(2).sum().sqrt();
            let factor = (norm + 1e-12)
                .recip()
                .mul_scalar(self.schedule.clip_norm)
                .clamp_max(1.0);
            let (values, adam) = self.adam.step(
                rate,
                state.values.clone(),
                gradient * factor,
                state.adam.take(),
            );
            estimator = parameters::with_flat(estimator, &values);
            let n_steps = adam.as_ref().map_or(0, |adam| adam.momentum.time);
            let keep = average_decay(n_steps);
            state.average = state.average.clone() * keep + values.clone() * (1.0 - keep);
            state.values = values;
            state.adam = adam;
            losses.push(loss);
        }
        if losses.is_empty() {
            return (estimator, 0.0);
        }
        let losses = parameters::host(Tensor::cat(losses, 0));
        let mean =
            losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len().max(1) as f64;
        (estimator, mean)
    }

    /// The learning rate of a step of this epoch.
    fn rate(&self, step: usize, n_steps: usize, state: &TrainingState) -> f64 {
        let schedule = self.schedule;
        let done = (f64::from(state.epoch) + step as f64 / n_steps as f64)
            / f64::from(schedule.max_epochs);
        learning_rate(schedule.learning_rate, done, state.n_recoveries)
    }

    /// The rows of an epoch in their order: simulations once each, draws as often as their weight asks for.
    fn rows(&self, rows: &[usize], epoch: u32) -> Vec<usize> {
        let rng = &mut stream(
            self.set.campaign().seed,
            RoundId(self.set.flow().0),
            RowId(0),
            Purpose::Shuffle { epoch },
        );
        let mut rows = match self.set.objective() {
            Objective::Simulations => rows.to_vec(),
            Objective::WeightedDraws { .. } => {
                resample(self.set.weight(), rows, DRAWS_PER_EPOCH, rng)
            }
        };
        rows.shuffle(rng);
        rows
    }

    /// Each slice's share of a minibatch's mean loss and of its gradient, in their order.
    fn gradients(
        &self,
        estimator: &Estimator,
        values: &Tensor<1>,
        batch: &[usize],
        epoch: u32,
        slicing: Slicing,
    ) -> Vec<SliceGradient> {
        let device = estimator.devices()[0].clone();
        let slices = slicing.rows(batch);
        let of_slice = |rows: &&[usize]| {
            // Each slice has leaves of its own: threads that share leaves share burn's autodiff graph,
            // whose locks are then taken in two orders (a deadlock in burn-autodiff 0.22.1).
            let (own, leaves) = match slicing {
                Slicing::Rows(_) => estimator.with_leaves(values),
                Slicing::Whole => (estimator.clone(), Leaves::Parameters),
            };
            let minibatch =
                self.set
                    .minibatch(rows, Purpose::TrainingNoise { epoch }, self.standardization);
            let log_score = log_score(&own, &minibatch, self.schedule.loss, &device);
            let log_score = match self.set.objective() {
                Objective::Simulations => {
                    let weight = TensorData::new(minibatch.weight.clone(), [minibatch.n]);
                    log_score * Tensor::from_data(weight, &device)
                }
                // Their weight is in how often they come.
                Objective::WeightedDraws { .. } => log_score,
            };
            let loss = log_score.sum().neg() / batch.len() as f64;
            let mut gradients = loss.backward();
            SliceGradient {
                loss: loss.inner(),
                gradient: leaves.gradients(&own, &mut gradients),
                is_lent: leaves.are_lent(),
            }
        };
        self.pool
            .install(|| slices.par_iter().map(of_slice).collect())
    }
}

/// Share of the running mean that a step keeps: over all steps at first, over the last 200 later.
fn average_decay(n_steps: usize) -> f64 {
    const LONGEST: f64 = 200.0;
    let n = n_steps as f64;
    (n / (n + 10.0)).min(1.0 - 1.0 / LONGEST)
}

/// Cosine decay over `done` in [0, 1], lowered by each recovery.
fn learning_rate(start: f64, done: f64, n_recoveries: u32) -> f64 {
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
    start
        * (FINAL_RATE + (1.0 - FINAL_RATE) * cosine)
        * RECOVERY_RATE.powi(n_recoveries.cast_signed())
}

/// `n` of `rows`, each as often as its share of the weight asks for, up to one (systematic resampling).
fn resample(weight: &[f64], rows: &[usize], n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let total: f64 = rows.iter().map(|&row| weight[row]).sum();
    if total <= 0.0 {
        // All the weight was held out: nothing tells these rows apart.
        return rows.to_vec();
    }
    let mut resampled = Vec::with_capacity(n);
    let mut next: f64 = rng.random();
    let mut passed = 0.0;
    for &row in rows {
        passed += weight[row] / total * n as f64;
        while next < passed && resampled.len() < n {
            resampled.push(row);
            next += 1.0;
        }
    }
    resampled
}

/// What `loss` is of each row, before its sign and weight: `[n]`
fn log_score(estimator: &Estimator, batch: &Minibatch, loss: Loss, device: &Device) -> Tensor<1> {
    let n = batch.n.max(1);
    let d = batch.y.len() / n;
    let y = Tensor::from_data(TensorData::new(batch.y.clone(), [batch.n, d]), device);
    let x = (!batch.x.is_empty()).then(|| {
        let channels = batch.x.len() / (n * batch.length.max(1));
        let shape = [batch.n, batch.length, channels];
        Tensor::from_data(TensorData::new(batch.x.clone(), shape), device)
    });
    loss::log_score(estimator, loss, y, x, &batch.log_prior)
}

fn validation_batches(
    set: &TrainingSet,
    rows: &[usize],
    standardization: &Standardization,
    pool: &rayon::ThreadPool,
) -> Vec<Minibatch> {
    const ROWS: usize = 256;
    let of_rows = |rows: &[usize]| set.minibatch(rows, Purpose::ValidationNoise, standardization);
    pool.install(|| rows.par_chunks(ROWS).map(of_rows).collect())
}

/// Mean weighted loss over `batches`, without gradients.
fn mean_loss(
    estimator: &Estimator,
    loss: Loss,
    batches: &[Minibatch],
    pool: &rayon::ThreadPool,
) -> f64 {
    let estimator = estimator.valid();
    let device = estimator.devices()[0].clone();
    let sums = |batch: &Minibatch| -> (f64, f64) {
        let log_score = parameters::host(log_score(&estimator, batch, loss, &device));
        let weight = || batch.weight.iter().map(|&weight| f64::from(weight));
        let loss = log_score.iter().zip(weight());
        (
            // A weight of zero takes no part, however low the density.
            loss.filter(|(_, weight)| *weight > 0.0)
                .map(|(&log_score, weight)| -f64::from(log_score) * weight)
                .sum(),
            weight().sum(),
        )
    };
    let parts: Vec<(f64, f64)> = pool.install(|| batches.par_iter().map(sums).collect());
    let (loss, weight) = parts
        .into_iter()
        .fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    loss / weight.max(f64::MIN_POSITIVE)
}

fn restore(estimator: Estimator, tensors: &[NamedTensor]) -> Estimator {
    // The tensors come from this very network, or from a checkpoint that was held against it, so they fit.
    match parameters::with_named_tensors(estimator.clone(), tensors) {
        Ok(restored) => restored,
        Err(error) => {
            tracing::error!(%error, "cannot restore the network");
            estimator
        }
    }
}

fn on_wgpu(estimator: &Estimator) -> bool {
    estimator.devices().iter().any(crate::device::is_wgpu)
}
