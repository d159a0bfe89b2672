//! A campaign as a file again: `campaign.toml` as validated and run, on its own.

use crate::campaign::{
    Campaign, Combine, DeviceChoice, Featurizer, Flow, Loss, Misfit, Normalization, NsfSize,
    StopRule,
};
use crate::model::OptionValue;
use crate::noise::{Noise, SigmaSource};
use crate::observation::{Hdu, Missing, Reading};
use crate::prior::Prior;
use toml::Value;

/// One table of the file: its header as a key path, and its keys in order.
pub(super) struct Part<'a> {
    /// Empty for the keys above all tables; parameters are `parameters[0]` and so on.
    pub key: String,
    pub entries: Vec<(&'a str, Value)>,
}

/// The campaign as validated and run, on its own: observation and sigma table stand in it, and what was
/// left to defaults is written out. [`load`](super::load) of this gives the same campaign.
pub fn to_toml(campaign: &Campaign) -> String {
    let mut text = String::from("# The campaign as validated and run; written by sidereal.\n");
    for part in parts(campaign) {
        if part.key.starts_with("parameters[") {
            text.push_str("\n[[parameters]]\n");
        } else if !part.key.is_empty() {
            text.push_str(&format!("\n[{}]\n", part.key));
        }
        for (name, value) in part.entries {
            text.push_str(&format!("{name} = {value}\n"));
        }
    }
    text
}

/// Everything in a campaign, under the keys of the campaign file.
pub(super) fn parts(campaign: &Campaign) -> Vec<Part<'_>> {
    let part = |key: &str, entries| Part {
        key: key.to_owned(),
        entries,
    };
    let mut parts = vec![part(
        "",
        vec![
            ("name", Value::from(campaign.name.as_str())),
            ("seed", whole(campaign.seed)),
        ],
    )];
    for (i, parameter) in campaign.space.parameters.iter().enumerate() {
        let mut entries = vec![("name", Value::from(parameter.name.as_str()))];
        if !campaign.space.is_joint(i) {
            entries.push(("prior", prior(&parameter.prior)));
        }
        if parameter.periodic {
            entries.push(("periodic", Value::from(true)));
        }
        if let Some(&truth) = campaign.truth_by_name.get(&parameter.name) {
            entries.push(("truth", Value::Float(truth)));
        }
        parts.push(part(&format!("parameters[{i}]"), entries));
    }
    if let Some(joint) = &campaign.space.joint {
        let values = table([
            ("mean", numbers(joint.mean())),
            (joint.spread().name(), rows(joint.spread().rows())),
        ]);
        parts.push(part("prior", vec![("multivariate_normal", values)]));
    }
    parts.push(part("simulator", simulator(campaign)));
    let observation = observation(campaign);
    if !observation.is_empty() {
        parts.push(part("observation", observation));
    }
    let likelihood = match &campaign.noise {
        Noise::Gaussian(noise) => {
            let sigma = table([("sigma", sigma(&noise.sigma))]);
            parts.push(part("noise", vec![("gaussian", sigma)]));
            "gaussian"
        }
        Noise::Simulator => "simulator",
    };
    parts.push(part("likelihood", vec![("kind", Value::from(likelihood))]));
    parts.push(part("featurizer", featurizer(&campaign.featurizer)));
    parts.push(part("flow", flow(&campaign.flow)));
    parts.push(part("training", training(campaign)));
    parts.push(part("rounds", rounds(campaign)));
    parts.push(part("rounds.stop", stop(campaign)));
    let mut workers = Vec::new();
    if let Some(count) = campaign.workers.count {
        workers.push(("count", whole(count.into())));
    }
    if let Some(batch_rows) = campaign.workers.batch_rows {
        workers.push(("batch_rows", whole(batch_rows)));
    }
    parts.push(part("workers", workers));
    let misfit = match campaign.trust.misfit {
        Misfit::Fail => "fail",
        Misfit::Warn => "warn",
    };
    parts.push(part("trust", vec![("misfit", Value::from(misfit))]));
    parts
}

