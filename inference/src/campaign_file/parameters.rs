//! `[[parameters]]` and `[prior]`: names and priors.

use super::choices::Choice;
use super::document::{Entry, Section, suggestion};
use super::key::Key;
use super::keys::external::BLOBS;
use super::keys::file::{PARAMETERS, PRIOR as JOINT_PRIOR};
use super::keys::joint::{
    COVARIANCE, FUNCTION, MEAN as JOINT_MEAN, MULTIVARIATE_NORMAL, NAMES, PERIODIC_NAMES,
    PRECISION, TRANSFORM,
};
use super::keys::parameters as key;
use super::keys::parameters::{
    ALPHA, BETA_EXPONENT, HIGH, LOW, MEAN, NAME, OPEN_HIGH, OPEN_LOW, PERIODIC, POSITIVE_HIGH,
    POSITIVE_LOW, PRIOR, SD, TRUTH, UNIT_HIGH, UNIT_LOW,
};
use super::samples::SampleFiles;
use crate::campaign::model::{Declaration, ModelParameters};
use crate::space::{
    Derived, DerivedKind, Fixed, JointNormal, Parameter, ParameterSpace, Prior, Spread,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Columns of our Parquet files that a parameter must not be named like.
#[rustfmt::skip]
const RESERVED_NAMES: [&str; 10] = [
    "row_id", "seed", "log_prior", "log_proposal", "log_likelihood", "component", "status", "message", "round", "weight",
];

/// Another one where shards have simulated data.
const DATA: &str = "x";

/// A parameter whose name is known, with its place for later messages.
#[derive(Clone)]
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub entry: Entry<'a>,
}

/// Standard deviations beyond which a normal density is 0 in f64: where a truncated one has no bound.
const NO_BOUND: f64 = 40.0;

/// What `prior` says of a parameter.
enum Given {
    Prior(Prior),
    Fixed(f64),
}

impl Given {
    fn prior(&self) -> Option<&Prior> {
        match self {
            Self::Prior(prior) => Some(prior),
            Self::Fixed(_) => None,
        }
    }
}

/// What `[[parameters]]` and `[prior]` say.
#[derive(Default)]
pub(super) struct Parameters<'a> {
    /// None where some are missing or unusable.
    pub names: Option<Vec<Named<'a>>>,
    /// None where anything about a parameter is.
    pub space: Option<ParameterSpace>,
    pub truth_by_name: BTreeMap<String, f64>,
}

/// Relative paths are relative to `directory`.
pub(super) fn parameters<'a>(root: &Section<'a>, directory: &Path) -> Parameters<'a> {
    let shared = root.get(&JOINT_PRIOR).and_then(|entry| entry.section());
    if let Some(transform) = shared.and_then(|section| section.get(&TRANSFORM)) {
        return transformed(root, &transform).unwrap_or_default();
    }
    const EXPECTED: &str = "at least one [[parameters]] table";
    let items = root.require(&PARAMETERS, EXPECTED).and_then(|entry| {
        let items = entry.items(EXPECTED)?;
        match items.is_empty() {
            true => entry.refuse(format!("found an empty list, expected {EXPECTED}")),
            false => Some(items),
        }
    });
    let Some(items) = items else {
        return Parameters::default();
    };
    let mut names: Vec<Option<Named<'a>>> = Vec::new();
    let mut parameters = Vec::new();
    let mut truth_by_name = BTreeMap::new();
    let has_joint = root.get(&JOINT_PRIOR).is_some();
    // Places of the parameters that have no prior of their own, among those that are not fixed.
    let mut joint_positions = Vec::new();
    let mut all_fixed = Vec::new();
    let mut files = SampleFiles::new(directory);
    for (position, item) in items.into_iter().enumerate() {
        let Some(section) = item.checked_section() else {
            names.push(None);
            parameters.push(None);
            continue;
        };
        let named = section
            .require(&NAME, "the parameter's name")
            .and_then(name);
        let mut earlier = names.iter().flatten();
        if let Some(Named { name, entry }) = &named
            && earlier.any(|earlier| earlier.name == *name)
        {
            entry.mistake(format!("a parameter named {name:?} is there already"));
        }
        let prior = match section.get(&PRIOR) {
            None if has_joint => {
                joint_positions.push(position - all_fixed.len());
                // Stands for what [prior] says.
                Some(Given::Prior(Prior::Normal { mean: 0.0, sd: 1.0 }))
            }
            Some(_) | None => section
                .require(&PRIOR, &PRIOR.takes.words())
                .and_then(|entry| {
                    prior(&entry, named.as_ref().map(|named| named.name), &mut files)
                }),
        };
        let distribution = prior.as_ref().and_then(Given::prior);
        let periodic = periodic(&section, distribution);
        let truth = truth(&section, distribution);
        if let (Some(named), Some(truth)) = (&named, truth) {
            truth_by_name.insert(named.name.to_owned(), truth);
        }
        match named.as_ref().zip(prior) {
            None => parameters.push(None),
            Some((named, Given::Fixed(value))) => all_fixed.push(Fixed {
                name: named.name.to_owned(),
                value,
                position,
                sd: None,
            }),
            Some((named, Given::Prior(prior))) => parameters.push(Some(Parameter {
                name: named.name.to_owned(),
                prior,
                periodic,
            })),
        }
        names.push(named);
    }
    if parameters.is_empty() {
        root.mistake_of(
            PARAMETERS.name,
            "all are fixed, expected one at least that is not",
        );
        return Parameters::default();
    }
    let joint = root.optional(&JOINT_PRIOR, |entry| joint(entry, joint_positions));
    Parameters {
        names: names.into_iter().collect(),
        space: space(root, parameters.into_iter().collect(), joint, all_fixed),
        truth_by_name,
    }
}

