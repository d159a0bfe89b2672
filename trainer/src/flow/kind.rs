//! Any of the flows of the campaign file.

use super::axis::Axis;
use super::host::HostFlow;
use super::maf::{Maf, MafConfig};
use super::nsf::{Grouping, Nsf, NsfConfig};
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use sidereal_inference::campaign;

/// Any of the flows of the campaign file.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has one flow, whose weights are on the heap"
)]
pub enum Flow {
    /// Affine blocks over a mixture of Gaussians (Papamakarios et al. 2017).
    Maf(Maf),
    /// Splines over a base with wide tails (Durkan et al. 2019).
    Nsf(Nsf),
}

impl Flow {
    /// One axis a parameter, as [`axes`](super::axes) says; the MAF takes all for lines.
    pub fn init(
        config: &campaign::Flow,
        axes: &[Axis],
        n_features: usize,
        initializer: &mut Initializer,
    ) -> Self {
        use Grouping::{Autoregressive, Coupling};
        let nsf = |grouping, size| NsfConfig {
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
                let config = MafConfig {
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

    /// With all weights end to end, made by `leaf` from their number, in place of the parameters, while gradients
    /// are taken; none where the flow works with its parameters one by one.
    pub(crate) fn with_joined(&self, leaf: impl FnOnce(usize) -> Tensor<1>) -> Option<Self> {
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

    /// At one feature vector `[1, features]`, which is on the device of the flow: to draw from and to score with.
    pub fn at(&self, features: Tensor<2>) -> HostFlow {
        match self {
            Self::Maf(flow) => flow.at(features),
            Self::Nsf(flow) => flow.at(features),
        }
    }
}
