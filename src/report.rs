//! `sidereal report`: the draws of equal weight, the plots and the page of a campaign, finished or not.

use crate::campaign_directory::{self, CAMPAIGN_FILE, POSTERIOR_FILE, SUMMARY_FILE};
use crate::exit::{CommandError, Ending};
use crate::plots::{PlotError, corner, fit, training};
use crate::terminal::Terminal;
use crate::{page, results, words};
use clap::Args;
use sidereal_coordinator::SoFar;
use sidereal_inference::account::{Stage, Summary};
use sidereal_inference::campaign::{Campaign, Noise};
use sidereal_inference::campaign_file;
use sidereal_inference::records::{
    Directory, FIT_FILE, ModelBand, Posterior, SAMPLES_FILE, Samples,
};
use sidereal_models::Catalogue;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const FIT_PICTURE: &str = "fit.png";
pub const CORNER_FILE: &str = "corner.png";
pub const CORNER_PDF_FILE: &str = "corner.pdf";
const TRAINING_FILE: &str = "training.png";
const PAGE_FILE: &str = "report.html";
/// Between two pages of a campaign that runs.
const PAGE_INTERVAL: Duration = Duration::from_secs(10);
/// Where pages take long, as many times what they take is between them.
const LONGEST_SHARE: u32 = 20;

#[derive(Args)]
pub struct ReportArguments {
    /// Directory of a campaign; of one that is not finished the page shows what is there so far
    #[arg(value_name = "DIR")]
    directory: String,
}

