//! What the driver does with each message, and the work that it sends off its loop.

use super::{CampaignFailure, Driver, Message, StreamId, TrainerOutbox, WorkerOutbox};
use crate::campaign::apply::final_round;
use crate::campaign::decide::Input;
use crate::campaign::effects::progress_so_far;
use crate::campaign::leases::{
    FailureVerdict, Grant, Refusal, ReportVerdict, TaskVerdict, shard_path,
};
use crate::campaign::state::{OpenTask, Phase};
use crate::finish::{finish, read_summary};
use crate::rounds::RoundDraws;
use crate::verify::{Expectation, check_report};
use crate::weigh::weigh;
use sidereal_inference::ids::{AttemptId, PeerId, RoundId};
use sidereal_inference::progress::Progress;
use sidereal_inference::shard;
use sidereal_inference::task::{BatchLease, BatchReport, TrainerReport, TrainerTask};
use sidereal_proto::message::{
    FromTrainer, FromWorker, PeerKind, Registration, Session, ToTrainer, ToWorker,
};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tonic::Status;

impl Driver {
    pub(super) async fn on_message(&mut self, message: Message) -> Result<(), CampaignFailure> {
        match message {
            Message::Register {
                registration,
                reply,
            } => {
                // Who does not wait for the answer has gone.
                let _ = reply.send(self.register(&registration));
            }
            Message::Worker {
                peer,
                stream,
                message,
                outbox,
            } => {
                if self.accepts_worker(peer, stream, &outbox) {
                    self.on_worker(peer, message)?;
                }
            }
            Message::Trainer {
                peer,
                stream,
                message,
                outbox,
            } => {
                if self.accepts_trainer(peer, stream, &outbox) {
                    self.on_trainer(peer, message)?;
                }
            }
            Message::Lost { peer, stream } => {
                if self.outboxes.is_attached(peer, stream) {
                    self.on_lost(peer);
                }
            }
            Message::Nonsense {
                peer,
                stream,
                reason,
            } => {
                if self.outboxes.is_attached(peer, stream) {
                    self.dismiss(peer, &reason);
                }
            }
            Message::Watch(outbox) => {
                let missed = progress_so_far(&self.state);
                self.outboxes.watch(outbox, missed);
            }
            Message::Interrupt => return Err(CampaignFailure::Interrupted),
            Message::ServiceEnded(message) => return Err(CampaignFailure::Service { message }),
            Message::DrawsLoaded { round, result } => {
                let draws = result.map_err(|source| CampaignFailure::Draws { round, source })?;
                self.on_draws_loaded(round, draws);
            }
            Message::ShardChecked {
                peer,
                attempt,
                shard,
                result,
            } => match result {
                Ok(()) => self.on_shard_accepted(shard).await?,
                Err(error) => {
                    let message = error.to_string();
                    let verdict = self.leases.on_shard_refused(attempt);
                    self.on_failure_verdict(peer, attempt, &message, verdict)?;
                    self.dismiss(peer, &message);
                }
            },
            Message::RoundWeighed { round, result } => {
                let weighed = result.map_err(|source| CampaignFailure::Weigh { round, source })?;
                if let Some((summary, combined)) = weighed {
                    let summary = Box::new(summary);
                    self.step(Input::RoundWeighed { summary, combined }).await?;
                }
            }
            Message::TaskChecked {
                peer,
                attempt,
                result,
            } => match result {
                Ok(result) => {
                    self.leases.close_task();
                    self.step(Input::TaskChecked(result)).await?;
                }
                Err(error) => {
                    let message = error.to_string();
                    let verdict = self.leases.on_task_refused(attempt);
                    self.on_task_verdict(peer, attempt, &message, &verdict)?;
                    self.dismiss(peer, &message);
                }
            },
            Message::ResultsWritten(result) => {
                let results = result?;
                self.step(Input::ResultsWritten {
                    summary: results.summary,
                    posterior: results.posterior,
                })
                .await?;
            }
            Message::OutcomeRead(result) => match result {
                Ok(summary) => self.finish(*summary),
                Err(error) => {
                    tracing::warn!(%error, "the results are written again");
                    self.write_results();
                }
            },
            Message::Failed(failure) => return Err(failure),
        }
        Ok(())
    }

