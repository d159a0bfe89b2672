//! The affine bijection over plain numbers.

use super::super::affine::Affine;
use super::lanes::{LANES, Lanes, bounded, exp, vectorized};
use super::made::{HostMade, Outputs, Scratch};
use burn::tensor::Tensor;
use pulp::Arch;

#[derive(Debug)]
pub struct HostAffine {
    made: HostMade,
    max_log_scale: f32,
}

impl HostAffine {
    pub fn new(affine: &Affine, features: Tensor<2>) -> Self {
        Self {
            made: HostMade::new(&affine.made, features),
            max_log_scale: affine.max_log_scale as f32,
        }
    }

    pub fn scratch(&self) -> Scratch {
        self.made.scratch()
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
                let (shift, log_scale) = self.shift_and_log_scale(arch, outputs);
                vectorized(
                    arch,
                    #[inline(always)]
                    || {
                        let u = &mut u[dimension];
                        for lane in 0..LANES {
                            let log_scale = log_scale.0[lane];
                            u.0[lane] = (u.0[lane] - shift.0[lane]) * exp(-log_scale);
                            log_determinant.0[lane] -= log_scale;
                        }
                    },
                );
            },
            |(), dimension, _| y[dimension],
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
                let (shift, log_scale) = self.shift_and_log_scale(arch, outputs);
                vectorized(
                    arch,
                    #[inline(always)]
                    || {
                        let u = &mut u[dimension];
                        for lane in 0..LANES {
                            u.0[lane] = u.0[lane] * exp(log_scale.0[lane]) + shift.0[lane];
                        }
                    },
                );
            },
            |y, dimension, _| y[dimension],
        );
    }

    fn shift_and_log_scale<'a>(&self, arch: Arch, outputs: Outputs<'a>) -> (&'a Lanes, Lanes) {
        let log_scale = vectorized(
            arch,
            #[inline(always)]
            || {
                outputs
                    .kind(1)
                    .map(|value| bounded(value, self.max_log_scale))
            },
        );
        (outputs.kind(0), log_scale)
    }
}
