//! 1-D convolution of width 3 over channels-last data, with weight or batch normalization.

use crate::fused;
use crate::parameters::Initializer;
use burn::module::{Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::Tensor;
use sidereal_inference::campaign::Normalization;

/// Convolution of width 3 that keeps the length (zeros beyond the ends).
#[derive(Module, Debug)]
pub struct Conv3 {
    /// `[3 · channels_in, channels_out]`: one matrix product over three shifted copies.
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    /// Weight normalization (Salimans & Kingma 2016): the norm of each output's weights.
    scale: Option<Param<Tensor<1>>>,
    batch_norm: Option<BatchNorm>,
}

impl Conv3 {
    pub fn init(
        channels_in: usize,
        channels_out: usize,
        gain: f64,
        normalization: Normalization,
        initializer: &mut Initializer,
    ) -> Self {
        let weight = initializer.matrix(3 * channels_in, channels_out, gain);
        let bias = initializer.zeros(channels_out);
        let (scale, batch_norm) = match normalization {
            Normalization::Weight => {
                let norm = initializer.of_matrix(&weight, channels_out, column_norm);
                (Some(norm), None)
            }
            Normalization::Batch => (
                None,
                Some(BatchNormConfig::new(channels_out).init(initializer.device())),
            ),
        };
        Self {
            weight,
            bias,
            scale,
            batch_norm,
        }
    }

    /// The same for [`fused`]; none with batch normalization.
    pub fn fused(&self) -> Option<fused::ConvPass> {
        let [n_in, n_out] = self.weight.dims();
        self.scale.as_ref().map(|_| fused::ConvPass {
            n_in: n_in / 3,
            n_out,
        })
    }

    /// `[batch, length, channels_in]` -> `[batch, length, channels_out]`
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let [batch, length, _] = input.dims();
        let weight = match &self.scale {
            Some(scale) => {
                let weight = self.weight.val();
                let factor =
                    scale.val().unsqueeze::<2>() / column_norm(weight.clone()).unsqueeze::<2>();
                weight * factor
            }
            None => self.weight.val(),
        };
        let output = shifted_product(input, weight) + self.bias.val().unsqueeze::<2>();
        let output = match &self.batch_norm {
            Some(batch_norm) => batch_norm.forward(output),
            None => output,
        };
        let channels = output.dims()[1];
        output.reshape([batch, length, channels])
    }
}

/// The three neighbours of each point side by side, times `weight`: `[batch · length, channels_out]`.
fn shifted_product(input: Tensor<3>, weight: Tensor<2>) -> Tensor<2> {
    let [batch, length, channels] = input.dims();
    let edge = Tensor::<3>::zeros([batch, 1, channels], &input.device());
    let (before, after) = if length == 1 {
        // Nothing else is there, and a part of no length cannot be taken.
        (edge.clone(), edge)
    } else {
        let part = |start| input.clone().narrow(1, start, length - 1);
        (
            Tensor::cat(vec![edge.clone(), part(0)], 1),
            Tensor::cat(vec![part(1), edge], 1),
        )
    };
    let columns = Tensor::cat(vec![before, input, after], 2);
    columns
        .reshape([batch * length, 3 * channels])
        .matmul(weight)
}

/// Euclidean norm of each column: `[n, m]` -> `[m]`, never zero.
fn column_norm(weight: Tensor<2>) -> Tensor<1> {
    (weight.powi_scalar(2).sum_dim(0) + 1e-12)
        .sqrt()
        .squeeze_dim(0)
}
