//! Results and models that have changed, limits of the machine, and places where nothing can be written: each ends
//! with a message that says what was found and what is expected.

use crate::setup::{errors, fit, run, sidereal, status, text, write};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const SMALL: &str = r#"
name = "small"
parameters = [
    { name = "a", prior = { normal = { mean = 0.0, sd = 1.0 } } },
    { name = "b", prior = { uniform = { low = -1.0, high = 3.0 } } },
]
[simulator]
builtin = "linear-gaussian"
[featurizer]
kind = "mlp"
layers = 1
hidden = 4
features = 4
[flow]
blocks = 1
hidden = 4
components = 2
[training]
max_epochs = 2
[rounds]
max = 1
simulations = 64
"#;
const OBSERVED: &str = "[observation]\ngrid = [0.0, 1.0]\nvalue = [0.1, 0.2]\nsigma = [0.5, 0.5]\n";
const AMORTIZED: &str = "grid = [0.0, 1.0]\n[noise]\ngaussian = { sigma = 0.5 }\n";

fn campaign(directory: &Path) -> PathBuf {
    write(directory, "small.toml", &format!("{SMALL}{OBSERVED}"))
}

fn again(campaign: &Path, out: &Path) -> Output {
    run(&["fit", text(campaign), "--out", text(out)])
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_changed_result_is_refused_by_report_and_mended_by_fit() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (campaign, out) = (campaign(directory.path()), directory.path().join("out"));
    let first = fit(&campaign, &out, &[], &[0, 3]);
    let posterior = out.join("posterior.parquet");
    let good = fs::read(&posterior).expect("read");
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 1;
    fs::write(&posterior, &changed).expect("change");
    let n_records = || {
        fs::read_dir(out.join("journal"))
            .expect("a journal")
            .count()
    };
    let before = n_records();

    let output = run(&["report", text(&out)]);
    assert_eq!(status(&output), 1, "{}", errors(&output));
    let hash = sidereal_inference::base::files::sha256_hex;
    for part in [
        text(&posterior),
        &hash(&changed),
        &hash(&good),
        "`sidereal fit`",
    ] {
        assert!(
            errors(&output).contains(part),
            "`{part}` is not in: {}",
            errors(&output)
        );
    }
    assert_eq!(
        fs::read(&posterior).expect("read"),
        changed,
        "report mends nothing"
    );

    let output = again(&campaign, &out);
    assert_eq!(output.status, first.status, "{}", errors(&output));
    assert!(
        errors(&output).contains("written again from the recorded shards"),
        "{}",
        errors(&output)
    );
    assert_eq!(fs::read(&posterior).expect("read"), good);
    assert_eq!(stdout(&output), stdout(&first));
    assert_eq!(n_records(), before, "a finished campaign is only read");

    // Without what it would be written from it is refused, and left as it is.
    fs::write(&posterior, &changed).expect("change");
    fs::remove_dir_all(out.join("rounds/000/shards")).expect("remove");
    let output = again(&campaign, &out);
    assert_eq!(status(&output), 1, "{}", errors(&output));
    assert!(
        errors(&output).contains("the results cannot be written again"),
        "{}",
        errors(&output)
    );
    assert_eq!(fs::read(&posterior).expect("read"), changed);
}

#[test]
fn predict_refuses_an_edited_model_with_the_field() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let campaign = write(
        directory.path(),
        "amortized.toml",
        &SMALL.replace("[featurizer]", &format!("{AMORTIZED}[featurizer]")),
    );
    let out = directory.path().join("out");
    fit(&campaign, &out, &[], &[0]);
    let observation = write(
        directory.path(),
        "observed.csv",
        "t,value,sigma\n0,0.1,0.5\n1,0.2,0.5\n",
    );
    let predictions = directory.path().join("predictions");
    let predict = |out: &Path| {
        run(&[
            "predict",
            text(&directory.path().join("out")),
            text(&observation),
            "--draws",
            "50",
            "--out",
            text(out),
        ])
    };
    let output = predict(&predictions);
    assert!([0, 3].contains(&status(&output)), "{}", errors(&output));

    // A folder of the kernel's, in which not even root makes files.
    #[cfg(target_os = "linux")]
    {
        let output = predict(Path::new("/proc/self/fdinfo"));
        assert_eq!(status(&output), 2, "{}", errors(&output));
        assert!(
            errors(&output).contains("/proc/self/fdinfo/observed"),
            "{}",
            errors(&output)
        );
    }

    let model = out.join("model/model.json");
    let document = fs::read_to_string(&model).expect("model.json");
    let edited = document.replacen("\"hidden\": 4", "\"hidden\": 9007199254740992", 1);
    assert_ne!(edited, document);
    fs::write(&model, edited).expect("edit");
    let output = predict(&predictions);
    assert_eq!(status(&output), 2, "{}", errors(&output));
    for part in [
        "model.json",
        "featurizer.hidden",
        "found 9007199254740992, expected a whole number from 1 to 4096",
    ] {
        assert!(
            errors(&output).contains(part),
            "`{part}` is not in: {}",
            errors(&output)
        );
    }
}

