//! `[simulator] builtin`: the built-in forward models and their options.

use super::document::{Entry, Section};
use super::forward_model::counted;
use super::observation::numbers;
use super::parameters::{Named, check_names};
use crate::campaign::BuiltinModel;
use crate::files;
use crate::observation::{Errors, Expected, FileMistakes, Place, parse_number, rows};
use std::path::Path;

/// Names, whether they draw noise of their own, and options besides the grid.
const MODELS: [(&str, bool, &[&str]); 11] = [
    ("sine", false, &[]),
    ("microlensing", false, &[]),
    ("transit", false, &["period"]),
    (
        "absorption-spectrum",
        false,
        &["pivot", "half_range", "lines"],
    ),
    ("linear-gaussian", false, &["matrix"]),
    ("two-moons", true, &[]),
    ("gaussian-mixture", true, &[]),
    ("slcp", true, &[]),
    ("bernoulli-glm", true, &["design_matrix"]),
    ("sir", true, &["population", "infected", "tests"]),
    ("lotka-volterra", true, &["prey", "predators", "scatter"]),
];

/// Data of `two-moons` and of `slcp`, and their parameters.
const TWO_MOONS: (usize, usize) = (2, 2);
const SLCP: (usize, usize) = (8, 5);

/// As in sbibm.
const SIR_POPULATION: f64 = 1e6;
const SIR_INFECTED: f64 = 1.0;
const SIR_TESTS: u64 = 1000;
const LOTKA_VOLTERRA_PREY: f64 = 30.0;
const LOTKA_VOLTERRA_PREDATORS: f64 = 1.0;
const LOTKA_VOLTERRA_SCATTER: f64 = 0.1;

/// `[simulator]` as far as it is known before its data are.
pub(super) struct Builtin<'a> {
    /// None where it is missing.
    pub section: Option<Section<'a>>,
    /// None where there is no such model.
    pub name: Option<&'static str>,
    draws_own_noise: bool,
    options: &'static [&'static str],
}

impl<'a> Builtin<'a> {
    pub fn read(root: &Section<'a>) -> Self {
        let section = root
            .require("simulator", "[simulator] with builtin = \"...\"")
            .and_then(|entry| entry.section());
        let chosen = section.as_ref().and_then(choice);
        let (name, draws_own_noise, options) = match chosen {
            Some((name, draws_own_noise, options)) => (Some(name), draws_own_noise, options),
            None => (None, false, &[][..]),
        };
        Self {
            section,
            name,
            draws_own_noise,
            options,
        }
    }

    pub fn draws_own_noise(&self) -> bool {
        self.draws_own_noise
    }

    /// Where the errors of an observation are that has noise of the model's own.
    pub fn errors(&self) -> Errors {
        match self.name {
            Some("sir" | "lotka-volterra") => Errors::None,
            Some(_) | None => Errors::NoneNorGrid,
        }
    }

    /// The grid of a model whose data have no abscissae, where nothing gives one.
    pub fn default_grid(&self, n_parameters: Option<usize>) -> Option<Vec<f64>> {
        match self.name? {
            "two-moons" => Some(counted(TWO_MOONS.0)),
            "slcp" => Some(counted(SLCP.0)),
            "gaussian-mixture" | "bernoulli-glm" => Some(counted(n_parameters?)),
            _ => None,
        }
    }

