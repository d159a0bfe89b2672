//! What a good file becomes, the copy of it, and its identity.

use super::correlated::{CORRELATED, own_noise};
use super::{SINE, directory, parse_in};
use sidereal_inference::campaign::model::{ModelId, Options, Origin, SimulatorSpec};
use sidereal_inference::campaign::{
    Campaign, ColumnNames, Combine, DeviceChoice, Featurizer, Flow, GaussianNoise, Loss, Misfit,
    Missing, Noise, Normalization, Observation, Reading, Rounds, SigmaSource, Stop, StopRule,
    Training, Trust, Workers,
};
use sidereal_inference::campaign_file::{changed_keys, identity, load, to_toml};
use sidereal_inference::space::{Parameter, ParameterSpace, Prior};
use sidereal_models::Catalogue;
use std::collections::BTreeMap;
use std::path::Path;

/// Every key at another value than its default.
const FULL: &str = r#"
name = "full \"quoted\""
seed = 9223372036854775807
parameters = [
    { name = "d", prior = { truncated_normal = { mean = 1, sd = 0.5, low = 0.0, high = 2.0 } } },
    { name = "s", prior = { beta = { alpha = 2.0, beta = 3.0, low = -1.0, high = 1e-3 } }, truth = -0.25 },
    { name = "c0", prior = { log_normal = { mean = 0.0, sd = 0.1 } } },
    { name = "r", prior = { beta = { alpha = 2.0, beta = 3.0 } } },
    { name = "w", prior = { log_uniform = { low = 0.01, high = 1.0 } } },
    { name = "v", prior = { normal = { mean = 0.0, sd = 1e2 } }, truth = 12 },
]
[simulator]
builtin = "absorption-spectrum"
version = 1
lines = [0.25, 0.75]
[observation]
path = "varied.csv"
columns = { grid = "time", value = "value", sigma = "SIGMA" }
missing = "drop"
[noise]
gaussian = { sigma = { table = "sigmas.csv" } }
[likelihood]
kind = "gaussian"
[featurizer]
kind = "resnet"
channels = 8
stages = 1
features = 5
normalization = "batch"
[flow]
kind = "maf"
blocks = 3
hidden = 17
layers = 1
components = 2
max_log_scale = 2.5
[training]
device = "cpu"
batch_size = 50
learning_rate = 5e-4
max_epochs = 11
patience = 3
validation_fraction = 0.2
clip_norm = 1
rounds = 3
loss = "apt"
atoms = 7
refinement = false
surrogate = true
[rounds]
max = 7
simulations = 1_000
defensive_share = 0.25
combine = "per-round"
stop = { rule = "paper", n_eff = 500, efficiency = 0.5, simulations = 10_000, wall_time = "1h30m", top_up = 300 }
[workers]
count = 3
batch_rows = 64
[trust]
misfit = "warn"
"#;

fn gaussian(sigma: SigmaSource) -> Noise {
    Noise::Gaussian(GaussianNoise::of_sigma(sigma))
}

/// A built-in model at 0, 0.5 and 1.
fn simulator(name: &str, options: Options) -> SimulatorSpec {
    SimulatorSpec {
        model: ModelId {
            origin: Origin::Builtin,
            name: name.to_owned(),
            version: 1,
        },
        options,
        grid: vec![0.0, 0.5, 1.0],
        external: None,
    }
}

