//! What follows from what arrives: events to record and effects to carry out after that.

use super::effects::{Effect, effects_to_resume};
use super::event::{Event, Fact, Opened, RoundOpened, Settings};
use super::state::{Phase, RoundPlan, State, Task, TaskResult, best_flow, rows_of};
use crate::weigh::Weighed;
use sidereal_inference::allocation::first_round_size;
use sidereal_inference::forecast::{Pace, Standing, standing};
use sidereal_inference::ids::{FlowId, LocalId, RoundId};
use sidereal_inference::local::LocalDensity;
use sidereal_inference::probing::Probing;
use sidereal_inference::progress::Progress;
use sidereal_inference::proposal::Proposal;
use sidereal_inference::stopping::{
    Decision as StopDecision, Past, StopReason, after_round, most_efficient, next_proposal,
    top_up_size,
};
use sidereal_inference::summary::{RoundKind, RoundSummary, RoundTiming, WeightDiagnostics};
use sidereal_inference::task::{DrawTask, ShardFile, StoredFile};
use std::collections::BTreeMap;

/// What follows a weighed round.
enum Next {
    /// The next step of searches for lost modes.
    Search {
        proposal: Proposal,
        n_rows: u64,
    },
    Judged(StopDecision),
}

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
    RoundWeighed(Box<Weighed>),
    TaskChecked(Box<TaskResult>),
    ResultsWritten {
        summary: StoredFile,
        posterior: Option<StoredFile>,
    },
}

/// Events are recorded before effects are carried out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
}

/// Decides on one input; `now_s` are seconds since this run opened the campaign.
///
/// An input that no longer fits (a shard that came second, a result of an earlier phase) leads to no
/// event.
pub fn decide(state: &State, input: Input, now_s: f64) -> Decision {
    let mut draft = Draft::new(state, state.elapsed_at(now_s));
    match input {
        Input::Start(opened) => draft.on_start(*opened),
        Input::Close => draft.record(Fact::Closed),
        Input::ShardsChecked(shards) => draft.on_shards_checked(shards),
        Input::RowGivenUp { shard, message } => draft.on_row_given_up(shard, message),
        Input::RoundWeighed(weighed) => draft.on_round_weighed(*weighed),
        Input::TaskChecked(result) => draft.on_task_checked(*result),
        Input::ResultsWritten { summary, posterior } => {
            draft.on_results_written(summary, posterior);
        }
    }
    draft.decision
}

/// Why a campaign that has stopped stays where it is with these settings; None where it would go on, or has nothing to judge.
pub fn standing_stop(state: &State, settings: &Settings) -> Option<StopReason> {
    let draft = Draft::new(state, state.elapsed_s);
    let combined = state.combined.as_ref()?;
    match draft.judge(settings, &state.training_history(), combined, state.blind) {
        StopDecision::Continue { .. } => None,
        StopDecision::Stop(reason) => Some(reason),
    }
}

/// Share of a budget that searches for lost modes may take.
const MOST_PROBING: f64 = 0.06;

struct Draft<'a> {
    state: &'a State,
    elapsed_s: f64,
    /// What searches have found, the round just weighed included.
    found: BTreeMap<LocalId, LocalDensity>,
    decision: Decision,
}

impl<'a> Draft<'a> {
    fn new(state: &'a State, elapsed_s: f64) -> Self {
        let found = match &state.probing {
            Some(probing) => probing.found.clone(),
            None => BTreeMap::new(),
        };
        Self {
            state,
            elapsed_s,
            found,
            decision: Decision::default(),
        }
    }

    fn record(&mut self, fact: Fact) {
        self.decision.events.push(Event {
            elapsed_s: self.elapsed_s,
            fact,
        });
    }

    fn then(&mut self, effect: Effect) {
        self.decision.effects.push(effect);
    }

    fn announce(&mut self, progress: Progress) {
        self.then(Effect::Announce(progress));
    }

    fn settings(&self) -> Option<&Settings> {
        self.state.run.as_ref().map(|run| &run.settings)
    }

