//! What one epoch leaves to the next.

use crate::estimator::Estimator;
use crate::parameters::{self, NamedTensor};
use burn::optim::AdamState;
use burn::tensor::Tensor;

/// A training has diverged where a row's loss, on average over an epoch, is this much larger than at the best epoch.
const DIVERGED: f64 = 10.0;

/// Everything that the next epoch depends on: what a checkpoint holds.
#[derive(Clone)]
pub struct TrainingState {
    /// Epochs that are done.
    pub epoch: u32,
    /// All trainable parameters, end to end.
    pub values: Tensor<1>,
    /// Running mean of `values` over the last steps: what is validated, and what a model is made of.
    pub average: Tensor<1>,
    /// Adam's moments; none before the first step and after a recovery.
    pub adam: Option<AdamState<1>>,
    /// All tensors of the network by name at the best epoch, running statistics included.
    pub best: Vec<NamedTensor>,
    /// Running statistics are not in `values`; here are all tensors at the end of the last epoch.
    pub current: Vec<NamedTensor>,
    /// The one with the lowest validation loss, from 1; 0 where there is none yet.
    pub best_epoch: u32,
    /// Infinite where there is none yet.
    pub best_validation_loss: f64,
    /// Mean loss of a row in each epoch.
    pub training_loss: Vec<f64>,
    /// Mean loss of a row that was held out, after each epoch.
    pub validation_loss: Vec<f64>,
    /// How often the training went back to earlier weights.
    pub n_recoveries: u32,
}

impl TrainingState {
    pub(super) fn new(estimator: &Estimator) -> Self {
        let current = parameters::named_tensors(estimator);
        let values = parameters::flat(estimator);
        Self {
            epoch: 0,
            average: values.clone(),
            values,
            adam: None,
            best: current.clone(),
            current,
            best_epoch: 0,
            best_validation_loss: f64::INFINITY,
            training_loss: Vec::new(),
            validation_loss: Vec::new(),
            n_recoveries: 0,
        }
    }

    /// Overfitting raises the validation loss alone.
    pub(super) fn has_diverged(&self) -> bool {
        let of_epoch = |epoch: u32| self.training_loss.get((epoch as usize).checked_sub(1)?);
        match (of_epoch(self.epoch), of_epoch(self.best_epoch)) {
            (Some(last), Some(best)) => *last > best + DIVERGED,
            (None, _) | (_, None) => false,
        }
    }

    /// The next epoch begins with the best weights, which `estimator` has, at a lower learning rate.
    pub(super) fn back_at_best(self, estimator: &Estimator) -> Self {
        let values = parameters::flat(estimator);
        Self {
            average: values.clone(),
            values,
            adam: None,
            current: self.best.clone(),
            n_recoveries: self.n_recoveries + 1,
            ..self
        }
    }
}
