//! The directory of a catalogue's results: what they were made with, and the results of each target, whole or not at all.
//!
//! ```text
//! catalogue.json                              what all results were made with, written first
//! posteriors/target=ID/posterior.parquet      the weighted draws of a target
//! targets/ID.json                             its row, written after its draws: then it is done
//! catalogue.parquet, catalogue.html           the rows of all targets, written last
//! ```
//!
//! What a target comes to depends on its id, its observation and what is in `catalogue.json` alone. So a run that was
//! killed goes on with the targets that are not done, and a catalogue that has grown with those that are new.

use crate::campaign_directory::POSTERIOR_FILE;
use crate::exit::CommandError;
use serde::{Deserialize, Serialize};
use sidereal_inference::base::{TargetId, files};
use sidereal_inference::campaign::{Observation, Target};
use sidereal_inference::records::{CatalogueRow, StoredFile};
use sidereal_inference::space::ParameterSpace;
use sidereal_predict::{Predicted, predicted_row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const IDENTITY_FILE: &str = "catalogue.json";
const IDENTITY_FORMAT: &str = "sidereal-catalogue";
const RECORDS: &str = "targets";
const RECORD_FORMAT: &str = "sidereal-target";
const VERSION: u32 = 1;
/// Of an id as part of a file's name: file systems allow 255 with all that is around it.
const MOST_NAME_BYTES: usize = 150;
/// Targets that are named in a message.
const MOST_NAMED: usize = 3;

/// What all results of a directory were made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Of `model.json`, which has that of the weights.
    pub model_sha256: String,
    pub seed: u64,
    pub n_eff: f64,
    pub simulations: u64,
}

#[derive(Serialize, Deserialize)]
struct IdentityDocument {
    format: String,
    version: u32,
    #[serde(flatten)]
    identity: Identity,
}

/// A target that is done.
#[derive(Serialize, Deserialize)]
struct Record {
    format: String,
    version: u32,
    observation_sha256: String,
    posterior: StoredFile,
    row: CatalogueRow,
}

/// Where results are written, by one command at a time.
pub struct CatalogueDirectory {
    root: PathBuf,
}

