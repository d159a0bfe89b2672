//! Campaigns whose models are programs and functions in Python: right, the same bytes, and nothing left behind.
#![cfg(unix)]

use crate::setup::{errors, fit, python_or_skip, results, run, start_fit, status, text, write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// 1 on a disc that is 3 % of the prior, 0 elsewhere.
const DISC: &str = r#"
name = "disc"
seed = 1
parameters = [
    { name = "x", prior = { uniform = { low = -5.0, high = 5.0 } } },
    { name = "y", prior = { uniform = { low = -5.0, high = 5.0 } } },
]
[likelihood]
protocol = "lines"
command = ["/bin/sh", "-c", "while read a b; do awk \"BEGIN { r = $a * $a + $b * $b; print (r > 0.96) ? \\\"-inf\\\" : 0 }\"; done"]
[rounds]
stop = { n_eff = 500, simulations = 12000 }
"#;

#[test]
fn a_program_in_lines_may_be_impossible_nearly_everywhere() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let campaign = write(directory.path(), "disc.toml", DISC);
    let out = directory.path().join("run");
    let output = run(&[
        "fit",
        text(&campaign),
        "--out",
        text(&out),
        "--workers",
        "2",
    ]);
    let told = errors(&output);
    assert_eq!(status(&output), 0, "{told}");
    let line = " draws of the prior have a likelihood above zero)";
    assert!(told.contains(line), "{told}");
    let found = results(&out);
    let combined = found.summary.combined.expect("weights");
    let evidence = combined.evidence.expect("an evidence");
    let exact = (std::f64::consts::PI * 0.96 / 100.0).ln();
    let error = (evidence.log_evidence - exact) / evidence.error;
    assert!(
        error.abs() < 4.0,
        "{} ± {}",
        evidence.log_evidence,
        evidence.error
    );
    let sd = 0.96f64.sqrt() / 2.0;
    for parameter in &found.summary.parameters {
        let error = sd / combined.n_eff.sqrt();
        assert!(parameter.mean.abs() < 4.5 * error, "{parameter:?}");
        assert!((parameter.sd / sd - 1.0).abs() < 0.15, "{parameter:?}");
    }
    let again = directory.path().join("again");
    fit(&campaign, &again, &["--workers", "1"], &[0]);
    assert_eq!(posterior(&out), posterior(&again));
}

fn posterior(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("posterior.parquet")).expect("posterior.parquet")
}

/// Straight lines with noise of their own, and the same for many at once.
const LINES: &str = r#"
import numpy as np
T = np.linspace(0.0, 1.0, 8)

def simulate(theta, rng):
    x = theta[0] + theta[1] * T + 0.1 * rng.standard_normal(8)
    return x, {"end": theta[0] + theta[1]}

def log_likelihood(theta, x_obs):
    r = (x_obs - theta[0] - theta[1] * T) / 0.1
    return -0.5 * np.sum(r * r) - 8 * np.log(0.1 * np.sqrt(2 * np.pi))

def simulate_many(theta, rng):
    x = theta[:, :1] + theta[:, 1:] * T + 0.1 * rng.standard_normal((len(theta), 8))
    return x, {"end": theta[:, 0] + theta[:, 1]}

def log_likelihood_many(theta, x_obs):
    r = (x_obs - theta[:, :1] - theta[:, 1:] * T) / 0.1
    return -0.5 * np.sum(r * r, axis=1) - 8 * np.log(0.1 * np.sqrt(2 * np.pi))

def slow(theta):
    import os, time
    with open("pids", "a") as pids:
        pids.write(f"{os.getpid()}\n")
    time.sleep(0.02)
    return -0.5 * float(theta @ theta)
"#;

