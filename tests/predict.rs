//! Predictions from files of observations whose columns have names of their own.

mod setup;

use setup::{errors, fit, run, status, text, write};
use sidereal_inference::campaign_file;
use sidereal_inference::records::{Posterior, SAMPLES_FILE, Samples};
use sidereal_models::Catalogue;
use std::path::Path;

const CAMPAIGN: &str = r#"
name = "any"
[[parameters]]
name = "a"
prior = { normal = { mean = 0.0, sd = 1.0 } }
[simulator]
builtin = "linear-gaussian"
grid = [0.0]
[observation]
columns = { value = "rate", sigma = "rate_sd" }
[noise]
gaussian = { sigma = { uniform = { low = 0.05, high = 0.2 } } }
[training]
max_epochs = 2
[rounds]
simulations = 64
"#;

/// Columns of a file, and the draws that are made of it.
fn predict(directory: &Path, name: &str, header: &str, more: &[&str]) -> Result<Vec<u8>, String> {
    let observation = write(directory, name, &format!("{header}\n0,0.3,0.1\n"));
    let (out, run_directory) = (directory.join("predictions"), directory.join("run"));
    let fixed = ["predict", text(&run_directory), text(&observation)];
    let options = ["--draws", "100", "--out", text(&out), "-q"];
    let output = run(&[&fixed[..], &options, more].concat());
    match status(&output) {
        0 | 3 => {
            let found = out.join(observation.file_stem().expect("a name"));
            check_samples(&found, &run_directory);
            Ok(std::fs::read(found.join("posterior.parquet")).expect("a posterior"))
        }
        _ => Err(errors(&output)),
    }
}

/// The samples of a prediction are those of its posterior and the seed 0.
fn check_samples(found: &Path, run_directory: &Path) {
    let campaign = campaign_file::load(&run_directory.join("campaign.toml"), &Catalogue::default())
        .expect("a campaign");
    let directory = sidereal_store::open(text(found)).expect("a directory");
    let posterior = Posterior::load(&directory, "posterior.parquet", &campaign.space);
    let path = directory.join(SAMPLES_FILE);
    let posterior = posterior.expect("a posterior");
    let expected = Samples::of(&campaign.space, &posterior, 0).encode(&path);
    let samples = directory.read(SAMPLES_FILE).expect("samples");
    assert_eq!(samples.to_vec(), expected.expect("encoded"));
}

#[test]
fn columns_are_those_of_the_models_campaign_or_of_the_command() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let directory = directory.path();
    let campaign = write(directory, "campaign.toml", CAMPAIGN);
    fit(&campaign, &directory.join("run"), &[], &[0, 3]);
    let named = predict(directory, "x.csv", "epoch,rate,rate_sd", &[]);
    let named = named.expect("the campaign names the columns");
    let refused = predict(directory, "y.csv", "jd,brightness,spread", &[]);
    let message = refused.expect_err("other names");
    assert!(
        message.contains("no column is called \"rate\", as value is said to be"),
        "{message}"
    );
    let names = "{ value = \"brightness\", sigma = \"spread\" }";
    let header = "jd,brightness,spread";
    let told = predict(directory, "y.csv", header, &["--columns", names]);
    assert_eq!(told.expect("the command names the columns"), named);
    let usual = predict(directory, "z.csv", "jd,mag,mag_err", &["--columns", "{}"]);
    assert_eq!(usual.expect("usual names"), named);
}
