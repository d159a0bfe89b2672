//! What children run, what they are told at their start, and how long they may take.

use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What children run and how they are treated.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildSettings {
    /// What is started.
    pub program: Program,
    /// What each child is told at its start.
    pub hello: Hello,
    /// How many children there are at once, at least 1.
    pub n_children: usize,
    /// What one row may take; a block of a vectorized function may take as much for each of its rows. A batch of more rows
    /// (blocks) is expected to take 50 ms, and gets no more time than one.
    pub row_limit: Duration,
    /// What a child may take from its start until it is ready, and once more, beyond the row's limit, for its first batch
    /// (less once others have answered theirs).
    pub setup_limit: Duration,
}

/// What is started, and which protocol it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Functions in Python, which are run by the interpreter; see [`interpreter`].
    Python {
        /// A path, or a name that is looked up in `PATH`.
        interpreter: PathBuf,
    },
    /// A program that speaks Arrow.
    Arrow {
        /// The program and its arguments; one with a slash is relative to `directory`.
        command: Vec<String>,
        /// Where it runs.
        directory: PathBuf,
    },
    /// A program that speaks in lines.
    Lines {
        /// The program and its arguments; one with a slash is relative to `directory`.
        command: Vec<String>,
        /// Where it runs.
        directory: PathBuf,
    },
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python { interpreter } => write!(f, "{}", interpreter.display()),
            Self::Arrow { command, .. } | Self::Lines { command, .. } => {
                write!(f, "{}", command.join(" "))
            }
        }
    }
}

/// What a child is told at its start; each field is as `docs/children.md` says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hello {
    /// Of a program there are none.
    pub functions: Functions,
    /// Names of the parameters, in the order of their columns.
    pub parameters: Vec<String>,
    /// How many values x has; 0 where nothing is simulated.
    pub n_data: usize,
    /// None where there is no observation.
    pub observed: Option<Observed>,
    /// With a prior transform the names of what it gives.
    pub theta: Option<Vec<String>>,
    /// Names of the derived quantities.
    pub blobs: Vec<String>,
    /// How many rows a vectorized function gets at once; 0: one row a call.
    pub block: usize,
    /// Whether numpy's and Python's own generators are set from the row's seed as well.
    pub global_rng: bool,
}

/// Functions in Python, each as `where:name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Functions {
    /// Gives x.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulate: Option<String>,
    /// Gives the log-likelihood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_likelihood: Option<String>,
    /// Maps the unit cube to θ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior_transform: Option<String>,
    /// Adds noise to x; a child with it has no other function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<String>,
}

/// The observation, flattened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observed {
    /// What the values lie on.
    pub grid: Vec<f64>,
    /// The values.
    pub value: Vec<f64>,
    /// Their errors; empty where the model draws its noise.
    pub sigma: Vec<f64>,
}

impl Hello {
    /// How many numbers a row comes with: the parameters, before them x where noise is to be added to it.
    pub(super) fn n_inputs(&self) -> usize {
        let n_data = match &self.functions.noise {
            Some(_) => self.n_data,
            None => 0,
        };
        n_data + self.parameters.len()
    }

    /// Whether each answer must have a log-likelihood.
    pub(super) fn must_give_likelihood(&self) -> bool {
        self.n_data == 0 || (self.functions.log_likelihood.is_some() && self.observed.is_some())
    }

    /// The names of what a prior transform gives.
    pub(super) fn theta_names(&self) -> &[String] {
        self.theta.as_deref().unwrap_or_default()
    }
}

impl ChildSettings {
    /// What no child can be started with.
    pub(super) fn complaint(&self) -> Option<String> {
        if self.n_children == 0 {
            return Some("found 0 children, expected at least 1".to_owned());
        }
        let hello = &self.hello;
        if hello.n_data > i32::MAX as usize {
            return Some(format!(
                "x has {} values, expected at most {}",
                hello.n_data,
                i32::MAX
            ));
        }
        match &self.program {
            Program::Python { .. } => {}
            Program::Arrow { command, .. } | Program::Lines { command, .. } => {
                if command.is_empty() {
                    return Some("found an empty command, expected a program".to_owned());
                }
            }
        }
        if let (Program::Lines { .. }, Some(_)) = (&self.program, &hello.theta) {
            return Some("a program that speaks in lines has no prior transform".to_owned());
        }
        let asked: &[&str] = match &hello.functions.noise {
            Some(_) => &["row_id", "seed", "x"],
            None => &["row_id", "seed"],
        };
        let answered = ["row_id", "x", "log_likelihood", "status", "message"];
        repeated(asked.iter().copied(), &hello.parameters, &[])
            .or_else(|| repeated(answered.iter().copied(), hello.theta_names(), &hello.blobs))
            .map(|name| format!("a column is called {name}, as another one is"))
    }
}

