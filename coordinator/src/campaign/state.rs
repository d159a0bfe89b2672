//! The durable state of a campaign: what the events so far add up to.

use super::event::{GivenUp, Opened, Results, Reused, RoundPlan, Stopped, Task};
use sidereal_inference::base::{FlowId, RoundId};
use sidereal_inference::campaign::Rounds;
use sidereal_inference::method::{
    Outcome, Pace, Past, Probing, RoundTiming, Standing, StopReason, standing,
};
use sidereal_inference::records::{FinalRound, ModelFiles, ShardFile, TrainingSummary};
use sidereal_inference::weights::{
    Component, Objective, Proposal, RoundKind, RoundSummary, WeightDiagnostics,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// Everything that a restart needs. Changed by [`apply`](super::apply::apply) only.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Coordinators that have opened the campaign.
    pub n_runs: u64,
    /// The newest of them.
    pub run: Option<Run>,
    /// Seconds spent on the campaign up to the last event.
    pub elapsed_s: f64,
    /// What the campaign began with, where it did not begin with its prior; its rounds are the first ones of `rounds`.
    pub reused: Option<Reused>,
    /// Rounds that are weighed, in order.
    pub rounds: Vec<WeighedRound>,
    /// All flows, in the order of their training.
    pub models: Vec<ModelFiles>,
    pub training: Vec<TrainingSummary>,
    /// Of all weighed rounds together.
    pub combined: Option<WeightDiagnostics>,
    /// The newest session of searches for lost modes.
    pub probing: Option<Probing>,
    /// Searches of all sessions that have ended.
    pub probed: Vec<Outcome>,
    /// The newest flow that a search has shown to have lost a mode.
    pub blind: Option<FlowId>,
    pub stopped: Option<Stopped>,
    /// Rows that no worker could run, in order.
    pub given_up: Vec<GivenUp>,
    pub phase: Phase,
}

/// The newest coordinator.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// As it began, but for the address: None once it has said that it ends.
    pub opened: Opened,
    /// [`State::elapsed_s`] when it opened the campaign.
    pub opened_s: f64,
}

/// Where a campaign stands; each phase holds only what is valid in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Phase {
    /// No round yet.
    #[default]
    New,
    Simulating(OpenRound),
    Weighing(CompleteRound),
    /// The last round is weighed and nothing is decided yet: exists within one record only, between
    /// its events.
    Deciding,
    Training(OpenTask),
    /// Stopped; the results are to be written.
    Finishing,
    Finished(Results),
}

/// A round some of whose rows are not final.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenRound {
    pub plan: RoundPlan,
    /// By first row; they do not overlap.
    pub shards: BTreeMap<u64, ShardFile>,
    pub n_committed: u64,
    pub n_failed: u64,
    /// [`State::elapsed_s`] when it was opened.
    pub opened_s: f64,
}

/// A round all of whose rows are final.
#[derive(Debug, Clone, PartialEq)]
pub struct CompleteRound {
    pub plan: RoundPlan,
    /// In row order, without gaps.
    pub shards: Vec<ShardFile>,
    pub n_failed: u64,
    pub simulating_s: f64,
}

/// How far a round is that is not weighed.
#[derive(Debug, Clone, Copy)]
pub struct CurrentRound<'a> {
    pub plan: &'a RoundPlan,
    pub n_committed: u64,
    pub n_failed: u64,
}

/// A round with its weights' diagnostics.
#[derive(Debug, Clone, PartialEq)]
pub struct WeighedRound {
    pub files: FinalRound,
    pub summary: RoundSummary,
    pub timing: RoundTiming,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OpenTask {
    pub task: Task,
    pub opened_s: f64,
}

impl State {
    /// The round that is simulated or to be weighed.
    pub fn current_round(&self) -> Option<CurrentRound<'_>> {
        match &self.phase {
            Phase::Simulating(open) => Some(CurrentRound {
                plan: &open.plan,
                n_committed: open.n_committed,
                n_failed: open.n_failed,
            }),
            Phase::Weighing(complete) => Some(CurrentRound {
                plan: &complete.plan,
                n_committed: complete.plan.n_rows,
                n_failed: complete.n_failed,
            }),
            Phase::New
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => None,
        }
    }

