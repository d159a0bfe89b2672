//! The campaign directory: the one place where everything durable lies, on whatever kind of storage.

use crate::base::files::{FileError, StoredFileError, sha256_hex};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Objects under names whose parts are divided by `/`.
///
/// Every implementation runs the conformance suite of `sidereal-store`. Calls block; none is made on an
/// event loop.
pub trait Storage: fmt::Debug + Send + Sync {
    /// The whole object; [`io::ErrorKind::NotFound`] where there is none.
    fn read(&self, path: &str) -> io::Result<Bytes>;

    /// Several objects, in the order of `paths`; at the same time where a single one takes long.
    fn read_all(&self, paths: &[&str]) -> Vec<io::Result<Bytes>> {
        paths.iter().map(|path| self.read(path)).collect()
    }

    /// Replaces the object: readers see the old or the new one, whole. Durable once it returns.
    fn write(&self, path: &str, contents: Bytes) -> io::Result<()>;

    /// Creates the object, whole, unless there is one. Durable once it returns. Of two callers at most one
    /// hears [`Created::Created`]; after a lost answer even the one that wrote may hear
    /// [`Created::AlreadyExists`].
    fn create(&self, path: &str, contents: Bytes) -> io::Result<Created>;

    /// Names of all objects in `folder` and the folders below, in order; none where it does not exist.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Removes the object; no error where there is none.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Path or URL of the whole, as a user would write it.
    fn location(&self) -> &str;

    /// This object stays as long as the directory does. Where the directory itself can vanish (removed, unmounted)
    /// every call that would not find it fails from now on, and none makes the directory anew.
    fn anchor(&self, _path: &str) {}

    /// An error where the directory itself has vanished.
    fn expect_there(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether [`Storage::create`] created the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// There was none.
    Created,
    /// There was one, which stays as it is.
    AlreadyExists,
}

/// A campaign directory; clones are the same one.
#[derive(Debug, Clone)]
pub struct Directory {
    storage: Arc<dyn Storage>,
}

impl Directory {
    /// On this storage.
    pub fn new(storage: impl Storage + 'static) -> Self {
        Self {
            storage: Arc::new(storage),
        }
    }

    /// Kept in memory and gone with the last clone: for tests.
    pub fn in_memory() -> Self {
        Self::new(MemoryStorage::default())
    }

    /// Path or URL, as a user would write it.
    pub fn location(&self) -> &str {
        self.storage.location()
    }

    /// See [`Storage::anchor`]; the first anchor is kept.
    pub fn anchor(&self, path: &str) {
        self.storage.anchor(path);
    }

    /// See [`Storage::expect_there`].
    pub fn expect_there(&self) -> Result<(), FileError> {
        self.storage
            .expect_there()
            .map_err(|source| self.failed("use", "", source))
    }

    /// Path or URL of an object, for messages.
    pub fn join(&self, path: &str) -> PathBuf {
        Path::new(self.location()).join(path)
    }

    /// The whole object.
    pub fn read(&self, path: &str) -> Result<Bytes, FileError> {
        self.on("read", path, || self.storage.read(path))
    }

    /// None where there is no such object.
    pub fn read_if_there(&self, path: &str) -> Result<Option<Bytes>, FileError> {
        self.on("read", path, || match self.storage.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        })
    }

    /// See [`Storage::write`].
    pub fn write(&self, path: &str, contents: impl Into<Bytes>) -> Result<(), FileError> {
        let contents = contents.into();
        self.on("write", path, || self.storage.write(path, contents))
    }

    /// See [`Storage::create`].
    pub fn create(&self, path: &str, contents: impl Into<Bytes>) -> Result<Created, FileError> {
        let contents = contents.into();
        self.on("create", path, || self.storage.create(path, contents))
    }