fn lines(directory: &Path, many: &str, more: &str) -> PathBuf {
    write(directory, "model.py", LINES);
    let text = format!(
        r#"
        name = "lines"
        seed = 2
        parameters = [
            {{ name = "a", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
            {{ name = "b", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
        ]
        [simulator]
        python = "model.py:simulate{many}"
        blobs = ["end"]
        {more}
        [likelihood]
        python = "model.py:log_likelihood{many}"
        [observation]
        grid = [0, 1, 2, 3, 4, 5, 6, 7]
        value = [0.31, 0.34, 0.18, 0.25, 0.36, 0.24, 0.09, 0.22]
        [rounds]
        stop = {{ n_eff = 1000, simulations = 4000 }}
        "#
    );
    write(directory, &format!("lines{many}.toml"), &text)
}

#[test]
fn functions_in_python_give_the_same_bytes_however_they_are_run() {
    if python_or_skip().is_none() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    for (many, more) in [("", ""), ("_many", "vectorized = 32")] {
        let campaign = lines(path, many, more);
        let out = |name: &str| path.join(format!("{name}{many}"));
        fit(&campaign, &out("one"), &["--workers", "1"], &[0]);
        fit(&campaign, &out("four"), &["--workers", "4"], &[0]);
        assert!(posterior(&out("one")) == posterior(&out("four")), "{many}");
        let found = results(&out("one"));
        let [a, b, end] = &found.summary.parameters[..] else {
            panic!("{:?}", found.summary.parameters);
        };
        assert_eq!([&a.name, &b.name, &end.name], ["a", "b", "end"]);
        assert!((end.mean - a.mean - b.mean).abs() < 1e-9);
        // The closed form: precision 1 + Σ t^k / 0.01.
        let t: Vec<f64> = (0..8).map(|i| f64::from(i) / 7.0).collect();
        let x = &found.campaign.observation.as_ref().expect("data").value;
        let sum = |f: &dyn Fn(usize) -> f64| (0..8).map(f).sum::<f64>() / 0.01;
        let (p, q, r) = (
            1.0 + sum(&|_| 1.0),
            sum(&|i| t[i]),
            1.0 + sum(&|i| t[i] * t[i]),
        );
        let (u, v) = (sum(&|i| x[i]), sum(&|i| t[i] * x[i]));
        let determinant = p * r - q * q;
        let exact = [(r * u - q * v) / determinant, (p * v - q * u) / determinant];
        for (found, exact) in [a, b].into_iter().zip(exact) {
            assert!(
                (found.mean - exact).abs() < 5.0 * found.sd / 1000f64.sqrt(),
                "{found:?} {exact}"
            );
        }
    }
    // Killed on the way, it goes on and comes to the same.
    let campaign = lines(path, "", "");
    let out = path.join("killed");
    let mut running = start_fit(&campaign, &out, &["--workers", "2"]);
    let begun = Instant::now();
    while !out.join("rounds/002").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no second round");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill().expect("killed");
    running.wait().expect("ended");
    fit(&campaign, &out, &["--workers", "1"], &[0]);
    assert!(posterior(&out) == posterior(&path.join("one")));
}

#[test]
fn no_child_outlives_a_killed_worker_and_a_changed_model_is_refused() {
    if python_or_skip().is_none() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    write(path, "model.py", LINES);
    let pids = path.join("pids");
    let model = format!("import os\nos.chdir({:?})\n{LINES}", text(path));
    write(path, "slow.py", &model);
    let campaign = write(
        path,
        "slow.toml",
        "name = \"slow\"\nparameters = [{ name = \"a\", prior = { normal = { mean = 0.0, sd = 1.0 } } }]\n[likelihood]\n\
         python = \"slow.py:slow\"\n",
    );
    let out = path.join("slow");
    let mut running = start_fit(&campaign, &out, &["--workers", "2"]);
    let begun = Instant::now();
    let known = || -> Vec<String> {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
        all.sort();
        all.dedup();
        all
    };
    // One that tries the model out, and one a worker.
    while known().len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", known());
        std::thread::sleep(Duration::from_millis(20));
    }
    running.kill().expect("killed");
    running.wait().expect("ended");
    let killed = Instant::now();
    let lives = |pid: &String| {
        let asked = Command::new("kill")
            .args(["-0", pid])
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    while known().iter().any(lives) {
        assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", known());
        std::thread::sleep(Duration::from_millis(20));
    }
    write(path, "slow.py", &format!("{model}# another one\n"));
    let refused = run(&["fit", text(&campaign), "--out", text(&out)]);
    assert_eq!(status(&refused), 2);
    let told = errors(&refused);
    assert!(
        told.contains("slow.py:slow has changed since the campaign began"),
        "{told}"
    );
}

#[test]
fn models_that_cannot_run_are_told_before_a_round() {
    if python_or_skip().is_none() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    let bad = "import numpy as np\ndef raises(theta):\n    star = {}\n    return star['mass']\n\
               def nan(theta):\n    return np.nan\ndef shape(theta):\n    return np.zeros(3)\n";
    write(path, "bad.py", bad);
    write(path, "imports.py", "import no_such_module\n");
    for (function, expected) in [
        (
            "bad.py:raises",
            "bad.py:raises has no answer for 4 draws of the prior: KeyError: 'mass' (bad.py, line 4, in raises)",
        ),
        (
            "bad.py:nan",
            "bad.py:nan has no answer for 4 draws of the prior: log_likelihood gave nan, expected a number or -inf",
        ),
        (
            "bad.py:shape",
            "bad.py:shape has no answer for 4 draws of the prior: log_likelihood gave ",
        ),
        ("bad.py:nothing", "bad.py has no nothing, it has "),
        (
            "imports.py:f",
            "No module named 'no_such_module' (imports.py, line 1, in <module>)",
        ),
    ] {
        let campaign = format!(
            "name = \"bad\"\nparameters = [{{ name = \"a\", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }}]\n\
             [likelihood]\npython = \"{function}\"\n"
        );
        let campaign = write(path, "bad.toml", &campaign);
        let out = path.join("bad");
        let output = run(&["fit", text(&campaign), "--out", text(&out)]);
        let told = errors(&output);
        assert_eq!(status(&output), 2, "{told}");
        assert!(told.contains(expected), "{told}");
        assert!(!out.exists());
    }
}

#[test]
fn predictions_with_a_model_in_python_are_those_of_the_same_model_built_in() {
    if python_or_skip().is_none() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    write(
        path,
        "model.py",
        "def simulate(theta):\n    return [theta[0], 2.0 * theta[1]]\n",
    );
    let observation = "grid,value,sigma\n0,0.3,0.1\n1,-0.4,0.2\n";
    let observation = write(path, "x.csv", observation);
    let predictions: Vec<Vec<u8>> = [
        ("python = \"model.py:simulate\"", "python"),
        (
            "builtin = \"linear-gaussian\"\nmatrix = [[1, 0], [0, 2]]",
            "builtin",
        ),
    ]
    .into_iter()
    .map(|(model, name)| {
        let campaign = format!(
            r#"
            name = "any"
            parameters = [
                {{ name = "a", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
                {{ name = "b", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }},
            ]
            [simulator]
            {model}
            grid = [0.0, 1.0]
            [noise]
            gaussian = {{ sigma = {{ uniform = {{ low = 0.05, high = 0.3 }} }} }}
            [training]
            max_epochs = 2
            [rounds]
            simulations = 64
            "#
        );
        let campaign = write(path, &format!("{name}.toml"), &campaign);
        let (out, found) = (path.join(name), path.join(format!("{name}-x")));
        fit(&campaign, &out, &[], &[0]);
        let arguments = ["predict", text(&out), text(&observation), "--out"];
        let more = [text(&found), "--draws", "200", "-q"];
        let output = run(&[&arguments[..], &more].concat());
        assert!([0, 3].contains(&status(&output)), "{}", errors(&output));
        std::fs::read(found.join("x/posterior.parquet")).expect("a posterior")
    })
    .collect();
    assert!(predictions[0] == predictions[1]);
}
