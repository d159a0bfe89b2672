//! What a flow is fitted to.

use serde::{Deserialize, Serialize};

/// Share of the efficiency that the last flows give for tails that are heavier than the posterior's.
const COST_OF_TAILS: f64 = 0.03;

/// What a flow is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// -log q(θ | x) over simulations and their noise: neural posterior estimation.
    Simulations,
    /// -Σ w log q(θ) over the draws of all rounds, w ∝ p(x_obs|θ)^exponent p(θ) / mixture; an exponent
    /// below 1 where the weights themselves would leave too few effective draws.
    WeightedDraws {
        /// In (0, 1].
        exponent: f64,
    },
    /// -Σ log q(θ) over draws of the posterior by a surrogate of the forward model, learnt from the simulations so far.
    SurrogateDraws,
}

impl Objective {
    /// Whether it is the posterior itself, but for its tails, by true likelihoods: nothing on the way to it.
    pub fn is_final(self, n_parameters: usize) -> bool {
        match self {
            Self::Simulations | Self::SurrogateDraws => false,
            Self::WeightedDraws { exponent } => exponent >= final_exponent(n_parameters),
        }
    }
}

/// The exponent that tempering ends with. Importance weights have no bound where the proposal's tails are
/// lighter than the posterior's, and a fitted flow's are somewhere; fitted to a posterior that is a little
/// wider, it covers them. A Gaussian posterior in d dimensions has the efficiency (β (2 - β))^(d/2) under the
/// one with exponent β.
pub fn final_exponent(n_parameters: usize) -> f64 {
    let kept = (1.0 - COST_OF_TAILS).powf(2.0 / n_parameters.max(1) as f64);
    1.0 - (1.0 - kept).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_tails_cost_the_same_efficiency_in_all_dimensions() {
        for d in [1, 3, 10] {
            let exponent = final_exponent(d);
            let kept = (exponent * (2.0 - exponent)).powf(0.5 * d as f64);
            assert!((kept - 0.97).abs() < 1e-12, "{d}: {exponent}");
        }
        let last = Objective::WeightedDraws {
            exponent: final_exponent(3),
        };
        assert!(last.is_final(3) && !last.is_final(10));
        assert!(Objective::WeightedDraws { exponent: 1.0 }.is_final(10));
        assert!(!Objective::Simulations.is_final(3));
        assert!(!Objective::SurrogateDraws.is_final(3));
    }
}
