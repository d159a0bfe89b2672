//! More draws of a finished campaign, without training.

use crate::setup::{errors, fit, results, run, status, text, write};
use sidereal_inference::weights::RoundKind;
use std::fs;

const LINE: &str = r#"
name = "line"
seed = 3
parameters = [
    { name = "offset", prior = { normal = { mean = 0.0, sd = 1.0 } } },
    { name = "slope", prior = { normal = { mean = 0.0, sd = 1.0 } } },
]
[simulator]
builtin = "linear-gaussian"
matrix = [[1, -1], [1, -0.5], [1, 0], [1, 0.5], [1, 1]]
"#;

const OBSERVED: &str = r#"
[observation]
grid = [-1, -0.5, 0, 0.5, 1]
value = [1.8, 0.9, 0.5, 0.1, -0.8]
sigma = [0.3, 0.3, 0.3, 0.3, 0.3]
[training]
max_epochs = 20
[rounds]
stop = { n_eff = 800, simulations = 6000 }
"#;

#[test]
fn draws_come_from_the_best_flow_and_nothing_is_trained() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let (out, file) = (
        place.join("run"),
        write(place, "line.toml", &format!("{LINE}{OBSERVED}")),
    );
    let refused = run(&["draw", text(&out), "--n-eff", "100"]);
    assert_eq!(status(&refused), 2, "{}", errors(&refused));

    fit(&file, &out, &[], &[0]);
    let before = results(&out).summary;
    let posterior = |name: &str| fs::read(out.join(name)).expect("a file");
    let first = posterior("posterior.parquet");
    let draw = |arguments: &[&str]| {
        let output = run(&[&["draw", text(&out), "-q"], arguments].concat());
        (status(&output), errors(&output))
    };
    // What is reached already is only shown again.
    assert_eq!(draw(&["--n-eff", "500"]), (0, String::new()));
    assert_eq!(posterior("posterior.parquet"), first);
    let (refused, message) = draw(&["--n-eff", "3000", "--simulations", "1000"]);
    assert_eq!(refused, 2, "{message}");
    assert!(
        message.contains("more simulations, found a limit of 1,000 (--simulations)"),
        "{message}"
    );
    assert_eq!(posterior("posterior.parquet"), first);

    assert_eq!(draw(&["--n-eff", "3000"]), (0, String::new()));
    let after = results(&out).summary;
    let n_eff = after.combined.as_ref().map_or(0.0, |all| all.n_eff);
    assert!((3000.0..4000.0).contains(&n_eff), "n_eff {n_eff}");
    assert_eq!(after.training, before.training);
    assert_eq!(after.rounds[..before.rounds.len()], before.rounds);
    let kinds: Vec<RoundKind> = after.rounds[before.rounds.len()..]
        .iter()
        .map(|round| round.kind)
        .collect();
    assert_eq!(kinds, [RoundKind::TopUp]);

    // The campaign file asks for less, which is said, and all draws stay.
    let drawn = posterior("posterior.parquet");
    let output = run(&["fit", text(&file), "--out", text(&out), "--device", "cpu"]);
    assert_eq!(status(&output), 0);
    let notes = errors(&output);
    assert!(
        notes.contains("the stops have changed, but there is nothing more to do with them: n_eff "),
        "{notes}"
    );
    assert_eq!(posterior("posterior.parquet"), drawn);
}

#[test]
fn amortized_models_are_drawn_from_by_predict() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let rest = "grid = [-1, -0.5, 0, 0.5, 1]\n[noise]\ngaussian = { sigma = 0.3 }\n[training]\nmax_epochs = 2\n[rounds]\n\
                simulations = 300\n";
    let (out, file) = (
        place.join("run"),
        write(place, "line.toml", &format!("{LINE}{rest}")),
    );
    fit(&file, &out, &[], &[0]);
    let refused = run(&["draw", text(&out), "--n-eff", "100"]);
    assert_eq!(status(&refused), 2);
    assert!(
        errors(&refused).contains("`sidereal predict --draws N` draws for any"),
        "{}",
        errors(&refused)
    );
}
