//! What the driver shows: numbers to those who measure, and why nothing goes on.

use super::Driver;
use crate::campaign::event::{Event, Fact};
use sidereal_inference::account::Progress;
use sidereal_inference::records::TrainingProgress;

impl Driver {
    /// Why nothing goes on though the journal can be written.
    pub(super) fn standstill(&self) -> Option<String> {
        let reason = self.directory_gone.as_ref().or(self.task_paused.as_ref());
        reason.cloned()
    }

    /// Tells why nothing goes on, where that has changed.
    pub(super) fn tell_standstill(&mut self) {
        let reason = self.standstill();
        if reason == self.told_pause {
            return;
        }
        self.told_pause.clone_from(&reason);
        self.config
            .metrics
            .is_paused
            .set(i64::from(reason.is_some()));
        self.announce(match reason {
            Some(reason) => {
                tracing::error!(reason, "the campaign is paused");
                Progress::Paused { reason }
            }
            None => Progress::Resumed,
        });
    }

    /// Shows what has happened to those who measure.
    pub(super) fn count(&self, event: &Event) {
        let metrics = &self.config.metrics;
        match &event.fact {
            Fact::ShardCommitted(shard) => {
                metrics.rows_committed.inc_by(shard.n_rows);
                metrics.rows_failed.inc_by(shard.n_failed);
                metrics.shard_bytes.inc_by(shard.file.n_bytes);
            }
            Fact::RoundOpened(opened) => {
                metrics.round.set(opened.round.0.into());
            }
            Fact::RoundWeighed {
                summary, combined, ..
            } => {
                // Around a few places it is no efficiency of the proposal.
                if !summary.proposal.is_local() {
                    metrics.efficiency.set(summary.all.efficiency);
                }
                if let Some(combined) = combined {
                    metrics.effective_sample_size.set(combined.n_eff);
                }
            }
            Fact::Reused(reused) => {
                if let Some(combined) = &reused.combined {
                    metrics.effective_sample_size.set(combined.n_eff);
                }
            }
            Fact::Opened(_)
            | Fact::Closed
            | Fact::RowGivenUp { .. }
            | Fact::TaskOpened(_)
            | Fact::TaskCommitted(_)
            | Fact::Stopped { .. }
            | Fact::Reopened
            | Fact::Finished { .. } => {}
        }
    }

    pub(super) fn on_training(&mut self, progress: &TrainingProgress) {
        self.config.metrics.epoch.set(progress.epoch.into());
        self.config
            .metrics
            .training_loss
            .set(progress.training_loss);
        self.config
            .metrics
            .validation_loss
            .set(progress.validation_loss);
        self.training = Some(progress.clone());
    }

    pub(super) fn show_gauges(&self) {
        let (n_workers, n_trainers) = self.leases.n_peers();
        self.config.metrics.workers.set(gauge(n_workers));
        self.config.metrics.trainers.set(gauge(n_trainers));
        self.config
            .metrics
            .leases_active
            .set(gauge(self.leases.n_leased()));
        let n_simulations = self.state.n_simulations();
        self.config
            .metrics
            .simulations
            .set(i64::try_from(n_simulations).unwrap_or(i64::MAX));
    }
}

fn gauge(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
