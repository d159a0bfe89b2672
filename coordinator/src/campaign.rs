//! The campaign as a pure state machine: no clock, no files, no network.
//!
//! ```text
//!   New
//!    | RoundOpened (round 0, from the prior)
//!    v
//!   Simulating <--------------------------- RoundOpened ---------------------------+
//!    | ShardCommitted, the last one                                                |
//!    v                                                                             |
//!   Weighing                                                                       |
//!    | RoundWeighed                                                                |
//!    v                                                                             |
//!   Deciding -- TaskOpened (train, score, draw) --> Training -- TaskCommitted --> Deciding
//!    | Stopped, or at once after a top-up round        ^   |
//!    v                                                 |   | TaskCommitted without draws
//!   Finishing -- TaskOpened (top-up draws, or the -----+   |
//!    |   ^        amortized model)                         |
//!    |   +-------------------------------------------------+
//!    | Finished
//!    v
//!   Finished -- Reopened (a target was raised) --> Deciding
//! ```
//!
//! `Deciding` never outlives a record. The order of every step, kept by the driver and nowhere else:
//! [`decide`](decide::decide), which [`apply`](apply::apply)s each event at once, record the events durably, carry
//! out their [effects](effects::effects_of). After a restart the recorded events go through the same `apply`, and
//! [`effects_to_resume`](effects::effects_to_resume) says what was being done.
//!
//! Architecture invariant: leases are not part of the state. They live in [`leases`], are never
//! recorded, and start afresh with each run.

pub mod apply;
pub mod decide;
pub mod effects;
pub mod event;
pub mod leases;
pub mod state;

#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod interleaving_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod test_inputs;
