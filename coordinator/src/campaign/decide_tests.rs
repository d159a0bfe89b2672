//! The whole life of a campaign, input by input, with the exact events and effects of each.

use super::apply::{Misfit, apply};
use super::decide::Input;
use super::effects::{Effect, effects_to_resume, progress_so_far};
use super::event::{Event, Fact, Results, RoundPlan, Settings, Stopped, Task};
use super::state::{Phase, State};
use super::test_inputs::*;
use crate::weigh::Findings;
use sidereal_inference::account::Progress;
use sidereal_inference::base::{FlowId, LocalId, RoundId};
use sidereal_inference::method::{Outcome, Probing, StopReason};
use sidereal_inference::records::DrawTask;
use sidereal_inference::weights::{Component, Proposal, RoundKind};
use std::collections::BTreeMap;

/// Round 0 is simulated and weighed; what is next is up to `settings`.
fn after_round_0(settings: Settings) -> (Played, Decided) {
    let mut played = Played::default();
    played.step(start("a", settings), 0.0);
    played.step(Input::ShardsChecked(vec![shard(0, 0..100)]), 10.0);
    let decision = played.step(
        weighed(0, RoundKind::Training, 100, Proposal::prior(), 0.01),
        11.0,
    );
    (played, decision)
}

/// Rounds 0 and 1 are weighed, with one round more than allowed.
fn after_round_1(mut settings: Settings) -> (Played, Decided) {
    settings.rounds.max = 2;
    let (mut played, _) = after_round_0(settings);
    let draw = DrawTask {
        round: RoundId(1),
        n_rows: 100,
        proposal: proposal_of_flow_0(),
    };
    let result = task_result(Some(FlowId(0)), Some(&draw), 1);
    played.step(Input::TaskChecked(Box::new(result)), 20.0);
    played.step(Input::ShardsChecked(vec![shard(1, 0..100)]), 30.0);
    let decision = played.step(
        weighed(1, RoundKind::Training, 100, proposal_of_flow_0(), 0.5),
        31.0,
    );
    (played, decision)
}

#[test]
fn a_start_opens_round_0_from_the_prior() {
    let mut played = Played::default();
    let decision = played.step(start("a", settings()), 0.0);
    let round = RoundPlan {
        round: RoundId(0),
        kind: RoundKind::Training,
        n_rows: 100,
        proposal: Proposal::prior(),
        draws: None,
        scores: Vec::new(),
    };
    assert_eq!(
        Played::facts(&decision),
        [
            Fact::Opened(Box::new(opened("a", settings()))),
            Fact::RoundOpened(round),
        ]
    );
    assert_eq!(
        decision.effects,
        [
            Effect::Announce(Progress::RoundOpened {
                round: RoundId(0),
                kind: RoundKind::Training,
                n_rows: 100,
            }),
            Effect::OfferRows(RoundId(0)),
        ]
    );
}

#[test]
fn of_shards_for_the_same_rows_the_first_is_recorded() {
    let mut played = Played::default();
    played.step(start("a", settings()), 0.0);
    let inputs = vec![
        shard(0, 0..40),
        shard(0, 0..40),
        shard(0, 30..60),
        shard(0, 60..100),
        shard(0, 90..101),
        shard(1, 40..60),
    ];
    let decision = played.step(Input::ShardsChecked(inputs), 1.0);
    assert_eq!(
        Played::facts(&decision),
        [
            Fact::ShardCommitted(shard(0, 0..40)),
            Fact::ShardCommitted(shard(0, 60..100)),
        ]
    );
    assert_eq!(decision.effects, []);
    let Phase::Simulating(open) = &played.state.phase else {
        panic!("phase {}", played.state.phase.name());
    };
    assert_eq!(open.missing(), std::slice::from_ref(&(40..60)));
    let decision = played.step(Input::ShardsChecked(vec![shard(0, 40..60)]), 2.0);
    assert_eq!(decision.effects, [Effect::Weigh(RoundId(0))]);
    assert_eq!(played.state.phase.name(), "weighing");
    // Twice delivered.
    let decision = played.step(Input::ShardsChecked(vec![shard(0, 40..60)]), 3.0);
    assert_eq!(decision, Default::default());
}

