//! Flux of a quadratically limb-darkened star behind an opaque disc (Mandel & Agol 2002, ApJ 580,
//! L171), in the well-conditioned form of Agol, Luger & Foreman-Mackey 2020 (AJ 159, 123), whose
//! integrals s0, s1 and s2 these are.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

/// Discs smaller than this hide less than rounding.
const SMALLEST_RADIUS: f64 = 1e-10;

/// Stars whose mean intensity is below this fraction of that at their centre have lost it in
/// rounding.
const SMALLEST_MEAN_INTENSITY: f64 = 1e-9;

/// Intensity 1 - u1 (1 - μ) - u2 (1 - μ)² over the star's disc, normalized to a total flux of 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuadraticLimbDarkening {
    /// Coefficients of 1, μ and 4μ² - 2, whose integrals over the visible disc
    /// [`visible_integrals`] gives.
    coefficients: [f64; 3],
    total: f64,
}

impl QuadraticLimbDarkening {
    /// None where the star has no positive flux.
    pub(crate) fn new(u1: f64, u2: f64) -> Option<Self> {
        let coefficients = [1.0 - u1 - 1.5 * u2, u1 + 2.0 * u2, -0.25 * u2];
        let mean = 1.0 - u1 / 3.0 - u2 / 6.0;
        (mean > SMALLEST_MEAN_INTENSITY).then_some(Self {
            coefficients,
            total: PI * mean,
        })
    }

    /// Flux that a disc of `radius` leaves, its centre `separation` from the star's; both at least
    /// 0, in stellar radii.
    pub(crate) fn flux(&self, separation: f64, radius: f64) -> f64 {
        if separation >= 1.0 + radius || radius < SMALLEST_RADIUS {
            return 1.0;
        }
        if separation <= radius - 1.0 {
            return 0.0;
        }
        let integrals = visible_integrals(separation, radius);
        let visible: f64 = self
            .coefficients
            .iter()
            .zip(integrals)
            .map(|(g, s)| g * s)
            .sum();
        visible / self.total
    }
}

/// Integrals of 1, μ and 4μ² - 2 over the visible part of the star (s0, s1 and s2), for a disc that hides some of the star and not all of it.
fn visible_integrals(separation: f64, radius: f64) -> [f64; 3] {
    let (z, r) = (separation, radius);
    let (z2, r2) = (z * z, r * r);
    let eta = 0.5 * r2 * (r2 + 2.0 * z2);
    let s1 = visible_linear(z, r);
    if z <= 1.0 - r {
        let s0 = PI * (1.0 - r2);
        return [s0, s1, 2.0 * s0 + 4.0 * PI * (eta - 0.5)];
    }
    let kite = four_times_triangle(1.0, z, r);
    let kappa_0 = libm::atan2(kite, (r - 1.0) * (r + 1.0) + z2);
    let kappa_1 = libm::atan2(kite, (1.0 - r) * (1.0 + r) + z2);
    let s0 = PI - kappa_1 - r2 * kappa_0 + 0.5 * kite;
    let lens = -(PI - kappa_1) + 2.0 * eta * kappa_0 - 0.25 * kite * (1.0 + 5.0 * r2 + z2);
    [s0, s1, 2.0 * s0 + 2.0 * lens]
}

/// Four times the area of the triangle with these sides, by Kahan's stable form of Heron's formula.
fn four_times_triangle(x: f64, y: f64, z: f64) -> f64 {
    let mut sides = [x, y, z];
    sides.sort_by(|left, right| right.total_cmp(left));
    let [a, b, c] = sides;
    ((a + (b + c)) * (c - (a - b)) * (c + (a - b)) * (a + (b - c)))
        .max(0.0)
        .sqrt()
}

/// Integral of μ over the visible part of the star: (2π - λ)/3 or, where the disc covers the star's
/// centre, -λ/3, with λ by the cases of Mandel & Agol's table 1.
fn visible_linear(z: f64, r: f64) -> f64 {
    let (z2, r2) = (z * z, r * r);
    // Grouped so that the first factors are exact where they vanish.
    let inner_gap = (1.0 - r) - z;
    let one_minus_sum2 = inner_gap * (1.0 + z + r);
    let one_minus_difference2 = ((1.0 - r) + z) * ((1.0 + r) - z);
    let four_z_r = 4.0 * z * r;
    let lambda = if z == 0.0 {
        -TAU * (1.0 - r2) * (1.0 - r2).sqrt()
    } else if inner_gap == 0.0 {
        let step = if r > 0.5 { TAU } else { 0.0 };
        2.0 * libm::acos(1.0 - 2.0 * r)
            - 4.0 / 3.0 * (3.0 + 2.0 * r - 8.0 * r2) * (r * (1.0 - r)).sqrt()
            - step
    } else if inner_gap > 0.0 && z == r {
        let m = 4.0 * r2;
        let kc = ((1.0 - 2.0 * r) * (1.0 + 2.0 * r)).sqrt();
        let (e, d) = (second_kind(kc), mixed_kind(kc));
        PI + 2.0 / 3.0 * ((2.0 * m - 3.0) * e - m * d)
    } else if inner_gap > 0.0 {
        let kc = (one_minus_sum2 / one_minus_difference2).sqrt();
        let q = (z - r) / (z + r);
        let mu = 3.0 * q / one_minus_difference2;
        let p = q * q * one_minus_sum2 / one_minus_difference2;
        let third = complete_elliptic(kc, p, 1.0 + mu, p + mu);
        let first = one_minus_sum2 * third - (4.0 - 7.0 * r2 - z2) * second_kind(kc);
        2.0 / 3.0 * one_minus_difference2.sqrt() * first
    } else if z == r {
        let m = 4.0 * r2;
        let kc = ((2.0 * r - 1.0) * (2.0 * r + 1.0)).sqrt() / (2.0 * r);
        let (e, d) = (second_kind(kc), mixed_kind(kc));
        PI + ((2.0 * m - 3.0) * d - m * e) / (3.0 * r)
    } else {
        let kc2 = -one_minus_sum2 / four_z_r;
        let kc = kc2.sqrt();
        let difference = z - r;
        let third = complete_elliptic(
            kc,
            difference * difference * kc2,
            0.0,
            3.0 * kc2 * difference * (z + r),
        );
        let rest = (-3.0 + 6.0 * r2 + 2.0 * z * r) * mixed_kind(kc) - four_z_r * second_kind(kc);
        one_minus_difference2 * (third + rest) / (3.0 * (z * r).sqrt())
    };
    let step = if r > z { 0.0 } else { TAU };
    (step - lambda) / 3.0
}

