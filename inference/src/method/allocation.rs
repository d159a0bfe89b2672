//! How many simulations a round gets within a budget.

use super::past::Past;
use super::refinement::{SURROGATE_IS_FAIR, SURROGATE_IS_GOOD, fewest_draws};
use crate::campaign::{Refinement, Rounds};
use crate::weights::{Component, Objective};

/// Effective draws that a round on the way must bring at its own temperature: this many times the fewest that
/// a flow is fitted to.
const EXPLORING_FACTOR: f64 = 3.0;
/// Draws of the prior that have a likelihood above zero, before the first flow: this part of the fewest that a flow is else
/// fitted to, as the next one is fitted to more.
const POSSIBLE_SHARE: f64 = 0.5;
/// Another round from the prior has at most this many times the draws so far.
const MOST_PRIOR_GROWTH: f64 = 2.0;
/// Fewest rows of a round on the way.
const FEWEST_EXPLORING: f64 = 600.0;
/// Fewest rows of a first round whose data a surrogate learns from, and for each parameter.
const FIRST_OF_SURROGATE: u64 = 320;
const FIRST_A_PARAMETER: u64 = 64;
/// Rows of a round that a surrogate's posterior is tried with, and for each parameter.
const TRIAL: u64 = 250;
const TRIAL_A_PARAMETER: u64 = 50;
/// Effective draws, in units of the fewest that a flow is fitted to, that a good and a fair flow of a surrogate bring before true
/// draws teach the next one.
const OF_GOOD_SURROGATE: f64 = 3.0;
const OF_FAIR_SURROGATE: f64 = 1.2;
/// A round of a good flow multiplies the effective draws so far by at most this: the next flow, fitted to
/// more of them, is better still.
const GROWTH: f64 = 3.0;
/// So few rounds must not leave the budget unspent.
const FEW_ROUNDS: u64 = 10;
/// Round 0 takes at most this part of a budget.
const FIRST_SHARE: u64 = 5;
/// A round may bring this part of all simulations so far, however large `rounds.simulations`: the number of trainings
/// then grows with the logarithm of a budget.
const MOST_GROWTH: u64 = 10;
/// Rounds below this share of the budget are not worth a training.
const SMALLEST_SHARE: f64 = 0.02;

/// Rows of round 0, which draws from the prior: `rounds.simulations`, but no more than a fifth of a budget for rounds whose
/// flows are fitted to weighted draws, so that later ones can close in, and no more than a surrogate needs to begin with.
pub fn first_round_size(rounds: &Rounds, n_parameters: usize, refinement: Refinement) -> u64 {
    let budget = rounds.stop.simulations.unwrap_or(u64::MAX);
    let most = match refinement {
        Refinement::Off => u64::MAX,
        Refinement::Tempered => (budget / FIRST_SHARE).max(fewest_exploring(n_parameters)),
        Refinement::Surrogate => FIRST_OF_SURROGATE.max(FIRST_A_PARAMETER * n_parameters as u64),
    };
    rounds.simulations.min(most).min(budget).max(1)
}

/// Fewest rows of a round on the way to the posterior.
fn fewest_exploring(n_parameters: usize) -> u64 {
    (EXPLORING_FACTOR * fewest_draws(n_parameters))
        .max(FEWEST_EXPLORING)
        .ceil() as u64
}

/// What the size of the next round follows from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spent {
    pub n_parameters: usize,
    /// Training rounds so far.
    pub n_rounds: u64,
    /// All of them so far.
    pub simulations: u64,
    /// Of all rounds together.
    pub n_eff: f64,
    /// Of the newest round.
    pub efficiency: f64,
    /// Of the flow to come or, where there is one, of the newest round's.
    pub stage: Stage,
}

impl Spent {
    /// Whether the newest round's flow was fitted to the posterior.
    pub fn is_final(&self) -> bool {
        self.stage == Stage::Final
    }
}

/// Where a flow stands on the way to the posterior.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Fitted to a tempered posterior.
    OnTheWay,
    /// Fitted to a surrogate's posterior.
    OfSurrogate,
    /// Fitted to the posterior.
    Final,
}

impl Stage {
    /// Of a flow with this objective, or of the first one.
    pub fn of(objective: Option<Objective>, past: &Past) -> Self {
        match objective {
            Some(objective) if objective.is_final(past.n_parameters) => Self::Final,
            Some(Objective::SurrogateDraws) => Self::OfSurrogate,
            Some(Objective::Simulations | Objective::WeightedDraws { .. }) => Self::OnTheWay,
            None => match past.refinement {
                Refinement::Surrogate => Self::OfSurrogate,
                Refinement::Off | Refinement::Tempered => Self::OnTheWay,
            },
        }
    }
}

