//! `absorption-spectrum`: a sloped continuum with a Gaussian absorption doublet at one radial
//! velocity.
//!
//! F = c0 (1 + s (λ - pivot)/half_range) exp(-τ),
//! τ = d [G((λ - lines[0] k)/w) + r G((λ - lines[1] k)/w)], G(z) = exp(-z²/2), k = 1 + v/c:
//! optical depths of lines with a Gaussian profile (Draine 2011, Physics of the Interstellar and
//! Intergalactic Medium, chapter 9) and the non-relativistic Doppler shift.

use crate::{
    Abscissae, Complaint, Declaration, ForwardModel, ModelOption, ModelParameters, OptionKind,
    Options, Shape, SimulationError, Simulator, exactly, impossible,
};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Speed of light in km/s, the unit of `v`.
const SPEED_OF_LIGHT: f64 = 299_792.458;

pub(crate) struct AbsorptionSpectrum;

impl Declaration for AbsorptionSpectrum {
    fn name(&self) -> &str {
        "absorption-spectrum"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Named(&["c0", "s", "d", "v", "w", "r"])
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::Grid("wavelength")
    }

    fn options(&self) -> Vec<ModelOption> {
        vec![
            ModelOption::settled("pivot", OptionKind::Number, "where the continuum is c0"),
            ModelOption::settled(
                "half_range",
                OptionKind::Positive,
                "how far from the pivot it has changed by c0 s",
            ),
            ModelOption::required(
                "lines",
                OptionKind::Positives(2),
                "the two rest wavelengths",
            ),
        ]
    }

    /// The pivot is the middle of the grid, half_range how far it reaches from there.
    fn settle(&self, options: &mut Options, shape: Shape<'_>) -> Result<(), Complaint> {
        let low = shape.grid.iter().copied().fold(f64::INFINITY, f64::min);
        let high = shape.grid.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !options.is_set("pivot") {
            options.set("pivot", 0.5 * (low + high));
        }
        if !options.is_set("half_range") {
            if low == high {
                let message = "the grid has no width, expected half_range to be given";
                return Err(Complaint::of_model(message));
            }
            options.set("half_range", 0.5 * (high - low));
        }
        Ok(())
    }
}

impl ForwardModel for AbsorptionSpectrum {
    fn build(&self, options: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Ok(Arc::new(AbsorptionSpectrumAt {
            wavelengths: shape.grid.to_vec(),
            pivot: options.number("pivot")?,
            half_range: options.number("half_range")?,
            lines: options.numbers("lines")?,
        }))
    }
}

struct AbsorptionSpectrumAt {
    wavelengths: Vec<f64>,
    pivot: f64,
    half_range: f64,
    lines: [f64; 2],
}

impl Simulator for AbsorptionSpectrumAt {
    fn n_data(&self) -> usize {
        self.wavelengths.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [c0, slope, depth, velocity, width, ratio] = exactly(parameters)?;
        if width <= 0.0 {
            return Err(impossible(format!(
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
        Ok(())
    }
}

fn gaussian(z: f64) -> f64 {
    libm::exp(-0.5 * z * z)
}
