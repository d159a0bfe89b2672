//! Parameters that the data are linear in: a sine's amplitude, whose column depends on the other parameters.

use crate::setup::{errors, fit, results, run, status, text, write};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const N: usize = 24;
const SIGMA: f64 = 0.3;

fn normal(x: f64, sd: f64) -> f64 {
    (-0.5 * (x / sd).powi(2)).exp() / (sd * (2.0 * std::f64::consts::PI).sqrt())
}

fn times() -> impl Iterator<Item = f64> {
    (0..N).map(|i| i as f64 / N as f64)
}

/// 0.8 sin(11 t + 1), with something like noise.
fn values() -> Vec<f64> {
    let noise = |i: usize| SIGMA * (17.0 * i as f64).sin();
    let signal = times().map(|t| 0.8 * (11.0 * t + 1.0).sin());
    signal.enumerate().map(|(i, x)| x + noise(i)).collect()
}

fn campaign(place: &Path, amplitude: &str, likelihood: &str) -> PathBuf {
    let mut observation = "time,value,sigma\n".to_owned();
    for (t, value) in times().zip(values()) {
        writeln!(observation, "{t},{value},{SIGMA}").expect("writing to a string");
    }
    write(place, "observation.csv", &observation);
    let toml = format!(
        "name = \"sine\"\nseed = 4\nparameters = [\n    {{ name = \"phi0\", prior = {{ uniform = {{ low = 0.0, high = \
         6.283185307179586 }} }}, periodic = true }},\n    {{ name = \"A\", prior = {{ {amplitude} }} }},\n    {{ name = \
         \"omega\", prior = {{ uniform = {{ low = 7.0, high = 20.0 }} }} }},\n]\n[simulator]\nbuiltin = \"sine\"\n\
         [observation]\npath = \"observation.csv\"\n[training]\nmax_epochs = 40\n[rounds]\nstop = {{ n_eff = 1000, \
         simulations = 8000 }}\n{likelihood}"
    );
    write(place, "campaign.toml", &toml)
}

#[test]
fn an_amplitude_is_integrated_out_and_drawn() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let file = campaign(
        place,
        "normal = { mean = 0.5, sd = 0.6 }",
        "[likelihood]\nlinear = [\"A\"]\n",
    );
    let out = place.join("out");
    fit(&file, &out, &["--workers", "2"], &[0]);
    let found = results(&out);

    // On a grid: given phase and frequency all is normal in A.
    let (value, mut evidence, mut amplitude) = (values(), 0.0, 0.0);
    let (n_phases, n_frequencies) = (240, 520);
    let mut cells = 0.0;
    for i in 0..n_phases {
        let phase = 2.0 * std::f64::consts::PI * (f64::from(i) + 0.5) / f64::from(n_phases);
        for j in 0..n_frequencies {
            let frequency = 7.0 + 13.0 * (f64::from(j) + 0.5) / f64::from(n_frequencies);
            let wave = || times().map(|t| (frequency * t + phase).sin());
            // A = 0.5 + 0.6 u.
            let residual: Vec<f64> = value
                .iter()
                .zip(wave())
                .map(|(x, wave)| (x - 0.5 * wave) / SIGMA)
                .collect();
            let column: Vec<f64> = wave().map(|wave| 0.6 * wave / SIGMA).collect();
            let precision = 1.0 + column.iter().map(|x| x * x).sum::<f64>();
            let shift: f64 = column.iter().zip(&residual).map(|(a, r)| a * r).sum();
            let square: f64 = residual.iter().map(|r| r * r).sum();
            let log_norm = N as f64 * normal(0.0, SIGMA).ln();
            let log_likelihood =
                -0.5 * (square - shift * shift / precision) - 0.5 * precision.ln() + log_norm;
            evidence += log_likelihood.exp();
            amplitude += log_likelihood.exp() * (0.5 + 0.6 * shift / precision);
            cells += 1.0;
        }
    }
    let combined = found.summary.combined.expect("there is an observation");
    let log_evidence = combined.evidence.expect("weights are positive");
    let expected = (evidence / cells).ln();
    assert!(
        (log_evidence.log_evidence - expected).abs() < 4.0 * log_evidence.error + 1e-3,
        "log evidence {} ± {}, expected {expected}",
        log_evidence.log_evidence,
        log_evidence.error
    );
    let of_amplitude = &found.summary.parameters[2];
    assert_eq!(of_amplitude.name, "A");
    let expected = amplitude / evidence;
    let error = 4.5 * of_amplitude.sd / combined.n_eff.sqrt();
    assert!(
        (of_amplitude.mean - expected).abs() < error,
        "A is {} ± {error}, expected {expected}",
        of_amplitude.mean
    );
    // What it wrote is read again as the same campaign.
    let again = run(&[
        "fit",
        text(&out.join("campaign.toml")),
        "--out",
        text(&out),
        "-q",
    ]);
    assert_eq!(status(&again), 0, "{}", errors(&again));
}

#[test]
fn what_is_not_linear_is_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let normal = "normal = { mean = 0.5, sd = 0.6 }";
    let linear = |names: &str| format!("[likelihood]\nlinear = [{names}]\n");
    for (amplitude, likelihood, expected) in [
        (
            "uniform = { low = 0.0, high = 1.0 }",
            linear("\"A\""),
            "likelihood.linear[0]: the prior of A is not normal, expected normal = { mean, sd }",
        ),
        (normal, linear("\"a\""), "likelihood.linear[0]: found \"a\""),
        (
            normal,
            linear("\"A\", \"A\""),
            "likelihood.linear: \"A\" stands there twice, as number 2",
        ),
    ] {
        let file = campaign(place, amplitude, &likelihood);
        let refused = run(&["fit", text(&file), "--dry-run"]);
        assert_eq!(status(&refused), 2, "{}", errors(&refused));
        assert!(errors(&refused).contains(expected), "{}", errors(&refused));
    }
    let file = campaign(place, normal, &linear("\"A\""));
    let toml = std::fs::read_to_string(&file).expect("the campaign file");
    let file = write(
        place,
        "unrefined.toml",
        &toml.replace("[training]\n", "[training]\nrefinement = false\n"),
    );
    let refused = run(&["fit", text(&file), "--dry-run"]);
    assert_eq!(status(&refused), 2, "{}", errors(&refused));
    let expected = "likelihood.linear: expected flows that are fitted to weighted draws";
    assert!(errors(&refused).contains(expected), "{}", errors(&refused));

    // A frequency is no linear parameter, which shows where the model is asked.
    let file = campaign(place, normal, &linear("\"omega\""));
    let toml = std::fs::read_to_string(&file).expect("the campaign file");
    let toml = toml.replace(
        "uniform = { low = 7.0, high = 20.0 }",
        "normal = { mean = 11.0, sd = 2.0 }",
    );
    let file = write(place, "frequency.toml", &toml);
    let out = place.join("frequency");
    let refused = run(&["fit", text(&file), "--out", text(&out)]);
    assert_eq!(status(&refused), 2, "{}", errors(&refused));
    assert!(
        errors(&refused)
            .contains("of a model that is linear in omega and draws no noise of its own"),
        "{}",
        errors(&refused)
    );
    assert!(!out.join("journal").exists());
}
