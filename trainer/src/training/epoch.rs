//! One epoch: minibatches shared among threads, their gradients, and the steps along them.

use super::state::TrainingState;
use crate::device::is_wgpu;
use crate::estimator::{Estimator, Leaves};
use crate::noise_sequence::NoiseSequence;
use crate::optimizer::{self, HostAdam};
use crate::parameters::{self, tensor};
use crate::smoothing::{Shown, Smoothing};
use crate::standardization::Standardization;
use crate::training_set::{Minibatch, TrainingSet};
use crate::{fused, loss};
use burn::module::Module;
use burn::optim::{Adam, Optimizer};
use burn::tensor::{Device, Tensor};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sidereal_inference::base::{Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{
    Featurizer, Loss, Normalization, SLICE_ROWS, Training, even_slices,
};
use sidereal_inference::weights::Objective;
use std::iter;
use std::ops::Range;
use std::sync::mpsc;

/// Minibatches that wait for a GPU.
const N_AHEAD: usize = 2;
/// Rows of a minibatch of weighted draws, which pass through a flow alone, that one thread works on.
const DRAW_SLICE_ROWS: usize = 128;
/// The learning rate ends at this share of its start.
const FINAL_RATE: f64 = 0.01;
/// The learning rate after each recovery, relative to before.
const RECOVERY_RATE: f64 = 0.3;
/// Weighted draws are resampled to this number in each epoch.
const DRAWS_PER_EPOCH: usize = 2560;

/// What one pass over the training rows works with.
pub struct Epoch<'a> {
    pub set: &'a TrainingSet<'a>,
    pub schedule: &'a Training,
    pub standardization: &'a Standardization,
    pub adam: &'a Adam,
    pub pool: &'a rayon::ThreadPool,
    pub slicing: Slicing,
    /// Of weighted draws.
    pub smoothing: Option<&'a Smoothing>,
}

/// How a minibatch is shared among threads.
#[derive(Debug, Clone, Copy)]
pub enum Slicing {
    /// Even slices of at most so many rows, gradients summed in their order.
    Rows(usize),
    /// Batch normalization needs the statistics of the whole minibatch.
    Whole,
}

