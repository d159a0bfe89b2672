//! From data to features, those that bypass the featurizer included, as one node of burn's graph.

use super::buffer::{Buffer, take_gradient};
use super::dense::DensePass;
use super::loops::add;
use super::network::{NetworkPass, NetworkSaved, nearby};
use super::operation::{CpuTensor, Operation, apply};
use burn::tensor::Tensor;

/// Features of data: the featurizer's plus those that bypass it.
#[derive(Debug)]
pub struct SummarizerPass {
    pub network: NetworkPass,
    pub length: usize,
    pub channels: usize,
    /// The channel that bypasses the network.
    pub bypass_channel: usize,
}

impl SummarizerPass {
    /// `[n, length, channels]` -> `[n, n_features]`; none on another device. `weights` are those of the
    /// featurizer and of the bypass. Data are constants: no gradient flows to x.
    pub fn features(self, x: &Tensor<3>, weights: &Tensor<1>) -> Option<Tensor<2>> {
        let n = x.dims()[0];
        let n_features = self.network.n_features();
        if n == 0 || x.is_require_grad() {
            return None;
        }
        let inputs = [CpuTensor::of(x)?, CpuTensor::of(weights)?];
        Some(apply(self, inputs, &[n, n_features]).into_tensor())
    }

    fn n_rows(&self, x: &[f32]) -> usize {
        x.len() / (self.length * self.channels)
    }

    fn bypass(&self) -> DensePass {
        DensePass::new(self.length, self.network.n_features())
    }
}

impl Operation<2> for SummarizerPass {
    type Saved = (NetworkSaved, Buffer);

    fn forward(&self, [x, weights]: [&[f32]; 2]) -> (Vec<f32>, Self::Saved) {
        let n = self.n_rows(x);
        let (own, of_bypass) = weights.split_at(self.network.n_weights());
        let mut features = vec![0.0; n * self.network.n_features()];
        let saved = self.network.forward(n, own, x, &mut features);
        let near = nearby(x, self.channels, self.bypass_channel);
        let mut bypassed = Buffer::take(features.len());
        self.bypass().forward(of_bypass, &near, &mut bypassed);
        add(&mut features, &bypassed);
        (features, (saved, near))
    }

    fn backward(
        &self,
        [x, weights]: [&[f32]; 2],
        (saved, near): &Self::Saved,
        d_features: &[f32],
        [_, wanted]: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        if !wanted {
            return [None, None];
        }
        let n = self.n_rows(x);
        let n_own = self.network.n_weights();
        let mut d_weights = take_gradient(weights.len());
        let (d_own, d_bypass) = d_weights.split_at_mut(n_own);
        self.network
            .backward(n, &weights[..n_own], x, saved, d_features, d_own);
        self.bypass().backward_weights(near, d_features, d_bypass);
        [None, Some(d_weights)]
    }
}
