//! Models that run in processes of their own: functions in Python, and programs in any language.

use crate::base::files::{self, FileError, sha256_hex};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A model in processes of its own, as a campaign describes it. How they are talked to stands in `docs/children.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalModel {
    /// What is run.
    pub program: Program,
    /// SHA-256 of the files that the functions or the program are in, and of what they are called; what they import is no
    /// part of it, and of modules that are named in place of files it is the name alone.
    pub digest: String,
    /// Rows of each call of a vectorized function; 0: one row a call.
    pub block: u32,
    /// Whether numpy's and Python's global generators are seeded for each call.
    pub global_rng: bool,
    /// Seconds that one row may take.
    pub row_limit_s: f64,
    /// Seconds that a process may take to start and to answer its first batch.
    pub setup_limit_s: f64,
}

/// A function in Python that adds noise to simulated data, in processes of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalNoise {
    /// x, rng -> x with noise
    pub function: PythonFunction,
    /// As [`ExternalModel::digest`].
    pub digest: String,
    /// As [`ExternalModel::block`].
    pub block: u32,
    /// As [`ExternalModel::global_rng`].
    pub global_rng: bool,
    /// As [`ExternalModel::row_limit_s`].
    pub row_limit_s: f64,
    /// As [`ExternalModel::setup_limit_s`].
    pub setup_limit_s: f64,
}

impl ExternalNoise {
    /// `noise.py:add_noise`
    pub fn name(&self) -> String {
        self.function.short_name()
    }

    /// See [`ExternalModel::digest`]; an error where a file cannot be read.
    pub fn found_digest(&self) -> Result<String, FileError> {
        self.function.digest("noise")
    }
}

/// What the processes of a model run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// Functions in Python; there is `simulate` or `log_likelihood`, or both.
    Python {
        /// θ -> x
        simulate: Option<PythonFunction>,
        /// θ -> log p, or θ, x_obs -> log p beside `simulate`
        log_likelihood: Option<PythonFunction>,
        /// u -> θ, u in the unit cube
        prior_transform: Option<PythonFunction>,
    },
    /// A program with its arguments.
    Command {
        /// The first is the program.
        command: Vec<String>,
        /// In which it is started.
        directory: PathBuf,
        /// How it is talked to.
        protocol: Protocol,
        /// Whether it gives x; else it gives the log-likelihood alone.
        simulates: bool,
    },
}

impl Program {
    /// See [`ExternalModel::digest`]; an error where a file cannot be read.
    pub fn digest(&self) -> Result<String, FileError> {
        let mut text = String::new();
        match self {
            Self::Python {
                simulate,
                log_likelihood,
                prior_transform,
            } => {
                let functions = [
                    ("simulate", simulate),
                    ("log_likelihood", log_likelihood),
                    ("prior_transform", prior_transform),
                ];
                for (role, function) in functions {
                    if let Some(function) = function {
                        text.push_str(&function.described(role)?);
                    }
                }
            }
            Self::Command {
                command, directory, ..
            } => {
                let program = command.first().map_or("", String::as_str);
                // Without a slash it is searched for, and may be another one elsewhere.
                let file = program.contains('/').then(|| directory.join(program));
                text = described("command", &command.join(" "), file.as_deref(), program)?;
            }
        }
        Ok(sha256_hex(text.as_bytes()))
    }
}

/// A line of what a digest is made of.
fn described(
    role: &str,
    name: &str,
    file: Option<&Path>,
    place: &str,
) -> Result<String, FileError> {
    let content = match file {
        Some(path) => sha256_hex(&files::read(path, files::MOST_DATA_BYTES)?),
        None => place.to_owned(),
    };
    Ok(format!("{role} {name:?} {content:?}\n"))
}

/// Where a function in Python is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonFunction {
    /// An absolute path to a file that ends in `.py` or `.pkl`, or the name of a module.
    pub place: String,
    /// Of the function.
    pub name: String,
}

impl PythonFunction {
    /// `place:name`; None where this is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, name) = text.rsplit_once(':')?;
        let is_identifier = |part: &str| {
            let mut characters = part.chars();
            let first = characters
                .next()
                .is_some_and(|c| c.is_alphabetic() || c == '_');
            first && characters.all(|c| c.is_alphanumeric() || c == '_')
        };
        let is_file = PYTHON_FILES.iter().any(|end| place.ends_with(end));
        let is_place = is_file || place.split('.').all(is_identifier);
        (is_place && is_identifier(name)).then(|| Self {
            place: place.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Whether it is in a file that is named, rather than in a module.
    pub fn is_in_file(&self) -> bool {
        PYTHON_FILES.iter().any(|end| self.place.ends_with(end))
    }

    /// `place:name`
    pub fn text(&self) -> String {
        format!("{}:{}", self.place, self.name)
    }

    /// The same, of a file its name alone.
    pub fn short_name(&self) -> String {
        format!("{}:{}", short(&self.place), self.name)
    }

    /// Of this function alone, in its role.
    pub(crate) fn digest(&self, role: &str) -> Result<String, FileError> {
        Ok(sha256_hex(self.described(role)?.as_bytes()))
    }

    fn described(&self, role: &str) -> Result<String, FileError> {
        let file = self.is_in_file().then(|| Path::new(&self.place));
        described(role, &self.name, file, &self.place)
    }
}

/// The name of a file, without its folders.
pub(crate) fn short(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or(path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What the names of files with functions end in.
const PYTHON_FILES: [&str; 2] = [".py", ".pkl"];

/// How a program is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Streams of Arrow record batches on two descriptors of their own.
    Arrow,
    /// A line of numbers a row each way, on standard input and output.
    Lines,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_places_with_names() {
        let parsed = |text: &str| {
            PythonFunction::parse(text).map(|function| (function.is_in_file(), function.text()))
        };
        for (text, is_in_file) in [
            ("model.py:simulate", true),
            ("../a b/model.py:simulate", true),
            ("/tmp/1.pkl:f", true),
            ("models.rv:log_likelihood", false),
            ("rv:_f2", false),
        ] {
            assert_eq!(parsed(text), Some((is_in_file, text.to_owned())));
        }
        for text in [
            "",
            "model.py",
            "model.py:",
            ":f",
            "a-b:f",
            "model.py:a.b",
            "model.py:2",
            "a..b:f",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