/// Coordinates of the unit cube, and the parameters that a function makes of them.
fn transformed<'a>(root: &Section<'a>, transform: &Entry<'a>) -> Option<Parameters<'a>> {
    if let Some(entry) = root.get(&PARAMETERS) {
        entry.mistake("expected none beside a prior transform, whose names say what it gives");
    }
    let section = transform.checked_section()?;
    section.require(&FUNCTION, FUNCTION.about)?;
    let names = section.require(&NAMES, &NAMES.takes.words())?;
    let items = names.items(&NAMES.takes.words())?;
    if items.is_empty() {
        return names.refuse("found an empty list, expected the name of one parameter at least");
    }
    let mut named: Vec<Named<'a>> = Vec::new();
    for item in items {
        let one = name(item)?;
        if named.iter().any(|earlier| earlier.name == one.name) {
            one.entry.mistake("this name is there already");
        }
        named.push(one);
    }
    let circle = |item: &Entry<'a>| {
        let text = item.text()?;
        let names: Vec<&str> = named.iter().map(|named| named.name).collect();
        match names.contains(&text) {
            true => Some(text),
            false => item.refuse(format!("found {text:?}{}", suggestion(text, &names))),
        }
    };
    let circles = section.optional(&PERIODIC_NAMES, |entry| {
        entry.each(&PERIODIC_NAMES.takes.words(), circle)
    })?;
    let circles = circles.unwrap_or_default();
    let coordinate = |named: &Named<'_>| Parameter {
        name: format!("u_{}", named.name),
        prior: Prior::Uniform {
            low: 0.0,
            high: 1.0,
        },
        periodic: circles.contains(&named.name),
    };
    let derived = |named: &Named<'_>| Derived {
        name: named.name.to_owned(),
        kind: DerivedKind::Transformed,
    };
    let space = ParameterSpace {
        derived: named.iter().map(derived).collect(),
        ..ParameterSpace::independent(named.iter().map(coordinate).collect())
    };
    Some(Parameters {
        names: Some(named),
        space: Some(space),
        truth_by_name: BTreeMap::new(),
    })
}

/// With what a model gives beside what it is asked for; a name that is there already is a mistake.
pub(super) fn with_blobs(
    root: &Section<'_>,
    mut space: ParameterSpace,
    blobs: &[String],
    has_data: bool,
) -> Option<ParameterSpace> {
    space.derived.extend(blobs.iter().map(|name| Derived {
        name: name.clone(),
        kind: DerivedKind::Blob,
    }));
    if has_data && space.column_names().any(|name| name == DATA) {
        let words =
            format!("{DATA:?} is the column of simulated data in shards, expected another name");
        root.mistake_of("parameters", words);
        return None;
    }
    if space.derived.is_empty() {
        return Some(space);
    }
    let names: Vec<&str> = space.column_names().collect();
    let mut pairs = names.iter().enumerate();
    match pairs.find(|(i, name)| names[..*i].contains(name)) {
        Some((_, name)) => {
            let key = BLOBS.name;
            root.mistake_of(
                key,
                format!("{name:?} is the name of two columns of the result"),
            );
            None
        }
        None => Some(space),
    }
}

