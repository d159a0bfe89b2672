//! Models in processes of their own, log-likelihoods alone, prior transforms and fixed parameters.

use super::parse_in;
use sidereal_inference::campaign::external::{Program, Protocol, PythonFunction};
use sidereal_inference::campaign::model::Origin;
use sidereal_inference::campaign::{Campaign, GaussianNoise, Noise, Observation, SigmaSource};
use sidereal_inference::campaign_file::{changed_keys, identity, parse_recorded, to_toml};
use sidereal_inference::space::{Derived, DerivedKind, Fixed, Prior};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const PARAMETERS: &str = "name = \"test\"\n[[parameters]]\nname = \"a\"\nprior = { uniform = { low = 0, high = 1 } }\n\
                          [[parameters]]\nname = \"b\"\nprior = { normal = { mean = 0, sd = 1 } }\n";

/// A directory with a model.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("temporary directory");
    for (name, text) in [
        ("model.py", "def f(theta): ...\n"),
        ("model", "#!/bin/sh\n"),
    ] {
        fs::write(directory.path().join(name), text).expect("write");
    }
    directory
}

/// The campaign, which is found again in what is recorded of it.
fn read(directory: &Path, text: &str) -> Campaign {
    let campaign = parse_in(directory, text).unwrap_or_else(|error| panic!("{text}\n{error:?}"));
    let recorded = to_toml(&campaign);
    let elsewhere = Path::new("/elsewhere/campaign.toml");
    let again =
        parse_recorded(&recorded, elsewhere).unwrap_or_else(|error| panic!("{recorded}\n{error}"));
    assert_eq!(again, campaign, "{recorded}");
    campaign
}

fn function(directory: &Path, name: &str) -> Option<PythonFunction> {
    Some(PythonFunction {
        place: directory.join("model.py").display().to_string(),
        name: name.to_owned(),
    })
}

#[test]
fn a_log_likelihood_alone_needs_no_data() {
    let directory = directory();
    let path = directory.path();
    let text = format!(
        "{PARAMETERS}[likelihood]\npython = \"model.py:f\"\nblobs = [\"mass\", \"r2\"]\nvectorized = true\ntimeout = 5\n"
    );
    let campaign = read(path, &text);
    assert_eq!(campaign.observation, Some(Observation::of_the_model()));
    assert_eq!(campaign.noise, Noise::Simulator);
    let model = &campaign.simulator;
    assert_eq!(
        (model.model.origin, model.model.name.as_str()),
        (Origin::Python, "model.py:f")
    );
    assert_eq!(model.grid, [0.0; 0]);
    let external = model.external.as_ref().expect("external");
    assert_eq!(
        (external.block, external.row_limit_s, external.setup_limit_s),
        (256, 5.0, 300.0)
    );
    let expected = Program::Python {
        simulate: None,
        log_likelihood: function(path, "f"),
        prior_transform: None,
    };
    assert_eq!(external.program, expected);
    let names: Vec<&str> = campaign.space.column_names().collect();
    assert_eq!(names, ["a", "b", "mass", "r2"]);
}

#[test]
fn a_simulator_has_gaussian_noise_unless_it_gives_its_likelihood() {
    let directory = directory();
    let path = directory.path();
    let simulator = format!("{PARAMETERS}[simulator]\npython = \"model.py:f\"\nvectorized = 32\n");
    let data = "[observation]\ngrid = [0, 1]\nvalue = [1, 2]\n";
    let campaign = read(path, &format!("{simulator}{data}sigma = [0.1, 0.2]\n"));
    assert!(matches!(campaign.noise, Noise::Gaussian(_)));
    assert_eq!(campaign.simulator.grid, [0.0, 1.0]);
    assert_eq!(campaign.simulator.external.expect("external").block, 32);
    let text = format!("{simulator}{data}[likelihood]\npython = \"package.model:g\"\n");
    let campaign = read(path, &text);
    assert_eq!(campaign.noise, Noise::Simulator);
    let amortized = format!("{simulator}grid = [0, 1]\n[noise]\ngaussian = {{ sigma = 0.1 }}\n");
    assert_eq!(read(path, &amortized).observation, None);
}

