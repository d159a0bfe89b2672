//! The normal distribution far into both tails, in log space: tails, quantiles, masses of intervals.

use statrs::function::erf::erfc_inv;
use std::f64::consts::{LN_2, PI, SQRT_2};

/// ln sqrt(2π)
pub(crate) const LN_SQRT_2_PI: f64 = 0.918_938_533_204_672_8;

/// log φ(t)
pub(crate) fn log_density(t: f64) -> f64 {
    -0.5 * t * t - LN_SQRT_2_PI
}

/// Φ(-|z|), the mass of the tail beyond z; zero from |z| ≈ 38.6.
pub(crate) fn tail(z: f64) -> f64 {
    0.5 * libm::erfc(z.abs() / SQRT_2)
}

/// log Φ(t), finite wherever t² is.
pub(crate) fn log_cdf(t: f64) -> f64 {
    if t > 0.0 {
        (-tail(t)).ln_1p()
    } else if t > -8.0 {
        tail(t).ln()
    } else {
        log_density(t) + mills_ratio(-t).ln()
    }
}

/// The t with Φ(t) = p, for p in (0, 1/2]: the lower half. -inf for p = 0.
pub(crate) fn lower_quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p < 1e-300 {
        return quantile_of_log(p.ln());
    }
    let t = -SQRT_2 * erfc_inv(2.0 * p);
    if t > -8.0 {
        t - (tail(t) - p) / log_density(t).exp()
    } else {
        refine(t, p.ln())
    }
}

/// The t with log Φ(t) = `log_p`, which is negative.
pub(crate) fn quantile_of_log(log_p: f64) -> f64 {
    if log_p == f64::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    if log_p > -LN_2 {
        return -lower_quantile(-log_p.exp_m1());
    }
    if log_p > -690.0 {
        return refine(-SQRT_2 * erfc_inv(2.0 * log_p.exp()), log_p);
    }
    let square = -2.0 * log_p - (2.0 * PI).ln();
    let start = -(square - square.ln()).sqrt();
    (0..4).fold(start, |t, _| refine(t, log_p))
}

/// log of the standard normal mass of [a, b], relatively exact however narrow or far out.
///
/// `width` is b - a, told apart because the difference of the two may have lost its digits.
pub(crate) fn log_mass(a: f64, b: f64, width: f64) -> f64 {
    let centre = 0.5 * a + 0.5 * b;
    if centre < 0.0 {
        return log_mass(-b, -a, width);
    }
    if centre * width + 0.5 * width * width < 0.5 {
        return log_density(centre) + narrow_integral(centre, width).ln();
    }
    if a > 0.0 {
        let beyond = (-width * centre).exp() * mills_ratio(b);
        return log_density(a) + (mills_ratio(a) - beyond).ln();
    }
    (-(tail(a) + tail(b))).ln_1p()
}

/// The width with `log_mass(a, a + width, width) = log_target`, for an interval that does not reach far
/// beyond t = 0 or starts above it; at most `widest`.
pub(crate) fn width_of_log_mass(a: f64, log_target: f64, widest: f64) -> f64 {
    let (mut low, mut high) = (f64::NEG_INFINITY, widest.ln());
    let mut log_width = (log_target - log_density(a)).min(high);
    for _ in 0..100 {
        let width = log_width.exp();
        if width == 0.0 {
            return 0.0;
        }
        let log_found = log_mass(a, a + width, width);
        let miss = log_found - log_target;
        if miss > 0.0 {
            high = log_width;
        } else {
            low = log_width;
        }
        let slope = (log_width + log_density(a + width) - log_found).exp();
        let mut next = log_width - miss / slope;
        // Outside the bracket Newton's step is not to be trusted; from an infinite one it is all we have.
        if !(next >= low && next <= high) {
            next = if low.is_finite() {
                0.5 * (low + high)
            } else {
                high - 1.0
            };
        }
        let step = (next - log_width).abs();
        log_width = next;
        if step < 4e-16 {
            break;
        }
    }
    log_width.exp()
}

