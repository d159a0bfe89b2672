//! Trained models and their files: `weights.safetensors` beside `model.json`.

use crate::device;
use crate::estimator::{Estimator, no_features};
use crate::flow::HostFlow;
use crate::parameters::{self, NamedTensor, ParameterError};
use crate::standardization::Standardization;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sidereal_inference::base::files::FileError;
use sidereal_inference::base::{FlowId, files};
use sidereal_inference::campaign::{Campaign, Noise, Observation};
use sidereal_inference::campaign_file;
use sidereal_inference::records::{Directory, ModelFiles, TrainingSummary, path_in};
use sidereal_inference::weights::{Component, Objective};
use std::path::PathBuf;

pub const WEIGHTS_FILE: &str = "weights.safetensors";
pub const MODEL_FILE: &str = "model.json";
const FORMAT: &str = "sidereal-model";
const VERSION: u32 = 1;

/// A model directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("{}: not the weights of the network that {MODEL_FILE} describes: {source}", path.display())]
    Parameters {
        path: PathBuf,
        #[source]
        source: ParameterError,
    },
    #[error("the observation has {found} data, the model was trained on {expected}")]
    Length { found: usize, expected: usize },
    #[error("the observation has {found} errors for {expected} data")]
    Errors { found: usize, expected: usize },
    #[error(
        "what {flow} makes of the observation is not finite; its data or errors may lie far beyond those that it was trained on"
    )]
    Features { flow: FlowId },
    #[error("{component} gives draws or densities that are not finite")]
    NotFinite { component: Component },
}

/// A trained estimator with all that is needed to use it.
#[derive(Debug)]
pub struct Model {
    flow: FlowId,
    campaign: Campaign,
    standardization: Standardization,
    training: TrainingSummary,
    estimator: Estimator,
    device: Device,
}

