//! Sizes of splines, and how a conditioner's outputs for them are laid out.

use super::axis::Axis;

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

/// Size of one dimension's spline.
#[derive(Debug, Clone, Copy)]
pub struct Spline {
    pub layout: Layout,
    pub axis: Axis,
    pub tail_bound: f32,
}

/// Size of the splines of all dimensions.
#[derive(Debug, Clone, Copy)]
pub struct Splines<'a> {
    pub layout: Layout,
    pub tail_bound: f64,
    pub axes: &'a [Axis],
}

impl Splines<'_> {
    pub fn of(&self, axis: Axis) -> Spline {
        Spline {
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