impl CatalogueDirectory {
    /// A new or empty directory, or one whose results were made with the same.
    pub fn open(root: &Path, identity: &Identity) -> Result<Self, CommandError> {
        let path = root.join(IDENTITY_FILE);
        if path.exists() {
            let found = read_identity(&path)?;
            let differences = differences(&found, identity);
            if !differences.is_empty() {
                return Err(CommandError::UnusableInput(format!(
                    "{}: holds results that were made with another {} (choose another directory with --out)",
                    root.display(),
                    differences.join("; another ")
                )));
            }
        } else {
            check_empty(root)?;
            let document = IdentityDocument {
                format: IDENTITY_FORMAT.to_owned(),
                version: VERSION,
                identity: identity.clone(),
            };
            files::create_dir_all(root).map_err(CommandError::unusable)?;
            write_json(&path, &document).map_err(CommandError::unusable)?;
        }
        let records = root.join(RECORDS);
        files::create_dir_all(&records).map_err(CommandError::unusable)?;
        for folder in [root, &records] {
            files::remove_temporaries(folder).map_err(CommandError::failed)?;
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Why there can be no results of a target of this id.
    pub fn mistake(id: &TargetId) -> Option<String> {
        let name = file_name(id);
        match name.len() {
            0 => Some("found an empty id, expected a name or a number".to_owned()),
            n if n > MOST_NAME_BYTES => Some(format!(
                "its id has {n} bytes as the name of a file, expected at most {MOST_NAME_BYTES}"
            )),
            _ => None,
        }
    }

    /// The rows of targets that are done. Refuses results of targets that the catalogue does not have, or has with other
    /// data; what is left of targets that are not done is removed.
    pub fn finished(
        &self,
        targets: &[Target],
    ) -> Result<BTreeMap<TargetId, CatalogueRow>, CommandError> {
        let mut left = self.record_names()?;
        let mut row_by_id = BTreeMap::new();
        let mut changed = Vec::new();
        for target in targets {
            let name = file_name(&target.id);
            let record = match left.remove(&name) {
                true => self.record(&name),
                false => None,
            };
            let Some(record) = record.filter(|record| record.row.target == target.id) else {
                self.remove_rest(&name)?;
                continue;
            };
            let found = target.observation.as_ref().map(Observation::sha256);
            if found.as_ref() != Ok(&record.observation_sha256) {
                changed.push(target.id.to_string());
            } else if self.is_whole(&record.posterior) {
                row_by_id.insert(target.id.clone(), record.row);
            } else {
                self.remove_rest(&name)?;
            }
        }
        for (ids, what) in [
            (changed, "whose data are not what they were"),
            (
                left.into_iter().collect(),
                "that the catalogue does not have",
            ),
        ] {
            if !ids.is_empty() {
                return Err(CommandError::UnusableInput(format!(
                    "{}: holds results of {} {what}: {} (choose another directory with --out)",
                    self.root.display(),
                    crate::words::number_of(ids.len(), "target"),
                    named(&ids)
                )));
            }
        }
        Ok(row_by_id)
    }

    /// Writes the draws of a target, and then that it is done.
    pub fn write(
        &self,
        id: &TargetId,
        observation: &Observation,
        predicted: &Predicted,
        space: &ParameterSpace,
    ) -> Result<CatalogueRow, CommandError> {
        let name = file_name(id);
        let relative = posterior_path(&name);
        let path = self.root.join(&relative);
        let posterior = &predicted.posterior;
        let bytes = posterior
            .encode(space, &path)
            .map_err(CommandError::failed)?;
        files::create_dir_all(path.parent().unwrap_or(&self.root)).map_err(CommandError::failed)?;
        files::write_atomically(&path, &bytes).map_err(CommandError::failed)?;
        let row = predicted_row(id, observation.len() as u64, predicted, relative.clone());
        let record = Record {
            format: RECORD_FORMAT.to_owned(),
            version: VERSION,
            observation_sha256: observation.sha256(),
            posterior: StoredFile {
                path: relative,
                sha256: files::sha256_hex(&bytes),
                n_bytes: bytes.len() as u64,
            },
            row,
        };
        write_json(&self.record_path(&name), &record).map_err(CommandError::failed)?;
        Ok(record.row)
    }

    /// Names of all targets that are done, as file names have them.
    fn record_names(&self) -> Result<BTreeSet<String>, CommandError> {
        let folder = self.root.join(RECORDS);
        let failed = |source| CommandError::failed(files::FileError::new("list", &folder, source));
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            names.extend(name.strip_suffix(".json").map(str::to_owned));
        }
        Ok(names)
    }

    /// None where it is damaged.
    fn record(&self, name: &str) -> Option<Record> {
        let bytes = files::read(&self.record_path(name), files::MOST_TEXT_BYTES).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        let is_ours = record.format == RECORD_FORMAT && record.version == VERSION;
        is_ours.then_some(record)
    }

    /// Whether the draws are those that were written.
    fn is_whole(&self, posterior: &StoredFile) -> bool {
        let found = files::read(&self.root.join(&posterior.path), posterior.n_bytes);
        found.is_ok_and(|bytes| files::sha256_hex(&bytes) == posterior.sha256)
    }

    /// Removes what there is of a target that is not done: first that it is done, then its draws.
    fn remove_rest(&self, name: &str) -> Result<(), CommandError> {
        let record = self.record_path(name);
        let posterior = self.root.join(posterior_path(name));
        let folder = posterior.parent().unwrap_or(&posterior);
        let removed = match record.exists() {
            true => std::fs::remove_file(&record),
            false => Ok(()),
        };
        removed.map_err(|source| {
            CommandError::failed(files::FileError::new("remove", &record, source))
        })?;
        let removed = match folder.exists() {
            true => std::fs::remove_dir_all(folder),
            false => Ok(()),
        };
        removed
            .map_err(|source| CommandError::failed(files::FileError::new("remove", folder, source)))
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.root.join(RECORDS).join(format!("{name}.json"))
    }
}

/// Of a target's draws, relative to the root.
fn posterior_path(name: &str) -> String {
    format!("posteriors/target={name}/{POSTERIOR_FILE}")
}

/// An id as part of a file's name, as readers of partitioned tables take it apart again: all but letters, digits and
/// some signs is a `%` and two hexadecimal digits.
fn file_name(id: &TargetId) -> String {
    let mut name = String::new();
    for byte in id.to_string().bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'_' | b'-' | b'+' => {
                name.push(char::from(byte));
            }
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    name
}

/// `a, b, c and 4 more`
fn named(ids: &[String]) -> String {
    let first: Vec<&str> = ids.iter().take(MOST_NAMED).map(String::as_str).collect();
    let more = match ids.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{}{more}", first.join(", "))
}

fn read_identity(path: &Path) -> Result<Identity, CommandError> {
    let bytes = files::read(path, files::MOST_TEXT_BYTES).map_err(CommandError::unusable)?;
    let refused = |reason: String| CommandError::unusable(format!("{}: {reason}", path.display()));
    let document: IdentityDocument =
        serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
    match (document.format.as_str(), document.version) {
        (IDENTITY_FORMAT, VERSION) => Ok(document.identity),
        (format, version) => Err(refused(format!(
            "found format {format:?} version {version}, expected {IDENTITY_FORMAT:?} version {VERSION}"
        ))),
    }
}

/// What is not the same, with what was found and what is asked for.
fn differences(found: &Identity, asked: &Identity) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, found: String, asked: String| {
        if found != asked {
            differences.push(format!("{what}: found {found}, asked for {asked}"));
        }
    };
    let model = |identity: &Identity| format!("SHA-256 {}", identity.model_sha256);
    compare("model", model(found), model(asked));
    compare("--seed", found.seed.to_string(), asked.seed.to_string());
    compare("--n-eff", found.n_eff.to_string(), asked.n_eff.to_string());
    compare(
        "--simulations",
        found.simulations.to_string(),
        asked.simulations.to_string(),
    );
    differences
}

