//! The single task that owns the campaign: takes inputs one by one, records, applies, carries out.

mod inputs;
mod jobs;
mod measures;
pub mod messages;
mod outbox;

use crate::campaign::decide::{Input, decide};
use crate::campaign::effects::{Effect, effects_of};
use crate::campaign::event::{Event, Opened};
use crate::campaign::leases::Leases;
use crate::campaign::leases::rules::LeaseRules;
use crate::campaign::leases::workers::Loss;
use crate::campaign::state::{Phase, State, rows_of};
use crate::error::CampaignFailure;
use crate::finish::SUMMARY_FILE;
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::rounds::RoundDraws;
use crate::status::status_of;
use crate::verify::ShardCheck;
use messages::{Message, Messages};
use outbox::Outboxes;
use sidereal_inference::account::{CampaignStatus, LiveStatus, Progress, Summary};
use sidereal_inference::base::AttemptId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::{Directory, ShardFile, TrainingProgress};
use sidereal_proto::access::AccessFile;
use sidereal_proto::peer::at;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How long checked shards wait for others to be recorded with them.
const GROUPING: Duration = Duration::from_millis(20);
/// Most shards of one record.
const MAX_GROUP: usize = 256;
/// How often leases are looked at and progress is told.
const TICK: Duration = Duration::from_millis(100);
/// How often it is looked whether the campaign directory is still there.
const LOOK: Duration = Duration::from_secs(5);
/// Waits before a record is written again that the store refused.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Attempts of one run; far more than it can make.
const ATTEMPTS_PER_RUN: u64 = 1_000_000_000;
/// Shards that are checked at a time.
const CHECKS_AT_A_TIME: usize = 8;

/// What a finished campaign leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignOutcome {
    /// What it found.
    pub summary: Summary,
    /// Of the summary, in the campaign directory.
    pub summary_path: String,
    /// Of the posterior there; None without an observation.
    pub posterior_path: Option<String>,
    /// Folder of the final flow; None where the campaign ended with the prior.
    pub model_path: Option<String>,
}

/// What stays the same while a driver runs.
pub struct DriverConfig {
    pub directory: Directory,
    pub campaign: Arc<Campaign>,
    pub opened: Opened,
    pub metrics: Metrics,
    pub after_the_end: AfterTheEnd,
    pub shard_check: ShardCheck,
    /// What no peer knows.
    pub secret: Arc<str>,
}

/// What a coordinator does once the campaign has its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterTheEnd {
    /// Ends.
    Exit,
    /// Goes on answering status and metrics, and tells peers that nothing is left, until it is stopped.
    Linger,
}

/// The campaign and everything around it that one run knows.
pub struct Driver {
    config: DriverConfig,
    /// None while a record is being written.
    journal: Option<Journal>,
    state: State,
    started: Instant,
    leases: Leases,
    outboxes: Outboxes,
    /// Of the open round.
    draws: Option<Arc<RoundDraws>>,
    checked: Vec<(AttemptId, ShardFile)>,
    flush_at: Option<Instant>,
    checks: Arc<Semaphore>,
    messages: Messages,
    announced_rows: u64,
    training: Option<TrainingProgress>,
    /// Why the open task's trainer stands still.
    task_paused: Option<String>,
    /// Why the campaign directory cannot be used.
    directory_gone: Option<String>,
    /// Of these two, what watchers were told.
    told_pause: Option<String>,
    /// When the directory is looked for; None while it is.
    look_at: Option<Instant>,
    /// Where peers find this coordinator; told once the campaign is finished.
    access: Option<(PathBuf, AccessFile)>,
    /// There once the results are.
    outcome: Option<CampaignOutcome>,
    ended: Option<Result<CampaignOutcome, CampaignFailure>>,
}

impl Driver {
    /// The driver, and where messages to it go.
    pub fn new(
        config: DriverConfig,
        journal: Journal,
        state: State,
        rules: LeaseRules,
        access: Option<(PathBuf, AccessFile)>,
    ) -> (Self, Messages, mpsc::Receiver<Message>) {
        let (sender, inbox) = mpsc::channel(1024);
        let messages = Messages::new(sender);
        // Unique over all runs, since the journal numbers them.
        let first_attempt = AttemptId((state.n_runs + 1).saturating_mul(ATTEMPTS_PER_RUN));
        let driver = Self {
            config,
            journal: Some(journal),
            state,
            started: Instant::now(),
            leases: Leases::new(rules, first_attempt),
            outboxes: Outboxes::new(messages.clone()),
            draws: None,
            checked: Vec::new(),
            flush_at: None,
            checks: Arc::new(Semaphore::new(CHECKS_AT_A_TIME)),
            messages: messages.clone(),
            announced_rows: 0,
            training: None,
            task_paused: None,
            directory_gone: None,
            told_pause: None,
            look_at: Some(Instant::now() + LOOK),
            access,
            outcome: None,
            ended: None,
        };
        (driver, messages, inbox)
    }