fn full_campaign() -> Campaign {
    let mut spectrum = Options::default();
    spectrum.set("pivot", 0.5);
    spectrum.set("half_range", 0.5);
    spectrum.set("lines", vec![0.25, 0.75]);
    let parameter = |name: &str, prior| Parameter {
        name: name.to_owned(),
        prior,
        periodic: false,
    };
    Campaign {
        name: "full \"quoted\"".to_owned(),
        seed: i64::MAX as u64,
        space: ParameterSpace::independent(vec![
            parameter(
                "d",
                Prior::TruncatedNormal {
                    mean: 1.0,
                    sd: 0.5,
                    low: 0.0,
                    high: 2.0,
                },
            ),
            parameter(
                "s",
                Prior::Beta {
                    alpha: 2.0,
                    beta: 3.0,
                    low: -1.0,
                    high: 1e-3,
                },
            ),
            parameter("c0", Prior::LogNormal { mean: 0.0, sd: 0.1 }),
            parameter(
                "r",
                Prior::Beta {
                    alpha: 2.0,
                    beta: 3.0,
                    low: 0.0,
                    high: 1.0,
                },
            ),
            parameter(
                "w",
                Prior::LogUniform {
                    low: 0.01,
                    high: 1.0,
                },
            ),
            parameter(
                "v",
                Prior::Normal {
                    mean: 0.0,
                    sd: 100.0,
                },
            ),
        ]),
        truth_by_name: BTreeMap::from([("s".to_owned(), -0.25), ("v".to_owned(), 12.0)]),
        simulator: simulator("absorption-spectrum", spectrum),
        observation: Some(Observation {
            grid: vec![0.0, 0.5, 1.0],
            value: vec![1.0, 2.0, 3.0],
            sigma: vec![0.1, 0.2, 0.1],
        }),
        reading: Reading {
            columns: ColumnNames {
                grid: Some("time".to_owned()),
                value: Some("value".to_owned()),
                sigma: Some("SIGMA".to_owned()),
            },
            missing: Missing::Drop,
            hdu: None,
        },
        noise: gaussian(SigmaSource::Table(vec![
            vec![0.1, 0.2, 0.3],
            vec![0.4, 0.5, 0.6],
        ])),
        training_noise: None,
        featurizer: Featurizer::Resnet {
            channels: 8,
            stages: 1,
            features: 5,
            normalization: Normalization::Batch,
        },
        flow: Flow::Maf {
            blocks: 3,
            hidden: 17,
            layers: 1,
            components: 2,
            max_log_scale: 2.5,
        },
        training: Training {
            device: DeviceChoice::Cpu,
            batch_size: 50,
            learning_rate: 5e-4,
            max_epochs: 11,
            patience: 3,
            validation_fraction: 0.2,
            clip_norm: 1.0,
            rounds: 3,
            loss: Loss::Apt { atoms: 7 },
            refinement: false,
            surrogate: true,
        },
        rounds: Rounds {
            max: 7,
            simulations: 1000,
            defensive_share: 0.25,
            combine: Combine::PerRound,
            stop: Stop {
                rule: StopRule::Paper,
                n_eff: Some(500.0),
                efficiency: Some(0.5),
                simulations: Some(10_000),
                wall_time_s: Some(5400.0),
                top_up: 300,
            },
        },
        workers: Workers {
            count: Some(3),
            batch_rows: Some(64),
            python: None,
        },
        trust: Trust {
            misfit: Misfit::Warn,
        },
    }
}

#[test]
fn every_key_is_read() {
    assert_eq!(parse_in(directory().path(), FULL), Ok(full_campaign()));
}

#[test]
fn a_short_file_is_completed_by_its_data() {
    let campaign = parse_in(directory().path(), SINE).expect("campaign");
    assert_eq!(campaign.seed, 0);
    assert_eq!(campaign.simulator, simulator("sine", Options::default()));
    assert_eq!(campaign.noise, gaussian(SigmaSource::Observed));
    assert!(
        matches!(campaign.featurizer, Featurizer::Mlp { .. }),
        "{:?}",
        campaign.featurizer
    );
    assert_eq!(
        (
            campaign.rounds.max,
            campaign.rounds.stop.simulations,
            campaign.rounds.stop.n_eff,
            campaign.rounds.stop.top_up
        ),
        (50, Some(12_800), None, 0)
    );
    assert_eq!(
        campaign.workers,
        Workers {
            count: None,
            batch_rows: None,
            python: None,
        }
    );
}

#[test]
fn a_constant_sigma_stands_for_a_missing_column() {
    let text =
        SINE.replace("observation.csv", "bare.csv") + "[noise]\ngaussian = { sigma = 0.3 }\n";
    let campaign = parse_in(directory().path(), &text).expect("campaign");
    assert_eq!(campaign.observation.expect("observation").sigma, [0.3; 3]);
    assert_eq!(campaign.noise, gaussian(SigmaSource::Constant(0.3)));
}

