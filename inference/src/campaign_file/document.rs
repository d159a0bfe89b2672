//! A TOML document as it is read: each value knows its key and line, and mistakes are collected.

use super::choices::{Choice, names};
use super::key::{Interval, Key, KeyDefault, Takes};
use super::keys::simulator::OPTION;
use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The mistakes found so far.
pub(super) struct Mistakes {
    /// None where the values were not read from a campaign file.
    file: Option<Lines>,
    /// With the line, where it is known.
    found: RefCell<Vec<(Option<usize>, String)>>,
}

/// Where the lines of a file are.
struct Lines {
    path: String,
    /// Byte offsets of the line ends.
    ends: Vec<usize>,
}

impl Mistakes {
    pub fn of_file(path: &Path, text: &str) -> Self {
        let ends = text.match_indices('\n').map(|(i, _)| i).collect();
        let path = path.display().to_string();
        Self {
            file: Some(Lines { path, ends }),
            ..Self::of_values()
        }
    }

    /// Messages name keys only, no file and line.
    pub fn of_values() -> Self {
        Self {
            file: None,
            found: RefCell::default(),
        }
    }

    /// A mistake at byte `offset` of the campaign file.
    pub fn add(&self, offset: Option<usize>, message: impl Display) {
        let found = match &self.file {
            Some(Lines { path, ends }) => {
                let line = offset.map(|offset| 1 + ends.partition_point(|&end| end < offset));
                let place = line.map_or(String::new(), |line| format!(":{line}"));
                (line, format!("{path}{place}: {message}"))
            }
            None => (None, message.to_string()),
        };
        self.found.borrow_mut().push(found);
    }

    /// Mistakes of another file, which their messages name.
    pub fn add_foreign(&self, messages: Vec<String>) {
        self.found
            .borrow_mut()
            .extend(messages.into_iter().map(|message| (None, message)));
    }

    /// In order of lines; those without a line last.
    pub fn into_messages(self) -> Vec<String> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|&(line, _)| line.unwrap_or(usize::MAX));
        found.into_iter().map(|(_, message)| message).collect()
    }
}

