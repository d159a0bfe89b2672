//! What is wrong with the input is said with file, key, what was found and what is expected, before
//! anything runs, with status 2.

use crate::setup::{errors, run, status, text, write};
use std::path::Path;

const GOOD: &str = r#"
name = "good"
parameters = [
    { name = "phi0", prior = { uniform = { low = 0.0, high = 6.28 } } },
    { name = "A", prior = { uniform = { low = -4.0, high = 4.0 } } },
    { name = "omega", prior = { uniform = { low = 6.0, high = 36.0 } } },
]
[simulator]
builtin = "sine"
[observation]
path = "observation.csv"
[rounds]
max = 1
simulations = 64
"#;

const OBSERVATION: &str = "time,value,sigma\n0.0,0.1,0.1\n0.5,0.2,0.1\n1.0,0.3,0.1\n";

/// Runs a campaign file beside an observation; nothing may come into being.
fn refused(campaign: &str, observation: &str, expected: &[&str]) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = write(directory.path(), "campaign.toml", campaign);
    write(directory.path(), "observation.csv", observation);
    let out = directory.path().join("out");
    let output = run(&["fit", text(&path), "--out", text(&out)]);
    let message = errors(&output);
    assert_eq!(status(&output), 2, "{message}");
    for part in expected {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert!(!out.exists(), "something was written");
}

#[test]
fn mistakes_in_the_campaign_file() {
    let cases: [(&str, &str, &[&str]); 9] = [
        (
            "simulations = 64",
            "simulatons = 64",
            &["campaign.toml", "rounds.simulatons", "simulations"],
        ),
        (
            "low = -4.0, high = 4.0",
            "low = 4.0, high = -4.0",
            &["campaign.toml", "parameters[1]", "4", "-4"],
        ),
        (
            "builtin = \"sine\"",
            "builtin = \"sin\"",
            &["simulator.builtin", "sin", "sine"],
        ),
        (
            "name = \"omega\"",
            "name = \"frequency\"",
            &["frequency", "omega"],
        ),
        ("max = 1", "max = 0", &["rounds.max", "0"]),
        ("max = 1", "max = \"one\"", &["rounds.max", "one"]),
        ("observation.csv", "missing.csv", &["missing.csv"]),
        ("[rounds]", "[round]", &["round", "rounds"]),
        ("name = \"good\"", "name = ", &["campaign.toml"]),
    ];
    for (from, to, expected) in cases {
        refused(&GOOD.replacen(from, to, 1), OBSERVATION, expected);
    }
}

#[test]
fn mistakes_in_the_observation() {
    let cases: [(&str, &[&str]); 6] = [
        (
            "time,value,sigma\n0,0.1,0\n",
            &["observation.csv", "sigma", "0"],
        ),
        (
            "time,value,sigma\n0,0.1,-0.1\n",
            &["observation.csv", "sigma", "-0.1"],
        ),
        (
            "time,value,sigma\n0,NaN,0.1\n",
            &["observation.csv", "value", "NaN"],
        ),
        ("time,value\n0,0.1\n", &["observation.csv", "sigma"]),
        (
            "time,value,sigma\n0,0.1,0.1\n1,0.2\n",
            &["observation.csv", "3"],
        ),
        ("", &["observation.csv", "empty"]),
    ];
    for (observation, expected) in cases {
        refused(GOOD, observation, expected);
    }
}

/// What a dry run prints.
fn dry_run(campaign: &Path, out: &Path) -> String {
    let output = run(&["fit", text(campaign), "--out", text(out), "--dry-run"]);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_dry_run_tells_what_would_be_run() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let good = write(directory.path(), "campaign.toml", GOOD);
    write(
        directory.path(),
        "observation.csv",
        "BJD [d],flux,flux_err\n2457588.2838,1e-17,1e-18\n2457589.25,3e-17,1e-18\n2457588.75,2e-17,1e-18\n",
    );
    let out = directory.path().join("out");
    let told = dry_run(&good, &out);
    for line in [
        "parameter          A: uniform from −4 to 4\n",
        "  grid             BJD [d], 2457588.2838 to 2457589.25\n",
        "  value            flux, 1e−17 to 3e−17\n",
        "  sigma            flux_err, 1e−18 to 1e−18\n",
        "  note             the grid is not in order: it turns back 1 time\n",
        "stops when         another round would take more than 64 simulations in all, or 50 rounds are done\n",
        "out (new)\n",
    ] {
        assert!(told.contains(line), "`{line}` is not in:\n{told}");
    }
    assert!(!out.exists(), "something was written");
}

