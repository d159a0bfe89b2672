//! Weighted posteriors of observations from a trained model: drawn, simulated, weighed and judged. Nothing is written here.

mod observed;
mod predictor;

pub use predictor::{FORMAT, PredictError, Predicted, Prediction, Predictor};
