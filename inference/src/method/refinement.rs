//! The weights of the draws that the next flow is fitted to.
//!
//! The draws of all rounds teach the flow of a campaign that is after one posterior, by weighted maximum
//! likelihood at the observation (adaptive importance sampling; Cappé et al. 2008, eq. 7), tempered from the prior on.

use crate::weights::{
    Objective, RoundColumns, WeightsError, effective_sample_size, final_exponent,
    mixture_log_proposal, round_log_weights,
};

/// Fewest effective draws that a flow is fitted to, for each parameter: fewer, and it locks on to some.
const DRAWS_PER_PARAMETER: f64 = 40.0;
const FEWEST_DRAWS: f64 = 150.0;

/// Exponents are tried from here on.
const SMALLEST_EXPONENT: f64 = 1e-8;

/// A step of the exponent is as large as it may be where it leaves this part of the effective draws.
const UNCHANGED: f64 = 0.7;

/// Flows that are fitted to a surrogate at most, and those after which it must have brought something within two rounds: one of
/// more than this efficiency, or a log-likelihood that exceeds all earlier ones by so much.
const MOST_OF_SURROGATE: usize = 12;
const PATIENCE: usize = 4;
const HOPELESS: f64 = 0.02;
const RISE: f64 = 10.0;
/// Efficiency of a round from which on a surrogate's flow is drawn from again, and from which on as any other.
pub(crate) const SURROGATE_IS_FAIR: f64 = 0.3;
pub(crate) const SURROGATE_IS_GOOD: f64 = 0.5;

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

/// The weights that the next flow after those of `earlier` is fitted with: tempered, until the draws are worth enough, so
/// that they spread over all that may be the posterior.
pub fn tempered_weights(
    rounds: &[RoundColumns],
    n_parameters: usize,
    earlier: &[Objective],
) -> Result<TemperedWeights, WeightsError> {
    let last_exponent = earlier.iter().rev().find_map(|objective| match objective {
        Objective::Simulations | Objective::SurrogateDraws => None,
        Objective::WeightedDraws { exponent } => Some(*exponent),
    });
    let n_newest = rounds.last().map_or(0, |round| round.log_prior.len());
    let last = final_exponent(n_parameters);
    // Where few draws are possible at all, no exponent leaves many.
    let fewest = fewest_draws(n_parameters).min(0.5 * n_possible(rounds) as f64);
    // Where a surrogate has led, it hands over; where it has failed, tempering goes all the way.
    let has_arrived = earlier.last() == Some(&Objective::SurrogateDraws)
        || earlier
            .iter()
            .any(|objective| objective.is_final(n_parameters));
    if has_arrived {
        let as_they_are = weights_at(rounds, last)?;
        if as_they_are.n_eff() >= fewest {
            return Ok(as_they_are);
        }
    }
    let Some(exponent) = last_exponent else {
        return temper(rounds, fewest, (SMALLEST_EXPONENT, last));
    };
    let most = (exponent * largest_step(n_newest, n_parameters)).min(last);
    let tempered = temper(rounds, fewest, (SMALLEST_EXPONENT, most))?;
    if tempered.exponent < most || most == last {
        return Ok(tempered);
    }
    // Further, as far as the density hardly changes.
    let unchanged = UNCHANGED * weights_at(rounds, exponent)?.n_eff();
    temper(rounds, fewest.max(unchanged), (most, last))
}

/// Whether the next flow is fitted to a surrogate's draws, where there can be one: from the first on, until the true draws of all
/// rounds together are enough for one, or the surrogate leads nowhere. There is no way back to it.
///
/// The efficiency of a round alone says nothing: a flow that has lost a mode is the more efficient for it. Few heavy draws of
/// earlier rounds tell.
pub fn asks_surrogate(
    rounds: &[RoundColumns],
    n_parameters: usize,
    earlier: &[Objective],
) -> Result<bool, WeightsError> {
    let is_over = earlier.iter().any(|objective| match objective {
        Objective::SurrogateDraws => false,
        Objective::Simulations | Objective::WeightedDraws { .. } => true,
    });
    let (older, newest) = rounds.split_at(rounds.len().saturating_sub(2));
    let is_hopeless = earlier.len() >= PATIENCE
        && newest.iter().all(|round| efficiency(round) <= HOPELESS)
        && best_log_likelihood(newest) <= best_log_likelihood(older) + RISE;
    if is_over || is_hopeless || earlier.len() >= MOST_OF_SURROGATE {
        return Ok(false);
    }
    let as_they_are = weights_at(rounds, final_exponent(n_parameters))?;
    Ok(as_they_are.n_eff() < fewest_draws(n_parameters))
}

