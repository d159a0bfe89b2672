//! Elementwise loops, compiled for the widest vectors that the processor has.

use pulp::Arch;

/// Runs `body` compiled for this processor's vector instructions.
#[inline(always)]
pub fn vectorized<R>(body: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(body)
}

/// Zero below zero; what is not a number stays so, for the training to notice.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// exp(x) to 2 units in the last place, 0 below -87.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that x - n ln 2 is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting this rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.7);
    let shifted = clamped * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let mantissa = p * r * r + r + 1.0;
    // 2^n in two factors, because n reaches 128.
    let whole = (shifted.to_bits().wrapping_sub(ROUND.to_bits())).cast_signed();
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
    let x = x.clamp(-7.905_311, 7.905_311);
    let square = x * x;
    let mut p = -2.760_768_5e-16;
    p = p * square + 2.000_188e-13;
    p = p * square - 8.604_672e-11;
    p = p * square + 5.122_297e-8;
    p = p * square + 1.485_722_4e-5;
    p = p * square + 6.372_619_3e-4;
    p = p * square + 4.893_524_6e-3;
    let mut q = 1.198_258_4e-6;
    q = q * square + 1.185_347_1e-4;
    q = q * square + 2.268_434_6e-3;
    q = q * square + 4.893_525e-3;
    x * p / q
}

#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    0.5 + 0.5 * tanh(0.5 * x)
}

/// ln(x) to 2 units in the last place, for normal x.
#[inline(always)]
fn ln(x: f32) -> f32 {
    // x = m · 2^e with m from sqrt(1/2) to sqrt(2).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let offset = x.to_bits().wrapping_sub(SQRT_HALF);
    let e = (offset.cast_signed() >> 23) as f32;
    let m = f32::from_bits((offset & 0x007f_ffff).wrapping_add(SQRT_HALF)) - 1.0;
    let square = m * m;
    let mut p = 7.037_683_6e-2;
    p = p * m - 1.151_461e-1;
    p = p * m + 1.167_699_9e-1;
    p = p * m - 1.242_014_1e-1;
    p = p * m + 1.424_932_3e-1;
    p = p * m - 1.666_805_8e-1;
    p = p * m + 2.000_071_5e-1;
    p = p * m - 2.499_999_4e-1;
    p = p * m + 3.333_333e-1;
    let small = p * m * square - 2.121_944_4e-4 * e - 0.5 * square;
    m + small + 0.693_359_4 * e
}

/// asinh(x) to 1e-7 near zero and 2e-7 of its value far out, up to 1e18; what is not finite stays.
#[inline(always)]
pub fn asinh(x: f32) -> f32 {
    let size = x.abs().min(1e18);
    let value = ln(size + (size * size + 1.0).sqrt()).copysign(x);
    if x.is_finite() { value } else { x }
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

/// Each row plus `bias`.
pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (value, bias) in row.iter_mut().zip(bias) {
                    *value += bias;
                }
            }
        },
    );
}

/// relu of each row plus `bias`.
pub fn add_bias_relu(rows: &mut [f32], bias: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (value, bias) in row.iter_mut().zip(bias) {
                    *value = relu(*value + bias);
                }
            }
        },
    );
}

/// Sum of all rows, written over `sum`.
pub fn column_sums(rows: &[f32], sum: &mut [f32]) {
    sum.fill(0.0);
    vectorized(
        #[inline(always)]
        || {
            for row in rows.chunks_exact(sum.len()) {
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        },
    );
}

/// Zero where `output`, that of a relu, is zero.
pub fn mask_by_relu(gradient: &mut [f32], output: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (gradient, &output) in gradient.iter_mut().zip(output) {
                *gradient = if output > 0.0 { *gradient } else { 0.0 };
            }
        },
    );
}

/// out = relu(values)
pub fn relu_into(out: &mut [f32], values: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (out, &value) in out.iter_mut().zip(values) {
                *out = relu(value);
            }
        },
    );
}

/// sum += values
pub fn add(sum: &mut [f32], values: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += value;
            }
        },
    );
}

/// out = a · b, elementwise
pub fn multiply_into(out: &mut [f32], a: &[f32], b: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = a * b;
            }
        },
    );
}

/// values = values · factors, elementwise
pub fn multiply(values: &mut [f32], factors: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (value, factor) in values.iter_mut().zip(factors) {
                *value *= factor;
            }
        },
    );
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
        assert!(error(asinh, f64::asinh) < 3e-7);
        let exact = |x: f64| match x.abs() {
            size if size <= 3.0 => x,
            size => x.signum() * (3.0 + (size - 2.0).ln()),
        };
        assert!(error(|x| tamed(x, 3.0), exact) < 3e-7);
        assert!((f64::from(asinh(1e17)) - 1e17f64.asinh()).abs() < 1e-5);
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(1e4), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(tanh(f32::INFINITY), tanh(20.0));
        assert_eq!(asinh(f32::INFINITY), f32::INFINITY);
        for function in [exp, tanh, sigmoid, asinh, relu, |x| tamed(x, 3.0)] {
            assert!(function(f32::NAN).is_nan());
        }
    }
}
