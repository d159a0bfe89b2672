//! What a flow is over plain numbers: blocks that go row by row through a conditioner, and a base.

use super::lanes::{LANES, Lanes};
use super::made::{HostMade, Outputs, Scratch};
use std::fmt::Debug;

/// Randomness of draws, row-major `[n, n_parameters]`.
pub struct BaseDraws<'a> {
    /// In [0, 1).
    pub uniform: &'a [f64],
    /// Standard normal.
    pub normal: &'a [f64],
}

/// What a bijection does with one dimension when it knows what its conditioner says of it.
pub trait Element: Debug + Send + Sync {
    /// y -> u and ln |du/dy|
    fn forward(&self, dimension: usize, y: &Lanes, outputs: Outputs) -> (Lanes, Lanes);

    /// The y whose u is given.
    fn inverse(&self, dimension: usize, u: &Lanes, outputs: Outputs) -> Lanes;

    /// What the conditioner sees of a dimension in the first of its columns, the second, ...
    fn column(&self, _dimension: usize, _which: usize, y: &Lanes) -> Lanes {
        *y
    }
}

/// A bijection that looks at one feature vector.
#[derive(Debug)]
pub struct HostBijection {
    made: HostMade,
    element: Box<dyn Element>,
}

/// A base that looks at one feature vector.
pub trait HostBase: Debug + Send + Sync {
    fn n_dimensions(&self) -> usize;

    fn scratch(&self) -> Scratch;

    /// Adds log p(u) to `log_density`.
    fn log_density(&self, scratch: &mut Scratch, u: &[Lanes], log_density: &mut Lanes);

    /// u becomes a draw for each row of `base`, which are at most [`LANES`].
    fn draw(&self, scratch: &mut Scratch, base: &BaseDraws, u: &mut [Lanes]);
}

/// A flow that looks at one feature vector.
#[derive(Debug)]
pub struct HostFlow {
    blocks: Vec<HostBijection>,
    base: Box<dyn HostBase>,
}

impl HostBijection {
    pub fn new(made: HostMade, element: impl Element + 'static) -> Self {
        Self {
            made,
            element: Box::new(element),
        }
    }

    pub fn scratch(&self) -> Scratch {
        self.made.scratch()
    }

    /// y becomes u; log |det du/dy| is added to `log_determinant`.
    pub fn forward(&self, scratch: &mut Scratch, y: &mut [Lanes], log_determinant: &mut Lanes) {
        let mut u = y.to_vec();
        self.made.run(
            scratch,
            &mut (),
            |(), dimension, outputs| {
                let (value, log_slope) = self.element.forward(dimension, &y[dimension], outputs);
                u[dimension] = value;
                *log_determinant = log_determinant.with(&log_slope, |sum, term| sum + term);
            },
            |(), dimension, which| self.element.column(dimension, which, &y[dimension]),
        );
        y.copy_from_slice(&u);
    }

    /// u becomes y.
    pub fn inverse(&self, scratch: &mut Scratch, u: &mut [Lanes]) {
        self.made.run(
            scratch,
            u,
            |u, dimension, outputs| {
                u[dimension] = self.element.inverse(dimension, &u[dimension], outputs);
            },
            |y, dimension, which| self.element.column(dimension, which, &y[dimension]),
        );
    }
}

impl HostFlow {
    pub(crate) fn new(blocks: Vec<HostBijection>, base: Box<dyn HostBase>) -> Self {
        Self { blocks, base }
    }

    /// log q of rows `[n, n_parameters]`: `[n]`
    pub fn log_density(&self, y: &[f32]) -> Vec<f32> {
        let d = self.base.n_dimensions();
        let (mut of_blocks, mut of_base) = self.scratch();
        let mut result = Vec::with_capacity(y.len() / d);
        let mut columns = vec![Lanes::ZERO; d];
        for rows in y.chunks(LANES * d) {
            fill(&mut columns, rows, |_, value| value);
            let mut log_density = Lanes::ZERO;
            for (block, scratch) in self.blocks.iter().zip(&mut of_blocks) {
                block.forward(scratch, &mut columns, &mut log_density);
            }
            self.base
                .log_density(&mut of_base, &columns, &mut log_density);
            result.extend_from_slice(&log_density.0[..rows.len() / d]);
        }
        result
    }

    /// A draw for each row of base draws: `[n, n_parameters]`
    pub fn draw(&self, base: &BaseDraws) -> Vec<f32> {
        let d = self.base.n_dimensions();
        let (mut of_blocks, mut of_base) = self.scratch();
        let mut result = Vec::with_capacity(base.normal.len());
        let mut columns = vec![Lanes::ZERO; d];
        let normal = base.normal.chunks(LANES * d);
        for (uniform, normal) in base.uniform.chunks(LANES * d).zip(normal) {
            let own = BaseDraws { uniform, normal };
            self.base.draw(&mut of_base, &own, &mut columns);
            for (block, scratch) in self.blocks.iter().zip(&mut of_blocks).rev() {
                block.inverse(scratch, &mut columns);
            }
            for row in 0..normal.len() / d {
                result.extend(columns.iter().map(|column| column.0[row]));
            }
        }
        result
    }

    /// One for each block, and one for the base.
    fn scratch(&self) -> (Vec<Scratch>, Scratch) {
        let of_blocks = self.blocks.iter().map(HostBijection::scratch);
        (of_blocks.collect(), self.base.scratch())
    }
}

/// Rows of a row-major matrix, at most [`LANES`], as columns; lanes without a row are zero.
pub fn fill<T: Copy>(columns: &mut [Lanes], rows: &[T], number: impl Fn(usize, T) -> f32) {
    let d = columns.len();
    for (dimension, column) in columns.iter_mut().enumerate() {
        *column = Lanes::ZERO;
        for (lane, row) in column.0.iter_mut().zip(rows.chunks_exact(d)) {
            *lane = number(dimension, row[dimension]);
        }
    }
}
