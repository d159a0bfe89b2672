//! Leases on the rows of the open round.

#[cfg(test)]
mod checks;
pub mod suspects;

use super::peers::{Crew, Peers, Refusal};
use super::ranges::{parts_within, take_rows, without};
use super::rules::LeaseRules;
use super::workers::{Loss, WorkerId};
use crate::campaign::state::rows_of;
use sidereal_inference::base::{AttemptId, PeerId, RoundId};
use sidereal_inference::records::BatchReport;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// Times that a batch is offered again that failed or lost its worker, before it is split.
const MAX_REPEATS: u32 = 3;
/// Runs of a batch at a time.
const MAX_RUNS: usize = 2;
/// A batch is run a second time once it has taken this many times what is expected.
const STRAGGLING: f64 = 2.0;
/// Times the expected length after which a batch is offered again although its worker is heard from.
const OVERDUE: f64 = 20.0;

/// Numbers attempts, of batches and tasks alike.
#[derive(Debug)]
pub struct Attempts(u64);

impl Attempts {
    pub fn new(first: AttemptId) -> Self {
        Self(first.0)
    }

    /// The number that [`Self::take`] gives next.
    pub fn next(&self) -> AttemptId {
        AttemptId(self.0)
    }

    pub fn take(&mut self) -> AttemptId {
        let attempt = self.next();
        self.0 += 1;
        attempt
    }
}

/// What a report leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportVerdict {
    /// The shard's file is to be checked.
    Check,
    /// The rows are final already, or the lease is not known any more.
    TooLate,
}

/// What a failure or the loss of a worker leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureVerdict {
    OfferedAgain {
        n_failures: u32,
    },
    Split {
        rows: Range<u64>,
    },
    /// The row failed or lost its worker alone, each time, and on two workers where there are two: a shard that
    /// says so is to be written by this attempt, which is the coordinator's own.
    GiveUp {
        attempt: AttemptId,
        round: RoundId,
        row: u64,
    },
    /// So many refused shards in a row are no matter of single workers: the campaign ends.
    Ends {
        n_refused: u32,
    },
    TooLate,
}

/// What rows that are final end.
#[derive(Debug, Default)]
pub struct Released {
    /// Leases that are not needed any more, with their holders.
    pub needless: Vec<(PeerId, AttemptId)>,
    /// Workers whose shards hold the rows.
    pub done: Vec<WorkerId>,
}

#[derive(Debug)]
pub struct Batches {
    round: RoundId,
    /// Rows that are not final: start -> end, disjoint, in order.
    wanted: BTreeMap<u64, u64>,
    n_wanted: u64,
    /// Rows that were never leased by this run.
    untouched: VecDeque<Range<u64>>,
    /// Rows offered again.
    again: VecDeque<Offer>,
    /// Rows offered again after a failure.
    suspects: VecDeque<Offer>,
    batch_by_attempt: BTreeMap<AttemptId, Batch>,
    /// All of `batch_by_attempt`, by their first row.
    by_start: BTreeSet<(u64, AttemptId)>,
    attempts_by_peer: BTreeMap<PeerId, BTreeSet<AttemptId>>,
    /// Rows of the longest batch so far.
    longest: u64,
}

#[derive(Debug, Clone)]
struct Offer {
    rows: Range<u64>,
    failures: Failures,
}

/// What speaks against rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Failures {
    n: u32,
    /// Whom they failed on.
    workers: BTreeSet<WorkerId>,
}

