//! `jitter`, `offset` and `by` in `[noise]`: parameters of the noise, one for all data or one by the values of a column.

use super::document::{Entry, Section, suggestion};
use super::key::Key;
use super::keys::noise::{BY, INSTRUMENT, JITTER, OFFSET};
use super::keys::observation::PATH;
use super::model::ModelSection;
use super::parameters::{Named, Parameters};
use crate::campaign::{Labels, NoiseTerm, NoiseTerms, Source};
use crate::space::ParameterSpace;
use std::collections::BTreeMap;

/// Values of a column that a message names.
const MAX_SHOWN: usize = 10;

/// The parameters that the model takes: those that the noise does not. What the noise takes although the model does, or where
/// nothing is left to the model, is a mistake.
pub(super) fn names_of_model<'a>(
    gaussian: &Section<'_>,
    model: &ModelSection<'_>,
    names: &[Named<'a>],
) -> Option<Vec<Named<'a>>> {
    let mut taken = Vec::new();
    for entry in [JITTER, OFFSET].iter().flat_map(|key| texts(gaussian, key)) {
        let Some(name) = entry.value().as_str() else {
            continue;
        };
        match (model.needs(name), model.name()) {
            (true, Some(model)) => entry.mistake(format!(
                "{name:?} is a parameter of the model {model}, expected one that the model does not take"
            )),
            (false, _) | (true, None) => taken.push(name),
        }
    }
    let names: Vec<Named<'a>> = names
        .iter()
        .filter(|named| !taken.contains(&named.name))
        .cloned()
        .collect();
    match names.is_empty() {
        true => gaussian
            .refuse("the noise takes all parameters, expected one at least that the model takes"),
        false => Some(names),
    }
}

/// The column of the observation's file that terms go by.
pub(super) fn column<'a>(gaussian: &Section<'a>, observation: &Section<'_>) -> Option<&'a str> {
    if !goes_by_label(gaussian) || observation.get(&PATH).is_none() {
        return None;
    }
    match gaussian.get(&BY) {
        Some(entry) => entry.value().as_str(),
        None => Some(INSTRUMENT),
    }
}

/// Held against the parameters, and against the column of `source`, where that is known, or the data's length.
pub(super) fn noise_terms(
    gaussian: &Section<'_>,
    parameters: &Parameters<'_>,
    source: Option<&Source>,
    n_data: Option<usize>,
) -> Option<NoiseTerms> {
    let labels = match goes_by_label(gaussian) {
        true => labels(gaussian, source, n_data),
        false => gaussian.optional(&BY, |entry| {
            entry.refuse("found it where neither jitter nor offset is a table, expected none")
        }),
    };
    let names: Option<Vec<&str>> = parameters
        .names
        .as_ref()
        .map(|names| names.iter().map(|named| named.name).collect());
    let place = match source.and_then(|source| Some((source, source.label.as_ref()?))) {
        Some((source, column)) => format!("column {} of {}", column.name, source.path.display()),
        None => BY.name.to_owned(),
    };
    let known = Known {
        names: names.as_deref(),
        space: parameters.space.as_ref(),
        labels: labels.as_ref().and_then(Option::as_ref),
        place,
    };
    let jitter = gaussian.optional(&JITTER, |entry| {
        term(entry, &known, |name| known.jitter(name))
    });
    let offset = gaussian.optional(&OFFSET, |entry| term(entry, &known, |_| Ok(())));
    Some(NoiseTerms {
        jitter: jitter?,
        offset: offset?,
        labels: labels?.unwrap_or_default(),
    })
}

/// What terms are held against, as far as it is known.
struct Known<'a> {
    names: Option<&'a [&'a str]>,
    space: Option<&'a ParameterSpace>,
    labels: Option<&'a Labels>,
    /// Of the labels, in words.
    place: String,
}