#[test]
fn rounds_of_one_size_are_a_budget() {
    let planned = |rest: &str| {
        let text = SINE.to_owned() + rest;
        let rounds = parse_in(directory().path(), &text)
            .expect("campaign")
            .rounds;
        (rounds.max, rounds.simulations, rounds.stop.simulations)
    };
    let nbi = "[rounds]\nmax = 5\nsimulations = 2560\n";
    assert_eq!(planned(nbi), (50, 2560, Some(12_800)));
    let topped_up = "stop = { n_eff = 4000, top_up = 5000 }\n";
    assert_eq!(
        planned(&format!("{nbi}{topped_up}")),
        (50, 2560, Some(17_800))
    );
    // A budget of its own leaves the number of rounds to whoever gives it.
    assert_eq!(
        planned(&format!("{nbi}stop = {{ simulations = 2000 }}\n")),
        (5, 2560, Some(2000))
    );
    assert_eq!(
        planned("[rounds]\nstop = { simulations = 2000 }\n"),
        (50, 1280, Some(2000))
    );
    for unplanned in [
        "stop = { rule = \"paper\" }\n",
        "[training]\nrefinement = false\n",
    ] {
        assert_eq!(planned(&format!("{nbi}{unplanned}")), (5, 2560, None));
    }
}

/// SINE without its observation.
fn amortized(simulator: &str, rest: &str) -> String {
    let head = SINE.split("[observation]").next().unwrap_or_default();
    format!("{head}{simulator}\n{rest}")
}

#[test]
fn amortized_campaigns_have_a_grid_of_their_own() {
    let noise = "[noise]\ngaussian = { sigma = { log_uniform = { low = 0.1, high = 1 } } }";
    let text = amortized("grid = { start = 0, stop = 1, count = 50 }", noise);
    let campaign = parse_in(directory().path(), &text).expect("campaign");
    assert_eq!(campaign.observation, None);
    assert_eq!(
        (campaign.rounds.max, campaign.rounds.simulations),
        (1, 12_800)
    );
    assert_eq!(
        campaign.noise,
        gaussian(SigmaSource::LogUniform {
            low: 0.1,
            high: 1.0
        })
    );
    assert!(
        matches!(campaign.featurizer, Featurizer::Resnet { .. }),
        "{:?}",
        campaign.featurizer
    );
    // numpy.linspace(0, 1, 50)
    assert_eq!(campaign.simulator.grid.len(), 50);
    assert_eq!(campaign.simulator.grid[3], 0.061224489795918366);
    assert_eq!(campaign.simulator.grid[49], 1.0);

    let text = amortized(
        "grid = [3, 1.5]",
        "[noise]\ngaussian = { sigma = { uniform = { low = 1, high = 2 } } }",
    );
    let campaign = parse_in(directory().path(), &text).expect("campaign");
    assert_eq!(campaign.simulator.grid, [3.0, 1.5]);
}

#[test]
fn a_linear_model_without_a_matrix_shows_its_parameters() {
    let text = SINE
        .replace("\"sine\"", "\"linear-gaussian\"")
        .replace("omega", "anything");
    let campaign = parse_in(directory().path(), &text).expect("campaign");
    let matrix = [
        vec![1.0, 0.0, 0.0],
        vec![0.0, 1.0, 0.0],
        vec![0.0, 0.0, 1.0],
    ];
    assert_eq!(campaign.simulator.options.rows("matrix"), Ok(&matrix[..]));
}

