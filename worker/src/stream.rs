//! An open session: leases come down, are simulated and stored one after the other, and reports go up.
//!
//! ```text
//! lease ─► waiting ─► running (simulation thread) ─► storing ─► Report, Credits(1)
//!             │            │                            │
//!             │ Cancel     │ Cancel: at the next row    │ Cancel
//!             ▼            ▼                            ▼
//!         Credits(1)   Credits(1)                   Credits(1)
//! ```
//!
//! Together never more than [`LEASES_IN_HAND`]. A batch may run while the one before it is stored. After a
//! shard that could not be stored nothing is begun, and no credit is given, until a growing wait is over.
//!
//! At the shutdown what waits is handed back, what runs or is stored has `grace` to end.

use crate::config::WorkerConfig;
use crate::error::WorkerError;
use crate::simulation::{BatchOutcome, EncodedShard, Model, SimulationThread};
use crate::storing::{self, ShardStorage, StoringError};
use sidereal_inference::base::AttemptId;
use sidereal_inference::records::{BatchLease, BatchReport, ShardFile};
use sidereal_proto::backoff::Backoff;
use sidereal_proto::client::{ClientError, Incoming};
use sidereal_proto::message::{FailureCause, FromWorker, ToWorker};
use sidereal_proto::peer::{FAREWELL, STEADY_SESSION, asked_to_stop, at};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

/// Leases that a worker has at a time: one to run and one to go on with.
const LEASES_IN_HAND: u32 = 2;
/// Messages that wait to be sent, and how many of them may be heartbeats.
pub(crate) const OUTBOX: usize = 64;
const HEARTBEATS: usize = 16;
/// Heartbeats while no lease says otherwise.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(10);
/// However short a lease, not more often than this.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(50);
/// Longest time that a shard is tried to be stored, where the worker's patience is not shorter still.
const STORAGE_PATIENCE: Duration = Duration::from_secs(60);
/// As good as for ever, and a time that there is.
const LONGEST_GRACE: Duration = Duration::from_secs(365 * 24 * 3600);

/// A session whose stream of leases is open.
pub(crate) struct OpenSession {
    pub model: Arc<Model>,
    pub storage: ShardStorage,
    pub outgoing: mpsc::Sender<FromWorker>,
    pub incoming: Incoming<ToWorker>,
}

/// How a session ended.
pub(crate) enum SessionEnd {
    /// No more work will come.
    Done,
    /// We left, asked to.
    Drained,
    /// We left: no lease came for too long.
    Idle,
    /// Worth another session.
    Lost { reason: String, heard_from: bool },
}

/// Works until the session ends. What is in hand then is abandoned.
pub(crate) async fn work(
    config: &WorkerConfig,
    session: OpenSession,
    simulation: &mut SimulationThread,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<SessionEnd, WorkerError> {
    let now = Instant::now();
    let stream = WorkStream {
        config,
        session,
        simulation,
        waiting: VecDeque::new(),
        running: None,
        storing: None,
        heard_from: false,
        is_stalled: false,
        heartbeat: IDLE_HEARTBEAT,
        last_heartbeat: now,
        idle_since: now,
        hold: Hold {
            until: None,
            n_credits: 0,
            backoff: Backoff::of_this_process(),
        },
        drain_by: None,
    };
    stream.run(shutdown).await
}

/// The two directions of an open session and what is in hand.
struct WorkStream<'a> {
    config: &'a WorkerConfig,
    session: OpenSession,
    simulation: &'a mut SimulationThread,
    waiting: VecDeque<BatchLease>,
    /// None also while the thread is busy with what is left of an earlier session.
    running: Option<Running>,
    storing: Option<Storing>,
    heard_from: bool,
    /// The coordinator does not read what is sent.
    is_stalled: bool,
    heartbeat: Duration,
    last_heartbeat: Instant,
    /// Nothing is in hand and credits are out since then.
    idle_since: Instant,
    hold: Hold,
    /// When we leave in any case; None before the shutdown.
    drain_by: Option<Instant>,
}

