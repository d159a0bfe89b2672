//! Numbers of several rows side by side, and the elementary functions on them, written so that compilers turn
//! them into vector instructions.

use pulp::{Arch, Simd, WithSimd};

/// Rows that are worked on together.
pub const LANES: usize = 32;

/// One number of each of [`LANES`] rows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub struct Lanes(pub [f32; LANES]);

impl Lanes {
    pub const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    pub fn map(&self, function: impl Fn(f32) -> f32) -> Self {
        let mut result = Self::ZERO;
        for (result, &value) in result.0.iter_mut().zip(&self.0) {
            *result = function(value);
        }
        result
    }

    #[inline(always)]
    pub fn with(&self, other: &Self, function: impl Fn(f32, f32) -> f32) -> Self {
        let mut result = Self::ZERO;
        for lane in 0..LANES {
            result.0[lane] = function(self.0[lane], other.0[lane]);
        }
        result
    }
}

/// Runs `work` compiled for the instructions that `arch` stands for. What it calls has to be inlined, which is
/// why a closure must be marked `#[inline(always)]`; elsewhere a fused multiply-add is a slow function call.
#[inline(always)]
pub fn vectorized<T>(arch: Arch, work: impl FnMut() -> T) -> T {
    // Not the closure itself: as an `FnOnce` it would be called by a shim that is not inlined.
    arch.dispatch(Work(work))
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

/// e^x to 2 units in the last place, for x from -87 to 88; beyond as there.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding it leaves the nearest whole number in the lowest bits.
    const ROUNDER: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    // Cephes, expf.
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 5e-1);
    let value = p.mul_add(r * r, r) + 1.0;
    let exponent = shifted.to_bits().wrapping_add(127) << 23;
    value * f32::from_bits(exponent)
}

/// ln x to 2 units in the last place, for normal positive x; smaller ones count as the smallest normal one, and NaN
/// stays NaN.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let bits = x.max(f32::MIN_POSITIVE).to_bits();
    // x = m 2^e with m from sqrt(1/2) to sqrt(2).
    let above = bits.wrapping_sub(SQRT_HALF_BITS);
    let e = (above as i32 >> 23) as f32;
    let m = f32::from_bits((above & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS)) - 1.0;
    // Cephes, logf.
    let p = 7.037_683_6e-2_f32;
    let p = p.mul_add(m, -1.151_461e-1);
    let p = p.mul_add(m, 1.167_699_9e-1);
    let p = p.mul_add(m, -1.242_014_1e-1);
    let p = p.mul_add(m, 1.424_932_3e-1);
    let p = p.mul_add(m, -1.666_805_7e-1);
    let p = p.mul_add(m, 2.000_071_5e-1);
    let p = p.mul_add(m, -2.499_999_4e-1);
    let p = p.mul_add(m, 3.333_333e-1);
    let square = m * m;
    let tail = (p * m).mul_add(square, e * -2.121_944_4e-4);
    let value = square.mul_add(-0.5, m) + tail + e * 0.693_359_4;
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

/// Smoothly within ±`bound`, the identity near zero; as [`bounded`](super::super::affine::bounded) is.
#[inline(always)]
pub fn bounded(x: f32, bound: f32) -> f32 {
    bound * tanh(x / bound)
}

/// cos and sin of `turns` · 2π, for turns in [-1/2, 1/2].
#[inline(always)]
pub fn cos_sin(turns: f32) -> (f32, f32) {
    // To the nearest quarter turn, then Cephes, sinf and cosf, within ±π/4.
    const ROUNDER: f32 = 12_582_912.0;
    let shifted = turns.mul_add(4.0, ROUNDER);
    let quarter = shifted - ROUNDER;
    let r = (turns - quarter * 0.25) * std::f32::consts::TAU;
    let square = r * r;
    let p = -1.951_529_6e-4_f32;
    let p = p.mul_add(square, 8.332_161e-3);
    let p = p.mul_add(square, -1.666_665_5e-1);
    let sin = (p * square).mul_add(r, r);
    let p = 2.443_315_7e-5_f32;
    let p = p.mul_add(square, -1.388_731_6e-3);
    let p = p.mul_add(square, 4.166_664_6e-2);
    let cos = (p * square).mul_add(square, square.mul_add(-0.5, 1.0));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_those_of_the_standard_library() {
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
            near(exp(x), exact.exp(), 3e-7, 0.0);
            near(tanh(x), exact.tanh(), 0.0, 2e-7);
            near(sigmoid(x), 1.0 / (1.0 + (-exact).exp()), 4e-7, 0.0);
            near(softplus(x), exact.exp().ln_1p(), 3e-7, 1e-7);
            let positive = x.abs() + 1e-6;
            near(ln(positive), f64::from(positive).ln(), 2e-7, 1e-7);
            near(
                ln(exp(x).max(1e-37)),
                f64::from(exp(x).max(1e-37)).ln(),
                2e-7,
                1e-7,
            );
            let turns = i as f32 / 16_000.0;
            let angle = f64::from(turns) * std::f64::consts::TAU;
            near(cos_sin(turns).0, angle.cos(), 0.0, 2e-7);
            near(cos_sin(turns).1, angle.sin(), 0.0, 2e-7);
        }
        assert_eq!((exp(0.0), ln(1.0), tanh(0.0)), (1.0, 0.0, 0.0));
        assert!(exp(-200.0) < 1e-37 && exp(200.0).is_finite());
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let (cos, sin) = cos_sin(f32::NAN);
        for found in [
            exp(f32::NAN),
            ln(f32::NAN),
            tanh(f32::NAN),
            sigmoid(f32::NAN),
            softplus(f32::NAN),
            bounded(f32::NAN, 3.0),
            cos,
            sin,
        ] {
            assert!(found.is_nan(), "{found}");
        }
    }
}
