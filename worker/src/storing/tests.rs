//! Stores that fail for a while, for good, or because of the path.

use super::*;
use bytes::Bytes;
use sidereal_inference::base::RoundId;
use sidereal_inference::base::files::sha256_hex;
use sidereal_inference::records::{Created, ShardFile, Storage, StoredFile};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Refuses the first writes; keeps nothing.
#[derive(Debug)]
struct Unwilling {
    n_refusals: usize,
    kind: io::ErrorKind,
    n_writes: Arc<AtomicUsize>,
}

impl Storage for Unwilling {
    fn read(&self, _path: &str) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn write(&self, _path: &str, _contents: Bytes) -> io::Result<()> {
        if self.n_writes.fetch_add(1, Ordering::Relaxed) < self.n_refusals {
            return Err(self.kind.into());
        }
        Ok(())
    }

    fn create(&self, _path: &str, _contents: Bytes) -> io::Result<Created> {
        Err(self.kind.into())
    }

    fn list(&self, _folder: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn remove(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn location(&self) -> &str {
        "unwilling"
    }
}

fn shard() -> EncodedShard {
    let contents = Bytes::from_static(b"rows");
    EncodedShard {
        shard: ShardFile {
            round: RoundId(0),
            first_row: 0,
            n_rows: 1,
            n_failed: 0,
            file: StoredFile {
                path: "rounds/000/shards/0.parquet".to_owned(),
                sha256: sha256_hex(&contents),
                n_bytes: 4,
            },
        },
        contents,
        seconds: 0.0,
    }
}

/// The result, and how often it was tried.
async fn stored(
    n_refusals: usize,
    kind: io::ErrorKind,
    patience: Duration,
) -> (Result<(), String>, usize) {
    let n_writes = Arc::new(AtomicUsize::new(0));
    let directory = Directory::new(Unwilling {
        n_refusals,
        kind,
        n_writes: Arc::clone(&n_writes),
    });
    let storage = ShardStorage::Directory(directory);
    let result = store(storage, AttemptId(0), &shard(), patience).await;
    let result = result.map_err(|error| match error {
        StoringError::Refused(message) => message,
        StoringError::Panicked(error) => panic!("{error}"),
    });
    (result, n_writes.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_full_disk_is_tried_again() {
    let patience = Duration::from_secs(20);
    let (result, n_writes) = stored(2, io::ErrorKind::StorageFull, patience).await;
    assert_eq!((result, n_writes), (Ok(()), 3));
}

#[tokio::test]
async fn patience_with_a_store_ends() {
    let patience = Duration::from_millis(400);
    let (result, n_writes) = stored(usize::MAX, io::ErrorKind::StorageFull, patience).await;
    let message = result.expect_err("full");
    assert!(message.contains("unwilling/rounds/000"), "{message}");
    assert!((2..5).contains(&n_writes), "{n_writes} tries");
}

#[tokio::test]
async fn a_path_that_cannot_be_is_not_tried_again() {
    let patience = Duration::from_secs(20);
    let (result, n_writes) = stored(usize::MAX, io::ErrorKind::NotADirectory, patience).await;
    assert!(result.is_err());
    assert_eq!(n_writes, 1);
}

#[tokio::test]
async fn a_store_that_panics_is_not_tried_again() {
    #[derive(Debug)]
    struct Panicking;
    impl Storage for Panicking {
        fn read(&self, _path: &str) -> io::Result<Bytes> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn write(&self, _path: &str, _contents: Bytes) -> io::Result<()> {
            panic!("a bug of ours")
        }

        fn create(&self, _path: &str, _contents: Bytes) -> io::Result<Created> {
            Ok(Created::AlreadyExists)
        }

        fn list(&self, _folder: &str) -> io::Result<Vec<String>> {
            Ok(Vec::new())
        }

        fn remove(&self, _path: &str) -> io::Result<()> {
            Ok(())
        }

        fn location(&self) -> &str {
            "panicking"
        }
    }
    let storage = ShardStorage::Directory(Directory::new(Panicking));
    let patience = Duration::from_secs(20);
    match store(storage, AttemptId(0), &shard(), patience).await {
        Err(StoringError::Panicked(error)) => assert_eq!(
            error.to_string(),
            "the thread for storing a shard panicked: a bug of ours"
        ),
        other => panic!("{other:?}"),
    }
}