struct Running {
    attempt: AttemptId,
    /// Set by `Cancel`, or by the session's end.
    abandon: Arc<AtomicBool>,
}

struct Storing {
    attempt: AttemptId,
    result: Pin<Box<dyn Future<Output = StoringResult> + Send>>,
}

type StoringResult = Result<(ShardFile, f64), StoringError>;

/// The wait after a shard that could not be stored.
struct Hold {
    until: Option<Instant>,
    /// Credits that are given when it is over.
    n_credits: u32,
    backoff: Backoff,
}

impl WorkStream<'_> {
    async fn run(
        mut self,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<SessionEnd, WorkerError> {
        let opened = Instant::now();
        self.send(FromWorker::Credits(LEASES_IN_HAND));
        loop {
            if self.drain_by.is_some() && !self.has_work_to_end() {
                return self.leave(SessionEnd::Drained).await;
            }
            if self.is_stalled {
                return Ok(SessionEnd::Lost {
                    reason: "the coordinator does not read what is sent".to_owned(),
                    heard_from: self.heard_from,
                });
            }
            self.begin_next()?;
            let idle_until = self.idle_until();
            tokio::select! {
                message = self.session.incoming.next() => {
                    if let Some(end) = self.on_message(message, opened)? {
                        return Ok(end);
                    }
                }
                outcome = self.simulation.outcome(), if self.simulation.is_busy() && self.storing.is_none() => {
                    self.on_outcome(outcome?);
                }
                result = stored(&mut self.storing) => self.on_stored(result)?,
                () = sleep_until(self.last_heartbeat + self.heartbeat) => self.beat(),
                () = at(self.hold.until) => self.end_hold(),
                () = at(idle_until) => return self.leave(SessionEnd::Idle).await,
                () = at(self.drain_by) => {
                    warn!("the batch at work takes longer than the shutdown allows; it is handed back");
                    return self.leave(SessionEnd::Drained).await;
                }
                () = asked_to_stop(shutdown), if self.drain_by.is_none() => self.on_shutdown(),
            }
        }
    }

    fn n_in_hand(&self) -> u32 {
        let n_begun = u32::from(self.running.is_some()) + u32::from(self.storing.is_some());
        // Never more than the leases in hand.
        n_begun + self.waiting.len() as u32
    }

    /// Whether anything of this session runs or is stored that somebody wants.
    fn has_work_to_end(&self) -> bool {
        let is_wanted = |running: &Running| !running.abandon.load(Ordering::Relaxed);
        self.storing.is_some() || self.running.as_ref().is_some_and(is_wanted)
    }

    fn begin_next(&mut self) -> Result<(), WorkerError> {
        if self.simulation.is_busy() || self.hold.until.is_some() {
            return Ok(());
        }
        let Some(lease) = self.waiting.pop_front() else {
            return Ok(());
        };
        let abandon = Arc::new(AtomicBool::new(false));
        self.running = Some(Running {
            attempt: lease.attempt,
            abandon: Arc::clone(&abandon),
        });
        self.simulation.run(&self.session.model, lease, &abandon)
    }

    fn idle_until(&self) -> Option<Instant> {
        let is_idle = self.n_in_hand() == 0 && self.hold.until.is_none() && self.drain_by.is_none();
        self.config
            .idle_timeout
            .filter(|_| is_idle)
            .and_then(|patience| self.idle_since.checked_add(patience))
    }

    /// How the session ended, where it did.
    fn on_message(
        &mut self,
        message: Option<Result<ToWorker, ClientError>>,
        opened: Instant,
    ) -> Result<Option<SessionEnd>, WorkerError> {
        let reason = match message {
            Some(Ok(ToWorker::Lease(lease))) => {
                self.on_lease(lease);
                return Ok(None);
            }
            Some(Ok(ToWorker::Cancel(attempt))) => {
                self.on_cancel(attempt);
                return Ok(None);
            }
            Some(Ok(ToWorker::Done)) => return Ok(Some(SessionEnd::Done)),
            Some(Err(error)) => error
                .reason_to_retry(&self.config.access)
                .map_err(|error| WorkerError::of_call("work", error))?,
            None => "the coordinator closed the stream".to_owned(),
        };
        if self.drain_by.is_some() {
            info!(%reason, "the coordinator is gone, and what was in hand with it");
            return Ok(Some(SessionEnd::Drained));
        }
        let heard_from = self.heard_from || opened.elapsed() >= STEADY_SESSION;
        Ok(Some(SessionEnd::Lost { reason, heard_from }))
    }

    fn on_lease(&mut self, lease: BatchLease) {
        let attempt = lease.attempt;
        self.heard_from = true;
        if self.drain_by.is_some() {
            // It was on its way when we decided to leave; `Drain` hands it back.
            return;
        }
        let n_in_hand = self.n_in_hand();
        if n_in_hand >= LEASES_IN_HAND {
            let message =
                format!("{n_in_hand} leases are in hand already, this one came without a credit");
            warn!(%attempt, %message, "batch refused");
            self.send(FromWorker::Failure {
                attempt,
                message,
                cause: FailureCause::Rows,
            });
            return;
        }
        debug!(%attempt, round = lease.draws.round.0, first_row = lease.draws.first_row,
            n_rows = lease.draws.component.len(), "batch leased");
        self.heartbeat = heartbeat_period(lease.lease_s);
        self.waiting.push_back(lease);
    }

    /// One that is not in hand was answered already.
    fn on_cancel(&mut self, attempt: AttemptId) {
        debug!(%attempt, "batch cancelled");
        if let Some(place) = self
            .waiting
            .iter()
            .position(|lease| lease.attempt == attempt)
        {
            self.waiting.remove(place);
            self.earn_credit();
        } else if self
            .storing
            .take_if(|storing| storing.attempt == attempt)
            .is_some()
        {
            self.earn_credit();
        } else if let Some(running) = &self.running
            && running.attempt == attempt
        {
            // The credit follows when the thread is free.
            running.abandon.store(true, Ordering::Relaxed);
        }
    }

    fn on_outcome(&mut self, outcome: BatchOutcome) {
        let Some(Running { attempt, abandon }) = self.running.take() else {
            debug!("a batch of an earlier session is through");
            return;
        };
        if abandon.load(Ordering::Relaxed) {
            self.earn_credit();
            return;
        }
        match outcome {
            BatchOutcome::Simulated(encoded) => self.storing = Some(self.store(attempt, encoded)),
            BatchOutcome::Failed { message } => {
                warn!(%attempt, %message, "batch failed");
                self.send(FromWorker::Failure {
                    attempt,
                    message,
                    cause: FailureCause::Rows,
                });
                self.earn_credit();
            }
            // Only after an order, which was looked at.
            BatchOutcome::Abandoned => self.earn_credit(),
        }
    }

    fn store(&self, attempt: AttemptId, encoded: EncodedShard) -> Storing {
        let storage = self.session.storage.clone();
        let patience = STORAGE_PATIENCE.min(self.config.patience);
        let result = async move {
            storing::store(storage, attempt, &encoded, patience).await?;
            Ok((encoded.shard, encoded.seconds))
        };
        Storing {
            attempt,
            result: Box::pin(result),
        }
    }

    fn on_stored(
        &mut self,
        (attempt, result): (AttemptId, StoringResult),
    ) -> Result<(), WorkerError> {
        self.storing = None;
        match result {
            Ok((shard, seconds)) => {
                debug!(%attempt, n_rows = shard.n_rows, n_failed = shard.n_failed, seconds, "batch stored");
                self.send(FromWorker::Report(BatchReport {
                    attempt,
                    shard,
                    seconds,
                }));
                self.hold.backoff.reset();
                self.end_hold();
            }
            Err(StoringError::Panicked(error)) => return Err(error.into()),
            Err(StoringError::Refused(message)) => {
                warn!(%attempt, %message, "batch not stored");
                self.send(FromWorker::Failure {
                    attempt,
                    message,
                    cause: FailureCause::Storage,
                });
                self.hold.until = Some(Instant::now() + self.hold.backoff.next_wait());
            }
        }
        self.earn_credit();
        Ok(())
    }

    /// A lease is answered: another one may come, in time.
    fn earn_credit(&mut self) {
        if self.drain_by.is_some() {
            return;
        }
        if self.hold.until.is_some() {
            self.hold.n_credits += 1;
            return;
        }
        self.idle_since = Instant::now();
        self.send(FromWorker::Credits(1));
    }

    fn end_hold(&mut self) {
        self.hold.until = None;
        self.idle_since = Instant::now();
        let n_credits = std::mem::take(&mut self.hold.n_credits);
        if n_credits > 0 && self.drain_by.is_none() {
            self.send(FromWorker::Credits(n_credits));
        }
    }

    fn beat(&mut self) {
        self.last_heartbeat = Instant::now();
        // Where so many wait the coordinator does not read, and more would be of no use.
        if self.session.outgoing.capacity() > OUTBOX - HEARTBEATS {
            self.send(FromWorker::Heartbeat);
        }
    }

    fn on_shutdown(&mut self) {
        info!(
            n_in_hand = self.n_in_hand(),
            grace_s = self.config.grace.as_secs_f64(),
            "asked to stop; ending the current batch"
        );
        self.drain_by = Some(Instant::now() + self.config.grace.min(LONGEST_GRACE));
        self.waiting.clear();
    }

    /// Says goodbye, which hands back what is in hand, and waits until the coordinator has heard everything.
    async fn leave(mut self, end: SessionEnd) -> Result<SessionEnd, WorkerError> {
        self.abandon();
        self.send(FromWorker::Drain);
        let (closed, _) = mpsc::channel(1);
        self.session.outgoing = closed;
        let goodbye = async { while let Some(Ok(_)) = self.session.incoming.next().await {} };
        let _ = timeout(FAREWELL, goodbye).await;
        Ok(end)
    }

    fn abandon(&mut self) {
        self.storing = None;
        if let Some(running) = &self.running {
            running.abandon.store(true, Ordering::Relaxed);
        }
    }

    fn send(&mut self, message: FromWorker) {
        match self.session.outgoing.try_send(message) {
            // A stream that is gone shows when it is read; nothing is lost by not seeing it here.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => self.is_stalled = true,
        }
    }
}

impl Drop for WorkStream<'_> {
    /// However the session ends, its leases end with it.
    fn drop(&mut self) {
        self.abandon();
    }
}

/// The batch that is stored, once it is or cannot be; never where there is none. Cancel safe.
async fn stored(storing: &mut Option<Storing>) -> (AttemptId, StoringResult) {
    match storing {
        Some(storing) => (storing.attempt, (&mut storing.result).await),
        None => std::future::pending().await,
    }
}

/// A third of the lease, so that two heartbeats may be lost.
fn heartbeat_period(lease_s: f64) -> Duration {
    let third = Duration::try_from_secs_f64(lease_s / 3.0).unwrap_or(IDLE_HEARTBEAT);
    third.clamp(SHORTEST_HEARTBEAT, IDLE_HEARTBEAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_come_three_times_a_lease() {
        assert_eq!(heartbeat_period(6.0), Duration::from_secs(2));
        assert_eq!(heartbeat_period(0.0), SHORTEST_HEARTBEAT);
        assert_eq!(heartbeat_period(1e9), IDLE_HEARTBEAT);
        assert_eq!(heartbeat_period(f64::NAN), IDLE_HEARTBEAT);
    }
}
