//! Results as text on standard output.

use crate::exit::{CommandError, Ending};
use crate::numbers::{self, Estimate};
use crate::terminal::Terminal;
use crate::words;
use sidereal_inference::account::Summary;
use sidereal_inference::method::Mode;
use sidereal_inference::records::{Directory, ParameterSummary};
use sidereal_inference::weights::WeightDiagnostics;
use std::fmt::Write;
use std::io::Write as _;

/// Writes to standard output.
pub fn print(text: &str) {
    // Nothing is left to do where standard output is closed.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Shows a finished campaign on standard output, loudly where it is not to be trusted.
pub fn show(
    summary: &Summary,
    directory: &Directory,
    as_json: bool,
    terminal: &Terminal,
) -> Result<Ending, CommandError> {
    if as_json {
        let json = serde_json::to_string_pretty(summary).map_err(CommandError::failed)?;
        print(&format!("{json}\n"));
    } else {
        let mut text = campaign(summary);
        let report = directory.join("report.html").display().to_string();
        line(&mut text, "report", &report);
        print(&text);
    }
    if summary.warnings.is_empty() {
        if let Some(poor) = summary.fit.as_ref().and_then(words::poor_fit) {
            terminal.note(&poor);
        }
        return Ok(Ending::Done);
    }
    terminal.not_trusted(&summary.warnings);
    Ok(Ending::NotTrusted)
}

/// What a finished campaign found, as people read it.
pub fn campaign(summary: &Summary) -> String {
    let mut text = String::new();
    if !summary.parameters.is_empty() {
        text.push_str(&posterior(&summary.parameters, &summary.modes));
        text.push('\n');
    }
    if let Some(combined) = &summary.combined {
        text.push_str(&weights(combined));
        if let Some(fresh) = &summary.fresh {
            line(&mut text, "final proposal", &diagnostics(fresh));
        }
        if let Some(fit) = &summary.fit {
            line(&mut text, "fit", &words::fit_in_short(fit));
        }
        if let Some(missing_mass) = &summary.missing_mass {
            line(&mut text, "lost modes", &words::lost_modes(missing_mass));
        }
    }
    line(&mut text, "simulations", &words::simulations(summary));
    if let Some(reason) = &summary.stop_reason {
        line(&mut text, "stopped", &words::stop_reason(reason));
    }
    line(&mut text, "time", &numbers::seconds(summary.timing.total_s));
    for reason in &summary.not_reproducible {
        line(&mut text, "not reproducible", reason);
    }
    text
}

/// n_eff and evidence, one a line.
pub fn weights(diagnostics_of: &WeightDiagnostics) -> String {
    let mut text = String::new();
    line(&mut text, "n_eff", &diagnostics(diagnostics_of));
    let evidence = diagnostics_of
        .evidence
        .as_ref()
        .map_or("none, no weight is positive".to_owned(), words::evidence);
    line(&mut text, "log evidence", &evidence);
    text
}

/// Parameters with their quantiles, mode by mode where there are several: medians of all of them would lie where nothing is.
pub fn posterior(parameters: &[ParameterSummary], modes: &[Mode]) -> String {
    if modes.len() < 2 {
        return table(parameters);
    }
    let of_mode = |(position, mode): (usize, &Mode)| {
        format!(
            "{}\n{}",
            words::mode(position, modes.len(), mode),
            table(&mode.parameters)
        )
    };
    let tables: Vec<String> = modes.iter().enumerate().map(of_mode).collect();
    tables.join("\n")
}

/// Parameters with their quantiles as an aligned table.
fn table(parameters: &[ParameterSummary]) -> String {
    let mut rows = vec![["parameter", "median", "16 %", "84 %"].map(str::to_owned)];
    for found in parameters {
        let Estimate { value, .. } =
            numbers::estimate(found.median, found.quantile_16, found.quantile_84);
        let low = numbers::like(found.quantile_16, &value);
        let high = numbers::like(found.quantile_84, &value);
        rows.push([found.name.clone(), value, low, high]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [name, median, low, high] in &rows {
        let [w0, w1, w2, w3] = widths;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<w0$}  {median:>w1$}  {low:>w2$}  {high:>w3$}");
    }
    text
}

pub fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<18} {value}");
}

fn diagnostics(diagnostics: &WeightDiagnostics) -> String {
    format!(
        "{} of {} simulations ({}), k-hat {}",
        numbers::n_eff(diagnostics.n_eff),
        numbers::count(diagnostics.n),
        numbers::percent(diagnostics.efficiency),
        words::judged_pareto_k(diagnostics.pareto_k)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_aligned() {
        let parameter = |name: &str, median, quantile_16, quantile_84| ParameterSummary {
            name: name.to_owned(),
            mean: 0.0,
            sd: 0.0,
            median,
            quantile_16,
            quantile_84,
        };
        let of_one = |mass| Mode {
            mass,
            error: 0.005,
            parameters: vec![parameter("A", 0.38, 0.31, 0.47)],
        };
        let found = posterior(&[], &[of_one(0.612), of_one(0.388)]);
        let expected = "mode 1 of 2, 61.2 ± 0.5 % of the posterior\n\
                        parameter  median   16 %   84 %\n\
                        A           0.380  0.310  0.470\n\n\
                        mode 2 of 2, 38.8 ± 0.5 % of the posterior\n\
                        parameter  median   16 %   84 %\n\
                        A           0.380  0.310  0.470\n";
        assert_eq!(found, expected);
        let table = table(&[
            parameter("A", -0.344, -0.389, 0.389),
            parameter("m_base", 17.912_28, 17.911_49, 17.913_09),
        ]);
        let expected = "parameter    median      16 %      84 %\n\
                        A            −0.344    −0.389     0.389\n\
                        m_base     17.91228  17.91149  17.91309\n";
        assert_eq!(table, expected);
    }
}