    /// Final rows of all rounds that were simulated here, the current one included.
    fn n_rows_by_round(&self) -> impl Iterator<Item = (RoundKind, u64)> {
        let weighed = self.rounds.iter();
        let current = self.current_round();
        weighed
            .filter(|round| round.summary.kind != RoundKind::Reused)
            .map(|round| (round.summary.kind, round.files.n_rows))
            .chain(current.map(|round| (round.plan.kind, round.n_committed)))
    }

    /// Calls of the forward model so far, failed ones included.
    pub fn n_simulations(&self) -> u64 {
        self.n_rows_by_round().map(|(_, n_rows)| n_rows).sum()
    }

    /// Those of them that searches for lost modes took.
    pub fn n_probes(&self) -> u64 {
        let probes = self.n_rows_by_round();
        probes
            .filter(|(kind, _)| *kind == RoundKind::Probe)
            .map(|(_, n_rows)| n_rows)
            .sum()
    }

    /// Rows of the open round that were given up, once another one is no matter of single rows: more than 1 % of the
    /// round, ten at least.
    pub fn too_many_given_up(&self) -> Option<u64> {
        let plan = self.current_round()?.plan;
        let given_up = self.given_up.iter();
        let n_given_up = given_up.filter(|row| row.round == plan.round).count() as u64;
        (n_given_up >= (plan.n_rows / 100).max(10)).then_some(n_given_up)
    }

    /// Seconds spent on the campaign, `now` being seconds since the newest run opened it.
    pub fn elapsed_at(&self, now_s: f64) -> f64 {
        let opened_s = self.run.as_ref().map_or(0.0, |run| run.opened_s);
        self.elapsed_s.max(opened_s + now_s)
    }

    /// Summaries of the rounds that flows are trained on, reused ones first, in order.
    pub fn training_history(&self) -> Vec<RoundSummary> {
        self.rounds
            .iter()
            .map(|round| &round.summary)
            .filter(|summary| match summary.kind {
                RoundKind::Training | RoundKind::Reused => true,
                RoundKind::Probe | RoundKind::TopUp => false,
            })
            .cloned()
            .collect()
    }

    /// The result files, once they are written.
    pub fn results(&self) -> Option<&Results> {
        match &self.phase {
            Phase::Finished(results) => Some(results),
            Phase::New
            | Phase::Simulating(_)
            | Phase::Weighing(_)
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing => None,
        }
    }

    /// The round with that number, once weighed.
    pub fn weighed(&self, round: RoundId) -> Option<&WeighedRound> {
        self.rounds
            .iter()
            .find(|weighed| weighed.files.round == round)
    }

    /// Whether the shard is part of the round that is simulated or was just completed.
    pub fn holds(&self, shard: &ShardFile) -> bool {
        let is_same = |held: &ShardFile| held.file.path == shard.file.path;
        match &self.phase {
            Phase::Simulating(open) => {
                let held = open.shards.get(&shard.first_row);
                open.plan.round == shard.round && held.is_some_and(is_same)
            }
            Phase::Weighing(complete) => {
                complete.plan.round == shard.round && complete.shards.iter().any(is_same)
            }
            Phase::New
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => false,
        }
    }

    /// The number that the next round gets.
    pub fn next_round(&self) -> RoundId {
        RoundId(u32::try_from(self.rounds.len()).unwrap_or(u32::MAX))
    }

    /// What each flow was fitted to.
    pub fn objectives(&self) -> BTreeMap<FlowId, Objective> {
        self.training
            .iter()
            .map(|training| (training.flow, training.objective))
            .collect()
    }

    /// What the weighed rounds have come to, judged by the settings of the newest run; None without a round or without
    /// an observation.
    pub fn judged<T>(&self, judge: impl FnOnce(&Rounds, &Past) -> T) -> Option<T> {
        let settings = &self.run.as_ref()?.opened.settings;
        let past = Past {
            n_parameters: settings.n_parameters,
            refinement: settings.refinement,
            history: &self.training_history(),
            blind: self.blind,
            objectives: &self.objectives(),
            combined: self.combined.as_ref()?,
            simulations: self.n_simulations(),
            elapsed_s: self.elapsed_s,
        };
        Some(judge(&settings.rounds, &past))
    }

    /// Where the campaign stands after the newest weighed round; None without one or without an observation.
    pub fn standing(&self) -> Option<Standing> {
        let timings: Vec<RoundTiming> = self
            .rounds
            .iter()
            .map(|round| round.timing.clone())
            .collect();
        let pace = Pace {
            timings: &timings,
            is_searched: self.is_searched(),
        };
        self.judged(|rounds, past| standing(rounds, past, &pace, self.stopped.is_none()))?
    }