/// Mills' ratio (1 - Φ(t)) / φ(t) for t >= 0.
fn mills_ratio(t: f64) -> f64 {
    if t < 6.0 {
        return (0.5 * t * t + LN_SQRT_2_PI).exp() * tail(t);
    }
    // Laplace's continued fraction t + 1/(t + 2/(t + 3/(t + ..))).
    1.0 / (1..=60).rev().fold(t, |below, k| t + f64::from(k) / below)
}

/// One Newton step of log Φ(t) = `log_p`.
fn refine(t: f64, log_p: f64) -> f64 {
    let found = log_cdf(t);
    t - (found - log_p) * (found - log_density(t)).exp()
}

/// ∫ φ(t) dt / φ(centre) over `width` around `centre`, by Gauss-Legendre with 8 nodes.
fn narrow_integral(centre: f64, width: f64) -> f64 {
    const NODES: [(f64, f64); 4] = [
        (0.183_434_642_495_649_8, 0.362_683_783_378_362),
        (0.525_532_409_916_329, 0.313_706_645_877_887_3),
        (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
        (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
    ];
    let half = 0.5 * width;
    let sum: f64 = NODES
        .iter()
        .map(|&(node, weight)| {
            let s = half * node;
            weight * (-0.5 * s * s).exp() * (centre * s).cosh()
        })
        .sum();
    half * 2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative, or absolute where `b` is below 1e-3.
    #[track_caller]
    fn assert_near(a: f64, b: f64, tolerance: f64) {
        assert!(
            (a - b).abs() <= tolerance * b.abs().max(1e-3),
            "{a:e} is not {b:e}"
        );
    }

    #[test]
    fn tails_and_quantiles_agree_with_tabulated_values() {
        #[rustfmt::skip]
        let table = [
            (-200.0, -20006.21728089819),
            (-38.0, -726.5572160188201),
            (-20.0, -203.91715537109727),
            (-8.5, -39.19739642821767),
            (-7.5, -31.075890902890002),
            (-5.0, -15.064998393988725),
            (-1.0, -1.8410216450092636),
            (0.0, -LN_2),
            (1.0, -0.17275377902344988),
            (3.0, -0.0013508099647481938),
            (7.0, -1.279812543886654e-12),
        ];
        for (t, log_p) in table {
            assert_near(log_cdf(t), log_p, 1e-14);
            // Φ(3) and Φ(7) leave few digits of log p for the way back.
            if t < 2.0 {
                assert!(
                    (quantile_of_log(log_p) - t).abs() <= 1e-14 * t.abs().max(1.0),
                    "{t}"
                );
            }
            if (-37.5..=0.0).contains(&t) {
                assert!(
                    (lower_quantile(tail(t)) - t).abs() <= 1e-13 * t.abs().max(1.0),
                    "{t}"
                );
            }
        }
    }

    #[test]
    fn masses_agree_with_tabulated_values() {
        #[rustfmt::skip]
        let table = [
            (-1.0, 2.0, -0.38171514630212605),
            (10.0, 1e-06, -64.73445409116495),
            (10.0, 1.0, -53.23131022558312),
            (30.0, 5.0, -454.3212439563432),
            (-35.0, 4.0, -484.85396362717927),
            (0.3, 1e-10, -23.98978946316013),
            (-0.5, 0.4, -1.8862814413695757),
            (-40.0, 80.0, 0.0),
            (3.0, 1000000000.0, -6.607726221510349),
            (-1000000.0, 1000000.0, -LN_2),
            (36.0, 0.25, -652.5033463900767),
        ];
        for (a, width, log_p) in table {
            assert_near(log_mass(a, a + width, width), log_p, 1e-13);
            assert_near(log_mass(-a - width, -a, width), log_p, 1e-13);
        }
    }

    #[test]
    fn masses_add_up_across_the_branches() {
        for i in 0..400 {
            let a = -20.0 + 0.1 * f64::from(i);
            for j in 1..40 {
                let width = (-8.0 + 0.3 * f64::from(j)).exp();
                let between = a + 0.25 * width;
                let left = log_mass(a, between, 0.25 * width);
                let right = log_mass(between, a + width, 0.75 * width);
                let largest = left.max(right);
                let sum = largest + ((left - largest).exp() + (right - largest).exp()).ln();
                assert_near(sum, log_mass(a, a + width, width), 5e-13);
            }
        }
    }
}
