//! Convolution of width 3 with weight normalization as one matrix product over overlapping rows, with its
//! gradient.

use super::buffer::Buffer;
use super::loops::column_sums;
use super::product::{product, rows, windows};
use crate::elementary::{relu, vectorized};

/// Weights are `[3 · n_in, n_out]`, the bias `[n_out]` and the norm of each output's weights `[n_out]`, as in
/// `featurizer::conv::Conv3`.
#[derive(Debug, Clone, Copy)]
pub struct ConvPass {
    pub n_in: usize,
    pub n_out: usize,
}

/// Weights with the norms that they are meant to have, and what their gradient needs.
#[derive(Debug)]
pub struct Normalized {
    /// `[3 · n_in, n_out]`
    weight: Buffer,
    /// Norm asked for over norm of the raw weights, `[n_out]`.
    factor: Buffer,
    /// Square of the norm of the raw weights, `[n_out]`.
    square: Buffer,
}

/// Sequences one after the other, a row of zeros before each and after the last:
/// `[1 + n · (length + 1), channels]`.
#[derive(Debug, Clone, Copy)]
pub struct Padded {
    pub n: usize,
    pub length: usize,
}

impl Padded {
    pub fn n_values(self, channels: usize) -> usize {
        (1 + self.n * (self.length + 1)) * channels
    }

    /// Points, and the gaps between sequences, in the order of the buffer.
    fn n_windows(self) -> usize {
        self.n * (self.length + 1) - 1
    }

    /// Writes zeros between the sequences.
    fn clear_gaps(self, padded: &mut [f32], channels: usize) {
        let period = (self.length + 1) * channels;
        for gap in 0..=self.n {
            padded[gap * period..][..channels].fill(0.0);
        }
    }

    /// The sequences without the gaps, each `[length, channels]`.
    fn sequences(self, padded: &[f32], channels: usize) -> impl Iterator<Item = &[f32]> {
        padded[channels..]
            .chunks_exact((self.length + 1) * channels)
            .map(move |sequence| &sequence[..self.length * channels])
    }

    fn sequences_mut(
        self,
        padded: &mut [f32],
        channels: usize,
    ) -> impl Iterator<Item = &mut [f32]> {
        padded[channels..]
            .chunks_exact_mut((self.length + 1) * channels)
            .map(move |sequence| &mut sequence[..self.length * channels])
    }

    /// `[n, length, channels]` with gaps.
    pub fn spread(self, values: &[f32], channels: usize) -> Buffer {
        self.spread_with(values, channels, |value| value)
    }

    /// relu of `[n, length, channels]` with gaps.
    pub fn spread_relu(self, values: &[f32], channels: usize) -> Buffer {
        self.spread_with(values, channels, relu)
    }

    #[inline(always)]
    fn spread_with(self, values: &[f32], channels: usize, map: impl Fn(f32) -> f32) -> Buffer {
        let mut padded = Buffer::take(self.n_values(channels));
        self.clear_gaps(&mut padded, channels);
        vectorized(
            #[inline(always)]
            || {
                let from = values.chunks_exact(self.length * channels);
                for (to, from) in self.sequences_mut(&mut padded, channels).zip(from) {
                    for (to, &from) in to.iter_mut().zip(from) {
                        *to = map(from);
                    }
                }
            },
        );
        padded
    }

    /// relu of each point plus `bias`, in place; gaps become zero.
    pub fn add_bias_relu(self, padded: &mut [f32], bias: &[f32]) {
        vectorized(
            #[inline(always)]
            || {
                for sequence in self.sequences_mut(padded, bias.len()) {
                    for point in sequence.chunks_exact_mut(bias.len()) {
                        for (value, bias) in point.iter_mut().zip(bias) {
                            *value = relu(*value + bias);
                        }
                    }
                }
            },
        );
        self.clear_gaps(padded, bias.len());
    }

