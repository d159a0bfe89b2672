//! What the state says of what has happened.

use super::decide::Input;
use super::event::Task;
use super::state::{Phase, State};
use super::test_inputs::*;
use sidereal_inference::base::{FlowId, RoundId};
use sidereal_inference::records::DrawTask;
use sidereal_inference::weights::{Proposal, RoundKind};

#[test]
fn too_many_rows_given_up_are_more_than_a_hundredth_of_the_round_and_ten_at_least() {
    // Of a round of so many rows, how many were given up, and whether another one is too many.
    for (n_rows, n_given_up, expected) in [
        (100, 9, None),
        (100, 10, Some(10)),
        (2000, 19, None),
        (2000, 20, Some(20)),
    ] {
        let mut settings = settings();
        settings.rounds.simulations = n_rows;
        let mut played = Played::default();
        played.step(start("a", settings), 0.0);
        for row in 0..n_given_up {
            let shard = shard(0, row..row + 1);
            let message = "kills its workers".to_owned();
            played.step(Input::RowGivenUp { shard, message }, 1.0);
        }
        let open = played.state.current_round().expect("an open round");
        assert_eq!((open.plan.n_rows, open.n_committed), (n_rows, n_given_up));
        assert_eq!(played.state.too_many_given_up(), expected, "{n_rows} rows");
    }
}

#[test]
fn rows_given_up_in_earlier_rounds_do_not_count() {
    let mut played = Played::default();
    played.step(start("a", settings()), 0.0);
    for row in 0..20 {
        let shard = shard(0, row..row + 1);
        let message = "kills its workers".to_owned();
        played.step(Input::RowGivenUp { shard, message }, 1.0);
    }
    assert_eq!(played.state.too_many_given_up(), Some(20));
    played.step(Input::ShardsChecked(vec![shard(0, 20..100)]), 2.0);
    played.step(
        weighed(0, RoundKind::Training, 100, Proposal::prior(), 0.01),
        3.0,
    );
    let draw = DrawTask {
        round: RoundId(1),
        n_rows: 100,
        proposal: proposal_of_flow_0(),
    };
    let result = task_result(Some(FlowId(0)), Some(&draw), 1);
    played.step(Input::TaskChecked(Box::new(result)), 4.0);
    assert_eq!(played.state.given_up.len(), 20);
    assert_eq!(played.state.too_many_given_up(), None);
}

#[test]
fn searches_that_go_on_are_among_what_is_left() {
    let mut settings = settings();
    settings.rounds.max = 10;
    settings.rounds.stop.n_eff = Some(1000.0);
    let mut played = Played::default();
    played.step(start("a", settings), 0.0);
    let probes = session(&[0]).next_round(1).expect("a search");
    for (round, kind, proposal, n_rows, probing) in [
        (0, RoundKind::Training, Proposal::prior(), 100, None),
        (
            1,
            RoundKind::Training,
            proposal_of_flow_0(),
            100,
            Some(session(&[0])),
        ),
        (2, RoundKind::Probe, probes.0, probes.1, Some(session(&[1]))),
    ] {
        if let Phase::Training(open) = &played.state.phase {
            let Task { train, draw } = open.task.clone();
            let result = task_result(train, draw.as_ref(), round);
            played.step(Input::TaskChecked(Box::new(result)), 1.0);
        }
        played.step(Input::ShardsChecked(vec![shard(round, 0..n_rows)]), 2.0);
        let Input::RoundWeighed(mut findings) = weighed(round, kind, n_rows, proposal, 0.3) else {
            panic!("not a weighed round");
        };
        findings.probing = probing;
        played.step(Input::RoundWeighed(findings), 3.0);
    }
    let left = |state: &State| {
        let standing = state.standing().expect("weighed rounds");
        standing.left.expect("not stopped").simulations
    };
    assert_eq!(left(&played.state), (800, 1120));
    played.state.probing = Some(session(&[]));
    assert_eq!(left(&played.state), (800, 800));
}
