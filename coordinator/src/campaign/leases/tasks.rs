//! Leases on the open trainer task.

use super::peers::Refusal;
use sidereal_inference::base::{AttemptId, PeerId};
use std::collections::BTreeMap;

/// Times that a failed task is offered again.
const MAX_REPEATS: u32 = 3;

/// What a report or a failure leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskVerdict {
    /// The reported files are to be checked.
    Check,
    OfferedAgain {
        n_failures: u32,
    },
    /// It failed each time.
    Fails {
        n_failures: u32,
    },
    TooLate,
}

#[derive(Debug, Default)]
pub struct Tasks {
    lease_by_attempt: BTreeMap<AttemptId, TaskLease>,
    n_failures: u32,
}

#[derive(Debug)]
struct TaskLease {
    peer: PeerId,
    stage: TaskStage,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TaskStage {
    Running { expires_s: f64 },
    Checking,
    Late,
}

impl Tasks {
    /// Whether somebody is at it.
    pub fn is_leased(&self) -> bool {
        self.lease_by_attempt
            .values()
            .any(|lease| lease.stage != TaskStage::Late)
    }

    pub fn is_held_by(&self, peer: PeerId) -> bool {
        self.lease_by_attempt
            .values()
            .any(|lease| lease.peer == peer && lease.stage != TaskStage::Late)
    }

    pub fn lease(&mut self, attempt: AttemptId, peer: PeerId, expires_s: f64) {
        self.lease_by_attempt.insert(
            attempt,
            TaskLease {
                peer,
                stage: TaskStage::Running { expires_s },
            },
        );
    }

    /// Leases of one peer, or of all, begin anew.
    pub fn extend(&mut self, peer: Option<PeerId>, until_s: f64) {
        for lease in self.lease_by_attempt.values_mut() {
            if peer.is_none_or(|peer| lease.peer == peer)
                && let TaskStage::Running { expires_s } = &mut lease.stage
            {
                *expires_s = until_s;
            }
        }
    }

    /// The trainer could not read or write files: no fault of the task.
    pub fn on_storage_failure(&mut self, attempt: AttemptId) -> TaskVerdict {
        match self.lease_by_attempt.remove(&attempt) {
            None => TaskVerdict::TooLate,
            Some(_) => TaskVerdict::OfferedAgain {
                n_failures: self.n_failures,
            },
        }
    }

    pub fn expire(&mut self, now_s: f64) -> Vec<(PeerId, AttemptId)> {
        let mut expired = Vec::new();
        for (&attempt, lease) in &mut self.lease_by_attempt {
            if let TaskStage::Running { expires_s } = lease.stage
                && expires_s <= now_s
            {
                lease.stage = TaskStage::Late;
                expired.push((lease.peer, attempt));
            }
        }
        expired
    }

    pub fn on_lost(&mut self, peer: PeerId) {
        self.lease_by_attempt
            .retain(|_, lease| lease.peer != peer || lease.stage == TaskStage::Checking);
    }

    pub fn expect_holder(&self, peer: PeerId, attempt: AttemptId) -> Result<(), Refusal> {
        match self.lease_by_attempt.get(&attempt) {
            Some(lease) if lease.peer != peer => Err(Refusal::NotHolder { peer, attempt }),
            Some(_) | None => Ok(()),
        }
    }

    pub fn on_report(&mut self, peer: PeerId, attempt: AttemptId) -> Result<TaskVerdict, Refusal> {
        self.expect_holder(peer, attempt)?;
        let Some(lease) = self.lease_by_attempt.get_mut(&attempt) else {
            return Ok(TaskVerdict::TooLate);
        };
        if lease.stage == TaskStage::Checking {
            return Ok(TaskVerdict::TooLate);
        }
        lease.stage = TaskStage::Checking;
        Ok(TaskVerdict::Check)
    }

    pub fn on_failure(&mut self, attempt: AttemptId) -> TaskVerdict {
        match self.lease_by_attempt.remove(&attempt) {
            // A late one's failure says nothing about the one that runs.
            None
            | Some(TaskLease {
                stage: TaskStage::Late,
                ..
            }) => return TaskVerdict::TooLate,
            Some(_) => {}
        }
        self.n_failures += 1;
        let n_failures = self.n_failures;
        if n_failures <= MAX_REPEATS {
            TaskVerdict::OfferedAgain { n_failures }
        } else {
            TaskVerdict::Fails { n_failures }
        }
    }
}
