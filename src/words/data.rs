//! What was observed and where it is from, in words.

use crate::numbers;
use sidereal_inference::campaign::{
    Campaign, Column, Format, Noise, Observation, SigmaSource, Source,
};
use sidereal_models::{Abscissae, Catalogue};

/// The observation by name: how much there is, from where, and in what range. `source` is None where the campaign file
/// has the numbers themselves.
pub fn data(
    campaign: &Campaign,
    source: Option<&Source>,
    models: &Catalogue,
) -> Vec<(&'static str, String)> {
    let Some(observation) = &campaign.observation else {
        let kind = "none: a model for any observation is trained";
        return vec![("observation", kind.to_owned())];
    };
    if observation.is_empty() {
        let kind = "in the model, which is a log-likelihood alone";
        return vec![("observation", kind.to_owned())];
    }
    let place = match source {
        Some(source) => {
            let format = match source.format {
                Format::Text => "text",
                Format::Ecsv => "ECSV",
                Format::Fits => "FITS",
            };
            format!("{} ({format})", source.path.display())
        }
        None => "the campaign file".to_owned(),
    };
    let of = |column: Option<&Column>| match column {
        Some(Column { name, unit: None }) => format!("{name}, "),
        Some(Column {
            name,
            unit: Some(unit),
        }) => format!("{name} [{unit}], "),
        None => String::new(),
    };
    let grid = source.and_then(|source| source.grid.as_ref());
    let value = source.map(|source| &source.value);
    let mut lines = vec![
        (
            "observation",
            format!(
                "{} data from {place}",
                numbers::count(observation.len() as u64)
            ),
        ),
        ("  grid", format!("{}{}", of(grid), ends(&observation.grid))),
        (
            "  value",
            format!("{}{}", of(value), ends(&observation.value)),
        ),
    ];
    match &campaign.noise {
        Noise::Simulator => {}
        Noise::Gaussian(noise) => {
            let column = source.and_then(|source| source.sigma.as_ref());
            let told = match (&noise.sigma, column, source) {
                (SigmaSource::Constant(_), None, Some(_)) => ", as noise.gaussian.sigma says",
                (
                    SigmaSource::Constant(_)
                    | SigmaSource::Observed
                    | SigmaSource::Uniform { .. }
                    | SigmaSource::LogUniform { .. }
                    | SigmaSource::Table(_),
                    _,
                    _,
                ) => "",
            };
            let ends = ends(&observation.sigma);
            lines.push(("  sigma", format!("{}{ends}{told}", of(column))));
            let labels = noise.terms.labels.distinct();
            if !labels.is_empty() {
                const MAX_SHOWN: usize = 10;
                let shown = labels.iter().take(MAX_SHOWN).map(String::as_str);
                let more = if labels.len() > MAX_SHOWN {
                    ", ..."
                } else {
                    ""
                };
                let shown: Vec<&str> = shown.collect();
                let column = source.and_then(|source| source.label.as_ref());
                let column = column.map_or(String::new(), |column| format!("{}, ", column.name));
                lines.push(("  label", format!("{column}{}{more}", shown.join(", "))));
            }
        }
    }
    lines.extend(
        data_notes(campaign, source, models)
            .into_iter()
            .map(|note| ("  note", note)),
    );
    lines
}

/// What a user may not have meant.
pub fn data_notes(campaign: &Campaign, source: Option<&Source>, models: &Catalogue) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(Source {
        path, n_dropped, ..
    }) = source
        && *n_dropped > 0
    {
        notes.push(format!(
            "{}: {} with a missing number left out",
            path.display(),
            rows(*n_dropped)
        ));
    }
    let disorder = campaign.observation.as_ref().map(Observation::disorder);
    let declaration = models.declaration_of(&campaign.simulator);
    let abscissae = declaration.map(|declaration| declaration.abscissae());
    let (n_repeated, n_back) = match (abscissae, disorder) {
        (Ok(Abscissae::GridPerSeries(_)), _) | (_, None) => (0, 0),
        (Ok(Abscissae::Grid(_) | Abscissae::None) | Err(_), Some(disorder)) => disorder,
    };
    if n_back > 0 {
        notes.push(format!(
            "the grid is not in order: it turns back {n_back} time{}",
            if n_back == 1 { "" } else { "s" }
        ));
    }
    if n_repeated > 0 {
        notes.push(format!(
            "the grid has {} at a point that was there before",
            rows(n_repeated)
        ));
    }
    notes
}

