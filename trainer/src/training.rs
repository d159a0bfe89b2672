//! Fits an estimator to training rows.

mod epoch;
mod fit;
mod schedule;
mod state;

pub use fit::{Fitted, Observer, TrainingError, fit, network};
pub(crate) use schedule::schedule;
pub use state::TrainingState;
