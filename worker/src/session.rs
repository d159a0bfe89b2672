//! The work loop: register, pull leases, have them simulated, report; again after the coordinator
//! comes back.
//!
//! ```text
//!            ┌─────────── lost: wait, jittered ◄──────────┐
//!            ▼                                            │
//! start ─► register ─► work: leases down, reports up ─────┤
//!            │             │ shutdown           │ Done    │
//!            │ refused     ▼                    │         │ patience over
//!            ▼         finish the batch, Drain  │         ▼
//!          error           └──────► end ◄───────┘       error
//! ```
//!
//! Leases end with their session: what was simulated for a lost one is dropped, and the coordinator
//! offers it again.

use crate::backoff::Backoff;
use crate::error::WorkerError;
use crate::simulation::{Finished, Orders, Outcome, SimulationThread, Workplace};
use crate::simulators::{self, BuildError, Simulator};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::task::{BatchLease, BatchReport};
use sidereal_proto::client::{Client, ClientError, Incoming};
use sidereal_proto::message::{FromWorker, PeerKind, Registration, Session, ToWorker};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tracing::{debug, info, warn};

/// Leases that a worker has at a time: one to run and one to go on with.
const LEASES_IN_HAND: u32 = 2;
/// Longest wait for the answer to a call.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Heartbeats while no lease says otherwise.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(10);
/// However short a lease, not more often than this.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(50);
/// A session that stood this long counts as hearing from the coordinator.
const STEADY_SESSION: Duration = Duration::from_secs(10);
/// Longest wait for goodbyes: the stream's end after `Drain`, the simulation thread's last row.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `http://host:port` of the coordinator.
    pub address: String,
    pub token: String,
    /// The campaign directory on this machine; None: where the coordinator says.
    pub directory: Option<PathBuf>,
    /// For logs: host name and process id.
    pub name: String,
    /// Rows simulated at once, at least 1.
    pub n_threads: usize,
    /// How long to wait for a coordinator that is not up yet or restarts.
    pub patience: Duration,
}

impl WorkerConfig {
    /// How long a worker waits for its coordinator unless told otherwise.
    pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(300);
}

/// Works until the coordinator has no more work or `shutdown` turns true, with the simulator that
/// the campaign names.
///
/// On shutdown the batch that runs is finished and reported first.
pub async fn run(config: WorkerConfig, shutdown: watch::Receiver<bool>) -> Result<(), WorkerError> {
    work_until_done(config, ModelSource::Campaign, shutdown).await
}

/// [`run`] with a simulator of the user's own; it gives as many values as the campaign's grid has
/// points.
pub async fn run_with_simulator(
    config: WorkerConfig,
    simulator: Arc<dyn Simulator>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    work_until_done(config, ModelSource::Own(simulator), shutdown).await
}

enum ModelSource {
    Campaign,
    Own(Arc<dyn Simulator>),
}

/// How a session ended.
enum SessionEnd {
    /// No more work will come.
    Done,
    /// We left.
    Drained,
    /// Worth another session.
    Lost { reason: String, heard_from: bool },
}

async fn work_until_done(
    config: WorkerConfig,
    model: ModelSource,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let simulation = SimulationThread::start(config.n_threads)?;
    let result = reconnect_until_done(&config, &model, &simulation, &mut shutdown).await;
    simulation.end(FAREWELL).await;
    result
}

async fn reconnect_until_done(
    config: &WorkerConfig,
    model: &ModelSource,
    simulation: &SimulationThread,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let mut backoff = Backoff::new(jitter_rng());
    let mut silent_since = Instant::now();
    loop {
        let opened = tokio::select! {
            opened = open(config) => opened?,
            () = asked_to_stop(shutdown) => return Ok(()),
        };
        let end = match opened {
            Ok((client, session)) => {
                work(config, model, simulation, client, session, shutdown).await?
            }
            Err(reason) => SessionEnd::Lost {
                reason,
                heard_from: false,
            },
        };
        let reason = match end {
            SessionEnd::Done => {
                info!("no more work");
                return Ok(());
            }
            SessionEnd::Drained => {
                info!("drained");
                return Ok(());
            }
            SessionEnd::Lost { reason, heard_from } => {
                if heard_from {
                    silent_since = Instant::now();
                    backoff.reset();
                }
                reason
            }
        };
        let waited = silent_since.elapsed();
        let Some(left) = config
            .patience
            .checked_sub(waited)
            .filter(|left| !left.is_zero())
        else {
            return Err(WorkerError::GaveUp {
                address: config.address.clone(),
                waited,
                last: reason,
            });
        };
        let wait = backoff.next_wait().min(left);
        warn!(address = %config.address, %reason, wait_s = wait.as_secs_f64(), "waiting for the coordinator");
        tokio::select! {
            () = sleep(wait) => {}
            () = asked_to_stop(shutdown) => return Ok(()),
        }
    }
}