fn rows(n: usize) -> String {
    format!(
        "{} row{}",
        numbers::count(n as u64),
        if n == 1 { "" } else { "s" }
    )
}

/// `0.1 to 0.3`
fn ends(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = numbers::range(low, high);
    format!("{low} to {high}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::campaign_file;

    fn lines(more: &str, data: &str) -> String {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::write(directory.path().join("data.csv"), data).expect("write");
        let text = format!(
            r#"
            name = "sine"
            parameters = [
                {{ name = "phi0", prior = {{ uniform = {{ low = 0.0, high = 6.28 }} }} }},
                {{ name = "A", prior = {{ uniform = {{ low = -4.0, high = 4.0 }} }} }},
                {{ name = "omega", prior = {{ uniform = {{ low = 6.0, high = 36.0 }} }} }},
            ]
            [simulator]
            builtin = "sine"
            [observation]
            {more}
            "#
        );
        let path = directory.path().join("campaign.toml");
        std::fs::write(&path, text).expect("write");
        let (campaign, source) =
            campaign_file::load_with_source(&path, &Catalogue::default()).expect("a campaign");
        let prefix = format!("{}/", directory.path().display());
        let lines = data_lines(&campaign, source.as_ref());
        lines.replace(&prefix, "")
    }

    fn data_lines(campaign: &Campaign, source: Option<&Source>) -> String {
        let lines = data(campaign, source, &Catalogue::default());
        let shown = lines.iter().map(|(name, text)| format!("{name}: {text}"));
        shown.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn data_are_told_with_columns_units_and_ranges() {
        assert_eq!(
            lines(
                "path = \"data.csv\"\nmissing = \"drop\"",
                "BJD [d],flux [W/m2],flux_err,airmass\n2457588.2838,1e-17,1e-18,1\n2457589.5,3e-17,2e-18,2\n\
                 2457589.5,,2e-18,2\n2457589,4e-17,2e-18,2\n2457589.5,3e-17,2e-18,2\n"
            ),
            "observation: 4 data from data.csv (text)\n\
             \u{20} grid: BJD [d], 2457588.2838 to 2457589.5\n\
             \u{20} value: flux [W/m2], 1e−17 to 4e−17\n\
             \u{20} sigma: flux_err, 1e−18 to 2e−18\n\
             \u{20} note: data.csv: 1 row with a missing number left out\n\
             \u{20} note: the grid is not in order: it turns back 1 time\n\
             \u{20} note: the grid has 1 row at a point that was there before"
        );
        assert_eq!(
            lines(
                "path = \"data.csv\"\n[noise]\ngaussian = { sigma = 0.01 }",
                "time,value,sigma\n1,1,0\n0,2,0\n"
            ),
            "observation: 2 data from data.csv (text)\n\
             \u{20} grid: time, 0 to 1\n\
             \u{20} value: value, 1 to 2\n\
             \u{20} sigma: 0.01 to 0.01, as noise.gaussian.sigma says"
        );
        assert_eq!(
            lines("grid = [0, 1]\nvalue = [1, 2]\nsigma = [0.5, 0.25]", ""),
            "observation: 2 data from the campaign file\n\
             \u{20} grid: 0 to 1\n\
             \u{20} value: 1 to 2\n\
             \u{20} sigma: 0.25 to 0.5"
        );
    }
}
