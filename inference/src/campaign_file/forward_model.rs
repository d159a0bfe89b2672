//! `[simulator]`, `[observation]`, `[noise]` and `[likelihood]`, which depend on each other.

use super::builtin::Builtin;
use super::document::{Entry, Section};
use super::noise::{noise, sigma_entry};
use super::parameters::Named;
use crate::campaign::SimulatorSpec;
use crate::files;
use crate::noise::{GaussianNoise, Noise, SigmaSource};
use crate::observation::{Errors, Expected, Observation, check_number};
use std::path::Path;

/// Longest data.
const MOST_DATA: u64 = 10_000_000;

const GRID_EXPECTED: &str =
    "a list of numbers or { start, stop, count }, as there is no [observation] to take it from";

/// What could be read of the forward model; None for what could not.
pub(super) struct ForwardModel {
    pub simulator: Option<SimulatorSpec>,
    /// `Some(None)`: there is none, rightly.
    pub observation: Option<Option<Observation>>,
    pub noise: Option<Noise>,
    pub n_data: Option<usize>,
}

pub(super) fn forward_model(
    root: &Section<'_>,
    directory: &Path,
    names: Option<&[Named<'_>]>,
) -> ForwardModel {
    let observation_section = root.section("observation", &["path", "grid", "value", "sigma"]);
    let builtin = Builtin::read(root);
    if builtin.draws_own_noise() {
        if let Some(noise) = root.get("noise") {
            noise.mistake(format!(
                "{} draws noise of its own, expected no [noise]",
                builtin.name.unwrap_or_default()
            ));
        }
        let observation = if observation_section.is_present() {
            observation(&observation_section, directory, builtin.errors()).map(Some)
        } else {
            Some(None)
        };
        let (simulator, n_data) = simulator(&builtin, directory, observation.as_ref(), names);
        if let (Some(simulator), Some(Some(observation))) = (&simulator, &observation)
            && let Some(mistake) = simulator.model.impossible_datum(&observation.value)
        {
            observation_section.mistake(mistake);
        }
        return ForwardModel {
            simulator,
            observation,
            noise: likelihood(root, &builtin).map(|()| Noise::Simulator),
            n_data,
        };
    }
    let sigma = sigma_entry(root, observation_section.is_present());
    let constant = sigma
        .as_ref()
        .filter(|entry| entry.is_number())
        .and_then(|entry| entry.number());

    let observation = if !observation_section.is_present() {
        Some(None)
    } else if sigma.as_ref().is_some_and(Entry::is_number)
        && constant.is_none_or(|sigma| sigma <= 0.0)
    {
        // The mistake is in `noise`; no further ones are made out of it here.
        None
    } else {
        let errors = constant.map_or(Errors::Column, Errors::ColumnOr);
        observation(&observation_section, directory, errors).map(Some)
    };
    let (simulator, n_data) = simulator(&builtin, directory, observation.as_ref(), names);
    let noise = match &sigma {
        Some(entry) => noise(entry, directory, observation.as_ref(), n_data),
        None => (observation_section.is_present() && root.get("noise").is_none()).then_some(
            GaussianNoise {
                sigma: SigmaSource::Observed,
            },
        ),
    };
    ForwardModel {
        simulator,
        observation,
        noise: likelihood(root, &builtin).and(noise).map(Noise::Gaussian),
        n_data,
    }
}

/// The kind of likelihood follows from the model; a file may say it.
fn likelihood(root: &Section<'_>, builtin: &Builtin<'_>) -> Option<()> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Gaussian,
        Simulator,
    }
    let section = root.section("likelihood", &["kind"]);
    let Some(entry) = section.get("kind") else {
        return Some(());
    };
    let kind = entry.choice(&[("gaussian", Kind::Gaussian), ("simulator", Kind::Simulator)])?;
    // Where the model is not known, its mistake is told already.
    let name = builtin.name?;
    match (kind, builtin.draws_own_noise()) {
        (Kind::Gaussian, false) | (Kind::Simulator, true) => Some(()),
        (Kind::Gaussian, true) => {
            entry.mistake(format!(
                "{name} draws noise of its own and gives its likelihood, expected \"simulator\""
            ));
            None
        }
        (Kind::Simulator, false) => {
            entry.mistake(format!(
                "{name} gives no likelihood of its own, expected \"gaussian\""
            ));
            None
        }
    }
}

/// Numbers that have a place in single precision.
pub(super) fn numbers(entry: &Entry<'_>, expected: Expected) -> Option<Vec<f64>> {
    let items = entry.items("a list of numbers")?;
    let number = |item: &Entry<'_>| match check_number(item.number()?, expected) {
        Ok(number) => Some(number),
        Err(message) => {
            item.mistake(message);
            None
        }
    };
    let numbers: Vec<Option<f64>> = items.iter().map(number).collect();
    numbers.into_iter().collect()
}

fn observation(section: &Section<'_>, directory: &Path, errors: Errors) -> Option<Observation> {
    let Some(path) = section.get("path") else {
        return inline_observation(section, errors);
    };
    for name in ["grid", "value", "sigma"] {
        if let Some(entry) = section.get(name) {
            entry.mistake("expected either path or the numbers themselves, not both");
        }
    }
    let full_path = directory.join(path.text()?);
    let bytes = match files::read(&full_path) {
        Ok(bytes) => bytes,
        Err(error) => {
            path.mistake(error);
            return None;
        }
    };
    match Observation::parse_csv(&bytes, &full_path, errors) {
        Ok(observation) => Some(observation),
        Err(error) => {
            path.add_foreign(error.mistakes);
            None
        }
    }
}