    /// None where an option, the parameters or the data's length are not what the model needs, which are mistakes.
    pub fn model(
        &self,
        directory: &Path,
        grid: Option<&[f64]>,
        names: Option<&[Named<'_>]>,
    ) -> Option<BuiltinModel> {
        let section = self.section.as_ref()?;
        let name = self.name?;
        self.refuse_other_options(section, name);
        let (n_data, n_parameters) = (grid.map(<[_]>::len), names.map(<[_]>::len));
        let model = match name {
            "sine" => Some(BuiltinModel::Sine),
            "microlensing" => Some(BuiltinModel::Microlensing),
            "transit" => section
                .require("period", "the orbital period in the grid's units")
                .and_then(|entry| entry.positive())
                .map(|period| BuiltinModel::Transit { period }),
            "absorption-spectrum" => absorption_spectrum(section, grid),
            "linear-gaussian" => linear_gaussian(section, n_data, n_parameters),
            "two-moons" => check_size(section, name, TWO_MOONS, n_data, n_parameters)
                .map(|()| BuiltinModel::TwoMoons),
            "slcp" => {
                check_size(section, name, SLCP, n_data, n_parameters).map(|()| BuiltinModel::Slcp)
            }
            "gaussian-mixture" => {
                let n = n_parameters?;
                check_size(section, name, (n, n), n_data, n_parameters)
                    .map(|()| BuiltinModel::GaussianMixture)
            }
            "bernoulli-glm" => bernoulli_glm(section, directory, n_data, n_parameters),
            "sir" => sir(section, grid),
            _ => lotka_volterra(section, grid),
        }?;
        if let Some(names) = names {
            check_names(section, &model, names);
        }
        Some(model)
    }

    fn refuse_other_options(&self, section: &Section<'_>, name: &str) {
        for option in MODELS.iter().flat_map(|(_, _, options)| *options) {
            if let (Some(entry), false) = (section.get(option), self.options.contains(option)) {
                entry.mistake(match self.options {
                    [] => format!("{name} has no options but grid"),
                    _ => format!(
                        "{name} has no such option, its options are grid, {}",
                        self.options.join(", ")
                    ),
                });
            }
        }
    }
}

/// The model that `builtin` names.
fn choice(section: &Section<'_>) -> Option<(&'static str, bool, &'static [&'static str])> {
    let mut known = vec!["builtin", "own", "grid", "python", "command"];
    known.extend(MODELS.iter().flat_map(|(_, _, options)| *options));
    section.check_keys(&known);
    let names = MODELS.map(|(name, _, _)| name).join(", ");
    let mut is_external = false;
    for name in ["python", "command"] {
        if let Some(entry) = section.get(name) {
            entry.mistake(format!(
                "external simulators are not in this version, expected builtin = one of {names}"
            ));
            is_external = true;
        }
    }
    if is_external {
        return None;
    }
    let entry = section.require("builtin", &format!("one of {names}"))?;
    entry.choice(&MODELS.map(|model| (model.0, model)))
}

/// A number of the model's, or its default.
fn positive_or(section: &Section<'_>, name: &str, default: f64) -> Option<f64> {
    match section.get(name) {
        Some(entry) => entry.positive(),
        None => Some(default),
    }
}

fn check_size(
    section: &Section<'_>,
    name: &str,
    (n_data, n_parameters): (usize, usize),
    found_data: Option<usize>,
    found_parameters: Option<usize>,
) -> Option<()> {
    let (found_data, found_parameters) = (found_data?, found_parameters?);
    let mut is_right = true;
    for (what, expected, found) in [
        ("data", n_data, found_data),
        ("parameters", n_parameters, found_parameters),
    ] {
        if found != expected {
            section.mistake(format!("{name} has {expected} {what}, found {found}"));
            is_right = false;
        }
    }
    is_right.then_some(())
}

fn bernoulli_glm(
    section: &Section<'_>,
    directory: &Path,
    n_data: Option<usize>,
    n_parameters: Option<usize>,
) -> Option<BuiltinModel> {
    let entry = section.require(
        "design_matrix",
        "a list of rows, or a CSV file without a header, with one column a parameter",
    )?;
    let rows = if entry.is_array() {
        let items = entry.items("a list of rows")?;
        let rows: Vec<Option<Vec<f64>>> = items
            .iter()
            .map(|item| numbers(item, Expected::Finite))
            .collect();
        rows.into_iter().collect::<Option<Vec<_>>>()?
    } else {
        design_matrix_file(&entry, directory)?
    };
    let (n_data, n_parameters) = (n_data?, n_parameters?);
    if rows.is_empty() {
        entry.mistake("found no rows, expected one a Bernoulli draw");
        return None;
    }
    if let Some((i, row)) = rows
        .iter()
        .enumerate()
        .find(|(_, row)| row.len() != n_parameters)
    {
        entry.mistake(format!(
            "row {i} has {} numbers, expected {n_parameters}, one a parameter",
            row.len()
        ));
        return None;
    }
    check_size(
        section,
        "bernoulli-glm with this design_matrix",
        (n_parameters, n_parameters),
        Some(n_data),
        Some(n_parameters),
    )?;
    Some(BuiltinModel::BernoulliGlm {
        design_matrix: rows,
    })
}

