//! From data to features as one node of burn's graph.

use super::buffer::take_gradient;
use super::network::{NetworkPass, NetworkSaved};
use super::operation::{CpuTensor, Operation, apply};
use burn::tensor::Tensor;

/// Features of data.
#[derive(Debug)]
pub struct FeaturizerPass {
    pub network: NetworkPass,
    /// Numbers of one row: length times channels.
    pub row: usize,
}

impl FeaturizerPass {
    /// `[n, length, channels]` -> `[n, n_features]`; none on another device. `weights` are those of the
    /// featurizer. Data are constants: no gradient flows to x.
    pub fn features(self, x: &Tensor<3>, weights: &Tensor<1>) -> Option<Tensor<2>> {
        let n = x.dims()[0];
        let n_features = self.network.n_features();
        if n == 0 || x.is_require_grad() {
            return None;
        }
        let inputs = [CpuTensor::of(x)?, CpuTensor::of(weights)?];
        Some(apply(self, inputs, &[n, n_features]).into_tensor())
    }
}

impl Operation<2> for FeaturizerPass {
    type Saved = NetworkSaved;

    fn forward(&self, [x, weights]: [&[f32]; 2]) -> (Vec<f32>, NetworkSaved) {
        let n = x.len() / self.row;
        let mut features = vec![0.0; n * self.network.n_features()];
        let saved = self.network.forward(n, weights, x, &mut features);
        (features, saved)
    }

    fn backward(
        &self,
        [x, weights]: [&[f32]; 2],
        saved: &NetworkSaved,
        d_features: &[f32],
        [_, wanted]: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        if !wanted {
            return [None, None];
        }
        let n = x.len() / self.row;
        let mut d_weights = take_gradient(weights.len());
        self.network
            .backward(n, weights, x, saved, d_features, &mut d_weights);
        [None, Some(d_weights)]
    }
}
