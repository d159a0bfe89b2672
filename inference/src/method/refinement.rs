//! What the next flow is fitted to: the simulations, or the weighted draws of all rounds.
//!
//! A flow fitted to simulations knows every observation a little; once the rounds' weights say where the
//! posterior of the one observation lies, the draws themselves are the better teacher: weighted maximum
//! likelihood at the observation (adaptive importance sampling; Cappé et al. 2008, eq. 7), which tends to
//! the posterior itself.

use crate::base::FlowId;
use crate::weights::{
    Component, Objective, Proposal, RoundColumns, WeightsError, effective_sample_size,
    final_exponent, log_density_under, mixture_log_proposal,
};

/// Fewest effective draws that a flow is fitted to, for each parameter: fewer, and it locks on to some.
const DRAWS_PER_PARAMETER: f64 = 40.0;
const FEWEST_DRAWS: f64 = 150.0;

/// Weights of all rounds' draws, tempered as far as their number asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct TemperedWeights {
    /// In (0, 1].
    pub exponent: f64,
    /// Unnormalized, one vector a round, one element a row; -inf where the likelihood is zero or unknown.
    pub log_weights: Vec<Vec<f64>>,
}

impl TemperedWeights {
    fn n_eff(&self) -> f64 {
        effective_sample_size(&self.log_weights.concat())
    }
}

/// The objective of the next flow after those of `earlier`, and the weights that it needs.
///
/// The first flow is fitted to simulations, all others to weighted draws: tempered, until the draws are worth
/// enough, so that they spread over all that may be the posterior.
pub fn objective(
    rounds: &[RoundColumns],
    n_parameters: usize,
    earlier: &[Objective],
) -> Result<(Objective, TemperedWeights), WeightsError> {
    let last_exponent = earlier.iter().rev().find_map(|objective| match objective {
        Objective::Simulations => None,
        Objective::WeightedDraws { exponent } => Some(*exponent),
    });
    let n_newest = rounds.last().map_or(0, |round| round.log_prior.len());
    let most = match last_exponent {
        None => f64::INFINITY,
        Some(exponent) => exponent * largest_step(n_newest, n_parameters),
    };
    let most = most.min(final_exponent(n_parameters));
    let fewest = fewest_draws(n_parameters);
    let has_arrived = earlier
        .iter()
        .any(|objective| objective.is_final(n_parameters));
    let as_they_are = match has_arrived {
        true => Some(tempered_by(rounds, final_exponent(n_parameters))?),
        false => None,
    };
    let tempered = match as_they_are {
        Some(weights) if weights.n_eff() >= fewest => weights,
        Some(_) | None => temper(rounds, fewest, most)?,
    };
    let is_usable = tempered.n_eff() >= 0.5 * fewest;
    let objective = match earlier {
        [] => Objective::Simulations,
        [..] if is_usable => Objective::WeightedDraws {
            exponent: tempered.exponent,
        },
        [..] => Objective::Simulations,
    };
    Ok((objective, tempered))
}

/// Largest factor between the exponents of one tempered flow and the next: whatever a flow between them
/// has found, of the `n` draws of the first at least 50 must lie where the second is, or it would lose
/// modes. The volume shrinks with the factor to the power of half the number of parameters.
pub(crate) fn largest_step(n: usize, n_parameters: usize) -> f64 {
    const FEWEST: f64 = 50.0;
    (n as f64 / FEWEST).max(4.0).powf(2.0 / n_parameters as f64)
}

/// Weights of simulations for a flow that is fitted to them: as if they had been drawn half from the prior
/// and half from `tempered`, the newest flow that was fitted to tempered draws. At the observation the flow
/// then tends to the posterior times that broad density, rather than times all earlier, narrow ones,
/// which would favour the mode that was found first. One vector a round; bounded.
pub fn simulation_weights(
    rounds: &[RoundColumns],
    tempered: FlowId,
) -> Result<Vec<Vec<f64>>, WeightsError> {
    let broad = Proposal::of(vec![
        (Component::Prior, 0.5),
        (Component::Flow(tempered), 0.5),
    ]);
    let mixture = mixture_log_proposal(rounds)?;
    rounds
        .iter()
        .zip(mixture)
        .map(|(round, mixture)| {
            let broad = log_density_under(round, &broad)?;
            Ok(broad
                .iter()
                .zip(mixture)
                .map(|(broad, mixture)| (broad - mixture).exp())
                .collect())
        })
        .collect()
}

