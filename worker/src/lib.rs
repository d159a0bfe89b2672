//! Runs the forward model on leased batches and writes shards.

mod batch;
mod config;
mod error;
mod session;
mod simulation;
mod storing;
mod stream;

pub use batch::{BatchError, run_batch};
pub use config::WorkerConfig;
pub use error::WorkerError;
pub use session::run;
