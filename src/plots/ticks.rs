//! Axes: round tick positions with few digits, a common offset and power of ten in the axis label.

/// Longest tick label before the part that all labels share goes into the axis label.
const MAX_LABEL_DIGITS: i32 = 4;

/// A linear axis from `low` to `high` with its ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub low: f64,
    pub high: f64,
    /// Position and label, rising.
    pub ticks: Vec<(f64, String)>,
    /// What the labels leave out: value = offset + label · 10^exponent.
    offset: f64,
    offset_text: String,
    exponent: i32,
}

impl Axis {
    /// At most `max_ticks` ticks between `low` and `high`, both finite, `low < high`.
    pub fn new(low: f64, high: f64, max_ticks: usize) -> Self {
        let span = high - low;
        let (step_exponent, positions) = round_positions(low, high, max_ticks);

        let largest = low.abs().max(high.abs());
        let whole_digits = largest.log10().floor() as i32 + 1;
        let shares_digits = whole_digits.max(1) + (-step_exponent).max(0) > MAX_LABEL_DIGITS
            && span < 0.2 * largest
            && low.signum() == high.signum();
        let (offset, offset_text) = if shares_digits {
            common_offset(low, high)
        } else {
            (0.0, String::new())
        };

        let largest = (low - offset).abs().max((high - offset).abs());
        let exponent = match largest.log10().floor() as i32 {
            decade if (-2..=4).contains(&decade) => 0,
            decade => decade.div_euclid(3) * 3,
        };
        let decimals = (exponent - step_exponent).max(0) as usize;
        let scale = 10f64.powi(exponent);
        let label = |&tick: &f64| {
            (
                tick,
                signed(&format!("{:.decimals$}", (tick - offset) / scale)),
            )
        };
        Self {
            low,
            high,
            ticks: positions.iter().map(label).collect(),
            offset,
            offset_text,
            exponent,
        }
    }

    /// The axis label: `t0 − 5379.5`, `rp / 10⁻³`, `(t0 − 5379.5) / 10⁻³`.
    pub fn label(&self, name: &str) -> String {
        let shifted = match self.offset {
            0.0 => name.to_owned(),
            offset if offset > 0.0 => format!("{name} − {}", self.offset_text),
            _ => format!("{name} + {}", self.offset_text),
        };
        match (self.exponent, self.offset == 0.0) {
            (0, _) => shifted,
            (exponent, true) => format!("{shifted} / 10{}", superscript(exponent)),
            (exponent, false) => format!("({shifted}) / 10{}", superscript(exponent)),
        }
    }

