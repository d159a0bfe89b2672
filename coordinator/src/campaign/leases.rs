//! Who works on what, for how long: kept in memory only, made anew by each run.
//!
//! Architecture invariant: nothing here decides what the results are. Whatever leases are granted,
//! lost and granted again, the same rows end up with the same content.

pub mod batches;
pub mod peers;
mod ranges;
pub mod rules;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod workers;

use batches::suspects::SuspectGrants;
use batches::{Attempts, Batches, FailureVerdict, ReportVerdict, shard_path};
use peers::{Crew, MAX_CREDITS, Peers, Refusal};
use rules::LeaseRules;
use sidereal_inference::account::{HeldBack, PeerStatus};
use sidereal_inference::base::{AttemptId, PeerId, RoundId};
use sidereal_inference::records::BatchReport;
use sidereal_proto::message::{FailureCause, PeerKind, Registration};
use std::collections::BTreeSet;
use std::ops::Range;
use tasks::{TaskVerdict, Tasks};
use workers::Loss;

/// Shards refused one after the other: more of them, for longer than [`LONGEST_REFUSING_S`], are no matter of
/// single workers.
const MOST_REFUSED_IN_A_ROW: u32 = 100;
/// A broken machine that is there first spoils a hundred shards in less than a second; others come later.
const LONGEST_REFUSING_S: f64 = 60.0;

/// A lease to hand out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    Batch {
        peer: PeerId,
        attempt: AttemptId,
        round: RoundId,
        rows: Range<u64>,
    },
    Task {
        peer: PeerId,
        attempt: AttemptId,
    },
}

/// Peers, their leases, and the work that waits for one.
#[derive(Debug)]
pub struct Leases {
    rules: LeaseRules,
    attempts: Attempts,
    peers: Peers,
    batches: Option<Batches>,
    tasks: Option<Tasks>,
    refused_in_a_row: Option<Refusals>,
}

/// Shards that were refused, with no good one among them.
#[derive(Debug)]
struct Refusals {
    n: u32,
    first_s: f64,
}

impl Leases {
    /// `first_attempt` must be above every attempt of earlier runs.
    pub fn new(rules: LeaseRules, first_attempt: AttemptId) -> Self {
        Self {
            rules,
            attempts: Attempts::new(first_attempt),
            peers: Peers::default(),
            batches: None,
            tasks: None,
            refused_in_a_row: None,
        }
    }

    /// Seconds that a lease lasts unless its holder is heard from.
    pub fn lease_s(&self) -> f64 {
        self.rules.lease_s
    }

    pub fn on_registered(
        &mut self,
        registration: &Registration,
        now_s: f64,
    ) -> Result<PeerId, Refusal> {
        self.peers.add(registration, now_s)
    }

    /// Registered workers and trainers.
    pub fn n_peers(&self) -> (usize, usize) {
        self.peers.n_by_kind()
    }

    /// Peers that have not been heard from for longer than a lease.
    pub fn silent(&self, now_s: f64) -> Vec<PeerId> {
        self.peers.silent_since(now_s - self.rules.lease_s)
    }

    /// Batches that are leased or checked.
    pub fn n_leased(&self) -> usize {
        self.batches.as_ref().map_or(0, Batches::n_leased)
    }

    /// All peers with what they hold, in order of registration.
    pub fn status(&self, now_s: f64) -> Vec<PeerStatus> {
        let with_leases = |(peer, status): (PeerId, PeerStatus)| {
            let (n_batches, n_rows) = self
                .batches
                .as_ref()
                .map_or((0, 0), |batches| batches.held_by(peer));
            let n_leases = n_batches + usize::from(self.holds_task(peer));
            PeerStatus {
                n_leases,
                n_rows,
                ..status
            }
        };
        let peers = self.peers.status(now_s);
        peers.into_iter().map(with_leases).collect()
    }

