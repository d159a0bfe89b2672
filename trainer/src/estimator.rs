//! The neural density estimator: featurizer and flow as one network over standardized values.

use crate::dense::Dense;
use crate::featurizer::Featurizer;
use crate::flow::{Flow, HostFlow, axes};
use crate::fused;
use crate::parameters::{self, Initializer};
use crate::standardization::DISTANCE_CHANNEL;
use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::weights::Objective;

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
    /// All weights end to end, in place of the parameters above, while gradients are taken.
    #[module(skip)]
    joined: Option<Tensor<1>>,
}

/// Where the gradients of a network's weights gather.
pub enum Leaves {
    /// At the weights of each part end to end, in the order of `parameters::flat`.
    Parts(Vec<Tensor<1>>),
    /// At each parameter.
    Parameters,
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
        let mut initializer = Initializer::drawing(rng, device);
        Self::assemble(campaign, objective, channels, &mut initializer)
    }

    /// A network of which there are shapes alone (`parameters::shapes`): to hold a file against before any memory is taken.
    pub(crate) fn outline(campaign: &Campaign, objective: Objective, channels: usize) -> Self {
        let device = Device::flex();
        let mut initializer = Initializer::outlining(&device);
        Self::assemble(campaign, objective, channels, &mut initializer)
    }

    fn assemble(
        campaign: &Campaign,
        objective: Objective,
        channels: usize,
        initializer: &mut Initializer,
    ) -> Self {
        let (summarizer, features) = match objective {
            Objective::Simulations => {
                let length = campaign.simulator.grid.len();
                let features = n_features(&campaign.featurizer);
                let summarizer = Summarizer {
                    featurizer: Featurizer::init(
                        &campaign.featurizer,
                        length,
                        channels,
                        initializer,
                    ),
                    bypass: Dense::init(length, features, 0.3, initializer),
                    joined: None,
                };
                (Some(summarizer), features)
            }
            Objective::WeightedDraws { .. } => (None, 1),
        };
        Self {
            summarizer,
            flow: Flow::init(&campaign.flow, &axes(campaign), features, initializer),
        }
    }

    /// The network with `values` (as `parameters::flat` orders them) for its weights, as leaves of an autodiff
    /// graph of their own.
    pub fn with_leaves(&self, values: &Tensor<1>) -> (Self, Leaves) {
        match self.with_parts(values) {
            Some((own, leaves)) => (own, Leaves::Parts(leaves)),
            None => (
                parameters::with_flat(self.clone(), values),
                Leaves::Parameters,
            ),
        }
    }

    /// As few leaves as there are parts; none where a part works with its parameters one by one.
    fn with_parts(&self, values: &Tensor<1>) -> Option<(Self, Vec<Tensor<1>>)> {
        if crate::device::is_wgpu(&values.device()) {
            return None;
        }
        let mut leaves = Vec::with_capacity(2);
        let mut start = 0;
        let mut next = |n: usize| {
            let leaf = Tensor::from_inner(values.clone().narrow(0, start, n)).require_grad();
            start += n;
            leaves.push(leaf.clone());
            leaf
        };
        let mut summarizer = self.summarizer.clone();
        if let Some(summarizer) = &mut summarizer {
            // The length of the data does not matter here.
            summarizer.featurizer.fused(1, 1)?;
            summarizer.joined = Some(next(parameters::n_values(summarizer)));
        }
        let flow = self.flow.with_joined(next)?;
        Some((Self { summarizer, flow }, leaves))
    }

    /// log q(y | x): `[n, parameters]` and `[n, length, channels]` -> `[n]`; x is none where the flow is
    /// fitted to weighted draws.
    pub fn log_density(&self, y: Tensor<2>, x: Option<Tensor<3>>) -> Tensor<1> {
        let features = match x {
            Some(x) => self.features(x),
            None => no_features(y.dims()[0], &y.device()),
        };
        self.flow.log_density(y, features)
    }

    /// [`log_density`](Self::log_density) by burn's own operations throughout: what the fused ones are held
    /// against.
    pub fn log_density_by_parts(&self, y: Tensor<2>, x: Option<Tensor<3>>) -> Tensor<1> {
        let features = match (&self.summarizer, x) {
            (Some(summarizer), Some(x)) => summarizer.features(x),
            (Some(_), None) | (None, _) => no_features(y.dims()[0], &y.device()),
        };
        self.flow.log_density_by_parts(y, features)
    }

    /// The feature vector of each datum: `[n, length, channels]` -> `[n, features]`
    pub fn features(&self, x: Tensor<3>) -> Tensor<2> {
        let Some(summarizer) = &self.summarizer else {
            return no_features(x.dims()[0], &x.device());
        };
        let fused = summarizer.fused_features(&x);
        fused.unwrap_or_else(|| summarizer.features(x))
    }

    /// log q(y | features), one feature vector a row: `[n, parameters]` and `[n, features]` -> `[n]`
    pub(crate) fn log_density_of(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        self.flow.log_density(y, features)
    }

    /// The flow at one feature vector `[1, features]`, to draw from and to score with.
    pub fn at(&self, features: Tensor<2>) -> HostFlow {
        self.flow.at(features)
    }
}

impl Leaves {
    /// The gradients of all weights of `network`, which has these leaves; end to end they are in the order of
    /// `parameters::flat`.
    pub fn gradients(&self, network: &Estimator, gradients: &mut Gradients) -> Vec<Tensor<1>> {
        match self {
            Self::Parts(leaves) => {
                let of_leaf = |leaf: &Tensor<1>| {
                    let gradient = leaf.grad_remove(gradients);
                    gradient.unwrap_or_else(|| leaf.clone().inner().zeros_like())
                };
                leaves.iter().map(of_leaf).collect()
            }
            Self::Parameters => vec![parameters::flat_gradients(network, gradients)],
        }
    }

    /// Whether those gradients lie in memory that [`fused`] lends and takes back.
    pub(crate) fn are_lent(&self) -> bool {
        match self {
            Self::Parts(_) => true,
            Self::Parameters => false,
        }
    }
}

impl Summarizer {
    /// [`features`](Self::features) at the hardware's speed, where that is written for this network and device.
    fn fused_features(&self, x: &Tensor<3>) -> Option<Tensor<2>> {
        let [_, length, channels] = x.dims();
        let summarizer = fused::SummarizerPass {
            network: self.featurizer.fused(length, channels)?,
            length,
            channels,
            bypass_channel: DISTANCE_CHANNEL,
        };
        summarizer.features(x, &parameters::joined_or(&self.joined, self))
    }

    /// By burn's own operations.
    fn features(&self, x: Tensor<3>) -> Tensor<2> {
        let distance = x.clone().narrow(2, DISTANCE_CHANNEL, 1).squeeze_dim::<2>(2);
        self.bypass.forward(nearby(distance)) + self.featurizer.forward(x)
    }
}

/// What a flow that sees no data is conditioned on: `[n, 1]`
pub(crate) fn no_features(n: usize, device: &Device) -> Tensor<2> {
    Tensor::<2>::ones([1, 1], device).expand([n, 1])
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
