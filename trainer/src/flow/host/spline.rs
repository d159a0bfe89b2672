//! Rational-quadratic splines over plain numbers: value, inverse and log slope, and for training the derivatives
//! by every raw output, worked out by hand (Durkan et al. 2019, equations 4 to 8 and appendix A).

use super::lanes::{LANES, Lanes};
use super::made::Outputs;
use crate::elementary::fma::{exp, ln, sigmoid, softplus};
use crate::elementary::vectorized;
use crate::flow::axis::Axis;
use crate::flow::splines::{
    Layout, MIN_BIN, MIN_SLOPE, Spline, Splines, half_width, raw_unit_slope,
};

/// The bin in which each row lies.
struct Bin {
    index: [f32; LANES],
    left: Lanes,
    width: Lanes,
    bottom: Lanes,
    height: Lanes,
    /// Raw slopes at both sides.
    raw_left: Lanes,
    raw_right: Lanes,
}

/// Normalized sizes are `exponential / sum`; a bin's is (`floor` + `scale` · normalized).
struct Softmax {
    largest: Lanes,
    /// `scale` over the sum.
    factor: Lanes,
}

/// x -> u and ln du/dx
pub fn forward_one(spline: Spline, x: &Lanes, raw: Outputs) -> (Lanes, Lanes) {
    vectorized(
        #[inline(always)]
        || {
            let bin = find::<false>(spline, x, raw);
            let mut u = Lanes::ZERO;
            let mut log_slope = Lanes::ZERO;
            for lane in 0..LANES {
                let x = x.0[lane];
                let bin = bin.lane(lane);
                let xi = ((x - bin.left) / bin.width).clamp(0.0, 1.0);
                let (value, slope) = bin.at(xi);
                let is_outside = spline.is_outside(x);
                u.0[lane] = if is_outside { x } else { value };
                log_slope.0[lane] = if is_outside { 0.0 } else { slope };
            }
            (u, log_slope)
        },
    )
}

/// The x whose u is given.
pub fn inverse_one(spline: Spline, u: &Lanes, raw: Outputs) -> Lanes {
    vectorized(
        #[inline(always)]
        || {
            let bin = find::<true>(spline, u, raw);
            let mut x = Lanes::ZERO;
            for lane in 0..LANES {
                let u = u.0[lane];
                let bin = bin.lane(lane);
                let s = bin.height / bin.width;
                let above = between_zero_and(bin.height, u - bin.bottom);
                let bend = bin.d0 + bin.d1 - 2.0 * s;
                let a = bin.height * (s - bin.d0) + above * bend;
                let b = bin.height * bin.d0 - above * bend;
                let c = -s * above;
                let discriminant = (b * b - 4.0 * a * c).max(0.0);
                let denominator = -b - discriminant.sqrt();
                // Zero only where c is zero as well.
                let xi = 2.0 * c
                    / if denominator == 0.0 {
                        -1.0
                    } else {
                        denominator
                    };
                let value = bin.left + bin.width * xi.clamp(0.0, 1.0);
                x.0[lane] = if spline.is_outside(u) { u } else { value };
            }
            x
        },
    )
}

/// `value.clamp(0.0, limit)`, which panics where the limit is not a number; a value that is none stays so.
#[inline(always)]
fn between_zero_and(limit: f32, value: f32) -> f32 {
    let value = if value < 0.0 { 0.0 } else { value };
    if value > limit { limit } else { value }
}

/// x `[n, d]` and raw outputs `[n, 1 + 3 bins, d]`, row-major -> u and ln du/dx, `[n, d]` each
pub fn forward(splines: &Splines, x: &[f32], raw: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut u = vec![0.0; x.len()];
    let mut log_slope = vec![0.0; x.len()];
    for_each_dimension(splines, x, raw, |one, own, raw, elements| {
        let (own_u, own_slope) = forward_one(one, own, raw);
        elements.scatter(&own_u, &mut u);
        elements.scatter(&own_slope, &mut log_slope);
    });
    (u, log_slope)
}

