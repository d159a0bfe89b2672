//! Where a campaign stands on the way to its target, and what is left of it: two plays of the rounds to come, one
//! that goes as well and one that goes as badly as campaigns usually do.

use super::allocation::{Spent, Stage, even_size, first_round_size, size_after};
use super::past::Past;
use super::refinement::{SURROGATE_IS_GOOD, largest_step};
use crate::base::FlowId;
use crate::campaign::{Refinement, Rounds};
use crate::weights::{Component, MAX_PARETO_K, Objective, final_exponent};
use serde::{Deserialize, Serialize};

/// A campaign after its newest round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Of all rounds together.
    pub n_eff: f64,
    /// Of all rounds together; None where too few weights are positive.
    pub pareto_k: Option<f64>,
    /// `rounds.stop.n_eff`
    pub target: Option<f64>,
    /// Rows of all rounds so far, failed ones and searches included.
    pub simulations: u64,
    /// `rounds.stop.simulations`
    pub budget: Option<u64>,
    /// Training rounds so far, and the most that there may be.
    pub n_rounds: u32,
    /// `rounds.max`
    pub max_rounds: u32,
    /// None once a flow was fitted to the posterior itself: then n_eff says how far the campaign is.
    pub way: Option<Way>,
    /// None once the campaign has stopped.
    pub left: Option<Left>,
}

/// Rounds that find where the posterior is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Rounds so far.
    pub n_done: u32,
    /// Fewest and most in all; None while nothing is known of that.
    pub n_in_all: Option<(u32, u32)>,
    /// Whether the campaign will end before it has found the posterior, even if all goes well.
    pub is_out_of_reach: bool,
}

/// What is left until the end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// Fewest and most; the fewest are 0 where the campaign may stop after any round.
    pub simulations: (u64, u64),
    /// None before enough was measured.
    pub seconds: Option<(f64, f64)>,
    /// n_eff at the end, lowest and highest; None where it is not foreseen.
    pub n_eff: Option<(f64, f64)>,
}

/// What a forecast takes in beside the past.
#[derive(Debug, Clone, Copy)]
pub struct Pace<'a> {
    /// Of the rounds so far, in order; a round's training follows it.
    pub timings: &'a [RoundTiming],
    /// Whether lost modes were searched for since a flow was fitted to the posterior.
    pub is_searched: bool,
}

/// What a campaign will take that has not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prospect {
    /// Fewest and most.
    pub simulations: (u64, u64),
    /// Flows that are fitted to simulations.
    pub n_on_simulations: (u32, u32),
    /// Flows that are fitted to weighted draws.
    pub n_on_draws: (u32, u32),
}

/// Before the first round of a campaign with an observation.
pub fn prospect(rounds: &Rounds, n_parameters: usize, refinement: Refinement) -> Prospect {
    let first = first_round_size(rounds, n_parameters, refinement);
    let is_refined = refinement != Refinement::Off;
    let largest = largest_step(first as usize, n_parameters).ln();
    let begun = Play {
        spent: Spent {
            n_parameters,
            n_rounds: 1,
            simulations: first,
            n_eff: 0.0,
            efficiency: 0.0,
            stage: match refinement {
                Refinement::Off => Stage::Final,
                Refinement::Tempered => Stage::OnTheWay,
                Refinement::Surrogate => Stage::OfSurrogate,
            },
        },
        is_refined,
        is_searched: !is_refined,
        is_to_be_mended: false,
        exponent: None,
        quality: None,
        rise: (largest, 0.3 * largest),
        n_flows: 0,
        n_played: 0,
        n_way: None,
    };
    let (well, badly) = (
        begun.clone().play(rounds, Luck::Good),
        begun.play(rounds, Luck::Bad),
    );
    let most_flows = well.n_played.max(badly.n_played);
    let fewest_flows = match may_end_early(rounds, is_refined) {
        true => most_flows.min(1),
        false => well.n_played.min(badly.n_played),
    };
    let n_flows = (fewest_flows, most_flows);
    let simulations = [well.spent.simulations, badly.spent.simulations];
    let most = simulations[0].max(simulations[1]);
    let fewest = match may_end_early(rounds, is_refined) {
        true => first,
        false => simulations[0].min(simulations[1]),
    };
    let (n_on_simulations, n_on_draws) = match is_refined {
        true => ((0, 0), n_flows),
        false => (n_flows, (0, 0)),
    };
    Prospect {
        simulations: (fewest, most),
        n_on_simulations,
        n_on_draws,
    }
}

