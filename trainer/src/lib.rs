//! Featurizers, flows, training and drawing; Burn appears nowhere else.

pub mod checkpoint;
mod dense;
pub mod device;
pub mod draw;
mod elementary;
pub mod estimator;
pub mod featurizer;
pub mod flow;
mod fused;
pub mod loss;
pub mod model;
mod optimizer;
pub mod parameters;
mod rows;
mod service;
mod smoothing;
pub mod standardization;
pub mod task;
pub mod timing;
pub mod training;
pub mod training_set;

pub use model::Model;
pub use rows::BlindSpot;
pub use service::{TrainerConfig, TrainerError, run};
