//! Elementwise monotonic rational-quadratic splines: on a line with linear tails (Durkan et al. 2019), on a
//! circle with equal slopes at its ends (Rezende et al. 2020).

use super::axis::{Axis, indicator};
use super::host::spline as numbers;
use super::splines::{Layout, MIN_BIN, MIN_SLOPE, Splines, half_width, raw_unit_slope};
use crate::parameters::{host, tensor};
use burn::tensor::Tensor;
use burn::tensor::activation::{softmax, softplus};

/// x `[n, d]` and raw outputs `[n, 1 + 3 bins, d]` as [`Layout`] has them -> u `[n, d]` and log |det du/dx| `[n]`
pub fn forward(x: Tensor<2>, raw: Tensor<3>, splines: &Splines) -> (Tensor<2>, Tensor<1>) {
    if crate::device::is_wgpu(&x.device().inner()) {
        forward_by_tensors(x, raw, splines)
    } else {
        forward_over_numbers(x, raw, splines)
    }
}

/// One pass over plain numbers, with derivatives by hand: on a CPU many times faster than thirty tensor operations.
///
/// The derivatives enter as factors of differences that are zero, `p - detached p`, so that values and first
/// derivatives are exact.
fn forward_over_numbers(x: Tensor<2>, raw: Tensor<3>, splines: &Splines) -> (Tensor<2>, Tensor<1>) {
    let [n, d] = x.dims();
    let device = x.device();
    let n_outputs = splines.layout.n_outputs();
    let x_host = host(x.clone().detach());
    let raw_host = host(raw.clone().detach());
    let matrix = |values| tensor(values, [n, d], &device);
    if !x.is_autodiff() {
        let (u, log_slope) = numbers::forward(splines, &x_host, &raw_host);
        return (matrix(u), matrix(log_slope).sum_dim(1).squeeze_dim(1));
    }
    let cube = |values| tensor(values, [n, n_outputs, d], &device);
    let found = numbers::forward_with_derivatives(splines, &x_host, &raw_host);
    let raw_zero = raw.clone() - raw.detach();
    let x_zero = x.clone() - x.detach();
    let u = matrix(found.u)
        + x_zero.clone() * matrix(found.du_dx)
        + (raw_zero.clone() * cube(found.du_draw))
            .sum_dim(1)
            .squeeze_dim::<2>(1);
    let log_slope = matrix(found.log_slope)
        + x_zero * matrix(found.dlog_slope_dx)
        + (raw_zero * cube(found.dlog_slope_draw))
            .sum_dim(1)
            .squeeze_dim::<2>(1);
    (u, log_slope.sum_dim(1).squeeze_dim(1))
}

/// The same as tensor operations throughout, for GPUs and to check the other one against.
pub fn forward_by_tensors(
    x: Tensor<2>,
    raw: Tensor<3>,
    splines: &Splines,
) -> (Tensor<2>, Tensor<1>) {
    let Splines {
        layout,
        tail_bound,
        axes,
    } = *splines;
    let [n, d] = x.dims();
    let device = x.device();
    let bins = layout.bins;
    let half_widths = axes.iter().map(|&axis| half_width(axis, tail_bound) as f32);
    let half = tensor(half_widths.collect(), [1, 1, d], &device);
    let x = x.unsqueeze_dim::<3>(1);
    // Outside, where the identity holds, the spline is evaluated at its end and thrown away.
    let on = |kind: Axis| indicator(axes, kind, &device).unsqueeze_dim::<3>(1);
    let (on_line, on_circle) = (on(Axis::Line), on(Axis::Circle));
    let outside = x.clone().abs().greater_equal(half.clone()).float() * on_line;
    let inside = outside.clone().neg() + 1.0;
    let x_inside = x.clone() * inside.clone();

    let sizes = |first: usize| {
        let share = softmax(raw.clone().narrow(1, first, bins), 1);
        (share * (1.0 - MIN_BIN * bins as f64) + MIN_BIN) * (half.clone() * 2.0)
    };
    let width = sizes(layout.widths());
    let height = sizes(layout.heights());
    let left = width.clone().cumsum(1) - width.clone() - half.clone();
    let bottom = height.clone().cumsum(1) - height.clone() - half;
    let end = raw.clone().narrow(1, Layout::END_SLOPE, 1) * on_circle;
    let inner = raw.narrow(1, layout.inner_slopes(), bins - 1);
    let slope =
        |raw: Vec<Tensor<3>>| softplus(Tensor::cat(raw, 1) + raw_unit_slope(), 1.0) + MIN_SLOPE;
    let left_slope = slope(vec![end.clone(), inner.clone()]);
    let right_slope = slope(vec![inner, end]);

    // One for the bin in which x lies: edges are ascending, so that exactly one is left.
    let reached = x_inside
        .clone()
        .greater_equal(left.clone())
        .float()
        .detach()
        .slice_assign([0..n, 0..1, 0..d], Tensor::ones([n, 1, d], &device));
    let next = Tensor::cat(
        vec![
            reached.clone().narrow(1, 1, bins - 1),
            Tensor::zeros([n, 1, d], &device),
        ],
        1,
    );
    let is_own = reached - next;
    let own = |values: Tensor<3>| (values * is_own.clone()).sum_dim(1);
    let (width, height) = (own(width), own(height));
    let (left, bottom) = (own(left), own(bottom));
    let (d0, d1) = (own(left_slope), own(right_slope));

    let s = height.clone() / width.clone();
    let xi = ((x_inside - left) / width).clamp(0.0, 1.0);
    let rest = xi.clone().neg() + 1.0;
    let theta = xi.clone() * rest.clone();
    let denominator = s.clone() + (d0.clone() + d1.clone() - s.clone() * 2.0) * theta.clone();
    let numerator = s.clone() * xi.clone().powi_scalar(2) + d0.clone() * theta.clone();
    let u = bottom + height * numerator / denominator.clone();
    let slope = d1 * xi.powi_scalar(2) + s.clone() * theta * 2.0 + d0 * rest.powi_scalar(2);
    let log_slope = s.log() * 2.0 + slope.log() - denominator.log() * 2.0;
    (
        (u * inside.clone() + x * outside).squeeze_dim(1),
        (log_slope * inside)
            .squeeze_dim::<2>(1)
            .sum_dim(1)
            .squeeze_dim(1),
    )
}
