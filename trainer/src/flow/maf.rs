//! Masked autoregressive flow: affine blocks with the parameters permuted between them, over a
//! mixture-of-Gaussians base (Zhang et al. 2023, section 2; Papamakarios et al. 2017).

use super::affine::Affine;
use super::host::HostFlow;
use super::made::MadeConfig;
use super::mixture::Mixture;
use super::{ConditionalDensity, Flow, bijection, order};
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
        let blocks = (0..self.blocks)
            .map(|block| self.affine(block, initializer))
            .collect();
        let (rank, columns) = self.rank_and_columns(self.blocks);
        let base = Mixture::init(
            self.made(&rank, &columns),
            self.components,
            self.max_log_scale,
            initializer,
        );
        Maf {
            blocks,
            base,
            max_log_scale: self.max_log_scale,
            joined: None,
        }
    }

    fn affine(&self, block: usize, initializer: &mut Initializer) -> Affine {
        let (rank, columns) = self.rank_and_columns(block);
        Affine::init(&self.made(&rank, &columns), self.max_log_scale, initializer)
    }

    fn rank_and_columns(&self, block: usize) -> (Vec<usize>, Vec<usize>) {
        let mut rank = vec![0; self.n_parameters];
        for (position, &dimension) in order(block, self.n_parameters).iter().enumerate() {
            rank[dimension] = position;
        }
        (rank, (0..self.n_parameters).collect())
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

impl ConditionalDensity for Maf {
    fn log_density_by_parts(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        bijection::log_density(&self.blocks, &self.base, y, features)
    }

    fn at(&self, features: Tensor<2>) -> HostFlow {
        bijection::at(&self.blocks, &self.base, features)
    }

    fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        match self.fused_log_density(&y, &features) {
            Some(log_density) => log_density,
            None => self.log_density_by_parts(y, features),
        }
    }

    fn with_joined(&self, leaf: &mut dyn FnMut(usize) -> Tensor<1>) -> Option<Flow> {
        let joined = Some(leaf(parameters::n_values(self)));
        Some(Flow::Maf(Self {
            joined,
            ..self.clone()
        }))
    }
}

impl Maf {
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
