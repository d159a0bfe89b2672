//! Autoregressive affine bijection (Papamakarios et al. 2017) with bounded log scales.

use super::bijection::Bijection;
use super::host::{Element, HostBijection, HostMade, LANES, Lanes, Outputs};
use super::made::{Made, MadeConfig};
use crate::elementary::fma::{bounded, exp};
use crate::elementary::vectorized;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;

/// u = (y - shift) · exp(-log_scale), both functions of the dimensions before and the features.
#[derive(Module, Debug)]
pub struct Affine {
    pub(super) made: Made,
    max_log_scale: f64,
}

impl Affine {
    pub fn init(config: &MadeConfig, max_log_scale: f64, initializer: &mut Initializer) -> Self {
        Self {
            made: config.init(initializer),
            max_log_scale,
        }
    }
}

impl Bijection for Affine {
    fn forward(&self, y: Tensor<2>, features: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let d = y.dims()[1];
        let output = self.made.forward(y.clone(), self.made.context(features));
        let shift = output.clone().narrow(1, 0, d);
        let log_scale = bounded_tensor(output.narrow(1, d, d), self.max_log_scale);
        let u = (y - shift) * log_scale.clone().neg().exp();
        (u, log_scale.sum_dim(1).squeeze_dim::<1>(1).neg())
    }

    fn at(&self, features: Tensor<2>) -> HostBijection {
        let element = ShiftAndScale {
            max_log_scale: self.max_log_scale as f32,
        };
        HostBijection::new(HostMade::new(&self.made, features), element)
    }
}

/// Smoothly within ±`bound`, the identity near zero.
pub fn bounded_tensor<const D: usize>(value: Tensor<D>, bound: f64) -> Tensor<D> {
    (value / bound).tanh() * bound
}

#[derive(Debug)]
struct ShiftAndScale {
    max_log_scale: f32,
}

impl Element for ShiftAndScale {
    fn forward(&self, _dimension: usize, y: &Lanes, outputs: Outputs) -> (Lanes, Lanes) {
        let (shift, raw) = (outputs.kind(0), outputs.kind(1));
        vectorized(
            #[inline(always)]
            || {
                let (mut u, mut log_slope) = (Lanes::ZERO, Lanes::ZERO);
                for lane in 0..LANES {
                    let log_scale = bounded(raw.0[lane], self.max_log_scale);
                    u.0[lane] = (y.0[lane] - shift.0[lane]) * exp(-log_scale);
                    log_slope.0[lane] = -log_scale;
                }
                (u, log_slope)
            },
        )
    }

    fn inverse(&self, _dimension: usize, u: &Lanes, outputs: Outputs) -> Lanes {
        let (shift, raw) = (outputs.kind(0), outputs.kind(1));
        vectorized(
            #[inline(always)]
            || {
                let mut y = Lanes::ZERO;
                for lane in 0..LANES {
                    let log_scale = bounded(raw.0[lane], self.max_log_scale);
                    y.0[lane] = u.0[lane] * exp(log_scale) + shift.0[lane];
                }
                y
            },
        )
    }
}
