//! Fits an estimator to training rows: fresh noise each epoch, Adam, cosine decay, gradient clipping,
//! early stopping with return to the best epoch, and recovery from a loss that diverges.

use super::epoch::{Epoch, Slicing, log_score};
use super::schedule::schedule;
use super::state::TrainingState;
use crate::estimator::Estimator;
use crate::fused;
use crate::noise_sequence::NoiseSequence;
use crate::parameters::{self, NamedTensor, ParameterError};
use crate::smoothing::{Places, Smoothing};
use crate::standardization::Standardization;
use crate::training_set::{Minibatch, TrainingSet};
use burn::module::Module;
use burn::optim::AdamConfig;
use burn::tensor::Device;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{Loss, Training, even_slices};
use sidereal_inference::records::TrainingSummary;
use sidereal_inference::weights::Objective;
use std::ops::Range;

const MAX_RECOVERIES: u32 = 5;

/// Why a training ended without a model.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// There is too little to learn from.
    #[error("{found} usable rows are too few to train on; at least {expected} are needed")]
    TooFewRows {
        /// Rows of the training set.
        found: usize,
        /// The fewest.
        expected: usize,
    },
    /// The loss was not finite, again and again.
    #[error(
        "the training of {flow} diverged {n} times, at ever lower learning rates; the simulated data may hold values far beyond their usual range, or training.learning_rate is too high"
    )]
    Diverged {
        /// What was trained.
        flow: FlowId,
        /// How often.
        n: u32,
    },
    /// The weights that are to be gone back to do not fit.
    #[error("the network of {flow} cannot go back to epoch {epoch}: {source}")]
    NoWayBack {
        /// What was trained.
        flow: FlowId,
        /// Whose weights they are.
        epoch: u32,
        /// The first tensor that does not fit.
        #[source]
        source: ParameterError,
    },
    /// A function of the user's adds noise, and failed.
    #[error("the training of {flow} has no noise: {reason}")]
    Noise {
        /// What was trained.
        flow: FlowId,
        /// Which function, and what became of it.
        reason: String,
    },
    /// The observer ended it.
    #[error("the training was interrupted")]
    Interrupted,
}

/// A fitted estimator with how it came about.
pub struct Fitted {
    /// With the best epoch's weights, not on an autodiff device.
    pub estimator: Estimator,
    /// Without the hash of the weights, which their file has.
    pub summary: TrainingSummary,
}

/// What the shell around a training does after each epoch.
pub trait Observer {
    /// Called after each epoch with its state; an error ends the training.
    fn on_epoch(&mut self, state: &TrainingState, seconds: f64) -> Result<(), TrainingError>;
}

/// The network that `set` asks for, with initial weights, on `device` with autodiff.
pub fn network(set: &TrainingSet, standardization: &Standardization, device: &Device) -> Estimator {
    Estimator::init(
        set.campaign,
        set.flow,
        set.objective,
        standardization.inputs(),
        &device.clone().autodiff(),
    )
}

/// Trains `estimator` (on an autodiff device) on `set`, from `resumed` where there is a checkpoint, whose network is
/// this one.
///
/// The result depends on campaign, rows and initial weights alone, not on threads or interruptions.
pub fn fit(
    set: &TrainingSet,
    standardization: &Standardization,
    estimator: Estimator,
    resumed: Option<TrainingState>,
    pool: &rayon::ThreadPool,
    observer: &mut dyn Observer,
) -> Result<Fitted, TrainingError> {
    let fitted = fit_with_buffers(set, standardization, estimator, resumed, pool, observer);
    pool.broadcast(|_| fused::clear_buffers());
    fitted
}

