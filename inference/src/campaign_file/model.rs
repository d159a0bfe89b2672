//! `[simulator]`: which model it is, and its options.

use super::choices::Choice;
use super::document::{Entry, Section, suggestion};
use super::external::{External, external};
use super::key::{Interval, Key, KeyDefault, Takes};
use super::keys::file::{LIKELIHOOD, OBSERVATION, SIMULATOR};
use super::keys::likelihood::KIND;
use super::keys::simulator::{BUILTIN, GRID, GUEST, OF_CATALOGUES, VERSION};
use super::parameters::{Named, check_names};
use super::rows::{numbers, rows_of_numbers};
use crate::campaign::model::{
    Complaint, Declaration, Declarations, ModelId, ModelNoise, ModelOption, ModelParameters,
    OptionDefault, OptionKind, OptionValue, Options, Origin, Shape,
};
use crate::campaign::{Errors, Expected};
use std::path::Path;

/// The keys whose value is the name of a model that a program has.
pub(super) const ORIGINS: [(Key, Origin); 2] = [(BUILTIN, Origin::Builtin), (GUEST, Origin::Guest)];

/// What the file is held against.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    /// The models that it may name.
    Models(&'a dyn Declarations),
    /// What a campaign file that was read before says of its model, with all options, is believed.
    Recorded,
}

const SIMULATOR_EXPECTED: &str = "[simulator] with builtin = \"...\" or python = \"model.py:simulate\", or [likelihood] \
                                  with python = \"model.py:log_likelihood\"";

/// The model as far as it is known before its data are.
pub(super) struct ModelSection<'a> {
    /// None where it is missing.
    pub section: Option<Section<'a>>,
    /// None where there is no such model.
    chosen: Option<Chosen<'a>>,
}

enum Chosen<'a> {
    Declared(Origin, &'a dyn Declaration),
    Recorded { id: ModelId, noise: ModelNoise },
    External(Box<External>),
}

impl<'a> ModelSection<'a> {
    pub fn read(root: &Section<'a>, directory: &Path, known: Known<'a>) -> Self {
        let is_recorded = matches!(known, Known::Recorded);
        if let Some(external) = external(root, directory, is_recorded) {
            let section = root.get(&SIMULATOR).and_then(|entry| entry.section());
            return Self {
                section,
                chosen: Some(Chosen::External(Box::new(external))),
            };
        }
        let section = root
            .require(&SIMULATOR, SIMULATOR_EXPECTED)
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
            Chosen::External(external) => &external.id.name,
        })
    }

    pub fn noise(&self) -> ModelNoise {
        match &self.chosen {
            None => ModelNoise::Gaussian,
            Some(Chosen::Declared(_, declaration)) => declaration.noise(),
            Some(Chosen::Recorded { noise, .. }) => *noise,
            Some(Chosen::External(external)) => external.noise,
        }
    }

    /// None where it is none in a process of its own.
    pub fn external(&self) -> Option<&External> {
        match &self.chosen {
            Some(Chosen::External(external)) => Some(external),
            Some(Chosen::Declared(..) | Chosen::Recorded { .. }) | None => None,
        }
    }

    /// Whether it is a log-likelihood alone, which has its data itself.
    pub fn is_alone(&self, root: &Section<'_>, n_parameters: Option<usize>) -> bool {
        match &self.chosen {
            Some(Chosen::External(external)) => external.is_alone,
            Some(Chosen::Declared(_, declaration)) => {
                declaration.n_data(n_parameters.unwrap_or(1)) == Some(0)
            }
            // One with data has them in the file, or their grid.
            Some(Chosen::Recorded { noise, .. }) => {
                let has_grid = |section: &Section<'_>| section.get(&GRID).is_some();
                *noise == ModelNoise::Own
                    && root.get(&OBSERVATION).is_none()
                    && !self.section.as_ref().is_some_and(has_grid)
            }
            None => false,
        }
    }

    /// Whether it has a parameter of this name, and would not run without.
    pub fn needs(&self, name: &str) -> bool {
        let parameters = self.declaration().map(|model| model.parameters());
        match parameters {
            Some(ModelParameters::Named(names)) => names.contains(&name),
            Some(ModelParameters::Count(_) | ModelParameters::Any) | None => false,
        }
    }

    /// None where it is not known.
    fn declaration(&self) -> Option<&'a dyn Declaration> {
        match &self.chosen {
            Some(Chosen::Declared(_, declaration)) => Some(*declaration),
            Some(Chosen::Recorded { .. } | Chosen::External(_)) | None => None,
        }
    }

    /// Where the errors of an observation are that has noise of the model's own.
    pub fn errors(&self) -> Errors {
        // A recorded observation has its grid.
        let declaration = self.declaration();
        declaration.map_or(Errors::None, |declaration| declaration.errors(None))
    }

    /// The grid of a model whose data have no abscissae, where nothing gives one.
    pub fn default_grid(&self, n_parameters: Option<usize>) -> Option<Vec<f64>> {
        self.declaration()?.counted_grid(n_parameters?)
    }

    /// Why no parameters give this observation.
    pub fn impossible_datum(&self, options: &Options, value: &[f64]) -> Option<String> {
        self.declaration()?.impossible_datum(options, value)
    }

    /// None where an option, the parameters or the data's length are not what the model needs, which are mistakes.
    pub fn model(
        &self,
        directory: &Path,
        grid: Option<&[f64]>,
        names: Option<&[Named<'_>]>,
    ) -> Option<(ModelId, Options)> {
        let chosen = self.chosen.as_ref()?;
        if let Chosen::External(external) = chosen {
            external.model.as_ref()?;
            return Some((external.id.clone(), Options::default()));
        }
        let section = self.section.as_ref()?;
        let (origin, declaration) = match chosen {
            Chosen::Declared(origin, declaration) => (*origin, *declaration),
            Chosen::Recorded { id, .. } => return Some((id.clone(), recorded_options(section)?)),
            Chosen::External(_) => return None,
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
                    let given = section.entries().find(|(name, _)| Some(*name) == option);
                    match (option, given) {
                        (Some(_), Some((_, entry))) => entry.mistake(message),
                        (Some(option), None) => section.mistake_of(option, message),
                        (None, _) => section.mistake(message),
                    }
                }
                None
            }
        }
    }
}