fn inline_observation(section: &Section<'_>, errors: Errors) -> Option<Observation> {
    if section.get("value").is_none() && section.get("grid").is_none() {
        let lists = match errors {
            Errors::Column | Errors::ColumnOr(_) => "lists grid, value and sigma",
            Errors::None => "lists grid and value",
            Errors::NoneNorGrid => "list value",
        };
        section.mistake(format!(
            "expected path = \"observation.csv\", or the {lists}"
        ));
        return None;
    }
    let list = |name: &str, expected| {
        section
            .require(name, "a list of numbers")
            .and_then(|entry| numbers(&entry, expected))
    };
    let value = list("value", Expected::Finite);
    let grid = match (errors, section.get("grid"), &value) {
        (Errors::NoneNorGrid, None, Some(value)) => Some(counted(value.len())),
        (Errors::NoneNorGrid, None, None) => None,
        (Errors::NoneNorGrid, Some(_), _)
        | (Errors::Column | Errors::ColumnOr(_) | Errors::None, _, _) => {
            list("grid", Expected::Finite)
        }
    };
    let sigma = match (errors, section.get("sigma"), &value) {
        (Errors::None | Errors::NoneNorGrid, Some(sigma), _) => {
            sigma.mistake("expected none: the simulator draws the noise");
            None
        }
        (Errors::None | Errors::NoneNorGrid, None, _) => {
            let (grid, value) = (grid?, value?);
            if value.is_empty() || grid.len() != value.len() {
                section.mistake(format!(
                    "found {} numbers in grid and {} in value, expected as many in each, at least one",
                    grid.len(),
                    value.len()
                ));
                return None;
            }
            return Some(Observation {
                grid,
                value,
                sigma: Vec::new(),
            });
        }
        (Errors::ColumnOr(sigma), None, Some(value)) => Some(vec![sigma; value.len()]),
        (Errors::ColumnOr(_), None, None) => None,
        (Errors::Column | Errors::ColumnOr(_), _, _) => list("sigma", Expected::Positive),
    };
    let observation = Observation {
        grid: grid?,
        value: value?,
        sigma: sigma?,
    };
    let lengths = [
        observation.grid.len(),
        observation.value.len(),
        observation.sigma.len(),
    ];
    if observation.is_empty() || lengths != [observation.len(); 3] {
        let [grid, value, sigma] = lengths;
        section.mistake(format!(
            "found {grid} numbers in grid, {value} in value and {sigma} in sigma, expected as many in each, at least one"
        ));
        return None;
    }
    Some(observation)
}

fn simulator(
    builtin: &Builtin<'_>,
    directory: &Path,
    observation: Option<&Option<Observation>>,
    names: Option<&[Named<'_>]>,
) -> (Option<SimulatorSpec>, Option<usize>) {
    let Some(section) = &builtin.section else {
        let n_data = observation.and_then(Option::as_ref).map(Observation::len);
        return (None, n_data);
    };
    let default = builtin.default_grid(names.map(<[_]>::len));
    let grid = match observation {
        Some(observation) => grid(section, observation.as_ref(), default),
        None => None,
    };
    let n_data = grid.as_ref().map(Vec::len);
    let model = builtin.model(directory, grid.as_deref(), names);
    let is_own = match section.get("own") {
        Some(entry) => entry.boolean(),
        None => Some(false),
    };
    let spec = model
        .zip(grid)
        .zip(is_own)
        .map(|((model, grid), is_own)| SimulatorSpec {
            model,
            is_own,
            grid,
        });
    (spec, n_data)
}

fn grid(
    section: &Section<'_>,
    observation: Option<&Observation>,
    default: Option<Vec<f64>>,
) -> Option<Vec<f64>> {
    let given = match section.get("grid") {
        Some(entry) => Some((grid_entry(&entry)?, entry)),
        None => None,
    };
    match (given, observation) {
        (Some((grid, entry)), Some(observation)) if grid != observation.grid => {
            entry.mistake(
                "not the first column of the observation, which is the grid, expected none here",
            );
            None
        }
        (_, Some(observation)) => Some(observation.grid.clone()),
        (Some((grid, _)), None) => Some(grid),
        (None, None) => match default {
            Some(grid) => Some(grid),
            None => section.require("grid", GRID_EXPECTED).and(None),
        },
    }
}

/// 0, 1, 2, ...: the grid of data that have no abscissae.
pub(super) fn counted(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64).collect()
}

fn grid_entry(entry: &Entry<'_>) -> Option<Vec<f64>> {
    if entry.is_array() {
        let grid = entry.numbers()?;
        if grid.is_empty() {
            entry.mistake("found an empty list, expected at least one number");
            return None;
        }
        return Some(grid);
    }
    if !entry.is_table() {
        entry.mistake("expected a list of numbers or { start, stop, count }");
        return None;
    }
    let section = entry.section()?;
    section.check_keys(&["start", "stop", "count"]);
    let number = |name: &str| {
        section
            .require(name, "a number")
            .and_then(|entry| entry.number())
    };
    let (start, stop) = (number("start"), number("stop"));
    let count = section
        .require("count", "a whole number")
        .and_then(|entry| entry.whole(2..=MOST_DATA));
    let (start, stop, count) = (start?, stop?, count?);
    if start >= stop {
        section.mistake(format!("start {start} is not below stop {stop}"));
        return None;
    }
    // The same numbers as numpy.linspace.
    let step = (stop - start) / (count - 1) as f64;
    let mut grid: Vec<f64> = (0..count).map(|i| start + i as f64 * step).collect();
    if let Some(last) = grid.last_mut() {
        *last = stop;
    }
    Some(grid)
}
