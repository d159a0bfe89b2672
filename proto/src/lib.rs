//! Wire format between coordinator, workers and trainers: generated types, and the one place where
//! they become domain types.
//!
//! Architecture invariant: wire types ([`v1`]) end in [`convert`]; no service looks inside one.
//!
//! ```
//! use sidereal_proto::{convert::registration_from_wire, v1};
//!
//! let error = registration_from_wire(v1::RegisterRequest::default()).unwrap_err();
//! assert_eq!(error.to_string(), "registration has protocol_version 0, expected 3");
//! ```
#![warn(missing_docs)]

use std::time::Duration;

pub mod access;
pub mod auth;
pub mod backoff;
pub mod client;
pub mod convert;
pub mod message;
pub mod peer;

/// Generated from `proto/sidereal/v1/coordinator.proto`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::large_enum_variant,
    reason = "the generated code is not ours to change"
)]
pub mod v1 {
    tonic::include_proto!("sidereal.v1");
}

/// The `.proto` files, encoded as a `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sidereal.bin"));

/// Of the messages in [`v1`]; a peer that speaks another one is refused.
pub const PROTOCOL_VERSION: u32 = 3;

/// How often each side asks whether the other is still there.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How long it waits for the answer.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Largest message that either side sends or accepts.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
