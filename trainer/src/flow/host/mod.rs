//! Flows at one feature vector over plain numbers: how draws are made and scored, on any device. What all rows
//! share is computed once, and a draw costs what a density does.

mod affine;
mod conditional;
mod lanes;
mod made;
mod mixture;
pub(super) mod spline;

use super::Flow;
use super::axis::Axis;
use super::nsf::{LOG_PEAK, line_quantile};
use burn::tensor::Tensor;
use lanes::{LANES, ln, vectorized};
use made::Scratch;
use pulp::Arch;

pub(super) use affine::HostAffine;
pub(super) use conditional::HostConditional;
pub(super) use lanes::Lanes;
pub(super) use mixture::HostMixture;

/// Randomness of draws, row-major `[n, n_parameters]`: uniform in [0, 1) and standard normal.
pub struct BaseDraws<'a> {
    pub uniform: &'a [f64],
    pub normal: &'a [f64],
}

/// A flow that looks at one feature vector.
#[derive(Debug)]
pub struct HostFlow {
    n_parameters: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Maf {
        blocks: Vec<HostAffine>,
        base: HostMixture,
    },
    Nsf {
        blocks: Vec<HostConditional>,
        axes: Vec<Axis>,
    },
}

impl HostFlow {
    /// `features` is `[1, features]`, on the device of `flow`.
    pub fn new(flow: &Flow, n_parameters: usize, features: Tensor<2>) -> Self {
        let kind = match flow {
            Flow::Maf(maf) => Kind::Maf {
                blocks: maf
                    .blocks
                    .iter()
                    .map(|block| HostAffine::new(block, features.clone()))
                    .collect(),
                base: HostMixture::new(&maf.base, features),
            },
            Flow::Nsf(nsf) => {
                let blocks: Vec<HostConditional> = nsf
                    .blocks
                    .iter()
                    .map(|block| HostConditional::new(block, features.clone()))
                    .collect();
                let axes = match blocks.first() {
                    Some(block) => block.axes().to_vec(),
                    None => vec![Axis::Line; n_parameters],
                };
                Kind::Nsf { blocks, axes }
            }
        };
        Self { n_parameters, kind }
    }

    /// log q of rows `[n, n_parameters]`: `[n]`
    pub fn log_density(&self, y: &[f32]) -> Vec<f32> {
        let d = self.n_parameters;
        let n = y.len() / d;
        let arch = Arch::new();
        let mut scratch = self.scratch();
        let mut result = Vec::with_capacity(n);
        let mut columns = vec![Lanes::ZERO; d];
        for rows in y.chunks(LANES * d) {
            fill(&mut columns, rows, |_, value| value);
            let log_density = self.log_density_of(arch, &mut scratch, &mut columns);
            result.extend_from_slice(&log_density.0[..rows.len() / d]);
        }
        result
    }

    /// A draw for each row of base draws: `[n, n_parameters]`
    pub fn draw(&self, base: &BaseDraws) -> Vec<f32> {
        let d = self.n_parameters;
        let arch = Arch::new();
        let mut scratch = self.scratch();
        let mut result = Vec::with_capacity(base.normal.len());
        let mut columns = vec![Lanes::ZERO; d];
        let mut uniform = vec![Lanes::ZERO; d];
        for (own_uniform, own_normal) in base
            .uniform
            .chunks(LANES * d)
            .zip(base.normal.chunks(LANES * d))
        {
            match &self.kind {
                Kind::Maf { .. } => {
                    fill(&mut uniform, own_uniform, |_, value| value as f32);
                    fill(&mut columns, own_normal, |_, value| value as f32);
                }
                Kind::Nsf { axes, .. } => {
                    fill(&mut columns, own_uniform, |dimension, value| {
                        match axes[dimension] {
                            Axis::Line => line_quantile(value) as f32,
                            Axis::Circle => (value - 0.5) as f32,
                        }
                    });
                }
            }
            self.draw_one(arch, &mut scratch, &uniform, &mut columns);
            for row in 0..own_normal.len() / d {
                result.extend(columns.iter().map(|column| column.0[row]));
            }
        }
        result
    }

    fn log_density_of(&self, arch: Arch, scratch: &mut [Scratch], y: &mut [Lanes]) -> Lanes {
        let mut sum = Lanes::ZERO;
        match &self.kind {
            Kind::Maf { blocks, base } => {
                let (of_blocks, of_base) = scratch.split_at_mut(blocks.len());
                for (block, scratch) in blocks.iter().zip(of_blocks) {
                    block.forward(arch, scratch, y, &mut sum);
                }
                if let [scratch, ..] = of_base {
                    base.log_density(arch, scratch, y, &mut sum);
                }
            }
            Kind::Nsf { blocks, axes } => {
                for (block, scratch) in blocks.iter().zip(scratch) {
                    block.forward(arch, scratch, y, &mut sum);
                }
                for (u, axis) in y.iter().zip(axes) {
                    match axis {
                        Axis::Line => {
                            let own = line_log_density(arch, u);
                            sum = sum.with(&own, |sum, own| sum + own);
                        }
                        // The density on a circle of one turn is one.
                        Axis::Circle => {}
                    }
                }
            }
        }
        sum
    }

    /// `columns` holds base numbers before (of a mixture: normal ones), the draws afterwards.
    fn draw_one(
        &self,
        arch: Arch,
        scratch: &mut [Scratch],
        uniform: &[Lanes],
        columns: &mut [Lanes],
    ) {
        match &self.kind {
            Kind::Maf { blocks, base } => {
                let (of_blocks, of_base) = scratch.split_at_mut(blocks.len());
                if let [scratch, ..] = of_base {
                    base.draw(arch, scratch, uniform, columns);
                }
                for (block, scratch) in blocks.iter().zip(of_blocks).rev() {
                    block.inverse(arch, scratch, columns);
                }
            }
            Kind::Nsf { blocks, axes: _ } => {
                for (block, scratch) in blocks.iter().zip(scratch).rev() {
                    block.inverse(arch, scratch, columns);
                }
            }
        }
    }

    /// One for each block, then one for the base where it has a conditioner.
    fn scratch(&self) -> Vec<Scratch> {
        match &self.kind {
            Kind::Maf { blocks, base } => blocks
                .iter()
                .map(HostAffine::scratch)
                .chain([base.scratch()])
                .collect(),
            Kind::Nsf { blocks, axes: _ } => blocks.iter().map(HostConditional::scratch).collect(),
        }
    }
}

/// Of the spline flows' base.
fn line_log_density(arch: Arch, u: &Lanes) -> Lanes {
    vectorized(
        arch,
        #[inline(always)]
        || {
            let mut result = Lanes::ZERO;
            for lane in 0..LANES {
                let u = u.0[lane];
                result.0[lane] = ln((0.25 * u).mul_add(u, 1.0)).mul_add(-2.5, LOG_PEAK as f32);
            }
            result
        },
    )
}

/// Rows of a row-major matrix, at most [`LANES`], as columns; lanes without a row are zero.
fn fill<T: Copy>(columns: &mut [Lanes], rows: &[T], number: impl Fn(usize, T) -> f32) {
    let d = columns.len();
    for (dimension, column) in columns.iter_mut().enumerate() {
        *column = Lanes::ZERO;
        for (lane, row) in column.0.iter_mut().zip(rows.chunks_exact(d)) {
            *lane = number(dimension, row[dimension]);
        }
    }
}