/// A table of the document, or one that is not there and has nothing in it.
pub(super) struct Section<'a> {
    mistakes: &'a Mistakes,
    /// Empty for the document itself.
    key: String,
    /// All that may stand in it.
    keys: &'static [Key],
    offset: Option<usize>,
    table: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    pub fn root(mistakes: &'a Mistakes, table: &'a DeTable<'a>, keys: &'static [Key]) -> Self {
        Self {
            mistakes,
            key: String::new(),
            keys,
            offset: None,
            table: Some(table),
        }
    }

    /// Refuses keys that are not declared.
    pub fn check_keys(&self) {
        let known: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
        for (name, _) in self.table.into_iter().flatten() {
            let (name, offset): (&str, _) = (name.get_ref(), name.span().start);
            if !known.contains(&name) {
                let key = self.key_of(name);
                let message = format!("{key}: unknown key{}", suggestion(name, &known));
                self.mistakes.add(Some(offset), message);
            }
        }
    }

    /// None where it is not given.
    pub fn get(&self, key: &Key) -> Option<Entry<'a>> {
        let value = self.table?.get(key.name)?;
        Some(self.entry(key.name, key.takes, value))
    }

    /// All that stands in the table, whatever it is.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Entry<'a>)> {
        let table = self.table.into_iter().flatten();
        table.map(|(name, value)| {
            let name: &'a str = name.get_ref();
            (name, self.entry(name, OPTION, value))
        })
    }

    fn entry(&self, name: &str, takes: Takes, value: &'a Spanned<DeValue<'a>>) -> Entry<'a> {
        Entry {
            mistakes: self.mistakes,
            key: self.key_of(name),
            takes,
            value,
        }
    }

    /// A mistake where it is missing.
    pub fn require(&self, key: &Key, expected: &str) -> Option<Entry<'a>> {
        let entry = self.get(key);
        if entry.is_none() {
            self.mistake_of(key.name, format!("missing, expected {expected}"));
        }
        entry
    }

    /// The table `key`; an empty one where it is missing (or is no table, which is a mistake).
    pub fn section(&self, key: &Key) -> Section<'a> {
        let section = self.get(key).and_then(|entry| entry.section());
        let section = section.unwrap_or(Self {
            mistakes: self.mistakes,
            key: self.key_of(key.name),
            keys: key.takes.keys(),
            offset: None,
            table: None,
        });
        section.check_keys();
        section
    }

    /// What is given, else the default; a mistake where there is neither.
    pub fn whole<T: TryFrom<u64> + FromStr>(&self, key: &Key) -> Option<T> {
        self.given_or_default(key, Entry::whole, |default| default.parse().ok())
    }

    /// As [`whole`](Self::whole).
    pub fn number(&self, key: &Key) -> Option<f64> {
        self.given_or_default(key, Entry::number, |default| default.parse().ok())
    }

    /// As [`whole`](Self::whole).
    pub fn boolean(&self, key: &Key) -> Option<bool> {
        self.given_or_default(key, Entry::boolean, |default| default.parse().ok())
    }

    /// As [`whole`](Self::whole).
    pub fn choice<T: Choice>(&self, key: &Key) -> Option<T> {
        self.given_or_default(key, Entry::choice, |text| find(text.trim_matches('"')))
    }

    /// `Some(None)` where it is not given, None where it is wrong.
    pub fn optional<T>(
        &self,
        key: &Key,
        read: impl FnOnce(&Entry<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.get(key) {
            Some(entry) => read(&entry).map(Some),
            None => Some(None),
        }
    }

    /// What is given, else this.
    pub fn whole_or<T: TryFrom<u64>>(&self, key: &Key, default: T) -> Option<T> {
        let given = self.get(key);
        given.map_or(Some(default), |entry| entry.whole())
    }

    /// As [`whole_or`](Self::whole_or).
    pub fn number_or(&self, key: &Key, default: f64) -> Option<f64> {
        let given = self.get(key);
        given.map_or(Some(default), |entry| entry.number())
    }

    fn given_or_default<T>(
        &self,
        key: &Key,
        read: fn(&Entry<'a>) -> Option<T>,
        parse: fn(&str) -> Option<T>,
    ) -> Option<T> {
        match (self.get(key), key.default) {
            (Some(entry), _) => read(&entry),
            (None, KeyDefault::Value(default)) => parse(default),
            (None, KeyDefault::Required | KeyDefault::Words(_) | KeyDefault::Nothing) => {
                self.require(key, &key.takes.words()).and(None)
            }
        }
    }

    /// A mistake about `name`, which is not there.
    pub fn mistake_of(&self, name: &str, message: impl Display) {
        self.mistakes
            .add(self.offset, format!("{}: {message}", self.key_of(name)));
    }

    /// A mistake about the table as a whole.
    pub fn mistake(&self, message: impl Display) {
        self.mistakes
            .add(self.offset, format!("{}: {message}", self.key));
    }

    /// Always None, with a mistake.
    pub fn refuse<T>(&self, message: impl Display) -> Option<T> {
        self.mistake(message);
        None
    }

    /// An error is a mistake.
    pub fn accept<T>(&self, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|message| self.mistake(message)).ok()
    }

    fn key_of(&self, name: &str) -> String {
        if self.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.key)
        }
    }
}

