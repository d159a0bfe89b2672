//! Rows and children that do not go well.

use super::*;
use crate::process::ChildError;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What failed, by row; all other rows have answered what `expected` says.
fn failed(answers: &Answers, expected: impl Fn(usize) -> f64) -> Vec<(usize, String)> {
    let mut failed = Vec::new();
    for (row, outcome) in answers.outcomes.iter().enumerate() {
        match outcome {
            Ok(()) => assert_eq!(answers.x[row], expected(row), "row {row}"),
            Err(message) => {
                assert!(answers.x[row].is_nan(), "row {row}");
                failed.push((row, message.clone()));
            }
        }
    }
    failed
}

fn same(row: usize) -> f64 {
    row as f64
}

#[test]
fn a_row_fails_at_once_where_the_child_says_so() {
    let script = "while read a; do if [ $a = 7 ]; then echo error: no star; else echo $a; fi; done";
    let children = Children::start(settings(shell(script), hello(1, 1), 2)).unwrap();
    let answers = run(&children, &rows(0, 100, 1));
    assert_eq!(failed(&answers, same), [(7, "no star".to_owned())]);
}

#[test]
fn a_row_that_kills_its_process_fails_alone() {
    let script =
        "while read a; do if [ $a = 300 ]; then echo farewell >&2; kill -9 $$; fi; echo $a; done";
    let children = Children::start(settings(shell(script), hello(1, 1), 2)).unwrap();
    let answers = run(&children, &rows(0, 500, 1));
    let message =
        "tried 3 times: the process was killed by signal 9 (SIGKILL); its last lines: farewell";
    assert_eq!(failed(&answers, same), [(300, message.to_owned())]);
    // All is well again.
    assert_eq!(failed(&run(&children, &rows(0, 300, 1)), same), []);
}

#[test]
fn a_process_that_ends_once_is_replaced_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let flag = directory.path().join("flag");
    let script = format!(
        "while read a; do if [ $a = 5 ] && [ ! -e {0} ]; then : > {0}; exit 3; fi; echo $a; done",
        flag.display()
    );
    let children = Children::start(settings(shell(&script), hello(1, 1), 1)).unwrap();
    assert_eq!(failed(&run(&children, &rows(0, 50, 1)), same), []);
    assert!(flag.exists());
    let script = "read a; exit 3";
    let children = Children::start(settings(shell(script), hello(1, 1), 1)).unwrap();
    let message = "tried 3 times: the process ended with exit code 3";
    assert_eq!(
        failed(&run(&children, &rows(0, 1, 1)), same),
        [(0, message.to_owned())]
    );
}

#[test]
fn a_row_that_hangs_fails_alone() {
    let script = "while read a; do if [ $a = 20 ]; then sleep 1000; fi; echo $a; done";
    let mut settings = settings(shell(script), hello(1, 1), 2);
    settings.row_limit = Duration::from_millis(100);
    settings.setup_limit = Duration::ZERO;
    let children = Children::start(settings).unwrap();
    let answers = run(&children, &rows(0, 30, 1));
    let message = "tried 2 times: took longer than 0.1 s";
    assert_eq!(failed(&answers, same), [(20, message.to_owned())]);
}

#[test]
fn nonsense_is_a_failed_row_that_says_so() {
    let script = "while read a; do if [ $a = 2 ]; then echo 1 2; else echo $a; fi; done";
    let children = Children::start(settings(shell(script), hello(1, 1), 1)).unwrap();
    let message = "tried 3 times: found 2 numbers in a line, expected 1";
    let answers = run(&children, &rows(0, 10, 1));
    assert_eq!(failed(&answers, same), [(2, message.to_owned())]);
}

const PYTHON: &str = r#"
import ctypes, os, pathlib
here = pathlib.Path(__file__).parent
def simulate(theta):
    row = int(theta[0])
    if row == 10:
        raise ValueError("no such star")
    if row == 20:
        raise MemoryError("for good")
    if row == 30 and not (here / "once").exists():
        (here / "once").touch()
        raise MemoryError
    if row == 40:
        ctypes.string_at(0)
    if row == 50:
        return [float("nan")]
    print("a line to standard output")
    theta[0] = -1
    return [row]
"#;

