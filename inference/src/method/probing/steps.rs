//! One step of every search: what its draws say, and when to end.

use super::ascent;
use super::ascent::{Near, rank_weights};
use super::search::{Aim, Knowledge, Outcome, Probing, Search, known_level, next_local};
use super::summit::near_posterior;
use crate::base::{LocalId, largest, log_sum_exp, mahalanobis_squared};
use crate::space::standard_normal_log_density;
use crate::weights::{
    Component, Evidence, LocalDensity, RoundColumns, effective_sample_size, normalized,
};

use std::collections::BTreeMap;

/// Effective draws of a step, for each parameter, that show a peak.
const EFFECTIVE_PER_PARAMETER: f64 = 1.0;
/// A search ends at a peak once that does not seem to hold more than so many times what it seemed to hold before.
const GROWTH: f64 = 2.0;
/// Steps after which a search is given up.
const MOST_STEPS: u32 = 16;
/// The share of the searches, the highest, that goes on after each step, and how many do in any case. So do those at a
/// peak that matters.
const KEPT_SHARE: f64 = 0.7;
const FEWEST_KEPT: usize = 4;
/// Simulations of a session, for each parameter, after which no further step is made.
const MOST_SIMULATIONS: usize = 250;
/// A peak with less than this share of the posterior does not matter.
const NEGLIGIBLE_SHARE: f64 = 1e-3;

/// A density that becomes so many times wider along a parameter in a step still grows.
const STILL_GROWING: f64 = 1.5;

/// How much closer a search looks at the top of what is known.
const CLOSER: f64 = 0.1;

/// A draw of a search.
struct SearchDraw {
    /// log (likelihood · prior / density of the search)
    log_weight: f64,
    /// Up to a constant, in the coordinates of the search.
    log_posterior: f64,
    is_known: bool,
}

/// A search after a step.
struct Stepped {
    search: Search,
    /// A second one to go on beside it.
    beside: Option<Search>,
    outcome: Option<Outcome>,
    /// log posterior density of the best draw around it that the flow does not know.
    height: f64,
}

/// Whether a search with an aim takes a row of a round for known.
fn is_known_to<'a>(
    knowledge: &'a Knowledge,
    previous: &'a Probing,
    evidence: Evidence,
) -> impl Fn(Aim, &RoundColumns, usize) -> bool + 'a {
    let level = known_level(knowledge.rounds, previous.flow);
    let near = near_posterior(knowledge.rounds, evidence);
    move |aim: Aim, round: &RoundColumns, row: usize| match aim {
        Aim::LeftBehind => match (round.log_flow.get(&previous.flow), level) {
            (Some(column), Some(level)) => column[row] >= level,
            (None, _) | (_, None) => false,
        },
        Aim::Summit | Aim::Summited | Aim::Copy => near
            .as_ref()
            .and_then(|near| near.get(&round.round)?.get(row).copied())
            .unwrap_or(true),
    }
}

/// Searches that go on from what a scan has come upon: densities whose draws hold some of the posterior that the flow does not
/// know. `last` is the round of the scan.
pub(super) fn come_upon(
    knowledge: &Knowledge,
    previous: &Probing,
    last: &RoundColumns,
    evidence: Evidence,
) -> Vec<Search> {
    let is_known = is_known_to(knowledge, previous, evidence);
    let goes_on = |(&id, density): (&LocalId, &LocalDensity)| {
        let search = Search::begin(density.clone(), Aim::Copy);
        let own = own_places(last, id, &search, |round, row| {
            is_known(search.aim, round, row)
        });
        let share = unknown_share(&own, evidence);
        (share >= NEGLIGIBLE_SHARE).then(|| Search {
            n_steps: 1,
            share,
            past: vec![id],
            ..search
        })
    };
    previous.scan.iter().filter_map(goes_on).collect()
}