#[test]
fn a_coordinator_that_ends_begins_nothing() {
    let mut played = Played::default();
    played.step(start("a", settings()), 0.0);
    let decision = played.step(Input::Close, 1.0);
    assert_eq!(Played::facts(&decision), [Fact::Closed]);
    assert_eq!(decision.effects, []);
}

#[test]
fn too_few_possible_draws_lead_to_another_round_of_the_prior() {
    let mut settings = settings();
    settings.rounds.stop.simulations = Some(5000);
    let mut played = Played::default();
    played.step(start("a", settings), 0.0);
    played.step(Input::ShardsChecked(vec![shard(0, 0..100)]), 10.0);
    let mut few = weighed(0, RoundKind::Training, 100, Proposal::prior(), 0.01);
    if let Input::RoundWeighed(findings) = &mut few {
        findings.summary.n_possible = 15;
    }
    let decision = played.step(few, 11.0);
    // 75 are wanted, and 15 in 100 draws were possible; a round has twice those before at most, or 600.
    assert_eq!(
        Played::facts(&decision)[1..],
        [Fact::RoundOpened(RoundPlan {
            round: RoundId(1),
            kind: RoundKind::Training,
            n_rows: 600,
            proposal: Proposal::prior(),
            draws: None,
            scores: Vec::new(),
        })]
    );
}

#[test]
fn a_weighed_round_leads_to_training_and_then_to_the_next_round() {
    let (mut played, decision) = after_round_0(settings());
    let draw = DrawTask {
        round: RoundId(1),
        n_rows: 100,
        proposal: proposal_of_flow_0(),
    };
    let task = Task {
        train: Some(FlowId(0)),
        draw: Some(draw.clone()),
    };
    assert_eq!(
        Played::facts(&decision)[1..],
        [Fact::TaskOpened(task.clone())]
    );
    assert_eq!(decision.effects[1..], [Effect::OfferTask]);

    let result = task_result(Some(FlowId(0)), Some(&draw), 1);
    let decision = played.step(Input::TaskChecked(Box::new(result.clone())), 20.0);
    let round = RoundPlan {
        round: RoundId(1),
        kind: RoundKind::Training,
        n_rows: 100,
        proposal: proposal_of_flow_0(),
        draws: Some(file("draws")),
        scores: vec![result.scores[1].clone()],
    };
    assert_eq!(
        Played::facts(&decision),
        [
            Fact::TaskCommitted(Box::new(result.clone())),
            Fact::RoundOpened(round),
        ]
    );
    assert_eq!(
        decision.effects.last(),
        Some(&Effect::OfferRows(RoundId(1)))
    );
    // The earlier round has got its scores under the new flow.
    assert_eq!(
        played.state.rounds[0].files.scores,
        [result.scores[0].clone()]
    );
    assert_eq!(played.state.rounds[0].timing.simulating_s, 10.0);
    assert_eq!(played.state.rounds[0].timing.training_s, 9.0);
    // Another attempt's report of the same task comes second.
    let decision = played.step(Input::TaskChecked(Box::new(result)), 21.0);
    assert_eq!(decision, Default::default());
}

#[test]
fn a_stop_without_a_missed_target_writes_the_results() {
    let (mut played, decision) = after_round_1(settings());
    assert_eq!(
        Played::facts(&decision)[1..],
        [Fact::Stopped(Stopped {
            reason: StopReason::Rounds { max: 2 },
            best_round: RoundId(1),
        })]
    );
    assert_eq!(
        decision.effects[1..],
        [
            Effect::Announce(Progress::Stopped {
                reason: StopReason::Rounds { max: 2 },
                best_flow: Some(FlowId(0)),
            }),
            Effect::WriteResults,
        ]
    );
    let written = Input::ResultsWritten(Results {
        summary: file("summary.json"),
        posterior: Some(file("posterior.parquet")),
    });
    // Results that turn out to be damaged are written again.
    for _ in 0..2 {
        let decision = played.step(written.clone(), 40.0);
        assert_eq!(
            decision.effects,
            [Effect::Announce(Progress::Finished), Effect::End]
        );
        assert_eq!(played.state.phase.name(), "finished");
    }
}

