//! What the declaration of a key says: its name, what it takes, what holds without it, and whether it may change.

/// One key of the campaign file. What reads, writes, compares or describes the key goes by this.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Within its table.
    pub name: &'static str,
    /// What it may be.
    pub takes: Takes,
    /// What holds where it is not given.
    pub default: KeyDefault,
    /// Whether it may change while a campaign goes on.
    pub may_change: bool,
    /// What it is, in one line.
    pub about: &'static str,
}

impl Key {
    pub(super) const fn may_change(mut self) -> Self {
        self.may_change = true;
        self
    }
}

/// What holds where a key is not given.
#[derive(Debug, Clone, Copy)]
pub enum KeyDefault {
    /// It must be given.
    Required,
    /// As it would stand in the file.
    Value(&'static str),
    /// It follows from other things, or it does at times: in words.
    Words(&'static str),
    /// It asks for something that is else left out, or it is a table whose keys have defaults of their own.
    Nothing,
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// Any text.
    Text,
    /// A list of texts.
    Texts,
    /// A table of texts, under any keys.
    TextByKey,
    /// This text.
    Word(&'static str),
    /// true or false
    Boolean,
    /// A finite number.
    Number(Interval),
    /// From the first to the second, both included.
    Whole(u64, u64),
    /// One of these names.
    Choice(fn() -> Vec<&'static str>),
    /// A list of numbers.
    Numbers(Interval),
    /// A list of lists of numbers.
    Rows(Interval),
    /// A table of these keys.
    Table(&'static [Key]),
    /// A table with exactly one of these keys; what is expected, in words.
    OneOf(&'static [Key], &'static str),
    /// A list of tables of these keys, at least one.
    Tables(&'static [Key]),
    /// One of these; what is expected, in words.
    Any(&'static [Takes], &'static str),
}

/// Which numbers.
#[derive(Debug, Clone, Copy)]
pub enum Interval {
    /// Every finite one.
    All,
    /// Above 0.
    Positive,
    /// From the first to the second, both included.
    Between(f64, f64),
    /// Above 0 and at most this.
    PositiveUpTo(f64),
}

impl Takes {
    /// The keys of a table.
    pub fn keys(&self) -> &'static [Key] {
        if let Self::Table(keys) | Self::OneOf(keys, _) | Self::Tables(keys) = self {
            keys
        } else if let Self::Any(takes, _) = self {
            let keys = takes.iter().map(Self::keys);
            keys.max_by_key(|keys| keys.len()).unwrap_or_default()
        } else {
            &[]
        }
    }

    /// The first of the alternatives that is `wanted`, else all of them.
    pub(super) fn alternative(self, wanted: fn(&Self) -> bool) -> Self {
        if let Self::Any(takes, _) = self {
            takes.iter().copied().find(wanted).unwrap_or(self)
        } else {
            self
        }
    }

    /// What is expected, for messages.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Text => "text in quotes".to_owned(),
            Self::Texts => "a list of texts in quotes".to_owned(),
            Self::TextByKey => "a table of texts in quotes".to_owned(),
            Self::Word(word) => format!("{word:?}"),
            Self::Boolean => "true or false".to_owned(),
            Self::Number(interval) => interval.words(),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Choice(names) => format!("one of {}", names().join(", ")),
            Self::Numbers(_) => "a list of numbers".to_owned(),
            Self::Rows(_) => "a list of rows".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Tables(_) => "at least one table".to_owned(),
            Self::OneOf(_, words) | Self::Any(_, words) => (*words).to_owned(),
        }
    }
}

impl Interval {
    pub(super) fn contains(self, number: f64) -> bool {
        match self {
            Self::All => true,
            Self::Positive => number > 0.0,
            Self::Between(low, high) => (low..=high).contains(&number),
            Self::PositiveUpTo(high) => number > 0.0 && number <= high,
        }
    }

    fn words(self) -> String {
        match self {
            Self::All => "a number".to_owned(),
            Self::Positive => "a positive number".to_owned(),
            Self::Between(low, high) => format!("a number from {low} to {high}"),
            Self::PositiveUpTo(high) => format!("a number above 0 and at most {high}"),
        }
    }
}