/// The model that the file names.
fn declared<'a>(section: &Section<'a>, models: &'a dyn Declarations) -> Option<Chosen<'a>> {
    let names_of = |origin| -> Vec<&str> {
        let models = models.of(origin).into_iter();
        models.map(|model| model.name()).collect()
    };
    let builtins = names_of(Origin::Builtin).join(", ");
    let (origin, entry) = origin_entry(section, &builtins)?;
    let name = entry.text()?;
    if let Some(declaration) = models.find(origin, name) {
        refuse_other_keys(section, declaration);
        return Some(Chosen::Declared(origin, declaration));
    }
    let known = names_of(origin);
    entry.refuse(match (origin, known.is_empty()) {
        (Origin::Guest, true) => format!(
            "found {name:?}, but this program has no guests: only the program that brings the model can run it"
        ),
        (Origin::Builtin | Origin::Python | Origin::Command, _) | (Origin::Guest, false) => {
            format!("found {name:?}{}", suggestion(name, &known))
        }
    })
}

/// The one of `builtin` and `guest` that is given.
fn origin_entry<'a>(section: &Section<'a>, builtins: &str) -> Option<(Origin, Entry<'a>)> {
    match (section.get(&BUILTIN), section.get(&GUEST)) {
        (Some(entry), None) => Some((Origin::Builtin, entry)),
        (None, Some(entry)) => Some((Origin::Guest, entry)),
        (Some(entry), Some(_)) => entry.refuse("found builtin and guest, expected one of them"),
        (None, None) => section
            .require(
                &BUILTIN,
                &format!("one of {builtins}, or python = \"model.py:simulate\""),
            )
            .and(None),
    }
}

fn refuse_other_keys(section: &Section<'_>, declaration: &dyn Declaration) {
    let (model, options) = (declaration.name(), declaration.options());
    let options: Vec<&str> = options.iter().map(|option| option.name).collect();
    for (name, entry) in section.entries() {
        if !is_common(name) && !options.contains(&name) {
            entry.mistake(match options[..] {
                [] => format!("{model} has no options but grid"),
                [..] => format!(
                    "{model} has no such option, its options are grid, {}",
                    options.join(", ")
                ),
            });
        }
    }
}

/// Whether it is a key of all models.
fn is_common(name: &str) -> bool {
    OF_CATALOGUES.iter().any(|key| key.name == name)
}