/// Values and first derivatives by x `[n, d]` and by the raw outputs `[n, 1 + 3 bins, d]`.
pub struct Derivatives {
    pub u: Vec<f32>,
    pub log_slope: Vec<f32>,
    pub du_dx: Vec<f32>,
    pub dlog_slope_dx: Vec<f32>,
    pub du_draw: Vec<f32>,
    pub dlog_slope_draw: Vec<f32>,
}

pub fn forward_with_derivatives(splines: &Splines, x: &[f32], raw: &[f32]) -> Derivatives {
    let zeros = |n: usize| vec![0.0f32; n];
    let mut all = Derivatives {
        u: zeros(x.len()),
        log_slope: zeros(x.len()),
        du_dx: zeros(x.len()),
        dlog_slope_dx: zeros(x.len()),
        du_draw: zeros(raw.len()),
        dlog_slope_draw: zeros(raw.len()),
    };
    let n_outputs = splines.layout.n_outputs();
    let mut of_u = vec![Lanes::ZERO; n_outputs];
    let mut of_slope = vec![Lanes::ZERO; n_outputs];
    for_each_dimension(splines, x, raw, |one, own, raw, elements| {
        let point = derivatives_one(one, own, raw, &mut of_u, &mut of_slope);
        elements.scatter(&point.u, &mut all.u);
        elements.scatter(&point.log_slope, &mut all.log_slope);
        elements.scatter(&point.du_dx, &mut all.du_dx);
        elements.scatter(&point.dlog_slope_dx, &mut all.dlog_slope_dx);
        for kind in 0..n_outputs {
            elements.scatter_kind(kind, n_outputs, &of_u[kind], &mut all.du_draw);
            elements.scatter_kind(kind, n_outputs, &of_slope[kind], &mut all.dlog_slope_draw);
        }
    });
    all
}

/// Which elements of an `[n, d]` matrix are at hand: one dimension of some rows.
struct Elements {
    first_row: usize,
    n_rows: usize,
    dimension: usize,
    d: usize,
}

impl Elements {
    fn scatter(&self, values: &Lanes, out: &mut [f32]) {
        self.scatter_kind(0, 1, values, out);
    }

    fn scatter_kind(&self, kind: usize, n_kinds: usize, values: &Lanes, out: &mut [f32]) {
        for (i, &value) in values.0[..self.n_rows].iter().enumerate() {
            out[((self.first_row + i) * n_kinds + kind) * self.d + self.dimension] = value;
        }
    }
}

fn for_each_dimension(
    splines: &Splines,
    x: &[f32],
    raw: &[f32],
    mut on_elements: impl FnMut(Spline, &Lanes, Outputs, Elements),
) {
    let d = splines.axes.len();
    let n_kinds = splines.layout.n_outputs();
    let n = x.len() / d.max(1);
    let mut own_raw = vec![Lanes::ZERO; n_kinds];
    for first_row in (0..n).step_by(LANES) {
        let n_rows = LANES.min(n - first_row);
        for (dimension, &axis) in splines.axes.iter().enumerate() {
            let mut own = Lanes::ZERO;
            for i in 0..n_rows {
                let row = first_row + i;
                own.0[i] = x[row * d + dimension];
                for (kind, lanes) in own_raw.iter_mut().enumerate() {
                    lanes.0[i] = raw[(row * n_kinds + kind) * d + dimension];
                }
            }
            let elements = Elements {
                first_row,
                n_rows,
                dimension,
                d,
            };
            let outputs = Outputs::new(&own_raw, 0, 1);
            on_elements(splines.of(axis), &own, outputs, elements);
        }
    }
}

/// A row's bin, slopes worked out.
struct OneBin {
    left: f32,
    width: f32,
    bottom: f32,
    height: f32,
    d0: f32,
    d1: f32,
}

impl OneBin {
    /// Value and log slope at `xi` of the bin's width.
    #[inline(always)]
    fn at(&self, xi: f32) -> (f32, f32) {
        let s = self.height / self.width;
        let rest = 1.0 - xi;
        let theta = xi * rest;
        let denominator = s + (self.d0 + self.d1 - 2.0 * s) * theta;
        let numerator = s * xi * xi + self.d0 * theta;
        let slope = self.d1 * xi * xi + 2.0 * s * theta + self.d0 * rest * rest;
        let ratio = s / denominator;
        (
            self.bottom + self.height * numerator / denominator,
            ln(slope * ratio * ratio),
        )
    }
}

