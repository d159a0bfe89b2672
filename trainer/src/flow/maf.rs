//! Masked autoregressive flow: affine blocks with the parameters permuted between them, over a
//! mixture-of-Gaussians base (Zhang et al. 2023, section 2; Papamakarios et al. 2017).

use super::affine::Affine;
use super::bijection;
use super::host::HostFlow;
use super::made::{MadeConfig, rank_in_block};
use super::mixture::Mixture;
use crate::fused;
use crate::parameters::{self, Initializer};
use burn::module::Module;
use burn::tensor::Tensor;

/// Size of a [`Maf`].
pub struct MafConfig {
    pub n_parameters: usize,
    pub n_features: usize,
    pub blocks: usize,
    pub hidden: usize,
    pub layers: usize,
    pub components: usize,
    pub max_log_scale: f64,
}

#[derive(Module, Debug)]
pub struct Maf {
    blocks: Vec<Affine>,
    base: Mixture,
    max_log_scale: f64,
    /// All weights end to end, in place of the parameters above, while gradients are taken.
    #[module(skip)]
    joined: Option<Tensor<1>>,
}

impl MafConfig {
    pub fn init(&self, initializer: &mut Initializer) -> Maf {
        let d = self.n_parameters;
        let columns: Vec<usize> = (0..d).collect();
        let (bound, n_blocks) = (self.max_log_scale, self.blocks);
        let affine = |block| {
            let rank = rank_in_block(block, d);
            Affine::init(&self.made(&rank, &columns), bound, initializer)
        };
        let blocks = (0..n_blocks).map(affine).collect();
        let rank = rank_in_block(n_blocks, d);
        let made = self.made(&rank, &columns);
        Maf {
            blocks,
            base: Mixture::init(made, self.components, bound, initializer),
            max_log_scale: bound,
            joined: None,
        }
    }

    fn made<'a>(&self, rank: &'a [usize], columns: &'a [usize]) -> MadeConfig<'a> {
        MadeConfig {
            rank,
            columns,
            n_features: self.n_features,
            hidden: self.hidden,
            layers: self.layers,
            n_outputs: 2,
        }
    }
}

impl Maf {
    pub fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        match self.fused_log_density(&y, &features) {
            Some(log_density) => log_density,
            None => self.log_density_by_parts(y, features),
        }
    }

    /// By burn's own operations.
    pub fn log_density_by_parts(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        bijection::log_density(&self.blocks, &self.base, y, features)
    }

    pub fn at(&self, features: Tensor<2>) -> HostFlow {
        bijection::at(&self.blocks, &self.base, features)
    }

    /// With all weights end to end, made by `leaf` from their number, in place of the parameters.
    pub fn with_joined(&self, leaf: impl FnOnce(usize) -> Tensor<1>) -> Self {
        Self {
            joined: Some(leaf(parameters::n_values(self))),
            ..self.clone()
        }
    }

    /// At the hardware's speed, on devices that this is written for.
    fn fused_log_density(&self, y: &Tensor<2>, features: &Tensor<2>) -> Option<Tensor<1>> {
        let blocks = self.blocks.iter().map(|block| block.made.fused());
        let fused = fused::MafPass {
            blocks: blocks.collect::<Option<_>>()?,
            base: self.base.made.fused()?,
            components: self.base.components,
            max_log_scale: self.max_log_scale as f32,
        };
        fused.log_density(y, features, &parameters::joined_or(&self.joined, self))
    }
}
