//! Trained models and their files: `weights.safetensors` beside `model.json`.

use crate::device;
use crate::estimator::{Estimator, no_features};
use crate::parameters::{self, ParameterError};
use crate::pieces::ProposalFlow;
use crate::standardization::Standardization;
use crate::tensor_file::{read_tensors, write_tensors};
use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use sidereal_inference::base::files::FileError;
use sidereal_inference::base::{FlowId, files};
use sidereal_inference::campaign::{Campaign, Noise, Observation};
use sidereal_inference::campaign_file;
use sidereal_inference::records::{Directory, ModelFiles, TrainingSummary, path_in};
use sidereal_inference::weights::{Component, Objective};
use std::fmt::Display;
use std::path::PathBuf;

/// The network's tensors, as safetensors.
pub const WEIGHTS_FILE: &str = "weights.safetensors";
/// What the weights are of: campaign, standardization, how the training went.
pub const MODEL_FILE: &str = "model.json";
const FORMAT: &str = "sidereal-model";
const VERSION: u32 = 1;

/// A model directory that cannot be used, or not for what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file or a proposal is not what it should be.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file, or `proposal`.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
    /// The weights are those of another network.
    #[error("{}: not the weights of the network that {MODEL_FILE} describes: {source}", path.display())]
    Parameters {
        /// The file of weights.
        path: PathBuf,
        /// The first tensor that does not fit.
        #[source]
        source: ParameterError,
    },
    /// The observation is not of the size that the model was trained on.
    #[error("the observation has {0}")]
    Observation(String),
    /// The network gives no finite features of the observation.
    #[error(
        "what {0} makes of the observation is not finite; its data or errors may lie far beyond those that it was trained on"
    )]
    Features(FlowId),
    /// A part of the proposal gives no finite numbers.
    #[error("{0} gives draws or densities that are not finite")]
    NotFinite(Component),
}

/// A trained estimator with all that is needed to use it.
#[derive(Debug)]
pub struct Model {
    campaign: Campaign,
    standardization: Standardization,
    training: TrainingSummary,
    estimator: Estimator,
    device: Device,
}

/// A model looking at one observation: its density of the parameters, ready to be scored and drawn from.
pub struct Scorer<'a> {
    pub(crate) model: &'a Model,
    pub(crate) flow: ProposalFlow,
}

/// `model.json`
#[derive(Serialize, Deserialize)]
struct ModelDocument {
    format: String,
    version: u32,
    flow: FlowId,
    weights_sha256: String,
    standardization: Standardization,
    training: TrainingSummary,
    campaign: Campaign,
}

impl ModelDocument {
    /// Every field is held against its range and the others; what is wrong is told with the field.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let none = |error: &dyn Display| format!("not a model description: {error}");
        let document: Self =
            serde_path_to_error::deserialize(&mut deserializer).map_err(|error| none(&error))?;
        deserializer.end().map_err(|error| none(&error))?;
        if document.format != FORMAT || document.version != VERSION {
            return Err(format!(
                "format `{}` version {}, expected `{FORMAT}` version {VERSION}",
                document.format, document.version
            ));
        }
        campaign_file::check(&document.campaign).map_err(|mistakes| {
            let of_campaign = mistakes
                .iter()
                .map(|mistake| format!("campaign: {mistake}"));
            of_campaign.collect::<Vec<_>>().join("; ")
        })?;
        document.check_training()?;
        document
            .standardization
            .check(&document.campaign, document.training.objective)?;
        Ok(document)
    }

    fn check_training(&self) -> Result<(), String> {
        let training = &self.training;
        if training.flow != self.flow {
            return Err(format!(
                "training.flow is {}, expected {} as flow says",
                training.flow.0, self.flow.0
            ));
        }
        if training.weights_sha256 != self.weights_sha256 {
            return Err(format!(
                "training.weights_sha256 is {:?}, expected {:?} as weights_sha256 says",
                training.weights_sha256, self.weights_sha256
            ));
        }
        match training.objective {
            Objective::Simulations | Objective::SurrogateDraws => {}
            Objective::WeightedDraws { exponent } => {
                if !(exponent > 0.0 && exponent <= 1.0) {
                    return Err(format!(
                        "training.objective.weighted_draws.exponent {exponent} is not in (0, 1]"
                    ));
                }
            }
        }
        if training.best_epoch > training.n_epochs {
            return Err(format!(
                "training.best_epoch is {}, expected at most the {} of training.n_epochs",
                training.best_epoch, training.n_epochs
            ));
        }
        let n_epochs = training.n_epochs as usize;
        for (name, losses) in [
            ("training_loss", &training.training_loss),
            ("validation_loss", &training.validation_loss),
        ] {
            if losses.len() != n_epochs {
                return Err(format!(
                    "training.{name} has {} numbers, expected the {n_epochs} of training.n_epochs",
                    losses.len()
                ));
            }
        }
        Ok(())
    }
}

impl Model {
    /// A trained network, not on an autodiff device, with what it was trained with.
    pub fn new(
        campaign: Campaign,
        standardization: Standardization,
        training: TrainingSummary,
        estimator: Estimator,
        device: Device,
    ) -> Self {
        Self {
            campaign,
            standardization,
            training,
            estimator,
            device,
        }
    }

