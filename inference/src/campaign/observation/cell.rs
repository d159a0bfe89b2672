//! Columns of tables and the numbers in them.

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As the file has it.
    pub name: String,
    /// As the file says it; nothing is converted.
    pub unit: Option<String>,
}

impl Column {
    /// `flux`, or `flux [mJy]`.
    pub(super) fn of_header(text: &str) -> Self {
        let text = text.trim();
        let parts = text
            .strip_suffix(']')
            .and_then(|rest| rest.rsplit_once('['));
        match parts {
            Some((name, unit)) if !name.trim().is_empty() => Self {
                name: name.trim().to_owned(),
                unit: Some(unit.trim().to_owned()).filter(|unit| !unit.is_empty()),
            },
            Some(_) | None => Self {
                name: text.to_owned(),
                unit: None,
            },
        }
    }
}

/// What stands in a table, as it was found.
pub(super) enum Cell {
    Number(f64),
    /// Of a column that was asked for as text.
    Text(String),
    /// In words, what stands in its place.
    Missing(String),
    /// What is wrong.
    Bad(String),
}

/// What a number in a table has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Finite,
    Positive,
}

/// Networks compute in single precision: numbers must have a place there.
pub(crate) fn check_number(number: f64, expected: Expected) -> Result<f64, String> {
    let shown = || {
        if number != 0.0 && !(1e-4..1e15).contains(&number.abs()) && number.is_finite() {
            format!("{number:e}")
        } else {
            number.to_string()
        }
    };
    if !number.is_finite() || !(number as f32).is_finite() {
        return Err(format!(
            "found {}, expected a finite number (of single precision)",
            shown()
        ));
    }
    if expected == Expected::Positive && (number as f32) <= 0.0 {
        return Err(format!(
            "found {}, expected a positive number (of single precision)",
            shown()
        ));
    }
    Ok(number)
}
