//! Models in processes of their own: a pool of children that runs rows, by the protocol of `docs/children.md`.

mod arrow_answers;
mod arrow_columns;
mod arrow_requests;
mod child;
mod handshake;
mod lines;
mod pace;
mod pool;
mod reply;
mod rows;
mod schedule;
mod settings;
mod standard_error;
mod system;

#[cfg(test)]
pub(crate) mod tests;

pub use pool::{ChildError, Children};
pub use rows::{Answers, Rows};
pub use settings::{ChildSettings, Functions, Hello, Observed, Program, interpreter};
