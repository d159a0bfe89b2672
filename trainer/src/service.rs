//! The trainer's loop: register, pull tasks, train and draw on its own threads, report.

use crate::device::{self, NoAdapter};
use crate::task::{self, TaskContext, TaskError, TaskProgress};
use burn::tensor::Device;
use sidereal_inference::campaign::{Campaign, DeviceChoice};
use sidereal_inference::task::{TrainerReport, TrainerTask};
use sidereal_proto::client::{Client, ClientError, Incoming};
use sidereal_proto::message::{FromTrainer, PeerKind, Registration, ToTrainer};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;

/// What a trainer is started with.
#[derive(Debug, Clone)]
pub struct TrainerConfig {
    /// `http://host:port` of the coordinator.
    pub address: String,
    pub token: String,
    /// The campaign directory on this machine; None: where the coordinator says.
    pub directory: Option<PathBuf>,
    /// For logs: host name and process id.
    pub name: String,
    /// None: the campaign's.
    pub device: Option<DeviceChoice>,
    /// Threads that a minibatch is shared among, at least 1; the result does not depend on them.
    pub n_threads: usize,
    /// How long to wait for a coordinator that is not up yet or restarts.
    pub patience: Duration,
}

/// Why a trainer stopped without being told to.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    #[error(transparent)]
    Coordinator(#[from] ClientError),
    #[error("gave up on the coordinator at {address} after {:.0} s without an answer: {last}", waited.as_secs_f64())]
    GaveUp {
        address: String,
        waited: Duration,
        last: ClientError,
    },
    #[error(transparent)]
    Device(#[from] NoAdapter),
    #[error("cannot start {n} training threads: {source}")]
    Threads {
        n: usize,
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
    #[error("the training thread ended unexpectedly")]
    TrainingThread,
}

/// Works for the coordinator until it says that no more tasks come, or until `shutdown` turns true.
///
/// A task that cannot be done is reported as failed; the trainer stays. A coordinator that goes away
/// is waited for, up to `patience`.
pub async fn run(
    config: TrainerConfig,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), TrainerError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.n_threads.max(1))
        .thread_name(|index| format!("trainer-{index}"))
        .build()
        .map_err(|source| TrainerError::Threads {
            n: config.n_threads,
            source,
        })?;
    let pool = Arc::new(pool);
    let mut absent_since: Option<Instant> = None;
    loop {
        let last = match session(&config, &pool, &mut shutdown).await {
            Ok(Ended::NoMoreWork | Ended::ShutDown) => return Ok(()),
            Ok(Ended::Disconnected) => {
                absent_since = None;
                None
            }
            Err(TrainerError::Coordinator(error)) if error.is_transient() => Some(error),
            Err(error) => return Err(error),
        };
        let since = *absent_since.get_or_insert_with(Instant::now);
        if let Some(last) = last
            && since.elapsed() > config.patience
        {
            return Err(TrainerError::GaveUp {
                address: config.address,
                waited: since.elapsed(),
                last,
            });
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            () = shut_down(&mut shutdown) => return Ok(()),
        }
    }
}

/// How a session with a coordinator ended.
enum Ended {
    NoMoreWork,
    ShutDown,
    Disconnected,
}

async fn session(
    config: &TrainerConfig,
    pool: &Arc<rayon::ThreadPool>,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<Ended, TrainerError> {
    let mut client = Client::connect(&config.address, &config.token).await?;
    let registration = Registration {
        kind: PeerKind::Trainer,
        name: config.name.clone(),
        n_threads: u32::try_from(config.n_threads).unwrap_or(u32::MAX),
    };
    let session = client.register(&registration).await?;
    let directory = config
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from(&session.directory));
    let device = device::choose(config.device.unwrap_or(session.campaign.training.device))?;
    tracing::info!(
        device = device::name(&device),
        threads = config.n_threads,
        "trainer is ready"
    );
    let job = Arc::new(Job {
        campaign: session.campaign,
        directory,
        device,
        pool: Arc::clone(pool),
    });
    let (to_coordinator, messages) = mpsc::channel(64);
    let mut tasks = client
        .train(session.peer, ReceiverStream::new(messages))
        .await?;
    loop {
        if to_coordinator.send(FromTrainer::Ready).await.is_err() {
            return Ok(Ended::Disconnected);
        }
        let message = tokio::select! {
            message = tasks.next() => message,
            () = shut_down(shutdown) => {
                // The session ends either way; the coordinator need not hear it.
                let _ = to_coordinator.send(FromTrainer::Drain).await;
                return Ok(Ended::ShutDown);
            }
        };
        match message {
            None => return Ok(Ended::Disconnected),
            Some(Err(error)) if error.is_transient() => return Ok(Ended::Disconnected),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(ToTrainer::Done)) => return Ok(Ended::NoMoreWork),
            Some(Ok(ToTrainer::Task(task))) => {
                match run_task(&job, *task, &to_coordinator, &mut tasks, shutdown).await? {
                    None => {}
                    Some(ended) => return Ok(ended),
                }
            }
        }
    }
}

