//! Priors that are fitted to samples in files.

use super::{directory, parse_in};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file::{changed_keys, check, parse_recorded, to_toml};
use sidereal_inference::space::{ParameterSpace, Prior, standard_normal_log_density};
use std::f64::consts::PI;
use std::fmt::Write;
use std::path::Path;
use tempfile::TempDir;

const N: i32 = 2000;

/// Pairs of standard normal numbers, evenly spread over the plane (the R2 sequence and Box-Muller).
fn pairs() -> Vec<(f64, f64)> {
    let turn = |i: i32, by: f64| (0.5 + f64::from(i) * by).fract();
    let pair = |i: i32| {
        let radius = (-2.0 * (1.0 - turn(i, 0.754_877_666_246_692_7)).ln()).sqrt();
        let angle = 2.0 * PI * turn(i, 0.569_840_290_998_053_3);
        (radius * angle.cos(), radius * angle.sin())
    };
    (0..N).map(pair).collect()
}

/// a = 3 + 2 u, b = exp(0.6 u + 0.8 v), of weight 1; in between rows of weight 0 without numbers.
fn samples() -> String {
    let mut text = "a,b,weight\n".to_owned();
    for (u, v) in pairs() {
        let _ = writeln!(
            text,
            "{:?},{:?},1",
            3.0 + 2.0 * u,
            (0.6 * u + 0.8 * v).exp()
        );
        text.push_str("nan,,0\n");
    }
    text
}

fn place() -> TempDir {
    let directory = directory();
    std::fs::write(directory.path().join("samples.csv"), samples()).expect("write");
    directory
}

fn text(a: &str, b: &str) -> String {
    format!(
        "name = \"one\"\nparameters = [\n{{ name = \"a\", prior = {{ samples = {a} }} }},\n\
         {{ name = \"c\", prior = {{ normal = {{ mean = 0, sd = 1 }} }} }},\n\
         {{ name = \"b\", prior = {{ samples = {b} }} }},\n]\n[simulator]\nbuiltin = \"linear-gaussian\"\n\
         [observation]\ngrid = [0, 1, 2]\nvalue = [1, 1, 1]\nsigma = [1, 1, 1]\n"
    )
}

fn parse(a: &str, b: &str) -> Result<Campaign, Vec<String>> {
    parse_in(place().path(), &text(a, b))
}

fn theta(space: &ParameterSpace, z: [f64; 3]) -> [f64; 3] {
    let mut theta = [0.0; 3];
    space.constrain(&z, &mut theta);
    theta
}

#[test]
fn marginals_and_correlations_are_those_of_the_samples() {
    let campaign = parse("\"samples.csv\"", "{ path = \"samples.csv\", low = 0 }").expect("one");
    let space = &campaign.space;
    assert_eq!(space.copulas.len(), 1);
    assert_eq!(space.copulas[0].positions(), [0, 2]);
    let Prior::Samples(b) = &space.parameters[2].prior else {
        panic!("{:?}", space.parameters[2].prior);
    };
    assert!((b.correlations[0] - 0.6).abs() < 0.01, "{b:?}");
    for z in [[0.0; 3], [1.0, 0.5, -1.0], [-2.0, 0.0, 1.5]] {
        let [found_a, c, found_b] = theta(space, z);
        assert_eq!(c, z[1]);
        assert!(
            (found_a - (3.0 + 2.0 * z[0])).abs() < 0.15,
            "{found_a} at {z:?}"
        );
        let (found, expected) = (found_b.ln(), 0.6 * z[0] + 0.8 * z[2]);
        assert!(
            (found - expected).abs() < 0.1,
            "{found} {expected} at {z:?}"
        );
        let mut again = [0.0; 3];
        space.unconstrain(&[found_a, c, found_b], &mut again);
        for (found, expected) in again.iter().zip(z) {
            assert!((found - expected).abs() < 1e-9, "{again:?} {z:?}");
        }
    }
    // The density is that of the map from z: by the determinant of its derivatives.
    let z = [0.3, -0.4, 0.8];
    let at = theta(space, z);
    let step = 1e-5;
    let derivative = |j: usize| {
        let (mut up, mut down) = (z, z);
        up[j] += step;
        down[j] -= step;
        let (up, down) = (theta(space, up), theta(space, down));
        [0, 1, 2].map(|i| (up[i] - down[i]) / (2.0 * step))
    };
    let [x, y, w] = [0, 1, 2].map(derivative);
    let determinant = x[0] * (y[1] * w[2] - y[2] * w[1]) - x[1] * (y[0] * w[2] - y[2] * w[0])
        + x[2] * (y[0] * w[1] - y[1] * w[0]);
    let expected = standard_normal_log_density(&z) - determinant.ln();
    let found = space.log_prior(&at);
    assert!((found - expected).abs() < 1e-7, "{found} {expected}");
    assert_eq!(space.log_prior(&[3.0, 0.0, -0.1]), f64::NEG_INFINITY);
    // As it is written it is read, without the file.
    let again = parse_recorded(&to_toml(&campaign), Path::new("c.toml")).expect("recorded");
    assert_eq!(again, campaign);
    assert_eq!(check(&campaign), Ok(()));
    let json = serde_json::to_string(&campaign).expect("JSON");
    assert_eq!(serde_json::from_str::<Campaign>(&json).ok(), Some(campaign));
}

