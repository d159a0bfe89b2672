//! A posterior as the prior of the next campaign: two data sets one after the other are worth both together.

use crate::setup::{fit, results, write};

/// A straight line at three points, in two halves.
const LINE: &str = r#"
seed = 5
[simulator]
builtin = "linear-gaussian"
matrix = [[1, 0], [1, 1], [1, 2]]
[rounds.stop]
n_eff = 3000
simulations = 20000
[observation]
grid = [0, 1, 2]
sigma = [0.5, 0.5, 0.5]
"#;

const FIRST: &str = "value = [1.2, 2.1, 3.4]\n";
const SECOND: &str = "value = [0.7, 2.6, 3.1]\n";

/// Mean, and covariance (of intercept, both, and slope), of N(0, 3²) priors and both halves.
fn expected() -> ([f64; 2], [f64; 3]) {
    let (mut a, mut b, mut c) = (1.0 / 9.0, 0.0, 1.0 / 9.0);
    let (mut u, mut v) = (0.0, 0.0);
    let data = [1.2, 2.1, 3.4, 0.7, 2.6, 3.1];
    for (value, t) in data.into_iter().zip([0.0, 1.0, 2.0, 0.0, 1.0, 2.0]) {
        a += 4.0;
        b += 4.0 * t;
        c += 4.0 * t * t;
        u += 4.0 * value;
        v += 4.0 * value * t;
    }
    let determinant = a * c - b * b;
    let mean = [(c * u - b * v) / determinant, (a * v - b * u) / determinant];
    (mean, [c / determinant, -b / determinant, a / determinant])
}

#[test]
fn a_posterior_is_the_prior_of_the_next_campaign() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let normal = "{ normal = { mean = 0, sd = 3 } }";
    let samples = "{ samples = \"first/posterior.parquet\" }";
    let campaign = |name: &str, prior: &str, data: &str| {
        let parameters = format!(
            "name = \"{name}\"\nparameters = [{{ name = \"intercept\", prior = {prior} }}, {{ name = \"slope\", prior = \
             {prior} }}]"
        );
        write(
            place,
            &format!("{name}.toml"),
            &format!("{parameters}{LINE}{data}"),
        )
    };
    fit(
        &campaign("one", normal, FIRST),
        &place.join("first"),
        &[],
        &[0],
    );
    let second = campaign("two", samples, SECOND);
    fit(&second, &place.join("second"), &["--workers", "2"], &[0]);
    let found = results(&place.join("second"));
    assert_eq!(found.campaign.space.copulas.len(), 1);
    let (mean, [a, b, c]) = expected();
    let posterior = &found.posterior;
    let average = |of: &dyn Fn(&[f64]) -> f64| -> f64 {
        let rows = 0..posterior.n_rows();
        rows.map(|i| posterior.weight[i] * of(posterior.theta_row(i)))
            .sum()
    };
    // 3,000 effective draws twice, and a density that is fitted: a tenth of a standard deviation.
    let moments = [(0, a), (1, c)];
    for (i, variance) in moments {
        let found = average(&|theta| theta[i]);
        let tolerance = 0.1 * variance.sqrt();
        assert!(
            (found - mean[i]).abs() < tolerance,
            "{i}: {found}, expected {} ± {tolerance}",
            mean[i]
        );
        let spread = average(&|theta| (theta[i] - mean[i]) * (theta[i] - mean[i]));
        assert!(
            (spread / variance - 1.0).abs() < 0.15,
            "{spread} {variance}"
        );
    }
    // Without correlations it would be half of this.
    let both = average(&|theta| (theta[0] - mean[0]) * (theta[1] - mean[1]));
    assert!((both / b - 1.0).abs() < 0.15, "{both} {b}");
    // The copy in the directory needs no file, and the same draws come of it.
    let copy = std::fs::read_to_string(place.join("second/campaign.toml")).expect("campaign.toml");
    std::fs::remove_dir_all(place.join("first")).expect("the first campaign");
    let copy = write(place, "copy.toml", &copy);
    fit(&copy, &place.join("third"), &["--workers", "1"], &[0]);
    let bytes = |name: &str| {
        std::fs::read(place.join(name).join("posterior.parquet")).expect("a posterior")
    };
    assert!(bytes("second") == bytes("third"));
}
