//! A campaign as a file again: `campaign.toml` as validated and run, on its own.

mod external;

use super::choices::Choice;
use super::key::Key;
use super::keys::{
    featurizer, file, flow, joint, likelihood, noise, observation, parameters, rounds, simulator,
    stop, training, trust, workers,
};
use crate::campaign::model::{ModelNoise, OptionValue};
use crate::campaign::{
    Campaign, Featurizer, Flow, GaussianNoise, Hdu, Loss, Missing, Noise, NoiseTerm, NoiseTerms,
    Reading, SigmaSource,
};
use crate::space::{Fixed, Prior, SampledDensity, Spread};
use toml::Value;

/// A key with its value.
type Entry<'a> = (&'a str, Value);

/// One table of the file: its header as a key path, and its keys in order.
pub(super) struct Part<'a> {
    /// Empty for the keys above all tables; parameters are `parameters[0]` and so on.
    pub key: String,
    /// What is declared of its keys; options of a model are not.
    pub declared: &'static [Key],
    pub entries: Vec<Entry<'a>>,
}

/// The campaign as validated and run, on its own: observation and sigma table stand in it, and what was
/// left to defaults is written out. [`load`](super::load) of this gives the same campaign.
pub fn to_toml(campaign: &Campaign) -> String {
    let mut text = String::from("# The campaign as validated and run; written by sidereal.\n");
    for part in parts(campaign) {
        if part.key.starts_with(file::PARAMETERS.name) {
            text.push_str(&format!("\n[[{}]]\n", file::PARAMETERS.name));
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
    let part = |of: Key, entries| Part {
        key: of.name.to_owned(),
        declared: of.takes.keys(),
        entries,
    };
    let mut parts = vec![Part {
        key: String::new(),
        declared: file::KEYS,
        entries: vec![
            (file::NAME.name, Value::from(campaign.name.as_str())),
            (file::SEED.name, whole(campaign.seed)),
        ],
    }];
    let parameters = match campaign.space.is_transformed() {
        true => &[][..],
        false => &campaign.space.parameters,
    };
    let mut fixed = campaign.space.fixed.iter().peekable();
    let mut n_written = 0;
    let mut parameter_part = |entries| {
        let key = format!("{}[{n_written}]", file::PARAMETERS.name);
        n_written += 1;
        Part {
            key,
            declared: file::PARAMETERS.takes.keys(),
            entries,
        }
    };
    for (i, parameter) in parameters.iter().enumerate() {
        while let Some(fixed) = fixed.next_if(|fixed| fixed.position == parts.len() - 1) {
            parts.push(parameter_part(self::fixed(fixed)));
        }
        let mut entries = vec![(parameters::NAME.name, Value::from(parameter.name.as_str()))];
        if !campaign.space.is_joint(i) {
            entries.push((parameters::PRIOR.name, prior(&parameter.prior)));
        }
        if parameter.periodic {
            entries.push((parameters::PERIODIC.name, Value::from(true)));
        }
        if let Some(&truth) = campaign.truth_by_name.get(&parameter.name) {
            entries.push((parameters::TRUTH.name, Value::Float(truth)));
        }
        parts.push(parameter_part(entries));
    }
    for fixed in fixed {
        parts.push(parameter_part(self::fixed(fixed)));
    }
    if let Some(transform) = external::transform(campaign) {
        let transform = (joint::TRANSFORM.name, transform);
        parts.push(part(file::PRIOR, vec![transform]));
    }
    if let Some(joint) = &campaign.space.joint {
        let spread = match joint.spread() {
            Spread::Covariance(rows) => (joint::COVARIANCE, self::rows(rows)),
            Spread::Precision(rows) => (joint::PRECISION, self::rows(rows)),
        };
        let values = table([(joint::MEAN, numbers(joint.mean())), spread]);
        let normal = (joint::MULTIVARIATE_NORMAL.name, values);
        parts.push(part(file::PRIOR, vec![normal]));
    }
    let simulator = simulator(campaign);
    if !simulator.is_empty() {
        parts.push(part(file::SIMULATOR, simulator));
    }
    let observation = observation(campaign);
    if !observation.is_empty() {
        parts.push(part(file::OBSERVATION, observation));
    }
    let likelihood = match &campaign.noise {
        Noise::Gaussian(noise) => {
            if campaign.training_noise.is_none() {
                let gaussian = (noise::GAUSSIAN.name, gaussian(noise));
                parts.push(part(file::NOISE, vec![gaussian]));
            }
            ModelNoise::Gaussian
        }
        Noise::Simulator => ModelNoise::Own,
    };
    if let Some(noise) = &campaign.training_noise {
        parts.push(part(file::NOISE, external::noise(noise)));
    }
    let mut entries = vec![(likelihood::KIND.name, named(likelihood))];
    let linear: Vec<String> = campaign
        .space
        .linear()
        .map(|linear| linear.name.clone())
        .collect();
    if !linear.is_empty() {
        entries.push((likelihood::LINEAR.name, texts(linear)));
    }
    if let Some(external) = &campaign.simulator.external {
        entries.extend(external::likelihood(external, &campaign.space));
    }
    parts.push(part(file::LIKELIHOOD, entries));
    parts.push(part(file::FEATURIZER, featurizer(&campaign.featurizer)));
    parts.push(part(file::FLOW, flow(&campaign.flow)));
    parts.push(part(file::TRAINING, training(campaign)));
    parts.push(part(file::ROUNDS, rounds(campaign)));
    parts.push(Part {
        key: format!("{}.{}", file::ROUNDS.name, rounds::STOP.name),
        ..part(rounds::STOP, stop(campaign))
    });
    let count = campaign.workers.count.map(u64::from);
    let python = campaign.workers.python.as_deref();
    let python = python.map(|path| path.display().to_string());
    let workers = [
        given(workers::COUNT, count.map(whole)),
        given(workers::BATCH_ROWS, campaign.workers.batch_rows.map(whole)),
        given(workers::PYTHON, python.map(Value::from)),
    ];
    parts.push(part(file::WORKERS, workers.into_iter().flatten().collect()));
    let misfit = (trust::MISFIT.name, named(campaign.trust.misfit));
    parts.push(part(file::TRUST, vec![misfit]));
    parts
}

fn fixed(fixed: &Fixed) -> Vec<Entry<'_>> {
    let value = match fixed.sd {
        None => table([(parameters::FIXED, Value::Float(fixed.value))]),
        Some(sd) => {
            let mean = fixed.value;
            prior(&Prior::Normal { mean, sd })
        }
    };
    vec![
        (parameters::NAME.name, Value::from(fixed.name.as_str())),
        (parameters::PRIOR.name, value),
    ]
}

/// The entry of what may be left out.
fn given(key: Key, value: Option<Value>) -> Option<Entry<'static>> {
    value.map(|value| (key.name, value))
}

