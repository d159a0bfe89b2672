//! What the core wants done, as values; the driver is the one place that does it.

use super::event::{Event, Fact, RoundPlan};
use super::state::{CurrentRound, Phase, State};
use sidereal_inference::account::Progress;
use sidereal_inference::base::RoundId;
use sidereal_inference::method::Probing;
use sidereal_inference::weights::RoundKind;

/// Something to do once the events that lead to it are recorded.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Lease the missing rows of the open round.
    OfferRows(RoundId),
    /// Weigh the complete round.
    Weigh(RoundId),
    /// Lease the open task to a trainer.
    OfferTask,
    /// Write `posterior.parquet` and `summary.json`.
    WriteResults,
    /// Tell everybody that nothing more will come.
    End,
    /// Tell those who watch.
    Announce(Progress),
}

/// What is to be done about events that have led to this state.
pub fn effects_of(state: &State, events: &[Event]) -> Vec<Effect> {
    let facts = || events.iter().map(|event| &event.fact);
    let mut effects: Vec<Effect> = facts()
        .filter_map(|fact| progress_of(state, fact))
        .map(Effect::Announce)
        .collect();
    if facts().any(|fact| ends_work(state, fact)) {
        effects.extend(effects_to_resume(state));
    }
    effects
}

/// Whether what was being done is over with this fact; else it goes on.
fn ends_work(state: &State, fact: &Fact) -> bool {
    match fact {
        Fact::ShardCommitted(_) => !matches!(state.phase, Phase::Simulating(_)),
        Fact::RowGivenUp { .. } | Fact::Closed => false,
        Fact::Opened(_)
        | Fact::Reused(_)
        | Fact::RoundOpened(_)
        | Fact::RoundWeighed { .. }
        | Fact::TaskOpened(_)
        | Fact::TaskCommitted(_)
        | Fact::Stopped { .. }
        | Fact::Reopened
        | Fact::Finished { .. } => true,
    }
}

/// What watchers are told of a fact, once all facts of its record are applied.
fn progress_of(state: &State, fact: &Fact) -> Option<Progress> {
    match fact {
        Fact::RoundOpened(plan) => Some(round_opened(plan)),
        Fact::RoundWeighed {
            summary, probing, ..
        } => {
            let standing = match summary.kind {
                RoundKind::Training | RoundKind::Probe => state.standing().map(Box::new),
                RoundKind::TopUp | RoundKind::Reused => None,
            };
            Some(Progress::RoundWeighed {
                summary: summary.clone(),
                seconds: state.weighed(summary.round)?.timing.simulating_s,
                standing,
                n_found: probing.as_ref().map_or(0, Probing::n_found),
            })
        }
        Fact::TaskCommitted(result) => Some(Progress::Trained {
            summary: Box::new(result.training.clone()?),
            seconds: state.rounds.last()?.timing.training_s,
        }),
        Fact::Stopped { .. } => stopped(state),
        Fact::Finished { .. } => Some(Progress::Finished),
        Fact::Opened(_)
        | Fact::Reused(_)
        | Fact::Closed
        | Fact::ShardCommitted(_)
        | Fact::RowGivenUp { .. }
        | Fact::TaskOpened(_)
        | Fact::Reopened => None,
    }
}

/// What is being done in this state, and is to be done again where the run that did it has ended.
pub fn effects_to_resume(state: &State) -> Vec<Effect> {
    match &state.phase {
        Phase::New | Phase::Deciding => Vec::new(),
        Phase::Simulating(open) => vec![Effect::OfferRows(open.plan.round)],
        Phase::Weighing(complete) => vec![Effect::Weigh(complete.plan.round)],
        Phase::Training(_) => vec![Effect::OfferTask],
        Phase::Finishing => vec![Effect::WriteResults],
        Phase::Finished(_) => vec![Effect::End],
    }
}

/// What a watcher who joins late has missed, and where the campaign stands.
pub fn progress_so_far(state: &State) -> Vec<Progress> {
    let mut progress = Vec::new();
    let mut trained = state.training.iter().peekable();
    let n_rounds = state.rounds.len();
    for (index, round) in state.rounds.iter().enumerate() {
        if round.summary.kind == RoundKind::Reused {
            continue;
        }
        progress.push(Progress::RoundOpened {
            round: round.files.round,
            kind: round.summary.kind,
            n_rows: round.files.n_rows,
        });
        progress.push(Progress::RoundWeighed {
            summary: Box::new(round.summary.clone()),
            seconds: round.timing.simulating_s,
            standing: (index + 1 == n_rounds)
                .then(|| state.standing().map(Box::new))
                .flatten(),
            n_found: 0,
        });
        while let Some(summary) = trained.next_if(|summary| summary.flow.0 <= round.files.round.0) {
            progress.push(Progress::Trained {
                summary: Box::new(summary.clone()),
                seconds: round.timing.training_s,
            });
        }
    }
    progress.extend(stopped(state));
    if let Some(current) = state.current_round() {
        progress.push(round_opened(current.plan));
        progress.push(current.rows_committed());
    }
    if let Phase::Finished(_) = &state.phase {
        progress.push(Progress::Finished);
    }
    progress
}

fn round_opened(plan: &RoundPlan) -> Progress {
    Progress::RoundOpened {
        round: plan.round,
        kind: plan.kind,
        n_rows: plan.n_rows,
    }
}

fn stopped(state: &State) -> Option<Progress> {
    let stopped = state.stopped.as_ref()?;
    Some(Progress::Stopped {
        reason: stopped.reason.clone(),
        best_flow: state.best_flow(),
    })
}

impl CurrentRound<'_> {
    pub fn rows_committed(&self) -> Progress {
        Progress::RowsCommitted {
            round: self.plan.round,
            n_committed: self.n_committed,
            n_rows: self.plan.n_rows,
            n_failed: self.n_failed,
        }
    }
}