impl Slicing {
    pub fn of(set: &TrainingSet) -> Self {
        match set.objective {
            Objective::Simulations => {}
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                return Self::Rows(DRAW_SLICE_ROWS);
            }
        }
        match &set.campaign.featurizer {
            Featurizer::ResnetGru { normalization, .. }
            | Featurizer::Resnet { normalization, .. } => match normalization {
                Normalization::Batch => Self::Whole,
                Normalization::Weight => Self::Rows(SLICE_ROWS),
            },
            Featurizer::Gru { .. } | Featurizer::Mlp { .. } => Self::Rows(SLICE_ROWS),
        }
    }

    /// Of a minibatch of `n` rows.
    fn rows(self, n: usize) -> Vec<Range<usize>> {
        match self {
            Self::Rows(most) => even_slices(n, most).collect(),
            Self::Whole => iter::once(0..n).collect(),
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

impl Epoch<'_> {
    /// One pass over the training rows; the mean loss. An error says why there is no noise.
    pub fn run(
        &self,
        estimator: Estimator,
        rows: &[usize],
        state: &mut TrainingState,
    ) -> Result<(Estimator, f64), String> {
        let rows = self.rows(rows, state.epoch);
        let batch_size = self.schedule.batch_size.min(rows.len());
        let batches: Vec<&[Shown]> = rows
            .chunks(batch_size.max(1))
            .filter(|batch| batch.len() == batch_size)
            .collect();
        let order = rows.iter().map(|shown| shown.row).collect();
        let noise = NoiseSequence::new(self.set, order, training_noise(state.epoch));
        if estimator.devices().iter().any(is_wgpu) {
            self.run_on_device(estimator, &batches, noise, state)
        } else {
            // All of it on the pool's threads: to wake one for each step would take as long as a small step.
            std::thread::scope(|scope| {
                let noisy = noise.map(|noise| ahead(scope, noise, &batches));
                self.pool
                    .install(|| self.run_on_cpu(estimator, &batches, noisy, state))
            })
        }
    }

    fn run_on_cpu(
        &self,
        mut estimator: Estimator,
        batches: &[&[Shown]],
        noisy: Option<mpsc::Receiver<Noisy>>,
        state: &mut TrainingState,
    ) -> Result<(Estimator, f64), String> {
        let device = estimator.devices()[0].clone().inner();
        let mut adam = HostAdam::new(&state.values, &state.average, state.adam.take());
        let mut losses = Vec::with_capacity(batches.len());
        for (step, batch) in batches.iter().enumerate() {
            let values = adam.values_tensor(&device);
            match self.slicing {
                Slicing::Rows(_) => {}
                Slicing::Whole => estimator = parameters::with_flat(estimator, &values),
            }
            let noisy = noisy.as_ref().map(next).transpose()?;
            let parts = self.gradients(&estimator, &values, batch, noisy.as_deref(), state.epoch);
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
            let step = optimizer::StepSize {
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
        Ok((estimator, mean))
    }

    /// The pool makes minibatches ready while the device works; nothing is read from it before the end.
    fn run_on_device(
        &self,
        mut estimator: Estimator,
        batches: &[&[Shown]],
        mut noise: Option<NoiseSequence>,
        state: &mut TrainingState,
    ) -> Result<(Estimator, f64), String> {
        let (epoch, mut losses) = (state.epoch, Vec::with_capacity(batches.len()));
        let (ready, minibatches) = mpsc::sync_channel(N_AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for batch in batches {
                    let noisy = noise.as_mut().map(|noise| noise.take(batch.len()));
                    let minibatch = noisy.transpose().map(|noisy| {
                        let noisy = noisy.as_deref();
                        self.pool.install(|| self.minibatch(batch, noisy, epoch))
                    });
                    if ready.send(minibatch).is_err() {
                        break;
                    }
                }
            });
            for (step, minibatch) in minibatches.into_iter().enumerate() {
                let rate = self.rate(step, batches.len(), state);
                let loss = self.step_on_device(&mut estimator, &minibatch?, rate, state);
                losses.push(loss);
            }
            Ok::<_, String>(())
        })?;
        if losses.is_empty() {
            return Ok((estimator, 0.0));
        }
        let losses = parameters::host(Tensor::cat(losses, 0));
        // Pages of memory that are no longer used are kept otherwise, and more of them after each epoch.
        estimator.devices().iter().for_each(Device::memory_cleanup);
        let mean = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len() as f64;
        Ok((estimator, mean))
    }

    /// One step; its loss, which is still to be computed.
    fn step_on_device(
        &self,
        estimator: &mut Estimator,
        minibatch: &Minibatch,
        rate: f64,
        state: &mut TrainingState,
    ) -> Tensor<1> {
        let SliceGradient { loss, gradient, .. } =
            self.gradient(estimator, &Leaves::Parameters, minibatch, minibatch.n);
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
        *estimator = parameters::with_flat(estimator.clone(), &values);
        let n_steps = adam.as_ref().map_or(0, |adam| adam.momentum.time);
        let keep = average_decay(n_steps);
        state.average = state.average.clone() * keep + values.clone() * (1.0 - keep);
        state.values = values;
        state.adam = adam;
        loss
    }

    /// The learning rate of a step of this epoch.
    fn rate(&self, step: usize, n_steps: usize, state: &TrainingState) -> f64 {
        let schedule = self.schedule;
        let done = (f64::from(state.epoch) + step as f64 / n_steps as f64)
            / f64::from(schedule.max_epochs);
        learning_rate(schedule.learning_rate, done, state.n_recoveries)
    }

    /// The rows of an epoch in their order: simulations once each, draws as often as their weight asks for.
    fn rows(&self, rows: &[usize], epoch: u32) -> Vec<Shown> {
        let rng = &mut stream(
            self.set.campaign.seed,
            RoundId(self.set.flow.0),
            RowId(0),
            Purpose::Shuffle { epoch },
        );
        let mut rows = match self.set.objective {
            Objective::Simulations => rows.to_vec(),
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                resample(&self.set.weight, rows, DRAWS_PER_EPOCH, rng)
            }
        };
        rows.shuffle(rng);
        let show = |row: usize| match self.smoothing {
            Some(smoothing) => smoothing.show(row, rng),
            None => Shown::as_it_is(row),
        };
        rows.into_iter().map(show).collect()
    }

    /// Each slice's share of a minibatch's mean loss and of its gradient, in their order.
    fn gradients(
        &self,
        estimator: &Estimator,
        values: &Tensor<1>,
        batch: &[Shown],
        noisy: Option<&[f32]>,
        epoch: u32,
    ) -> Vec<SliceGradient> {
        let slices = self.slicing.rows(batch.len());
        let of_slice = |rows: &Range<usize>| {
            // Each slice has leaves of its own: threads that share leaves share burn's autodiff graph,
            // whose locks are then taken in two orders (a deadlock in burn-autodiff 0.22.1).
            let (own, leaves) = match self.slicing {
                Slicing::Rows(_) => estimator.with_leaves(values),
                Slicing::Whole => (estimator.clone(), Leaves::Parameters),
            };
            let noisy = noisy.map(|x| self.set.data_of(x, rows));
            let minibatch = self.minibatch(&batch[rows.clone()], noisy, epoch);
            self.gradient(&own, &leaves, &minibatch, batch.len())
        };
        self.pool
            .install(|| slices.par_iter().map(of_slice).collect())
    }

    /// The share of `minibatch` in the mean loss of a minibatch of `n` rows, and in its gradient.
    fn gradient(
        &self,
        estimator: &Estimator,
        leaves: &Leaves,
        minibatch: &Minibatch,
        n: usize,
    ) -> SliceGradient {
        let device = estimator.devices()[0].clone();
        let log_score = log_score(estimator, minibatch, self.schedule.loss, &device);
        // The weight of a draw is in how often it comes.
        let loss = log_score.sum().neg() / n as f64;
        let mut gradients = loss.backward();
        SliceGradient {
            loss: loss.inner(),
            gradient: leaves.gradients(estimator, &mut gradients),
            is_lent: leaves.are_lent(),
        }
    }

    /// `noisy`: see [`TrainingSet::minibatch`].
    fn minibatch(&self, shown: &[Shown], noisy: Option<&[f32]>, epoch: u32) -> Minibatch {
        match self.set.objective {
            Objective::Simulations => {
                let rows: Vec<usize> = shown.iter().map(|shown| shown.row).collect();
                let purpose = training_noise(epoch);
                let standardization = self.standardization;
                self.set.minibatch(&rows, purpose, noisy, standardization)
            }
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                self.set.shown(shown, self.standardization)
            }
        }
    }
}

