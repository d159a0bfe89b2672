//! What a campaign file gives by name: each value under one name, for reading, writing and words.

use crate::campaign::external::Protocol;
use crate::campaign::model::ModelNoise;
use crate::campaign::{
    Combine, DeviceChoice, Featurizer, Flow, Loss, Misfit, Missing, Normalization, StopRule,
};

/// Values, each with its name.
pub(super) type Named<T> = &'static [(&'static str, T)];

/// A value that has a name in campaign files.
pub trait Choice: Copy + PartialEq + 'static {
    /// All of them.
    const NAMED: Named<Self>;

    /// As campaign files have it.
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

impl Choice for Protocol {
    const NAMED: Named<Self> = &[("arrow", Self::Arrow), ("lines", Self::Lines)];
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
#[expect(missing_docs, reason = "as the variants of `Featurizer`")]
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

impl Featurizer {
    /// Which network it is.
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
#[expect(missing_docs, reason = "as the variants of `Flow`")]
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

impl Flow {
    /// Which flow it is.
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
#[expect(missing_docs, reason = "as the variants of `Loss`")]
pub enum LossKind {
    Nll,
    Apt,
}

impl Choice for LossKind {
    const NAMED: Named<Self> = &[("nll", Self::Nll), ("apt", Self::Apt)];
}

impl Loss {
    /// Which loss it is.
    pub fn kind(&self) -> LossKind {
        match self {
            Self::Nll => LossKind::Nll,
            Self::Apt { .. } => LossKind::Apt,
        }
    }
}