/// E(m) with m = 1 - kc².
fn second_kind(kc: f64) -> f64 {
    complete_elliptic(kc, 1.0, 1.0, kc * kc)
}

/// (E(m) - (1 - m) K(m)) / m with m = 1 - kc².
fn mixed_kind(kc: f64) -> f64 {
    complete_elliptic(kc, 1.0, 1.0, 0.0)
}

/// Bulirsch's general complete elliptic integral (1969, Numerische Mathematik 13, 305) for kc and p
/// above 0: over φ in [0, π/2],
/// ∫ (a cos²φ + b sin²φ) / ((cos²φ + p sin²φ) sqrt(cos²φ + kc² sin²φ)) dφ.
fn complete_elliptic(kc: f64, p: f64, a: f64, b: f64) -> f64 {
    const TOLERANCE: f64 = 1e-8;
    // It converges quadratically: a dozen turns for the smallest kc there is. The bound only keeps
    // a kc of 0 from looping.
    const MAX_TURNS: usize = 64;
    let (mut kc, mut p, mut a, mut b) = (kc, p.sqrt(), a, b);
    let mut e = kc;
    let mut m = 1.0;
    b /= p;
    for _ in 0..MAX_TURNS {
        let f = a;
        a += b / p;
        let g = e / p;
        b = 2.0 * (b + f * g);
        p += g;
        let last_m = m;
        m += kc;
        if (last_m - kc).abs() <= last_m * TOLERANCE {
            break;
        }
        kc = 2.0 * e.sqrt();
        e = kc * m;
    }
    FRAC_PI_2 * (a * m + b) / (m * (m + p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64, tolerance: f64) {
        assert!(
            (found - expected).abs() <= tolerance,
            "found {found}, expected {expected}"
        );
    }

    #[test]
    fn elliptic_integrals_agree_with_mpmath() {
        // K(0.5), E(0.5) and Π(0.1, 0.5) by mpmath 1.4.1.
        let kc = 0.5_f64.sqrt();
        assert_close(
            complete_elliptic(kc, 1.0, 1.0, 1.0),
            1.854_074_677_301_372,
            1e-14,
        );
        assert_close(second_kind(kc), 1.350_643_881_047_675_5, 1e-14);
        assert_close(
            mixed_kind(kc),
            2.0 * (1.350_643_881_047_675_5 - 0.5 * 1.854_074_677_301_372),
            1e-14,
        );
        assert_close(complete_elliptic(kc, 0.9, 1.0, 1.0), PI_0_1, 1e-13);
        // E is 1 in the limit, K grows like ln(4 / kc).
        assert_close(second_kind(1e-12), 1.0, 1e-14);
        assert_close(
            complete_elliptic(1e-12, 1.0, 1.0, 1.0),
            (4e12_f64).ln(),
            1e-12,
        );
    }

    /// Π(n = 0.1, m = 0.5) by mpmath 1.4.1.
    const PI_0_1: f64 = 1.963_259_707_143_466;

    #[test]
    fn uniform_star_loses_the_area_hidden() {
        let star = QuadraticLimbDarkening::new(0.0, 0.0).expect("a star");
        assert_close(star.flux(0.3, 0.5), 0.75, 1e-15);
        // Two unit discs at a separation of 1 overlap in 2π/3 - sqrt(3)/2.
        assert_close(
            star.flux(1.0, 1.0),
            1.0 - (2.0 / 3.0 - 0.75_f64.sqrt() / PI),
            1e-15,
        );
    }

    #[test]
    fn flux_is_continuous_where_formulas_meet() {
        let star = QuadraticLimbDarkening::new(0.5, 0.3).expect("a star");
        for r in [1e-3_f64, 0.1, 0.499_999, 0.5, 0.500_001, 0.9, 1.0, 1.2] {
            for seam in [0.0, r, (1.0 - r).abs(), 1.0 + r] {
                let at = star.flux(seam, r);
                for step in [1e-15, 1e-13, 1e-11] {
                    for beside in [seam - step, seam + step] {
                        assert_close(star.flux(beside.max(0.0), r), at, 1e-10);
                    }
                }
            }
        }
    }

    #[test]
    fn stars_without_flux_and_whole_eclipses() {
        assert!(QuadraticLimbDarkening::new(3.0, 0.0).is_none());
        assert!(QuadraticLimbDarkening::new(f64::NAN, 0.0).is_none());
        let star = QuadraticLimbDarkening::new(0.5, 0.3).expect("a star");
        assert_eq!(star.flux(0.1, 1.2), 0.0);
        assert_eq!(star.flux(1.2, 0.1), 1.0);
        assert_eq!(star.flux(0.0, 0.0), 1.0);
    }
}
