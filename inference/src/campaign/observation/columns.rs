//! Which column of a table is the grid, which the value, and which its error: as the user says, or by its name.

use super::cell::Column;
use super::reading::{ColumnNames, Errors};

/// Names that are known without being told, lower-case; those of sidereal itself come before all others.
#[rustfmt::skip]
const GRID: [&str; 22] = [
    "time", "times", "t", "bjd", "bjd_tdb", "bjd_utc", "btjd", "bkjd", "hjd", "jd", "mjd", "wavelength",
    "wavelengths", "lambda", "wave", "wl", "frequency", "freq", "phase", "x", "day", "days",
];
const VALUE: [&str; 7] = ["flux", "mag", "magnitude", "rv", "vrad", "y", "counts"];
#[rustfmt::skip]
const SIGMA: [&str; 7] = ["error", "errors", "err", "uncertainty", "unc", "sig", "yerr"];

const NO_GRID: &str = "no column has a name that is known as a grid's (time, bjd, wavelength, ...)";
const NO_VALUE: &str = "no column has a name that is known as a value's (value, flux, mag, ...)";
const NO_SIGMA: &str = "no column has a name that is known as a sigma's (sigma, flux_err, ...), \
                        and noise.gaussian.sigma is not a number that could stand for it";

/// Where what is.
#[derive(Debug, PartialEq)]
pub(super) struct Chosen {
    /// None: data are counted from 0.
    pub grid: Option<usize>,
    pub value: usize,
    pub sigma: Sigma,
    /// None where none is asked for.
    pub label: Option<usize>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Sigma {
    At(usize),
    Constant(f64),
    None,
}

/// Whether a column of this name may be one that is looked for.
pub(super) fn is_known(name: &str, names: &ColumnNames) -> bool {
    let lower = name.to_lowercase();
    let is_told = |told: &Option<String>| {
        told.as_ref()
            .is_some_and(|told| told.to_lowercase() == lower)
    };
    GRID.contains(&lower.as_str())
        || VALUE.contains(&lower.as_str())
        || ["grid", "value", "sigma"].contains(&lower.as_str())
        || [&names.grid, &names.value, &names.sigma]
            .into_iter()
            .any(is_told)
}

/// The columns that an observation is made of, and the one called `label`; or in words why they cannot be told.
pub(super) fn choose(
    columns: &[Column],
    names: &ColumnNames,
    errors: Errors,
    label: Option<&str>,
) -> Result<Chosen, String> {
    let lower = columns.iter().map(|column| column.name.to_lowercase());
    let lower: Vec<String> = lower.collect();
    let value = match &names.value {
        Some(name) => told(columns, &lower, name),
        None => by_name(&lower, "value", |name| VALUE.contains(&name)),
    };
    let sigma = match &names.sigma {
        Some(name) => told(columns, &lower, name),
        None => sigma(columns, &lower, &value),
    };
    let label = match label {
        Some(name) => told(columns, &lower, name),
        None => Found::None,
    };
    let grid = match &names.grid {
        Some(name) => told(columns, &lower, name),
        None => by_name(&lower, "grid", |name| GRID.contains(&name))
            // Any name will do where there is no other column.
            .or_else(|| only_other(columns.len(), &value, &sigma, &label)),
    };
    let has_sigma = match errors {
        Errors::Column | Errors::ColumnOr(_) => true,
        Errors::Constant(_) | Errors::None | Errors::NoneNorGrid => false,
    };
    let needs_grid = match errors {
        Errors::NoneNorGrid => columns.len() > 1,
        Errors::Column | Errors::ColumnOr(_) | Errors::Constant(_) | Errors::None => true,
    };
    let mut problems = Vec::new();
    if needs_grid {
        grid.problem("grid", NO_GRID, columns, &mut problems);
    }
    value.problem("value", NO_VALUE, columns, &mut problems);
    match errors {
        // Its name depends on the value's, so that one problem is enough.
        Errors::Column if !sigma.is_none() || value.one().is_some() => {
            sigma.problem("sigma", NO_SIGMA, columns, &mut problems);
        }
        Errors::ColumnOr(_) if !sigma.is_none() => {
            sigma.problem("sigma", NO_SIGMA, columns, &mut problems);
        }
        Errors::None | Errors::NoneNorGrid
            if names.sigma.is_some() || lower.iter().any(|name| name == "sigma") =>
        {
            return Err(
                "found a column sigma, expected none: the simulator draws the noise".into(),
            );
        }
        Errors::Column
        | Errors::ColumnOr(_)
        | Errors::Constant(_)
        | Errors::None
        | Errors::NoneNorGrid => {}
    }
    if !problems.is_empty() {
        let (grid, sigma) = (needs_grid.then_some(&grid), has_sigma.then_some(&sigma));
        return Err(format!(
            "{}; found the columns {}; say which is which: {}",
            problems.join("; "),
            listed(columns),
            line(columns, &lower, [grid, Some(&value), sigma])
        ));
    }
    let mut problems = Vec::new();
    label.problem("noise.gaussian.by", "", columns, &mut problems);
    if let (false, [problem, ..]) = (label.is_none(), &problems[..]) {
        return Err(format!("{problem}; found the columns {}", listed(columns)));
    }
    let Some(value) = value.one() else {
        return Err("no column is the value".to_owned());
    };
    let chosen = Chosen {
        label: label.one(),
        grid: grid.one().filter(|_| needs_grid),
        value,
        sigma: match (errors, sigma.one()) {
            (Errors::Column | Errors::ColumnOr(_), Some(sigma)) => Sigma::At(sigma),
            (Errors::ColumnOr(sigma) | Errors::Constant(sigma), _) => Sigma::Constant(sigma),
            (Errors::Column | Errors::None | Errors::NoneNorGrid, _) => Sigma::None,
        },
    };
    let sigma_at = match chosen.sigma {
        Sigma::At(sigma) => Some(sigma),
        Sigma::Constant(_) | Sigma::None => None,
    };
    let pairs = [
        ("grid and value", chosen.grid, Some(value)),
        ("grid and sigma", chosen.grid, sigma_at),
        ("value and sigma", sigma_at, Some(value)),
    ];
    for (pair, one, other) in pairs {
        if let (Some(one), true) = (one, one == other) {
            return Err(format!(
                "{pair} are one column, {}, expected two",
                columns[one].name
            ));
        }
    }
    Ok(chosen)
}

/// The columns that may be what is looked for.
enum Found {
    None,
    One(usize),
    Several(Vec<usize>),
    /// There is none of the name that the user gave.
    Missing(String),
}

impl Found {
    /// Those that are.
    fn of(are: impl Iterator<Item = bool>) -> Self {
        let candidates = are.enumerate().filter(|&(_, is)| is);
        let candidates: Vec<usize> = candidates.map(|(i, _)| i).collect();
        match candidates[..] {
            [] => Self::None,
            [one] => Self::One(one),
            [..] => Self::Several(candidates),
        }
    }

    fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::None => other(),
            Self::One(_) | Self::Several(_) | Self::Missing(_) => self,
        }
    }

    fn one(&self) -> Option<usize> {
        match self {
            Self::One(column) => Some(*column),
            Self::None | Self::Several(_) | Self::Missing(_) => None,
        }
    }

    fn is_none(&self) -> bool {
        match self {
            Self::None => true,
            Self::One(_) | Self::Several(_) | Self::Missing(_) => false,
        }
    }

    fn problem(&self, role: &str, none: &str, columns: &[Column], problems: &mut Vec<String>) {
        match self {
            Self::One(_) => {}
            Self::None => problems.push(none.to_owned()),
            Self::Several(candidates) => {
                let names = candidates.iter().map(|&i| columns[i].name.as_str());
                let names: Vec<&str> = names.collect();
                problems.push(format!("{} could each be the {role}", names.join(" and ")));
            }
            Self::Missing(name) => problems.push(format!(
                "no column is called {name:?}, as {role} is said to be"
            )),
        }
    }
}

/// Upper and lower case count only where both are there.
fn told(columns: &[Column], lower: &[String], name: &str) -> Found {
    let name = Column::of_header(name).name;
    let in_lower = name.to_lowercase();
    Found::of(columns.iter().map(|column| column.name == name))
        .or_else(|| Found::of(lower.iter().map(|lower| *lower == in_lower)))
        .or_else(|| Found::Missing(name))
}

