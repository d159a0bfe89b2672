//! Searches, what they know and how they end.

use crate::base::{FlowId, LocalId};
use crate::space::ParameterSpace;
use crate::weights::{Component, Evidence, LocalDensity, Objective, Proposal, RoundColumns};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Draws of a search at each step: so many, and as many for each parameter.
const DRAWS: usize = 4;
/// Draws of each density of a scan.
const DRAWS_OF_SCAN: usize = 8;

/// A flow knows where it is denser than at the least dense of this share of its own draws, or not much less dense: the
/// outskirts of what it knows are no modes.
const KNOWN_QUANTILE: f64 = 0.003;

const KNOWN_MARGIN: f64 = 2.0;

/// The share of the posterior at a place where a search was given up that asks for another session.
const MUCH: f64 = 0.05;

/// A session of searches, from one round to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probing {
    /// Counted from 1.
    pub session: u32,
    /// The flow whose knowledge is doubted.
    pub flow: FlowId,
    /// What is to be drawn once, before the searches begin (see `scan.rs`): they begin by what it shows.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        with = "crate::weights::pairs"
    )]
    pub scan: BTreeMap<LocalId, LocalDensity>,
    /// What is to be drawn next; empty once the session is over.
    pub searches: BTreeMap<LocalId, Search>,
    /// Searches of this session that came to an end, in that order.
    pub outcomes: Vec<Outcome>,
    /// Densities around what was found, in this session and earlier ones: later proposals keep a share of them, whatever
    /// flows make of it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        with = "crate::weights::pairs"
    )]
    pub found: BTreeMap<LocalId, LocalDensity>,
}

/// A search before its next step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Steps made so far.
    pub n_steps: u32,
    /// What it draws from next.
    pub density: LocalDensity,
    /// The share of the posterior that its last draws held; 0 before the first step.
    pub share: f64,
    /// The share that a peak seemed to hold, where its last draws came to one.
    pub peak: Option<f64>,
    /// The densities that its earlier steps drew from.
    pub past: Vec<LocalId>,
    /// What it is after.
    pub aim: Aim,
}

impl Search {
    /// Before its first step.
    pub(super) fn begin(density: LocalDensity, aim: Aim) -> Self {
        Self {
            n_steps: 0,
            density,
            share: 0.0,
            peak: None,
            past: Vec::new(),
            aim,
        }
    }
}

/// What a search is after, and so what it takes for known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// A mode that the flow has left behind: known is where the flow draws.
    #[default]
    LeftBehind,
    /// The top of what is known: known is where the last proposal is not far below the posterior.
    Summit,
    /// A narrow mode at that top, looked for more closely.
    Summited,
    /// A copy of a known mode that a scan has come upon: known is the same as for summits, so that a mode counts as lost that the
    /// flow draws from far too rarely.
    Copy,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It climbed to where the flow draws already.
    Known,
    /// Its peak holds too little of the posterior to matter.
    Negligible,
    /// It came to a peak that the flow calls improbable, with this share of the posterior.
    Found {
        /// In [0, 1].
        share: f64,
    },
    /// It came to where another search was before it.
    Merged,
    /// It was given up on the way, for others that stood higher or for want of simulations; its last draws held this share
    /// of the posterior, where the flow does not know it already.
    GivenUp {
        /// In [0, 1].
        share: f64,
    },
}

impl Probing {
    /// What the next step draws from, and how many rows; None once the session is over.
    pub fn next_round(&self, n_parameters: usize) -> Option<(Proposal, u64)> {
        if !self.scan.is_empty() {
            let n_rows = self.scan.len() * DRAWS_OF_SCAN;
            return Some((Proposal::of_locals(self.scan.clone()), n_rows as u64));
        }
        if self.searches.is_empty() {
            return None;
        }
        let searches = self.searches.iter();
        let locals: BTreeMap<LocalId, LocalDensity> = searches
            .map(|(&id, search)| (id, search.density.clone()))
            .collect();
        let n_rows = locals.len() * DRAWS * (1 + n_parameters);
        Some((Proposal::of_locals(locals), n_rows as u64))
    }

