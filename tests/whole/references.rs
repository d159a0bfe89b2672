//! The committed examples against what others have computed: one seed of each (benches/ runs several).

use crate::setup::{Results, fit, results, write};
use std::path::{Path, PathBuf};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
        .join("campaign.toml")
}

/// Runs an example, whose result must be trusted, and checks n_eff and log evidence.
fn run(name: &str, min_n_eff: f64, log_evidence: f64, tolerance: f64) -> Results {
    check(&example(name), &[], min_n_eff, log_evidence, tolerance)
}

/// As [`run`], of a campaign file and with more options.
fn check(
    campaign: &Path,
    more: &[&str],
    min_n_eff: f64,
    log_evidence: f64,
    tolerance: f64,
) -> Results {
    let directory = tempfile::tempdir().expect("temporary directory");
    let out = directory.path().join("out");
    fit(campaign, &out, more, &[0]);
    let found = results(&out);
    let combined = found
        .summary
        .combined
        .as_ref()
        .expect("there is an observation");
    assert!(combined.n_eff >= min_n_eff, "n_eff {}", combined.n_eff);
    let evidence = combined.evidence.expect("weights are positive");
    assert!(
        (evidence.log_evidence - log_evidence).abs() < tolerance,
        "log evidence {} ± {}, expected {log_evidence}",
        evidence.log_evidence,
        evidence.error
    );
    found
}

/// Weighted mean of `f` over the posterior.
fn mean(found: &Results, f: impl Fn(&[f64]) -> f64) -> f64 {
    (0..found.posterior.n_rows())
        .map(|row| found.posterior.weight[row] * f(found.posterior.theta_row(row)))
        .sum()
}

/// The exact evidence and means are from a grid (amplitude integrated in closed form).
#[test]
fn sine_has_both_modes_and_the_exact_evidence() {
    let found = run("sine", 1000.0, 28.4925, 0.1);
    assert!(found.summary.simulations <= 12_800);
    let positive = mean(&found, |theta| if theta[1] > 0.0 { 1.0 } else { 0.0 });
    assert!((positive - 0.5).abs() < 0.05, "mass of A > 0: {positive}");
    let omega = mean(&found, |theta| theta[2]);
    assert!((omega - 36.7945).abs() < 0.02, "mean of omega: {omega}");
}

/// With this seed the surrogate's draws lost the mode of A > 0, with status 0 and a log evidence of 27.843.
#[test]
fn a_mode_that_a_surrogate_has_left_is_drawn_from() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let sine = example("sine");
    let text = std::fs::read_to_string(&sine).expect("the example");
    let lines = text.lines().filter(|line| !line.starts_with("periodic"));
    let text = lines.collect::<Vec<&str>>().join("\n");
    assert!(text.contains("n_eff = 6500"));
    let text = text.replace("n_eff = 6500", "n_eff = 1500");
    let text = text + "\n[training]\nsurrogate = true\n";
    let campaign = write(directory.path(), "campaign.toml", &text);
    let observation = directory.path().join("observation.csv");
    std::fs::copy(sine.with_file_name("observation.csv"), observation).expect("a copy");
    let found = check(&campaign, &["--seed", "303"], 1500.0, 28.4925, 0.05);
    let positive = mean(&found, |theta| if theta[1] > 0.0 { 1.0 } else { 0.0 });
    assert!((positive - 0.5).abs() < 0.06, "mass of A > 0: {positive}");
}

/// Evidence, means and standard deviations of nautilus with 2,000 live points.
#[test]
fn microlensing_agrees_with_nested_sampling() {
    let found = run("microlensing", 500.0, 1319.81, 0.15);
    assert!(found.summary.simulations <= 15_360);
    let expected = [
        (5379.56856, 0.04483),
        (0.52788, 0.02538),
        (1.25163, 0.01265),
        (0.99978, 0.07419),
        (13.92903, 0.00040),
    ];
    for (i, (expected_mean, expected_sd)) in expected.into_iter().enumerate() {
        let own_mean = mean(&found, |theta| theta[i]);
        let shift = (own_mean - expected_mean).abs() / expected_sd;
        let sd = mean(&found, |theta| (theta[i] - own_mean).powi(2)).sqrt();
        assert!(
            shift < 0.15,
            "parameter {i}: mean {own_mean}, expected {expected_mean}"
        );
        assert!(
            (sd / expected_sd - 1.0).abs() < 0.1,
            "parameter {i}: sd {sd}, expected {expected_sd}"
        );
    }
}
