//! What each dimension of a flow is: a line, or a circle for a periodic parameter.

use crate::parameters::tensor;
use burn::tensor::{Device, Tensor};
use sidereal_inference::campaign::{Campaign, Flow};
use std::f64::consts::TAU;

/// Where a dimension of a flow lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// All real numbers; the base density is the flow's own (a mixture of Gaussians, or Student's t).
    Line,
    /// Turns in [-1/2, 1/2], whose ends are one point; the base density is uniform.
    Circle,
}

/// The axes of the campaign's flow, one a parameter. A flow that knows no circles gets them cut open.
pub fn axes(campaign: &Campaign) -> Vec<Axis> {
    let knows_circles = match campaign.flow {
        Flow::Maf { .. } => false,
        Flow::Nsf(_) | Flow::NsfCoupling(_) => true,
    };
    campaign
        .space
        .parameters
        .iter()
        .map(|parameter| {
            if knows_circles && parameter.periodic {
                Axis::Circle
            } else {
                Axis::Line
            }
        })
        .collect()
}

/// The dimension behind each column that a conditioner sees: one column a dimension (the number itself, or the
/// cosine of an angle), then the sine of each angle.
pub fn columns(axes: &[Axis]) -> Vec<usize> {
    (0..axes.len()).chain(circles(axes)).collect()
}

/// `[n, d]` -> `[n, columns]`
pub fn encoded(y: Tensor<2>, axes: &[Axis]) -> Tensor<2> {
    if !axes.contains(&Axis::Circle) {
        return y;
    }
    let device = y.device();
    let angle = y.clone() * TAU;
    let first = y * indicator(axes, Axis::Line, &device)
        + angle.clone().cos() * indicator(axes, Axis::Circle, &device);
    let mut parts = vec![first];
    for dimension in circles(axes) {
        parts.push(angle.clone().narrow(1, dimension, 1).sin());
    }
    Tensor::cat(parts, 1)
}

/// One for dimensions of the given kind, zero for others: `[1, d]`
pub fn indicator(axes: &[Axis], kind: Axis, device: &Device) -> Tensor<2> {
    let is_kind = axes.iter().map(|&axis| f32::from(axis == kind));
    tensor(is_kind.collect(), [1, axes.len()], device)
}

fn circles(axes: &[Axis]) -> impl Iterator<Item = usize> {
    axes.iter()
        .enumerate()
        .filter(|(_, axis)| **axis == Axis::Circle)
        .map(|(dimension, _)| dimension)
}
