//! A spline for each dimension, conditioned on the features and on the dimensions before: one
//! dimension after the other (autoregressive), or one half after the other (coupling).

use super::axis::{Axis, columns, encoded};
use super::bijection::Bijection;
use super::host::spline::{forward_one, inverse_one};
use super::host::{Element, HostBijection, HostMade, Lanes, Outputs};
use super::made::{Made, MadeConfig};
use super::spline;
use super::splines::{Layout, Spline, Splines};
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
    /// Starts near the identity.
    pub fn init(&self, initializer: &mut Initializer) -> Conditional {
        let layout = Layout {
            bins: self.size.bins,
        };
        let columns = columns(self.axes);
        let made = MadeConfig {
            rank: self.rank,
            columns: &columns,
            n_features: self.n_features,
            hidden: self.size.hidden,
            layers: self.size.layers,
            n_outputs: layout.n_outputs(self.axes),
        }
        .init(initializer);
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
            .reshape([n, splines.n_outputs(), d]);
        spline::forward(y, raw, &splines)
    }

    fn at(&self, features: Tensor<2>) -> HostBijection {
        let splines = self.splines();
        let element = SplineElement {
            splines: self.axes.iter().map(|&axis| splines.of(axis)).collect(),
        };
        HostBijection::new(HostMade::new(&self.made, features), element)
    }
}

/// Of each dimension its spline.
#[derive(Debug)]
struct SplineElement {
    splines: Vec<Spline>,
}

impl Element for SplineElement {
    fn forward(&self, dimension: usize, y: &Lanes, outputs: Outputs) -> (Lanes, Lanes) {
        forward_one(self.splines[dimension], y, outputs)
    }

    fn inverse(&self, dimension: usize, u: &Lanes, outputs: Outputs) -> Lanes {
        inverse_one(self.splines[dimension], u, outputs)
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