#[test]
fn programs_are_started_where_the_campaign_file_is() {
    let directory = directory();
    let path = directory.path();
    let text = format!(
        "{PARAMETERS}[simulator]\ncommand = [\"./model\", \"-x\"]\nprotocol = \"lines\"\ngrid = [0]\n[noise]\n\
         gaussian = {{ sigma = 1 }}\n"
    );
    let campaign = read(path, &text);
    let external = campaign.simulator.external.expect("external");
    let expected = Program::Command {
        command: vec!["./model".to_owned(), "-x".to_owned()],
        directory: path.to_owned(),
        protocol: Protocol::Lines,
        simulates: true,
    };
    assert_eq!(external.program, expected);
    let alone = format!(
        "{PARAMETERS}[likelihood]\ncommand = [\"awk\", \"{{ print -$1 }}\"]\nprotocol = \"lines\"\n"
    );
    assert_eq!(read(path, &alone).simulator.grid, [0.0; 0]);
}

#[test]
fn a_prior_transform_makes_parameters_of_a_cube() {
    let directory = directory();
    let text = "name = \"test\"\n[prior]\ntransform = { python = \"model.py:t\", names = [\"a\", \"b\"], periodic = [\"b\"] }\n\
                [likelihood]\npython = \"model.py:f\"\nblobs = [\"c\"]\n";
    let space = read(directory.path(), text).space;
    let cube: Vec<(&str, bool)> = space
        .parameters
        .iter()
        .map(|parameter| (parameter.name.as_str(), parameter.periodic))
        .collect();
    assert_eq!(cube, [("u_a", false), ("u_b", true)]);
    let derived = |name: &str, kind| Derived {
        name: name.to_owned(),
        kind,
    };
    assert_eq!(
        space.derived,
        [
            derived("a", DerivedKind::Transformed),
            derived("b", DerivedKind::Transformed),
            derived("c", DerivedKind::Blob),
        ]
    );
    let shown: Vec<&str> = space.shown().map(|(name, _)| name).collect();
    assert_eq!(shown, ["a", "b", "c"]);
}

#[test]
fn fixed_parameters_keep_their_places() {
    let directory = directory();
    let fixed = |name: &str, value: f64| {
        format!("[[parameters]]\nname = \"{name}\"\nprior = {{ fixed = {value} }}\n")
    };
    let text = format!(
        "{}{}{}{}[likelihood]\npython = \"model.py:f\"\n",
        PARAMETERS.replace(
            "name = \"test\"\n",
            &format!("name = \"test\"\n{}", fixed("p", 1.5))
        ),
        fixed("q", 2.0),
        "[[parameters]]\nname = \"c\"\nprior = { truncated_normal = { mean = 1, sd = 2, low = 0 } }\n",
        fixed("r", 3.0),
    );
    let space = read(directory.path(), &text).space;
    assert_eq!(space.names(), ["a", "b", "c"]);
    let fixed = |name: &str, value, position| Fixed {
        sd: None,
        name: name.to_owned(),
        value,
        position,
    };
    assert_eq!(
        space.fixed,
        [fixed("p", 1.5, 0), fixed("q", 2.0, 3), fixed("r", 3.0, 5)]
    );
    assert_eq!(space.model_names(), ["p", "a", "b", "q", "c", "r"]);
    assert_eq!(
        space.model_parameters(&[0.1, 0.2, 0.3]),
        [1.5, 0.1, 0.2, 2.0, 0.3, 3.0]
    );
    let expected = Prior::TruncatedNormal {
        mean: 1.0,
        sd: 2.0,
        low: 0.0,
        high: 81.0,
    };
    assert_eq!(space.parameters[2].prior, expected);
}

#[test]
fn what_the_model_is_has_a_digest() {
    let directory = directory();
    let path = directory.path();
    let text = |name: &str| format!("{PARAMETERS}[likelihood]\npython = \"model.py:{name}\"\n");
    let digest = |text: &str| {
        read(path, text)
            .simulator
            .external
            .expect("external")
            .digest
    };
    let first = read(path, &text("f"));
    assert_ne!(digest(&text("f")), digest(&text("g")));
    fs::write(path.join("model.py"), "def f(theta): return 1\n").expect("write");
    let second = read(path, &text("f"));
    let digest_of = |campaign: &Campaign| {
        campaign
            .simulator
            .external
            .clone()
            .expect("external")
            .digest
    };
    assert_ne!(digest_of(&first), digest_of(&second));
    // Whoever opens the directory looks at it, and may go on.
    assert_eq!(changed_keys(&first, &second), [""; 0]);
    assert_eq!(identity(&first), identity(&second));
    let old = digest_of(&first);
    let refused =
        parse_in(path, &format!("{}digest = \"{old}\"\n", text("f"))).expect_err("another digest");
    let new = digest_of(&second);
    assert_eq!(
        refused,
        [format!(
            "c.toml:10: likelihood.digest: the model's files have {new}, expected this digest or none"
        )]
    );
}

