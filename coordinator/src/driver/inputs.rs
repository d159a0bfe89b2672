//! What the driver does with each message.

use super::messages::{Message, Outbox};
use super::outbox::Outboxes;
use super::{Driver, LOOK};
use crate::campaign::decide::Input;
use crate::campaign::effects::progress_so_far;
use crate::campaign::leases::Grant;
use crate::campaign::leases::batches::{FailureVerdict, ReportVerdict};
use crate::campaign::leases::peers::Refusal;
use crate::campaign::leases::tasks::TaskVerdict;
use crate::campaign::leases::workers::Loss;
use crate::campaign::state::rows_of;
use crate::error::CampaignFailure;
use crate::metrics::Reason;
use crate::service::brief;
use sidereal_inference::account::Progress;
use sidereal_inference::base::{AttemptId, PeerId};
use sidereal_inference::records::BatchReport;
use sidereal_proto::message::{FromTrainer, FromWorker, PeerKind, Registration, Session};
use tokio::time::Instant;
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
                let attach = |all: &mut Outboxes| all.attach_worker(peer, stream, &outbox);
                if self.accepts(peer, PeerKind::Worker, &outbox, attach) {
                    self.on_worker(peer, message)?;
                }
                if self.outcome.is_some() {
                    self.outboxes.done();
                }
            }
            Message::Trainer {
                peer,
                stream,
                message,
                outbox,
            } => {
                let attach = |all: &mut Outboxes| all.attach_trainer(peer, stream, &outbox);
                if self.accepts(peer, PeerKind::Trainer, &outbox, attach) {
                    self.on_trainer(peer, message)?;
                }
                if self.outcome.is_some() {
                    self.outboxes.done();
                }
            }
            Message::Lost { peer, stream } => {
                if self.outboxes.is_attached(peer, stream) {
                    self.on_lost(peer, Loss::Vanished)?;
                }
            }
            Message::Nonsense {
                peer,
                stream,
                reason,
            } => {
                if self.outboxes.is_attached(peer, stream) {
                    self.dismiss(peer, &reason)?;
                }
            }
            Message::Watch(outbox) => {
                let missed = progress_so_far(&self.state);
                self.outboxes.watch(outbox, missed);
            }
            Message::Status(reply) => {
                // Who does not wait for the answer has gone.
                let _ = reply.send(self.with_live(self.recorded_status(), None));
            }
            Message::ShardPath {
                peer,
                attempt,
                reply,
            } => {
                self.leases.on_heard(peer, self.now_s());
                let _ = reply.send(self.leases.shard_path(peer, attempt));
            }
            Message::Interrupt => self.interrupt()?,
            Message::ServiceEnded(message) => return Err(CampaignFailure::Service { message }),
            Message::DrawsLoaded { round, result } => {
                let draws = result.map_err(|source| CampaignFailure::Draws { round, source })?;
                self.on_draws_loaded(round, draws);
            }
            Message::ShardChecked {
                peer,
                attempt,
                shard,
                seconds,
                result,
            } => match result {
                Ok(()) => {
                    self.leases.on_shard_good();
                    self.config.metrics.batch_seconds.observe(seconds);
                    self.on_shard_accepted(attempt, shard).await?;
                }
                Err(error) => {
                    let message = error.to_string();
                    let verdict = self.leases.on_shard_refused(attempt, self.now_s());
                    self.on_failure_verdict(peer, attempt, &message, verdict)?;
                    self.dismiss(peer, &message)?;
                }
            },
            Message::RowGivenUp {
                attempt,
                message,
                result,
            } => {
                let shard = result.map_err(CampaignFailure::GivenUp)?;
                let rows = rows_of(&shard);
                let given_up = shard.clone();
                self.step(Input::RowGivenUp { shard, message }).await?;
                // Another attempt may have been faster, and the round over.
                if self.state.holds(&given_up) {
                    self.on_committed(&rows);
                } else {
                    self.leases.on_ignored(attempt);
                }
                self.grant();
            }
            Message::RoundWeighed { round, result } => {
                let weighed = result.map_err(|source| CampaignFailure::Weigh { round, source })?;
                if let Some(weighed) = weighed {
                    self.step(Input::RoundWeighed(weighed)).await?;
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
                    self.dismiss(peer, &message)?;
                }
            },
            Message::ResultsWritten(result) => {
                self.step(Input::ResultsWritten(result?)).await?;
            }
            Message::OutcomeRead(result) => match result {
                Ok(summary) => self.finish(*summary),
                Err(error) => {
                    tracing::warn!(%error, "the results are written again");
                    self.write_results();
                }
            },
            Message::DirectoryLookedFor(result) => {
                self.directory_gone = result.err().map(|error| error.to_string());
                self.look_at = Some(Instant::now() + LOOK);
                self.tell_standstill();
            }
            Message::Failed(failure) => return Err(failure),
        }
        Ok(())
    }

    fn register(&mut self, registration: &Registration) -> Result<Session, Refusal> {
        let peer = self.leases.on_registered(registration, self.now_s())?;
        tracing::info!(%peer, name = registration.name, kind = ?registration.kind, "registered");
        Ok(Session {
            peer,
            run: self.config.opened.run.clone(),
            campaign: self.config.campaign.as_ref().clone(),
            directory: self.absolute_location(),
        })
    }

    /// The campaign directory as another process can open it.
    fn absolute_location(&self) -> String {
        let location = self.config.directory.location();
        if location.contains("://") {
            return location.to_owned();
        }
        // Without a current directory the name stays what it is.
        std::path::absolute(location)
            .map_or_else(|_| location.to_owned(), |path| path.display().to_string())
    }

    /// Whether a message on this stream may speak for the peer; tells the stream where it may not.
    fn accepts<T>(
        &mut self,
        peer: PeerId,
        kind: PeerKind,
        outbox: &Outbox<T>,
        attach: impl FnOnce(&mut Outboxes) -> bool,
    ) -> bool {
        let refusal = match self.leases.expect(peer, kind) {
            Err(refusal) => Status::not_found(refusal.to_string()),
            Ok(()) if attach(&mut self.outboxes) => return true,
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
            FromWorker::Credits(credits) => {
                self.leases.on_credits(peer, credits, self.now_s());
            }
            FromWorker::Report(report) => self.on_report(peer, report)?,
            FromWorker::Failure {
                attempt,
                message,
                cause,
            } => {
                let now_s = self.now_s();
                match self.leases.on_batch_failure(peer, attempt, cause, now_s) {
                    Ok(verdict) => self.on_failure_verdict(peer, attempt, &message, verdict)?,
                    Err(refusal) => self.dismiss(peer, &refusal.to_string())?,
                }
            }
            FromWorker::Heartbeat => {}
            FromWorker::Drain => self.on_lost(peer, Loss::Drained)?,
        }
        self.grant();
        Ok(())
    }

    fn on_report(&mut self, peer: PeerId, report: BatchReport) -> Result<(), CampaignFailure> {
        match self.leases.on_report(peer, &report, self.now_s()) {
            Ok(ReportVerdict::Check) => self.check_shard(peer, report),
            Ok(ReportVerdict::TooLate) => {
                self.config.metrics.reports_ignored.inc();
            }
            Err(refusal) => self.dismiss(peer, &refusal.to_string())?,
        }
        Ok(())
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
                self.config.metrics.batches_failed.inc();
                tracing::warn!(
                    worker,
                    attempt = attempt.0,
                    n_failures,
                    message,
                    "batch failed; it is offered again"
                );
            }
            FailureVerdict::Split { rows } => {
                self.config.metrics.batches_failed.inc();
                tracing::warn!(
                    worker,
                    attempt = attempt.0,
                    ?rows,
                    message,
                    "batch keeps failing; it is split"
                );
            }
            FailureVerdict::GiveUp {
                attempt,
                round,
                row,
            } => {
                self.config.metrics.batches_failed.inc();
                if let Some(n_given_up) = self.state.too_many_given_up() {
                    return Err(CampaignFailure::Rows {
                        n_given_up,
                        round,
                        row,
                        message: message.to_owned(),
                    });
                }
                tracing::error!(
                    worker,
                    round = round.0,
                    row,
                    message,
                    "row fails alone each time; it is given up and stays in its round as a failed row"
                );
                self.give_up_row(attempt, round, row, message.to_owned());
            }
            FailureVerdict::Ends { n_refused } => {
                return Err(CampaignFailure::Shards {
                    n_refused,
                    message: message.to_owned(),
                });
            }
            FailureVerdict::TooLate => {}
        }
        self.grant();
        Ok(())
    }

    fn on_trainer(&mut self, peer: PeerId, message: FromTrainer) -> Result<(), CampaignFailure> {
        self.leases.on_heard(peer, self.now_s());
        match message {
            FromTrainer::Ready => self.leases.on_ready(peer),
            FromTrainer::Report(report) => match self.leases.on_task_report(peer, report.attempt) {
                Ok(TaskVerdict::Check) => {
                    self.set_task_paused(None);
                    self.check_task(peer, *report);
                }
                Ok(
                    TaskVerdict::TooLate
                    | TaskVerdict::OfferedAgain { .. }
                    | TaskVerdict::Fails { .. },
                ) => {
                    self.config.metrics.reports_ignored.inc();
                }
                Err(refusal) => self.dismiss(peer, &refusal.to_string())?,
            },
            FromTrainer::Failure {
                attempt,
                message,
                cause,
            } => match self.leases.on_task_failure(peer, attempt, cause) {
                Ok(verdict) => {
                    self.set_task_paused(None);
                    self.on_task_verdict(peer, attempt, &message, &verdict)?;
                }
                Err(refusal) => self.dismiss(peer, &refusal.to_string())?,
            },
            FromTrainer::Training(progress) => {
                if self.leases.holds_task(peer) {
                    self.on_training(&progress);
                    self.announce(Progress::Training(progress));
                }
            }
            FromTrainer::Drawing { round, n_rows } => {
                if self.leases.holds_task(peer) {
                    self.announce(Progress::Drawing { round, n_rows });
                }
            }
            FromTrainer::Paused { reason } => {
                if self.leases.holds_task(peer) {
                    let reason = brief(&format!("{}: {reason}", self.leases.name(peer)));
                    self.set_task_paused(Some(reason));
                }
            }
            FromTrainer::Resumed => {
                if self.leases.holds_task(peer) {
                    self.set_task_paused(None);
                }
            }
            FromTrainer::Heartbeat => {}
            FromTrainer::Drain => self.on_lost(peer, Loss::Drained)?,
        }
        self.grant();
        Ok(())
    }

    fn set_task_paused(&mut self, reason: Option<String>) {
        self.task_paused = reason;
        self.tell_standstill();
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
                tracing::warn!(
                    trainer,
                    attempt = attempt.0,
                    n_failures,
                    message,
                    "task failed; it is offered again"
                );
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

    fn on_lost(&mut self, peer: PeerId, loss: Loss) -> Result<(), CampaignFailure> {
        let name = self.leases.name(peer).to_owned();
        match loss {
            Loss::Drained => tracing::info!(%peer, name, "left"),
            Loss::Vanished => tracing::warn!(%peer, name, "lost; its work is offered again"),
        }
        self.outboxes.remove(peer);
        if self.leases.holds_task(peer) {
            self.set_task_paused(None);
        }
        let message = format!("{name} was lost while it ran this");
        let now_s = self.now_s();
        let verdicts = self.leases.on_lost(peer, loss, now_s);
        let mut held_back = self.leases.held_back(now_s).into_iter();
        if let Some(held) = held_back.find(|held| !verdicts.is_empty() && held.name == name) {
            tracing::warn!(
                name,
                n_losses = held.n_losses,
                for_s = held.for_s,
                "loses what it holds again and again; it is held back while there are others"
            );
        }
        for (attempt, verdict) in verdicts {
            self.on_failure_verdict(peer, attempt, &message, verdict)?;
        }
        self.grant();
        Ok(())
    }

    /// Sends a peer that talks nonsense away; its work is offered to others.
    fn dismiss(&mut self, peer: PeerId, reason: &str) -> Result<(), CampaignFailure> {
        let reason = brief(reason);
        tracing::warn!(name = self.leases.name(peer), %peer, reason, "peer dismissed");
        self.config.metrics.on_refused(Reason::Nonsense);
        self.outboxes.close(peer, &Status::invalid_argument(reason));
        self.on_lost(peer, Loss::Drained)
    }

    /// Hands out what can be handed out.
    pub(super) fn grant(&mut self) {
        for grant in self.leases.grant(self.now_s()) {
            self.config.metrics.leases_granted.inc();
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
}
