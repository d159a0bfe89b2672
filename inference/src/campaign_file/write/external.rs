//! A model in processes of its own, as it stands in `[simulator]`, `[likelihood]` and `[prior]`.

use super::{Entry, named, table, texts, whole};
use crate::campaign::Campaign;
use crate::campaign::external::{ExternalModel, Program, PythonFunction};
use crate::campaign_file::keys::{external, joint};
use crate::space::{DerivedKind, ParameterSpace};
use toml::Value;

/// Of `[simulator]`; nothing where the model is a log-likelihood alone.
pub(super) fn simulator(model: &ExternalModel, space: &ParameterSpace) -> Vec<Entry<'static>> {
    let mut entries = match &model.program {
        Program::Python {
            simulate: Some(simulate),
            ..
        } => vec![function(simulate)],
        Program::Command {
            simulates: true, ..
        } => command(&model.program),
        Program::Python { simulate: None, .. } | Program::Command { .. } => return Vec::new(),
    };
    entries.extend(options(model, space));
    entries
}

/// Of `[likelihood]`, beside its kind.
pub(super) fn likelihood(model: &ExternalModel, space: &ParameterSpace) -> Vec<Entry<'static>> {
    let is_alone = simulator(model, space).is_empty();
    let mut entries = match &model.program {
        Program::Python { log_likelihood, .. } => log_likelihood.iter().map(function).collect(),
        Program::Command { .. } if is_alone => command(&model.program),
        Program::Command { .. } => Vec::new(),
    };
    if is_alone {
        entries.extend(options(model, space));
    }
    entries
}

/// `prior.transform`
pub(super) fn transform(campaign: &Campaign) -> Option<Value> {
    let Program::Python {
        prior_transform: Some(transform),
        ..
    } = &campaign.simulator.external.as_ref()?.program
    else {
        return None;
    };
    let names = names(&campaign.space, DerivedKind::Transformed);
    let coordinates = campaign.space.parameters.iter().zip(&names);
    let circles = coordinates.filter(|(coordinate, _)| coordinate.periodic);
    let circles = texts(circles.map(|(_, name)| name.clone()));
    Some(table([
        (joint::FUNCTION, Value::from(transform.text())),
        (joint::NAMES, texts(names)),
        (joint::PERIODIC_NAMES, circles),
    ]))
}

fn function(function: &PythonFunction) -> Entry<'static> {
    (external::PYTHON.name, Value::from(function.text()))
}

fn command(program: &Program) -> Vec<Entry<'static>> {
    match program {
        Program::Python { .. } => Vec::new(),
        Program::Command {
            command,
            directory,
            protocol,
            ..
        } => vec![
            (external::COMMAND.name, texts(command.clone())),
            (
                external::DIRECTORY.name,
                Value::from(directory.display().to_string()),
            ),
            (external::PROTOCOL.name, named(*protocol)),
        ],
    }
}

fn options(model: &ExternalModel, space: &ParameterSpace) -> Vec<Entry<'static>> {
    let mut entries = vec![
        (external::DIGEST.name, Value::from(model.digest.as_str())),
        (external::TIMEOUT.name, Value::Float(model.row_limit_s)),
        (
            external::SETUP_TIMEOUT.name,
            Value::Float(model.setup_limit_s),
        ),
    ];
    match &model.program {
        Program::Python { .. } => {
            let block = match model.block {
                0 => Value::from(false),
                block => whole(block.into()),
            };
            entries.push((external::VECTORIZED.name, block));
            entries.push((external::GLOBAL_RNG.name, Value::from(model.global_rng)));
        }
        Program::Command { .. } => {}
    }
    let blobs = names(space, DerivedKind::Blob);
    if !blobs.is_empty() {
        entries.push((external::BLOBS.name, texts(blobs)));
    }
    entries
}

fn names(space: &ParameterSpace, kind: DerivedKind) -> Vec<String> {
    let derived = space.derived.iter();
    let of_kind = derived.filter(|derived| derived.kind == kind);
    of_kind.map(|derived| derived.name.clone()).collect()
}
