//! Shards on their way to where the coordinator finds them, tried again for a while where that fails.

use crate::simulation::EncodedShard;
use sidereal_inference::base::{AttemptId, PeerId};
use sidereal_inference::records::Directory;
use sidereal_proto::access::AccessSource;
use sidereal_proto::backoff::Backoff;
use sidereal_proto::client::{Client, ClientError};
use sidereal_proto::peer::{ThreadError, on_a_thread};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::warn;

/// Where the shards of a session go.
#[derive(Debug, Clone)]
pub(crate) enum ShardStorage {
    Directory(Directory),
    /// Through the coordinator.
    Upload(Box<Uploader>),
}

#[derive(Debug, Clone)]
pub(crate) struct Uploader {
    pub client: Client,
    pub peer: PeerId,
    pub access: AccessSource,
}

/// Why a shard was not stored.
#[derive(Debug)]
pub(crate) enum StoringError {
    /// The storage is at fault, or the coordinator does not want it.
    Refused(String),
    /// We are.
    Panicked(ThreadError),
}

/// Once this returns, the shard is durable under its name. Else, after about `patience` of trying, the reason.
pub(crate) async fn store(
    mut storage: ShardStorage,
    attempt: AttemptId,
    encoded: &EncodedShard,
    patience: Duration,
) -> Result<(), StoringError> {
    let started = Instant::now();
    let mut backoff = Backoff::of_this_process();
    loop {
        let tried = match &mut storage {
            ShardStorage::Directory(directory) => write(directory, encoded).await,
            ShardStorage::Upload(uploader) => upload(uploader, attempt, encoded).await,
        };
        let message = match tried {
            Ok(()) => return Ok(()),
            Err(NotStored::ForGood(message)) => return Err(StoringError::Refused(message)),
            Err(NotStored::Panicked(error)) => return Err(StoringError::Panicked(error)),
            Err(NotStored::ForNow(message)) => message,
        };
        let wait = backoff.next_wait();
        if started.elapsed() + wait > patience {
            return Err(StoringError::Refused(message));
        }
        warn!(%attempt, %message, wait_s = wait.as_secs_f64(), "cannot store a shard; trying again");
        sleep(wait).await;
    }
}

/// Whether the same try may succeed later.
enum NotStored {
    ForNow(String),
    ForGood(String),
    Panicked(ThreadError),
}

async fn write(directory: &Directory, encoded: &EncodedShard) -> Result<(), NotStored> {
    let (directory, contents) = (directory.clone(), encoded.contents.clone());
    let path = encoded.shard.file.path.clone();
    let written = on_a_thread("storing a shard", move || directory.write(&path, contents)).await;
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if is_the_paths_fault(error.source.kind()) => {
            Err(NotStored::ForGood(error.to_string()))
        }
        Ok(Err(error)) => Err(NotStored::ForNow(error.to_string())),
        Err(error @ ThreadError::Start { .. }) => Err(NotStored::ForNow(format!(
            "cannot store the shard: {error}"
        ))),
        Err(error @ ThreadError::Panicked { .. }) => Err(NotStored::Panicked(error)),
    }
}

fn is_the_paths_fault(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename
    )
}

async fn upload(
    uploader: &mut Uploader,
    attempt: AttemptId,
    encoded: &EncodedShard,
) -> Result<(), NotStored> {
    let expected = &encoded.shard.file;
    let Uploader {
        client,
        peer,
        access,
    } = uploader;
    let uploaded = client.upload(*peer, attempt, &expected.path, &encoded.contents);
    match uploaded.await {
        Ok(stored) if stored == *expected => Ok(()),
        Ok(stored) => Err(NotStored::ForNow(format!(
            "the coordinator stored {stored:?}, expected {expected:?}"
        ))),
        Err(error) if error.is_transient(access) => Err(NotStored::ForNow(said(&error))),
        Err(error) => Err(NotStored::ForGood(said(&error))),
    }
}

fn said(error: &ClientError) -> String {
    format!("cannot store the shard through the coordinator: {error}")
}

#[cfg(test)]
mod tests;