    fn register(&mut self, registration: &Registration) -> Result<Session, Refusal> {
        let peer = self.leases.on_registered(registration)?;
        tracing::info!(%peer, name = registration.name, kind = ?registration.kind, "registered");
        Ok(Session {
            peer,
            run: self.opened.run.clone(),
            campaign: self.campaign.as_ref().clone(),
            directory: self.directory.display().to_string(),
        })
    }

    /// Whether a message on this stream may speak for the peer; tells the stream where it may not.
    fn accepts_worker(&mut self, peer: PeerId, stream: StreamId, outbox: &WorkerOutbox) -> bool {
        let refusal = match self.leases.expect(peer, PeerKind::Worker) {
            Err(refusal) => Status::not_found(refusal.to_string()),
            Ok(()) if self.outboxes.attach_worker(peer, stream, outbox) => return true,
            Ok(()) => Status::already_exists(format!("{peer} has another stream already")),
        };
        tracing::warn!(reason = refusal.message(), "stream refused");
        // Who does not listen needs no reason.
        let _ = outbox.try_send(Err(refusal));
        false
    }

    fn on_worker(&mut self, peer: PeerId, message: FromWorker) -> Result<(), CampaignFailure> {
        self.leases.on_heard(peer, self.now_s());
        match message {
            FromWorker::Credits(credits) => self.leases.on_credits(peer, credits),
            FromWorker::Report(report) => self.on_report(peer, report),
            FromWorker::Failure { attempt, message } => {
                match self.leases.on_batch_failure(peer, attempt) {
                    Ok(verdict) => self.on_failure_verdict(peer, attempt, &message, verdict)?,
                    Err(refusal) => self.dismiss(peer, &refusal.to_string()),
                }
            }
            FromWorker::Heartbeat => {}
            FromWorker::Drain => self.on_lost(peer),
        }
        self.grant();
        Ok(())
    }

    fn on_report(&mut self, peer: PeerId, report: BatchReport) {
        match self.leases.on_report(peer, &report) {
            Ok(ReportVerdict::Check) => self.check_shard(peer, report),
            Ok(ReportVerdict::TooLate) => self.n_ignored += 1,
            Err(refusal) => self.dismiss(peer, &refusal.to_string()),
        }
    }

    fn on_failure_verdict(
        &mut self,
        peer: PeerId,
        attempt: AttemptId,
        message: &str,
        verdict: FailureVerdict,
    ) -> Result<(), CampaignFailure> {
        let worker = self.leases.name(peer);
        match verdict {
            FailureVerdict::OfferedAgain { n_failures } => {
                tracing::warn!(worker, attempt = attempt.0, n_failures, message, "batch failed; it is offered again");
            }
            FailureVerdict::Split { rows } => {
                tracing::warn!(worker, attempt = attempt.0, ?rows, message, "batch keeps failing; it is split");
            }
            FailureVerdict::RowFails { round, row } => {
                return Err(CampaignFailure::Row {
                    round,
                    row,
                    message: message.to_owned(),
                });
            }
            FailureVerdict::TooLate => {}
        }
        self.grant();
        Ok(())
    }

    /// Whether a message on this stream may speak for the peer; tells the stream where it may not.
    fn accepts_trainer(&mut self, peer: PeerId, stream: StreamId, outbox: &TrainerOutbox) -> bool {
        let refusal = match self.leases.expect(peer, PeerKind::Trainer) {
            Err(refusal) => Status::not_found(refusal.to_string()),
            Ok(()) if self.outboxes.attach_trainer(peer, stream, outbox) => return true,
            Ok(()) => Status::already_exists(format!("{peer} has another stream already")),
        };
        tracing::warn!(reason = refusal.message(), "stream refused");
        // Who does not listen needs no reason.
        let _ = outbox.try_send(Err(refusal));
        false
    }

