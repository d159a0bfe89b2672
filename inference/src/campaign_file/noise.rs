//! `[noise]`: where the standard deviations come from.

use super::choices::DrawnSigma;
use super::document::{Entry, Section};
use super::keys::file::NOISE;
use super::keys::noise::{GAUSSIAN, HIGH, LOW, OBSERVED, SIGMA};
use super::observation::numbers;
use super::parameters::bounds;
use crate::files;
use crate::noise::{GaussianNoise, SigmaSource};
use crate::observation::{Expected, FileMistakes, Observation, Place, parse_number, rows};
use std::path::Path;

/// `noise.gaussian.sigma`; None where `noise` is missing and may be, or is wrong.
pub(super) fn sigma_entry<'a>(root: &Section<'a>, has_observation: bool) -> Option<Entry<'a>> {
    if root.get(&NOISE).is_none() && has_observation {
        return None;
    }
    const EXPECTED: &str = "[noise] with gaussian = { sigma = ... }";
    let noise = root.require(&NOISE, EXPECTED)?.checked_section()?;
    let gaussian = noise.require(&GAUSSIAN, &GAUSSIAN.takes.words())?;
    let gaussian = gaussian.checked_section()?;
    gaussian.require(&SIGMA, &SIGMA.takes.words())
}

/// The noise that `sigma` describes, held against the observation and the data's length where they are known; `constant`
/// is what was read of it where it is a number.
pub(super) fn noise(
    sigma: &Entry<'_>,
    constant: Option<f64>,
    directory: &Path,
    observation: Option<&Option<Observation>>,
    n_data: Option<usize>,
) -> Option<GaussianNoise> {
    let sigma = if sigma.is_text() {
        if sigma.text()? != OBSERVED {
            return sigma.wrong_type(&SIGMA.takes.words());
        }
        if matches!(observation, Some(None)) {
            sigma.mistake(format!(
                "{OBSERVED:?} needs an [observation], expected {}",
                SIGMA.takes.words()
            ));
            return None;
        }
        SigmaSource::Observed
    } else if sigma.is_number() {
        let constant = constant?;
        if let Some(Some(observation)) = observation
            && let Some(i) = observation
                .sigma
                .iter()
                .position(|&observed| observed != constant)
        {
            sigma.mistake(format!(
                "{constant} is not the observation's own sigma, {} in row {i}, expected {OBSERVED:?}",
                observation.sigma[i]
            ));
            return None;
        }
        SigmaSource::Constant(constant)
    } else if sigma.is_table() {
        let (kind, entry) = sigma.variant()?;
        match kind {
            DrawnSigma::Uniform => {
                let (low, high) = bounds(&entry.checked_section()?, &LOW, &HIGH)?;
                SigmaSource::Uniform { low, high }
            }
            DrawnSigma::LogUniform => {
                let (low, high) = bounds(&entry.checked_section()?, &LOW, &HIGH)?;
                SigmaSource::LogUniform { low, high }
            }
            DrawnSigma::Table => SigmaSource::Table(sigma_table(&entry, directory, n_data)?),
        }
    } else {
        sigma.mistake(format!("expected {}", SIGMA.takes.words()));
        return None;
    };
    Some(GaussianNoise { sigma })
}

/// Rows of error bars, from a file or in place.
fn sigma_table(
    entry: &Entry<'_>,
    directory: &Path,
    n_data: Option<usize>,
) -> Option<Vec<Vec<f64>>> {
    let rows = if entry.is_array() {
        let rows: Vec<Option<Vec<f64>>> = entry
            .items("a list of rows")?
            .iter()
            .map(|row| sigmas(row, n_data))
            .collect();
        rows.into_iter().collect::<Option<Vec<_>>>()?
    } else {
        let path = directory.join(entry.text()?);
        let bytes = match files::read(&path, files::MOST_DATA_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => {
                entry.mistake(error);
                return None;
            }
        };
        let mut mistakes = FileMistakes::new(&path);
        let rows = parse_sigma_table(&bytes, n_data, &mut mistakes);
        if !mistakes.is_empty() {
            entry.add_foreign(mistakes.into_messages());
            return None;
        }
        rows
    };
    if rows.is_empty() {
        entry.mistake("found no rows, expected at least one row of sigmas");
        return None;
    }
    Some(rows)
}

/// One row a line, without a header.
fn parse_sigma_table(
    bytes: &[u8],
    n_data: Option<usize>,
    mistakes: &mut FileMistakes,
) -> Vec<Vec<f64>> {
    let mut table = Vec::new();
    for (line, fields) in rows(bytes) {
        let line = Place::Line(line);
        let fields = match fields {
            Ok(fields) => fields,
            Err(message) => {
                mistakes.add(line, message);
                continue;
            }
        };
        if let Some(n_data) = n_data
            && fields.len() != n_data
        {
            mistakes.add(
                line,
                format!(
                    "found {} sigmas, expected {n_data}, the data's length",
                    fields.len()
                ),
            );
            continue;
        }
        let mut row = Vec::new();
        for (j, field) in fields.iter().enumerate() {
            match parse_number(field, Expected::Positive) {
                Ok(sigma) => row.push(sigma),
                Err(message) => mistakes.add(line, format!("column {}: {message}", j + 1)),
            }
        }
        table.push(row);
    }
    table
}

fn sigmas(entry: &Entry<'_>, n_data: Option<usize>) -> Option<Vec<f64>> {
    let sigmas = numbers(entry, Expected::Positive)?;
    if let Some(n_data) = n_data
        && sigmas.len() != n_data
    {
        entry.mistake(format!(
            "found {} sigmas, expected {n_data}, the data's length",
            sigmas.len()
        ));
        return None;
    }
    Some(sigmas)
}
