//! Fully connected featurizer, for short data or data without an order.

use crate::dense::Dense;
use crate::fused;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

/// An input layer, residual hidden layers and a linear output.
#[derive(Module, Debug)]
pub struct Mlp {
    input: Dense,
    hidden: Vec<Dense>,
    output: Dense,
}

impl Mlp {
    pub fn init(
        n_in: usize,
        layers: usize,
        hidden: usize,
        features: usize,
        initializer: &mut Initializer,
    ) -> Self {
        Self {
            input: Dense::init(n_in, hidden, 1.0, initializer),
            hidden: (1..layers)
                .map(|_| Dense::init(hidden, hidden, 0.8, initializer))
                .collect(),
            output: Dense::init(hidden, features, 1.0, initializer),
        }
    }

    pub fn fused(&self) -> fused::NetworkPass {
        fused::NetworkPass::Mlp(fused::MlpPass {
            input: self.input.fused(),
            n_residual: self.hidden.len(),
            output: self.output.fused(),
        })
    }

    /// `[batch, length, channels]` -> `[batch, features]`
    pub fn forward(&self, input: Tensor<3>) -> Tensor<2> {
        let [batch, length, channels] = input.dims();
        let mut state = relu(
            self.input
                .forward(input.reshape([batch, length * channels])),
        );
        for layer in &self.hidden {
            state = state.clone() + relu(layer.forward(state));
        }
        self.output.forward(state)
    }
}
