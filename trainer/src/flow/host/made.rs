//! A conditioner at one feature vector, evaluated rank by rank: a unit is computed once, as soon as the dimensions
//! that it sees are known, so that drawing costs what one forward pass does.

use super::lanes::{LANES, Lanes};
use crate::dense::Dense;
use crate::elementary::relu;
use crate::flow::made::Made;
use crate::parameters::host;
use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Outputs that are computed together.
const PANEL: usize = 4;

/// A [`Made`] with its masks, and what the features contribute, worked in.
#[derive(Debug)]
pub struct HostMade {
    steps: Vec<RankStep>,
    n_dimensions: usize,
    n_columns: usize,
    n_hidden: usize,
    n_layers: usize,
    n_outputs: usize,
}

/// What can be computed once the dimensions of lower rank are known.
#[derive(Debug)]
struct RankStep {
    dimensions: Vec<usize>,
    /// Where this rank's own columns stand among the inputs, and the dimension of each, with the number of its
    /// column of that dimension.
    columns: Range<usize>,
    column_kinds: Vec<(usize, usize)>,
    /// Its units among all, which are in the order of their degrees.
    units: Range<usize>,
    /// One a hidden layer.
    layers: Vec<Matrix>,
    /// Outputs kind by kind, the dimensions of this step side by side.
    output: Matrix,
}

/// y = bias + weight · x, four outputs together.
#[derive(Debug)]
struct Matrix {
    n_in: usize,
    n_out: usize,
    /// Of each panel its bias, then the weights of each input.
    panels: Vec<[f32; PANEL]>,
}

/// Inputs and units of the rows at hand; filled as the ranks go by.
#[derive(Debug, Default)]
pub struct Scratch {
    inputs: Vec<Lanes>,
    layers: Vec<Vec<Lanes>>,
    outputs: Vec<Lanes>,
}

impl HostMade {
    /// `features` is `[1, features]`
    pub fn new(made: &Made, features: Tensor<2>) -> Self {
        let d = made.rank.len();
        let n_ranks = made.rank.iter().max().map_or(1, |highest| highest + 1);
        let n_hidden = made.degree.len();
        let context = host(made.context(features));
        let sorted = |key: &dyn Fn(usize) -> usize, n: usize| {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by_key(|&i| key(i));
            order
        };
        let units = sorted(&|unit| made.degree[unit], n_hidden);
        let columns = sorted(
            &|column| made.rank[made.columns[column]],
            made.columns.len(),
        );
        let n_outputs = made.output.bias.val().dims()[0] / d.max(1);
        let input = HostDense::new(&made.input);
        let hidden: Vec<HostDense> = made.hidden.iter().map(HostDense::new).collect();
        let output = HostDense::new(&made.output);
        let steps = (0..n_ranks)
            .map(|rank| {
                let dimensions: Vec<usize> = (0..d).filter(|&i| made.rank[i] == rank).collect();
                let units_below =
                    |limit: usize| units.partition_point(|&unit| made.degree[unit] < limit);
                let columns_below = |limit: usize| {
                    columns.partition_point(|&column| made.rank[made.columns[column]] < limit)
                };
                let own = units_below(rank)..units_below(rank + 1);
                let seen_columns = &columns[..columns_below(rank)];
                let seen_units = &units[..own.end];
                let mut layers = vec![Matrix::new(
                    seen_columns,
                    &units[own.clone()],
                    |from, to| input.weight(from, to),
                    |to| input.bias[to] + context[to],
                )];
                for dense in &hidden {
                    layers.push(Matrix::new(
                        seen_units,
                        &units[own.clone()],
                        |from, to| dense.weight(from, to),
                        |to| dense.bias[to],
                    ));
                }
                let outputs: Vec<usize> = (0..n_outputs)
                    .flat_map(|kind| dimensions.iter().map(move |&i| kind * d + i))
                    .collect();
                let own_columns = columns_below(rank)..columns_below(rank + 1);
                let column_kinds = columns[own_columns.clone()]
                    .iter()
                    .map(|&column| {
                        let dimension = made.columns[column];
                        let earlier = made.columns[..column]
                            .iter()
                            .filter(|&&other| other == dimension)
                            .count();
                        (dimension, earlier)
                    })
                    .collect();
                RankStep {
                    output: Matrix::new(
                        seen_units,
                        &outputs,
                        |from, to| output.weight(from, to),
                        |to| output.bias[to],
                    ),
                    dimensions,
                    columns: own_columns,
                    column_kinds,
                    units: own,
                    layers,
                }
            })
            .collect();
        Self {
            steps,
            n_dimensions: d,
            n_columns: made.columns.len(),
            n_hidden,
            n_layers: 1 + hidden.len(),
            n_outputs,
        }
    }

    pub fn n_dimensions(&self) -> usize {
        self.n_dimensions
    }

    pub fn scratch(&self) -> Scratch {
        let most = self.steps.iter().map(|step| step.dimensions.len()).max();
        Scratch {
            inputs: vec![Lanes::ZERO; self.n_columns],
            layers: vec![vec![Lanes::ZERO; self.n_hidden]; self.n_layers],
            outputs: vec![Lanes::ZERO; self.n_outputs * most.unwrap_or(0)],
        }
    }

