//! A GRU layer over time with its gradient: backpropagation through time as few matrix products.

use super::buffer::Buffer;
use super::dense::DensePass;
use super::product::{add_product, product, rows};
use crate::elementary::{sigmoid, tanh, vectorized};

/// Weights are those of `featurizer::gru::Gru`: from the input, then from the state; gates stand in the order
/// reset, update, candidate.
#[derive(Debug, Clone, Copy)]
pub struct GruPass {
    pub channels: usize,
    pub hidden: usize,
}

/// What the gradient needs, time before sequence: step t of sequence i is row t · n + i.
#[derive(Debug)]
pub struct GruSaved {
    /// `[length · n, channels]`
    input: Buffer,
    /// Reset, update and candidate after their functions, `[length · n, 3 · hidden]`
    gates: Buffer,
    /// What the reset gate lets pass, `[length · n, hidden]`
    gated: Buffer,
    /// The state before each step, and the last one, `[(length + 1) · n, hidden]`
    states: Buffer,
}

impl GruSaved {
    /// The last state, `[n, hidden]`
    pub fn output(&self, n: usize, hidden: usize) -> &[f32] {
        &self.states[self.states.len() - n * hidden..]
    }
}

impl GruPass {
    pub fn n_weights(self) -> usize {
        self.input().n_weights() + self.state().n_weights()
    }

    fn input(self) -> DensePass {
        DensePass::new(self.channels, 3 * self.hidden)
    }

    fn state(self) -> DensePass {
        DensePass::new(self.hidden, 3 * self.hidden)
    }

    /// `[n, length, channels]` -> the last state
    pub fn forward(self, n: usize, weights: &[f32], sequences: &[f32]) -> GruSaved {
        let (h, length) = (self.hidden, sequences.len() / (n * self.channels));
        let (input_weights, state_weights) = weights.split_at(self.input().n_weights());
        let (state_matrix, state_bias) = self.state().parts(state_weights);
        let input = exchange(sequences, n, length, self.channels);
        let mut gates = Buffer::take(length * n * 3 * h);
        self.input().forward(input_weights, &input, &mut gates);
        let mut gated = Buffer::take(length * n * h);
        let mut states = Buffer::take((length + 1) * n * h);
        states[..n * h].fill(0.0);
        let mut from_state = Buffer::zeros(n * 3 * h);
        for step in 0..length {
            let (before, after) = states[step * n * h..].split_at_mut(n * h);
            if step > 0 {
                product(
                    &mut from_state,
                    rows(before, n, h),
                    rows(state_matrix, h, 3 * h),
                );
            }
            let gates = &mut gates[step * n * 3 * h..][..n * 3 * h];
            let gated = &mut gated[step * n * h..][..n * h];
            vectorized(
                #[inline(always)]
                || {
                    for i in 0..n {
                        let row = &from_state[i * 3 * h..][..3 * h];
                        let gates = &mut gates[i * 3 * h..][..3 * h];
                        let (opening, candidate) = gates.split_at_mut(2 * h);
                        for ((gate, row), bias) in opening.iter_mut().zip(row).zip(state_bias) {
                            *gate = sigmoid(*gate + row + bias);
                        }
                        let (reset, update) = opening.split_at(h);
                        let gated = &mut gated[i * h..][..h];
                        let before = &before[i * h..][..h];
                        let after = &mut after[i * h..][..h];
                        let (row, bias) = (&row[2 * h..], &state_bias[2 * h..]);
                        for j in 0..h {
                            gated[j] = row[j] + bias[j];
                            candidate[j] = tanh(candidate[j] + reset[j] * gated[j]);
                            after[j] = candidate[j] + update[j] * (before[j] - candidate[j]);
                        }
                    }
                },
            );
        }
        GruSaved {
            input,
            gates,
            gated,
            states,
        }
    }

    /// The gradient of the input `[n, length, channels]` from that of the last state; those of the weights are
    /// written over `d_weights`.
    pub fn backward(
        self,
        n: usize,
        weights: &[f32],
        saved: &GruSaved,
        d_output: &[f32],
        d_weights: &mut [f32],
    ) -> Buffer {
        let h = self.hidden;
        let length = saved.gated.len() / (n * h);
        let (input_weights, state_weights) = weights.split_at(self.input().n_weights());
        let (state_matrix, _) = self.state().parts(state_weights);
        let mut d_state = Buffer::copy_of(d_output);
        // Before the gates' functions: as the input sees them, and as the state does.
        let mut d_input_gates = Buffer::take(length * n * 3 * h);
        let mut d_state_gates = Buffer::take(length * n * 3 * h);
        for step in (0..length).rev() {
            let gates = &saved.gates[step * n * 3 * h..][..n * 3 * h];
            let gated = &saved.gated[step * n * h..][..n * h];
            let before = &saved.states[step * n * h..][..n * h];
            let d_input_gates = &mut d_input_gates[step * n * 3 * h..][..n * 3 * h];
            let d_state_gates = &mut d_state_gates[step * n * 3 * h..][..n * 3 * h];
            vectorized(
                #[inline(always)]
                || {
                    for i in 0..n {
                        let (reset, rest) = gates[i * 3 * h..][..3 * h].split_at(h);
                        let (update, candidate) = rest.split_at(h);
                        let gated = &gated[i * h..][..h];
                        let before = &before[i * h..][..h];
                        let d_state = &mut d_state[i * h..][..h];
                        let (d_reset, rest) = d_input_gates[i * 3 * h..][..3 * h].split_at_mut(h);
                        let (d_update, d_candidate) = rest.split_at_mut(h);
                        let d_gated = &mut d_state_gates[i * 3 * h + 2 * h..][..h];
                        for j in 0..h {
                            let (r, z, c) = (reset[j], update[j], candidate[j]);
                            // Over long sequences gradients fade into numbers that are slow to work with.
                            let d = if d_state[j].abs() < 1e-30 {
                                0.0
                            } else {
                                d_state[j]
                            };
                            let d_c = d * (1.0 - z) * (1.0 - c * c);
                            d_update[j] = d * (before[j] - c) * z * (1.0 - z);
                            d_reset[j] = d_c * gated[j] * r * (1.0 - r);
                            d_candidate[j] = d_c;
                            d_gated[j] = d_c * r;
                            d_state[j] = d * z;
                        }
                        d_state_gates[i * 3 * h..][..2 * h]
                            .copy_from_slice(&d_input_gates[i * 3 * h..][..2 * h]);
                    }
                },
            );
            if step > 0 {
                add_product(
                    &mut d_state,
                    rows(d_state_gates, n, 3 * h),
                    rows(state_matrix, h, 3 * h).transpose(),
                );
            }
        }
        let (d_input_weights, d_state_weights) = d_weights.split_at_mut(self.input().n_weights());
        self.input()
            .backward_weights(&saved.input, &d_input_gates, d_input_weights);
        self.state()
            .backward_weights(&saved.states, &d_state_gates, d_state_weights);
        let mut d_input = Buffer::take(saved.input.len());
        self.input()
            .backward_input(input_weights, &d_input_gates, &mut d_input);
        exchange(&d_input, length, n, self.channels)
    }
}

/// `[n, m, channels]` -> `[m, n, channels]`
fn exchange(values: &[f32], n: usize, m: usize, channels: usize) -> Buffer {
    let mut exchanged = Buffer::take(values.len());
    for i in 0..n {
        for j in 0..m {
            exchanged[(j * n + i) * channels..][..channels]
                .copy_from_slice(&values[(i * m + j) * channels..][..channels]);
        }
    }
    exchanged
}
