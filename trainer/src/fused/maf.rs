//! Log density of a masked autoregressive flow (`flow::maf::Maf`) over rows, with its gradient.

use super::buffer::Buffer;
use super::loops::add;
use super::made::{MadePass, MadeSaved};
use super::mixture::{self, MixtureSaved};
use crate::elementary::{exp, tanh, vectorized};

/// Blocks from the parameters to the base, and the base; weights lie end to end in the same order.
#[derive(Debug, Clone)]
pub struct MafPass {
    pub blocks: Vec<MadePass>,
    pub base: MadePass,
    pub components: usize,
    pub max_log_scale: f32,
}

/// What the gradient needs.
#[derive(Debug)]
pub struct MafSaved {
    blocks: Vec<BlockSaved>,
    base: MadeSaved,
    base_input: Buffer,
    mixture: MixtureSaved,
}

#[derive(Debug)]
struct BlockSaved {
    made: MadeSaved,
    input: Buffer,
    /// u = (input - shift) · exp(-log scale), `[n, d]`
    u: Buffer,
    log_scale: Buffer,
}

/// Gradients of the two inputs of a flow, `[n, d]` and `[n, n_features]`, where they are wanted.
pub struct InputGradients {
    pub y: Option<Vec<f32>>,
    pub features: Option<Vec<f32>>,
}

impl MafPass {
    pub fn n_weights(&self) -> usize {
        self.blocks.iter().map(MadePass::n_weights).sum::<usize>() + self.base.n_weights()
    }

    /// log q of each row, written over `log_density`.
    pub fn forward(
        &self,
        weights: &[f32],
        y: &[f32],
        features: &[f32],
        log_density: &mut [f32],
    ) -> MafSaved {
        let (n, d) = (log_density.len(), self.base.n_dimensions);
        let mut rest = weights;
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let mut input = Buffer::copy_of(y);
        let mut log_determinant = Buffer::zeros(n);
        for block in &self.blocks {
            let (own, others) = rest.split_at(block.n_weights());
            rest = others;
            let (made, output) = block.forward(n, own, &input, features);
            let mut u = Buffer::take(n * d);
            let mut log_scale = Buffer::take(n * d);
            let bound = self.max_log_scale;
            vectorized(
                #[inline(always)]
                || {
                    for i in 0..n {
                        let (shift, raw) = output[i * 2 * d..][..2 * d].split_at(d);
                        for j in 0..d {
                            let at = i * d + j;
                            log_scale[at] = tanh(raw[j] / bound) * bound;
                            u[at] = input[at] - shift[j];
                        }
                    }
                    for (u, &log_scale) in u.iter_mut().zip(log_scale.iter()) {
                        *u *= exp(-log_scale);
                    }
                    let rows = log_scale.chunks_exact(d);
                    for (sum, row) in log_determinant.iter_mut().zip(rows) {
                        *sum -= row.iter().sum::<f32>();
                    }
                },
            );
            let next = Buffer::copy_of(&u);
            blocks.push(BlockSaved {
                made,
                input: std::mem::replace(&mut input, next),
                u,
                log_scale,
            });
        }
        let (base, output) = self.base.forward(n, rest, &input, features);
        let mixture = mixture::forward(
            self.components,
            self.max_log_scale,
            &input,
            &output,
            log_density,
        );
        add(log_density, &log_determinant);
        MafSaved {
            blocks,
            base,
            base_input: input,
            mixture,
        }
    }

    /// Gradients of y and features where they are wanted; those of the weights are written over `d_weights`.
    #[expect(clippy::too_many_arguments, reason = "inputs and their gradients")]
    pub fn backward(
        &self,
        weights: &[f32],
        y_wanted: bool,
        features_wanted: bool,
        features: &[f32],
        saved: &MafSaved,
        d_log_density: &[f32],
        d_weights: &mut [f32],
    ) -> InputGradients {
        let (n, d) = (d_log_density.len(), self.base.n_dimensions);
        let mut d_features = features_wanted.then(|| vec![0.0; features.len()]);
        let mut d_u = Buffer::take(n * d);
        let mut d_output = Buffer::take(n * self.base.n_outputs);
        mixture::backward(
            self.components,
            self.max_log_scale,
            &saved.mixture,
            d_log_density,
            &mut d_output,
            &mut d_u,
        );
        let start = self.n_weights() - self.base.n_weights();
        let base_wanted = !self.blocks.is_empty() || y_wanted;
        self.base.backward(
            n,
            &weights[start..],
            &saved.base_input,
            features,
            &saved.base,
            &d_output,
            &mut d_weights[start..],
            base_wanted.then_some(&mut d_u),
            d_features.as_deref_mut(),
        );
        let mut end = start;
        for (index, (block, saved)) in self.blocks.iter().zip(&saved.blocks).enumerate().rev() {
            let own = end - block.n_weights()..end;
            end = own.start;
            let bound = self.max_log_scale;
            let mut d_output = Buffer::take(n * 2 * d);
            vectorized(
                #[inline(always)]
                || {
                    for i in 0..n {
                        let (d_shift, d_raw) = d_output[i * 2 * d..][..2 * d].split_at_mut(d);
                        for j in 0..d {
                            let at = i * d + j;
                            let log_scale = saved.log_scale[at];
                            let slope = 1.0 - (log_scale / bound) * (log_scale / bound);
                            let d_log_scale = -d_u[at] * saved.u[at] - d_log_density[i];
                            d_raw[j] = d_log_scale * slope;
                            // The gradient of y through u itself; the shift's is its negative.
                            d_u[at] *= exp(-log_scale);
                            d_shift[j] = -d_u[at];
                        }
                    }
                },
            );
            let wanted = index > 0 || y_wanted;
            block.backward(
                n,
                &weights[own.clone()],
                &saved.input,
                features,
                &saved.made,
                &d_output,
                &mut d_weights[own],
                wanted.then_some(&mut d_u),
                d_features.as_deref_mut(),
            );
        }
        InputGradients {
            y: y_wanted.then(|| d_u.to_vec()),
            features: d_features,
        }
    }
}
