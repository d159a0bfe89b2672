//! Opens the storage that a location names.

use crate::blocking::ObjectStorage;
use crate::local::LocalStorage;
use object_store::RetryConfig;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use sidereal_inference::records::Directory;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a request is tried again before its caller hears of it: services have waits of their own.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// A campaign directory that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No name of a storage.
    #[error("{location}: {message}; expected a path or s3://bucket/prefix")]
    Location {
        /// As the user wrote it.
        location: String,
        /// What is wrong with it.
        message: String,
    },
    /// The file system did not make or find the folder.
    #[error("cannot create directory {location}: {source}")]
    Create {
        /// As the user wrote it.
        location: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The store cannot be set up.
    #[error("cannot open {location}: {source}")]
    Store {
        /// As the user wrote it.
        location: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// There is no such folder.
    #[error("{location}: not a directory")]
    Missing {
        /// As the user wrote it.
        location: String,
    },
    /// No file can be made in the folder.
    #[error("{location}: nothing can be written there: {source}")]
    ReadOnly {
        /// As the user wrote it.
        location: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

/// What stands behind the name of a campaign directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder: a path, or `file://`.
    FileSystem,
    /// A prefix of a bucket.
    ObjectStore,
}

/// Which kind of storage a location names.
pub fn kind(location: &str) -> Kind {
    if location.contains("://") && !location.starts_with("file://") {
        Kind::ObjectStore
    } else {
        Kind::FileSystem
    }
}

/// Opens a campaign directory that is there; an object store's prefix always is.
pub fn open(location: &str) -> Result<Directory, OpenError> {
    match kind(location) {
        Kind::FileSystem => open_local(local_path(location)),
        Kind::ObjectStore => open_s3(location),
    }
}

/// As [`open`], making the directory where it is not there; refuses one in which no file can be made.
pub fn create(location: &str) -> Result<Directory, OpenError> {
    if kind(location) == Kind::FileSystem {
        let path = local_path(location);
        std::fs::create_dir_all(path).map_err(|source| OpenError::Create {
            location: location.to_owned(),
            source,
        })?;
        make_a_file(path).map_err(|source| OpenError::ReadOnly {
            location: location.to_owned(),
            source,
        })?;
    }
    open(location)
}

/// Makes a file in the folder and removes it.
fn make_a_file(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".sidereal-{}.tmp", std::process::id()));
    std::fs::write(&path, [])?;
    std::fs::remove_file(&path)
}

fn local_path(location: &str) -> &Path {
    Path::new(location.strip_prefix("file://").unwrap_or(location))
}

fn open_local(path: &Path) -> Result<Directory, OpenError> {
    let location = path.display().to_string();
    if !path.is_dir() {
        return Err(OpenError::Missing { location });
    }
    let store = LocalFileSystem::new_with_prefix(path)
        .map_err(|source| OpenError::Store {
            location: location.clone(),
            source,
        })?
        .with_fsync(true);
    // As the store has it, whatever becomes of links on the way.
    let root = path.canonicalize().map_err(|source| OpenError::Create {
        location: location.clone(),
        source,
    })?;
    let files = ObjectStorage::local(Arc::new(store), path);
    Ok(Directory::new(LocalStorage::new(files, root)))
}

/// Credentials, region and endpoint come from the standard `AWS_*` variables; plain HTTP is taken where
/// the endpoint says so.
fn open_s3(location: &str) -> Result<Directory, OpenError> {
    let refused = |message: &str| OpenError::Location {
        location: location.to_owned(),
        message: message.to_owned(),
    };
    let Some(rest) = location.strip_prefix("s3://") else {
        return Err(refused("not a kind of storage that is known"));
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(refused("no bucket"));
    }
    let failed = |source| OpenError::Store {
        location: location.to_owned(),
        source,
    };
    // Another part of the process may have chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_http = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|url| url.starts_with("http://")));
    let retry = RetryConfig {
        max_retries: 8,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retry);
    if is_http {
        builder = builder.with_allow_http(true);
    }
    let store = builder.build().map_err(failed)?;
    let prefix = ObjectPath::parse(prefix.trim_end_matches('/'))
        .map_err(|error| refused(&error.to_string()))?;
    let location = location.trim_end_matches('/').to_owned();
    Ok(Directory::new(ObjectStorage::new(
        Arc::new(PrefixStore::new(store, prefix)),
        location,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_told_apart_and_refused_with_a_reason() {
        assert_eq!(kind("runs/a"), Kind::FileSystem);
        assert_eq!(kind("file:///runs/a"), Kind::FileSystem);
        assert_eq!(kind("s3://bucket/a"), Kind::ObjectStore);
        for (location, reason) in [
            ("s3:///a", "no bucket"),
            ("gs://bucket/a", "not a kind of storage that is known"),
            ("/nonexistent/a", "not a directory"),
        ] {
            let error = open(location).expect_err(location).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_pipe_in_a_directory_is_refused_and_not_waited_for() {
        let place = tempfile::tempdir().expect("temporary directory");
        let directory = open(place.path().to_str().expect("UTF-8")).expect("a directory");
        let pipe = place.path().join("model.json");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        let error = directory
            .read("model.json")
            .expect_err("a pipe")
            .to_string();
        let expected = format!(
            "cannot read {}: found a pipe, expected a regular file",
            pipe.display()
        );
        assert_eq!(error, expected);
        assert!(
            directory
                .read_if_there("nothing")
                .expect("no error")
                .is_none()
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_directory_that_takes_no_files_is_refused_with_its_path() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let location = directory.path().join("a/b").display().to_string();
        create(&location).expect("an ordinary directory");
        let left = std::fs::read_dir(&location).expect("list").count();
        assert_eq!(left, 0, "nothing is left behind");
        // Not even root makes files there.
        let error = create("/proc/self/fdinfo").expect_err("no files there");
        assert!(
            error
                .to_string()
                .starts_with("/proc/self/fdinfo: nothing can be written there: "),
            "{error}"
        );
    }
}
