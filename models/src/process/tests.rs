//! The pool with real processes.

#![cfg(unix)]

mod failures;
mod lifetime;
mod pools;

use super::settings::{ChildSettings, Functions, Hello, Observed, Program, interpreter};
use super::{Answers, Children, Rows};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

fn hello(n_parameters: usize, n_data: usize) -> Hello {
    Hello {
        functions: Functions::default(),
        parameters: (0..n_parameters).map(|place| format!("p{place}")).collect(),
        n_data,
        observed: None,
        theta: None,
        blobs: Vec::new(),
        block: 0,
        global_rng: false,
    }
}

fn settings(program: Program, hello: Hello, n_children: usize) -> ChildSettings {
    ChildSettings {
        program,
        hello,
        n_children,
        row_limit: Duration::from_secs(60),
        setup_limit: Duration::from_secs(60),
    }
}

/// A program that speaks in lines, in the language that every Unix has.
fn shell(script: &str) -> Program {
    Program::Lines {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        directory: PathBuf::from("/"),
    }
}

/// Row i is (i, 1, 2, ...), with the seed of its number.
fn rows(first_row: u64, n_rows: usize, n_parameters: usize) -> Rows {
    let row = |row: usize| {
        let others = (1..n_parameters).map(|place| place as f64);
        std::iter::once(row as f64).chain(others)
    };
    let seed = |row: usize| (u128::from(first_row) + row as u128).to_le_bytes();
    Rows {
        first_row,
        inputs: (0..n_rows).flat_map(row).collect(),
        seeds: (0..n_rows).map(seed).collect(),
    }
}

fn run(children: &Children, rows: &Rows) -> Answers {
    children.run(rows, &AtomicBool::new(false)).unwrap()
}

/// An interpreter with these modules; None, said, where there is none, which in CI is an error.
pub(crate) fn python_or_skip(modules: &str) -> Option<PathBuf> {
    let interpreter = interpreter(None);
    let found = Command::new(&interpreter)
        .args(["-c", &format!("import {modules}")])
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return Some(interpreter);
    }
    let missing = format!("{} with {modules} is missing", interpreter.display());
    assert!(
        std::env::var_os("CI").is_none(),
        "{missing}, and CI is set: tests with Python must run"
    );
    eprintln!("SKIPPED: {missing}");
    None
}

/// A program in Python that speaks in lines, written to `directory`.
fn python_lines(interpreter: &Path, directory: &Path, script: &str) -> Program {
    std::fs::write(directory.join("lines.py"), script).unwrap();
    Program::Lines {
        command: vec![interpreter.display().to_string(), "lines.py".to_owned()],
        directory: directory.to_owned(),
    }
}

/// Functions in Python of a file that is written to `directory`.
fn python_functions(directory: &Path, source: &str, names: &[&str]) -> Functions {
    let file = directory.join("model.py");
    std::fs::write(&file, source).unwrap();
    let function = |name: &str| {
        let place = || format!("{}:{name}", file.display());
        names.contains(&name).then(place)
    };
    Functions {
        simulate: function("simulate"),
        log_likelihood: function("log_likelihood"),
        prior_transform: function("prior_transform"),
        noise: function("noise"),
    }
}