    /// Whether lost modes were searched for, and no search goes on.
    fn is_searched(&self) -> bool {
        let searches = |round: &WeighedRound| round.summary.kind == RoundKind::Probe;
        let goes_on = self.probing.as_ref().is_some_and(Probing::goes_on);
        self.rounds.iter().any(searches) && !goes_on
    }

    /// How all searches for lost modes ended.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let newest = self.probing.iter().flat_map(|probing| &probing.outcomes);
        self.probed.iter().chain(newest).copied().collect()
    }

    pub fn flows(&self) -> Vec<FlowId> {
        self.models.iter().map(|model| model.flow).collect()
    }

    /// What a new draw has a density under: all flows, and the proposals of reused rounds.
    pub fn scored_under(&self) -> Vec<FlowId> {
        let reused = self.reused.iter().flat_map(|reused| &reused.rounds);
        let reused = reused.map(|round| FlowId::of_reused(round.files.round));
        self.flows().into_iter().chain(reused).collect()
    }

    /// The flow that the campaign ended with; None for the prior, where it was an earlier campaign's, or while it goes on.
    pub fn best_flow(&self) -> Option<FlowId> {
        self.final_flow().filter(|flow| !flow.is_of_reused())
    }

    /// As [`Self::best_flow`], or what stands for the proposal of an earlier campaign.
    pub fn final_flow(&self) -> Option<FlowId> {
        let stopped = self.stopped.as_ref()?;
        let proposal = self
            .weighed(stopped.best_round)
            .map(|round| &round.files.proposal);
        match &stopped.reason {
            StopReason::Amortized => Some(FlowId(0)),
            StopReason::TargetEffectiveSampleSize { .. }
            | StopReason::TargetEfficiency { .. }
            | StopReason::EfficiencyDropped { .. }
            | StopReason::Rounds { .. }
            | StopReason::Simulations { .. }
            | StopReason::WallTime { .. } => proposal.and_then(newest_flow),
        }
    }

    /// The newest round that flows are trained on.
    fn last_training_round(&self) -> Option<&WeighedRound> {
        let mut rounds = self.rounds.iter();
        rounds.rfind(|round| match round.summary.kind {
            RoundKind::Training | RoundKind::Reused => true,
            RoundKind::Probe | RoundKind::TopUp => false,
        })
    }

    /// The round that judges the result with fresh draws of the final proposal: the top-up round
    /// where there is one, else the most efficient round, whose own weights know no later flow.
    pub fn final_round(&self) -> Option<&WeighedRound> {
        let last = self.rounds.last()?;
        match last.summary.kind {
            RoundKind::TopUp => Some(last),
            RoundKind::Training | RoundKind::Probe | RoundKind::Reused => self
                .stopped
                .as_ref()
                .and_then(|stopped| self.weighed(stopped.best_round))
                .or(self.last_training_round()),
        }
    }
}

impl OpenRound {
    /// Rows that are not final, as ranges in order.
    pub fn missing(&self) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut next = 0;
        for shard in self.shards.values() {
            if shard.first_row > next {
                missing.push(next..shard.first_row);
            }
            next = shard.first_row + shard.n_rows;
        }
        if next < self.plan.n_rows {
            missing.push(next..self.plan.n_rows);
        }
        missing
    }

    /// Whether none of the shard's rows is final, and all belong to the round.
    pub fn takes(&self, shard: &ShardFile) -> bool {
        let rows = rows_of(shard);
        if shard.round != self.plan.round || rows.is_empty() || rows.end > self.plan.n_rows {
            return false;
        }
        let before = self.shards.range(..rows.end).next_back();
        before.is_none_or(|(_, shard)| shard.first_row + shard.n_rows <= rows.start)
    }
}

/// The rows of a shard.
pub fn rows_of(shard: &ShardFile) -> Range<u64> {
    shard.first_row..shard.first_row.saturating_add(shard.n_rows)
}

/// The flow that a proposal's newest component is; None for the prior.
pub fn newest_flow(proposal: &Proposal) -> Option<FlowId> {
    match proposal.newest() {
        Component::Flow(flow) => Some(flow),
        Component::Prior | Component::Local(_) => None,
    }
}