/// The first name that is there twice.
fn repeated<'a>(
    ours: impl Iterator<Item = &'a str>,
    names: &'a [String],
    more: &'a [String],
) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    ours.chain(names.iter().chain(more).map(String::as_str))
        .find(|name| !seen.insert(*name))
}

/// The interpreter of Python models: the given one, else that of the active environment (`VIRTUAL_ENV`, `CONDA_PREFIX`),
/// else `python3`.
pub fn interpreter(given: Option<&Path>) -> PathBuf {
    interpreter_in(given, |name| std::env::var_os(name))
}

fn interpreter_in(given: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(given) = given {
        return given.to_owned();
    }
    let set = |name| variable(name).filter(|value| !value.is_empty());
    match set("VIRTUAL_ENV").or_else(|| set("CONDA_PREFIX")) {
        Some(environment) => Path::new(&environment).join("bin/python"),
        None => PathBuf::from("python3"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_the_given_one_or_that_of_the_active_environment() {
        let both = |name: &str| Some(OsString::from(format!("/{name}")));
        let conda = |name: &str| match name {
            "CONDA_PREFIX" => Some(OsString::from("/conda")),
            _ => Some(OsString::new()),
        };
        let given = Path::new("/opt/python");
        assert_eq!(interpreter_in(Some(given), both), given);
        assert_eq!(
            interpreter_in(None, both),
            Path::new("/VIRTUAL_ENV/bin/python")
        );
        assert_eq!(interpreter_in(None, conda), Path::new("/conda/bin/python"));
        assert_eq!(interpreter_in(None, |_| None), Path::new("python3"));
    }

    #[test]
    fn hello_is_written_as_the_protocol_says() {
        let hello = Hello {
            functions: Functions {
                simulate: Some("/abs/model.py:simulate".to_owned()),
                ..Functions::default()
            },
            parameters: vec!["t0".to_owned(), "u0".to_owned()],
            n_data: 2,
            observed: Some(Observed {
                grid: vec![0.0, 1.0],
                value: vec![1.0, 2.5],
                sigma: vec![0.1, 0.1],
            }),
            theta: None,
            blobs: vec!["mass".to_owned()],
            block: 0,
            global_rng: false,
        };
        let expected = concat!(
            r#"{"functions":{"simulate":"/abs/model.py:simulate"},"parameters":["t0","u0"],"n_data":2,"#,
            r#""observed":{"grid":[0.0,1.0],"value":[1.0,2.5],"sigma":[0.1,0.1]},"#,
            r#""theta":null,"blobs":["mass"],"block":0,"global_rng":false}"#
        );
        assert_eq!(serde_json::to_string(&hello).unwrap(), expected);
    }

    #[test]
    fn settings_that_no_child_can_have_are_refused() {
        let good = ChildSettings {
            program: Program::Arrow {
                command: vec!["./model".to_owned()],
                directory: PathBuf::from("."),
            },
            hello: Hello {
                functions: Functions::default(),
                parameters: vec!["a".to_owned()],
                n_data: 1,
                observed: None,
                theta: Some(vec!["b".to_owned()]),
                blobs: vec!["c".to_owned()],
                block: 0,
                global_rng: false,
            },
            n_children: 1,
            row_limit: Duration::from_secs(1),
            setup_limit: Duration::from_secs(1),
        };
        assert_eq!(good.complaint(), None);
        let complaint = |change: fn(&mut ChildSettings)| {
            let mut settings = good.clone();
            change(&mut settings);
            settings.complaint().unwrap()
        };
        assert_eq!(
            complaint(|settings| settings.n_children = 0),
            "found 0 children, expected at least 1"
        );
        assert_eq!(
            complaint(|settings| settings.hello.parameters.push("seed".to_owned())),
            "a column is called seed, as another one is"
        );
        assert_eq!(
            complaint(|settings| settings.hello.blobs.push("b".to_owned())),
            "a column is called b, as another one is"
        );
        let directory = PathBuf::from(".");
        let mut settings = good.clone();
        settings.program = Program::Arrow {
            command: Vec::new(),
            directory: directory.clone(),
        };
        assert_eq!(
            settings.complaint().unwrap(),
            "found an empty command, expected a program"
        );
        settings.program = Program::Lines {
            command: vec!["./model".to_owned()],
            directory,
        };
        assert_eq!(
            settings.complaint().unwrap(),
            "a program that speaks in lines has no prior transform"
        );
    }
}
