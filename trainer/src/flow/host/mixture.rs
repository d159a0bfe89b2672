//! The mixture base over plain numbers.

use super::super::mixture::{LOG_SQRT_2PI, Mixture};
use super::lanes::{LANES, Lanes, bounded, exp, ln, vectorized};
use super::made::{HostMade, Outputs, Scratch};
use burn::tensor::Tensor;
use pulp::Arch;

#[derive(Debug)]
pub struct HostMixture {
    made: HostMade,
    components: usize,
    max_log_scale: f32,
}

impl HostMixture {
    pub fn new(mixture: &Mixture, features: Tensor<2>) -> Self {
        Self {
            made: HostMade::new(&mixture.made, features),
            components: mixture.components,
            max_log_scale: mixture.max_log_scale as f32,
        }
    }

    pub fn scratch(&self) -> Scratch {
        self.made.scratch()
    }

    /// Adds log p(u) to `log_density`.
    pub fn log_density(
        &self,
        arch: Arch,
        scratch: &mut Scratch,
        u: &[Lanes],
        log_density: &mut Lanes,
    ) {
        self.made.run(
            arch,
            scratch,
            &mut (),
            |(), dimension, outputs| {
                vectorized(
                    arch,
                    #[inline(always)]
                    || {
                        let own = self.one_log_density(&u[dimension], outputs);
                        *log_density = log_density.with(&own, |a, b| a + b);
                    },
                );
            },
            |(), dimension, _| u[dimension],
        );
    }

    /// u becomes a draw: it holds standard normal numbers before, `uniform` ones in [0, 1].
    pub fn draw(&self, arch: Arch, scratch: &mut Scratch, uniform: &[Lanes], u: &mut [Lanes]) {
        self.made.run(
            arch,
            scratch,
            u,
            |u, dimension, outputs| {
                vectorized(
                    arch,
                    #[inline(always)]
                    || self.draw_one(&uniform[dimension], &mut u[dimension], outputs),
                );
            },
            |u, dimension, _| u[dimension],
        );
    }

    #[inline(always)]
    fn one_log_density(&self, u: &Lanes, outputs: Outputs) -> Lanes {
        let c = self.components;
        let (largest, total) = self.weights(outputs);
        let term = |component: usize, lane: usize| {
            let log_scale = bounded(outputs.kind(2 * c + component).0[lane], self.max_log_scale);
            let deviation = (u.0[lane] - outputs.kind(c + component).0[lane]) * exp(-log_scale);
            outputs.kind(component).0[lane]
                - largest.0[lane]
                - log_scale
                - 0.5 * deviation * deviation
        };
        // The sum of exponentials, relative to the largest so far.
        let mut peak = Lanes::splat(f32::MIN);
        let mut sum = Lanes::ZERO;
        for component in 0..c {
            for lane in 0..LANES {
                let term = term(component, lane);
                let next = peak.0[lane].max(term);
                sum.0[lane] = sum.0[lane] * exp(peak.0[lane] - next) + exp(term - next);
                peak.0[lane] = next;
            }
        }
        let mut result = Lanes::ZERO;
        for lane in 0..LANES {
            result.0[lane] =
                peak.0[lane] + ln(sum.0[lane]) - ln(total.0[lane]) - LOG_SQRT_2PI as f32;
        }
        result
    }

    #[inline(always)]
    fn draw_one(&self, uniform: &Lanes, u: &mut Lanes, outputs: Outputs) {
        let c = self.components;
        let (largest, total) = self.weights(outputs);
        let mut mean = *outputs.kind(c);
        let mut raw_log_scale = *outputs.kind(2 * c);
        let mut cumulative = Lanes::ZERO;
        for component in 1..c {
            let raw = outputs.kind(component - 1);
            let (next_mean, next_log_scale) =
                (outputs.kind(c + component), outputs.kind(2 * c + component));
            for lane in 0..LANES {
                cumulative.0[lane] += exp(raw.0[lane] - largest.0[lane]);
                let is_passed = uniform.0[lane] * total.0[lane] >= cumulative.0[lane];
                mean.0[lane] = if is_passed {
                    next_mean.0[lane]
                } else {
                    mean.0[lane]
                };
                raw_log_scale.0[lane] = if is_passed {
                    next_log_scale.0[lane]
                } else {
                    raw_log_scale.0[lane]
                };
            }
        }
        for lane in 0..LANES {
            let log_scale = bounded(raw_log_scale.0[lane], self.max_log_scale);
            let own = u.0[lane] * exp(log_scale) + mean.0[lane];
            // Where a weight is not a number, none was passed.
            u.0[lane] = if total.0[lane].is_nan() {
                f32::NAN
            } else {
                own
            };
        }
    }

    /// The largest raw log weight, and the sum of the weights relative to it.
    #[inline(always)]
    fn weights(&self, outputs: Outputs) -> (Lanes, Lanes) {
        let mut largest = *outputs.kind(0);
        for component in 1..self.components {
            largest = largest.with(outputs.kind(component), f32::max);
        }
        let mut total = Lanes::ZERO;
        for component in 0..self.components {
            let raw = outputs.kind(component);
            for lane in 0..LANES {
                total.0[lane] += exp(raw.0[lane] - largest.0[lane]);
            }
        }
        (largest, total)
    }
}
