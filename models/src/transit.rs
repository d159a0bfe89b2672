//! `transit`: relative flux of a star with a planet in front (Mandel & Agol 2002, ApJ 580, L171),
//! quadratic limb darkening.
//!
//! Circular orbit with inclination acos(b/aRs). At the angle φ = 2π (t - t0)/P the centres are
//! z = aRs sqrt(sin²φ + (b/aRs)² cos²φ) stellar radii apart on the sky, and the planet is in front
//! where cos φ > 0. Held against the `batman` package (Kreidberg 2015, PASP 127, 1161) in
//! `tests/transit_table.rs`.

use super::occultation::QuadraticLimbDarkening;
use super::{SimulationError, Simulator, check_finite, ordered, positions};
use rand_chacha::ChaCha8Rng;
use sidereal_inference::space::ParameterSpace;
use std::f64::consts::TAU;

const PARAMETERS: [&str; 6] = ["rp", "aRs", "b", "t0", "u1", "u2"];

#[derive(Debug)]
pub(super) struct Transit {
    period: f64,
    times: Vec<f64>,
    positions: [usize; 6],
}

impl Transit {
    pub(super) fn build(
        period: f64,
        times: Vec<f64>,
        space: &ParameterSpace,
    ) -> Result<Self, String> {
        if !(period.is_finite() && period > 0.0) {
            let message = format!("period is {period}, expected a positive number");
            return Err(message);
        }
        Ok(Self {
            period,
            times,
            positions: positions(PARAMETERS, space)?,
        })
    }
}

impl Simulator for Transit {
    fn n_data(&self) -> usize {
        self.times.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let [rp, a_rs, b, t0, u1, u2] = ordered(PARAMETERS, self.positions, parameters)?;
        let refuse = |message| Err(SimulationError::Impossible(message));
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
        check_finite(out)
    }
}