impl Bin {
    #[inline(always)]
    fn lane(&self, lane: usize) -> OneBin {
        let slope = |raw: f32| softplus(raw + raw_unit_slope() as f32) + MIN_SLOPE as f32;
        OneBin {
            left: self.left.0[lane],
            width: self.width.0[lane],
            bottom: self.bottom.0[lane],
            height: self.height.0[lane],
            d0: slope(self.raw_left.0[lane]),
            d1: slope(self.raw_right.0[lane]),
        }
    }
}

impl Spline {
    fn half(self) -> f32 {
        half_width(self.axis, f64::from(self.tail_bound)) as f32
    }

    #[inline(always)]
    fn is_outside(self, x: f32) -> bool {
        match self.axis {
            // A NaN is outside, and stays one.
            Axis::Line => x.is_nan() || x.abs() >= self.tail_bound,
            Axis::Circle => false,
        }
    }

    #[inline(always)]
    fn floor(self) -> f32 {
        2.0 * self.half() * MIN_BIN as f32
    }

    #[inline(always)]
    fn softmax(self, raw: Outputs, first: usize) -> Softmax {
        let bins = self.layout.bins;
        let mut largest = *raw.kind(first);
        for k in 1..bins {
            largest = largest.with(raw.kind(first + k), f32::max);
        }
        let mut sum = Lanes::ZERO;
        for k in 0..bins {
            let raw = raw.kind(first + k);
            for lane in 0..LANES {
                sum.0[lane] += exp(raw.0[lane] - largest.0[lane]);
            }
        }
        let scale = 2.0 * self.half() * (1.0 - MIN_BIN as f32 * bins as f32);
        Softmax {
            largest,
            factor: sum.map(|sum| scale / sum),
        }
    }
}

/// The bin of `value`, a u where `BY_HEIGHT` and an x where not.
#[inline(always)]
fn find<const BY_HEIGHT: bool>(spline: Spline, value: &Lanes, raw: Outputs) -> Bin {
    let layout = spline.layout;
    let bins = layout.bins;
    let widths = spline.softmax(raw, layout.widths());
    let heights = spline.softmax(raw, layout.heights());
    let end = match spline.axis {
        Axis::Line => Lanes::ZERO,
        Axis::Circle => *raw.kind(Layout::END_SLOPE),
    };
    let inner = |knot: usize| {
        if knot == 0 || knot == bins {
            &end
        } else {
            raw.kind(layout.inner_slopes() + knot - 1)
        }
    };
    let floor = spline.floor();
    let mut next_left = Lanes::splat(-spline.half());
    let mut next_bottom = next_left;
    let mut bin = Bin {
        index: [0.0; LANES],
        left: next_left,
        width: Lanes::ZERO,
        bottom: next_bottom,
        height: Lanes::ZERO,
        raw_left: Lanes::ZERO,
        raw_right: Lanes::ZERO,
    };
    for k in 0..bins {
        let raw_width = raw.kind(layout.widths() + k);
        let raw_height = raw.kind(layout.heights() + k);
        let (raw_left, raw_right) = (inner(k), inner(k + 1));
        for lane in 0..LANES {
            let width =
                floor + widths.factor.0[lane] * exp(raw_width.0[lane] - widths.largest.0[lane]);
            let height =
                floor + heights.factor.0[lane] * exp(raw_height.0[lane] - heights.largest.0[lane]);
            let (left, bottom) = (next_left.0[lane], next_bottom.0[lane]);
            let edge = if BY_HEIGHT { bottom } else { left };
            let is_reached = k == 0 || value.0[lane] >= edge;
            let take = |new: f32, old: f32| if is_reached { new } else { old };
            bin.index[lane] = take(k as f32, bin.index[lane]);
            bin.left.0[lane] = take(left, bin.left.0[lane]);
            bin.width.0[lane] = take(width, bin.width.0[lane]);
            bin.bottom.0[lane] = take(bottom, bin.bottom.0[lane]);
            bin.height.0[lane] = take(height, bin.height.0[lane]);
            bin.raw_left.0[lane] = take(raw_left.0[lane], bin.raw_left.0[lane]);
            bin.raw_right.0[lane] = take(raw_right.0[lane], bin.raw_right.0[lane]);
            next_left.0[lane] = left + width;
            next_bottom.0[lane] = bottom + height;
        }
    }
    bin
}

