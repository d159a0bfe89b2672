//! Mathematics and data contract of sidereal: no tokio, no tonic, no burn.
//!
//! Everything here is a synchronous function on plain data; time and randomness are arguments.

pub mod allocation;
mod beta;
pub mod bound;
pub mod campaign;
pub mod campaign_file;
pub mod circle;
pub mod coverage;
pub mod directory;
pub mod draws;
pub mod evidence;
pub mod files;
pub mod fit_check;
pub mod forecast;
mod hills;
pub mod ids;
pub mod joint_normal;
pub mod local;
pub mod minibatch;
pub mod model_band;
pub mod modes;
pub mod noise;
mod normal;
pub mod observation;
pub mod pareto;
pub mod posterior;
pub mod prior;
pub mod probing;
pub mod progress;
pub mod proposal;
pub mod refinement;
pub mod retry;
pub mod rounds;
pub mod samples;
pub mod scores;
pub mod seeds;
pub mod shard;
pub mod space;
pub mod status;
pub mod stopping;
pub mod summary;
pub mod table;
pub mod tails;
pub mod task;
pub mod trust;
pub mod weights;
