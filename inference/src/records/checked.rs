//! `check.parquet`: where the truths of a check stand in their posteriors, a row a target.

use super::table::{Column, Format, TableError, encode};
use crate::weights::WeightDiagnostics;
use arrow_array::{BooleanArray, Float64Array, StringArray, UInt64Array};
use std::path::Path;

const FORMAT: Format = Format {
    name: "sidereal-check",
    version: "1",
};

/// Where the truth stands in one posterior; all uniform between 0 and 1 where posteriors are calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct Standings {
    /// Share of the posterior below the truth, a parameter each.
    pub rank: Vec<f64>,
    /// Share of the posterior that is denser than the truth.
    pub credibility: f64,
    /// Share of the posterior that is nearer to a place drawn at random than the truth.
    pub tarp: f64,
}

/// One target whose truth is known.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedTarget {
    /// Its number, from 0 on.
    pub target: u64,
    /// What it was made of, in the order of the space.
    pub theta: Vec<f64>,
    /// Of the network's draws as they are; None where it gives none.
    pub network: Option<Standings>,
    /// Of the weighted draws; None where no weight is positive.
    pub weighted: Option<Standings>,
    /// What the weighted draws are worth.
    pub weights: WeightDiagnostics,
    /// Why they are not to be trusted; empty where they are. It is told by data and draws, never by the truth, so that those that
    /// are trusted are calibrated by themselves.
    pub warnings: Vec<String>,
}

/// The file's bytes: the same targets give the same bytes. `names` are those of the parameters; `path` is for messages.
pub fn encode_checked(
    targets: &[CheckedTarget],
    names: &[&str],
    path: &Path,
) -> Result<Vec<u8>, TableError> {
    let counts = |name: &str, count: fn(&CheckedTarget) -> u64| {
        let counts: Vec<u64> = targets.iter().map(count).collect();
        Column::new(name, UInt64Array::from(counts))
    };
    let numbers = |name: String, number: &dyn Fn(&CheckedTarget) -> Option<f64>| {
        let finite = |target: &CheckedTarget| number(target).filter(|number| number.is_finite());
        let numbers: Vec<Option<f64>> = targets.iter().map(finite).collect();
        Column::nullable(name, Float64Array::from(numbers))
    };
    let is_trusted: Vec<bool> = targets.iter().map(|one| one.warnings.is_empty()).collect();
    let reasons = targets.iter().map(|one| one.warnings.join("; "));
    let mut columns = vec![
        counts("target", |one| one.target),
        Column::new("is_trusted", BooleanArray::from(is_trusted)),
        Column::new("reasons", StringArray::from_iter_values(reasons)),
        counts("simulations", |one| one.weights.n),
        numbers("n_eff".to_owned(), &|one| Some(one.weights.n_eff)),
        numbers("pareto_k".to_owned(), &|one| one.weights.pareto_k),
    ];
    for (j, name) in names.iter().enumerate() {
        columns.push(numbers(format!("{name}_truth"), &|one| {
            one.theta.get(j).copied()
        }));
    }
    type Of = fn(&CheckedTarget) -> Option<&Standings>;
    let posteriors: [(&str, Of); 2] = [
        ("network", |one| one.network.as_ref()),
        ("weighted", |one| one.weighted.as_ref()),
    ];
    for (which, of) in posteriors {
        for (j, name) in names.iter().enumerate() {
            let rank = |one: &CheckedTarget| of(one)?.rank.get(j).copied();
            columns.push(numbers(format!("{which}_rank_{name}"), &rank));
        }
        let credibility = |one: &CheckedTarget| Some(of(one)?.credibility);
        columns.push(numbers(format!("{which}_credibility"), &credibility));
        columns.push(numbers(format!("{which}_tarp"), &|one| Some(of(one)?.tarp)));
    }
    encode(path, FORMAT, &[], columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::table::{Read, decode};

    #[test]
    fn a_row_holds_the_truth_and_where_it_stands() {
        let standings = Standings {
            rank: vec![0.25],
            credibility: 0.5,
            tarp: 0.75,
        };
        let target = CheckedTarget {
            target: 7,
            theta: vec![1.5],
            network: Some(standings),
            weighted: None,
            weights: WeightDiagnostics {
                n: 300,
                n_eff: 120.0,
                efficiency: 0.4,
                pareto_k: None,
                max_weight: 0.1,
                evidence: None,
            },
            warnings: vec!["one".to_owned(), "two".to_owned()],
        };
        let path = Path::new("check.parquet");
        let bytes = encode_checked(&[target], &["a"], path).expect("encoded");
        let text = "target is_trusted reasons simulations n_eff pareto_k a_truth network_rank_a network_credibility \
                    network_tarp weighted_rank_a weighted_credibility weighted_tarp";
        let names: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let table = decode(path, FORMAT, &names, Read::All, bytes.into()).expect("a table");
        for (name, expected) in [
            ("a_truth", 1.5),
            ("network_rank_a", 0.25),
            ("network_tarp", 0.75),
            ("n_eff", 120.0),
        ] {
            assert_eq!(table.finite_f64s(name).expect(name), [expected]);
        }
        assert_eq!(table.u64s("simulations").expect("numbers"), [300]);
        assert!(table.finite_f64s("weighted_tarp").is_err(), "it is null");
    }
}
