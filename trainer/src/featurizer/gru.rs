//! Gated recurrent unit (Cho et al. 2014) over time, written as plain products.

use crate::dense::Dense;
use crate::fused;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};

/// One GRU layer; gates stand in the order reset, update, candidate.
#[derive(Module, Debug)]
pub struct Gru {
    /// `[channels, 3 · hidden]`
    input: Dense,
    /// `[hidden, 3 · hidden]`
    state: Dense,
    hidden: usize,
}

impl Gru {
    pub fn init(channels: usize, hidden: usize, initializer: &mut Initializer) -> Self {
        Self {
            input: Dense::init(channels, 3 * hidden, 0.6, initializer),
            state: Dense::init(hidden, 3 * hidden, 0.6, initializer),
            hidden,
        }
    }

    /// The same for [`fused`].
    pub fn fused(&self) -> fused::GruPass {
        fused::GruPass {
            channels: self.input.weight.dims()[0],
            hidden: self.hidden,
        }
    }

    /// `[batch, length, channels]` -> the last state, `[batch, hidden]`
    pub fn forward(&self, input: Tensor<3>) -> Tensor<2> {
        let [batch, length, _] = input.dims();
        let n = self.hidden;
        let gates = self.input.forward_sequence(input);
        let mut state = Tensor::<2>::zeros([batch, n], &gates.device());
        for step in 0..length {
            let from_input = gates.clone().narrow(1, step, 1).reshape([batch, 3 * n]);
            let from_state = self.state.forward(state.clone());
            let opening = sigmoid(
                from_input.clone().narrow(1, 0, 2 * n) + from_state.clone().narrow(1, 0, 2 * n),
            );
            let reset = opening.clone().narrow(1, 0, n);
            let update = opening.narrow(1, n, n);
            let candidate =
                (from_input.narrow(1, 2 * n, n) + reset * from_state.narrow(1, 2 * n, n)).tanh();
            state = candidate.clone() + update * (state - candidate);
        }
        state
    }
}

/// A GRU over the data themselves.
#[derive(Module, Debug)]
pub struct GruFeaturizer {
    embed: Dense,
    gru: Gru,
    output: Dense,
}

impl GruFeaturizer {
    pub fn init(
        channels: usize,
        hidden: usize,
        features: usize,
        initializer: &mut Initializer,
    ) -> Self {
        Self {
            embed: Dense::init(channels, hidden, 1.0, initializer),
            gru: Gru::init(hidden, hidden, initializer),
            output: Dense::init(hidden, features, 1.0, initializer),
        }
    }

    pub fn fused(&self) -> fused::NetworkPass {
        fused::NetworkPass::Gru(self.embed.fused(), self.gru.fused(), self.output.fused())
    }

    pub fn forward(&self, input: Tensor<3>) -> Tensor<2> {
        let state = self.gru.forward(relu(self.embed.forward_sequence(input)));
        self.output.forward(state)
    }
}
