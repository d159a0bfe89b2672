//! `[simulator]`: which model it is, and its options.

use super::document::{Entry, Section, suggestion};
use super::observation::numbers;
use super::parameters::{Named, check_names};
use crate::files;
use crate::model::{
    Complaint, Declaration, Declarations, ModelId, ModelNoise, ModelOption, OptionDefault,
    OptionKind, OptionValue, Options, Origin, Shape,
};
use crate::observation::{Errors, Expected, FileMistakes, Place, parse_number, rows};
use std::path::Path;

/// Keys of models that stand in for models outside the program.
const EXTERNAL: [&str; 2] = ["python", "command"];

/// Keys besides the origin's and options.
const COMMON_KEYS: [&str; 2] = ["version", "grid"];

/// What the file is held against.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    /// The models that it may name.
    Models(&'a dyn Declarations),
    /// What a campaign file that was read before says of its model, with all options, is believed.
    Recorded,
}

/// `[simulator]` as far as it is known before its data are.
pub(super) struct ModelSection<'a> {
    /// None where it is missing.
    pub section: Option<Section<'a>>,
    /// None where there is no such model.
    chosen: Option<Chosen<'a>>,
}

enum Chosen<'a> {
    Declared(Origin, &'a dyn Declaration),
    Recorded { id: ModelId, noise: ModelNoise },
}

impl<'a> ModelSection<'a> {
    pub fn read(root: &Section<'a>, known: Known<'a>) -> Self {
        let section = root
            .require("simulator", "[simulator] with builtin = \"...\"")
            .and_then(|entry| entry.section());
        let chosen = section.as_ref().and_then(|section| match known {
            Known::Models(models) => declared(section, models),
            Known::Recorded => recorded(root, section),
        });
        Self { section, chosen }
    }

    pub fn name(&self) -> Option<&str> {
        self.chosen.as_ref().map(|chosen| match chosen {
            Chosen::Declared(_, declaration) => declaration.name(),
            Chosen::Recorded { id, .. } => &id.name,
        })
    }

    pub fn draws_own_noise(&self) -> bool {
        let noise = match &self.chosen {
            None => ModelNoise::Gaussian,
            Some(Chosen::Declared(_, declaration)) => declaration.noise(),
            Some(Chosen::Recorded { noise, .. }) => *noise,
        };
        match noise {
            ModelNoise::Own => true,
            ModelNoise::Gaussian => false,
        }
    }

    /// Where the errors of an observation are that has noise of the model's own.
    pub fn errors(&self) -> Errors {
        match &self.chosen {
            Some(Chosen::Declared(_, declaration)) => declaration.errors(None),
            // A recorded observation has its grid.
            Some(Chosen::Recorded { .. }) | None => Errors::None,
        }
    }

    /// The grid of a model whose data have no abscissae, where nothing gives one.
    pub fn default_grid(&self, n_parameters: Option<usize>) -> Option<Vec<f64>> {
        match &self.chosen {
            Some(Chosen::Declared(_, declaration)) => declaration.counted_grid(n_parameters?),
            Some(Chosen::Recorded { .. }) | None => None,
        }
    }

    /// Why no parameters give this observation.
    pub fn impossible_datum(&self, options: &Options, value: &[f64]) -> Option<String> {
        match &self.chosen {
            Some(Chosen::Declared(_, declaration)) => declaration.impossible_datum(options, value),
            Some(Chosen::Recorded { .. }) | None => None,
        }
    }

