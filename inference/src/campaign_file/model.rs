//! `[simulator]`: which model it is, and its options.

use super::choices::Choice;
use super::document::{Entry, Section, suggestion};
use super::key::{Interval, Key, KeyDefault, Takes};
use super::keys::file::{LIKELIHOOD, SIMULATOR};
use super::keys::likelihood::KIND;
use super::keys::simulator::{BUILTIN, GUEST, KEYS, VERSION};
use super::parameters::{Named, check_names};
use super::rows::{numbers, rows_of_numbers};
use crate::campaign::model::{
    Complaint, Declaration, Declarations, ModelId, ModelNoise, ModelOption, OptionDefault,
    OptionKind, OptionValue, Options, Origin, Shape,
};
use crate::campaign::{Errors, Expected};
use std::path::Path;

/// Keys of models that stand in for models outside the program.
const EXTERNAL: [&str; 2] = ["python", "command"];

/// The keys whose value is the model's name.
pub(super) const ORIGINS: [(Key, Origin); 2] = [(BUILTIN, Origin::Builtin), (GUEST, Origin::Guest)];

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
            .require(&SIMULATOR, "[simulator] with builtin = \"...\"")
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

    pub fn noise(&self) -> ModelNoise {
        match &self.chosen {
            None => ModelNoise::Gaussian,
            Some(Chosen::Declared(_, declaration)) => declaration.noise(),
            Some(Chosen::Recorded { noise, .. }) => *noise,
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
    let names_of = |origin| {
        let names: Vec<&str> = models.of(origin).iter().map(|model| model.name()).collect();
        names
    };
    let builtin_names = names_of(Origin::Builtin);
    let mut is_external = false;
    for (name, entry) in section.entries() {
        if EXTERNAL.contains(&name) {
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
        refuse_other_keys(section, declaration);
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
    let given: Vec<(Origin, Entry<'a>)> = ORIGINS
        .iter()
        .filter_map(|(key, origin)| Some((*origin, section.get(key)?)))
        .collect();
    let n_given = given.len();
    let mut given = given.into_iter();
    match (given.next(), n_given) {
        (Some(only), 1) => Some(only),
        (Some((_, entry)), _) => {
            entry.mistake("found builtin and guest, expected one of them");
            None
        }
        (None, _) => section
            .require(&BUILTIN, &format!("one of {builtins}"))
            .and(None),
    }
}

fn refuse_other_keys(section: &Section<'_>, declaration: &dyn Declaration) {
    let options: Vec<&str> = declaration
        .options()
        .iter()
        .map(|option| option.name)
        .collect();
    for (name, entry) in section.entries() {
        if !is_common(name) && !options.contains(&name) {
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

/// Whether it is a key of all models.
fn is_common(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name)
}

/// A file that names a version wants that one.
fn check_version(section: &Section<'_>, declaration: &dyn Declaration) -> Option<()> {
    let Some(entry) = section.get(&VERSION) else {
        return Some(());
    };
    let (found, expected): (u32, u32) = (entry.whole()?, declaration.version());
    if found != expected {
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
        let key = key_of(&option);
        let entry = match key.default {
            KeyDefault::Required => section.require(&key, key.about),
            KeyDefault::Value(_) | KeyDefault::Words(_) | KeyDefault::Nothing => {
                match section.get(&key) {
                    Some(entry) => Some(entry),
                    None => continue,
                }
            }
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
                let about = option.about;
                entry.mistake(format!("found {} numbers, expected {about}", found.len()));
                return None;
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
    let version = section
        .require(&VERSION, "the model's version")
        .and_then(|entry| entry.whole());
    let likelihood = root.get(&LIKELIHOOD).and_then(|entry| entry.section());
    let kind = likelihood
        .and_then(|section| section.get(&KIND))
        .and_then(|entry| entry.text());
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
        let value = if entry.is_text() {
            OptionValue::Text(entry.text()?.to_owned())
        } else if entry.is_whole() {
            OptionValue::Whole(entry.whole()?)
        } else if entry.is_number() {
            OptionValue::Number(entry.number()?)
        } else {
            let items = entry.items(&entry.expected())?;
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
