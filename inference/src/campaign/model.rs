//! What a campaign says of its forward model, and what a model declares before a campaign file can name it.
//!
//! The models themselves are no part of this crate: a campaign file is read against [`Declarations`].

use super::external::ExternalModel;
use super::observation::Errors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// The forward model, without its noise where that is Gaussian.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulatorSpec {
    /// The model that is run.
    pub model: ModelId,
    /// All options of the model, defaults too.
    pub options: Options,
    /// Abscissae of the data (times, wavelengths); its length is the data's length: 0 where the model is a log-likelihood
    /// alone.
    pub grid: Vec<f64>,
    /// How it is run, where that is in processes of its own.
    pub external: Option<ExternalModel>,
}

/// Which model it is: two programs that know a model by the same id simulate the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelId {
    /// Where it comes from.
    pub origin: Origin,
    /// Of models of one origin none has the name of another.
    pub name: String,
    /// See [`Declaration::version`].
    pub version: u32,
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.origin {
            Origin::Builtin => "built in",
            Origin::Guest => "a guest",
            Origin::Python => "in Python",
            Origin::Command => "a program",
        };
        write!(f, "{} ({origin}, version {})", self.name, self.version)
    }
}

/// Names of models for messages: guests with all that is known of them, built-in ones in a few words.
pub fn list(known: &[ModelId]) -> String {
    let guests: Vec<String> = known
        .iter()
        .filter(|id| match id.origin {
            Origin::Guest => true,
            Origin::Builtin | Origin::Python | Origin::Command => false,
        })
        .map(ModelId::to_string)
        .collect();
    match guests[..] {
        [] => "the built-in models only".to_owned(),
        [..] => format!("{} and the built-in models", guests.join(", ")),
    }
}

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Every `sidereal` has it.
    Builtin,
    /// The program that brings it has it.
    Guest,
    /// Whoever finds its files has it.
    Python,
    /// Whoever finds its program has it.
    Command,
}

impl Origin {
    /// Whether every program can run it that finds its files, and no catalogue has it.
    pub fn is_external(self) -> bool {
        match self {
            Self::Builtin | Self::Guest => false,
            Self::Python | Self::Command => true,
        }
    }

    /// The key in `[simulator]` that says which model it is.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Guest => "guest",
            Self::Python => "python",
            Self::Command => "command",
        }
    }
}

/// The options of a model, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Options(pub BTreeMap<String, OptionValue>);

/// A value of an option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// A whole number.
    Whole(u64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of numbers.
    Numbers(Vec<f64>),
    /// A list of lists of numbers.
    Rows(Vec<Vec<f64>>),
}

impl From<f64> for OptionValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for OptionValue {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<Vec<f64>> for OptionValue {
    fn from(numbers: Vec<f64>) -> Self {
        Self::Numbers(numbers)
    }
}

impl From<Vec<Vec<f64>>> for OptionValue {
    fn from(rows: Vec<Vec<f64>>) -> Self {
        Self::Rows(rows)
    }
}

/// What is asked for is there wherever the options are of a campaign file that was read against the model's declaration.
impl Options {
    /// Whether there is a value of this name.
    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Replaces the value that is there.
    pub fn set(&mut self, name: &str, value: impl Into<OptionValue>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The number of this name; an error says what is there instead, as with all that follow.
    pub fn number(&self, name: &str) -> Result<f64, String> {
        match self.0.get(name) {
            Some(OptionValue::Number(number)) => Ok(*number),
            other => Err(wrong(name, other, "a number")),
        }
    }

    /// The whole number of this name.
    pub fn whole(&self, name: &str) -> Result<u64, String> {
        match self.0.get(name) {
            Some(OptionValue::Whole(number)) => Ok(*number),
            other => Err(wrong(name, other, "a whole number")),
        }
    }

    /// The text of this name.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        match self.0.get(name) {
            Some(OptionValue::Text(text)) => Ok(text),
            other => Err(wrong(name, other, "text")),
        }
    }

