//! Campaigns that begin with the simulations of earlier ones: right without a simulation of their own where those are enough, and
//! with some where they are not.

use crate::setup::{errors, fit, results, run, status, summary_without_timing, text, write};
use sidereal_inference::weights::RoundKind;
use std::fs;
use std::path::{Path, PathBuf};

const GRID: [f64; 5] = [-1.0, -0.5, 0.0, 0.5, 1.0];
const VALUE: [f64; 5] = [1.8, 0.9, 0.5, 0.1, -0.8];
const OTHER_VALUE: [f64; 5] = [-0.9, -0.6, -0.2, 0.1, 0.2];

/// What differs between the campaigns, all of a straight line.
#[derive(Clone, Copy)]
struct Line {
    name: &'static str,
    offset: &'static str,
    slope: &'static str,
    value: [f64; 5],
    sigma: f64,
    n_eff: u32,
}

const FIRST: Line = Line {
    name: "line",
    offset: "normal = { mean = 0.0, sd = 1.0 }",
    slope: "normal = { mean = 0.0, sd = 1.0 }",
    value: VALUE,
    sigma: 0.3,
    n_eff: 800,
};

impl Line {
    fn write(&self, place: &Path) -> PathBuf {
        let Self {
            name,
            offset,
            slope,
            value,
            sigma,
            n_eff,
        } = self;
        let toml = format!(
            "name = \"{name}\"\nseed = 3\nparameters = [\n    {{ name = \"offset\", prior = {{ {offset} }} }},\n    \
             {{ name = \"slope\", prior = {{ {slope} }} }},\n]\n[simulator]\nbuiltin = \"linear-gaussian\"\n\
             matrix = [[1, -1], [1, -0.5], [1, 0], [1, 0.5], [1, 1]]\n[observation]\ngrid = {GRID:?}\n\
             value = {value:?}\nsigma = {:?}\n[training]\nmax_epochs = 20\n[rounds]\n\
             stop = {{ n_eff = {n_eff}, simulations = 6000 }}\n",
            [sigma; 5]
        );
        write(place, &format!("{name}.toml"), &toml)
    }

    fn likelihood(&self, offset: f64, slope: f64) -> f64 {
        let of_datum = |(x, value): (&f64, &f64)| normal(*value, offset + slope * x, self.sigma);
        GRID.iter().zip(&self.value).map(of_datum).product()
    }

    /// Log evidence and the mean of the slope, on a grid of places.
    fn exact(&self, prior: impl Fn(f64, f64) -> f64) -> (f64, f64) {
        const STEP: f64 = 0.005;
        let places = || (-800..800).map(|i| (f64::from(i) + 0.5) * STEP);
        let (mut evidence, mut slopes) = (0.0, 0.0);
        for offset in places() {
            for slope in places() {
                let density = prior(offset, slope);
                if density > 0.0 {
                    let part = STEP * STEP * density * self.likelihood(offset, slope);
                    evidence += part;
                    slopes += part * slope;
                }
            }
        }
        (evidence.ln(), slopes / evidence)
    }

    /// Holds a result against the exact one.
    fn check(&self, out: &Path, prior: impl Fn(f64, f64) -> f64) {
        let found = results(out);
        let combined = found.summary.combined.expect("there is an observation");
        let evidence = combined.evidence.expect("weights are positive");
        let (log_evidence, slope) = self.exact(prior);
        assert!(
            (evidence.log_evidence - log_evidence).abs() < 4.0 * evidence.error + 1e-3,
            "{}: log evidence {} ± {}, expected {log_evidence}",
            self.name,
            evidence.log_evidence,
            evidence.error
        );
        let column = &found.summary.parameters[1];
        let error = 4.5 * column.sd / combined.n_eff.sqrt();
        assert!(
            (column.mean - slope).abs() < error,
            "{}: slope {} ± {error}, expected {slope}",
            self.name,
            column.mean
        );
    }
}

