//! Base density of the flow: each dimension a mixture of Gaussians, autoregressive and conditioned on
//! the features (MADE MoG of Papamakarios et al. 2017; Zhang et al. 2021), which separates modes.

use super::affine::bounded;
use super::made::{Made, MadeConfig};
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

pub(super) const LOG_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// p(u) = Π_d Σ_c weight_c N(u_d; mean_c, scale_c)
#[derive(Module, Debug)]
pub struct Mixture {
    pub(super) made: Made,
    pub(super) components: usize,
    pub(super) max_log_scale: f64,
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

    /// The conditioner for [`fused`](crate::fused); none on another device.
    pub fn fused(&self) -> Option<crate::fused::Made> {
        self.made.fused()
    }

    /// `[n, d]` -> log p(u) `[n]`
    pub fn log_density(&self, u: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        let context = self.made.context(features);
        let terms = self.terms(u.clone(), context);
        let deviation =
            (u.unsqueeze_dim::<3>(1) - terms.mean) * terms.log_scale.clone().neg().exp();
        let log_term =
            terms.log_weight - terms.log_scale - deviation.powi_scalar(2) * 0.5 - LOG_SQRT_2PI;
        log_sum_exp(log_term).sum_dim(1).squeeze_dim(1)
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
            log_scale: bounded(part(2), self.max_log_scale),
        }
    }
}

/// `[n, components, d]` -> `[n, d]`
fn log_sum_exp(terms: Tensor<3>) -> Tensor<2> {
    let largest = terms.clone().detach().max_dim(1);
    let sum = (terms - largest.clone()).exp().sum_dim(1).log() + largest;
    sum.squeeze_dim(1)
}
