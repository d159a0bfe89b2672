//! The trainer's loop as a client of the coordinator.

mod config;
mod opening;
mod work;

pub use config::{TrainerConfig, TrainerError};
pub use work::{run, run_with_blind_spot};