#[test]
fn a_missed_target_leads_to_a_top_up_round_without_training() {
    let mut settings = settings();
    settings.rounds.stop.n_eff = Some(500.0);
    settings.rounds.stop.top_up = 1000;
    let (mut played, decision) = after_round_1(settings);
    let facts = Played::facts(&decision);
    let Some(Fact::TaskOpened(task)) = facts.last() else {
        panic!("{facts:?}");
    };
    assert_eq!(task.train, None);
    let draw = task.draw.clone().expect("draws are asked for");
    assert_eq!(
        (draw.round, &draw.proposal),
        (RoundId(2), &proposal_of_flow_0())
    );
    assert!(draw.n_rows > 0 && draw.n_rows <= 1000, "{}", draw.n_rows);
    assert_eq!(decision.effects.last(), Some(&Effect::OfferTask));

    let result = task_result(None, Some(&draw), 2);
    played.step(Input::TaskChecked(Box::new(result)), 50.0);
    let Phase::Simulating(open) = &played.state.phase else {
        panic!("phase {}", played.state.phase.name());
    };
    assert_eq!(open.plan.kind, RoundKind::TopUp);
    played.step(Input::ShardsChecked(vec![shard(2, 0..draw.n_rows)]), 60.0);
    let decision = played.step(
        weighed(2, RoundKind::TopUp, draw.n_rows, proposal_of_flow_0(), 0.1),
        61.0,
    );
    assert_eq!(decision.effects[1..], [Effect::WriteResults]);
    assert_eq!(played.state.phase, Phase::Finishing);
    let last = played.state.final_round().map(|round| round.files.round);
    assert_eq!(last, Some(RoundId(2)));
}

#[test]
fn without_an_observation_one_flow_is_trained_and_nothing_drawn() {
    let mut settings = settings();
    settings.has_observation = false;
    settings.refinement = sidereal_inference::campaign::Refinement::Off;
    settings.rounds.max = 1;
    let mut played = Played::default();
    played.step(start("a", settings), 0.0);
    played.step(Input::ShardsChecked(vec![shard(0, 0..100)]), 1.0);
    let decision = played.step(
        Input::RoundWeighed(Box::new(Findings {
            summary: summary(0, RoundKind::Training, 100, Proposal::prior(), 0.0),
            combined: None,
            probing: None,
        })),
        2.0,
    );
    assert_eq!(
        Played::facts(&decision)[1..],
        [
            Fact::Stopped(Stopped {
                reason: StopReason::Amortized,
                best_round: RoundId(0),
            }),
            Fact::TaskOpened(Task {
                train: Some(FlowId(0)),
                draw: None,
            }),
        ]
    );
    let result = task_result(Some(FlowId(0)), None, 1);
    let decision = played.step(Input::TaskChecked(Box::new(result)), 3.0);
    assert_eq!(decision.effects.last(), Some(&Effect::WriteResults));
    assert_eq!(played.state.phase, Phase::Finishing);
    assert_eq!(played.state.best_flow(), Some(FlowId(0)));
}

#[test]
fn a_finished_campaign_ends_at_once_unless_a_target_is_raised() {
    let finished = || {
        let (mut played, _) = after_round_1(settings());
        played.step(
            Input::ResultsWritten(Results {
                summary: file("summary.json"),
                posterior: Some(file("posterior.parquet")),
            }),
            40.0,
        );
        played
    };
    let mut unchanged = settings();
    unchanged.rounds.max = 2;
    unchanged.workers.count = Some(7);
    let decision = finished().step(start("b", unchanged), 0.0);
    assert_eq!(decision.events.len(), 1);
    assert_eq!(decision.effects, [Effect::End]);

    let mut played = finished();
    let decision = played.step(start("b", settings()), 0.0);
    let draw = DrawTask {
        round: RoundId(2),
        n_rows: 100,
        proposal: Proposal::of(vec![
            (Component::Flow(FlowId(1)), 0.9),
            (Component::Flow(FlowId(0)), 0.05),
            (Component::Prior, 0.05),
        ]),
    };
    let facts = Played::facts(&decision);
    let task = Task {
        train: Some(FlowId(1)),
        draw: Some(draw),
    };
    assert_eq!(facts[1..], [Fact::Reopened, Fact::TaskOpened(task)]);
    assert_eq!(decision.effects, [Effect::OfferTask]);
    assert_eq!(played.state.stopped, None);
}

#[test]
fn seconds_go_on_from_where_the_last_run_left_off() {
    let (mut played, _) = after_round_0(settings());
    assert_eq!(played.state.elapsed_s, 11.0);
    let decision = played.step(start("b", settings()), 5.0);
    assert_eq!(decision.events[0].elapsed_s, 11.0);
    assert_eq!(played.state.elapsed_at(4.0), 15.0);
    // A clock that jumps back takes no second away.
    assert_eq!(played.state.elapsed_at(-100.0), 11.0);
    assert_eq!(decision.effects, effects_to_resume(&played.state));
}

