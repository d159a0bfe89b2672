//! Probing for lost modes: likelihood-guided local searches from the best draws that the newest flow calls
//! improbable, and from the highest of all.
//!
//! n_eff does not see a mode that the proposals have left. What is left of one are draws of the prior and of earlier,
//! broader proposals that lie in its basin, too low to weigh anything. From the most prominent of these (`starts.rs`) each
//! search draws around, and moves to the top of a paraboloid through the log posterior of what it drew, or towards the
//! best of it (`ascent.rs`), until its draws' weights show that it has come to a peak. Its draws have a density like any
//! others, so they are rows of a round of their own and weigh in the posterior with all others: what a search finds is
//! taken in by being found.
//!
//! A scan (`scan.rs`) looks around what is known before that: where most parameters of a lost mode are those of a known one, a few
//! draws come into its basin.
//!
//! A narrow mode may also lie within a wide one, where the flow draws but far too rarely: one search climbs to the top of what
//! is known and looks closer there, and one begins at a draw that is far heavier than the others of its round.

mod ascent;
mod scan;
mod search;
mod starts;
mod steps;
mod summit;
#[cfg(test)]
mod tests;

pub use search::{Aim, Knowledge, Outcome, Probing, Search};

use crate::base::LocalId;
use crate::weights::{
    Component, Evidence, MIN_N_EFF, RoundColumns, effective_sample_size, round_log_weights,
};
use scan::scan;
use search::next_local;
use starts::starts;
use std::collections::BTreeMap;
use steps::{come_upon, step};
use summit::summits;

/// Sessions of a campaign: one more after each that found something, or where a draw is far too heavy.
const MOST_SESSIONS: u32 = 12;

/// The session that goes on or begins after the last round; None where there is nothing to probe.
///
/// A session begins after the first round of a flow that was fitted to untempered draws, once more after
/// one that found something or gave a search up where much lies, and where a draw is far too heavy.
pub fn probe(knowledge: &Knowledge) -> Option<Probing> {
    let (last, evidence) = (knowledge.rounds.last()?, knowledge.evidence?);
    if last.proposal.is_local() {
        let previous = knowledge.previous?;
        return Some(match previous.scan.is_empty() {
            true => step(knowledge, previous, last, evidence),
            false => scanned(knowledge, previous, last, evidence),
        });
    }
    let (Component::Flow(flow), Some(objective)) = (last.proposal.newest(), knowledge.objective)
    else {
        return None;
    };
    if !objective.is_final(knowledge.space.len()) {
        return None;
    }
    let summits = summits(knowledge, flow, last, evidence);
    let session = match knowledge.previous {
        None => 1,
        Some(previous) if previous.session >= MOST_SESSIONS => return None,
        Some(previous) if previous.is_to_go_on() || summits.is_heavy => previous.session + 1,
        Some(_) => return None,
    };
    let is_good = effective_sample_size(&round_log_weights(last)) >= MIN_N_EFF;
    if !is_good && !summits.is_heavy {
        return None;
    }
    let first = next_local(knowledge.rounds);
    let scan = match is_good {
        true => numbered(
            first,
            scan(knowledge.space, knowledge.rounds, knowledge.is_led),
        ),
        false => BTreeMap::new(),
    };
    let mut starting = summits.starts;
    if is_good {
        starting.extend(starts(knowledge, flow)?);
    }
    let searches = numbered(first + scan.len() as u32, starting);
    (!searches.is_empty() || !scan.is_empty()).then_some(Probing {
        session,
        flow,
        scan,
        searches,
        outcomes: Vec::new(),
        found: knowledge
            .previous
            .map_or_else(BTreeMap::new, |previous| previous.found.clone()),
    })
}

/// A session after its scan: what that came upon goes on as a search, those at summits are as they were to be, and all others
/// begin anew by what it has shown.
fn scanned(
    knowledge: &Knowledge,
    previous: &Probing,
    last: &RoundColumns,
    evidence: Evidence,
) -> Probing {
    let mut starting = come_upon(knowledge, previous, last, evidence);
    let at_summits = previous.searches.values();
    let at_summits = at_summits.filter(|search| search.aim != Aim::LeftBehind);
    starting.extend(at_summits.cloned());
    starting.extend(starts(knowledge, previous.flow).unwrap_or_default());
    Probing {
        scan: BTreeMap::new(),
        searches: numbered(next_local(knowledge.rounds), starting),
        ..previous.clone()
    }
}

fn numbered<T>(first: u32, all: Vec<T>) -> BTreeMap<LocalId, T> {
    (first..).map(LocalId).zip(all).collect()
}