fn efficiency(round: &RoundColumns) -> f64 {
    let log_weights = round_log_weights(round);
    effective_sample_size(&log_weights) / log_weights.len().max(1) as f64
}

fn best_log_likelihood(rounds: &[RoundColumns]) -> f64 {
    let all = rounds.iter().flat_map(|round| &round.log_likelihood);
    all.flatten().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Draws whose likelihood is above zero.
fn n_possible(rounds: &[RoundColumns]) -> usize {
    let all = rounds.iter().flat_map(|round| &round.log_likelihood);
    all.filter(|value| value.is_some_and(|value| value > f64::NEG_INFINITY))
        .count()
}

/// Largest factor between the exponents of one tempered flow and the next: whatever a flow between them
/// has found, of the `n` draws of the first at least 50 must lie where the second is, or it would lose
/// modes. The volume shrinks with the factor to the power of half the number of parameters.
pub(crate) fn largest_step(n: usize, n_parameters: usize) -> f64 {
    const FEWEST: f64 = 50.0;
    (n as f64 / FEWEST).max(4.0).powf(2.0 / n_parameters as f64)
}

/// Effective draws that a flow of `n_parameters` parameters is fitted to at least.
pub fn fewest_draws(n_parameters: usize) -> f64 {
    (DRAWS_PER_PARAMETER * n_parameters as f64).max(FEWEST_DRAWS)
}

/// Mixture weights with the largest exponent between `least` and `most` of the likelihood up to which every exponent
/// from there on leaves `n_eff` effective draws; with `least` where even that leaves fewer.
pub fn temper(
    rounds: &[RoundColumns],
    n_eff: f64,
    (least, most): (f64, f64),
) -> Result<TemperedWeights, WeightsError> {
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
    let (mut low, mut high) = (0.0, least);
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
    Ok(at(low.max(least)))
}

/// Mixture weights with this exponent of the likelihood.
pub(crate) fn weights_at(
    rounds: &[RoundColumns],
    exponent: f64,
) -> Result<TemperedWeights, WeightsError> {
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
    use crate::weights::{Component, Proposal};
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
        let found = temper(&rounds, 1.0, (SMALLEST_EXPONENT, 1.0)).expect("complete columns");
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
        let found = temper(&rounds, 300.0, (SMALLEST_EXPONENT, 1.0)).expect("complete columns");
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
        let found = temper(&rounds, 100.0, (SMALLEST_EXPONENT, 1.0)).expect("complete columns");
        assert_eq!(found.exponent, 1e-8);
        assert!(
            found.log_weights[0][..2]
                .iter()
                .all(|weight| weight.abs() < 1e-5)
        );
    }

    #[test]
    fn exponents_rise_from_the_prior_on_and_stay_at_the_last_one() {
        let equal = [round(vec![Some(1.0); 500])];
        let heavy: Vec<_> = (0..500).map(|i| Some(-10.0 * f64::from(i))).collect();
        let heavy = [round(heavy)];
        let of = |rounds: &[RoundColumns], earlier: &[f64]| {
            let earlier: Vec<Objective> = earlier
                .iter()
                .map(|&exponent| Objective::WeightedDraws { exponent })
                .collect();
            let found = tempered_weights(rounds, 3, &earlier).expect("complete columns");
            found.exponent
        };
        let last = final_exponent(3);
        assert_eq!(of(&equal, &[]), last);
        assert_eq!(of(&equal, &[last]), last);
        let first = of(&heavy, &[]);
        assert!((1e-3..1e-2).contains(&first), "{first}");
        assert!((1e-3..1e-2).contains(&of(&heavy, &[first])));
        // Once there, a heavy draw of a broad place is no reason to go back.
        let mut broad = round(vec![Some(0.0); 500]);
        broad.log_likelihood[0] = Some(-40.0);
        broad.log_proposal[0] = broad.log_prior[0] - 20.0;
        let broad = [broad];
        assert_eq!(of(&broad, &[first, last]), last);
        assert_eq!(of(&broad, &[first]), 1e-8);
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
        let found = temper(&[round], 100.0, (SMALLEST_EXPONENT, 1.0)).expect("complete columns");
        assert_eq!(found.exponent, 1e-8);
    }

    #[test]
    fn a_step_leaves_draws_of_the_last_tempered_flow_unless_nothing_changes() {
        let of = |log_likelihood: &dyn Fn(f64) -> f64| {
            let values = (0..500).map(|i| Some(log_likelihood(f64::from(i))));
            let rounds = [round(values.collect())];
            let earlier = [Objective::WeightedDraws { exponent: 1e-3 }];
            let found = tempered_weights(&rounds, 3, &earlier).expect("complete columns");
            found.exponent
        };
        // At 1e-3 worth 364 draws, then 202, which is enough: a tenth of the 500 draws, in three dimensions.
        let bounded = 1e-3 * 10f64.powf(2.0 / 3.0);
        assert_eq!(of(&|i| -2.0 * i), bounded);
        assert_eq!(of(&|_| 1.0), final_exponent(3));
        // As far as 0.7 of the effective draws are left.
        let far = of(&|i| -0.3 * i);
        assert!(far > bounded && far < final_exponent(3), "{far}");
    }

    #[test]
    fn few_possible_draws_are_not_tempered_for_their_number() {
        let values = (0..500).map(|i| Some(if i < 60 { 0.0 } else { f64::NEG_INFINITY }));
        let rounds = [round(values.collect())];
        let found = tempered_weights(&rounds, 3, &[]).expect("complete columns");
        assert_eq!(found.exponent, final_exponent(3));
    }

    #[test]
    fn a_surrogate_is_asked_until_true_draws_are_enough_or_it_leads_nowhere() {
        let drawn = Objective::WeightedDraws { exponent: 0.1 };
        let asks = |rounds: &[RoundColumns], earlier: &[Objective]| {
            asks_surrogate(rounds, 3, earlier).expect("complete columns")
        };
        let surrogate = |n: usize| vec![Objective::SurrogateDraws; n];
        let poor = || round((0..250).map(|i| Some(-10.0 * f64::from(i))).collect());
        // Of 250 draws as good as 25.
        let fair = || {
            round(
                (0..250)
                    .map(|i| Some(if i < 25 { 0.0 } else { -99.0 }))
                    .collect(),
            )
        };
        let good = || round(vec![Some(1.0); 250]);
        assert!(asks(&[poor()], &[]));
        assert!(asks(&[poor(), fair()], &surrogate(1)));
        assert!(!asks(&[poor(), good()], &surrogate(1)));
        assert!(!asks(
            &[poor(), fair()],
            &[Objective::SurrogateDraws, drawn]
        ));
        // Of another round a draw as heavy as all of the good one's.
        let mut heavy = poor();
        heavy.log_likelihood[0] = Some(7.0);
        assert!(asks(&[heavy, good()], &surrogate(1)));
        // Two poor rounds at the end, after four flows.
        assert!(asks(&[poor(), poor()], &surrogate(3)));
        assert!(!asks(&[poor(), fair(), poor(), poor()], &surrogate(4)));
        assert!(asks(&[poor(), poor(), fair(), poor()], &surrogate(4)));
        assert!(!asks(&[poor(), fair()], &surrogate(12)));
        // As poor, but on their way up.
        let risen = |by: f64| {
            let mut round = poor();
            let values = round.log_likelihood.iter_mut().flatten();
            values.for_each(|value| *value += by);
            round
        };
        assert!(asks(
            &[poor(), risen(5.0), risen(15.1), poor()],
            &surrogate(4)
        ));
        assert!(!asks(
            &[poor(), risen(5.0), risen(14.9), poor()],
            &surrogate(4)
        ));
    }

    #[test]
    fn after_a_surrogate_true_draws_teach_untempered() {
        let good = round(vec![Some(1.0); 250]);
        let prior = round((0..250).map(|i| Some(-10.0 * f64::from(i))).collect());
        let exponent = |rounds: &[RoundColumns]| {
            let found = tempered_weights(rounds, 3, &[Objective::SurrogateDraws]);
            found.expect("complete columns").exponent
        };
        assert_eq!(exponent(&[prior.clone(), good]), final_exponent(3));
        assert!(exponent(&[prior]) < 0.1);
    }
}
