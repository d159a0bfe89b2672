//! Durable local files: written whole or not at all.

use crate::task::StoredFile;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

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

/// Whether [`create_if_absent`] created the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    Created,
    AlreadyExists,
}

/// Creates `path` with `contents`, whole, unless it exists; durable once it returns.
pub fn create_if_absent(path: &Path, contents: &[u8]) -> Result<Created, FileError> {
    let temporary = write_beside(path, contents)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(|source| FileError::new("remove", &temporary, source))?;
    match linked {
        Ok(()) => {
            sync_parent(path)?;
            Ok(Created::Created)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Created::AlreadyExists),
        Err(source) => Err(FileError::new("link", path, source)),
    }
}

/// Makes a rename or creation in the directory of `path` durable.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
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

/// Writes `relative` (parts divided by `/`) under `directory`, durably, with the directories above it.
pub fn store(directory: &Path, relative: &str, bytes: &[u8]) -> Result<StoredFile, FileError> {
    let Some(path) = inside(directory, relative) else {
        let source = io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a relative path inside the campaign directory",
        );
        return Err(FileError::new("write", relative, source));
    };
    if let Some(parent) = path.parent() {
        create_dir_all(parent)?;
    }
    write_atomically(&path, bytes)?;
    Ok(StoredFile {
        path: relative.to_owned(),
        sha256: sha256_hex(bytes),
        n_bytes: bytes.len() as u64,
    })
}

/// Reads a file that a record names, and refuses it unless it still has the recorded size and hash.
pub fn read_stored(directory: &Path, stored: &StoredFile) -> Result<Vec<u8>, StoredFileError> {
    let Some(path) = inside(directory, &stored.path) else {
        return Err(StoredFileError::Outside {
            path: stored.path.clone(),
        });
    };
    let bytes = read(&path)?;
    if bytes.len() as u64 != stored.n_bytes {
        let (found, expected) = (
            format!("{} bytes", bytes.len()),
            format!("{} bytes", stored.n_bytes),
        );
        return Err(StoredFileError::Changed {
            path,
            what: "the size",
            found,
            expected,
        });
    }
    let found = sha256_hex(&bytes);
    if found != stored.sha256 {
        return Err(StoredFileError::Changed {
            path,
            what: "the SHA-256",
            found,
            expected: stored.sha256.clone(),
        });
    }
    Ok(bytes)
}

/// SHA-256 as 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The path of `relative` in `directory`; None where it would lead out of it.
pub fn inside(directory: &Path, relative: &str) -> Option<PathBuf> {
    let normal = |component| matches!(component, Component::Normal(_));
    let relative = Path::new(relative);
    (relative.components().count() > 0 && relative.components().all(normal))
        .then(|| directory.join(relative))
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
    fn creates_once_and_leaves_nothing_beside() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("record");
        assert_eq!(
            create_if_absent(&path, b"first").expect("create"),
            Created::Created
        );
        assert_eq!(
            create_if_absent(&path, b"second").expect("create"),
            Created::AlreadyExists
        );
        assert_eq!(read(&path).expect("read"), b"first");
        write_atomically(&path, b"third").expect("write");
        assert_eq!(read(&path).expect("read"), b"third");
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    }

    #[test]
    fn stored_files_are_found_again_and_changes_are_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let stored = store(directory.path(), "rounds/000/a", b"abc").expect("store");
        assert_eq!(
            stored,
            StoredFile {
                path: "rounds/000/a".to_owned(),
                sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
                    .to_owned(),
                n_bytes: 3,
            }
        );
        assert_eq!(
            read_stored(directory.path(), &stored).expect("read"),
            b"abc"
        );

        let path = directory.path().join("rounds/000/a");
        fs::write(&path, b"abd").expect("change");
        let message = read_stored(directory.path(), &stored)
            .expect_err("changed")
            .to_string();
        assert_eq!(
            message,
            format!(
                "{}: the SHA-256 is a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9, expected {}",
                path.display(),
                stored.sha256
            )
        );
        fs::write(&path, b"ab").expect("cut");
        let message = read_stored(directory.path(), &stored)
            .expect_err("cut")
            .to_string();
        assert_eq!(
            message,
            format!("{}: the size is 2 bytes, expected 3 bytes", path.display())
        );
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        for path in ["", "..", "../a", "/etc/passwd", "a/../../b", "./a/.."] {
            assert!(store(directory.path(), path, b"").is_err(), "{path}");
            let stored = StoredFile {
                path: path.to_owned(),
                sha256: String::new(),
                n_bytes: 0,
            };
            let error = read_stored(directory.path(), &stored).expect_err("outside");
            assert!(
                matches!(error, StoredFileError::Outside { .. }),
                "{path}: {error}"
            );
        }
    }
}
