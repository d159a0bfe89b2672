//! Local files outside the campaign directory, written whole or not at all; errors with a path; hashes.

use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file operation that failed, with its path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct FileError {
    pub operation: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl FileError {
    pub fn new(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self {
            operation,
            path: path.into(),
            source,
        }
    }
}

impl FileError {
    /// Whether the storage is at fault and not what is stored: the same operation may succeed later.
    pub fn is_store_fault(&self) -> bool {
        !matches!(
            self.source.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory
        )
    }

    /// Whether nothing can be written there by this user, now or later.
    pub fn is_read_only(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
        )
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|source| FileError::new("read", path, source))
}

/// Creates a directory and those above it.
pub fn create_dir_all(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError::new("create directory", path, source))
}

/// Replaces `path` by `contents`: readers see the old file or the new one, also after a crash.
pub fn write_atomically(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let temporary = write_beside(path, contents)?;
    fs::rename(&temporary, path).map_err(|source| FileError::new("rename to", path, source))?;
    sync_parent(path)
}

/// Makes a rename or creation in the directory of `path` durable.
fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| FileError::new("sync directory", parent, source))
}

/// A file that a record names is missing, changed, or not inside the directory.
#[derive(Debug, thiserror::Error)]
pub enum StoredFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {what} is {found}, expected {expected}", path.display())]
    Changed {
        path: PathBuf,
        what: &'static str,
        found: String,
        expected: String,
    },
    #[error("path {path:?} is not a relative path inside the campaign directory")]
    Outside { path: String },
}

impl StoredFileError {
    /// As [`FileError::is_store_fault`].
    pub fn is_store_fault(&self) -> bool {
        match self {
            Self::File(error) => error.is_store_fault(),
            Self::Changed { .. } | Self::Outside { .. } => false,
        }
    }
}

/// SHA-256 as 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn write_beside(path: &Path, contents: &[u8]) -> Result<PathBuf, FileError> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.{serial}.tmp", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()
    };
    match write() {
        Ok(()) => Ok(temporary),
        Err(source) => {
            // The write has failed already; a leftover temporary file is garbage, not harm.
            let _ = fs::remove_file(&temporary);
            Err(FileError::new("write", path, source))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_nothing_is_left_beside() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("record");
        for contents in [b"first", b"third"] {
            write_atomically(&path, contents).expect("write");
            assert_eq!(read(&path).expect("read"), contents);
        }
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    }
}
