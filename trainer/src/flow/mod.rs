//! Normalizing flows conditioned on features: the neural density estimators.

mod affine;
mod made;
mod maf;
mod mixture;

pub use maf::{BaseDraws, Maf};

use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use sidereal_inference::campaign;

/// Any of the flows of the campaign file.
#[derive(Module, Debug)]
pub enum Flow {
    Maf(Maf),
}

impl Flow {
    pub fn init(
        config: &campaign::Flow,
        n_parameters: usize,
        n_features: usize,
        initializer: &mut Initializer,
    ) -> Self {
        match config {
            campaign::Flow::Maf {
                blocks,
                hidden,
                layers,
                components,
                max_log_scale,
            } => {
                let config = maf::MafConfig {
                    n_parameters,
                    n_features,
                    blocks: *blocks,
                    hidden: *hidden,
                    layers: *layers,
                    components: *components,
                    max_log_scale: *max_log_scale,
                };
                Self::Maf(config.init(initializer))
            }
        }
    }

    /// With all weights end to end, made by `leaf` from their number, in place of the parameters, while gradients
    /// are taken; none where the flow works with its parameters one by one.
    pub fn with_joined(self, leaf: &mut impl FnMut(usize) -> Tensor<1>) -> Option<Self> {
        match self {
            Self::Maf(flow) => Some(Self::Maf(flow.with_joined(leaf))),
        }
    }

    /// log q(y | features) for `[n, n_parameters]` and `[n, n_features]`: `[n]`
    pub fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Maf(flow) => flow.log_density(y, features),
        }
    }

    /// [`log_density`](Self::log_density) by burn's own operations throughout.
    pub fn log_density_by_parts(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Maf(flow) => flow.log_density_by_parts(y, features),
        }
    }

    /// Maps base draws to draws of q(y | features): `[n, n_parameters]`
    pub fn draw(&self, base: &BaseDraws, features: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Maf(flow) => flow.draw(base, features),
        }
    }
}
