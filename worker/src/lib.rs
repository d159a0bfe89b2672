//! The work loop of a simulating process: runs the forward model on leased batches and writes shards. It decides nothing.
//!
//! [`run`] goes on until the coordinator has no more work, or until it is asked to stop.
#![warn(missing_docs)]

mod config;
mod error;
mod session;
mod simulation;
mod storing;
mod stream;

pub use config::WorkerConfig;
pub use error::WorkerError;
pub use session::run;
