//! Adam on the CPU: sum of the slices' gradients, clipping, the step and the running mean of the weights in two
//! passes over the flat vector, in fixed chunks on all threads.

use crate::elementary::vectorized;
use crate::fused;
use crate::parameters::{host, vector};
use burn::optim::{AdamState, AdaptiveMomentumState};
use burn::tensor::{Device, Tensor};
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
pub struct StepSize {
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
        let tensor = |values| vector(values, device);
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
        vector(values, device)
    }

    /// Keeps the memory of [`values_tensor`](Self::values_tensor) for the next step.
    pub fn recycle(&mut self, values: Tensor<1>) {
        self.spare = host(values);
    }

    /// One step along the sum of the slices' gradients, each in parts that lie end to end.
    pub fn step(&mut self, slices: &[Vec<Vec<f32>>], step: &StepSize, pool: &rayon::ThreadPool) {
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
            fused::add(sum, values);
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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::{Adam, AdamConfig, Optimizer};
    use rand_distr::{Distribution, StandardNormal};
    use sidereal_inference::base::{Purpose, RoundId, RowId, stream};

    /// Two whole chunks and a part of one.
    const N: usize = 2 * CHUNK + 77;
    const N_SLICES: usize = 3;
    const N_STEPS: u64 = 20;
    const CLIP_NORM: f64 = 1000.0;
    /// The step whose gradient is ten times as large as the others', and is clipped.
    const CLIPPED: u64 = 7;

    fn normals(row: u64, n: usize) -> Vec<f32> {
        let mut rng = stream(1, RoundId(0), RowId(row), Purpose::Initialize);
        let normal = StandardNormal;
        (0..n)
            .map(|_| Distribution::<f64>::sample(&normal, &mut rng) as f32)
            .collect()
    }

    fn tensor(values: &[f32]) -> Tensor<1> {
        vector(values.to_vec(), &Device::flex())
    }

    /// The slices' gradients, in parts of which one ends within a chunk.
    fn slices(step: u64) -> Vec<Vec<Vec<f32>>> {
        let factor = if step == CLIPPED { 10.0 } else { 1.0 };
        let of_slice = |slice: usize| {
            let row = 1 + step * N_SLICES as u64 + slice as u64;
            let all: Vec<f32> = normals(row, N).iter().map(|value| value * factor).collect();
            let (first, rest) = all.split_at(CHUNK + 5);
            vec![first.to_vec(), rest.to_vec()]
        };
        (0..N_SLICES).map(of_slice).collect()
    }

    /// What burn's Adam makes of the same steps.
    struct Reference {
        adam: Adam,
        values: Tensor<1>,
        average: Tensor<1>,
        state: Option<AdamState<1>>,
    }

    impl Reference {
        fn step(&mut self, slices: &[Vec<Vec<f32>>], step: &StepSize) {
            let gradient = slices
                .iter()
                .map(|parts| tensor(&parts.concat()))
                .reduce(|sum, slice| sum + slice)
                .expect("there are slices");
            let squares = host(gradient.clone()).into_iter().map(f64::from);
            let norm = squares.map(|value| value * value).sum::<f64>().sqrt();
            let gradient = gradient * (step.clip_norm / norm).min(1.0);
            let values = self.values.clone();
            (self.values, self.state) =
                self.adam
                    .step(step.rate, values, gradient, self.state.take());
            self.average =
                self.average.clone() * step.keep + self.values.clone() * (1.0 - step.keep);
        }
    }

    fn assert_close(name: &str, found: Vec<f32>, expected: Vec<f32>) {
        const TOLERANCE: f32 = 1e-6;
        assert_eq!(found.len(), expected.len(), "{name}");
        // Numbers near zero are differences of others, whose rounding they have.
        let square: f32 = expected.iter().map(|value| value * value).sum();
        let typical = (square / expected.len() as f32).sqrt();
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (found - expected).abs() <= TOLERANCE * expected.abs().max(typical),
                "{name} {i}: {found}, expected {expected}"
            );
        }
    }

    #[test]
    fn steps_are_those_of_burns_adam() {
        let device = Device::flex();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .build()
            .expect("threads start");
        let start = tensor(&normals(0, N));
        let mut reference = Reference {
            adam: AdamConfig::new().with_epsilon(1e-8).build(),
            values: start.clone(),
            average: start.clone(),
            state: None,
        };
        let mut own = HostAdam::new(&start, &start, None);
        for i in 0..N_STEPS {
            if i == N_STEPS / 2 {
                // As after an interruption.
                let (values, average, adam) = own.into_tensors(&device);
                own = HostAdam::new(&values, &average, adam);
            }
            let slices = slices(i);
            let step = StepSize {
                rate: 1e-2 / (1.0 + i as f64),
                clip_norm: CLIP_NORM,
                keep: 0.9,
            };
            own.step(&slices, &step, &pool);
            reference.step(&slices, &step);
            let values = own.values_tensor(&device);
            assert_close(
                "values",
                host(values.clone()),
                host(reference.values.clone()),
            );
            own.recycle(values);
        }
        assert_eq!(own.n_steps, N_STEPS as usize);
        let (_, average, adam) = own.into_tensors(&device);
        assert_close("average", host(average), host(reference.average));
        let (own, expected) = (
            adam.expect("steps were taken").momentum,
            reference.state.expect("steps were taken").momentum,
        );
        assert_eq!(own.time, expected.time);
        assert_close("moment 1", host(own.moment_1), host(expected.moment_1));
        assert_close("moment 2", host(own.moment_2), host(expected.moment_2));
    }
}