#[test]
fn an_event_that_does_not_fit_is_an_error_and_changes_nothing() {
    let mut played = Played::default();
    played.step(start("a", settings()), 0.0);
    let before = played.state.clone();
    for fact in [
        Fact::ShardCommitted(shard(0, 90..101)),
        Fact::ShardCommitted(shard(1, 0..10)),
        Fact::Reopened,
        Fact::TaskCommitted(Box::new(task_result(Some(FlowId(0)), None, 1))),
        Fact::Finished(Results {
            summary: file("summary.json"),
            posterior: None,
        }),
    ] {
        let event = Event {
            elapsed_s: 99.0,
            fact,
        };
        let result: Result<(), Misfit> = apply(&mut played.state, &event);
        assert!(result.is_err(), "{event:?}");
        assert_eq!(played.state, before, "{event:?}");
    }
    let event = Event {
        elapsed_s: 0.0,
        fact: Fact::Reopened,
    };
    let misfit = apply(&mut State::default(), &event).expect_err("nothing to reopen");
    assert_eq!(misfit.to_string(), "reopened cannot follow in phase new");
}

#[test]
fn a_late_watcher_hears_of_every_round_and_training() {
    let (played, _) = after_round_1(settings());
    let told: Vec<&str> = progress_so_far(&played.state)
        .iter()
        .map(|progress| match progress {
            Progress::RoundOpened { .. } => "opened",
            Progress::RowsCommitted { .. } => "rows",
            Progress::RoundWeighed { .. } => "weighed",
            Progress::Training(_) => "training",
            Progress::Drawing { .. } => "drawing",
            Progress::Trained { .. } => "trained",
            Progress::Stopped { .. } => "stopped",
            Progress::Paused { .. } => "paused",
            Progress::Resumed => "resumed",
            Progress::Finished => "finished",
            Progress::Failed { .. } => "failed",
        })
        .collect();
    assert_eq!(
        told,
        [
            "opened", "weighed", "trained", "opened", "weighed", "stopped"
        ]
    );
}

/// Round 1, drawn from flow 0, has all its rows and is to be weighed.
fn simulated_round_1(settings: Settings) -> Played {
    let (mut played, _) = after_round_0(settings);
    let draw = DrawTask {
        round: RoundId(1),
        n_rows: 100,
        proposal: proposal_of_flow_0(),
    };
    let result = task_result(Some(FlowId(0)), Some(&draw), 1);
    played.step(Input::TaskChecked(Box::new(result)), 30.0);
    played.step(Input::ShardsChecked(vec![shard(1, 0..100)]), 40.0);
    played
}

fn weighed_with(input: Input, probing: Probing) -> Input {
    let Input::RoundWeighed(mut weighed) = input else {
        panic!("not a weighed round");
    };
    weighed.probing = Some(probing);
    Input::RoundWeighed(weighed)
}

#[test]
fn searches_are_rounds_of_their_own_until_they_end_and_then_the_campaign_goes_on() {
    let mut played = simulated_round_1(settings());
    let begun = session(&[0, 1]);
    let input = weighed(1, RoundKind::Training, 100, proposal_of_flow_0(), 0.5);
    let decision = played.step(weighed_with(input, begun.clone()), 41.0);
    let (proposal, n_rows) = begun.next_round(1).expect("two searches");
    assert_eq!(n_rows, 16);
    let draw = DrawTask {
        round: RoundId(2),
        n_rows,
        proposal: proposal.clone(),
    };
    assert_eq!(
        Played::facts(&decision)[1..],
        [Fact::TaskOpened(Task {
            train: None,
            draw: Some(draw.clone()),
        })]
    );
    assert_eq!(played.state.probing, Some(begun));
    let result = task_result(None, Some(&draw), 2);
    played.step(Input::TaskChecked(Box::new(result)), 42.0);
    let Phase::Simulating(open) = &played.state.phase else {
        panic!("{}", played.state.phase.name());
    };
    assert_eq!(open.plan.kind, RoundKind::Probe);
    played.step(Input::ShardsChecked(vec![shard(2, 0..16)]), 43.0);
    let ended = Probing {
        outcomes: vec![Outcome::Known, Outcome::Negligible],
        ..session(&[])
    };
    let input = weighed(2, RoundKind::Probe, 16, proposal, 0.0);
    let decision = played.step(weighed_with(input, ended), 44.0);
    // The next flow is trained on all rounds, those of the searches too.
    let Some(Fact::TaskOpened(task)) = Played::facts(&decision).last().cloned() else {
        panic!("no task");
    };
    assert_eq!(task.train, Some(FlowId(2)));
    assert_eq!(played.state.training_history().len(), 2);
    assert_eq!(
        played.state.outcomes(),
        [Outcome::Known, Outcome::Negligible]
    );
}