    /// The list of N numbers of this name; one of another length is an error.
    pub fn numbers<const N: usize>(&self, name: &str) -> Result<[f64; N], String> {
        let found = self.0.get(name);
        let numbers = match found {
            Some(OptionValue::Numbers(numbers)) => <[f64; N]>::try_from(numbers.as_slice()).ok(),
            Some(_) | None => None,
        };
        numbers.ok_or_else(|| wrong(name, found, &format!("{N} numbers")))
    }

    /// The list of lists of numbers of this name.
    pub fn rows(&self, name: &str) -> Result<&[Vec<f64>], String> {
        match self.0.get(name) {
            Some(OptionValue::Rows(rows)) => Ok(rows),
            other => Err(wrong(name, other, "rows of numbers")),
        }
    }
}

fn wrong(name: &str, found: Option<&OptionValue>, expected: &str) -> String {
    let found = match found {
        None => "nothing".to_owned(),
        Some(OptionValue::Whole(number)) => number.to_string(),
        Some(OptionValue::Number(number)) => number.to_string(),
        Some(OptionValue::Text(text)) => format!("{text:?}"),
        Some(OptionValue::Numbers(numbers)) => format!("{} numbers", numbers.len()),
        Some(OptionValue::Rows(rows)) => format!("{} rows", rows.len()),
    };
    format!("{name}: found {found}, expected {expected}")
}

/// One option of a model, a key of `[simulator]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOption {
    /// Lower case, words joined by underscores.
    pub name: &'static str,
    /// What it takes.
    pub kind: OptionKind,
    /// What holds where it is not given.
    pub default: OptionDefault,
    /// What it is, with its unit: for messages and the schema.
    pub about: &'static str,
}

impl ModelOption {
    /// A campaign file must give it.
    pub fn required(name: &'static str, kind: OptionKind, about: &'static str) -> Self {
        let default = OptionDefault::Required;
        Self {
            name,
            kind,
            default,
            about,
        }
    }

    /// A campaign file may leave it out.
    pub fn with_default(
        name: &'static str,
        kind: OptionKind,
        default: impl Into<OptionValue>,
        about: &'static str,
    ) -> Self {
        Self {
            default: OptionDefault::Value(default.into()),
            ..Self::required(name, kind, about)
        }
    }

    /// Where it is not given, [`Declaration::settle`] finds it.
    pub fn settled(name: &'static str, kind: OptionKind, about: &'static str) -> Self {
        Self {
            default: OptionDefault::Settled,
            ..Self::required(name, kind, about)
        }
    }

    /// Refuses a value that no campaign file gives this option.
    fn check(&self, value: &OptionValue) -> Result<(), String> {
        let finite = |numbers: &[f64]| numbers.iter().all(|number| number.is_finite());
        let positive = |numbers: &[f64]| finite(numbers) && numbers.iter().all(|&x| x > 0.0);
        let (is_right, expected) = match &self.kind {
            OptionKind::Number => (
                matches!(value, OptionValue::Number(number) if number.is_finite()),
                "a finite number".to_owned(),
            ),
            OptionKind::Positive => (
                matches!(value, OptionValue::Number(number) if positive(&[*number])),
                "a positive number".to_owned(),
            ),
            OptionKind::Whole(range) => (
                matches!(value, OptionValue::Whole(number) if range.contains(number)),
                format!("a whole number from {} to {}", range.start(), range.end()),
            ),
            OptionKind::Text => (matches!(value, OptionValue::Text(_)), "text".to_owned()),
            OptionKind::Positives(n) => (
                matches!(value, OptionValue::Numbers(numbers) if numbers.len() == *n && positive(numbers)),
                format!("{n} positive numbers"),
            ),
            OptionKind::Rows => (
                matches!(value, OptionValue::Rows(rows) if rows.iter().all(|row| finite(row))),
                "rows of finite numbers".to_owned(),
            ),
        };
        match is_right {
            true => Ok(()),
            false => Err(wrong(self.name, Some(value), &expected)),
        }
    }
}

