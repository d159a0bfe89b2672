//! Work that the driver sends off its loop: all that reads or writes files, or takes long.

use super::Driver;
use super::messages::{Message, Messages};
use crate::campaign::apply::final_round;
use crate::campaign::leases::batches::shard_path;
use crate::campaign::state::{OpenTask, Phase};
use crate::finish::{FinishError, finish, read_summary};
use crate::rounds::RoundDraws;
use crate::verify::{AskedRows, Expectation, ReportError, check_report};
use crate::weigh::{WeighError, weigh};
use sidereal_inference::base::{AttemptId, PeerId, RoundId, while_store_fails};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::shard::{ShardLayout, ShardRows};
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{
    BatchLease, BatchReport, Directory, FinalRound, TrainerReport, TrainerTask,
};
use sidereal_proto::message::ToTrainer;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

/// What work off the loop has at hand.
struct Desk {
    directory: Directory,
    campaign: Arc<Campaign>,
    driver: Messages,
}

impl Driver {
    pub(super) fn send_batch(
        &mut self,
        peer: PeerId,
        attempt: AttemptId,
        round: RoundId,
        rows: Range<u64>,
    ) {
        let Some(draws) = self.draws.clone() else {
            return;
        };
        let campaign = Arc::clone(&self.config.campaign);
        let lease_s = self.leases.lease_s();
        let make = move || BatchLease {
            attempt,
            shard_path: shard_path(round, &rows, attempt),
            draws: draws.rows(&campaign, rows),
            lease_s,
        };
        // A worker that is gone is noticed by its stream.
        let _ = self.outboxes.send_lease(peer, Box::new(make));
    }

    pub(super) fn send_task(&mut self, peer: PeerId, attempt: AttemptId) {
        let (Phase::Training(open), Some(outbox)) =
            (&self.state.phase, self.outboxes.trainer(peer))
        else {
            return;
        };
        let outbox = outbox.clone();
        let parent = task_directory(open);
        let output = format!("{parent}/attempt-{}", attempt.0);
        let mut task = TrainerTask {
            attempt,
            train: open.task.train,
            draw: open.task.draw.clone(),
            rounds: self.weighed_files(),
            models: self.state.models.clone(),
            reused: self
                .state
                .reused
                .as_ref()
                .map_or_else(Vec::new, |reused| reused.proposals.clone()),
            output,
            earlier_attempts: Vec::new(),
            lease_s: self.leases.lease_s(),
        };
        self.spawn(move |desk| {
            task.earlier_attempts = attempts_in(&desk.directory, &parent, attempt);
            // A trainer that is gone is noticed by its stream.
            let _ = outbox.try_send(Ok(ToTrainer::Task(Box::new(task))));
            None
        });
    }

    pub(super) fn load_draws(&mut self, round: RoundId) {
        let Phase::Simulating(open) = &self.state.phase else {
            return;
        };
        let stored = open.plan.draws.clone();
        self.spawn(move |desk| {
            let load = || RoundDraws::load(&desk.directory, &desk.campaign, round, stored.as_ref());
            let result = desk.patiently(TableError::is_store_fault, load);
            let result = result.map(Arc::new);
            Some(Message::DrawsLoaded { round, result })
        });
    }

    pub(super) fn on_draws_loaded(&mut self, round: RoundId, draws: Arc<RoundDraws>) {
        let Phase::Simulating(open) = &self.state.phase else {
            return;
        };
        if open.plan.round != round {
            return;
        }
        let missing = open.missing();
        self.draws = Some(draws);
        self.leases.open_round(round, missing);
        self.grant();
    }

    pub(super) fn check_shard(&mut self, peer: PeerId, report: BatchReport) {
        let Some(draws) = self.draws.clone() else {
            return;
        };
        let asked = AskedRows {
            directory: self.config.directory.clone(),
            campaign: Arc::clone(&self.config.campaign),
            draws,
            secret: Arc::clone(&self.config.secret),
        };
        let check = self.config.shard_check;
        let work = self.off_the_loop(move |desk| {
            let BatchReport {
                attempt,
                shard,
                seconds,
            } = report;
            let result = desk.patiently(TableError::is_store_fault, || check(&shard, &asked));
            Some(Message::ShardChecked {
                peer,
                attempt,
                shard,
                seconds,
                result,
            })
        });
        let permits = Arc::clone(&self.checks);
        tokio::spawn(async move {
            // Never closed.
            let _permit = permits.acquire_owned().await;
            work.await;
        });
    }

    /// Writes the shard of a row that nobody can run: a failed row with its message.
    pub(super) fn give_up_row(
        &mut self,
        attempt: AttemptId,
        round: RoundId,
        row: u64,
        message: String,
    ) {
        let Some(draws) = self.draws.clone() else {
            return;
        };
        self.spawn(move |desk| {
            let campaign = &desk.campaign;
            let rows = row..row + 1;
            let given_up = draws.rows(campaign, rows.clone());
            let shard = ShardRows::given_up(given_up, ShardLayout::of(campaign), &message);
            let path = shard_path(round, &rows, attempt);
            let store = || shard.store(&desk.directory, &path, &campaign.space);
            let result = desk.patiently(TableError::is_store_fault, store);
            Some(Message::RowGivenUp {
                attempt,
                message,
                result,
            })
        });
    }

