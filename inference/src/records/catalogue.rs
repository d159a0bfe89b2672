//! `catalogue.parquet`: what was found of the targets of a catalogue, a row a target.

use super::table::{Column, Format, TableError, encode};
use crate::base::TargetId;
use arrow_array::{Float64Array, Int64Array, StringArray, UInt32Array, UInt64Array};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FORMAT: Format = Format {
    name: "sidereal-catalogue",
    version: "1",
};

/// What was found of one target. Numbers that there are none of, or that are not finite, are None.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogueRow {
    /// Which one.
    pub target: TargetId,
    /// How it ended.
    pub status: TargetStatus,
    /// Why it did not end well; empty where it did.
    pub reasons: Vec<String>,
    /// Of the observation; 0 where it cannot be read.
    pub n_data: u64,
    /// Draws, each simulated once.
    pub simulations: u64,
    /// Draws whose simulation failed.
    pub n_failed: u64,
    /// What the weighted draws are worth.
    pub n_eff: Option<f64>,
    /// n_eff / simulations.
    pub efficiency: Option<f64>,
    /// Shape of the weights' tail.
    pub pareto_k: Option<f64>,
    /// Logarithm of the mean weight.
    pub log_evidence: Option<f64>,
    /// Its standard error.
    pub log_evidence_error: Option<f64>,
    /// The smallest of all draws.
    pub chi_square: Option<f64>,
    /// Data less the parameters that they determine.
    pub degrees_of_freedom: Option<f64>,
    /// Of the check of the fit.
    pub p_of_fit: Option<f64>,
    /// Of draws and simulations.
    pub seed: u64,
    /// Where its weighted draws are, relative to the table.
    pub posterior: Option<String>,
    /// Quantiles of all that is shown; none where there is no posterior.
    pub parameters: Vec<CatalogueQuantiles>,
}

/// Weighted quantiles of one parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogueQuantiles {
    /// Half of the mass lies below.
    pub median: Option<f64>,
    /// 16 % of the mass lie below.
    pub quantile_16: Option<f64>,
    /// 84 % of the mass lie below.
    pub quantile_84: Option<f64>,
}

/// How a target ended, as the exit status of a command says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum TargetStatus {
    /// With a posterior.
    Done,
    /// The network gives no numbers for it.
    Failed,
    /// Its observation cannot be used.
    Unusable,
    /// With a posterior that is not to be trusted.
    NotTrusted,
}

impl From<TargetStatus> for u8 {
    fn from(status: TargetStatus) -> Self {
        match status {
            TargetStatus::Done => 0,
            TargetStatus::Failed => 1,
            TargetStatus::Unusable => 2,
            TargetStatus::NotTrusted => 3,
        }
    }
}

impl TryFrom<u8> for TargetStatus {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        [Self::Done, Self::Failed, Self::Unusable, Self::NotTrusted]
            .into_iter()
            .find(|status| u8::from(*status) == number)
            .ok_or_else(|| format!("status {number}, expected 0 to 3"))
    }
}

/// The file's bytes: the same rows give the same bytes. `names` are those of what is shown; `path` is for messages.
pub fn encode_catalogue(
    rows: &[CatalogueRow],
    names: &[&str],
    path: &Path,
) -> Result<Vec<u8>, TableError> {
    let counts = |name: &str, count: fn(&CatalogueRow) -> u64| {
        let counts: Vec<u64> = rows.iter().map(count).collect();
        Column::new(name, UInt64Array::from(counts))
    };
    let numbers = |name: &str, number: fn(&CatalogueRow) -> Option<f64>| {
        let numbers: Vec<Option<f64>> = rows.iter().map(number).collect();
        Column::nullable(name, Float64Array::from(numbers))
    };
    let status = rows.iter().map(|row| u32::from(u8::from(row.status)));
    let reasons = rows.iter().map(|row| row.reasons.join("; "));
    let posteriors: Vec<Option<&str>> = rows.iter().map(|row| row.posterior.as_deref()).collect();
    let mut columns = vec![
        targets(rows),
        Column::new("status", UInt32Array::from_iter_values(status)),
        Column::new("reasons", StringArray::from_iter_values(reasons)),
        counts("n_data", |row| row.n_data),
        counts("simulations", |row| row.simulations),
        counts("n_failed", |row| row.n_failed),
        numbers("n_eff", |row| row.n_eff),
        numbers("efficiency", |row| row.efficiency),
        numbers("pareto_k", |row| row.pareto_k),
        numbers("log_evidence", |row| row.log_evidence),
        numbers("log_evidence_error", |row| row.log_evidence_error),
        numbers("chi_square", |row| row.chi_square),
        numbers("degrees_of_freedom", |row| row.degrees_of_freedom),
        numbers("p_of_fit", |row| row.p_of_fit),
        counts("seed", |row| row.seed),
        Column::nullable("posterior", StringArray::from(posteriors)),
    ];
    type Quantile = fn(&CatalogueQuantiles) -> Option<f64>;
    let quantiles: [(&str, Quantile); 3] = [
        ("median", |found| found.median),
        ("quantile_16", |found| found.quantile_16),
        ("quantile_84", |found| found.quantile_84),
    ];
    for (j, parameter) in names.iter().enumerate() {
        for (name, quantile) in quantiles {
            let of_row = |row: &CatalogueRow| row.parameters.get(j).and_then(quantile);
            let values: Vec<Option<f64>> = rows.iter().map(of_row).collect();
            let name = format!("{parameter}_{name}");
            columns.push(Column::nullable(name, Float64Array::from(values)));
        }
    }
    encode(path, FORMAT, &[], columns)
}

