//! Posteriors that were found wrong with status 0, with their exact values: narrow modes within wide ones, and mass beside a
//! prior's bound. Flows are hardly trained: what is held here is what finds and weighs.

use crate::setup::{Results, fit, results, write};

/// Runs a campaign to the end; its result must be trusted.
fn run(seed: u64, parameters: &str, forward_model: &str, stop: &str) -> Results {
    let directory = tempfile::tempdir().expect("temporary directory");
    let text = format!(
        "name = \"found-wrong\"\nseed = {seed}\nparameters = [{parameters}]\n{forward_model}\n\
         [training]\nmax_epochs = 4\n[rounds]\nstop = {stop}\n"
    );
    let campaign = write(directory.path(), "campaign.toml", &text);
    let out = directory.path().join("out");
    fit(&campaign, &out, &["--workers", "1"], &[0]);
    results(&out)
}

/// A scatter of 1 or of 0.1, each half of the time, around five parameters uniform in [-10, 10].
fn mixture(seed: u64, value: &str) -> Results {
    let parameters: Vec<String> = (0..5)
        .map(|i| {
            format!("{{ name = \"p{i}\", prior = {{ uniform = {{ low = -10.0, high = 10.0 }} }} }}")
        })
        .collect();
    run(
        seed,
        &parameters.join(", "),
        &format!("[simulator]\nbuiltin = \"gaussian-mixture\"\n[observation]\nvalue = {value}"),
        "{ n_eff = 1500, simulations = 20000 }",
    )
}

/// Without the narrow mode the log evidence is lower by 0.94, 0.46 and 0.08, with errors of 0.015.
#[test]
fn narrow_modes_within_wide_ones_are_found() {
    let cases = [
        (0, "[3, -2, 9.9, 0, -7]", -15.349),
        // Beyond a bound, and beyond two.
        (26, "[10.06, 3.0, -1.0, 0.5, 2.0]", -15.959),
        (31, "[10.1, 3.0, -10.12, 0.5, 2.0]", -17.157),
    ];
    for (seed, value, exact) in cases {
        let found = mixture(seed, value);
        let combined = found.summary.combined.expect("there is an observation");
        let evidence = combined.evidence.expect("weights are positive");
        assert!(
            (evidence.log_evidence - exact).abs() < 4.5 * evidence.error,
            "{value}: log evidence {} ± {}, expected {exact}",
            evidence.log_evidence,
            evidence.error
        );
    }
}

/// P(p0 > 1.48) = 0.0225, P(p0 > 1.49) = 0.0109, P(p0 > 1.495) = 0.0054.
#[test]
fn mass_beside_a_bound_is_drawn() {
    let found = run(
        0,
        "{ name = \"p0\", prior = { uniform = { low = 0.05, high = 1.5 } } }, \
         { name = \"p1\", prior = { uniform = { low = 0.0, high = 2.0 } } }, \
         { name = \"p2\", prior = { uniform = { low = 0.5, high = 2.5 } } }",
        "[simulator]\nbuiltin = \"linear-gaussian\"\nmatrix = [[1, 0, 0], [-0.38, 1, 0], [0.117, 0, 1]]\n\
         [observation]\ngrid = [0, 1, 2]\nvalue = [1.26, 0.4662, 1.49942]\nsigma = [0.19, 0.002, 0.002]",
        "{ n_eff = 2000, simulations = 15000 }",
    );
    let n_eff = found
        .summary
        .combined
        .expect("there is an observation")
        .n_eff;
    for (bound, exact) in [(1.48, 0.0225), (1.49, 0.0109), (1.495, 0.0054)] {
        let above = |row: &usize| found.posterior.theta_row(*row)[0] > bound;
        let rows = (0..found.posterior.n_rows()).filter(above);
        let mass: f64 = rows.map(|row| found.posterior.weight[row]).sum();
        let error = (exact * (1.0 - exact) / n_eff).sqrt();
        assert!(
            (mass - exact).abs() < 3.0 * error,
            "P(p0 > {bound}) = {mass} ± {error}, expected {exact}"
        );
    }
}