#[test]
fn more_workers_than_a_process_can_have_are_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (good, out) = (campaign(directory.path()), directory.path().join("out"));
    let output = run(&[
        "fit",
        text(&good),
        "--out",
        text(&out),
        "--workers",
        "10000",
    ]);
    assert_eq!(status(&output), 2);
    assert!(errors(&output).contains("1..=1000"), "{}", errors(&output));
    let many = write(
        directory.path(),
        "many.toml",
        &format!("{SMALL}{OBSERVED}[workers]\ncount = 10_000\n"),
    );
    let output = run(&["fit", text(&many), "--out", text(&out)]);
    assert_eq!(status(&output), 2);
    assert!(
        errors(&output)
            .contains("workers.count: found 10000, expected a whole number from 1 to 1000"),
        "{}",
        errors(&output)
    );
    assert!(!out.exists(), "something was written");
}

#[cfg(target_os = "linux")]
#[test]
fn places_where_nothing_can_be_written_are_refused_with_the_path() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let good = campaign(directory.path());
    for out in ["/proc/nowhere/out", text(&good)] {
        let output = run(&["fit", text(&good), "--out", out]);
        assert_eq!(status(&output), 2, "{}", errors(&output));
        assert!(errors(&output).contains(out), "{}", errors(&output));
    }
}

/// The soft limit is raised as far as it goes; a hard one is told.
#[cfg(unix)]
#[test]
fn too_few_open_files_are_raised_or_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (good, out) = (campaign(directory.path()), directory.path().join("out"));
    let limited = |limit: &str, out: &Path| {
        let fit = sidereal(&[
            "fit",
            text(&good),
            "--out",
            text(out),
            "--workers",
            "2",
            "-q",
        ]);
        let program = fit.get_program().to_str().expect("UTF-8").to_owned();
        let arguments: Vec<String> = fit
            .get_args()
            .map(|argument| argument.to_str().expect("UTF-8").to_owned())
            .collect();
        std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit {limit} && exec \"$0\" \"$@\""))
            .arg(program)
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("sh starts")
    };
    let output = limited("-n 40", &out);
    assert_eq!(status(&output), 2, "{}", errors(&output));
    assert!(
        errors(&output).contains("this process may have 40 files open, expected at least 136"),
        "{}",
        errors(&output)
    );
    assert!(!out.exists(), "something was written");
    let output = limited("-Sn 40", &out);
    assert!([0, 3].contains(&status(&output)), "{}", errors(&output));
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("temporary directory");
    let (good, out) = (campaign(directory.path()), directory.path().join("out"));
    let output = fit(&good, &out, &[], &[0, 3]);
    assert!(
        !errors(&output).contains("access.key"),
        "{}",
        errors(&output)
    );
    let key = out.join("access.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("rights");
    let output = fit(&good, &out, &["--workers", "1"], &[0, 3]);
    // It is finished, so that nobody is served; one more round brings a coordinator.
    assert!(
        !errors(&output).contains("access.key"),
        "{}",
        errors(&output)
    );
    let more = write(
        directory.path(),
        "more.toml",
        &format!("{SMALL}{OBSERVED}").replace("max = 1\n", "max = 2\n"),
    );
    let output = fit(&more, &out, &[], &[0, 3]);
    let expected = format!("{}: has mode 644, expected 600", key.display());
    assert!(errors(&output).contains(&expected), "{}", errors(&output));
}

#[test]
fn a_folder_in_which_nothing_was_begun_is_no_campaign() {
    let directory = tempfile::tempdir().expect("temporary directory");
    write(
        directory.path(),
        "campaign.toml",
        &format!("{SMALL}{OBSERVED}"),
    );
    let folder = text(directory.path());
    for arguments in [
        vec!["report", folder],
        vec!["repair", folder],
        vec!["draw", folder, "--n-eff", "100"],
    ] {
        let output = run(&arguments);
        let message = errors(&output);
        assert_eq!(status(&output), 2, "{arguments:?}: {message}");
        assert!(
            message.contains("no campaign was begun here"),
            "{arguments:?}: {message}"
        );
    }
    let output = run(&["draw", folder, "--n-eff", "-3"]);
    let message = errors(&output);
    assert_eq!(status(&output), 2);
    assert!(
        message.contains("found \"-3\", expected a positive number"),
        "{message}"
    );
}