/// Connects and registers. The inner error is worth another try.
async fn open(config: &WorkerConfig) -> Result<Result<(Client, Session), String>, WorkerError> {
    let registration = Registration {
        kind: PeerKind::Worker,
        name: config.name.clone(),
        n_threads: u32::try_from(config.n_threads.max(1)).unwrap_or(u32::MAX),
    };
    let opening = async {
        let mut client = Client::connect(&config.address, &config.token).await?;
        let session = client.register(&registration).await?;
        Ok::<_, ClientError>((client, session))
    };
    match timeout(ANSWER_TIMEOUT, opening).await {
        Ok(Ok(opened)) => Ok(Ok(opened)),
        Ok(Err(error)) => lost_or_refused("register", error).map(Err),
        Err(_) => Ok(Err(no_answer("register"))),
    }
}

/// One session, from the opened stream of leases to its end.
async fn work(
    config: &WorkerConfig,
    model: &ModelSource,
    simulation: &SimulationThread,
    mut client: Client,
    session: Session,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<SessionEnd, WorkerError> {
    let directory = config
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from(&session.directory));
    if !directory.is_dir() {
        return Err(WorkerError::Directory { path: directory });
    }
    info!(
        address = %config.address, peer = %session.peer, run = %session.run.0, campaign = %session.campaign.name,
        directory = %directory.display(), "registered"
    );
    let simulator = simulator_for(&session.campaign, model)?;
    let workplace = Arc::new(Workplace {
        campaign: session.campaign,
        simulator,
        directory,
        orders: Orders::default(),
    });
    let (outgoing, messages) = mpsc::unbounded_channel();
    let call = client.work(session.peer, UnboundedReceiverStream::new(messages));
    let leases = match timeout(ANSWER_TIMEOUT, call).await {
        Ok(Ok(leases)) => leases,
        Ok(Err(error)) => {
            let reason = lost_or_refused("work", error)?;
            return Ok(SessionEnd::Lost {
                reason,
                heard_from: false,
            });
        }
        Err(_) => {
            return Ok(SessionEnd::Lost {
                reason: no_answer("work"),
                heard_from: false,
            });
        }
    };
    let (sender, finished) = mpsc::unbounded_channel();
    let mut stream = WorkStream {
        workplace: &workplace,
        simulation,
        outgoing,
        leases,
        sender,
        finished,
        n_in_hand: 0,
        heartbeat: IDLE_HEARTBEAT,
    };
    let end = stream.run(shutdown).await;
    workplace.orders.abandon.store(true, Ordering::Relaxed);
    end
}

/// The two directions of an open session and what is in hand.
struct WorkStream<'a> {
    workplace: &'a Arc<Workplace>,
    simulation: &'a SimulationThread,
    outgoing: mpsc::UnboundedSender<FromWorker>,
    leases: Incoming<ToWorker>,
    /// Handed to the simulation thread with each batch.
    sender: mpsc::UnboundedSender<Finished>,
    finished: mpsc::UnboundedReceiver<Finished>,
    n_in_hand: u32,
    heartbeat: Duration,
}

