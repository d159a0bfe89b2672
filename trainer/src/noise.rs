//! Noise that a function of the user's adds to simulations. The trainer knows no functions: who starts it hands in what
//! runs them.

use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign::external::ExternalNoise;
use std::fmt;
use std::sync::Arc;

/// Adds noise to rows of data.
pub trait AddNoise: fmt::Debug + Send + Sync {
    /// Rows that are given noise together, which begin at multiples of it; 0: each on its own.
    fn block(&self) -> usize;

    /// Data with noise of `simulated` \[row, datum\], whose parameters are `theta`, \[row\]\[parameter\], as the model is given
    /// them; the first is row `first_row` of a sequence. Each row has a seed, in a block that of the block's first row. What a
    /// row gets depends on its block's rows, its place in it and its seed alone.
    fn add(
        &self,
        first_row: u64,
        simulated: &[f64],
        theta: &[Vec<f64>],
        seeds: Vec<[u8; 16]>,
    ) -> Result<Vec<f64>, String>;
}

/// What makes an [`AddNoise`] for a campaign; none where no function adds noise to its simulations.
pub type MakeNoise = dyn Fn(&Campaign) -> Result<Option<Box<dyn AddNoise>>, String> + Send + Sync;

/// How a trainer comes by the noise of campaigns.
#[derive(Clone)]
pub struct NoiseSource(Arc<MakeNoise>);

impl NoiseSource {
    /// By a function.
    pub fn new(
        make: impl Fn(&Campaign) -> Result<Option<Box<dyn AddNoise>>, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(make))
    }

    /// See [`MakeNoise`].
    pub fn of(&self, campaign: &Campaign) -> Result<Option<Box<dyn AddNoise>>, String> {
        (self.0)(campaign)
    }
}

impl Default for NoiseSource {
    /// Of trainers that run no functions: it refuses campaigns that have one.
    fn default() -> Self {
        Self::new(|campaign| match &campaign.training_noise {
            Some(noise) => Err(not_run(noise)),
            None => Ok(None),
        })
    }
}

/// What a trainer says that has nothing to run functions with.
pub fn not_run(noise: &ExternalNoise) -> String {
    let name = noise.name();
    format!("noise.python {name}: this trainer runs no functions")
}

impl fmt::Debug for NoiseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoiseSource")
    }
}