    /// See [`Storage::list`]; an empty name is the whole directory.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let list = || self.storage.list(folder);
        if folder.is_empty() {
            return list().map_err(|source| self.failed("list", folder, source));
        }
        self.on("list", folder, list)
    }

    /// See [`Storage::remove`].
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        self.on("remove", path, || self.storage.remove(path))
    }

    /// Writes an object that a record is going to name.
    pub fn store(&self, path: &str, contents: Vec<u8>) -> Result<StoredFile, FileError> {
        let stored = StoredFile {
            path: path.to_owned(),
            sha256: sha256_hex(&contents),
            n_bytes: contents.len() as u64,
        };
        self.write(path, contents)?;
        Ok(stored)
    }

    /// Reads an object that a record names, and refuses it unless it still has the recorded size and hash.
    pub fn read_stored(&self, stored: &StoredFile) -> Result<Bytes, StoredFileError> {
        let mut contents = self.read_all_stored(&[stored])?;
        contents.pop().ok_or_else(|| StoredFileError::Outside {
            path: stored.path.clone(),
        })
    }

    /// [`read_stored`](Self::read_stored) for several objects, at the same time where a single one takes long.
    pub fn read_all_stored(&self, stored: &[&StoredFile]) -> Result<Vec<Bytes>, StoredFileError> {
        if let Some(outside) = stored.iter().find(|stored| !is_inside(&stored.path)) {
            return Err(StoredFileError::Outside {
                path: outside.path.clone(),
            });
        }
        let paths: Vec<&str> = stored.iter().map(|stored| stored.path.as_str()).collect();
        let read = self.storage.read_all(&paths);
        let checked = stored.iter().zip(read).map(|(stored, read)| {
            let contents = read.map_err(|source| self.failed("read", &stored.path, source))?;
            self.check_stored(stored, contents)
        });
        checked.collect()
    }

    fn check_stored(&self, stored: &StoredFile, contents: Bytes) -> Result<Bytes, StoredFileError> {
        let changed = |what, found, expected| StoredFileError::Changed {
            path: self.join(&stored.path),
            what,
            found,
            expected,
        };
        let bytes = |n: u64| format!("{n} bytes");
        let n_bytes = contents.len() as u64;
        if n_bytes != stored.n_bytes {
            return Err(changed("the size", bytes(n_bytes), bytes(stored.n_bytes)));
        }
        let found = sha256_hex(&contents);
        if found != stored.sha256 {
            return Err(changed("the SHA-256", found, stored.sha256.clone()));
        }
        Ok(contents)
    }

    /// What `work` makes of an object inside the directory.
    fn on<T>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, FileError> {
        if is_inside(path) {
            return work().map_err(|source| self.failed(operation, path, source));
        }
        let message = "not a relative path inside the campaign directory";
        let source = io::Error::new(io::ErrorKind::InvalidInput, message);
        Err(FileError::new(operation, path, source))
    }

    fn failed(&self, operation: &'static str, path: &str, source: io::Error) -> FileError {
        FileError::new(operation, self.join(path), source)
    }
}

/// The path of `name` in `folder`; an empty folder is the directory itself.
pub fn path_in(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// Whether a relative path stays in the directory that it is meant for.
pub fn is_inside(path: &str) -> bool {
    let normal = |component| matches!(component, Component::Normal(_));
    let path = Path::new(path);
    path.components().count() > 0 && path.components().all(normal)
}

/// Storage in memory.
#[derive(Debug, Default)]
struct MemoryStorage {
    contents_by_path: Mutex<BTreeMap<String, Bytes>>,
}

impl MemoryStorage {
    fn contents(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Bytes>> {
        // Every operation is one call on the map: what a thread that panicked left is whole.
        self.contents_by_path
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        let contents = self.contents().get(path).cloned();
        contents.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, path: &str, contents: Bytes) -> io::Result<()> {
        self.contents().insert(path.to_owned(), contents);
        Ok(())
    }

    fn create(&self, path: &str, contents: Bytes) -> io::Result<Created> {
        let mut all = self.contents();
        if all.contains_key(path) {
            return Ok(Created::AlreadyExists);
        }
        all.insert(path.to_owned(), contents);
        Ok(Created::Created)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let all = self.contents();
        let names = all.keys().filter(|path| path.starts_with(&prefix));
        Ok(names.cloned().collect())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.contents().remove(path);
        Ok(())
    }

    fn location(&self) -> &str {
        "memory"
    }
}

/// A file that a record names, with what is needed to tell that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Relative to the directory, with `/` between parts.
    pub path: String,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub n_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_files_are_found_again_and_changes_are_refused() {
        let directory = Directory::in_memory();
        let stored = directory
            .store("rounds/000/a", b"abc".to_vec())
            .expect("store");
        assert_eq!(
            stored,
            StoredFile {
                path: "rounds/000/a".to_owned(),
                sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
                    .to_owned(),
                n_bytes: 3,
            }
        );
        assert_eq!(directory.read_stored(&stored).expect("read"), "abc");

        directory.write("rounds/000/a", "abd").expect("change");
        let message = directory
            .read_stored(&stored)
            .expect_err("changed")
            .to_string();
        assert_eq!(
            message,
            format!(
                "memory/rounds/000/a: the SHA-256 is a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9, expected {}",
                stored.sha256
            )
        );
        directory.write("rounds/000/a", "ab").expect("cut");
        let message = directory.read_stored(&stored).expect_err("cut").to_string();
        assert_eq!(
            message,
            "memory/rounds/000/a: the size is 2 bytes, expected 3 bytes"
        );
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let directory = Directory::in_memory();
        for path in ["", "..", "../a", "/etc/passwd", "a/../../b", "./a/.."] {
            assert!(directory.store(path, Vec::new()).is_err(), "{path}");
            let stored = StoredFile {
                path: path.to_owned(),
                sha256: String::new(),
                n_bytes: 0,
            };
            let error = directory.read_stored(&stored).expect_err("outside");
            assert!(
                matches!(error, StoredFileError::Outside { .. }),
                "{path}: {error}"
            );
        }
    }
}