/// Values and derivatives by x of some rows.
struct Point {
    u: Lanes,
    log_slope: Lanes,
    du_dx: Lanes,
    dlog_slope_dx: Lanes,
}

/// Derivatives of one result by the quantities of its bin.
#[derive(Clone, Copy)]
struct ByBin {
    left: Lanes,
    width: Lanes,
    bottom: Lanes,
    height: Lanes,
    raw_left: Lanes,
    raw_right: Lanes,
}

const NO_DERIVATIVES: ByBin = ByBin {
    left: Lanes::ZERO,
    width: Lanes::ZERO,
    bottom: Lanes::ZERO,
    height: Lanes::ZERO,
    raw_left: Lanes::ZERO,
    raw_right: Lanes::ZERO,
};

fn derivatives_one(
    spline: Spline,
    x: &Lanes,
    raw: Outputs,
    of_u: &mut [Lanes],
    of_slope: &mut [Lanes],
) -> Point {
    vectorized(
        #[inline(always)]
        || {
            let bin = find::<false>(spline, x, raw);
            let (point, by_bin_u, by_bin_slope) = by_bin(spline, x, &bin);
            by_raw(spline, raw, &bin.index, &by_bin_u, of_u);
            by_raw(spline, raw, &bin.index, &by_bin_slope, of_slope);
            point
        },
    )
}

#[inline(always)]
fn by_bin(spline: Spline, x: &Lanes, bin: &Bin) -> (Point, ByBin, ByBin) {
    let mut point = Point {
        u: Lanes::ZERO,
        log_slope: Lanes::ZERO,
        du_dx: Lanes::ZERO,
        dlog_slope_dx: Lanes::ZERO,
    };
    let mut of_u = NO_DERIVATIVES;
    let mut of_slope = NO_DERIVATIVES;
    for lane in 0..LANES {
        let x = x.0[lane];
        let own = bin.lane(lane);
        let (w, h, d0, d1) = (own.width, own.height, own.d0, own.d1);
        let s = h / w;
        let xi = ((x - own.left) / w).clamp(0.0, 1.0);
        let rest = 1.0 - xi;
        let theta = xi * rest;
        let bend = d0 + d1 - 2.0 * s;
        let tilt = rest - xi;
        let den = s + bend * theta;
        let num = s * xi * xi + d0 * theta;
        let slope = d1 * xi * xi + 2.0 * s * theta + d0 * rest * rest;
        let (u, log_slope) = own.at(xi);
        let one_den = 1.0 / den;
        let one_slope = 1.0 / slope;
        let h_den2 = h * one_den * one_den;

        // By s, by the slopes, and by xi, with all others held.
        let u_s = h_den2 * (xi * xi * den - num * (1.0 - 2.0 * theta));
        let u_d0 = h_den2 * theta * (den - num);
        let u_d1 = -h_den2 * num * theta;
        let du_dx = slope * (s * one_den) * (s * one_den);
        let u_xi = du_dx * w;
        let l_s = 2.0 / s + 2.0 * theta * one_slope - 2.0 * (1.0 - 2.0 * theta) * one_den;
        let l_d0 = rest * rest * one_slope - 2.0 * theta * one_den;
        let l_d1 = xi * xi * one_slope - 2.0 * theta * one_den;
        let l_xi = (2.0 * d1 * xi + 2.0 * s * tilt - 2.0 * d0 * rest) * one_slope
            - 2.0 * bend * tilt * one_den;

        // s = h / w and xi = (x - left) / w.
        let inside = if spline.is_outside(x) { 0.0 } else { 1.0 };
        let per_width = inside / w;
        let by_raw_slope = |raw: f32| inside * sigmoid(raw + raw_unit_slope() as f32);
        let (left, right) = (
            by_raw_slope(bin.raw_left.0[lane]),
            by_raw_slope(bin.raw_right.0[lane]),
        );
        point.u.0[lane] = if spline.is_outside(x) { x } else { u };
        point.log_slope.0[lane] = inside * log_slope;
        point.du_dx.0[lane] = if spline.is_outside(x) { 1.0 } else { du_dx };
        point.dlog_slope_dx.0[lane] = l_xi * per_width;
        of_u.left.0[lane] = -u_xi * per_width;
        of_u.width.0[lane] = -(u_s * s + u_xi * xi) * per_width;
        of_u.bottom.0[lane] = inside;
        of_u.height.0[lane] = inside * num * one_den + u_s * per_width;
        of_u.raw_left.0[lane] = u_d0 * left;
        of_u.raw_right.0[lane] = u_d1 * right;
        of_slope.left.0[lane] = -l_xi * per_width;
        of_slope.width.0[lane] = -(l_s * s + l_xi * xi) * per_width;
        of_slope.height.0[lane] = l_s * per_width;
        of_slope.raw_left.0[lane] = l_d0 * left;
        of_slope.raw_right.0[lane] = l_d1 * right;
    }
    (point, of_u, of_slope)
}

