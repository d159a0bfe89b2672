//! Residual 1-D convolutions (He et al. 2016), halving the length after each stage.

use super::conv::Conv3;
use super::gru::Gru;
use crate::dense::Dense;
use crate::fused;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use sidereal_inference::campaign;
use sidereal_inference::campaign::Normalization;

/// Channels never grow beyond this multiple of the first stage's.
const MAX_WIDENING: usize = 4;

/// Size of a tower of residual stages.
pub struct TowerConfig {
    pub length: usize,
    pub channels_in: usize,
    /// Channels of the first stage; doubled at each stage up to four times.
    pub width: usize,
    pub stages: usize,
    pub normalization: Normalization,
}

impl TowerConfig {
    fn init(&self, initializer: &mut Initializer) -> Tower {
        let patch = campaign::patch(self.length);
        let stem = match patch {
            1 => Stem::Conv(Conv3::init(
                self.channels_in,
                self.width,
                1.0,
                self.normalization,
                initializer,
            )),
            patch => Stem::Patches(Dense::init(
                patch * self.channels_in,
                self.width,
                1.0,
                initializer,
            )),
        };
        let mut width = self.width;
        let mut stages = Vec::with_capacity(self.stages);
        for _ in 0..self.stages {
            let wider = (2 * width).min(MAX_WIDENING * self.width);
            stages.push(ResidualStage {
                first: Conv3::init(width, width, 1.4, self.normalization, initializer),
                second: Conv3::init(width, width, 0.7, self.normalization, initializer),
                pool: Dense::init(2 * width, wider, 1.0, initializer),
            });
            width = wider;
        }
        Tower {
            stem,
            patch,
            stages,
        }
    }

    fn length_out(&self) -> usize {
        let n_steps = self.length.div_ceil(campaign::patch(self.length));
        (0..self.stages).fold(n_steps, |length, _| length.div_ceil(2))
    }

    fn channels_out(&self) -> usize {
        (0..self.stages).fold(self.width, |width, _| {
            (2 * width).min(MAX_WIDENING * self.width)
        })
    }
}

#[derive(Module, Debug)]
struct ResidualStage {
    first: Conv3,
    second: Conv3,
    /// Learned pooling of neighbours.
    pool: Dense,
}

impl ResidualStage {
    /// `[batch, length, channels]` -> `[batch, length / 2 rounded up, wider]`
    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let inner = self
            .second
            .forward(relu(self.first.forward(relu(input.clone()))));
        self.pool.forward_sequence(patches(input + inner, 2))
    }
}

/// Neighbouring points side by side, the last one repeated where they do not come out even:
/// `[batch, length, channels]` -> `[batch, length / n rounded up, n · channels]`.
fn patches(input: Tensor<3>, n: usize) -> Tensor<3> {
    let [batch, length, channels] = input.dims();
    let n_patches = length.div_ceil(n);
    let missing = n_patches * n - length;
    let even = if missing == 0 {
        input
    } else {
        let last = input
            .clone()
            .narrow(1, length - 1, 1)
            .expand([batch, missing, channels]);
        Tensor::cat(vec![input, last], 1)
    };
    even.reshape([batch, n_patches, n * channels])
}

/// From data to the first stage's channels.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "one per network")]
enum Stem {
    Conv(Conv3),
    Patches(Dense),
}

#[derive(Module, Debug)]
struct Tower {
    stem: Stem,
    patch: usize,
    stages: Vec<ResidualStage>,
}

impl Tower {
    fn fused(&self, length: usize, channels_in: usize) -> Option<fused::TowerPass> {
        let stem = match &self.stem {
            Stem::Conv(conv) => fused::StemPass::Conv(conv.fused()?),
            Stem::Patches(dense) => fused::StemPass::Patches(self.patch, dense.fused()),
        };
        let stage = |stage: &ResidualStage| {
            let channels = stage.first.fused()?.n_out;
            let channels_out = stage.pool.fused().n_out;
            stage.second.fused().map(|_| fused::StagePass {
                channels,
                channels_out,
            })
        };
        Some(fused::TowerPass {
            length,
            channels_in,
            stem,
            stages: self.stages.iter().map(stage).collect::<Option<_>>()?,
        })
    }

    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let mut state = match &self.stem {
            Stem::Conv(conv) => conv.forward(input),
            Stem::Patches(dense) => dense.forward_sequence(patches(input, self.patch)),
        };
        for stage in &self.stages {
            state = stage.forward(state);
        }
        relu(state)
    }
}

/// The paper's featurizer: residual convolutions, a GRU over what is left of the length, linear.
#[derive(Module, Debug)]
pub struct ResnetGru {
    tower: Tower,
    gru: Gru,
    output: Dense,
}

impl ResnetGru {
    pub fn init(
        config: &TowerConfig,
        hidden: usize,
        features: usize,
        initializer: &mut Initializer,
    ) -> Self {
        Self {
            tower: config.init(initializer),
            gru: Gru::init(config.channels_out(), hidden, initializer),
            output: Dense::init(hidden, features, 1.0, initializer),
        }
    }

    pub fn fused(&self, length: usize, channels: usize) -> Option<fused::NetworkPass> {
        let tower = self.tower.fused(length, channels)?;
        Some(fused::NetworkPass::ResnetGru(
            tower,
            self.gru.fused(),
            self.output.fused(),
        ))
    }

    pub fn forward(&self, input: Tensor<3>) -> Tensor<2> {
        self.output
            .forward(self.gru.forward(self.tower.forward(input)))
    }
}

/// Residual convolutions, flattened, linear.
#[derive(Module, Debug)]
pub struct Resnet {
    tower: Tower,
    output: Dense,
}

impl Resnet {
    pub fn init(config: &TowerConfig, features: usize, initializer: &mut Initializer) -> Self {
        Self {
            tower: config.init(initializer),
            output: Dense::init(
                config.channels_out() * config.length_out(),
                features,
                1.0,
                initializer,
            ),
        }
    }

    pub fn fused(&self, length: usize, channels: usize) -> Option<fused::NetworkPass> {
        let tower = self.tower.fused(length, channels)?;
        Some(fused::NetworkPass::Resnet(tower, self.output.fused()))
    }

    pub fn forward(&self, input: Tensor<3>) -> Tensor<2> {
        let state = self.tower.forward(input);
        let [batch, length, channels] = state.dims();
        self.output
            .forward(state.reshape([batch, length * channels]))
    }
}
