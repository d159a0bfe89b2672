//! The observations of `sidereal predict`, checked before anything runs, and where their results go.

use crate::campaign_directory::SUMMARY_FILE;
use crate::exit::CommandError;
use sidereal_inference::base::files;
use sidereal_inference::campaign::Observation;
use sidereal_predict::FORMAT;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An observation that fits the model, and where its results go.
pub struct Target {
    pub path: PathBuf,
    pub observation: Observation,
    pub directory: PathBuf,
}

/// All observations as `read`, before anything runs; every mistake is told.
pub fn targets(
    paths: &[PathBuf],
    out: &Path,
    read: impl Fn(&Path) -> Result<Observation, String>,
) -> Result<Vec<Target>, CommandError> {
    let mut targets = Vec::with_capacity(paths.len());
    let mut mistakes: Vec<String> = Vec::new();
    let mut path_by_directory: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    for path in paths {
        let observation = match read(path) {
            Ok(observation) => observation,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        let directory = out.join(path.file_stem().unwrap_or_default());
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
