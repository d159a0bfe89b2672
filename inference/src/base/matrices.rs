//! Small matrices, row-major, and what is measured with them.

/// Lower triangular Cholesky factor, row-major; None where the matrix is not positive definite.
pub fn cholesky(matrix: &[f64], d: usize) -> Option<Vec<f64>> {
    let is_usable = |pivot: f64, _| pivot > 0.0 && pivot.is_finite();
    cholesky_of_pivots(matrix, d, is_usable).ok()
}

/// As [`cholesky`], of pivots that `is_usable` says are, given the pivot and the diagonal entry; else which is not, and
/// what it is.
pub fn cholesky_of_pivots(
    matrix: &[f64],
    d: usize,
    is_usable: impl Fn(f64, f64) -> bool,
) -> Result<Vec<f64>, (usize, f64)> {
    let mut factor = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| factor[i * d + k] * factor[j * d + k]).sum();
            let rest = matrix[i * d + j] - sum;
            if i == j {
                if !is_usable(rest, matrix[i * d + i]) {
                    return Err((i, rest));
                }
                factor[i * d + i] = rest.sqrt();
            } else {
                factor[i * d + j] = rest / factor[j * d + j];
            }
        }
    }
    Ok(factor)
}

/// F⁻¹ x, F lower triangular and row-major.
pub fn solved_lower(factor: &[f64], x: &[f64]) -> Vec<f64> {
    let d = x.len();
    let mut solved = vec![0.0; d];
    for i in 0..d {
        let before: f64 = (0..i).map(|j| factor[i * d + j] * solved[j]).sum();
        solved[i] = (x[i] - before) / factor[i * d + i];
    }
    solved
}

/// F⁻ᵀ x, F lower triangular and row-major.
pub fn solved_upper(factor: &[f64], x: &[f64]) -> Vec<f64> {
    let d = x.len();
    let mut solved = vec![0.0; d];
    for i in (0..d).rev() {
        let after: f64 = (i + 1..d).map(|j| factor[j * d + i] * solved[j]).sum();
        solved[i] = (x[i] - after) / factor[i * d + i];
    }
    solved
}

/// (z - mean)ᵀ (F Fᵀ)⁻¹ (z - mean), F lower triangular and row-major.
pub fn mahalanobis_squared(z: &[f64], mean: &[f64], factor: &[f64]) -> f64 {
    offset(z, mean, factor).iter().map(|x| x * x).sum()
}

/// F⁻¹ (z - mean), F lower triangular and row-major.
pub fn offset(z: &[f64], mean: &[f64], factor: &[f64]) -> Vec<f64> {
    let difference: Vec<f64> = z.iter().zip(mean).map(|(z, mean)| z - mean).collect();
    solved_lower(factor, &difference)
}

/// Weighted mean and covariance (row-major) of rows; weights sum to 1.
pub fn moments<Z: AsRef<[f64]>>(rows: &[Z], weight: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let d = rows.first().map_or(0, |row| row.as_ref().len());
    let mut mean = vec![0.0; d];
    for (row, weight) in rows.iter().zip(weight) {
        for (mean, z) in mean.iter_mut().zip(row.as_ref()) {
            *mean += weight * z;
        }
    }
    let mut covariance = vec![0.0; d * d];
    for (row, weight) in rows.iter().zip(weight) {
        let row = row.as_ref();
        for i in 0..d {
            for j in 0..d {
                covariance[i * d + j] += weight * (row[i] - mean[i]) * (row[j] - mean[j]);
            }
        }
    }
    (mean, covariance)
}

/// Column `j` of a matrix with `n_columns` columns.
pub fn column(matrix: &[f64], n_columns: usize, j: usize) -> Vec<f64> {
    let from_j = matrix.iter().skip(j);
    from_j.step_by(n_columns.max(1)).copied().collect()
}

/// |a - b|²
pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_square_to_the_matrix() {
        let found = cholesky(&[4.0, 2.0, 2.0, 5.0], 2).expect("positive definite");
        assert_eq!(found, [2.0, 0.0, 1.0, 2.0]);
        assert_eq!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2), None);
        assert_eq!(cholesky(&[f64::NAN], 1), None);
    }
}