    /// Zero where `output`, that of a relu with zeros in its gaps, is zero.
    pub fn mask_by_relu(self, gradient: &mut [f32], output: &[f32], channels: usize) {
        super::loops::mask_by_relu(gradient, output);
        self.clear_gaps(gradient, channels);
    }

    /// out = padded + bias, without the gaps.
    pub fn gather(self, padded: &[f32], bias: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        vectorized(
            #[inline(always)]
            || {
                let to = out.chunks_exact_mut(self.length * bias.len());
                for (to, from) in to.zip(self.sequences(padded, bias.len())) {
                    let points = from.chunks_exact(bias.len());
                    for (to, from) in to.chunks_exact_mut(bias.len()).zip(points) {
                        for ((to, from), bias) in to.iter_mut().zip(from).zip(bias) {
                            *to += from + bias;
                        }
                    }
                }
            },
        );
    }

    /// out = values + padded + bias, without the gaps.
    pub fn sum_into(self, values: &[f32], padded: &[f32], bias: &[f32], out: &mut [f32]) {
        let size = self.length * bias.len();
        vectorized(
            #[inline(always)]
            || {
                let to = out.chunks_exact_mut(size).zip(values.chunks_exact(size));
                for ((to, values), from) in to.zip(self.sequences(padded, bias.len())) {
                    let points = values
                        .chunks_exact(bias.len())
                        .zip(from.chunks_exact(bias.len()));
                    for (to, (values, from)) in to.chunks_exact_mut(bias.len()).zip(points) {
                        let terms = values.iter().zip(from).zip(bias);
                        for (to, ((value, from), bias)) in to.iter_mut().zip(terms) {
                            *to = value + from + bias;
                        }
                    }
                }
            },
        );
    }

    /// out += gradient where `output`, that of a relu, is not zero; without the gaps.
    pub fn add_masked_to(self, gradient: &[f32], output: &[f32], channels: usize, out: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || {
                let to = out.chunks_exact_mut(self.length * channels);
                let from = self
                    .sequences(gradient, channels)
                    .zip(self.sequences(output, channels));
                for (to, (gradient, output)) in to.zip(from) {
                    for ((to, &gradient), &output) in to.iter_mut().zip(gradient).zip(output) {
                        *to += if output > 0.0 { gradient } else { 0.0 };
                    }
                }
            },
        );
    }
}

impl ConvPass {
    pub fn n_weights(self) -> usize {
        (3 * self.n_in + 2) * self.n_out
    }

    pub fn bias(self, weights: &[f32]) -> &[f32] {
        &weights[3 * self.n_in * self.n_out..][..self.n_out]
    }

    /// Scales each output's weights to their norm.
    pub fn normalize(self, weights: &[f32]) -> Normalized {
        let n = 3 * self.n_in * self.n_out;
        let (raw, norm) = (&weights[..n], &weights[n + self.n_out..]);
        let mut weight = Buffer::take(n);
        let mut factor = Buffer::take(self.n_out);
        let mut square = Buffer::zeros(self.n_out);
        vectorized(
            #[inline(always)]
            || {
                for row in raw.chunks_exact(self.n_out) {
                    for (square, value) in square.iter_mut().zip(row) {
                        *square += value * value;
                    }
                }
                for ((factor, square), norm) in factor.iter_mut().zip(square.iter_mut()).zip(norm) {
                    *square += 1e-12;
                    *factor = norm / square.sqrt();
                }
                let rows = raw.chunks_exact(self.n_out);
                for (scaled, row) in weight.chunks_exact_mut(self.n_out).zip(rows) {
                    for ((scaled, value), factor) in scaled.iter_mut().zip(row).zip(factor.iter()) {
                        *scaled = value * factor;
                    }
                }
            },
        );
        Normalized {
            weight,
            factor,
            square,
        }
    }

    /// The convolution of padded sequences, without its bias; gaps hold anything.
    pub fn forward(self, shape: Padded, weights: &Normalized, input: &[f32]) -> Buffer {
        let mut output = Buffer::take(shape.n_values(self.n_out));
        product(
            &mut output[self.n_out..],
            windows(input, shape.n_windows(), 3 * self.n_in, self.n_in),
            rows(&weights.weight, 3 * self.n_in, self.n_out),
        );
        output
    }

