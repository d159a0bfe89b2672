//! Kepler's equation M = E - e sin E, by bisection and Newton's method (Meeus 1998, Astronomical Algorithms, chapter 30).

use std::f64::consts::{PI, TAU};

/// Steps that bisection alone takes to the last bit.
const MOST_STEPS: usize = 60;

/// The true anomaly ν at the mean anomaly M, for e in [0, 1).
pub fn true_anomaly(mean: f64, e: f64) -> f64 {
    let eccentric = eccentric_anomaly(mean, e);
    let (sin, cos) = (libm::sin(0.5 * eccentric), libm::cos(0.5 * eccentric));
    2.0 * libm::atan2(libm::sqrt(1.0 + e) * sin, libm::sqrt(1.0 - e) * cos)
}

/// E in [-π, π].
fn eccentric_anomaly(mean: f64, e: f64) -> f64 {
    let turns = libm::round(mean / TAU);
    let mean = mean - TAU * turns;
    // E - e sin E - M rises with E, from below 0 at -π to above 0 at π.
    let (mut low, mut high) = (-PI, PI);
    let mut eccentric = mean;
    for _ in 0..MOST_STEPS {
        let excess = eccentric - e * libm::sin(eccentric) - mean;
        if excess > 0.0 {
            high = eccentric;
        } else {
            low = eccentric;
        }
        let newton = eccentric - excess / (1.0 - e * libm::cos(eccentric));
        let next = match low < newton && newton < high {
            true => newton,
            false => 0.5 * (low + high),
        };
        if (next - eccentric).abs() <= f64::EPSILON * next.abs() {
            return next;
        }
        eccentric = next;
    }
    eccentric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_equation_holds_whatever_the_eccentricity() {
        for e in [0.0, 0.1, 0.5, 0.9, 0.999] {
            for i in -200..=200 {
                let mean = f64::from(i) * 0.05;
                let eccentric = eccentric_anomaly(mean, e);
                let turned = TAU * libm::round(mean / TAU);
                let back = eccentric - e * libm::sin(eccentric) + turned;
                assert!((back - mean).abs() < 1e-13, "e {e}, M {mean}: {back}");
            }
        }
    }

    #[test]
    fn true_anomalies_are_those_of_meeus() {
        // Example 30.a: e = 0.1, M = 5°, E = 5.554589°.
        let nu = true_anomaly(5.0_f64.to_radians(), 0.1);
        let e: f64 = 0.1;
        let expected = 2.0
            * (((1.0 + e) / (1.0 - e)).sqrt() * (0.5 * 5.554_589_25_f64.to_radians()).tan()).atan();
        assert!((nu - expected).abs() < 1e-9, "{nu}, not {expected}");
    }
}