#[test]
fn the_copy_of_a_campaign_stands_alone_and_is_the_same_campaign() {
    let directory = directory();
    let uniform = "[noise]\ngaussian = { sigma = { uniform = { low = 1, high = 2 } } }";
    let texts = [
        CORRELATED.to_owned(),
        CORRELATED.replace("covariance", "precision"),
        own_noise("gaussian-mixture", "value = [1, 2, 3]"),
        own_noise(
            "bernoulli-glm\"\ndesign_matrix = [[1, 2, 3], [4, 5, 6.5]]\n#\"",
            "value = [1, 2, 3]",
        ),
        FULL.to_owned(),
        SINE.to_owned(),
        SINE.to_owned() + "[featurizer]\nkind = \"gru\"\n[rounds.stop]\nn_eff = 100\n",
        SINE.to_owned() + "[featurizer]\nkind = \"resnet-gru\"\nstages = 0\n",
        SINE.replace("observation.csv", "bare.csv") + "[noise]\ngaussian = { sigma = 0.3 }\n",
        SINE.replace("\"sine\"", "\"linear-gaussian\""),
        amortized("grid = { start = 0.1, stop = 0.7, count = 7 }", uniform),
    ];
    let elsewhere = tempfile::tempdir().expect("temporary directory");
    for text in texts {
        let campaign = parse_in(directory.path(), &text).expect("campaign");
        let path = elsewhere.path().join("campaign.toml");
        std::fs::write(&path, to_toml(&campaign)).expect("write");
        let copy = load(&path, &Catalogue::default())
            .unwrap_or_else(|error| panic!("{error}\n{}", to_toml(&campaign)));
        assert_eq!(copy, campaign);
        assert_eq!(to_toml(&copy), to_toml(&campaign));
        assert_eq!(changed_keys(&campaign, &copy), Vec::<String>::new());
    }
}

#[test]
fn what_may_change_leaves_the_identity_and_what_may_not_is_named() {
    let full = full_campaign();
    let allowed: [fn(&mut Campaign); 11] = [
        |campaign| campaign.rounds.max = 9,
        |campaign| campaign.rounds.stop.n_eff = None,
        |campaign| campaign.rounds.stop.rule = StopRule::Bootstrap,
        |campaign| campaign.rounds.stop.simulations = Some(1),
        |campaign| campaign.rounds.stop.wall_time_s = None,
        |campaign| campaign.rounds.stop.top_up = 0,
        |campaign| campaign.workers.count = None,
        |campaign| campaign.workers.batch_rows = None,
        |campaign| campaign.training.device = DeviceChoice::Auto,
        |campaign| campaign.truth_by_name.clear(),
        |campaign| *campaign.truth_by_name.entry("v".to_owned()).or_default() = 13.0,
    ];
    for change in allowed {
        let mut changed = full.clone();
        change(&mut changed);
        assert_ne!(changed, full);
        assert_eq!(changed_keys(&full, &changed), Vec::<String>::new());
        assert_eq!(identity(&changed), identity(&full));
    }

    /// A change, and the keys that it is refused with.
    type Refused = (fn(&mut Campaign), &'static [&'static str]);
    let refused: [Refused; 16] = [
        (
            |campaign| campaign.trust.misfit = Misfit::Fail,
            &["trust.misfit: \"warn\" -> \"fail\""],
        ),
        (
            |campaign| campaign.name = "other".to_owned(),
            &["name: \"full \\\"quoted\\\"\" -> \"other\""],
        ),
        (
            |campaign| campaign.seed = 1,
            &["seed: 9223372036854775807 -> 1"],
        ),
        (
            |campaign| campaign.rounds.simulations = 5120,
            &["rounds.simulations: 1000 -> 5120"],
        ),
        (
            |campaign| campaign.rounds.combine = Combine::Mixture,
            &["rounds.combine: \"per-round\" -> \"mixture\""],
        ),
        (
            |campaign| campaign.training.batch_size = 51,
            &["training.batch_size: 50 -> 51"],
        ),
        (
            |campaign| campaign.training.loss = Loss::Nll,
            &[
                "training.atoms: 7 -> nothing",
                "training.loss: \"apt\" -> \"nll\"",
            ],
        ),
        (
            |campaign| campaign.training.refinement = true,
            &["training.refinement: false -> true"],
        ),
        (
            |campaign| campaign.training.surrogate = false,
            &["training.surrogate: true -> false"],
        ),
        (
            |campaign| {
                campaign.space.parameters[5].prior = Prior::Uniform {
                    low: 0.0,
                    high: 1.0,
                }
            },
            &[
                "parameters[5].prior.normal.mean: 0.0 -> nothing",
                "parameters[5].prior.normal.sd: 100.0 -> nothing",
                "parameters[5].prior.uniform.high: nothing -> 1.0",
                "parameters[5].prior.uniform.low: nothing -> 0.0",
            ],
        ),
        (
            |campaign| {
                if let Some(observation) = &mut campaign.observation {
                    observation.value[1] = 2.5;
                }
            },
            &["observation.value[1]: 2.0 -> 2.5"],
        ),
        (
            |campaign| {
                if let Some(observation) = &mut campaign.observation {
                    observation.sigma = vec![1.0, 0.2];
                }
            },
            &["observation.sigma: 3 values -> 2 values"],
        ),
        (
            |campaign| campaign.noise = gaussian(SigmaSource::Observed),
            &[
                "noise.gaussian.sigma: nothing -> \"observed\"",
                "noise.gaussian.sigma.table: 2 values -> nothing",
            ],
        ),
        (
            |campaign| {
                if let Noise::Gaussian(GaussianNoise {
                    sigma: SigmaSource::Table(rows),
                    ..
                }) = &mut campaign.noise
                {
                    rows[1] = vec![0.4, 1.0, 2.0];
                }
            },
            &["noise.gaussian.sigma.table[1][1]: 0.5 -> 1.0 (and 1 more)"],
        ),
        (
            |campaign| {
                campaign.featurizer = Featurizer::Gru {
                    hidden: 4,
                    features: 5,
                }
            },
            &[
                "featurizer.channels: 8 -> nothing",
                "featurizer.hidden: nothing -> 4",
                "featurizer.kind: \"resnet\" -> \"gru\"",
                "featurizer.normalization: \"batch\" -> nothing",
                "featurizer.stages: 1 -> nothing",
            ],
        ),
        (
            |campaign| {
                campaign.flow = Flow::Maf {
                    blocks: 3,
                    hidden: 18,
                    layers: 1,
                    components: 2,
                    max_log_scale: 2.5,
                }
            },
            &["flow.hidden: 17 -> 18"],
        ),
    ];
    for (change, expected) in refused {
        let mut changed = full.clone();
        change(&mut changed);
        assert_eq!(changed_keys(&full, &changed), expected);
        assert_ne!(identity(&changed), identity(&full));
    }
}

