//! Noise that a function in Python adds in training: as good as the built-in, the same bytes however it goes, and told
//! where it fails.
#![cfg(unix)]

use crate::setup::{errors, fit, python_or_skip, run, sidereal, status, text, write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Where SLOW is set it takes long enough for a checkpoint.
const NOISE: &str = r#"import os, time
def add_noise(x, rng):
    time.sleep(float(os.environ.get("SLOW", 0)))
    return x + 0.1 * rng.standard_normal(x.shape)

def bad(x, rng):
    if rng.random() < 0.001:
        raise ValueError("too bright")
    return x

def wrong(x, rng):
    return x[:3]
"#;

/// Straight lines, which any observation on the same points may be of.
fn campaign(directory: &Path, name: &str, noise: &str, epochs: u32) -> PathBuf {
    write(directory, "noise.py", NOISE);
    let text = format!(
        r#"
        name = "{name}"
        seed = 4
        parameters = [
            {{ name = "a", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
            {{ name = "b", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
        ]
        [simulator]
        builtin = "linear-gaussian"
        grid = [0, 1, 2, 3, 4, 5]
        matrix = [[1, 0.0], [1, 0.2], [1, 0.4], [1, 0.6], [1, 0.8], [1, 1.0]]
        [noise]
        {noise}
        [featurizer]
        kind = "mlp"
        [flow]
        kind = "maf"
        blocks = 2
        [training]
        max_epochs = {epochs}
        patience = {epochs}
        [rounds]
        simulations = 2000
        "#
    );
    write(directory, &format!("{name}.toml"), &text)
}

fn weights(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("model/weights.safetensors")).expect("a model")
}

/// The median efficiency over some observations.
fn efficiency(directory: &Path, out: &Path) -> f64 {
    let observations: Vec<PathBuf> = (0..7)
        .map(|i| {
            let (a, b) = (f64::from(i) / 3.0 - 1.0, f64::from(i * 3 % 7) / 3.0 - 1.0);
            let row = |j: u32| {
                let t = f64::from(j) / 5.0;
                let value = a + b * t + 0.1 * f64::from(i + 3 * j).sin();
                format!("{j},{value},0.1\n")
            };
            let rows: String = (0..6).map(row).collect();
            write(
                directory,
                &format!("{i}.csv"),
                &format!("grid,value,sigma\n{rows}"),
            )
        })
        .collect();
    let mut arguments = vec!["predict", text(out), "--draws", "1000", "--json", "-q"];
    let predictions = out.join("predictions");
    arguments.extend(["--out", text(&predictions)]);
    arguments.extend(observations.iter().map(|path| text(path)));
    let output = run(&arguments);
    assert!([0, 3].contains(&status(&output)), "{}", errors(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = found.as_array().expect("a list").iter();
    let mut all: Vec<f64> = found
        .map(|one| one["efficiency"].as_f64().expect("a number"))
        .collect();
    all.sort_by(f64::total_cmp);
    all[3]
}

#[test]
fn a_model_with_noise_in_python_is_as_good_as_with_the_built_in() {
    if python_or_skip().is_none() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    let python = "python = \"noise.py:add_noise\"";
    let many = format!("{python}\n        vectorized = 50");
    let [own, one, many] = [
        ("own", "gaussian = { sigma = 0.1 }"),
        ("one", python),
        ("many", &many),
    ]
    .map(|(name, noise)| {
        let out = path.join(format!("{name}-run"));
        fit(&campaign(path, name, noise, 40), &out, &[], &[0]);
        efficiency(path, &out)
    });
    assert!(own > 0.5, "{own}");
    // Targets of a check have no errors of their own.
    let check = run(&[
        "check",
        text(&path.join("one-run")),
        "--out",
        text(&path.join("check")),
    ]);
    assert_eq!(status(&check), 2);
    assert!(
        errors(&check).contains("noise.python"),
        "{}",
        errors(&check)
    );
    for found in [one, many] {
        assert!((found / own - 1.0).abs() < 0.2, "{found}, built-in {own}");
    }
}

#[test]
fn killed_and_begun_again_a_training_comes_to_the_same() {
    if python_or_skip().is_none() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    let noise = "python = \"noise.py:add_noise\"\n        vectorized = 50";
    let campaign = campaign(path, "killed", noise, 60);
    let [whole, again, killed] = ["whole", "again", "killed"].map(|name| path.join(name));
    fit(
        &campaign,
        &whole,
        &["--workers", "1", "--threads", "1"],
        &[0],
    );
    fit(
        &campaign,
        &again,
        &["--workers", "3", "--threads", "2"],
        &[0],
    );
    assert!(weights(&whole) == weights(&again));
    let mut running = sidereal(&["fit", text(&campaign), "--out", text(&killed), "-q"])
        .env("SLOW", "0.02")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let begun = Instant::now();
    let has_checkpoint = || {
        let folders = std::fs::read_dir(killed.join("rounds/000/model"))
            .into_iter()
            .flatten();
        let mut files = folders.flatten().map(|entry| entry.path());
        files.any(|folder| folder.join("checkpoint.safetensors").exists())
    };
    while !has_checkpoint() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no checkpoint");
        assert!(running.try_wait().expect("its state").is_none(), "too fast");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill().expect("killed");
    running.wait().expect("ended");
    fit(&campaign, &killed, &["--threads", "1"], &[0]);
    assert!(weights(&killed) == weights(&whole));
}

#[test]
fn a_function_that_fails_is_named_and_nothing_is_lost() {
    if python_or_skip().is_none() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    let wrong = campaign(path, "wrong", "python = \"noise.py:wrong\"", 2);
    let out = path.join("wrong-run");
    let output = run(&["fit", text(&wrong), "--out", text(&out)]);
    let told = errors(&output);
    assert_eq!(status(&output), 2, "{told}");
    let expected = "noise.python noise.py:wrong: noise gave x of shape (3,), expected 6 numbers (noise.py, line 11, in wrong)";
    assert!(told.contains(expected), "{told}");
    assert!(!out.exists());

    let bad = campaign(path, "bad", "python = \"noise.py:bad\"", 2);
    let out = path.join("bad-run");
    let output = run(&["fit", text(&bad), "--out", text(&out)]);
    let told = errors(&output);
    assert_eq!(status(&output), 1, "{told}");
    let expected = "noise.python noise.py:bad: ValueError: too bright (noise.py, line 8, in bad)";
    assert!(told.contains(expected), "{told}");
    // What is simulated stays: mended and accepted, it goes on.
    write(path, "noise.py", &NOISE.replace("0.001", "-1"));
    let again = ["fit", text(&bad), "--out", text(&out)];
    let output = run(&again);
    let told = errors(&output);
    assert_eq!(status(&output), 2, "{told}");
    let changed = "noise.py:bad has changed since the campaign began; expected the same noise";
    assert!(told.contains(changed), "{told}");
    let output = run(&[&again[..], &["--accept-changed-model"]].concat());
    let told = errors(&output);
    assert_eq!(status(&output), 0, "{told}");
}
