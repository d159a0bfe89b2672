//! Where a campaign stands, as read from its state.

use crate::campaign::apply::{Misfit, apply};
use crate::campaign::event::Event;
use crate::campaign::state::{Phase, State, WeighedRound, newest_flow};
use crate::journal::{self, JournalError};
use sidereal_inference::account::{CampaignStatus, OpenRoundStatus, RoundStatus, Stage};
use sidereal_inference::records::Directory;

/// A journal that cannot be read, or whose records do not follow from each other.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// A record cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record does not follow from those before.
    #[error("{location}: journal does not fit together: {source}")]
    Replay {
        /// The campaign directory.
        location: String,
        /// Which one.
        #[source]
        source: Misfit,
    },
}

/// The status that the journal tells; nothing is written and no coordinator disturbed. Also the address
/// of the newest coordinator.
pub fn read_status(
    directory: &Directory,
    campaign: &str,
) -> Result<(CampaignStatus, Option<String>), StatusError> {
    let (_, state) = recorded(directory)?;
    let address = state
        .run
        .as_ref()
        .and_then(|run| run.opened.address.clone());
    Ok((status_of(&state, campaign, state.elapsed_s), address))
}

/// All recorded events, and the state that they add up to.
pub fn recorded(directory: &Directory) -> Result<(Vec<Event>, State), StatusError> {
    let events = journal::read(directory)?.events;
    let state = replay(directory, &events)?;
    Ok((events, state))
}

/// The state that events add up to.
pub fn replay(directory: &Directory, events: &[Event]) -> Result<State, StatusError> {
    let mut state = State::default();
    for event in events {
        apply(&mut state, event).map_err(|source| StatusError::Replay {
            location: directory.location().to_owned(),
            source,
        })?;
    }
    Ok(state)
}

/// What the recorded state says.
pub fn status_of(state: &State, campaign: &str, elapsed_s: f64) -> CampaignStatus {
    let stage = match &state.phase {
        Phase::New | Phase::Deciding => Stage::New,
        Phase::Simulating(_) => Stage::Simulating,
        Phase::Weighing(_) => Stage::Weighing,
        Phase::Training(open) if open.task.train.is_some() => Stage::Training,
        Phase::Training(_) => Stage::Drawing,
        Phase::Finishing => Stage::Finishing,
        Phase::Finished(_) => Stage::Finished,
    };
    let open_round = state.current_round().map(|current| OpenRoundStatus {
        round: current.plan.round,
        n_rows: current.plan.n_rows,
        n_committed: current.n_committed,
        n_failed: current.n_failed,
    });
    CampaignStatus {
        campaign: campaign.to_owned(),
        run: state.run.as_ref().map(|run| run.opened.run.clone()),
        stage,
        rounds: rounds(state),
        open_round,
        combined: state.combined.clone(),
        standing: state.standing(),
        n_simulations: state.n_simulations(),
        n_flows: state.models.len(),
        elapsed_s,
        stopped: state.stopped.as_ref().map(|stopped| stopped.reason.clone()),
        live: None,
    }
}

fn rounds(state: &State) -> Vec<RoundStatus> {
    let objectives = state.objectives();
    let n_parameters = state
        .run
        .as_ref()
        .map(|run| run.opened.settings.n_parameters);
    let is_on_the_way = |round: &WeighedRound| {
        let flow = newest_flow(&round.summary.proposal);
        flow.and_then(|flow| objectives.get(&flow))
            .zip(n_parameters)
            .is_some_and(|(objective, n)| !objective.is_final(n))
    };
    let rounds = state.rounds.iter();
    rounds
        .map(|round| round_status(round, is_on_the_way(round)))
        .collect()
}

fn round_status(round: &WeighedRound, is_on_the_way: bool) -> RoundStatus {
    let diagnostics = &round.summary.all;
    RoundStatus {
        round: round.files.round,
        kind: round.summary.kind,
        n_rows: round.files.n_rows,
        n_failed: round.summary.n_failed,
        n_eff: diagnostics.n_eff,
        efficiency: diagnostics.efficiency,
        pareto_k: diagnostics.pareto_k,
        is_on_the_way,
        simulating_s: round.timing.simulating_s,
        training_s: round.timing.training_s,
    }
}
