//! Runs the built command as users do. One program for all of it: each links what the others do, and some of them wait where
//! others compute.

mod bad_input;
mod catalogue;
mod check;
mod crashes;
mod draw;
mod external;
mod linear;
mod linear_gaussian;
mod misfit;
mod narrow_modes;
mod noise;
mod noise_terms;
mod predict;
mod readme;
mod references;
mod repair;
mod reuse;
mod rough_edges;
mod same_bytes;
mod samples;
mod setup;
mod slurm;
mod unfinished;