#[test]
fn the_identity_is_the_same_in_every_build() {
    // Campaign directories hold it: a change here locks users out of theirs.
    let expected = "ce73e9a258bf1c1ec87c12fcfa62e488c72b328233a7d85f0e2ea0b6c33006d0";
    assert_eq!(identity(&full_campaign()).0, expected);
}

#[test]
fn examples_are_good_campaigns() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let table = [
        ("sine/campaign.toml", 50, 3, 50, 1280),
        ("sine/amortized.toml", 50, 3, 1, 12_800),
        ("microlensing/campaign.toml", 383, 5, 50, 1280),
        ("transit/campaign.toml", 200, 6, 50, 1280),
        ("absorption-spectrum/campaign.toml", 181, 6, 50, 1280),
        ("linear-gaussian/campaign.toml", 9, 3, 50, 2560),
    ];
    for (name, n_data, n_parameters, max, simulations) in table {
        let campaign = load(&examples.join(name), &Catalogue::default())
            .unwrap_or_else(|error| panic!("{error}"));
        let found = (
            campaign.simulator.grid.len(),
            campaign.space.parameters.len(),
            campaign.rounds.max,
            campaign.rounds.simulations,
        );
        assert_eq!(found, (n_data, n_parameters, max, simulations), "{name}");
    }
    let sine = load(&examples.join("sine/campaign.toml"), &Catalogue::default())
        .unwrap_or_else(|error| panic!("{error}"));
    let amortized = load(&examples.join("sine/amortized.toml"), &Catalogue::default())
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        sine.simulator, amortized.simulator,
        "the amortized model answers for the same times"
    );
    assert_eq!(sine.space, amortized.space);
}
