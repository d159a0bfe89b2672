//! What workers and trainers share: the way to a session, the waits between sessions, and calls that block.
//!
//! ```text
//!            ┌──── absent, lost: wait, jittered ◄──┐
//!            ▼                                     │
//! start ─► access ─► register ─► stream of work ───┤
//!            │          │           │ Done,        │ patience over
//!            │ finished │ refused   │ leaving      ▼
//!            ▼          ▼           ▼             error
//!           end       error        end
//! ```

use crate::access::{AccessError, AccessFile, AccessSource};
use crate::backoff::Backoff;
use crate::client::{Client, ClientError, ClientIdentity};
use crate::message::{Registration, Session};
use sidereal_inference::base::words_of_panic;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// Longest wait for the answer to a call, or of a storage.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A session that stood this long counts as hearing from the coordinator.
pub const STEADY_SESSION: Duration = Duration::from_secs(10);
/// Longest wait for the stream's end after `Drain`.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// Why there is no session.
#[derive(Debug)]
pub enum Unopened<E> {
    /// Worth another try; the reason, for logs.
    NotYet(String),
    /// Trying again would give the same.
    Failed(E),
}

impl<E> From<E> for Unopened<E> {
    fn from(error: E) -> Self {
        Self::Failed(error)
    }
}

/// What trying again would only repeat.
#[derive(Debug)]
pub enum OpeningError {
    /// There is an access file, and it is not one.
    Access(AccessError),
    /// The coordinator refused, or cannot be understood.
    Call {
        /// What was asked for.
        operation: &'static str,
        /// The answer.
        error: ClientError,
    },
    /// A thread did not do its work.
    Thread(ThreadError),
}

/// A thread that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    /// The system has none left.
    #[error("the thread for {operation} cannot be started: {source}")]
    Start {
        /// What it was for.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A mistake in this program.
    #[error("the thread for {operation} panicked: {message}")]
    Panicked {
        /// What it was for.
        operation: &'static str,
        /// What it said.
        message: String,
    },
}

/// The access as it stands now.
pub async fn read_access<E: From<OpeningError>>(
    source: &AccessSource,
) -> Result<AccessFile, Unopened<E>> {
    let operation = "reading the access file";
    let source = source.clone();
    let read = answer_of_thread(operation, move || source.read()).await;
    let error = match read {
        Ok(Some(Ok(file))) => return Ok(file),
        Ok(Some(Err(error))) => error,
        Ok(None) => return Err(no_answer("the file system", operation)),
        Err(error) => return Err(E::from(OpeningError::Thread(error)).into()),
    };
    if error.is_missing() {
        let reason = format!("the coordinator is not up yet: {error}");
        return Err(Unopened::NotYet(reason));
    }
    Err(match error {
        // A shared file system has its moments, and a file on it may just be replaced.
        AccessError::File(error) if error.source.kind() != io::ErrorKind::PermissionDenied => {
            Unopened::NotYet(error.to_string())
        }
        AccessError::File(_)
        | AccessError::Invalid { .. }
        | AccessError::Certificate(_)
        | AccessError::Random(_) => E::from(OpeningError::Access(error)).into(),
    })
}

/// Connects and registers. `source` is where `file` came from.
pub async fn register<E: From<OpeningError>>(
    source: &AccessSource,
    file: &AccessFile,
    identity: Option<&ClientIdentity>,
    registration: &Registration,
) -> Result<(Client, Session), Unopened<E>> {
    let opening = async {
        let mut client = Client::connect(&file.access, identity).await?;
        let session = client.register(registration).await?;
        Ok((client, session))
    };
    answer_to("register", source, opening).await
}

