//! Campaign files, good and bad.

mod bad_cases;
mod bad_estimators;
mod bad_files;
mod checks;
mod correlated;
mod data_files;
mod external;
mod good_files;
mod noise_terms;
mod samples;
mod schema;

use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file::parse;
use sidereal_models::Catalogue;
use std::path::Path;
use tempfile::TempDir;

/// A directory with the data files that campaign files here name.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("temporary directory");
    let files = [
        (
            "observation.csv",
            "time,value,sigma\n0,1,0.1\n0.5,2,0.1\n1,3,0.1\n",
        ),
        (
            "varied.csv",
            "time,value,sigma\n0,1,0.1\n0.5,2,0.2\n1,3,0.1\n",
        ),
        ("bare.csv", "time,value\n0,1\n0.5,2\n1,3\n"),
        ("zero.csv", "time,value,sigma\n0,1,0.1\n0.5,nan,0\n"),
        ("ragged.csv", "1,2,3\n1,x,3\n"),
        ("empty.csv", ""),
        ("sigmas.csv", "0.1,0.2,0.3\n0.4,0.5,0.6\n"),
        ("sigmas-bad.csv", "0.1,0.2,0.3\n0.4,0.5\n0.1,-1,0.3\n"),
    ];
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("write");
    }
    directory
}

/// Messages with the directory left out. What is read must be as the schema says.
fn parse_in(directory: &Path, text: &str) -> Result<Campaign, Vec<String>> {
    let prefix = format!("{}/", directory.display());
    let shorten = |message: String| message.replace(&prefix, "");
    let models = Catalogue::default();
    let campaign = parse(text, &directory.join("c.toml"), &models)
        .map_err(|error| -> Vec<String> { error.mistakes.into_iter().map(shorten).collect() })?;
    assert_eq!(schema::violations_of(text, &models), [""; 0], "{text}");
    Ok(campaign)
}

const SINE: &str = r#"name = "test"
[[parameters]]
name = "phi0"
prior = { uniform = { low = 0.0, high = 6.25 } }
[[parameters]]
name = "A"
prior = { normal = { mean = 0.0, sd = 2 } }
[[parameters]]
name = "omega"
prior = { log_uniform = { low = 6.0, high = 36.0 } }
[simulator]
builtin = "sine"
[observation]
path = "observation.csv"
"#;
