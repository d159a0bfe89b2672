//! Elementwise bijection that brings each dimension into place before its spline: lines are moved and
//! scaled, circles turned.

use super::affine::bounded;
use super::axis::{Axis, indicator};
use burn::tensor::Tensor;

/// Line: (y - shift) · exp(-log_scale), log_scale = `max_log_scale` · tanh(raw / `max_log_scale`).
/// Circle: y - shift, back in [-1/2, 1/2].
///
/// `[n, d]` each -> the same shape and log |det| `[n]`
pub fn forward(
    y: Tensor<2>,
    shift: Tensor<2>,
    raw_log_scale: Tensor<2>,
    max_log_scale: f64,
    axes: &[Axis],
) -> (Tensor<2>, Tensor<1>) {
    let device = y.device();
    let mut log_scale = bounded(raw_log_scale, max_log_scale);
    let mut moved = y - shift;
    if axes.contains(&Axis::Circle) {
        let circle = indicator(axes, Axis::Circle, &device);
        moved = moved.clone() - (moved * circle).detach().round();
        log_scale = log_scale * indicator(axes, Axis::Line, &device);
    }
    (
        moved * log_scale.clone().neg().exp(),
        log_scale.sum_dim(1).squeeze_dim::<1>(1).neg(),
    )
}
