//! Draws, proposals and files between wire and domain.

use super::wire_error::{WireError, path_inside, required, sha256};
use crate::v1;
use sidereal_inference::base::{FlowId, LocalId, RoundId};
use sidereal_inference::records::{Draws, ModelFiles, ScoresFile, ShardFile, StoredFile};
use sidereal_inference::space::Lean;
use sidereal_inference::weights::{Component, LocalDensity, Proposal};
use std::collections::BTreeMap;

impl From<&Draws> for v1::Draws {
    fn from(draws: &Draws) -> Self {
        Self {
            round: draws.round.0,
            first_row: draws.first_row,
            n_parameters: u32::try_from(draws.n_parameters).unwrap_or(u32::MAX),
            z: draws.z.clone(),
            theta: draws.theta.clone(),
            log_prior: draws.log_prior.clone(),
            log_proposal: draws.log_proposal.clone(),
            component: draws.component.iter().map(|part| part.code()).collect(),
        }
    }
}

impl TryFrom<v1::Draws> for Draws {
    type Error = WireError;

    fn try_from(wire: v1::Draws) -> Result<Self, WireError> {
        const MESSAGE: &str = "draws";
        let n_rows = wire.component.len();
        let n_parameters = wire.n_parameters as usize;
        if n_parameters == 0 {
            return Err(WireError::Missing {
                message: MESSAGE,
                field: "n_parameters",
            });
        }
        let n_values = n_rows.saturating_mul(n_parameters);
        for (field, found, expected) in [
            ("z", wire.z.len(), n_values),
            ("theta", wire.theta.len(), n_values),
            ("log_prior", wire.log_prior.len(), n_rows),
            ("log_proposal", wire.log_proposal.len(), n_rows),
        ] {
            if found != expected {
                return Err(WireError::Length {
                    message: MESSAGE,
                    field,
                    found,
                    expected,
                });
            }
        }
        Ok(Self {
            round: RoundId(wire.round),
            first_row: wire.first_row,
            n_parameters,
            z: wire.z,
            theta: wire.theta,
            log_prior: wire.log_prior,
            log_proposal: wire.log_proposal,
            component: wire
                .component
                .into_iter()
                .map(Component::from_code)
                .collect(),
        })
    }
}

impl From<&Proposal> for v1::Proposal {
    fn from(proposal: &Proposal) -> Self {
        let components = proposal
            .components
            .iter()
            .map(|&(component, share)| v1::ProposalComponent {
                component: component.code(),
                share,
            })
            .collect();
        let locals = proposal
            .locals
            .iter()
            .map(|(id, local)| v1::LocalDensity {
                id: id.0,
                seams: local.seams.clone(),
                leans: local.leans.iter().map(|lean| lean.code()).collect(),
                mean: local.mean.clone(),
                factor: local.factor.clone(),
            })
            .collect();
        Self { components, locals }
    }
}

impl TryFrom<v1::Proposal> for Proposal {
    type Error = WireError;

    fn try_from(wire: v1::Proposal) -> Result<Self, WireError> {
        const MESSAGE: &str = "proposal";
        let mut components = Vec::with_capacity(wire.components.len());
        for part in wire.components {
            let component = Component::from_code(part.component);
            if !(part.share > 0.0 && part.share <= 1.0) {
                return Err(WireError::Value {
                    message: MESSAGE,
                    field: "share",
                    found: part.share.to_string(),
                    expected: "a number in (0, 1]",
                });
            }
            components.push((component, part.share));
        }
        if components.is_empty() {
            return Err(WireError::Missing {
                message: MESSAGE,
                field: "components",
            });
        }
        let mut locals = BTreeMap::new();
        for wire in wire.locals {
            let id = LocalId(wire.id);
            let lean = |code: u32| {
                Lean::from_code(code).ok_or_else(|| WireError::Value {
                    message: MESSAGE,
                    field: "leans",
                    found: code.to_string(),
                    expected: "a number from 0 to 3",
                })
            };
            let leans = wire.leans.into_iter().map(lean);
            let local = LocalDensity {
                leans: leans.collect::<Result<_, WireError>>()?,
                seams: wire.seams,
                mean: wire.mean,
                factor: wire.factor,
            };
            let is_component = components
                .iter()
                .any(|(component, _)| *component == Component::Local(id));
            let is_valid = is_component && local.is_valid(local.mean.len());
            if !is_valid || locals.insert(id, local).is_some() {
                return Err(WireError::Value {
                    message: MESSAGE,
                    field: "locals",
                    found: format!("{id}"),
                    expected: "the density of a component, once",
                });
            }
        }
        for (component, _) in &components {
            if let Component::Local(id) = component
                && !locals.contains_key(id)
            {
                return Err(WireError::Missing {
                    message: MESSAGE,
                    field: "locals",
                });
            }
        }
        Ok(Self { components, locals })
    }
}

impl From<&StoredFile> for v1::StoredFile {
    fn from(file: &StoredFile) -> Self {
        Self {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            n_bytes: file.n_bytes,
        }
    }
}

impl TryFrom<v1::StoredFile> for StoredFile {
    type Error = WireError;

    fn try_from(wire: v1::StoredFile) -> Result<Self, WireError> {
        const MESSAGE: &str = "stored file";
        Ok(Self {
            path: path_inside(wire.path, MESSAGE, "path")?,
            sha256: sha256(wire.sha256, MESSAGE, "sha256")?,
            n_bytes: wire.n_bytes,
        })
    }
}

