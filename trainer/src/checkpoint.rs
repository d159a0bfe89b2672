//! Checkpoints: the state of a training after an epoch, from which it goes on bit for bit.

use crate::estimator::Estimator;
use crate::parameters::{self, NamedTensor, host};
use crate::tensor_file::{read_tensors, write_tensors};
use crate::training::TrainingState;
use burn::module::Module;
use burn::optim::{AdamState, AdaptiveMomentumState};
use burn::tensor::Tensor;
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use sidereal_inference::base::files::FileError;
use sidereal_inference::records::{Directory, path_in};
use std::collections::HashMap;

const CHECKPOINT_FILE: &str = "checkpoint.safetensors";
const FORMAT: &str = "sidereal-checkpoint";
const VERSION: u32 = 1;

/// Everything of a [`TrainingState`] that is no tensor.
#[derive(Serialize, Deserialize)]
struct Scalars {
    format: String,
    version: u32,
    /// What is trained on what: a checkpoint of another task is ignored.
    task: String,
    epoch: u32,
    adam_time: Option<usize>,
    best_epoch: u32,
    best_validation_loss: f64,
    training_loss: Vec<f64>,
    validation_loss: Vec<f64>,
    n_recoveries: u32,
    n_network_tensors: usize,
}

/// Replaces the checkpoint in `folder`, which is of `task`.
pub fn store(
    directory: &Directory,
    folder: &str,
    task: &str,
    state: &TrainingState,
) -> Result<(), FileError> {
    let name = path_in(folder, CHECKPOINT_FILE);
    let path = directory.join(&name);
    let invalid = |error: String| FileError::new("encode", &path, std::io::Error::other(error));
    let scalars = Scalars {
        format: FORMAT.to_owned(),
        version: VERSION,
        task: task.to_owned(),
        epoch: state.epoch,
        adam_time: state.adam.as_ref().map(|adam| adam.momentum.time),
        best_epoch: state.best_epoch,
        best_validation_loss: state.best_validation_loss,
        training_loss: state.training_loss.clone(),
        validation_loss: state.validation_loss.clone(),
        n_recoveries: state.n_recoveries,
        n_network_tensors: state.current.len(),
    };
    let mut tensors = vec![
        vector("values", &state.values),
        vector("average", &state.average),
    ];
    if let Some(adam) = &state.adam {
        tensors.push(vector("adam.moment_1", &adam.momentum.moment_1));
        tensors.push(vector("adam.moment_2", &adam.momentum.moment_2));
    }
    tensors.extend(state.current.iter().cloned());
    tensors.extend(state.best.iter().cloned());
    let scalars = serde_json::to_string(&scalars).map_err(|error| invalid(error.to_string()))?;
    let metadata = HashMap::from([("state".to_owned(), scalars)]);
    let bytes = write_tensors(&tensors, Some(metadata)).map_err(invalid)?;
    directory.write(&name, bytes)
}

/// The checkpoint in `folder`; None where there is none of this task that can be used for `network`, which is on an
/// autodiff device.
pub fn load(
    directory: &Directory,
    folder: &str,
    task: &str,
    network: &Estimator,
) -> Option<TrainingState> {
    let device = network.devices().first()?.clone().inner();
    let name = path_in(folder, CHECKPOINT_FILE);
    let bytes = directory.read(&name).ok()?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).ok()?;
    let scalars: Scalars =
        serde_json::from_str(metadata.metadata().as_ref()?.get("state")?).ok()?;
    if scalars.format != FORMAT || scalars.version != VERSION || scalars.task != task {
        return None;
    }
    let mut tensors = read_tensors(&bytes).ok()?.into_iter();
    let mut next_vector = |name: &str| -> Option<Tensor<1>> {
        let tensor = tensors.next().filter(|tensor| tensor.name == name)?;
        Some(parameters::vector(tensor.values, &device))
    };
    let values = next_vector("values")?;
    let average = next_vector("average")?;
    let adam = match scalars.adam_time {
        Some(time) => {
            let moment_1 = next_vector("adam.moment_1")?;
            let moment_2 = next_vector("adam.moment_2")?;
            Some(AdamState::new(AdaptiveMomentumState::new(
                time, moment_1, moment_2,
            )))
        }
        None => None,
    };
    let rest: Vec<NamedTensor> = tensors.collect();
    let (current, best) = rest.split_at_checked(scalars.n_network_tensors)?;
    let state = TrainingState {
        epoch: scalars.epoch,
        values,
        average,
        adam,
        best: best.to_vec(),
        current: current.to_vec(),
        best_epoch: scalars.best_epoch,
        best_validation_loss: scalars.best_validation_loss,
        training_loss: scalars.training_loss,
        validation_loss: scalars.validation_loss,
        n_recoveries: scalars.n_recoveries,
    };
    match check(&state, network) {
        Ok(()) => Some(state),
        Err(reason) => {
            let path = directory.join(&name);
            tracing::warn!(
                path = %path.display(),
                %reason,
                "a checkpoint does not fit the network that is trained; it is ignored"
            );
            None
        }
    }
}

fn check(state: &TrainingState, network: &Estimator) -> Result<(), String> {
    for tensors in [&state.current, &state.best] {
        parameters::check_named_tensors(network, tensors).map_err(|error| error.to_string())?;
    }
    let n_weights = parameters::flat(network).dims()[0];
    let moments = state.adam.as_ref().map(|adam| &adam.momentum);
    let vectors = [
        ("values", Some(&state.values)),
        ("average", Some(&state.average)),
        ("adam.moment_1", moments.map(|moments| &moments.moment_1)),
        ("adam.moment_2", moments.map(|moments| &moments.moment_2)),
    ];
    for (name, vector) in vectors {
        let Some(vector) = vector else { continue };
        let values = host(vector.clone());
        if values.len() != n_weights {
            return Err(format!(
                "`{name}` has {} numbers, expected {n_weights}",
                values.len()
            ));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("`{name}` holds a value that is not finite"));
        }
    }
    let n_epochs = state.epoch as usize;
    let n_losses = [state.training_loss.len(), state.validation_loss.len()];
    if n_losses != [n_epochs; 2] || state.best_epoch > state.epoch {
        return Err(format!(
            "{} and {} losses and the best epoch {} are not those of {n_epochs} epochs",
            n_losses[0], n_losses[1], state.best_epoch
        ));
    }
    Ok(())
}

fn vector(name: &str, values: &Tensor<1>) -> NamedTensor {
    let values = host(values.clone());
    NamedTensor {
        name: name.to_owned(),
        shape: vec![values.len()],
        values,
    }
}
