//! Jitter and offset of two instruments: a constant velocity, whose posterior and evidence are summed on a grid here.

use crate::setup::{errors, fit, results, run, status, text, write};
use sidereal_inference::campaign_file;
use sidereal_inference::method::fit_check::Fit;
use sidereal_inference::records::Posterior;
use sidereal_models::Catalogue;
use std::path::Path;

const PARAMETERS: &str = r#"
name = "constant"
seed = 3
parameters = [
    { name = "s_a", prior = { uniform = { low = 0.0, high = 3.0 } } },
    { name = "c", prior = { normal = { mean = 0.0, sd = 10.0 } } },
    { name = "gamma", prior = { normal = { mean = 0.0, sd = 5.0 } } },
    { name = "s_b", prior = { uniform = { low = 0.0, high = 3.0 } } },
]
[simulator]
builtin = "linear-gaussian"
matrix = [[1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1]]
"#;

/// What the noise is made of, in standard deviations.
const NOISE: [f64; 16] = [
    0.4, -1.1, 0.3, 1.6, 0.1, -0.2, 0.9, -1.4, 0.5, -0.6, 1.2, 0.2, -0.9, -0.3, 0.7, -1.3,
];

/// 4 and 4 - 2.5, of standard deviations 0.5 and 1.5 in all, of which 0.3 are known; A and B in turns.
fn data() -> Vec<(&'static str, f64)> {
    let of = |(i, noise): (usize, f64)| match i % 2 {
        0 => ("A", 4.0 + 0.5 * noise),
        _ => ("B", 1.5 + 1.5 * noise),
    };
    NOISE.into_iter().enumerate().map(of).collect()
}

fn observation() -> String {
    let rows = data().into_iter().enumerate();
    let rows = rows.map(|(i, (instrument, value))| format!("{i},{value:?},0.3,{instrument}\n"));
    let rows: String = rows.collect();
    format!("time,rv,rv_err,instrument\n{rows}")
}

/// Means, standard deviations and the log evidence, on a grid of both jitters; c and gamma are normal given these.
fn expected([sd_c, sd_gamma]: [f64; 2]) -> ([f64; 4], [f64; 4], f64) {
    const N: usize = 600;
    let of = |name: &str| -> Vec<f64> {
        let data = data().into_iter();
        data.filter(|(instrument, _)| *instrument == name)
            .map(|(_, value)| value)
            .collect()
    };
    let (a, b) = (of("A"), of("B"));
    let (prior_c, prior_gamma) = (sd_c * sd_c, sd_gamma * sd_gamma);
    let jitter = |i: usize| 3.0 * (i as f64 + 0.5) / N as f64;
    // Of n data of variance v: what they say of their mean, and the rest of their log density.
    let summed = |data: &[f64], s: f64| {
        let (n, v) = (data.len() as f64, 0.09 + s * s);
        let mean = data.iter().sum::<f64>() / n;
        let scatter: f64 = data.iter().map(|x| (x - mean) * (x - mean)).sum();
        let rest =
            -0.5 * (scatter / v + (n - 1.0) * (2.0 * std::f64::consts::PI * v).ln() + n.ln());
        (mean, v / n, rest)
    };
    let (mut total, mut first, mut second) = (0.0, [0.0; 4], [0.0; 4]);
    for i in 0..N {
        let (mean_a, v_a, rest_a) = summed(&a, jitter(i));
        for j in 0..N {
            let (mean_b, v_b, rest_b) = summed(&b, jitter(j));
            // The means of both are normal with covariance of (c, c + gamma), and their own variances.
            let (p, q, r) = (prior_c + v_a, prior_c, prior_c + prior_gamma + v_b);
            let determinant = p * r - q * q;
            let (u, w) = (
                (r * mean_a - q * mean_b) / determinant,
                (p * mean_b - q * mean_a) / determinant,
            );
            let log_density = -0.5 * (mean_a * u + mean_b * w + determinant.ln())
                - (2.0 * std::f64::consts::PI).ln();
            let weight = (log_density + rest_a + rest_b).exp();
            let (c, gamma) = (prior_c * (u + w), prior_gamma * w);
            let variance_c = prior_c - prior_c * prior_c * (r - 2.0 * q + p) / determinant;
            let variance_gamma = prior_gamma - prior_gamma * prior_gamma * p / determinant;
            let moments = [
                (jitter(i), 0.0),
                (c, variance_c),
                (gamma, variance_gamma),
                (jitter(j), 0.0),
            ];
            total += weight;
            for (k, (mean, variance)) in moments.into_iter().enumerate() {
                first[k] += weight * mean;
                second[k] += weight * (mean * mean + variance);
            }
        }
    }
    let mean = first.map(|sum| sum / total);
    let sd = [0, 1, 2, 3].map(|k| (second[k] / total - mean[k] * mean[k]).sqrt());
    (mean, sd, (total / (N * N) as f64).ln())
}

