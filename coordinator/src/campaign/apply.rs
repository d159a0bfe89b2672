//! What an event does to the state: the same function live and after a restart.

use super::event::{Event, Fact, Reused, RoundPlan, Task, TaskResult};
use super::state::{CompleteRound, OpenRound, OpenTask, Phase, Run, State, WeighedRound, rows_of};
use sidereal_inference::base::RoundId;
use sidereal_inference::method::RoundTiming;
use sidereal_inference::records::{FinalRound, ShardFile};
use sidereal_inference::weights::{RoundSummary, WeightDiagnostics};

/// An event that cannot follow what happened before: the journal is not one of this campaign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fact} cannot follow in phase {phase}{}", .detail.as_deref().unwrap_or_default())]
pub struct Misfit {
    /// What the event says.
    pub fact: &'static str,
    /// Where the campaign stands.
    pub phase: &'static str,
    /// What else does not fit.
    pub detail: Option<String>,
}

/// Total: every event takes every state either to the next one or to a [`Misfit`], which leaves the
/// state as it was.
pub fn apply(state: &mut State, event: &Event) -> Result<(), Misfit> {
    let elapsed_s = event.elapsed_s.max(state.elapsed_s);
    match &event.fact {
        Fact::Opened(opened) => {
            state.n_runs += 1;
            state.run = Some(Run {
                opened: opened.as_ref().clone(),
                opened_s: elapsed_s,
            });
        }
        Fact::Closed => {
            if let Some(run) = &mut state.run {
                run.opened.address = None;
            }
        }
        Fact::Reused(reused) => apply_reused(state, reused)?,
        Fact::RoundOpened(plan) => apply_round_opened(state, plan, elapsed_s)?,
        Fact::ShardCommitted(shard) => apply_shard_committed(state, shard, elapsed_s)?,
        Fact::RowGivenUp(given_up) => state.given_up.push(given_up.clone()),
        Fact::RoundWeighed {
            summary,
            combined,
            probing,
        } => {
            apply_round_weighed(state, summary, combined.as_ref())?;
            if let Some(newer) = probing {
                if newer.has_found() {
                    state.blind = Some(newer.flow);
                }
                let older = state.probing.replace(newer.clone());
                if let Some(older) = older.filter(|older| older.session != newer.session) {
                    state.probed.extend(older.outcomes);
                }
            }
        }
        Fact::TaskOpened(task) => apply_task_opened(state, task, elapsed_s)?,
        Fact::TaskCommitted(result) => apply_task_committed(state, result, elapsed_s)?,
        Fact::Stopped(stopped) => {
            let (Phase::Deciding | Phase::Finishing | Phase::Finished(_)) = state.phase else {
                return Err(misfit(state, "stopped", None));
            };
            state.stopped = Some(stopped.clone());
            state.phase = Phase::Finishing;
        }
        Fact::Reopened => {
            let (Phase::Finishing | Phase::Finished(_)) = state.phase else {
                return Err(misfit(state, "reopened", None));
            };
            state.stopped = None;
            state.phase = Phase::Deciding;
        }
        Fact::Finished(results) => {
            let (Phase::Finishing | Phase::Finished(_)) = state.phase else {
                return Err(misfit(state, "finished", None));
            };
            state.phase = Phase::Finished(results.clone());
        }
    }
    state.elapsed_s = elapsed_s;
    Ok(())
}

fn apply_reused(state: &mut State, reused: &Reused) -> Result<(), Misfit> {
    let follow = reused.rounds.iter().zip(0..);
    let is_in_order = follow
        .clone()
        .all(|(round, number)| round.files.round == RoundId(number));
    if !matches!(state.phase, Phase::New) || !is_in_order || reused.rounds.is_empty() {
        let detail = format!(" with {} rounds", reused.rounds.len());
        return Err(misfit(state, "simulations reused", Some(detail)));
    }
    state.rounds = follow
        .map(|(round, number)| WeighedRound {
            files: round.files.clone(),
            summary: round.summary.clone(),
            timing: RoundTiming {
                round: number,
                simulating_s: 0.0,
                training_s: 0.0,
            },
        })
        .collect();
    state.combined = reused.combined.clone();
    state.reused = Some(reused.clone());
    state.phase = Phase::Deciding;
    Ok(())
}

fn apply_round_opened(state: &mut State, plan: &RoundPlan, elapsed_s: f64) -> Result<(), Misfit> {
    let expected = state.next_round();
    let fits_phase = matches!(state.phase, Phase::New | Phase::Deciding);
    if !fits_phase || plan.round != expected || plan.n_rows == 0 {
        let detail = format!(
            " with {} of {} rows, expected {expected}",
            plan.round, plan.n_rows
        );
        return Err(misfit(state, "round opened", Some(detail)));
    }
    state.phase = Phase::Simulating(OpenRound {
        plan: plan.clone(),
        shards: Default::default(),
        n_committed: 0,
        n_failed: 0,
        opened_s: elapsed_s,
    });
    Ok(())
}