pub(super) fn step(
    knowledge: &Knowledge,
    previous: &Probing,
    last: &RoundColumns,
    evidence: Evidence,
) -> Probing {
    let mut probing = Probing {
        searches: BTreeMap::new(),
        ..previous.clone()
    };
    let is_known = is_known_to(knowledge, previous, evidence);
    // Where a search stands or has ended at a peak, no other is needed.
    let mut taken: Vec<LocalDensity> = Vec::new();
    let mut under_way = Vec::new();
    for (id, search) in &previous.searches {
        let is_known = |round: &RoundColumns, row: usize| is_known(search.aim, round, row);
        let own = own_places(last, *id, search, is_known);
        let stepped = step_of(knowledge.rounds, evidence, *id, search, &own, is_known);
        let density = &stepped.search.density;
        let is_taken = taken
            .iter()
            .any(|other| is_inside(other, density) && is_inside(density, other));
        match stepped.outcome {
            Some(outcome @ (Outcome::Known | Outcome::Negligible | Outcome::GivenUp { .. })) => {
                probing.outcomes.push(outcome)
            }
            Some(_) | None if is_taken => probing.outcomes.push(Outcome::Merged),
            Some(outcome) => {
                taken.push(density.clone());
                probing.outcomes.push(outcome);
                probing.found.insert(*id, search.density.clone());
            }
            None => {
                taken.push(density.clone());
                if let Some(search) = stepped.beside.clone() {
                    under_way.push(Stepped {
                        search,
                        beside: None,
                        ..stepped
                    });
                }
                under_way.push(stepped);
            }
        }
    }
    under_way.sort_by(|a, b| b.height.total_cmp(&a.height));
    let n_kept = (KEPT_SHARE * previous.searches.len() as f64).ceil() as usize;
    let lowest = under_way.split_off(n_kept.max(FEWEST_KEPT).min(under_way.len()));
    let (at_peaks, given_up): (Vec<Stepped>, Vec<Stepped>) = lowest
        .into_iter()
        .partition(|stepped| stepped.search.is_at_peak_that_matters());
    under_way.extend(at_peaks);
    probing
        .outcomes
        .extend(given_up.iter().map(|stepped| Outcome::GivenUp {
            share: stepped.search.share,
        }));
    probing.searches = (next_local(knowledge.rounds)..)
        .map(LocalId)
        .zip(under_way.into_iter().map(|stepped| stepped.search))
        .collect();
    let rounds = knowledge.rounds.iter();
    let of_searches = rounds.filter(|round| round.proposal.is_local());
    let simulations: usize = of_searches.map(|round| round.component.len()).sum();
    if simulations >= MOST_SIMULATIONS * knowledge.space.len() * probing.session as usize {
        probing.given_up()
    } else {
        probing
    }
}

impl Search {
    fn is_at_peak_that_matters(&self) -> bool {
        self.peak.is_some_and(|share| share >= NEGLIGIBLE_SHARE)
    }
}

/// Whether the middle of `density` lies within two standard deviations of `other`.
fn is_inside(other: &LocalDensity, density: &LocalDensity) -> bool {
    let z = density.uncut(&density.mean);
    mahalanobis_squared(&other.cut(&z), &other.mean, &other.factor) < 4.0
}

fn own_places(
    last: &RoundColumns,
    id: LocalId,
    search: &Search,
    is_known: impl Fn(&RoundColumns, usize) -> bool,
) -> Vec<SearchDraw> {
    let d = search.density.mean.len();
    (0..last.component.len())
        .filter(|&row| last.component[row] == Component::Local(id))
        .map(|row| {
            let z = &last.z[row * d..(row + 1) * d];
            // Failed rows stay in the count with a likelihood of zero, as everywhere.
            let log_likelihood = last.log_likelihood[row].unwrap_or(f64::NEG_INFINITY);
            SearchDraw {
                log_weight: log_likelihood - search.density.log_ratio_to_prior(z),
                log_posterior: log_likelihood + standard_normal_log_density(&search.density.cut(z)),
                is_known: is_known(last, row),
            }
        })
        .collect()
}

/// The share of the posterior that draws of a density hold, as many of `n` as have these weights.
fn share_of(log_weights: impl Iterator<Item = f64> + Clone, n: usize, evidence: Evidence) -> f64 {
    let log_mean = log_sum_exp(log_weights) - (n as f64).ln();
    (log_mean - evidence.log_evidence).min(0.0).exp()
}

/// The same of those that are not known.
fn unknown_share(own: &[SearchDraw], evidence: Evidence) -> f64 {
    let unknown = own.iter().filter(|place| !place.is_known);
    share_of(
        unknown.map(|place| place.log_weight),
        own.len().max(1),
        evidence,
    )
}

