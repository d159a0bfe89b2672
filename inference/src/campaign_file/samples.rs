//! `prior = { samples = ... }`: densities that are fitted to samples in files, and their correlations.

use super::document::{Entry, Section, suggestion};
use super::keys::samples::{
    COLUMN, CORRELATIONS, DIGEST, HIGH, LOW, PATH, REACH, VALUES, WEIGHT, WEIGHTS,
};
use crate::base::files;
use crate::campaign::{FileMistakes, Place, number_columns};
use crate::space::{Prior, SampledDensity};
use std::path::Path;

/// Files that priors are fitted to, as far as they have been read.
pub(super) struct SampleFiles<'a> {
    /// Of relative paths.
    directory: &'a Path,
    fitted: Vec<Fitted>,
}

/// What later parameters of the same file are correlated with.
struct Fitted {
    digest: String,
    /// None: all count alike.
    weights_column: Option<String>,
    /// In units of a standard normal, of the rows with positive weights.
    scores: Vec<f64>,
}

/// The rows of a column that have positive weights.
struct Rows {
    digest: String,
    weights_column: Option<String>,
    values: Vec<f64>,
    weights: Vec<f64>,
}

impl<'a> SampleFiles<'a> {
    pub fn new(directory: &'a Path) -> Self {
        Self {
            directory,
            fitted: Vec::new(),
        }
    }

    /// The prior of a parameter: as it was written by us, or fitted to its column of a file.
    pub fn prior(&mut self, entry: &Entry<'_>, parameter: Option<&str>) -> Option<Prior> {
        if entry.is_text() {
            return self.fitted(entry, entry.text()?, None, parameter);
        }
        if !entry.value().is_table() {
            return entry.wrong_type(&entry.expected());
        }
        let section = entry.checked_section()?;
        if section.get(&VALUES).is_some() {
            return recorded(&section);
        }
        let path = section.require(&PATH, &PATH.takes.words())?.text()?;
        self.fitted(entry, path, Some(&section), parameter)
    }

    fn fitted(
        &mut self,
        entry: &Entry<'_>,
        path: &str,
        section: Option<&Section<'_>>,
        parameter: Option<&str>,
    ) -> Option<Prior> {
        let text = |key| match section {
            Some(section) => section.optional(key, Entry::text),
            None => Some(None),
        };
        let (column, weights) = (text(&COLUMN), text(&WEIGHTS));
        let bounds = section.map_or(Some((None, None)), bounds);
        let (column, weights, bounds) = (column?.or(parameter)?, weights?, bounds?);
        let path = self.directory.join(path);
        let rows = rows(entry, &path, column, weights, bounds)?;
        let place = |error| format!("column {column} of {}: {error}", path.display());
        let Rows {
            digest,
            weights_column,
            values,
            weights,
        } = rows;
        let mut density = entry.accept(
            SampledDensity::fit(&values, &weights, bounds, digest.clone()).map_err(place),
        )?;
        let prior = Prior::Samples(density.clone());
        let scores: Vec<f64> = values.iter().map(|&x| prior.to_unconstrained(x)).collect();
        for earlier in self
            .fitted
            .iter()
            .filter(|earlier| earlier.digest == digest)
        {
            if earlier.weights_column != weights_column {
                let name = |column: &Option<String>| column.clone().unwrap_or("none".to_owned());
                let (found, expected) = (name(&weights_column), name(&earlier.weights_column));
                return entry.refuse(format!(
                    "found the weights {found}, expected {expected} as of the other parameters with samples in {}",
                    path.display()
                ));
            }
            let correlation = correlation(&earlier.scores, &scores, &weights);
            // Rounding may carry that of a column with itself beyond 1.
            density.correlations.push(correlation.clamp(-1.0, 1.0));
        }
        self.fitted.push(Fitted {
            digest,
            weights_column,
            scores,
        });
        let prior = Prior::Samples(density);
        entry.accept(prior.check().map_err(place))?;
        Some(prior)
    }
}