    /// Reads the model in `folder` (empty: the directory itself) for use on `device`; every file is checked before it is used.
    pub fn load(directory: &Directory, folder: &str, device: &Device) -> Result<Self, ModelError> {
        let name = path_in(folder, MODEL_FILE);
        let document =
            ModelDocument::parse(&directory.read(&name)?).map_err(invalid(directory, &name))?;
        let name = path_in(folder, WEIGHTS_FILE);
        let bytes = directory.read(&name)?;
        let found = files::sha256_hex(&bytes);
        if found != document.weights_sha256 {
            let reason = format!("sha256 {found}, expected {}", document.weights_sha256);
            return Err(invalid(directory, &name)(reason));
        }
        let tensors = read_tensors(&bytes).map_err(invalid(directory, &name))?;
        let ModelDocument {
            standardization,
            training,
            campaign,
            ..
        } = document;
        let inputs = standardization.inputs();
        let mismatch = |source| ModelError::Parameters {
            path: directory.join(&name),
            source,
        };
        // A network takes memory, so its shapes come first: no larger one is made than the file's.
        let outline = Estimator::outline(&campaign, training.objective, inputs);
        parameters::check_named_tensors(&outline, &tensors).map_err(mismatch)?;
        let device = device::of(training.objective, device);
        let empty = Estimator::init(
            &campaign,
            training.flow,
            training.objective,
            inputs,
            &device,
        );
        let estimator = parameters::with_named_tensors(empty, &tensors).map_err(mismatch)?;
        Ok(Self::new(
            campaign,
            standardization,
            training,
            estimator.valid(),
            device,
        ))
    }

    /// Writes the model to `folder`.
    pub fn store(&self, directory: &Directory, folder: &str) -> Result<ModelFiles, ModelError> {
        let name = path_in(folder, WEIGHTS_FILE);
        let bytes = write_tensors(&parameters::named_tensors(&self.estimator), None)
            .map_err(invalid(directory, &name))?;
        let weights = directory.store(&name, bytes)?;
        let document = ModelDocument {
            format: FORMAT.to_owned(),
            version: VERSION,
            flow: self.flow(),
            weights_sha256: weights.sha256.clone(),
            standardization: self.standardization.clone(),
            training: TrainingSummary {
                weights_sha256: weights.sha256.clone(),
                ..self.training.clone()
            },
            campaign: self.campaign.clone(),
        };
        let name = path_in(folder, MODEL_FILE);
        let json = serde_json::to_vec_pretty(&document)
            .map_err(|error| invalid(directory, &name)(error.to_string()))?;
        let model = directory.store(&name, json)?;
        Ok(ModelFiles {
            flow: self.flow(),
            path: folder.to_owned(),
            weights_sha256: weights.sha256,
            model_json_sha256: model.sha256,
        })
    }

    /// Which of the campaign's flows this is.
    pub fn flow(&self) -> FlowId {
        self.training.flow
    }

    /// What the model was trained for.
    pub fn campaign(&self) -> &Campaign {
        &self.campaign
    }

    /// How the training went.
    pub fn training(&self) -> &TrainingSummary {
        &self.training
    }

    /// Shows the model an observation with its own errors.
    pub fn scorer(&self, observation: &Observation) -> Result<Scorer<'_>, ModelError> {
        let expected = self.campaign.simulator.grid.len();
        let found = observation.value.len();
        if found != expected {
            return Err(ModelError::Observation(format!(
                "{found} data, the model was trained on {expected}"
            )));
        }
        let found = observation.sigma.len();
        match &self.campaign.noise {
            Noise::Gaussian(_) if found != expected => {
                return Err(ModelError::Observation(format!(
                    "{found} errors for {expected} data"
                )));
            }
            Noise::Gaussian(_) | Noise::Simulator => {}
        }
        match self.training.objective {
            Objective::Simulations => {}
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                return Ok(self.of_draws());
            }
        }
        let mut channels = Vec::new();
        self.standardization
            .append_channels(&observation.value, &observation.sigma, &mut channels);
        let shape = [1, expected, self.standardization.n_channels()];
        let x = parameters::tensor(channels, shape, &self.device);
        let features = self.estimator.features(x);
        let host = parameters::host(features.clone());
        if !host.iter().all(|feature| feature.is_finite()) {
            return Err(ModelError::Features(self.flow()));
        }
        Ok(Scorer {
            model: self,
            flow: ProposalFlow::new(Vec::new(), vec![self.estimator.at(features)]),
        })
    }

    /// What a flow that sees no data says, of each piece.
    fn of_draws(&self) -> Scorer<'_> {
        let pieces = self.standardization.pieces.clone();
        let n = pieces.len();
        let of_piece = |piece: usize| {
            let told = (0..n).map(|one| f32::from(u8::from(one == piece)));
            self.estimator
                .at(parameters::tensor(told.collect(), [1, n], &self.device))
        };
        let flows = match n {
            0 => vec![self.estimator.at(no_features(1, &self.device))],
            _ => (0..n).map(of_piece).collect(),
        };
        Scorer {
            model: self,
            flow: ProposalFlow::new(pieces, flows),
        }
    }
}

/// What is wrong with the file `name`, from the reason.
fn invalid(directory: &Directory, name: &str) -> impl Fn(String) -> ModelError + use<> {
    let path = directory.join(name);
    move |reason| ModelError::Invalid {
        path: path.clone(),
        reason,
    }
}

impl<'a> Scorer<'a> {
    pub(crate) fn standardization(&self) -> &'a Standardization {
        &self.model.standardization
    }
}