/// [`fit`], after which the pool's threads still keep their scratch memory.
fn fit_with_buffers(
    set: &TrainingSet,
    standardization: &Standardization,
    mut estimator: Estimator,
    resumed: Option<TrainingState>,
    pool: &rayon::ThreadPool,
    observer: &mut dyn Observer,
) -> Result<Fitted, TrainingError> {
    let schedule = schedule(set);
    let split = Split::new(set, &schedule)?;
    let adam = AdamConfig::new().with_epsilon(1e-8).build();
    let mut state = match resumed {
        Some(state) => {
            estimator = restore(set, estimator, &state.current, state.epoch)?;
            state
        }
        None => TrainingState::new(&estimator),
    };
    let slicing = Slicing::of(set);
    let smoothing = match set.objective {
        Objective::Simulations => None,
        Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
            let rows: Vec<usize> = (0..set.n_rows()).collect();
            let all = set.minibatch(&rows, Purpose::ValidationNoise, None, standardization);
            let places = Places {
                y: &all.y,
                d: set.n_parameters(),
                piece: &all.x,
                n_pieces: standardization.pieces.len(),
            };
            Some(Smoothing::new(&places, &set.weight, &split.training))
        }
    };
    let no_noise = |reason| TrainingError::Noise {
        flow: set.flow,
        reason,
    };
    let validation = validation_batches(set, &schedule, &split.validation, standardization, pool)
        .map_err(no_noise)?;
    while state.epoch < schedule.max_epochs
        && state.epoch.saturating_sub(state.best_epoch) <= schedule.patience
    {
        let started = std::time::Instant::now();
        let before = state.clone();
        let epoch = Epoch {
            set,
            schedule: &schedule,
            standardization,
            adam: &adam,
            pool,
            slicing,
            smoothing: smoothing.as_ref(),
        };
        let (trained, training_loss) = epoch
            .run(estimator, &split.training, &mut state)
            .map_err(no_noise)?;
        estimator = trained;
        let averaged = parameters::with_flat(estimator.clone(), &state.average);
        let validation_loss = mean_loss(&averaged, schedule.loss, &validation, pool);
        if !(training_loss.is_finite() && validation_loss.is_finite()) {
            if before.n_recoveries >= MAX_RECOVERIES {
                return Err(TrainingError::Diverged {
                    flow: set.flow,
                    n: MAX_RECOVERIES + 1,
                });
            }
            tracing::warn!(
                flow = set.flow.0,
                epoch = state.epoch,
                "loss is not finite: back to the last good epoch at a lower rate"
            );
            estimator = restore(set, estimator, &before.current, before.epoch)?;
            state = TrainingState {
                n_recoveries: before.n_recoveries + 1,
                adam: None,
                ..before
            };
            continue;
        }
        state.current = parameters::named_tensors(&estimator);
        state.training_loss.push(training_loss);
        state.validation_loss.push(validation_loss);
        state.epoch += 1;
        if validation_loss < state.best_validation_loss {
            state.best_validation_loss = validation_loss;
            state.best_epoch = state.epoch;
            state.best = parameters::named_tensors(&averaged);
        } else if state.has_diverged() && state.n_recoveries < MAX_RECOVERIES {
            tracing::warn!(
                flow = set.flow.0,
                epoch = state.epoch,
                "training diverges: back to the best epoch's weights at a lower rate"
            );
            estimator = restore(set, estimator, &state.best, state.best_epoch)?;
            state = state.back_at_best(&estimator);
        }
        observer.on_epoch(&state, started.elapsed().as_secs_f64())?;
    }
    let estimator = restore(set, estimator, &state.best, state.best_epoch)?;
    let summary = TrainingSummary {
        flow: set.flow,
        objective: set.objective,
        n_rows: set.n_rows() as u64,
        n_epochs: state.epoch,
        best_epoch: state.best_epoch,
        best_validation_loss: state.best_validation_loss,
        training_loss: state.training_loss,
        validation_loss: state.validation_loss,
        n_recoveries: state.n_recoveries,
        weights_sha256: String::new(),
    };
    Ok(Fitted {
        estimator: estimator.valid(),
        summary,
    })
}

/// Rows trained on, in ascending order, and rows held out for validation.
struct Split {
    training: Vec<usize>,
    /// Shuffled for a loss with atoms, else in ascending order.
    validation: Vec<usize>,
}

impl Split {
    fn new(set: &TrainingSet, schedule: &Training) -> Result<Self, TrainingError> {
        const FEWEST: usize = 20;
        let n = set.n_rows();
        if n < FEWEST {
            return Err(TrainingError::TooFewRows {
                found: n,
                expected: FEWEST,
            });
        }
        let mut rows: Vec<usize> = (0..n).collect();
        rows.shuffle(&mut stream(
            set.campaign.seed,
            RoundId(set.flow.0),
            RowId(0),
            Purpose::Split,
        ));
        let n_validation =
            ((n as f64 * schedule.validation_fraction).round() as usize).clamp(1, n / 2);
        let mut validation = rows.split_off(n - n_validation);
        rows.sort_unstable();
        match schedule.loss {
            Loss::Nll => validation.sort_unstable(),
            // A row's atoms are those that follow: in ascending order, neighbours of its own round.
            Loss::Apt { .. } => {}
        }
        Ok(Self {
            training: rows,
            validation,
        })
    }
}

