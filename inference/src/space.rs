//! The parameter space: priors, bounds, circles, and the map to unconstrained z.

mod beta;
mod bound;
pub mod circle;
mod copula;
mod joint_normal;
mod parameters;
mod prior;
mod prior_error;
mod sampled;

pub(crate) use bound::near;
pub use bound::{Bounds, Lean, emphasis, leans};
pub use copula::Copula;
pub(crate) use joint_normal::JointNormal;
pub use joint_normal::Spread;
pub use parameters::{
    Derived, DerivedKind, Fixed, Parameter, ParameterSpace, standard_normal_log_density,
};
pub use prior::Prior;
pub use prior_error::PriorError;
pub use sampled::SampledDensity;
