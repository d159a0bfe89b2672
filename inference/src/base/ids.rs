//! Identifiers: every id is its own type, so that a row is never taken for a batch.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A round of a campaign; round 0 draws from the prior.
    RoundId, u32, "round "
);
id!(
    /// A row within its round, counted from 0.
    RowId, u64, "row "
);
/// A flow, numbered by the round whose end it was trained at: flow 0 is trained on round 0. The proposals of reused rounds
/// are known by such numbers too, far beyond those of flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlowId(pub u32);

impl FlowId {
    const FIRST_REUSED: u32 = 1 << 30;

    /// The whole proposal of a round that another campaign has simulated; `round` is its number here.
    pub fn of_reused(round: RoundId) -> Self {
        Self(Self::FIRST_REUSED.saturating_add(round.0))
    }

    /// Whether it stands for the proposal of a reused round.
    pub fn is_of_reused(self) -> bool {
        self.0 >= Self::FIRST_REUSED
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(Self::FIRST_REUSED) {
            Some(round) => write!(f, "the proposal of reused round {round}"),
            None => write!(f, "flow {}", self.0),
        }
    }
}

id!(
    /// A local density that probing draws from, counted from 0 over the whole campaign.
    LocalId, u32, "local density "
);
id!(
    /// The n-th try at a batch or at a training task, counted from 0 over the whole campaign.
    AttemptId, u64, "attempt "
);
id!(
    /// A connected worker or trainer, numbered by the coordinator in order of registration.
    PeerId, u64, "peer "
);

/// A target of a catalogue, as its column of ids has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetId {
    /// Of a column of integers.
    Number(i64),
    /// Of a column of text, or the name of an observation's file.
    Name(String),
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Hash of what must not change within a campaign, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CampaignHash(pub String);

/// A coordinator process: drawn anew at each start, so that two of them can tell each other apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);
