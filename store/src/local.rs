//! A campaign directory on a file system, which may be removed or unmounted while it is used: that is an error that
//! may pass, never a new directory under the old name.

use crate::blocking::ObjectStorage;
use bytes::Bytes;
use sidereal_inference::records::{Created, Storage};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A directory that is there when it is opened.
#[derive(Debug)]
pub struct LocalStorage {
    files: ObjectStorage,
    root: PathBuf,
    /// A file that is there as long as the directory is. A mount point is a directory also without what is mounted.
    anchor: OnceLock<PathBuf>,
}

impl LocalStorage {
    pub fn new(files: ObjectStorage, root: PathBuf) -> Self {
        Self {
            files,
            root,
            anchor: OnceLock::new(),
        }
    }

    /// An error that is the storage's fault where the directory is gone.
    fn find(&self) -> io::Result<()> {
        let witness = self.anchor.get().unwrap_or(&self.root);
        let Err(error) = fs::metadata(witness) else {
            return Ok(());
        };
        let is_gone = matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        );
        if !is_gone {
            return Err(error);
        }
        let message = format!(
            "{} is not there any more, expected it for as long as the campaign directory is in use: was the directory \
             removed, moved or unmounted?",
            witness.display()
        );
        Err(io::Error::new(io::ErrorKind::NotConnected, message))
    }

    /// What was not found may be gone with the whole directory.
    fn told_apart<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::NotFound
        {
            self.find()?;
        }
        result
    }

    /// A write that makes folders must find the directory, and have found it.
    fn within<T>(&self, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.find()?;
        let written = write()?;
        self.find()?;
        Ok(written)
    }
}

impl Storage for LocalStorage {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        self.told_apart(self.files.read(path))
    }

    fn read_all(&self, paths: &[&str]) -> Vec<io::Result<Bytes>> {
        let results = self.files.read_all(paths).into_iter();
        results.map(|result| self.told_apart(result)).collect()
    }

    fn write(&self, path: &str, contents: Bytes) -> io::Result<()> {
        self.within(|| self.files.write(path, contents))
    }

    fn create(&self, path: &str, contents: Bytes) -> io::Result<Created> {
        self.within(|| self.files.create(path, contents))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let names = self.files.list(folder)?;
        if names.is_empty() {
            self.find()?;
        }
        Ok(names)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.files.remove(path)
    }

    fn location(&self) -> &str {
        self.files.location()
    }

    fn expect_there(&self) -> io::Result<()> {
        self.find()
    }

    fn anchor(&self, path: &str) {
        // The first one stays.
        let _ = self.anchor.set(self.root.join(path));
    }
}

#[cfg(test)]
mod tests {
    use sidereal_inference::base::files::FileError;
    use sidereal_inference::records::{Created, Directory};
    use std::fs;
    use std::path::Path;

    fn opened(path: &Path) -> Directory {
        crate::create(path.to_str().expect("UTF-8")).expect("a directory")
    }

    fn expect_gone<T>(result: Result<T, FileError>, path: &Path) {
        let error = result.err().expect("the directory is gone");
        assert!(error.is_store_fault(), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(&format!("{} is not there any more", path.display())),
            "{message}"
        );
    }

    #[test]
    fn a_directory_that_is_moved_away_is_missed_and_not_made_anew() {
        let parent = tempfile::tempdir().expect("temporary directory");
        let parent = parent.path().canonicalize().expect("a path");
        let (place, elsewhere) = (parent.join("campaign"), parent.join("elsewhere"));
        let directory = opened(&place);
        directory.write("a/first", "1").expect("written");
        fs::rename(&place, &elsewhere).expect("moved away");
        expect_gone(directory.write("a/second", "2"), &place);
        expect_gone(directory.create("b/second", "2"), &place);
        expect_gone(directory.read("a/first"), &place);
        expect_gone(directory.list("a"), &place);
        assert!(!place.exists());
        fs::rename(&elsewhere, &place).expect("moved back");
        directory.write("a/second", "2").expect("written");
        assert_eq!(
            directory.list("a").expect("listed"),
            ["a/first", "a/second"]
        );
        let missing = directory.read("a/third").expect_err("never written");
        assert!(!missing.is_store_fault(), "{missing}");
    }

    #[test]
    fn an_empty_mount_point_is_not_the_directory_that_was_mounted_there() {
        let parent = tempfile::tempdir().expect("temporary directory");
        let parent = parent.path().canonicalize().expect("a path");
        let (place, elsewhere) = (parent.join("mount"), parent.join("elsewhere"));
        let directory = opened(&place);
        directory.create("journal/0", "opened").expect("created");
        directory.anchor("journal/0");
        fs::rename(&place, &elsewhere).expect("moved away");
        fs::create_dir(&place).expect("the mount point");
        let anchor = place.join("journal/0");
        expect_gone(directory.create("journal/1", "next"), &anchor);
        expect_gone(directory.write("rounds/0", "shard"), &anchor);
        let left = fs::read_dir(&place).expect("a directory").count();
        assert_eq!(left, 0, "nothing is written into the mount point");
        fs::remove_dir(&place).expect("empty");
        fs::rename(&elsewhere, &place).expect("mounted again");
        let created = directory.create("journal/1", "next").expect("created");
        assert_eq!(created, Created::Created);
    }
}