fn space(
    root: &Section<'_>,
    parameters: Option<Vec<Parameter>>,
    joint: Option<Option<JointNormal>>,
    fixed: Vec<Fixed>,
) -> Option<ParameterSpace> {
    let (mut parameters, joint) = (parameters?, joint?);
    if let Some(joint) = &joint {
        for (i, (&position, &mean)) in joint.positions().iter().zip(joint.mean()).enumerate() {
            parameters[position].prior = Prior::Normal {
                mean,
                sd: joint.sd(i),
            };
        }
    }
    let space = ParameterSpace {
        joint,
        fixed,
        ..ParameterSpace::independent(parameters)
    };
    match space.correlated() {
        Ok(space) => Some(space),
        Err(error) => {
            root.mistake_of(PARAMETERS.name, error);
            None
        }
    }
}

/// The one prior of all parameters that have none of their own.
fn joint(entry: &Entry<'_>, positions: Vec<usize>) -> Option<JointNormal> {
    let section = entry.checked_section()?;
    let section = section
        .require(&MULTIVARIATE_NORMAL, &JOINT_PRIOR.takes.words())?
        .checked_section()?;
    if positions.is_empty() {
        return section.refuse(
            "every parameter has a prior of its own, expected some without, in the order of mean",
        );
    }
    const MEAN_EXPECTED: &str = "a list of numbers, one a parameter without a prior of its own";
    let mean = section
        .require(&JOINT_MEAN, MEAN_EXPECTED)
        .and_then(|entry| entry.numbers());
    let matrix = |entry: Entry<'_>| entry.each("a list of rows", Entry::numbers);
    let spread = match (section.get(&COVARIANCE), section.get(&PRECISION)) {
        (Some(covariance), None) => matrix(covariance).map(Spread::Covariance),
        (None, Some(precision)) => matrix(precision).map(Spread::Precision),
        (Some(_), Some(_)) => {
            section.refuse("found covariance and precision, expected one of them")
        }
        (None, None) => {
            section.refuse("found neither covariance nor precision, expected one of them")
        }
    };
    section.accept(JointNormal::new(positions, mean?, spread?))
}

/// Only a uniform prior is the same everywhere on a circle.
fn periodic(section: &Section, prior: Option<&Prior>) -> bool {
    let Some(entry) = section.get(&PERIODIC) else {
        return false;
    };
    let periodic = entry.boolean().unwrap_or(false);
    match prior {
        Some(Prior::Uniform { .. }) | None => {}
        Some(
            Prior::LogUniform { .. }
            | Prior::Normal { .. }
            | Prior::LogNormal { .. }
            | Prior::TruncatedNormal { .. }
            | Prior::Beta { .. }
            | Prior::Samples(_),
        ) => {
            if periodic {
                entry.mistake("found true, expected it of a parameter with a uniform prior only");
            }
        }
    }
    periodic
}

/// The true value, where the prior can give it.
fn truth(section: &Section, prior: Option<&Prior>) -> Option<f64> {
    let entry = section.get(&TRUTH)?;
    let (low, high) = prior.map_or((f64::NEG_INFINITY, f64::INFINITY), Prior::support);
    let truth = entry.number()?;
    match (low..=high).contains(&truth) {
        true => Some(truth),
        false => entry.refuse(format!(
            "found {truth}, expected a number within the prior, from {low} to {high}"
        )),
    }
}

fn name(entry: Entry<'_>) -> Option<Named<'_>> {
    let name = column_name(&entry)?;
    Some(Named { name, entry })
}

/// A name that a column of results may have.
pub(super) fn column_name<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    let name = entry.text()?;
    let starts_well = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
    if !starts_well || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return entry.refuse(format!(
            "found {name:?}, expected letters, digits and _, a letter first"
        ));
    }
    if RESERVED_NAMES.contains(&name) || name.starts_with("z_") {
        return entry.refuse(format!(
            "{name:?} is a column of every result, expected a name other than {} and z_...",
            RESERVED_NAMES.join(", ")
        ));
    }
    Some(name)
}