    /// Workers with repeated losses, which are given nothing for now while there are others.
    pub fn held_back(&self, now_s: f64) -> Vec<HeldBack> {
        self.peers.held_back_status(now_s)
    }

    /// Where the shard of a lease goes that the peer holds.
    pub fn shard_path(&self, peer: PeerId, attempt: AttemptId) -> Option<String> {
        let batches = self.batches.as_ref()?;
        let rows = batches.leased_rows(peer, attempt)?;
        Some(shard_path(batches.round(), &rows, attempt))
    }

    /// Whether such a peer is registered.
    pub fn expect(&self, peer: PeerId, kind: PeerKind) -> Result<(), Refusal> {
        self.peers.expect(peer, kind)
    }

    /// The name that a peer gave.
    pub fn name(&self, peer: PeerId) -> &str {
        self.peers.name(peer)
    }

    /// What a worker holds and waits for together is capped.
    pub fn on_credits(&mut self, peer: PeerId, credits: u32, now_s: f64) {
        self.peers.on_active(peer, now_s);
        let n_held = self
            .batches
            .as_ref()
            .map_or(0, |batches| batches.n_unreported(peer));
        let most = MAX_CREDITS.saturating_sub(u32::try_from(n_held).unwrap_or(u32::MAX));
        self.peers.add_credits(peer, credits, most);
    }

    pub fn on_ready(&mut self, peer: PeerId) {
        self.peers.set_ready(peer);
    }

    /// The peer was heard from: its leases begin anew.
    pub fn on_heard(&mut self, peer: PeerId, now_s: f64) {
        self.peers.on_heard(peer, now_s);
        if let Some(tasks) = &mut self.tasks {
            tasks.extend(Some(peer), now_s + self.rules.lease_s);
        }
    }

    /// The peer is gone: its leases are offered again. What that means for the batches that it ran.
    pub fn on_lost(
        &mut self,
        peer: PeerId,
        loss: Loss,
        now_s: f64,
    ) -> Vec<(AttemptId, FailureVerdict)> {
        let worker = self.peers.worker(peer);
        self.peers.remove(peer, loss);
        if let Some(tasks) = &mut self.tasks {
            tasks.on_lost(peer);
        }
        let crew = Crew {
            peers: &self.peers,
            lease_s: self.rules.lease_s,
            now_s,
        };
        let verdicts = self.batches.as_mut().map_or_else(Vec::new, |batches| {
            batches.on_lost(peer, loss, crew, &mut self.attempts)
        });
        if let (Some(worker), false) = (worker, verdicts.is_empty()) {
            self.peers.on_loss(worker, now_s);
        }
        verdicts
    }

    /// Leases that have run out, with their holders, which may still report; their work is offered again.
    pub fn expire(&mut self, now_s: f64) -> Vec<(PeerId, AttemptId)> {
        let mut expired = Vec::new();
        if let Some(batches) = &mut self.batches {
            expired.extend(batches.expire(&self.peers, &self.rules, now_s));
        }
        if let Some(tasks) = &mut self.tasks {
            expired.extend(tasks.expire(now_s));
        }
        expired
    }

    /// Offers `missing` rows of a round, forgetting every other round.
    pub fn open_round(&mut self, round: RoundId, missing: Vec<Range<u64>>) {
        self.tasks = None;
        self.batches = Some(Batches::new(round, missing));
    }

    /// All rows are final; leases that are not needed any more, with their holders.
    pub fn close_round(&mut self) -> Vec<(PeerId, AttemptId)> {
        let batches = self.batches.take();
        batches.map_or_else(Vec::new, |batches| batches.held())
    }

    /// A checked shard was not recorded, because other shards have its rows or some of them.
    pub fn on_ignored(&mut self, attempt: AttemptId) {
        if let Some(batches) = &mut self.batches {
            batches.on_ignored(attempt);
        }
    }