#[test]
fn another_file_is_another_campaign_and_has_correlations_of_its_own() {
    let directory = place();
    let campaign = parse_in(
        directory.path(),
        &text("\"samples.csv\"", "\"samples.csv\""),
    );
    let campaign = campaign.expect("a campaign");
    let other = samples().replacen("nan,,0", "nan,,0.0", 1);
    std::fs::write(directory.path().join("other.csv"), other).expect("write");
    let apart = parse_in(
        directory.path(),
        &text(
            "\"samples.csv\"",
            "{ path = \"other.csv\", column = \"b\", weights = \"weight\" }",
        ),
    )
    .expect("a campaign");
    assert!(apart.space.copulas.is_empty());
    let changed = changed_keys(&campaign, &apart);
    let keys: Vec<&str> = changed
        .iter()
        .filter_map(|change| change.split(':').next())
        .collect();
    assert_eq!(
        keys,
        [
            "parameters[2].prior.samples.correlations",
            "parameters[2].prior.samples.digest"
        ]
    );
}

#[test]
fn mistakes_name_file_column_and_row() {
    let directory = place();
    let bad = "a,b,weight,w\n1,1,1,1\n2,x,1,1\n3,1,-1,1\n";
    std::fs::write(directory.path().join("bad.csv"), bad).expect("write");
    std::fs::write(
        directory.path().join("few.csv"),
        "a,b\n1,2\nnan,3\n2,0\n0,4\n",
    )
    .expect("write");
    let two: String = (0..60)
        .map(|i| format!("{i},{},1,1\n", i * i % 7))
        .collect();
    let two = format!("a,b,weight,w\n{two}");
    std::fs::write(directory.path().join("two.csv"), two).expect("write");
    let good = "\"samples.csv\"";
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "\"none.csv\"",
            good,
            &[
                "c.toml:3: parameters[0].prior.samples: cannot read none.csv: No such file or directory (os error 2)",
            ],
        ),
        (
            "{ path = \"samples.csv\", column = \"aa\" }",
            good,
            &[
                "c.toml:3: parameters[0].prior.samples: samples.csv has no column \"aa\", did you mean a?",
            ],
        ),
        (
            "{ path = \"samples.csv\", weights = \"weigth\" }",
            "{ path = \"samples.csv\", low = 0, high = -1 }",
            &[
                "c.toml:3: parameters[0].prior.samples: samples.csv has no column \"weigth\", did you mean weight?",
                "c.toml:5: parameters[2].prior.samples: low 0 is not below high -1",
            ],
        ),
        (
            "\"bad.csv\"",
            "\"bad.csv\"",
            &[
                "bad.csv: row 3: weight: found -1, expected a number of at least 0",
                "bad.csv:3: b: found \"x\", expected a number",
            ],
        ),
        (
            "\"few.csv\"",
            "{ path = \"few.csv\", low = 0 }",
            &[
                "few.csv: row 2: a: found NaN, expected a finite number",
                "few.csv: row 3: b: found 0, expected more than low, 0",
            ],
        ),
        (
            "{ path = \"few.csv\", column = \"b\" }",
            good,
            &[
                "c.toml:3: parameters[0].prior.samples: column b of few.csv: the 4 samples are worth 4 of equal weight, \
                 expected 50 at least",
            ],
        ),
        (
            good,
            "{ path = \"samples.csv\", column = \"a\" }",
            &[
                "c.toml:5: parameters[2].prior.samples: column a of samples.csv: a correlation is 1, expected it between -1 \
                 and 1",
            ],
        ),
        (
            "\"two.csv\"",
            "{ path = \"two.csv\", column = \"a\", weights = \"w\" }",
            &[
                "c.toml:5: parameters[2].prior.samples: found the weights w, expected weight as of the other parameters with \
                 samples in two.csv",
            ],
        ),
        (
            "3",
            good,
            &[
                "c.toml:3: parameters[0].prior.samples: found 3, expected the path of a file, or a table with path",
            ],
        ),
    ];
    for (a, b, expected) in cases {
        let found = parse_in(directory.path(), &text(a, b)).expect_err(a);
        assert_eq!(found, *expected, "{a} {b}");
    }
}
