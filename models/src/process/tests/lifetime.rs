//! No process is left.

use super::*;
use rustix::process::{Pid, test_kill_process};
use std::time::Instant;

/// Where a test that is started again by itself finds what it is to do.
const HOLDER: &str = "SIDEREAL_TEST_HOLDER";

const PYTHON: &str = r#"
import os, pathlib, subprocess
sleeper = subprocess.Popen(["sleep", "1000"])
here = pathlib.Path(__file__).parent
pids = here / f"pids-{os.getpid()}"
(pids.with_suffix(".new")).write_text(f"{os.getpid()} {sleeper.pid}")
(pids.with_suffix(".new")).rename(pids)
def simulate(theta):
    while (here / "hang").exists():
        pass
    return theta
"#;

/// The processes that the children of a model have told of.
fn pids(directory: &Path) -> Vec<i32> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("pids-") && !name.ends_with(".new") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            pids.extend(text.split(' ').map(|pid| pid.parse::<i32>().unwrap()));
        }
    }
    pids
}

/// A zombie is no process any more, but that its parent has to look.
fn is_alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = status
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'));
    !is_zombie && test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        let waited = began.elapsed();
        assert!(
            waited < Duration::from_secs(60),
            "{what}: not so after 60 s"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn children_in(directory: &Path, interpreter: PathBuf) -> Children {
    let hello = Hello {
        functions: python_functions(directory, PYTHON, &["simulate"]),
        ..hello(1, 1)
    };
    Children::start(settings(Program::Python { interpreter }, hello, 2)).unwrap()
}

#[test]
fn children_and_theirs_are_gone_when_the_pool_is() {
    let Some(interpreter) = python_or_skip("numpy, pyarrow") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let children = children_in(directory.path(), interpreter);
    for _ in 0..2 {
        // Not killed with the threads that a run has.
        run(&children, &rows(0, 5, 1));
    }
    let pids = pids(directory.path());
    // Where the first child was quick, the other one was not needed.
    assert!([2, 4].contains(&pids.len()), "found {pids:?}");
    assert!(pids.iter().copied().all(is_alive));
    drop(children);
    wait_until("all are gone", || !pids.iter().copied().any(is_alive));
}

/// No test, but the process that the next one kills.
#[test]
fn holder() {
    let Some(directory) = std::env::var_os(HOLDER) else {
        return;
    };
    let children = children_in(Path::new(&directory), interpreter(None));
    let answers = run(&children, &rows(0, 2, 1));
    panic!("found {answers:?}, expected to be killed before");
}

#[test]
fn children_end_when_the_worker_is_killed() {
    if python_or_skip("numpy, pyarrow").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("hang"), "").unwrap();
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::tests::lifetime::holder"])
        .env(HOLDER, directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("two children run", || pids(directory.path()).len() == 4);
    let pids = pids(directory.path());
    assert!(pids.iter().copied().all(is_alive));
    worker.kill().unwrap();
    worker.wait().unwrap();
    wait_until("all are gone", || !pids.iter().copied().any(is_alive));
}
