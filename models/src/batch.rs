//! One batch: draws in, shard rows out, as a pure function.

use crate::process::ChildError;
use crate::simulator::{SimulationError, Simulator};
use rayon::prelude::*;
use sidereal_inference::base::{Purpose, RoundId, RowId, stream, words_of_panic};
use sidereal_inference::campaign::{Campaign, Noise};
use sidereal_inference::records::Draws;
use sidereal_inference::records::shard::{ShardLayout, ShardRows, tried_again};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(test)]
mod tests;

/// Times that a row is tried whose simulator says that a retry can help.
const TRIES: u32 = 3;

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
    #[error(transparent)]
    Child(ChildError),
    #[error("{model} has no answer for {n_tried} draws of the prior: {message}")]
    NoAnswer {
        model: String,
        n_tried: u64,
        message: String,
    },
}

impl From<ChildError> for BatchError {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Abandoned => Self::Abandoned,
            ChildError::Settings(_)
            | ChildError::Start { .. }
            | ChildError::Rows { .. }
            | ChildError::TooManyRows { .. } => Self::Child(error),
        }
    }
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
pub(crate) fn run_batch_unless(
    campaign: &Campaign,
    simulator: &dyn Simulator,
    draws: Draws,
    abandoned: &AtomicBool,
) -> Result<ShardRows, BatchError> {
    check_draws(campaign, &draws)?;
    let n_data = simulator.n_data();
    check_data(campaign, n_data, simulator.gives_likelihood())?;
    let layout = ShardLayout {
        space: &campaign.space,
        n_data,
    };
    let mut rows = ShardRows::unanswered(draws, layout);
    let outcomes: Vec<Result<Option<f64>, String>> = {
        let ShardRows {
            draws, simulated, ..
        } = &mut rows;
        let draws: &Draws = draws;
        let run = |index: usize, row: &mut [f32], values: &mut Vec<f64>| {
            if abandoned.load(Ordering::Relaxed) {
                return Err(String::new());
            }
            let row_id = RowId(draws.first_row + index as u64);
            let theta = draws.theta_row(index);
            let own = run_row(campaign, simulator, draws.round, row_id, theta, values)?;
            judge(campaign, theta, values, own, row)
        };
        let buffer = || vec![0.0; n_data];
        match n_data {
            // No chunks have no rows.
            0 => (0..draws.n_rows())
                .into_par_iter()
                .map_init(buffer, |values, index| run(index, &mut [], values))
                .collect(),
            _ => simulated
                .par_chunks_mut(n_data)
                .enumerate()
                .map_init(buffer, |values, (index, row)| run(index, row, values))
                .collect(),
        }
    };
    if abandoned.load(Ordering::Relaxed) {
        return Err(BatchError::Abandoned);
    }
    for (i, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(log_likelihood) => rows.log_likelihood[i] = log_likelihood,
            Err(message) => rows.fail(i, message),
        }
    }
    Ok(rows)
}

/// Where a model is asked for its data alone.
pub(crate) struct Places<'a> {
    /// Of the generators that a model is given.
    pub round: RoundId,
    /// As `round`: that of the first place; the others follow.
    pub first_row: u64,
    /// `[n, parameters]`, without fixed ones.
    pub theta: &'a [f64],
}

/// The data before noise at each place, in double precision, or why there are none.
pub(crate) type Values = Vec<Result<Vec<f64>, String>>;

/// The data before noise of a simulator at some places, on the current rayon pool.
pub(crate) fn values_in_process(
    campaign: &Campaign,
    simulator: &dyn Simulator,
    places: &Places<'_>,
    abandoned: &AtomicBool,
) -> Result<Values, BatchError> {
    let run = |(index, theta): (usize, &[f64])| {
        if abandoned.load(Ordering::Relaxed) {
            return Err(String::new());
        }
        let row_id = RowId(places.first_row + index as u64);
        let mut values = vec![0.0; simulator.n_data()];
        run_row(
            campaign,
            simulator,
            places.round,
            row_id,
            theta,
            &mut values,
        )?;
        check_finite(&values)?;
        Ok(values)
    };
    let d = campaign.space.len();
    let found = places.theta.par_chunks(d).enumerate().map(run).collect();
    match abandoned.load(Ordering::Relaxed) {
        true => Err(BatchError::Abandoned),
        false => Ok(found),
    }
}

/// Refuses a model whose answers are not what the campaign asks for.
pub(crate) fn check_data(
    campaign: &Campaign,
    n_data: usize,
    gives_likelihood: bool,
) -> Result<(), BatchError> {
    if let Some(observation) = &campaign.observation
        && observation.value.len() != n_data
    {
        return Err(BatchError::DataLength {
            simulated: n_data,
            observed: observation.value.len(),
        });
    }
    match (&campaign.noise, &campaign.observation) {
        (Noise::Simulator, _) if !gives_likelihood => Err(BatchError::NoLikelihood),
        (Noise::Simulator, Some(_)) => Ok(()),
        (Noise::Simulator, None) | (Noise::Gaussian(_), _) if n_data == 0 => {
            Err(BatchError::NoData)
        }
        (Noise::Simulator, None) | (Noise::Gaussian(_), _) => Ok(()),
    }
}

pub(crate) fn check_draws(campaign: &Campaign, draws: &Draws) -> Result<(), BatchError> {
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

/// Fills `values` with the simulated data and gives the simulator's own log-likelihood, where it gives one.
fn run_row(
    campaign: &Campaign,
    simulator: &dyn Simulator,
    round: RoundId,
    row_id: RowId,
    theta: &[f64],
    values: &mut [f64],
) -> Result<Option<f64>, String> {
    let mut tried = 0;
    loop {
        let mut rng = stream(campaign.seed, round, row_id, Purpose::Simulate);
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
            Ok(Ok(log_likelihood)) => return Ok(log_likelihood),
            Ok(Err(SimulationError::Impossible(message))) => return Err(message),
            Ok(Err(SimulationError::Transient(_))) if tried < TRIES => {}
            Ok(Err(SimulationError::Transient(message))) => {
                return Err(tried_again(tried, message));
            }
            Err(panic) => {
                return Err(format!(
                    "the simulator panicked: {}",
                    words_of_panic(&*panic)
                ));
            }
        }
    }
}

pub(crate) fn check_finite(values: &[f64]) -> Result<(), String> {
    let mut all = values.iter().enumerate();
    match all.find(|(_, value)| !(**value as f32).is_finite()) {
        Some((datum, value)) if value.is_finite() => {
            Err(format!("datum {datum} is {value}, beyond single precision"))
        }
        Some((datum, value)) => Err(format!(
            "datum {datum} is {value}, expected a finite number"
        )),
        None => Ok(()),
    }
}

/// Fills `row` with the simulated data in single precision and gives the log-likelihood where there
/// is an observation; an error leaves `row` as it was. `own` is the model's own log-likelihood.
pub(crate) fn judge(
    campaign: &Campaign,
    theta: &[f64],
    values: &[f64],
    own: Option<f64>,
    row: &mut [f32],
) -> Result<Option<f64>, String> {
    check_finite(values)?;
    let log_likelihood = match (&campaign.noise, &campaign.observation) {
        (Noise::Gaussian(noise), Some(observed)) => {
            let noise = noise.terms.of_row(&campaign.space, theta);
            Some(noise.log_likelihood(observed, values))
        }
        (Noise::Simulator, Some(_)) => own,
        (_, None) => None,
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
