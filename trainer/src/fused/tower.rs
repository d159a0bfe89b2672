//! A tower of residual convolutions, halved in length after each stage, with its gradient.

use super::buffer::Buffer;
use super::conv::{ConvPass, Normalized, Padded};
use super::dense::DensePass;
use super::loops::{mask_by_relu, relu_into};

/// Sizes of a `featurizer::resnet::Tower`; its weights lie end to end in the order of the module.
#[derive(Debug, Clone)]
pub struct TowerPass {
    pub length: usize,
    pub channels_in: usize,
    pub stem: StemPass,
    pub stages: Vec<StagePass>,
}

#[derive(Debug, Clone, Copy)]
pub enum StemPass {
    Conv(ConvPass),
    /// So many neighbours as one point.
    Patches(usize, DensePass),
}

/// relu, convolution, relu, convolution, added to the input, pooled in pairs.
#[derive(Debug, Clone, Copy)]
pub struct StagePass {
    pub channels: usize,
    pub channels_out: usize,
}

/// What a tower's gradient needs.
#[derive(Debug)]
pub struct TowerSaved {
    stem_input: Buffer,
    stem_weights: Option<Normalized>,
    stages: Vec<StageSaved>,
    /// `[n, length, channels]`, after the last relu
    pub output: Buffer,
}

#[derive(Debug)]
struct StageSaved {
    shape: Padded,
    first_weights: Normalized,
    second_weights: Normalized,
    first_input: Buffer,
    second_input: Buffer,
    pool_input: Buffer,
}

impl StemPass {
    fn n_weights(self) -> usize {
        match self {
            Self::Conv(conv) => conv.n_weights(),
            Self::Patches(_, dense) => dense.n_weights(),
        }
    }
}

impl TowerPass {
    pub fn n_weights(&self) -> usize {
        let of_stages = self.stages.iter().map(|stage| stage.n_weights());
        self.stem.n_weights() + of_stages.sum::<usize>()
    }

    /// `[n, length, channels_in]` -> points after the last stage
    pub fn forward(&self, n: usize, weights: &[f32], input: &[f32]) -> TowerSaved {
        let (own, mut weights) = weights.split_at(self.stem.n_weights());
        let mut length = self.first_length();
        let (stem_input, stem_weights, mut state) = self.forward_stem(n, own, input);
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let (own, rest) = weights.split_at(stage.n_weights());
            weights = rest;
            let (saved, output) = stage.forward(Padded { n, length }, own, &state);
            stages.push(saved);
            state = output;
            length = length.div_ceil(2);
        }
        let mut output = Buffer::take(state.len());
        relu_into(&mut output, &state);
        TowerSaved {
            stem_input,
            stem_weights,
            stages,
            output,
        }
    }

    /// Gradients of the weights, written over `d_weights`, from that of the output, which is used up.
    pub fn backward(
        &self,
        n: usize,
        weights: &[f32],
        saved: &TowerSaved,
        mut d_output: Buffer,
        d_weights: &mut [f32],
    ) {
        mask_by_relu(&mut d_output, &saved.output);
        let mut end = self.n_weights();
        for (stage, saved) in self.stages.iter().zip(&saved.stages).rev() {
            let start = end - stage.n_weights();
            let own = start..end;
            d_output = stage.backward(&weights[own.clone()], saved, &d_output, &mut d_weights[own]);
            end = start;
        }
        self.backward_stem(n, weights, saved, &d_output, &mut d_weights[..end]);
    }

    fn forward_stem(
        &self,
        n: usize,
        weights: &[f32],
        input: &[f32],
    ) -> (Buffer, Option<Normalized>, Buffer) {
        match self.stem {
            StemPass::Conv(conv) => {
                let shape = Padded {
                    n,
                    length: self.length,
                };
                let spread = shape.spread(input, conv.n_in);
                let normalized = conv.normalize(weights);
                let padded = conv.forward(shape, &normalized, &spread);
                let mut state = Buffer::take(n * self.length * conv.n_out);
                shape.gather(&padded, conv.bias(weights), &mut state);
                (spread, Some(normalized), state)
            }
            StemPass::Patches(patch, dense) => {
                let even = even(input, self.length, self.channels_in, patch);
                let mut state = Buffer::take(n * self.first_length() * dense.n_out);
                dense.forward(weights, &even, &mut state);
                (even, None, state)
            }
        }
    }

    fn backward_stem(
        &self,
        n: usize,
        weights: &[f32],
        saved: &TowerSaved,
        d_state: &[f32],
        d_weights: &mut [f32],
    ) {
        match (self.stem, &saved.stem_weights) {
            (StemPass::Conv(conv), Some(normalized)) => {
                let shape = Padded {
                    n,
                    length: self.length,
                };
                let spread = shape.spread(d_state, conv.n_out);
                let input = &saved.stem_input;
                conv.backward_weights(shape, weights, normalized, input, &spread, d_weights);
            }
            (StemPass::Patches(_, dense), _) => {
                dense.backward_weights(&saved.stem_input, d_state, d_weights);
            }
            (StemPass::Conv(_), None) => {}
        }
    }

    fn first_length(&self) -> usize {
        match self.stem {
            StemPass::Conv(_) => self.length,
            StemPass::Patches(patch, _) => self.length.div_ceil(patch),
        }
    }
}

