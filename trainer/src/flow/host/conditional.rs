//! Placement and spline over plain numbers.

use super::super::axis::Axis;
use super::super::conditional::Conditional;
use super::super::spline::Layout;
use super::lanes::{LANES, Lanes, bounded, cos_sin, exp, vectorized};
use super::made::{HostMade, Outputs, Scratch};
use super::spline::{self, OneShape};
use burn::tensor::Tensor;
use pulp::Arch;

#[derive(Debug)]
pub struct HostConditional {
    made: HostMade,
    axes: Vec<Axis>,
    layout: Layout,
    tail_bound: f32,
    max_log_scale: f32,
}

impl HostConditional {
    pub fn new(conditional: &Conditional, features: Tensor<2>) -> Self {
        Self {
            made: HostMade::new(&conditional.made, features),
            axes: conditional.axes(),
            layout: conditional.layout(),
            tail_bound: conditional.tail_bound as f32,
            max_log_scale: conditional.max_log_scale as f32,
        }
    }

    pub fn scratch(&self) -> Scratch {
        self.made.scratch()
    }

    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// y becomes u; log |det du/dy| is added to `log_determinant`.
    pub fn forward(
        &self,
        arch: Arch,
        scratch: &mut Scratch,
        y: &mut [Lanes],
        log_determinant: &mut Lanes,
    ) {
        let mut u = y.to_vec();
        self.made.run(
            arch,
            scratch,
            &mut (),
            |(), dimension, outputs| {
                let log_scale = self.log_scale(arch, dimension, outputs);
                let placed = self.placed(arch, dimension, &u[dimension], outputs, &log_scale);
                let (value, log_slope) =
                    spline::forward_one(arch, self.shape(dimension), &placed, outputs);
                u[dimension] = value;
                for lane in 0..LANES {
                    log_determinant.0[lane] += log_slope.0[lane] - log_scale.0[lane];
                }
            },
            |(), dimension, which| self.column(arch, &y[dimension], dimension, which),
        );
        y.copy_from_slice(&u);
    }

    /// u becomes y.
    pub fn inverse(&self, arch: Arch, scratch: &mut Scratch, u: &mut [Lanes]) {
        self.made.run(
            arch,
            scratch,
            u,
            |u, dimension, outputs| {
                let placed =
                    spline::inverse_one(arch, self.shape(dimension), &u[dimension], outputs);
                let log_scale = self.log_scale(arch, dimension, outputs);
                u[dimension] = self.unplaced(arch, dimension, &placed, outputs, &log_scale);
            },
            |y, dimension, which| self.column(arch, &y[dimension], dimension, which),
        );
    }

    fn shape(&self, dimension: usize) -> OneShape {
        OneShape {
            layout: self.layout,
            axis: self.axes[dimension],
            tail_bound: self.tail_bound,
        }
    }

    fn log_scale(&self, arch: Arch, dimension: usize, outputs: Outputs) -> Lanes {
        match self.axes[dimension] {
            Axis::Line => vectorized(
                arch,
                #[inline(always)]
                || {
                    outputs
                        .kind(Layout::LOG_SCALE)
                        .map(|raw| bounded(raw, self.max_log_scale))
                },
            ),
            Axis::Circle => Lanes::ZERO,
        }
    }

    fn placed(
        &self,
        arch: Arch,
        dimension: usize,
        y: &Lanes,
        outputs: Outputs,
        log_scale: &Lanes,
    ) -> Lanes {
        let moved = y.with(outputs.kind(Layout::SHIFT), |y, shift| y - shift);
        match self.axes[dimension] {
            Axis::Line => vectorized(
                arch,
                #[inline(always)]
                || moved.with(log_scale, |moved, log_scale| moved * exp(-log_scale)),
            ),
            Axis::Circle => vectorized(
                arch,
                #[inline(always)]
                || moved.map(on_circle),
            ),
        }
    }

    fn unplaced(
        &self,
        arch: Arch,
        dimension: usize,
        placed: &Lanes,
        outputs: Outputs,
        log_scale: &Lanes,
    ) -> Lanes {
        let shift = outputs.kind(Layout::SHIFT);
        match self.axes[dimension] {
            Axis::Line => vectorized(
                arch,
                #[inline(always)]
                || {
                    placed
                        .with(log_scale, |placed, log_scale| placed * exp(log_scale))
                        .with(shift, |scaled, shift| scaled + shift)
                },
            ),
            Axis::Circle => vectorized(
                arch,
                #[inline(always)]
                || placed.with(shift, |placed, shift| on_circle(placed + shift)),
            ),
        }
    }

    /// What the conditioner sees of a dimension, see [`columns`](super::super::axis::columns).
    fn column(&self, arch: Arch, y: &Lanes, dimension: usize, which: usize) -> Lanes {
        match self.axes[dimension] {
            Axis::Line => *y,
            Axis::Circle => vectorized(
                arch,
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

/// The same point within [-1/2, 1/2].
#[inline(always)]
fn on_circle(turns: f32) -> f32 {
    turns - turns.round_ties_even()
}
