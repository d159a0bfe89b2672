//! The single task that owns the campaign: takes inputs one by one, records, applies, carries out.

mod inputs;
mod jobs;
mod messages;
mod outbox;

pub use messages::{Message, Messages, StreamId, TrainerOutbox, WatcherOutbox, WorkerOutbox};

use crate::campaign::apply::{Misfit, apply};
use crate::campaign::decide::{Decision, Input, decide};
use crate::campaign::effects::Effect;
use crate::campaign::event::Opened;
use crate::campaign::leases::{LeaseRules, Leases};
use crate::campaign::state::{Phase, State, rows_of};
use crate::finish::{FinishError, MODEL_DIRECTORY};
use crate::journal::{Journal, JournalError};
use crate::rounds::RoundDraws;
use crate::weigh::WeighError;
use outbox::Outboxes;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::ids::{AttemptId, RoundId};
use sidereal_inference::progress::Progress;
use sidereal_inference::summary::Summary;
use sidereal_inference::table::TableError;
use sidereal_inference::task::ShardFile;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How long checked shards wait for others to be recorded with them.
const GROUPING: Duration = Duration::from_millis(20);
/// Most shards of one record.
const MAX_GROUP: usize = 256;
/// How often leases are looked at and progress is told.
const TICK: Duration = Duration::from_millis(100);
/// Attempts of one run; far more than it can make.
const ATTEMPTS_PER_RUN: u64 = 1_000_000_000;
/// Shards that are checked at a time.
const CHECKS_AT_A_TIME: usize = 4;

/// What a finished campaign leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub summary: Summary,
    pub summary_path: PathBuf,
    /// None without an observation.
    pub posterior_path: Option<PathBuf>,
    /// Directory of the final flow; None where the campaign ended with the prior.
    pub model_path: Option<PathBuf>,
}

