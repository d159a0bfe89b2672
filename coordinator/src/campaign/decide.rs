//! What follows from what arrives: facts, each applied to the state before the next one is decided.

use super::apply::{Misfit, apply};
use super::event::{
    Event, Fact, GivenUp, Opened, Results, RoundPlan, Settings, Stopped, Task, TaskResult,
};
use super::state::{Phase, State};
use crate::weigh::Findings;
use sidereal_inference::base::FlowId;
use sidereal_inference::method::{
    Decision, Probing, StopReason, after_round, first_round_size, most_efficient, next_proposal,
    top_up_size,
};
use sidereal_inference::records::{DrawTask, ShardFile};
use sidereal_inference::weights::{Proposal, RoundKind};

/// Something that has come to the coordinator and may change the campaign; already checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A coordinator starts.
    Start(Box<Opened>),
    /// This coordinator ends before the campaign does.
    Close,
    /// Shards whose files hold what they should, in the order of their reports.
    ShardsChecked(Vec<ShardFile>),
    /// The shard of a row that nobody can run is written.
    RowGivenUp {
        shard: ShardFile,
        message: String,
    },
    RoundWeighed(Box<Findings>),
    TaskChecked(Box<TaskResult>),
    ResultsWritten(Results),
}

/// Decides on one input; `now_s` are seconds since this run opened the campaign. The events are applied to the state
/// already, and are to be recorded before anything is done about them
/// (see [`effects_of`](super::effects::effects_of)).
///
/// An input that no longer fits (a shard that came second, a result of an earlier phase) leads to no
/// event.
pub fn decide(state: &mut State, input: Input, now_s: f64) -> Result<Vec<Event>, Misfit> {
    let mut draft = Draft {
        elapsed_s: state.elapsed_at(now_s),
        state,
        events: Vec::new(),
    };
    match input {
        Input::Start(opened) => draft.on_start(opened),
        Input::Close => draft.record(Fact::Closed),
        Input::ShardsChecked(shards) => draft.on_shards_checked(shards),
        Input::RowGivenUp { shard, message } => draft.on_row_given_up(shard, message),
        Input::RoundWeighed(findings) => draft.on_round_weighed(*findings),
        Input::TaskChecked(result) => draft.on_task_checked(result),
        Input::ResultsWritten(results) => draft.on_results_written(results),
    }?;
    Ok(draft.events)
}

/// Share of a budget that searches for lost modes may take.
const MOST_PROBING: f64 = 0.1;
/// A scan may take as much as leaves the searches after it twice that.
const SCANS: u64 = 3;

/// A journal record in the making.
struct Draft<'a> {
    /// With all `events`.
    state: &'a mut State,
    elapsed_s: f64,
    events: Vec<Event>,
}

