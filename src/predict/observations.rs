//! Observations one by one: a directory with draws, numbers and pictures of each.

use super::targets::Target;
use crate::campaign_directory::{POSTERIOR_FILE, SUMMARY_FILE};
use crate::exit::{CommandError, Ending};
use crate::plots::{PlotError, corner, fit};
use crate::report::{CORNER_FILE, CORNER_PDF_FILE, FIT_PICTURE};
use crate::services::create_directory;
use crate::terminal::Terminal;
use crate::{numbers, results, words};
use sidereal_inference::base::files;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::{FIT_FILE, Samples};
use sidereal_inference::weights::WeightDiagnostics;
use sidereal_predict::{Predicted, Prediction};

/// Where predictions are written.
pub struct Results<'a> {
    pub campaign: &'a Campaign,
    /// What the data lie on, for pictures.
    pub grid_name: &'static str,
    pub terminal: &'a Terminal,
}

impl Results<'_> {
    pub fn write(&self, target: &Target, predicted: &Predicted) -> Result<(), CommandError> {
        let Predicted {
            prediction,
            posterior,
            band,
        } = predicted;
        let (campaign, terminal) = (self.campaign, self.terminal);
        let directory = &target.directory;
        let storage = create_directory(&directory.display().to_string())?;
        posterior
            .store(&campaign.space, &storage, POSTERIOR_FILE)
            .map_err(CommandError::failed)?;
        Samples::of(&campaign.space, posterior, prediction.seed)
            .store(&storage)
            .map_err(CommandError::failed)?;
        let mut json = serde_json::to_string_pretty(prediction).map_err(CommandError::failed)?;
        json.push('\n');
        files::write_atomically(&directory.join(SUMMARY_FILE), json.as_bytes())
            .map_err(CommandError::failed)?;
        let picture = |name: &str, drawn: Result<Vec<u8>, PlotError>| match drawn {
            Ok(png) => {
                files::write_atomically(&directory.join(name), &png).map_err(CommandError::failed)
            }
            Err(error) => {
                terminal.note(&format!(
                    "{}: {name} is left out: {error}",
                    target.path.display()
                ));
                Ok(())
            }
        };
        if let Some(band) = band {
            band.store(&storage, FIT_FILE)
                .map_err(CommandError::failed)?;
            picture(FIT_PICTURE, fit::draw(band, self.grid_name))?;
        }
        let corner = corner::draw(
            posterior,
            &prediction.parameters,
            &prediction.modes,
            campaign,
        );
        if let Ok(corner) = &corner {
            picture(CORNER_PDF_FILE, Ok(corner.pdf()))?;
        }
        picture(CORNER_FILE, corner.and_then(|corner| corner.png()))
    }
}

/// `as_json`: the summaries as a list.
pub fn show(
    as_json: bool,
    targets: &[Target],
    predictions: &[Prediction],
    terminal: &Terminal,
) -> Result<Ending, CommandError> {
    if as_json {
        let json = serde_json::to_string_pretty(predictions).map_err(CommandError::failed)?;
        results::print(&format!("{json}\n"));
    } else {
        results::print(&text(targets, predictions));
    }
    let warnings: Vec<String> = predictions
        .iter()
        .filter(|prediction| !prediction.warnings.is_empty())
        .map(|prediction| {
            format!(
                "{}: {}",
                prediction.observation,
                prediction.warnings.join("; ")
            )
        })
        .collect();
    for prediction in predictions
        .iter()
        .filter(|prediction| prediction.warnings.is_empty())
    {
        if let Some(poor) = words::poor_fit(&prediction.fit) {
            terminal.note(&format!("{}: {poor}", prediction.observation));
        }
    }
    if warnings.is_empty() {
        return Ok(Ending::Done);
    }
    terminal.not_trusted(&warnings);
    Ok(Ending::NotTrusted)
}

/// One prediction in full, several as a line each.
fn text(targets: &[Target], predictions: &[Prediction]) -> String {
    if let ([target], [prediction]) = (targets, predictions) {
        let mut text = String::new();
        if !prediction.parameters.is_empty() {
            text.push_str(&results::posterior(
                &prediction.parameters,
                &prediction.modes,
            ));
            text.push('\n');
        }
        text.push_str(&results::weights(&prediction.weights));
        results::line(&mut text, "fit", &words::fit_in_short(&prediction.fit));
        results::line(
            &mut text,
            "results",
            &target.directory.display().to_string(),
        );
        return text;
    }
    let widest = predictions
        .iter()
        .map(|prediction| prediction.observation.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = format!(
        "{:<widest$}  {:>7}  {:>10}  {:>5}  {:>8}  log evidence\n",
        "observation", "n_eff", "efficiency", "k-hat", "p of fit"
    );
    for prediction in predictions {
        let WeightDiagnostics {
            n_eff,
            efficiency,
            pareto_k,
            evidence,
            ..
        } = &prediction.weights;
        text.push_str(&format!(
            "{:<widest$}  {:>7}  {:>10}  {:>5}  {:>8}  {}\n",
            prediction.observation,
            numbers::short(*n_eff),
            numbers::percent(*efficiency),
            words::pareto_k(*pareto_k),
            words::fit_p(&prediction.fit),
            evidence.as_ref().map_or("none".to_owned(), words::evidence)
        ));
    }
    text
}