impl StagePass {
    pub fn n_weights(self) -> usize {
        2 * self.conv().n_weights() + self.pool().n_weights()
    }

    fn conv(self) -> ConvPass {
        ConvPass {
            n_in: self.channels,
            n_out: self.channels,
        }
    }

    fn pool(self) -> DensePass {
        DensePass::new(2 * self.channels, self.channels_out)
    }

    fn forward(self, shape: Padded, weights: &[f32], input: &[f32]) -> (StageSaved, Buffer) {
        let (conv, c) = (self.conv(), self.channels);
        let (first, rest) = weights.split_at(conv.n_weights());
        let (second, pool) = rest.split_at(conv.n_weights());
        let first_weights = conv.normalize(first);
        let second_weights = conv.normalize(second);
        let first_input = shape.spread_relu(input, c);
        let mut second_input = conv.forward(shape, &first_weights, &first_input);
        shape.add_bias_relu(&mut second_input, conv.bias(first));
        let inner = conv.forward(shape, &second_weights, &second_input);
        let mut sum = Buffer::take(input.len());
        shape.sum_into(input, &inner, conv.bias(second), &mut sum);
        let pool_input = if shape.length.is_multiple_of(2) {
            sum
        } else {
            even(&sum, shape.length, c, 2)
        };
        let mut output = Buffer::take(pool_input.len() / (2 * c) * self.channels_out);
        self.pool().forward(pool, &pool_input, &mut output);
        let saved = StageSaved {
            shape,
            first_weights,
            second_weights,
            first_input,
            second_input,
            pool_input,
        };
        (saved, output)
    }

    /// The gradient of the input; those of the weights are written over `d_weights`.
    fn backward(
        self,
        weights: &[f32],
        saved: &StageSaved,
        d_output: &[f32],
        d_weights: &mut [f32],
    ) -> Buffer {
        let (conv, c, shape) = (self.conv(), self.channels, saved.shape);
        let (first, rest) = weights.split_at(conv.n_weights());
        let (second, pool) = rest.split_at(conv.n_weights());
        let (d_first, rest) = d_weights.split_at_mut(conv.n_weights());
        let (d_second, d_pool) = rest.split_at_mut(conv.n_weights());
        self.pool()
            .backward_weights(&saved.pool_input, d_output, d_pool);
        let mut d_pool_input = Buffer::take(saved.pool_input.len());
        self.pool()
            .backward_input(pool, d_output, &mut d_pool_input);
        let mut d_input = if shape.length.is_multiple_of(2) {
            d_pool_input
        } else {
            uneven(&d_pool_input, shape.length, c)
        };
        let d_inner = shape.spread(&d_input, c);
        conv.backward_weights(
            shape,
            second,
            &saved.second_weights,
            &saved.second_input,
            &d_inner,
            d_second,
        );
        let mut d_middle = conv.backward_input(shape, &saved.second_weights, &d_inner);
        shape.mask_by_relu(&mut d_middle, &saved.second_input, c);
        conv.backward_weights(
            shape,
            first,
            &saved.first_weights,
            &saved.first_input,
            &d_middle,
            d_first,
        );
        let d_outer = conv.backward_input(shape, &saved.first_weights, &d_middle);
        shape.add_masked_to(&d_outer, &saved.first_input, c, &mut d_input);
        d_input
    }
}

/// Sequences of `length` points, the last one repeated until they divide into patches.
fn even(values: &[f32], length: usize, channels: usize, patch: usize) -> Buffer {
    if length.is_multiple_of(patch) {
        return Buffer::copy_of(values);
    }
    let n = values.len() / (length * channels);
    let longer = length.next_multiple_of(patch);
    let mut even = Buffer::take(n * longer * channels);
    let from = values.chunks_exact(length * channels);
    for (to, from) in even.chunks_exact_mut(longer * channels).zip(from) {
        let (to, repeated) = to.split_at_mut(length * channels);
        to.copy_from_slice(from);
        for point in repeated.chunks_exact_mut(channels) {
            point.copy_from_slice(&from[(length - 1) * channels..]);
        }
    }
    even
}

/// The gradient of [`even`] for pairs: the repeated point's goes to the last one.
fn uneven(gradient: &[f32], length: usize, channels: usize) -> Buffer {
    let n = gradient.len() / ((length + 1) * channels);
    let mut uneven = Buffer::take(n * length * channels);
    let from = gradient.chunks_exact((length + 1) * channels);
    for (to, from) in uneven.chunks_exact_mut(length * channels).zip(from) {
        let (own, repeated) = from.split_at(length * channels);
        to.copy_from_slice(own);
        let last = &mut to[(length - 1) * channels..];
        for (to, from) in last.iter_mut().zip(repeated) {
            *to += from;
        }
    }
    uneven
}
