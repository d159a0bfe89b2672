//! `sine`: A sin(ω t + φ0), the demonstration of nbi 0.4.1 (Zhang et al. 2023,
//! <https://github.com/kmzzhang/nbi>).

use super::{SimulationError, Simulator, check_finite, ordered, positions};
use rand_chacha::ChaCha8Rng;
use sidereal_inference::space::ParameterSpace;

const PARAMETERS: [&str; 3] = ["phi0", "A", "omega"];

#[derive(Debug)]
pub(super) struct Sine {
    times: Vec<f64>,
    positions: [usize; 3],
}

impl Sine {
    pub(super) fn build(times: Vec<f64>, space: &ParameterSpace) -> Result<Self, String> {
        Ok(Self {
            times,
            positions: positions(PARAMETERS, space)?,
        })
    }
}

impl Simulator for Sine {
    fn n_data(&self) -> usize {
        self.times.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [phi0, amplitude, omega] = ordered(PARAMETERS, self.positions, parameters)?;
        for (value, time) in out.iter_mut().zip(&self.times) {
            *value = amplitude * libm::sin(omega * time + phi0);
        }
        check_finite(out)
    }
}
