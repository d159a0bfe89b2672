//! Predictions from files of observations whose columns have names of their own.

use crate::setup::{errors, fit, run, status, text, write};
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

/// Rows of numbers of what is printed, below its header.
fn printed(output: &std::process::Output, header: &str) -> Vec<Vec<f64>> {
    assert_eq!(status(output), 0, "{}", errors(output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(header));
    let numbers = |line: &str| {
        line.split(',')
            .map(|word| word.parse().expect(word))
            .collect()
    };
    lines.map(numbers).collect()
}

#[test]
fn the_network_alone_says_its_draws_and_its_density_anywhere() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let directory = directory.path();
    let campaign = write(directory, "campaign.toml", CAMPAIGN);
    let out = directory.join("run");
    fit(&campaign, &out, &[], &[0, 3]);
    predict(directory, "x.csv", "epoch,rate,rate_sd", &[]).expect("a prediction");
    let observation = directory.join("x.csv");
    let asked =
        |more: &[&str]| run(&[&["predict", text(&out), text(&observation), "-q"], more].concat());
    let header = "a,log_prior,log_density";
    let draws = printed(&asked(&["--alone", "--draws", "100"]), header);
    let space = campaign_file::load(&out.join("campaign.toml"), &Catalogue::default())
        .expect("a campaign")
        .space;
    let found = sidereal_store::open(text(&directory.join("predictions/x"))).expect("a directory");
    let weighed = Posterior::load(&found, "posterior.parquet", &space).expect("a posterior");
    let column = |j: usize| draws.iter().map(|row| row[j]).collect::<Vec<f64>>();
    assert_eq!(column(0), weighed.theta);
    assert_eq!(column(1), weighed.log_prior);
    assert_eq!(column(2), weighed.log_proposal);

    let lines: Vec<String> = draws.iter().map(|row| format!("{}\n", row[0])).collect();
    let points = write(directory, "points.csv", &lines.concat());
    let densities = printed(&asked(&["--density-at", text(&points)]), header);
    for (density, draw) in densities.iter().zip(&draws) {
        assert_eq!(density[..2], draw[..2]);
        assert!((density[2] - draw[2]).abs() < 1e-4, "{density:?} {draw:?}");
    }
    // It is one: its integral over the parameter is 1.
    let (n, width) = (4000, 12.0);
    let lines: String = (0..n)
        .map(|i| {
            format!(
                "{}\n",
                width * (f64::from(i) + 0.5) / f64::from(n) - 0.5 * width
            )
        })
        .collect();
    let points = write(directory, "grid.csv", &lines);
    let densities = printed(&asked(&["--density-at", text(&points)]), header);
    let sum: f64 = densities.iter().map(|row| row[2].exp()).sum();
    let integral = sum * width / f64::from(n);
    assert!((integral - 1.0).abs() < 1e-3, "{integral}");

    let refused = |content: &str, expected: &str| {
        let points = write(directory, "bad.csv", content);
        let output = asked(&["--density-at", text(&points)]);
        assert_eq!(status(&output), 2);
        assert!(errors(&output).contains(expected), "{}", errors(&output));
    };
    refused(
        "0.5\n0.5,1\n",
        "bad.csv: line 2: found \"0.5,1\", expected 1 numbers: a",
    );
    refused("x\n", "bad.csv: line 1: found \"x\", expected 1 numbers: a");
    let two = run(&[
        "predict",
        text(&out),
        text(&observation),
        text(&points),
        "--alone",
    ]);
    let message = "found 2 observations, expected one with --alone or --density-at";
    assert!(errors(&two).contains(message), "{}", errors(&two));
}