/// An amortized campaign with noise of a function.
const NOISY: &str =
    "[simulator]\nbuiltin = \"linear-gaussian\"\ngrid = [0, 1]\n[noise]\npython = \"model.py:f\"\n";

#[test]
fn a_function_may_add_the_noise_of_training() {
    let directory = directory();
    let path = directory.path();
    let text = format!("{PARAMETERS}{NOISY}vectorized = 32\ntimeout = 5\n");
    let campaign = read(path, &text);
    let observed = GaussianNoise::of_sigma(SigmaSource::Observed);
    assert_eq!(campaign.noise, Noise::Gaussian(observed));
    let noise = campaign.training_noise.as_ref().expect("a function");
    assert_eq!(Some(&noise.function), function(path, "f").as_ref());
    assert_eq!((noise.block, noise.global_rng), (32, false));
    assert_eq!((noise.row_limit_s, noise.setup_limit_s), (5.0, 300.0));
    assert_eq!(noise.name(), "model.py:f");

    // Paths and limits may change, how it is called may not; what it is shows in its digest.
    let changed = |text: &str| changed_keys(&campaign, &read(path, text));
    let none: [&str; 0] = [];
    assert_eq!(changed(&text.replace("timeout = 5", "timeout = 6")), none);
    let other = text.replace("vectorized = 32", "vectorized = 33");
    assert_eq!(changed(&other), ["noise.vectorized: 32 -> 33"]);
    fs::write(path.join("model.py"), "def f(x, rng): ...\n").expect("write");
    let again = read(path, &text);
    let digest = |campaign: &Campaign| {
        campaign
            .training_noise
            .as_ref()
            .map(|noise| noise.digest.clone())
    };
    assert_ne!(digest(&again), digest(&campaign));
    assert_eq!(identity(&again), identity(&campaign));

    // A model of one's own that gives its likelihood may leave the noise to training too.
    let own = format!(
        "{PARAMETERS}[simulator]\npython = \"model.py:f\"\ngrid = [0, 1]\n[likelihood]\npython = \"model.py:f\"\n[noise]\n\
         python = \"model.py:f\"\n"
    );
    let own = read(path, &own);
    assert_eq!(own.noise, Noise::Simulator);
    assert!(own.training_noise.is_some());
}

#[test]
fn noise_that_cannot_be_is_refused() {
    let directory = directory();
    for (text, expected) in [
        (
            format!("{NOISY}gaussian = {{ sigma = 1 }}\n"),
            "c.toml:13: noise.gaussian: found gaussian and python, expected one of them: with python the likelihood is that \
             of the observation's own errors",
        ),
        (
            NOISY.replace(
                "python = \"model.py:f\"",
                "vectorized = true\ngaussian = { sigma = 1 }",
            ),
            "c.toml:12: noise.vectorized: expected none without noise.python",
        ),
        (
            format!(
                "{}[observation]\nvalue = [1, 2]\ngrid = [0, 1]\nsigma = [1, 1]\n",
                NOISY.replace("grid = [0, 1]\n", "")
            ),
            "c.toml:10: noise: flows of a campaign on one observation are fitted to weighted draws, which have no noise, \
             expected no python, no [observation] or training.refinement = false",
        ),
        (
            "[simulator]\nbuiltin = \"two-moons\"\n[noise]\npython = \"model.py:f\"\n".to_owned(),
            "c.toml:10: noise: two-moons draws noise of its own, expected no [noise]",
        ),
        (
            "[likelihood]\npython = \"model.py:f\"\n[noise]\npython = \"model.py:f\"\n".to_owned(),
            "c.toml:10: noise: model.py:f is a log-likelihood alone, which has its data itself, expected no [noise]",
        ),
    ] {
        let found = parse_in(directory.path(), &format!("{PARAMETERS}{text}")).expect_err(&text);
        assert_eq!(found, [expected], "{text}");
    }
    // Without refinement flows are fitted to simulations.
    let text = NOISY.replace("grid = [0, 1]\n", "");
    let paper = "[observation]\nvalue = [1, 2]\ngrid = [0, 1]\nsigma = [1, 1]\n[training]\nrefinement = false\n";
    let campaign = read(directory.path(), &format!("{PARAMETERS}{text}{paper}"));
    assert!(campaign.training_noise.is_some());
}

