//! What is logged, and how log lines look.

use crate::exit::CommandError;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    /// One JSON object a line
    Json,
}

/// What is logged unless the user says otherwise.
pub fn log_filter(argument: Option<&str>, default: &str) -> Result<EnvFilter, CommandError> {
    let from_environment = std::env::var("SIDEREAL_LOG").ok();
    let text = argument.or(from_environment.as_deref()).unwrap_or(default);
    EnvFilter::try_new(text).map_err(|error| {
        CommandError::unusable(format!(
            "log filter {text:?}: {error}; expected one such as info or warn,sidereal_worker=debug"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_filters_are_checked() {
        assert!(log_filter(Some("warn,sidereal_worker=debug"), "info").is_ok());
        assert!(log_filter(Some("a=b=c"), "info").is_err());
    }
}
