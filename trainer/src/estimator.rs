//! The neural density estimator: featurizer and flow as one network over standardized values.

use crate::featurizer::Featurizer;
use crate::flow::{Flow, HostFlow, axes};
use crate::fused;
use crate::parameters::{self, Initializer};
use crate::standardization::Inputs;
use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::weights::Objective;

/// q(y | x) with y standardized unconstrained parameters and x channels of standardized data. Where the flow is fitted to
/// weighted draws, q(y) alone, or q(v | piece) where these fall into pieces, and x says which one.
#[derive(Module, Debug)]
pub struct Estimator {
    featurizer: Option<Featurizer>,
    /// The featurizer's weights end to end, in place of its parameters, while gradients are taken.
    #[module(skip)]
    joined: Option<Tensor<1>>,
    flow: Flow,
}

/// Where the gradients of a network's weights gather.
pub enum Leaves {
    /// At the weights of each part end to end, in the order of `parameters::flat`.
    Parts(Vec<Tensor<1>>),
    /// At each parameter.
    Parameters,
}

impl Estimator {
    /// A network with initial weights of its own stream, for what it is shown.
    pub fn init(
        campaign: &Campaign,
        flow: FlowId,
        objective: Objective,
        inputs: Inputs,
        device: &Device,
    ) -> Self {
        let rng = stream(
            campaign.seed,
            RoundId(flow.0),
            RowId(0),
            Purpose::Initialize,
        );
        let mut initializer = Initializer::drawing(rng, device);
        Self::assemble(campaign, objective, inputs, &mut initializer)
    }

    /// A network of which there are shapes alone (`parameters::shapes`): to hold a file against before any memory is taken.
    pub(crate) fn outline(campaign: &Campaign, objective: Objective, inputs: Inputs) -> Self {
        let device = Device::flex();
        let mut initializer = Initializer::outlining(&device);
        Self::assemble(campaign, objective, inputs, &mut initializer)
    }

    fn assemble(
        campaign: &Campaign,
        objective: Objective,
        inputs: Inputs,
        initializer: &mut Initializer,
    ) -> Self {
        let (featurizer, features) = match objective {
            Objective::Simulations => {
                let (config, length) = (&campaign.featurizer, campaign.simulator.grid.len());
                let featurizer = Featurizer::init(config, length, inputs.channels, initializer);
                (Some(featurizer), n_features(config))
            }
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                (None, inputs.pieces.max(1))
            }
        };
        Self {
            featurizer,
            joined: None,
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
        let mut joined = None;
        if let Some(featurizer) = &self.featurizer {
            // The length of the data does not matter here.
            featurizer.fused(1, 1)?;
            joined = Some(next(parameters::n_values(featurizer)));
        }
        let own = Self {
            featurizer: self.featurizer.clone(),
            joined,
            flow: self.flow.with_joined(next)?,
        };
        Some((own, leaves))
    }

    /// log q(y | x): `[n, parameters]` and `[n, length, channels]` -> `[n]`; x is none where the flow is
    /// fitted to weighted draws of one piece.
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
        let features = match (&self.featurizer, x) {
            (Some(featurizer), Some(x)) => featurizer.forward(x),
            (None, Some(x)) => x.flatten(1, 2),
            (_, None) => no_features(y.dims()[0], &y.device()),
        };
        self.flow.log_density_by_parts(y, features)
    }

    /// The feature vector of each datum: `[n, length, channels]` -> `[n, features]`; x itself where there is no featurizer.
    pub fn features(&self, x: Tensor<3>) -> Tensor<2> {
        let Some(featurizer) = &self.featurizer else {
            return x.flatten(1, 2);
        };
        let fused = self.fused_features(featurizer, &x);
        fused.unwrap_or_else(|| featurizer.forward(x))
    }

    /// [`features`](Self::features) at the hardware's speed, where that is written for this network and device.
    fn fused_features(&self, featurizer: &Featurizer, x: &Tensor<3>) -> Option<Tensor<2>> {
        let [_, length, channels] = x.dims();
        let pass = fused::FeaturizerPass {
            network: featurizer.fused(length, channels)?,
            row: length * channels,
        };
        pass.features(x, &parameters::joined_or(&self.joined, featurizer))
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

/// What a flow that sees no data is conditioned on: `[n, 1]`
pub(crate) fn no_features(n: usize, device: &Device) -> Tensor<2> {
    Tensor::<2>::ones([1, 1], device).expand([n, 1])
}

fn n_features(featurizer: &campaign::Featurizer) -> usize {
    match featurizer {
        campaign::Featurizer::ResnetGru { features, .. }
        | campaign::Featurizer::Resnet { features, .. }
        | campaign::Featurizer::Gru { features, .. }
        | campaign::Featurizer::Mlp { features, .. } => *features,
    }
}
