//! What a training takes on this machine, from a few epochs on a few rows.

use crate::device;
use crate::standardization::Standardization;
use crate::training::{self, Observer, TrainingError, TrainingState};
use crate::training_set::TrainingSet;
use burn::tensor::Device;
use sidereal_inference::base::FlowId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::weights::{Objective, final_exponent};

/// Epochs that are run; the first of them warms up and does not count.
const N_EPOCHS: usize = 3;
/// Rows that are trained on: so many fill a few minibatches.
const N_ROWS: usize = 512;

/// Seconds that a row takes in an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowSeconds {
    /// Of a flow that is fitted to simulations.
    pub simulations: f64,
    /// Of a flow that is fitted to weighted draws.
    pub draws: f64,
}

/// Trains for a moment on `rows` (z and simulated data), which are taken again and again where they are few.
pub fn row_seconds(
    campaign: &Campaign,
    rows: &[(Vec<f64>, Vec<f32>)],
    device: &Device,
    pool: &rayon::ThreadPool,
) -> Result<RowSeconds, TrainingError> {
    let exponent = final_exponent(campaign.space.len());
    let seconds = |objective: Objective| {
        let mut set = TrainingSet::new(campaign, FlowId(0), objective);
        for (z, simulated) in rows.iter().cycle().take(N_ROWS) {
            match objective {
                Objective::Simulations => set.push_simulation(z, simulated),
                Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                    set.push_draw(z, 1.0)
                }
            }
        }
        time(&set, device, pool)
    };
    let is_refined = campaign.observation.is_some() && campaign.is_refined();
    Ok(match is_refined {
        true => RowSeconds {
            simulations: 0.0,
            draws: seconds(Objective::WeightedDraws { exponent })?,
        },
        false => RowSeconds {
            simulations: seconds(Objective::Simulations)?,
            draws: 0.0,
        },
    })
}

fn time(
    set: &TrainingSet,
    device: &Device,
    pool: &rayon::ThreadPool,
) -> Result<f64, TrainingError> {
    let standardization = Standardization::new(set);
    let device = device::of(set.objective, device);
    let estimator = training::network(set, &standardization, &device);
    let mut watch = Watch::default();
    match training::fit(set, &standardization, estimator, None, pool, &mut watch) {
        Ok(_) | Err(TrainingError::Interrupted) => {}
        Err(
            error @ (TrainingError::TooFewRows { .. }
            | TrainingError::Diverged { .. }
            | TrainingError::NoWayBack { .. }
            | TrainingError::Noise { .. }),
        ) => return Err(error),
    }
    // A campaign of one epoch has the first alone.
    let later = watch.seconds.iter().skip(1).copied().reduce(f64::min);
    let fastest = later.or(watch.seconds.first().copied()).unwrap_or(0.0);
    Ok(fastest / set.n_rows().max(1) as f64)
}

/// Takes the times of the first epochs and ends the training.
#[derive(Debug, Default)]
struct Watch {
    seconds: Vec<f64>,
}

impl Observer for Watch {
    fn on_epoch(&mut self, _state: &TrainingState, seconds: f64) -> Result<(), TrainingError> {
        self.seconds.push(seconds);
        if self.seconds.len() < N_EPOCHS {
            Ok(())
        } else {
            Err(TrainingError::Interrupted)
        }
    }
}