/// From derivatives by the bin to those by the raw outputs; the placement's own are zero.
#[inline(always)]
fn by_raw(spline: Spline, raw: Outputs, index: &[f32; LANES], by_bin: &ByBin, out: &mut [Lanes]) {
    let layout = spline.layout;
    let bins = layout.bins;
    out.fill(Lanes::ZERO);
    by_sizes(
        spline,
        raw,
        index,
        layout.widths(),
        (&by_bin.left, &by_bin.width),
        out,
    );
    by_sizes(
        spline,
        raw,
        index,
        layout.heights(),
        (&by_bin.bottom, &by_bin.height),
        out,
    );
    for knot in 0..=bins {
        let kind = if knot == 0 || knot == bins {
            match spline.axis {
                Axis::Line => continue,
                Axis::Circle => Layout::END_SLOPE,
            }
        } else {
            layout.inner_slopes() + knot - 1
        };
        let out = &mut out[kind];
        for (lane, &bin) in index.iter().enumerate() {
            let starts = if bin == knot as f32 { 1.0 } else { 0.0 };
            let ends = if bin + 1.0 == knot as f32 { 1.0 } else { 0.0 };
            out.0[lane] += starts * by_bin.raw_left.0[lane] + ends * by_bin.raw_right.0[lane];
        }
    }
}

/// An edge is the sum of the sizes before it; sizes are a softmax.
#[inline(always)]
fn by_sizes(
    spline: Spline,
    raw: Outputs,
    index: &[f32; LANES],
    first: usize,
    (by_edge, by_size): (&Lanes, &Lanes),
    out: &mut [Lanes],
) {
    let bins = spline.layout.bins;
    let softmax = spline.softmax(raw, first);
    // `factor` is scale / sum: what follows is the derivative times the normalized size times the scale.
    let mut mean = Lanes::ZERO;
    for k in 0..bins {
        let raw = raw.kind(first + k);
        let out = &mut out[first + k];
        for (lane, &bin) in index.iter().enumerate() {
            let size = softmax.factor.0[lane] * exp(raw.0[lane] - softmax.largest.0[lane]);
            let by_this = if (k as f32) < bin {
                by_edge.0[lane]
            } else if k as f32 == bin {
                by_size.0[lane]
            } else {
                0.0
            };
            out.0[lane] = size * by_this;
            mean.0[lane] += size * by_this;
        }
    }
    let scale = 2.0 * spline.half() * (1.0 - MIN_BIN as f32 * bins as f32);
    for k in 0..bins {
        let raw = raw.kind(first + k);
        let out = &mut out[first + k];
        for lane in 0..LANES {
            let size = softmax.factor.0[lane] * exp(raw.0[lane] - softmax.largest.0[lane]);
            out.0[lane] -= size * mean.0[lane] / scale;
        }
    }
}