    fn on_start(&mut self, opened: Opened) {
        // The time before a run opens the campaign is nobody's.
        self.elapsed_s = self.state.elapsed_s;
        let settings = opened.settings.clone();
        let is_changed = self.settings().is_some_and(|old| {
            old.rounds.max != settings.rounds.max || old.rounds.stop != settings.rounds.stop
        });
        self.record(Fact::Opened(Box::new(opened)));
        match &self.state.phase {
            Phase::New => self.open_round(RoundPlan {
                round: RoundId(0),
                kind: RoundKind::Training,
                n_rows: first_round_size(
                    &settings.rounds,
                    settings.n_parameters,
                    settings.is_refined && settings.has_observation,
                ),
                proposal: Proposal::prior(),
                draws: None,
                scores: Vec::new(),
            }),
            Phase::Finishing | Phase::Finished(_) if is_changed => self.judge_again(&settings),
            Phase::Simulating(_)
            | Phase::Weighing(_)
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => {
                self.decision.effects.extend(effects_to_resume(self.state));
            }
        }
    }

    /// The campaign had stopped; with other targets it may have to go on.
    fn judge_again(&mut self, settings: &Settings) {
        let history = self.state.training_history();
        let judged = match (&self.state.combined, settings.has_observation) {
            (Some(combined), true) => {
                let judged = self.judge(settings, &history, combined, self.state.blind);
                Some((judged, combined.clone()))
            }
            (None, _) | (_, false) => None,
        };
        let last = self.state.rounds.last().map(|round| round.files.round);
        let (Some((decision, combined)), Some(last)) = (judged, last) else {
            self.decision.effects.extend(effects_to_resume(self.state));
            return;
        };
        match decision {
            StopDecision::Continue { n_rows } => {
                self.record(Fact::Reopened);
                self.train_and_draw(settings, last, n_rows);
            }
            StopDecision::Stop(reason) => {
                let best_round = most_efficient(&history, self.state.blind);
                let n_rows = top_up_size(
                    &settings.rounds.stop,
                    &history,
                    best_round,
                    &combined,
                    self.state.n_simulations(),
                );
                if n_rows == 0 {
                    self.decision.effects.extend(effects_to_resume(self.state));
                    return;
                }
                self.stop(reason, best_round, &history);
                self.draw_top_up(&history, best_round, n_rows);
            }
        }
    }

    fn on_shards_checked(&mut self, shards: Vec<ShardFile>) {
        let Phase::Simulating(open) = &self.state.phase else {
            return;
        };
        let mut n_committed = open.n_committed;
        // Those of this decision: first row -> end.
        let mut accepted: BTreeMap<u64, u64> = BTreeMap::new();
        for shard in shards {
            let rows = rows_of(&shard);
            let before = accepted.range(..rows.end).next_back();
            let is_free = before.is_none_or(|(_, &end)| end <= rows.start);
            if shard.round != open.plan.round || !is_free || !open.wants(&rows) {
                continue;
            }
            n_committed += shard.n_rows;
            accepted.insert(rows.start, rows.end);
            self.record(Fact::ShardCommitted(shard));
        }
        if n_committed == open.plan.n_rows {
            self.then(Effect::Weigh(open.plan.round));
        }
    }

    fn on_row_given_up(&mut self, shard: ShardFile, message: String) {
        let (round, row) = (shard.round, shard.first_row);
        self.on_shards_checked(vec![shard]);
        if !self.decision.events.is_empty() {
            self.record(Fact::RowGivenUp {
                round,
                row,
                message,
            });
        }
    }

