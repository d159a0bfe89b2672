//! `microlensing`: magnitudes of a point source behind a point lens, with blending (Paczynski 1986,
//! ApJ 304, 1).
//!
//! u² = u0² + ((t - t0)/tE)², magnification A = (u² + 2)/(u sqrt(u² + 4)),
//! m = m_base - 2.5 log10(max(fs A + 1 - fs, 1e-12)).

use super::{SimulationError, Simulator, check_finite, ordered, positions};
use rand_chacha::ChaCha8Rng;
use sidereal_inference::space::ParameterSpace;

const PARAMETERS: [&str; 5] = ["t0", "u0", "log10tE", "fs", "m_base"];

/// Relative fluxes below this (negative blending) count as this.
const FLUX_FLOOR: f64 = 1e-12;

#[derive(Debug)]
pub(super) struct Microlensing {
    times: Vec<f64>,
    positions: [usize; 5],
}

impl Microlensing {
    pub(super) fn build(times: Vec<f64>, space: &ParameterSpace) -> Result<Self, String> {
        Ok(Self {
            times,
            positions: positions(PARAMETERS, space)?,
        })
    }
}

impl Simulator for Microlensing {
    fn n_data(&self) -> usize {
        self.times.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [t0, u0, log10_t_e, fs, m_base] = ordered(PARAMETERS, self.positions, parameters)?;
        let t_e = libm::exp10(log10_t_e);
        if t_e == 0.0 || t_e.is_infinite() {
            let message = format!(
                "log10tE is {log10_t_e}, which makes tE = {t_e}, expected a positive number"
            );
            return Err(SimulationError::Impossible(message));
        }
        for (value, time) in out.iter_mut().zip(&self.times) {
            let tau = (time - t0) / t_e;
            let flux = fs * magnification(u0 * u0 + tau * tau) + 1.0 - fs;
            // `f64::max` would turn a flux that is not a number into the floor.
            let flux = if flux < FLUX_FLOOR { FLUX_FLOOR } else { flux };
            *value = m_base - 2.5 * libm::log10(flux);
        }
        check_finite(out)
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