/// What an option takes.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionKind {
    /// A finite number.
    Number,
    /// A number above 0.
    Positive,
    /// A whole number of this range.
    Whole(RangeInclusive<u64>),
    /// A text.
    Text,
    /// As many positive numbers.
    Positives(usize),
    /// A list of lists of numbers, or a CSV file without a header.
    Rows,
}

/// What holds where an option is not given.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionDefault {
    /// It must be given.
    Required,
    /// This.
    Value(OptionValue),
    /// What [`Declaration::settle`] finds.
    Settled,
}

/// The parameters that a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelParameters {
    /// These, which a campaign may list in any order.
    Named(&'static [&'static str]),
    /// As many, under any names, in the campaign's order.
    Count(usize),
    /// Any, in the campaign's order.
    Any,
}

/// What a model's data lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abscissae {
    /// A grid that the observation or the campaign file gives; its name, for pictures.
    Grid(&'static str),
    /// The same grid for one series after the other.
    GridPerSeries(&'static str),
    /// Data are counted.
    None,
}

/// Who adds the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelNoise {
    /// The campaign: Gaussian, by its `[noise]`.
    Gaussian,
    /// The model, which then gives its log-likelihood too.
    Own,
}

/// What a model finds wrong with a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// None: about all of `[simulator]`.
    pub option: Option<&'static str>,
    /// What was found and what is expected.
    pub message: String,
}

impl Complaint {
    /// About all of `[simulator]`.
    pub fn of_model(message: impl Into<String>) -> Self {
        Self {
            option: None,
            message: message.into(),
        }
    }

    /// About one option.
    pub fn of_option(option: &'static str, message: impl Into<String>) -> Self {
        Self {
            option: Some(option),
            message: message.into(),
        }
    }
}

impl From<String> for Complaint {
    fn from(message: String) -> Self {
        Self::of_model(message)
    }
}

/// The data and parameters that a model is set up for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape<'a> {
    /// One point a datum.
    pub grid: &'a [f64],
    /// As many as the campaign has.
    pub n_parameters: usize,
}

/// What a campaign file must know of a model.
pub trait Declaration: Send + Sync {
    /// Lower case, words joined by hyphens.
    fn name(&self) -> &str;

    /// To be raised whenever the model gives other data for the same parameters.
    fn version(&self) -> u32 {
        1
    }

    /// Those that a campaign must have; any, where nothing is said.
    fn parameters(&self) -> ModelParameters {
        ModelParameters::Any
    }

    /// Its keys in `[simulator]`; none, where nothing is said.
    fn options(&self) -> Vec<ModelOption> {
        Vec::new()
    }

    /// What its data lie on; a grid, where nothing is said.
    fn abscissae(&self) -> Abscissae {
        Abscissae::Grid("grid")
    }

    /// How many data it has, where that does not follow from the grid.
    fn n_data(&self, _n_parameters: usize) -> Option<usize> {
        None
    }

    /// Who adds the noise; the campaign, where nothing is said.
    fn noise(&self) -> ModelNoise {
        ModelNoise::Gaussian
    }

    /// Finds the options that follow from data and parameters, and refuses what does not fit together. Settled options are
    /// not changed by it.
    fn settle(&self, _options: &mut Options, _shape: Shape<'_>) -> Result<(), Complaint> {
        Ok(())
    }

    /// Why no parameters whatever give this datum: what is expected of it. Models with Gaussian noise give anything.
    fn impossible(&self, _options: &Options, _datum: f64) -> Option<String> {
        None
    }
}

