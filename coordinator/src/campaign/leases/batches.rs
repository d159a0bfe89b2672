//! Leases on the rows of the open round.

use super::peers::Refusal;
use super::{Expired, shard_path};
use crate::campaign::state::rows_of;
use sidereal_inference::ids::{AttemptId, PeerId, RoundId};
use sidereal_inference::task::BatchReport;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Times that a failed batch is offered again before it is split.
const MAX_REPEATS: u32 = 3;

/// What a report leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportVerdict {
    /// The shard's file is to be checked.
    Check,
    /// The rows are final already, or the lease is not known any more.
    TooLate,
}

/// What a failure leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureVerdict {
    OfferedAgain {
        n_failures: u32,
    },
    Split {
        rows: Range<u64>,
    },
    /// The row fails on its own, each time.
    RowFails {
        round: RoundId,
        row: u64,
    },
    TooLate,
}

#[derive(Debug)]
pub struct Batches {
    round: RoundId,
    /// Rows that are not final: start -> end, disjoint, in order.
    wanted: BTreeMap<u64, u64>,
    /// Rows that were never leased by this run.
    untouched: VecDeque<Range<u64>>,
    /// Rows offered again, as they were leased.
    again: VecDeque<Offer>,
    batch_by_attempt: BTreeMap<AttemptId, Batch>,
}

#[derive(Debug, Clone)]
struct Offer {
    rows: Range<u64>,
    n_failures: u32,
}

