//! Mathematics and data contract of sidereal: no tokio, no tonic, no burn.
//!
//! Everything here is a synchronous function on plain data; time and randomness are arguments.

#![warn(missing_docs)]

pub mod account;
pub mod base;
pub mod campaign;
pub mod campaign_file;
pub mod method;
pub mod records;
pub mod space;
pub mod weights;