impl Known<'_> {
    fn name(&self, name: &str) -> Result<(), String> {
        if self.space.is_some_and(ParameterSpace::is_transformed) {
            return Err(format!(
                "found {name:?}, which comes of a prior transform, expected a parameter under [[parameters]]"
            ));
        }
        match self.names {
            Some(names) if !names.contains(&name) => {
                Err(format!("found {name:?}{}", suggestion(name, names)))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Only its square counts, so that a prior on both sides of 0 would give everything twice.
    fn jitter(&self, name: &str) -> Result<(), String> {
        let Some(space) = self.space else {
            return Ok(());
        };
        let mut fixed = space.fixed.iter();
        let fixed = fixed.find(|fixed| fixed.name == name);
        let mut drawn = space.parameters.iter();
        let drawn = drawn.find(|parameter| parameter.name == name);
        let lowest = fixed.map(|fixed| fixed.value);
        match lowest.or_else(|| Some(drawn?.prior.support().0)) {
            Some(lowest) if lowest < 0.0 => Err(format!(
                "the prior of {name} reaches down to {lowest}, expected one from 0 on, as only the square of a jitter counts"
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn label(&self, label: &str) -> Result<(), String> {
        let Some(labels) = self.labels else {
            return Ok(());
        };
        let distinct = labels.distinct();
        if distinct.iter().any(|other| other == label) {
            return Ok(());
        }
        let shown: Vec<&str> = distinct
            .iter()
            .take(MAX_SHOWN)
            .map(String::as_str)
            .collect();
        let more = match distinct.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let found = shown.join(", ");
        Err(format!(
            "no row has {label:?} in {}, found {found}{more}",
            self.place
        ))
    }
}

fn term(
    entry: &Entry<'_>,
    known: &Known<'_>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Option<NoiseTerm> {
    let name = |entry: &Entry<'_>| -> Option<String> {
        let name = entry.text()?;
        entry.accept(known.name(name).and_then(|()| check(name)))?;
        Some(name.to_owned())
    };
    if entry.is_text() {
        return name(entry).map(NoiseTerm::One);
    }
    if !entry.value().is_table() {
        return entry.wrong_type(&entry.expected());
    }
    let section = entry.section()?;
    let mut found = Vec::new();
    for (label, entry) in section.entries() {
        let named = name(&entry);
        let label = entry.accept(known.label(label)).map(|()| label.to_owned());
        found.push(label.zip(named));
    }
    if found.is_empty() {
        return entry.refuse(format!(
            "found an empty table, expected {}",
            entry.expected()
        ));
    }
    let name_by_label: Option<BTreeMap<String, String>> = found.into_iter().collect();
    name_by_label.map(NoiseTerm::ByLabel)
}

/// One a datum: what stands in the file's column, or in the campaign file. `Some(None)` where the observation could not be read.
fn labels(
    gaussian: &Section<'_>,
    source: Option<&Source>,
    n_data: Option<usize>,
) -> Option<Option<Labels>> {
    if let Some(source) = source
        && source.label.is_some()
    {
        return Some(Some(source.labels.clone().into()));
    }
    let given = gaussian.get(&BY).filter(|entry| !entry.is_text());
    let Some(entry) = given else {
        if n_data.is_none() {
            return Some(None);
        }
        const EXPECTED: &str = "a list of texts, one a datum, as there is no file of the observation with such a column";
        return match gaussian.get(&BY) {
            Some(entry) => entry.wrong_type(EXPECTED),
            None => gaussian.require(&BY, EXPECTED).and(None),
        };
    };
    let labels = entry.each(&entry.expected(), |item| item.text().map(str::to_owned))?;
    match n_data {
        Some(n) if labels.len() != n => entry.refuse(format!(
            "found {} texts, expected {n}, one a datum",
            labels.len()
        )),
        Some(_) | None => Some(Some(labels.into())),
    }
}

fn goes_by_label(gaussian: &Section<'_>) -> bool {
    let is_table = |key: &Key| {
        let entry = gaussian.get(key);
        entry.is_some_and(|entry| entry.value().is_table())
    };
    [JITTER, OFFSET].iter().any(is_table)
}

/// What may be a parameter's name.
fn texts<'a>(gaussian: &Section<'a>, key: &Key) -> Vec<Entry<'a>> {
    let Some(entry) = gaussian.get(key) else {
        return Vec::new();
    };
    match entry.value().is_table() {
        true => entry.section().map_or_else(Vec::new, |section| {
            section.entries().map(|(_, entry)| entry).collect()
        }),
        false => vec![entry],
    }
}
