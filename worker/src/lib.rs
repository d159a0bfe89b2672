//! Runs the forward model on leased batches and writes shards.

mod config;
mod error;
mod session;
mod simulation;
mod storing;
mod stream;

pub use config::WorkerConfig;
pub use error::WorkerError;
pub use session::run;
