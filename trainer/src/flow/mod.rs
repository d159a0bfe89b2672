//! Normalizing flows conditioned on features: the neural density estimators.
//!
//! A flow is a file that says which [bijections](Bijection) lead from a row to which [base](Base), and a variant of
//! [`Flow`], all of whose matches are here.

mod affine;
pub mod axis;
mod bijection;
mod conditional;
mod host;
mod made;
mod maf;
mod mixture;
mod nsf;
mod placement;
mod spline;
mod student;
#[cfg(test)]
mod tests;

pub use bijection::{Base, Bijection};
pub use host::{BaseDraws, HostFlow};

use crate::parameters::Initializer;
use axis::Axis;
use burn::module::Module;
use burn::tensor::Tensor;
use maf::Maf;
use nsf::{Grouping, Nsf};
use sidereal_inference::campaign;

/// Any of the flows of the campaign file.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has one flow, whose weights are on the heap"
)]
pub enum Flow {
    Maf(Maf),
    Nsf(Nsf),
}

/// log q(y | features), in the ways that it is asked for.
trait ConditionalDensity {
    fn log_density_by_parts(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1>;

    fn at(&self, features: Tensor<2>) -> HostFlow;

    fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        self.log_density_by_parts(y, features)
    }

    fn with_joined(&self, _leaf: &mut dyn FnMut(usize) -> Tensor<1>) -> Option<Flow> {
        None
    }
}

impl Flow {
    /// One axis a parameter, as [`axes`](axis::axes) says; the MAF takes all for lines.
    pub fn init(
        config: &campaign::Flow,
        axes: &[Axis],
        n_features: usize,
        initializer: &mut Initializer,
    ) -> Self {
        use Grouping::{Autoregressive, Coupling};
        let nsf = |grouping, size| nsf::NsfConfig {
            axes,
            grouping,
            n_features,
            size,
        };
        match *config {
            campaign::Flow::Maf {
                blocks,
                hidden,
                layers,
                components,
                max_log_scale,
            } => {
                let config = maf::MafConfig {
                    n_parameters: axes.len(),
                    n_features,
                    blocks,
                    hidden,
                    layers,
                    components,
                    max_log_scale,
                };
                Self::Maf(config.init(initializer))
            }
            campaign::Flow::Nsf(size) => Self::Nsf(nsf(Autoregressive, size).init(initializer)),
            campaign::Flow::NsfCoupling(size) => Self::Nsf(nsf(Coupling, size).init(initializer)),
        }
    }

    fn density(&self) -> &dyn ConditionalDensity {
        match self {
            Self::Maf(flow) => flow,
            Self::Nsf(flow) => flow,
        }
    }

    /// With all weights end to end, made by `leaf` from their number, in place of the parameters, while gradients
    /// are taken; none where the flow works with its parameters one by one.
    pub fn with_joined(&self, leaf: &mut dyn FnMut(usize) -> Tensor<1>) -> Option<Self> {
        self.density().with_joined(leaf)
    }

    /// log q(y | features) for `[n, n_parameters]` and `[n, n_features]`: `[n]`
    pub fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        self.density().log_density(y, features)
    }

    /// [`log_density`](Self::log_density) by burn's own operations throughout, splines on the CPU excepted.
    pub fn log_density_by_parts(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        self.density().log_density_by_parts(y, features)
    }

    /// At one feature vector `[1, features]`, which is on the device of the flow: to draw from and to score with.
    pub fn at(&self, features: Tensor<2>) -> HostFlow {
        self.density().at(features)
    }
}

/// Whether a flow of this kind sees periodic parameters as circles.
fn knows_circles(config: &campaign::Flow) -> bool {
    match config {
        campaign::Flow::Maf { .. } => false,
        campaign::Flow::Nsf(_) | campaign::Flow::NsfCoupling(_) => true,
    }
}

/// The dimensions in the order of a block: reversed between blocks, and rotated after each pair, so that each
/// parameter comes first in turn.
fn order(block: usize, d: usize) -> Vec<usize> {
    let rotated = (0..d).map(|i| (i + block / 2) % d);
    if block.is_multiple_of(2) {
        rotated.collect()
    } else {
        rotated.rev().collect()
    }
}
