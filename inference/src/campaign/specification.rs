//! A campaign as validated: what every service works from. Built by `campaign_file` only.

use super::external::ExternalNoise;
use super::model::SimulatorSpec;
use super::noise::Noise;
use super::observation::{Observation, Reading};
use crate::space::ParameterSpace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Parameters up to which a forward model is learnt: with more of them a few hundred simulations say little.
const MOST_OF_SURROGATE: usize = 10;

/// One inference or training effort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// What people call it.
    pub name: String,
    /// Of all randomness.
    pub seed: u64,
    /// Parameters and their priors.
    pub space: ParameterSpace,
    /// Of parameters whose true value the user knows: drawn in pictures, and used for nothing else. Neither models nor
    /// peers have it.
    #[serde(skip)]
    pub truth_by_name: BTreeMap<String, f64>,
    /// The forward model.
    pub simulator: SimulatorSpec,
    /// None for amortized campaigns.
    pub observation: Option<Observation>,
    /// How files of observations are read: its own, and those that its model is asked about.
    pub reading: Reading,
    /// Noise and likelihood in one.
    pub noise: Noise,
    /// What adds noise to the simulations that flows are fitted to, anew in every epoch, in place of `noise`, which
    /// then is the likelihood alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_noise: Option<ExternalNoise>,
    /// What summarizes the data.
    pub featurizer: Featurizer,
    /// The density that is fitted.
    pub flow: Flow,
    /// How it is fitted.
    pub training: Training,
    /// How much is simulated, and when it ends.
    pub rounds: Rounds,
    /// Who simulates.
    pub workers: Workers,
    /// What the result is held to.
    pub trust: Trust,
}

impl Campaign {
    /// Whether later flows are fitted to weighted draws: Algorithm 1 to the letter knows simulations only.
    pub fn is_refined(&self) -> bool {
        match self.rounds.stop.rule {
            StopRule::Bootstrap => self.training.refinement,
            StopRule::Paper => false,
        }
    }

    /// What flows are fitted to.
    pub fn refinement(&self) -> Refinement {
        if self.observation.is_none() || !self.is_refined() {
            return Refinement::Off;
        }
        let is_known = match &self.noise {
            Noise::Gaussian(noise) => {
                let is_fixed = self.training_noise.is_none() && noise.terms.is_empty();
                is_fixed && self.space.linear().next().is_none()
            }
            Noise::Simulator => false,
        };
        let is_small = self.space.len() <= MOST_OF_SURROGATE;
        let is_possible = is_known && is_small && !self.simulator.grid.is_empty();
        match self.training.surrogate && is_possible {
            true => Refinement::Surrogate,
            false => Refinement::Tempered,
        }
    }
}

/// What the flows of a campaign are fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refinement {
    /// Simulations.
    Off,
    /// The weighted draws of all rounds, tempered from the prior on.
    Tempered,
    /// Draws of the posterior by a surrogate of the forward model first, then weighted draws: where a simulation has no noise
    /// and the likelihood follows from its data.
    Surrogate,
}

/// What keeps convolutions in scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// Weight normalization (Salimans & Kingma 2016): nothing depends on the minibatch.
    Weight,
    /// Batch normalization (Ioffe & Szegedy 2015).
    Batch,
}

/// Size of the featurizer; `features` is the length of the feature vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Featurizer {
    /// Residual 1-D convolutions, halved in length after each stage, GRU over what is left, linear.
    ResnetGru {
        /// Of a convolution.
        channels: usize,
        /// Each halves the length.
        stages: usize,
        /// Units of the GRU.
        hidden: usize,
        /// Length of the feature vector.
        features: usize,
        /// Of the convolutions.
        normalization: Normalization,
    },
    /// Residual 1-D convolutions, halved in length after each stage, flattened, linear.
    Resnet {
        /// Of a convolution.
        channels: usize,
        /// Each halves the length.
        stages: usize,
        /// Length of the feature vector.
        features: usize,
        /// Of the convolutions.
        normalization: Normalization,
    },
    /// A GRU over the data.
    Gru {
        /// Units of the GRU.
        hidden: usize,
        /// Length of the feature vector.
        features: usize,
    },
    /// Fully connected layers.
    Mlp {
        /// Hidden ones.
        layers: usize,
        /// Units of each.
        hidden: usize,
        /// Length of the feature vector.
        features: usize,
    },
}

/// Longer data enter the residual convolutions in patches of this many neighbours, a power of two, so that the first
/// stage sees at most 128 of them; 1: datum by datum.
pub fn patch(n_data: usize) -> usize {
    const LONGEST_FIRST_STAGE: usize = 128;
    n_data.div_ceil(LONGEST_FIRST_STAGE).next_power_of_two()
}