/// Whether a rule may end the campaign after any round.
fn may_end_early(rounds: &Rounds, is_refined: bool) -> bool {
    rounds.stop.efficiency.is_some() || !is_refined
}

/// Rounds whose measured times the next ones are judged by.
const N_TIMED: usize = 3;
/// Times of trainings to come, as parts of the shortest and of the longest of the newest ones: there will be more draws
/// to fit, on the way far more.
const SHORTEST: f64 = 0.85;
const LONGEST: f64 = 1.5;
const LONGEST_ON_THE_WAY: f64 = 4.0;
/// Rounds under this share of the best efficiency do not count.
const FRESH_SHARE: f64 = 0.8;
/// What efficiencies come to.
const USUAL_EFFICIENCY: f64 = 0.92;
/// Rounds that a surrogate takes until its flow is good.
const ROUNDS_OF_SURROGATE: (usize, usize) = (2, 6);
/// No play is longer.
const MOST_ROUNDS: u32 = 1000;

/// Where the campaign stands after the newest round of `past`; None where there is no round. `goes_on` says whether
/// there will be another one.
pub fn standing(rounds: &Rounds, past: &Past, pace: &Pace, goes_on: bool) -> Option<Standing> {
    let now = Play::begin(rounds, past, pace)?;
    let well = now.clone().play(rounds, Luck::Good);
    let badly = now.clone().play(rounds, Luck::Bad);
    let n_rounds = u32::try_from(past.n_rounds()).unwrap_or(u32::MAX);
    let is_refined = past.refinement != Refinement::Off;
    let way = (is_refined && !now.spent.is_final()).then(|| Way {
        n_done: n_rounds,
        n_in_all: now
            .knows_its_way()
            .then(|| {
                let in_all = |play: &Play| Some(n_rounds + play.n_way?.saturating_sub(1));
                let (fewest, most) = (in_all(&well)?, in_all(&badly)?);
                Some((fewest, most.max(fewest)))
            })
            .flatten(),
        is_out_of_reach: well.n_way.is_none(),
    });
    Some(Standing {
        n_eff: past.combined.n_eff,
        pareto_k: past.combined.pareto_k,
        target: rounds.stop.n_eff,
        simulations: past.simulations,
        budget: rounds.stop.simulations,
        n_rounds,
        max_rounds: rounds.max,
        way,
        left: goes_on.then(|| left(rounds, past, pace, &well, &badly)),
    })
}

