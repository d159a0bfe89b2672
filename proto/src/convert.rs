//! The one place where wire types become domain types and back. A missing field or an inconsistent
//! length is an error here; nothing that a peer sends gets further half-checked.

mod draws;
mod session;
mod task;

pub use session::{
    progress_from_wire, progress_to_wire, registration_from_wire, status_from_wire, status_to_wire,
    trainer_message, trainer_message_from_wire, worker_message, worker_message_from_wire,
};

/// A message that does not say what it must.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WireError {
    #[error("{message} has no {field}")]
    Missing {
        message: &'static str,
        field: &'static str,
    },
    #[error("{message} has {found} values of {field}, expected {expected}")]
    Length {
        message: &'static str,
        field: &'static str,
        found: usize,
        expected: usize,
    },
    #[error("{message} has {field} {found}, expected {expected}")]
    Value {
        message: &'static str,
        field: &'static str,
        found: String,
        expected: &'static str,
    },
}

fn required<T>(
    value: Option<T>,
    message: &'static str,
    field: &'static str,
) -> Result<T, WireError> {
    value.ok_or(WireError::Missing { message, field })
}

fn finite_and_not_negative(
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