    fn on_trainer(&mut self, peer: PeerId, message: FromTrainer) -> Result<(), CampaignFailure> {
        self.leases.on_heard(peer, self.now_s());
        match message {
            FromTrainer::Ready => self.leases.on_ready(peer),
            FromTrainer::Report(report) => match self.leases.on_task_report(peer, report.attempt) {
                Ok(TaskVerdict::Check) => self.check_task(peer, *report),
                Ok(
                    TaskVerdict::TooLate
                    | TaskVerdict::OfferedAgain { .. }
                    | TaskVerdict::Fails { .. },
                ) => self.n_ignored += 1,
                Err(refusal) => self.dismiss(peer, &refusal.to_string()),
            },
            FromTrainer::Failure { attempt, message } => {
                match self.leases.on_task_failure(peer, attempt) {
                    Ok(verdict) => self.on_task_verdict(peer, attempt, &message, &verdict)?,
                    Err(refusal) => self.dismiss(peer, &refusal.to_string()),
                }
            }
            FromTrainer::Training(progress) => {
                if self.leases.holds_task(peer) {
                    self.announce(Progress::Training(progress));
                }
            }
            FromTrainer::Drawing { round, n_rows } => {
                if self.leases.holds_task(peer) {
                    self.announce(Progress::Drawing { round, n_rows });
                }
            }
            FromTrainer::Heartbeat => {}
            FromTrainer::Drain => self.on_lost(peer),
        }
        self.grant();
        Ok(())
    }

    fn on_task_verdict(
        &mut self,
        peer: PeerId,
        attempt: AttemptId,
        message: &str,
        verdict: &TaskVerdict,
    ) -> Result<(), CampaignFailure> {
        let trainer = self.leases.name(peer);
        match verdict {
            TaskVerdict::OfferedAgain { n_failures } => {
                tracing::warn!(trainer, attempt = attempt.0, n_failures, message, "task failed; it is offered again");
                self.grant();
            }
            TaskVerdict::Fails { n_failures } => {
                return Err(CampaignFailure::Task {
                    n_failures: *n_failures,
                    message: message.to_owned(),
                });
            }
            TaskVerdict::Check | TaskVerdict::TooLate => {}
        }
        Ok(())
    }

    fn on_lost(&mut self, peer: PeerId) {
        self.outboxes.remove(peer);
        self.leases.on_lost(peer);
        self.grant();
    }

    /// Sends a peer that talks nonsense away; its work is offered to others.
    fn dismiss(&mut self, peer: PeerId, reason: &str) {
        tracing::warn!(name = self.leases.name(peer), %peer, reason, "peer dismissed");
        self.outboxes
            .close(peer, &Status::invalid_argument(reason.to_owned()));
        self.on_lost(peer);
    }

    /// Hands out what can be handed out.
    pub(super) fn grant(&mut self) {
        for grant in self.leases.grant(self.now_s()) {
            match grant {
                Grant::Batch {
                    peer,
                    attempt,
                    round,
                    rows,
                } => self.send_batch(peer, attempt, round, rows),
                Grant::Task { peer, attempt } => self.send_task(peer, attempt),
            }
        }
    }

    fn send_batch(&mut self, peer: PeerId, attempt: AttemptId, round: RoundId, rows: Range<u64>) {
        let (Some(draws), Some(outbox)) = (self.draws.clone(), self.outboxes.worker(peer)) else {
            return;
        };
        let outbox = outbox.clone();
        let campaign = Arc::clone(&self.campaign);
        let lease_s = self.leases.lease_s();
        // Making draws takes time that the loop does not have.
        self.spawn(move || {
            let lease = BatchLease {
                attempt,
                shard_path: shard_path(round, &rows, attempt),
                draws: draws.rows(&campaign, rows),
                lease_s,
            };
            // A worker that is gone is noticed by its stream.
            let _ = outbox.blocking_send(Ok(ToWorker::Lease(lease)));
            None
        });
    }

