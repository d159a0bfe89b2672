//! A model that is set up for a campaign, wherever it runs.

use crate::batch::{BatchError, run_batch_unless};
use crate::simulator::Simulator;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Draws;
use sidereal_inference::records::shard::ShardRows;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A model that is set up for a campaign.
#[derive(Clone)]
pub enum Model {
    /// In this process.
    InProcess(Arc<dyn Simulator>),
}

impl Model {
    /// Runs the model on every draw. Row i is a function of campaign, model and draw i alone: neither the rest of the
    /// batch nor the number of threads or processes changes a bit of it. A row without an answer stays in the batch as a failed
    /// row with its message.
    ///
    /// Once `abandoned` is set, it is given up at the next row.
    pub fn run_unless(
        &self,
        campaign: &Campaign,
        draws: Draws,
        abandoned: &AtomicBool,
    ) -> Result<ShardRows, BatchError> {
        match self {
            Self::InProcess(simulator) => {
                run_batch_unless(campaign, simulator.as_ref(), draws, abandoned)
            }
        }
    }

    /// [`Self::run_unless`], to its end.
    pub fn run(&self, campaign: &Campaign, draws: Draws) -> Result<ShardRows, BatchError> {
        self.run_unless(campaign, draws, &AtomicBool::new(false))
    }
}