/// A value of the document.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    mistakes: &'a Mistakes,
    key: String,
    takes: Takes,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'a> {
    pub fn mistake(&self, message: impl Display) {
        let offset = Some(self.value.span().start);
        self.mistakes
            .add(offset, format!("{}: {message}", self.key));
    }

    /// Always None, with a mistake.
    pub fn refuse<T>(&self, message: impl Display) -> Option<T> {
        self.mistake(message);
        None
    }

    /// An error is a mistake.
    pub fn accept<T>(&self, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|message| self.mistake(message)).ok()
    }

    /// Mistakes in a file that the entry names.
    pub fn add_foreign(&self, messages: Vec<String>) {
        self.mistakes.add_foreign(messages);
    }

    /// What is expected of it.
    pub fn expected(&self) -> String {
        self.takes.words()
    }

    /// Always None, with a mistake.
    pub fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let found = describe(self.value());
        self.refuse(format!("found {found}, expected {expected}"))
    }

    pub fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    pub fn is_text(&self) -> bool {
        self.value().is_str()
    }

    pub fn is_number(&self) -> bool {
        self.value().is_float() || self.value().is_integer()
    }

    pub fn text(&self) -> Option<&'a str> {
        let text = self.value().as_str();
        text.or_else(|| self.wrong_type("text in quotes"))
    }

    pub fn boolean(&self) -> Option<bool> {
        let boolean = self.value().as_bool();
        boolean.or_else(|| self.wrong_type("true or false"))
    }

    pub fn number(&self) -> Option<f64> {
        let value = self.value();
        let number = match (value.as_float(), value.as_integer()) {
            (Some(float), _) => float.as_str().parse::<f64>().ok(),
            (None, Some(integer)) => i128::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|integer| integer as f64),
            (None, None) => return self.wrong_type("a number"),
        };
        let Some(number) = number.filter(|number| number.is_finite()) else {
            return self.wrong_type("a finite number");
        };
        let takes = self
            .takes
            .alternative(|takes| matches!(takes, Takes::Number(_)));
        if let Takes::Number(interval) = takes
            && interval.contains(number)
        {
            return Some(number);
        }
        self.wrong_type(&takes.words())
    }

    pub fn whole<T: TryFrom<u64>>(&self) -> Option<T> {
        let takes = self
            .takes
            .alternative(|takes| matches!(takes, Takes::Whole(..)));
        let Takes::Whole(least, most) = takes else {
            return self.wrong_type(&takes.words());
        };
        self.whole_in(least..=most)
    }

    /// A whole number in this range, whatever the declared one.
    pub fn whole_in<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Option<T> {
        let (least, most) = (*range.start(), *range.end());
        self.value()
            .as_integer()
            .and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .or_else(|| self.wrong_type(&Takes::Whole(least, most).words()))
    }

    /// One of the names of a choice.
    pub fn choice<T: Choice>(&self) -> Option<T> {
        let text = self.text()?;
        find(text).or_else(|| {
            let suggestion = suggestion(text, &names::<T>());
            self.refuse(format!("found {text:?}{suggestion}"))
        })
    }

    pub fn items(&self, expected: &str) -> Option<Vec<Entry<'a>>> {
        let Some(array) = self.value().as_array() else {
            return self.wrong_type(expected);
        };
        let mut takes = self
            .takes
            .alternative(|takes| matches!(takes, Takes::Numbers(_) | Takes::Rows(_)));
        if let Takes::Numbers(_) = takes {
            // Whoever reads them knows the precision, too, that they must have.
            takes = Takes::Number(Interval::All);
        } else if let Takes::Rows(interval) = takes {
            takes = Takes::Numbers(interval);
        }
        let entry = |(i, value)| Entry {
            mistakes: self.mistakes,
            key: format!("{}[{i}]", self.key),
            takes,
            value,
        };
        Some(array.iter().enumerate().map(entry).collect())
    }

    /// What `read` makes of each item of a list.
    pub fn each<T>(
        &self,
        expected: &str,
        read: impl Fn(&Entry<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        // Every item is looked at, so that each mistake is found.
        let found: Vec<Option<T>> = self.items(expected)?.iter().map(read).collect();
        found.into_iter().collect()
    }

    /// A list of finite numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        self.each("a list of numbers", Entry::number)
    }

    pub fn section(&self) -> Option<Section<'a>> {
        let Some(table) = self.value().as_table() else {
            return self.wrong_type("a table");
        };
        Some(Section {
            mistakes: self.mistakes,
            key: self.key.clone(),
            keys: self.takes.keys(),
            offset: Some(self.value.span().start),
            table: Some(table),
        })
    }

    /// As [`section`](Self::section), with unknown keys refused.
    pub fn checked_section(&self) -> Option<Section<'a>> {
        let section = self.section()?;
        section.check_keys();
        Some(section)
    }

    /// A table with exactly one of the declared keys: which of the choice it is, and its value.
    pub fn variant<T: Choice>(&self) -> Option<(T, Entry<'a>)> {
        let expected = self.takes.words();
        let Some(table) = self.value().as_table() else {
            return self.wrong_type(&expected);
        };
        let section = self.checked_section()?;
        let keys = section.keys.iter();
        let present: Vec<&Key> = keys.filter(|key| table.contains_key(key.name)).collect();
        match present[..] {
            [key] => find(key.name).zip(section.get(key)),
            [] if table.is_empty() => {
                self.refuse(format!("found an empty table, expected {expected}"))
            }
            [] => None,
            [..] => {
                let present: Vec<&str> = present.iter().map(|key| key.name).collect();
                let present = present.join(" and ");
                self.refuse(format!("found {present}, expected one of them"))
            }
        }
    }
}

fn find<T: Choice>(name: &str) -> Option<T> {
    let mut named = T::NAMED.iter();
    let found = named.find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

/// What to write instead of `found`: the nearest of `known`, or all of them.
pub(super) fn suggestion(found: &str, known: &[&str]) -> String {
    let nearness = |name: &str| {
        strsim::normalized_damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase())
    };
    let known_names = known.iter().copied();
    match known_names.max_by(|a, b| nearness(a).total_cmp(&nearness(b))) {
        Some(nearest) if nearness(nearest) >= 0.5 => format!(", did you mean {nearest}?"),
        Some(_) => format!(", expected one of {}", known.join(", ")),
        None => String::new(),
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 60 => {
            format!("{:?}...", text.chars().take(60).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        // Large ones have hundreds of digits where a file was written by us.
        DeValue::Float(number) if number.as_str().len() > 25 => number
            .as_str()
            .parse::<f64>()
            .map_or_else(|_| number.to_string(), |number| format!("{number:?}")),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => format!("the date {value}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
