//! Forward models: what one declares and promises, and the built-in ones, one file each.
//!
//! A model of one's own is a [`ForwardModel`] that is added to the catalogue as a guest:
//!
//! ```
//! use sidereal_models::{
//!     Catalogue, ChaCha8Rng, Declaration, ForwardModel, ModelParameters, Options, Shape,
//!     SimulationError, Simulator, exactly,
//! };
//! use std::sync::Arc;
//!
//! /// x = a t + b
//! struct Line;
//!
//! impl Declaration for Line {
//!     fn name(&self) -> &str {
//!         "line"
//!     }
//!
//!     fn parameters(&self) -> ModelParameters {
//!         ModelParameters::Named(&["a", "b"])
//!     }
//! }
//!
//! impl ForwardModel for Line {
//!     fn build(&self, _: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
//!         Ok(Arc::new(LineAt(shape.grid.to_vec())))
//!     }
//! }
//!
//! struct LineAt(Vec<f64>);
//!
//! impl Simulator for LineAt {
//!     fn n_data(&self) -> usize {
//!         self.0.len()
//!     }
//!
//!     fn simulate(
//!         &self,
//!         parameters: &[f64],
//!         _: &mut ChaCha8Rng,
//!         out: &mut [f64],
//!     ) -> Result<(), SimulationError> {
//!         let [a, b] = exactly(parameters)?;
//!         for (x, t) in out.iter_mut().zip(&self.0) {
//!             *x = a * t + b;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! // Campaign files may now say guest = "line".
//! let catalogue = Catalogue::default().with_guest(Line);
//! # assert_eq!(catalogue.ids().last().map(|id| id.to_string()).as_deref(), Some("line (a guest, version 1)"));
//! ```

#![warn(missing_docs)]

mod absorption_spectrum;
mod batch;
mod bernoulli_glm;
mod catalogue;
mod dormand_prince;
mod external;
mod gaussian_mixture;
mod linear;
mod linear_gaussian;
mod lotka_volterra;
mod microlensing;
mod model;
mod noise;
mod occultation;
mod own_noise;
pub mod process;
mod simulator;
mod sine;
mod sir;
mod slcp;
mod transit;
mod two_moons;

#[cfg(test)]
mod own_noise_tests;
#[cfg(test)]
mod tests;

pub use batch::{BatchError, run_batch};
pub use catalogue::{BuildError, Catalogue, ForwardModel, ReadyModel};
pub use model::Model;
pub use noise::{NoiseChildren, NoiseError};
pub use own_noise::{OwnNoise, WithOwnNoise};
pub use rand_chacha::ChaCha8Rng;
pub use rand_chacha::rand_core::SeedableRng;
pub use sidereal_inference::campaign::model::{
    Abscissae, Complaint, Declaration, ModelNoise, ModelOption, ModelParameters, OptionKind,
    Options, Shape,
};
pub use simulator::{SimulationError, Simulator, exactly, impossible};

use std::sync::Arc;

/// The built-in models.
impl Default for Catalogue {
    fn default() -> Self {
        Self::of_builtins(vec![
            Arc::new(sine::Sine),
            Arc::new(microlensing::Microlensing),
            Arc::new(transit::Transit),
            Arc::new(absorption_spectrum::AbsorptionSpectrum),
            Arc::new(linear_gaussian::LinearGaussian),
            Arc::new(two_moons::TwoMoons),
            Arc::new(gaussian_mixture::GaussianMixture),
            Arc::new(slcp::Slcp),
            Arc::new(bernoulli_glm::BernoulliGlm),
            Arc::new(sir::Sir),
            Arc::new(lotka_volterra::LotkaVolterra),
        ])
    }
}
