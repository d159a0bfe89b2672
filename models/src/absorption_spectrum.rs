//! `absorption-spectrum`: a sloped continuum with a Gaussian absorption doublet at one radial
//! velocity.
//!
//! F = c0 (1 + s (λ - pivot)/half_range) exp(-τ),
//! τ = d [G((λ - lines[0] k)/w) + r G((λ - lines[1] k)/w)], G(z) = exp(-z²/2), k = 1 + v/c:
//! optical depths of lines with a Gaussian profile (Draine 2011, Physics of the Interstellar and
//! Intergalactic Medium, chapter 9) and the non-relativistic Doppler shift.

use super::{SimulationError, Simulator, check_finite, ordered, positions};
use rand_chacha::ChaCha8Rng;
use sidereal_inference::space::ParameterSpace;

const PARAMETERS: [&str; 6] = ["c0", "s", "d", "v", "w", "r"];

/// Speed of light in km/s, the unit of `v`.
const SPEED_OF_LIGHT: f64 = 299_792.458;

#[derive(Debug)]
pub(super) struct AbsorptionSpectrum {
    wavelengths: Vec<f64>,
    pivot: f64,
    half_range: f64,
    lines: [f64; 2],
    positions: [usize; 6],
}

impl AbsorptionSpectrum {
    pub(super) fn build(
        pivot: f64,
        half_range: f64,
        lines: [f64; 2],
        wavelengths: Vec<f64>,
        space: &ParameterSpace,
    ) -> Result<Self, String> {
        if !pivot.is_finite() {
            return Err(format!("pivot is {pivot}, expected a finite number"));
        }
        if !(half_range.is_finite() && half_range > 0.0) {
            return Err(format!(
                "half_range is {half_range}, expected a positive number"
            ));
        }
        if !lines.iter().all(|line| line.is_finite() && *line > 0.0) {
            return Err(format!(
                "lines are {lines:?}, expected two positive numbers"
            ));
        }
        let positions = positions(PARAMETERS, space)?;
        Ok(Self {
            wavelengths,
            pivot,
            half_range,
            lines,
            positions,
        })
    }
}

impl Simulator for AbsorptionSpectrum {
    fn n_data(&self) -> usize {
        self.wavelengths.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [c0, slope, depth, velocity, width, ratio] =
            ordered(PARAMETERS, self.positions, parameters)?;
        if width <= 0.0 {
            return Err(SimulationError::Impossible(format!(
                "w is {width}, expected a positive number"
            )));
        }
        let doppler = 1.0 + velocity / SPEED_OF_LIGHT;
        let centres = self.lines.map(|line| line * doppler);
        for (value, wavelength) in out.iter_mut().zip(&self.wavelengths) {
            let [first, second] = centres.map(|centre| gaussian((wavelength - centre) / width));
            let optical_depth = depth * (first + ratio * second);
            let continuum = c0 * (1.0 + slope * (wavelength - self.pivot) / self.half_range);
            *value = continuum * libm::exp(-optical_depth);
        }
        check_finite(out)
    }
}

fn gaussian(z: f64) -> f64 {
    libm::exp(-0.5 * z * z)
}