#[derive(Debug)]
struct Batch {
    /// None: the coordinator's own, a row that is given up.
    peer: Option<PeerId>,
    worker: Option<WorkerId>,
    rows: Range<u64>,
    failures: Failures,
    leased_s: f64,
    /// None where no worker has been measured.
    expected_s: Option<f64>,
    stage: BatchStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BatchStage {
    Running,
    /// Reported; its file is being checked.
    Checking,
    /// Expired and offered again; a report is still welcome.
    Late,
}

impl Batches {
    pub fn new(round: RoundId, missing: Vec<Range<u64>>) -> Self {
        Self {
            round,
            wanted: missing.iter().map(|rows| (rows.start, rows.end)).collect(),
            n_wanted: missing.iter().map(|rows| rows.end - rows.start).sum(),
            untouched: missing.into(),
            again: VecDeque::new(),
            suspects: VecDeque::new(),
            batch_by_attempt: BTreeMap::new(),
            by_start: BTreeSet::new(),
            attempts_by_peer: BTreeMap::new(),
            longest: 0,
        }
    }

    pub fn round(&self) -> RoundId {
        self.round
    }

    /// Rows that are not final.
    pub fn n_wanted(&self) -> u64 {
        self.n_wanted
    }

    pub fn n_leased(&self) -> usize {
        self.batch_by_attempt.len()
    }

    /// Whether anything is offered that any worker may have.
    pub fn has_offers(&self) -> bool {
        !self.untouched.is_empty() || !self.again.is_empty()
    }

    /// Whether the peer runs rows that have failed before: it is given nothing beside them.
    pub fn holds_suspect(&self, peer: PeerId) -> bool {
        self.batches_of(peer)
            .any(|batch| batch.failures.n > 0 && batch.stage != BatchStage::Checking)
    }

    /// Number and rows of a peer's leases.
    pub fn held_by(&self, peer: PeerId) -> (usize, u64) {
        self.batches_of(peer).fold((0, 0), |(n, n_rows), batch| {
            (n + 1, n_rows + batch.rows.end - batch.rows.start)
        })
    }

    /// Leases of a peer that it has not reported.
    pub fn n_unreported(&self, peer: PeerId) -> usize {
        let batches = self.batches_of(peer);
        batches
            .filter(|batch| batch.stage != BatchStage::Checking)
            .count()
    }

    fn batches_of(&self, peer: PeerId) -> impl Iterator<Item = &Batch> {
        let attempts = self.attempts_by_peer.get(&peer).into_iter().flatten();
        attempts.filter_map(|attempt| self.batch_by_attempt.get(attempt))
    }

    /// When a lease was given.
    pub fn leased_s(&self, attempt: AttemptId) -> Option<f64> {
        self.batch_by_attempt
            .get(&attempt)
            .map(|batch| batch.leased_s)
    }

    /// All leases that somebody may still be running.
    pub fn held(&self) -> Vec<(PeerId, AttemptId)> {
        let holder = |(&attempt, batch): (&AttemptId, &Batch)| match batch.stage {
            BatchStage::Running | BatchStage::Late => Some((batch.peer?, attempt)),
            BatchStage::Checking => None,
        };
        self.batch_by_attempt.iter().filter_map(holder).collect()
    }

    /// Who runs or has run this.
    pub fn worker(&self, attempt: AttemptId) -> Option<WorkerId> {
        self.batch_by_attempt.get(&attempt)?.worker
    }

    /// The rows that the peer holds under this attempt.
    pub fn leased_rows(&self, peer: PeerId, attempt: AttemptId) -> Option<Range<u64>> {
        let batch = self.batch_by_attempt.get(&attempt)?;
        (batch.peer == Some(peer)).then(|| batch.rows.clone())
    }

    /// Leases at most `n_rows` rows; what is offered again goes first.
    pub fn lease(
        &mut self,
        attempt: AttemptId,
        peer: PeerId,
        peers: &Peers,
        n_rows: u64,
        now_s: f64,
    ) -> Option<Range<u64>> {
        let n_rows = n_rows.max(1);
        let (rows, failures) = match self.again.front_mut() {
            Some(offer) => {
                let rows = take_rows(&mut offer.rows, n_rows);
                let failures = offer.failures.clone();
                if offer.rows.is_empty() {
                    self.again.pop_front();
                }
                (rows, failures)
            }
            None => {
                let rest = self.untouched.front_mut()?;
                let rows = take_rows(rest, n_rows);
                if rest.is_empty() {
                    self.untouched.pop_front();
                }
                (rows, Failures::default())
            }
        };
        let batch = running(peer, peers, rows, failures, now_s);
        Some(self.insert(attempt, batch))
    }

