//! Local files outside the campaign directory, read within bounds, written whole or not at all; errors with a path; hashes.

use sha2::{Digest, Sha256};
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A file operation that failed, with its path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct FileError {
    /// A verb, "read".
    pub operation: &'static str,
    /// Of the file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// `operation` is a verb, "read".
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

/// The most bytes that a file of data may have.
pub const MOST_DATA_BYTES: u64 = 256 << 20;

/// The most bytes that any other file may have which people write: campaign files, keys, certificates. The copy of a
/// campaign holds its observation, so that this is more than anybody writes by hand.
pub const MOST_TEXT_BYTES: u64 = 64 << 20;

/// Reads a whole file: only a regular one, of at most `most_bytes`. Never waits for a pipe, and never reads a device
/// that has no end.
pub fn read(path: &Path, most_bytes: u64) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::new("read", path, source);
    // To open a pipe without a writer would wait for one: it is looked at before.
    check_regular(path).map_err(failed)?;
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    check_size(found, most_bytes).map_err(failed)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found).unwrap_or(0));
    // One byte more than may be there, so that a file that grows is noticed.
    file.take(most_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    check_size(bytes.len() as u64, most_bytes).map_err(failed)?;
    Ok(bytes)
}

/// Refuses what is no regular file (or no link to one), with what it is; nothing is opened.
pub fn check_regular(path: &Path) -> io::Result<Metadata> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "found {}, expected a regular file",
            kind(metadata.file_type())
        ),
    ))
}

/// As [`read`] does before it reads.
pub fn check(path: &Path, most_bytes: u64) -> Result<(), FileError> {
    check_regular(path)
        .and_then(|metadata| check_size(metadata.len(), most_bytes))
        .map_err(|source| FileError::new("read", path, source))
}

fn check_size(found: u64, most_bytes: u64) -> io::Result<()> {
    if found <= most_bytes {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "found {found} bytes, expected at most {most_bytes} ({} MiB)",
            most_bytes >> 20
        ),
    ))
}

#[cfg(unix)]
fn kind(file_type: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_fifo() {
        "a pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else if file_type.is_char_device() || file_type.is_block_device() {
        "a device"
    } else {
        "no file"
    }
}

#[cfg(not(unix))]
fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else {
        "no file"
    }
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

/// Removes what writes of files in a directory have left that never came to their end. Only for directories that nobody
/// else writes to.
pub fn remove_temporaries(directory: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::new("list", directory, source);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if is_temporary(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|source| FileError::new("remove", path, source))?;
        }
    }
    Ok(())
}

/// Whether [`write_atomically`] writes to files of this name before it renames them.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
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
#[expect(
    missing_docs,
    reason = "the variants' own messages say it, with the fields"
)]
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
            assert_eq!(read(&path, 5).expect("read"), contents);
        }
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    }

    #[test]
    fn what_a_killed_write_has_left_is_removed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("record");
        write_atomically(&path, b"whole").expect("write");
        let temporary = write_beside(&path, b"never renamed").expect("write");
        remove_temporaries(directory.path()).expect("removed");
        assert!(path.exists() && !temporary.exists());
    }

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("data");
        fs::write(&path, b"12345").expect("write");
        assert_eq!(read(&path, 5).expect("read"), b"12345");
        check(&path, 5).expect("small enough");
        let too_large = format!(
            "cannot read {}: found 5 bytes, expected at most 4 (0 MiB)",
            path.display()
        );
        assert_eq!(read(&path, 4).expect_err("large").to_string(), too_large);
        assert_eq!(check(&path, 4).expect_err("large").to_string(), too_large);

        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert_eq!(read(&link, 5).expect("a link"), b"12345");
        for (path, kind) in [
            (directory.path(), "a directory"),
            (Path::new("/dev/zero"), "a device"),
            (&pipe, "a pipe"),
        ] {
            let error = read(path, 5).expect_err(kind);
            assert_eq!(
                error.to_string(),
                format!(
                    "cannot read {}: found {kind}, expected a regular file",
                    path.display()
                )
            );
            assert!(!error.is_store_fault());
        }
    }
}
