//! What the simulations of an earlier campaign were drawn from, as a later one keeps it: its own coordinates, flows and
//! the proposals of its rounds, so that any later draw has a density under them.

use super::directory::{Directory, StoredFile};
use super::task::ModelFiles;
use crate::base::files::{FileError, StoredFileError};
use crate::base::{FlowId, RoundId};
use crate::space::ParameterSpace;
use crate::weights::{Component, Proposal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

const FORMAT: &str = "sidereal-reused";
const VERSION: u32 = 1;

/// A file of proposals that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReusedError {
    /// It cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is missing or not as recorded.
    #[error(transparent)]
    Stored(#[from] StoredFileError),
    /// It does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
}

/// An earlier campaign whose simulations are reused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReusedSource {
    /// Its directory.
    pub location: String,
    /// Its name.
    pub campaign: String,
    /// Of its rounds that are reused.
    pub n_rows: u64,
    /// Why its last searches for lost modes had not come to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
}

/// Doubts about what earlier campaigns have found, as warnings of the later one, which has made no searches of its own: whoever
/// has searched since knows better.
pub fn doubts(sources: &[ReusedSource]) -> Vec<String> {
    let doubt = |source: &ReusedSource| {
        let doubt = source.doubt.as_ref()?;
        Some(format!(
            "of the simulations of {}: {doubt}",
            source.location
        ))
    };
    sources.iter().filter_map(doubt).collect()
}

/// The proposals of one earlier campaign's rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReusedProposals {
    format: String,
    version: u32,
    /// Its parameters with its priors.
    pub space: ParameterSpace,
    /// Copies of those of its flows that the proposals name, by their numbers there.
    pub models: Vec<ModelFiles>,
    /// Numbers of the rounds in the later campaign, with what they were drawn from in the earlier one's terms.
    pub rounds: Vec<(RoundId, Proposal)>,
}

impl ReusedProposals {
    /// Of one earlier campaign.
    pub fn new(
        space: ParameterSpace,
        models: Vec<ModelFiles>,
        rounds: Vec<(RoundId, Proposal)>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            space,
            models,
            rounds,
        }
    }

    /// Writes the file.
    pub fn store(&self, directory: &Directory, relative: &str) -> Result<StoredFile, ReusedError> {
        let json = serde_json::to_vec(self).map_err(|error| ReusedError::Invalid {
            path: directory.join(relative),
            reason: error.to_string(),
        })?;
        Ok(directory.store(relative, json)?)
    }

    /// Reads it; refuses proposals that no density follows from.
    pub fn load(directory: &Directory, stored: &StoredFile) -> Result<Self, ReusedError> {
        let bytes = directory.read_stored(stored)?;
        let invalid = |reason: String| ReusedError::Invalid {
            path: directory.join(&stored.path),
            reason,
        };
        let found: Self =
            serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if (found.format.as_str(), found.version) != (FORMAT, VERSION) {
            let (format, version) = (&found.format, found.version);
            return Err(invalid(format!(
                "format `{format}` version {version}, expected `{FORMAT}` version {VERSION}"
            )));
        }
        let models: BTreeSet<FlowId> = found.models.iter().map(|model| model.flow).collect();
        let d = found.space.len();
        for (round, proposal) in &found.rounds {
            let is_known = |component: &Component| match component {
                Component::Prior => true,
                Component::Local(id) => proposal
                    .locals
                    .get(id)
                    .is_some_and(|local| local.is_valid(d)),
                Component::Flow(flow) => models.contains(flow),
            };
            let unknown = proposal
                .components
                .iter()
                .find(|(component, _)| !is_known(component));
            if let Some((component, _)) = unknown {
                return Err(invalid(format!(
                    "{round} was drawn from {component}, which is not given, or not of {d} parameters"
                )));
            }
        }
        Ok(found)
    }

    /// Numbers that the rounds' proposals are known by, in order.
    pub fn flows(&self) -> Vec<FlowId> {
        let rounds = self.rounds.iter();
        rounds.map(|&(round, _)| FlowId::of_reused(round)).collect()
    }

    /// The earlier campaign's z at θ; None where its prior rules θ out.
    pub fn z(&self, theta: &[f64]) -> Option<Vec<f64>> {
        let mut z = vec![0.0; theta.len()];
        self.space.unconstrain(theta, &mut z);
        let is_possible = self.space.log_prior(theta).is_finite();
        (is_possible && z.iter().all(|z| z.is_finite())).then_some(z)
    }

    /// log q(θ) of each round's proposal, where θ = constrain(z) in the earlier campaign and `log_flow` are the densities of its
    /// flows in the parameters' own units.
    pub fn log_densities(
        &self,
        theta: &[f64],
        z: &[f64],
        log_flow: impl Fn(FlowId) -> f64,
    ) -> Vec<f64> {
        let log_prior = self.space.log_prior(theta);
        let rounds = self.rounds.iter();
        rounds
            .map(|(_, proposal)| proposal.log_density_at(z, log_prior, &log_flow))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_name_the_campaign_that_they_are_of() {
        let source = |location: &str, doubt: Option<&str>| ReusedSource {
            location: location.to_owned(),
            campaign: "sine".to_owned(),
            n_rows: 9,
            doubt: doubt.map(str::to_owned),
        };
        let sources = [
            source("runs/a", None),
            source("runs/b", Some("there may be more")),
        ];
        assert_eq!(
            doubts(&sources),
            ["of the simulations of runs/b: there may be more"]
        );
    }
}
