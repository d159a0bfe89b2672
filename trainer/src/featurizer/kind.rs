//! Any of the featurizers of the campaign file.

use super::gru::GruFeaturizer;
use super::mlp::Mlp;
use super::resnet::{Resnet, ResnetGru, TowerConfig};
use crate::fused;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use sidereal_inference::campaign;

/// Any of the featurizers of the campaign file.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "one per network")]
pub enum Featurizer {
    ResnetGru(ResnetGru),
    Resnet(Resnet),
    Gru(GruFeaturizer),
    Mlp(Mlp),
}

impl Featurizer {
    /// `length` data in `channels` channels.
    pub fn init(
        config: &campaign::Featurizer,
        length: usize,
        channels: usize,
        initializer: &mut Initializer,
    ) -> Self {
        let tower = |width, stages, normalization| TowerConfig {
            length,
            channels_in: channels,
            width,
            stages,
            normalization,
        };
        match *config {
            campaign::Featurizer::ResnetGru {
                channels: width,
                stages,
                hidden,
                features,
                normalization,
            } => {
                let tower = tower(width, stages, normalization);
                Self::ResnetGru(ResnetGru::init(&tower, hidden, features, initializer))
            }
            campaign::Featurizer::Resnet {
                channels: width,
                stages,
                features,
                normalization,
            } => {
                let tower = tower(width, stages, normalization);
                Self::Resnet(Resnet::init(&tower, features, initializer))
            }
            campaign::Featurizer::Gru { hidden, features } => {
                Self::Gru(GruFeaturizer::init(channels, hidden, features, initializer))
            }
            campaign::Featurizer::Mlp {
                layers,
                hidden,
                features,
            } => Self::Mlp(Mlp::init(
                length * channels,
                layers,
                hidden,
                features,
                initializer,
            )),
        }
    }

    /// The same for [`fused`], for data of this length and channels; none with batch normalization.
    pub fn fused(&self, length: usize, channels: usize) -> Option<fused::NetworkPass> {
        match self {
            Self::ResnetGru(network) => network.fused(length, channels),
            Self::Resnet(network) => network.fused(length, channels),
            Self::Gru(network) => Some(network.fused()),
            Self::Mlp(network) => Some(network.fused()),
        }
    }

    /// `[batch, length, channels]` -> `[batch, features]`
    pub fn forward(&self, input: Tensor<3>) -> Tensor<2> {
        match self {
            Self::ResnetGru(network) => network.forward(input),
            Self::Resnet(network) => network.forward(input),
            Self::Gru(network) => network.forward(input),
            Self::Mlp(network) => network.forward(input),
        }
    }
}