    /// None where an option, the parameters or the data's length are not what the model needs, which are mistakes.
    pub fn model(
        &self,
        directory: &Path,
        grid: Option<&[f64]>,
        names: Option<&[Named<'_>]>,
    ) -> Option<(ModelId, Options)> {
        let section = self.section.as_ref()?;
        let (origin, declaration) = match self.chosen.as_ref()? {
            Chosen::Declared(origin, declaration) => (*origin, *declaration),
            Chosen::Recorded { id, .. } => return Some((id.clone(), recorded_options(section)?)),
        };
        let options = given_options(section, declaration, directory);
        check_version(section, declaration)?;
        let (options, grid, names) = (options?, grid?, names?);
        let shape = Shape {
            grid,
            n_parameters: names.len(),
        };
        match declaration.settled(&options, shape) {
            Ok(options) => {
                check_names(section, declaration, names)?;
                Some((declaration.id(origin), options))
            }
            Err(complaints) => {
                for Complaint { option, message } in complaints {
                    match option.map(|option| (option, section.get(option))) {
                        Some((_, Some(entry))) => entry.mistake(message),
                        Some((option, None)) => section.mistake_of(option, message),
                        None => section.mistake(message),
                    }
                }
                None
            }
        }
    }
}

/// The model that the file names.
fn declared<'a>(section: &Section<'a>, models: &'a dyn Declarations) -> Option<Chosen<'a>> {
    let names_of = |origin| {
        let names: Vec<&str> = models.of(origin).iter().map(|model| model.name()).collect();
        names
    };
    let builtin_names = names_of(Origin::Builtin);
    let mut is_external = false;
    for name in EXTERNAL {
        if let Some(entry) = section.get(name) {
            entry.mistake(format!(
                "external simulators are not in this version, expected builtin = one of {}",
                builtin_names.join(", ")
            ));
            is_external = true;
        }
    }
    if is_external {
        return None;
    }
    let (origin, entry) = origin_entry(section, &builtin_names.join(", "))?;
    let name = entry.text()?;
    if let Some(declaration) = models.find(origin, name) {
        refuse_other_keys(section, origin, declaration);
        return Some(Chosen::Declared(origin, declaration));
    }
    let known = names_of(origin);
    entry.mistake(match (origin, known.is_empty()) {
        (Origin::Guest, true) => format!(
            "found {name:?}, but this program has no guests: only the program that brings the model can run it"
        ),
        (Origin::Builtin, _) | (Origin::Guest, false) => {
            format!("found {name:?}{}", suggestion(name, &known))
        }
    });
    None
}

/// The one of `builtin` and `guest` that is given.
fn origin_entry<'a>(section: &Section<'a>, builtins: &str) -> Option<(Origin, Entry<'a>)> {
    let given: Vec<(Origin, Entry<'a>)> = Origin::ALL
        .into_iter()
        .filter_map(|origin| Some((origin, section.get(origin.key())?)))
        .collect();
    let n_given = given.len();
    let mut given = given.into_iter();
    match (given.next(), n_given) {
        (Some(only), 1) => Some(only),
        (Some((_, entry)), _) => {
            entry.mistake("found builtin and guest, expected one of them");
            None
        }
        (None, _) => {
            section.require(Origin::Builtin.key(), &format!("one of {builtins}"));
            None
        }
    }
}

fn refuse_other_keys(section: &Section<'_>, origin: Origin, declaration: &dyn Declaration) {
    let options: Vec<&str> = declaration
        .options()
        .iter()
        .map(|option| option.name)
        .collect();
    for (name, entry) in section.entries() {
        let is_known =
            name == origin.key() || COMMON_KEYS.contains(&name) || options.contains(&name);
        if !is_known {
            entry.mistake(match options[..] {
                [] => format!("{} has no options but grid", declaration.name()),
                [..] => format!(
                    "{} has no such option, its options are grid, {}",
                    declaration.name(),
                    options.join(", ")
                ),
            });
        }
    }
}

/// A file that names a version wants that one.
fn check_version(section: &Section<'_>, declaration: &dyn Declaration) -> Option<()> {
    let Some(entry) = section.get("version") else {
        return Some(());
    };
    let (found, expected) = (entry.whole(1..=u32::MAX.into())?, declaration.version());
    if found != u64::from(expected) {
        entry.mistake(format!(
            "found version {found} of {}, this program has version {expected}",
            declaration.name()
        ));
        return None;
    }
    Some(())
}

/// The options that the file gives, all looked at.
fn given_options(
    section: &Section<'_>,
    declaration: &dyn Declaration,
    directory: &Path,
) -> Option<Options> {
    let mut options = Options::default();
    let mut all_right = true;
    for option in declaration.options() {
        let entry = match option.default {
            OptionDefault::Required => section.require(option.name, option.about),
            OptionDefault::Value(_) | OptionDefault::Settled => match section.get(option.name) {
                Some(entry) => Some(entry),
                None => continue,
            },
        };
        match entry.and_then(|entry| value(&entry, &option, directory)) {
            Some(value) => {
                options.0.insert(option.name.to_owned(), value);
            }
            None => all_right = false,
        }
    }
    all_right.then_some(options)
}

fn value(entry: &Entry<'_>, option: &ModelOption, directory: &Path) -> Option<OptionValue> {
    Some(match &option.kind {
        OptionKind::Number => OptionValue::Number(entry.number()?),
        OptionKind::Positive => OptionValue::Number(entry.positive()?),
        OptionKind::Whole(range) => OptionValue::Whole(entry.whole(range.clone())?),
        OptionKind::Text => OptionValue::Text(entry.text()?.to_owned()),
        OptionKind::Positives(n) => {
            let found = numbers(entry, Expected::Positive)?;
            if found.len() != *n {
                let about = option.about;
                entry.mistake(format!("found {} numbers, expected {about}", found.len()));
                return None;
            }
            OptionValue::Numbers(found)
        }
        OptionKind::Rows => OptionValue::Rows(matrix(entry, directory)?),
    })
}

/// A list of rows, or a file of them.
fn matrix(entry: &Entry<'_>, directory: &Path) -> Option<Vec<Vec<f64>>> {
    if entry.is_text() {
        return matrix_file(entry, directory);
    }
    let items = entry.items("a list of rows, or a CSV file without a header")?;
    let rows: Vec<Option<Vec<f64>>> = items
        .iter()
        .map(|item| numbers(item, Expected::Finite))
        .collect();
    rows.into_iter().collect()
}

fn matrix_file(entry: &Entry<'_>, directory: &Path) -> Option<Vec<Vec<f64>>> {
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

/// The model of a campaign file that was written by `to_toml`.
fn recorded<'a>(root: &Section<'a>, section: &Section<'a>) -> Option<Chosen<'a>> {
    let (origin, entry) = origin_entry(section, "a model's name")?;
    let version = section
        .require("version", "the model's version")
        .and_then(|entry| entry.whole(1..=u32::MAX.into()));
    let likelihood = root.get("likelihood").and_then(|entry| entry.section());
    let kind = likelihood
        .and_then(|section| section.get("kind"))
        .and_then(|entry| entry.text());
    Some(Chosen::Recorded {
        id: ModelId {
            origin,
            name: entry.text()?.to_owned(),
            version: u32::try_from(version?).ok()?,
        },
        noise: match kind {
            Some("simulator") => ModelNoise::Own,
            Some(_) | None => ModelNoise::Gaussian,
        },
    })
}

fn recorded_options(section: &Section<'_>) -> Option<Options> {
    let mut options = Options::default();
    for (name, entry) in section.entries() {
        if Origin::ALL.iter().any(|origin| origin.key() == name) || COMMON_KEYS.contains(&name) {
            continue;
        }
        let value = if entry.is_text() {
            OptionValue::Text(entry.text()?.to_owned())
        } else if entry.is_whole() {
            OptionValue::Whole(entry.whole(0..=i64::MAX as u64)?)
        } else if entry.is_number() {
            OptionValue::Number(entry.number()?)
        } else {
            let items = entry.items("text, a number or a list")?;
            match items.first() {
                Some(first) if first.is_array() => OptionValue::Rows(
                    items
                        .iter()
                        .map(|item| numbers(item, Expected::Finite))
                        .collect::<Option<_>>()?,
                ),
                Some(_) | None => OptionValue::Numbers(numbers(&entry, Expected::Finite)?),
            }
        };
        options.0.insert(name.to_owned(), value);
    }
    Some(options)
}
