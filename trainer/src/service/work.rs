//! The trainer's loop: find the coordinator, register, pull tasks, train and draw on threads of its own,
//! report; again after the coordinator comes back.
//!
//! At the shutdown a task ends after its epoch, with a checkpoint; one that takes longer than `grace` is
//! left behind.

use super::config::{TrainerConfig, TrainerError};
use super::opening::{self, OUTBOX, OpenSession};
use crate::device;
use crate::noise::AddNoise;
use crate::rows::BlindSpot;
use crate::task::{self, TaskContext, TaskError, TaskProgress};
use burn::tensor::Device;
use sidereal_inference::base::AttemptId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::{Directory, TrainerReport, TrainerTask};
use sidereal_proto::client::Incoming;
use sidereal_proto::message::{FailureCause, FromTrainer, ToTrainer};
use sidereal_proto::peer::{
    FAREWELL, Patience, STEADY_SESSION, ThreadError, Unopened, asked_to_stop, at, on_a_thread,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep, timeout};

/// How many of the messages that wait to be sent may be heartbeats and progress.
const CHATTER: usize = 32;
/// As good as for ever, and a time that there is.
const LONGEST_GRACE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Works for the coordinator until it says that no more tasks come, or until `shutdown` turns true.
///
/// A task that cannot be done is reported as failed; the trainer stays. A coordinator that goes away
/// is waited for, up to `patience`.
pub async fn run(
    config: TrainerConfig,
    shutdown: watch::Receiver<bool>,
) -> Result<(), TrainerError> {
    run_with_blind_spot(config, None, shutdown).await
}

/// As [`run`], with places that flows on the way are not fitted to: for measurements of how lost modes are found.
pub async fn run_with_blind_spot(
    config: TrainerConfig,
    blind_spot: Option<BlindSpot>,
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
    let coordinator = config.access.place();
    let mut patience = Patience::new(&config.access, config.patience);
    loop {
        let opened = tokio::select! {
            opened = opening::open(&config) => opened,
            () = asked_to_stop(&mut shutdown) => return Ok(()),
        };
        let ended = match opened {
            Ok(Some(session)) => work(&config, blind_spot, session, &pool, &mut shutdown).await?,
            Ok(None) => {
                tracing::info!(%coordinator, "the campaign is finished");
                return Ok(());
            }
            Err(Unopened::NotYet(reason)) => Ended::Lost {
                reason,
                heard_from: false,
            },
            Err(Unopened::Failed(error)) => return Err(error),
        };
        let reason = match ended {
            Ended::NoMoreWork => return Ok(()),
            Ended::ShutDown => {
                tracing::info!("shut down");
                return Ok(());
            }
            Ended::Idle => {
                tracing::info!("no task for too long");
                return Ok(());
            }
            Ended::Lost { reason, heard_from } => {
                if heard_from {
                    patience.on_heard_from();
                }
                reason
            }
        };
        let wait = patience.next_wait(&reason)?;
        tracing::warn!(%coordinator, %reason, wait_s = wait.as_secs_f64(), "waiting for the coordinator");
        tokio::select! {
            () = sleep(wait) => {}
            () = asked_to_stop(&mut shutdown) => return Ok(()),
        }
    }
}

/// How a session with a coordinator ended.
enum Ended {
    NoMoreWork,
    ShutDown,
    /// No task came for too long.
    Idle,
    /// Worth another session.
    Lost {
        reason: String,
        heard_from: bool,
    },
}

/// What all tasks of a session share.
struct Job {
    campaign: Campaign,
    directory: Directory,
    device: Device,
    pool: Arc<rayon::ThreadPool>,
    noise: Option<Box<dyn AddNoise>>,
    blind_spot: Option<BlindSpot>,
}

