//! Featurizers: networks that turn simulated data `[batch, length, channels]` into feature vectors.

mod conv;
mod gru;
mod kind;
mod mlp;
mod resnet;

pub use kind::Featurizer;
