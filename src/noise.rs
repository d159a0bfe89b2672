//! How trainers run functions that add noise: in children, as models of the user's run.

use crate::exit::CommandError;
use sidereal_inference::base::RoundId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Draws;
use sidereal_inference::records::shard::RowStatus;
use sidereal_models::{Catalogue, Model, NoiseChildren};
use sidereal_trainer::noise::{AddNoise, NoiseSource};
use std::sync::atomic::AtomicBool;

/// For trainers with as many threads.
pub fn noise_of(models: &Catalogue, n_threads: usize) -> NoiseSource {
    let models = models.clone();
    NoiseSource::new(move |campaign| made(&models, campaign, n_threads))
}

fn made(
    models: &Catalogue,
    campaign: &Campaign,
    n_threads: usize,
) -> Result<Option<Box<dyn AddNoise>>, String> {
    let children = models
        .noise(campaign, n_threads)
        .map_err(|error| error.to_string())?;
    let Some(children) = children else {
        return Ok(None);
    };
    children.start().map_err(|error| error.to_string())?;
    Ok(Some(Box::new(InChildren(children))))
}

/// Refuses a function that gives no noise for what `model` makes of a draw of the prior, before anything is simulated.
pub fn try_out(models: &Catalogue, model: &Model, campaign: &Campaign) -> Result<(), CommandError> {
    const N_TRIED: u64 = 4;
    let noise = made(models, campaign, 1).map_err(CommandError::unusable)?;
    let Some(noise) = noise else {
        return Ok(());
    };
    for row in 0..N_TRIED {
        let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), row..row + 1);
        let found = model.run(campaign, draws).map_err(CommandError::unusable)?;
        if found.status.contains(&RowStatus::Ok) {
            let simulated: Vec<f64> = found.simulated.iter().map(|&x| f64::from(x)).collect();
            let theta = campaign.space.model_parameters(found.draws.theta_row(0));
            let tried = noise.add(0, &simulated, &[theta], vec![[0; 16]]);
            return tried.map(|_| ()).map_err(CommandError::unusable);
        }
    }
    Ok(())
}

#[derive(Debug)]
struct InChildren(NoiseChildren);

impl AddNoise for InChildren {
    fn block(&self) -> usize {
        self.0.block()
    }

    fn add(
        &self,
        first_row: u64,
        simulated: &[f64],
        theta: &[Vec<f64>],
        seeds: Vec<[u8; 16]>,
    ) -> Result<Vec<f64>, String> {
        self.0
            .add(first_row, simulated, theta, seeds, &AtomicBool::new(false))
            .map_err(|error| error.to_string())
    }
}