async fn work(
    config: &TrainerConfig,
    blind_spot: Option<BlindSpot>,
    session: OpenSession,
    pool: &Arc<rayon::ThreadPool>,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<Ended, TrainerError> {
    let device = device::choose(config.device.unwrap_or(session.campaign.training.device))?;
    let (source, campaign) = (config.noise.clone(), session.campaign);
    let set_up = move || {
        let noise = source.of(&campaign);
        (campaign, noise)
    };
    let (campaign, noise) = on_a_thread("noise", set_up).await?;
    tracing::info!(
        device = device::name(&device),
        threads = config.n_threads,
        directory = session.directory.location(),
        "trainer is ready"
    );
    let job = Arc::new(Job {
        campaign,
        directory: session.directory,
        device,
        pool: Arc::clone(pool),
        noise: noise.map_err(TrainerError::Noise)?,
        blind_spot,
    });
    let opened = Instant::now();
    let mut stream = TaskStream {
        config,
        to_coordinator: session.to_coordinator,
        tasks: session.tasks,
        heard_from: false,
    };
    let ended = stream.run(&job, shutdown).await?;
    Ok(match ended {
        Ended::Lost { reason, heard_from } => Ended::Lost {
            reason,
            heard_from: heard_from || opened.elapsed() >= STEADY_SESSION,
        },
        Ended::ShutDown | Ended::Idle => {
            stream.leave().await;
            ended
        }
        Ended::NoMoreWork => ended,
    })
}

/// The two directions of an open session.
struct TaskStream<'a> {
    config: &'a TrainerConfig,
    to_coordinator: mpsc::Sender<FromTrainer>,
    tasks: Incoming<ToTrainer>,
    heard_from: bool,
}

