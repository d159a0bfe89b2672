//! `[simulator]`, `[observation]`, `[noise]` and `[likelihood]`, which depend on each other.

use super::choices::Choice;
use super::document::{Entry, Section};
use super::key::Key;
use super::keys::file::{LIKELIHOOD, NOISE, OBSERVATION};
use super::keys::likelihood::KIND;
use super::keys::noise::SIGMA;
use super::keys::observation::{DATA, READING};
use super::keys::simulator::{COUNT, GRID, START, STOP};
use super::model::{Known, ModelSection};
use super::noise::{gaussian_section, is_python, sigma_source, training_noise};
use super::noise_terms::{column, names_of_model, noise_terms};
use super::observation::{observation, reading};
use super::parameters::{Named, Parameters, bounds};
use crate::campaign::external::ExternalNoise;
use crate::campaign::model::{ModelNoise, SimulatorSpec};
use crate::campaign::{Errors, GaussianNoise, Noise, Observation, Reading, SigmaSource, Source};
use std::path::Path;

const GRID_EXPECTED: &str =
    "a list of numbers or { start, stop, count }, as there is no [observation] to take it from";

/// What could be read of the forward model; None for what could not.
pub(super) struct ForwardModel {
    pub simulator: Option<SimulatorSpec>,
    /// `Some(None)`: there is none, rightly.
    pub observation: Option<Option<Observation>>,
    /// Of an observation from a file.
    pub source: Option<Source>,
    pub reading: Option<Reading>,
    pub noise: Option<Noise>,
    /// `Some(None)`: no function adds noise in training.
    pub training_noise: Option<Option<ExternalNoise>>,
    pub n_data: Option<usize>,
    /// Names of derived quantities.
    pub blobs: Vec<String>,
}

pub(super) fn forward_model(
    root: &Section<'_>,
    directory: &Path,
    parameters: &Parameters<'_>,
    known: Known<'_>,
) -> ForwardModel {
    let names = parameters.names.as_deref();
    let observation_section = root.section(&OBSERVATION);
    let has_observation = has_observation(root);
    let reading = reading(&observation_section);
    let model = ModelSection::read(root, directory, known);
    let blobs = model
        .external()
        .map_or_else(Vec::new, |external| external.blobs.clone());
    if model.is_alone(root, names.map(<[_]>::len)) {
        return alone(root, &model, names, reading, blobs);
    }
    let read = |errors, label| {
        if !has_observation {
            return Some((None, None));
        }
        let reading = reading.as_ref()?;
        let (read, source) = observation(&observation_section, directory, errors, reading, label)?;
        Some((Some(read), source))
    };
    let training_noise = training_noise(root, directory, matches!(known, Known::Recorded));
    if model.noise() == ModelNoise::Own {
        // Who gives the likelihood of a model of one's own may leave the noise to training.
        let may_be_noisy = model.external().is_some() && is_python(root);
        if let Some(noise) = root.get(&NOISE)
            && !may_be_noisy
        {
            noise.mistake(format!(
                "{} draws noise of its own, expected no [noise]",
                model.name().unwrap_or_default()
            ));
        }
        let (observation, source) = read(model.errors(), None).unzip();
        let (simulator, n_data) = simulator(&model, directory, observation.as_ref(), names);
        if let (Some(simulator), Some(Some(observation))) = (&simulator, &observation)
            && let Some(mistake) = model.impossible_datum(&simulator.options, &observation.value)
        {
            observation_section.mistake(mistake);
        }
        return ForwardModel {
            simulator,
            observation,
            source: source.flatten(),
            reading,
            noise: likelihood(root, &model).map(|()| Noise::Simulator),
            training_noise,
            n_data,
            blobs,
        };
    }
    let gaussian = gaussian_section(root, has_observation);
    let sigma = gaussian.as_ref();
    let sigma = sigma.and_then(|section| section.require(&SIGMA, &SIGMA.takes.words()));
    let number = sigma.as_ref().filter(|entry| entry.is_number());
    let constant = number.and_then(Entry::number);
    let (observation, source) = match (number, constant) {
        // The mistake is in `noise`; no further ones are made out of it here.
        (Some(_), None) if has_observation => None,
        (_, constant) => {
            let section = gaussian.as_ref();
            let label = section.and_then(|section| column(section, &observation_section));
            read(constant.map_or(Errors::Column, Errors::Constant), label)
        }
    }
    .unzip();
    let source = source.flatten();
    let names = match (&gaussian, names) {
        (Some(gaussian), Some(names)) => names_of_model(gaussian, &model, names),
        (None, names) => names.map(<[_]>::to_vec),
        (Some(_), None) => None,
    };
    let (simulator, n_data) = simulator(&model, directory, observation.as_ref(), names.as_deref());
    let noise = match &gaussian {
        Some(gaussian) => {
            let terms = noise_terms(gaussian, parameters, source.as_ref(), n_data);
            let sigma = sigma.and_then(|entry| {
                sigma_source(&entry, constant, directory, observation.as_ref(), n_data)
            });
            let both = sigma.zip(terms);
            both.map(|(sigma, terms)| GaussianNoise { sigma, terms })
        }
        None => {
            let is_observed = is_python(root) || (has_observation && root.get(&NOISE).is_none());
            is_observed.then_some(GaussianNoise::of_sigma(SigmaSource::Observed))
        }
    };
    ForwardModel {
        simulator,
        observation,
        source,
        reading,
        noise: likelihood(root, &model).and(noise).map(Noise::Gaussian),
        training_noise,
        n_data,
        blobs,
    }
}