#[test]
fn a_dry_run_tells_where_a_campaign_stands() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let long = write(
        directory.path(),
        "campaign.toml",
        &GOOD.replace("max = 1", "max = 100"),
    );
    write(directory.path(), "observation.csv", OBSERVATION);
    let out = directory.path().join("out");
    let mut fit = crate::setup::start_fit(&long, &out, &[]);
    while !out.join("rounds/001").exists() {
        let ended = fit.try_wait().expect("the command can be asked");
        assert!(ended.is_none(), "it ended before its second round");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    fit.kill().expect("kill");
    fit.wait().expect("the command ends");
    let told = dry_run(&long, &out);
    let round = told
        .trim_end()
        .strip_suffix(')')
        .and_then(|told| told.rsplit_once("(begun, would go on at round "))
        .and_then(|(_, round)| round.split_once(": "))
        .filter(|(_, standing)| standing.ends_with(" left"))
        .and_then(|(round, _)| round.parse::<u32>().ok());
    assert!(round.is_some_and(|round| round >= 1), "{told}");
}

#[test]
fn what_has_no_end_is_refused_at_once() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let path = text(&pipe);
    for (campaign, kind) in [
        (path, "a pipe"),
        ("/dev/zero", "a device"),
        (text(directory.path()), "a directory"),
    ] {
        let output = run(&["fit", campaign]);
        assert_eq!(status(&output), 2, "{}", errors(&output));
        let expected =
            format!("error: cannot read {campaign}: found {kind}, expected a regular file\n");
        assert_eq!(errors(&output), expected);
    }
    let files = [
        ("path = \"observation.csv\"", format!("path = \"{path}\"")),
        (
            "[rounds]",
            format!("[noise]\ngaussian = {{ sigma = {{ table = \"{path}\" }} }}\n[rounds]"),
        ),
    ];
    for (from, to) in files {
        let expected = ["found a pipe, expected a regular file"];
        refused(&GOOD.replacen(from, &to, 1), OBSERVATION, &expected);
    }
    let model = directory.path().join("model");
    std::fs::create_dir(&model).expect("directory");
    std::fs::rename(&pipe, model.join("model.json")).expect("move");
    let output = run(&["predict", text(&model), "nowhere.csv"]);
    assert_eq!(status(&output), 2, "{}", errors(&output));
    let message = errors(&output);
    assert!(
        message.contains("model.json: found a pipe, expected a regular file"),
        "{message}"
    );
}

fn snapshot(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("the directory can be read")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn directories_of_others_are_left_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let good = write(directory.path(), "campaign.toml", GOOD);
    write(directory.path(), "observation.csv", OBSERVATION);
    let foreign = directory.path().join("foreign");
    std::fs::create_dir(&foreign).expect("directory");
    write(&foreign, "thesis.tex", "years of work");
    let output = run(&["fit", text(&good), "--out", text(&foreign)]);
    assert_eq!(status(&output), 2, "{}", errors(&output));
    assert_eq!(snapshot(&foreign), ["thesis.tex"]);

    let out = directory.path().join("out");
    let output = run(&[
        "fit",
        text(&good),
        "--out",
        text(&out),
        "-q",
        "--device",
        "cpu",
    ]);
    assert_eq!(
        status(&output),
        3,
        "64 prior draws are not to be trusted: {}",
        errors(&output)
    );
    assert!(
        dry_run(&good, &out).ends_with("(finished, would print its result again)\n"),
        "{}",
        dry_run(&good, &out)
    );
    let longer = write(
        directory.path(),
        "longer.toml",
        &GOOD.replace("max = 1", "max = 2"),
    );
    assert!(
        dry_run(&longer, &out)
            .ends_with("(finished, would be judged again by the changed stops)\n"),
        "{}",
        dry_run(&longer, &out)
    );
    let changed = write(
        directory.path(),
        "changed.toml",
        &GOOD.replace("high = 36.0", "high = 37.0"),
    );
    let output = run(&["fit", text(&changed), "--out", text(&out), "-q"]);
    assert_eq!(status(&output), 2);
    let message = errors(&output);
    for part in ["parameters[2].prior", "36", "37"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    let renamed = write(
        directory.path(),
        "renamed.toml",
        &GOOD.replace("\"good\"", "\"better\""),
    );
    let output = run(&["fit", text(&renamed), "--out", text(&out), "-q"]);
    assert_eq!(status(&output), 2);
    assert!(errors(&output).contains("good"), "{}", errors(&output));
}

#[test]
fn predict_refuses_what_does_not_fit() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let observation = write(directory.path(), "observation.csv", OBSERVATION);
    let output = run(&[
        "predict",
        text(&directory.path().join("nowhere")),
        text(&observation),
    ]);
    assert_eq!(status(&output), 2, "{}", errors(&output));
    assert!(errors(&output).contains("nowhere"), "{}", errors(&output));
}