    /// Gradients of weights, bias and norms, written over `d_weights`. `d_output` has zeros in its gaps.
    pub fn backward_weights(
        self,
        shape: Padded,
        weights: &[f32],
        normalized: &Normalized,
        input: &[f32],
        d_output: &[f32],
        d_weights: &mut [f32],
    ) {
        let n = 3 * self.n_in * self.n_out;
        let (d_weight, rest) = d_weights.split_at_mut(n);
        let (d_bias, d_norm) = rest.split_at_mut(self.n_out);
        column_sums(d_output, d_bias);
        product(
            d_weight,
            windows(input, shape.n_windows(), 3 * self.n_in, self.n_in).transpose(),
            rows(&d_output[self.n_out..], shape.n_windows(), self.n_out),
        );
        // w = raw · norm / |raw|, so d raw = factor · (d w - raw · (d w · raw) / |raw|²).
        d_norm.fill(0.0);
        let mut along = Buffer::take(self.n_out);
        vectorized(
            #[inline(always)]
            || {
                let raw = weights[..n].chunks_exact(self.n_out);
                for (d_row, row) in d_weight.chunks_exact(self.n_out).zip(raw.clone()) {
                    for ((sum, gradient), value) in d_norm.iter_mut().zip(d_row).zip(row) {
                        *sum += gradient * value;
                    }
                }
                let sums = d_norm.iter().zip(normalized.square.iter());
                for (along, (sum, square)) in along.iter_mut().zip(sums) {
                    *along = sum / square;
                }
                for (d_row, row) in d_weight.chunks_exact_mut(self.n_out).zip(raw) {
                    let of_outputs = along.iter().zip(normalized.factor.iter());
                    for ((gradient, value), (along, factor)) in
                        d_row.iter_mut().zip(row).zip(of_outputs)
                    {
                        *gradient = factor * (*gradient - value * along);
                    }
                }
                for (sum, square) in d_norm.iter_mut().zip(normalized.square.iter()) {
                    *sum /= square.sqrt();
                }
            },
        );
    }

    /// Gradient of the input; gaps hold anything. `d_output` has zeros in its gaps.
    pub fn backward_input(self, shape: Padded, weights: &Normalized, d_output: &[f32]) -> Buffer {
        let flipped = self.flipped(&weights.weight);
        let mut d_input = Buffer::take(shape.n_values(self.n_in));
        product(
            &mut d_input[self.n_in..],
            windows(d_output, shape.n_windows(), 3 * self.n_out, self.n_out),
            rows(&flipped, 3 * self.n_out, self.n_in),
        );
        d_input
    }

    /// Weights of the convolution that carries gradients back: neighbours swapped, matrices transposed.
    fn flipped(self, weight: &[f32]) -> Buffer {
        let mut flipped = Buffer::take(weight.len());
        let block = self.n_in * self.n_out;
        let from = weight.chunks_exact(block).rev();
        for (to, from) in flipped.chunks_exact_mut(block).zip(from) {
            transpose(from, self.n_in, self.n_out, to);
        }
        flipped
    }
}

/// `[n, m]` -> `[m, n]`, in tiles that stay in the cache.
fn transpose(from: &[f32], n: usize, m: usize, to: &mut [f32]) {
    const TILE: usize = 8;
    for row in (0..n).step_by(TILE) {
        for column in (0..m).step_by(TILE) {
            let (height, width) = (TILE.min(n - row), TILE.min(m - column));
            let mut tile = [[0.0; TILE]; TILE];
            for (i, line) in tile.iter_mut().enumerate().take(height) {
                line[..width].copy_from_slice(&from[(row + i) * m + column..][..width]);
            }
            for j in 0..width {
                let line = &mut to[(column + j) * n + row..][..height];
                for (value, line) in line.iter_mut().zip(&tile) {
                    *value = line[j];
                }
            }
        }
    }
}
