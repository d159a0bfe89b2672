//! What learns: networks that take data to the density of the parameters behind them, their training, draws from them and
//! the trainer's service. Burn appears in no other crate.
//!
//! An [`Estimator`](estimator::Estimator) is a featurizer, which turns data into features, and a conditional normalizing
//! [`Flow`](flow::Flow). [`training::fit`] fits one to a [`TrainingSet`](training_set::TrainingSet); a [`Model`] is a fitted
//! one with its files; [`draw::draw`] draws from proposals made of such flows. [`run`] does all that as the coordinator asks.
//!
//! A flow, here with its initial weights, is drawn from and scored at one feature vector:
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use sidereal_inference::campaign::{Flow as FlowConfig, NsfSize};
//! use sidereal_inference::base::{RoundId, RowId};
//! use sidereal_inference::base::{Purpose, stream};
//! use sidereal_trainer::flow::{Axis, BaseDraws, Flow};
//! use sidereal_trainer::parameters::Initializer;
//!
//! let device = Device::flex();
//! let rng = stream(1, RoundId(0), RowId(0), Purpose::Initialize);
//! let size = NsfSize { blocks: 2, hidden: 8, layers: 2, bins: 4, tail_bound: 3.0, max_log_scale: 3.0 };
//! let mut initializer = Initializer::drawing(rng, &device);
//! let flow = Flow::init(&FlowConfig::Nsf(size), &[Axis::Line, Axis::Circle], 3, &mut initializer);
//!
//! let density = flow.at(Tensor::zeros([1, 3], &device));
//! let y = density.draw(&BaseDraws { uniform: &[0.3, 0.9], normal: &[0.0, 0.0] });
//! assert!((-0.5..=0.5).contains(&y[1]), "{} turns", y[1]);
//! assert!(density.log_density(&y)[0].is_finite());
//! ```

#![warn(missing_docs)]

pub mod checkpoint;
mod dense;
pub mod device;
pub mod draw;
mod elementary;
pub mod estimator;
mod featurizer;
pub mod flow;
mod fused;
pub mod loss;
pub mod model;
pub mod noise;
pub mod noise_sequence;
mod optimizer;
pub mod parameters;
mod pieces;
pub mod reused;
mod rows;
mod scales;
mod service;
mod smoothing;
pub mod standardization;
mod surrogate;
pub mod task;
mod tensor_file;
pub mod timing;
pub mod training;
pub mod training_set;

pub use model::Model;
pub use rows::BlindSpot;
pub use service::{TrainerConfig, TrainerError, run, run_with_blind_spot};
