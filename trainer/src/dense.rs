//! Fully connected layers on the last axis; conditioners mask their weights themselves.

use crate::fused;
use crate::parameters::Initializer;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// y = x · weight + bias
#[derive(Module, Debug)]
pub struct Dense {
    /// `[n_in, n_out]`
    pub weight: Param<Tensor<2>>,
    pub bias: Param<Tensor<1>>,
}

impl Dense {
    pub fn init(n_in: usize, n_out: usize, gain: f64, initializer: &mut Initializer) -> Self {
        Self {
            weight: initializer.matrix(n_in, n_out, gain),
            bias: initializer.zeros(n_out),
        }
    }

    /// The same for [`fused`].
    pub fn fused(&self) -> fused::DensePass {
        let [n_in, n_out] = self.weight.dims();
        fused::DensePass::new(n_in, n_out)
    }

    /// `[n, n_in]` -> `[n, n_out]`
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        input.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }

    /// `[batch, length, n_in]` -> `[batch, length, n_out]`, as one matrix product.
    pub fn forward_sequence(&self, input: Tensor<3>) -> Tensor<3> {
        let [batch, length, n_in] = input.dims();
        let output = self.forward(input.reshape([batch * length, n_in]));
        let n_out = output.dims()[1];
        output.reshape([batch, length, n_out])
    }
}