fn normal(x: f64, mean: f64, sd: f64) -> f64 {
    (-0.5 * ((x - mean) / sd).powi(2)).exp() / (sd * (2.0 * std::f64::consts::PI).sqrt())
}

fn standard(offset: f64, slope: f64) -> f64 {
    normal(offset, 0.0, 1.0) * normal(slope, 0.0, 1.0)
}

fn within(low: f64, x: f64, high: f64) -> f64 {
    match (low..high).contains(&x) {
        true => 1.0 / (high - low),
        false => 0.0,
    }
}

/// `sidereal` with these arguments ends with status 2 and says `expected`.
fn refused(arguments: &[&str], expected: &str) {
    let refused = run(arguments);
    assert_eq!(status(&refused), 2, "{}", errors(&refused));
    assert!(errors(&refused).contains(expected), "{}", errors(&refused));
}

/// Rows that were reused, and simulated.
fn rows(out: &Path) -> (u64, u64) {
    let summary = results(out).summary;
    let reused: u64 = summary.reused.iter().map(|source| source.n_rows).sum();
    let of_rounds = summary.rounds.iter();
    let of_rounds: u64 = of_rounds
        .filter(|round| round.kind == RoundKind::Reused)
        .map(|round| round.all.n)
        .sum();
    assert_eq!(reused, of_rounds);
    (reused, summary.simulations)
}

#[test]
fn what_was_simulated_before_is_weighed_anew() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let first = place.join("first");
    fit(&FIRST.write(place), &first, &[], &[0]);
    let n_first = results(&first).summary.simulations;
    let from_first = ["--from", text(&first)];

    let errors_larger = Line {
        name: "errors",
        sigma: 0.36,
        n_eff: 300,
        ..FIRST
    };
    let out = place.join("errors");
    fit(&errors_larger.write(place), &out, &from_first, &[0]);
    let (reused, simulated) = rows(&out);
    assert_eq!(simulated, 0);
    assert!(0 < reused && reused <= n_first, "{reused} of {n_first}");
    errors_larger.check(&out, standard);
    // It has no flow of its own to draw from, and no simulations to hand on.
    refused(
        &["draw", text(&out), "--n-eff", "50000"],
        "and it has no flow of its own to draw from",
    );
    let file = place.join("errors.toml");
    let none = place.join("none");
    refused(
        &[
            "fit",
            text(&file),
            "--out",
            text(&none),
            "--from",
            text(&out),
        ],
        &format!(
            "nothing to reuse; its draws are those of {}: name that",
            text(&first)
        ),
    );

    // A prior that rules some rows out.
    let bounded = Line {
        name: "bounded",
        offset: "uniform = { low = 0.1, high = 0.7 }",
        slope: "uniform = { low = -2.0, high = -1.0 }",
        n_eff: 200,
        ..FIRST
    };
    let out = place.join("bounded");
    fit(&bounded.write(place), &out, &from_first, &[0]);
    assert_eq!(rows(&out).1, 0);
    bounded.check(&out, |offset, slope| {
        within(0.1, offset, 0.7) * within(-2.0, slope, -1.0)
    });
}