fn validation_batches(
    set: &TrainingSet,
    schedule: &Training,
    rows: &[usize],
    standardization: &Standardization,
    pool: &rayon::ThreadPool,
) -> Result<Vec<Minibatch>, String> {
    const ROWS: usize = 256;
    let n = rows.len();
    let batches: Vec<Range<usize>> = match schedule.loss {
        Loss::Nll => (0..n)
            .step_by(ROWS)
            .map(|start| start..n.min(start + ROWS))
            .collect(),
        // The last rows are to have as many atoms as the others.
        Loss::Apt { .. } => even_slices(n, ROWS).collect(),
    };
    let purpose = Purpose::ValidationNoise;
    let noise = NoiseSequence::new(set, rows.to_vec(), purpose);
    let noisy = noise.map(|mut noise| noise.take(n)).transpose()?;
    let of_rows = |places: &Range<usize>| {
        let noisy = noisy.as_ref().map(|x| set.data_of(x, places));
        set.minibatch(&rows[places.clone()], purpose, noisy, standardization)
    };
    Ok(pool.install(|| batches.par_iter().map(of_rows).collect()))
}

/// Mean weighted loss over `batches`, without gradients.
fn mean_loss(
    estimator: &Estimator,
    loss: Loss,
    batches: &[Minibatch],
    pool: &rayon::ThreadPool,
) -> f64 {
    let estimator = estimator.valid();
    let device = estimator.devices()[0].clone();
    let sums = |batch: &Minibatch| -> (f64, f64) {
        let log_score = parameters::host(log_score(&estimator, batch, loss, &device));
        let weight = || batch.weight.iter().map(|&weight| f64::from(weight));
        let loss = log_score.iter().zip(weight());
        (
            // A weight of zero takes no part, however low the density.
            loss.filter(|(_, weight)| *weight > 0.0)
                .map(|(&log_score, weight)| -f64::from(log_score) * weight)
                .sum(),
            weight().sum(),
        )
    };
    let parts: Vec<(f64, f64)> = pool.install(|| batches.par_iter().map(sums).collect());
    let (loss, weight) = parts
        .into_iter()
        .fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    loss / weight.max(f64::MIN_POSITIVE)
}

/// The network as it was after `epoch`, whose `tensors` are given.
fn restore(
    set: &TrainingSet,
    estimator: Estimator,
    tensors: &[NamedTensor],
    epoch: u32,
) -> Result<Estimator, TrainingError> {
    let mismatch = |source| TrainingError::NoWayBack {
        flow: set.flow,
        epoch,
        source,
    };
    parameters::with_named_tensors(estimator, tensors).map_err(mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::campaign::Campaign;
    use sidereal_models::Catalogue;
    use std::path::Path;

    fn campaign(training: &str) -> Campaign {
        let text = format!(
            "name = \"one\"\nparameters = [{{ name = \"a\", prior = {{ normal = {{ mean = 0, sd = 1 }} }} }}]\n\
             [simulator]\nbuiltin = \"linear-gaussian\"\ngrid = [0.0]\nmatrix = [[1.0]]\n[noise]\n\
             gaussian = {{ sigma = 0.5 }}\n[training]\nvalidation_fraction = 0.3\n{training}\n"
        );
        sidereal_inference::campaign_file::parse(
            &text,
            Path::new("one.toml"),
            &Catalogue::default(),
        )
        .expect("the campaign file is valid")
    }

    /// Atoms are the rows that follow.
    #[test]
    fn rows_held_out_are_shuffled_for_atoms_alone() {
        let validation = |loss: &str| {
            let campaign = campaign(loss);
            let mut set = TrainingSet::new(&campaign, FlowId(0), Objective::Simulations);
            for _ in 0..1000 {
                set.push_simulation(&[0.0], &[0.0]);
            }
            let schedule = schedule(&set);
            let split = Split::new(&set, &schedule).expect("rows are enough");
            assert!(split.training.is_sorted());
            let standardization = Standardization::new(&set);
            let pool = rayon::ThreadPoolBuilder::new().build().expect("threads");
            let batches =
                validation_batches(&set, &schedule, &split.validation, &standardization, &pool)
                    .expect("noise");
            let sizes: Vec<usize> = batches.iter().map(|batch| batch.n).collect();
            (split.validation, sizes)
        };
        let (sorted, sizes) = validation("loss = \"nll\"");
        assert!(sorted.is_sorted());
        assert_eq!(sizes, [256, 44]);
        let (mut shuffled, sizes) = validation("loss = \"apt\"");
        assert!(!shuffled.is_sorted());
        assert_eq!(sizes, [150, 150]);
        shuffled.sort_unstable();
        assert_eq!(shuffled, sorted);
    }
}