fn check_empty(root: &Path) -> Result<(), CommandError> {
    if !root.exists() {
        return Ok(());
    }
    let failed = |source| CommandError::unusable(files::FileError::new("list", root, source));
    for entry in std::fs::read_dir(root).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !files::is_temporary(&name.to_string_lossy()) {
            return Err(CommandError::UnusableInput(format!(
                "{}: holds files that are no catalogue's results, expected a new or an empty directory, or that of a catalogue \
                 (choose it with --out)",
                root.display()
            )));
        }
    }
    Ok(())
}

fn write_json(path: &Path, document: &impl Serialize) -> Result<(), Box<dyn std::error::Error>> {
    let mut json = serde_json::to_string_pretty(document)?;
    json.push('\n');
    Ok(files::write_atomically(path, json.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            model_sha256: "ab".to_owned(),
            seed: 3,
            n_eff: 1000.0,
            simulations: 5000,
        }
    }

    #[test]
    fn names_of_files_have_no_signs_of_their_own() {
        let name = |id: &str| file_name(&TargetId::Name(id.to_owned()));
        assert_eq!(name("TIC 12/ä.b-c_d"), "TIC%2012%2F%C3%A4.b-c_d");
        assert_eq!(name("target=1%"), "target%3D1%25");
        assert_eq!(file_name(&TargetId::Number(-7)), "-7");
        let mistake = |id: String| CatalogueDirectory::mistake(&TargetId::Name(id));
        assert_eq!(mistake("x".repeat(150)), None);
        assert_eq!(
            mistake("/".repeat(51)).as_deref(),
            Some("its id has 153 bytes as the name of a file, expected at most 150")
        );
        assert!(mistake(String::new()).is_some());
    }

    #[test]
    fn other_settings_are_refused_by_name() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let root = directory.path().join("out");
        CatalogueDirectory::open(&root, &identity()).expect("new");
        CatalogueDirectory::open(&root, &identity()).expect("the same");
        let other = Identity {
            seed: 4,
            n_eff: 100.0,
            ..identity()
        };
        let refused = CatalogueDirectory::open(&root, &other).map(|_| ());
        assert_eq!(
            refused.expect_err("refused").to_string(),
            format!(
                "{}: holds results that were made with another --seed: found 3, asked for 4; another --n-eff: found 1000, \
                 asked for 100 (choose another directory with --out)",
                root.display()
            )
        );
    }

    #[test]
    fn directories_of_others_are_left_alone() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let root = directory.path();
        std::fs::write(root.join(".catalogue.json.1.0.tmp"), "{").expect("write");
        CatalogueDirectory::open(root, &identity()).expect("nothing of others");
        assert!(!root.join(".catalogue.json.1.0.tmp").exists());
        std::fs::remove_file(root.join(IDENTITY_FILE)).expect("remove");
        let refused = CatalogueDirectory::open(root, &identity()).map(|_| ());
        let message = refused.expect_err("others' files").to_string();
        assert!(
            message.contains("holds files that are no catalogue's results"),
            "{message}"
        );
        std::fs::write(root.join(IDENTITY_FILE), "{}").expect("write");
        let refused = CatalogueDirectory::open(root, &identity()).map(|_| ());
        let message = refused.expect_err("no identity").to_string();
        assert!(
            message.contains("catalogue.json: missing field"),
            "{message}"
        );
    }
}