    /// Nobody was listened to for a while: all leases begin anew.
    pub fn on_all_heard(&mut self, now_s: f64) {
        self.peers.on_all_heard(now_s);
        if let Some(tasks) = &mut self.tasks {
            tasks.extend(None, now_s + self.rules.lease_s);
        }
    }

    pub fn on_report(
        &mut self,
        peer: PeerId,
        report: &BatchReport,
        now_s: f64,
    ) -> Result<ReportVerdict, Refusal> {
        let Some(batches) = &mut self.batches else {
            return Ok(ReportVerdict::TooLate);
        };
        let leased_s = batches.leased_s(report.attempt);
        let verdict = batches.on_report(peer, report)?;
        self.peers.on_active(peer, now_s);
        // A worker cannot have spent more time on it than it had.
        let is_possible = leased_s.is_some_and(|leased_s| report.seconds <= now_s - leased_s + 1.0);
        if is_possible {
            self.peers
                .measure(peer, report.shard.n_rows, report.seconds);
        }
        Ok(verdict)
    }

    /// These rows are final; leases that are not needed any more, with their holders.
    pub fn on_committed(&mut self, rows: &Range<u64>) -> Vec<(PeerId, AttemptId)> {
        let Some(batches) = &mut self.batches else {
            return Vec::new();
        };
        let released = batches.on_committed(rows);
        for worker in released.done {
            self.peers.on_done(worker);
        }
        released.needless
    }

    /// A reported shard is what it should be.
    pub fn on_shard_good(&mut self) {
        self.refused_in_a_row = None;
    }

    /// A reported shard is not what it should be: the worker's fault, not the rows'.
    pub fn on_shard_refused(&mut self, attempt: AttemptId, now_s: f64) -> FailureVerdict {
        let refusals = self.refused_in_a_row.get_or_insert(Refusals {
            n: 0,
            first_s: now_s,
        });
        refusals.n = refusals.n.saturating_add(1);
        if refusals.n > MOST_REFUSED_IN_A_ROW && now_s > refusals.first_s + LONGEST_REFUSING_S {
            return FailureVerdict::Ends {
                n_refused: refusals.n,
            };
        }
        let Some(batches) = &mut self.batches else {
            return FailureVerdict::TooLate;
        };
        if let Some(worker) = batches.worker(attempt) {
            self.peers.on_loss(worker, now_s);
        }
        batches.on_storage_failure(attempt)
    }

    pub fn on_batch_failure(
        &mut self,
        peer: PeerId,
        attempt: AttemptId,
        cause: FailureCause,
        now_s: f64,
    ) -> Result<FailureVerdict, Refusal> {
        self.peers.on_active(peer, now_s);
        let Some(batches) = &mut self.batches else {
            return Ok(FailureVerdict::TooLate);
        };
        batches.expect_holder(peer, attempt)?;
        let crew = Crew {
            peers: &self.peers,
            lease_s: self.rules.lease_s,
            now_s,
        };
        Ok(match cause {
            FailureCause::Rows => {
                let worker = batches.worker(attempt);
                let verdict = batches.on_failure(attempt, crew, &mut self.attempts);
                if let Some(worker) = worker {
                    self.peers.on_loss(worker, now_s);
                }
                verdict
            }
            FailureCause::Storage => batches.on_storage_failure(attempt),
        })
    }

    /// Offers the open task.
    pub fn open_task(&mut self) {
        self.batches = None;
        self.tasks = Some(Tasks::default());
    }

    pub fn close_task(&mut self) {
        self.tasks = None;
    }

    pub fn on_task_report(
        &mut self,
        peer: PeerId,
        attempt: AttemptId,
    ) -> Result<TaskVerdict, Refusal> {
        match &mut self.tasks {
            Some(tasks) => tasks.on_report(peer, attempt),
            None => Ok(TaskVerdict::TooLate),
        }
    }

