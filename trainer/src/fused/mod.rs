//! The estimator's forward pass and gradient on the CPU, written by hand: one node of burn's graph for all
//! layers from data to features, and one for a whole flow.
//!
//! Each does what the modules of `featurizer` and `flow` do with burn's own operations, which stay the way on
//! GPUs, with batch normalization, and the reference that the tests hold these against.

mod buffer;
mod conv;
mod dense;
mod gru;
mod loops;
mod made;
mod maf;
mod mixture;
mod network;
mod operation;
mod product;
mod tower;

pub use buffer::{clear as clear_buffers, give_back};
pub use conv::ConvPass;
pub use dense::DensePass;
pub use gru::GruPass;
pub use loops::add;
pub use made::MadePass;
pub use maf::MafPass;
pub use network::{MlpPass, NetworkPass};
pub use tower::{StagePass, StemPass, TowerPass};

use burn::tensor::Tensor;
use operation::{CpuTensor, Operation, apply};

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
        let operation = SummarizerOperation(self, n);
        Some(apply(operation, inputs, &[n, n_features]).into_tensor())
    }

    fn bypass(&self) -> DensePass {
        DensePass {
            n_in: self.length,
            n_out: self.network.n_features(),
        }
    }
}

/// With the number of rows.
#[derive(Debug)]
struct SummarizerOperation(SummarizerPass, usize);

impl Operation<2> for SummarizerOperation {
    type Saved = (network::NetworkSaved, buffer::Buffer);

    fn forward(&self, [x, weights]: [&[f32]; 2]) -> (Vec<f32>, Self::Saved) {
        let Self(summarizer, n) = self;
        let (own, of_bypass) = weights.split_at(summarizer.network.n_weights());
        let mut features = vec![0.0; n * summarizer.network.n_features()];
        let saved = summarizer.network.forward(*n, own, x, &mut features);
        let near = network::nearby(x, summarizer.channels, summarizer.bypass_channel);
        let mut bypassed = buffer::Buffer::take(features.len());
        summarizer.bypass().forward(of_bypass, &near, &mut bypassed);
        loops::add(&mut features, &bypassed);
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
        let Self(summarizer, n) = self;
        let n_own = summarizer.network.n_weights();
        let mut d_weights = buffer::take_gradient(weights.len());
        let (d_own, d_bypass) = d_weights.split_at_mut(n_own);
        summarizer
            .network
            .backward(*n, &weights[..n_own], x, saved, d_features, d_own);
        summarizer
            .bypass()
            .backward_weights(near, d_features, d_bypass);
        [None, Some(d_weights)]
    }
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
        Some(apply(MafOperation(self, n), inputs, &[n]).into_tensor())
    }
}

/// With the number of rows.
#[derive(Debug)]
struct MafOperation(MafPass, usize);

impl Operation<3> for MafOperation {
    type Saved = maf::MafSaved;

    fn forward(&self, [y, features, weights]: [&[f32]; 3]) -> (Vec<f32>, Self::Saved) {
        let mut log_density = vec![0.0; self.1];
        let saved = self.0.forward(weights, y, features, &mut log_density);
        (log_density, saved)
    }

    fn backward(
        &self,
        [_, features, weights]: [&[f32]; 3],
        saved: &Self::Saved,
        d_log_density: &[f32],
        [y_wanted, features_wanted, weights_wanted]: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let mut d_weights = buffer::take_gradient(weights.len());
        let d_inputs = self.0.backward(
            weights,
            y_wanted,
            features_wanted,
            features,
            saved,
            d_log_density,
            &mut d_weights,
        );
        let d_weights = weights_wanted.then_some(d_weights);
        [d_inputs.y, d_inputs.features, d_weights]
    }
}

/// The values of a mask, none on another device.
pub fn mask(mask: &Tensor<2>) -> Option<Vec<f32>> {
    CpuTensor::of(mask).map(|mask| mask.values())
}
