//! A campaign of a guest as separate processes, with stock ones beside it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Fewer simulations than the example's, and hardly any training.
fn small_campaign(directory: &Path) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(example.join("campaign.toml")).expect("the example");
    let text = text.replace(
        "stop = { n_eff = 2000, simulations = 30000 }",
        "stop = { simulations = 2000 }\n[training]\nmax_epochs = 2",
    );
    assert!(text.contains("max_epochs"), "the example has other rounds");
    std::fs::copy(
        example.join("observation.csv"),
        directory.join("observation.csv"),
    )
    .expect("copy");
    let path = directory.join("campaign.toml");
    std::fs::write(&path, text).expect("write");
    path
}

fn own(arguments: &[&str]) -> Command {
    command(Path::new(env!("CARGO_BIN_EXE_own-model")), arguments)
}

/// `sidereal` as everyone has it: built with the workspace, beside our own program.
fn stock(arguments: &[&str]) -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_own-model")).with_file_name("sidereal");
    assert!(
        path.exists(),
        "{} is not built: run cargo test --workspace",
        path.display()
    );
    command(&path, arguments)
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn ended(mut command: Command, expected: i32) -> Output {
    let output = command.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{errors}");
    output
}

fn errors(output: &Output) -> String {
    // Log lines and long messages are wrapped nowhere.
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn started(mut command: Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

#[test]
fn three_processes_give_the_bytes_of_one_and_stock_ones_are_refused_by_name() {
    let place = tempfile::tempdir().expect("temporary directory");
    let campaign = small_campaign(place.path());
    let (one, three) = (place.path().join("one"), place.path().join("three"));
    let statuses = own(&[
        "fit",
        text(&campaign),
        "--out",
        text(&one),
        "--device",
        "cpu",
        "-q",
    ])
    .output()
    .expect("it starts")
    .status
    .code();
    // Two epochs give no good flow.
    assert!(matches!(statuses, Some(0 | 3)), "{statuses:?}");

    let mut coordinator = started(own(&[
        "coordinator",
        text(&campaign),
        "--dir",
        text(&three),
        "--listen",
        "127.0.0.1:0",
        "--advertise",
        "127.0.0.1",
        "--device",
        "cpu",
    ]));
    let access = three.join("access.json");
    let waited = Instant::now();
    while !access.exists() {
        assert!(waited.elapsed() < Duration::from_secs(60), "no access file");
        std::thread::sleep(Duration::from_millis(50));
    }

    let refused = ended(stock(&["worker", "--access", text(&access)]), 2);
    let message = errors(&refused);
    assert!(
        message.contains("has the built-in models only, the model of \"own-model\" is radial-velocity (a guest, version 1)"),
        "{message}"
    );
    let mut worker = started(own(&["worker", "--access", text(&access)]));
    // Trainers know no forward model.
    let mut trainer = started(stock(&["trainer", "--access", text(&access)]));
    let status = coordinator.wait().expect("it ends").code();
    assert_eq!(status, statuses);
    for peer in [&mut worker, &mut trainer] {
        assert_eq!(peer.wait().expect("it ends").code(), Some(0));
    }
    let posterior =
        |directory: &Path| std::fs::read(directory.join("posterior.parquet")).expect("a posterior");
    assert!(posterior(&one) == posterior(&three), "other bytes");

    // What is there can be looked at, and no more.
    let report = stock(&["report", text(&three)])
        .output()
        .expect("it starts");
    assert!(
        matches!(report.status.code(), Some(0 | 3)),
        "{}",
        errors(&report)
    );
    let refused = ended(stock(&["fit", text(&campaign), "--dry-run"]), 2);
    let message = errors(&refused);
    assert!(
        message
            .contains("simulator.guest: found \"radial-velocity\", but this program has no guests"),
        "{message}"
    );
}
