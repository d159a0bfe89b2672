//! `sidereal repair`: shards that are cut, changed or gone, of a finished and of an unfinished campaign; afterwards the
//! results are those of a calm run, byte for byte.

use crate::setup::{errors, fit, run, start_fit, status, text, write};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

const CAMPAIGN: &str = r#"
name = "repair"
seed = 5
parameters = [
    { name = "phi0", prior = { uniform = { low = 0.0, high = 6.283185307179586 } } },
    { name = "A", prior = { normal = { mean = 1.0, sd = 0.5 } } },
    { name = "omega", prior = { uniform = { low = 4.0, high = 8.0 } } },
]
[simulator]
builtin = "sine"
[observation]
grid = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
value = [0.5, 0.9, 1.0, 0.9, 0.6, 0.1]
sigma = [0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
[featurizer]
kind = "mlp"
hidden = 8
[flow]
blocks = 1
hidden = 8
components = 2
[training]
max_epochs = 5
[rounds]
max = 2
simulations = 300
[rounds.stop]
n_eff = 100000
top_up = 0
[workers]
batch_rows = 50
"#;

const TIMEOUT: Duration = Duration::from_secs(120);

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The shards of a round, in row order.
fn shards(out: &Path, round: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(out.join(format!("rounds/{round}/shards"))) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
        .collect();
    paths.sort();
    paths
}

fn aside(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.damaged", path.display()))
}

/// Cuts the first shard, changes a byte of the second, removes the third; what they held.
fn damage(shards: &[PathBuf]) -> Vec<Vec<u8>> {
    let good: Vec<Vec<u8>> = shards[..3]
        .iter()
        .map(|path| fs::read(path).expect("a shard"))
        .collect();
    fs::write(&shards[0], &good[0][..good[0].len() / 3]).expect("cut");
    let mut changed = good[1].clone();
    changed[good[1].len() / 2] ^= 1;
    fs::write(&shards[1], changed).expect("change");
    fs::remove_file(&shards[2]).expect("remove");
    good
}

/// What is said of shards that [`damage`] has damaged.
fn complaints(shards: &[PathBuf], good: &[Vec<u8>]) -> [String; 3] {
    let hash = sidereal_inference::base::files::sha256_hex;
    let changed = fs::read(&shards[1]).expect("changed");
    [
        format!(
            "{}: the size is {} bytes, expected {} bytes",
            shards[0].display(),
            good[0].len() / 3,
            good[0].len()
        ),
        format!(
            "{}: the SHA-256 is {}, expected {}",
            shards[1].display(),
            hash(&changed),
            hash(&good[1])
        ),
        format!(
            "cannot read {}: No such file or directory (os error 2)",
            shards[2].display()
        ),
    ]
}

/// `sidereal repair` on three damaged shards: listed, repaired, nothing left to do.
fn repair(out: &Path, shards: &[PathBuf], good: &[Vec<u8>], rows: [&str; 3], n_shards: usize) {
    let complaints = complaints(shards, good);
    let damaged: Vec<Option<Vec<u8>>> =
        shards[..3].iter().map(|path| fs::read(path).ok()).collect();
    let output = run(&["repair", text(out), "--dry-run"]);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    let mut expected: String = complaints
        .iter()
        .zip(rows)
        .map(|(complaint, rows)| format!("{complaint} ({rows})\n"))
        .collect();
    expected += &format!("damaged shards: 3 of {n_shards} committed\n");
    assert_eq!(stdout(&output), expected);
    for (path, damaged) in shards.iter().zip(&damaged) {
        assert_eq!(fs::read(path).ok(), *damaged, "a dry run changes nothing");
        assert!(!aside(path).exists());
    }

    let output = run(&["repair", text(out)]);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    let kept = |path: &Path| format!("the damaged file is kept as {}", aside(path).display());
    let fates = [
        kept(&shards[0]),
        kept(&shards[1]),
        "there was no file to keep".to_owned(),
    ];
    let mut expected: String = complaints
        .iter()
        .zip(rows)
        .zip(fates)
        .map(|((complaint, rows), fate)| {
            format!("{complaint}; {rows} simulated again, the recorded bytes are back; {fate}\n")
        })
        .collect();
    expected += "damaged shards repaired: 3\n";
    assert_eq!(stdout(&output), expected);
    for ((path, good), damaged) in shards.iter().zip(good).zip(damaged) {
        assert_eq!(fs::read(path).expect("a shard"), *good);
        assert_eq!(fs::read(aside(path)).ok(), damaged);
    }

    let output = run(&["repair", text(out)]);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    assert_eq!(
        stdout(&output),
        format!("all {n_shards} committed shards are as the journal records them\n")
    );
}

/// Whether a message names the shard and the way on.
fn says_the_way_on(output: &Output, shard: &Path, out: &Path) {
    assert_eq!(status(output), 1, "{}", errors(output));
    for part in [text(shard), &format!("`sidereal repair {}`", out.display())] {
        assert!(
            errors(output).contains(part),
            "`{part}` is not in: {}",
            errors(output)
        );
    }
}

/// The file of this name below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut paths = fs::read_dir(folder)
        .ok()?
        .map(|entry| entry.expect("entry").path());
    paths.find_map(|path| {
        if path.is_dir() {
            find(&path, name)
        } else {
            path.ends_with(name).then_some(path)
        }
    })
}

/// `sidereal coordinator` on a finished campaign, which ends by itself.
fn coordinator(campaign: &Path, out: &Path) -> Output {
    run(&[
        "coordinator",
        text(campaign),
        "--dir",
        text(out),
        "--listen",
        "127.0.0.1:0",
    ])
}