#[derive(Debug)]
struct Batch {
    peer: PeerId,
    rows: Range<u64>,
    n_failures: u32,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Running {
        expires_s: f64,
    },
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
            untouched: missing.into(),
            again: VecDeque::new(),
            batch_by_attempt: BTreeMap::new(),
        }
    }

    pub fn round(&self) -> RoundId {
        self.round
    }

    /// Rows that are not final.
    pub fn n_wanted(&self) -> u64 {
        self.wanted.iter().map(|(start, end)| end - start).sum()
    }

    pub fn has_offers(&self) -> bool {
        !self.untouched.is_empty() || !self.again.is_empty()
    }

    /// Leases at most `n_rows` rows; what is offered again goes first.
    pub fn lease(
        &mut self,
        attempt: AttemptId,
        peer: PeerId,
        n_rows: u64,
        expires_s: f64,
    ) -> Option<Range<u64>> {
        let offer = match self.again.pop_front() {
            Some(offer) => offer,
            None => {
                let rest = self.untouched.front_mut()?;
                let end = rest.end.min(rest.start.saturating_add(n_rows.max(1)));
                let rows = rest.start..end;
                rest.start = end;
                if rest.is_empty() {
                    self.untouched.pop_front();
                }
                Offer {
                    rows,
                    n_failures: 0,
                }
            }
        };
        self.batch_by_attempt.insert(
            attempt,
            Batch {
                peer,
                rows: offer.rows.clone(),
                n_failures: offer.n_failures,
                stage: Stage::Running { expires_s },
            },
        );
        Some(offer.rows)
    }

    pub fn extend(&mut self, peer: PeerId, until_s: f64) {
        for batch in self.batch_by_attempt.values_mut() {
            match &mut batch.stage {
                Stage::Running { expires_s } if batch.peer == peer => *expires_s = until_s,
                Stage::Running { .. } | Stage::Checking | Stage::Late => {}
            }
        }
    }

    pub fn expire(&mut self, now_s: f64) -> Vec<Expired> {
        let mut expired = Vec::new();
        for (&attempt, batch) in &mut self.batch_by_attempt {
            match batch.stage {
                Stage::Running { expires_s } if expires_s <= now_s => {
                    batch.stage = Stage::Late;
                    expired.push(Expired {
                        peer: batch.peer,
                        attempt,
                    });
                }
                Stage::Running { .. } | Stage::Checking | Stage::Late => {}
            }
        }
        for Expired { attempt, .. } in &expired {
            if let Some(batch) = self.batch_by_attempt.get(attempt) {
                let (rows, n_failures) = (batch.rows.clone(), batch.n_failures);
                self.offer_again(rows, n_failures);
            }
        }
        expired
    }

    pub fn on_lost(&mut self, peer: PeerId) {
        let lost: Vec<AttemptId> = self
            .batch_by_attempt
            .iter()
            .filter(|(_, batch)| batch.peer == peer)
            .map(|(&attempt, _)| attempt)
            .collect();
        for attempt in lost {
            let Some(batch) = self.batch_by_attempt.get(&attempt) else {
                continue;
            };
            match batch.stage {
                // The shard lies there whether or not its worker still lives.
                Stage::Checking => {}
                Stage::Late => {
                    self.batch_by_attempt.remove(&attempt);
                }
                Stage::Running { .. } => {
                    let (rows, n_failures) = (batch.rows.clone(), batch.n_failures);
                    self.batch_by_attempt.remove(&attempt);
                    self.offer_again(rows, n_failures);
                }
            }
        }
    }

    pub fn expect_holder(&self, peer: PeerId, attempt: AttemptId) -> Result<(), Refusal> {
        match self.batch_by_attempt.get(&attempt) {
            Some(batch) if batch.peer != peer => Err(Refusal::NotHolder { peer, attempt }),
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
        if batch.stage == Stage::Checking {
            return Ok(ReportVerdict::TooLate);
        }
        if !self.are_wanted(&rows) {
            let n_failures = batch.n_failures;
            let is_late = batch.stage == Stage::Late;
            self.batch_by_attempt.remove(&attempt);
            if !is_late {
                self.offer_again(rows, n_failures);
            }
            return Ok(ReportVerdict::TooLate);
        }
        if let Some(batch) = self.batch_by_attempt.get_mut(&attempt) {
            batch.stage = Stage::Checking;
        }
        Ok(ReportVerdict::Check)
    }

    pub fn on_committed(&mut self, rows: &Range<u64>) {
        let overlapping: Vec<(u64, u64)> = self
            .wanted
            .range(..rows.end)
            .map(|(&start, &end)| (start, end))
            .filter(|&(_, end)| end > rows.start)
            .collect();
        for (start, end) in overlapping {
            self.wanted.remove(&start);
            if start < rows.start {
                self.wanted.insert(start, rows.start);
            }
            if rows.end < end {
                self.wanted.insert(rows.end, end);
            }
        }
        let again = std::mem::take(&mut self.again);
        for offer in again {
            self.offer_again(offer.rows, offer.n_failures);
        }
        // A late lease's rows may be final now through another one, and the other way round.
        let wanted = &self.wanted;
        self.batch_by_attempt
            .retain(|_, batch| !parts_within(wanted, &batch.rows).is_empty());
    }

    /// Also for a shard whose file is not what it should be.
    pub fn on_failure(&mut self, attempt: AttemptId) -> FailureVerdict {
        let Some(batch) = self.batch_by_attempt.remove(&attempt) else {
            return FailureVerdict::TooLate;
        };
        if batch.stage == Stage::Late || !self.are_wanted(&batch.rows) {
            // Offered again already.
            let rows = batch.rows;
            if batch.stage != Stage::Late {
                self.offer_again(rows, 0);
            }
            return FailureVerdict::TooLate;
        }
        let n_failures = batch.n_failures + 1;
        let rows = batch.rows;
        if n_failures <= MAX_REPEATS {
            self.offer_again(rows, n_failures);
            return FailureVerdict::OfferedAgain { n_failures };
        }
        if rows.end - rows.start == 1 {
            return FailureVerdict::RowFails {
                round: self.round,
                row: rows.start,
            };
        }
        let middle = rows.start + (rows.end - rows.start) / 2;
        self.offer_again(rows.start..middle, 0);
        self.offer_again(middle..rows.end, 0);
        FailureVerdict::Split { rows }
    }

    fn are_wanted(&self, rows: &Range<u64>) -> bool {
        parts_within(&self.wanted, rows) == [rows.clone()]
    }

    /// Offers what is still wanted of `rows`.
    fn offer_again(&mut self, rows: Range<u64>, n_failures: u32) {
        for rows in parts_within(&self.wanted, &rows) {
            self.again.push_back(Offer { rows, n_failures });
        }
    }

    /// Every wanted row is offered or leased, and nothing is offered that is not wanted.
    #[cfg(test)]
    pub fn check(&self) -> Result<(), String> {
        let mut covered: Vec<Range<u64>> = Vec::new();
        covered.extend(self.untouched.iter().cloned());
        covered.extend(self.again.iter().map(|offer| offer.rows.clone()));
        for rows in &covered {
            if !self.are_wanted(rows) {
                return Err(format!("rows {rows:?} are offered but not wanted"));
            }
        }
        covered.extend(
            self.batch_by_attempt
                .values()
                .filter(|batch| batch.stage != Stage::Late)
                .map(|batch| batch.rows.clone()),
        );
        for (&start, &end) in &self.wanted {
            for row in start..end {
                if !covered.iter().any(|rows| rows.contains(&row)) {
                    return Err(format!(
                        "row {row} is wanted but neither offered nor leased"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The parts of `rows` that lie within `ranges`, in order.
fn parts_within(ranges: &BTreeMap<u64, u64>, rows: &Range<u64>) -> Vec<Range<u64>> {
    let mut parts: Vec<Range<u64>> = ranges
        .range(..rows.end)
        .rev()
        .take_while(|&(_, &end)| end > rows.start)
        .map(|(&start, &end)| start.max(rows.start)..end.min(rows.end))
        .collect();
    parts.reverse();
    parts
}
