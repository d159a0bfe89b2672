//! When a campaign stops: typed reasons, judged only when every row of a round is final.

use crate::allocation::round_size;
use crate::campaign::{Rounds, Stop, StopRule};
use crate::ids::{FlowId, RoundId};
use crate::proposal::{Component, Proposal};
use crate::refinement::Objective;
use crate::summary::{RoundKind, RoundSummary, WeightDiagnostics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Below this n_eff an efficiency is not judged and a result is not trusted.
pub const MIN_N_EFF: f64 = 100.0;

/// Bootstrap errors by which an efficiency must drop to stop a campaign: the next flow, fitted to more draws,
/// mends what one heavy weight has done.
const N_ERRORS: f64 = 2.0;

/// Why a campaign stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum StopReason {
    /// All n_eff asked for.
    TargetEffectiveSampleSize {
        n_eff: f64,
        target: f64,
    },
    TargetEfficiency {
        efficiency: f64,
        target: f64,
    },
    /// The newest flow is less efficient than the best one; the campaign went back to that.
    EfficiencyDropped {
        efficiency: f64,
        best: f64,
    },
    Rounds {
        max: u32,
    },
    /// Another round would take more simulations in total than asked for.
    Simulations {
        used: u64,
        max: u64,
    },
    WallTime {
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
        n_rows: u64,
    },
    Stop(StopReason),
}

/// Whether the campaign goes on after its last round.
///
/// Targets that were reached come first, budgets last.
pub fn after_round(rounds: &Rounds, past: &Past) -> Decision {
    if let Some(reason) = target_reached(&rounds.stop, past.history, past.combined)
        .or_else(|| efficiency_dropped(&rounds.stop, past.history, past.objectives))
    {
        return Decision::Stop(reason);
    }
    match budget_left(rounds, past) {
        Ok(n_rows) => Decision::Continue { n_rows },
        Err(reason) => Decision::Stop(reason),
    }
}

/// What a campaign with an observation has come to, its last round weighed.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    pub n_parameters: usize,
    /// The training rounds.
    pub history: &'a [RoundSummary],
    /// What each flow was fitted to.
    pub objectives: &'a BTreeMap<FlowId, Objective>,
    /// The weights of all rounds.
    pub combined: &'a WeightDiagnostics,
    /// All of them so far.
    pub simulations: u64,
    /// Seconds since the campaign's first start.
    pub elapsed_s: f64,
}

/// The training round whose newest component was the most efficient; of equals the later one. Round 0,
/// the prior, only where there is no other.
pub fn most_efficient(history: &[RoundSummary]) -> RoundId {
    flow_rounds(history)
        .max_by(|a, b| {
            a.newest_component
                .efficiency
                .total_cmp(&b.newest_component.efficiency)
        })
        .map_or(RoundId(0), |summary| summary.round)
}

/// The proposal of a round after `newest` was trained: all but `defensive_share` on it, half of that
/// share on the prior, the other half evenly on the earlier flows (on the prior where there are none).
pub fn next_proposal(newest: FlowId, earlier: &[FlowId], defensive_share: f64) -> Proposal {
    let mut components = vec![(Component::Flow(newest), 1.0 - defensive_share)];
    if defensive_share > 0.0 {
        let on_flows = if earlier.is_empty() {
            0.0
        } else {
            0.5 * defensive_share
        };
        let each = on_flows / earlier.len().max(1) as f64;
        components.extend(earlier.iter().map(|&flow| (Component::Flow(flow), each)));
        components.push((Component::Prior, defensive_share - on_flows));
    }
    Proposal::of(components)
}

/// How many more simulations from the most efficient round's proposal reach the target n_eff, with a
/// tenth to spare, within `stop.top_up` and `stop.simulations`; 0 where no target is missed.
///
/// Enough, too, for the fresh draws to be trusted by themselves (see [`crate::trust::trust`]).
pub fn top_up_size(
    stop: &Stop,
    history: &[RoundSummary],
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
    let best = most_efficient(history);
    let efficiency = history
        .iter()
        .find(|summary| summary.round == best)
        .map_or(0.0, |summary| summary.all.efficiency);
    // A float beyond u64 (efficiency 0) saturates: all that the budgets allow.
    let wanted = ((1.1 * missing).max(1.5 * MIN_N_EFF) / efficiency).ceil() as u64;
    let left = stop
        .simulations
        .map_or(u64::MAX, |max| max.saturating_sub(simulations));
    wanted.min(stop.top_up).min(left)
}

fn target_reached(
    stop: &Stop,
    history: &[RoundSummary],
    combined: &WeightDiagnostics,
) -> Option<StopReason> {
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

/// Algorithm 1: round 0 draws from the prior and is no flow's measure.
fn efficiency_dropped(
    stop: &Stop,
    history: &[RoundSummary],
    objectives: &BTreeMap<FlowId, Objective>,
) -> Option<StopReason> {
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
            // Heavy weights are what the next flow learns from; while there is a target to reach and a budget left
            // for it, they are no reason to stop.
            if stop.n_eff.is_some() && stop.simulations.is_some() {
                return None;
            }
            if newest.newest_component.n_eff < MIN_N_EFF
                || is_on_the_way(&newest.proposal, objectives)
            {
                return None;
            }
            let judged = earlier().filter(|summary| !is_on_the_way(&summary.proposal, objectives));
            let best = judged.max_by(|a, b| {
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

/// Whether the newest flow of a proposal was fitted to tempered draws, or to simulations before any flow is
/// fitted to draws as they are: such a flow is not meant to be the best, and the first one after it, fitted
/// to few draws, is not held against it.
fn is_on_the_way(proposal: &Proposal, objectives: &BTreeMap<FlowId, Objective>) -> bool {
    match objective_of(proposal.newest(), objectives) {
        Some(Objective::Simulations) => true,
        Some(Objective::WeightedDraws { exponent }) => exponent < 1.0,
        None => false,
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
    if past.history.len() >= rounds.max as usize {
        return Err(StopReason::Rounds { max: rounds.max });
    }
    let last = past.history.last().map(|summary| summary.proposal.newest());
    let n_rows = round_size(
        rounds,
        past.n_parameters,
        past.history,
        last.and_then(|component| objective_of(component, past.objectives)),
        past.combined,
        past.simulations,
    );
    let Some(n_rows) = n_rows else {
        return Err(StopReason::Simulations {
            used: past.simulations,
            max: rounds.stop.simulations.unwrap_or(u64::MAX),
        });
    };
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
    history
        .iter()
        .filter(|summary| summary.kind == RoundKind::Training && summary.round.0 >= 1)
}

#[cfg(test)]
mod tests;