    /// Leases the batch that has run for longest beyond what is expected to a second worker.
    pub fn lease_again(
        &mut self,
        attempt: AttemptId,
        peer: PeerId,
        peers: &Peers,
        rules: &LeaseRules,
        now_s: f64,
    ) -> Option<Range<u64>> {
        let seconds_per_row = peers.seconds_per_row(peer);
        let is_straggler = |(_, batch): &(&AttemptId, &Batch)| {
            let expected_s = expected_s(&batch.rows, seconds_per_row).unwrap_or(rules.target_s);
            let patience_s = (STRAGGLING * expected_s).max(rules.least_patience_s);
            batch.stage == BatchStage::Running
                && batch.peer != Some(peer)
                && now_s - batch.leased_s > patience_s
                && self.n_runs(&batch.rows) < MAX_RUNS
                && self.are_wanted(&batch.rows)
        };
        let (_, straggler) = self.batch_by_attempt.iter().find(is_straggler)?;
        let (rows, failures) = (straggler.rows.clone(), straggler.failures.clone());
        let batch = running(peer, peers, rows, failures, now_s);
        Some(self.insert(attempt, batch))
    }

    /// Leases whose peer is silent, and those that take far longer than expected.
    pub fn expire(
        &mut self,
        peers: &Peers,
        rules: &LeaseRules,
        now_s: f64,
    ) -> Vec<(PeerId, AttemptId)> {
        let mut expired = Vec::new();
        let mut offers = Vec::new();
        for (&attempt, batch) in &mut self.batch_by_attempt {
            let (Some(peer), BatchStage::Running) = (batch.peer, batch.stage) else {
                continue;
            };
            let heard_s = peers.heard_s(peer).unwrap_or(f64::NEG_INFINITY);
            let is_silent = heard_s.max(batch.leased_s) + rules.lease_s <= now_s;
            let is_overdue = batch.expected_s.is_some_and(|expected_s| {
                now_s - batch.leased_s > (OVERDUE * expected_s).max(rules.least_overdue_s)
            });
            if is_silent || is_overdue {
                batch.stage = BatchStage::Late;
                expired.push((peer, attempt));
                offers.push((batch.rows.clone(), batch.failures.clone()));
            }
        }
        for (rows, failures) in offers {
            self.offer_again(rows, failures);
        }
        expired
    }

    /// The peer is gone, and no more of the crew. What it held counts as failed where it vanished: a row may kill its
    /// worker.
    pub fn on_lost(
        &mut self,
        peer: PeerId,
        loss: Loss,
        crew: Crew<'_>,
        attempts: &mut Attempts,
    ) -> Vec<(AttemptId, FailureVerdict)> {
        let mut verdicts = Vec::new();
        let held = self.attempts_by_peer.get(&peer).cloned();
        for attempt in held.unwrap_or_default() {
            let Some(stage) = self.batch_by_attempt.get(&attempt).map(|batch| batch.stage) else {
                continue;
            };
            match stage {
                // The shard lies there whether or not its worker still lives.
                BatchStage::Checking => {}
                BatchStage::Late => {
                    self.remove(attempt);
                }
                BatchStage::Running => {
                    // One of them, or none, was the cause; each is run alone from now on.
                    if loss == Loss::Vanished {
                        verdicts.push((attempt, self.on_failure(attempt, crew, attempts)));
                    } else if let Some(batch) = self.remove(attempt) {
                        self.offer_again(batch.rows, batch.failures);
                    }
                }
            }
        }
        verdicts
    }