fn observation(campaign: &Campaign) -> Vec<Entry<'static>> {
    let mut entries = Vec::new();
    if let Some(observation) = &campaign.observation
        && !observation.is_empty()
    {
        entries.push((observation::GRID.name, numbers(&observation.grid)));
        entries.push((observation::VALUE.name, numbers(&observation.value)));
        match campaign.noise {
            Noise::Gaussian(_) => {
                entries.push((observation::SIGMA.name, numbers(&observation.sigma)));
            }
            Noise::Simulator => {}
        }
    }
    let Reading {
        columns,
        missing,
        hdu,
    } = &campaign.reading;
    let names = [
        (observation::GRID_NAME, &columns.grid),
        (observation::VALUE_NAME, &columns.value),
        (observation::SIGMA_NAME, &columns.sigma),
    ];
    let names: toml::Table = names
        .into_iter()
        .filter_map(|(role, name)| Some((role.name.to_owned(), Value::from(name.as_deref()?))))
        .collect();
    if !names.is_empty() {
        entries.push((observation::COLUMNS.name, Value::Table(names)));
    }
    match missing {
        Missing::Refuse => {}
        Missing::Drop => entries.push((observation::MISSING.name, named(*missing))),
    }
    let hdu = hdu.as_ref().map(|hdu| match hdu {
        Hdu::Index(index) => whole((*index).into()),
        Hdu::Name(name) => Value::from(name.as_str()),
    });
    entries.extend(given(observation::HDU, hdu));
    entries
}

fn prior(prior: &Prior) -> Value {
    use parameters::*;
    let of = |family: Key, keys: &[Key], values: &[f64]| {
        let values = keys.iter().zip(values);
        let values = values.map(|(key, value)| (key.name.to_owned(), Value::Float(*value)));
        table([(family, Value::Table(values.collect()))])
    };
    match *prior {
        Prior::Uniform { low, high } => of(UNIFORM, &[LOW, HIGH], &[low, high]),
        Prior::LogUniform { low, high } => {
            of(LOG_UNIFORM, &[POSITIVE_LOW, POSITIVE_HIGH], &[low, high])
        }
        Prior::Normal { mean, sd } => of(NORMAL, &[MEAN, SD], &[mean, sd]),
        Prior::LogNormal { mean, sd } => of(LOG_NORMAL, &[MEAN, SD], &[mean, sd]),
        Prior::TruncatedNormal {
            mean,
            sd,
            low,
            high,
        } => {
            let keys = [MEAN, SD, OPEN_LOW, OPEN_HIGH];
            of(TRUNCATED_NORMAL, &keys, &[mean, sd, low, high])
        }
        Prior::Beta {
            alpha,
            beta,
            low,
            high,
        } => {
            let keys = [ALPHA, BETA_EXPONENT, UNIT_LOW, UNIT_HIGH];
            of(BETA, &keys, &[alpha, beta, low, high])
        }
        Prior::Samples(ref density) => table([(SAMPLES, samples(density))]),
    }
}

