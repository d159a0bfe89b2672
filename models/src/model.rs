//! A model that is set up for a campaign, wherever it runs.

use crate::batch::{BatchError, Places, Values, run_batch_unless, values_in_process};
use crate::external::External;
use crate::linear::{Asked, Linear};
use crate::process::ChildError;
use crate::simulator::Simulator;
use sidereal_inference::base::RoundId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Draws;
use sidereal_inference::records::shard::{RowStatus, ShardRows};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A model that is set up for a campaign.
#[derive(Clone)]
pub enum Model {
    /// In this process.
    InProcess(Arc<dyn Simulator>),
    /// In processes of its own.
    External(Arc<External>),
    /// Either of them, with parameters that the data are linear in.
    Linear(Arc<Linear>),
}

/// Draws of the prior that a model is tried on before anything else is.
const N_TRIED: u64 = 4;

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
            Self::External(external) => external.run(campaign, draws, abandoned),
            Self::Linear(linear) => linear.run(campaign, draws, abandoned),
        }
    }

    /// Starts what runs it, where that takes time and may fail.
    pub fn start(&self, campaign: &Campaign) -> Result<(), ChildError> {
        match self {
            Self::InProcess(_) => Ok(()),
            Self::External(external) => external.start(campaign),
            Self::Linear(linear) => linear.start(),
        }
    }

    /// Refuses a model in processes of its own, or one with linear parameters, that answers for none of a few draws of the prior: one that has no answer for
    /// the first is asked for three more.
    pub fn try_out(&self, campaign: &Campaign) -> Result<(), BatchError> {
        match self {
            Self::InProcess(_) => return Ok(()),
            Self::External(_) | Self::Linear(_) => {}
        }
        let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), 0..N_TRIED);
        let mut first = None;
        for rows in [0..1, 1..N_TRIED] {
            let mut found = self.run(campaign, draws.slice(rows))?;
            if found.status.contains(&RowStatus::Ok) {
                return Ok(());
            }
            first = first.or_else(|| found.message.remove(0));
        }
        Err(BatchError::NoAnswer {
            model: campaign.simulator.model.name.clone(),
            n_tried: N_TRIED,
            message: first.unwrap_or_default(),
        })
    }

    /// [`Self::run_unless`], to its end.
    pub fn run(&self, campaign: &Campaign, draws: Draws) -> Result<ShardRows, BatchError> {
        self.run_unless(campaign, draws, &AtomicBool::new(false))
    }
}

impl Asked for Model {
    fn start(&self, campaign: &Campaign) -> Result<(), ChildError> {
        Self::start(self, campaign)
    }

    fn values(
        &self,
        campaign: &Campaign,
        places: &Places<'_>,
        abandoned: &AtomicBool,
    ) -> Result<Values, BatchError> {
        match self {
            Self::InProcess(simulator) => {
                values_in_process(campaign, simulator.as_ref(), places, abandoned)
            }
            Self::External(external) => external.values(campaign, places, abandoned),
            Self::Linear(linear) => linear.values(places, abandoned),
        }
    }
}
