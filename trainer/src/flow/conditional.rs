//! Placement and spline of each dimension, both conditioned on the features and on the dimensions before: one
//! dimension after the other (autoregressive), or one half after the other (coupling).

use super::axis::{Axis, columns, encoded};
use super::made::{Made, MadeConfig};
use super::placement;
use super::spline::{self, Layout};
use crate::parameters::Initializer;
use burn::module::Module;
use burn::tensor::Tensor;

/// Size and order of a [`Conditional`].
pub struct ConditionalConfig<'a> {
    pub axes: &'a [Axis],
    /// Which dimensions come together: a dimension depends on those of lower rank.
    pub rank: &'a [usize],
    pub n_features: usize,
    pub hidden: usize,
    pub layers: usize,
    pub bins: usize,
    pub tail_bound: f64,
    pub max_log_scale: f64,
}

#[derive(Module, Debug)]
pub struct Conditional {
    pub(super) made: Made,
    /// Which dimensions are circles.
    is_circle: Vec<bool>,
    bins: usize,
    pub(super) tail_bound: f64,
    pub(super) max_log_scale: f64,
}

impl ConditionalConfig<'_> {
    /// Starts near the identity on lines, near a turn by `turn` on circles.
    pub fn init(&self, turn: f32, initializer: &mut Initializer) -> Conditional {
        let layout = Layout { bins: self.bins };
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
            hidden: self.hidden,
            layers: self.layers,
            n_outputs: layout.n_outputs(),
        }
        .init(initializer)
        .with_output_bias(layout.n_outputs() * d, bias, initializer);
        Conditional {
            made,
            is_circle: self.axes.iter().map(|&axis| axis == Axis::Circle).collect(),
            bins: self.bins,
            tail_bound: self.tail_bound,
            max_log_scale: self.max_log_scale,
        }
    }
}

impl Conditional {
    /// `[n, d]` -> u `[n, d]` and log |det du/dy| `[n]`
    pub fn forward(&self, y: Tensor<2>, features: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let [n, d] = y.dims();
        let axes = self.axes();
        let layout = self.layout();
        let context = self.made.context(features);
        let raw = self
            .made
            .forward(encoded(y.clone(), &axes), context)
            .reshape([n, layout.n_outputs(), d]);
        let kind = |index: usize| raw.clone().narrow(1, index, 1).squeeze_dim::<2>(1);
        let (placed, log_scaling) = placement::forward(
            y,
            kind(Layout::SHIFT),
            kind(Layout::LOG_SCALE),
            self.max_log_scale,
            &axes,
        );
        let (u, log_slope) = spline::forward(placed, raw, layout, self.tail_bound, &axes);
        (u, log_scaling + log_slope)
    }

    pub(super) fn layout(&self) -> Layout {
        Layout { bins: self.bins }
    }

    pub(super) fn axes(&self) -> Vec<Axis> {
        self.is_circle
            .iter()
            .map(|&is_circle| if is_circle { Axis::Circle } else { Axis::Line })
            .collect()
    }
}