#[test]
fn a_finished_campaign_gets_its_shards_back_and_then_its_posterior() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let campaign = write(directory.path(), "campaign.toml", CAMPAIGN);
    let out = directory.path().join("out");
    fit(&campaign, &out, &["--workers", "1"], &[0, 3]);
    let posterior = out.join("posterior.parquet");
    let good_posterior = fs::read(&posterior).expect("posterior.parquet");
    let of_round = shards(&out, "001");
    assert_eq!(of_round.len(), 6);
    let n_shards = of_round.len() + shards(&out, "000").len();
    let good = damage(&of_round);

    // The results themselves are whole: they are told, and nothing is read that is not needed.
    fit(&campaign, &out, &[], &[0, 3]);
    let mut changed = good_posterior.clone();
    changed[good_posterior.len() / 2] ^= 1;
    fs::write(&posterior, &changed).expect("change");
    let output = run(&["fit", text(&campaign), "--out", text(&out)]);
    says_the_way_on(&output, &of_round[0], &out);
    says_the_way_on(&coordinator(&campaign, &out), &of_round[0], &out);
    assert_eq!(fs::read(&posterior).expect("read"), changed);

    let rows = [
        "rows 0 to 49 of round 1",
        "rows 50 to 99 of round 1",
        "rows 100 to 149 of round 1",
    ];
    repair(&out, &of_round, &good, rows, n_shards);
    // A coordinator notices the posterior too, and writes it again.
    let output = coordinator(&campaign, &out);
    assert!([0, 3].contains(&status(&output)), "{}", errors(&output));
    let said = "was not as the journal records it; written again from the recorded shards";
    assert!(errors(&output).contains(said), "{}", errors(&output));
    assert_eq!(fs::read(&posterior).expect("read"), good_posterior);

    // What can be repaired is, and the rest is told.
    let of_prior = &shards(&out, "000")[0];
    let good = fs::read(of_prior).expect("a shard");
    for shard in [of_prior, &of_round[0]] {
        fs::write(shard, "cut").expect("cut");
    }
    let draws = find(&out.join("rounds"), "draws.parquet").expect("draws");
    fs::remove_file(&draws).expect("remove");
    let output = run(&["repair", text(&out)]);
    assert_eq!(status(&output), 1, "{}", errors(&output));
    let said = stdout(&output);
    assert!(
        said.contains("rows 0 to 49 of round 0 simulated again, the recorded bytes are back"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let part = format!(
        "rows 0 to 49 of round 1 cannot be simulated again: cannot read {}: ",
        draws.display()
    );
    for part in [&part, "damaged shards repaired: 1 of 2"] {
        assert!(errors(&output).contains(part), "{}", errors(&output));
    }
    assert_eq!(fs::read(of_prior).expect("read"), good);
    assert_eq!(fs::read(&of_round[0]).expect("read"), b"cut");
}

#[test]
fn an_unfinished_campaign_goes_on_to_the_same_posterior() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let campaign = write(directory.path(), "campaign.toml", CAMPAIGN);
    let calm = directory.path().join("calm");
    fit(&campaign, &calm, &["--workers", "1"], &[0, 3]);
    let expected = fs::read(calm.join("posterior.parquet")).expect("posterior.parquet");

    let out = directory.path().join("out");
    // Stopped once there are shards of the second round: those of the first are committed.
    let mut child = start_fit(&campaign, &out, &["--workers", "1"]);
    let started = Instant::now();
    while shards(&out, "001").is_empty() {
        assert!(started.elapsed() < TIMEOUT, "no second round");
        assert!(child.try_wait().expect("asked").is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    let refused = run(&["repair", text(&out)]);
    child.kill().expect("SIGKILL");
    child.wait().expect("the process ends");
    assert_eq!(status(&refused), 2, "{}", errors(&refused));
    assert!(
        errors(&refused).contains("the campaign is served already, by run "),
        "{}",
        errors(&refused)
    );
    assert!(!out.join("posterior.parquet").exists(), "it had finished");

    let of_round = shards(&out, "000");
    let good = damage(&of_round);
    let output = run(&["fit", text(&campaign), "--out", text(&out), "-q"]);
    says_the_way_on(&output, &of_round[0], &out);
    let output = run(&["repair", text(&out), "--dry-run"]);
    let list = stdout(&output);
    let last = list.lines().last().expect("a line");
    let n_shards: usize = last
        .strip_prefix("damaged shards: 3 of ")
        .and_then(|rest| rest.split(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{list}"));
    assert!((6..=12).contains(&n_shards), "{list}");
    let rows = [
        "rows 0 to 49 of round 0",
        "rows 50 to 99 of round 0",
        "rows 100 to 149 of round 0",
    ];
    repair(&out, &of_round, &good, rows, n_shards);
    fit(&campaign, &out, &["--workers", "1"], &[0, 3]);
    assert_eq!(
        fs::read(out.join("posterior.parquet")).expect("posterior.parquet"),
        expected
    );
}

#[test]
fn what_is_no_campaign_is_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    for (place, expected) in [
        (directory.path().to_owned(), "it has no campaign.toml"),
        (directory.path().join("nowhere"), "nowhere"),
    ] {
        let output = run(&["repair", text(&place)]);
        assert_eq!(status(&output), 2, "{}", errors(&output));
        assert!(errors(&output).contains(expected), "{}", errors(&output));
    }
}
