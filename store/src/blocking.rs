//! An object store of the `object_store` crate as storage of a campaign directory.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use sidereal_inference::base::files;
use sidereal_inference::records::{Created, Storage};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::runtime::{Builder, Runtime};
use tokio_stream::StreamExt;

/// Any [`ObjectStore`]; waits for its answers on the calling thread.
#[derive(Debug)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    location: String,
    /// Of a local file system.
    root: Option<PathBuf>,
}

impl ObjectStorage {
    /// `location` is what users are told.
    pub fn new(store: Arc<dyn ObjectStore>, location: String) -> Self {
        Self {
            store,
            location,
            root: None,
        }
    }

    /// The local directory `root`.
    pub fn local(store: Arc<dyn ObjectStore>, root: &std::path::Path) -> Self {
        Self {
            store,
            location: root.display().to_string(),
            root: Some(root.to_owned()),
        }
    }

    /// To open a pipe would wait for its writer, without an end: in a local directory only regular files are read.
    fn check(&self, path: &str) -> io::Result<()> {
        match &self.root {
            Some(root) => files::check_regular(&root.join(path)).map(drop),
            None => Ok(()),
        }
    }
}

impl Storage for ObjectStorage {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        self.check(path)?;
        let path = Path::from(path);
        let read = async { self.store.get(&path).await?.bytes().await };
        runtime()?.block_on(read).map_err(io_error)
    }

    fn read_all(&self, paths: &[&str]) -> Vec<io::Result<Bytes>> {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                let message = error.to_string();
                let failed = |_: &&str| Err(io::Error::other(message.clone()));
                return paths.iter().map(failed).collect();
            }
        };
        let reads: Vec<io::Result<_>> = paths
            .iter()
            .map(|path| {
                self.check(path)?;
                let (store, path) = (Arc::clone(&self.store), Path::from(*path));
                Ok(runtime.spawn(async move { store.get(&path).await?.bytes().await }))
            })
            .collect();
        let answers = reads.into_iter().map(|read| match runtime.block_on(read?) {
            Ok(answer) => answer.map_err(io_error),
            Err(error) => Err(io::Error::other(error)),
        });
        answers.collect()
    }

    fn write(&self, path: &str, contents: Bytes) -> io::Result<()> {
        let path = Path::from(path);
        let put = self.store.put(&path, contents.into());
        runtime()?.block_on(put).map(drop).map_err(io_error)
    }

    fn create(&self, path: &str, contents: Bytes) -> io::Result<Created> {
        let options = PutOptions::from(PutMode::Create);
        let path = Path::from(path);
        let put = self
            .store
            .put_opts(&path, PutPayload::from(contents), options);
        match runtime()?.block_on(put) {
            Ok(_) => Ok(Created::Created),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                Ok(Created::AlreadyExists)
            }
            Err(error) => Err(io_error(error)),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = Path::from(folder);
        let listing = self.store.list(Some(&prefix));
        let listed = listing.map(|entry| Ok(entry?.location.to_string()));
        let listed = listed.collect::<Result<Vec<_>, _>>();
        let mut names = match runtime()?.block_on(listed) {
            Ok(names) => names,
            Err(Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(io_error(error)),
        };
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = Path::from(path);
        match runtime()?.block_on(self.store.delete(&path)) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(io_error(error)),
        }
    }

    fn location(&self) -> &str {
        &self.location
    }
}

/// The runtime that carries all requests of this process, on threads of its own: a caller may be on any
/// thread that may block.
fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("storage")
        .enable_all()
        .build()?;
    // Another thread may have been first; one of the two is dropped, and it runs nothing yet.
    if let Err(late) = RUNTIME.set(runtime) {
        late.shutdown_background();
    }
    RUNTIME
        .get()
        .ok_or_else(|| io::Error::other("no runtime for storage"))
}

fn io_error(error: Error) -> io::Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is the library's and open to growth"
    )]
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        Error::NotImplemented { .. } | Error::NotSupported { .. } => io::ErrorKind::Unsupported,
        _ => cause_kind(&error),
    };
    io::Error::new(kind, error)
}

/// What the file system said, where there is one: a full disk or a missing feature has its own name.
fn cause_kind(error: &Error) -> io::ErrorKind {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind();
        }
        cause = error.source();
    }
    io::ErrorKind::Other
}
