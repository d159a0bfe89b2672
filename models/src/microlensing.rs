//! `microlensing`: magnitudes of a point source behind a point lens, with blending (Paczynski 1986,
//! ApJ 304, 1).
//!
//! u² = u0² + ((t - t0)/tE)², magnification A = (u² + 2)/(u sqrt(u² + 4)),
//! m = m_base - 2.5 log10(max(fs A + 1 - fs, 1e-12)).

use crate::{
    Abscissae, Declaration, ForwardModel, ModelParameters, Options, Shape, SimulationError,
    Simulator, exactly, impossible,
};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Relative fluxes below this (negative blending) count as this.
const FLUX_FLOOR: f64 = 1e-12;

pub(crate) struct Microlensing;

impl Declaration for Microlensing {
    fn name(&self) -> &str {
        "microlensing"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Named(&["t0", "u0", "log10tE", "fs", "m_base"])
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::Grid("time")
    }
}

impl ForwardModel for Microlensing {
    fn build(&self, _: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        let times = shape.grid.to_vec();
        Ok(Arc::new(MicrolensingAt { times }))
    }
}

struct MicrolensingAt {
    times: Vec<f64>,
}

impl Simulator for MicrolensingAt {
    fn n_data(&self) -> usize {
        self.times.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [t0, u0, log10_t_e, fs, m_base] = exactly(parameters)?;
        let t_e = libm::exp10(log10_t_e);
        if t_e == 0.0 || t_e.is_infinite() {
            return Err(impossible(format!(
                "log10tE is {log10_t_e}, which makes tE = {t_e}, expected a positive number"
            )));
        }
        for (value, time) in out.iter_mut().zip(&self.times) {
            let tau = (time - t0) / t_e;
            let flux = fs * magnification(u0 * u0 + tau * tau) + 1.0 - fs;
            // `f64::max` would turn a flux that is not a number into the floor.
            let flux = if flux < FLUX_FLOOR { FLUX_FLOOR } else { flux };
            *value = m_base - 2.5 * libm::log10(flux);
        }
        Ok(())
    }
}

/// Magnification at the squared separation u²; infinite at 0.
fn magnification(u_squared: f64) -> f64 {
    // Written so that u² (u² + 4) cannot overflow: beyond 1e9, A - 1 = 2/u⁴ is below rounding.
    if u_squared > 1e9 {
        return 1.0;
    }
    (u_squared + 2.0) / (u_squared * (u_squared + 4.0)).sqrt()
}