fn observation(campaign: &Campaign) -> Vec<(&'static str, Value)> {
    let mut entries = Vec::new();
    if let Some(observation) = &campaign.observation {
        entries.push(("grid", numbers(&observation.grid)));
        entries.push(("value", numbers(&observation.value)));
        match campaign.noise {
            Noise::Gaussian(_) => entries.push(("sigma", numbers(&observation.sigma))),
            Noise::Simulator => {}
        }
    }
    let Reading {
        columns,
        missing,
        hdu,
    } = &campaign.reading;
    let names = [
        ("grid", &columns.grid),
        ("value", &columns.value),
        ("sigma", &columns.sigma),
    ];
    let names: toml::Table = names
        .into_iter()
        .filter_map(|(role, name)| Some((role.to_owned(), Value::from(name.as_deref()?))))
        .collect();
    if !names.is_empty() {
        entries.push(("columns", Value::Table(names)));
    }
    match missing {
        Missing::Refuse => {}
        Missing::Drop => entries.push(("missing", Value::from("drop"))),
    }
    match hdu {
        None => {}
        Some(Hdu::Index(index)) => entries.push(("hdu", whole((*index).into()))),
        Some(Hdu::Name(name)) => entries.push(("hdu", Value::from(name.as_str()))),
    }
    entries
}

fn prior(prior: &Prior) -> Value {
    let number = Value::Float;
    match *prior {
        Prior::Uniform { low, high } => table([(
            "uniform",
            table([("low", number(low)), ("high", number(high))]),
        )]),
        Prior::LogUniform { low, high } => table([(
            "log_uniform",
            table([("low", number(low)), ("high", number(high))]),
        )]),
        Prior::Normal { mean, sd } => table([(
            "normal",
            table([("mean", number(mean)), ("sd", number(sd))]),
        )]),
        Prior::LogNormal { mean, sd } => table([(
            "log_normal",
            table([("mean", number(mean)), ("sd", number(sd))]),
        )]),
        Prior::TruncatedNormal {
            mean,
            sd,
            low,
            high,
        } => {
            let values = [
                ("mean", number(mean)),
                ("sd", number(sd)),
                ("low", number(low)),
                ("high", number(high)),
            ];
            table([("truncated_normal", table(values))])
        }
        Prior::Beta {
            alpha,
            beta,
            low,
            high,
        } => {
            let values = [
                ("alpha", number(alpha)),
                ("beta", number(beta)),
                ("low", number(low)),
                ("high", number(high)),
            ];
            table([("beta", table(values))])
        }
    }
}

fn simulator(campaign: &Campaign) -> Vec<(&str, Value)> {
    let simulator = &campaign.simulator;
    let mut entries = vec![
        (
            simulator.model.origin.key(),
            Value::from(simulator.model.name.as_str()),
        ),
        ("version", whole(simulator.model.version.into())),
    ];
    for (name, value) in &simulator.options.0 {
        let value = match value {
            OptionValue::Whole(number) => whole(*number),
            OptionValue::Number(number) => Value::Float(*number),
            OptionValue::Text(text) => Value::from(text.as_str()),
            OptionValue::Numbers(values) => numbers(values),
            OptionValue::Rows(values) => rows(values),
        };
        entries.push((name.as_str(), value));
    }
    // With an observation the grid is its first column.
    if campaign.observation.is_none() {
        entries.push(("grid", numbers(&simulator.grid)));
    }
    entries
}

fn sigma(source: &SigmaSource) -> Value {
    match source {
        SigmaSource::Observed => Value::from("observed"),
        SigmaSource::Constant(sigma) => Value::Float(*sigma),
        SigmaSource::Uniform { low, high } => table([(
            "uniform",
            table([("low", Value::Float(*low)), ("high", Value::Float(*high))]),
        )]),
        SigmaSource::LogUniform { low, high } => table([(
            "log_uniform",
            table([("low", Value::Float(*low)), ("high", Value::Float(*high))]),
        )]),
        SigmaSource::Table(sigmas) => table([("table", rows(sigmas))]),
    }
}

fn featurizer(featurizer: &Featurizer) -> Vec<(&'static str, Value)> {
    let normalization_name = |normalization| match normalization {
        Normalization::Weight => Value::from("weight"),
        Normalization::Batch => Value::from("batch"),
    };
    match *featurizer {
        Featurizer::ResnetGru {
            channels,
            stages,
            hidden,
            features,
            normalization,
        } => vec![
            ("kind", Value::from("resnet-gru")),
            ("channels", size(channels)),
            ("stages", size(stages)),
            ("hidden", size(hidden)),
            ("features", size(features)),
            ("normalization", normalization_name(normalization)),
        ],
        Featurizer::Resnet {
            channels,
            stages,
            features,
            normalization,
        } => vec![
            ("kind", Value::from("resnet")),
            ("channels", size(channels)),
            ("stages", size(stages)),
            ("features", size(features)),
            ("normalization", normalization_name(normalization)),
        ],
        Featurizer::Gru { hidden, features } => {
            vec![
                ("kind", Value::from("gru")),
                ("hidden", size(hidden)),
                ("features", size(features)),
            ]
        }
        Featurizer::Mlp {
            layers,
            hidden,
            features,
        } => vec![
            ("kind", Value::from("mlp")),
            ("layers", size(layers)),
            ("hidden", size(hidden)),
            ("features", size(features)),
        ],
    }
}