pub fn run(
    arguments: &ReportArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    let directory = sidereal_store::open(&arguments.directory).map_err(CommandError::unusable)?;
    let campaign = campaign_directory::load_campaign(&directory)?;
    if let Some(page) = write_so_far(&directory, &campaign, models)? {
        results::print(&format!("{}\n", page.path.display()));
        terminal.note(&page.note);
        return Ok(Ending::Done);
    }
    let (campaign, summary) = campaign_directory::load_finished(&directory)?;
    let written = write(&directory, &campaign, &summary, terminal, models)?;
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

/// A page of a campaign that is not finished.
pub struct PageSoFar {
    pub path: PathBuf,
    /// One line about it.
    pub note: String,
}

/// Writes `report.html` of a campaign that is not finished; nothing else is written. None where it is finished, or not
/// begun.
pub fn write_so_far(
    directory: &Directory,
    campaign: &Campaign,
    models: &Catalogue,
) -> Result<Option<PageSoFar>, CommandError> {
    let found =
        sidereal_coordinator::read_unfinished(directory, campaign).map_err(CommandError::failed)?;
    let Some(unfinished) = found else {
        return Ok(None);
    };
    let sentence = words::unfinished(&unfinished.status, unfinished.is_open);
    let SoFar {
        mut summary,
        posterior,
        band,
    } = unfinished.so_far;
    let standing = unfinished.status.standing.as_ref();
    if standing.is_some_and(|standing| standing.way.is_some()) {
        // Weights mean nothing on the way.
        summary.combined = None;
        summary.fit = None;
        summary.parameters.clear();
    }
    let has_weights = !summary.parameters.is_empty();
    let grid_name = models.grid_name(&campaign.simulator);
    let is_gaussian = matches!(campaign.noise, Noise::Gaussian(_));
    // What cannot be drawn yet is left out.
    let fit = match band {
        Some(band) if has_weights && is_gaussian => fit::draw(&band, grid_name).ok(),
        Some(_) | None => None,
    };
    let corner = match &posterior {
        Some(posterior) if has_weights => {
            corner::draw(posterior, &summary.parameters, &summary.modes, campaign)
                .and_then(|corner| corner.png())
                .ok()
        }
        Some(_) | None => None,
    };
    let training = training::draw(&summary, posterior.as_ref().filter(|_| has_weights)).ok();
    let (strong, rest) = sentence.split_once(": ").unwrap_or((&sentence, ""));
    let shown = page::Unfinished {
        sentence: format!(
            "<strong>{}.</strong> {}",
            capitalized(&page::escape(strong)),
            page::escape(rest)
        ),
        is_live: unfinished.is_open,
    };
    let html = page::render(&page::Contents {
        campaign,
        campaign_toml: &campaign_toml(directory, campaign),
        summary: &summary,
        files: &[CAMPAIGN_FILE],
        unfinished: Some(&shown),
        fit: fit.as_deref(),
        corner: corner.as_deref(),
        training: training.as_deref(),
    });
    // The last word is the result's.
    let status = sidereal_coordinator::read_status(directory, &campaign.name);
    let (status, _) = status.map_err(CommandError::failed)?;
    if status.stage == Stage::Finished {
        return Ok(None);
    }
    directory
        .write(PAGE_FILE, html.into_bytes())
        .map_err(CommandError::failed)?;
    Ok(Some(PageSoFar {
        path: directory.join(PAGE_FILE),
        note: sentence,
    }))
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// The page of a campaign that runs in this process, written again now and then.
pub struct LivePage {
    directory: Directory,
    campaign: Campaign,
    models: Catalogue,
    /// Gives the time that the page took.
    writer: Option<JoinHandle<Duration>>,
    next: Instant,
}

impl LivePage {
    pub fn new(directory: &Directory, campaign: &Campaign, models: &Catalogue) -> Self {
        Self {
            directory: directory.clone(),
            campaign: campaign.clone(),
            models: models.clone(),
            writer: None,
            next: Instant::now(),
        }
    }

    /// Writes the page in a thread of its own, if it is time for that.
    pub fn on_round(&mut self) {
        match self.writer.take() {
            Some(writer) if !writer.is_finished() => {
                self.writer = Some(writer);
                return;
            }
            Some(writer) => {
                let took = writer.join().unwrap_or_default();
                self.next += LONGEST_SHARE * took;
            }
            None => {}
        }
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + PAGE_INTERVAL;
        let (directory, campaign) = (self.directory.clone(), self.campaign.clone());
        let models = self.models.clone();
        let write = move || {
            if let Err(error) = write_so_far(&directory, &campaign, &models) {
                tracing::debug!(%error, "no page of what is there so far");
            }
            now.elapsed()
        };
        // Without a thread there is no page yet.
        self.writer = std::thread::Builder::new().spawn(write).ok();
    }

    /// Waits for the page that is being written.
    pub fn finish(self) {
        if let Some(writer) = self.writer {
            // A page that is missing is written at the end.
            let _ = writer.join();
        }
    }
}

/// Writes `samples.parquet`, the pictures and `report.html`, as far as there is something to show; what is written. In a
/// directory that is read only nothing is, which is said.
pub fn write(
    directory: &Directory,
    campaign: &Campaign,
    summary: &Summary,
    terminal: &Terminal,
    models: &Catalogue,
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
        let samples = Samples::of(&campaign.space, posterior, campaign.seed).encode(&path);
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
            let grid_name = models.grid_name(&campaign.simulator);
            let drawn = ModelBand::load(directory, FIT_FILE)
                .map_err(|error| PlotError::Table(error.to_string()))
                .and_then(|band| fit::draw(&band, grid_name));
            picture(drawn, FIT_PICTURE)?
        }
        (Some(_) | None, _, Noise::Gaussian(_) | Noise::Simulator) => None,
    };
    let corner = match &posterior {
        Some(posterior) => {
            let drawn = corner::draw(posterior, &summary.parameters, &summary.modes, campaign);
            if let Ok(corner) = &drawn {
                picture(Ok(corner.pdf()), CORNER_PDF_FILE)?;
            }
            picture(drawn.and_then(|corner| corner.png()), CORNER_FILE)?
        }
        None => None,
    };
    let training = picture(training::draw(summary, posterior.as_ref()), TRAINING_FILE)?;
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
        campaign_toml: &campaign_toml(directory, campaign),
        summary,
        files: &files,
        unfinished: None,
        fit: fit.as_deref(),
        corner: corner.as_deref(),
        training: training.as_deref(),
    });
    store(PAGE_FILE, html.into_bytes())?;
    Ok(written)
}

fn campaign_toml(directory: &Directory, campaign: &Campaign) -> String {
    match directory.read(CAMPAIGN_FILE) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => campaign_file::to_toml(campaign),
    }
}
