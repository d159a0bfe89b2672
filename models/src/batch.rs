//! One batch: draws in, shard rows out, as a pure function.

use crate::simulator::{SimulationError, Simulator};
use rayon::prelude::*;
use sidereal_inference::base::{Purpose, RowId, stream, words_of_panic};
use sidereal_inference::campaign::{Campaign, Noise};
use sidereal_inference::records::Draws;
use sidereal_inference::records::shard::{RowStatus, ShardRows};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(test)]
mod tests;

/// Times that a row is tried whose simulator says that a retry can help.
const TRIES: usize = 3;

/// A batch that was not run, for a reason that is not its parameters'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the variants' own messages say it, with the fields"
)]
pub enum BatchError {
    #[error("draws have {found} parameters a row, expected {expected}")]
    Width { found: usize, expected: usize },
    #[error("draws have {found} values of {column}, expected {expected}")]
    Draws {
        column: &'static str,
        found: usize,
        expected: usize,
    },
    #[error("the simulator gives {simulated} values, the observation has {observed}")]
    DataLength { simulated: usize, observed: usize },
    #[error("the simulator gives no values")]
    NoData,
    #[error("the campaign takes noise and likelihood from the simulator, which gives none")]
    NoLikelihood,
    #[error("row {first_row} and the {n_rows} after it are more than a round can have")]
    TooManyRows { first_row: u64, n_rows: usize },
    #[error("the batch was abandoned")]
    Abandoned,
}

/// Runs the forward model on every draw, on the current rayon pool.
///
/// Row i is a function of campaign, simulator and draw i alone: neither the rest of the batch nor
/// the number of threads changes a bit of it. A row whose simulator fails, panics or answers what
/// has no likelihood stays in the batch as a failed row with its message.
pub fn run_batch(
    campaign: &Campaign,
    simulator: &dyn Simulator,
    draws: Draws,
) -> Result<ShardRows, BatchError> {
    run_batch_unless(campaign, simulator, draws, &AtomicBool::new(false))
}

/// [`run_batch`], given up at the next row once `abandoned` is set.
pub fn run_batch_unless(
    campaign: &Campaign,
    simulator: &dyn Simulator,
    draws: Draws,
    abandoned: &AtomicBool,
) -> Result<ShardRows, BatchError> {
    let n_rows = draws.component.len();
    check_draws(campaign, &draws)?;
    let n_data = simulator.n_data();
    if n_data == 0 {
        return Err(BatchError::NoData);
    }
    if let Some(observation) = &campaign.observation
        && observation.value.len() != n_data
    {
        return Err(BatchError::DataLength {
            simulated: n_data,
            observed: observation.value.len(),
        });
    }
    match campaign.noise {
        Noise::Simulator if !simulator.gives_likelihood() => return Err(BatchError::NoLikelihood),
        Noise::Simulator | Noise::Gaussian(_) => {}
    }
    let mut simulated = vec![f32::NAN; n_rows * n_data];
    let outcomes: Vec<Result<Option<f64>, String>> = simulated
        .par_chunks_mut(n_data)
        .zip(draws.theta.par_chunks(draws.n_parameters))
        .enumerate()
        .map_init(
            || vec![0.0; n_data],
            |values, (index, (row, theta))| {
                if abandoned.load(Ordering::Relaxed) {
                    return Err(String::new());
                }
                let row_id = RowId(draws.first_row + index as u64);
                run_row(campaign, simulator, &draws, row_id, theta, values, row)
            },
        )
        .collect();
    if abandoned.load(Ordering::Relaxed) {
        return Err(BatchError::Abandoned);
    }
    let mut rows = ShardRows {
        draws,
        log_likelihood: Vec::with_capacity(n_rows),
        n_data,
        simulated,
        status: Vec::with_capacity(n_rows),
        message: Vec::with_capacity(n_rows),
    };
    for outcome in outcomes {
        let (log_likelihood, status, message) = match outcome {
            Ok(log_likelihood) => (log_likelihood, RowStatus::Ok, None),
            Err(message) => (None, RowStatus::Failed, Some(message)),
        };
        rows.log_likelihood.push(log_likelihood);
        rows.status.push(status);
        rows.message.push(message);
    }
    Ok(rows)
}

