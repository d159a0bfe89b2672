//! Weighted posteriors of observations from a trained model: drawn, simulated, weighed and judged. Nothing is written here.
//!
//! A [`Predictor`] is made of a model that was trained for any observation and asked about one after the other, or about all
//! targets of a catalogue.
#![warn(missing_docs)]

mod catalogue;
mod check;
mod observed;
mod predictor;

pub use catalogue::{CataloguePlan, predicted_row, row_without};
pub use check::{CheckPlan, Truths};
pub use predictor::{FORMAT, PredictError, Predicted, Prediction, Predictor};
