//! `[noise]`: where the standard deviations come from.

use super::choices::{Choice, Named};
use super::document::{Entry, Section};
use super::external;
use super::keys::file::NOISE;
use super::keys::noise as key;
use super::keys::noise::{GAUSSIAN, GAUSSIAN_WORDS, HIGH, LOW, OBSERVED, OPTIONS, PYTHON, SIGMA};
use super::parameters::bounds;
use super::rows::{Width, rows_of_numbers};
use crate::campaign::external::ExternalNoise;
use crate::campaign::{Expected, Observation, SigmaSource};
use std::path::Path;

/// `noise.python` with its options; `Some(None)` where there is none.
pub(super) fn training_noise(
    root: &Section<'_>,
    directory: &Path,
    recorded: bool,
) -> Option<Option<ExternalNoise>> {
    let Some(section) = root.get(&NOISE).and_then(|entry| entry.section()) else {
        return Some(None);
    };
    let Some(python) = section.get(&PYTHON) else {
        for entry in OPTIONS.iter().filter_map(|key| section.get(key)) {
            entry.mistake("expected none without noise.python");
        }
        return Some(None);
    };
    let noise = external::noise(&section, &python, directory, recorded);
    match section.get(&GAUSSIAN) {
        Some(gaussian) => gaussian.refuse(
            "found gaussian and python, expected one of them: with python the likelihood is that of the observation's own \
             errors",
        ),
        None => noise.map(Some),
    }
}

/// Whether a function in Python adds the noise of training.
pub(super) fn is_python(root: &Section<'_>) -> bool {
    let section = root.get(&NOISE).and_then(|entry| entry.section());
    section.is_some_and(|section| section.get(&PYTHON).is_some())
}

/// `noise.gaussian`; None where `noise` is missing and may be, or is wrong, or a function adds it.
pub(super) fn gaussian_section<'a>(
    root: &Section<'a>,
    has_observation: bool,
) -> Option<Section<'a>> {
    if is_python(root) || (root.get(&NOISE).is_none() && has_observation) {
        return None;
    }
    const EXPECTED: &str =
        "[noise] with gaussian = { sigma = ... } or python = \"noise.py:add_noise\"";
    let noise = root.require(&NOISE, EXPECTED)?.checked_section()?;
    let gaussian = noise.require(&GAUSSIAN, GAUSSIAN_WORDS)?;
    gaussian.checked_section()
}

/// The standard deviations that `sigma` describes, held against the observation and the data's length where they are known;
/// `constant` is what was read of it where it is a number.
pub(super) fn sigma_source(
    sigma: &Entry<'_>,
    constant: Option<f64>,
    directory: &Path,
    observation: Option<&Option<Observation>>,
    n_data: Option<usize>,
) -> Option<SigmaSource> {
    Some(if sigma.is_text() {
        if sigma.text()? != OBSERVED {
            return sigma.wrong_type(&SIGMA.takes.words());
        }
        if matches!(observation, Some(None)) {
            let expected = SIGMA.takes.words();
            return sigma.refuse(format!(
                "{OBSERVED:?} needs an [observation], expected {expected}"
            ));
        }
        SigmaSource::Observed
    } else if sigma.is_number() {
        let constant = constant?;
        let observed = observation.and_then(Option::as_ref);
        let mut observed = observed
            .into_iter()
            .flat_map(|data| &data.sigma)
            .enumerate();
        if let Some((i, other)) = observed.find(|(_, observed)| **observed != constant) {
            return sigma.refuse(format!(
                "{constant} is not the observation's own sigma, {other} in row {i}, expected {OBSERVED:?}"
            ));
        }
        SigmaSource::Constant(constant)
    } else if sigma.value().is_table() {
        let (kind, entry) = sigma.variant()?;
        let range = || bounds(&entry.checked_section()?, &LOW, &HIGH);
        match kind {
            DrawnSigma::Uniform => {
                let (low, high) = range()?;
                SigmaSource::Uniform { low, high }
            }
            DrawnSigma::LogUniform => {
                let (low, high) = range()?;
                SigmaSource::LogUniform { low, high }
            }
            DrawnSigma::Table => SigmaSource::Table(sigma_table(&entry, directory, n_data)?),
        }
    } else {
        return sigma.refuse(format!("expected {}", SIGMA.takes.words()));
    })
}

/// Rows of error bars, from a file or in place.
fn sigma_table(
    entry: &Entry<'_>,
    directory: &Path,
    n_data: Option<usize>,
) -> Option<Vec<Vec<f64>>> {
    let width = n_data.map(|n| Width {
        n,
        what: "sigmas",
        reason: "the data's length",
    });
    let rows = rows_of_numbers(entry, directory, Expected::Positive, width)?;
    match rows.is_empty() {
        true => entry.refuse("found no rows, expected at least one row of sigmas"),
        false => Some(rows),
    }
}

/// Where sigma comes from that is drawn anew for each simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrawnSigma {
    Uniform,
    LogUniform,
    Table,
}

impl Choice for DrawnSigma {
    const NAMED: Named<Self> = &[
        (key::UNIFORM.name, Self::Uniform),
        (key::LOG_UNIFORM.name, Self::LogUniform),
        (key::TABLE.name, Self::Table),
    ];
}
