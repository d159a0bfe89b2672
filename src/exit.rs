//! How a command ends: exit status and the errors that lead to it.

use std::fmt::Display;
use std::process::ExitCode;

/// A command that ended as it should, or was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Done,
    /// Finished, but the result is not to be trusted.
    NotTrusted,
    /// The same command goes on.
    Interrupted,
}

/// A command that did not get to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("{0}")]
    Failed(String),
    /// The user has to change something.
    #[error("{0}")]
    UnusableInput(String),
}

impl CommandError {
    pub fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }

    pub fn unusable(error: impl Display) -> Self {
        Self::UnusableInput(error.to_string())
    }

    /// Told by whether the user has to change something.
    pub fn of(error: impl Display, is_unusable_input: bool) -> Self {
        match is_unusable_input {
            true => Self::unusable(error),
            false => Self::failed(error),
        }
    }
}

/// **Promise:** 0 done; 1 failed; 2 unusable input; 3 finished but not to be trusted; 4 interrupted.
pub const STATUS_INTERRUPTED: u8 = 4;

/// The exit status of a command's result.
pub fn status(result: &Result<Ending, CommandError>) -> ExitCode {
    ExitCode::from(match result {
        Ok(Ending::Done) => 0,
        Err(CommandError::Failed(_)) => 1,
        Err(CommandError::UnusableInput(_)) => 2,
        Ok(Ending::NotTrusted) => 3,
        Ok(Ending::Interrupted) => STATUS_INTERRUPTED,
    })
}
