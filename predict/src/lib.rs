//! Weighted posteriors of observations from a trained model: drawn, simulated, weighed and judged. Nothing is written here.
//!
//! A [`Predictor`] is made of a model that was trained for any observation and asked about one after the other.
#![warn(missing_docs)]

mod observed;
mod predictor;

pub use predictor::{FORMAT, PredictError, Predicted, Prediction, Predictor};
