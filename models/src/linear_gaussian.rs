//! `linear-gaussian`: x = matrix · θ, whose posterior under Gaussian priors and noise is Gaussian,
//! with its evidence in closed form (Bishop 2006, Pattern Recognition and Machine Learning, section
//! 2.3.3).

use crate::{
    Complaint, Declaration, ForwardModel, ModelOption, OptionKind, Options, Shape, SimulationError,
    Simulator,
};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Takes any parameters, one column of the matrix each.
pub(crate) struct LinearGaussian;

impl Declaration for LinearGaussian {
    fn name(&self) -> &str {
        "linear-gaussian"
    }

    fn options(&self) -> Vec<ModelOption> {
        let about = "one row a datum, of one number a parameter";
        vec![ModelOption::settled("matrix", OptionKind::Rows, about)]
    }

    /// The matrix of as many data as parameters is the unit matrix.
    fn settle(&self, options: &mut Options, shape: Shape<'_>) -> Result<(), Complaint> {
        let (n_data, n_parameters) = (shape.grid.len(), shape.n_parameters);
        if !options.is_set("matrix") {
            if n_data != n_parameters {
                let message = format!(
                    "missing, expected {n_data} rows (the data) of {n_parameters} numbers (the parameters)"
                );
                return Err(Complaint::of_option("matrix", message));
            }
            let row = |i: usize| {
                (0..n_parameters)
                    .map(|j| f64::from(u8::from(i == j)))
                    .collect()
            };
            options.set("matrix", (0..n_data).map(row).collect::<Vec<Vec<f64>>>());
        }
        let rows = options.rows("matrix")?;
        if rows.len() != n_data {
            let message = format!("found {} rows, expected {n_data}, one a datum", rows.len());
            return Err(Complaint::of_option("matrix", message));
        }
        check_rows("matrix", rows, n_parameters)
    }
}

impl ForwardModel for LinearGaussian {
    fn build(&self, options: &Options, _: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        let rows = options.rows("matrix")?.to_vec();
        Ok(Arc::new(Matrix { rows }))
    }
}

/// Refuses rows that do not have one number a parameter.
pub(crate) fn check_rows(
    option: &'static str,
    rows: &[Vec<f64>],
    n_parameters: usize,
) -> Result<(), Complaint> {
    match rows.iter().position(|row| row.len() != n_parameters) {
        None => Ok(()),
        Some(i) => Err(Complaint::of_option(
            option,
            format!(
                "row {i} has {} numbers, expected {n_parameters}, one a parameter",
                rows[i].len()
            ),
        )),
    }
}

struct Matrix {
    rows: Vec<Vec<f64>>,
}

impl Simulator for Matrix {
    fn n_data(&self) -> usize {
        self.rows.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        for (value, row) in out.iter_mut().zip(&self.rows) {
            *value = row
                .iter()
                .zip(parameters)
                .map(|(entry, parameter)| entry * parameter)
                .sum();
        }
        Ok(())
    }
}