fn flow(flow: &Flow) -> Vec<(&'static str, Value)> {
    match *flow {
        Flow::Maf {
            blocks,
            hidden,
            layers,
            components,
            max_log_scale,
        } => vec![
            ("kind", Value::from("maf")),
            ("blocks", size(blocks)),
            ("hidden", size(hidden)),
            ("layers", size(layers)),
            ("components", size(components)),
            ("max_log_scale", Value::Float(max_log_scale)),
        ],
        Flow::Nsf(size) => nsf("nsf", size),
        Flow::NsfCoupling(size) => nsf("nsf-coupling", size),
    }
}

fn nsf(kind: &'static str, nsf: NsfSize) -> Vec<(&'static str, Value)> {
    vec![
        ("kind", Value::from(kind)),
        ("blocks", size(nsf.blocks)),
        ("hidden", size(nsf.hidden)),
        ("layers", size(nsf.layers)),
        ("bins", size(nsf.bins)),
        ("tail_bound", Value::Float(nsf.tail_bound)),
        ("max_log_scale", Value::Float(nsf.max_log_scale)),
    ]
}

fn training(campaign: &Campaign) -> Vec<(&'static str, Value)> {
    let training = &campaign.training;
    let device = match training.device {
        DeviceChoice::Auto => "auto",
        DeviceChoice::Cpu => "cpu",
        DeviceChoice::Wgpu => "wgpu",
    };
    let mut entries = vec![
        ("device", Value::from(device)),
        ("batch_size", size(training.batch_size)),
        ("learning_rate", Value::Float(training.learning_rate)),
        ("max_epochs", whole(training.max_epochs.into())),
        ("patience", whole(training.patience.into())),
        (
            "validation_fraction",
            Value::Float(training.validation_fraction),
        ),
        ("clip_norm", Value::Float(training.clip_norm)),
        ("rounds", whole(training.rounds.into())),
    ];
    match training.loss {
        Loss::Nll => entries.push(("loss", Value::from("nll"))),
        Loss::Apt { atoms } => {
            entries.push(("loss", Value::from("apt")));
            entries.push(("atoms", size(atoms)));
        }
        Loss::WeightedNll => entries.push(("loss", Value::from("weighted-nll"))),
    }
    entries.push(("refinement", Value::from(training.refinement)));
    entries
}

fn rounds(campaign: &Campaign) -> Vec<(&'static str, Value)> {
    let rounds = &campaign.rounds;
    let combine = match rounds.combine {
        Combine::Fresh => "fresh",
        Combine::Mixture => "mixture",
        Combine::PerRound => "per-round",
    };
    vec![
        ("max", whole(rounds.max.into())),
        ("simulations", whole(rounds.simulations)),
        ("defensive_share", Value::Float(rounds.defensive_share)),
        ("combine", Value::from(combine)),
    ]
}

fn stop(campaign: &Campaign) -> Vec<(&'static str, Value)> {
    let stop = &campaign.rounds.stop;
    let mut entries = Vec::new();
    if campaign.observation.is_some() {
        let rule = match stop.rule {
            StopRule::Bootstrap => "bootstrap",
            StopRule::Paper => "paper",
        };
        entries.push(("rule", Value::from(rule)));
        entries.push(("top_up", whole(stop.top_up)));
    }
    if let Some(n_eff) = stop.n_eff {
        entries.push(("n_eff", Value::Float(n_eff)));
    }
    if let Some(efficiency) = stop.efficiency {
        entries.push(("efficiency", Value::Float(efficiency)));
    }
    if let Some(simulations) = stop.simulations {
        entries.push(("simulations", whole(simulations)));
    }
    if let Some(wall_time_s) = stop.wall_time_s {
        entries.push(("wall_time", Value::Float(wall_time_s)));
    }
    entries
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(
        entries
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn numbers(values: &[f64]) -> Value {
    Value::Array(values.iter().map(|&value| Value::Float(value)).collect())
}

fn rows(rows: &[Vec<f64>]) -> Value {
    Value::Array(rows.iter().map(|row| numbers(row)).collect())
}

fn whole(number: u64) -> Value {
    // Campaign files hold no larger numbers than TOML does.
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn size(number: usize) -> Value {
    whole(number as u64)
}
