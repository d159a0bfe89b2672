//! A model in processes of its own, as it stands in `[simulator]`, `[likelihood]` and `[prior]`.

use super::{Entry, named, table, texts, whole};
use crate::campaign::Campaign;
use crate::campaign::external::{ExternalModel, ExternalNoise, Program, PythonFunction};
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

/// Of `[noise]`.
pub(super) fn noise(noise: &ExternalNoise) -> Vec<Entry<'static>> {
    let mut entries = vec![function(&noise.function)];
    entries.extend(limits(
        &noise.digest,
        noise.row_limit_s,
        noise.setup_limit_s,
    ));
    entries.extend(calls(noise.block, noise.global_rng));
    entries
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
    let mut entries = limits(&model.digest, model.row_limit_s, model.setup_limit_s).to_vec();
    match &model.program {
        Program::Python { .. } => entries.extend(calls(model.block, model.global_rng)),
        Program::Command { .. } => {}
    }
    let blobs = names(space, DerivedKind::Blob);
    if !blobs.is_empty() {
        entries.push((external::BLOBS.name, texts(blobs)));
    }
    entries
}

fn limits(digest: &str, row_limit_s: f64, setup_limit_s: f64) -> [Entry<'static>; 3] {
    [
        (external::DIGEST.name, Value::from(digest)),
        (external::TIMEOUT.name, Value::Float(row_limit_s)),
        (external::SETUP_TIMEOUT.name, Value::Float(setup_limit_s)),
    ]
}

fn calls(block: u32, global_rng: bool) -> [Entry<'static>; 2] {
    let block = match block {
        0 => Value::from(false),
        block => whole(block.into()),
    };
    [
        (external::VECTORIZED.name, block),
        (external::GLOBAL_RNG.name, Value::from(global_rng)),
    ]
}

fn names(space: &ParameterSpace, kind: DerivedKind) -> Vec<String> {
    let derived = space.derived.iter();
    let of_kind = derived.filter(|derived| derived.kind == kind);
    of_kind.map(|derived| derived.name.clone()).collect()
}
