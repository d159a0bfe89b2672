//! Scores: log densities of one round's draws under flows, in their own Parquet files.

use super::directory::Directory;
use super::table::{Column, Format, Read, TableError, decode, encode};
use super::task::ScoresFile;
use crate::base::{FlowId, RoundId};
use arrow_array::UInt64Array;

const FORMAT: Format = Format {
    name: "sidereal-scores",
    version: "1",
};

/// log q_flow(θ) (in the parameters' own units) of all rows of one round, for one or more flows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Whose draws they are of.
    pub round: RoundId,
    /// Each once.
    pub flows: Vec<FlowId>,
    /// One column per flow, each with one value per row of the round, in row order.
    pub log_density: Vec<Vec<f64>>,
}

impl Scores {
    /// Writes the file; the same scores give the same bytes.
    pub fn store(&self, directory: &Directory, relative: &str) -> Result<ScoresFile, TableError> {
        let path = directory.join(relative);
        let n_rows = self.log_density.first().map_or(0, Vec::len) as u64;
        let row_ids = UInt64Array::from_iter_values(0..n_rows);
        let mut columns = vec![Column::new("row_id", row_ids)];
        for (&flow, values) in self.flows.iter().zip(&self.log_density) {
            columns.push(Column::doubles(column_name(flow), values.clone()));
        }
        let round = [("round", self.round.0.to_string())];
        Ok(ScoresFile {
            round: self.round,
            flows: self.flows.clone(),
            file: directory.store(relative, encode(&path, FORMAT, &round, columns)?)?,
        })
    }

    /// Refuses a file that does not have the round's `n_rows` rows in order, each with a log density.
    pub fn load(
        directory: &Directory,
        stored: &ScoresFile,
        n_rows: u64,
    ) -> Result<Self, TableError> {
        let path = directory.join(&stored.file.path);
        let bytes = directory.read_stored(&stored.file)?;
        let mut names = vec!["row_id".to_owned()];
        names.extend(stored.flows.iter().map(|&flow| column_name(flow)));
        let table = decode(&path, FORMAT, &names, Read::All, bytes)?;
        table.check_metadata("round", &stored.round.0.to_string())?;
        table.check_rows(0, n_rows)?;
        let flows = stored.flows.iter();
        let log_density = flows.map(|&flow| table.log_f64s(&column_name(flow)));
        Ok(Self {
            round: stored.round,
            flows: stored.flows.clone(),
            log_density: log_density.collect::<Result<_, TableError>>()?,
        })
    }
}

fn column_name(flow: FlowId) -> String {
    format!("log_flow_{}", flow.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_found_again_and_the_wrong_ones_refused() {
        let directory = Directory::in_memory();
        let scores = Scores {
            round: RoundId(2),
            flows: vec![FlowId(0), FlowId(1)],
            log_density: vec![vec![-1.5, f64::NEG_INFINITY, 0.1], vec![2.0, 3.0, -1e-300]],
        };
        let stored = scores.store(&directory, "scores.parquet").expect("store");
        assert_eq!(Scores::load(&directory, &stored, 3).expect("load"), scores);

        let refused = |stored: &ScoresFile, n_rows| {
            let error = Scores::load(&directory, stored, n_rows)
                .expect_err("refused")
                .to_string();
            error.rsplit(": ").next().unwrap_or_default().to_owned()
        };
        assert_eq!(refused(&stored, 4), "the number of rows is 3, expected 4");
        let other_round = ScoresFile {
            round: RoundId(1),
            ..stored.clone()
        };
        assert_eq!(refused(&other_round, 3), "sidereal.round is 2, expected 1");
        let other_flows = ScoresFile {
            flows: vec![FlowId(0)],
            ..stored.clone()
        };
        assert_eq!(
            refused(&other_flows, 3),
            "the list of columns is row_id, log_flow_0, log_flow_1, expected row_id, log_flow_0"
        );
        let mut broken = scores;
        broken.log_density[1][2] = f64::NAN;
        let broken = broken.store(&directory, "broken.parquet").expect("store");
        assert_eq!(
            refused(&broken, 3),
            "log_flow_1 in line 2 is NaN, expected a finite number or -inf"
        );
    }
}