/// Integers where all are.
fn targets(rows: &[CatalogueRow]) -> Column {
    let number = |row: &CatalogueRow| match &row.target {
        TargetId::Number(number) => Some(*number),
        TargetId::Name(_) => None,
    };
    match rows.iter().map(number).collect::<Option<Vec<i64>>>() {
        Some(numbers) => Column::new("target", Int64Array::from(numbers)),
        None => {
            let names = rows.iter().map(|row| row.target.to_string());
            Column::new("target", StringArray::from_iter_values(names))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::table::{Read, decode};

    fn row(target: TargetId, n_eff: Option<f64>) -> CatalogueRow {
        CatalogueRow {
            target,
            status: TargetStatus::NotTrusted,
            reasons: vec!["one".to_owned(), "two".to_owned()],
            n_data: 9,
            simulations: 1000,
            n_failed: 1,
            n_eff,
            efficiency: n_eff.map(|n_eff| n_eff / 1000.0),
            pareto_k: None,
            log_evidence: Some(-0.0),
            log_evidence_error: Some(0.1),
            chi_square: None,
            degrees_of_freedom: None,
            p_of_fit: None,
            seed: u64::MAX,
            posterior: Some("posteriors/target=1/posterior.parquet".to_owned()),
            parameters: vec![CatalogueQuantiles {
                median: Some(0.1 + 0.2),
                quantile_16: Some(-1e-300),
                quantile_84: None,
            }],
        }
    }

    #[test]
    fn the_table_has_a_row_a_target() {
        let rows = [
            row(TargetId::Number(7), Some(12.5)),
            row(TargetId::Number(-1), None),
        ];
        let path = Path::new("catalogue.parquet");
        let bytes = encode_catalogue(&rows, &["a"], path).expect("encoded");
        let names = [
            "target",
            "status",
            "reasons",
            "n_data",
            "simulations",
            "n_failed",
            "n_eff",
            "efficiency",
            "pareto_k",
            "log_evidence",
            "log_evidence_error",
            "chi_square",
            "degrees_of_freedom",
            "p_of_fit",
            "seed",
            "posterior",
            "a_median",
            "a_quantile_16",
            "a_quantile_84",
        ]
        .map(str::to_owned);
        let table = decode(path, FORMAT, &names, Read::All, bytes.clone().into()).expect("a table");
        assert_eq!(table.u32s("status").expect("numbers"), [3, 3]);
        assert_eq!(table.u64s("seed").expect("numbers"), [u64::MAX; 2]);
        let median = table.finite_f64s("a_median").expect("numbers");
        assert_eq!(median, [0.1 + 0.2; 2]);
        assert!(table.finite_f64s("n_eff").is_err(), "one is null");
        assert_eq!(
            encode_catalogue(&rows, &["a"], path).expect("encoded"),
            bytes
        );
    }

    #[test]
    fn rows_are_found_again_as_they_were() {
        for target in [TargetId::Number(7), TargetId::Name("7".to_owned())] {
            let row = row(target, Some(1.0 / 3.0));
            let json = serde_json::to_string(&row).expect("JSON");
            let found: CatalogueRow = serde_json::from_str(&json).expect("a row");
            assert_eq!(found, row);
            let sign = |row: &CatalogueRow| row.log_evidence.map(f64::is_sign_negative);
            assert_eq!(sign(&found), sign(&row));
        }
        let bad = serde_json::from_str::<TargetStatus>("4").expect_err("no status");
        assert!(
            bad.to_string().contains("status 4, expected 0 to 3"),
            "{bad}"
        );
    }
}
