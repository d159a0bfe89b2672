//! Rows that have failed before, and who runs them: a worker that holds nothing else, so that it is known what was
//! run where it vanishes, and another one than they failed on, so that no sick worker speaks against good rows.

use super::{Attempts, Batch, BatchStage, Batches, FailureVerdict, Failures, MAX_REPEATS, running};
use crate::campaign::leases::peers::{Crew, Peers};
use crate::campaign::leases::ranges::take_rows;
use crate::campaign::leases::rules::LeaseRules;
use crate::campaign::leases::workers::WorkerId;
use sidereal_inference::base::{AttemptId, PeerId};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

/// A worker that can be counted on.
#[derive(Debug)]
struct Able {
    peer: PeerId,
    worker: WorkerId,
    n_unreported: usize,
}

/// What becomes of the suspects at one moment.
#[derive(Debug, Default)]
pub struct SuspectGrants {
    pub leases: Vec<(PeerId, AttemptId, Range<u64>)>,
    /// Workers that get nothing else for now: held back, or kept free for a suspect.
    pub kept: BTreeSet<PeerId>,
}

impl Failures {
    fn add(&mut self, worker: Option<WorkerId>) {
        self.n += 1;
        self.workers.extend(worker);
    }

    /// The rows of both are the same.
    fn merge(&mut self, other: &Self) {
        self.n = self.n.max(other.n);
        self.workers.extend(&other.workers);
    }
}

impl Batches {
    /// The rows could not be run.
    pub fn on_failure(
        &mut self,
        attempt: AttemptId,
        crew: Crew<'_>,
        attempts: &mut Attempts,
    ) -> FailureVerdict {
        let Some(batch) = self.remove(attempt) else {
            return FailureVerdict::TooLate;
        };
        let rows = batch.rows;
        // Offered already, or final in part: what is missing of it starts afresh.
        if batch.stage == BatchStage::Late || !self.are_wanted(&rows) {
            self.offer_again(rows, batch.failures);
            return FailureVerdict::TooLate;
        }
        let mut failures = batch.failures;
        failures.add(batch.worker);
        let n_failures = failures.n;
        let is_repeated = n_failures <= MAX_REPEATS
            || self.n_runs(&rows) > 0
            || (failures.workers.len() < 2 && self.has_another(&failures, crew));
        if is_repeated {
            for attempt in self.overlapping(&rows) {
                if let Some(other) = self.batch_by_attempt.get_mut(&attempt) {
                    other.failures.merge(&failures);
                }
            }
            self.offer_again(rows, failures);
            return FailureVerdict::OfferedAgain { n_failures };
        }
        if rows.end - rows.start == 1 {
            let attempt = attempts.take();
            let row = rows.start;
            let batch = Batch {
                peer: None,
                worker: None,
                rows,
                failures,
                leased_s: 0.0,
                expected_s: None,
                stage: BatchStage::Checking,
            };
            self.insert(attempt, batch);
            return FailureVerdict::GiveUp {
                attempt,
                round: self.round,
                row,
            };
        }
        let middle = rows.start + (rows.end - rows.start) / 2;
        // One of the halves is innocent, but each is to be run alone.
        let failures = Failures {
            n: 1,
            workers: BTreeSet::new(),
        };
        self.offer_again(rows.start..middle, failures.clone());
        self.offer_again(middle..rows.end, failures);
        FailureVerdict::Split { rows }
    }

    /// Leases suspects to workers that hold nothing. A suspect goes to a worker that it has not failed on; where
    /// these are all busy one of them is kept free for it; only where there are none anybody may have it.
    pub fn lease_suspects(
        &mut self,
        peers: &mut Peers,
        rules: &LeaseRules,
        now_s: f64,
        attempts: &mut Attempts,
    ) -> SuspectGrants {
        let mut kept = peers.held_back(now_s);
        if self.suspects.is_empty() && kept.is_empty() {
            return SuspectGrants::default();
        }
        let crew = Crew {
            peers,
            lease_s: rules.lease_s,
            now_s,
        };
        if self.able(crew).all(|able| kept.contains(&able.peer)) {
            // There is nobody else.
            kept.clear();
        }
        if self.suspects.is_empty() {
            return SuspectGrants {
                leases: Vec::new(),
                kept,
            };
        }
        let able: Vec<Able> = self
            .able(crew)
            .filter(|able| !kept.contains(&able.peer))
            .collect();
        let mut free: Vec<PeerId> = peers
            .workers_in_turn(now_s)
            .filter(|peer| !kept.contains(peer) && self.n_unreported(*peer) == 0)
            .collect();
        // Who may be kept free, who is free the soonest first.
        let mut next: Vec<&Able> = able.iter().collect();
        next.sort_by_key(|able| able.n_unreported);
        let mut leases = Vec::new();
        let mut left = VecDeque::new();
        while let Some(mut offer) = self.suspects.pop_front() {
            if free.is_empty() && next.is_empty() {
                left.push_back(offer);
                break;
            }
            let is_new = |worker: WorkerId| !offer.failures.workers.contains(&worker);
            let has_others = able.iter().any(|able| is_new(able.worker));
            let may_take = |peer| !has_others || peers.worker(peer).is_some_and(is_new);
            let Some(taker) = free.iter().position(|&peer| may_take(peer)) else {
                if let Some(place) = next.iter().position(|able| is_new(able.worker)) {
                    kept.insert(next.remove(place).peer);
                }
                left.push_back(offer);
                continue;
            };
            let peer = free.remove(taker);
            next.retain(|able| able.peer != peer);
            let n_rows = peers.batch_rows(peer, self.n_wanted, rules, now_s);
            let rows = take_rows(&mut offer.rows, n_rows.max(1));
            let batch = running(peer, peers, rows, offer.failures.clone(), now_s);
            let attempt = attempts.take();
            leases.push((peer, attempt, self.insert(attempt, batch)));
            peers.take_credit(peer);
            if !offer.rows.is_empty() {
                self.suspects.push_front(offer);
            }
        }
        left.append(&mut self.suspects);
        self.suspects = left;
        SuspectGrants { leases, kept }
    }

    /// Whether there is a worker, held back or not, that rows have not failed on.
    fn has_another(&self, failures: &Failures, crew: Crew<'_>) -> bool {
        self.able(crew)
            .any(|able| !failures.workers.contains(&able.worker))
    }

    /// Workers that run something or are about to, and do not hang in it.
    fn able(&self, crew: Crew<'_>) -> impl Iterator<Item = Able> {
        let Crew {
            peers,
            lease_s,
            now_s,
        } = crew;
        let able = move |(peer, worker): (PeerId, WorkerId)| {
            let n_unreported = self.n_unreported(peer);
            let is_able = peers.is_heard(peer, now_s, lease_s)
                && !self.is_late(peer)
                && (n_unreported > 0 || peers.waits_for_work(peer, now_s));
            is_able.then_some(Able {
                peer,
                worker,
                n_unreported,
            })
        };
        peers.workers().filter_map(able)
    }

    /// Whether a lease of the peer's has expired.
    fn is_late(&self, peer: PeerId) -> bool {
        self.batches_of(peer)
            .any(|batch| batch.stage == BatchStage::Late)
    }
}