/// What all tasks of a session share.
struct Job {
    campaign: Campaign,
    directory: PathBuf,
    device: Device,
    pool: Arc<rayon::ThreadPool>,
}

/// Runs one task on a thread of its own, with heartbeats; Some where the session ended meanwhile.
async fn run_task(
    job: &Arc<Job>,
    task: TrainerTask,
    to_coordinator: &mpsc::Sender<FromTrainer>,
    tasks: &mut Incoming<ToTrainer>,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<Option<Ended>, TrainerError> {
    let attempt = task.attempt;
    let beat = Duration::from_secs_f64((task.lease_s / 3.0).clamp(0.1, 60.0));
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut done = start_task(
        Arc::clone(job),
        task,
        to_coordinator.clone(),
        Arc::clone(&interrupted),
    );
    let mut heartbeat = tokio::time::interval(beat);
    let mut ended = None;
    loop {
        tokio::select! {
            result = &mut done => {
                let result = result.map_err(|_| TrainerError::TrainingThread)?;
                if ended.is_some() {
                    return Ok(ended);
                }
                let message = match result {
                    Ok(report) => FromTrainer::Report(Box::new(report)),
                    Err(error) => {
                        tracing::error!(%error, "task failed");
                        FromTrainer::Failure { attempt, message: error.to_string() }
                    }
                };
                if to_coordinator.send(message).await.is_err() {
                    return Ok(Some(Ended::Disconnected));
                }
                return Ok(None);
            }
            _ = heartbeat.tick() => {
                // A full channel means that messages are flowing, which is as good as a heartbeat.
                let _ = to_coordinator.try_send(FromTrainer::Heartbeat);
            }
            message = tasks.next(), if ended.is_none() => match message {
                Some(Ok(ToTrainer::Task(_))) => {
                    tracing::warn!("the coordinator sent a second task at once; it is ignored");
                }
                Some(Ok(ToTrainer::Done)) => {
                    interrupted.store(true, Ordering::Relaxed);
                    ended = Some(Ended::NoMoreWork);
                }
                Some(Err(_)) | None => {
                    interrupted.store(true, Ordering::Relaxed);
                    ended = Some(Ended::Disconnected);
                }
            },
            () = shut_down(shutdown), if ended.is_none() => {
                interrupted.store(true, Ordering::Relaxed);
                ended = Some(Ended::ShutDown);
            }
        }
    }
}

fn start_task(
    job: Arc<Job>,
    task: TrainerTask,
    to_coordinator: mpsc::Sender<FromTrainer>,
    interrupted: Arc<AtomicBool>,
) -> oneshot::Receiver<Result<TrainerReport, TaskError>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut on_progress = |progress: TaskProgress| {
            let message = match progress {
                TaskProgress::Training(progress) => FromTrainer::Training(progress),
                TaskProgress::Drawing { round, n_rows } => FromTrainer::Drawing { round, n_rows },
            };
            // Progress is for people: one that finds no room is left out.
            let _ = to_coordinator.try_send(message);
        };
        let mut context = TaskContext {
            campaign: &job.campaign,
            directory: &job.directory,
            device: &job.device,
            pool: &job.pool,
            interrupted: &interrupted,
            on_progress: &mut on_progress,
        };
        // The receiver is gone where the session ended first; the next one runs the task again.
        let _ = sender.send(task::run(&task, &mut context));
    });
    receiver
}

/// Resolves once `shutdown` is true; never where its sender is gone.
async fn shut_down(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
