//! Numbers as people read them: as many digits as their errors allow, seconds, rates, shares.

use crate::plots::ticks::signed;

/// A median with the distances to the 16 % and 84 % quantiles, as text of equal decimals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    pub value: String,
    pub above: String,
    pub below: String,
}

/// Rounded to two digits of the smaller distance; numbers that are all but zero, or huge, to a common power of ten.
pub fn estimate(median: f64, quantile_16: f64, quantile_84: f64) -> Estimate {
    let (above, below) = (quantile_84 - median, median - quantile_16);
    let smallest = [above, below]
        .into_iter()
        .filter(|distance| *distance > 0.0)
        .fold(f64::INFINITY, f64::min);
    let largest = [median, above, below]
        .into_iter()
        .fold(0.0_f64, |largest, number| largest.max(number.abs()));
    let power = if is_readable(largest) {
        0
    } else {
        largest.log10().floor() as i32
    };
    let decimals = if smallest.is_finite() {
        (1 - smallest.log10().floor() as i32 + power).clamp(0, 12) as usize
    } else {
        4
    };
    let show = |number: f64| scaled(number, decimals, power);
    Estimate {
        value: show(median),
        above: show(above),
        below: show(below),
    }
}

/// Rounded to as many decimals as `pattern` shows, of the same power of ten.
pub fn like(number: f64, pattern: &str) -> String {
    let (mantissa, power) = pattern.split_once('e').unwrap_or((pattern, "0"));
    let decimals = mantissa
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    let power = power.replace('−', "-").parse().unwrap_or(0);
    scaled(number, decimals, power)
}

/// `1.02e−17`: so many decimals of a number in units of a power of ten.
fn scaled(number: f64, decimals: usize, power: i32) -> String {
    if power == 0 {
        return signed(&format!("{number:.decimals$}"));
    }
    // Halves of a subnormal number's power would be zero.
    let mantissa = number / 10f64.powi(power / 2) / 10f64.powi(power - power / 2);
    let power = power.to_string().replace('-', "−");
    format!("{}e{power}", signed(&format!("{mantissa:.decimals$}")))
}

/// Whether a number is read more easily without a power of ten.
fn is_readable(number: f64) -> bool {
    number == 0.0 || !number.is_finite() || (1e-4..1e15).contains(&number.abs())
}

/// A share as per cent, with one decimal at most: `2.5 %`.
pub fn short_percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// With three significant digits, at most, and none after the point from 100 on: `2177`, `31.4`, `0.0512`.
pub fn short(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let exponent = number.abs().log10().floor() as i32;
    if exponent < -4 {
        return signed(&format!("{number:.2e}"));
    }
    let decimals = (2 - exponent).clamp(0, 6) as usize;
    signed(&format!("{number:.decimals$}"))
}

/// As written by a person: all digits that it has, up to the fifteen that a float can hold.
pub fn plain(number: f64) -> String {
    significant(number, 15)
}

/// A place on a grid, with digits enough for a Julian date to a minute.
pub fn place(number: f64) -> String {
    significant(number, 10)
}

/// The ends of a range with six digits of what is between them, and six of their own at least.
pub fn range(low: f64, high: f64) -> (String, String) {
    let decade = |number: f64| number.abs().log10().floor();
    let spread = high - low;
    let show = |end: f64| {
        let more = decade(end) - decade(spread);
        let digits = if spread > 0.0 && more.is_finite() {
            (6.0 + more).clamp(6.0, 15.0) as usize
        } else {
            15
        };
        significant(end, digits)
    };
    (show(low), show(high))
}

/// At most so many significant digits, no zeros at the end.
fn significant(number: f64, digits: usize) -> String {
    let decimals = digits.saturating_sub(1);
    let rounded: f64 = format!("{number:.decimals$e}").parse().unwrap_or(number);
    signed(&if is_readable(rounded) {
        rounded.to_string()
    } else {
        format!("{rounded:e}")
    })
}

/// A share as per cent: `20.8 %`.
pub fn percent(share: f64) -> String {
    let number = share * 100.0;
    if number == 0.0 {
        "0 %".to_owned()
    } else if number.abs() < 0.01 {
        format!("{number:.1e} %")
    } else {
        let decimals = if number.abs() < 1.0 { 2 } else { 1 };
        format!("{number:.decimals$} %")
    }
}

/// Whole numbers in groups of three: `12,800`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// An effective sample size: `6,593`, `31.4`.
pub fn n_eff(n_eff: f64) -> String {
    match n_eff >= 99.95 {
        true => count(n_eff.round() as u64),
        false => short(n_eff),
    }
}