    pub fn expect_holder(&self, peer: PeerId, attempt: AttemptId) -> Result<(), Refusal> {
        match self.batch_by_attempt.get(&attempt) {
            Some(batch) if batch.peer != Some(peer) => Err(Refusal::NotHolder { peer, attempt }),
            Some(_) | None => Ok(()),
        }
    }

    pub fn on_report(
        &mut self,
        peer: PeerId,
        report: &BatchReport,
    ) -> Result<ReportVerdict, Refusal> {
        let attempt = report.attempt;
        self.expect_holder(peer, attempt)?;
        let Some(batch) = self.batch_by_attempt.get(&attempt) else {
            return Ok(ReportVerdict::TooLate);
        };
        let rows = rows_of(&report.shard);
        if report.shard.round != self.round || rows != batch.rows {
            return Err(Refusal::WrongReport {
                attempt,
                what: "rows",
                found: format!("{rows:?} of {}", report.shard.round),
                expected: format!("{:?} of {}", batch.rows, self.round),
            });
        }
        let path = shard_path(self.round, &rows, attempt);
        if report.shard.file.path != path {
            return Err(Refusal::WrongReport {
                attempt,
                what: "path",
                found: report.shard.file.path.clone(),
                expected: path,
            });
        }
        if batch.stage == BatchStage::Checking {
            return Ok(ReportVerdict::TooLate);
        }
        if !self.are_wanted(&rows) {
            if let Some(batch) = self.remove(attempt) {
                self.offer_again(batch.rows, batch.failures);
            }
            return Ok(ReportVerdict::TooLate);
        }
        if let Some(batch) = self.batch_by_attempt.get_mut(&attempt) {
            batch.stage = BatchStage::Checking;
        }
        Ok(ReportVerdict::Check)
    }

    /// These rows are final.
    pub fn on_committed(&mut self, rows: &Range<u64>) -> Released {
        let overlapping: Vec<(u64, u64)> = self
            .wanted
            .range(..rows.end)
            .rev()
            .take_while(|&(_, &end)| end > rows.start)
            .map(|(&start, &end)| (start, end))
            .collect();
        for (start, end) in overlapping {
            self.wanted.remove(&start);
            self.n_wanted -= end.min(rows.end) - start.max(rows.start);
            if start < rows.start {
                self.wanted.insert(start, rows.start);
            }
            if rows.end < end {
                self.wanted.insert(rows.end, end);
            }
        }
        let overlaps = |offer: &Offer| offer.rows.start < rows.end && rows.start < offer.rows.end;
        let mut hit = Vec::new();
        for queue in [&mut self.again, &mut self.suspects] {
            let (cut, rest): (VecDeque<Offer>, _) =
                std::mem::take(queue).into_iter().partition(overlaps);
            *queue = rest;
            hit.extend(cut);
        }
        for offer in hit {
            self.offer_again(offer.rows, offer.failures);
        }
        // A late lease's rows may be final now through another one, and the other way round.
        let mut released = Released::default();
        for attempt in self.overlapping(rows) {
            let is_needed = self
                .batch_by_attempt
                .get(&attempt)
                .is_some_and(|batch| !parts_within(&self.wanted, &batch.rows).is_empty());
            if is_needed {
                continue;
            }
            let Some(batch) = self.remove(attempt) else {
                continue;
            };
            match batch.stage {
                BatchStage::Checking => released.done.extend(batch.worker),
                BatchStage::Running | BatchStage::Late => {
                    let needless = batch.peer.map(|peer| (peer, attempt));
                    released.needless.extend(needless);
                }
            }
        }
        released
    }

    /// A checked shard was not recorded: other shards have some of its rows, the rest is offered again.
    pub fn on_ignored(&mut self, attempt: AttemptId) {
        if let Some(batch) = self.remove(attempt) {
            self.offer_again(batch.rows, batch.failures);
        }
    }