/// Of a model that is a log-likelihood alone.
fn alone(
    root: &Section<'_>,
    model: &ModelSection<'_>,
    names: Option<&[Named<'_>]>,
    reading: Option<Reading>,
    blobs: Vec<String>,
) -> ForwardModel {
    let name = model.name().unwrap_or_default();
    for key in [OBSERVATION, NOISE] {
        if let Some(entry) = root.get(&key) {
            entry.mistake(format!(
                "{name} is a log-likelihood alone, which has its data itself, expected no [{}]",
                key.name
            ));
        }
    }
    let external = model.external().and_then(|external| external.model.clone());
    let chosen = model.model(Path::new(""), Some(&[]), names);
    ForwardModel {
        simulator: chosen.map(|(model, options)| SimulatorSpec {
            model,
            options,
            grid: Vec::new(),
            external,
        }),
        observation: Some(Some(Observation::of_the_model())),
        source: None,
        reading,
        noise: likelihood(root, model).map(|()| Noise::Simulator),
        training_noise: Some(None),
        n_data: Some(0),
        blobs,
    }
}

/// Whether `[observation]` holds one: names of columns alone are for those that the model is going to be asked about.
pub(super) fn has_observation(root: &Section<'_>) -> bool {
    let section = root.get(&OBSERVATION).and_then(|entry| entry.section());
    section.is_some_and(|section| {
        let has = |keys: &[Key]| keys.iter().any(|key| section.get(key).is_some());
        has(&DATA) || !has(&READING)
    })
}

/// The kind of likelihood follows from the model; a file may say it.
fn likelihood(root: &Section<'_>, model: &ModelSection<'_>) -> Option<()> {
    let section = root.section(&LIKELIHOOD);
    let Some(entry) = section.get(&KIND) else {
        return Some(());
    };
    let kind: ModelNoise = entry.choice()?;
    // Where the model is not known, its mistake is told already.
    let name = model.name()?;
    let expected = model.noise();
    if kind == expected {
        return Some(());
    }
    let found = match expected {
        ModelNoise::Own => "draws noise of its own and gives its likelihood",
        ModelNoise::Gaussian => "gives no likelihood of its own",
    };
    entry.refuse(format!("{name} {found}, expected {:?}", expected.name()))
}

fn simulator(
    model: &ModelSection<'_>,
    directory: &Path,
    observation: Option<&Option<Observation>>,
    names: Option<&[Named<'_>]>,
) -> (Option<SimulatorSpec>, Option<usize>) {
    let Some(section) = &model.section else {
        let n_data = observation.and_then(Option::as_ref).map(Observation::len);
        return (None, n_data);
    };
    let external = model.external().and_then(|external| external.model.clone());
    let default = model.default_grid(names.map(<[_]>::len));
    let grid = observation.and_then(|observation| grid(section, observation.as_ref(), default));
    let n_data = grid.as_ref().map(Vec::len);
    let chosen = model.model(directory, grid.as_deref(), names).zip(grid);
    let spec = chosen.map(|((model, options), grid)| SimulatorSpec {
        model,
        options,
        grid,
        external,
    });
    (spec, n_data)
}

fn grid(
    section: &Section<'_>,
    observation: Option<&Observation>,
    default: Option<Vec<f64>>,
) -> Option<Vec<f64>> {
    let given = section.optional(&GRID, grid_entry)?;
    match (given, observation) {
        (Some(grid), Some(observation)) if grid != observation.grid => section
            .get(&GRID)?
            .refuse("not the grid of the observation, expected none here"),
        (_, Some(observation)) => Some(observation.grid.clone()),
        (Some(grid), None) => Some(grid),
        (None, None) => default.or_else(|| section.require(&GRID, GRID_EXPECTED).and(None)),
    }
}

fn grid_entry(entry: &Entry<'_>) -> Option<Vec<f64>> {
    if entry.value().is_array() {
        let grid = entry.numbers()?;
        return match grid.is_empty() {
            true => entry.refuse("found an empty list, expected at least one number"),
            false => Some(grid),
        };
    }
    if !entry.value().is_table() {
        return entry.refuse(format!("expected {}", GRID.takes.words()));
    }
    let section = entry.checked_section()?;
    let (ends, count) = (bounds(&section, &START, &STOP), section.whole(&COUNT));
    let ((start, stop), count): (_, u64) = (ends?, count?);
    // The same numbers as numpy.linspace.
    let step = (stop - start) / (count - 1) as f64;
    let mut grid: Vec<f64> = (0..count).map(|i| start + i as f64 * step).collect();
    if let Some(last) = grid.last_mut() {
        *last = stop;
    }
    Some(grid)
}