impl Draft<'_> {
    fn record(&mut self, fact: Fact) -> Result<(), Misfit> {
        let elapsed_s = self.elapsed_s;
        let event = Event { elapsed_s, fact };
        apply(self.state, &event)?;
        self.events.push(event);
        Ok(())
    }

    fn on_start(&mut self, opened: Box<Opened>) -> Result<(), Misfit> {
        // The time before a run opens the campaign is nobody's.
        self.elapsed_s = self.state.elapsed_s;
        let settings = opened.settings.clone();
        let earlier = self.state.run.as_ref();
        let is_changed = earlier.is_some_and(|run| !run.opened.settings.stops_like(&settings));
        self.record(Fact::Opened(opened))?;
        match &self.state.phase {
            Phase::New => self.draw_from_prior(first_round_size(
                &settings.rounds,
                settings.n_parameters,
                settings.refinement,
            )),
            // It begins with the simulations of others.
            Phase::Deciding => self.judge(),
            // With other targets it may have to go on.
            Phase::Finishing | Phase::Finished(_) if is_changed => self.judge(),
            Phase::Simulating(_)
            | Phase::Weighing(_)
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => Ok(()),
        }
    }

    fn on_shards_checked(&mut self, shards: Vec<ShardFile>) -> Result<(), Misfit> {
        for shard in shards {
            if let Phase::Simulating(open) = &self.state.phase
                && open.takes(&shard)
            {
                self.record(Fact::ShardCommitted(shard))?;
            }
        }
        Ok(())
    }

    fn on_row_given_up(&mut self, shard: ShardFile, message: String) -> Result<(), Misfit> {
        let (round, row) = (shard.round, shard.first_row);
        self.on_shards_checked(vec![shard])?;
        if self.events.is_empty() {
            return Ok(());
        }
        self.record(Fact::RowGivenUp(GivenUp {
            round,
            row,
            message,
        }))
    }

    fn on_round_weighed(&mut self, findings: Findings) -> Result<(), Misfit> {
        let Findings {
            summary,
            combined,
            probing,
        } = findings;
        let (Phase::Weighing(complete), Some(run)) = (&self.state.phase, &self.state.run) else {
            return Ok(());
        };
        let round = summary.round;
        if round != complete.plan.round {
            return Ok(());
        }
        let settings = &run.opened.settings;
        let has_begun = summary.kind == RoundKind::Probe;
        let probing = probing.and_then(|probing| self.affordable(settings, probing, has_begun));
        let search = probing
            .as_ref()
            .and_then(|probing| probing.next_round(settings.n_parameters));
        let has_observation = combined.is_some();
        self.record(Fact::RoundWeighed {
            summary: Box::new(summary),
            combined,
            probing,
        })?;
        let Phase::Deciding = self.state.phase else {
            // It was the top-up round.
            return Ok(());
        };
        match search {
            Some((proposal, n_rows)) => self.draw(proposal, n_rows),
            None if has_observation => self.judge(),
            None => {
                self.record(Fact::Stopped(Stopped {
                    reason: StopReason::Amortized,
                    best_round: round,
                }))?;
                self.record(Fact::TaskOpened(Task {
                    train: Some(FlowId(round.0)),
                    draw: None,
                }))
            }
        }
    }

    /// A session whose next step budget and time have room for, or its end; None where it has not begun. A scan that leaves
    /// too little for the searches is left out.
    fn affordable(
        &self,
        settings: &Settings,
        probing: Probing,
        has_begun: bool,
    ) -> Option<Probing> {
        let Some((_, n_rows)) = probing.next_round(settings.n_parameters) else {
            return has_begun.then_some(probing);
        };
        let is_scan = !probing.scan.is_empty();
        let n_rows = if is_scan {
            n_rows.saturating_mul(SCANS)
        } else {
            n_rows
        };
        let stop = &settings.rounds.stop;
        let budget = stop.simulations.unwrap_or(u64::MAX);
        let n_probes = self.state.n_probes().saturating_add(n_rows);
        let is_too_much = self.state.n_simulations().saturating_add(n_rows) > budget
            || n_probes as f64 > MOST_PROBING * budget as f64
            || stop
                .wall_time_s
                .is_some_and(|max_s| self.elapsed_s >= max_s);
        if is_too_much && is_scan {
            return self.affordable(settings, probing.without_scan(), has_begun);
        }
        match (is_too_much, has_begun) {
            (false, _) => Some(probing),
            (true, true) => Some(probing.given_up()),
            (true, false) => None,
        }
    }

    /// Whether another round is trained, or a top-up round drawn, after the last one.
    fn judge(&mut self) -> Result<(), Misfit> {
        let judged = self.state.judged(|rounds, past| {
            let best_round = most_efficient(past.history, past.blind);
            let n_missing = top_up_size(
                &rounds.stop,
                past.history,
                best_round,
                past.combined,
                past.simulations,
            );
            (after_round(rounds, past), best_round, n_missing)
        });
        let Some((decision, best_round, n_missing)) = judged else {
            return Ok(());
        };
        let had_stopped = self.state.stopped.is_some();
        match decision {
            Decision::Continue { n_rows } => {
                if had_stopped {
                    self.record(Fact::Reopened)?;
                }
                self.train_and_draw(n_rows)
            }
            Decision::DrawFromPrior { n_rows } => {
                if had_stopped {
                    self.record(Fact::Reopened)?;
                }
                self.draw_from_prior(n_rows)
            }
            Decision::DrawAgain { n_rows } => {
                if had_stopped {
                    self.record(Fact::Reopened)?;
                }
                let history = self.state.training_history();
                let newest = history.last().map(|last| last.proposal.clone());
                self.draw(newest.unwrap_or_else(Proposal::prior), n_rows)
            }
            Decision::Stop(_) if had_stopped && n_missing == 0 => Ok(()),
            Decision::Stop(reason) => {
                self.record(Fact::Stopped(Stopped { reason, best_round }))?;
                if n_missing == 0 {
                    return Ok(());
                }
                let best = self.state.weighed(best_round);
                let proposal =
                    best.map_or_else(Proposal::prior, |best| best.summary.proposal.clone());
                self.draw(proposal, n_missing)
            }
        }
    }

    /// Trains a flow on all rounds, and draws the `n_rows` of the next one from it.
    fn train_and_draw(&mut self, n_rows: u64) -> Result<(), Misfit> {
        let state = &self.state;
        let (Some(last), Some(run)) = (state.rounds.last(), &state.run) else {
            return Ok(());
        };
        let settings = &run.opened.settings;
        let flow = FlowId(last.files.round.0);
        // The newest flow, where it was fitted to what all later ones will be.
        let partner = state
            .objectives()
            .pop_last()
            .filter(|(_, objective)| objective.is_final(settings.n_parameters));
        let found = state.probing.as_ref().map(|probing| &probing.found);
        let proposal = next_proposal(
            flow,
            &state.flows(),
            partner.map(|(flow, _)| flow),
            found.unwrap_or(&Default::default()),
            settings.rounds.defensive_share,
        );
        self.record(Fact::TaskOpened(Task {
            train: Some(flow),
            draw: Some(DrawTask {
                round: state.next_round(),
                n_rows,
                proposal,
            }),
        }))
    }

    /// Opens a round from the prior, whose draws follow from the seed.
    fn draw_from_prior(&mut self, n_rows: u64) -> Result<(), Misfit> {
        self.record(Fact::RoundOpened(RoundPlan {
            round: self.state.next_round(),
            kind: RoundKind::Training,
            n_rows,
            proposal: Proposal::prior(),
            draws: None,
            scores: Vec::new(),
        }))
    }

    /// Draws the rows of the next round without training.
    fn draw(&mut self, proposal: Proposal, n_rows: u64) -> Result<(), Misfit> {
        self.record(Fact::TaskOpened(Task {
            train: None,
            draw: Some(DrawTask {
                round: self.state.next_round(),
                n_rows,
                proposal,
            }),
        }))
    }

    fn on_task_checked(&mut self, result: Box<TaskResult>) -> Result<(), Misfit> {
        let Phase::Training(open) = &self.state.phase else {
            return Ok(());
        };
        if !open.task.is_done_by(&result) {
            return Ok(());
        }
        let Task { train, draw } = open.task.clone();
        let TaskResult { draws, scores, .. } = result.as_ref().clone();
        self.record(Fact::TaskCommitted(result))?;
        let Some(draw) = draw else {
            return Ok(());
        };
        self.record(Fact::RoundOpened(RoundPlan {
            round: draw.round,
            kind: match train {
                None if draw.proposal.is_local() => RoundKind::Probe,
                None if self.state.stopped.is_some() => RoundKind::TopUp,
                Some(_) | None => RoundKind::Training,
            },
            n_rows: draw.n_rows,
            proposal: draw.proposal,
            draws,
            scores: scores
                .into_iter()
                .filter(|scores| scores.round == draw.round)
                .collect(),
        }))
    }

    fn on_results_written(&mut self, results: Results) -> Result<(), Misfit> {
        let (Phase::Finishing | Phase::Finished(_)) = self.state.phase else {
            return Ok(());
        };
        self.record(Fact::Finished(results))
    }
}
