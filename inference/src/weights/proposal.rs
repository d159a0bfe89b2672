//! A round's proposal: a normalized mixture of fixed components with recorded shares.

use super::local::LocalDensity;
use crate::base::{FlowId, LocalId, log_sum_exp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A density that rows are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The campaign's.
    Prior,
    /// Around a place that probing has come to; defined by a proposal's `locals`.
    Local(LocalId),
    /// A trained one.
    Flow(FlowId),
}

impl Component {
    /// As stored in Parquet: -1 for the prior, the flow's number, or -2 less the number of a local density.
    pub fn code(self) -> i32 {
        match self {
            Self::Prior => -1,
            Self::Local(id) => {
                i32::try_from(id.0).map_or(i32::MIN, |id| (-2i32).saturating_sub(id))
            }
            Self::Flow(id) => i32::try_from(id.0).unwrap_or(i32::MAX),
        }
    }

    /// What was stored as `code`.
    pub fn from_code(code: i32) -> Self {
        match u32::try_from(code) {
            Ok(id) => Self::Flow(FlowId(id)),
            Err(_) if code == -1 => Self::Prior,
            Err(_) => Self::Local(LocalId((-2 - code).unsigned_abs())),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prior => f.write_str("the prior"),
            Self::Local(id) => write!(f, "{id}"),
            Self::Flow(id) => write!(f, "{id}"),
        }
    }
}

/// Components with their shares; shares are positive and sum to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Each once, with its share.
    pub components: Vec<(Component, f64)>,
    /// What its local components are; each is here once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "pairs")]
    pub locals: BTreeMap<LocalId, LocalDensity>,
}

/// Maps as lists of pairs: within tagged enums serde refuses keys that are no strings.
pub(crate) mod pairs {
    use super::{BTreeMap, LocalDensity, LocalId};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(
        locals: &BTreeMap<LocalId, LocalDensity>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(locals)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<LocalId, LocalDensity>, D::Error> {
        let pairs = Vec::<(LocalId, LocalDensity)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().collect())
    }
}

impl Proposal {
    /// The proposal of round 0.
    pub fn prior() -> Self {
        Self::of(vec![(Component::Prior, 1.0)])
    }

    /// Of the prior and flows alone.
    pub fn of(components: Vec<(Component, f64)>) -> Self {
        Self {
            components,
            locals: BTreeMap::new(),
        }
    }

    /// Of local densities alone, in equal shares.
    pub fn of_locals(locals: BTreeMap<LocalId, LocalDensity>) -> Self {
        let share = 1.0 / locals.len().max(1) as f64;
        Self {
            components: locals
                .keys()
                .map(|&id| (Component::Local(id), share))
                .collect(),
            locals,
        }
    }

    /// Whether it draws around some places only: its own weights then say nothing of the whole posterior.
    pub fn is_local(&self) -> bool {
        self.components
            .iter()
            .all(|(component, _)| match component {
                Component::Local(_) => true,
                Component::Prior | Component::Flow(_) => false,
            })
    }

    /// The flow trained last, or the prior where there is no flow.
    pub fn newest(&self) -> Component {
        self.components
            .iter()
            .map(|&(component, _)| component)
            .max()
            .unwrap_or(Component::Prior)
    }

    /// log q(θ) of the mixture, where `log_density` gives each component's log q(θ).
    pub fn log_density(&self, log_density: impl Fn(Component) -> f64) -> f64 {
        let terms = self
            .components
            .iter()
            .map(|&(component, share)| share.ln() + log_density(component));
        log_sum_exp(terms)
    }

    /// log q(θ) of one draw, from its stored z and log prior and from what `log_flow` gives.
    pub fn log_density_at(
        &self,
        z: &[f64],
        log_prior: f64,
        log_flow: impl Fn(FlowId) -> f64,
    ) -> f64 {
        self.log_density(|component| match component {
            Component::Prior => log_prior,
            Component::Local(id) => match self.locals.get(&id) {
                Some(local) => local.log_ratio_to_prior(z) + log_prior,
                None => f64::NEG_INFINITY,
            },
            Component::Flow(flow) => log_flow(flow),
        })
    }

    /// The component that a uniform number in [0, 1) picks.
    pub fn pick(&self, uniform: f64) -> Component {
        let mut left = uniform;
        let mut last = Component::Prior;
        for &(component, share) in &self.components {
            last = component;
            if left < share {
                return component;
            }
            left -= share;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal() -> Proposal {
        let flow = |id| Component::Flow(FlowId(id));
        Proposal::of(vec![
            (flow(3), 0.75),
            (flow(1), 0.125),
            (Component::Prior, 0.125),
        ])
    }

    #[test]
    fn density_is_that_of_the_mixture() {
        let found = proposal().log_density(|component| match component {
            Component::Prior => 8f64.ln(),
            Component::Flow(FlowId(1)) | Component::Local(_) => f64::NEG_INFINITY,
            Component::Flow(_) => 4f64.ln(),
        });
        assert!((found - 4f64.ln()).abs() < 1e-15);
        assert_eq!(
            proposal().log_density(|_| f64::NEG_INFINITY),
            f64::NEG_INFINITY
        );
        // Shares of 1 leave a single component's density as it is, bit for bit.
        assert_eq!(Proposal::prior().log_density(|_| -1234.567), -1234.567);
    }

    #[test]
    fn picks_in_proportion_to_the_shares() {
        let pick = |uniform: f64| proposal().pick(uniform).code();
        assert_eq!(
            [0.0, 0.7499, 0.75, 0.8749, 0.875, 1f64.next_down()].map(pick),
            [3, 3, 1, 1, -1, -1]
        );
        // Shares whose sum rounds to below 1 pick the last one.
        let thirds = Proposal::of(vec![
            (Component::Flow(FlowId(0)), 0.3),
            (Component::Prior, 0.3),
        ]);
        assert_eq!(thirds.pick(0.99), Component::Prior);
    }

    #[test]
    fn newest_is_the_last_flow_trained() {
        assert_eq!(proposal().newest(), Component::Flow(FlowId(3)));
        assert_eq!(Proposal::prior().newest(), Component::Prior);
    }

    #[test]
    fn codes_are_one_to_one() {
        for component in [
            Component::Prior,
            Component::Flow(FlowId(0)),
            Component::Flow(FlowId(17)),
            Component::Local(LocalId(0)),
            Component::Local(LocalId(40)),
        ] {
            assert_eq!(Component::from_code(component.code()), component);
        }
        assert_eq!(Component::Local(LocalId(0)).code(), -2);
    }

    #[test]
    fn local_densities_are_read_within_tagged_enums_too() {
        let density = LocalDensity {
            seams: vec![0.0],
            leans: Vec::new(),
            mean: vec![0.25],
            factor: vec![0.5],
        };
        let proposal = Proposal::of_locals(BTreeMap::from([
            (LocalId(3), density.clone()),
            (LocalId(7), density),
        ]));
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "event")]
        enum Tagged {
            Opened { proposal: Proposal },
        }
        let tagged = Tagged::Opened { proposal };
        let json = serde_json::to_string(&tagged).expect("json");
        assert_eq!(
            serde_json::from_str::<Tagged>(&json).expect("read back"),
            tagged
        );
    }
}
