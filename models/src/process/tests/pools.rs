//! Rows that go well.

use super::*;
use crate::process::child::{Child, Request};

#[test]
fn answers_are_in_the_rows_order_whatever_the_number_of_children() {
    let program = shell("while read a b; do echo \"$((a + b))\"; done");
    for n_children in 1..4 {
        let children = Children::start(settings(program.clone(), hello(2, 1), n_children)).unwrap();
        assert_eq!(children.program(), "");
        for n_rows in [0, 1, 500] {
            let answers = run(&children, &rows(3, n_rows, 2));
            assert_eq!(answers.outcomes, vec![Ok(()); n_rows]);
            let expected: Vec<f64> = (0..n_rows).map(|row| row as f64 + 1.0).collect();
            assert_eq!(answers.x, expected);
            assert_eq!(answers.log_likelihood, vec![None; n_rows]);
        }
    }
}

#[test]
fn runs_of_several_threads_share_the_children() {
    let program = shell("while read a b; do echo \"$((a + b))\"; done");
    let children = Children::start(settings(program, hello(2, 1), 2)).unwrap();
    let of = |n_rows: usize| {
        let answers = run(&children, &rows(0, n_rows, 2));
        let expected: Vec<f64> = (0..n_rows).map(|row| row as f64 + 1.0).collect();
        assert_eq!(answers.x, expected);
    };
    std::thread::scope(|scope| {
        for n_rows in [3, 100, 1_000] {
            let of = &of;
            scope.spawn(move || of(n_rows));
        }
    });
}

#[test]
fn rows_that_are_none_are_refused() {
    let program = shell("cat");
    let children = Children::start(settings(program, hello(2, 2), 1)).unwrap();
    let refused = |rows: Rows| {
        let refused = children.run(&rows, &AtomicBool::new(false));
        refused.unwrap_err().to_string()
    };
    assert_eq!(
        refused(rows(0, 3, 1)),
        "found 3 numbers and 3 seeds, expected 2 numbers a row"
    );
    assert_eq!(
        refused(rows(u64::MAX, 3, 2)),
        "row 18446744073709551615 and the 3 after it are more than a round can have"
    );
}

/// Megabytes both ways, by a child that answers while it reads.
#[test]
fn large_batches_in_lines_do_not_block() {
    let Some(python) = python_or_skip("sys") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let script = "import sys\nfor line in sys.stdin:\n    a = line.split()[0]\n    print(*[a] * 200, flush=True)\n";
    let program = python_lines(&python, directory.path(), script);
    let settings = settings(program, hello(20, 200), 1);
    exchange_many(&settings, 20, 200);
}

#[test]
fn large_batches_in_arrow_do_not_block() {
    let Some(interpreter) = python_or_skip("numpy, pyarrow") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let source = "import numpy as np\ndef simulate(theta):\n    return np.full(200, theta[0])\n";
    let hello = Hello {
        functions: python_functions(directory.path(), source, &["simulate"]),
        ..hello(20, 200)
    };
    let settings = settings(Program::Python { interpreter }, hello, 1);
    exchange_many(&settings, 20, 200);
}

fn exchange_many(settings: &ChildSettings, n_parameters: usize, n_data: usize) {
    let abandoned = AtomicBool::new(false);
    let mut child = Child::start(settings, &abandoned).unwrap();
    for first_row in [0, 8_192] {
        let rows = rows(first_row, 8_192, n_parameters);
        let request = Request {
            first_row,
            inputs: &rows.inputs,
            seeds: &rows.seeds,
        };
        let reply = child
            .exchange(&request, settings, settings.setup_limit, &abandoned)
            .unwrap();
        let expected = |row: usize| std::iter::repeat_n(row as f64, n_data);
        assert!(reply.x.iter().copied().eq((0..8_192).flat_map(expected)));
    }
}

