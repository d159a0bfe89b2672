//! Neural spline flow (Durkan et al. 2019): conditional splines with the parameters permuted between them, over
//! a base that is uniform on circles and Student's t with four degrees of freedom on lines. Rows far out
//! then have bounded gradients, and proposals have wide tails.

use super::axis::Axis;
use super::bijection;
use super::conditional::{Conditional, ConditionalConfig};
use super::host::HostFlow;
use super::made::rank_in_block;
use super::student::StudentT;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use sidereal_inference::campaign::NsfSize;

/// Which dimensions of a block see which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Each sees all that come before it.
    Autoregressive,
    /// The second half sees the first.
    Coupling,
}

/// Size of an [`Nsf`].
pub struct NsfConfig<'a> {
    pub axes: &'a [Axis],
    pub grouping: Grouping,
    pub n_features: usize,
    pub size: NsfSize,
}

#[derive(Module, Debug)]
pub struct Nsf {
    blocks: Vec<Conditional>,
    #[module(skip)]
    base: StudentT,
}

impl NsfConfig<'_> {
    pub fn init(&self, initializer: &mut Initializer) -> Nsf {
        let d = self.axes.len();
        let blocks = (0..self.size.blocks)
            .map(|block| {
                let mut rank = rank_in_block(block, d);
                match self.grouping {
                    Grouping::Autoregressive => {}
                    Grouping::Coupling => {
                        for rank in &mut rank {
                            *rank = usize::from(*rank >= d / 2 && d > 1);
                        }
                    }
                }
                let config = ConditionalConfig {
                    axes: self.axes,
                    rank: &rank,
                    n_features: self.n_features,
                    size: self.size,
                };
                // Half a turn and not quite: knots of different blocks start in different places.
                config.init(if block == 0 { 0.0 } else { 0.381_966 }, initializer)
            })
            .collect();
        let axes = self.axes.to_vec();
        Nsf {
            blocks,
            base: StudentT { axes },
        }
    }
}

impl Nsf {
    pub fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        bijection::log_density(&self.blocks, &self.base, y, features)
    }

    pub fn at(&self, features: Tensor<2>) -> HostFlow {
        bijection::at(&self.blocks, &self.base, features)
    }
}
