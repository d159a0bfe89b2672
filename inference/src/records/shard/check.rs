//! Whether a shard is what was asked for: a worker may be broken, or no worker of ours.

use super::rows::{
    DATA, FORMAT, MAX_MESSAGE_BYTES, RowStatus, ShardLayout, ShardRows, check_n_failed,
    column_names,
};
use crate::campaign::{Campaign, GaussianNoise, Noise, Observation, RowNoise};
use crate::records::directory::Directory;
use crate::records::draws::Draws;
use crate::records::table::{Pieces, Read, Table, TableError};
use crate::records::task::ShardFile;
use crate::space::ParameterSpace;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Rows of a shard whose log-likelihood is computed again from their data.
const N_RECOMPUTED: usize = 8;

/// What a column may be larger than its numbers and texts.
const SIZE_ALLOWANCE: u64 = 64 << 10;

/// Whether a campaign weighs its draws.
#[derive(Debug, Clone, Copy)]
pub enum Weighed<'a> {
    /// There is an observation: every row that did not fail has a log-likelihood.
    ByObservation,
    /// It has, and its log-likelihood follows from its data.
    ByNoise(&'a GaussianNoise, &'a Observation),
    /// Amortized: no row has a log-likelihood.
    Never,
}

impl<'a> Weighed<'a> {
    /// By its observation and its noise.
    pub fn of(campaign: &'a Campaign) -> Self {
        match (&campaign.observation, &campaign.noise) {
            // Linear parameters are integrated out: the data are those of one of their values.
            (Some(observation), Noise::Gaussian(noise))
                if campaign.space.linear().next().is_none() =>
            {
                Self::ByNoise(noise, observation)
            }
            (Some(_), Noise::Gaussian(_) | Noise::Simulator) => Self::ByObservation,
            (None, _) => Self::Never,
        }
    }
}

/// Whether a shard holds exactly the draws that were asked for (bit for bit), each with an answer of
/// finite numbers, as many as the layout says, and a log-likelihood as `weighed` says, or marked as failed without one. What follows from
/// the data is computed again for a few rows, which nobody can foretell who does not know `secret`.
pub fn check(
    directory: &Directory,
    shard: &ShardFile,
    layout: ShardLayout<'_>,
    weighed: Weighed<'_>,
    expected: &Draws,
    secret: &str,
) -> Result<(), TableError> {
    let path = directory.join(&shard.file.path);
    let named = (shard.round.0, shard.first_row, shard.n_rows);
    let n_expected = expected.n_rows() as u64;
    let asked = (expected.round.0, expected.first_row, n_expected);
    if named != asked {
        let rows = |(round, first_row, n_rows): (u32, u64, u64)| {
            format!("round {round} row {first_row} and {n_rows} rows from it")
        };
        let (found, expected) = (rows(named), rows(asked));
        return Err(TableError::content(&path, "the batch", found, expected));
    }
    let bytes = directory.read_stored(&shard.file)?;
    let names = column_names(&path, layout)?;
    let mut pieces = Pieces::open(&path, FORMAT, &names, Read::All, bytes)?;
    pieces.check_metadata("round", &shard.round.0.to_string())?;
    pieces.check_sizes(|name| most_bytes(name, shard.n_rows, layout.n_data))?;
    let lines = recomputed_lines(shard.n_rows, &shard.file.sha256, secret);
    let end_row = shard.first_row + shard.n_rows;
    let mut next_row = shard.first_row;
    let mut n_failed = 0;
    while let Some(table) = pieces.next()? {
        table.check_rows(next_row, table.n_rows() as u64)?;
        let rows = ShardRows::from_table(table, layout, shard.round, next_row, Read::All)?;
        if rows.n_data != layout.n_data {
            let what = "the width of column x";
            return Err(table.content(what, rows.n_data, layout.n_data));
        }
        check_draws(table, layout.space, &rows.draws, expected)?;
        check_answers(table, &rows, weighed)?;
        if let Weighed::ByNoise(noise, observation) = weighed {
            let of_row = |i: usize| noise.terms.of_row(layout.space, rows.draws.theta_row(i));
            check_log_likelihood(table, &lines, &rows, observation, of_row)?;
        }
        next_row = rows.draws.end_row();
        n_failed += rows.n_failed();
        if next_row > end_row {
            break;
        }
    }
    let (found, expected) = (next_row - shard.first_row, shard.n_rows);
    if found != expected {
        let what = "the number of rows";
        return Err(TableError::content(&path, what, found, expected));
    }
    check_n_failed(directory, shard, n_failed)
}