    pub fn on_task_failure(
        &mut self,
        peer: PeerId,
        attempt: AttemptId,
        cause: FailureCause,
    ) -> Result<TaskVerdict, Refusal> {
        match &mut self.tasks {
            Some(tasks) => {
                tasks.expect_holder(peer, attempt)?;
                Ok(match cause {
                    FailureCause::Rows => tasks.on_failure(attempt),
                    FailureCause::Storage => tasks.on_storage_failure(attempt),
                })
            }
            None => Ok(TaskVerdict::TooLate),
        }
    }

    /// A reported model, its draws or its scores are not what they should be.
    pub fn on_task_refused(&mut self, attempt: AttemptId) -> TaskVerdict {
        self.tasks
            .as_mut()
            .map_or(TaskVerdict::TooLate, |tasks| tasks.on_failure(attempt))
    }

    /// Whether the peer holds the open task.
    pub fn holds_task(&self, peer: PeerId) -> bool {
        self.tasks
            .as_ref()
            .is_some_and(|tasks| tasks.is_held_by(peer))
    }

    /// As many leases as there is work and somebody to take it.
    pub fn grant(&mut self, now_s: f64) -> Vec<Grant> {
        let mut grants = Vec::new();
        if let Some(batches) = &mut self.batches {
            let SuspectGrants { leases, kept } =
                batches.lease_suspects(&mut self.peers, &self.rules, now_s, &mut self.attempts);
            let round = batches.round();
            let grant = |(peer, attempt, rows)| Grant::Batch {
                peer,
                attempt,
                round,
                rows,
            };
            grants.extend(leases.into_iter().map(grant));
            while let Some(grant) = self.next_batch(&kept, now_s) {
                grants.push(grant);
            }
        }
        grants.extend(self.next_task(now_s + self.rules.lease_s));
        grants
    }

    /// What is offered to any worker but those that are `kept`; where nothing is, a batch that keeps the round
    /// waiting, a second time.
    fn next_batch(&mut self, kept: &BTreeSet<PeerId>, now_s: f64) -> Option<Grant> {
        let batches = self.batches.as_mut()?;
        let attempt = self.attempts.next();
        let mut takers = self
            .peers
            .workers_in_turn(now_s)
            .filter(|peer| !kept.contains(peer) && !batches.holds_suspect(*peer));
        let (peer, rows) = if batches.has_offers() {
            let peer = takers.next()?;
            drop(takers);
            let n_wanted = batches.n_wanted();
            let n_rows = self.peers.batch_rows(peer, n_wanted, &self.rules, now_s);
            let rows = batches.lease(attempt, peer, &self.peers, n_rows, now_s)?;
            (peer, rows)
        } else {
            // Only its own holder cannot run a straggler again.
            let candidates: Vec<PeerId> = takers.take(2).collect();
            candidates.into_iter().find_map(|peer| {
                batches
                    .lease_again(attempt, peer, &self.peers, &self.rules, now_s)
                    .map(|rows| (peer, rows))
            })?
        };
        self.attempts.take();
        self.peers.take_credit(peer);
        Some(Grant::Batch {
            peer,
            attempt,
            round: batches.round(),
            rows,
        })
    }

    fn next_task(&mut self, expires_s: f64) -> Option<Grant> {
        let tasks = self.tasks.as_mut()?;
        if tasks.is_leased() {
            return None;
        }
        let peer = self.peers.take_ready_trainer()?;
        let attempt = self.attempts.take();
        tasks.lease(attempt, peer, expires_s);
        Some(Grant::Task { peer, attempt })
    }

    /// Whether a task is offered or leased.
    #[cfg(test)]
    pub fn has_task(&self) -> bool {
        self.tasks.is_some()
    }

    /// What holds between any two steps; the reason where it does not.
    #[cfg(test)]
    pub fn check(&self) -> Result<(), String> {
        self.batches.as_ref().map_or(Ok(()), Batches::check)
    }
}
