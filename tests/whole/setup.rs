//! Runs the built command in directories of its own.

pub mod s3;
pub mod services;

use sidereal_inference::account::Summary;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::records::Posterior;
use sidereal_models::Catalogue;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// `sidereal` with standard streams kept apart from the test's.
pub fn sidereal(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidereal"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs to the end.
pub fn run(arguments: &[&str]) -> Output {
    sidereal(arguments).output().expect("the command starts")
}

pub fn status(output: &Output) -> i32 {
    output.status.code().expect("the command ends by itself")
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `sidereal fit` in the background.
pub fn start_fit(campaign: &Path, out: &Path, more: &[&str]) -> Child {
    sidereal(&[
        "fit",
        text(campaign),
        "--out",
        text(out),
        "--device",
        "cpu",
        "-q",
    ])
    .args(more)
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .expect("the command starts")
}

/// Runs `sidereal fit` to the end; the exit status must be one of `expected`.
pub fn fit(campaign: &Path, out: &Path, more: &[&str], expected: &[i32]) -> Output {
    let output = sidereal(&[
        "fit",
        text(campaign),
        "--out",
        text(out),
        "--device",
        "cpu",
        "-q",
    ])
    .args(more)
    .output()
    .expect("the command starts");
    assert!(
        expected.contains(&status(&output)),
        "status {}: {}",
        status(&output),
        errors(&output)
    );
    output
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

pub fn write(directory: &Path, name: &str, contents: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, contents).expect("the file can be written");
    path
}

/// What a finished campaign directory holds.
pub struct Results {
    pub campaign: Campaign,
    pub summary: Summary,
    pub posterior: Posterior,
}

pub fn results(out: &Path) -> Results {
    let campaign = campaign_file::load(&out.join("campaign.toml"), &Catalogue::default())
        .expect("campaign.toml is valid");
    let summary =
        serde_json::from_slice(&std::fs::read(out.join("summary.json")).expect("summary.json"))
            .expect("summary.json is a summary");
    let directory = sidereal_store::open(text(out)).expect("campaign directory");
    let posterior = Posterior::load(&directory, "posterior.parquet", &campaign.space)
        .expect("posterior.parquet");
    Results {
        campaign,
        summary,
        posterior,
    }
}

/// `summary.json` without what depends on the clock.
pub fn summary_without_timing(out: &Path) -> serde_json::Value {
    let bytes = std::fs::read(out.join("summary.json")).expect("summary.json");
    let mut summary: serde_json::Value =
        serde_json::from_slice(&bytes).expect("summary.json is JSON");
    summary.as_object_mut().expect("an object").remove("timing");
    summary
}

/// The interpreter of these tests; None, said, where it has not what a child needs, which in CI is an error.
pub fn python_or_skip() -> Option<PathBuf> {
    let interpreter = sidereal_models::process::interpreter(None);
    let found = Command::new(&interpreter)
        .args(["-c", "import numpy, pyarrow"])
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return Some(interpreter);
    }
    let missing = format!(
        "{} with numpy and pyarrow is missing",
        interpreter.display()
    );
    assert!(
        std::env::var_os("CI").is_none(),
        "{missing}, and CI is set: tests with Python must run"
    );
    eprintln!("SKIPPED: {missing}");
    None
}