fn check_draws(campaign: &Campaign, draws: &Draws) -> Result<(), BatchError> {
    let n_rows = draws.component.len();
    let n_parameters = campaign.space.parameters.len();
    if draws.n_parameters != n_parameters {
        return Err(BatchError::Width {
            found: draws.n_parameters,
            expected: n_parameters,
        });
    }
    if draws.first_row.checked_add(n_rows as u64).is_none() {
        return Err(BatchError::TooManyRows {
            first_row: draws.first_row,
            n_rows,
        });
    }
    let n_values = n_rows.saturating_mul(n_parameters);
    for (column, found, expected) in [
        ("theta", draws.theta.len(), n_values),
        ("z", draws.z.len(), n_values),
        ("log_prior", draws.log_prior.len(), n_rows),
        ("log_proposal", draws.log_proposal.len(), n_rows),
    ] {
        if found != expected {
            return Err(BatchError::Draws {
                column,
                found,
                expected,
            });
        }
    }
    Ok(())
}

/// Fills `row` with the simulated data in single precision and gives the log-likelihood where there
/// is an observation; an error leaves `row` as it was.
fn run_row(
    campaign: &Campaign,
    simulator: &dyn Simulator,
    draws: &Draws,
    row_id: RowId,
    theta: &[f64],
    values: &mut [f64],
    row: &mut [f32],
) -> Result<Option<f64>, String> {
    let mut tried = 0;
    // The simulator's own log-likelihood, where it gives one.
    let own_log_likelihood = loop {
        let mut rng = stream(campaign.seed, draws.round, row_id, Purpose::Simulate);
        // What an earlier row left here must not look like an answer.
        values.fill(f64::NAN);
        let answer = catch_unwind(AssertUnwindSafe(|| {
            match (&campaign.noise, &campaign.observation) {
                (Noise::Simulator, Some(observed)) => simulator
                    .simulate_and_weigh(theta, &observed.value, &mut rng, values)
                    .map(Some),
                (Noise::Simulator, None) | (Noise::Gaussian(_), _) => {
                    simulator.simulate(theta, &mut rng, values).map(|()| None)
                }
            }
        }));
        tried += 1;
        match answer {
            Ok(Ok(log_likelihood)) => break log_likelihood,
            Ok(Err(SimulationError::Impossible(message))) => return Err(message),
            Ok(Err(SimulationError::Transient(_))) if tried < TRIES => {}
            Ok(Err(SimulationError::Transient(message))) => {
                return Err(format!("{message} (tried {tried} times)"));
            }
            Err(panic) => {
                return Err(format!(
                    "the simulator panicked: {}",
                    words_of_panic(&*panic)
                ));
            }
        }
    };
    if let Some((datum, value)) = values
        .iter()
        .enumerate()
        .find(|(_, value)| !(**value as f32).is_finite())
    {
        return Err(match value.is_finite() {
            true => format!("datum {datum} is {value}, beyond single precision"),
            false => format!("datum {datum} is {value}, expected a finite number"),
        });
    }
    let log_likelihood = match (&campaign.noise, &campaign.observation) {
        (Noise::Gaussian(noise), Some(observed)) => Some(noise.log_likelihood(observed, values)),
        (Noise::Simulator, Some(_)) | (_, None) => own_log_likelihood,
    };
    if let Some(log_likelihood) = log_likelihood
        && (log_likelihood.is_nan() || log_likelihood == f64::INFINITY)
    {
        return Err(format!(
            "log-likelihood is {log_likelihood}, expected a number below infinity"
        ));
    }
    for (single, value) in row.iter_mut().zip(values) {
        *single = *value as f32;
    }
    Ok(log_likelihood)
}
