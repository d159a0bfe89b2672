//! A fully connected layer over rows, with its gradient.

use super::loops::{add_bias, add_bias_relu, column_sums};
use super::product::{product, rows};

/// Weights are `[n_in, n_out]`, then the bias `[n_out]`, as in `dense::Dense`.
#[derive(Debug, Clone, Copy)]
pub struct DensePass {
    pub n_in: usize,
    pub n_out: usize,
}

impl DensePass {
    pub fn new(n_in: usize, n_out: usize) -> Self {
        Self { n_in, n_out }
    }

    pub fn n_weights(self) -> usize {
        (self.n_in + 1) * self.n_out
    }

    /// `[n, n_in]` -> `[n, n_out]`
    pub fn forward(self, weights: &[f32], input: &[f32], output: &mut [f32]) {
        let (matrix, bias) = self.parts(weights);
        self.product(matrix, input, output);
        add_bias(output, bias);
    }

    pub fn forward_relu(self, weights: &[f32], input: &[f32], output: &mut [f32]) {
        let (matrix, bias) = self.parts(weights);
        self.product(matrix, input, output);
        add_bias_relu(output, bias);
    }

    /// Gradients of the weights, written over `d_weights`, from that of the output.
    pub fn backward_weights(self, input: &[f32], d_output: &[f32], d_weights: &mut [f32]) {
        let n = d_output.len() / self.n_out;
        let (d_matrix, d_bias) = d_weights.split_at_mut(self.n_in * self.n_out);
        product(
            d_matrix,
            rows(input, n, self.n_in).transpose(),
            rows(d_output, n, self.n_out),
        );
        column_sums(d_output, d_bias);
    }

    /// Gradient of the input, written over `d_input`.
    pub fn backward_input(self, weights: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        let n = d_output.len() / self.n_out;
        let (matrix, _) = self.parts(weights);
        product(
            d_input,
            rows(d_output, n, self.n_out),
            rows(matrix, self.n_in, self.n_out).transpose(),
        );
    }

    pub fn parts(self, weights: &[f32]) -> (&[f32], &[f32]) {
        weights.split_at(self.n_in * self.n_out)
    }

    fn product(self, matrix: &[f32], input: &[f32], output: &mut [f32]) {
        let n = output.len() / self.n_out;
        product(
            output,
            rows(input, n, self.n_in),
            rows(matrix, self.n_in, self.n_out),
        );
    }
}