fn prior(entry: &Entry<'_>, parameter: Option<&str>, files: &mut SampleFiles<'_>) -> Option<Given> {
    let (kind, values) = entry.variant()?;
    if kind == PriorKind::Fixed {
        return values.number().map(Given::Fixed);
    }
    if kind == PriorKind::Samples {
        return files.prior(&values, parameter).map(Given::Prior);
    }
    let section = values.checked_section()?;
    // All are read before any `?`, so that all mistakes are found.
    let pair = |a, b| {
        let (a, b) = (section.number(a), section.number(b));
        Some((a?, b?))
    };
    let prior = match kind {
        PriorKind::Fixed | PriorKind::Samples => return None,
        PriorKind::Uniform => {
            let (low, high) = bounds(&section, &LOW, &HIGH)?;
            Prior::Uniform { low, high }
        }
        PriorKind::LogUniform => {
            let (low, high) = bounds(&section, &POSITIVE_LOW, &POSITIVE_HIGH)?;
            Prior::LogUniform { low, high }
        }
        PriorKind::Normal => {
            let (mean, sd) = pair(&MEAN, &SD)?;
            Prior::Normal { mean, sd }
        }
        PriorKind::LogNormal => {
            let (mean, sd) = pair(&MEAN, &SD)?;
            Prior::LogNormal { mean, sd }
        }
        PriorKind::TruncatedNormal => {
            let (mean, sd) = pair(&MEAN, &SD)?;
            let low = section.number_or(&OPEN_LOW, mean - NO_BOUND * sd);
            let high = section.number_or(&OPEN_HIGH, mean + NO_BOUND * sd);
            let (low, high) = ordered(&section, (OPEN_LOW.name, low?), (OPEN_HIGH.name, high?))?;
            Prior::TruncatedNormal {
                mean,
                sd,
                low,
                high,
            }
        }
        PriorKind::Beta => {
            let exponents = pair(&ALPHA, &BETA_EXPONENT);
            let ends = bounds(&section, &UNIT_LOW, &UNIT_HIGH);
            let ((alpha, beta), (low, high)) = (exponents?, ends?);
            Prior::Beta {
                alpha,
                beta,
                low,
                high,
            }
        }
    };
    section.accept(prior.check()).map(|()| Given::Prior(prior))
}

/// Two numbers, the first below the second.
pub(super) fn bounds(section: &Section<'_>, low: &Key, high: &Key) -> Option<(f64, f64)> {
    let names = (low.name, high.name);
    let (low, high) = (section.number(low), section.number(high));
    ordered(section, (names.0, low?), (names.1, high?))
}

fn ordered(
    section: &Section<'_>,
    (low_name, low): (&str, f64),
    (high_name, high): (&str, f64),
) -> Option<(f64, f64)> {
    match low >= high {
        true => section.refuse(format!("{low_name} {low} is not below {high_name} {high}")),
        false => Some((low, high)),
    }
}

/// Refuses parameters that a model does not have, and the want of those that it needs.
pub(super) fn check_names(
    simulator: &Section<'_>,
    model: &dyn Declaration,
    parameters: &[Named<'_>],
) -> Option<()> {
    let needed = match model.parameters() {
        ModelParameters::Named(names) => names,
        ModelParameters::Count(_) | ModelParameters::Any => return Some(()),
    };
    let is_missing = |name: &&str| parameters.iter().all(|parameter| parameter.name != *name);
    let missing: Vec<&str> = needed.iter().copied().filter(is_missing).collect();
    let unknown = parameters
        .iter()
        .filter(|parameter| !needed.contains(&parameter.name));
    for Named { name, entry } in unknown.clone() {
        let hint = match missing.is_empty() {
            true => format!(", expected only {}", needed.join(", ")),
            false => suggestion(name, &missing),
        };
        let model = model.name();
        entry.mistake(format!("simulator {model} has no parameter {name:?}{hint}"));
    }
    if !missing.is_empty() {
        simulator.mistake(format!(
            "{} needs the parameters {}, and {} not under [[parameters]]",
            model.name(),
            needed.join(", "),
            match missing[..] {
                [one] => format!("{one} is"),
                _ => format!("{} are", missing.join(", ")),
            }
        ));
    }
    (missing.is_empty() && unknown.count() == 0).then_some(())
}

/// A family of priors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PriorKind {
    Fixed,
    Uniform,
    Normal,
    TruncatedNormal,
    LogNormal,
    LogUniform,
    Beta,
    Samples,
}

impl Choice for PriorKind {
    const NAMED: super::choices::Named<Self> = &[
        (key::FIXED.name, Self::Fixed),
        (key::UNIFORM.name, Self::Uniform),
        (key::NORMAL.name, Self::Normal),
        (key::TRUNCATED_NORMAL.name, Self::TruncatedNormal),
        (key::LOG_NORMAL.name, Self::LogNormal),
        (key::LOG_UNIFORM.name, Self::LogUniform),
        (key::BETA.name, Self::Beta),
        (key::SAMPLES.name, Self::Samples),
    ];
}
