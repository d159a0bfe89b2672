//! When a campaign stops: typed reasons, judged only when every row of a round is final.

use super::allocation::{prior_round_size, repeated_size, round_size};
use super::past::Past;
use crate::base::{FlowId, LocalId, RoundId};
use crate::campaign::{Refinement, Rounds, Stop, StopRule};
use crate::weights::{
    Component, LocalDensity, MAX_PARETO_K, MIN_N_EFF, Objective, Proposal, RoundKind, RoundSummary,
    WeightDiagnostics,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bootstrap errors by which an efficiency must drop to stop a campaign: the next flow, fitted to more draws,
/// mends what one heavy weight has done.
const N_ERRORS: f64 = 2.0;
/// A flow of this efficiency is not trained further where the last training changed it by less than this part.
const GOOD: f64 = 0.8;
const LEAST_GAIN: f64 = 0.03;

/// Why a campaign stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum StopReason {
    /// All n_eff asked for.
    TargetEffectiveSampleSize {
        /// Of all rounds together.
        n_eff: f64,
        /// `rounds.stop.n_eff`
        target: f64,
    },
    /// A round is as efficient as asked for.
    TargetEfficiency {
        /// Of the newest round's flow.
        efficiency: f64,
        /// `rounds.stop.efficiency`
        target: f64,
    },
    /// The newest flow is less efficient than the best one; the campaign went back to that.
    EfficiencyDropped {
        /// Of the newest round's flow.
        efficiency: f64,
        /// Of the most efficient flow before it.
        best: f64,
    },
    /// As many rounds as there may be.
    Rounds {
        /// `rounds.max`
        max: u32,
    },
    /// Another round would take more simulations in total than asked for.
    Simulations {
        /// Rows of all rounds, failed ones and searches included.
        used: u64,
        /// `rounds.stop.simulations`
        max: u64,
        /// The fewest that another round would have taken.
        next: u64,
    },
    /// Seconds since the campaign's first start.
    WallTime {
        /// `rounds.stop.wall_time`
        max_s: f64,
    },
    /// One round without an observation: an amortized model was trained.
    Amortized,
}

/// What to do once every row of a round is final.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Train on all rounds and open another one.
    Continue {
        /// Of the next round.
        n_rows: u64,
    },
    /// Draw from the prior again: too few draws have a likelihood above zero for a flow to be fitted to them.
    DrawFromPrior {
        /// Of the next round.
        n_rows: u64,
    },
    /// Draw from the newest flow again: it is good, and the next one would have few draws to learn from, or be no better.
    DrawAgain {
        /// Of the next round.
        n_rows: u64,
    },
    /// Train on no more, and finish.
    Stop(StopReason),
}

/// Whether the campaign goes on after its last round.
///
/// Targets that were reached come first, budgets last.
pub fn after_round(rounds: &Rounds, past: &Past) -> Decision {
    if let Some(reason) =
        target_reached(&rounds.stop, past).or_else(|| efficiency_dropped(&rounds.stop, past))
    {
        return Decision::Stop(reason);
    }
    match budget_left(rounds, past) {
        Ok(n_rows) => {
            let from_prior = prior_round_size(rounds, past);
            let again = match has_levelled_off(past) {
                true => Some(n_rows),
                false => repeated_size(rounds, past),
            };
            match (from_prior, again) {
                (Some(n_rows), _) => Decision::DrawFromPrior { n_rows },
                (None, Some(n_rows)) => Decision::DrawAgain { n_rows },
                (None, None) => Decision::Continue { n_rows },
            }
        }
        Err(reason) => Decision::Stop(reason),
    }
}

/// Whether the newest flow is good, and no better than the one before although it was fitted to more draws: nor would be the
/// next one. While a few draws carry the result only later flows mend that.
fn has_levelled_off(past: &Past) -> bool {
    let mut newest_first = flow_rounds(past.history).rev();
    let Some(last) = newest_first.next() else {
        return false;
    };
    let Some(before) = newest_first.find(|one| one.proposal.newest() != last.proposal.newest())
    else {
        return false;
    };
    let is_final = |summary: &RoundSummary| match summary.proposal.newest() {
        Component::Flow(flow) => past
            .objectives
            .get(&flow)
            .is_some_and(|objective| objective.is_final(past.n_parameters)),
        Component::Prior | Component::Local(_) => false,
    };
    let is_heavy = past.combined.pareto_k.is_some_and(|k| k > MAX_PARETO_K);
    let (newest, older) = (last.all.efficiency, before.all.efficiency);
    is_final(last)
        && is_final(before)
        && sees_all(before, past.blind)
        && !is_heavy
        && newest >= GOOD
        && (newest / older - 1.0).abs() < LEAST_GAIN
}

