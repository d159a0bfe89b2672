//! Log density of the autoregressive mixture of Gaussians (`flow::mixture::Mixture`) over rows, with its
//! gradient.

use super::buffer::Buffer;
use crate::elementary::{LOG_SQRT_2PI, exp, tanh, vectorized};

/// What the gradient needs, each `[n, components, d]`.
#[derive(Debug)]
pub struct MixtureSaved {
    /// Share of each component in the density of its dimension.
    responsibility: Buffer,
    /// Share of each component before anything is known of u.
    weight: Buffer,
    /// (u - mean) / scale
    deviation: Buffer,
    log_scale: Buffer,
}

/// Σ_d log Σ_c weight_c N(u_d; mean_c, scale_c), written over `log_density`. A row of `output` holds logits,
/// means and raw log scales, each `[components, d]`.
pub fn forward(
    components: usize,
    bound: f32,
    u: &[f32],
    output: &[f32],
    log_density: &mut [f32],
) -> MixtureSaved {
    let n = log_density.len();
    let d = u.len() / n.max(1);
    let terms = components * d;
    let mut responsibility = Buffer::take(n * terms);
    let mut weight = Buffer::take(n * terms);
    let mut deviation = Buffer::take(n * terms);
    let mut log_scale = Buffer::take(n * terms);
    let mut of_dimension = Buffer::take(3 * d);
    vectorized(
        #[inline(always)]
        || {
            for i in 0..n {
                let row = &output[i * 3 * terms..][..3 * terms];
                let (logit, rest) = row.split_at(terms);
                let (mean, raw) = rest.split_at(terms);
                let u = &u[i * d..][..d];
                let own = i * terms..(i + 1) * terms;
                let weight = &mut weight[own.clone()];
                let term = &mut responsibility[own.clone()];
                let deviation = &mut deviation[own.clone()];
                let log_scale = &mut log_scale[own];
                let (largest, rest) = of_dimension.split_at_mut(d);
                let (total, log_total) = rest.split_at_mut(d);

                largest_of(logit, largest);
                for (weight, logit) in weight.chunks_exact_mut(d).zip(logit.chunks_exact(d)) {
                    for j in 0..d {
                        weight[j] = logit[j] - largest[j];
                    }
                }
                exponentials(weight);
                sums_of(weight, total);
                for j in 0..d {
                    log_total[j] = largest[j] + total[j].ln();
                    total[j] = total[j].recip();
                }
                for weight in weight.chunks_exact_mut(d) {
                    for j in 0..d {
                        weight[j] *= total[j];
                    }
                }
                for (log_scale, &raw) in log_scale.iter_mut().zip(raw) {
                    *log_scale = tanh(raw / bound) * bound;
                }
                for (deviation, &log_scale) in deviation.iter_mut().zip(log_scale.iter()) {
                    *deviation = exp(-log_scale);
                }
                for c in 0..components {
                    for j in 0..d {
                        let at = c * d + j;
                        deviation[at] *= u[j] - mean[at];
                        term[at] = logit[at]
                            - log_total[j]
                            - log_scale[at]
                            - 0.5 * deviation[at] * deviation[at]
                            - LOG_SQRT_2PI as f32;
                    }
                }
                largest_of(term, largest);
                for term in term.chunks_exact_mut(d) {
                    for j in 0..d {
                        term[j] -= largest[j];
                    }
                }
                exponentials(term);
                sums_of(term, total);
                let mut sum = 0.0;
                for j in 0..d {
                    sum += largest[j] + total[j].ln();
                    total[j] = total[j].recip();
                }
                for term in term.chunks_exact_mut(d) {
                    for j in 0..d {
                        term[j] *= total[j];
                    }
                }
                log_density[i] = sum;
            }
        },
    );
    MixtureSaved {
        responsibility,
        weight,
        deviation,
        log_scale,
    }
}

/// Gradients of the output and of u, written over `d_output` and `d_u`.
pub fn backward(
    components: usize,
    bound: f32,
    saved: &MixtureSaved,
    d_log_density: &[f32],
    d_output: &mut [f32],
    d_u: &mut [f32],
) {
    let n = d_log_density.len();
    let d = d_u.len() / n.max(1);
    let terms = components * d;
    d_u.fill(0.0);
    vectorized(
        #[inline(always)]
        || {
            for i in 0..n {
                let row = &mut d_output[i * 3 * terms..][..3 * terms];
                let (d_logit, rest) = row.split_at_mut(terms);
                let (d_mean, d_raw) = rest.split_at_mut(terms);
                let own = i * terms..(i + 1) * terms;
                let responsibility = &saved.responsibility[own.clone()];
                let weight = &saved.weight[own.clone()];
                let deviation = &saved.deviation[own.clone()];
                let log_scale = &saved.log_scale[own];
                let d_u = &mut d_u[i * d..][..d];
                let gradient = d_log_density[i];
                for at in 0..terms {
                    let own = gradient * responsibility[at];
                    let slope = 1.0 - (log_scale[at] / bound) * (log_scale[at] / bound);
                    d_logit[at] = own - gradient * weight[at];
                    d_mean[at] = own * deviation[at] * exp(-log_scale[at]);
                    d_raw[at] = own * (deviation[at] * deviation[at] - 1.0) * slope;
                }
                for d_mean in d_mean.chunks_exact(d) {
                    for (d_u, d_mean) in d_u.iter_mut().zip(d_mean) {
                        *d_u -= d_mean;
                    }
                }
            }
        },
    );
}

/// The largest of all components in each dimension.
#[inline(always)]
fn largest_of(values: &[f32], largest: &mut [f32]) {
    let d = largest.len();
    largest.copy_from_slice(&values[..d]);
    for values in values.chunks_exact(d).skip(1) {
        for (largest, &value) in largest.iter_mut().zip(values) {
            // What is not a number wins, and is noticed.
            *largest = if *largest >= value { *largest } else { value };
        }
    }
}

/// The sum over all components in each dimension.
#[inline(always)]
fn sums_of(values: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for values in values.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
}

#[inline(always)]
fn exponentials(values: &mut [f32]) {
    for value in values {
        *value = exp(*value);
    }
}