/// Two searches after round 1 and, where they could be drawn, their second step: how they ended.
fn searched(settings: Settings) -> (Played, Decided) {
    let mut played = simulated_round_1(settings);
    let input = weighed(1, RoundKind::Training, 100, proposal_of_flow_0(), 0.5);
    played.step(weighed_with(input, session(&[0, 1])), 41.0);
    let (proposal, n_rows) = session(&[0, 1]).next_round(1).expect("two searches");
    let draw = DrawTask {
        round: RoundId(2),
        n_rows,
        proposal: proposal.clone(),
    };
    let result = task_result(None, Some(&draw), 2);
    played.step(Input::TaskChecked(Box::new(result)), 42.0);
    played.step(Input::ShardsChecked(vec![shard(2, 0..16)]), 43.0);
    let input = weighed(2, RoundKind::Probe, 16, proposal, 0.0);
    let decision = played.step(weighed_with(input, session(&[2, 3])), 44.0);
    (played, decision)
}

#[test]
fn searches_end_where_the_budget_does() {
    let mut settings = settings();
    settings.rounds.stop.simulations = Some(231);
    settings.rounds.max = 2;
    let (played, decision) = searched(settings);
    assert_eq!(
        played.state.outcomes(),
        [Outcome::GivenUp { share: 0.0 }; 2]
    );
    assert!(
        Played::facts(&decision)
            .iter()
            .any(|fact| matches!(fact, Fact::Stopped { .. }))
    );
}

#[test]
fn searches_take_no_more_than_their_share_of_the_budget() {
    let play = |budget: u64| {
        let mut settings = settings();
        settings.rounds.stop.simulations = Some(budget);
        searched(settings).0.state.outcomes()
    };
    // Two steps of 16 rows are 10 % of 320.
    assert_eq!(play(319), [Outcome::GivenUp { share: 0.0 }; 2]);
    assert_eq!(play(320), []);
}

#[test]
fn a_scan_is_drawn_before_the_searches_where_it_leaves_them_enough() {
    let begun = |budget: u64| {
        let mut settings = settings();
        settings.rounds.stop.simulations = Some(budget);
        let mut played = simulated_round_1(settings);
        let mut session = session(&[0, 1]);
        let density = session.searches[&LocalId(0)].density.clone();
        session.scan = BTreeMap::from([(LocalId(2), density)]);
        let input = weighed(1, RoundKind::Training, 100, proposal_of_flow_0(), 0.5);
        let decision = played.step(weighed_with(input, session), 41.0);
        let task = Played::facts(&decision).last().cloned();
        let Some(Fact::TaskOpened(Task {
            draw: Some(draw), ..
        })) = task
        else {
            panic!("nothing is drawn");
        };
        draw.proposal
            .locals
            .into_keys()
            .map(|id| id.0)
            .collect::<Vec<_>>()
    };
    // Thrice its 8 rows are 10 % of 240.
    assert_eq!(begun(240), [2]);
    assert_eq!(begun(239), [0, 1]);
}

#[test]
fn searches_that_cannot_begin_are_not_counted_as_made() {
    let mut settings = settings();
    settings.rounds.stop.simulations = Some(215);
    settings.rounds.max = 2;
    let mut played = simulated_round_1(settings);
    let mut fresh = session(&[0, 1]);
    fresh
        .searches
        .values_mut()
        .for_each(|search| search.n_steps = 0);
    let input = weighed(1, RoundKind::Training, 100, proposal_of_flow_0(), 0.5);
    played.step(weighed_with(input, fresh), 41.0);
    assert_eq!(
        (played.state.outcomes(), &played.state.probing),
        (vec![], &None)
    );
}
