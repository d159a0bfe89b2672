//! Whether a shard is what was asked for: a worker may be broken, or no worker of ours.

use super::rows::{FORMAT, MAX_MESSAGE_BYTES, RowStatus, ShardRows, check_n_failed, column_names};
use crate::campaign::{Campaign, GaussianNoise, Noise, Observation};
use crate::records::directory::Directory;
use crate::records::draws::Draws;
use crate::records::table::{Pieces, Read, TableError};
use crate::records::task::ShardFile;
use crate::space::ParameterSpace;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;

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
    pub fn of(campaign: &'a Campaign) -> Self {
        match (&campaign.observation, &campaign.noise) {
            (Some(observation), Noise::Gaussian(noise)) => Self::ByNoise(noise, observation),
            (Some(_), Noise::Simulator) => Self::ByObservation,
            (None, _) => Self::Never,
        }
    }
}

/// Whether a shard holds exactly the draws that were asked for (bit for bit), each with an answer of
/// `n_data` finite numbers and a log-likelihood as `weighed` says, or marked as failed without one. What follows from
/// the data is computed again for a few rows, which nobody can foretell who does not know `secret`.
pub fn check(
    directory: &Directory,
    shard: &ShardFile,
    space: &ParameterSpace,
    n_data: usize,
    weighed: Weighed<'_>,
    expected: &Draws,
    secret: &str,
) -> Result<(), TableError> {
    let path = directory.join(&shard.file.path);
    let named = (shard.round.0, shard.first_row, shard.n_rows);
    let asked = (
        expected.round.0,
        expected.first_row,
        expected.n_rows() as u64,
    );
    if named != asked {
        let rows = |(round, first_row, n_rows): (u32, u64, u64)| {
            format!("round {round} row {first_row} and {n_rows} rows from it")
        };
        return Err(TableError::content(
            &path,
            "the batch",
            rows(named),
            rows(asked),
        ));
    }
    let bytes = directory.read_stored(&shard.file)?;
    let mut pieces = Pieces::open(
        &path,
        FORMAT,
        &column_names(&path, space)?,
        Read::All,
        bytes,
    )?;
    pieces.check_metadata("round", &shard.round.0.to_string())?;
    pieces.check_sizes(|name| most_bytes(name, shard.n_rows, n_data))?;
    let lines = recomputed_lines(shard.n_rows, &shard.file.sha256, secret);
    let end_row = shard.first_row + shard.n_rows;
    let mut next_row = shard.first_row;
    let mut n_failed = 0;
    while let Some(table) = pieces.next()? {
        table.check_rows(next_row, table.n_rows() as u64)?;
        let rows = ShardRows::from_table(table, space, shard.round, next_row, Read::All)?;
        check_rows(
            &path,
            shard.first_row,
            &rows,
            space,
            n_data,
            weighed,
            expected,
        )?;
        if let Weighed::ByNoise(noise, observation) = weighed {
            check_log_likelihood(&path, shard.first_row, &lines, &rows, noise, observation)?;
        }
        next_row = rows.draws.end_row();
        n_failed += rows.n_failed();
        if next_row > end_row {
            break;
        }
    }
    let n_rows = next_row - shard.first_row;
    if n_rows != shard.n_rows {
        return Err(TableError::content(
            &path,
            "the number of rows",
            n_rows,
            shard.n_rows,
        ));
    }
    check_n_failed(directory, shard, n_failed)
}

/// Part of a shard that begins with `first_row`.
fn check_rows(
    path: &Path,
    first_row: u64,
    rows: &ShardRows,
    space: &ParameterSpace,
    n_data: usize,
    weighed: Weighed<'_>,
    expected: &Draws,
) -> Result<(), TableError> {
    if rows.n_data != n_data {
        return Err(TableError::content(
            path,
            "the width of column x",
            rows.n_data,
            n_data,
        ));
    }
    let first_line = (rows.draws.first_row - first_row) as usize;
    let draws = &rows.draws;
    let expected = &expected.slice(draws.first_row..draws.end_row());
    let matrices = [
        ("", &draws.theta, &expected.theta),
        ("z_", &draws.z, &expected.z),
    ];
    for (prefix, found, expected) in matrices {
        if let Some(place) = first_difference(found, expected) {
            let (i, j) = (place / space.len(), place % space.len());
            let name = space.names()[j];
            let what = format!("{prefix}{name} in line {}", first_line + i);
            return Err(TableError::content(
                path,
                what,
                found[place],
                expected[place],
            ));
        }
    }
    let columns = [
        ("log_prior", &draws.log_prior, &expected.log_prior),
        ("log_proposal", &draws.log_proposal, &expected.log_proposal),
    ];
    for (name, found, expected) in columns {
        if let Some(i) = first_difference(found, expected) {
            return Err(TableError::content(
                path,
                format!("{name} in line {}", first_line + i),
                found[i],
                expected[i],
            ));
        }
    }
    for (i, (found, expected)) in draws.component.iter().zip(&expected.component).enumerate() {
        if found != expected {
            return Err(TableError::content(
                path,
                format!("component in line {}", first_line + i),
                found,
                expected,
            ));
        }
    }

    for (i, &status) in rows.status.iter().enumerate() {
        let is_weighed = match weighed {
            Weighed::ByObservation | Weighed::ByNoise(..) => true,
            Weighed::Never => false,
        };
        let known = status == RowStatus::Ok && is_weighed;
        if rows.log_likelihood[i].is_some() != known {
            let (line, status) = (first_line + i, status.name());
            let what = format!("log_likelihood in line {line} (status {status})");
            let found = rows.log_likelihood[i].map_or("null".to_owned(), |value| value.to_string());
            return Err(TableError::content(
                path,
                what,
                found,
                if known { "a number" } else { "null" },
            ));
        }
        let length = rows.message[i].as_ref().map_or(0, String::len);
        let most = match status {
            RowStatus::Ok => 0,
            RowStatus::Failed => MAX_MESSAGE_BYTES,
        };
        if length > most {
            return Err(TableError::content(
                path,
                format!(
                    "message in line {} (status {})",
                    first_line + i,
                    status.name()
                ),
                format!("{length} bytes long"),
                format!("at most {most} bytes"),
            ));
        }
        let broken = rows
            .simulated_row(i)
            .iter()
            .position(|value| !value.is_finite());
        if let (RowStatus::Ok, Some(j)) = (status, broken) {
            let what = format!("x[{j}] in line {} (status ok)", first_line + i);
            return Err(TableError::content(
                path,
                what,
                rows.simulated_row(i)[j],
                "a finite number",
            ));
        }
    }
    Ok(())
}

/// Part of a shard: its own log-likelihoods against those that follow from its data, in a few rows.
fn check_log_likelihood(
    path: &Path,
    first_row: u64,
    lines: &BTreeSet<u64>,
    rows: &ShardRows,
    noise: &GaussianNoise,
    observation: &Observation,
) -> Result<(), TableError> {
    for line in lines {
        let row = first_row + line;
        let Some(i) = row.checked_sub(rows.draws.first_row) else {
            continue;
        };
        let i = i as usize;
        let Some(Some(found)) = rows.log_likelihood.get(i) else {
            continue;
        };
        let (expected, tolerance) =
            noise.log_likelihood_of_rounded(observation, rows.simulated_row(i));
        let is_same = *found == expected || (found - expected).abs() <= tolerance;
        if !is_same {
            return Err(TableError::content(
                path,
                format!("log_likelihood in line {line}"),
                found,
                format!("{expected} by its data, give or take {tolerance:e}"),
            ));
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
        "x" => 4 * n_data as u64,
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
