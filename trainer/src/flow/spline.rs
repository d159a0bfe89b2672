//! Elementwise monotonic rational-quadratic splines: on a line with linear tails (Durkan et al. 2019), on a
//! circle with equal slopes at its ends (Rezende et al. 2020).

use super::axis::Axis;
use super::host::spline::{self as numbers, OneShape};
use burn::tensor::activation::{softmax, softplus};
use burn::tensor::{Device, Tensor, TensorData};

/// Smallest width and height of a bin, relative to the whole interval.
pub const MIN_BIN: f64 = 1e-3;
/// Smallest slope at a knot.
pub const MIN_SLOPE: f64 = 1e-3;

/// Raw outputs of a conditioner for each dimension, in this order: `shift` and, on a line, `log_scale` of the
/// placement; in its stead, on a circle, the slope at the ends; widths, heights, and slopes at inner knots.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub bins: usize,
}

impl Layout {
    pub const SHIFT: usize = 0;
    pub const LOG_SCALE: usize = 1;
    pub const END_SLOPE: usize = 1;

    pub fn widths(self) -> usize {
        2
    }

    pub fn heights(self) -> usize {
        2 + self.bins
    }

    pub fn inner_slopes(self) -> usize {
        2 + 2 * self.bins
    }

    pub fn n_outputs(self) -> usize {
        1 + 3 * self.bins
    }
}

/// Size of the splines of all dimensions.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    pub layout: Layout,
    pub tail_bound: f64,
    pub axes: &'a [Axis],
}

impl Shape<'_> {
    pub fn of(&self, axis: Axis) -> OneShape {
        OneShape {
            layout: self.layout,
            axis,
            tail_bound: self.tail_bound as f32,
        }
    }
}

/// The raw slope, before softplus, that becomes a slope of one.
pub fn raw_unit_slope() -> f64 {
    (1.0 - MIN_SLOPE).exp_m1().ln()
}

/// Half the length of the interval in which the spline is not the identity.
pub fn half_width(axis: Axis, tail_bound: f64) -> f64 {
    match axis {
        Axis::Line => tail_bound,
        Axis::Circle => 0.5,
    }
}

/// x `[n, d]` and raw outputs `[n, 1 + 3 bins, d]` as [`Layout`] has them -> u `[n, d]` and log |det du/dx| `[n]`
pub fn forward(x: Tensor<2>, raw: Tensor<3>, shape: &Shape) -> (Tensor<2>, Tensor<1>) {
    if crate::device::is_wgpu(&x.device().inner()) {
        forward_by_tensors(x, raw, shape)
    } else {
        forward_over_numbers(x, raw, shape)
    }
}

/// One pass over plain numbers, with derivatives by hand: on a CPU many times faster than thirty tensor operations.
///
/// The derivatives enter as factors of differences that are zero, `p - detached p`, so that values and first
/// derivatives are exact.
fn forward_over_numbers(x: Tensor<2>, raw: Tensor<3>, shape: &Shape) -> (Tensor<2>, Tensor<1>) {
    let [n, d] = x.dims();
    let device = x.device();
    let n_outputs = shape.layout.n_outputs();
    let x_host = crate::parameters::host(x.clone().detach());
    let raw_host = crate::parameters::host(raw.clone().detach());
    let matrix = |values| Tensor::<2>::from_data(TensorData::new(values, [n, d]), &device);
    if !x.is_autodiff() {
        let (u, log_slope) = numbers::forward(shape, &x_host, &raw_host);
        return (matrix(u), matrix(log_slope).sum_dim(1).squeeze_dim(1));
    }
    let cube = |values| Tensor::<3>::from_data(TensorData::new(values, [n, n_outputs, d]), &device);
    let found = numbers::forward_with_derivatives(shape, &x_host, &raw_host);
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
pub fn forward_by_tensors(x: Tensor<2>, raw: Tensor<3>, shape: &Shape) -> (Tensor<2>, Tensor<1>) {
    let Shape {
        layout,
        tail_bound,
        axes,
    } = *shape;
    let [n, d] = x.dims();
    let device = x.device();
    let bins = layout.bins;
    let half: Vec<f32> = axes
        .iter()
        .map(|&axis| half_width(axis, tail_bound) as f32)
        .collect();
    let half = Tensor::<3>::from_data(TensorData::new(half, [1, 1, d]), &device);
    let x = x.unsqueeze_dim::<3>(1);
    // Outside, where the identity holds, the spline is evaluated at its end and thrown away.
    let on_line = cube_indicator(axes, Axis::Line, &device);
    let on_circle = cube_indicator(axes, Axis::Circle, &device);
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

fn cube_indicator(axes: &[Axis], kind: Axis, device: &Device) -> Tensor<3> {
    super::axis::indicator(axes, kind, device).unsqueeze_dim(1)
}
