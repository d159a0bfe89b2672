//! Adam on the CPU: sum of the slices' gradients, clipping, the step and the running mean of the weights in two
//! passes over the flat vector, in fixed chunks on all threads.

use crate::fused::vectorized;
use crate::parameters::host;
use burn::optim::{AdamState, AdaptiveMomentumState};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;
/// Numbers that one thread works on: fixed, so that threads never change the sums.
const CHUNK: usize = 1 << 14;
/// Smaller moments are zero: what is not normal slows every later step down.
const SMALLEST: f32 = 1e-30;

/// Weights, their running mean and Adam's moments, each in the order of `parameters::flat`.
pub struct HostAdam {
    pub n_steps: usize,
    values: Vec<f32>,
    average: Vec<f32>,
    moment_1: Vec<f32>,
    moment_2: Vec<f32>,
    /// Of the step that is being taken.
    gradient: Vec<f32>,
    /// Memory of the last tensor of `values`.
    spare: Vec<f32>,
}

/// How far one step goes.
pub struct Step {
    pub rate: f64,
    /// Largest norm of the gradient.
    pub clip_norm: f64,
    /// Share of the running mean that stays.
    pub keep: f64,
}

impl HostAdam {
    pub fn new(values: &Tensor<1>, average: &Tensor<1>, adam: Option<AdamState<1>>) -> Self {
        let values = host(values.clone());
        let average = host(average.clone());
        let (n_steps, moment_1, moment_2) = match adam {
            Some(adam) => (
                adam.momentum.time,
                host(adam.momentum.moment_1),
                host(adam.momentum.moment_2),
            ),
            None => (0, vec![0.0; values.len()], vec![0.0; values.len()]),
        };
        Self {
            n_steps,
            gradient: vec![0.0; values.len()],
            spare: Vec::new(),
            values,
            average,
            moment_1,
            moment_2,
        }
    }

    /// Weights, their running mean, and what Adam remembers.
    pub fn into_tensors(self, device: &Device) -> (Tensor<1>, Tensor<1>, Option<AdamState<1>>) {
        let tensor = |values: Vec<f32>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), device)
        };
        let adam = (self.n_steps > 0).then(|| {
            AdamState::new(AdaptiveMomentumState::new(
                self.n_steps,
                tensor(self.moment_1),
                tensor(self.moment_2),
            ))
        });
        (tensor(self.values), tensor(self.average), adam)
    }

    /// The weights as a tensor.
    pub fn values_tensor(&mut self, device: &Device) -> Tensor<1> {
        let mut values = std::mem::take(&mut self.spare);
        values.clear();
        values.extend_from_slice(&self.values);
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), device)
    }

    /// Keeps the memory of [`values_tensor`](Self::values_tensor) for the next step.
    pub fn recycle(&mut self, values: Tensor<1>) {
        self.spare = host(values);
    }

    /// One step along the sum of the slices' gradients, each in parts that lie end to end.
    pub fn step(&mut self, slices: &[Vec<Vec<f32>>], step: &Step, pool: &rayon::ThreadPool) {
        let sum = |(index, sum): (usize, &mut [f32])| {
            sum.fill(0.0);
            for parts in slices {
                add_from(sum, index * CHUNK, parts);
            }
            sum_of_squares(sum)
        };
        let chunks = self.gradient.par_chunks_mut(CHUNK).enumerate();
        let squares: Vec<f64> = pool.install(|| chunks.map(sum).collect());
        let norm = squares.iter().sum::<f64>().sqrt();
        let factor = (step.clip_norm / (norm + 1e-12)).min(1.0) as f32;
        self.n_steps += 1;
        let n_steps = i32::try_from(self.n_steps).unwrap_or(i32::MAX);
        let correction_2 = (1.0 - BETA_2.powi(n_steps)).sqrt();
        let rate = step.rate as f32 * correction_2 / (1.0 - BETA_1.powi(n_steps));
        let epsilon = EPSILON * correction_2;
        let keep = step.keep as f32;
        let values = self.values.par_chunks_mut(CHUNK);
        let average = self.average.par_chunks_mut(CHUNK);
        let moment_1 = self.moment_1.par_chunks_mut(CHUNK);
        let moment_2 = self.moment_2.par_chunks_mut(CHUNK);
        let chunks = values
            .zip(average)
            .zip(moment_1.zip(moment_2))
            .zip(self.gradient.par_chunks(CHUNK));
        let update = |(((values, average), (moment_1, moment_2)), gradient): (_, &[f32])| {
            let (values, average): (&mut [f32], &mut [f32]) = (values, average);
            let (moment_1, moment_2): (&mut [f32], &mut [f32]) = (moment_1, moment_2);
            vectorized(
                #[inline(always)]
                || {
                    let weights = values.iter_mut().zip(average.iter_mut());
                    let moments = moment_1.iter_mut().zip(moment_2.iter_mut());
                    for (((value, average), (first, second)), &gradient) in
                        weights.zip(moments).zip(gradient)
                    {
                        let gradient = gradient * factor;
                        *first = flushed(BETA_1 * *first + (1.0 - BETA_1) * gradient);
                        *second = flushed(BETA_2 * *second + (1.0 - BETA_2) * gradient * gradient);
                        *value -= rate * *first / (second.sqrt() + epsilon);
                        *average = keep * *average + (1.0 - keep) * *value;
                    }
                },
            );
        };
        pool.install(|| chunks.for_each(update));
    }
}

#[inline(always)]
fn flushed(value: f32) -> f32 {
    // What is not a number stays so.
    if value.abs() < SMALLEST { 0.0 } else { value }
}

/// sum += the numbers from `start` on, of `parts` end to end.
fn add_from(sum: &mut [f32], start: usize, parts: &[Vec<f32>]) {
    let (end, mut part_start) = (start + sum.len(), 0);
    for part in parts {
        let part_end = part_start + part.len();
        let common = start.max(part_start)..end.min(part_end);
        if !common.is_empty() {
            let values = &part[common.start - part_start..common.end - part_start];
            let sum = &mut sum[common.start - start..common.end - start];
            vectorized(
                #[inline(always)]
                || {
                    for (sum, value) in sum.iter_mut().zip(values) {
                        *sum += value;
                    }
                },
            );
        }
        part_start = part_end;
    }
}

fn sum_of_squares(values: &[f32]) -> f64 {
    const LANES: usize = 16;
    vectorized(
        #[inline(always)]
        || {
            let mut sums = [0.0; LANES];
            let whole = values.chunks_exact(LANES);
            let rest = whole.remainder();
            for values in whole {
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum += f64::from(value) * f64::from(value);
                }
            }
            let rest: f64 = rest.iter().map(|&value| f64::from(value).powi(2)).sum();
            sums.iter().sum::<f64>() + rest
        },
    )
}
