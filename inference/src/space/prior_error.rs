//! What is wrong with a prior.

/// Why a prior cannot be used; names the key, not the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PriorError(pub String);
