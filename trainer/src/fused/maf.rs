//! Log density of a masked autoregressive flow (`flow::maf::Maf`) over rows, with its gradient.

use super::buffer::{Buffer, take_gradient};
use super::loops::add;
use super::made::{MadePass, MadeSaved};
use super::mixture::{self, MixtureSaved};
use super::operation::{CpuTensor, Operation, apply};
use crate::elementary::{exp, tanh, vectorized};
use burn::tensor::Tensor;

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

impl MafPass {
    /// log q(y | features): `[n, d]`, `[n, n_features]` -> `[n]`; none on another device.
    pub fn log_density(
        self,
        y: &Tensor<2>,
        features: &Tensor<2>,
        weights: &Tensor<1>,
    ) -> Option<Tensor<1>> {
        let n = y.dims()[0];
        if n == 0 {
            return None;
        }
        let inputs = [
            CpuTensor::of(y)?,
            CpuTensor::of(features)?,
            CpuTensor::of(weights)?,
        ];
        Some(apply(self, inputs, &[n]).into_tensor())
    }

    fn n_weights(&self) -> usize {
        self.blocks.iter().map(MadePass::n_weights).sum::<usize>() + self.base.n_weights()
    }
}

impl Operation<3> for MafPass {
    type Saved = MafSaved;

    fn forward(&self, [y, features, weights]: [&[f32]; 3]) -> (Vec<f32>, MafSaved) {
        let d = self.base.n_dimensions;
        let n = y.len() / d;
        let mut log_density = vec![0.0; n];
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
            &mut log_density,
        );
        add(&mut log_density, &log_determinant);
        let saved = MafSaved {
            blocks,
            base,
            base_input: input,
            mixture,
        };
        (log_density, saved)
    }

    fn backward(
        &self,
        [_, features, weights]: [&[f32]; 3],
        saved: &MafSaved,
        d_log_density: &[f32],
        [y_wanted, features_wanted, weights_wanted]: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let mut d_weights = take_gradient(weights.len());
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
        [
            y_wanted.then(|| d_u.to_vec()),
            d_features,
            weights_wanted.then_some(d_weights),
        ]
    }
}
