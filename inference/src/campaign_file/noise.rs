//! `[noise]`: where the standard deviations come from.

use super::document::{Entry, Section};
use super::observation::numbers;
use crate::files;
use crate::noise::{GaussianNoise, SigmaSource};
use crate::observation::{Expected, FileMistakes, Observation, Place, parse_number, rows};
use std::path::Path;

const SIGMA_EXPECTED: &str = "\"observed\", a positive number, or { uniform = { low, high } }, \
                              { log_uniform = { low, high } } or { table = \"sigmas.csv\" }";

/// `noise.gaussian.sigma`; None where `noise` is missing and may be, or is wrong.
pub(super) fn sigma_entry<'a>(root: &Section<'a>, has_observation: bool) -> Option<Entry<'a>> {
    if root.get("noise").is_none() && has_observation {
        return None;
    }
    const EXPECTED: &str = "[noise] with gaussian = { sigma = ... }";
    let noise = root.require("noise", EXPECTED)?.section()?;
    noise.check_keys(&["gaussian"]);
    let gaussian = noise
        .require("gaussian", "a table { sigma = ... }")?
        .section()?;
    gaussian.check_keys(&["sigma"]);
    gaussian.require("sigma", SIGMA_EXPECTED)
}

/// The noise that `sigma` describes, held against the observation and the data's length where they are known.
pub(super) fn noise(
    sigma: &Entry<'_>,
    directory: &Path,
    observation: Option<&Option<Observation>>,
    n_data: Option<usize>,
) -> Option<GaussianNoise> {
    let sigma = if sigma.is_text() {
        match sigma.text()? {
            "observed" if matches!(observation, Some(None)) => {
                sigma.mistake(format!(
                    "\"observed\" needs an [observation], expected {SIGMA_EXPECTED}"
                ));
                return None;
            }
            "observed" => SigmaSource::Observed,
            other => {
                sigma.mistake(format!("found {other:?}, expected {SIGMA_EXPECTED}"));
                return None;
            }
        }
    } else if sigma.is_number() {
        let constant = sigma.positive()?;
        if let Some(Some(observation)) = observation
            && let Some(i) = observation
                .sigma
                .iter()
                .position(|&observed| observed != constant)
        {
            sigma.mistake(format!(
                "{constant} is not the observation's own sigma, {} in row {i}, expected \"observed\"",
                observation.sigma[i]
            ));
            return None;
        }
        SigmaSource::Constant(constant)
    } else if sigma.is_table() {
        let (kind, entry) = sigma.variant(&["uniform", "log_uniform", "table"], SIGMA_EXPECTED)?;
        match kind {
            "uniform" => {
                let (low, high) = sigma_range(&entry)?;
                SigmaSource::Uniform { low, high }
            }
            "log_uniform" => {
                let (low, high) = sigma_range(&entry)?;
                SigmaSource::LogUniform { low, high }
            }
            _ => SigmaSource::Table(sigma_table(&entry, directory, n_data)?),
        }
    } else {
        sigma.mistake(format!("expected {SIGMA_EXPECTED}"));
        return None;
    };
    Some(GaussianNoise { sigma })
}

fn sigma_range(entry: &Entry<'_>) -> Option<(f64, f64)> {
    let section = entry.section()?;
    section.check_keys(&["low", "high"]);
    let positive = |name: &str| {
        section
            .require(name, "a positive number")
            .and_then(|entry| entry.positive())
    };
    let (low, high) = (positive("low"), positive("high"));
    let (low, high) = (low?, high?);
    if low >= high {
        section.mistake(format!("low {low} is not below high {high}"));
        return None;
    }
    Some((low, high))
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