    pub(super) fn check_task(&mut self, peer: PeerId, report: TrainerReport) {
        let Phase::Training(open) = &self.state.phase else {
            return;
        };
        let attempt = report.attempt;
        let expectation = Expectation {
            task: open.task.clone(),
            output: format!("{}/attempt-{}", task_directory(open), attempt.0),
            rounds: self.state.rounds.clone(),
            flows: self.state.scored_under(),
        };
        self.spawn(move |desk| {
            let (directory, campaign) = (&desk.directory, &desk.campaign);
            let check = || check_report(directory, campaign, &expectation, report.clone());
            let result = desk.patiently(ReportError::is_store_fault, check);
            let result = result.map(Box::new);
            Some(Message::TaskChecked {
                peer,
                attempt,
                result,
            })
        });
    }

    pub(super) fn weigh(&mut self, round: RoundId) {
        let Phase::Weighing(complete) = &self.state.phase else {
            return;
        };
        let kind = complete.plan.kind;
        let mut rounds = self.weighed_files();
        rounds.push(final_round(complete));
        let objectives = self.state.objectives();
        let probing = self.state.probing.clone();
        self.spawn(move |desk| {
            let (directory, campaign) = (&desk.directory, &desk.campaign);
            let probing = probing.as_ref();
            let weigh = || weigh(directory, campaign, &rounds, kind, &objectives, probing);
            let result = desk.patiently(WeighError::is_store_fault, weigh);
            let result = result.map(|findings| findings.map(Box::new));
            Some(Message::RoundWeighed { round, result })
        });
    }

    pub(super) fn write_results(&mut self) {
        let state = self.state.clone();
        self.spawn(move |desk| {
            let finish = || finish(&desk.directory, &desk.campaign, &state);
            let result = desk.patiently(FinishError::is_store_fault, finish);
            Some(Message::ResultsWritten(result))
        });
    }

    pub(super) fn read_outcome(&mut self) {
        let Some(results) = self.state.results() else {
            return;
        };
        let stored = results.summary.clone();
        self.spawn(move |desk| {
            let result = read_summary(&desk.directory, &stored).map(Box::new);
            Some(Message::OutcomeRead(result))
        });
    }

    pub(super) fn look_for_directory(&self) {
        self.spawn(|desk| {
            let found = desk.directory.expect_there();
            Some(Message::DirectoryLookedFor(found))
        });
    }

    fn weighed_files(&self) -> Vec<FinalRound> {
        let rounds = self.state.rounds.iter();
        rounds.map(|round| round.files.clone()).collect()
    }

    /// Runs work that reads or writes files; what it returns comes back as a message.
    fn spawn(&self, work: impl FnOnce(&Desk) -> Option<Message> + Send + 'static) {
        tokio::spawn(self.off_the_loop(work));
    }

    fn off_the_loop<W>(&self, work: W) -> impl Future<Output = ()> + Send + use<W>
    where
        W: FnOnce(&Desk) -> Option<Message> + Send + 'static,
    {
        let desk = Desk {
            directory: self.config.directory.clone(),
            campaign: Arc::clone(&self.config.campaign),
            driver: self.messages.clone(),
        };
        let messages = self.messages.clone();
        async move {
            let message = match tokio::task::spawn_blocking(move || work(&desk)).await {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => Message::Failed(error.into()),
            };
            // A driver that has ended needs no answer.
            let _ = messages.send(message).await;
        }
    }
}

impl Desk {
    /// Does work on files again and again while the storage is at fault: that is neither a peer's fault nor the
    /// campaign's end. Gives up where the driver has ended or is about to.
    fn patiently<T, E: Display>(
        &self,
        is_store_fault: fn(&E) -> bool,
        work: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let pause = |error: &E, wait: Duration| {
            if self.driver.has_ended() {
                return ControlFlow::Break(());
            }
            tracing::warn!(%error, retry_s = wait.as_secs_f64(), "the store does not answer; tried again");
            std::thread::sleep(wait);
            ControlFlow::Continue(())
        };
        while_store_fails(is_store_fault, pause, work)
    }
}

/// Where the attempts at a task have their directories.
fn task_directory(open: &OpenTask) -> String {
    match (open.task.train, &open.task.draw) {
        (Some(flow), _) => format!("rounds/{:03}/model", flow.0),
        (None, Some(draw)) => format!("rounds/{:03}/draw", draw.round.0),
        (None, None) => "rounds/none".to_owned(),
    }
}

/// Directories of other attempts, of this and of earlier runs, oldest first.
fn attempts_in(directory: &Directory, parent: &str, own: AttemptId) -> Vec<String> {
    let names = directory.list(parent).unwrap_or_else(|error| {
        // Only checkpoints are lost by that.
        tracing::warn!(%error, "earlier attempts cannot be listed");
        Vec::new()
    });
    let attempt = |path: &String| -> Option<u64> {
        let name = path.strip_prefix(parent)?.strip_prefix("/attempt-")?;
        name.split('/').next()?.parse().ok()
    };
    let attempts: BTreeSet<u64> = names
        .iter()
        .filter_map(attempt)
        .filter(|&attempt| attempt != own.0)
        .collect();
    attempts
        .into_iter()
        .map(|attempt| format!("{parent}/attempt-{attempt}"))
        .collect()
}
