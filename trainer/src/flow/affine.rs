//! Autoregressive affine bijection (Papamakarios et al. 2017) with bounded log scales.

use super::made::{Made, MadeConfig};
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;

/// u = (y - shift) · exp(-log_scale), both functions of the dimensions before and the features.
#[derive(Module, Debug)]
pub struct Affine {
    pub(super) made: Made,
    pub(super) max_log_scale: f64,
}

impl Affine {
    pub fn init(config: &MadeConfig, max_log_scale: f64, initializer: &mut Initializer) -> Self {
        Self {
            made: config.init(initializer),
            max_log_scale,
        }
    }

    /// The conditioner for [`fused`](crate::fused); none on another device.
    pub fn fused(&self) -> Option<crate::fused::Made> {
        self.made.fused()
    }

    /// `[n, d]` -> u `[n, d]` and log |det du/dy| `[n]`
    pub fn forward(&self, y: Tensor<2>, features: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let context = self.made.context(features);
        let (shift, log_scale) = self.shift_and_log_scale(y.clone(), context);
        let u = (y - shift) * log_scale.clone().neg().exp();
        (u, log_scale.sum_dim(1).squeeze_dim::<1>(1).neg())
    }

    fn shift_and_log_scale(&self, y: Tensor<2>, context: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let d = y.dims()[1];
        let output = self.made.forward(y, context);
        let shift = output.clone().narrow(1, 0, d);
        (shift, bounded(output.narrow(1, d, d), self.max_log_scale))
    }
}

/// Smoothly within ±`bound`, the identity near zero.
pub fn bounded<const D: usize>(value: Tensor<D>, bound: f64) -> Tensor<D> {
    (value / bound).tanh() * bound
}
