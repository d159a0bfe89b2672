//! The thread that runs leased batches, away from the async runtime: one at a time.

use crate::error::WorkerError;
use bytes::Bytes;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sidereal_inference::base::words_of_panic;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::{BatchLease, Directory, ShardFile};
use sidereal_models::BatchError;
use sidereal_proto::peer::ThreadError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc as async_mpsc, oneshot};

/// What all batches of one session have in common.
pub(crate) struct Model {
    pub campaign: Campaign,
    pub model: sidereal_models::Model,
}

/// A shard that is not stored yet.
pub(crate) struct EncodedShard {
    pub shard: ShardFile,
    pub contents: Bytes,
    /// Spent in the forward model.
    pub seconds: f64,
}

/// How a batch ended on the simulation thread.
pub(crate) enum BatchOutcome {
    Simulated(EncodedShard),
    /// The batch could not be run.
    Failed {
        message: String,
    },
    /// By order.
    Abandoned,
}

struct Job {
    model: Arc<Model>,
    lease: BatchLease,
    abandon: Arc<AtomicBool>,
}

/// The simulation thread; it ends after its current row once this is dropped.
pub(crate) struct SimulationThread {
    jobs: mpsc::Sender<Job>,
    outcomes: async_mpsc::UnboundedReceiver<BatchOutcome>,
    /// A batch is there whose outcome was not received.
    is_busy: bool,
    ended: oneshot::Receiver<()>,
}

impl SimulationThread {
    pub(crate) fn start(n_threads: usize) -> Result<Self, WorkerError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(n_threads.max(1))
            .thread_name(|index| format!("simulate-{index}"))
            .build()
            .map_err(|error| ThreadError::Start {
                operation: "the simulator",
                source: std::io::Error::other(error),
            })?;
        let (jobs, incoming) = mpsc::channel::<Job>();
        let (sender, outcomes) = async_mpsc::unbounded_channel();
        let (sign_off, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("simulation".to_owned())
            .spawn(move || {
                let _sign_off = sign_off;
                for job in incoming {
                    let run = || run_job(job, &pool);
                    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
                        let words = words_of_panic(payload.as_ref());
                        let message = format!("running or encoding the batch panicked: {words}");
                        BatchOutcome::Failed { message }
                    });
                    // Nobody listens where the worker has ended: its leases ended with it.
                    let _ = sender.send(outcome);
                }
            })
            .map_err(|source| ThreadError::Start {
                operation: "simulation",
                source,
            })?;
        Ok(Self {
            jobs,
            outcomes,
            is_busy: false,
            ended,
        })
    }

    /// Whether a batch is at work, or its outcome waits in [`Self::outcome`].
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Runs a batch, given up at its next row once `abandon` is set. Only one at a time, so that memory is
    /// bounded: a caller waits until the thread is not busy.
    pub(crate) fn run(
        &mut self,
        model: &Arc<Model>,
        lease: BatchLease,
        abandon: &Arc<AtomicBool>,
    ) -> Result<(), WorkerError> {
        let job = Job {
            model: Arc::clone(model),
            lease,
            abandon: Arc::clone(abandon),
        };
        self.jobs
            .send(job)
            .map_err(|_| WorkerError::SimulationThread)?;
        self.is_busy = true;
        Ok(())
    }

    /// The outcome of the batch at work; after it the thread is not busy. Cancel safe.
    pub(crate) async fn outcome(&mut self) -> Result<BatchOutcome, WorkerError> {
        let outcome = self.outcomes.recv().await;
        self.is_busy = false;
        outcome.ok_or(WorkerError::SimulationThread)
    }

    /// Waits for the thread to end, for at most `patience`: a simulator that takes longer over a
    /// row is left behind.
    pub(crate) async fn end(self, patience: Duration) {
        drop(self.jobs);
        let _ = tokio::time::timeout(patience, self.ended).await;
    }
}

fn run_job(job: Job, pool: &ThreadPool) -> BatchOutcome {
    let Job {
        model,
        lease,
        abandon,
    } = job;
    let Model { campaign, model } = &*model;
    if abandon.load(Ordering::Relaxed) {
        return BatchOutcome::Abandoned;
    }
    let started = Instant::now();
    let run = || model.run_unless(campaign, lease.draws, &abandon);
    let rows = match pool.install(run) {
        Ok(rows) => rows,
        Err(BatchError::Abandoned) => return BatchOutcome::Abandoned,
        Err(
            error @ (BatchError::Width { .. }
            | BatchError::Draws { .. }
            | BatchError::DataLength { .. }
            | BatchError::NoData
            | BatchError::NoLikelihood
            | BatchError::TooManyRows { .. }
            | BatchError::Child(_)
            | BatchError::NoAnswer { .. }),
        ) => {
            return BatchOutcome::Failed {
                message: error.to_string(),
            };
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let in_memory = Directory::in_memory();
    let encoded = rows
        .store(&in_memory, &lease.shard_path, &campaign.space)
        .and_then(|shard| Ok((in_memory.read(&lease.shard_path)?, shard)));
    match encoded {
        Ok((contents, shard)) => BatchOutcome::Simulated(EncodedShard {
            shard,
            contents,
            seconds,
        }),
        Err(error) => BatchOutcome::Failed {
            message: error.to_string(),
        },
    }
}
