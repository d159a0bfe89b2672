//! The neural density estimator: featurizer and flow as one network over standardized values.

use crate::dense::Dense;
use crate::featurizer::Featurizer;
use crate::flow::{BaseDraws, Flow};
use crate::parameters::Initializer;
use crate::standardization::DISTANCE_CHANNEL;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use sidereal_inference::campaign::{self, Campaign};
use sidereal_inference::ids::{FlowId, RoundId, RowId};
use sidereal_inference::refinement::Objective;
use sidereal_inference::seeds::{Purpose, stream};

/// q(y | x) with y standardized unconstrained parameters and x channels of standardized data; q(y) alone
/// where the flow is fitted to weighted draws.
#[derive(Module, Debug)]
pub struct Estimator {
    summarizer: Option<Summarizer>,
    flow: Flow,
}

/// From data to features.
#[derive(Module, Debug)]
struct Summarizer {
    featurizer: Featurizer,
    /// Straight from data to features: near the observation the best summaries are linear in the data,
    /// which deep layers are slow to find to the precision of a late round. Far from it nothing passes.
    bypass: Dense,
}

impl Estimator {
    /// A network with initial weights of its own stream, for data in `channels` channels.
    pub fn init(
        campaign: &Campaign,
        flow: FlowId,
        objective: Objective,
        channels: usize,
        device: &Device,
    ) -> Self {
        let rng = stream(
            campaign.seed,
            RoundId(flow.0),
            RowId(0),
            Purpose::Initialize,
        );
        let mut initializer = Initializer { rng, device };
        let (summarizer, features) = match objective {
            Objective::Simulations => {
                let length = campaign.simulator.grid.len();
                let features = n_features(&campaign.featurizer);
                let summarizer = Summarizer {
                    featurizer: Featurizer::init(
                        &campaign.featurizer,
                        length,
                        channels,
                        &mut initializer,
                    ),
                    bypass: Dense::init(length, features, 0.3, &mut initializer),
                };
                (Some(summarizer), features)
            }
            Objective::WeightedDraws { .. } => (None, 1),
        };
        Self {
            summarizer,
            flow: Flow::init(
                &campaign.flow,
                campaign.space.len(),
                features,
                &mut initializer,
            ),
        }
    }

    /// log q(y | x): `[n, parameters]` and `[n, length, channels]` -> `[n]`; x is none where the flow is
    /// fitted to weighted draws.
    pub fn log_density(&self, y: Tensor<2>, x: Option<Tensor<3>>) -> Tensor<1> {
        match x {
            Some(x) => self.flow.log_density(y, self.features(x)),
            None => {
                let features = no_features(&y.device());
                self.log_density_at(y, features)
            }
        }
    }

    /// The feature vector of each datum: `[n, length, channels]` -> `[n, features]`
    pub fn features(&self, x: Tensor<3>) -> Tensor<2> {
        let Some(Summarizer { featurizer, bypass }) = &self.summarizer else {
            return no_features(&x.device());
        };
        let distance = x.clone().narrow(2, DISTANCE_CHANNEL, 1).squeeze_dim::<2>(2);
        bypass.forward(nearby(distance)) + featurizer.forward(x)
    }

    /// log q(y | features), one feature vector a row: `[n, parameters]` and `[n, features]` -> `[n]`
    pub fn log_density_of(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        self.flow.log_density(y, features)
    }

    /// log q(y | features) where all rows share one feature vector `[1, features]`.
    pub fn log_density_at(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        let n = y.dims()[0];
        let width = features.dims()[1];
        self.flow.log_density(y, features.expand([n, width]))
    }

    /// Draws of y where all rows share one feature vector `[1, features]`: `[n, parameters]`
    pub fn draw_at(&self, base: &BaseDraws, n: usize, features: Tensor<2>) -> Tensor<2> {
        let width = features.dims()[1];
        self.flow.draw(base, features.expand([n, width]))
    }
}

/// What a flow that sees no data is conditioned on: `[1, 1]`
pub fn no_features(device: &Device) -> Tensor<2> {
    Tensor::ones([1, 1], device)
}

/// The identity near zero, fading beyond a few noise standard deviations (`distance` is their asinh).
fn nearby(distance: Tensor<2>) -> Tensor<2> {
    let fading = (distance.clone().powi_scalar(2) * -0.25).exp();
    distance * fading
}

fn n_features(featurizer: &campaign::Featurizer) -> usize {
    match featurizer {
        campaign::Featurizer::ResnetGru { features, .. }
        | campaign::Featurizer::Resnet { features, .. }
        | campaign::Featurizer::Gru { features, .. }
        | campaign::Featurizer::Mlp { features, .. } => *features,
    }
}
