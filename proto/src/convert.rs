//! The one place where wire types become domain types and back. A missing field or an inconsistent
//! length is an error here; nothing that a peer sends gets further half-checked.

mod draws;
mod session;
mod task;
mod wire_error;

pub use session::{
    progress_from_wire, progress_to_wire, registration_from_wire, status_from_wire, status_to_wire,
    trainer_message, trainer_message_from_wire, worker_message, worker_message_from_wire,
};
pub use wire_error::WireError;