fn apply_shard_committed(
    state: &mut State,
    shard: &ShardFile,
    elapsed_s: f64,
) -> Result<(), Misfit> {
    let Phase::Simulating(open) = &mut state.phase else {
        return Err(misfit(state, "shard committed", None));
    };
    if !open.takes(shard) {
        let detail = format!(
            " with rows {}..{} of {}, which are not wanted",
            shard.first_row,
            rows_of(shard).end,
            shard.round
        );
        return Err(misfit(state, "shard committed", Some(detail)));
    }
    open.shards.insert(shard.first_row, shard.clone());
    open.n_committed += shard.n_rows;
    open.n_failed += shard.n_failed;
    if open.n_committed == open.plan.n_rows {
        state.phase = Phase::Weighing(CompleteRound {
            plan: open.plan.clone(),
            shards: open.shards.values().cloned().collect(),
            n_failed: open.n_failed,
            simulating_s: elapsed_s - open.opened_s,
        });
    }
    Ok(())
}

fn apply_round_weighed(
    state: &mut State,
    summary: &RoundSummary,
    combined: Option<&WeightDiagnostics>,
) -> Result<(), Misfit> {
    let Phase::Weighing(complete) = &state.phase else {
        return Err(misfit(state, "round weighed", None));
    };
    if summary.round != complete.plan.round {
        let detail = format!(" with {}, expected {}", summary.round, complete.plan.round);
        return Err(misfit(state, "round weighed", Some(detail)));
    }
    state.rounds.push(WeighedRound {
        files: final_round(complete),
        summary: summary.clone(),
        timing: RoundTiming {
            round: summary.round.0,
            simulating_s: complete.simulating_s,
            training_s: 0.0,
        },
    });
    state.combined = combined.cloned();
    state.phase = if state.stopped.is_some() {
        Phase::Finishing
    } else {
        Phase::Deciding
    };
    Ok(())
}

/// A complete round as the trainer and the weights see it.
pub fn final_round(complete: &CompleteRound) -> FinalRound {
    FinalRound {
        round: complete.plan.round,
        n_rows: complete.plan.n_rows,
        proposal: complete.plan.proposal.clone(),
        shards: complete.shards.clone(),
        draws: complete.plan.draws.clone(),
        scores: complete.plan.scores.clone(),
    }
}

fn apply_task_opened(state: &mut State, task: &Task, elapsed_s: f64) -> Result<(), Misfit> {
    let (Phase::Deciding | Phase::Finishing) = state.phase else {
        return Err(misfit(state, "task opened", None));
    };
    state.phase = Phase::Training(OpenTask {
        task: task.clone(),
        opened_s: elapsed_s,
    });
    Ok(())
}

fn apply_task_committed(
    state: &mut State,
    result: &TaskResult,
    elapsed_s: f64,
) -> Result<(), Misfit> {
    let Phase::Training(open) = &state.phase else {
        return Err(misfit(state, "task committed", None));
    };
    if !open.task.is_done_by(result) {
        let detail = " with another model or draws than the open task asked for".to_owned();
        return Err(misfit(state, "task committed", Some(detail)));
    }
    let training_s = elapsed_s - open.opened_s;
    let after = if open.task.draw.is_some() {
        Phase::Deciding
    } else {
        Phase::Finishing
    };
    state.models.extend(result.model.clone());
    state.training.extend(result.training.clone());
    for scores in &result.scores {
        // Scores of the round that was drawn come with its `RoundOpened`.
        let weighed = state
            .rounds
            .iter_mut()
            .find(|weighed| weighed.files.round == scores.round);
        if let Some(weighed) = weighed {
            weighed.files.scores.push(scores.clone());
        }
    }
    if let Some(last) = state.rounds.last_mut() {
        last.timing.training_s += training_s;
    }
    state.phase = after;
    Ok(())
}

fn misfit(state: &State, fact: &'static str, detail: Option<String>) -> Misfit {
    Misfit {
        fact,
        phase: state.phase.name(),
        detail,
    }
}

impl Phase {
    pub fn name(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Simulating(_) => "simulating",
            Self::Weighing(_) => "weighing",
            Self::Deciding => "deciding",
            Self::Training(_) => "training",
            Self::Finishing => "finishing",
            Self::Finished(_) => "finished",
        }
    }
}
