//! Sizes of splines, and how a conditioner's outputs for them are laid out.

use super::axis::Axis;

/// Smallest width and height of a bin, relative to the whole interval.
pub const MIN_BIN: f64 = 1e-3;
/// Smallest slope at a knot.
pub const MIN_SLOPE: f64 = 1e-3;

/// Raw outputs of a conditioner for each dimension, in this order: widths, heights, slopes at inner knots and, where
/// any dimension is a circle, the slope at the ends, which lines do not use.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub bins: usize,
}

impl Layout {
    pub fn widths(self) -> usize {
        0
    }

    pub fn heights(self) -> usize {
        self.bins
    }

    pub fn inner_slopes(self) -> usize {
        2 * self.bins
    }

    pub fn end_slope(self) -> usize {
        3 * self.bins - 1
    }

    pub fn n_outputs(self, axes: &[Axis]) -> usize {
        self.end_slope() + usize::from(axes.contains(&Axis::Circle))
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
    pub fn n_outputs(&self) -> usize {
        self.layout.n_outputs(self.axes)
    }

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
