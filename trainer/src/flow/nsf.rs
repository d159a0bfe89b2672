//! Neural spline flow (Durkan et al. 2019): conditional splines with the parameters permuted between them, over
//! a base that is uniform on circles and Student's t with four degrees of freedom on lines. Rows far out
//! then have bounded gradients, and proposals have wide tails.

use super::axis::{Axis, indicator};
use super::conditional::{Conditional, ConditionalConfig};
use super::maf::order;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;

/// ln (3/8): the base density on a line is 3/8 (1 + u²/4)^(-5/2).
pub(super) const LOG_PEAK: f64 = -0.980_829_253_011_726_2;

/// The base number on a line below which a share of `uniform` lies (Shaw 2006, equation 37).
pub(super) fn line_quantile(uniform: f64) -> f64 {
    // 4 p (1 - p), away from its zeros at 0 and 1.
    let alpha = (4.0 * uniform * (1.0 - uniform)).clamp(1e-14, 1.0);
    let root = alpha.sqrt();
    let quotient = (root.acos() / 3.0).cos() / root;
    (uniform - 0.5).signum() * 2.0 * (quotient - 1.0).max(0.0).sqrt()
}

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
        let log_base = (u.powi_scalar(2) * 0.25).log1p() * -2.5 + LOG_PEAK;
        sum + (log_base * is_line).sum_dim(1).squeeze_dim::<1>(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F(t) = 1/2 + 3/8 s (1 - s²/12), s = t / sqrt(1 + t²/4).
    #[test]
    fn quantiles_are_those_of_students_t() {
        for i in 1..1000 {
            let p = f64::from(i) / 1000.0;
            let t = line_quantile(p);
            let s = t / (1.0 + 0.25 * t * t).sqrt();
            let found = 0.5 + 0.375 * s * (1.0 - s * s / 12.0);
            assert!((found - p).abs() < 1e-12, "{p}: {t}, back at {found}");
        }
        assert!(line_quantile(0.0).is_finite() && line_quantile(1.0).is_finite());
        assert!((LOG_PEAK - 0.375f64.ln()).abs() < 1e-15);
    }
}