fn samples(density: &SampledDensity) -> Value {
    use super::keys::samples::*;
    let correlations = &density.correlations;
    let correlations = (!correlations.is_empty()).then(|| numbers(correlations));
    let entries = [
        given(DIGEST, Some(Value::from(density.digest.as_str()))),
        given(REACH, Some(Value::Float(density.reach))),
        given(VALUES, Some(numbers(&density.values))),
        given(CORRELATIONS, correlations),
        given(LOW, density.low.map(Value::Float)),
        given(HIGH, density.high.map(Value::Float)),
    ];
    let entries = entries.into_iter().flatten();
    Value::Table(
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

fn simulator(campaign: &Campaign) -> Vec<Entry<'_>> {
    let model = &campaign.simulator.model;
    let mut entries = match &campaign.simulator.external {
        Some(external) => external::simulator(external, &campaign.space),
        None => vec![
            (model.origin.key(), Value::from(model.name.as_str())),
            (simulator::VERSION.name, whole(model.version.into())),
        ],
    };
    for (name, value) in &campaign.simulator.options.0 {
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
        entries.push((simulator::GRID.name, numbers(&campaign.simulator.grid)));
    }
    entries
}

fn gaussian(noise: &GaussianNoise) -> Value {
    let NoiseTerms {
        jitter,
        offset,
        labels,
    } = &noise.terms;
    let by = (!labels.is_empty()).then(|| texts(labels.iter().map(str::to_owned)));
    let entries = [
        Some((noise::SIGMA.name, sigma(&noise.sigma))),
        given(noise::JITTER, jitter.as_ref().map(noise_term)),
        given(noise::OFFSET, offset.as_ref().map(noise_term)),
        given(noise::BY, by),
    ];
    let entries = entries.into_iter().flatten();
    Value::Table(
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

fn noise_term(term: &NoiseTerm) -> Value {
    match term {
        NoiseTerm::One(name) => Value::from(name.as_str()),
        NoiseTerm::ByLabel(name_by_label) => {
            let names = name_by_label.iter();
            let names = names.map(|(label, name)| (label.clone(), Value::from(name.as_str())));
            Value::Table(names.collect())
        }
    }
}

fn sigma(source: &SigmaSource) -> Value {
    let range = |low, high| {
        let ends = (Value::Float(low), Value::Float(high));
        table([(noise::LOW, ends.0), (noise::HIGH, ends.1)])
    };
    match source {
        SigmaSource::Observed => Value::from(noise::OBSERVED),
        SigmaSource::Constant(sigma) => Value::Float(*sigma),
        SigmaSource::Uniform { low, high } => table([(noise::UNIFORM, range(*low, *high))]),
        SigmaSource::LogUniform { low, high } => table([(noise::LOG_UNIFORM, range(*low, *high))]),
        SigmaSource::Table(sigmas) => table([(noise::TABLE, rows(sigmas))]),
    }
}

fn featurizer(featurizer: &Featurizer) -> Vec<Entry<'static>> {
    use featurizer::*;
    let mut entries = vec![(KIND.name, named(featurizer.kind()))];
    entries.extend(match *featurizer {
        Featurizer::ResnetGru {
            channels,
            stages,
            hidden,
            features,
            normalization,
        } => vec![
            (CHANNELS.name, size(channels)),
            (STAGES.name, size(stages)),
            (HIDDEN.name, size(hidden)),
            (FEATURES.name, size(features)),
            (NORMALIZATION.name, named(normalization)),
        ],
        Featurizer::Resnet {
            channels,
            stages,
            features,
            normalization,
        } => vec![
            (CHANNELS.name, size(channels)),
            (STAGES.name, size(stages)),
            (FEATURES.name, size(features)),
            (NORMALIZATION.name, named(normalization)),
        ],
        Featurizer::Gru { hidden, features } => {
            vec![(HIDDEN.name, size(hidden)), (FEATURES.name, size(features))]
        }
        Featurizer::Mlp {
            layers,
            hidden,
            features,
        } => vec![
            (LAYERS.name, size(layers)),
            (HIDDEN.name, size(hidden)),
            (FEATURES.name, size(features)),
        ],
    });
    entries
}

fn flow(flow: &Flow) -> Vec<Entry<'static>> {
    use flow::*;
    let mut entries = vec![(KIND.name, named(flow.kind()))];
    entries.extend(match *flow {
        Flow::Maf {
            blocks,
            hidden,
            layers,
            components,
            max_log_scale,
        } => vec![
            (BLOCKS.name, size(blocks)),
            (HIDDEN.name, size(hidden)),
            (LAYERS.name, size(layers)),
            (COMPONENTS.name, size(components)),
            (MAX_LOG_SCALE.name, Value::Float(max_log_scale)),
        ],
        Flow::Nsf(nsf) | Flow::NsfCoupling(nsf) => vec![
            (BLOCKS.name, size(nsf.blocks)),
            (HIDDEN.name, size(nsf.hidden)),
            (LAYERS.name, size(nsf.layers)),
            (BINS.name, size(nsf.bins)),
            (TAIL_BOUND.name, Value::Float(nsf.tail_bound)),
            (MAX_LOG_SCALE.name, Value::Float(nsf.max_log_scale)),
        ],
    });
    entries
}

fn training(campaign: &Campaign) -> Vec<Entry<'static>> {
    use training::*;
    let training = &campaign.training;
    let fraction = Value::Float(training.validation_fraction);
    let mut entries = vec![
        (DEVICE.name, named(training.device)),
        (BATCH_SIZE.name, size(training.batch_size)),
        (LEARNING_RATE.name, Value::Float(training.learning_rate)),
        (MAX_EPOCHS.name, whole(training.max_epochs.into())),
        (PATIENCE.name, whole(training.patience.into())),
        (VALIDATION_FRACTION.name, fraction),
        (CLIP_NORM.name, Value::Float(training.clip_norm)),
        (ROUNDS.name, whole(training.rounds.into())),
        (LOSS.name, named(training.loss.kind())),
    ];
    match training.loss {
        Loss::Nll => {}
        Loss::Apt { atoms } => entries.push((ATOMS.name, size(atoms))),
    }
    entries.push((REFINEMENT.name, Value::from(training.refinement)));
    entries.push((SURROGATE.name, Value::from(training.surrogate)));
    entries
}