impl From<&ShardFile> for v1::ShardFile {
    fn from(shard: &ShardFile) -> Self {
        Self {
            round: shard.round.0,
            first_row: shard.first_row,
            n_rows: shard.n_rows,
            n_failed: shard.n_failed,
            file: Some((&shard.file).into()),
        }
    }
}

impl TryFrom<v1::ShardFile> for ShardFile {
    type Error = WireError;

    fn try_from(wire: v1::ShardFile) -> Result<Self, WireError> {
        const MESSAGE: &str = "shard file";
        if wire.n_rows == 0 || wire.first_row.checked_add(wire.n_rows).is_none() {
            return Err(WireError::Value {
                message: MESSAGE,
                field: "n_rows",
                found: wire.n_rows.to_string(),
                expected: "at least one row, counted in 64 bits",
            });
        }
        if wire.n_failed > wire.n_rows {
            return Err(WireError::Value {
                message: MESSAGE,
                field: "n_failed",
                found: wire.n_failed.to_string(),
                expected: "at most n_rows",
            });
        }
        Ok(Self {
            round: RoundId(wire.round),
            first_row: wire.first_row,
            n_rows: wire.n_rows,
            n_failed: wire.n_failed,
            file: required(wire.file, MESSAGE, "file")?.try_into()?,
        })
    }
}

impl From<&ScoresFile> for v1::ScoresFile {
    fn from(scores: &ScoresFile) -> Self {
        Self {
            round: scores.round.0,
            flows: scores.flows.iter().map(|flow| flow.0).collect(),
            file: Some((&scores.file).into()),
        }
    }
}

impl TryFrom<v1::ScoresFile> for ScoresFile {
    type Error = WireError;

    fn try_from(wire: v1::ScoresFile) -> Result<Self, WireError> {
        const MESSAGE: &str = "scores file";
        if wire.flows.is_empty() {
            return Err(WireError::Missing {
                message: MESSAGE,
                field: "flows",
            });
        }
        Ok(Self {
            round: RoundId(wire.round),
            flows: wire.flows.into_iter().map(FlowId).collect(),
            file: required(wire.file, MESSAGE, "file")?.try_into()?,
        })
    }
}

impl From<&ModelFiles> for v1::ModelFiles {
    fn from(model: &ModelFiles) -> Self {
        Self {
            flow: model.flow.0,
            path: model.path.clone(),
            weights_sha256: model.weights_sha256.clone(),
            model_json_sha256: model.model_json_sha256.clone(),
        }
    }
}

impl TryFrom<v1::ModelFiles> for ModelFiles {
    type Error = WireError;

    fn try_from(wire: v1::ModelFiles) -> Result<Self, WireError> {
        const MESSAGE: &str = "model files";
        Ok(Self {
            flow: FlowId(wire.flow),
            path: path_inside(wire.path, MESSAGE, "path")?,
            weights_sha256: sha256(wire.weights_sha256, MESSAGE, "weights_sha256")?,
            model_json_sha256: sha256(wire.model_json_sha256, MESSAGE, "model_json_sha256")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws() -> Draws {
        Draws {
            round: RoundId(3),
            first_row: 64,
            n_parameters: 2,
            z: vec![0.1, 0.2, 0.3, 0.4],
            theta: vec![1.0, 2.0, 3.0, 4.0],
            log_prior: vec![-1.0, -2.0],
            log_proposal: vec![-1.5, f64::NEG_INFINITY],
            component: vec![Component::Prior, Component::Flow(FlowId(2))],
        }
    }

    #[test]
    fn draws_come_back_as_they_were_and_torn_ones_are_refused() {
        let wire = v1::Draws::from(&draws());
        assert_eq!(Draws::try_from(wire.clone()), Ok(draws()));

        let mut torn = wire.clone();
        torn.theta.pop();
        assert_eq!(
            Draws::try_from(torn).map_err(|error| error.to_string()),
            Err("draws has 3 values of theta, expected 4".to_owned())
        );
        let mut torn = wire.clone();
        torn.component.push(0);
        assert!(matches!(
            Draws::try_from(torn),
            Err(WireError::Length { field: "z", .. })
        ));
        let mut torn = wire;
        torn.n_parameters = u32::MAX;
        assert!(matches!(
            Draws::try_from(torn),
            Err(WireError::Length { .. })
        ));
    }

    #[test]
    fn paths_out_of_the_directory_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/./b",
            "C:x",
            "a\\b",
        ] {
            assert!(
                path_inside(path.to_owned(), "file", "path").is_err(),
                "{path}"
            );
        }
        assert!(path_inside("rounds/000/shards/a.parquet".to_owned(), "file", "path").is_ok());
    }

    #[test]
    fn shard_without_rows_or_file_is_refused() {
        let shard = ShardFile {
            round: RoundId(0),
            first_row: 5,
            n_rows: 3,
            n_failed: 1,
            file: StoredFile {
                path: "rounds/000/shards/a.parquet".to_owned(),
                sha256: "0".repeat(64),
                n_bytes: 12,
            },
        };
        let wire = v1::ShardFile::from(&shard);
        assert_eq!(ShardFile::try_from(wire.clone()), Ok(shard));
        for torn in [
            v1::ShardFile {
                n_rows: 0,
                ..wire.clone()
            },
            v1::ShardFile {
                first_row: u64::MAX,
                ..wire.clone()
            },
            v1::ShardFile {
                n_failed: 4,
                ..wire.clone()
            },
            v1::ShardFile {
                file: None,
                ..wire.clone()
            },
        ] {
            assert!(ShardFile::try_from(torn.clone()).is_err(), "{torn:?}");
        }
    }
}
