//! Elementary functions in single precision, and what compiles loops of them for the processor's widest vectors.
//!
//! Some are there twice: training and standardization round each product and each sum; draws, their densities and
//! splines round the two together ([`fma`]). One kind for both would change the last bits of all results.

use pulp::{Arch, Simd, WithSimd};
use std::f32::consts::LOG2_E;

/// Runs `work` compiled for this processor's vector instructions. What it calls has to be inlined, which is why a
/// closure must be marked `#[inline(always)]`; elsewhere a multiply-add is a slow function call.
#[inline(always)]
pub fn vectorized<T>(work: impl FnMut() -> T) -> T {
    // Not the closure itself: as an `FnOnce` it would be called by a shim that is not inlined.
    Arch::new().dispatch(Work(work))
}

struct Work<F>(F);

impl<T, F: FnMut() -> T> WithSimd for Work<F> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> T {
        let mut work = self.0;
        work()
    }
}

pub const LOG_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// Zero below zero; what is not a number stays so.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Adding and subtracting it rounds to the nearest whole number, which is then in the lowest bits of the sum.
const ROUNDER: f32 = 12_582_912.0;
/// ln 2 in two parts: a whole number times the first is exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Of (e^r - 1 - r) / r² (Cephes, expf).
const EXP: [f32; 6] = [
    1.987_569_1e-4,
    1.398_199_9e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    0.5,
];
/// Of (ln(1 + m) - m + m²/2) / m³ (Cephes, logf).
const LN: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_9e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_8e-1,
    2.000_071_5e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];

/// How [`polynomial`] rounds a product and the sum with it.
const TWICE: bool = false;
const ONCE: bool = true;

/// A polynomial by its coefficients, that of the highest power first.
#[inline(always)]
fn polynomial<const ROUNDED: bool, const N: usize>(coefficients: [f32; N], x: f32) -> f32 {
    let mut p = coefficients[0];
    for &coefficient in &coefficients[1..] {
        p = if ROUNDED == ONCE {
            p.mul_add(x, coefficient)
        } else {
            p * x + coefficient
        };
    }
    p
}

/// m - 1 and e of x = m · 2^e, m from sqrt(1/2) to sqrt(2).
#[inline(always)]
fn split(x: f32) -> (f32, f32) {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let above = x.to_bits().wrapping_sub(SQRT_HALF);
    let m = f32::from_bits((above & 0x007f_ffff).wrapping_add(SQRT_HALF));
    (m - 1.0, (above.cast_signed() >> 23) as f32)
}

/// exp(x) to 2 units in the last place, 0 below -87.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = x.clamp(-87.3, 88.7);
    let shifted = clamped * LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (clamped - n * LN_2[0]) - n * LN_2[1];
    let mantissa = polynomial::<TWICE, _>(EXP, r) * r * r + r + 1.0;
    // 2^n in two factors, because n reaches 128.
    let whole = (shifted.to_bits().wrapping_sub(ROUNDER.to_bits())).cast_signed();
    let half = whole >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) << 23).cast_unsigned());
    let value = mantissa * power(half) * power(whole - half);
    if x > 88.72 {
        f32::INFINITY
    } else if x < -87.3 {
        0.0
    } else {
        value
    }
}

/// tanh(x) to 1e-6 (rational, as Eigen computes it).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -2.760_768_5e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297e-8,
        1.485_722_4e-5,
        6.372_619_3e-4,
        4.893_524_6e-3,
    ];
    const BELOW: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
    let x = x.clamp(-7.905_311, 7.905_311);
    let square = x * x;
    x * polynomial::<TWICE, _>(ABOVE, square) / polynomial::<TWICE, _>(BELOW, square)
}

#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    0.5 + 0.5 * tanh(0.5 * x)
}

/// ln(x) to 2 units in the last place, for normal x.
#[inline(always)]
fn ln(x: f32) -> f32 {
    let (m, e) = split(x);
    let square = m * m;
    let small = polynomial::<TWICE, _>(LN, m) * m * square + LN_2[1] * e - 0.5 * square;
    m + small + LN_2[0] * e
}

/// The identity up to `linear` either way, logarithmic beyond, up to 1e30; what is not finite stays.
#[inline(always)]
pub fn tamed(x: f32, linear: f32) -> f32 {
    let beyond = (x.abs() - linear).clamp(0.0, 1e30);
    let value = (linear + ln(1.0 + beyond)).copysign(x);
    if x.abs() > linear && x.is_finite() {
        value
    } else {
        x
    }
}

/// Products and sums rounded together.
pub mod fma {
    use super::{EXP, LN, LN_2, ONCE, ROUNDER, polynomial, split};
    use std::f32::consts::{LOG2_E, TAU};

    /// e^x to 2 units in the last place, for x from -87 to 88; beyond as there.
    #[inline(always)]
    pub fn exp(x: f32) -> f32 {
        let x = x.clamp(-87.0, 88.0);
        let shifted = x.mul_add(LOG2_E, ROUNDER);
        let n = shifted - ROUNDER;
        let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
        let value = polynomial::<ONCE, _>(EXP, r).mul_add(r * r, r) + 1.0;
        let exponent = shifted.to_bits().wrapping_add(127) << 23;
        value * f32::from_bits(exponent)
    }

