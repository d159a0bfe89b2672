//! What the core wants done, as values; the driver is the one place that does it.

use super::state::{Phase, State, Stopped};
use sidereal_inference::ids::RoundId;
use sidereal_inference::progress::Progress;

/// Something to do once the events of the same decision are recorded and applied.
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

/// What was being done when the last run ended.
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
    if let Some(stopped) = &state.stopped {
        progress.push(stopped_progress(state, stopped));
    }
    match &state.phase {
        Phase::Simulating(open) => {
            progress.push(Progress::RoundOpened {
                round: open.plan.round,
                kind: open.plan.kind,
                n_rows: open.plan.n_rows,
            });
            progress.push(Progress::RowsCommitted {
                round: open.plan.round,
                n_committed: open.n_committed,
                n_rows: open.plan.n_rows,
                n_failed: open.n_failed,
            });
        }
        Phase::Weighing(complete) => {
            progress.push(Progress::RoundOpened {
                round: complete.plan.round,
                kind: complete.plan.kind,
                n_rows: complete.plan.n_rows,
            });
            progress.push(Progress::RowsCommitted {
                round: complete.plan.round,
                n_committed: complete.plan.n_rows,
                n_rows: complete.plan.n_rows,
                n_failed: complete.n_failed,
            });
        }
        Phase::Finished(_) => progress.push(Progress::Finished),
        Phase::New | Phase::Deciding | Phase::Training(_) | Phase::Finishing => {}
    }
    progress
}

fn stopped_progress(state: &State, stopped: &Stopped) -> Progress {
    Progress::Stopped {
        reason: stopped.reason.clone(),
        best_flow: state.best_flow(),
    }
}
