//! Elementwise bijection that brings each dimension into place before its spline: lines are moved and
//! scaled, circles turned.

use super::affine::bounded_tensor;
use super::axis::{Axis, indicator};
use super::host::{Lanes, Outputs};
use super::splines::Layout;
use crate::elementary::fma::{bounded, exp};
use crate::elementary::vectorized;
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
    let mut log_scale = bounded_tensor(raw_log_scale, max_log_scale);
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

/// The same of one dimension over plain numbers: its place, and the log scale.
pub fn forward_one(axis: Axis, max_log_scale: f32, y: &Lanes, outputs: Outputs) -> (Lanes, Lanes) {
    let shift = outputs.kind(Layout::SHIFT);
    vectorized(
        #[inline(always)]
        || {
            let moved = y.with(shift, |y, shift| y - shift);
            match axis {
                Axis::Line => {
                    let log_scale = log_scale(max_log_scale, outputs);
                    let placed = moved.with(&log_scale, |moved, log_scale| moved * exp(-log_scale));
                    (placed, log_scale)
                }
                Axis::Circle => (moved.map(on_circle), Lanes::ZERO),
            }
        },
    )
}

/// The y whose place is given.
pub fn inverse_one(axis: Axis, max_log_scale: f32, placed: &Lanes, outputs: Outputs) -> Lanes {
    let shift = outputs.kind(Layout::SHIFT);
    vectorized(
        #[inline(always)]
        || match axis {
            Axis::Line => placed
                .with(&log_scale(max_log_scale, outputs), |placed, log_scale| {
                    placed * exp(log_scale)
                })
                .with(shift, |scaled, shift| scaled + shift),
            Axis::Circle => placed.with(shift, |placed, shift| on_circle(placed + shift)),
        },
    )
}

#[inline(always)]
fn log_scale(max_log_scale: f32, outputs: Outputs) -> Lanes {
    let raw = outputs.kind(Layout::LOG_SCALE);
    raw.map(|raw| bounded(raw, max_log_scale))
}

/// The same point within [-1/2, 1/2].
#[inline(always)]
fn on_circle(turns: f32) -> f32 {
    turns - turns.round_ties_even()
}