/// The training round whose newest component was the most efficient; of equals the later one. Round 0,
/// the prior, and reused rounds, only where there is no other, and flows up to `blind`, which a mode was lost by, only where there
/// are no later ones: one mode is easier to be efficient at than all.
pub fn most_efficient(history: &[RoundSummary], blind: Option<FlowId>) -> RoundId {
    let by_efficiency = |a: &&RoundSummary, b: &&RoundSummary| {
        let (a, b) = (&a.newest_component, &b.newest_component);
        a.efficiency.total_cmp(&b.efficiency)
    };
    flow_rounds(history)
        .filter(|summary| sees_all(summary, blind))
        .max_by(by_efficiency)
        .or_else(|| flow_rounds(history).max_by(by_efficiency))
        .or_else(|| {
            let reused = history.iter();
            reused
                .filter(|summary| summary.kind == RoundKind::Reused)
                .max_by(by_efficiency)
        })
        .map_or(RoundId(0), |summary| summary.round)
}

/// Whether the newest flow of a round is none of those that lost a mode.
fn sees_all(summary: &RoundSummary, blind: Option<FlowId>) -> bool {
    match (summary.proposal.newest(), blind) {
        (Component::Flow(flow), Some(blind)) => flow > blind,
        (Component::Flow(_), None) | (Component::Prior | Component::Local(_), _) => true,
    }
}

/// The proposal of a round after `newest` was trained: all but `defensive_share` on it. Half of that share is on
/// `partner`, an earlier flow that was fitted to the same density on its own: what one of them leaves out by
/// chance the other one has. Half of what then remains is on the prior, half evenly on the earlier flows (on the prior
/// where there are none).
///
/// Half as much again is on the densities around what searches have `found`.
pub fn next_proposal(
    newest: FlowId,
    earlier: &[FlowId],
    partner: Option<FlowId>,
    found: &BTreeMap<LocalId, LocalDensity>,
    defensive_share: f64,
) -> Proposal {
    let on_found = match found.is_empty() {
        true => 0.0,
        false => 0.5 * defensive_share,
    };
    let mut components = vec![(Component::Flow(newest), 1.0 - defensive_share - on_found)];
    if defensive_share > 0.0 {
        let partner = partner.filter(|partner| earlier.contains(partner));
        let on_partner = partner.map_or(0.0, |_| 0.5 * defensive_share);
        let rest = defensive_share - on_partner;
        let on_flows = if earlier.is_empty() { 0.0 } else { 0.5 * rest };
        let each = on_flows / earlier.len().max(1) as f64;
        components.extend(earlier.iter().map(|&flow| {
            let own = if partner == Some(flow) {
                on_partner
            } else {
                0.0
            };
            (Component::Flow(flow), each + own)
        }));
        components.push((Component::Prior, rest - on_flows));
    }
    if on_found == 0.0 {
        return Proposal::of(components);
    }
    let each = on_found / found.len() as f64;
    components.extend(found.keys().map(|&id| (Component::Local(id), each)));
    Proposal {
        components,
        locals: found.clone(),
    }
}

/// Draws of a proposal of this efficiency that bring the `missing` effective ones, with a tenth to spare, and enough to be
/// trusted by themselves (see [`super::trust::trust`]).
pub fn fresh_draws_for(missing: f64, efficiency: f64) -> u64 {
    // A float beyond u64 (efficiency 0) saturates: all that budgets allow.
    ((1.1 * missing).max(1.5 * MIN_N_EFF) / efficiency).ceil() as u64
}

/// How many more simulations from the proposal of the round `best` reach the target n_eff, within `stop.top_up` and
/// `stop.simulations`; 0 where no target is missed, or too few are left to be trusted.
pub fn top_up_size(
    stop: &Stop,
    history: &[RoundSummary],
    best: RoundId,
    combined: &WeightDiagnostics,
    simulations: u64,
) -> u64 {
    let Some(target) = stop.n_eff else {
        return 0;
    };
    let missing = target - combined.n_eff;
    if missing <= 0.0 {
        return 0;
    }
    let best = history.iter().find(|summary| summary.round == best);
    if best.is_some_and(|best| best.kind == RoundKind::Reused) {
        // It was drawn from what is no proposal here.
        return 0;
    }
    let efficiency = best.map_or(0.0, |summary| summary.all.efficiency);
    let wanted = fresh_draws_for(missing, efficiency);
    let left = stop
        .simulations
        .map_or(u64::MAX, |max| max.saturating_sub(simulations));
    let asked = wanted.min(stop.top_up);
    // A rest of the budget that cannot be trusted by itself would only spoil the result.
    match left < asked.min(fresh_draws_for(0.0, efficiency)) {
        true => 0,
        false => asked.min(left),
    }
}

