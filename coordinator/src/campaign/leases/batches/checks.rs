//! What holds between any two steps.

use super::{BatchStage, Batches};
use std::collections::BTreeSet;
use std::ops::Range;

impl Batches {
    /// Every wanted row is offered once or leased, and nothing is offered that is not wanted.
    pub fn check(&self) -> Result<(), String> {
        let mut offered: Vec<Range<u64>> = self.untouched.iter().cloned().collect();
        offered.extend(self.again.iter().map(|offer| offer.rows.clone()));
        offered.extend(self.suspects.iter().map(|offer| offer.rows.clone()));
        for (i, rows) in offered.iter().enumerate() {
            if !self.are_wanted(rows) {
                return Err(format!("rows {rows:?} are offered but not wanted"));
            }
            let twice = offered[..i]
                .iter()
                .find(|other| other.start < rows.end && rows.start < other.end);
            if let Some(other) = twice {
                return Err(format!("rows {rows:?} and {other:?} are offered twice"));
            }
        }
        let mut covered = offered;
        covered.extend(
            self.batch_by_attempt
                .values()
                .filter(|batch| batch.stage != BatchStage::Late)
                .map(|batch| batch.rows.clone()),
        );
        let mut n_wanted = 0;
        for (&start, &end) in &self.wanted {
            n_wanted += end - start;
            for row in start..end {
                if !covered.iter().any(|rows| rows.contains(&row)) {
                    return Err(format!(
                        "row {row} is wanted but neither offered nor leased"
                    ));
                }
            }
        }
        if n_wanted != self.n_wanted {
            return Err(format!(
                "{n_wanted} rows are wanted, counted {}",
                self.n_wanted
            ));
        }
        let n_indexed: usize = self.attempts_by_peer.values().map(BTreeSet::len).sum();
        let n_of_peers = self
            .batch_by_attempt
            .values()
            .filter(|batch| batch.peer.is_some())
            .count();
        if n_indexed != n_of_peers || self.by_start.len() != self.batch_by_attempt.len() {
            return Err("the indices of the leases are out of step".to_owned());
        }
        Ok(())
    }
}
