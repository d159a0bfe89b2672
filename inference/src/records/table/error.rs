//! Tables that cannot be written or are not what they should be.

use crate::base::files::{FileError, StoredFileError};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A table that could not be written or is not what it should be.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the variants' own messages say it, with the fields"
)]
pub enum TableError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Stored(#[from] StoredFileError),
    /// A shard that a record names is missing or not as recorded.
    #[error("{source}; `sidereal repair {location}` simulates the rows of damaged shards again")]
    DamagedShard {
        /// Of the campaign directory.
        location: String,
        #[source]
        source: Box<StoredFileError>,
    },
    #[error("cannot {operation} {} as Parquet: {message}", path.display())]
    Parquet {
        operation: &'static str,
        path: PathBuf,
        message: String,
    },
    /// Readable, but not with this content.
    #[error("{}: {what} is {found}, expected {expected}", path.display())]
    Content {
        path: PathBuf,
        what: String,
        found: String,
        expected: String,
    },
}

impl TableError {
    /// As [`FileError::is_store_fault`].
    pub fn is_store_fault(&self) -> bool {
        match self {
            Self::File(error) => error.is_store_fault(),
            Self::Stored(error) => error.is_store_fault(),
            Self::DamagedShard { source, .. } => source.is_store_fault(),
            Self::Parquet { .. } | Self::Content { .. } => false,
        }
    }

    pub(crate) fn content(
        path: &Path,
        what: impl Display,
        found: impl Display,
        expected: impl Display,
    ) -> Self {
        Self::Content {
            path: path.to_owned(),
            what: what.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub(super) fn parquet(operation: &'static str, path: &Path, source: impl Display) -> Self {
        Self::Parquet {
            operation,
            path: path.to_owned(),
            message: source.to_string(),
        }
    }
}