fn left(rounds: &Rounds, past: &Past, pace: &Pace, well: &Play, badly: &Play) -> Left {
    let more = |play: &Play| play.spent.simulations.saturating_sub(past.simulations);
    let (a, b) = (more(well), more(badly));
    let stop = &rounds.stop;
    let may_end = may_end_early(rounds, past.refinement != Refinement::Off);
    let fewest = if may_end { 0 } else { a.min(b) };
    let seconds = seconds(past, pace).map(|each| {
        let of = |n: u64, play: &Play, row_s: f64, training_s: f64| {
            n as f64 * row_s + f64::from(play.n_played) * training_s
        };
        let short = of(a.min(b), well, each.row_s.0, each.training_s.0);
        let long = of(a.max(b), badly, each.row_s.1, each.training_s.1).max(of(
            a,
            well,
            each.row_s.1,
            each.training_s.1,
        ));
        let short = if may_end { 0.0 } else { short };
        match stop.wall_time_s {
            Some(max_s) => {
                let left_s = (max_s - past.elapsed_s).max(0.0);
                (short.min(left_s), long.min(left_s))
            }
            None => (short, long),
        }
    });
    let n_eff = badly.n_way.is_some().then(|| {
        let (a, b) = (well.spent.n_eff, badly.spent.n_eff);
        // Once better rounds come, poor ones do not count any more.
        let lost = match past.history.last() {
            Some(last) if last.all.efficiency < FRESH_SHARE * USUAL_EFFICIENCY => {
                past.combined.n_eff
            }
            Some(_) | None => 0.0,
        };
        ((a.min(b) - lost).max(0.0), a.max(b))
    });
    Left {
        simulations: (fewest, a.max(b)),
        seconds,
        n_eff,
    }
}

/// Seconds, shortest and longest.
struct Each {
    row_s: (f64, f64),
    /// Of a training with the drawing after it.
    training_s: (f64, f64),
}

/// None where no flow was trained that is like those to come.
fn seconds(past: &Past, pace: &Pace) -> Option<Each> {
    let timing = |round: u32| pace.timings.iter().find(|timing| timing.round == round);
    let is_alike = |round: u32| match past.objectives.get(&FlowId(round)) {
        Some(Objective::WeightedDraws { .. } | Objective::SurrogateDraws) => true,
        Some(Objective::Simulations) => past.refinement == Refinement::Off,
        None => false,
    };
    let newest = past.history.iter().rev();
    let trainings = newest
        .clone()
        .map(|summary| summary.round.0)
        .filter(|&round| is_alike(round))
        .filter_map(|round| Some(timing(round)?.training_s))
        .filter(|&seconds| seconds > 0.0)
        .take(N_TIMED);
    let (shortest, longest) = ends(trainings)?;
    let rows = newest.take(N_TIMED).filter_map(|summary| {
        Some(timing(summary.round.0)?.simulating_s / summary.all.n.max(1) as f64)
    });
    let has_arrived = past
        .objectives
        .values()
        .any(|objective| objective.is_final(past.n_parameters));
    let most = if has_arrived || past.refinement == Refinement::Off {
        LONGEST
    } else {
        LONGEST_ON_THE_WAY
    };
    Some(Each {
        row_s: ends(rows)?,
        training_s: (SHORTEST * shortest, most * longest),
    })
}

fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |ends, value| match ends {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// How the rounds to come go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    /// As well as they may: exponents rise as fast as they are let, and no search finds anything.
    Good,
    /// Worse than they usually do.
    Bad,
}

impl Luck {
    /// Efficiency of the first round at the last exponent; the newest flow on the way has this `quality`.
    fn first_efficiency(self, quality: Option<f64>) -> f64 {
        match self {
            Self::Good => 0.8,
            Self::Bad => quality.map_or(0.4, |quality| (0.5 * quality).clamp(0.05, 0.4)),
        }
    }

    /// Efficiency of a round after one with `efficiency`, whose flow was fitted to fewer draws.
    fn next_efficiency(self, efficiency: f64) -> f64 {
        match self {
            Self::Good => efficiency.max(0.5 * (efficiency + 0.95)),
            Self::Bad if efficiency > 0.7 => 0.95 * efficiency,
            Self::Bad => (1.2 * efficiency).min(0.7),
        }
    }

    /// Simulations of the searches for lost modes.
    fn searches(self, n_parameters: usize) -> u64 {
        match self {
            Self::Good => 0,
            Self::Bad => 160 * (1 + n_parameters as u64),
        }
    }
}

