//! Leases, tasks and reports between wire and domain.

use super::wire_error::{WireError, finite_and_not_negative, path_inside, required, sha256};
use crate::v1;
use sidereal_inference::base::{AttemptId, FlowId, RoundId};
use sidereal_inference::records::{
    BatchLease, BatchReport, DrawTask, FinalRound, TrainerReport, TrainerTask, TrainingProgress,
    TrainingSummary,
};
use sidereal_inference::weights::Objective;

impl From<&BatchLease> for v1::BatchLease {
    fn from(lease: &BatchLease) -> Self {
        Self {
            attempt: lease.attempt.0,
            draws: Some((&lease.draws).into()),
            shard_path: lease.shard_path.clone(),
            lease_s: lease.lease_s,
        }
    }
}

impl TryFrom<v1::BatchLease> for BatchLease {
    type Error = WireError;

    fn try_from(wire: v1::BatchLease) -> Result<Self, WireError> {
        const MESSAGE: &str = "batch lease";
        Ok(Self {
            attempt: AttemptId(wire.attempt),
            draws: required(wire.draws, MESSAGE, "draws")?.try_into()?,
            shard_path: path_inside(wire.shard_path, MESSAGE, "shard_path")?,
            lease_s: finite_and_not_negative(wire.lease_s, MESSAGE, "lease_s")?,
        })
    }
}

impl From<&BatchReport> for v1::BatchReport {
    fn from(report: &BatchReport) -> Self {
        Self {
            attempt: report.attempt.0,
            shard: Some((&report.shard).into()),
            seconds: report.seconds,
        }
    }
}

impl TryFrom<v1::BatchReport> for BatchReport {
    type Error = WireError;

    fn try_from(wire: v1::BatchReport) -> Result<Self, WireError> {
        const MESSAGE: &str = "batch report";
        Ok(Self {
            attempt: AttemptId(wire.attempt),
            shard: required(wire.shard, MESSAGE, "shard")?.try_into()?,
            seconds: finite_and_not_negative(wire.seconds, MESSAGE, "seconds")?,
        })
    }
}

impl From<&DrawTask> for v1::DrawTask {
    fn from(task: &DrawTask) -> Self {
        Self {
            round: task.round.0,
            n_rows: task.n_rows,
            proposal: Some((&task.proposal).into()),
        }
    }
}

impl TryFrom<v1::DrawTask> for DrawTask {
    type Error = WireError;

    fn try_from(wire: v1::DrawTask) -> Result<Self, WireError> {
        const MESSAGE: &str = "draw task";
        Ok(Self {
            round: RoundId(wire.round),
            n_rows: wire.n_rows,
            proposal: required(wire.proposal, MESSAGE, "proposal")?.try_into()?,
        })
    }
}

impl From<&FinalRound> for v1::FinalRound {
    fn from(round: &FinalRound) -> Self {
        Self {
            round: round.round.0,
            n_rows: round.n_rows,
            proposal: Some((&round.proposal).into()),
            shards: round.shards.iter().map(Into::into).collect(),
            draws: round.draws.as_ref().map(Into::into),
            scores: round.scores.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::FinalRound> for FinalRound {
    type Error = WireError;

    fn try_from(wire: v1::FinalRound) -> Result<Self, WireError> {
        const MESSAGE: &str = "final round";
        Ok(Self {
            round: RoundId(wire.round),
            n_rows: wire.n_rows,
            proposal: required(wire.proposal, MESSAGE, "proposal")?.try_into()?,
            shards: all(wire.shards)?,
            draws: wire.draws.map(TryInto::try_into).transpose()?,
            scores: all(wire.scores)?,
        })
    }
}

impl From<&TrainerTask> for v1::TrainerTask {
    fn from(task: &TrainerTask) -> Self {
        Self {
            attempt: task.attempt.0,
            train: task.train.map(|flow| flow.0),
            draw: task.draw.as_ref().map(Into::into),
            rounds: task.rounds.iter().map(Into::into).collect(),
            models: task.models.iter().map(Into::into).collect(),
            reused: task.reused.iter().map(Into::into).collect(),
            output: task.output.clone(),
            earlier_attempts: task.earlier_attempts.clone(),
            lease_s: task.lease_s,
        }
    }
}

impl TryFrom<v1::TrainerTask> for TrainerTask {
    type Error = WireError;

    fn try_from(wire: v1::TrainerTask) -> Result<Self, WireError> {
        const MESSAGE: &str = "trainer task";
        let earlier_attempts = wire
            .earlier_attempts
            .into_iter()
            .map(|path| path_inside(path, MESSAGE, "earlier_attempts"))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            attempt: AttemptId(wire.attempt),
            train: wire.train.map(FlowId),
            draw: wire.draw.map(TryInto::try_into).transpose()?,
            rounds: all(wire.rounds)?,
            models: all(wire.models)?,
            reused: all(wire.reused)?,
            output: path_inside(wire.output, MESSAGE, "output")?,
            earlier_attempts,
            lease_s: finite_and_not_negative(wire.lease_s, MESSAGE, "lease_s")?,
        })
    }
}

impl From<&TrainingSummary> for v1::TrainingSummary {
    fn from(summary: &TrainingSummary) -> Self {
        Self {
            flow: summary.flow.0,
            n_rows: summary.n_rows,
            n_epochs: summary.n_epochs,
            best_epoch: summary.best_epoch,
            best_validation_loss: summary.best_validation_loss,
            training_loss: summary.training_loss.clone(),
            validation_loss: summary.validation_loss.clone(),
            n_recoveries: summary.n_recoveries,
            weights_sha256: summary.weights_sha256.clone(),
            weighted_draws_exponent: match summary.objective {
                Objective::Simulations | Objective::SurrogateDraws => None,
                Objective::WeightedDraws { exponent } => Some(exponent),
            },
            surrogate_draws: summary.objective == Objective::SurrogateDraws,
        }
    }
}

impl TryFrom<v1::TrainingSummary> for TrainingSummary {
    type Error = WireError;