/// Effective draws that a flow of `n_parameters` parameters is fitted to at least.
pub fn fewest_draws(n_parameters: usize) -> f64 {
    (DRAWS_PER_PARAMETER * n_parameters as f64).max(FEWEST_DRAWS)
}

/// Mixture weights with the largest exponent in (0, `most`] of the likelihood up to which every exponent
/// leaves `n_eff` effective draws; the smallest exponent tried where even that leaves fewer.
pub fn temper(
    rounds: &[RoundColumns],
    n_eff: f64,
    most: f64,
) -> Result<TemperedWeights, WeightsError> {
    const SMALLEST_EXPONENT: f64 = 1e-8;
    const STEP: f64 = 1.3;
    const N_HALVINGS: u32 = 10;
    let denominator = mixture_log_proposal(rounds)?;
    let at = |exponent: f64| TemperedWeights {
        exponent,
        log_weights: log_weights(rounds, &denominator, exponent),
    };
    let is_enough = |exponent: f64| at(exponent).n_eff() >= n_eff;
    // Upwards from the prior, not down from 1: where one mode is known well and another by a few draws,
    // large exponents see the first alone and are worth many draws again.
    let (mut low, mut high) = (0.0, SMALLEST_EXPONENT);
    while is_enough(high) {
        if high == most {
            return Ok(at(most));
        }
        low = high;
        high = (STEP * high).min(most);
    }
    for _ in 0..N_HALVINGS {
        let middle = 0.5 * (low + high);
        match is_enough(middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(at(low.max(SMALLEST_EXPONENT)))
}

/// Mixture weights with this exponent of the likelihood.
fn tempered_by(rounds: &[RoundColumns], exponent: f64) -> Result<TemperedWeights, WeightsError> {
    Ok(TemperedWeights {
        exponent,
        log_weights: log_weights(rounds, &mixture_log_proposal(rounds)?, exponent),
    })
}

fn log_weights(
    rounds: &[RoundColumns],
    log_denominator: &[Vec<f64>],
    exponent: f64,
) -> Vec<Vec<f64>> {
    let of_round = |(round, denominator): (&RoundColumns, &Vec<f64>)| {
        let of_row = |i: usize| match round.log_likelihood[i] {
            Some(log_likelihood) if log_likelihood > f64::NEG_INFINITY => {
                exponent * log_likelihood + round.log_prior[i] - denominator[i]
            }
            Some(_) | None => f64::NEG_INFINITY,
        };
        (0..denominator.len()).map(of_row).collect()
    };
    rounds.iter().zip(log_denominator).map(of_round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RoundId;
    use crate::weights::Proposal;
    use std::collections::BTreeMap;

    /// A round from the prior with these log-likelihoods.
    fn round(log_likelihood: Vec<Option<f64>>) -> RoundColumns {
        let n = log_likelihood.len();
        RoundColumns {
            round: RoundId(0),
            proposal: Proposal::prior(),
            log_likelihood,
            log_prior: vec![-1.5; n],
            log_proposal: vec![-1.5; n],
            component: vec![Component::Prior; n],
            log_flow: BTreeMap::new(),
            z: Vec::new(),
        }
    }

    #[test]
    fn weights_that_are_worth_enough_are_left_alone() {
        let rounds = [round(vec![
            Some(-3.0),
            Some(-3.0),
            None,
            Some(f64::NEG_INFINITY),
        ])];
        let found = temper(&rounds, 1.0, 1.0).expect("complete columns");
        assert_eq!(found.exponent, 1.0);
        let zero = f64::NEG_INFINITY;
        assert_eq!(found.log_weights, [[-3.0, -3.0, zero, zero]]);
    }

    #[test]
    fn tempered_weights_are_worth_what_was_asked_for() {
        // log L = -i² / 2 on a fine grid is a Gaussian: n_eff is the sum 2 sqrt(π / β) / step.
        let log_likelihood = (-2000..=2000)
            .map(|i| Some(-0.5 * (0.01 * f64::from(i)).powi(2) * 1e4))
            .collect();
        let rounds = [round(log_likelihood)];
        let found = temper(&rounds, 300.0, 1.0).expect("complete columns");
        let expected = 4.0 * std::f64::consts::PI / (301.0f64 * 0.01).powi(2) / 1e4;
        assert!(
            (found.exponent / expected - 1.0).abs() < 1e-3,
            "{}",
            found.exponent
        );
        let n_eff = effective_sample_size(&found.log_weights.concat());
        assert!((n_eff - 300.0).abs() < 0.1, "{n_eff}");
    }

    #[test]
    fn too_few_rows_are_tempered_to_almost_nothing() {
        let rounds = [round(vec![Some(0.0), Some(-700.0), None])];
        let found = temper(&rounds, 100.0, 1.0).expect("complete columns");
        assert_eq!(found.exponent, 1e-8);
        assert!(
            found.log_weights[0][..2]
                .iter()
                .all(|weight| weight.abs() < 1e-5)
        );
    }

    #[test]
    fn draws_teach_once_they_are_informed() {
        let equal = [round(vec![Some(1.0); 500])];
        let heavy: Vec<_> = (0..500).map(|i| Some(-10.0 * f64::from(i))).collect();
        let heavy = [round(heavy)];
        let of = |rounds: &[RoundColumns], earlier: &[Objective]| {
            objective(rounds, 3, earlier).expect("complete columns").0
        };
        let drawn = Objective::WeightedDraws {
            exponent: final_exponent(3),
        };
        assert_eq!(of(&equal, &[]), Objective::Simulations);
        assert_eq!(of(&equal, &[Objective::Simulations]), drawn);
        assert_eq!(of(&equal, &[Objective::Simulations, drawn]), drawn);
        let Objective::WeightedDraws { exponent } = of(&heavy, &[Objective::Simulations]) else {
            panic!("after simulations draws are taken");
        };
        assert!(exponent < 1.0);
        let tempered = Objective::WeightedDraws { exponent };
        let next = of(&heavy, &[Objective::Simulations, tempered]);
        assert!(matches!(next, Objective::WeightedDraws { exponent } if exponent < 1.0));
        // Once there, a heavy draw of a broad place is no reason to go back.
        let arrived = [Objective::Simulations, drawn];
        let mut broad = round(vec![Some(0.0); 500]);
        broad.log_likelihood[0] = Some(-40.0);
        broad.log_proposal[0] = broad.log_prior[0] - 20.0;
        let broad = [broad];
        assert_eq!(of(&broad, &arrived), drawn);
        assert_eq!(
            of(&broad, &[Objective::Simulations]),
            Objective::Simulations
        );
        assert_eq!(fewest_draws(2), 150.0);
        assert_eq!(fewest_draws(10), 400.0);
    }

    #[test]
    fn large_exponents_do_not_hide_what_small_ones_see() {
        // 300 draws of a mode that is known well, and 3 of another that was hardly drawn from.
        let mut round = round(vec![Some(0.0); 303]);
        for i in 300..303 {
            round.log_likelihood[i] = Some(-50.0);
            round.log_proposal[i] = round.log_prior[i] - 8.0;
        }
        let at_one = |i: usize| {
            round.log_likelihood[i].unwrap_or_default() + round.log_prior[i] - round.log_proposal[i]
        };
        let log_weights: Vec<f64> = (0..303).map(at_one).collect();
        assert!(effective_sample_size(&log_weights) > 290.0);
        let found = temper(&[round], 100.0, 1.0).expect("complete columns");
        assert_eq!(found.exponent, 1e-8);
    }

    #[test]
    fn a_step_leaves_draws_of_the_last_tempered_flow() {
        let rounds = [round(vec![Some(1.0); 500])];
        let tempered = Objective::WeightedDraws { exponent: 1e-3 };
        let earlier = [Objective::Simulations, tempered, Objective::Simulations];
        let found = objective(&rounds, 3, &earlier).expect("complete columns").0;
        // A tenth of the 500 draws, in three dimensions.
        let exponent = 1e-3 * 10f64.powf(2.0 / 3.0);
        assert_eq!(found, Objective::WeightedDraws { exponent });
    }

    #[test]
    fn simulations_are_weighted_as_if_drawn_broadly() {
        let mut round = round(vec![Some(0.0); 2]);
        let flow = FlowId(1);
        let log_flow = vec![-1.5 + 3f64.ln(), f64::NEG_INFINITY];
        round.log_flow = BTreeMap::from([(flow, log_flow)]);
        let found = simulation_weights(&[round], flow).expect("complete columns");
        assert!((found[0][0] - 2.0).abs() < 1e-14 && (found[0][1] - 0.5).abs() < 1e-14);
    }
}