/// A campaign that is played on.
#[derive(Debug, Clone)]
struct Play {
    spent: Spent,
    is_refined: bool,
    is_searched: bool,
    /// Whether a target that is reached does not end it: weights are too heavy, or a mode was found after the last flow.
    is_to_be_mended: bool,
    /// Of the newest flow fitted to weighted draws.
    exponent: Option<f64>,
    /// Efficiency of the newest round as a part of what a Gaussian posterior would have with this exponent; None where
    /// the exponent is so small that this says little.
    quality: Option<f64>,
    /// Rise of ln(exponent) a round: the largest, and a slow one.
    rise: (f64, f64),
    n_flows: usize,
    n_played: u32,
    /// Rounds played until the first one at the last exponent.
    n_way: Option<u32>,
}

impl Play {
    fn begin(rounds: &Rounds, past: &Past, pace: &Pace) -> Option<Self> {
        let last = past.history.last()?;
        let n_parameters = past.n_parameters;
        let exponents: Vec<f64> = past
            .objectives
            .values()
            .filter_map(|objective| match objective {
                Objective::Simulations | Objective::SurrogateDraws => None,
                Objective::WeightedDraws { exponent } => Some(*exponent),
            })
            .collect();
        let largest = largest_step(last.all.n as usize, n_parameters).ln();
        let slow = match exponents.as_slice() {
            [first, .., newest] => 0.6 * (newest / first).ln() / (exponents.len() - 1) as f64,
            [_] | [] => 0.3 * largest,
        };
        let newest_flow = match last.proposal.newest() {
            Component::Flow(flow) => past.objectives.get(&flow).copied(),
            Component::Prior | Component::Local(_) => None,
        };
        let is_refined = past.refinement != Refinement::Off;
        let stage = match is_refined {
            true => Stage::of(newest_flow, past),
            false => Stage::Final,
        };
        let is_heavy = past.combined.pareto_k.is_some_and(|k| k > MAX_PARETO_K);
        let is_blind = past
            .blind
            .is_some_and(|blind| match last.proposal.newest() {
                Component::Flow(flow) => flow <= blind,
                Component::Prior | Component::Local(_) => false,
            });
        Some(Self {
            spent: Spent {
                n_parameters,
                n_rounds: past.n_rounds(),
                simulations: past.simulations,
                n_eff: past.combined.n_eff,
                efficiency: last.all.efficiency,
                stage,
            },
            is_refined,
            is_searched: pace.is_searched || !is_refined,
            is_to_be_mended: is_blind
                || (is_heavy && is_refined && rounds.stop.simulations.is_some()),
            exponent: exponents.last().copied(),
            quality: exponents.last().and_then(|&exponent| {
                let ideal = (exponent * (2.0 - exponent)).powf(0.5 * n_parameters as f64);
                (exponent >= 0.1).then_some(last.all.efficiency / ideal)
            }),
            rise: (largest, slow.clamp(0.1 * largest, largest)),
            n_flows: past.objectives.len(),
            n_played: 0,
            n_way: (stage == Stage::Final).then_some(0),
        })
    }

    /// The end of the campaign.
    fn play(mut self, rounds: &Rounds, luck: Luck) -> Self {
        let target = rounds.stop.n_eff.unwrap_or(f64::INFINITY);
        while self.n_played < MOST_ROUNDS && self.spent.n_rounds < u64::from(rounds.max) {
            if self.spent.is_final() {
                self.search(rounds, luck);
            }
            if self.spent.is_final() && self.spent.n_eff >= target && !self.is_to_be_mended {
                break;
            }
            if !self.play_round(rounds, luck) {
                break;
            }
        }
        // Also where it is not known when it will get there.
        if self.spent.is_final() || self.n_flows > 1 {
            self.search(rounds, luck);
        }
        if luck == Luck::Bad && self.spent.is_final() && self.n_played > 0 && self.is_refined {
            // What is missing at the end is often a little.
            self.play_round(rounds, luck);
        }
        self.play_top_up(rounds, target);
        self
    }

