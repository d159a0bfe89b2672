//! How many draws of a trained flow an observation gets, step by step.

use crate::weights::{MAX_PARETO_K, MIN_N_EFF, WeightDiagnostics};

/// What the draws of one observation are to come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effort {
    /// So many draws, whatever they are worth.
    Draws(u64),
    /// Draws until they are worth enough.
    UpTo {
        /// With a k-hat that lets it be believed.
        n_eff: f64,
        /// The most draws, each simulated once.
        simulations: u64,
    },
}

/// More than what is missing by the efficiency so far, which is known with an error only.
const MARGIN: f64 = 1.1;

/// A step is no smaller than this share of the draws so far.
const LEAST_STEP: f64 = 0.1;

/// The draws of the next step; 0 where there is none. `so_far` are the weights of all earlier steps; None before the first.
///
/// A step at most doubles the draws: a single heavy weight makes the efficiency look too small, and the next step tells.
pub fn next_draws(effort: Effort, so_far: Option<&WeightDiagnostics>) -> u64 {
    let (n_eff, simulations) = match (effort, so_far) {
        (Effort::Draws(n_draws), None) => return n_draws,
        (Effort::Draws(_), Some(_)) => return 0,
        (Effort::UpTo { n_eff, simulations }, _) => (n_eff, simulations),
    };
    let Some(so_far) = so_far else {
        // No draw is worth more than one.
        return (n_eff.max(MIN_N_EFF).ceil() as u64).min(simulations);
    };
    let missing = n_eff - so_far.n_eff;
    let is_believed = so_far.pareto_k.is_some_and(|k| k <= MAX_PARETO_K);
    if missing <= 0.0 && is_believed {
        return 0;
    }
    let n = so_far.n;
    let wanted = match is_believed {
        true => (MARGIN * missing / so_far.efficiency).ceil() as u64,
        false => n,
    };
    let least = (LEAST_STEP * n as f64).ceil() as u64;
    wanted
        .clamp(least.min(n), n)
        .min(simulations.saturating_sub(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn so_far(n: u64, n_eff: f64, pareto_k: Option<f64>) -> WeightDiagnostics {
        WeightDiagnostics {
            n,
            n_eff,
            efficiency: n_eff / n as f64,
            pareto_k,
            max_weight: 0.01,
            evidence: None,
        }
    }

    fn up_to(simulations: u64) -> Effort {
        Effort::UpTo {
            n_eff: 1000.0,
            simulations,
        }
    }

    #[test]
    fn a_number_of_draws_is_one_step() {
        assert_eq!(next_draws(Effort::Draws(5000), None), 5000);
        let enough = so_far(5000, 3.0, Some(1.0));
        assert_eq!(next_draws(Effort::Draws(5000), Some(&enough)), 0);
    }

    #[test]
    fn steps_follow_from_what_is_missing() {
        assert_eq!(next_draws(up_to(5000), None), 1000);
        assert_eq!(next_draws(up_to(300), None), 300);
        let few = Effort::UpTo {
            n_eff: 10.0,
            simulations: 5000,
        };
        assert_eq!(next_draws(few, None), 100);
        let next = |n, n_eff, k| next_draws(up_to(5000), Some(&so_far(n, n_eff, Some(k))));
        assert_eq!(next(1400, 1000.0, 0.7), 0);
        // 1.1 × 200 / 0.8
        assert_eq!(next(1000, 800.0, 0.3), 275);
        assert_eq!(next(1000, 999.0, 0.3), 100);
        assert_eq!(next(1000, 50.0, 0.3), 1000);
        assert_eq!(next(4000, 900.0, 0.3), 489);
        assert_eq!(next(4000, 100.0, 0.3), 1000);
        assert_eq!(next(5000, 100.0, 0.3), 0);
    }

    #[test]
    fn weights_that_are_not_to_be_believed_are_not_enough() {
        let next = |n_eff, k| next_draws(up_to(5000), Some(&so_far(1500, n_eff, k)));
        assert_eq!(next(1200.0, Some(0.71)), 1500);
        assert_eq!(next(1200.0, None), 1500);
        assert_eq!(next(0.0, None), 1500);
    }
}
