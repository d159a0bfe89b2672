//! What is stored and sent: tables, draws, shards, scores, posteriors, and the tasks that name them.

mod catalogue;
mod checked;
mod directory;
mod draws;
mod marginals;
mod model_band;
mod posterior;
mod reused;
mod rounds;
mod samples;
mod scores;
pub mod shard;
pub mod table;
mod task;

pub use catalogue::{CatalogueQuantiles, CatalogueRow, TargetStatus, encode_catalogue};
pub use checked::{CheckedTarget, Standings, encode_checked};
pub use directory::{Created, Directory, Storage, StoredFile, path_in};
pub use draws::Draws;
pub(crate) use marginals::marginals;
pub use marginals::{ParameterSummary, parameter_summaries};
pub(crate) use model_band::BAND_DRAWS;
pub use model_band::{FIT_FILE, ModelBand};
pub use posterior::{Posterior, PosteriorRow};
pub use reused::{ReusedError, ReusedProposals, ReusedSource, doubts};
pub use rounds::{RoundRows, load_rows, load_simulated};
pub use samples::{SAMPLES_FILE, Samples};
pub use scores::Scores;
pub use task::{
    BatchLease, BatchReport, DrawTask, FinalRound, ModelFiles, ScoresFile, ShardFile,
    TrainerReport, TrainerTask, TrainingProgress, TrainingSummary,
};
