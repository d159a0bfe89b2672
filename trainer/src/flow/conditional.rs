//! Placement and spline of each dimension, both conditioned on the features and on the dimensions before: one
//! dimension after the other (autoregressive), or one half after the other (coupling).

use super::axis::{Axis, columns, encoded};
use super::bijection::Bijection;
use super::host::spline::{forward_one, inverse_one};
use super::host::{Element, HostBijection, HostMade, Lanes, Outputs};
use super::made::{Made, MadeConfig};
use super::splines::{Layout, Spline, Splines};
use super::{placement, spline};
use crate::elementary::fma::cos_sin;
use crate::elementary::vectorized;
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;
use sidereal_inference::campaign::NsfSize;

/// Size and order of a [`Conditional`].
pub struct ConditionalConfig<'a> {
    pub axes: &'a [Axis],
    /// Which dimensions come together: a dimension depends on those of lower rank.
    pub rank: &'a [usize],
    pub n_features: usize,
    pub size: NsfSize,
}

#[derive(Module, Debug)]
pub struct Conditional {
    made: Made,
    #[module(skip)]
    axes: Vec<Axis>,
    #[module(skip)]
    size: NsfSize,
}

impl ConditionalConfig<'_> {
    /// Starts near the identity on lines, near a turn by `turn` on circles.
    pub fn init(&self, turn: f32, initializer: &mut Initializer) -> Conditional {
        let layout = Layout {
            bins: self.size.bins,
        };
        let d = self.axes.len();
        let columns = columns(self.axes);
        let bias = |i: usize| match self.axes[i % d] {
            Axis::Circle if i / d == Layout::SHIFT => turn,
            Axis::Circle | Axis::Line => 0.0,
        };
        let made = MadeConfig {
            rank: self.rank,
            columns: &columns,
            n_features: self.n_features,
            hidden: self.size.hidden,
            layers: self.size.layers,
            n_outputs: layout.n_outputs(),
        }
        .init(initializer)
        .with_output_bias(layout.n_outputs() * d, bias, initializer);
        Conditional {
            made,
            axes: self.axes.to_vec(),
            size: self.size,
        }
    }
}

impl Conditional {
    fn splines(&self) -> Splines<'_> {
        Splines {
            layout: Layout {
                bins: self.size.bins,
            },
            tail_bound: self.size.tail_bound,
            axes: &self.axes,
        }
    }
}

impl Bijection for Conditional {
    fn forward(&self, y: Tensor<2>, features: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let [n, d] = y.dims();
        let axes = &self.axes;
        let splines = self.splines();
        let context = self.made.context(features);
        let raw = self
            .made
            .forward(encoded(y.clone(), axes), context)
            .reshape([n, splines.layout.n_outputs(), d]);
        let kind = |index: usize| raw.clone().narrow(1, index, 1).squeeze_dim::<2>(1);
        let (placed, log_scaling) = placement::forward(
            y,
            kind(Layout::SHIFT),
            kind(Layout::LOG_SCALE),
            self.size.max_log_scale,
            axes,
        );
        let (u, log_slope) = spline::forward(placed, raw, &splines);
        (u, log_scaling + log_slope)
    }

    fn at(&self, features: Tensor<2>) -> HostBijection {
        let splines = self.splines();
        let element = PlacementAndSpline {
            splines: self.axes.iter().map(|&axis| splines.of(axis)).collect(),
            max_log_scale: self.size.max_log_scale as f32,
        };
        HostBijection::new(HostMade::new(&self.made, features), element)
    }
}

/// Of each dimension its spline.
#[derive(Debug)]
struct PlacementAndSpline {
    splines: Vec<Spline>,
    max_log_scale: f32,
}

impl Element for PlacementAndSpline {
    fn forward(&self, dimension: usize, y: &Lanes, outputs: Outputs) -> (Lanes, Lanes) {
        let spline = self.splines[dimension];
        let (placed, log_scale) =
            placement::forward_one(spline.axis, self.max_log_scale, y, outputs);
        let (u, log_slope) = forward_one(spline, &placed, outputs);
        (u, log_slope.with(&log_scale, |slope, scale| slope - scale))
    }

    fn inverse(&self, dimension: usize, u: &Lanes, outputs: Outputs) -> Lanes {
        let spline = self.splines[dimension];
        let placed = inverse_one(spline, u, outputs);
        placement::inverse_one(spline.axis, self.max_log_scale, &placed, outputs)
    }

    /// See [`columns`].
    fn column(&self, dimension: usize, which: usize, y: &Lanes) -> Lanes {
        match self.splines[dimension].axis {
            Axis::Line => *y,
            Axis::Circle => vectorized(
                #[inline(always)]
                || {
                    y.map(|turns| {
                        let (cos, sin) = cos_sin(turns);
                        if which == 0 { cos } else { sin }
                    })
                },
            ),
        }
    }
}