/// A model looking at one observation: its density of the parameters, ready to be scored and drawn from.
pub struct Scorer<'a> {
    pub(crate) model: &'a Model,
    pub(crate) flow: HostFlow,
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
        let document: Self = serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| format!("not a model description: {error}"))?;
        deserializer
            .end()
            .map_err(|error| format!("not a model description: {error}"))?;
        if document.format != FORMAT || document.version != VERSION {
            return Err(format!(
                "format `{}` version {}, expected `{FORMAT}` version {VERSION}",
                document.format, document.version
            ));
        }
        campaign_file::check(&document.campaign).map_err(|mistakes| {
            let of_campaign = |mistake: &String| format!("campaign: {mistake}");
            mistakes
                .iter()
                .map(of_campaign)
                .collect::<Vec<_>>()
                .join("; ")
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
            Objective::Simulations => {}
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
    pub fn new(
        campaign: Campaign,
        standardization: Standardization,
        training: TrainingSummary,
        estimator: Estimator,
        device: Device,
    ) -> Self {
        Self {
            flow: training.flow,
            campaign,
            standardization,
            training,
            estimator,
            device,
        }
    }

    /// Reads the model in `folder` (empty: the directory itself); every file is checked before it is used.
    pub fn load(directory: &Directory, folder: &str, device: &Device) -> Result<Self, ModelError> {
        let name = path_in(folder, MODEL_FILE);
        let path = directory.join(&name);
        let invalid = |reason: String| ModelError::Invalid {
            path: path.clone(),
            reason,
        };
        let document = ModelDocument::parse(&directory.read(&name)?).map_err(invalid)?;
        let name = path_in(folder, WEIGHTS_FILE);
        let weights_path = directory.join(&name);
        let bytes = directory.read(&name)?;
        let found = files::sha256_hex(&bytes);
        if found != document.weights_sha256 {
            return Err(ModelError::Invalid {
                path: weights_path,
                reason: format!("sha256 {found}, expected {}", document.weights_sha256),
            });
        }
        let tensors = read_tensors(&bytes).map_err(|reason| ModelError::Invalid {
            path: weights_path.clone(),
            reason,
        })?;
        let ModelDocument {
            flow,
            standardization,
            training,
            campaign,
            ..
        } = document;
        let n_channels = standardization.n_channels();
        let mismatch = |source| ModelError::Parameters {
            path: weights_path.clone(),
            source,
        };
        // A network takes memory, so its shapes come first: no larger one is made than the file's.
        let outline = Estimator::outline(&campaign, training.objective, n_channels);
        parameters::check_named_tensors(&outline, &tensors).map_err(mismatch)?;
        let device = device::of(training.objective, device);
        let empty = Estimator::init(&campaign, flow, training.objective, n_channels, &device);
        let estimator = parameters::with_named_tensors(empty, &tensors).map_err(mismatch)?;
        Ok(Self {
            flow,
            campaign,
            standardization,
            training,
            estimator: estimator.valid(),
            device,
        })
    }

    /// Writes the model to `folder`.
    pub fn store(&self, directory: &Directory, folder: &str) -> Result<ModelFiles, ModelError> {
        let weights_path = path_in(folder, WEIGHTS_FILE);
        let bytes =
            write_tensors(&parameters::named_tensors(&self.estimator), None).map_err(|reason| {
                ModelError::Invalid {
                    path: directory.join(&weights_path),
                    reason,
                }
            })?;
        let weights = directory.store(&weights_path, bytes)?;
        let document = ModelDocument {
            format: FORMAT.to_owned(),
            version: VERSION,
            flow: self.flow,
            weights_sha256: weights.sha256.clone(),
            standardization: self.standardization.clone(),
            training: TrainingSummary {
                weights_sha256: weights.sha256.clone(),
                ..self.training.clone()
            },
            campaign: self.campaign.clone(),
        };
        let model_path = path_in(folder, MODEL_FILE);
        let json = serde_json::to_vec_pretty(&document).map_err(|error| ModelError::Invalid {
            path: directory.join(&model_path),
            reason: error.to_string(),
        })?;
        let model = directory.store(&model_path, json)?;
        Ok(ModelFiles {
            flow: self.flow,
            path: folder.to_owned(),
            weights_sha256: weights.sha256,
            model_json_sha256: model.sha256,
        })
    }

    pub fn flow(&self) -> FlowId {
        self.flow
    }

    pub fn campaign(&self) -> &Campaign {
        &self.campaign
    }

    pub fn training(&self) -> &TrainingSummary {
        &self.training
    }

    /// Shows the model an observation with its own errors.
    pub fn scorer(&self, observation: &Observation) -> Result<Scorer<'_>, ModelError> {
        let expected = self.campaign.simulator.grid.len();
        if observation.value.len() != expected {
            return Err(ModelError::Length {
                found: observation.value.len(),
                expected,
            });
        }
        match &self.campaign.noise {
            Noise::Gaussian(_) if observation.sigma.len() != expected => {
                return Err(ModelError::Errors {
                    found: observation.sigma.len(),
                    expected,
                });
            }
            Noise::Gaussian(_) | Noise::Simulator => {}
        }
        match self.training.objective {
            Objective::Simulations => {}
            Objective::WeightedDraws { .. } => {
                return Ok(self.scorer_at(no_features(&self.device)));
            }
        }
        let mut channels = Vec::new();
        self.standardization
            .append_channels(&observation.value, &observation.sigma, &mut channels);
        let shape = [1, expected, self.standardization.n_channels()];
        let x = Tensor::<3>::from_data(TensorData::new(channels, shape), &self.device);
        let features = self.estimator.features(x);
        if !parameters::host(features.clone())
            .iter()
            .all(|feature| feature.is_finite())
        {
            return Err(ModelError::Features { flow: self.flow });
        }
        Ok(self.scorer_at(features))
    }

    fn scorer_at(&self, features: Tensor<2>) -> Scorer<'_> {
        Scorer {
            model: self,
            flow: self.estimator.at(features),
        }
    }
}

impl<'a> Scorer<'a> {
    pub(crate) fn standardization(&self) -> &'a Standardization {
        &self.model.standardization
    }
}

/// All tensors of a safetensors file, in the order of the file's names, which must be f32.
pub(crate) fn read_tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("not a safetensors file: {error}"))?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(format!(
                "tensor `{name}` is of type {:?}, expected F32",
                view.dtype()
            ));
        }
        let values = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        tensors.push((
            name,
            NamedTensor {
                name: String::new(),
                shape: view.shape().to_vec(),
                values,
            },
        ));
    }
    // Written with their position in front, because the format sorts by name.
    tensors.sort_by(|(left, _), (right, _)| left.cmp(right));
    tensors
        .into_iter()
        .map(|(name, tensor)| match name.split_once(':') {
            Some((_, own)) => Ok(NamedTensor {
                name: own.to_owned(),
                ..tensor
            }),
            None => Err(format!(
                "tensor `{name}` has no position in front of its name"
            )),
        })
        .collect()
}

pub(crate) fn write_tensors(
    tensors: &[NamedTensor],
    metadata: Option<std::collections::HashMap<String, String>>,
) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| {
            tensor
                .values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (index, (tensor, bytes)) in tensors.iter().zip(&bytes).enumerate() {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)
            .map_err(|error| error.to_string())?;
        views.push((format!("{index:05}:{}", tensor.name), view));
    }
    safetensors::serialize(views, metadata).map_err(|error| error.to_string())
}
