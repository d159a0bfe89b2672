//! Tails of a posterior that rest on fewer effective draws than n_eff says.
//!
//! The error of a mass p is √(p (1 - p) / n_eff) as long as weights within it are as those elsewhere. Next to a bound, where a
//! proposal draws too rarely, a few heavy draws can carry the mass, which neither n_eff nor k̂ of all draws shows.

use crate::records::Posterior;
use crate::space::ParameterSpace;
use crate::weights::{MIN_N_EFF, n_eff_of};

/// The mass of a tail.
const TAIL: f64 = 0.1;
/// Effective draws that a tail must have, as a part of its share of n_eff: with a quarter errors are twice as large.
const LEAST_SHARE: f64 = 0.25;

/// A warning where the tail of a parameter rests on too few draws, of the worst one. Not of periodic parameters, which have
/// none, and not where all draws together are too few.
pub fn thin_tail(space: &ParameterSpace, posterior: &Posterior) -> Option<String> {
    let n_eff = n_eff_of(&posterior.weight);
    if n_eff.is_nan() || n_eff < MIN_N_EFF {
        return None;
    }
    let mut worst: Option<(f64, String)> = None;
    for (j, parameter) in space.parameters.iter().enumerate() {
        if parameter.periodic {
            continue;
        }
        let mut rows: Vec<usize> = (0..posterior.n_rows())
            .filter(|&row| posterior.weight[row] > 0.0)
            .collect();
        let value = |row: usize| posterior.theta_row(row)[j];
        rows.sort_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
        let smallest = tail(rows.iter().map(|&row| posterior.weight[row]));
        let largest = tail(rows.iter().rev().map(|&row| posterior.weight[row]));
        for (side, (mass, n_of_tail)) in [("smallest", smallest), ("largest", largest)] {
            let share = n_of_tail / (mass * n_eff);
            if share < LEAST_SHARE && worst.as_ref().is_none_or(|(least, _)| share < *least) {
                let message = format!(
                    "the tenth of the posterior with the {side} {} rests on {n_of_tail:.0} effective draws, where n_eff would \
                     have {:.0}: errors there are {:.1} times as large as n_eff says",
                    parameter.name,
                    mass * n_eff,
                    share.powf(-0.5)
                );
                worst = Some((share, message));
            }
        }
    }
    worst.map(|(_, message)| message)
}

/// Mass and effective number of the first draws that make up a tail.
fn tail(weights: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut sum, mut square) = (0.0, 0.0);
    for weight in weights {
        sum += weight;
        square += weight * weight;
        if sum >= TAIL {
            break;
        }
    }
    (sum, sum * sum / square)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Prior};

    /// Draws at 0, 1, 2, ... of these weights.
    fn warning(weight: &[f64], periodic: bool) -> Option<String> {
        let n = weight.len();
        let total: f64 = weight.iter().sum();
        let space = ParameterSpace::independent(vec![Parameter {
            name: "p".to_owned(),
            prior: Prior::Uniform {
                low: 0.0,
                high: 1e4,
            },
            periodic,
        }]);
        let posterior = Posterior {
            n_parameters: 1,
            theta: (0..n).map(|i| i as f64).collect(),
            n_derived: 0,
            derived: Vec::new(),
            log_likelihood: vec![0.0; n],
            log_prior: vec![0.0; n],
            log_proposal: vec![0.0; n],
            round: vec![0; n],
            row_id: (0..n as u64).collect(),
            weight: weight.iter().map(|weight| weight / total).collect(),
        };
        thin_tail(&space, &posterior)
    }

    #[test]
    fn a_tail_of_a_few_heavy_draws_is_told_with_its_numbers() {
        let mut weight = vec![1.0; 1000];
        assert_eq!(warning(&weight, false), None);
        // Nine others before it and one after: 110² / (10 + 100²) effective draws; n_eff is 108.8.
        weight[990] = 100.0;
        let told = "the tenth of the posterior with the largest p rests on 1 effective draws, where n_eff would have 11: errors \
                    there are 3.0 times as large as n_eff says";
        assert_eq!(warning(&weight, false), Some(told.to_owned()));
        assert_eq!(warning(&weight, true), None);
        // In the middle it is in no tail.
        weight.swap(990, 500);
        assert_eq!(warning(&weight, false), None);
        weight.swap(500, 3);
        let message = warning(&weight, false).unwrap_or_default();
        assert!(message.contains("with the smallest p"), "{message}");
    }

    #[test]
    fn too_few_draws_have_no_tails() {
        let mut weight = vec![1.0; 100];
        weight[99] = 20.0;
        assert_eq!(warning(&weight, false), None);
        assert_eq!(warning(&[0.0; 3], false), None);
    }
}