    fn on_round_weighed(&mut self, weighed: Weighed) {
        let Phase::Weighing(complete) = &self.state.phase else {
            return;
        };
        let Some(settings) = self.settings().cloned() else {
            return;
        };
        let Weighed {
            summary,
            combined,
            probing,
        } = &weighed;
        if summary.round != complete.plan.round {
            return;
        }
        let seconds = complete.simulating_s;
        let probing = self.affordable(&settings, probing.clone());
        self.record(Fact::RoundWeighed {
            summary: Box::new(summary.clone()),
            combined: combined.clone(),
            probing: probing.clone(),
        });
        let weighed = |standing: Option<Standing>| Progress::RoundWeighed {
            summary: Box::new(summary.clone()),
            seconds,
            standing: standing.map(Box::new),
            n_found: probing.as_ref().map_or(0, Probing::n_found),
        };
        if summary.kind == RoundKind::TopUp {
            self.announce(weighed(None));
            self.then(Effect::WriteResults);
            return;
        }
        let mut history = self.state.training_history();
        if summary.kind == RoundKind::Training {
            history.push(summary.clone());
        }
        let (Some(combined), true) = (combined, settings.has_observation) else {
            self.announce(weighed(None));
            self.stop(StopReason::Amortized, summary.round, &history);
            self.open_task(Task {
                train: Some(FlowId(summary.round.0)),
                draw: None,
            });
            return;
        };
        let blind = match &probing {
            Some(probing) if probing.has_found() => Some(probing.flow),
            Some(_) | None => self.state.blind,
        };
        if let Some(probing) = &probing {
            self.found = probing.found.clone();
        }
        let objectives = self.state.objectives();
        let past = Past {
            n_parameters: settings.n_parameters,
            is_refined: settings.is_refined,
            history: &history,
            blind,
            objectives: &objectives,
            combined,
            simulations: self.state.n_simulations(),
            elapsed_s: self.elapsed_s,
        };
        let search = probing
            .as_ref()
            .and_then(|probing| probing.next_round(settings.n_parameters));
        let is_searched =
            search.is_none() && (self.state.is_searched() || summary.kind == RoundKind::Probe);
        let next = match search {
            Some((proposal, n_rows)) => Next::Search { proposal, n_rows },
            None => Next::Judged(after_round(&settings.rounds, &past)),
        };
        let goes_on = match &next {
            Next::Search { .. } | Next::Judged(StopDecision::Continue { .. }) => true,
            Next::Judged(StopDecision::Stop(_)) => false,
        };
        let timings = self.timings(summary.round, seconds);
        let pace = Pace {
            timings: &timings,
            is_searched,
        };
        self.announce(weighed(standing(&settings.rounds, &past, &pace, goes_on)));
        match next {
            Next::Search { proposal, n_rows } => self.open_task(Task {
                train: None,
                draw: Some(DrawTask {
                    round: RoundId(summary.round.0.saturating_add(1)),
                    n_rows,
                    proposal,
                }),
            }),
            Next::Judged(decision) => {
                self.after_training_round(&settings, summary.round, &past, decision);
            }
        }
    }

    /// A session whose next step budget and time have room for, or its end; None where it has not begun.
    fn affordable(&self, settings: &Settings, probing: Option<Probing>) -> Option<Probing> {
        let probing = probing?;
        let Some((_, n_rows)) = probing.next_round(settings.n_parameters) else {
            return Some(probing);
        };
        let stop = &settings.rounds.stop;
        let budget = stop.simulations.unwrap_or(u64::MAX);
        let weighed = self.state.rounds.iter();
        let mut probes: u64 = weighed
            .filter(|round| round.summary.kind == RoundKind::Probe)
            .map(|round| round.files.n_rows)
            .sum();
        // The round just weighed is not among them yet.
        if let Phase::Weighing(complete) = &self.state.phase
            && complete.plan.kind == RoundKind::Probe
        {
            probes = probes.saturating_add(complete.plan.n_rows);
        }
        let is_too_much = self.state.n_simulations().saturating_add(n_rows) > budget
            || probes.saturating_add(n_rows) as f64 > MOST_PROBING * budget as f64
            || stop
                .wall_time_s
                .is_some_and(|max_s| self.elapsed_s >= max_s);
        let has_begun = probing.has_begun();
        match (is_too_much, has_begun) {
            (false, _) => Some(probing),
            (true, true) => Some(probing.given_up()),
            (true, false) => None,
        }
    }

    fn judge(
        &self,
        settings: &Settings,
        history: &[RoundSummary],
        combined: &WeightDiagnostics,
        blind: Option<FlowId>,
    ) -> StopDecision {
        after_round(
            &settings.rounds,
            &Past {
                n_parameters: settings.n_parameters,
                is_refined: settings.is_refined,
                history,
                blind,
                objectives: &self.state.objectives(),
                combined,
                simulations: self.state.n_simulations(),
                elapsed_s: self.elapsed_s,
            },
        )
    }

    /// Of all rounds and the one just weighed.
    fn timings(&self, round: RoundId, simulating_s: f64) -> Vec<RoundTiming> {
        let earlier = self.state.rounds.iter().map(|round| round.timing.clone());
        let newest = RoundTiming {
            round: round.0,
            simulating_s,
            training_s: 0.0,
        };
        earlier.chain([newest]).collect()
    }

    fn after_training_round(
        &mut self,
        settings: &Settings,
        round: RoundId,
        past: &Past,
        decision: StopDecision,
    ) {
        match decision {
            StopDecision::Continue { n_rows } => self.train_and_draw(settings, round, n_rows),
            StopDecision::Stop(reason) => {
                let best_round = most_efficient(past.history, past.blind);
                self.stop(reason, best_round, past.history);
                let stop = &settings.rounds.stop;
                let n_rows = top_up_size(
                    stop,
                    past.history,
                    best_round,
                    past.combined,
                    past.simulations,
                );
                if n_rows == 0 {
                    self.then(Effect::WriteResults);
                } else {
                    self.draw_top_up(past.history, best_round, n_rows);
                }
            }
        }
    }

