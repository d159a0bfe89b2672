//! How alike the data of two places are: kernels with a length for each parameter.

/// Of what smoothness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// exp(-r² / 2): of functions with all derivatives.
    Gaussian,
    /// Matérn with ν = 5/2: of functions with two derivatives.
    Matern,
}

impl Shape {
    /// The kernel at the square of a scaled distance.
    #[inline(always)]
    pub fn at(self, square: f64) -> f64 {
        match self {
            Self::Gaussian => (-0.5 * square).exp(),
            Self::Matern => {
                let r = (5.0 * square.max(0.0)).sqrt();
                (1.0 + r + r * r / 3.0) * (-r).exp()
            }
        }
    }

    /// The kernel, and -2 times its derivative by the square of the distance.
    pub fn at_with_slope(self, square: f64) -> (f64, f64) {
        match self {
            Self::Gaussian => {
                let value = (-0.5 * square).exp();
                (value, value)
            }
            Self::Matern => {
                let r = (5.0 * square.max(0.0)).sqrt();
                let falling = (-r).exp();
                let value = (1.0 + r + r * r / 3.0) * falling;
                (value, 5.0 / 3.0 * (1.0 + r) * falling)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_values() {
        for shape in [Shape::Gaussian, Shape::Matern] {
            assert_eq!(shape.at(0.0), 1.0);
            for square in [0.1, 1.0, 7.0] {
                let h = 1e-5;
                let expected = -(shape.at(square + h) - shape.at(square - h)) / h;
                let (value, slope) = shape.at_with_slope(square);
                assert_eq!(value, shape.at(square));
                assert!(
                    (slope - expected).abs() < 1e-6,
                    "{shape:?} {square}: {slope} {expected}"
                );
            }
        }
    }
}