    /// Where `value` lies, 0 at `low` and 1 at `high`.
    pub fn place(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// A decade axis: exponents of the powers of ten between `low` and `high`, both positive.
pub fn decades(low: f64, high: f64) -> Vec<i32> {
    let (first, last) = (low.log10().ceil() as i32, high.log10().floor() as i32);
    (first..=last).collect()
}

/// A power of ten: `0.01`, `1`, `1000`, `10⁻⁵`.
pub fn power_of_ten(exponent: i32) -> String {
    match exponent {
        -3..0 => format!(
            "{:.*}",
            exponent.unsigned_abs() as usize,
            10f64.powi(exponent)
        ),
        0..=4 => 10_u32.pow(exponent.unsigned_abs()).to_string(),
        _ => format!("10{}", superscript(exponent)),
    }
}

/// With a real minus sign.
pub fn signed(number: &str) -> String {
    let zero = number
        .trim_start_matches('-')
        .chars()
        .all(|c| c == '0' || c == '.');
    if zero {
        number.trim_start_matches('-').to_owned()
    } else {
        number.replace('-', "−")
    }
}

/// Multiples of the least of 1, 2, 2.5 or 5 times a power of ten that has at most `max_ticks` of them
/// inside, and the exponent of their last digit.
fn round_positions(low: f64, high: f64, max_ticks: usize) -> (i32, Vec<f64>) {
    let margin = (high - low) * 0.02;
    let finest = ((high - low) / (max_ticks.max(1) as f64 + 1.0))
        .log10()
        .floor() as i32;
    for exponent in finest..finest + 4 {
        for (factor, n_more_digits) in [(1.0, 0), (2.0, 0), (2.5, 1), (5.0, 0)] {
            let step = factor * 10f64.powi(exponent);
            let first = ((low + margin) / step).ceil();
            let last = ((high - margin) / step).floor();
            let n_ticks = last - first + 1.0;
            if n_ticks <= max_ticks as f64 {
                let positions = (0..n_ticks.max(0.0) as usize)
                    .map(|i| (first + i as f64) * step)
                    .collect();
                return (exponent - n_more_digits, positions);
            }
        }
    }
    (finest, Vec::new())
}

/// A round number at the end of [low, high] that is nearer to zero, and its absolute value as text.
fn common_offset(low: f64, high: f64) -> (f64, String) {
    let exponent = (high - low).log10().ceil() as i32;
    let unit = 10f64.powi(exponent);
    let decimals = (-exponent).max(0) as usize;
    let offset = if low > 0.0 {
        (low / unit).floor() * unit
    } else {
        (high / unit).ceil() * unit
    };
    (offset, format!("{:.decimals$}", offset.abs()))
}

fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let sign = if exponent < 0 { "⁻" } else { "" };
    let digits = exponent.unsigned_abs().to_string();
    let raised = digits
        .chars()
        .filter_map(|digit| digit.to_digit(10))
        .map(|digit| DIGITS[digit as usize]);
    sign.chars().chain(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_short() {
        let plain = Axis::new(0.0, std::f64::consts::TAU, 4);
        assert_eq!(labels(&plain), ["2", "4", "6"]);
        assert_eq!(plain.label("phi0"), "phi0");

        let negative = Axis::new(-0.9, 0.9, 4);
        assert_eq!(labels(&negative), ["−0.5", "0.0", "0.5"]);

        let shared_digits = Axis::new(5379.546, 5379.594, 4);
        assert_eq!(labels(&shared_digits), ["0.06", "0.08"]);
        assert_eq!(shared_digits.label("t0"), "t0 − 5379.5");

        let negative_shared_digits = Axis::new(-5379.594, -5379.546, 3);
        assert_eq!(labels(&negative_shared_digits), ["−0.08", "−0.06"]);
        assert_eq!(negative_shared_digits.label("t0"), "t0 + 5379.5");

        let tiny = Axis::new(0.0011, 0.0049, 4);
        assert_eq!(labels(&tiny), ["2", "3", "4"]);
        assert_eq!(tiny.label("rp"), "rp / 10⁻³");

        let tiny_shared_digits = Axis::new(1.000_001_2, 1.000_004_8, 4);
        assert_eq!(tiny_shared_digits.label("t"), "(t − 1.00000) / 10⁻⁶");
        assert_eq!(labels(&tiny_shared_digits), ["2", "3", "4"]);

        let huge = Axis::new(-3.0e7, 3.0e7, 3);
        assert_eq!(labels(&huge), ["−20", "0", "20"]);
        assert_eq!(huge.label("distance"), "distance / 10⁶");
    }

    #[test]
    fn powers_of_ten_are_short() {
        let expected = [
            "10⁻⁴", "0.001", "0.01", "0.1", "1", "10", "100", "1000", "10000", "10⁵",
        ];
        assert_eq!(
            decades(9e-5, 2e5)
                .into_iter()
                .map(power_of_ten)
                .collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn ticks_stay_inside_and_positions_match_labels() {
        for (low, high) in [
            (0.1234, 0.1239),
            (17.91, 18.03),
            (-1e-7, 2e-7),
            (99.0, 1001.0),
        ] {
            for max_ticks in 1..6 {
                let axis = Axis::new(low, high, max_ticks);
                assert!(axis.ticks.len() <= max_ticks, "{low} {high} {max_ticks}");
                for (position, label) in &axis.ticks {
                    assert!((low..=high).contains(position));
                    let shown: f64 = label.replace('−', "-").parse().expect("a number");
                    let value = axis.offset + shown * 10f64.powi(axis.exponent);
                    assert!(
                        (value - position).abs() < (high - low) * 1e-3,
                        "{value} {position}"
                    );
                }
            }
        }
    }
}