impl WorkStream<'_> {
    async fn run(
        &mut self,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<SessionEnd, WorkerError> {
        let opened = Instant::now();
        let mut heard_from = false;
        let mut draining = false;
        let mut last_heartbeat = opened;
        self.send(FromWorker::Credits(LEASES_IN_HAND));
        loop {
            if draining && self.n_in_hand == 0 {
                return self.leave().await;
            }
            tokio::select! {
                message = self.leases.next() => {
                    let reason = match message {
                        Some(Ok(ToWorker::Lease(lease))) => {
                            heard_from = true;
                            self.on_lease(lease, draining)?;
                            continue;
                        }
                        Some(Ok(ToWorker::Done)) => return Ok(SessionEnd::Done),
                        Some(Err(error)) => lost_or_refused("work", error)?,
                        None => "the coordinator closed the stream".to_owned(),
                    };
                    if draining {
                        return Ok(SessionEnd::Drained);
                    }
                    let heard_from = heard_from || opened.elapsed() >= STEADY_SESSION;
                    return Ok(SessionEnd::Lost { reason, heard_from });
                }
                finished = self.finished.recv() => {
                    let Some(finished) = finished else { return Err(WorkerError::SimulationThread) };
                    self.on_finished(finished, draining);
                }
                () = sleep_until(last_heartbeat + self.heartbeat) => {
                    last_heartbeat = Instant::now();
                    self.send(FromWorker::Heartbeat);
                }
                () = asked_to_stop(shutdown), if !draining => {
                    info!(n_in_hand = self.n_in_hand, "asked to stop; finishing the current batch");
                    draining = true;
                    self.workplace.orders.start_no_more.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn on_lease(&mut self, lease: BatchLease, draining: bool) -> Result<(), WorkerError> {
        let attempt = lease.attempt;
        if draining {
            // It was on its way when we decided to leave; `Drain` hands it back.
            return Ok(());
        }
        if self.n_in_hand >= LEASES_IN_HAND {
            let message = format!(
                "{} leases are in hand already, this one came without a credit",
                self.n_in_hand
            );
            warn!(%attempt, %message, "batch refused");
            self.send(FromWorker::Failure { attempt, message });
            return Ok(());
        }
        debug!(%attempt, round = lease.draws.round.0, first_row = lease.draws.first_row,
            n_rows = lease.draws.component.len(), "batch leased");
        self.heartbeat = heartbeat_period(lease.lease_s);
        self.simulation
            .submit(self.workplace, lease, &self.sender)?;
        self.n_in_hand += 1;
        Ok(())
    }

    fn on_finished(&mut self, finished: Finished, draining: bool) {
        let Finished { attempt, outcome } = finished;
        self.n_in_hand -= 1;
        match outcome {
            Outcome::Stored { shard, seconds } => {
                debug!(%attempt, n_rows = shard.n_rows, n_failed = shard.n_failed, seconds, "batch stored");
                self.send(FromWorker::Report(BatchReport {
                    attempt,
                    shard,
                    seconds,
                }));
            }
            Outcome::Failed { message } => {
                warn!(%attempt, %message, "batch failed");
                self.send(FromWorker::Failure { attempt, message });
            }
            Outcome::Skipped => {}
        }
        if !draining {
            self.send(FromWorker::Credits(1));
        }
    }

    /// Says goodbye and waits until the coordinator has heard everything.
    async fn leave(&mut self) -> Result<SessionEnd, WorkerError> {
        self.send(FromWorker::Drain);
        let (closed, _) = mpsc::unbounded_channel();
        self.outgoing = closed;
        let goodbye = async { while let Some(Ok(_)) = self.leases.next().await {} };
        let _ = timeout(FAREWELL, goodbye).await;
        Ok(SessionEnd::Drained)
    }

    /// A stream that is gone shows when it is read; nothing is lost by not seeing it here.
    fn send(&self, message: FromWorker) {
        let _ = self.outgoing.send(message);
    }
}

fn simulator_for(
    campaign: &Campaign,
    model: &ModelSource,
) -> Result<Arc<dyn Simulator>, BuildError> {
    let simulator = match model {
        ModelSource::Campaign => simulators::build(&campaign.simulator, &campaign.space)?,
        ModelSource::Own(simulator) => Arc::clone(simulator),
    };
    let (found, expected) = (simulator.n_data(), campaign.simulator.grid.len());
    if found != expected || found == 0 {
        return Err(BuildError::Length { found, expected });
    }
    Ok(simulator)
}

/// A third of the lease, so that two heartbeats may be lost.
fn heartbeat_period(lease_s: f64) -> Duration {
    let third = Duration::try_from_secs_f64(lease_s / 3.0).unwrap_or(IDLE_HEARTBEAT);
    third.clamp(SHORTEST_HEARTBEAT, IDLE_HEARTBEAT)
}

/// A reason to try again, or the error that trying again would only repeat.
fn lost_or_refused(operation: &'static str, error: ClientError) -> Result<String, WorkerError> {
    match error {
        ClientError::Address { .. } | ClientError::Token(_) => {
            Err(WorkerError::Address(error.to_string()))
        }
        ClientError::Wire(error) => Err(WorkerError::Answer {
            operation,
            message: error.to_string(),
        }),
        ClientError::Connect { .. } => Ok(with_causes(&error)),
        ClientError::Refused(status) => {
            let message = if status.message().is_empty() {
                status.code().description()
            } else {
                status.message()
            };
            let refused = matches!(
                status.code(),
                Code::Unauthenticated
                    | Code::PermissionDenied
                    | Code::InvalidArgument
                    | Code::FailedPrecondition
                    | Code::Unimplemented
            );
            if refused {
                return Err(WorkerError::Refused {
                    operation,
                    message: message.to_owned(),
                });
            }
            Ok(message.to_owned())
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

fn no_answer(operation: &str) -> String {
    format!(
        "no answer to {operation} within {} s",
        ANSWER_TIMEOUT.as_secs()
    )
}

/// Returns once shutdown is asked for; never where nobody can ask any more.
async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Differs from worker to worker; decides only how long one waits.
fn jitter_rng() -> ChaCha8Rng {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    ChaCha8Rng::seed_from_u64(u64::from(now.subsec_nanos()) ^ (u64::from(std::process::id()) << 32))
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
