//! The observations of `sidereal predict`, checked before anything runs, and where their results go.

use super::{FORMAT, PredictArguments};
use crate::campaign_directory::SUMMARY_FILE;
use crate::exit::CommandError;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::files;
use sidereal_inference::noise::{GaussianNoise, Noise, SigmaSource};
use sidereal_inference::observation::Observation;
use sidereal_models::Catalogue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An observation that fits the model, and where its results go.
pub struct Target {
    pub path: PathBuf,
    pub observation: Observation,
    pub directory: PathBuf,
}

/// All observations, checked before anything runs; every mistake is told.
pub fn targets(
    arguments: &PredictArguments,
    campaign: &Campaign,
    models: &Catalogue,
) -> Result<Vec<Target>, CommandError> {
    let constant = match &campaign.noise {
        Noise::Gaussian(GaussianNoise { sigma }) => match sigma {
            SigmaSource::Constant(sigma) => Some(*sigma),
            SigmaSource::Observed
            | SigmaSource::Uniform { .. }
            | SigmaSource::LogUniform { .. }
            | SigmaSource::Table(_) => None,
        },
        Noise::Simulator => None,
    };
    let declaration = models
        .declaration_of(&campaign.simulator)
        .map_err(CommandError::unusable)?;
    let errors = declaration.errors(constant);
    let mut reading = campaign.reading.clone();
    if let Some(columns) = &arguments.columns {
        reading.columns =
            campaign_file::parse_columns(columns, "--columns").map_err(CommandError::unusable)?;
    }
    let mut targets = Vec::with_capacity(arguments.observations.len());
    let mut mistakes: Vec<String> = Vec::new();
    let mut path_by_directory: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    for path in &arguments.observations {
        let observation = match Observation::read(path, errors, &reading) {
            Ok((observation, _)) => observation,
            Err(error) => {
                mistakes.push(error.to_string());
                continue;
            }
        };
        if let Some(mistake) = grid_mistake(&observation.grid, &campaign.simulator.grid) {
            mistakes.push(format!("{}: {mistake}", path.display()));
            continue;
        }
        let options = &campaign.simulator.options;
        if let Some(mistake) = declaration.impossible_datum(options, &observation.value) {
            mistakes.push(format!("{}: {mistake}", path.display()));
            continue;
        }
        let directory = arguments.out.join(path.file_stem().unwrap_or_default());
        if let Some(other) = path_by_directory.insert(directory.clone(), path) {
            mistakes.push(format!(
                "{} and {} would both write to {}, expected files of different names",
                other.display(),
                path.display(),
                directory.display()
            ));
        }
        if let Some(mistake) = directory_mistake(&directory) {
            mistakes.push(mistake);
        }
        targets.push(Target {
            path: path.clone(),
            observation,
            directory,
        });
    }
    if mistakes.is_empty() {
        Ok(targets)
    } else {
        Err(CommandError::UnusableInput(mistakes.join("\n")))
    }
}

/// How an observation's grid differs from the model's, beyond rounding in decimal files.
fn grid_mistake(found: &[f64], expected: &[f64]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!(
            "found {} data, the model was trained on {}",
            found.len(),
            expected.len()
        ));
    }
    let largest = expected
        .iter()
        .fold(0.0_f64, |largest, point| largest.max(point.abs()));
    let differs = |(found, expected): (&f64, &f64)| (found - expected).abs() > 1e-9 * largest;
    let row = found.iter().zip(expected).position(differs)?;
    Some(format!(
        "grid point {row} is {}, the model was trained on {}",
        found[row], expected[row]
    ))
}

/// Results replace earlier predictions and nothing else.
fn directory_mistake(directory: &Path) -> Option<String> {
    let Ok(mut entries) = std::fs::read_dir(directory) else {
        return directory
            .exists()
            .then(|| format!("{}: not a directory", directory.display()));
    };
    let _first = entries.next()?;
    let summary = files::read(&directory.join(SUMMARY_FILE), files::MOST_TEXT_BYTES).ok();
    let is_ours = summary
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
        .is_some_and(|summary| {
            summary.get("format").and_then(serde_json::Value::as_str) == Some(FORMAT)
        });
    (!is_ours).then(|| {
        format!(
            "{}: holds files that are no prediction, expected a new, an empty or a prediction's directory (choose it with --out)",
            directory.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_may_differ_by_rounding_only() {
        let expected = [0.0, 0.333_333_333_333_333_3, 1.0];
        assert_eq!(grid_mistake(&[0.0, 0.333_333_333_33, 1.0], &expected), None);
        let other = grid_mistake(&[0.0, 0.3333, 1.0], &expected).expect("another grid");
        assert!(
            other.starts_with("grid point 1 is 0.3333, the model was trained on 0.33333"),
            "{other}"
        );
        let shorter = grid_mistake(&[0.0, 1.0], &expected);
        assert_eq!(
            shorter.as_deref(),
            Some("found 2 data, the model was trained on 3")
        );
    }

    #[test]
    fn only_own_directories_are_written_over() {
        let root = tempfile::tempdir().expect("temporary directory");
        assert_eq!(directory_mistake(&root.path().join("new")), None);
        assert_eq!(directory_mistake(root.path()), None);
        let summary = root.path().join(SUMMARY_FILE);
        std::fs::write(&summary, r#"{"format": "sidereal-summary"}"#).expect("write");
        assert!(directory_mistake(root.path()).is_some());
        std::fs::write(&summary, r#"{"format": "sidereal-prediction"}"#).expect("write");
        assert_eq!(directory_mistake(root.path()), None);
        assert!(directory_mistake(&summary).is_some());
    }
}
