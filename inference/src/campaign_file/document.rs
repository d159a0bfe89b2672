//! A TOML document as it is read: each value knows its key and line, and mistakes are collected.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
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
        let ends = text
            .bytes()
            .enumerate()
            .filter(|&(_, byte)| byte == b'\n')
            .map(|(i, _)| i)
            .collect();
        Self {
            file: Some(Lines {
                path: path.display().to_string(),
                ends,
            }),
            found: RefCell::default(),
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
    offset: Option<usize>,
    table: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    pub fn root(mistakes: &'a Mistakes, table: &'a DeTable<'a>) -> Self {
        Self {
            mistakes,
            key: String::new(),
            offset: None,
            table: Some(table),
        }
    }

    /// Refuses keys other than `known`.
    pub fn check_keys(&self, known: &[&str]) {
        for (name, _) in self.table.into_iter().flatten() {
            let name_text: &str = name.get_ref();
            if !known.contains(&name_text) {
                let key = self.key_of(name_text);
                let message = format!("{key}: unknown key{}", suggestion(name_text, known));
                self.mistakes.add(Some(name.span().start), message);
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<Entry<'a>> {
        let value = self.table?.get(name)?;
        Some(Entry {
            mistakes: self.mistakes,
            key: self.key_of(name),
            value,
        })
    }

    /// All that stands in the table.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Entry<'a>)> {
        let table = self.table.into_iter().flatten();
        table.map(|(name, value)| {
            let name: &'a str = name.get_ref();
            let key = self.key_of(name);
            let mistakes = self.mistakes;
            (
                name,
                Entry {
                    mistakes,
                    key,
                    value,
                },
            )
        })
    }

    /// A mistake where it is missing.
    pub fn require(&self, name: &str, expected: &str) -> Option<Entry<'a>> {
        let entry = self.get(name);
        if entry.is_none() {
            self.mistake_of(name, format!("missing, expected {expected}"));
        }
        entry
    }

    /// The table `name`; an empty one where it is missing (or is no table, which is a mistake).
    pub fn section(&self, name: &str, known: &[&str]) -> Section<'a> {
        let section = self.get(name).and_then(|entry| entry.section());
        let section = section.unwrap_or(Self {
            mistakes: self.mistakes,
            key: self.key_of(name),
            offset: None,
            table: None,
        });
        section.check_keys(known);
        section
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

    fn key_of(&self, name: &str) -> String {
        if self.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.key)
        }
    }
}

/// A value of the document.
pub(super) struct Entry<'a> {
    mistakes: &'a Mistakes,
    key: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'a> {
    pub fn mistake(&self, message: impl Display) {
        self.mistakes.add(
            Some(self.value.span().start),
            format!("{}: {message}", self.key),
        );
    }

    /// Mistakes in a file that the entry names.
    pub fn add_foreign(&self, messages: Vec<String>) {
        self.mistakes.add_foreign(messages);
    }

    /// Always None, with a mistake.
    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        self.mistake(format!(
            "found {}, expected {expected}",
            describe(self.value.get_ref())
        ));
        None
    }

    pub fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub fn is_number(&self) -> bool {
        self.value.get_ref().is_float() || self.value.get_ref().is_integer()
    }

    pub fn is_whole(&self) -> bool {
        self.value.get_ref().is_integer()
    }

    pub fn is_array(&self) -> bool {
        self.value.get_ref().is_array()
    }

    pub fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub fn text(&self) -> Option<&'a str> {
        let text = self.value.get_ref().as_str();
        if text.is_none() {
            return self.wrong_type("text in quotes");
        }
        text
    }

    pub fn boolean(&self) -> Option<bool> {
        let boolean = self.value.get_ref().as_bool();
        if boolean.is_none() {
            return self.wrong_type("true or false");
        }
        boolean
    }

    /// A finite number.
    pub fn number(&self) -> Option<f64> {
        let value = self.value.get_ref();
        let number = match (value.as_float(), value.as_integer()) {
            (Some(float), _) => float.as_str().parse::<f64>().ok(),
            (None, Some(integer)) => i128::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|integer| integer as f64),
            (None, None) => return self.wrong_type("a number"),
        };
        match number {
            Some(number) if number.is_finite() => Some(number),
            Some(_) | None => self.wrong_type("a finite number"),
        }
    }

    pub fn positive(&self) -> Option<f64> {
        let number = self.number()?;
        if number <= 0.0 {
            return self.wrong_type("a positive number");
        }
        Some(number)
    }

    /// A number in `range`, ends included.
    pub fn number_in(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = self.number()?;
        if !range.contains(&number) {
            return self.wrong_type(&format!(
                "a number from {} to {}",
                range.start(),
                range.end()
            ));
        }
        Some(number)
    }

    pub fn whole(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = self
            .value
            .get_ref()
            .as_integer()
            .and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            Some(_) | None => self.wrong_type(&format!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            )),
        }
    }

    /// One of the names in `choices`.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let choice = choices.iter().find(|(name, _)| *name == text);
        let Some((_, choice)) = choice else {
            let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
            self.mistake(format!("found {text:?}{}", suggestion(text, &names)));
            return None;
        };
        Some(*choice)
    }

    pub fn items(&self, expected: &str) -> Option<Vec<Entry<'a>>> {
        let Some(array) = self.value.get_ref().as_array() else {
            return self.wrong_type(expected);
        };
        let entry = |(i, value)| Entry {
            mistakes: self.mistakes,
            key: format!("{}[{i}]", self.key),
            value,
        };
        Some(array.iter().enumerate().map(entry).collect())
    }

    /// A list of finite numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        // Every item is looked at, so that each mistake is found.
        let numbers: Vec<Option<f64>> = self
            .items("a list of numbers")?
            .iter()
            .map(Entry::number)
            .collect();
        numbers.into_iter().collect()
    }

    pub fn section(&self) -> Option<Section<'a>> {
        let Some(table) = self.value.get_ref().as_table() else {
            return self.wrong_type("a table");
        };
        let offset = Some(self.value.span().start);
        Some(Section {
            mistakes: self.mistakes,
            key: self.key.clone(),
            offset,
            table: Some(table),
        })
    }

    /// A table with exactly one key, one of `known`: that key and its value.
    pub fn variant(
        &self,
        known: &[&'static str],
        expected: &str,
    ) -> Option<(&'static str, Entry<'a>)> {
        let Some(table) = self.value.get_ref().as_table() else {
            return self.wrong_type(expected);
        };
        let section = self.section()?;
        section.check_keys(known);
        let present: Vec<&'static str> = known
            .iter()
            .copied()
            .filter(|name| table.contains_key(*name))
            .collect();
        match present[..] {
            [name] => section.get(name).map(|entry| (name, entry)),
            [] => {
                if table.is_empty() {
                    self.mistake(format!("found an empty table, expected {expected}"));
                }
                None
            }
            [..] => {
                self.mistake(format!(
                    "found {}, expected one of them",
                    present.join(" and ")
                ));
                None
            }
        }
    }
}

/// What to write instead of `found`: the nearest of `known`, or all of them.
pub(super) fn suggestion(found: &str, known: &[&str]) -> String {
    let nearness = |name: &str| {
        strsim::normalized_damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase())
    };
    let nearest = known
        .iter()
        .copied()
        .max_by(|a, b| nearness(a).total_cmp(&nearness(b)));
    match nearest {
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
