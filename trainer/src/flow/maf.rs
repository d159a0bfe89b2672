//! Masked autoregressive flow: affine blocks with the parameters permuted between them, over a
//! mixture-of-Gaussians base (Zhang et al. 2023, section 2; Papamakarios et al. 2017).

use super::affine::Affine;
use super::made::MadeConfig;
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
    components: usize,
    max_log_scale: f64,
    /// All weights end to end, in place of the parameters above, while gradients are taken.
    #[module(skip)]
    joined: Option<Tensor<1>>,
}

/// Randomness of draws, row-major `[n, n_parameters]`: uniform in [0, 1) and standard normal.
pub struct BaseDraws {
    pub uniform: Vec<f64>,
    pub normal: Vec<f64>,
}

impl MafConfig {
    pub fn init(&self, initializer: &mut Initializer) -> Maf {
        let order = |block: usize| -> Vec<usize> {
            // Reversed between blocks, and rotated after each pair, so that each parameter comes first in turn.
            let d = self.n_parameters;
            let rotated = (0..d).map(|i| (i + block / 2) % d);
            if block.is_multiple_of(2) {
                rotated.collect()
            } else {
                rotated.rev().collect()
            }
        };
        let blocks = (0..self.blocks)
            .map(|block| Affine::init(&self.made(&order(block)), self.max_log_scale, initializer))
            .collect();
        let last = order(self.blocks);
        let base = Mixture::init(
            self.made(&last),
            self.components,
            self.max_log_scale,
            initializer,
        );
        Maf {
            blocks,
            base,
            components: self.components,
            max_log_scale: self.max_log_scale,
            joined: None,
        }
    }

    fn made<'a>(&self, order: &'a [usize]) -> MadeConfig<'a> {
        MadeConfig {
            order,
            n_features: self.n_features,
            hidden: self.hidden,
            layers: self.layers,
            n_outputs: 2,
        }
    }
}

impl Maf {
    /// `[n, d]`, `[n, features]` -> `[n]`
    pub fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        match self.fused_log_density(&y, &features) {
            Some(log_density) => log_density,
            None => self.log_density_by_parts(y, features),
        }
    }

    /// At the hardware's speed, on devices that this is written for.
    fn fused_log_density(&self, y: &Tensor<2>, features: &Tensor<2>) -> Option<Tensor<1>> {
        let fused = fused::Maf {
            blocks: self
                .blocks
                .iter()
                .map(Affine::fused)
                .collect::<Option<_>>()?,
            base: self.base.fused()?,
            components: self.components,
            max_log_scale: self.max_log_scale as f32,
        };
        match &self.joined {
            Some(weights) => fused.log_density(y, features, weights),
            None => fused.log_density(y, features, &parameters::joined(self)),
        }
    }

    /// See `Flow::with_joined`.
    pub fn with_joined(self, leaf: &mut impl FnMut(usize) -> Tensor<1>) -> Self {
        let joined = Some(leaf(parameters::n_values(&self)));
        Self { joined, ..self }
    }

    /// By burn's own operations.
    pub fn log_density_by_parts(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        let mut u = y;
        let mut log_determinant: Option<Tensor<1>> = None;
        for block in &self.blocks {
            let (next, term) = block.forward(u, features.clone());
            u = next;
            log_determinant = Some(match log_determinant {
                Some(sum) => sum + term,
                None => term,
            });
        }
        let log_base = self.base.log_density(u, features);
        match log_determinant {
            Some(sum) => log_base + sum,
            None => log_base,
        }
    }

    pub fn draw(&self, base: &BaseDraws, features: Tensor<2>) -> Tensor<2> {
        let mut y = self
            .base
            .draw(&base.uniform, &base.normal, features.clone());
        for block in self.blocks.iter().rev() {
            y = block.inverse(y, features.clone());
        }
        y
    }
}