fn by_name(lower: &[String], own: &str, is_usual: impl Fn(&str) -> bool) -> Found {
    Found::of(lower.iter().map(|name| name == own))
        .or_else(|| Found::of(lower.iter().map(|name| is_usual(name))))
}

/// The error that is named like the value comes before others.
fn sigma(columns: &[Column], lower: &[String], value: &Found) -> Found {
    let of_value = value.one().map(|value| columns[value].name.to_lowercase());
    let is_of_value = |name: &str| measured(name).is_some_and(|of| Some(of) == of_value.as_deref());
    // Nor the error of another column that is there, such as the time.
    let is_other = |name: &str| lower.iter().any(|lower| lower == name) || GRID.contains(&name);
    let is_free = |name: &str| measured(name).is_some_and(|of| !is_other(of));
    let is_usual = |name: &String| SIGMA.contains(&name.as_str()) || is_free(name);
    by_name(lower, "sigma", is_of_value).or_else(|| Found::of(lower.iter().map(is_usual)))
}

/// What a lower-case name says that it is the error of: `flux_err`, `e_flux`.
fn measured(name: &str) -> Option<&str> {
    #[rustfmt::skip]
    const ENDS: [&str; 7] = ["_err", "_error", "_sigma", "_unc", "_uncertainty", "_std", "err"];
    const BEGINNINGS: [&str; 4] = ["e_", "err_", "error_", "sigma_"];
    let end = ENDS.iter().find_map(|end| name.strip_suffix(end));
    let mut beginnings = BEGINNINGS.iter();
    let measured = end.or_else(|| beginnings.find_map(|beginning| name.strip_prefix(beginning)));
    measured.filter(|measured| !measured.is_empty())
}

fn only_other(n_columns: usize, value: &Found, sigma: &Found, label: &Found) -> Found {
    let is_other = |i: &usize| {
        [value, sigma, label]
            .iter()
            .all(|found| found.one() != Some(*i))
    };
    let others = (0..n_columns).filter(is_other);
    let others: Vec<usize> = others.collect();
    match (value, others.as_slice()) {
        (Found::One(_), [other]) => Found::One(*other),
        (Found::None | Found::One(_) | Found::Several(_) | Found::Missing(_), _) => Found::None,
    }
}

fn listed(columns: &[Column]) -> String {
    const MAX_SHOWN: usize = 40;
    let shown = columns.iter().take(MAX_SHOWN);
    let shown: Vec<&str> = shown.map(|column| column.name.as_str()).collect();
    let names = shown.join(", ");
    match columns.len() - shown.len() {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// The line that a user may write, by what was found for grid, value and sigma, as far as they are needed: what is known,
/// and for the rest a column that nothing is said of yet.
fn line(columns: &[Column], lower: &[String], [grid, value, error]: [Option<&Found>; 3]) -> String {
    let needed = [grid, value, error];
    let known = needed.iter().flatten().filter_map(|found| found.one());
    let mut used: Vec<usize> = known.collect();
    let mut guess = |found: &Found| {
        let guess = match found {
            Found::One(column) => Some(*column),
            Found::Several(candidates) => candidates.first().copied(),
            Found::None | Found::Missing(_) => (0..columns.len()).find(|i| !used.contains(i)),
        };
        used.extend(guess);
        guess
    };
    let grid = grid.map(&mut guess);
    let value = value.map(&mut guess);
    let of_value = value.flatten().map_or(Found::None, |value| {
        sigma(columns, lower, &Found::One(value))
    });
    let error = error.map(|error| match (error, &of_value) {
        (Found::None, Found::One(_)) => guess(&of_value),
        (Found::None | Found::One(_) | Found::Several(_) | Found::Missing(_), _) => guess(error),
    });
    let roles = [("grid", grid), ("value", value), ("sigma", error)];
    let entries = roles.into_iter().filter_map(|(role, column)| {
        let name = column?.map_or("...", |column| &columns[column].name);
        Some(format!("{role} = {name:?}"))
    });
    let entries: Vec<String> = entries.collect();
    format!("columns = {{ {} }}", entries.join(", "))
}