/// A file that names a version wants that one.
fn check_version(section: &Section<'_>, declaration: &dyn Declaration) -> Option<()> {
    let check = |entry: &Entry<'_>| {
        let (found, expected): (u32, u32) = (entry.whole()?, declaration.version());
        match found == expected {
            true => Some(()),
            false => entry.refuse(format!(
                "found version {found} of {}, this program has version {expected}",
                declaration.name()
            )),
        }
    };
    section.optional(&VERSION, check).map(|_| ())
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
        let key = key_of(&option);
        let read = |entry: &Entry<'_>| value(entry, &option, directory);
        let value = match option.default {
            OptionDefault::Required => section
                .require(&key, key.about)
                .and_then(|entry| read(&entry).map(Some)),
            OptionDefault::Value(_) | OptionDefault::Settled => section.optional(&key, read),
        };
        match value {
            Some(value) => {
                let name = option.name.to_owned();
                options.0.extend(value.map(|value| (name, value)));
            }
            None => all_right = false,
        }
    }
    all_right.then_some(options)
}

/// An option of a model as a key of `[simulator]`.
pub(super) fn key_of(option: &ModelOption) -> Key {
    const ROWS: Takes = Takes::Any(
        &[Takes::Rows(Interval::All), Takes::Text],
        "a list of rows, or a CSV file without a header",
    );
    Key {
        name: option.name,
        takes: match &option.kind {
            OptionKind::Number => Takes::Number(Interval::All),
            OptionKind::Positive => Takes::Number(Interval::Positive),
            OptionKind::Whole(range) => Takes::Whole(*range.start(), *range.end()),
            OptionKind::Text => Takes::Text,
            OptionKind::Positives(_) => Takes::Numbers(Interval::Positive),
            OptionKind::Rows => ROWS,
        },
        default: match option.default {
            OptionDefault::Required => KeyDefault::Required,
            OptionDefault::Value(_) => KeyDefault::Nothing,
            OptionDefault::Settled => KeyDefault::Words("from the data and the parameters"),
        },
        may_change: false,
        about: option.about,
    }
}

fn value(entry: &Entry<'_>, option: &ModelOption, directory: &Path) -> Option<OptionValue> {
    Some(match &option.kind {
        OptionKind::Number | OptionKind::Positive => OptionValue::Number(entry.number()?),
        OptionKind::Whole(_) => OptionValue::Whole(entry.whole()?),
        OptionKind::Text => OptionValue::Text(entry.text()?.to_owned()),
        OptionKind::Positives(n) => {
            let found = numbers(entry, Expected::Positive)?;
            if found.len() != *n {
                let (found, about) = (found.len(), option.about);
                return entry.refuse(format!("found {found} numbers, expected {about}"));
            }
            OptionValue::Numbers(found)
        }
        OptionKind::Rows => {
            OptionValue::Rows(rows_of_numbers(entry, directory, Expected::Finite, None)?)
        }
    })
}

/// The model of a campaign file that was written by `to_toml`.
fn recorded<'a>(root: &Section<'a>, section: &Section<'a>) -> Option<Chosen<'a>> {
    let (origin, entry) = origin_entry(section, "a model's name")?;
    let version = section.require(&VERSION, "the model's version");
    let version = version.and_then(|entry| entry.whole());
    let likelihood = root.get(&LIKELIHOOD).and_then(|entry| entry.section());
    let kind = likelihood.and_then(|section| section.get(&KIND)?.text());
    Some(Chosen::Recorded {
        id: ModelId {
            origin,
            name: entry.text()?.to_owned(),
            version: version?,
        },
        noise: match kind == Some(ModelNoise::Own.name()) {
            true => ModelNoise::Own,
            false => ModelNoise::Gaussian,
        },
    })
}

fn recorded_options(section: &Section<'_>) -> Option<Options> {
    let mut options = Options::default();
    for (name, entry) in section.entries() {
        if is_common(name) {
            continue;
        }
        let numbers = |entry: &Entry<'_>| numbers(entry, Expected::Finite);
        let value = if entry.is_text() {
            OptionValue::Text(entry.text()?.to_owned())
        } else if entry.value().is_integer() {
            OptionValue::Whole(entry.whole()?)
        } else if entry.is_number() {
            OptionValue::Number(entry.number()?)
        } else {
            let items = entry.items(&entry.expected())?;
            match items.first() {
                Some(first) if first.value().is_array() => {
                    OptionValue::Rows(entry.each(&entry.expected(), numbers)?)
                }
                Some(_) | None => OptionValue::Numbers(numbers(&entry)?),
            }
        };
        options.0.insert(name.to_owned(), value);
    }
    Some(options)
}
