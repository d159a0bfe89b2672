//! What is wrong with a message, and the checks that say so.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message that does not say what it must.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WireError {
    /// A field is left out.
    #[error("{message} has no {field}")]
    Missing {
        /// What kind of message.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
    /// Columns are not of the same length.
    #[error("{message} has {found} values of {field}, expected {expected}")]
    Length {
        /// What kind of message.
        message: &'static str,
        /// The column.
        field: &'static str,
        /// Its length.
        found: usize,
        /// As other columns say.
        expected: usize,
    },
    /// A value is none that the field can have.
    #[error("{message} has {field} {found}, expected {expected}")]
    Value {
        /// What kind of message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// The value.
        found: String,
        /// In words.
        expected: &'static str,
    },
}

pub(super) fn required<T>(
    value: Option<T>,
    message: &'static str,
    field: &'static str,
) -> Result<T, WireError> {
    value.ok_or(WireError::Missing { message, field })
}

pub(super) fn finite_and_not_negative(
    value: f64,
    message: &'static str,
    field: &'static str,
) -> Result<f64, WireError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(WireError::Value {
        message,
        field,
        found: value.to_string(),
        expected: "a finite number that is not negative",
    })
}

/// Refuses paths that lead out of the campaign directory.
pub(super) fn path_inside(
    path: String,
    message: &'static str,
    field: &'static str,
) -> Result<String, WireError> {
    let is_inside = path
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains(['\\', '\0', ':']);
    if is_inside {
        return Ok(path);
    }
    Err(WireError::Value {
        message,
        field,
        found: format!("{path:?}"),
        expected: "a path inside the campaign directory, with `/` between parts",
    })
}

pub(super) fn sha256(
    digits: String,
    message: &'static str,
    field: &'static str,
) -> Result<String, WireError> {
    let is_hash = digits.len() == 64
        && digits
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash {
        return Ok(digits);
    }
    Err(WireError::Value {
        message,
        field,
        found: format!("{digits:?}"),
        expected: "64 lower-case hexadecimal digits",
    })
}

/// A field that holds a value as JSON.
pub(super) struct JsonField {
    pub message: &'static str,
    pub field: &'static str,
    /// What the value is.
    pub expected: &'static str,
}

impl JsonField {
    pub(super) fn write(&self, value: &impl Serialize) -> Result<String, WireError> {
        serde_json::to_string(value).map_err(|error| self.wrong(&error))
    }

    pub(super) fn read<T: DeserializeOwned>(&self, json: &[u8]) -> Result<T, WireError> {
        serde_json::from_slice(json).map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, error: &serde_json::Error) -> WireError {
        WireError::Value {
            message: self.message,
            field: self.field,
            found: error.to_string(),
            expected: self.expected,
        }
    }
}