/// Why a coordinator ended without a result. The campaign directory is sound in each case.
#[derive(Debug, thiserror::Error)]
pub enum CampaignFailure {
    /// Asked to; the same command goes on where it stopped.
    #[error("interrupted; the same command goes on")]
    Interrupted,
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot record a decision: {0}")]
    Misfit(#[from] Misfit),
    #[error("cannot read the draws of {round}: {source}")]
    Draws {
        round: RoundId,
        #[source]
        source: TableError,
    },
    #[error("cannot weigh {round}: {source}")]
    Weigh {
        round: RoundId,
        #[source]
        source: WeighError,
    },
    #[error("cannot write the results: {0}")]
    Finish(#[from] FinishError),
    #[error("row {row} of {round} cannot be simulated, it fails by itself each time: {message}")]
    Row {
        round: RoundId,
        row: u64,
        message: String,
    },
    #[error("a trainer's task failed {n_failures} times: {message}")]
    Task { n_failures: u32, message: String },
    #[error("the service ended: {message}")]
    Service { message: String },
    #[error("a part of the coordinator panicked: {message}")]
    Panicked { message: String },
}

/// What a driver is started with.
pub struct DriverConfig {
    pub directory: PathBuf,
    pub campaign: Arc<Campaign>,
    pub journal: Journal,
    pub state: State,
    pub opened: Opened,
    pub rules: LeaseRules,
}

/// The campaign and everything around it that one run knows.
pub struct Driver {
    directory: PathBuf,
    campaign: Arc<Campaign>,
    /// None while a record is being written.
    journal: Option<Journal>,
    state: State,
    opened: Opened,
    started: Instant,
    leases: Leases,
    outboxes: Outboxes,
    /// Of the open round.
    draws: Option<Arc<RoundDraws>>,
    checked: Vec<ShardFile>,
    flush_at: Option<Instant>,
    checks: Arc<Semaphore>,
    messages: mpsc::Sender<Message>,
    announced_rows: u64,
    n_ignored: u64,
    ended: Option<Result<Outcome, CampaignFailure>>,
}

impl Driver {
    /// The driver, and where messages to it go.
    pub fn new(config: DriverConfig) -> (Self, Messages, mpsc::Receiver<Message>) {
        let (messages, inbox) = mpsc::channel(1024);
        // Unique over all runs, since the journal numbers them.
        let first_attempt = AttemptId((config.state.n_runs + 1).saturating_mul(ATTEMPTS_PER_RUN));
        let driver = Self {
            directory: config.directory,
            campaign: config.campaign,
            journal: Some(config.journal),
            state: config.state,
            opened: config.opened,
            started: Instant::now(),
            leases: Leases::new(config.rules, first_attempt),
            outboxes: Outboxes::default(),
            draws: None,
            checked: Vec::new(),
            flush_at: None,
            checks: Arc::new(Semaphore::new(CHECKS_AT_A_TIME)),
            messages: messages.clone(),
            announced_rows: 0,
            n_ignored: 0,
            ended: None,
        };
        (driver, Messages::new(messages), inbox)
    }

    /// Takes the campaign: after this, every other run stops at its next write.
    pub async fn open(&mut self) -> Result<(), CampaignFailure> {
        let opened = Box::new(self.opened.clone());
        self.step(Input::Start(opened)).await
    }

    /// Whether the results are there.
    pub fn is_finished(&self) -> bool {
        matches!(self.state.phase, Phase::Finished(_))
    }

    /// Runs until the campaign ends, fails, or is interrupted.
    pub async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
    ) -> Result<Outcome, CampaignFailure> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.ended.is_none() {
            let flush_at = self.flush_at;
            let result = tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.on_message(message).await,
                    None => Err(CampaignFailure::Interrupted),
                },
                () = sleep_until_some(flush_at) => self.flush().await,
                _ = tick.tick() => {
                    self.on_tick();
                    Ok(())
                }
            };
            if let Err(failure) = result {
                self.fail(failure);
            }
        }
        if self.n_ignored > 0 {
            tracing::info!(
                n_ignored = self.n_ignored,
                "reports came too late and were ignored"
            );
        }
        self.ended.unwrap_or(Err(CampaignFailure::Interrupted))
    }

    fn now_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// One step of the campaign, in the order that everything rests on: decide, record, apply, act.
    async fn step(&mut self, input: Input) -> Result<(), CampaignFailure> {
        let Decision { events, effects } = decide(&self.state, input, self.now_s());
        if !events.is_empty() {
            let Some(mut journal) = self.journal.take() else {
                return Err(CampaignFailure::Interrupted);
            };
            let written = blocking(move || {
                let result = journal.append(&events);
                (journal, events, result)
            });
            let (journal, events, result) = written.await?;
            result?;
            self.journal = Some(journal);
            for event in &events {
                apply(&mut self.state, event)?;
            }
        }
        for effect in effects {
            self.carry_out(effect);
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::OfferRows(round) => self.load_draws(round),
            Effect::Weigh(round) => {
                self.leases.close_round();
                self.draws = None;
                self.announce_rows();
                self.weigh(round);
            }
            Effect::OfferTask => {
                self.leases.open_task();
                self.grant();
            }
            Effect::WriteResults => {
                self.leases.close_task();
                self.write_results();
            }
            Effect::End => self.read_outcome(),
            Effect::Announce(progress) => self.announce(progress),
        }
    }

    /// Records the checked shards together.
    async fn flush(&mut self) -> Result<(), CampaignFailure> {
        self.flush_at = None;
        let shards = std::mem::take(&mut self.checked);
        let ranges: Vec<_> = shards.iter().map(rows_of).collect();
        let round = shards.first().map(|shard| shard.round);
        let wanted_before: Vec<bool> = match &self.state.phase {
            Phase::Simulating(open) if Some(open.plan.round) == round => {
                ranges.iter().map(|rows| open.wants(rows)).collect()
            }
            Phase::New
            | Phase::Simulating(_)
            | Phase::Weighing(_)
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => vec![false; ranges.len()],
        };
        self.step(Input::ShardsChecked(shards)).await?;
        for (rows, was_wanted) in ranges.iter().zip(wanted_before) {
            if was_wanted {
                self.leases.on_committed(rows);
            } else {
                self.n_ignored += 1;
            }
        }
        self.grant();
        Ok(())
    }

    /// Adds a checked shard to the next record.
    async fn on_shard_accepted(&mut self, shard: ShardFile) -> Result<(), CampaignFailure> {
        self.checked.push(shard);
        let n_pending: u64 = self.checked.iter().map(|shard| shard.n_rows).sum();
        let is_last = match &self.state.phase {
            Phase::Simulating(open) => open.n_committed + n_pending >= open.plan.n_rows,
            Phase::New
            | Phase::Weighing(_)
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => true,
        };
        if is_last || self.checked.len() >= MAX_GROUP {
            return self.flush().await;
        }
        self.flush_at
            .get_or_insert_with(|| Instant::now() + GROUPING);
        Ok(())
    }

    fn on_tick(&mut self) {
        let expired = self.leases.expire(self.now_s());
        for lease in &expired {
            tracing::warn!(
                peer = self.leases.name(lease.peer),
                attempt = lease.attempt.0,
                "lease expired; its work is offered again"
            );
        }
        if !expired.is_empty() {
            self.grant();
        }
        self.announce_rows();
    }

    fn announce(&mut self, progress: Progress) {
        if let Progress::RoundOpened { .. } = &progress {
            self.announced_rows = 0;
        }
        self.outboxes.announce(&progress);
    }

    /// Tells how many rows are final, where that has changed.
    fn announce_rows(&mut self) {
        let (plan, n_committed, n_failed) = match &self.state.phase {
            Phase::Simulating(open) => (&open.plan, open.n_committed, open.n_failed),
            Phase::Weighing(complete) => (&complete.plan, complete.plan.n_rows, complete.n_failed),
            Phase::New
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => return,
        };
        if n_committed == self.announced_rows {
            return;
        }
        let progress = Progress::RowsCommitted {
            round: plan.round,
            n_committed,
            n_rows: plan.n_rows,
            n_failed,
        };
        self.announced_rows = n_committed;
        self.outboxes.announce(&progress);
    }

    /// Ends this run without a result; what is recorded stays.
    fn fail(&mut self, failure: CampaignFailure) {
        match &failure {
            CampaignFailure::Interrupted => {}
            CampaignFailure::Journal(_)
            | CampaignFailure::Misfit(_)
            | CampaignFailure::Draws { .. }
            | CampaignFailure::Weigh { .. }
            | CampaignFailure::Finish(_)
            | CampaignFailure::Row { .. }
            | CampaignFailure::Task { .. }
            | CampaignFailure::Service { .. }
            | CampaignFailure::Panicked { .. } => {
                let message = failure.to_string();
                tracing::error!("{message}");
                self.outboxes.announce(&Progress::Failed { message });
            }
        }
        self.ended = Some(Err(failure));
    }

    fn finish(&mut self, summary: Summary) {
        self.outboxes.done();
        let posterior = match &self.state.phase {
            Phase::Finished(finished) => finished.posterior.as_ref(),
            Phase::New
            | Phase::Simulating(_)
            | Phase::Weighing(_)
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing => None,
        };
        let model_path = summary
            .model
            .is_some()
            .then(|| self.directory.join(MODEL_DIRECTORY));
        self.ended = Some(Ok(Outcome {
            summary,
            summary_path: self.directory.join("summary.json"),
            posterior_path: posterior.map(|stored| self.directory.join(&stored.path)),
            model_path,
        }));
    }

    fn directory(&self) -> &Path {
        &self.directory
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Runs what reads and writes files off the event loop.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CampaignFailure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CampaignFailure::Panicked {
            message: error.to_string(),
        })
}