    /// Whether there was budget for a round.
    fn play_round(&mut self, rounds: &Rounds, luck: Luck) -> bool {
        if self.spent.n_rounds >= u64::from(rounds.max) {
            return false;
        }
        let size = if self.is_refined {
            size_after(rounds, &self.spent)
        } else {
            even_size(rounds, self.spent.simulations)
        };
        let Ok(n_rows) = size else {
            return false;
        };
        if self.spent.is_final() {
            self.be_efficient(luck.next_efficiency(self.spent.efficiency));
        } else {
            self.advance(luck);
        }
        if self.spent.is_final() {
            self.spent.n_eff += self.spent.efficiency * n_rows as f64;
        }
        self.spent.simulations += n_rows;
        self.spent.n_rounds += 1;
        self.n_played += 1;
        self.is_to_be_mended = false;
        if self.spent.is_final() && self.n_way.is_none() {
            self.n_way = Some(self.n_played);
        }
        true
    }

    /// Searches for lost modes.
    fn search(&mut self, rounds: &Rounds, luck: Luck) {
        if !self.is_searched {
            let budget = rounds.stop.simulations.unwrap_or(u64::MAX);
            let searched = self.spent.simulations + luck.searches(self.spent.n_parameters);
            self.spent.simulations = searched.min(budget.max(self.spent.simulations));
            self.is_searched = true;
        }
    }

    /// Whether it is foreseen when a flow will be fitted to the posterior.
    fn knows_its_way(&self) -> bool {
        self.exponent.is_some() || self.spent.stage == Stage::OfSurrogate
    }

    /// The next flow on the way.
    fn advance(&mut self, luck: Luck) {
        let last = final_exponent(self.spent.n_parameters);
        self.n_flows += 1;
        if self.spent.stage == Stage::OfSurrogate {
            let is_good = self.spent.efficiency >= SURROGATE_IS_GOOD;
            let n_rounds = match luck {
                Luck::Good => ROUNDS_OF_SURROGATE.0,
                Luck::Bad => ROUNDS_OF_SURROGATE.1,
            };
            if is_good || self.n_flows > n_rounds {
                self.spent.stage = Stage::Final;
                self.be_efficient(luck.first_efficiency(None));
            }
            return;
        }
        self.exponent = match (self.exponent, luck) {
            (Some(exponent), Luck::Good) => Some(exponent * self.rise.0.exp()),
            (Some(exponent), Luck::Bad) => Some(exponent * self.rise.1.exp()),
            (None, Luck::Good) => Some(last),
            // Where it begins is not known.
            (None, Luck::Bad) => None,
        };
        if self.exponent.is_some_and(|exponent| exponent >= last) {
            self.spent.stage = Stage::Final;
            self.be_efficient(luck.first_efficiency(self.quality));
        }
    }

    fn be_efficient(&mut self, efficiency: f64) {
        if self.spent.efficiency < FRESH_SHARE * efficiency {
            self.spent.n_eff = 0.0;
        }
        self.spent.efficiency = efficiency;
    }

    fn play_top_up(&mut self, rounds: &Rounds, target: f64) {
        let stop = &rounds.stop;
        let missing = target - self.spent.n_eff;
        if missing <= 0.0 || !missing.is_finite() || !self.spent.is_final() {
            return;
        }
        let budget = stop.simulations.unwrap_or(u64::MAX);
        let left = budget.saturating_sub(self.spent.simulations);
        let wanted = (1.1 * missing / self.spent.efficiency.max(1e-6)).ceil() as u64;
        let n_rows = wanted.min(stop.top_up).min(left);
        self.spent.simulations += n_rows;
        self.spent.n_eff += self.spent.efficiency * n_rows as f64;
    }
}

/// What a round took, in seconds of the clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundTiming {
    /// Its number.
    pub round: u32,
    /// From its opening to its last row.
    pub simulating_s: f64,
    /// Of the tasks after it; 0 where there was none.
    pub training_s: f64,
}

#[cfg(test)]
mod tests;
