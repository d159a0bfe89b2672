//! Neural spline flow (Durkan et al. 2019): conditional splines with the parameters permuted between them, over
//! a base that is standard normal on lines and uniform on circles.

use super::axis::{Axis, indicator};
use super::conditional::{Conditional, ConditionalConfig};
use super::maf::order;
use super::mixture::LOG_SQRT_2PI;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;



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
    pub blocks: usize,
    pub hidden: usize,
    pub layers: usize,
    pub bins: usize,
    pub tail_bound: f64,
    pub max_log_scale: f64,
}

#[derive(Module, Debug)]
pub struct Nsf {
    pub(super) blocks: Vec<Conditional>,
}

impl NsfConfig<'_> {
    pub fn init(&self, initializer: &mut Initializer) -> Nsf {
        let d = self.axes.len();
        let blocks = (0..self.blocks)
            .map(|block| {
                let mut rank = vec![0; d];
                for (position, &dimension) in order(block, d).iter().enumerate() {
                    rank[dimension] = match self.grouping {
                        Grouping::Autoregressive => position,
                        Grouping::Coupling => usize::from(position >= d / 2 && d > 1),
                    };
                }
                let config = ConditionalConfig {
                    axes: self.axes,
                    rank: &rank,
                    n_features: self.n_features,
                    hidden: self.hidden,
                    layers: self.layers,
                    bins: self.bins,
                    tail_bound: self.tail_bound,
                    max_log_scale: self.max_log_scale,
                };
                // Half a turn and not quite: knots of different blocks start in different places.
                config.init(if block == 0 { 0.0 } else { 0.381_966 }, initializer)
            })
            .collect();
        Nsf { blocks }
    }
}

impl Nsf {
    /// `[n, d]`, `[n, features]` -> `[n]`
    pub fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        let [n, _] = y.dims();
        let device = y.device();
        let mut u = y;
        let mut sum = Tensor::<1>::zeros([n], &device);
        for block in &self.blocks {
            let (next, log_determinant) = block.forward(u, features.clone());
            u = next;
            sum = sum + log_determinant;
        }
        let Some(block) = self.blocks.first() else {
            return sum;
        };
        // The density on a circle of one turn is one.
        let is_line = indicator(&block.axes(), Axis::Line, &device);
        let log_base = (u.powi_scalar(2) * -0.5 - LOG_SQRT_2PI) * is_line;
        sum + log_base.sum_dim(1).squeeze_dim::<1>(1)
    }
}
