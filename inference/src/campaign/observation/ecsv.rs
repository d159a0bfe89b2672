//! The header of an ECSV file: YAML in comments, of which delimiter and units are read.

use super::lines::{Delimiter, Lines};
use std::collections::BTreeMap;

pub(super) fn is_ecsv(lines: &Lines<'_>) -> bool {
    lines
        .clone()
        .next()
        .is_some_and(|(_, line)| line.starts_with(b"# %ECSV"))
}

/// What is needed of the header.
pub(super) struct Header {
    pub delimiter: Delimiter,
    pub unit_by_name: BTreeMap<String, String>,
}

impl Header {
    /// Reads the comments at the top. What is not understood is left out: units are shown and nothing else.
    pub fn read(lines: Lines<'_>) -> Self {
        let mut header = Self {
            delimiter: Delimiter::Whitespace,
            unit_by_name: BTreeMap::new(),
        };
        let mut is_in_columns = false;
        let mut item = String::new();
        for (_, line) in lines {
            let Some(comment) = line.trim_ascii().strip_prefix(b"#") else {
                break;
            };
            let comment = String::from_utf8_lossy(comment);
            let text = comment.strip_prefix(' ').unwrap_or(&comment);
            if text.starts_with(|c: char| c.is_alphanumeric()) {
                is_in_columns = text.starts_with("datatype:");
                if let Some(delimiter) = text.strip_prefix("delimiter:")
                    && delimiter.contains(',')
                {
                    header.delimiter = Delimiter::Byte(b',');
                }
            } else if is_in_columns {
                // A new column begins with a dash at the margin; anything else goes on with the last one.
                if let Some(first) = text.strip_prefix("- ") {
                    header.add(&item);
                    item = first.trim().to_owned();
                } else {
                    item.push_str(if item.starts_with('{') { " " } else { ", " });
                    item.push_str(text.trim());
                }
            }
        }
        header.add(&item);
        header
    }

    /// Takes up name and unit of one column, `{name: t, unit: d, ...}`.
    fn add(&mut self, item: &str) {
        let inside = item
            .strip_prefix('{')
            .map_or(item, |item| item.strip_suffix('}').unwrap_or(item));
        let (mut name, mut unit) = (None, None);
        for part in parts(inside) {
            match part.split_once(':') {
                Some(("name", value)) => name = Some(plain(value)),
                Some(("unit", value)) => unit = Some(plain(value)),
                Some(_) | None => {}
            }
        }
        if let (Some(name), Some(unit)) = (name, unit) {
            self.unit_by_name.insert(name, unit);
        }
    }
}

/// What stands between commas that are in no quotes and no brackets.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let mut quote = None;
    let parts = text.split(move |c| {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth = depth.saturating_sub(1),
            (None, ',') => return depth == 0,
            (None, _) => {}
        }
        false
    });
    parts.map(str::trim)
}

/// Without the quotes.
fn plain(value: &str) -> String {
    let value = value.trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
        .to_owned()
}
