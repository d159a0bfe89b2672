//! Draws from a trained model at any observation, for amortized use.

use crate::draw::{self, DrawPlan};
use crate::model::{Model, ModelError};
use sidereal_inference::draws::Draws;
use sidereal_inference::ids::RoundId;
use sidereal_inference::observation::Observation;
use sidereal_inference::proposal::{Component, Proposal};
use sidereal_inference::seeds::Purpose;
use std::collections::BTreeMap;

impl Model {
    /// `n` draws of the flow at `observation`, with their log proposal density; the same for the same
    /// seed on the same device.
    pub fn draw(&self, observation: &Observation, n: u64, seed: u64) -> Result<Draws, ModelError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .build()
            .map_err(|source| ModelError::Threads { source })?;
        let scorers = BTreeMap::from([(self.flow(), self.scorer(observation)?)]);
        let proposal = Proposal::of(vec![(Component::Flow(self.flow()), 1.0)]);
        let plan = DrawPlan {
            campaign: self.campaign(),
            seed,
            purpose: Purpose::Predict,
            round: RoundId(0),
            rows: 0..n,
            proposal: &proposal,
        };
        Ok(draw::draw(&plan, &scorers, &pool)?.0)
    }
}
