//! Normalizing flows conditioned on features: the neural density estimators.
//!
//! A flow is a file that says which bijections lead from a row to which base (`flow/bijection.rs`), and a variant of
//! [`Flow`], all of whose matches are in `flow/kind.rs`.

mod affine;
mod axis;
mod bijection;
mod conditional;
mod host;
mod kind;
mod made;
mod maf;
mod mixture;
mod nsf;
mod placement;
mod spline;
mod splines;
mod student;
#[cfg(test)]
mod tests;

pub use axis::{Axis, axes};
pub use host::{BaseDraws, HostFlow};
pub use kind::Flow;