fn rounds(campaign: &Campaign) -> Vec<Entry<'static>> {
    use rounds::*;
    let rounds = &campaign.rounds;
    vec![
        (MAX.name, whole(rounds.max.into())),
        (SIMULATIONS.name, whole(rounds.simulations)),
        (DEFENSIVE_SHARE.name, Value::Float(rounds.defensive_share)),
        (COMBINE.name, named(rounds.combine)),
    ]
}

fn stop(campaign: &Campaign) -> Vec<Entry<'static>> {
    use stop::*;
    let stop = &campaign.rounds.stop;
    let mut entries = Vec::new();
    if campaign.observation.is_some() {
        entries.push((RULE.name, named(stop.rule)));
        entries.push((TOP_UP.name, whole(stop.top_up)));
    }
    let targets_and_budgets = [
        given(N_EFF, stop.n_eff.map(Value::Float)),
        given(EFFICIENCY, stop.efficiency.map(Value::Float)),
        given(SIMULATIONS, stop.simulations.map(whole)),
        given(WALL_TIME, stop.wall_time_s.map(Value::Float)),
    ];
    entries.extend(targets_and_budgets.into_iter().flatten());
    entries
}

fn named(choice: impl Choice) -> Value {
    Value::from(choice.name())
}

fn table<const N: usize>(entries: [(Key, Value); N]) -> Value {
    Value::Table(
        entries
            .into_iter()
            .map(|(key, value)| (key.name.to_owned(), value))
            .collect(),
    )
}

fn numbers(values: &[f64]) -> Value {
    Value::Array(values.iter().map(|&value| Value::Float(value)).collect())
}

fn rows(rows: &[Vec<f64>]) -> Value {
    Value::Array(rows.iter().map(|row| numbers(row)).collect())
}

fn texts(texts: impl IntoIterator<Item = String>) -> Value {
    Value::Array(texts.into_iter().map(Value::from).collect())
}

fn whole(number: u64) -> Value {
    // Campaign files hold no larger numbers than TOML does.
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn size(number: usize) -> Value {
    whole(number as u64)
}