/// Data of a minibatch with noise, or why there is none.
type Noisy = Result<Vec<f32>, String>;

fn training_noise(epoch: u32) -> Purpose {
    Purpose::TrainingNoise { epoch }
}

/// Makes the noise of one minibatch while the one before is trained on.
fn ahead<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    mut noise: NoiseSequence<'scope>,
    batches: &[&[Shown]],
) -> mpsc::Receiver<Noisy> {
    let (ready, noisy) = mpsc::sync_channel(0);
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.len()).collect();
    scope.spawn(move || {
        for n in sizes {
            let made = noise.take(n);
            let is_last = made.is_err();
            if ready.send(made).is_err() || is_last {
                break;
            }
        }
    });
    noisy
}

fn next(noisy: &mpsc::Receiver<Noisy>) -> Noisy {
    noisy.recv().map_err(|error| error.to_string())?
}

/// What `loss` is of each row, before its sign and weight: `[n]`
pub fn log_score(
    estimator: &Estimator,
    batch: &Minibatch,
    loss: Loss,
    device: &Device,
) -> Tensor<1> {
    let n = batch.n.max(1);
    let d = batch.y.len() / n;
    let y = tensor(batch.y.clone(), [batch.n, d], device);
    let x = (!batch.x.is_empty()).then(|| {
        let channels = batch.x.len() / (n * batch.length.max(1));
        let shape = [batch.n, batch.length, channels];
        tensor(batch.x.clone(), shape, device)
    });
    loss::log_score(estimator, loss, y, x, &batch.log_prior)
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
