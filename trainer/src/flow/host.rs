//! Flows at one feature vector over plain numbers: how draws are made and scored, on any device. What all rows
//! share is computed once, and a draw costs what a density does.

mod flow;
mod lanes;
mod made;
pub mod spline;

pub use flow::{BaseDraws, Element, HostBase, HostBijection, HostFlow, fill};
pub use lanes::{LANES, Lanes};
pub use made::{HostMade, Outputs, Scratch};