    /// ln x to 2 units in the last place, for normal positive x; smaller ones count as the smallest normal one, and
    /// NaN stays NaN.
    #[inline(always)]
    pub fn ln(x: f32) -> f32 {
        let (m, e) = split(x.max(f32::MIN_POSITIVE));
        let square = m * m;
        let tail = (polynomial::<ONCE, _>(LN, m) * m).mul_add(square, e * LN_2[1]);
        let value = square.mul_add(-0.5, m) + tail + e * LN_2[0];
        if x.is_nan() { x } else { value }
    }

    /// tanh x to an absolute error of 1e-7.
    #[inline(always)]
    pub fn tanh(x: f32) -> f32 {
        1.0 - 2.0 / (exp(2.0 * x.clamp(-15.0, 15.0)) + 1.0)
    }

    /// 1 / (1 + e^-x)
    #[inline(always)]
    pub fn sigmoid(x: f32) -> f32 {
        1.0 / (1.0 + exp(-x))
    }

    /// ln(1 + e^x) to an absolute error of 1e-7.
    #[inline(always)]
    pub fn softplus(x: f32) -> f32 {
        x.max(0.0) + ln(1.0 + exp(-x.abs()))
    }

    /// Smoothly within ±`bound`, the identity near zero.
    #[inline(always)]
    pub fn bounded(x: f32, bound: f32) -> f32 {
        bound * tanh(x / bound)
    }

    /// cos and sin of `turns` · 2π, for turns in [-1/2, 1/2].
    #[inline(always)]
    pub fn cos_sin(turns: f32) -> (f32, f32) {
        // Cephes, sinf and cosf, within ±π/4.
        const SIN: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
        const COS: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];
        // To the nearest quarter turn.
        let shifted = turns.mul_add(4.0, ROUNDER);
        let quarter = shifted - ROUNDER;
        let r = (turns - quarter * 0.25) * TAU;
        let square = r * r;
        let sin = (polynomial::<ONCE, _>(SIN, square) * square).mul_add(r, r);
        let cos = (polynomial::<ONCE, _>(COS, square) * square)
            .mul_add(square, square.mul_add(-0.5, 1.0));
        let quadrant = shifted.to_bits() & 3;
        let (c, s) = if quadrant & 1 == 0 {
            (cos, sin)
        } else {
            (sin, cos)
        };
        let c = if quadrant == 1 || quadrant == 2 {
            -c
        } else {
            c
        };
        let s = if quadrant >= 2 { -s } else { s };
        (c, s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error relative to 1 + |f(x)| for x from -40 to 40.
    fn error(ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        (-400_000..=400_000)
            .map(|i| i as f32 * 1e-4)
            .map(|x| {
                let exact = exact(f64::from(x));
                (f64::from(ours(x)) - exact).abs() / (1.0 + exact.abs())
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_what_they_should_be() {
        assert!(error(exp, f64::exp) < 2e-7);
        assert!(error(tanh, f64::tanh) < 1e-6);
        assert!(error(sigmoid, |x| 1.0 / (1.0 + (-x).exp())) < 1e-6);
        let exact = |x: f64| match x.abs() {
            size if size <= 3.0 => x,
            size => x.signum() * (3.0 + (size - 2.0).ln()),
        };
        assert!(error(|x| tamed(x, 3.0), exact) < 3e-7);
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(1e4), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(tanh(f32::INFINITY), tanh(20.0));
        for function in [exp, tanh, sigmoid, relu, |x| tamed(x, 3.0)] {
            assert!(function(f32::NAN).is_nan());
        }
    }

    #[test]
    fn functions_rounded_once_agree_with_those_of_the_standard_library() {
        for i in -8_000..8_000_i32 {
            let x = i as f32 * 0.0107;
            let exact = f64::from(x);
            let near = |found: f32, expected: f64, relative: f64, absolute: f64| {
                let gap = (f64::from(found) - expected).abs();
                assert!(
                    gap <= relative * expected.abs() + absolute,
                    "{x}: {found}, expected {expected}"
                );
            };
            near(fma::exp(x), exact.exp(), 3e-7, 0.0);
            near(fma::tanh(x), exact.tanh(), 0.0, 2e-7);
            near(fma::sigmoid(x), 1.0 / (1.0 + (-exact).exp()), 4e-7, 0.0);
            near(fma::softplus(x), exact.exp().ln_1p(), 3e-7, 1e-7);
            let positive = x.abs() + 1e-6;
            near(fma::ln(positive), f64::from(positive).ln(), 2e-7, 1e-7);
            near(
                fma::ln(fma::exp(x).max(1e-37)),
                f64::from(fma::exp(x).max(1e-37)).ln(),
                2e-7,
                1e-7,
            );
            let turns = i as f32 / 16_000.0;
            let angle = f64::from(turns) * std::f64::consts::TAU;
            near(fma::cos_sin(turns).0, angle.cos(), 0.0, 2e-7);
            near(fma::cos_sin(turns).1, angle.sin(), 0.0, 2e-7);
        }
        assert_eq!(
            (fma::exp(0.0), fma::ln(1.0), fma::tanh(0.0)),
            (1.0, 0.0, 0.0)
        );
        assert!(fma::exp(-200.0) < 1e-37 && fma::exp(200.0).is_finite());
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let (cos, sin) = fma::cos_sin(f32::NAN);
        for found in [
            fma::exp(f32::NAN),
            fma::ln(f32::NAN),
            fma::tanh(f32::NAN),
            fma::sigmoid(f32::NAN),
            fma::softplus(f32::NAN),
            fma::bounded(f32::NAN, 3.0),
            cos,
            sin,
        ] {
            assert!(found.is_nan(), "{found}");
        }
    }
}