#[test]
fn more_is_simulated_where_it_is_not_enough() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let first = place.join("first");
    fit(&FIRST.write(place), &first, &[], &[0]);

    // Another observation and another prior: the old proposals are known in coordinates of their own.
    let other = Line {
        name: "other",
        offset: "uniform = { low = -2.0, high = 2.0 }",
        slope: "normal = { mean = 0.5, sd = 0.8 }",
        value: OTHER_VALUE,
        ..FIRST
    };
    let prior = |offset, slope| within(-2.0, offset, 2.0) * normal(slope, 0.5, 0.8);
    let file = other.write(place);
    let out = |name: &str| place.join(name);
    fit(
        &file,
        &out("one"),
        &["--from", text(&first), "--workers", "1"],
        &[0],
    );
    let (reused, simulated) = rows(&out("one"));
    assert!(reused > 0 && simulated > 0);
    other.check(&out("one"), prior);
    // The same again, and with more workers: the same bytes.
    fit(
        &file,
        &out("three"),
        &["--from", text(&first), "--workers", "3"],
        &[0],
    );
    let read = |name: &str| fs::read(out(name).join("posterior.parquet")).expect("a posterior");
    assert_eq!(read("one"), read("three"));
    assert_eq!(
        summary_without_timing(&out("one")),
        summary_without_timing(&out("three"))
    );
    fit(&file, &out("one"), &["--from", text(&first)], &[0]);
    assert_eq!(read("one"), read("three"));

    // Of two campaigns with unlike priors, each scored under the other's flows.
    let both = Line {
        name: "both",
        offset: "uniform = { low = -1.5, high = 1.5 }",
        sigma: 0.36,
        n_eff: 1500,
        ..FIRST
    };
    let one = out("one");
    let of_both = ["--from", text(&first), text(&one)];
    fit(&both.write(place), &out("both"), &of_both, &[0]);
    assert_eq!(results(&out("both")).summary.reused.len(), 2);
    both.check(&out("both"), |offset, slope| {
        within(-1.5, offset, 1.5) * normal(slope, 0.0, 1.0)
    });
    // What an old prior has ruled out was never drawn: the result would be confident and wrong.
    let wider = Line {
        name: "wider",
        ..FIRST
    };
    refused(
        &[
            "fit",
            text(&wider.write(place)),
            "--out",
            text(&out("wider")),
            "--from",
            text(&one),
        ],
        "prior of offset: from -2 to 2 there, from -inf to inf here, expected one within",
    );
    assert!(!out("wider").exists());

    let refused = |arguments: &[&str], expected: &str| {
        refused(&[&["fit", text(&file)], arguments].concat(), expected);
    };
    let new = out("new");
    fs::create_dir(out("nowhere")).expect("an empty directory");
    refused(
        &["--out", text(&one), "--from", text(&out("both"))],
        "begun with the simulations of",
    );
    refused(
        &["--out", text(&first), "--from", text(&one)],
        "belongs to campaign \"line\", not to \"other\"",
    );
    refused(
        &["--out", text(&new), "--from", text(&out("nowhere"))],
        "no campaign there, expected a directory with campaign.toml",
    );
    refused(
        &["--out", text(&new), "--from", text(&first), text(&first)],
        "is named twice",
    );
}

#[test]
fn simulations_of_another_model_are_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let first = place.join("first");
    fit(&FIRST.write(place), &first, &[], &[0]);
    let file = FIRST.write(place);
    let toml = fs::read_to_string(&file).expect("the campaign file");
    let changed = |change: fn(&str) -> String, expected: &str| {
        let file = write(place, "changed.toml", &change(&toml));
        let out = place.join("changed");
        let plan = ["fit", text(&file), "--dry-run", "--out", text(&out)];
        refused(&[&plan[..], &["--from", text(&first)]].concat(), expected);
    };
    changed(
        |toml| toml.replace("[1, -0.5]", "[1, -0.4]"),
        "options of linear-gaussian (built in, version 1): other ones there than here",
    );
    changed(
        |toml| toml.replace("\"offset\"", "\"intercept\""),
        "parameters: offset, slope there, intercept, slope here, expected the same in the same order",
    );
    changed(
        |toml| toml.replace("grid = [-1.0,", "grid = [-1.1,"),
        "grid of the data: 5 points there, 5 here, expected the same ones",
    );
    changed(
        |toml| toml.replace("[rounds]\n", "refinement = false\n[rounds]\n"),
        "simulations are reused for one posterior whose flows are fitted to weighted draws",
    );
    // What would be done is said without doing it.
    let out = place.join("new");
    let said = run(&[
        "fit",
        text(&file),
        "--dry-run",
        "--out",
        text(&out),
        "--from",
        text(&first),
    ]);
    assert_eq!(status(&said), 0, "{}", errors(&said));
    let plan = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(plan.contains("simulations of"), "{plan}");
    assert!(!out.exists());
}
