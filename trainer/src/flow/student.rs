//! Base density of the spline flows: uniform on circles, Student's t with four degrees of freedom on lines.

use super::axis::{Axis, indicator};
use super::bijection::Base;
use super::host::{BaseDraws, HostBase, LANES, Lanes, Scratch, fill};
use crate::elementary::fma::ln;
use crate::elementary::vectorized;
use burn::tensor::Tensor;

/// ln (3/8): the density on a line is 3/8 (1 + u²/4)^(-5/2).
const LOG_PEAK: f64 = -0.980_829_253_011_726_2;

/// One axis a dimension.
#[derive(Debug, Clone)]
pub struct StudentT {
    pub axes: Vec<Axis>,
}

impl Base for StudentT {
    fn log_density(&self, u: Tensor<2>, _features: Tensor<2>) -> Tensor<1> {
        // The density on a circle of one turn is one.
        let is_line = indicator(&self.axes, Axis::Line, &u.device());
        let log_base = (u.powi_scalar(2) * 0.25).log1p() * -2.5 + LOG_PEAK;
        (log_base * is_line).sum_dim(1).squeeze_dim::<1>(1)
    }

    fn at(&self, _features: Tensor<2>) -> Box<dyn HostBase> {
        Box::new(self.clone())
    }
}

impl HostBase for StudentT {
    fn n_dimensions(&self) -> usize {
        self.axes.len()
    }

    /// It has no conditioner.
    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn log_density(&self, _scratch: &mut Scratch, u: &[Lanes], log_density: &mut Lanes) {
        for (u, axis) in u.iter().zip(&self.axes) {
            match axis {
                Axis::Line => {
                    let own = on_line(u);
                    *log_density = log_density.with(&own, |sum, own| sum + own);
                }
                Axis::Circle => {}
            }
        }
    }

    /// Of the uniform numbers alone.
    fn draw(&self, _scratch: &mut Scratch, base: &BaseDraws, u: &mut [Lanes]) {
        fill(u, base.uniform, |dimension, value| {
            match self.axes[dimension] {
                Axis::Line => line_quantile(value) as f32,
                Axis::Circle => (value - 0.5) as f32,
            }
        });
    }
}

fn on_line(u: &Lanes) -> Lanes {
    vectorized(
        #[inline(always)]
        || {
            let mut result = Lanes::ZERO;
            for lane in 0..LANES {
                let u = u.0[lane];
                result.0[lane] = ln((0.25 * u).mul_add(u, 1.0)).mul_add(-2.5, LOG_PEAK as f32);
            }
            result
        },
    )
}

/// The number on a line below which a share of `uniform` lies (Shaw 2006, equation 37).
fn line_quantile(uniform: f64) -> f64 {
    // 4 p (1 - p), away from its zeros at 0 and 1.
    let alpha = (4.0 * uniform * (1.0 - uniform)).clamp(1e-14, 1.0);
    let root = alpha.sqrt();
    let quotient = (root.acos() / 3.0).cos() / root;
    (uniform - 0.5).signum() * 2.0 * (quotient - 1.0).max(0.0).sqrt()
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