/// Part of a shard: its draws against those that were asked for, bit by bit.
fn check_draws(
    table: &Table,
    space: &ParameterSpace,
    found: &Draws,
    expected: &Draws,
) -> Result<(), TableError> {
    let expected = &expected.slice(found.first_row..found.end_row());
    let matrices = [
        ("", &found.theta, &expected.theta),
        ("z_", &found.z, &expected.z),
    ];
    for (prefix, found, expected) in matrices {
        if let Some(place) = first_difference(found, expected) {
            let (i, j) = (place / space.len(), place % space.len());
            let column = format!("{prefix}{}", space.names()[j]);
            return Err(table.cell(&column, i, found[place], expected[place]));
        }
    }
    let columns = [
        ("log_prior", &found.log_prior, &expected.log_prior),
        ("log_proposal", &found.log_proposal, &expected.log_proposal),
    ];
    for (name, found, expected) in columns {
        if let Some(i) = first_difference(found, expected) {
            return Err(table.cell(name, i, found[i], expected[i]));
        }
    }
    let mut components = found.component.iter().zip(&expected.component).enumerate();
    match components.find(|(_, (found, expected))| found != expected) {
        Some((i, (found, expected))) => Err(table.cell("component", i, found, expected)),
        None => Ok(()),
    }
}

/// Part of a shard: whether its rows have what they should have, answered or failed.
fn check_answers(table: &Table, rows: &ShardRows, weighed: Weighed<'_>) -> Result<(), TableError> {
    let is_weighed = match weighed {
        Weighed::ByObservation | Weighed::ByNoise(..) => true,
        Weighed::Never => false,
    };
    for (i, &status) in rows.status.iter().enumerate() {
        let what = |column: &str| {
            let (line, status) = (table.first_line() + i, status.name());
            format!("{column} in line {line} (status {status})")
        };
        let known = status == RowStatus::Ok && is_weighed;
        if rows.log_likelihood[i].is_some() != known {
            let found = rows.log_likelihood[i].map_or("null".to_owned(), |value| value.to_string());
            let expected = if known { "a number" } else { "null" };
            return Err(table.content(what("log_likelihood"), found, expected));
        }
        let length = rows.message[i].as_ref().map_or(0, String::len);
        let most = match status {
            RowStatus::Ok => 0,
            RowStatus::Failed => MAX_MESSAGE_BYTES,
        };
        if length > most {
            let (found, expected) = (
                format!("{length} bytes long"),
                format!("at most {most} bytes"),
            );
            return Err(table.content(what("message"), found, expected));
        }
        let data = rows.simulated_row(i);
        let broken = data.iter().position(|value| !value.is_finite());
        if let (RowStatus::Ok, Some(j)) = (status, broken) {
            return Err(table.content(what(&format!("x[{j}]")), data[j], "a finite number"));
        }
    }
    Ok(())
}

/// Part of a shard: its own log-likelihoods against those that follow from its data, in a few rows.
fn check_log_likelihood<'a>(
    table: &Table,
    lines: &BTreeSet<u64>,
    rows: &ShardRows,
    observation: &Observation,
    noise: impl Fn(usize) -> RowNoise<'a>,
) -> Result<(), TableError> {
    let first_line = table.first_line();
    for i in 0..rows.log_likelihood.len() {
        let (true, Some(found)) = (
            lines.contains(&((first_line + i) as u64)),
            rows.log_likelihood[i],
        ) else {
            continue;
        };
        let (expected, tolerance) =
            noise(i).log_likelihood_of_rounded(observation, rows.simulated_row(i));
        let is_same = found == expected || (found - expected).abs() <= tolerance;
        if !is_same {
            let expected = format!("{expected} by its data, give or take {tolerance:e}");
            return Err(table.cell("log_likelihood", i, found, expected));
        }
    }
    Ok(())
}

/// The lines of a shard that [`check`] computes again: they follow from what it holds and from the secret.
pub fn recomputed_lines(n_rows: u64, sha256: &str, secret: &str) -> BTreeSet<u64> {
    if n_rows <= N_RECOMPUTED as u64 {
        return (0..n_rows).collect();
    }
    let mut lines = BTreeSet::new();
    let mut serial: u64 = 0;
    while lines.len() < N_RECOMPUTED {
        let digest = Sha256::digest(format!("{secret}\n{sha256}\n{serial}"));
        let number = digest
            .iter()
            .take(8)
            .fold(0, |number, byte| (number << 8) | u64::from(*byte));
        lines.insert(number % n_rows);
        serial += 1;
    }
    lines
}

/// What a column of `n_rows` rows may unpack to: twice what its values take, and something for headers.
fn most_bytes(name: &str, n_rows: u64, n_data: usize) -> u64 {
    let bytes_of_row = match name {
        DATA => 4 * n_data as u64,
        "message" => MAX_MESSAGE_BYTES as u64 + 4,
        _ => 16,
    };
    (2 * n_rows)
        .saturating_mul(bytes_of_row)
        .saturating_add(SIZE_ALLOWANCE)
}

fn first_difference(found: &[f64], expected: &[f64]) -> Option<usize> {
    found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found.to_bits() != expected.to_bits())
}