/// A program of one's own that speaks Arrow.
const ARROW: &str = r#"
import json, os, sys
import pyarrow as pa
requests = os.fdopen(int(os.environ["SIDEREAL_REQUESTS"]), "rb")
answers = os.fdopen(int(os.environ["SIDEREAL_ANSWERS"]), "wb")
hello = json.loads(requests.read(int.from_bytes(requests.read(4), "little")))
assert hello["protocol"] == 1 and hello["functions"] == {}, hello
assert os.environ["OMP_NUM_THREADS"] == "1" or "OMP_NUM_THREADS" in sys.argv
ready = json.dumps({"protocol": 1, "program": "mine"}).encode()
answers.write(len(ready).to_bytes(4, "little") + ready)
answers.flush()
print("this goes to the log")
stream = None
for batch in pa.ipc.open_stream(requests):
    n = batch.num_rows
    seeds = [int.from_bytes(seed, "little") for seed in batch["seed"].to_pylist()]
    columns = {
        "row_id": batch["row_id"],
        "log_likelihood": pa.array([-float(seed) for seed in seeds]),
        "twice": pa.array([2 * a for a in batch["p0"].to_pylist()], pa.float64()),
        "status": pa.array([0] * n, pa.uint8()),
        "message": pa.array([None] * n, pa.string()),
    }
    answer = pa.RecordBatch.from_pydict(columns)
    stream = stream or pa.ipc.new_stream(answers, answer.schema)
    stream.write_batch(answer)
    answers.flush()
"#;

#[test]
fn a_program_may_speak_arrow() {
    let Some(interpreter) = python_or_skip("pyarrow") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("arrow.py"), ARROW).unwrap();
    let mut command = vec![interpreter.display().to_string(), "arrow.py".to_owned()];
    if std::env::var_os("OMP_NUM_THREADS").is_some() {
        command.push("OMP_NUM_THREADS".to_owned());
    }
    let program = Program::Arrow {
        command,
        directory: directory.path().to_owned(),
    };
    let hello = Hello {
        blobs: vec!["twice".to_owned()],
        ..hello(1, 0)
    };
    let children = Children::start(settings(program, hello, 2)).unwrap();
    assert_eq!(children.program(), "mine");
    let answers = run(&children, &rows(100, 300, 1));
    assert_eq!(answers.outcomes, vec![Ok(()); 300]);
    let expected: Vec<_> = (0..300).map(|row| Some(-100.0 - f64::from(row))).collect();
    assert_eq!(answers.log_likelihood, expected);
    let expected: Vec<_> = (0..300).map(|row| 2.0 * f64::from(row)).collect();
    assert_eq!(answers.blobs, expected);
    assert!(answers.x.is_empty());
}

const VECTORIZED: &str = "
import numpy as np
def prior_transform(u):
    return 10 * u
def simulate(theta, rng):
    return np.stack([theta[:, 0], rng.normal(size=len(theta))], axis=1), {'sum': theta.sum(axis=1)}
def log_likelihood(theta, x_obs):
    return -np.square(theta[:, 0] - x_obs[0])
";

#[test]
fn blocks_give_the_same_numbers_however_rows_are_cut() {
    let Some(interpreter) = python_or_skip("numpy, pyarrow") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let names = ["prior_transform", "simulate", "log_likelihood"];
    let hello = Hello {
        functions: python_functions(directory.path(), VECTORIZED, &names),
        observed: Some(Observed {
            grid: vec![0.0, 1.0],
            value: vec![2.0, 3.0],
            sigma: Vec::new(),
        }),
        theta: Some(vec!["t0".to_owned(), "t1".to_owned()]),
        blobs: vec!["sum".to_owned()],
        block: 16,
        ..hello(2, 2)
    };
    // With blocks the seed is that of the block's first row.
    let rows_from = |first: usize, n_rows: usize| {
        let all = rows(0, 100, 2);
        let block = |row: usize| (row - row % 16) as u128;
        Rows {
            first_row: first as u64,
            inputs: all.inputs[2 * first..2 * (first + n_rows)].to_vec(),
            seeds: (first..first + n_rows)
                .map(|row| block(row).to_le_bytes())
                .collect(),
        }
    };
    let children = |n_children| {
        let program = Program::Python {
            interpreter: interpreter.clone(),
        };
        Children::start(settings(program, hello.clone(), n_children)).unwrap()
    };
    let (one, two) = (children(1), children(2));
    let whole = run(&one, &rows_from(0, 100));
    assert!(one.program().starts_with("Python 3"), "{}", one.program());
    assert_eq!(whole.outcomes, vec![Ok(()); 100]);
    assert_eq!(whole.theta[..4], [0.0, 10.0, 10.0, 10.0]);
    assert_eq!(whole.x[2], 10.0);
    assert_eq!(whole.log_likelihood[1], Some(-64.0));
    assert_eq!(whole.blobs[1], 20.0);
    assert_eq!(run(&two, &rows_from(0, 100)), whole);
    let part = run(&two, &rows_from(37, 20));
    assert_eq!(part.x, whole.x[2 * 37..2 * 57]);
    assert_eq!(part.log_likelihood, whole.log_likelihood[37..57]);
}