    /// The worker could not store what it has simulated, or stored something else: no fault of the rows.
    pub fn on_storage_failure(&mut self, attempt: AttemptId) -> FailureVerdict {
        let Some(batch) = self.remove(attempt) else {
            return FailureVerdict::TooLate;
        };
        let n_failures = batch.failures.n;
        self.offer_again(batch.rows, batch.failures);
        FailureVerdict::OfferedAgain { n_failures }
    }

    fn insert(&mut self, attempt: AttemptId, batch: Batch) -> Range<u64> {
        let rows = batch.rows.clone();
        self.longest = self.longest.max(batch.rows.end - batch.rows.start);
        self.by_start.insert((batch.rows.start, attempt));
        if let Some(peer) = batch.peer {
            self.attempts_by_peer
                .entry(peer)
                .or_default()
                .insert(attempt);
        }
        self.batch_by_attempt.insert(attempt, batch);
        rows
    }

    fn remove(&mut self, attempt: AttemptId) -> Option<Batch> {
        let batch = self.batch_by_attempt.remove(&attempt)?;
        self.by_start.remove(&(batch.rows.start, attempt));
        if let Some(peer) = batch.peer
            && let Some(attempts) = self.attempts_by_peer.get_mut(&peer)
        {
            attempts.remove(&attempt);
            if attempts.is_empty() {
                self.attempts_by_peer.remove(&peer);
            }
        }
        Some(batch)
    }

    /// Attempts whose rows overlap with these.
    fn overlapping(&self, rows: &Range<u64>) -> Vec<AttemptId> {
        let first = rows.start.saturating_sub(self.longest);
        self.by_start
            .range((first, AttemptId(0))..(rows.end, AttemptId(0)))
            .map(|&(_, attempt)| attempt)
            .filter(|attempt| {
                self.batch_by_attempt
                    .get(attempt)
                    .is_some_and(|batch| batch.rows.end > rows.start)
            })
            .collect()
    }

    /// Runs that these rows have at the moment.
    fn n_runs(&self, rows: &Range<u64>) -> usize {
        self.overlapping(rows)
            .iter()
            .filter_map(|attempt| self.batch_by_attempt.get(attempt))
            .filter(|batch| batch.stage != BatchStage::Late)
            .count()
    }

    fn are_wanted(&self, rows: &Range<u64>) -> bool {
        parts_within(&self.wanted, rows) == [rows.clone()]
    }

    /// Offers what is still wanted of `rows` and neither offered nor run by anybody.
    fn offer_again(&mut self, rows: Range<u64>, failures: Failures) {
        let mut free = parts_within(&self.wanted, &rows);
        for attempt in self.overlapping(&rows) {
            if let Some(batch) = self.batch_by_attempt.get(&attempt)
                && batch.stage != BatchStage::Late
            {
                free = without(free, &batch.rows);
            }
        }
        for offer in self.again.iter().chain(&self.suspects) {
            free = without(free, &offer.rows);
        }
        let queue = if failures.n > 0 {
            &mut self.suspects
        } else {
            &mut self.again
        };
        queue.extend(free.into_iter().map(|rows| Offer {
            rows,
            failures: failures.clone(),
        }));
    }
}

/// A lease that begins now.
fn running(peer: PeerId, peers: &Peers, rows: Range<u64>, failures: Failures, now_s: f64) -> Batch {
    Batch {
        peer: Some(peer),
        worker: peers.worker(peer),
        expected_s: expected_s(&rows, peers.seconds_per_row(peer)),
        rows,
        failures,
        leased_s: now_s,
        stage: BatchStage::Running,
    }
}

/// Where the shard of an attempt is written.
pub fn shard_path(round: RoundId, rows: &Range<u64>, attempt: AttemptId) -> String {
    format!(
        "rounds/{:03}/shards/{:09}-{:09}-{}.parquet",
        round.0, rows.start, rows.end, attempt.0
    )
}

fn expected_s(rows: &Range<u64>, seconds_per_row: Option<f64>) -> Option<f64> {
    seconds_per_row.map(|seconds| seconds * (rows.end - rows.start) as f64)
}