fn target_reached(stop: &Stop, past: &Past) -> Option<StopReason> {
    let &Past {
        history, combined, ..
    } = past;
    // A mode that was found after the last flow is not in any proposal yet.
    if past.blind.is_some()
        && history
            .last()
            .is_some_and(|last| !sees_all(last, past.blind))
    {
        return None;
    }
    if is_to_be_mended(past) {
        return None;
    }
    if let Some(target) = stop.n_eff.filter(|&target| combined.n_eff >= target) {
        return Some(StopReason::TargetEffectiveSampleSize {
            n_eff: combined.n_eff,
            target,
        });
    }
    let target = stop.efficiency?;
    let efficiency = newest_flow_round(history)?.newest_component.efficiency;
    (efficiency >= target).then_some(StopReason::TargetEfficiency { efficiency, target })
}

/// Whether a target does not count while simulations are left: weights are too heavy to be trusted, which the next flow
/// learns from, or the newest flow is still on the way to the posterior.
fn is_to_be_mended(past: &Past) -> bool {
    let newest = past.objectives.values().next_back();
    let is_on_the_way = newest.is_some_and(|objective| !objective.is_final(past.n_parameters));
    let is_heavy = past.combined.pareto_k.is_some_and(|k| k > MAX_PARETO_K);
    past.refinement != Refinement::Off && (is_heavy || is_on_the_way)
}

/// Algorithm 1: round 0 draws from the prior and is no flow's measure. Where later flows learn from heavy weights, these
/// are no reason to stop.
fn efficiency_dropped(stop: &Stop, past: &Past) -> Option<StopReason> {
    if past.refinement != Refinement::Off {
        return None;
    }
    let history = past.history;
    let newest = newest_flow_round(history)?;
    let earlier = || flow_rounds(history).filter(|summary| summary.round < newest.round);
    let efficiency = newest.newest_component.efficiency;
    match stop.rule {
        StopRule::Paper => {
            let previous = earlier().next_back()?.newest_component.efficiency;
            (efficiency < previous).then_some(StopReason::EfficiencyDropped {
                efficiency,
                best: previous,
            })
        }
        StopRule::Bootstrap => {
            if newest.newest_component.n_eff < MIN_N_EFF {
                return None;
            }
            let best = earlier().max_by(|a, b| {
                a.newest_component
                    .efficiency
                    .total_cmp(&b.newest_component.efficiency)
            })?;
            let drop = best.newest_component.efficiency - efficiency;
            (drop > N_ERRORS * best.efficiency_error.hypot(newest.efficiency_error)).then_some(
                StopReason::EfficiencyDropped {
                    efficiency,
                    best: best.newest_component.efficiency,
                },
            )
        }
    }
}

/// What a component was fitted to; None for the prior.
fn objective_of(
    component: Component,
    objectives: &BTreeMap<FlowId, Objective>,
) -> Option<Objective> {
    match component {
        Component::Prior | Component::Local(_) => None,
        Component::Flow(flow) => objectives.get(&flow).copied(),
    }
}

/// The size of another round, or what forbids one.
fn budget_left(rounds: &Rounds, past: &Past) -> Result<u64, StopReason> {
    if past.n_rounds() >= u64::from(rounds.max) {
        return Err(StopReason::Rounds { max: rounds.max });
    }
    let last = past.history.last().map(|summary| summary.proposal.newest());
    let objective = last.and_then(|component| objective_of(component, past.objectives));
    let n_rows = round_size(rounds, past, objective).map_err(|next| StopReason::Simulations {
        used: past.simulations,
        max: rounds.stop.simulations.unwrap_or(u64::MAX),
        next,
    })?;
    match rounds.stop.wall_time_s {
        Some(max_s) if past.elapsed_s >= max_s => Err(StopReason::WallTime { max_s }),
        Some(_) | None => Ok(n_rows),
    }
}

fn newest_flow_round(history: &[RoundSummary]) -> Option<&RoundSummary> {
    flow_rounds(history).next_back().filter(|summary| {
        history
            .last()
            .is_some_and(|last| last.round == summary.round)
    })
}

fn flow_rounds(history: &[RoundSummary]) -> impl DoubleEndedIterator<Item = &RoundSummary> {
    history.iter().filter(|summary| {
        summary.kind == RoundKind::Training
            && matches!(summary.proposal.newest(), Component::Flow(_))
    })
}

#[cfg(test)]
mod tests;
