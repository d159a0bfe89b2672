//! A masked autoencoder (`flow::made::Made`) over rows, with its gradient.

use super::buffer::Buffer;
use super::dense::DensePass;
use super::loops::{add, add_bias, add_bias_relu, mask_by_relu, multiply, multiply_into};
use super::operation::CpuTensor;
use super::product::{add_product, product, rows};
use burn::tensor::Tensor;

/// Sizes and masks; weights lie end to end in the order of the module: input, context, hidden, output.
#[derive(Debug, Clone)]
pub struct MadePass {
    pub n_dimensions: usize,
    pub n_features: usize,
    pub hidden: usize,
    /// Hidden layers after the first.
    pub n_residual: usize,
    pub n_outputs: usize,
    /// `[n_dimensions, hidden]`
    pub input_mask: Vec<f32>,
    /// `[hidden, hidden]`
    pub hidden_mask: Vec<f32>,
    /// `[hidden, n_outputs]`
    pub output_mask: Vec<f32>,
}

/// What the gradient needs.
#[derive(Debug)]
pub struct MadeSaved {
    /// Masked matrices: input, hidden, output.
    matrices: Vec<Buffer>,
    /// What each residual layer adds, `[n, hidden]`
    added: Vec<Buffer>,
    /// The state before each residual layer, and the last one.
    states: Vec<Buffer>,
}

/// Where the layers lie among the weights.
struct Layers<'a> {
    input: &'a [f32],
    context: &'a [f32],
    hidden: Vec<&'a [f32]>,
    output: &'a [f32],
}

impl MadePass {
    pub fn n_weights(&self) -> usize {
        self.input().n_weights()
            + self.context().n_weights()
            + self.n_residual * self.residual().n_weights()
            + self.output().n_weights()
    }

    fn input(&self) -> DensePass {
        DensePass::new(self.n_dimensions, self.hidden)
    }

    fn context(&self) -> DensePass {
        DensePass::new(self.n_features, self.hidden)
    }

    fn residual(&self) -> DensePass {
        DensePass::new(self.hidden, self.hidden)
    }

    fn output(&self) -> DensePass {
        DensePass::new(self.hidden, self.n_outputs)
    }

    fn layers<'a>(&self, weights: &'a [f32]) -> Layers<'a> {
        let (input, rest) = weights.split_at(self.input().n_weights());
        let (context, rest) = rest.split_at(self.context().n_weights());
        let (hidden, output) = rest.split_at(self.n_residual * self.residual().n_weights());
        Layers {
            input,
            context,
            hidden: hidden.chunks_exact(self.residual().n_weights()).collect(),
            output,
        }
    }

    /// `[n, n_dimensions]` and `[n, n_features]` -> `[n, n_outputs]`
    pub fn forward(
        &self,
        n: usize,
        weights: &[f32],
        y: &[f32],
        features: &[f32],
    ) -> (MadeSaved, Buffer) {
        let h = self.hidden;
        let layers = self.layers(weights);
        let masked = |weights: &[f32], mask: &[f32]| {
            let mut matrix = Buffer::take(mask.len());
            multiply_into(&mut matrix, weights, mask);
            matrix
        };
        let mut matrices = Vec::with_capacity(self.n_residual + 2);
        let mut added = Vec::with_capacity(self.n_residual);
        let mut states = Vec::with_capacity(self.n_residual + 1);

        let (_, input_bias) = self.input().parts(layers.input);
        let (context_matrix, context_bias) = self.context().parts(layers.context);
        let input_matrix = masked(layers.input, &self.input_mask);
        let mut state = Buffer::take(n * h);
        product(
            &mut state,
            rows(y, n, self.n_dimensions),
            rows(&input_matrix, self.n_dimensions, h),
        );
        add_product(
            &mut state,
            rows(features, n, self.n_features),
            rows(context_matrix, self.n_features, h),
        );
        let mut bias = Buffer::copy_of(input_bias);
        add(&mut bias, context_bias);
        add_bias_relu(&mut state, &bias);
        matrices.push(input_matrix);

        for layer in &layers.hidden {
            let (_, bias) = self.residual().parts(layer);
            let matrix = masked(layer, &self.hidden_mask);
            let mut own = Buffer::take(n * h);
            product(&mut own, rows(&state, n, h), rows(&matrix, h, h));
            add_bias_relu(&mut own, bias);
            let mut next = Buffer::copy_of(&state);
            add(&mut next, &own);
            states.push(std::mem::replace(&mut state, next));
            added.push(own);
            matrices.push(matrix);
        }
        let (_, bias) = self.output().parts(layers.output);
        let matrix = masked(layers.output, &self.output_mask);
        let mut output = Buffer::take(n * self.n_outputs);
        product(
            &mut output,
            rows(&state, n, h),
            rows(&matrix, h, self.n_outputs),
        );
        add_bias(&mut output, bias);
        matrices.push(matrix);
        states.push(state);
        let saved = MadeSaved {
            matrices,
            added,
            states,
        };
        (saved, output)
    }

    /// Adds the gradients of y and the features to `d_y` and `d_features`, and writes those of the weights over
    /// `d_weights`.
    #[expect(clippy::too_many_arguments, reason = "inputs and their gradients")]
    pub fn backward(
        &self,
        n: usize,
        weights: &[f32],
        y: &[f32],
        features: &[f32],
        saved: &MadeSaved,
        d_output: &[f32],
        d_weights: &mut [f32],
        d_y: Option<&mut [f32]>,
        d_features: Option<&mut [f32]>,
    ) {
        let h = self.hidden;
        let residual = self.residual().n_weights();
        let (d_input, rest) = d_weights.split_at_mut(self.input().n_weights());
        let (d_context, rest) = rest.split_at_mut(self.context().n_weights());
        let (d_hidden, d_out) = rest.split_at_mut(self.n_residual * residual);

        let last = &saved.states[self.n_residual];
        self.output().backward_weights(last, d_output, d_out);
        multiply(d_out, &self.output_mask);
        let mut d_state = Buffer::take(n * h);
        product(
            &mut d_state,
            rows(d_output, n, self.n_outputs),
            rows(&saved.matrices[self.n_residual + 1], h, self.n_outputs).transpose(),
        );
        for layer in (0..self.n_residual).rev() {
            let mut d_own = Buffer::copy_of(&d_state);
            mask_by_relu(&mut d_own, &saved.added[layer]);
            let d_weights = &mut d_hidden[layer * residual..][..residual];
            self.residual()
                .backward_weights(&saved.states[layer], &d_own, d_weights);
            multiply(d_weights, &self.hidden_mask);
            add_product(
                &mut d_state,
                rows(&d_own, n, h),
                rows(&saved.matrices[layer + 1], h, h).transpose(),
            );
        }
        mask_by_relu(&mut d_state, &saved.states[0]);
        self.input().backward_weights(y, &d_state, d_input);
        multiply(d_input, &self.input_mask);
        self.context()
            .backward_weights(features, &d_state, d_context);
        if let Some(d_y) = d_y {
            add_product(
                d_y,
                rows(&d_state, n, h),
                rows(&saved.matrices[0], self.n_dimensions, h).transpose(),
            );
        }
        if let Some(d_features) = d_features {
            let (matrix, _) = self.context().parts(self.layers(weights).context);
            add_product(
                d_features,
                rows(&d_state, n, h),
                rows(matrix, self.n_features, h).transpose(),
            );
        }
    }
}

/// The values of a mask, none on another device.
pub fn mask(mask: &Tensor<2>) -> Option<Vec<f32>> {
    CpuTensor::of(mask).map(|mask| mask.values())
}
