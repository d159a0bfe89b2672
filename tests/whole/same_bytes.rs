//! The same campaign gives the same bytes whatever the number of workers and whenever it is killed.

use crate::setup::{fit, start_fit, summary_without_timing, write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CAMPAIGN: &str = r#"
name = "bytes"
seed = 5
parameters = [
    { name = "phi0", prior = { uniform = { low = 0.0, high = 6.283185307179586 } } },
    { name = "A", prior = { normal = { mean = 1.0, sd = 0.5 } } },
    { name = "omega", prior = { uniform = { low = 4.0, high = 8.0 } } },
]
[simulator]
builtin = "sine"
[observation]
grid = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
value = [0.5, 0.9, 1.0, 0.9, 0.6, 0.1, -0.4, -0.8, -1.0, -0.9, -0.6, -0.1]
sigma = [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
[featurizer]
kind = "mlp"
hidden = 32
[flow]
kind = "maf"
blocks = 2
hidden = 32
components = 3
[training]
max_epochs = 40
[rounds]
max = 3
simulations = 600
[rounds.stop]
n_eff = 100000
top_up = 500
"#;

/// What must not differ: the posterior, its samples, the fit, the model's weights, the summary outside `timing`.
fn fingerprint(out: &Path) -> ([Vec<u8>; 4], serde_json::Value) {
    let files = [
        "posterior.parquet",
        "samples.parquet",
        "fit.parquet",
        "model/weights.safetensors",
    ];
    (
        files.map(|name| std::fs::read(out.join(name)).expect(name)),
        summary_without_timing(out),
    )
}

fn campaign(directory: &Path) -> PathBuf {
    write(directory, "campaign.toml", CAMPAIGN)
}

#[test]
fn one_or_four_workers_and_any_batch_size() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let campaign = campaign(directory.path());
    let small_batches = write(
        directory.path(),
        "small.toml",
        &format!("{CAMPAIGN}[workers]\nbatch_rows = 17\n"),
    );
    let outs: Vec<PathBuf> = ["one", "four", "small"]
        .iter()
        .map(|name| directory.path().join(name))
        .collect();
    fit(
        &campaign,
        &outs[0],
        &["--workers", "1", "--threads", "1"],
        &[0, 3],
    );
    fit(
        &campaign,
        &outs[1],
        &["--workers", "4", "--threads", "3"],
        &[0, 3],
    );
    fit(&small_batches, &outs[2], &["--workers", "3"], &[0, 3]);
    let expected = fingerprint(&outs[0]);
    assert!(
        expected == fingerprint(&outs[1]),
        "four workers differ from one"
    );
    assert!(expected == fingerprint(&outs[2]), "small batches differ");
}

#[test]
fn a_surrogate_with_other_threads_and_a_kill() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let surrogate = CAMPAIGN.replace("max_epochs = 40", "max_epochs = 40\nsurrogate = true");
    let campaign = write(directory.path(), "campaign.toml", &surrogate);
    let (calm, killed) = (
        directory.path().join("calm"),
        directory.path().join("killed"),
    );
    fit(
        &campaign,
        &calm,
        &["--workers", "1", "--threads", "1"],
        &[0, 3],
    );
    let mut child = start_fit(&campaign, &killed, &[]);
    kill_once(|| holds(&killed, "rounds/001/shards/"), &mut child);
    fit(
        &campaign,
        &killed,
        &["--workers", "4", "--threads", "3"],
        &[0, 3],
    );
    let (calm, killed) = (fingerprint(&calm), fingerprint(&killed));
    assert!(calm == killed, "threads and a kill make a difference");
    let training = calm.1["training"].as_array().expect("a list");
    assert_eq!(training[0]["objective"], "surrogate_draws");
}

/// Waits until `path` exists and kills the process with SIGKILL; false where it ended first.
fn kill_once(path: impl Fn() -> bool, child: &mut std::process::Child) -> bool {
    let started = Instant::now();
    while !path() {
        if child
            .try_wait()
            .expect("the process can be asked")
            .is_some()
        {
            return false;
        }
        assert!(
            started.elapsed() < Duration::from_secs(300),
            "the phase did not come"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("the process ends");
    true
}

/// Whether a file below `directory` has a path that contains `part`.
fn holds(directory: &Path, part: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            holds(&path, part)
        } else {
            path.to_string_lossy().contains(part)
        }
    })
}

#[test]
fn killed_in_each_phase_and_resumed() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let campaign = campaign(directory.path());
    let calm = directory.path().join("calm");
    fit(&campaign, &calm, &[], &[0, 3]);
    let expected = fingerprint(&calm);

    let out = directory.path().join("killed");
    let phases = [
        "rounds/000/shards/",
        "rounds/000/model/",
        "weights.safetensors",
        "rounds/001/shards/",
        "rounds/001/model/",
        "rounds/002/shards/",
        "posterior.parquet",
    ];
    let mut n_kills = 0;
    for phase in phases {
        let mut child = start_fit(&campaign, &out, &[]);
        if kill_once(|| holds(&out, phase), &mut child) {
            n_kills += 1;
        }
    }
    assert!(
        n_kills >= 5,
        "only {n_kills} of {} phases were met alive",
        phases.len()
    );
    fit(&campaign, &out, &[], &[0, 3]);
    assert!(
        expected == fingerprint(&out),
        "a killed and resumed campaign differs"
    );
    // A finished campaign says its result again and changes nothing.
    fit(&campaign, &out, &[], &[0, 3]);
    assert!(expected == fingerprint(&out), "a finished campaign changed");
}