impl dyn Declaration + '_ {
    /// As campaigns know it.
    pub fn id(&self, origin: Origin) -> ModelId {
        ModelId {
            origin,
            name: self.name().to_owned(),
            version: self.version(),
        }
    }

    /// What its data lie on, for pictures.
    pub fn grid_name(&self) -> &'static str {
        match self.abscissae() {
            Abscissae::Grid(name) | Abscissae::GridPerSeries(name) => name,
            Abscissae::None => "grid",
        }
    }

    /// The grid of data that are counted: 0, 1, 2, ...
    pub fn counted_grid(&self, n_parameters: usize) -> Option<Vec<f64>> {
        let n = match self.abscissae() {
            Abscissae::None => self.n_data(n_parameters)?,
            Abscissae::Grid(_) | Abscissae::GridPerSeries(_) => return None,
        };
        Some((0..n).map(|i| i as f64).collect())
    }

    /// Where the errors of an observation of it are; `constant` is the noise's, where it is one number.
    pub fn errors(&self, constant: Option<f64>) -> Errors {
        match (self.noise(), self.abscissae()) {
            (ModelNoise::Gaussian, _) => constant.map_or(Errors::Column, Errors::ColumnOr),
            (ModelNoise::Own, Abscissae::None) => Errors::NoneNorGrid,
            (ModelNoise::Own, Abscissae::Grid(_) | Abscissae::GridPerSeries(_)) => Errors::None,
        }
    }

    /// Why no parameters whatever give this observation, with the datum; None where some may.
    pub fn impossible_datum(&self, options: &Options, value: &[f64]) -> Option<String> {
        value.iter().enumerate().find_map(|(i, &x)| {
            let expected = self.impossible(options, x)?;
            Some(format!("datum {i} is {x}, expected {expected}"))
        })
    }

    /// All options of a campaign of this shape, from those that were given.
    pub fn settled(&self, given: &Options, shape: Shape<'_>) -> Result<Options, Vec<Complaint>> {
        let name = self.name();
        let expected = match self.parameters() {
            ModelParameters::Count(n) => Some(n),
            // Whoever knows the names says which is missing.
            ModelParameters::Named(_) | ModelParameters::Any => None,
        };
        let sizes = [
            ("data", self.n_data(shape.n_parameters), shape.grid.len()),
            ("parameters", expected, shape.n_parameters),
        ];
        let complaints: Vec<Complaint> = sizes
            .into_iter()
            .filter_map(|(what, expected, found)| {
                let expected = expected.filter(|&expected| expected != found)?;
                let message = format!("{name} has {expected} {what}, found {found}");
                Some(Complaint::of_model(message))
            })
            .collect();
        if !complaints.is_empty() {
            return Err(complaints);
        }
        self.completed(given, shape)
            .map_err(|complaint| vec![complaint])
    }

    /// With all options, for data and parameters of the right sizes.
    fn completed(&self, given: &Options, shape: Shape<'_>) -> Result<Options, Complaint> {
        let mut options = given.clone();
        let declared = self.options();
        for option in &declared {
            if let (OptionDefault::Value(value), false) =
                (&option.default, options.is_set(option.name))
            {
                options.0.insert(option.name.to_owned(), value.clone());
            }
        }
        self.settle(&mut options, shape)?;
        for option in &declared {
            match options.0.get(option.name) {
                Some(value) => option.check(value)?,
                None => {
                    let message = format!("missing, expected {}", option.about);
                    return Err(Complaint::of_option(option.name, message));
                }
            }
        }
        let undeclared = |name: &String| declared.iter().all(|option| option.name != name);
        match options.0.keys().find(|name| undeclared(name)) {
            None => Ok(options),
            Some(option) => Err(format!("{} has no option {option}", self.name()).into()),
        }
    }
}

/// The models that a campaign file may name.
pub trait Declarations {
    /// Those of one origin, in the order in which messages list them.
    fn of(&self, origin: Origin) -> Vec<&dyn Declaration>;

    /// The one of this name.
    fn find(&self, origin: Origin, name: &str) -> Option<&dyn Declaration> {
        let mut known = self.of(origin).into_iter();
        known.find(|declaration| declaration.name() == name)
    }
}
