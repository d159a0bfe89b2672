//! The thread that runs leased batches and stores their shards, away from the async runtime.

use crate::batch::{BatchError, run_batch_unless};
use crate::error::WorkerError;
use crate::simulators::Simulator;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::ids::AttemptId;
use sidereal_inference::task::{BatchLease, ShardFile};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc as async_mpsc, oneshot};

/// What all batches of one session have in common.
pub(crate) struct Workplace {
    pub campaign: Campaign,
    pub simulator: Arc<dyn Simulator>,
    pub directory: PathBuf,
    pub orders: Orders,
}

/// What a session tells the simulation thread about batches that it was given already.
#[derive(Default)]
pub(crate) struct Orders {
    /// The batch that runs goes on to its end, those after it are skipped.
    pub start_no_more: AtomicBool,
    /// The batch that runs stops at its next row too.
    pub abandon: AtomicBool,
}

/// A batch that the simulation thread is through with.
pub(crate) struct Finished {
    pub attempt: AttemptId,
    pub outcome: Outcome,
}

pub(crate) enum Outcome {
    /// The shard is durable.
    Stored { shard: ShardFile, seconds: f64 },
    /// The batch could not be run or stored.
    Failed { message: String },
    /// By order.
    Skipped,
}

struct Job {
    workplace: Arc<Workplace>,
    lease: BatchLease,
    finished: async_mpsc::UnboundedSender<Finished>,
}

/// The simulation thread; it ends after its current row or file once this is dropped.
pub(crate) struct SimulationThread {
    jobs: mpsc::Sender<Job>,
    ended: oneshot::Receiver<()>,
}

impl SimulationThread {
    pub(crate) fn start(n_threads: usize) -> Result<Self, WorkerError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(n_threads.max(1))
            .thread_name(|index| format!("simulate-{index}"))
            .build()
            .map_err(|error| WorkerError::Start {
                operation: "the simulator's threads",
                source: std::io::Error::other(error),
            })?;
        let (jobs, incoming) = mpsc::channel::<Job>();
        let (sign_off, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("simulation".to_owned())
            .spawn(move || {
                let _sign_off = sign_off;
                for job in incoming {
                    let attempt = job.lease.attempt;
                    let run = || run_job(&job.workplace, job.lease, &pool);
                    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                        let message = "running or storing the batch panicked".to_owned();
                        Outcome::Failed { message }
                    });
                    // Nobody listens where the session has ended: its leases ended with it.
                    let _ = job.finished.send(Finished { attempt, outcome });
                }
            })
            .map_err(|source| WorkerError::Start {
                operation: "the simulation thread",
                source,
            })?;
        Ok(Self { jobs, ended })
    }

    /// Queues a batch; `finished` hears of it exactly once.
    pub(crate) fn submit(
        &self,
        workplace: &Arc<Workplace>,
        lease: BatchLease,
        finished: &async_mpsc::UnboundedSender<Finished>,
    ) -> Result<(), WorkerError> {
        let job = Job {
            workplace: Arc::clone(workplace),
            lease,
            finished: finished.clone(),
        };
        self.jobs
            .send(job)
            .map_err(|_| WorkerError::SimulationThread)
    }

    /// Waits for the thread to end, for at most `patience`: a simulator that takes longer over a
    /// row is left behind.
    pub(crate) async fn end(self, patience: Duration) {
        drop(self.jobs);
        let _ = tokio::time::timeout(patience, self.ended).await;
    }
}

fn run_job(workplace: &Workplace, lease: BatchLease, pool: &ThreadPool) -> Outcome {
    let Workplace {
        campaign,
        simulator,
        directory,
        orders,
    } = workplace;
    if orders.start_no_more.load(Ordering::Relaxed) || orders.abandon.load(Ordering::Relaxed) {
        return Outcome::Skipped;
    }
    let started = Instant::now();
    let rows = match pool
        .install(|| run_batch_unless(campaign, &**simulator, lease.draws, &orders.abandon))
    {
        Ok(rows) => rows,
        Err(BatchError::Abandoned) => return Outcome::Skipped,
        Err(
            error @ (BatchError::Width { .. }
            | BatchError::Draws { .. }
            | BatchError::DataLength { .. }
            | BatchError::NoData
            | BatchError::TooManyRows { .. }),
        ) => {
            return Outcome::Failed {
                message: error.to_string(),
            };
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    match rows.store(directory, &lease.shard_path, &campaign.space) {
        Ok(shard) => Outcome::Stored { shard, seconds },
        Err(error) => Outcome::Failed {
            message: error.to_string(),
        },
    }
}