/// A range of times, outwards: `20 to 40 s`, `50 s to 3 min`, `at most 4 s`.
pub fn seconds_range(low: f64, high: f64) -> String {
    let unit = |seconds: f64| {
        if seconds < 99.5 {
            (1.0, "s")
        } else if seconds < 5970.0 {
            (60.0, "min")
        } else {
            (3600.0, "h")
        }
    };
    let (length, name) = unit(high);
    let high = (high / length).ceil().max(1.0);
    if low < 1.0 {
        return format!("at most {high} {name}");
    }
    let (length, low_name) = unit(low);
    let low = (low / length).floor();
    match (low_name == name, low == high) {
        (true, true) => format!("about {high} {name}"),
        (true, false) => format!("{low} to {high} {name}"),
        (false, _) => format!("{low} {low_name} to {high} {name}"),
    }
}

/// A span of time in its two largest units: `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_have_as_many_digits_as_their_errors_allow() {
        let estimate = |median, low, high| {
            let Estimate {
                value,
                above,
                below,
            } = estimate(median, low, high);
            format!("{value} +{above} -{below}")
        };
        assert_eq!(estimate(36.7945, 36.6112, 36.9778), "36.79 +0.18 -0.18");
        assert_eq!(
            estimate(5379.5712, 5379.5701, 5379.5725),
            "5379.5712 +0.0013 -0.0011"
        );
        assert_eq!(estimate(-0.0001, -0.4, 0.4), "0.00 +0.40 -0.40");
        assert_eq!(
            estimate(-123_456.0, -124_000.0, -122_000.0),
            "−123456 +1456 -544"
        );
        assert_eq!(estimate(1.5, 1.5, 1.5), "1.5000 +0.0000 -0.0000");
        assert_eq!(
            estimate(1.234e-17, 1.21e-17, 1.26e-17),
            "1.234e−17 +0.026e−17 -0.024e−17"
        );
        assert_eq!(estimate(-3e20, -5e20, -1e20), "−3.0e20 +2.0e20 -2.0e20");
        assert_eq!(like(1.19961e-17, "1.234e−17"), "1.200e−17");
        assert_eq!(like(-0.123456, "1.23"), "−0.12");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [2176.6, 31.42, 0.051_23, -1.0, 0.0, 3.2e-7].map(short),
            ["2177", "31.4", "0.0512", "−1.00", "0", "3.20e−7"]
        );
        assert_eq!(
            [std::f64::consts::TAU, -4.0, 0.0, 12_345_678.0, 100.0, 0.001].map(plain),
            ["6.28318530717959", "−4", "0", "12345678", "100", "0.001"]
        );
        assert_eq!(
            [2_457_588.283_8, 1e-17, -2.5e300, 0.1 + 0.2].map(plain),
            ["2457588.2838", "1e−17", "−2.5e300", "0.3"]
        );
        let ends = |low, high| {
            let (low, high) = range(low, high);
            format!("{low} to {high}")
        };
        assert_eq!(
            ends(2_457_588.283_812_3, 2_457_590.1),
            "2457588.28381 to 2457590.1"
        );
        assert_eq!(ends(0.0, std::f64::consts::TAU), "0 to 6.28319");
        assert_eq!(ends(1.2345e-17, 3e-16), "1.2345e−17 to 3e−16");
        assert_eq!(ends(0.001_234_56, 1000.0), "0.00123456 to 1000");
        assert_eq!(ends(0.1, 0.1), "0.1 to 0.1");
        assert_eq!(
            [0.2081, 0.00512, 0.0, 1.0, 2e-6].map(percent),
            ["20.8 %", "0.51 %", "0 %", "100.0 %", "2.0e-4 %"]
        );
        assert_eq!(
            [0, 999, 1000, 12_800, 1_234_567].map(count),
            ["0", "999", "1,000", "12,800", "1,234,567"]
        );
        assert_eq!(
            [0.42, 9.96, 59.7, 185.0, 7800.0].map(seconds),
            ["0.4 s", "10 s", "1 min 00 s", "3 min 05 s", "2 h 10 min"]
        );
        assert_eq!([6593.4, 99.97, 31.42].map(n_eff), ["6,593", "100", "31.4"]);
        assert_eq!(
            [
                (20.7, 39.2),
                (50.9, 130.0),
                (0.4, 3.2),
                (3.0, 3.0),
                (200.0, 7000.0)
            ]
            .map(|(low, high)| seconds_range(low, high)),
            [
                "20 to 40 s",
                "50 s to 3 min",
                "at most 4 s",
                "about 3 s",
                "3 min to 2 h"
            ]
        );
    }
}
