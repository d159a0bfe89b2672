//! What flows are made of: bijections that lead from a row towards the base, and the base.
//!
//! Both are there twice, as tensors for training and over plain numbers at one feature vector for draws and their
//! densities.

use super::host::{HostBase, HostBijection, HostFlow};
use burn::tensor::Tensor;

/// An invertible map of rows, conditioned on features.
pub trait Bijection {
    /// `[n, d]` and `[n, features]` -> u `[n, d]` and log |det du/dy| `[n]`
    fn forward(&self, y: Tensor<2>, features: Tensor<2>) -> (Tensor<2>, Tensor<1>);

    /// Both directions at one feature vector `[1, features]`.
    fn at(&self, features: Tensor<2>) -> HostBijection;
}

/// A density of rows, conditioned on features where it has a conditioner.
pub trait Base {
    /// `[n, d]` and `[n, features]` -> log p(u) `[n]`
    fn log_density(&self, u: Tensor<2>, features: Tensor<2>) -> Tensor<1>;

    /// Density and draws at one feature vector `[1, features]`.
    fn at(&self, features: Tensor<2>) -> Box<dyn HostBase>;
}

/// log q(y) of rows that `blocks` lead one after the other to `base`: `[n]`
pub fn log_density(
    blocks: &[impl Bijection],
    base: &impl Base,
    y: Tensor<2>,
    features: Tensor<2>,
) -> Tensor<1> {
    let mut u = y;
    let mut log_determinants = Vec::with_capacity(blocks.len());
    for block in blocks {
        let (next, log_determinant) = block.forward(u, features.clone());
        u = next;
        log_determinants.push(log_determinant);
    }
    let log_base = base.log_density(u, features);
    match log_determinants.into_iter().reduce(|sum, term| sum + term) {
        Some(sum) => sum + log_base,
        None => log_base,
    }
}

/// The same at one feature vector.
pub fn at(blocks: &[impl Bijection], base: &impl Base, features: Tensor<2>) -> HostFlow {
    let blocks = blocks.iter().map(|block| block.at(features.clone()));
    HostFlow::new(blocks.collect(), base.at(features.clone()))
}
