//! `transit`: relative flux of a star with a planet in front (Mandel & Agol 2002, ApJ 580, L171),
//! quadratic limb darkening.
//!
//! Circular orbit with inclination acos(b/aRs). At the angle φ = 2π (t - t0)/P the centres are
//! z = aRs sqrt(sin²φ + (b/aRs)² cos²φ) stellar radii apart on the sky, and the planet is in front
//! where cos φ > 0. Held against the `batman` package (Kreidberg 2015, PASP 127, 1161) in
//! `tests/transit_table.rs`.

use crate::occultation::QuadraticLimbDarkening;
use crate::{
    Abscissae, Declaration, ForwardModel, ModelOption, ModelParameters, OptionKind, Options, Shape,
    SimulationError, Simulator, exactly, impossible,
};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;
use std::sync::Arc;

pub(crate) struct Transit;

impl Declaration for Transit {
    fn name(&self) -> &str {
        "transit"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Named(&["rp", "aRs", "b", "t0", "u1", "u2"])
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::Grid("time")
    }

    fn options(&self) -> Vec<ModelOption> {
        let about = "the orbital period in the grid's units";
        vec![ModelOption::required("period", OptionKind::Positive, about)]
    }
}

impl ForwardModel for Transit {
    fn build(&self, options: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Ok(Arc::new(TransitAt {
            period: options.number("period")?,
            times: shape.grid.to_vec(),
        }))
    }
}

struct TransitAt {
    period: f64,
    times: Vec<f64>,
}

impl Simulator for TransitAt {
    fn n_data(&self) -> usize {
        self.times.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [rp, a_rs, b, t0, u1, u2] = exactly(parameters)?;
        let refuse = |message: String| Err(impossible(message));
        if rp < 0.0 {
            return refuse(format!(
                "rp is {rp}, expected a number that is not negative"
            ));
        }
        if a_rs <= 0.0 {
            return refuse(format!("aRs is {a_rs}, expected a positive number"));
        }
        if b.abs() > a_rs {
            return refuse(format!("b is {b}, beyond the orbit of aRs = {a_rs}"));
        }
        let Some(star) = QuadraticLimbDarkening::new(u1, u2) else {
            return refuse(format!("u1 = {u1} and u2 = {u2} leave the star no flux"));
        };
        let cos_inclination = b / a_rs;
        for (value, time) in out.iter_mut().zip(&self.times) {
            let phase = (time - t0) / self.period;
            let angle = TAU * (phase - phase.round());
            let (sin, cos) = (libm::sin(angle), libm::cos(angle));
            *value = if cos <= 0.0 {
                1.0
            } else {
                star.flux(a_rs * libm::hypot(sin, cos_inclination * cos), rp)
            };
        }
        Ok(())
    }
}