    fn send_task(&mut self, peer: PeerId, attempt: AttemptId) {
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
            rounds: self
                .state
                .rounds
                .iter()
                .map(|round| round.files.clone())
                .collect(),
            models: self.state.models.clone(),
            output,
            earlier_attempts: Vec::new(),
            lease_s: self.leases.lease_s(),
        };
        let directory = self.directory().to_owned();
        self.spawn(move || {
            task.earlier_attempts = attempts_in(&directory, &parent, attempt);
            // A trainer that is gone is noticed by its stream.
            let _ = outbox.blocking_send(Ok(ToTrainer::Task(Box::new(task))));
            None
        });
    }

    pub(super) fn load_draws(&mut self, round: RoundId) {
        let Phase::Simulating(open) = &self.state.phase else {
            return;
        };
        let plan = open.plan.clone();
        let directory = self.directory().to_owned();
        let campaign = Arc::clone(&self.campaign);
        self.spawn(move || {
            let result = RoundDraws::load(&directory, &campaign, &plan).map(Arc::new);
            Some(Message::DrawsLoaded { round, result })
        });
    }

    fn on_draws_loaded(&mut self, round: RoundId, draws: Arc<RoundDraws>) {
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

    fn check_shard(&mut self, peer: PeerId, report: BatchReport) {
        let Some(draws) = self.draws.clone() else {
            return;
        };
        let campaign = Arc::clone(&self.campaign);
        let directory = self.directory().to_owned();
        let permits = Arc::clone(&self.checks);
        let messages = self.messages.clone();
        tokio::spawn(async move {
            // Never closed.
            let _permit = permits.acquire_owned().await;
            let BatchReport { attempt, shard, .. } = report;
            let checking = tokio::task::spawn_blocking(move || {
                let rows = crate::campaign::state::rows_of(&shard);
                let result = shard::check(
                    &directory,
                    &shard,
                    &campaign.space,
                    campaign.simulator.grid.len(),
                    match campaign.observation {
                        Some(_) => shard::Weighed::ByObservation,
                        None => shard::Weighed::Never,
                    },
                    &draws.rows(&campaign, rows),
                );
                (shard, result)
            });
            let message = match checking.await {
                Ok((shard, result)) => Message::ShardChecked {
                    peer,
                    attempt,
                    shard,
                    result,
                },
                Err(error) => Message::Failed(CampaignFailure::Panicked {
                    message: error.to_string(),
                }),
            };
            // A driver that has ended needs no answer.
            let _ = messages.send(message).await;
        });
    }

    fn check_task(&mut self, peer: PeerId, report: TrainerReport) {
        let Phase::Training(open) = &self.state.phase else {
            return;
        };
        let attempt = report.attempt;
        let expectation = Expectation {
            task: open.task.clone(),
            output: format!("{}/attempt-{}", task_directory(open), attempt.0),
            rounds: self.state.rounds.clone(),
            flows: self.state.flows(),
        };
        let campaign = Arc::clone(&self.campaign);
        let directory = self.directory().to_owned();
        self.spawn(move || {
            let result = check_report(&directory, &campaign, &expectation, report).map(Box::new);
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
        let mut rounds: Vec<_> = self
            .state
            .rounds
            .iter()
            .map(|round| round.files.clone())
            .collect();
        rounds.push(final_round(complete));
        let campaign = Arc::clone(&self.campaign);
        let directory = self.directory().to_owned();
        self.spawn(move || {
            let result = weigh(&directory, &campaign, &rounds, kind);
            Some(Message::RoundWeighed { round, result })
        });
    }

    pub(super) fn write_results(&mut self) {
        let campaign = Arc::clone(&self.campaign);
        let directory = self.directory().to_owned();
        let state = self.state.clone();
        self.spawn(move || {
            Some(Message::ResultsWritten(finish(
                &directory, &campaign, &state,
            )))
        });
    }

    pub(super) fn read_outcome(&mut self) {
        let Phase::Finished(finished) = &self.state.phase else {
            return;
        };
        let stored = finished.summary.clone();
        let directory = self.directory().to_owned();
        self.spawn(move || {
            let result = read_summary(&directory, &stored).map(Box::new);
            Some(Message::OutcomeRead(result))
        });
    }

    /// Runs work that reads or writes files; what it returns comes back as a message.
    fn spawn(&self, work: impl FnOnce() -> Option<Message> + Send + 'static) {
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let message = match tokio::task::spawn_blocking(work).await {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => Message::Failed(CampaignFailure::Panicked {
                    message: error.to_string(),
                }),
            };
            // A driver that has ended needs no answer.
            let _ = messages.send(message).await;
        });
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
fn attempts_in(directory: &Path, parent: &str, own: AttemptId) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory.join(parent)) else {
        // The first attempt makes it.
        return Vec::new();
    };
    let mut attempts: Vec<u64> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_prefix("attempt-")?.parse().ok())
        .filter(|&attempt| attempt != own.0)
        .collect();
    attempts.sort_unstable();
    attempts
        .into_iter()
        .map(|attempt| format!("{parent}/attempt-{attempt}"))
        .collect()
}