    /// Losses are finite: a trainer falls back to its last good epoch before it reports.
    fn try_from(wire: v1::TrainingSummary) -> Result<Self, WireError> {
        const MESSAGE: &str = "training summary";
        for (field, losses) in [
            (
                "best_validation_loss",
                std::slice::from_ref(&wire.best_validation_loss),
            ),
            ("training_loss", &wire.training_loss),
            ("validation_loss", &wire.validation_loss),
        ] {
            if let Some(loss) = losses.iter().find(|loss| !loss.is_finite()) {
                return Err(WireError::Value {
                    message: MESSAGE,
                    field,
                    found: loss.to_string(),
                    expected: "a finite number",
                });
            }
        }
        let objective = match wire.weighted_draws_exponent {
            None if wire.surrogate_draws => Objective::SurrogateDraws,
            None => Objective::Simulations,
            Some(exponent) if exponent > 0.0 && exponent <= 1.0 => {
                Objective::WeightedDraws { exponent }
            }
            Some(exponent) => {
                return Err(WireError::Value {
                    message: MESSAGE,
                    field: "weighted_draws_exponent",
                    found: exponent.to_string(),
                    expected: "a number in (0, 1]",
                });
            }
        };
        Ok(Self {
            flow: FlowId(wire.flow),
            objective,
            n_rows: wire.n_rows,
            n_epochs: wire.n_epochs,
            best_epoch: wire.best_epoch,
            best_validation_loss: wire.best_validation_loss,
            training_loss: wire.training_loss,
            validation_loss: wire.validation_loss,
            n_recoveries: wire.n_recoveries,
            weights_sha256: sha256(wire.weights_sha256, MESSAGE, "weights_sha256")?,
        })
    }
}

impl From<&TrainerReport> for v1::TrainerReport {
    fn from(report: &TrainerReport) -> Self {
        Self {
            attempt: report.attempt.0,
            model: report.model.as_ref().map(Into::into),
            training: report.training.as_ref().map(Into::into),
            draws: report.draws.as_ref().map(Into::into),
            scores: report.scores.iter().map(Into::into).collect(),
            seconds: report.seconds,
        }
    }
}

impl TryFrom<v1::TrainerReport> for TrainerReport {
    type Error = WireError;

    fn try_from(wire: v1::TrainerReport) -> Result<Self, WireError> {
        const MESSAGE: &str = "trainer report";
        if wire.model.is_some() != wire.training.is_some() {
            let (there, absent) = if wire.model.is_some() {
                ("a trainer report with a model", "training summary")
            } else {
                ("a trainer report with a training summary", "model")
            };
            return Err(WireError::Missing {
                message: there,
                field: absent,
            });
        }
        Ok(Self {
            attempt: AttemptId(wire.attempt),
            model: wire.model.map(TryInto::try_into).transpose()?,
            training: wire.training.map(TryInto::try_into).transpose()?,
            draws: wire.draws.map(TryInto::try_into).transpose()?,
            scores: all(wire.scores)?,
            seconds: finite_and_not_negative(wire.seconds, MESSAGE, "seconds")?,
        })
    }
}

impl From<&TrainingProgress> for v1::TrainingProgress {
    fn from(progress: &TrainingProgress) -> Self {
        Self {
            flow: progress.flow.0,
            epoch: progress.epoch,
            max_epochs: progress.max_epochs,
            training_loss: progress.training_loss,
            validation_loss: progress.validation_loss,
            best_validation_loss: progress.best_validation_loss,
            epoch_s: progress.epoch_s,
        }
    }
}

impl From<v1::TrainingProgress> for TrainingProgress {
    fn from(wire: v1::TrainingProgress) -> Self {
        Self {
            flow: FlowId(wire.flow),
            epoch: wire.epoch,
            max_epochs: wire.max_epochs,
            training_loss: wire.training_loss,
            validation_loss: wire.validation_loss,
            best_validation_loss: wire.best_validation_loss,
            epoch_s: wire.epoch_s,
        }
    }
}

fn all<W, T: TryFrom<W, Error = WireError>>(wire: Vec<W>) -> Result<Vec<T>, WireError> {
    wire.into_iter().map(TryInto::try_into).collect()
}
