//! Densities of draws under what reused rounds were drawn from.

use crate::draw;
use crate::model::{Model, ModelError, Scorer};
use burn::tensor::Device;
use sidereal_inference::base::FlowId;
use sidereal_inference::records::{Directory, Draws, ReusedError, ReusedProposals, StoredFile};
use sidereal_inference::space::ParameterSpace;
use std::collections::BTreeMap;

/// Reused proposals that give no densities.
#[derive(Debug, thiserror::Error)]
pub enum ReusedScoresError {
    /// Their file cannot be read.
    #[error(transparent)]
    Proposals(#[from] ReusedError),
    /// Nor one of their flows.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl ReusedScoresError {
    /// Whether the storage is at fault and not what is stored.
    pub fn is_store_fault(&self) -> bool {
        match self {
            Self::Proposals(ReusedError::Stored(error)) => error.is_store_fault(),
            Self::Proposals(ReusedError::File(error)) | Self::Model(ModelError::File(error)) => {
                error.is_store_fault()
            }
            Self::Proposals(ReusedError::Invalid { .. }) | Self::Model(_) => false,
        }
    }
}

/// The proposals of one earlier campaign's rounds, with its flows.
pub struct ReusedFlows {
    proposals: ReusedProposals,
    models: Vec<Model>,
}

impl ReusedFlows {
    /// As a record names them.
    pub fn load(
        directory: &Directory,
        stored: &StoredFile,
        device: &Device,
    ) -> Result<Self, ReusedScoresError> {
        let proposals = ReusedProposals::load(directory, stored)?;
        let mut models = Vec::with_capacity(proposals.models.len());
        for files in &proposals.models {
            let model = Model::load(directory, &files.path, device)?;
            if model.campaign().space != proposals.space {
                return Err(ModelError::Invalid {
                    path: directory.join(&files.path),
                    reason:
                        "a flow of other parameters or priors than those of the earlier campaign"
                            .to_owned(),
                }
                .into());
            }
            models.push(model);
        }
        Ok(Self { proposals, models })
    }

    /// log q(θ) of draws in `space` under each round's proposal, in the parameters' own units: numbers of the proposals, and a column
    /// for each.
    pub fn score(
        &self,
        space: &ParameterSpace,
        draws: &Draws,
        pool: &rayon::ThreadPool,
    ) -> Result<(Vec<FlowId>, Vec<Vec<f64>>), ModelError> {
        let flows = self.proposals.flows();
        let n = draws.n_rows();
        let is_same_space = *space == self.proposals.space;
        // Those draws that the earlier prior does not rule out, with their z there.
        let (mut rows, mut there) = (Vec::new(), Draws::empty(draws.round, 0, draws.n_parameters));
        for i in 0..n {
            let theta = draws.theta_row(i);
            let z = match is_same_space {
                true => Some(draws.z_row(i).to_vec()),
                false => self.proposals.z(theta),
            };
            if let Some(z) = z {
                rows.push(i);
                there.z.extend(z);
                there.theta.extend_from_slice(theta);
            }
        }
        let mut log_flow = BTreeMap::new();
        for model in &self.models {
            let scores = draw::score(model.campaign(), &scorer(model)?, &there, pool)?;
            log_flow.insert(model.flow(), scores);
        }
        let mut log_density = vec![vec![f64::NEG_INFINITY; n]; flows.len()];
        for (place, &row) in rows.iter().enumerate() {
            let of_flow = |flow| {
                let scores: Option<&Vec<f64>> = log_flow.get(&flow);
                scores.map_or(f64::NEG_INFINITY, |scores| scores[place])
            };
            let d = draws.n_parameters;
            let z = &there.z[place * d..(place + 1) * d];
            let densities = self
                .proposals
                .log_densities(draws.theta_row(row), z, of_flow);
            for (column, value) in log_density.iter_mut().zip(densities) {
                column[row] = value;
            }
        }
        Ok((flows, log_density))
    }
}

/// As the flow was drawn from: looking at its own campaign's observation.
fn scorer(model: &Model) -> Result<Scorer<'_>, ModelError> {
    let observation = model.campaign().observation.as_ref();
    let observation = observation.ok_or_else(|| {
        ModelError::Observation(
            "no data: a campaign without an observation draws from its prior alone".to_owned(),
        )
    })?;
    model.scorer(observation)
}