    /// Takes the campaign: after this, every other run stops at its next write.
    pub async fn open(&mut self) -> Result<(), CampaignFailure> {
        let opened = Box::new(self.config.opened.clone());
        self.step(Input::Start(opened)).await
    }

    /// Whether the results are there.
    pub fn is_finished(&self) -> bool {
        self.state.results().is_some()
    }

    /// Runs until the campaign ends, fails, or is interrupted.
    pub async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
    ) -> Result<CampaignOutcome, CampaignFailure> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.ended.is_none() {
            let flush_at = self.flush_at;
            // Words of peers come before the clock: what lies in the inbox is no silence.
            let result = tokio::select! {
                biased;
                message = inbox.recv() => match message {
                    Some(message) => self.on_message(message).await,
                    None => Err(CampaignFailure::Interrupted),
                },
                () = at(flush_at) => self.flush().await,
                _ = tick.tick() => {
                    self.on_tick();
                    Ok(())
                }
            };
            if let Err(failure) = result {
                self.fail(failure);
            }
        }
        if let Some(Err(CampaignFailure::Interrupted)) = self.ended
            && self.journal.is_some()
            && self.messages.paused().is_none()
        {
            // Without this record the next coordinator only asks in vain.
            if let Err(error) = self.step(Input::Close).await {
                tracing::debug!(%error, "the end is not recorded");
            }
        }
        self.ended.unwrap_or(Err(CampaignFailure::Interrupted))
    }

    fn now_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// One step of the campaign, in the order that everything rests on: decide and apply, record, act.
    async fn step(&mut self, input: Input) -> Result<(), CampaignFailure> {
        let recorded = self.recorded_status();
        let now_s = self.now_s();
        let events = decide(&mut self.state, input, now_s)?;
        if events.is_empty() {
            return Ok(());
        }
        let events = self.record(events, recorded).await?;
        for event in &events {
            self.count(event);
        }
        for effect in effects_of(&self.state, &events) {
            self.carry_out(effect);
        }
        Ok(())
    }

    /// Makes events durable. A store that refuses (a full disk, a server that is down) pauses the campaign
    /// until it takes them or the run is interrupted; who asks meanwhile is told what is `recorded`.
    async fn record(
        &mut self,
        mut events: Vec<Event>,
        recorded: CampaignStatus,
    ) -> Result<Vec<Event>, CampaignFailure> {
        let mut pause = SHORTEST_PAUSE;
        let first_try = Instant::now();
        loop {
            let Some(mut journal) = self.journal.take() else {
                return Err(CampaignFailure::Interrupted);
            };
            let started = Instant::now();
            let written = blocking(move || {
                let result = journal.append(&events);
                (journal, events, result)
            });
            let (journal, same_events, result) = written.await?;
            events = same_events;
            self.journal = Some(journal);
            let seconds = started.elapsed().as_secs_f64();
            self.config.metrics.journal_seconds.observe(seconds);
            let error = match result {
                Ok(()) => {
                    let is_paused = self.standstill().is_some();
                    self.config.metrics.is_paused.set(i64::from(is_paused));
                    self.messages.set_paused(None);
                    if first_try.elapsed() > SHORTEST_PAUSE {
                        // Nobody was listened to meanwhile.
                        self.leases.on_all_heard(self.now_s());
                        self.outboxes.announce(&Progress::Resumed);
                    }
                    return Ok(events);
                }
                Err(JournalError::File(error)) => error,
                Err(error) => return Err(error.into()),
            };
            self.config.metrics.is_paused.set(1);
            if pause == SHORTEST_PAUSE {
                let reason = error.to_string();
                self.outboxes.announce(&Progress::Paused { reason });
            }
            let status = self.with_live(recorded.clone(), Some(error.to_string()));
            self.messages.set_paused(Some(status));
            tracing::error!(%error, retry_s = pause.as_secs(), "the campaign is paused: its journal cannot be written");
            let again_at = Instant::now() + pause;
            while Instant::now() < again_at {
                if self.messages.is_interrupted() {
                    return Err(CampaignFailure::Interrupted);
                }
                tokio::time::sleep(SHORTEST_PAUSE).await;
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::OfferRows(round) => self.load_draws(round),
            Effect::Weigh(round) => {
                for (peer, attempt) in self.leases.close_round() {
                    self.outboxes.cancel(peer, attempt);
                }
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
        let checked = std::mem::take(&mut self.checked);
        let shards = checked.iter().map(|(_, shard)| shard.clone()).collect();
        self.step(Input::ShardsChecked(shards)).await?;
        for (attempt, shard) in &checked {
            if self.state.holds(shard) {
                self.on_committed(&rows_of(shard));
            } else {
                self.config.metrics.reports_ignored.inc();
                self.leases.on_ignored(*attempt);
            }
        }
        self.grant();
        Ok(())
    }

    /// Frees the leases on rows that are final.
    fn on_committed(&mut self, rows: &Range<u64>) {
        for (peer, attempt) in self.leases.on_committed(rows) {
            self.outboxes.cancel(peer, attempt);
        }
    }

    /// Where the campaign stands, as far as it is recorded.
    fn recorded_status(&self) -> CampaignStatus {
        let elapsed_s = self.state.elapsed_at(self.now_s());
        status_of(&self.state, &self.config.campaign.name, elapsed_s)
    }

    /// The status with what only this run knows.
    fn with_live(&self, recorded: CampaignStatus, paused: Option<String>) -> CampaignStatus {
        let now_s = self.now_s();
        CampaignStatus {
            elapsed_s: self.state.elapsed_at(now_s),
            live: Some(LiveStatus {
                peers: self.leases.status(now_s),
                held_back: self.leases.held_back(now_s),
                training: self.training.clone(),
                paused: paused.or_else(|| self.standstill()),
                n_refused: self.config.metrics.n_refused(),
            }),
            ..recorded
        }
    }

    /// Adds a checked shard to the next record.
    async fn on_shard_accepted(
        &mut self,
        attempt: AttemptId,
        shard: ShardFile,
    ) -> Result<(), CampaignFailure> {
        self.checked.push((attempt, shard));
        let n_pending: u64 = self.checked.iter().map(|(_, shard)| shard.n_rows).sum();
        let waits = match &self.state.phase {
            Phase::Simulating(open) => open.n_committed + n_pending < open.plan.n_rows,
            Phase::New
            | Phase::Weighing(_)
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => false,
        };
        if !waits || self.checked.len() >= MAX_GROUP {
            return self.flush().await;
        }
        self.flush_at
            .get_or_insert_with(|| Instant::now() + GROUPING);
        Ok(())
    }

    fn on_tick(&mut self) {
        for (peer, attempt) in self.leases.expire(self.now_s()) {
            self.config.metrics.leases_expired.inc();
            tracing::warn!(
                peer = self.leases.name(peer),
                attempt = attempt.0,
                "lease expired; its work is offered again"
            );
        }
        // Peers that registered and never opened a stream.
        for peer in self.leases.silent(self.now_s()) {
            if !self.outboxes.has_stream(peer) {
                let now_s = self.now_s();
                self.leases.on_lost(peer, Loss::Drained, now_s);
            }
        }
        if self.look_at.is_some_and(|at| at <= Instant::now()) {
            self.look_at = None;
            self.look_for_directory();
        }
        // Also where nothing has expired: a batch may have become a straggler.
        self.grant();
        self.show_gauges();
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
        if let Some(current) = self.state.current_round()
            && current.n_committed != self.announced_rows
        {
            self.announced_rows = current.n_committed;
            self.outboxes.announce(&current.rows_committed());
        }
    }

    /// Ends this run without a result; what is recorded stays.
    fn fail(&mut self, failure: CampaignFailure) {
        if !matches!(failure, CampaignFailure::Interrupted) {
            let message = failure.to_string();
            tracing::error!("{message}");
            self.outboxes.announce(&Progress::Failed { message });
        }
        self.ended = Some(Err(failure));
    }

    fn finish(&mut self, summary: Summary) {
        self.outboxes.done();
        let results = self.state.results();
        let posterior = results.and_then(|results| results.posterior.as_ref());
        let outcome = CampaignOutcome {
            summary_path: SUMMARY_FILE.to_owned(),
            posterior_path: posterior.map(|stored| stored.path.clone()),
            model_path: summary.model.clone(),
            summary,
        };
        if let Some((path, access)) = &mut self.access {
            access.finished = true;
            if let Err(error) = access.store(path) {
                tracing::warn!(%error, "peers that come late are not told that the campaign is finished");
            }
        }
        match self.config.after_the_end {
            AfterTheEnd::Exit => self.ended = Some(Ok(outcome)),
            AfterTheEnd::Linger => {
                tracing::info!("the campaign is finished; staying until stopped");
                self.outcome = Some(outcome);
            }
        }
    }

    /// Ends this run: without a result unless it is there already.
    fn interrupt(&mut self) -> Result<(), CampaignFailure> {
        let outcome = self.outcome.take().ok_or(CampaignFailure::Interrupted)?;
        self.ended = Some(Ok(outcome));
        Ok(())
    }
}

/// Runs what reads and writes files off the event loop.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CampaignFailure> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