/// The density of the parameters given the features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Flow {
    /// Masked autoregressive flow with a mixture-of-Gaussians base.
    Maf {
        /// Autoregressive blocks, parameters permuted between them.
        blocks: usize,
        /// Units of each hidden layer of a block.
        hidden: usize,
        /// Hidden layers of a block.
        layers: usize,
        /// Gaussians of the base density.
        components: usize,
        /// Bound on each block's |log scale|.
        max_log_scale: f64,
    },
    /// Rational-quadratic neural spline flow, autoregressive: each parameter sees all before it.
    Nsf(NsfSize),
    /// The same with coupling: the second half of the parameters sees the first.
    NsfCoupling(NsfSize),
}

/// Size of a neural spline flow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NsfSize {
    /// Conditional splines, parameters permuted between them.
    pub blocks: usize,
    /// Units of each hidden layer of a block.
    pub hidden: usize,
    /// Hidden layers of a block.
    pub layers: usize,
    /// Bins of a spline, at least 2.
    pub bins: usize,
    /// Beyond ± this, on a line, splines are the identity.
    pub tail_bound: f64,
    /// Bound on the |log scale| of the affine map before each spline.
    pub max_log_scale: f64,
}

/// What networks compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// wgpu where there is a real GPU, else cpu.
    Auto,
    /// All threads of the machine, unless fewer are asked for.
    Cpu,
    /// A GPU; an error where there is none.
    Wgpu,
}

/// How flows are fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// For fits to simulations.
    pub device: DeviceChoice,
    /// Rows of a minibatch.
    pub batch_size: usize,
    /// Initial learning rate of the first round, cosine decay to a hundredth.
    pub learning_rate: f64,
    /// Most epochs of a training.
    pub max_epochs: u32,
    /// Epochs without a better validation loss after which training stops.
    pub patience: u32,
    /// Share of the rows held out for validation, in (0, 0.5].
    pub validation_fraction: f64,
    /// Largest norm of the gradient.
    pub clip_norm: f64,
    /// The newest rounds whose rows a flow is trained on, at least 1.
    pub rounds: u32,
    /// How flows are fitted to simulations; weighted draws have weighted maximum likelihood.
    pub loss: Loss,
    /// Whether later flows are fitted to weighted draws (`StopRule::Paper` leaves that out in any case).
    pub refinement: bool,
    /// Whether a surrogate of the forward model leads the first proposals, where there can be one.
    pub surrogate: bool,
}

/// What a flow that is fitted to simulations minimizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Loss {
    /// -log q(θ|x) over the simulations as they were drawn: tends to the posterior times proposal / prior.
    #[default]
    Nll,
    /// Which of `atoms` parameter vectors made x, by q(θ|x) / p(θ) (Greenberg et al. 2019, eq. 7): tends to
    /// the posterior, whatever the proposal.
    Apt {
        /// Parameter vectors to choose among, the row's own included; at least 2.
        atoms: usize,
    },
}

/// How much is simulated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rounds {
    /// Most training rounds.
    pub max: u32,
    /// Simulations of each round.
    pub simulations: u64,
    /// Share of each later round's draws that comes from earlier, broader proposals, in [0, 0.5].
    pub defensive_share: f64,
    /// For the weights of the result.
    pub combine: Combine,
    /// Targets and budgets.
    pub stop: Stop,
}

/// How the rounds' weights are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// Each draw weighed by its own round's proposal, rounds by their efficiency.
    Fresh,
    /// All rounds as one deterministic mixture (balance heuristic).
    Mixture,
    /// The paper's: each round normalized, then in proportion to its n_eff.
    PerRound,
}

/// When a campaign ends; what is None is no reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// When it ends without having reached a target.
    pub rule: StopRule,
    /// Target effective sample size of all rounds together.
    pub n_eff: Option<f64>,
    /// Target efficiency of a round's flow component, in (0, 1).
    pub efficiency: Option<f64>,
    /// Most simulations in total, top-up included.
    pub simulations: Option<u64>,
    /// Most seconds since the campaign's first start.
    pub wall_time_s: Option<f64>,
    /// Most simulations of the top-up round; 0: none.
    pub top_up: u64,
}

/// What a drop of the efficiency means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopRule {
    /// Stop when efficiency drops beyond twice its bootstrap error; not judged while n_eff is below 100.
    Bootstrap,
    /// Algorithm 1 of Zhang et al. 2023 to the letter: stop as soon as efficiency drops.
    Paper,
}

/// Most workers of one process, far more than a machine has cores: each has threads and connections of its own, and where
/// a process can start no more of them it is aborted.
pub const MOST_WORKERS: u32 = 1000;

/// Who simulates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workers {
    /// Workers of `sidereal fit`; None: as many as there are cores.
    pub count: Option<u32>,
    /// Rows of a lease; None: by measured time.
    pub batch_rows: Option<u64>,
    /// The interpreter that runs functions in Python; None: that of the active environment.
    pub python: Option<PathBuf>,
}

/// What a result is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trust {
    /// Whether a misfit is a reason not to trust it.
    pub misfit: Misfit,
}

/// What a model is that does not fit the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misfit {
    /// A reason not to trust the result.
    #[default]
    Fail,
    /// Said, and no more.
    Warn,
}
