//! Tables of what was measured, for people.

/// A line: what, the measured value, and what it should be.
pub struct Line {
    what: String,
    measured: String,
    target: String,
}

impl Line {
    /// Without a target.
    pub fn plain(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            measured: measured.into(),
            target: String::new(),
        }
    }

    pub fn at_least(what: impl Into<String>, measured: f64, target: f64) -> Self {
        let verdict = verdict(measured >= target);
        Self {
            what: what.into(),
            measured: number(measured),
            target: format!("at least {}: {verdict}", number(target)),
        }
    }

    pub fn below(what: impl Into<String>, measured: f64, target: f64) -> Self {
        let verdict = verdict(measured < target);
        Self {
            what: what.into(),
            measured: number(measured),
            target: format!("below {}: {verdict}", number(target)),
        }
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

pub fn print(title: &str, lines: &[Line]) {
    let width = |text: fn(&Line) -> &str| {
        let lengths = lines.iter().map(|line| text(line).chars().count());
        lengths.max().unwrap_or(0)
    };
    let (what, measured) = (width(|line| &line.what), width(|line| &line.measured));
    println!("\n{title}");
    for line in lines {
        let text = format!(
            "  {:what$}  {:>measured$}  {}",
            line.what, line.measured, line.target
        );
        println!("{}", text.trim_end());
    }
}

/// Three significant digits or whole, thousands apart.
pub fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        let n_decimals = if value.abs() < 1.0 {
            3
        } else if value.abs() < 10.0 {
            2
        } else {
            1
        };
        let text = format!("{value:.n_decimals$}");
        return match text.trim_end_matches('0').trim_end_matches('.') {
            "" | "-" => "0".to_owned(),
            trimmed => trimmed.to_owned(),
        };
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