/// Rows of the training round after those of `past`; where what is left of the budget is not worth a round, the fewest
/// that would have been, as the error.
///
/// `objective` is what the flow of the last round was fitted to (None for the prior).
///
/// Where flows are fitted to simulations only, every round has `rounds.simulations` rows. Else rounds on the way to the
/// posterior are as small as the next flow allows; from the first flow on that was fitted to the posterior a round brings
/// what is missing to the target n_eff (all that there is to get, where there is no target) at the efficiency measured
/// last, but at most triples the effective draws, because the next flow then is better. No round has more than
/// `rounds.simulations` rows or a tenth of all so far (what a flow misses in the tails only later flows mend), but the last
/// one, which takes a rest too small for a round of its own. Where `rounds.max` leaves few rounds, they share what is left.
pub fn round_size(rounds: &Rounds, past: &Past, objective: Option<Objective>) -> Result<u64, u64> {
    let spent = past.history.last().map(|last| Spent {
        n_parameters: past.n_parameters,
        n_rounds: past.n_rounds(),
        simulations: past.simulations,
        n_eff: past.combined.n_eff,
        efficiency: last.all.efficiency,
        stage: Stage::of(objective, past),
    });
    match (spent, past.refinement) {
        (None, _) | (_, Refinement::Off) => even_size(rounds, past.simulations),
        (Some(spent), Refinement::Tempered | Refinement::Surrogate) => size_after(rounds, &spent),
    }
}

/// Rows of another round from the prior before the first flow; None where enough draws are possible (have a likelihood above
/// zero) for one to be fitted to.
pub(crate) fn prior_round_size(rounds: &Rounds, past: &Past) -> Option<u64> {
    let wanted = POSSIBLE_SHARE * fewest_draws(past.n_parameters);
    let n_possible: u64 = past.history.iter().map(|round| round.n_possible).sum();
    let missing = wanted - n_possible as f64;
    if past.refinement == Refinement::Off || !past.objectives.is_empty() || missing <= 0.0 {
        return None;
    }
    let n = past.simulations as f64;
    let share = (n_possible as f64).max(1.0) / n.max(1.0);
    let n_rows = (missing / share).min(MOST_PRIOR_GROWTH * n).ceil() as u64;
    let budget = rounds.stop.simulations.unwrap_or(u64::MAX);
    let left = budget.saturating_sub(past.simulations);
    Some(n_rows.max(fewest_exploring(past.n_parameters)).min(left))
}

/// Rows of another round from the newest flow; None where the next one is fitted first. A surrogate's flow that is fair is
/// drawn from until true draws teach more than it knows: the next one may well be far worse.
pub(crate) fn repeated_size(rounds: &Rounds, past: &Past) -> Option<u64> {
    let last = past.history.last()?;
    let Component::Flow(flow) = last.proposal.newest() else {
        return None;
    };
    let efficiency = last.all.efficiency;
    let wanted = match efficiency >= SURROGATE_IS_GOOD {
        true => OF_GOOD_SURROGATE,
        false => OF_FAIR_SURROGATE,
    };
    let of_flow = past.history.iter();
    let of_flow = of_flow.filter(|round| round.proposal.newest() == Component::Flow(flow));
    let n_eff: f64 = of_flow.map(|round| round.all.n_eff).sum();
    let missing = wanted * fewest_draws(past.n_parameters) - n_eff;
    let is_of_surrogate = past.objectives.get(&flow) == Some(&Objective::SurrogateDraws);
    if !is_of_surrogate || efficiency < SURROGATE_IS_FAIR || missing <= 0.0 {
        return None;
    }
    let budget = rounds.stop.simulations.unwrap_or(u64::MAX);
    let left = budget.saturating_sub(past.simulations);
    let n_rows = (1.05 * missing / efficiency).ceil() as u64;
    (n_rows <= left / 2).then_some(n_rows.max(TRIAL))
}

/// The size of a round where all have the same.
pub(crate) fn even_size(rounds: &Rounds, simulations: u64) -> Result<u64, u64> {
    let budget = rounds.stop.simulations.unwrap_or(u64::MAX);
    if rounds.simulations <= budget.saturating_sub(simulations) {
        Ok(rounds.simulations)
    } else {
        Err(rounds.simulations)
    }
}

