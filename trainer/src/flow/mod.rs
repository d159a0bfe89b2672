//! Normalizing flows conditioned on features: the neural density estimators.

mod affine;
pub mod axis;
mod conditional;
mod host;
mod made;
mod maf;
mod mixture;
mod nsf;
mod placement;
mod spline;
#[cfg(test)]
mod tests;

pub use host::{BaseDraws, HostFlow};
pub use maf::Maf;
pub use nsf::Nsf;

use crate::parameters::Initializer;
use axis::Axis;
use burn::module::Module;
use burn::tensor::Tensor;
use nsf::Grouping;
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

impl Flow {
    /// One axis a parameter, as [`axes`](axis::axes) says; the MAF takes all for lines.
    pub fn init(
        config: &campaign::Flow,
        axes: &[Axis],
        n_features: usize,
        initializer: &mut Initializer,
    ) -> Self {
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
            campaign::Flow::Nsf(size) => Self::Nsf(nsf(
                Grouping::Autoregressive,
                size,
                axes,
                n_features,
                initializer,
            )),
            campaign::Flow::NsfCoupling(size) => {
                Self::Nsf(nsf(Grouping::Coupling, size, axes, n_features, initializer))
            }
        }
    }

    /// With all weights end to end, made by `leaf` from their number, in place of the parameters, while gradients
    /// are taken; none where the flow works with its parameters one by one.
    pub fn with_joined(self, leaf: &mut impl FnMut(usize) -> Tensor<1>) -> Option<Self> {
        match self {
            Self::Maf(flow) => Some(Self::Maf(flow.with_joined(leaf))),
            Self::Nsf(_) => None,
        }
    }

    /// log q(y | features) for `[n, n_parameters]` and `[n, n_features]`: `[n]`
    pub fn log_density(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Maf(flow) => flow.log_density(y, features),
            Self::Nsf(flow) => flow.log_density(y, features),
        }
    }

    /// [`log_density`](Self::log_density) by burn's own operations throughout, splines on the CPU excepted.
    pub fn log_density_by_parts(&self, y: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Maf(flow) => flow.log_density_by_parts(y, features),
            Self::Nsf(flow) => flow.log_density(y, features),
        }
    }
}

fn nsf(
    grouping: Grouping,
    size: campaign::NsfSize,
    axes: &[Axis],
    n_features: usize,
    initializer: &mut Initializer,
) -> Nsf {
    nsf::NsfConfig {
        axes,
        grouping,
        n_features,
        blocks: size.blocks,
        hidden: size.hidden,
        layers: size.layers,
        bins: size.bins,
        tail_bound: size.tail_bound,
        max_log_scale: size.max_log_scale,
    }
    .init(initializer)
}
