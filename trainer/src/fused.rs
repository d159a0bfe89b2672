//! The estimator's forward pass and gradient on the CPU, written by hand: one node of burn's graph for all
//! layers from data to features, and one for a whole flow.
//!
//! Each does what the modules of `featurizer` and `flow` do with burn's own operations, which stay the way on
//! GPUs, with batch normalization, and the reference that the tests hold these against.

mod buffer;
mod conv;
mod dense;
mod featurizer;
mod gru;
mod loops;
mod made;
mod maf;
mod mixture;
mod network;
mod operation;
mod product;
mod tower;

pub use buffer::{clear as clear_buffers, give_back};
pub use conv::ConvPass;
pub use dense::DensePass;
pub use featurizer::FeaturizerPass;
pub use gru::GruPass;
pub use loops::add;
pub use made::{MadePass, mask};
pub use maf::MafPass;
pub use network::{MlpPass, NetworkPass};
pub use tower::{StagePass, StemPass, TowerPass};