    fn stop(&mut self, reason: StopReason, best_round: RoundId, history: &[RoundSummary]) {
        self.announce(Progress::Stopped {
            best_flow: best_flow(&reason, proposal_of(history, best_round)),
            reason: reason.clone(),
        });
        self.record(Fact::Stopped { reason, best_round });
    }

    /// Trains a flow on all rounds up to `round`, and draws the `n_rows` of the next one from it.
    fn train_and_draw(&mut self, settings: &Settings, round: RoundId, n_rows: u64) {
        let flow = FlowId(round.0);
        self.open_task(Task {
            train: Some(flow),
            draw: Some(DrawTask {
                round: RoundId(round.0.saturating_add(1)),
                n_rows,
                proposal: next_proposal(
                    flow,
                    &self.state.flows(),
                    self.partner(settings),
                    &self.found,
                    settings.rounds.defensive_share,
                ),
            }),
        });
    }

    /// The newest flow, where it was fitted to what all later ones will be.
    fn partner(&self, settings: &Settings) -> Option<FlowId> {
        let (flow, objective) = self.state.objectives().pop_last()?;
        objective.is_final(settings.n_parameters).then_some(flow)
    }

    /// Draws once more from the most efficient proposal.
    fn draw_top_up(&mut self, history: &[RoundSummary], best_round: RoundId, n_rows: u64) {
        let proposal = proposal_of(history, best_round)
            .cloned()
            .unwrap_or_else(Proposal::prior);
        // The round just weighed is not in the state yet, but every earlier one is.
        let n_rounds = match self.state.phase {
            Phase::Weighing(_) => self.state.rounds.len() + 1,
            Phase::New
            | Phase::Simulating(_)
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => self.state.rounds.len(),
        };
        self.open_task(Task {
            train: None,
            draw: Some(DrawTask {
                round: RoundId(u32::try_from(n_rounds).unwrap_or(u32::MAX)),
                n_rows,
                proposal,
            }),
        });
    }

    fn open_task(&mut self, task: Task) {
        self.record(Fact::TaskOpened(task));
        self.then(Effect::OfferTask);
    }

    fn on_task_checked(&mut self, result: TaskResult) {
        let Phase::Training(open) = &self.state.phase else {
            return;
        };
        let task = open.task.clone();
        let seconds = self.elapsed_s - open.opened_s;
        let flow = result.model.as_ref().map(|model| model.flow);
        if flow != task.train || result.draws.is_some() != task.draw.is_some() {
            return;
        }
        if let Some(summary) = &result.training {
            self.announce(Progress::Trained {
                summary: Box::new(summary.clone()),
                seconds,
            });
        }
        self.record(Fact::TaskCommitted(Box::new(result.clone())));
        let Some(draw) = task.draw else {
            self.then(Effect::WriteResults);
            return;
        };
        let scores = result
            .scores
            .into_iter()
            .filter(|scores| scores.round == draw.round)
            .collect();
        self.open_round(RoundPlan {
            round: draw.round,
            kind: match task.train {
                Some(_) => RoundKind::Training,
                None if draw.proposal.is_local() => RoundKind::Probe,
                None => RoundKind::TopUp,
            },
            n_rows: draw.n_rows,
            proposal: draw.proposal,
            draws: result.draws,
            scores,
        });
    }

    fn open_round(&mut self, plan: RoundPlan) {
        let RoundPlan {
            round,
            kind,
            n_rows,
            proposal,
            draws,
            scores,
        } = plan;
        self.record(Fact::RoundOpened(RoundOpened {
            round,
            kind,
            n_rows,
            proposal,
            draws,
            scores,
        }));
        self.announce(Progress::RoundOpened {
            round,
            kind,
            n_rows,
        });
        self.then(Effect::OfferRows(round));
    }

    fn on_results_written(&mut self, summary: StoredFile, posterior: Option<StoredFile>) {
        match self.state.phase {
            Phase::Finishing | Phase::Finished(_) => {
                self.record(Fact::Finished { summary, posterior });
                self.announce(Progress::Finished);
                self.then(Effect::End);
            }
            Phase::New
            | Phase::Simulating(_)
            | Phase::Weighing(_)
            | Phase::Deciding
            | Phase::Training(_) => {}
        }
    }
}

fn proposal_of(history: &[RoundSummary], round: RoundId) -> Option<&Proposal> {
    history
        .iter()
        .find(|summary| summary.round == round)
        .map(|summary| &summary.proposal)
}
