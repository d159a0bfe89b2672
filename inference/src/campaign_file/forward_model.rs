//! `[simulator]`, `[observation]`, `[noise]` and `[likelihood]`, which depend on each other.

use super::document::{Entry, Section};
use super::noise::{noise, sigma_entry};
use super::parameters::{Named, check_names};
use crate::campaign::{BuiltinModel, Likelihood, SimulatorSpec};
use crate::files;
use crate::noise::{GaussianNoise, SigmaSource};
use crate::observation::{Expected, Observation, check_number};
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
    pub noise: Option<GaussianNoise>,
    pub n_data: Option<usize>,
}

pub(super) fn forward_model(
    root: &Section<'_>,
    directory: &Path,
    names: Option<&[Named<'_>]>,
) -> ForwardModel {
    let observation_section = root.section("observation", &["path", "grid", "value", "sigma"]);
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
        observation(&observation_section, directory, constant).map(Some)
    };
    let (simulator, n_data) = simulator(root, observation.as_ref(), names);
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
        noise,
        n_data,
    }
}

pub(super) fn likelihood(root: &Section<'_>) -> Option<Likelihood> {
    let section = root.section("likelihood", &["kind"]);
    match section.get("kind") {
        Some(kind) => kind.choice(&[("gaussian", Likelihood::Gaussian)]),
        None => Some(Likelihood::Gaussian),
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

fn observation(
    section: &Section<'_>,
    directory: &Path,
    default_sigma: Option<f64>,
) -> Option<Observation> {
    let Some(path) = section.get("path") else {
        return inline_observation(section, default_sigma);
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
    match Observation::parse_csv(&bytes, &full_path, default_sigma) {
        Ok(observation) => Some(observation),
        Err(error) => {
            path.add_foreign(error.mistakes);
            None
        }
    }
}

fn inline_observation(section: &Section<'_>, default_sigma: Option<f64>) -> Option<Observation> {
    if section.get("value").is_none() && section.get("grid").is_none() {
        section.mistake("expected path = \"observation.csv\", or the lists grid, value and sigma");
        return None;
    }
    let list = |name: &str, expected| {
        section
            .require(name, "a list of numbers")
            .and_then(|entry| numbers(&entry, expected))
    };
    let (grid, value) = (
        list("grid", Expected::Finite),
        list("value", Expected::Finite),
    );
    let sigma = match (section.get("sigma"), default_sigma, &value) {
        (None, Some(sigma), Some(value)) => Some(vec![sigma; value.len()]),
        (None, Some(_), None) => None,
        (_, _, _) => list("sigma", Expected::Positive),
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
    root: &Section<'_>,
    observation: Option<&Option<Observation>>,
    names: Option<&[Named<'_>]>,
) -> (Option<SimulatorSpec>, Option<usize>) {
    const MODELS: [&str; 5] = [
        "sine",
        "microlensing",
        "transit",
        "absorption-spectrum",
        "linear-gaussian",
    ];
    const KNOWN: [&str; 9] = [
        "builtin",
        "grid",
        "period",
        "pivot",
        "half_range",
        "lines",
        "matrix",
        "python",
        "command",
    ];
    let Some(section) = root
        .require("simulator", "[simulator] with builtin = \"...\"")
        .and_then(|entry| entry.section())
    else {
        let n_data = observation.and_then(Option::as_ref).map(Observation::len);
        return (None, n_data);
    };
    section.check_keys(&KNOWN);
    let grid = match observation {
        Some(observation) => grid(&section, observation.as_ref()),
        None => None,
    };
    let n_data = grid.as_ref().map(Vec::len);

    let mut is_external = false;
    for name in ["python", "command"] {
        if let Some(entry) = section.get(name) {
            entry.mistake(format!(
                "external simulators are not in this version, expected builtin = one of {}",
                MODELS.join(", ")
            ));
            is_external = true;
        }
    }
    if is_external {
        return (None, n_data);
    }
    let builtin = section.require("builtin", &format!("one of {}", MODELS.join(", ")));
    let name = builtin.and_then(|entry| entry.choice(&MODELS.map(|name| (name, name))));
    let Some(name) = name else {
        return (None, n_data);
    };
    let options: &[&str] = match name {
        "transit" => &["period"],
        "absorption-spectrum" => &["pivot", "half_range", "lines"],
        "linear-gaussian" => &["matrix"],
        _ => &[],
    };
    for option in ["period", "pivot", "half_range", "lines", "matrix"] {
        if let (Some(entry), false) = (section.get(option), options.contains(&option)) {
            entry.mistake(match options {
                [] => format!("{name} has no options but grid"),
                _ => format!(
                    "{name} has no such option, its options are grid, {}",
                    options.join(", ")
                ),
            });
        }
    }
    let model = match name {
        "sine" => Some(BuiltinModel::Sine),
        "microlensing" => Some(BuiltinModel::Microlensing),
        "transit" => section
            .require("period", "the orbital period in the grid's units")
            .and_then(|entry| entry.positive())
            .map(|period| BuiltinModel::Transit { period }),
        "absorption-spectrum" => absorption_spectrum(&section, grid.as_deref()),
        _ => linear_gaussian(&section, n_data, names.map(<[_]>::len)),
    };
    if let (Some(model), Some(names)) = (&model, names) {
        check_names(&section, model, names);
    }
    (
        model
            .zip(grid)
            .map(|(model, grid)| SimulatorSpec { model, grid }),
        n_data,
    )
}

fn grid(section: &Section<'_>, observation: Option<&Observation>) -> Option<Vec<f64>> {
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
        (None, None) => section.require("grid", GRID_EXPECTED).and(None),
    }
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

fn absorption_spectrum(section: &Section<'_>, grid: Option<&[f64]>) -> Option<BuiltinModel> {
    let pivot = section.get("pivot").map(|entry| entry.number());
    let half_range = section.get("half_range").map(|entry| entry.positive());
    let lines = section
        .require("lines", "the two rest wavelengths")
        .and_then(|entry| {
            let lines = numbers(&entry, Expected::Positive)?;
            let Ok(lines) = <[f64; 2]>::try_from(lines.as_slice()) else {
                entry.mistake(format!(
                    "found {} numbers, expected the two rest wavelengths",
                    lines.len()
                ));
                return None;
            };
            Some(lines)
        });
    // The middle of the grid, and how far it reaches from there.
    let low = grid.map(|grid| grid.iter().copied().fold(f64::INFINITY, f64::min));
    let high = grid.map(|grid| grid.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let pivot = pivot.unwrap_or_else(|| Some(0.5 * (low? + high?)))?;
    let half_range = half_range.unwrap_or_else(|| Some(0.5 * (high? - low?)))?;
    if half_range <= 0.0 {
        section.mistake("the grid has no width, expected half_range to be given");
        return None;
    }
    Some(BuiltinModel::AbsorptionSpectrum {
        pivot,
        half_range,
        lines: lines?,
    })
}

fn linear_gaussian(
    section: &Section<'_>,
    n_data: Option<usize>,
    n_parameters: Option<usize>,
) -> Option<BuiltinModel> {
    let Some(entry) = section.get("matrix") else {
        let (n_data, n_parameters) = (n_data?, n_parameters?);
        if n_data != n_parameters {
            section.require(
                "matrix",
                &format!("{n_data} rows (the data) of {n_parameters} numbers (the parameters)"),
            );
            return None;
        }
        let row = |i: usize| {
            (0..n_parameters)
                .map(|j| if i == j { 1.0 } else { 0.0 })
                .collect()
        };
        return Some(BuiltinModel::LinearGaussian {
            matrix: (0..n_data).map(row).collect(),
        });
    };
    let items = entry.items("a list of rows")?;
    let rows: Vec<Option<Vec<f64>>> = items
        .iter()
        .map(|item| {
            let row = item.numbers()?;
            if let Some(n_parameters) = n_parameters
                && row.len() != n_parameters
            {
                item.mistake(format!(
                    "found {} numbers, expected {n_parameters}, one a parameter",
                    row.len()
                ));
                return None;
            }
            Some(row)
        })
        .collect();
    if let Some(n_data) = n_data
        && rows.len() != n_data
    {
        entry.mistake(format!(
            "found {} rows, expected {n_data}, one a datum",
            rows.len()
        ));
        return None;
    }
    Some(BuiltinModel::LinearGaussian {
        matrix: rows.into_iter().collect::<Option<_>>()?,
    })
}
