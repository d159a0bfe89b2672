//! How the targets of a catalogue ended, in numbers.

use crate::{numbers, results};
use sidereal_inference::records::{CatalogueRow, TargetStatus};

/// All ends of a target, in the order in which they are told.
pub const STATUSES: [(TargetStatus, &str); 4] = [
    (TargetStatus::Done, "done"),
    (TargetStatus::NotTrusted, "not to be trusted"),
    (TargetStatus::Unusable, "cannot be used"),
    (TargetStatus::Failed, "failed"),
];

/// Of the rows of a catalogue.
#[derive(Debug, PartialEq)]
pub struct Counts {
    /// Of those ends that there are, and of the good one.
    pub n_by_status: Vec<(TargetStatus, &'static str, u64)>,
    /// What was asked for.
    pub n_eff: f64,
    /// Targets that have it.
    pub n_reached: u64,
    /// Of the targets that have a posterior.
    pub median_efficiency: Option<f64>,
    pub simulations: u64,
}

impl Counts {
    pub fn of(rows: &[CatalogueRow], n_eff: f64) -> Self {
        let n_of = |status| rows.iter().filter(|row| row.status == status).count() as u64;
        let statuses = STATUSES
            .into_iter()
            .map(|(status, what)| (status, what, n_of(status)));
        let reached = rows
            .iter()
            .filter(|row| row.n_eff.is_some_and(|found| found >= n_eff));
        let mut efficiencies: Vec<f64> = rows.iter().filter_map(|row| row.efficiency).collect();
        efficiencies.sort_by(f64::total_cmp);
        let n = efficiencies.len();
        let middle = efficiencies
            .get(n.saturating_sub(1) / 2)
            .zip(efficiencies.get(n / 2));
        Self {
            n_by_status: statuses
                .filter(|&(status, _, n)| n > 0 || status == TargetStatus::Done)
                .collect(),
            n_eff,
            n_reached: reached.count() as u64,
            median_efficiency: middle.map(|(lower, upper)| 0.5 * (lower + upper)),
            simulations: rows.iter().map(|row| row.simulations).sum(),
        }
    }

    /// A line a number.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| results::line(&mut text, name, value);
        let n_targets = self.n_by_status.iter().map(|(_, _, n)| n).sum();
        line("targets", &numbers::count(n_targets));
        for (status, what, n) in &self.n_by_status {
            let name = format!("status {}", u8::from(*status));
            line(&name, &format!("{} {what}", numbers::count(*n)));
        }
        let name = format!("n_eff of {}", numbers::n_eff(self.n_eff));
        line(
            &name,
            &format!("{} have it", numbers::count(self.n_reached)),
        );
        if let Some(efficiency) = self.median_efficiency {
            line("median efficiency", &numbers::percent(efficiency));
        }
        line("simulations", &numbers::count(self.simulations));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::base::TargetId;
    use sidereal_predict::row_without;

    #[test]
    fn the_ends_of_targets_are_counted() {
        let row = |status, n_eff: Option<f64>| CatalogueRow {
            n_eff,
            efficiency: n_eff.map(|n_eff| n_eff / 4000.0),
            simulations: 4000,
            ..row_without(&TargetId::Number(7), 0, 9, status, "a reason".to_owned())
        };
        let rows = [
            row(TargetStatus::Done, Some(1000.0)),
            row(TargetStatus::NotTrusted, Some(80.0)),
            row(TargetStatus::Done, Some(2000.0)),
            row(TargetStatus::Done, Some(960.0)),
            CatalogueRow {
                simulations: 0,
                ..row(TargetStatus::Unusable, None)
            },
        ];
        let expected = "targets            5\n\
                        status 0           3 done\n\
                        status 3           1 not to be trusted\n\
                        status 2           1 cannot be used\n\
                        n_eff of 1,000     2 have it\n\
                        median efficiency  24.5 %\n\
                        simulations        16,000\n";
        assert_eq!(Counts::of(&rows, 1000.0).text(), expected);
        let none = Counts::of(&[], 1000.0);
        assert_eq!(none.median_efficiency, None);
        assert_eq!(none.n_by_status, [(TargetStatus::Done, "done", 0)]);
    }
}