    /// Goes through the ranks: `on_dimension(dimension, outputs)` gets a dimension's outputs, of each kind
    /// one, and may only then make the dimension known, whose columns are then `encode(dimension, which)`.
    pub fn run<S: ?Sized>(
        &self,
        scratch: &mut Scratch,
        state: &mut S,
        mut on_dimension: impl FnMut(&mut S, usize, Outputs),
        encode: impl Fn(&S, usize, usize) -> Lanes,
    ) {
        for step in &self.steps {
            for (depth, matrix) in step.layers.iter().enumerate() {
                let (below, from) = scratch.layers.split_at_mut(depth);
                let units = &mut from[0][step.units.clone()];
                match below.last() {
                    None => {
                        matrix.apply(&scratch.inputs[..step.columns.start], units);
                        units.iter_mut().for_each(|unit| *unit = unit.map(relu));
                    }
                    Some(below) => {
                        matrix.apply(&below[..step.units.end], units);
                        for (unit, below) in units.iter_mut().zip(&below[step.units.clone()]) {
                            *unit = below.with(unit, |a, b| a + relu(b));
                        }
                    }
                }
            }
            let Some(last) = scratch.layers.last() else {
                return;
            };
            let n = step.dimensions.len();
            let outputs = &mut scratch.outputs[..n * self.n_outputs];
            step.output.apply(&last[..step.units.end], outputs);
            for (position, &dimension) in step.dimensions.iter().enumerate() {
                let outputs = Outputs {
                    all: outputs,
                    first: position,
                    stride: n,
                };
                on_dimension(state, dimension, outputs);
            }
            for (column, &(dimension, which)) in step.columns.clone().zip(&step.column_kinds) {
                scratch.inputs[column] = encode(state, dimension, which);
            }
        }
    }
}

/// A conditioner's outputs for one dimension, by kind.
#[derive(Debug, Clone, Copy)]
pub struct Outputs<'a> {
    all: &'a [Lanes],
    first: usize,
    stride: usize,
}

impl<'a> Outputs<'a> {
    /// `stride` numbers lie between two kinds.
    pub fn new(all: &'a [Lanes], first: usize, stride: usize) -> Self {
        Self { all, first, stride }
    }

    #[inline(always)]
    pub fn kind(&self, kind: usize) -> &'a Lanes {
        &self.all[self.first + kind * self.stride]
    }
}

struct HostDense {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl HostDense {
    fn new(dense: &Dense) -> Self {
        Self {
            weight: host(dense.weight.val()),
            bias: host(dense.bias.val()),
        }
    }

    fn weight(&self, from: usize, to: usize) -> f32 {
        self.weight[from * self.bias.len() + to]
    }
}

impl Matrix {
    fn new(
        inputs: &[usize],
        outputs: &[usize],
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let mut panels = Vec::new();
        for outputs in outputs.chunks(PANEL) {
            let row = |value: &dyn Fn(usize) -> f32| {
                let mut row = [0.0; PANEL];
                for (row, &output) in row.iter_mut().zip(outputs) {
                    *row = value(output);
                }
                row
            };
            panels.push(row(&bias));
            for &input in inputs {
                panels.push(row(&|output| weight(input, output)));
            }
        }
        Self {
            n_in: inputs.len(),
            n_out: outputs.len(),
            panels,
        }
    }

    fn apply(&self, inputs: &[Lanes], outputs: &mut [Lanes]) {
        debug_assert_eq!((inputs.len(), outputs.len()), (self.n_in, self.n_out));
        Arch::new().dispatch(Product {
            matrix: self,
            inputs,
            outputs,
        });
    }
}

/// What a matrix makes of its inputs, in explicit vectors: compilers leave this one scalar.
struct Product<'a> {
    matrix: &'a Matrix,
    inputs: &'a [Lanes],
    outputs: &'a mut [Lanes],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n_vectors = LANES / S::F32_LANES;
        for (panel, outputs) in self
            .matrix
            .panels
            .chunks_exact(self.matrix.n_in + 1)
            .zip(self.outputs.chunks_mut(PANEL))
        {
            let Some((bias, weights)) = panel.split_first() else {
                return;
            };
            // Two vectors of rows at a time for all outputs of the panel: eight sums in registers.
            for v in (0..n_vectors).step_by(2) {
                let mut sums = bias.map(|bias| [simd.splat_f32s(bias); 2]);
                for (weights, input) in weights.iter().zip(self.inputs) {
                    let (input, _) = S::as_simd_f32s(&input.0);
                    let (first, second) = (input[v], input[v + 1]);
                    for (sums, &weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat_f32s(weight);
                        sums[0] = simd.mul_add_f32s(first, weight, sums[0]);
                        sums[1] = simd.mul_add_f32s(second, weight, sums[1]);
                    }
                }
                for (output, sums) in outputs.iter_mut().zip(&sums) {
                    let (output, _) = S::as_mut_simd_f32s(&mut output.0);
                    output[v] = sums[0];
                    output[v + 1] = sums[1];
                }
            }
        }
    }
}
