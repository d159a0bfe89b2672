//! Masked autoencoder for distribution estimation (Germain et al. 2015), conditioned on features:
//! the outputs of dimension d depend on the dimensions before d in a given order, and on all features.

use crate::dense::Dense;
use crate::fused;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

/// Size and order of a [`Made`].
pub struct MadeConfig<'a> {
    /// The outputs of a dimension depend on the dimensions of lower rank: 0, 1, ... without gaps.
    pub rank: &'a [usize],
    /// The dimension behind each input column.
    pub columns: &'a [usize],
    pub n_features: usize,
    pub hidden: usize,
    pub layers: usize,
    /// Outputs of each dimension.
    pub n_outputs: usize,
}

/// The rank of each dimension in a block of an autoregressive flow: reversed between blocks, and rotated after each pair,
/// so that each parameter comes first in turn.
pub fn rank_in_block(block: usize, d: usize) -> Vec<usize> {
    let mut rank = vec![0; d];
    for position in 0..d {
        let place = if block.is_multiple_of(2) {
            position
        } else {
            d - 1 - position
        };
        rank[(place + block / 2) % d] = position;
    }
    rank
}

/// `[n, columns]` and `[n, features]` -> `[n, n_outputs · d]`, outputs of a kind side by side.
#[derive(Module, Debug)]
pub struct Made {
    pub(super) input: Dense,
    pub(super) context: Dense,
    pub(super) hidden: Vec<Dense>,
    pub(super) output: Dense,
    pub(super) rank: Vec<usize>,
    pub(super) columns: Vec<usize>,
    /// A hidden unit of degree m sees the dimensions of rank below m.
    pub(super) degree: Vec<usize>,
    input_mask: Tensor<2>,
    hidden_mask: Tensor<2>,
    output_mask: Tensor<2>,
}

impl MadeConfig<'_> {
    /// The output layer starts near zero, so that the bijection starts near the identity.
    pub fn init(&self, initializer: &mut Initializer) -> Made {
        let (d, n_columns) = (self.rank.len(), self.columns.len());
        let rank = self.rank;
        let n_ranks = rank.iter().max().map_or(1, |highest| highest + 1);
        // Degree 0 sees features alone, so that the first dimension has a non-linear conditioner too.
        let degree: Vec<usize> = (0..self.hidden).map(|unit| unit % n_ranks).collect();
        let input_mask = initializer.mask([n_columns, self.hidden], |column, unit| {
            rank[self.columns[column]] < degree[unit]
        });
        // Between hidden layers; where there is one layer only, nothing is masked by it.
        let n_inner = if self.layers > 1 { self.hidden } else { 1 };
        let hidden_mask =
            initializer.mask([n_inner, n_inner], |from, to| degree[from] <= degree[to]);
        let output_mask = initializer.mask([self.hidden, self.n_outputs * d], |unit, out| {
            degree[unit] <= rank[out % d]
        });
        Made {
            input: Dense::init(n_columns, self.hidden, 1.0, initializer),
            context: Dense::init(self.n_features, self.hidden, 1.0, initializer),
            hidden: (1..self.layers)
                .map(|_| Dense::init(self.hidden, self.hidden, 0.8, initializer))
                .collect(),
            output: Dense::init(self.hidden, self.n_outputs * d, 0.05, initializer),
            input_mask,
            hidden_mask,
            output_mask,
            rank: rank.to_vec(),
            columns: self.columns.to_vec(),
            degree,
        }
    }
}

impl Made {
    /// The same for [`fused`]; none on another device.
    pub fn fused(&self) -> Option<fused::MadePass> {
        Some(fused::MadePass {
            n_dimensions: self.input.fused().n_in,
            n_features: self.context.fused().n_in,
            hidden: self.input.fused().n_out,
            n_residual: self.hidden.len(),
            n_outputs: self.output.fused().n_out,
            input_mask: fused::mask(&self.input_mask)?,
            hidden_mask: fused::mask(&self.hidden_mask)?,
            output_mask: fused::mask(&self.output_mask)?,
        })
    }

    /// What the features contribute: the same for every pass of a draw.
    pub fn context(&self, features: Tensor<2>) -> Tensor<2> {
        self.context.forward(features)
    }

    pub fn forward(&self, y: Tensor<2>, context: Tensor<2>) -> Tensor<2> {
        let first = masked(&self.input, &self.input_mask, y) + context;
        let mut state = relu(first);
        for layer in &self.hidden {
            state = state.clone() + relu(masked(layer, &self.hidden_mask, state));
        }
        masked(&self.output, &self.output_mask, state)
    }

    /// With `bias(i)` for the output layer's initial bias of each of its `n` outputs.
    pub fn with_output_bias(
        mut self,
        n: usize,
        bias: impl Fn(usize) -> f32,
        initializer: &mut Initializer,
    ) -> Self {
        self.output.bias = initializer.vector(n, bias);
        self
    }
}

fn masked(layer: &Dense, mask: &Tensor<2>, input: Tensor<2>) -> Tensor<2> {
    input.matmul(layer.weight.val() * mask.clone()) + layer.bias.val().unsqueeze()
}
