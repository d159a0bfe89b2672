//! What the work loop waits for besides the coordinator: clocks, shutdown, and calls that block.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sidereal_proto::backoff::Backoff;
use std::io;
use std::time::SystemTime;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Waits that differ from worker to worker; they decide nothing but how long one waits.
pub(crate) fn backoff() -> Backoff {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seed = u64::from(now.subsec_nanos()) ^ (u64::from(std::process::id()) << 32);
    Backoff::new(ChaCha8Rng::seed_from_u64(seed))
}

/// Returns once shutdown is asked for; never where nobody can ask any more.
pub(crate) async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns at that time; never where there is none.
pub(crate) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Runs what may block for long on a thread of its own. Dropped, it leaves the thread behind: a storage
/// that hangs keeps neither the loop nor the end of the runtime waiting.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // The receiver is gone where nobody waits any more.
            let _ = sender.send(work());
        })?;
    receiver
        .await
        .map_err(|_| io::Error::other(format!("thread {name:?} panicked")))
}