/// Within five standard errors.
fn check_moments(posterior: &Posterior, n_eff: f64, priors: [f64; 2]) {
    let (mean, sd, _) = expected(priors);
    for k in 0..4 {
        let average = |of: &dyn Fn(f64) -> f64| -> f64 {
            let rows = 0..posterior.n_rows();
            rows.map(|i| posterior.weight[i] * of(posterior.theta_row(i)[k]))
                .sum()
        };
        let found = average(&|x| x);
        let error = sd[k] / n_eff.sqrt();
        assert!(
            (found - mean[k]).abs() < 5.0 * error,
            "mean {k}: {found}, expected {} ± {error}",
            mean[k]
        );
        let spread = average(&|x| (x - mean[k]) * (x - mean[k])).sqrt();
        // Tails of jitters are heavier than a normal's.
        let tolerance = 7.0 * error;
        assert!(
            (spread - sd[k]).abs() < tolerance,
            "sd {k}: {spread}, expected {} ± {tolerance}",
            sd[k]
        );
    }
}

const TERMS: &str =
    "sigma = \"observed\", jitter = { A = \"s_a\", B = \"s_b\" }, offset = { B = \"gamma\" }";

#[test]
fn two_instruments_have_the_posterior_of_the_sum_on_a_grid() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    write(place, "rv.csv", &observation());
    let more = "[rounds.stop]\nn_eff = 1000\nsimulations = 20000\n";
    let campaign = format!(
        "{PARAMETERS}[observation]\npath = \"rv.csv\"\n[noise]\ngaussian = {{ {TERMS} }}\n{more}"
    );
    let file = write(place, "campaign.toml", &campaign);
    let (out, again) = (place.join("out"), place.join("again"));
    fit(&file, &out, &["--workers", "2"], &[0]);
    let found = results(&out);
    let combined = found.summary.combined.expect("weights");
    assert!(combined.n_eff >= 1000.0, "{combined:?}");
    check_moments(&found.posterior, combined.n_eff, [10.0, 5.0]);
    let (_, _, log_evidence) = expected([10.0, 5.0]);
    let evidence = combined.evidence.expect("an evidence");
    assert!(
        (evidence.log_evidence - log_evidence).abs() < 5.0 * evidence.error,
        "{evidence:?}, expected {log_evidence}"
    );
    // With jitters of its own the best draw has one chi-square a datum.
    match found.summary.fit {
        Some(Fit::Checked(check)) => {
            assert!((8.0..28.0).contains(&check.chi_square), "{check:?}");
            assert!(check.p > 0.01, "{check:?}");
        }
        other => panic!("{other:?}"),
    }
    fit(&file, &again, &["--workers", "1"], &[0]);
    let bytes = |out: &Path| std::fs::read(out.join("posterior.parquet")).expect("a posterior");
    assert!(bytes(&out) == bytes(&again));
    // Without the noise's terms the same data do not fit.
    let bare = campaign
        .replace(TERMS, "sigma = \"observed\"")
        .replace("matrix = ", "matrix = [[0, 1, 0, 0]] # ");
    let rows: Vec<String> = (0..16).map(|_| "[0, 1, 0, 0]".to_owned()).collect();
    let bare = bare.replace("[[0, 1, 0, 0]]", &format!("[{}]", rows.join(", ")));
    let output = fit(
        &write(place, "bare.toml", &bare),
        &place.join("bare"),
        &[],
        &[3],
    );
    assert!(errors(&output).contains("the model does not fit the data"));
}

#[test]
fn a_model_for_any_observation_is_trained_with_the_rows_own_noise() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let by: Vec<String> = data().iter().map(|(name, _)| format!("{name:?}")).collect();
    let grid = "grid = { start = 0, stop = 15, count = 16 }\n";
    let parameters = PARAMETERS
        .replace("sd = 10.0", "sd = 3.0")
        .replace("sd = 5.0", "sd = 2.0");
    let noise = TERMS.replace("\"observed\"", "0.3");
    let campaign = format!(
        "{parameters}{grid}[noise]\ngaussian = {{ {noise}, by = [{}] }}\n[training]\nmax_epochs = 60\n[rounds]\n\
         simulations = 8000\n",
        by.join(", ")
    );
    let file = write(place, "amortized.toml", &campaign);
    let model = place.join("model");
    fit(&file, &model, &[], &[0]);
    let one = write(place, "one.csv", &observation());
    let out = place.join("predictions");
    let output = run(&["predict", text(&model), text(&one), "--out", text(&out)]);
    let path = out.join("one");
    let summary = std::fs::read(path.join("summary.json")).expect("summary.json");
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(status(&output), 0, "{summary:#}");
    let space = campaign_file::load(&file, &Catalogue::default())
        .expect("a campaign")
        .space;
    let directory = sidereal_store::open(text(&path)).expect("a directory");
    let posterior =
        Posterior::load(&directory, "posterior.parquet", &space).expect("posterior.parquet");
    let n_eff = summary["n_eff"].as_f64().expect("a number");
    // A network that had not seen the noise of each row would be worth next to nothing.
    assert!(n_eff > 150.0, "{n_eff}");
    check_moments(&posterior, n_eff, [3.0, 2.0]);
}
