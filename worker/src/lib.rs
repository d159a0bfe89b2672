//! Runs the forward model on leased batches and writes shards.
//!
//! A Rust user brings a forward model of their own by implementing [`Simulator`] and calling
//! [`run_with_simulator`]; [`run`] uses the built-in one that the campaign names.

mod batch;
mod config;
mod error;
mod session;
mod simulation;
pub mod simulators;
mod storing;
mod stream;

pub use batch::{BatchError, run_batch};
pub use config::WorkerConfig;
pub use error::WorkerError;
pub use rand_chacha::ChaCha8Rng;
pub use session::{run, run_with_simulator};
pub use simulators::{BuildError, OwnNoise, SimulationError, Simulator, WithOwnNoise};