#[test]
fn where_nothing_is_simulated_a_parameter_may_be_called_x() {
    let directory = directory();
    let text = PARAMETERS.replace("\"a\"", "\"x\"") + "[likelihood]\npython = \"model.py:f\"\n";
    let parsed = read(directory.path(), &text);
    let names = parsed.space.names();
    assert_eq!(names, ["x", "b"]);
}

#[test]
fn mistakes_are_named() {
    let directory = directory();
    for (text, expected) in [
        (
            "[likelihood]\npython = \"model.py\"\n",
            "c.toml:9: likelihood.python: found \"model.py\", expected \"model.py:name\" or \"package.module:name\"",
        ),
        (
            "[likelihood]\npython = \"model.py:f\"\n[observation]\nvalue = [1]\n",
            "c.toml:10: observation: model.py:f is a log-likelihood alone, which has its data itself, expected no \
             [observation]",
        ),
        (
            "[simulator]\nbuiltin = \"linear-gaussian\"\ngrid = [0, 1]\n[noise]\ngaussian = { sigma = 1 }\n[likelihood]\n\
             python = \"model.py:f\"\n",
            "c.toml:14: likelihood.python: expected [simulator] with python = \"...\" beside it, or no [simulator]",
        ),
        (
            "[likelihood]\npython = \"model.py:f\"\nblobs = [\"a\"]\n",
            "c.toml: blobs: \"a\" is the name of two columns of the result",
        ),
        (
            "[likelihood]\npython = \"model.py:f\"\nblobs = [\"weight\"]\n",
            "c.toml:10: likelihood.blobs[0]: \"weight\" is a column of every result, expected a name other than row_id, \
             seed, log_prior, log_proposal, log_likelihood, component, status, message, round, weight and z_...",
        ),
        (
            "[likelihood]\npython = \"model.py:f\"\nvectorized = 0\n",
            "c.toml:10: likelihood.vectorized: found 0, expected a whole number from 1 to 1048576",
        ),
        (
            "[likelihood]\ncommand = []\n",
            "c.toml:9: likelihood.command: found no program, expected its name and its arguments",
        ),
        (
            "[likelihood]\ncommand = [\"model\"]\nvectorized = true\n",
            "c.toml:10: likelihood.vectorized: expected none of a program",
        ),
        (
            "[likelihood]\npython = \"model.py:f\"\n[prior]\ntransform = { python = \"model.py:t\", names = [\"a\"] }\n",
            "c.toml:2: parameters: expected none beside a prior transform, whose names say what it gives",
        ),
        (
            "[simulator]\npython = \"model.py:f\"\nmatrix = [[1]]\ngrid = [0]\n[noise]\ngaussian = { sigma = 1 }\n",
            "c.toml:10: simulator.matrix: no option of a model in a process of its own, these are grid, python, command, \
             directory, protocol, digest, vectorized, blobs, global_rng, timeout, setup_timeout",
        ),
        (
            "[simulator]\npython = \"model.py:f\"\ngrid = [0]\nblobs = [\"x\"]\n[noise]\ngaussian = { sigma = 1 }\n",
            "c.toml: parameters: \"x\" is the column of simulated data in shards, expected another name",
        ),
    ] {
        let found = parse_in(directory.path(), &format!("{PARAMETERS}{text}")).expect_err(text);
        assert_eq!(found, [expected], "{text}");
    }
    let all_fixed = "name = \"t\"\n[[parameters]]\nname = \"a\"\nprior = { fixed = 1 }\n[likelihood]\npython = \"model.py:f\"\n";
    let found = parse_in(directory.path(), all_fixed).expect_err("nothing to fit");
    assert_eq!(
        found,
        ["c.toml: parameters: all are fixed, expected one at least that is not"]
    );
}
