//! Numbers of several rows side by side, which compilers turn into vectors.

/// Rows that are worked on together.
pub const LANES: usize = 32;

/// One number of each of [`LANES`] rows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub struct Lanes(pub [f32; LANES]);

impl Lanes {
    pub const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    pub fn map(&self, function: impl Fn(f32) -> f32) -> Self {
        let mut result = Self::ZERO;
        for (result, &value) in result.0.iter_mut().zip(&self.0) {
            *result = function(value);
        }
        result
    }

    #[inline(always)]
    pub fn with(&self, other: &Self, function: impl Fn(f32, f32) -> f32) -> Self {
        let mut result = Self::ZERO;
        for lane in 0..LANES {
            result.0[lane] = function(self.0[lane], other.0[lane]);
        }
        result
    }
}
