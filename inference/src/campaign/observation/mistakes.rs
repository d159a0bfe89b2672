//! What is wrong with one file of data, told with the places; after the first few it is only counted.

use std::fmt::Display;
use std::path::Path;

/// Where in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Counted from 1.
    Line(u64),
    /// Of a table that has no lines, counted from 1.
    Row(u64),
    File,
}

/// The mistakes found so far.
pub(crate) struct FileMistakes {
    path: String,
    messages: Vec<String>,
    n_more: usize,
}

impl FileMistakes {
    const MAX_SHOWN: usize = 10;

    pub fn new(path: &Path) -> Self {
        Self {
            path: path.display().to_string(),
            messages: Vec::new(),
            n_more: 0,
        }
    }

    pub fn add(&mut self, place: Place, message: impl Display) {
        if self.messages.len() == Self::MAX_SHOWN {
            self.n_more += 1;
            return;
        }
        let path = &self.path;
        self.messages.push(match place {
            Place::Line(line) => format!("{path}:{line}: {message}"),
            Place::Row(row) => format!("{path}: row {row}: {message}"),
            Place::File => format!("{path}: {message}"),
        });
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub fn into_messages(mut self) -> Vec<String> {
        if self.n_more > 0 {
            self.messages
                .push(format!("{}: and {} more mistakes", self.path, self.n_more));
        }
        self.messages
    }
}