#[test]
fn functions_in_python_fail_row_by_row() {
    let Some(interpreter) = python_or_skip("numpy, pyarrow") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let hello = Hello {
        functions: python_functions(directory.path(), PYTHON, &["simulate"]),
        ..hello(1, 1)
    };
    let children = Children::start(settings(Program::Python { interpreter }, hello, 2)).unwrap();
    let failed = failed(&run(&children, &rows(0, 200, 1)), same);
    let [raised, memory, crashed, nan] = failed.as_slice() else {
        panic!("found {failed:?}");
    };
    let line = "(model.py, line 7, in simulate)";
    assert_eq!(*raised, (10, format!("ValueError: no such star {line}")));
    let message = "tried 3 times: MemoryError: for good (model.py, line 9, in simulate)";
    assert_eq!(*memory, (20, message.to_owned()));
    assert_eq!(crashed.0, 40);
    let message = "tried 3 times: the process was killed by signal 11 (SIGSEGV); its last lines: ";
    assert!(crashed.1.starts_with(message), "{}", crashed.1);
    for part in ["Fatal Python error", "model.py\", line 14 in simulate"] {
        assert!(crashed.1.contains(part), "{}", crashed.1);
    }
    assert_eq!(nan.0, 50);
    assert!(directory.path().join("once").exists());
}

fn start_error(settings: ChildSettings) -> String {
    match Children::start(settings) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it has started"),
    }
}

#[test]
fn what_keeps_a_child_from_starting_is_told_at_once() {
    let python = |interpreter: &str| Program::Python {
        interpreter: PathBuf::from(interpreter),
    };
    let missing = start_error(settings(python("/no/such/python"), hello(1, 1), 2));
    assert!(
        missing.starts_with(
            "cannot start /no/such/python: the process ended with exit code 127; its last lines: "
        ),
        "{missing}"
    );
    let arrow = |script: &str| Program::Arrow {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        directory: PathBuf::from("/"),
    };
    let greeting = |words: &str| {
        let script = format!("printf '{words}' >&4; sleep 1000");
        let told = start_error(settings(arrow(&script), hello(1, 1), 2));
        told.rsplit_once(": ").unwrap().1.to_owned()
    };
    let refused = r#"{"protocol": 1, "error": "no module named batman"}"#;
    assert_eq!(refused.len(), 0o62);
    assert_eq!(
        greeting(&format!("\\062\\0\\0\\0{refused}")),
        "no module named batman"
    );
    assert_eq!(
        greeting("Hello, world"),
        "found a greeting of 1819043144 bytes, expected at most 1048576"
    );
    let mut slow = settings(arrow("sleep 1000"), hello(1, 1), 2);
    slow.setup_limit = Duration::from_millis(100);
    assert_eq!(
        start_error(slow),
        "cannot start /bin/sh -c sleep 1000: it was not ready after 0.1 s"
    );
    let mut none = settings(shell("cat"), hello(1, 1), 0);
    assert_eq!(
        start_error(none.clone()),
        "no child can be started: found 0 children, expected at least 1"
    );
    none.n_children = 1;
    none.program = Program::Lines {
        command: vec!["./model".to_owned()],
        directory: PathBuf::from("/no/such/place"),
    };
    let missing = start_error(none);
    assert!(missing.starts_with("cannot start ./model: "), "{missing}");
}

#[test]
fn functions_that_are_missing_are_told_at_once() {
    let Some(interpreter) = python_or_skip("numpy, pyarrow") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let source = "import no_such_module\n";
    let hello = Hello {
        functions: python_functions(directory.path(), source, &["simulate"]),
        ..hello(1, 1)
    };
    let told = start_error(settings(Program::Python { interpreter }, hello, 1));
    assert!(told.contains("no_such_module"), "{told}");
}

#[test]
fn a_child_that_cannot_be_started_again_ends_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("model");
    std::fs::write(&program, "#!/bin/sh\nrm model\nread a\nexit 1\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).unwrap();
    let program = Program::Lines {
        command: vec!["./model".to_owned()],
        directory: directory.path().to_owned(),
    };
    let children = Children::start(settings(program, hello(1, 1), 1)).unwrap();
    let error = children.run(&rows(0, 3, 1), &AtomicBool::new(false));
    let Err(ChildError::Start { program, reason }) = error else {
        panic!("found {error:?}");
    };
    assert_eq!(program, "./model");
    assert!(reason.ends_with("(tried 5 times)"), "{reason}");
}

#[test]
fn a_run_can_be_abandoned() {
    let script = "while read a; do if [ $a = 20 ]; then sleep 1000; fi; echo $a; done";
    let children = Children::start(settings(shell(script), hello(1, 1), 2)).unwrap();
    let abandoned = AtomicBool::new(false);
    let began = Instant::now();
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            abandoned.store(true, Ordering::Relaxed);
        });
        children.run(&rows(0, 100, 1), &abandoned)
    });
    assert_eq!(found, Err(ChildError::Abandoned));
    assert!(began.elapsed() < Duration::from_secs(30));
    // The children are good for another run.
    assert_eq!(failed(&run(&children, &rows(0, 20, 1)), same), []);
}
