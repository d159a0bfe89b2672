//! `sidereal check`: a good model gets a verdict and numbers, a bad one never gets a green tick.

use crate::setup::{errors, fit, run, sidereal, status, text, write};
use std::path::Path;

/// What is trained on so many simulations, for so many epochs.
fn campaign(simulations: u64, epochs: u32) -> String {
    format!(
        r#"
name = "lines"
[[parameters]]
name = "a"
prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }}
[[parameters]]
name = "phase"
prior = {{ uniform = {{ low = 0.0, high = 1.0 }} }}
[simulator]
builtin = "linear-gaussian"
grid = [0, 1, 2, 3]
matrix = [[1, 0.0], [1, 1.0], [1, 2.0], [1, 3.0]]
[noise]
gaussian = {{ sigma = {{ uniform = {{ low = 0.3, high = 0.6 }} }} }}
[featurizer]
kind = "mlp"
[flow]
kind = "maf"
blocks = 2
hidden = 16
components = 1
[training]
max_epochs = {epochs}
[rounds]
simulations = {simulations}
"#
    )
}

fn check(model: &Path, out: &Path, more: &[&str]) -> (i32, serde_json::Value, String) {
    let mut arguments = vec!["check", text(model), "--out", text(out)];
    arguments.extend(more);
    let output = run(&arguments);
    let json = std::fs::read_to_string(out.join("check.json"));
    let json = json.unwrap_or_else(|error| panic!("{error}: {}", errors(&output)));
    let json = serde_json::from_str(&json).expect("JSON");
    (status(&output), json, errors(&output))
}

#[test]
fn a_good_model_is_calibrated_whatever_the_threads() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(directory.path(), "campaign.toml", &campaign(6000, 30));
    let model = directory.path().join("run");
    fit(&path, &model, &[], &[0]);
    let settings = ["--targets", "200", "--simulations", "4000"];
    let out = directory.path().join("one");
    let one_thread = [&settings[..], &["--threads", "1"]].concat();
    let (ended, found, said) = check(&model, &out, &one_thread);
    assert_eq!(ended, 0, "{said}");
    assert_eq!(found["format"], "sidereal-check");
    assert_eq!(
        (&found["n_targets"], &found["n_failed"]),
        (&200.into(), &0.into())
    );
    assert_eq!(found["weighted"]["verdict"], "calibrated");
    let trusted = found["n_trusted"].as_u64().expect("a number");
    assert_eq!(found["weighted"]["n_targets"], trusted);
    assert!(trusted >= 180, "{trusted}");
    assert!(
        found["efficiency"]["median"].as_f64() > Some(0.2),
        "{found}"
    );
    let of: Vec<&str> = found["weighted"]["tests"]
        .as_array()
        .expect("tests")
        .iter()
        .map(|test| test["of"].as_str().expect("a name"))
        .collect();
    assert_eq!(of, ["a", "phase", "credibility", "tarp"]);
    let page = std::fs::read_to_string(out.join("check.html")).expect("a page");
    assert!(page.contains("Nothing speaks against this model"), "{page}");

    let again = directory.path().join("again");
    let four_threads = [&settings[..], &["--threads", "4"]].concat();
    check(&model, &again, &four_threads);
    for name in ["check.json", "check.parquet", "check.png", "check.html"] {
        let bytes = |directory: &Path| std::fs::read(directory.join(name)).expect(name);
        assert_eq!(bytes(&out), bytes(&again), "{name}");
    }
    // Other targets with another seed.
    let other = directory.path().join("other");
    let (_, other, _) = check(&model, &other, &[&settings[..], &["--seed", "1"]].concat());
    assert_ne!(other["weighted"]["tests"], found["weighted"]["tests"]);
}

#[test]
fn a_bad_model_gets_no_green_tick() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(directory.path(), "campaign.toml", &campaign(600, 1));
    let model = directory.path().join("run");
    fit(&path, &model, &[], &[0]);
    let out = directory.path().join("check");
    let settings = ["--targets", "100", "--n-eff", "500", "--simulations", "500"];
    let (ended, found, said) = check(&model, &out, &settings);
    assert_eq!(ended, 3, "{said}");
    assert!(
        said.contains("of 100 targets can be trusted after at most 500 simulations each"),
        "{said}"
    );
    assert!(found["n_trusted"].as_u64() < Some(90), "{found}");
    let page = std::fs::read_to_string(out.join("check.html")).expect("a page");
    assert!(page.contains("Not to be trusted"), "{page}");
}

#[test]
fn a_flow_of_one_observation_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let fixed = campaign(600, 1).replace(
        "gaussian = { sigma = { uniform = { low = 0.3, high = 0.6 } } }",
        "gaussian = { sigma = \"observed\" }\n[observation]\npath = \"observed.csv\"",
    );
    let fixed = fixed.replace("grid = [0, 1, 2, 3]\n", "");
    write(
        directory.path(),
        "observed.csv",
        "time,value,sigma\n0,0.1,0.5\n1,0.3,0.5\n2,0.9,0.5\n3,1.2,0.5\n",
    );
    let path = write(directory.path(), "campaign.toml", &fixed);
    let model = directory.path().join("run");
    fit(&path, &model, &[], &[0, 3]);
    let output = run(&["check", text(&model)]);
    assert_eq!(status(&output), 2);
    assert!(
        errors(&output).contains("expected a model for any observation"),
        "{}",
        errors(&output)
    );
    assert!(!Path::new("checks").exists());
    let few = run(&["check", text(&model), "--n-eff", "99"]);
    assert_eq!(status(&few), 2);
    assert!(
        errors(&few).contains("--n-eff: found 99, expected 100 or more"),
        "{}",
        errors(&few)
    );
    let nothing = sidereal(&["check", "nowhere"]).output().expect("run");
    assert_eq!(status(&nothing), 2);
    assert!(
        errors(&nothing).contains("nowhere: neither a model directory"),
        "{}",
        errors(&nothing)
    );
}