    /// Whether a search found a mode that the flow had lost.
    pub fn has_found(&self) -> bool {
        self.n_found() > 0
    }

    /// Whether another session is to follow: something was found, or a search ended before its time where much lies.
    pub(super) fn is_to_go_on(&self) -> bool {
        self.has_found() || self.largest_given_up().is_some_and(|share| share >= MUCH)
    }

    /// Modes that searches of this session found.
    pub fn n_found(&self) -> u64 {
        let found = self.outcomes.iter().filter(|outcome| match outcome {
            Outcome::Found { .. } => true,
            Outcome::Known | Outcome::Negligible | Outcome::Merged | Outcome::GivenUp { .. } => {
                false
            }
        });
        found.count() as u64
    }

    /// The largest share of the posterior at a place where a search of this session was given up.
    pub fn largest_given_up(&self) -> Option<f64> {
        let shares = self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::GivenUp { share } => Some(*share),
            Outcome::Found { .. } | Outcome::Known | Outcome::Negligible | Outcome::Merged => None,
        });
        shares.max_by(f64::total_cmp)
    }

    /// The largest share of the posterior that was found in a place of this session; None where none was.
    pub fn largest_found(&self) -> Option<f64> {
        let shares = self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Found { share } => Some(*share),
            Outcome::Known | Outcome::Negligible | Outcome::Merged | Outcome::GivenUp { .. } => {
                None
            }
        });
        shares.max_by(f64::total_cmp)
    }

    /// Whether there is anything to draw yet.
    pub fn goes_on(&self) -> bool {
        !self.scan.is_empty() || !self.searches.is_empty()
    }

    /// The session with its searches alone, which then begin by what is known without a scan.
    pub fn without_scan(mut self) -> Self {
        self.scan = BTreeMap::new();
        self
    }

    /// The session with its searches given up, because nothing is left for them.
    pub fn given_up(mut self) -> Self {
        let searches = std::mem::take(&mut self.searches);
        self.outcomes.extend(searches.into_values().map(|search| {
            let share = search.share;
            Outcome::GivenUp { share }
        }));
        self
    }
}

/// What is known when a round is weighed.
pub struct Knowledge<'a> {
    /// Of the campaign.
    pub space: &'a ParameterSpace,
    /// All rounds, the one just weighed last.
    pub rounds: &'a [RoundColumns],
    /// Of the posterior; None where no weight is positive.
    pub evidence: Option<Evidence>,
    /// What the newest flow that drew was fitted to.
    pub objective: Option<Objective>,
    /// Whether a surrogate led the first flows: few draws of the prior then say where modes may be, and a scan is made.
    pub is_led: bool,
    /// The session so far, or the last one.
    pub previous: Option<&'a Probing>,
}

/// log q_flow above which the flow knows a place: a little below a low quantile over its own draws.
pub(super) fn known_level(rounds: &[RoundColumns], flow: FlowId) -> Option<f64> {
    let mut own = Vec::new();
    for round in rounds {
        let column = round.log_flow.get(&flow)?;
        let drawn = column.iter().zip(&round.component);
        let drawn = drawn.filter(|(_, component)| **component == Component::Flow(flow));
        own.extend(drawn.map(|(q, _)| *q));
    }
    own.sort_by(f64::total_cmp);
    own.get((KNOWN_QUANTILE * own.len() as f64) as usize)
        .map(|quantile| quantile - KNOWN_MARGIN)
}

/// The number of the next local density of the campaign.
pub(super) fn next_local(rounds: &[RoundColumns]) -> u32 {
    rounds
        .iter()
        .flat_map(|round| round.proposal.locals.keys())
        .map(|id| id.0.saturating_add(1))
        .max()
        .unwrap_or(0)
}
