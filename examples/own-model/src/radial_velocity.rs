//! `radial-velocity`: the velocity of a star along the line of sight, with one planet (Wright & Howard 2009, ApJS 182,
//! 205).
//!
//! v = v0 + K (cos(ν + ω) + e cos ω), ν the true anomaly at the mean anomaly M = 2π (t - epoch)/P + M0.

use crate::kepler::true_anomaly;
use sidereal::models::{
    Abscissae, ChaCha8Rng, Complaint, Declaration, ForwardModel, ModelOption, ModelParameters,
    OptionKind, Options, Shape, SimulationError, Simulator, exactly, impossible,
};
use std::f64::consts::TAU;
use std::sync::Arc;

pub struct RadialVelocity;

/// What a campaign file must know of it.
impl Declaration for RadialVelocity {
    fn name(&self) -> &str {
        "radial-velocity"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Named(&["K", "P", "e", "omega", "M0", "v0"])
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::Grid("time")
    }

    fn options(&self) -> Vec<ModelOption> {
        let about = "the time at which the mean anomaly is M0";
        vec![ModelOption::settled("epoch", OptionKind::Number, about)]
    }

    /// The epoch is the middle of the observations, unless it is given.
    fn settle(&self, options: &mut Options, shape: Shape<'_>) -> Result<(), Complaint> {
        if !options.is_set("epoch") {
            let first = shape.grid.iter().copied().fold(f64::INFINITY, f64::min);
            let last = shape.grid.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            options.set("epoch", 0.5 * (first + last));
        }
        Ok(())
    }
}

impl ForwardModel for RadialVelocity {
    fn build(&self, options: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Ok(Arc::new(VelocityCurve {
            times: shape.grid.to_vec(),
            epoch: options.number("epoch")?,
        }))
    }
}

/// The model at the times of a campaign.
struct VelocityCurve {
    times: Vec<f64>,
    epoch: f64,
}

impl Simulator for VelocityCurve {
    fn n_data(&self) -> usize {
        self.times.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [semi_amplitude, period, e, omega, mean_anomaly, v0] = exactly(parameters)?;
        if !(0.0..1.0).contains(&e) {
            return Err(impossible(format!("e is {e}, expected a number in [0, 1)")));
        }
        for (velocity, time) in out.iter_mut().zip(&self.times) {
            let anomaly = TAU * (time - self.epoch) / period + mean_anomaly;
            let angle = true_anomaly(anomaly, e) + omega;
            *velocity = v0 + semi_amplitude * (libm::cos(angle) + e * libm::cos(omega));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal::models::SeedableRng;

    #[test]
    fn a_circular_orbit_is_a_cosine() {
        let model = RadialVelocity;
        let grid = [0.0, 1.0, 2.0, 3.0];
        let shape = Shape {
            grid: &grid,
            n_parameters: 6,
        };
        let mut options = Options::default();
        model.settle(&mut options, shape).expect("settled");
        assert_eq!(options.number("epoch"), Ok(1.5));
        options.set("epoch", 0.0);
        let curve = model.build(&options, shape).expect("a curve");
        let mut out = [0.0; 4];
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        curve
            .simulate(&[10.0, 4.0, 0.0, 0.0, 0.0, 3.0], &mut rng, &mut out)
            .expect("velocities");
        for (found, expected) in out.iter().zip([13.0, 3.0, -7.0, 3.0]) {
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
        let refused = curve.simulate(&[10.0, 4.0, 1.0, 0.0, 0.0, 3.0], &mut rng, &mut out);
        assert_eq!(
            refused,
            Err(impossible("e is 1, expected a number in [0, 1)"))
        );
    }
}
