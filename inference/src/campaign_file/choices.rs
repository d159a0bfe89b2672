//! What a campaign file gives by name: each value under one name, for reading, writing and words.

use super::key::Key;
use super::keys::{featurizer, flow, noise, parameters};
use crate::campaign::{
    Combine, DeviceChoice, Featurizer, Flow, Loss, Misfit, Normalization, StopRule,
};
use crate::model::ModelNoise;
use crate::observation::Missing;

/// Values, each with its name.
type Named<T> = &'static [(&'static str, T)];

/// A value that has a name in campaign files.
pub trait Choice: Copy + PartialEq + 'static {
    /// All of them.
    const NAMED: Named<Self>;

    fn name(self) -> &'static str {
        let mut named = Self::NAMED.iter();
        let found = named.find(|(_, value)| *value == self);
        found.map_or("", |(name, _)| name)
    }
}

/// The names of all values.
pub(super) fn names<T: Choice>() -> Vec<&'static str> {
    T::NAMED.iter().map(|(name, _)| *name).collect()
}

impl Choice for Missing {
    const NAMED: Named<Self> = &[("refuse", Self::Refuse), ("drop", Self::Drop)];
}

/// Of the likelihood.
impl Choice for ModelNoise {
    const NAMED: Named<Self> = &[("gaussian", Self::Gaussian), ("simulator", Self::Own)];
}

impl Choice for Normalization {
    const NAMED: Named<Self> = &[("weight", Self::Weight), ("batch", Self::Batch)];
}

impl Choice for DeviceChoice {
    const NAMED: Named<Self> = &[
        ("auto", Self::Auto),
        ("cpu", Self::Cpu),
        ("wgpu", Self::Wgpu),
    ];
}

impl Choice for Combine {
    const NAMED: Named<Self> = &[
        ("fresh", Self::Fresh),
        ("mixture", Self::Mixture),
        ("per-round", Self::PerRound),
    ];
}

impl Choice for StopRule {
    const NAMED: Named<Self> = &[("bootstrap", Self::Bootstrap), ("paper", Self::Paper)];
}

impl Choice for Misfit {
    const NAMED: Named<Self> = &[("fail", Self::Fail), ("warn", Self::Warn)];
}

/// A featurizer without its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeaturizerKind {
    ResnetGru,
    Resnet,
    Gru,
    Mlp,
}

impl Choice for FeaturizerKind {
    const NAMED: Named<Self> = &[
        ("resnet-gru", Self::ResnetGru),
        ("resnet", Self::Resnet),
        ("gru", Self::Gru),
        ("mlp", Self::Mlp),
    ];
}

impl FeaturizerKind {
    /// Its keys beside `kind`.
    pub(super) fn options(self) -> &'static [Key] {
        match self {
            Self::ResnetGru => featurizer::OF_RESNET_GRU,
            Self::Resnet => featurizer::OF_RESNET,
            Self::Gru => featurizer::OF_GRU,
            Self::Mlp => featurizer::OF_MLP,
        }
    }
}

impl Featurizer {
    pub fn kind(&self) -> FeaturizerKind {
        match self {
            Self::ResnetGru { .. } => FeaturizerKind::ResnetGru,
            Self::Resnet { .. } => FeaturizerKind::Resnet,
            Self::Gru { .. } => FeaturizerKind::Gru,
            Self::Mlp { .. } => FeaturizerKind::Mlp,
        }
    }
}

/// A flow without its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowKind {
    Maf,
    Nsf,
    NsfCoupling,
}

impl Choice for FlowKind {
    const NAMED: Named<Self> = &[
        ("maf", Self::Maf),
        ("nsf", Self::Nsf),
        ("nsf-coupling", Self::NsfCoupling),
    ];
}

impl FlowKind {
    /// Its keys beside `kind`.
    pub(super) fn options(self) -> &'static [Key] {
        match self {
            Self::Maf => flow::OF_MAF,
            Self::Nsf | Self::NsfCoupling => flow::OF_SPLINES,
        }
    }
}

impl Flow {
    pub fn kind(&self) -> FlowKind {
        match self {
            Self::Maf { .. } => FlowKind::Maf,
            Self::Nsf(_) => FlowKind::Nsf,
            Self::NsfCoupling(_) => FlowKind::NsfCoupling,
        }
    }
}

/// A loss without its atoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    Nll,
    Apt,
    WeightedNll,
}

impl Choice for LossKind {
    const NAMED: Named<Self> = &[
        ("nll", Self::Nll),
        ("apt", Self::Apt),
        ("weighted-nll", Self::WeightedNll),
    ];
}

impl Loss {
    pub fn kind(&self) -> LossKind {
        match self {
            Self::Nll => LossKind::Nll,
            Self::Apt { .. } => LossKind::Apt,
            Self::WeightedNll => LossKind::WeightedNll,
        }
    }
}

/// A family of priors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PriorKind {
    Uniform,
    Normal,
    TruncatedNormal,
    LogNormal,
    LogUniform,
    Beta,
}

impl Choice for PriorKind {
    const NAMED: Named<Self> = &[
        (parameters::UNIFORM.name, Self::Uniform),
        (parameters::NORMAL.name, Self::Normal),
        (parameters::TRUNCATED_NORMAL.name, Self::TruncatedNormal),
        (parameters::LOG_NORMAL.name, Self::LogNormal),
        (parameters::LOG_UNIFORM.name, Self::LogUniform),
        (parameters::BETA.name, Self::Beta),
    ];
}

/// Where sigma comes from that is drawn anew for each simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrawnSigma {
    Uniform,
    LogUniform,
    Table,
}

impl Choice for DrawnSigma {
    const NAMED: Named<Self> = &[
        (noise::UNIFORM.name, Self::Uniform),
        (noise::LOG_UNIFORM.name, Self::LogUniform),
        (noise::TABLE.name, Self::Table),
    ];
}
