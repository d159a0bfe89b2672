//! Base density of the flow: each dimension a mixture of Gaussians, autoregressive and conditioned on
//! the features (MADE MoG of Papamakarios et al. 2017; Zhang et al. 2021), which separates modes.

use super::affine::bounded_tensor;
use super::bijection::Base;
use super::host::{BaseDraws, HostBase, HostMade, LANES, Lanes, Outputs, Scratch, fill};
use super::made::{Made, MadeConfig};
use crate::elementary::fma::{bounded, exp, ln};
use crate::elementary::{LOG_SQRT_2PI, vectorized};
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// p(u) = Π_d Σ_c weight_c N(u_d; mean_c, scale_c)
#[derive(Module, Debug)]
pub struct Mixture {
    pub(super) made: Made,
    pub(super) components: usize,
    max_log_scale: f64,
}

/// Log weights, means and log scales, each `[n, components, d]`.
struct Terms {
    log_weight: Tensor<3>,
    mean: Tensor<3>,
    log_scale: Tensor<3>,
}

impl Mixture {
    /// `config.n_outputs` is set here: three for each component.
    pub fn init(
        config: MadeConfig,
        components: usize,
        max_log_scale: f64,
        initializer: &mut Initializer,
    ) -> Self {
        let d = config.rank.len();
        // Means start spread over the standardized draws, so that components differ from the start.
        let spread = |component: usize| {
            if components == 1 {
                return 0.0;
            }
            2.0 * component as f32 / (components - 1) as f32 - 1.0
        };
        let bias = |i: usize| match i / (components * d) {
            1 => spread((i / d) % components),
            _ => 0.0,
        };
        let made = MadeConfig {
            n_outputs: 3 * components,
            ..config
        }
        .init(initializer)
        .with_output_bias(3 * components * d, bias, initializer);
        Self {
            made,
            components,
            max_log_scale,
        }
    }

    fn terms(&self, u: Tensor<2>, context: Tensor<2>) -> Terms {
        let [n, d] = u.dims();
        let c = self.components;
        let output = self.made.forward(u, context);
        let part = |index: usize| {
            output
                .clone()
                .narrow(1, index * c * d, c * d)
                .reshape([n, c, d])
        };
        Terms {
            log_weight: log_softmax(part(0), 1),
            mean: part(1),
            log_scale: bounded_tensor(part(2), self.max_log_scale),
        }
    }
}

impl Base for Mixture {
    fn log_density(&self, u: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        let context = self.made.context(features);
        let terms = self.terms(u.clone(), context);
        let deviation =
            (u.unsqueeze_dim::<3>(1) - terms.mean) * terms.log_scale.clone().neg().exp();
        let log_term =
            terms.log_weight - terms.log_scale - deviation.powi_scalar(2) * 0.5 - LOG_SQRT_2PI;
        log_sum_exp(log_term).sum_dim(1).squeeze_dim(1)
    }

    fn at(&self, features: Tensor<2>) -> Box<dyn HostBase> {
        Box::new(HostMixture {
            made: HostMade::new(&self.made, features),
            components: self.components,
            max_log_scale: self.max_log_scale as f32,
        })
    }
}

/// `[n, components, d]` -> `[n, d]`
fn log_sum_exp(terms: Tensor<3>) -> Tensor<2> {
    let largest = terms.clone().detach().max_dim(1);
    let sum = (terms - largest.clone()).exp().sum_dim(1).log() + largest;
    sum.squeeze_dim(1)
}

/// Over plain numbers, at one feature vector.
#[derive(Debug)]
struct HostMixture {
    made: HostMade,
    components: usize,
    max_log_scale: f32,
}

impl HostBase for HostMixture {
    fn n_dimensions(&self) -> usize {
        self.made.n_dimensions()
    }

    fn scratch(&self) -> Scratch {
        self.made.scratch()
    }

    fn log_density(&self, scratch: &mut Scratch, u: &[Lanes], log_density: &mut Lanes) {
        self.made.run(
            scratch,
            &mut (),
            |(), dimension, outputs| {
                vectorized(
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

    /// The uniform numbers pick the components.
    fn draw(&self, scratch: &mut Scratch, base: &BaseDraws, u: &mut [Lanes]) {
        let mut uniform = vec![Lanes::ZERO; u.len()];
        fill(&mut uniform, base.uniform, |_, value| value as f32);
        fill(u, base.normal, |_, value| value as f32);
        self.made.run(
            scratch,
            u,
            |u, dimension, outputs| {
                vectorized(
                    #[inline(always)]
                    || self.draw_one(&uniform[dimension], &mut u[dimension], outputs),
                );
            },
            |u, dimension, _| u[dimension],
        );
    }
}

impl HostMixture {
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
