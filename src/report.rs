//! `sidereal report`: the draws of equal weight, the plots and the page of a finished campaign.

use crate::campaign_directory::{self, CAMPAIGN_FILE, POSTERIOR_FILE, SUMMARY_FILE};
use crate::exit::{CommandError, Ending};
use crate::page;
use crate::plots::{PlotError, corner, fit, training};
use crate::results;
use crate::terminal::Terminal;
use clap::Args;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::directory::Directory;
use sidereal_inference::model_band::{FIT_FILE, ModelBand};
use sidereal_inference::noise::Noise;
use sidereal_inference::posterior::Posterior;
use sidereal_inference::samples::{SAMPLES_FILE, Samples};
use sidereal_inference::summary::Summary;
use std::path::PathBuf;

pub const FIT_PICTURE: &str = "fit.png";
pub const CORNER_FILE: &str = "corner.png";
pub const CORNER_PDF_FILE: &str = "corner.pdf";
const TRAINING_FILE: &str = "training.png";
const PAGE_FILE: &str = "report.html";

#[derive(Args)]
pub struct ReportArguments {
    /// Directory of a finished campaign
    #[arg(value_name = "DIR")]
    directory: String,
}

pub fn run(arguments: &ReportArguments, terminal: &Terminal) -> Result<Ending, CommandError> {
    let directory = sidereal_store::open(&arguments.directory).map_err(CommandError::unusable)?;
    let (campaign, summary) = campaign_directory::load_finished(&directory)?;
    let written = write(&directory, &campaign, &summary, terminal)?;
    for path in &written {
        results::print(&format!("{}\n", path.display()));
    }
    if written.is_empty() {
        results::print(&results::campaign(&summary));
    }
    Ok(if summary.warnings.is_empty() {
        Ending::Done
    } else {
        Ending::NotTrusted
    })
}

/// Writes `samples.parquet`, the pictures and `report.html`, as far as there is something to show; what is written. In a
/// directory that is read only nothing is, which is said.
pub fn write(
    directory: &Directory,
    campaign: &Campaign,
    summary: &Summary,
    terminal: &Terminal,
) -> Result<Vec<PathBuf>, CommandError> {
    let mut written = Vec::new();
    let mut store = |name: &str, bytes: Vec<u8>| match directory.write(name, bytes) {
        Ok(()) => {
            written.push(directory.join(name));
            Ok(())
        }
        Err(error) if error.is_read_only() => {
            terminal.note(&format!("{name} is not written: {error}"));
            Ok(())
        }
        Err(error) => Err(CommandError::failed(error)),
    };
    let posterior = match (&summary.combined, summary.parameters.as_slice()) {
        (Some(_), [_, ..]) => Some(
            Posterior::load(directory, POSTERIOR_FILE, &campaign.space)
                .map_err(CommandError::failed)?,
        ),
        (Some(_) | None, _) => None,
    };
    if let Some(posterior) = &posterior {
        let path = directory.join(SAMPLES_FILE);
        let samples = Samples::of(posterior, campaign.seed).encode(&campaign.space, &path);
        store(SAMPLES_FILE, samples.map_err(CommandError::failed)?)?;
    }
    let mut picture =
        |drawn: Result<Vec<u8>, PlotError>, name: &str| -> Result<Option<Vec<u8>>, CommandError> {
            match drawn {
                Ok(png) => {
                    store(name, png.clone())?;
                    Ok(Some(png))
                }
                // A report without one picture is better than none.
                Err(error) => {
                    terminal.note(&format!("{name} is left out: {error}"));
                    Ok(None)
                }
            }
        };
    let fit = match (&summary.fit, summary.parameters.as_slice(), &campaign.noise) {
        (Some(_), [_, ..], Noise::Gaussian(_)) => {
            let grid_name = campaign.simulator.model.grid_name();
            let drawn = ModelBand::load(directory, FIT_FILE)
                .map_err(|error| PlotError::Table(error.to_string()))
                .and_then(|band| fit::draw(&band, grid_name));
            picture(drawn, FIT_PICTURE)?
        }
        (Some(_) | None, _, Noise::Gaussian(_) | Noise::Simulator) => None,
    };
    let corner = match &posterior {
        Some(posterior) => {
            let drawn = corner::draw(posterior, &summary.parameters, campaign);
            if let Ok(corner) = &drawn {
                picture(Ok(corner.pdf()), CORNER_PDF_FILE)?;
            }
            picture(drawn.and_then(|corner| corner.png()), CORNER_FILE)?
        }
        None => None,
    };
    let training = picture(training::draw(summary, posterior.as_ref()), TRAINING_FILE)?;
    let campaign_toml = match directory.read(CAMPAIGN_FILE) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => campaign_file::to_toml(campaign),
    };
    let mut files = Vec::new();
    if posterior.is_some() {
        files.extend([POSTERIOR_FILE, SAMPLES_FILE]);
    }
    files.push(SUMMARY_FILE);
    if corner.is_some() {
        files.push(CORNER_PDF_FILE);
    }
    if fit.is_some() {
        files.push(FIT_FILE);
    }
    files.push(CAMPAIGN_FILE);
    let model = summary.model.as_ref().map(|model| format!("{model}/"));
    files.extend(model.as_deref());
    let html = page::render(&page::Contents {
        campaign,
        campaign_toml: &campaign_toml,
        summary,
        files: &files,
        fit: fit.as_deref(),
        corner: corner.as_deref(),
        training: training.as_deref(),
    });
    store(PAGE_FILE, html.into_bytes())?;
    Ok(written)
}