/// As [`round_size`], where flows are fitted to weighted draws.
pub(crate) fn size_after(rounds: &Rounds, spent: &Spent) -> Result<u64, u64> {
    let Some(budget) = rounds.stop.simulations else {
        return even_size(rounds, spent.simulations);
    };
    let left = budget.saturating_sub(spent.simulations);
    let most = rounds.simulations.max(spent.simulations / MOST_GROWTH);
    let exploring = match spent.stage {
        Stage::OnTheWay | Stage::Final => fewest_exploring(spent.n_parameters),
        Stage::OfSurrogate => TRIAL.max(TRIAL_A_PARAMETER * spent.n_parameters as u64),
    };
    let exploring = exploring.min(rounds.simulations);
    let smallest = ((SMALLEST_SHARE * budget as f64) as u64)
        .min(exploring)
        .max(1);
    let is_good = match spent.stage {
        Stage::OnTheWay => false,
        Stage::OfSurrogate => spent.efficiency >= SURROGATE_IS_GOOD,
        Stage::Final => true,
    };
    let wanted = if is_good {
        let efficiency = spent.efficiency.max(1e-6);
        let target = rounds.stop.n_eff.unwrap_or(f64::INFINITY);
        let missing = 1.05 * (target - spent.n_eff).max(0.0) / efficiency;
        let growth = (GROWTH - 1.0) * spent.n_eff / efficiency;
        missing.min(growth).ceil() as u64
    } else {
        0
    };
    let n_rounds_left = u64::from(rounds.max).saturating_sub(spent.n_rounds);
    let shared = if n_rounds_left <= FEW_ROUNDS {
        left / n_rounds_left.max(1)
    } else {
        0
    };
    let wanted = wanted.max(shared).min(most).max(exploring);
    // What would be left for a round too small to be one goes to this one.
    let size = if left.saturating_sub(wanted) < smallest {
        left
    } else {
        wanted
    };
    if size >= smallest {
        return Ok(size);
    }
    // A larger budget has a larger smallest round: this many more are enough for it, too.
    let of_larger = SMALLEST_SHARE / (1.0 - SMALLEST_SHARE) * spent.simulations as f64;
    Err((of_larger.ceil() as u64).min(exploring).max(smallest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FlowId, RoundId};
    use crate::campaign::{Combine, Stop, StopRule};
    use crate::weights::{Proposal, RoundKind, RoundSummary, WeightDiagnostics};
    use std::collections::BTreeMap;

    const REFINED: Option<Objective> = Some(Objective::WeightedDraws { exponent: 1.0 });

    fn rounds(n_eff: Option<f64>, simulations: Option<u64>) -> Rounds {
        Rounds {
            max: 50,
            simulations: 1280,
            defensive_share: 0.1,
            combine: Combine::Mixture,
            stop: Stop {
                rule: StopRule::Bootstrap,
                n_eff,
                efficiency: None,
                simulations,
                wall_time_s: None,
                top_up: 0,
            },
        }
    }

    fn diagnostics(n: u64, n_eff: f64) -> WeightDiagnostics {
        WeightDiagnostics {
            n,
            n_eff,
            efficiency: n_eff / n as f64,
            pareto_k: None,
            max_weight: 0.0,
            evidence: None,
        }
    }

    fn size(
        rounds: &Rounds,
        objective: Option<Objective>,
        efficiency: f64,
        n_eff: f64,
        simulations: u64,
    ) -> Result<u64, u64> {
        let last = diagnostics(1000, 1000.0 * efficiency);
        let history = [RoundSummary {
            round: RoundId(0),
            kind: RoundKind::Training,
            proposal: Proposal::prior(),
            n_failed: 0,
            n_possible: 1000,
            failed_median: None,
            newest_component: last.clone(),
            all: last,
            efficiency_error: 0.01,
        }];
        let past = Past {
            n_parameters: 3,
            refinement: Refinement::Tempered,
            history: &history,
            blind: None,
            objectives: &BTreeMap::new(),
            combined: &diagnostics(simulations, n_eff),
            simulations,
            elapsed_s: 0.0,
        };
        round_size(rounds, &past, objective)
    }

    #[test]
    fn rounds_of_flows_that_are_fitted_to_simulations_are_alike() {
        let size = |rounds: &Rounds, simulations| {
            let past = Past {
                n_parameters: 3,
                refinement: Refinement::Off,
                history: &[],
                blind: None,
                objectives: &BTreeMap::new(),
                combined: &diagnostics(simulations, 50.0),
                simulations,
                elapsed_s: 0.0,
            };
            round_size(rounds, &past, Some(Objective::Simulations))
        };
        assert_eq!(size(&rounds(Some(6000.0), None), 99_999), Ok(1280));
        assert_eq!(size(&rounds(None, Some(5000)), 3720), Ok(1280));
        assert_eq!(size(&rounds(None, Some(5000)), 3721), Err(1280));
    }

    #[test]
    fn the_first_round_leaves_most_of_the_budget() {
        use Refinement::{Off, Surrogate, Tempered};
        let first = |simulations, budget, refinement| {
            let rounds = Rounds {
                simulations,
                ..rounds(None, budget)
            };
            first_round_size(&rounds, 3, refinement)
        };
        assert_eq!(first(1280, None, Tempered), 1280);
        assert_eq!(first(1280, Some(12_800), Tempered), 1280);
        assert_eq!(first(12_800, Some(12_800), Tempered), 2560);
        assert_eq!(first(1280, Some(2000), Tempered), 600);
        assert_eq!(first(1280, Some(500), Tempered), 500);
        assert_eq!(first(12_800, Some(12_800), Off), 12_800);
        assert_eq!(first(1280, Some(12_800), Surrogate), 320);
        assert_eq!(first(100, None, Surrogate), 100);
    }

    #[test]
    fn without_a_target_good_rounds_triple_the_effective_draws() {
        let rounds = rounds(None, Some(12_800));
        assert_eq!(size(&rounds, REFINED, 0.5, 200.0, 4000), Ok(800));
        assert_eq!(size(&rounds, REFINED, 0.5, 4000.0, 6000), Ok(1280));
        assert_eq!(size(&rounds, None, 0.5, 4000.0, 6000), Ok(600));
    }

    #[test]
    fn the_prior_is_drawn_from_until_enough_draws_are_possible() {
        let size = |n_possible: &[u64], budget| {
            let history: Vec<RoundSummary> = n_possible
                .iter()
                .map(|&n_possible| RoundSummary {
                    round: RoundId(0),
                    kind: RoundKind::Training,
                    proposal: Proposal::prior(),
                    n_failed: 0,
                    n_possible,
                    failed_median: None,
                    newest_component: diagnostics(1000, 1.0),
                    all: diagnostics(1000, 1.0),
                    efficiency_error: 0.01,
                })
                .collect();
            let simulations = 1000 * n_possible.len() as u64;
            let past = Past {
                n_parameters: 3,
                refinement: Refinement::Tempered,
                history: &history,
                blind: None,
                objectives: &BTreeMap::new(),
                combined: &diagnostics(simulations, 1.0),
                simulations,
                elapsed_s: 0.0,
            };
            prior_round_size(&rounds(None, Some(budget)), &past)
        };
        // 150 / 2 are wanted.
        assert_eq!(size(&[75], 50_000), None);
        assert_eq!(size(&[50, 25], 50_000), None);
        assert_eq!(size(&[40], 50_000), Some(875));
        assert_eq!(size(&[70], 50_000), Some(600));
        assert_eq!(size(&[0], 50_000), Some(2000));
        assert_eq!(size(&[0, 0, 0], 50_000), Some(6000));
        assert_eq!(size(&[0, 0, 0], 5_000), Some(2000));
    }

    #[test]
    fn surrogates_are_tried_with_small_rounds_until_their_flow_is_good() {
        let rounds = rounds(Some(6000.0), Some(12_800));
        let surrogate = Some(Objective::SurrogateDraws);
        assert_eq!(size(&rounds, surrogate, 0.3, 75.0, 570), Ok(250));
        assert_eq!(size(&rounds, surrogate, 0.8, 200.0, 820), Ok(500));
        // What is missing: 1.05 · 900 / 0.9.
        assert_eq!(size(&rounds, surrogate, 0.9, 5100.0, 4000), Ok(1050));
        let spent = |n_parameters| Spent {
            n_parameters,
            n_rounds: 1,
            simulations: 320,
            n_eff: 2.0,
            efficiency: 0.01,
            stage: Stage::OfSurrogate,
        };
        assert_eq!(size_after(&rounds, &spent(3)), Ok(250));
        assert_eq!(size_after(&rounds, &spent(8)), Ok(400));
    }

    #[test]
    fn a_good_flow_of_a_surrogate_is_drawn_from_again() {
        let size = |objective, rounds_of_flow: &[(u64, f64)], simulations| {
            let history: Vec<RoundSummary> = rounds_of_flow
                .iter()
                .map(|&(n, efficiency)| {
                    let all = diagnostics(n, n as f64 * efficiency);
                    RoundSummary {
                        round: RoundId(1),
                        kind: RoundKind::Training,
                        proposal: Proposal::of(vec![(Component::Flow(FlowId(0)), 1.0)]),
                        n_failed: 0,
                        n_possible: n,
                        failed_median: None,
                        newest_component: all.clone(),
                        all,
                        efficiency_error: 0.01,
                    }
                })
                .collect();
            let past = Past {
                n_parameters: 3,
                refinement: Refinement::Surrogate,
                history: &history,
                blind: None,
                objectives: &BTreeMap::from([(FlowId(0), objective)]),
                combined: &diagnostics(simulations, 9.0),
                simulations,
                elapsed_s: 0.0,
            };
            repeated_size(&rounds(Some(6000.0), Some(12_800)), &past)
        };
        let surrogate = Objective::SurrogateDraws;
        // 1.05 · (450 - 200) / 0.8.
        assert_eq!(size(surrogate, &[(250, 0.8)], 820), Some(329));
        assert_eq!(size(surrogate, &[(250, 0.8), (300, 0.8)], 820), Some(250));
        assert_eq!(size(surrogate, &[(250, 0.8), (329, 0.8)], 820), None);
        // 1.05 · (180 - 75) / 0.3 of a fair one, which is left sooner.
        assert_eq!(size(surrogate, &[(250, 0.3)], 820), Some(368));
        assert_eq!(size(surrogate, &[(250, 0.3), (368, 0.3)], 820), None);
        assert_eq!(size(surrogate, &[(250, 0.29)], 820), None);
        // More than half of what is left.
        assert_eq!(size(surrogate, &[(250, 0.8)], 12_300), None);
        let drawn = Objective::WeightedDraws { exponent: 0.9 };
        assert_eq!(size(drawn, &[(250, 0.8)], 820), None);
    }

    #[test]
    fn large_campaigns_have_larger_rounds() {
        let rounds = rounds(Some(1e5), Some(1_000_000));
        assert_eq!(size(&rounds, REFINED, 0.5, 20_000.0, 50_000), Ok(5000));
    }

    #[test]
    fn rounds_on_the_way_are_as_small_as_a_flow_allows() {
        let rounds = rounds(Some(6000.0), Some(12_800));
        let tempered = Some(Objective::WeightedDraws { exponent: 0.1 });
        for objective in [None, Some(Objective::Simulations), tempered] {
            assert_eq!(size(&rounds, objective, 0.9, 5000.0, 4000), Ok(600));
        }
    }

    #[test]
    fn good_rounds_bring_what_is_missing_but_not_more_than_they_can_know() {
        let rounds = rounds(Some(6000.0), Some(12_800));
        // Tripled: 2 · 200 / 0.5.
        assert_eq!(size(&rounds, REFINED, 0.5, 200.0, 4000), Ok(800));
        assert_eq!(size(&rounds, REFINED, 0.5, 450.0, 4000), Ok(1280));
        assert_eq!(size(&rounds, REFINED, 0.5, 10.0, 4000), Ok(600));
        // 1.05 · 900 / 0.9.
        assert_eq!(size(&rounds, REFINED, 0.9, 5100.0, 4000), Ok(1050));
    }

    #[test]
    fn few_rounds_share_what_is_left() {
        let mut rounds = rounds(Some(6000.0), Some(12_800));
        rounds.simulations = 2560;
        rounds.max = 6;
        // One of six is done.
        assert_eq!(size(&rounds, None, 0.9, 0.0, 2800), Ok(2000));
        rounds.max = 2;
        assert_eq!(size(&rounds, None, 0.9, 0.0, 2800), Ok(2560));
    }

    #[test]
    fn a_large_budget_does_not_forbid_small_rounds() {
        let rounds = rounds(Some(6000.0), Some(1_000_000));
        assert_eq!(size(&rounds, None, 0.9, 0.0, 4000), Ok(600));
    }

    #[test]
    fn the_budget_is_kept_and_no_crumbs_are_left() {
        let rounds = rounds(Some(6000.0), Some(12_800));
        assert_eq!(size(&rounds, REFINED, 0.5, 3000.0, 10_000), Ok(1280));
        assert_eq!(size(&rounds, REFINED, 0.5, 3000.0, 11_300), Ok(1500));
        assert_eq!(size(&rounds, REFINED, 0.9, 5100.0, 11_600), Ok(1200));
        assert_eq!(size(&rounds, None, 0.9, 0.0, 12_544), Ok(256));
        assert_eq!(size(&rounds, None, 0.9, 0.0, 12_545), Err(257));
        let rounds = self::rounds(Some(6000.0), Some(12_545 + 257));
        assert_eq!(size(&rounds, None, 0.9, 0.0, 12_545), Ok(257));
    }
}
