//! Keys of the campaign file that an argument may stand for.

use crate::campaign_directory::ChangedModel;
use crate::exit::CommandError;
use clap::{Args, ValueEnum};
use sidereal_inference::campaign::{Campaign, DeviceChoice, Source};
use sidereal_inference::campaign_file;
use sidereal_models::Catalogue;
use std::path::Path;

/// Keys of the campaign file that an argument may stand for.
#[derive(Args)]
pub struct SettingArguments {
    /// As `seed` in the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,

    /// As `training.device` in the file
    #[arg(long)]
    device: Option<DeviceArgument>,

    /// Go on with a campaign whose model in Python (or program) is not what it was when the campaign began: what is
    /// simulated already stays as it is
    #[arg(long)]
    accept_changed_model: bool,
}

impl SettingArguments {
    /// What becomes of a campaign whose model has changed.
    pub fn changed_model(&self) -> ChangedModel {
        match self.accept_changed_model {
            true => ChangedModel::Accepted,
            false => ChangedModel::Refused,
        }
    }

    /// The campaign file with these settings, checked as far as it goes without running, and where its observation is
    /// from, if that is a file.
    pub fn campaign(
        &self,
        path: &Path,
        models: &Catalogue,
    ) -> Result<(Campaign, Option<Source>), CommandError> {
        let (mut campaign, source) =
            campaign_file::load_with_source(path, models).map_err(CommandError::unusable)?;
        if let Some(seed) = self.seed {
            campaign.seed = seed;
        }
        if let Some(device) = self.device {
            campaign.training.device = device.into();
        }
        models
            .build(&campaign, 1)
            .map_err(|error| CommandError::unusable(format!("{}: {error}", path.display())))?;
        Ok((campaign, source))
    }
}

/// Where a trained model is asked, and by how many.
#[derive(Args)]
pub struct NetworkArguments {
    /// Where the network runs
    #[arg(long, default_value = "cpu")]
    pub device: DeviceArgument,

    /// Threads of simulations and network [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

/// Where networks run.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DeviceArgument {
    /// A GPU where there is a real one, else the CPU
    Auto,
    Cpu,
    /// A GPU through Vulkan, Metal or DirectX 12
    Wgpu,
}

impl From<DeviceArgument> for DeviceChoice {
    fn from(argument: DeviceArgument) -> Self {
        match argument {
            DeviceArgument::Auto => Self::Auto,
            DeviceArgument::Cpu => Self::Cpu,
            DeviceArgument::Wgpu => Self::Wgpu,
        }
    }
}

/// A number above 0, of an argument.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        Ok(_) | Err(_) => Err(format!("found {text:?}, expected a positive number")),
    }
}
