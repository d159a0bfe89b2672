//! Trained models as commands are given them.

use crate::campaign_directory;
use crate::exit::CommandError;
use sidereal_inference::base::files;
use sidereal_inference::campaign::DeviceChoice;
use sidereal_inference::records::Directory;
use sidereal_trainer::Model;
use sidereal_trainer::model::{MODEL_FILE, WEIGHTS_FILE};
use std::path::{Path, PathBuf};

/// The model that an argument means, a directory of a model or of a finished campaign, and where it lies.
pub fn load(path: &Path, device: DeviceChoice) -> Result<(PathBuf, Model), CommandError> {
    let directory = model_directory(path)?;
    for name in [MODEL_FILE, WEIGHTS_FILE] {
        files::check(&directory.join(name), files::MOST_DATA_BYTES)
            .map_err(CommandError::unusable)?;
    }
    let device = sidereal_trainer::device::choose(device).map_err(CommandError::unusable)?;
    let model = Model::load(&open(&directory)?, "", &device).map_err(CommandError::unusable)?;
    Ok((directory, model))
}

fn open(path: &Path) -> Result<Directory, CommandError> {
    sidereal_store::open(&path.display().to_string()).map_err(CommandError::unusable)
}

/// The model directory that an argument means.
fn model_directory(path: &Path) -> Result<PathBuf, CommandError> {
    if path.join(MODEL_FILE).exists() {
        return Ok(path.to_owned());
    }
    if !path.join(campaign_directory::CAMPAIGN_FILE).exists() {
        return Err(CommandError::unusable(format!(
            "{}: neither a model directory, which has a {MODEL_FILE}, nor a campaign directory",
            path.display()
        )));
    }
    let directory = open(path)?;
    let (_, summary) = campaign_directory::load_finished(&directory)?;
    match summary.model {
        Some(model) => Ok(path.join(model)),
        None => Err(CommandError::unusable(format!(
            "{}: the campaign ended without a flow",
            path.display()
        ))),
    }
}