fn step_of(
    rounds: &[RoundColumns],
    evidence: Evidence,
    id: LocalId,
    search: &Search,
    own: &[SearchDraw],
    is_known: impl Fn(&RoundColumns, usize) -> bool,
) -> Stepped {
    let d = search.density.mean.len();
    let ended = |outcome| Stepped {
        search: search.clone(),
        beside: None,
        outcome: Some(outcome),
        height: f64::NEG_INFINITY,
    };
    let mut heights = own.iter().map(|place| place.log_posterior);
    if heights.all(|height| height == f64::NEG_INFINITY) {
        let share = search.share;
        return ended(Outcome::GivenUp { share });
    }
    let log_weights: Vec<f64> = own.iter().map(|place| place.log_weight).collect();
    let found_share = unknown_share(own, evidence);
    let share = share_of(log_weights.iter().copied(), own.len(), evidence);
    let is_at_peak = effective_sample_size(&log_weights) >= EFFECTIVE_PER_PARAMETER * d as f64;
    let n_steps = search.n_steps + 1;
    // A density narrower than a peak takes it for less than it is, and grows into it.
    let is_settled = is_at_peak && search.peak.is_some_and(|before| share <= GROWTH * before);
    let share = search.peak.map_or(share, |before| share.max(before));
    let at_peak = is_at_peak.then_some(log_weights.as_slice());
    let is_known_peak = is_known_place(own, at_peak);
    let is_over = match search.aim {
        Aim::LeftBehind | Aim::Copy => is_known_peak,
        // On the way up all is known, and at the top one more look is taken.
        Aim::Summit => false,
        Aim::Summited => own.iter().all(|place| place.is_known) || is_settled && is_known_peak,
    };
    let is_known_summit = search.aim == Aim::Summit && is_at_peak && is_known_peak;
    let outcome = if is_over {
        Some(Outcome::Known)
    } else if is_known_summit {
        None
    } else if is_settled && share < NEGLIGIBLE_SHARE {
        Some(Outcome::Negligible)
    } else if is_settled {
        Some(Outcome::Found { share })
    } else if n_steps >= MOST_STEPS {
        Some(Outcome::GivenUp { share: found_share })
    } else {
        None
    };
    let mut past = search.past.clone();
    past.push(id);
    // A summit is climbed over what is known.
    let is_left_out = |round: &RoundColumns, row: usize| match search.aim {
        Aim::LeftBehind => is_known(round, row),
        Aim::Summit | Aim::Summited | Aim::Copy => false,
    };
    let around = around(rounds, &past, &search.density, is_left_out);
    let height = largest(around.iter().map(Near::log_posterior));
    let density = ascent::next(&search.density, around);
    // A density that still grows into a peak does not tell where its top is.
    let grows = (0..d)
        .any(|i| density.factor[i * d + i] > STILL_GROWING * search.density.factor[i * d + i]);
    let looks_closer = is_known_summit && (is_settled && !grows || n_steps >= MOST_STEPS);
    let closer = |density: LocalDensity| Search {
        n_steps,
        density: density.scaled(CLOSER),
        share: found_share,
        peak: None,
        past: Vec::new(),
        aim: Aim::Summited,
    };
    // Where a bound is near, the top may well be on it: all draws are on one side of such a top, and what is fitted to
    // them stops short of it.
    let beside = match looks_closer {
        true => density.at_bounds().map(closer),
        false => None,
    };
    let search = match looks_closer {
        true => closer(density),
        false => Search {
            n_steps,
            density,
            share: found_share,
            peak: is_at_peak.then_some(share),
            past,
            aim: search.aim,
        },
    };
    Stepped {
        search,
        beside,
        outcome,
        height,
    }
}

/// Draws of a search around its density but those left out. Draws of others, and what is known, would draw
/// every search with a wide view to where most of them lie.
fn around(
    rounds: &[RoundColumns],
    past: &[LocalId],
    density: &LocalDensity,
    is_left_out: impl Fn(&RoundColumns, usize) -> bool,
) -> Vec<Near> {
    let d = density.mean.len();
    let of_round = |round: &RoundColumns| -> Vec<Near> {
        let near = |row: usize| {
            let mut ids = past.iter();
            let is_of_past = ids.any(|&id| round.component[row] == Component::Local(id));
            if !is_of_past || is_left_out(round, row) {
                return None;
            }
            let log_likelihood = round.log_likelihood[row].filter(|value| value.is_finite())?;
            let cut = density.cut(&round.z[row * d..(row + 1) * d]);
            let log_posterior = log_likelihood + standard_normal_log_density(&cut);
            Near::new(density, &cut, log_posterior)
        };
        (0..round.component.len()).filter_map(near).collect()
    };
    rounds.iter().flat_map(of_round).collect()
}

/// Whether most of a step is known, by weight at a peak and by rank on the way.
fn is_known_place(own: &[SearchDraw], log_weights_at_peak: Option<&[f64]>) -> bool {
    let mut by_height: Vec<&SearchDraw> = own.iter().collect();
    let weight = match log_weights_at_peak {
        Some(log_weights) => normalized(log_weights),
        None => {
            by_height.sort_by(|a, b| b.log_posterior.total_cmp(&a.log_posterior));
            rank_weights(own.len().div_ceil(2))
        }
    };
    let weighed = by_height.iter().zip(weight);
    let known = weighed.filter(|(place, _)| place.is_known);
    known.map(|(_, weight)| weight).sum::<f64>() > 0.5
}
