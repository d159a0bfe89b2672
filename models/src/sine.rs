//! `sine`: A sin(ω t + φ0), the demonstration of nbi 0.4.1 (Zhang et al. 2023,
//! <https://github.com/kmzzhang/nbi>).

use crate::{
    Abscissae, Declaration, ForwardModel, ModelParameters, Options, Shape, SimulationError,
    Simulator, exactly,
};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

pub(crate) struct Sine;

impl Declaration for Sine {
    fn name(&self) -> &str {
        "sine"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Named(&["phi0", "A", "omega"])
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::Grid("time")
    }
}

impl ForwardModel for Sine {
    fn build(&self, _: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        let times = shape.grid.to_vec();
        Ok(Arc::new(SineAt { times }))
    }
}

struct SineAt {
    times: Vec<f64>,
}

impl Simulator for SineAt {
    fn n_data(&self) -> usize {
        self.times.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [phi0, amplitude, omega] = exactly(parameters)?;
        for (value, time) in out.iter_mut().zip(&self.times) {
            *value = amplitude * libm::sin(omega * time + phi0);
        }
        Ok(())
    }
}
