//! Observations that a model is asked about, held against what it was trained on.

use sidereal_inference::campaign::model::Declaration;
use sidereal_inference::campaign::{
    Campaign, Errors, GaussianNoise, Noise, Observation, SigmaSource,
};

/// Where the errors of observations of a campaign's model are; a model in processes of its own has no declaration.
pub(crate) fn errors(campaign: &Campaign, declaration: Option<&dyn Declaration>) -> Errors {
    let constant = match &campaign.noise {
        Noise::Gaussian(GaussianNoise { sigma, .. }) => match sigma {
            SigmaSource::Constant(sigma) => Some(*sigma),
            SigmaSource::Observed
            | SigmaSource::Uniform { .. }
            | SigmaSource::LogUniform { .. }
            | SigmaSource::Table(_) => None,
        },
        Noise::Simulator => None,
    };
    match (declaration, &campaign.noise) {
        (Some(declaration), _) => declaration.errors(constant),
        (None, Noise::Gaussian(_)) => constant.map_or(Errors::Column, Errors::ColumnOr),
        (None, Noise::Simulator) => Errors::None,
    }
}

/// Why a model cannot be asked about an observation.
pub(crate) fn mistake(
    campaign: &Campaign,
    declaration: Option<&dyn Declaration>,
    observation: &Observation,
) -> Option<String> {
    let impossible = || {
        let options = &campaign.simulator.options;
        declaration?.impossible_datum(options, &observation.value)
    };
    grid_mistake(&observation.grid, &campaign.simulator.grid).or_else(impossible)
}

/// How an observation's grid differs from the model's, beyond rounding in decimal files.
fn grid_mistake(found: &[f64], expected: &[f64]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!(
            "found {} data, the model was trained on {}",
            found.len(),
            expected.len()
        ));
    }
    let largest = expected
        .iter()
        .fold(0.0_f64, |largest, point| largest.max(point.abs()));
    let differs = |(found, expected): (&f64, &f64)| (found - expected).abs() > 1e-9 * largest;
    let row = found.iter().zip(expected).position(differs)?;
    Some(format!(
        "grid point {row} is {}, the model was trained on {}",
        found[row], expected[row]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_may_differ_by_rounding_only() {
        let expected = [0.0, 0.333_333_333_333_333_3, 1.0];
        assert_eq!(grid_mistake(&[0.0, 0.333_333_333_33, 1.0], &expected), None);
        let other = grid_mistake(&[0.0, 0.3333, 1.0], &expected).expect("another grid");
        assert!(
            other.starts_with("grid point 1 is 0.3333, the model was trained on 0.33333"),
            "{other}"
        );
        let shorter = grid_mistake(&[0.0, 1.0], &expected);
        assert_eq!(
            shorter.as_deref(),
            Some("found 2 data, the model was trained on 3")
        );
    }
}
