//! Campaigns with a joint prior, and with a model that draws its own noise.

use super::{SINE, directory, parse_in};
use sidereal_inference::campaign::Noise;
use sidereal_inference::campaign_file::{changed_keys, identity};
use sidereal_inference::space::{Prior, Spread};

/// Two correlated parameters around an independent one.
pub(super) const CORRELATED: &str = r#"
name = "correlated"
[[parameters]]
name = "a"
[[parameters]]
name = "b"
prior = { uniform = { low = 0, high = 1 } }
[[parameters]]
name = "c"
[prior]
multivariate_normal = { mean = [1, 2], covariance = [[4, 1], [1, 9.25]] }
[simulator]
builtin = "linear-gaussian"
[observation]
grid = [0, 1, 2]
value = [1, 2, 3]
sigma = [1, 1, 1]
"#;

/// SINE's parameters with another model and observation.
pub(super) fn own_noise(builtin: &str, observation: &str) -> String {
    let head = SINE.split("[simulator]").next().unwrap_or_default();
    format!("{head}[simulator]\nbuiltin = \"{builtin}\"\n[observation]\n{observation}\n")
}

#[test]
fn parameters_without_a_prior_share_the_joint_one() {
    let campaign = parse_in(directory().path(), CORRELATED).expect("campaign");
    let joint = campaign.space.joint.as_ref().expect("a joint prior");
    assert_eq!(joint.positions(), [0, 2]);
    assert_eq!(joint.mean(), [1.0, 2.0]);
    assert_eq!(
        joint.spread(),
        &Spread::Covariance(vec![vec![4.0, 1.0], vec![1.0, 9.25]])
    );
    // Alone each of them is normal.
    assert_eq!(
        campaign.space.parameters[0].prior,
        Prior::Normal { mean: 1.0, sd: 2.0 }
    );
    let mut changed = campaign.clone();
    changed.space.joint = None;
    assert!(!changed_keys(&campaign, &changed).is_empty());
    assert_ne!(identity(&campaign), identity(&changed));

    let mistakes = [
        (
            "mean = [1, 2], ",
            "",
            "c.toml:10: prior.multivariate_normal.mean: missing, expected a list of numbers, one a parameter without a \
             prior of its own",
        ),
        (
            "[[4, 1], [1, 9.25]]",
            "[[4, 7], [7, 9.25]]",
            "c.toml:10: prior.multivariate_normal: covariance is not positive definite: pivot 1 of its Cholesky factor \
             is -3e0 of 9.25",
        ),
        (
            "[[4, 1], [1, 9.25]]",
            "[[4, 1], [1, 9]], precision = [[1, 0], [0, 1]]",
            "c.toml:10: prior.multivariate_normal: found covariance and precision, expected one of them",
        ),
        (
            "covariance = [[4, 1], [1, 9.25]]",
            "",
            "c.toml:10: prior.multivariate_normal: found neither covariance nor precision, expected one of them",
        ),
        (
            "name = \"c\"",
            "name = \"c\"\nprior = { normal = { mean = 0, sd = 1 } }",
            "c.toml:11: prior.multivariate_normal: mean has 2 numbers, expected 1, one a parameter",
        ),
    ];
    for (found, replacement, expected) in mistakes {
        let text = CORRELATED.replace(found, replacement);
        let mistakes = parse_in(directory().path(), text.trim_start()).expect_err(expected);
        assert_eq!(mistakes, [expected]);
    }
}

#[test]
fn data_with_the_simulators_own_noise_need_neither_errors_nor_grid() {
    let text = own_noise("gaussian-mixture", "value = [1, 2, 3]");
    let campaign = parse_in(directory().path(), &text).expect("campaign");
    assert_eq!(campaign.noise, Noise::Simulator);
    assert_eq!(campaign.simulator.grid, [0.0, 1.0, 2.0]);
    let observation = campaign.observation.expect("observation");
    assert_eq!(observation.value, [1.0, 2.0, 3.0]);
    assert_eq!(observation.sigma, [0.0; 0]);
    let said = text.clone() + "[likelihood]\nkind = \"simulator\"\n";
    assert!(parse_in(directory().path(), &said).is_ok());
    // Without an observation the model knows the number of its data.
    let amortized = text.split("[observation]").next().unwrap_or_default();
    let campaign = parse_in(directory().path(), amortized).expect("campaign");
    assert_eq!(campaign.simulator.grid, [0.0, 1.0, 2.0]);
}