impl TaskStream<'_> {
    async fn run(
        &mut self,
        job: &Arc<Job>,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<Ended, TrainerError> {
        loop {
            if let Some(ended) = self.say(FromTrainer::Ready) {
                return Ok(ended);
            }
            let idle_until = self
                .config
                .idle_timeout
                .and_then(|patience| Instant::now().checked_add(patience));
            let message = tokio::select! {
                message = self.tasks.next() => message,
                () = at(idle_until) => return Ok(Ended::Idle),
                () = asked_to_stop(shutdown) => return Ok(Ended::ShutDown),
            };
            match message {
                Some(Ok(ToTrainer::Done)) => return Ok(Ended::NoMoreWork),
                Some(Ok(ToTrainer::Task(task))) => {
                    self.heard_from = true;
                    if let Some(ended) = self.run_task(job, *task, shutdown).await? {
                        return Ok(ended);
                    }
                }
                Some(Err(error)) if !error.is_transient(&self.config.access) => {
                    return Err(error.into());
                }
                Some(Err(error)) => return Ok(self.lost(error.reason())),
                None => return Ok(self.lost(CLOSED.to_owned())),
            }
        }
    }

    /// Runs one task on a thread of its own, with heartbeats; Some where the session ended meanwhile.
    async fn run_task(
        &mut self,
        job: &Arc<Job>,
        task: TrainerTask,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<Option<Ended>, TrainerError> {
        let attempt = task.attempt;
        let beat = Duration::from_secs_f64((task.lease_s / 3.0).clamp(0.1, 60.0));
        let interrupted = Arc::new(AtomicBool::new(false));
        let mut done = Box::pin(run_on_a_thread(
            Arc::clone(job),
            task,
            self.to_coordinator.clone(),
            Arc::clone(&interrupted),
        ));
        let mut heartbeat = tokio::time::interval(beat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = None;
        let mut is_open = true;
        let mut leave_by = None;
        loop {
            tokio::select! {
                result = &mut done => {
                    return Ok(self.on_task_ended(attempt, result?, ended));
                }
                _ = heartbeat.tick() => chat(&self.to_coordinator, FromTrainer::Heartbeat),
                message = self.tasks.next(), if is_open => {
                    let end = match message {
                        Some(Ok(ToTrainer::Task(_))) => {
                            tracing::warn!("the coordinator sent a second task at once; it is ignored");
                            continue;
                        }
                        Some(Ok(ToTrainer::Done)) => Ended::NoMoreWork,
                        Some(Err(error)) => self.lost(error.reason()),
                        None => self.lost(CLOSED.to_owned()),
                    };
                    is_open = false;
                    interrupted.store(true, Ordering::Relaxed);
                    ended.get_or_insert(end);
                }
                () = asked_to_stop(shutdown), if leave_by.is_none() => {
                    interrupted.store(true, Ordering::Relaxed);
                    leave_by = Some(Instant::now() + self.config.grace.min(LONGEST_GRACE));
                    ended = Some(Ended::ShutDown);
                }
                () = at(leave_by) => {
                    tracing::warn!("the epoch takes longer than the shutdown allows; it is left behind");
                    return Ok(ended);
                }
            }
        }
    }

    /// `ended` says whether the session ended meanwhile; so does what is returned.
    fn on_task_ended(
        &self,
        attempt: AttemptId,
        result: Result<TrainerReport, TaskError>,
        ended: Option<Ended>,
    ) -> Option<Ended> {
        match (result, ended) {
            (Ok(report), None) => self.say(FromTrainer::Report(Box::new(report))),
            (Err(error), None) => {
                tracing::error!(%error, "task failed");
                let message = error.to_string();
                let cause = if error.is_store_fault() {
                    FailureCause::Storage
                } else {
                    FailureCause::Rows
                };
                self.say(FromTrainer::Failure {
                    attempt,
                    message,
                    cause,
                })
            }
            (Ok(report), Some(Ended::ShutDown)) => {
                // Where the coordinator is gone too, the next trainer does it again.
                let _ = self.say(FromTrainer::Report(Box::new(report)));
                Some(Ended::ShutDown)
            }
            (Err(error), Some(Ended::ShutDown)) => {
                tracing::info!(%error, "the task ends unfinished");
                Some(Ended::ShutDown)
            }
            // Nobody is there to hear it.
            (
                Ok(_) | Err(_),
                Some(ended @ (Ended::NoMoreWork | Ended::Idle | Ended::Lost { .. })),
            ) => Some(ended),
        }
    }

    fn lost(&self, reason: String) -> Ended {
        Ended::Lost {
            reason,
            heard_from: self.heard_from,
        }
    }

    /// Some where the session is over by that.
    fn say(&self, message: FromTrainer) -> Option<Ended> {
        let reason = match self.to_coordinator.try_send(message) {
            Ok(()) => return None,
            Err(mpsc::error::TrySendError::Closed(_)) => CLOSED,
            Err(mpsc::error::TrySendError::Full(_)) => "the coordinator does not read what is sent",
        };
        Some(self.lost(reason.to_owned()))
    }

    /// Says goodbye and waits until the coordinator has heard everything.
    async fn leave(&mut self) {
        if self.say(FromTrainer::Drain).is_some() {
            return;
        }
        // A thread that was left behind holds the channel open; the coordinator ends the stream all the same.
        let (closed, _) = mpsc::channel(1);
        self.to_coordinator = closed;
        let goodbye = async { while let Some(Ok(_)) = self.tasks.next().await {} };
        let _ = timeout(FAREWELL, goodbye).await;
    }
}

const CLOSED: &str = "the coordinator closed the stream";

/// Dropped, it leaves the task behind.
async fn run_on_a_thread(
    job: Arc<Job>,
    task: TrainerTask,
    to_coordinator: mpsc::Sender<FromTrainer>,
    interrupted: Arc<AtomicBool>,
) -> Result<Result<TrainerReport, TaskError>, ThreadError> {
    let run = move || {
        let mut on_progress = |progress: TaskProgress| {
            let message = match progress {
                TaskProgress::Training(progress) => FromTrainer::Training(progress),
                TaskProgress::Drawing { round, n_rows } => FromTrainer::Drawing { round, n_rows },
                TaskProgress::Paused { reason } => FromTrainer::Paused { reason },
                TaskProgress::Resumed => FromTrainer::Resumed,
            };
            chat(&to_coordinator, message);
        };
        let mut context = TaskContext {
            campaign: &job.campaign,
            directory: &job.directory,
            device: &job.device,
            pool: &job.pool,
            noise: job.noise.as_deref(),
            blind_spot: job.blind_spot,
            interrupted: &interrupted,
            on_progress: &mut on_progress,
        };
        task::run(&task, &mut context)
    };
    on_a_thread("training", run).await
}

/// Sends what is for people, or says that we are there: where that much waits, it is left out.
fn chat(to_coordinator: &mpsc::Sender<FromTrainer>, message: FromTrainer) {
    if to_coordinator.capacity() > OUTBOX - CHATTER {
        // A stream that is gone shows when it is read.
        let _ = to_coordinator.try_send(message);
    }
}
