//! `fit.parquet`: the data, and what the draws of the posterior predict of them.

use super::directory::Directory;
use super::table::{Column, Format, Read, TableError, decode, encode};
use crate::base::weighted_quantiles;
use crate::campaign::Observation;

const FORMAT: Format = Format {
    name: "sidereal-fit",
    version: "1",
};

/// Its name, in a campaign or prediction directory.
pub const FIT_FILE: &str = "fit.parquet";

const COLUMNS: [&str; 8] = [
    "grid",
    "value",
    "sigma",
    "best",
    "quantile_2_5",
    "quantile_16",
    "quantile_84",
    "quantile_97_5",
];

/// Of the bands' edges: 95 and 68 % of the posterior's draws lie between the outer and the inner two.
const PROBABILITIES: [f64; 4] = [0.025, 0.16, 0.84, 0.975];

/// Draws that bands are made of.
pub const BAND_DRAWS: usize = 200;

/// All columns of the data's length, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelBand {
    /// The observation's.
    pub grid: Vec<f64>,
    /// The observation's.
    pub value: Vec<f64>,
    /// The observation's, above 0.
    pub sigma: Vec<f64>,
    /// The data before noise of the draw that fits best.
    pub best: Vec<f64>,
    /// The 2.5, 16, 84 and 97.5 % quantiles of the posterior's data before noise.
    pub quantiles: [Vec<f64>; 4],
}

impl ModelBand {
    /// `best` and each of `draws`, which are of equal weight, have as many numbers as the observation.
    pub fn new(observation: &Observation, best: &[f32], draws: &[&[f32]]) -> Self {
        let ones = vec![1.0; draws.len()];
        let mut quantiles = PROBABILITIES.map(|_| Vec::with_capacity(observation.len()));
        for datum in 0..observation.len() {
            let predicted: Vec<f64> = draws.iter().map(|draw| f64::from(draw[datum])).collect();
            let found = weighted_quantiles(&predicted, &ones, &PROBABILITIES);
            for (column, value) in quantiles.iter_mut().zip(found) {
                column.push(value);
            }
        }
        Self {
            grid: observation.grid.clone(),
            value: observation.value.clone(),
            sigma: observation.sigma.clone(),
            best: best.iter().map(|&x| f64::from(x)).collect(),
            quantiles,
        }
    }

    /// Writes `fit.parquet` or another `relative` path.
    pub fn store(&self, directory: &Directory, relative: &str) -> Result<(), TableError> {
        let path = directory.join(relative);
        let data = [&self.grid, &self.value, &self.sigma, &self.best];
        let values = data.into_iter().chain(&self.quantiles);
        let columns = COLUMNS.iter().zip(values);
        let columns = columns.map(|(name, values)| Column::doubles(*name, values.clone()));
        let bytes = encode(&path, FORMAT, &[], columns.collect())?;
        Ok(directory.write(relative, bytes)?)
    }

    /// Refuses a file that is missing, of another format, or with numbers that are none.
    pub fn load(directory: &Directory, relative: &str) -> Result<Self, TableError> {
        let bytes = directory.read(relative)?;
        let names = COLUMNS.map(str::to_owned);
        let table = decode(&directory.join(relative), FORMAT, &names, Read::All, bytes)?;
        let column = |name: &str| table.finite_f64s(name);
        let sigma = column("sigma")?;
        if let Some(i) = sigma.iter().position(|&sigma| sigma <= 0.0) {
            return Err(table.cell("sigma", i, sigma[i], "above 0"));
        }
        Ok(Self {
            grid: column("grid")?,
            value: column("value")?,
            sigma,
            best: column("best")?,
            quantiles: [
                column("quantile_2_5")?,
                column("quantile_16")?,
                column("quantile_84")?,
                column("quantile_97_5")?,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation() -> Observation {
        Observation {
            grid: vec![0.0, 0.5],
            value: vec![1.0, -1.0],
            sigma: vec![0.25, 0.5],
        }
    }

    #[test]
    fn bands_are_quantiles_of_the_draws() {
        let draws: Vec<Vec<f32>> = (0..100).map(|i| vec![i as f32, -2.0]).collect();
        let draws: Vec<&[f32]> = draws.iter().map(Vec::as_slice).collect();
        let band = ModelBand::new(&observation(), &[0.5, -0.25], &draws);
        assert_eq!(band.best, [0.5, -0.25]);
        let first: Vec<f64> = band.quantiles.iter().map(|column| column[0]).collect();
        // The i-th of 100 steps has its middle at (i + 1/2) / 100.
        for (found, expected) in first.iter().zip([2.0, 15.5, 83.5, 97.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert!(band.quantiles.iter().all(|column| column[1] == -2.0));
    }

    #[test]
    fn a_band_is_found_again_and_damage_is_an_error_not_a_panic() {
        let band = ModelBand::new(&observation(), &[0.5, -0.25], &[&[0.5, -0.5], &[1.0, 2.0]]);
        let directory = Directory::in_memory();
        band.store(&directory, "fit.parquet").expect("store");
        let load = || ModelBand::load(&directory, "fit.parquet");
        assert_eq!(load().expect("load"), band);
        let good = directory.read("fit.parquet").expect("read");
        for length in 0..good.len() {
            directory
                .write("fit.parquet", good.slice(..length))
                .expect("cut");
            assert!(load().is_err(), "{length} of {} bytes", good.len());
        }
        for place in 0..good.len() {
            let mut bytes = good.to_vec();
            bytes[place] ^= 0x55;
            directory.write("fit.parquet", bytes).expect("damage");
            // Most changes are noticed; one in the bits of a number cannot be. None may panic.
            let _ = load();
        }
    }
}