fn rows(
    entry: &Entry<'_>,
    path: &Path,
    column: &str,
    weights: Option<&str>,
    (low, high): (Option<f64>, Option<f64>),
) -> Option<Rows> {
    let bytes = entry.accept(files::read(path, files::MOST_DATA_BYTES))?;
    let digest = files::sha256_hex(&bytes);
    let weights_column = weights.unwrap_or(WEIGHT);
    let found = match number_columns(path, bytes, &[column, weights_column]) {
        Ok(found) => found,
        Err(mistakes) => {
            entry.add_foreign(mistakes);
            return None;
        }
    };
    let names: Vec<&str> = found.names.iter().map(String::as_str).collect();
    let missing = |name: &str| {
        let hint = suggestion(name, &names);
        format!("{} has no column {name:?}{hint}", path.display())
    };
    let mut columns = found.columns.into_iter();
    let (values, of_rows) = (columns.next().flatten(), columns.next().flatten());
    let Some(values) = values else {
        return entry.refuse(missing(column));
    };
    if let (None, Some(name)) = (&of_rows, weights) {
        return entry.refuse(missing(name));
    }
    let mut mistakes = FileMistakes::new(path);
    let mut rows = Rows {
        digest,
        weights_column: of_rows.is_some().then(|| weights_column.to_owned()),
        values: Vec::new(),
        weights: Vec::new(),
    };
    for (i, &value) in values.iter().enumerate() {
        let weight = of_rows.as_ref().map_or(1.0, |weights| weights[i]);
        let place = Place::Row(i as u64 + 1);
        if !(weight >= 0.0 && weight.is_finite()) {
            let message =
                format!("{weights_column}: found {weight}, expected a number of at least 0");
            mistakes.add(place, message);
        } else if weight > 0.0 {
            let expected = match (low, high) {
                _ if !value.is_finite() => Some("a finite number".to_owned()),
                (Some(low), _) if value <= low => Some(format!("more than low, {low}")),
                (_, Some(high)) if value >= high => Some(format!("less than high, {high}")),
                _ => None,
            };
            match expected {
                Some(expected) => {
                    mistakes.add(
                        place,
                        format!("{column}: found {value}, expected {expected}"),
                    );
                }
                None => {
                    rows.values.push(value);
                    rows.weights.push(weight);
                }
            }
        }
    }
    if !mistakes.is_empty() {
        entry.add_foreign(mistakes.into_messages());
        return None;
    }
    Some(rows)
}

/// As it is written by us.
fn recorded(section: &Section<'_>) -> Option<Prior> {
    let numbers = |key| section.optional(key, Entry::numbers);
    let (values, correlations) = (numbers(&VALUES), numbers(&CORRELATIONS));
    let (reach, bounds) = (section.number(&REACH), bounds(section));
    let digest = section.require(&DIGEST, DIGEST.about)?.text();
    let (low, high) = bounds?;
    let prior = Prior::Samples(SampledDensity {
        low,
        high,
        reach: reach?,
        values: values?.unwrap_or_default(),
        correlations: correlations?.unwrap_or_default(),
        digest: digest?.to_owned(),
    });
    section.accept(prior.check())?;
    Some(prior)
}

fn bounds(section: &Section<'_>) -> Option<(Option<f64>, Option<f64>)> {
    let number = |key| section.optional(key, Entry::number);
    let (low, high) = (number(&LOW), number(&HIGH));
    let (low, high) = (low?, high?);
    match (low, high) {
        (Some(low), Some(high)) if low >= high => {
            section.refuse(format!("low {low} is not below high {high}"))
        }
        (Some(_) | None, Some(_) | None) => Some((low, high)),
    }
}

/// Of weighted pairs, about their means.
fn correlation(a: &[f64], b: &[f64], weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    let mean = |values: &[f64]| -> f64 {
        let pairs = values.iter().zip(weights);
        pairs.map(|(value, weight)| value * weight).sum::<f64>() / total
    };
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut aa, mut ab, mut bb) = (0.0, 0.0, 0.0);
    for ((a, b), weight) in a.iter().zip(b).zip(weights) {
        let (a, b) = (a - mean_a, b - mean_b);
        aa += weight * a * a;
        ab += weight * a * b;
        bb += weight * b * b;
    }
    ab / (aa * bb).sqrt()
}