fn design_matrix_file(entry: &Entry<'_>, directory: &Path) -> Option<Vec<Vec<f64>>> {
    let path = directory.join(entry.text()?);
    let bytes = match files::read(&path, files::MOST_DATA_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            entry.mistake(error);
            return None;
        }
    };
    let mut mistakes = FileMistakes::new(&path);
    let mut matrix = Vec::new();
    for (line, fields) in rows(&bytes) {
        let line = Place::Line(line);
        let fields = match fields {
            Ok(fields) => fields,
            Err(message) => {
                mistakes.add(line, message);
                continue;
            }
        };
        let mut row = Vec::with_capacity(fields.len());
        for (j, field) in fields.iter().enumerate() {
            match parse_number(field, Expected::Finite) {
                Ok(number) => row.push(number),
                Err(message) => mistakes.add(line, format!("column {}: {message}", j + 1)),
            }
        }
        matrix.push(row);
    }
    if !mistakes.is_empty() {
        entry.add_foreign(mistakes.into_messages());
        return None;
    }
    Some(matrix)
}

fn sir(section: &Section<'_>, grid: Option<&[f64]>) -> Option<BuiltinModel> {
    let population = positive_or(section, "population", SIR_POPULATION);
    let infected = positive_or(section, "infected", SIR_INFECTED);
    let tests = match section.get("tests") {
        Some(entry) => entry.whole(1..=1_000_000_000),
        None => Some(SIR_TESTS),
    };
    let (population, infected, tests) = (population?, infected?, tests?);
    if infected >= population {
        section.mistake(format!(
            "infected {infected} are not fewer than the population, {population}"
        ));
        return None;
    }
    check_times(section, "the grid", grid?)?;
    Some(BuiltinModel::Sir {
        population,
        infected,
        tests,
    })
}

fn lotka_volterra(section: &Section<'_>, grid: Option<&[f64]>) -> Option<BuiltinModel> {
    let prey = positive_or(section, "prey", LOTKA_VOLTERRA_PREY);
    let predators = positive_or(section, "predators", LOTKA_VOLTERRA_PREDATORS);
    let scatter = positive_or(section, "scatter", LOTKA_VOLTERRA_SCATTER);
    let grid = grid?;
    if grid.len() % 2 != 0 {
        section.mistake(format!(
            "lotka-volterra has as many data of the prey as of the predators, found {} in all",
            grid.len()
        ));
        return None;
    }
    let (of_prey, of_predators) = grid.split_at(grid.len() / 2);
    if of_prey != of_predators {
        section.mistake(
            "the grid's second half, the times of the predators, is not its first, those of the prey",
        );
        return None;
    }
    check_times(section, "the first half of the grid", of_prey)?;
    Some(BuiltinModel::LotkaVolterra {
        prey: prey?,
        predators: predators?,
        scatter: scatter?,
    })
}

/// Differential equations begin at time 0.
fn check_times(section: &Section<'_>, what: &str, times: &[f64]) -> Option<()> {
    let mut last = -f64::MIN_POSITIVE;
    for (i, &time) in times.iter().enumerate() {
        if time <= last {
            section.mistake(format!(
                "point {i} of {what} is {time}, expected times from 0 on, each after the one before"
            ));
            return None;
        }
        last = time;
    }
    Some(())
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