/// The answer to a call, where it comes in time.
pub async fn answer_to<T, E: From<OpeningError>>(
    operation: &'static str,
    source: &AccessSource,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Unopened<E>> {
    match timeout(ANSWER_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(match error.reason_to_retry(source) {
            Ok(reason) => Unopened::NotYet(reason),
            Err(error) => E::from(OpeningError::Call { operation, error }).into(),
        }),
        Err(_) => Err(no_answer("the coordinator", operation)),
    }
}

/// A reason to try again after [`ANSWER_TIMEOUT`].
pub fn no_answer<E>(whose: &str, operation: &str) -> Unopened<E> {
    Unopened::NotYet(format!(
        "no answer of {whose} to {operation} within {} s",
        ANSWER_TIMEOUT.as_secs()
    ))
}

/// How long a peer goes on without its coordinator.
#[derive(Debug)]
pub struct Patience {
    coordinator: String,
    patience: Duration,
    silent_since: Instant,
    backoff: Backoff,
}

/// The patience is over. Waiting longer may help.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error(
    "gave up on the coordinator at {coordinator} after {:.0} s without an answer: {last}",
    waited.as_secs_f64()
)]
pub struct GaveUp {
    /// Its address, or the access file that would say it.
    pub coordinator: String,
    /// Since it was last heard from.
    pub waited: Duration,
    /// Why the last try failed.
    pub last: String,
}

impl Patience {
    /// It begins now.
    pub fn new(source: &AccessSource, patience: Duration) -> Self {
        Self {
            coordinator: source.place(),
            patience,
            silent_since: Instant::now(),
            backoff: Backoff::of_this_process(),
        }
    }

    /// It begins anew.
    pub fn on_heard_from(&mut self) {
        self.silent_since = Instant::now();
        self.backoff.reset();
    }

    /// How long to wait before the next try, after one that failed for `reason`.
    pub fn next_wait(&mut self, reason: &str) -> Result<Duration, GaveUp> {
        let waited = self.silent_since.elapsed();
        match self.patience.checked_sub(waited) {
            Some(left) if !left.is_zero() => Ok(self.backoff.next_wait().min(left)),
            Some(_) | None => Err(GaveUp {
                coordinator: self.coordinator.clone(),
                waited,
                last: reason.to_owned(),
            }),
        }
    }
}

/// Returns once shutdown is asked for; never where nobody can ask any more.
pub async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns at that time; never where there is none.
pub async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Runs what may block for long on a thread of its own. Dropped, it leaves the thread behind: a storage
/// that hangs keeps neither the loop nor the end of the runtime waiting.
pub async fn on_a_thread<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ThreadError> {
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        // The receiver is gone where nobody waits any more.
        let _ = sender.send(result);
    };
    std::thread::Builder::new()
        .name(operation.to_owned())
        .spawn(run)
        .map_err(|source| ThreadError::Start { operation, source })?;
    let message = match receiver.await {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(payload)) => words_of_panic(payload.as_ref()),
        Err(_) => "it ended without a result".to_owned(),
    };
    Err(ThreadError::Panicked { operation, message })
}

/// [`on_a_thread`], None where it takes longer than [`ANSWER_TIMEOUT`].
pub async fn answer_of_thread<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, ThreadError> {
    match timeout(ANSWER_TIMEOUT, on_a_thread(operation, work)).await {
        Ok(answer) => answer.map(Some),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_ends_where_nothing_is_heard() {
        let source = AccessSource::File("access.json".into());
        let mut patience = Patience::new(&source, Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(4)).await;
        let wait = patience.next_wait("no route").expect("a second is left");
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        patience.on_heard_from();
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(patience.next_wait("no route").is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        let error = patience.next_wait("refused").expect_err("5 s are over");
        assert_eq!(
            error.to_string(),
            "gave up on the coordinator at access.json after 5 s without an answer: refused"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_panics_is_an_error_and_one_that_hangs_no_answer() {
        let panicked = on_a_thread("a test", || panic!("on purpose")).await;
        let error = panicked.map(|(): ()| ()).expect_err("panicked");
        assert_eq!(
            error.to_string(),
            "the thread for a test panicked: on purpose"
        );
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hangs = answer_of_thread("a test", move || held.recv().is_ok()).await;
        assert!(hangs.expect("started").is_none());
        drop(release);
    }
}
