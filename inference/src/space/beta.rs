//! The beta distribution: incomplete beta function and its inverse, in log space and to both tails.

use crate::base::normal;

/// A point of the unit interval as its distance from the nearer end, so that neither end rounds it away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum UnitPoint {
    FromZero(f64),
    FromOne(f64),
}

/// log of the beta function B(a, b).
pub(crate) fn log_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// log I_x(a, b) and log (1 - I_x(a, b)), the smaller of the two relatively exact.
pub(crate) fn log_tails(a: f64, b: f64, point: UnitPoint) -> (f64, f64) {
    match point {
        UnitPoint::FromZero(x) => log_tails_at(a, b, x, x.ln()),
        UnitPoint::FromOne(y) => {
            let (lower, upper) = log_tails_at(b, a, y, y.ln());
            (upper, lower)
        }
    }
}

/// The point below which Beta(a, b) has mass Φ(z).
pub(crate) fn quantile(a: f64, b: f64, z: f64) -> UnitPoint {
    let half = log_tails_at(a, b, 0.5, 0.5f64.ln());
    let below_half = if z <= 0.0 {
        normal::log_cdf(z) <= half.0
    } else {
        normal::log_cdf(-z) >= half.1
    };
    if below_half {
        UnitPoint::FromZero(quantile_below_half(a, b, z))
    } else {
        UnitPoint::FromOne(quantile_below_half(b, a, -z))
    }
}

/// The x <= 1/2 with I_x(a, b) = Φ(z): bracketed Newton steps in ln x.
fn quantile_below_half(a: f64, b: f64, z: f64) -> f64 {
    let (log_lower, log_upper) = (normal::log_cdf(z), normal::log_cdf(-z));
    let log_norm = log_beta(a, b);
    // As if the density were x^(a-1) / B(a, b) all the way.
    let (mut low, mut high) = (f64::NEG_INFINITY, 0.5f64.ln());
    let mut log_x = ((log_lower + a.ln() + log_norm) / a).min(high);
    for _ in 0..200 {
        let x = log_x.exp();
        let (found_lower, found_upper) = log_tails_at(a, b, x, log_x);
        let log_slope = a * log_x + (b - 1.0) * (-x).ln_1p() - log_norm;
        // The smaller tail tells more; both are monotone in x.
        let (miss, slope) = if log_lower < log_upper {
            (found_lower - log_lower, (log_slope - found_lower).exp())
        } else {
            (log_upper - found_upper, (log_slope - found_upper).exp())
        };
        if miss > 0.0 {
            high = log_x;
        } else {
            low = log_x;
        }
        let mut next = log_x - miss / slope;
        if !(next >= low && next <= high) {
            next = if low.is_finite() {
                0.5 * (low + high)
            } else {
                2.0 * high
            };
        }
        let step = (next - log_x).abs();
        log_x = next;
        if step <= 4e-16 * log_x.abs().max(1.0) {
            break;
        }
    }
    log_x.exp()
}

/// As [`log_tails`], for x that may underflow where its logarithm does not.
fn log_tails_at(a: f64, b: f64, x: f64, log_x: f64) -> (f64, f64) {
    let log_front = a * log_x + b * (-x).ln_1p() - log_beta(a, b);
    if x < (a + 1.0) / (a + b + 2.0) {
        let log_lower = (log_front + continued_fraction(a, b, x).ln() - a.ln()).min(0.0);
        (log_lower, log_1m_exp(log_lower))
    } else {
        let log_upper = (log_front + continued_fraction(b, a, 1.0 - x).ln() - b.ln()).min(0.0);
        (log_1m_exp(log_upper), log_upper)
    }
}

/// ln(1 - exp(u)) for u <= 0.
fn log_1m_exp(u: f64) -> f64 {
    if u > -std::f64::consts::LN_2 {
        (-u.exp_m1()).ln()
    } else {
        (-u.exp()).ln_1p()
    }
}

/// The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    // Converges within about 5 sqrt(max(a, b)) terms; 20,000 are enough for 1e6.
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        fraction *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        let factor = c * d;
        fraction *= factor;
        if (factor - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}
