//! Decisions after made-up histories.

use super::*;
use crate::base::LocalId;
use crate::campaign::Combine;
use crate::weights::LocalDensity;

fn diagnostics(n: u64, efficiency: f64) -> WeightDiagnostics {
    WeightDiagnostics {
        n,
        n_eff: efficiency * n as f64,
        efficiency,
        pareto_k: None,
        max_weight: 0.0,
        evidence: None,
    }
}

/// A training round of 1000 rows; the newest component is `newest` efficient, ± `error`.
fn round(index: u32, newest: f64, error: f64) -> RoundSummary {
    let proposal = match index.checked_sub(1) {
        None => Proposal::prior(),
        Some(flow) => Proposal::of(vec![(Component::Flow(FlowId(flow)), 1.0)]),
    };
    RoundSummary {
        round: RoundId(index),
        kind: RoundKind::Training,
        proposal,
        n_failed: 0,
        n_possible: 1000,
        failed_median: None,
        all: diagnostics(1000, 0.8 * newest),
        newest_component: diagnostics(1000, newest),
        efficiency_error: error,
    }
}

fn rounds(rule: StopRule) -> Rounds {
    Rounds {
        max: 10,
        simulations: 1000,
        defensive_share: 0.1,
        combine: Combine::Mixture,
        stop: Stop {
            rule,
            n_eff: None,
            efficiency: None,
            simulations: None,
            wall_time_s: None,
            top_up: 0,
        },
    }
}

/// Of flows that are fitted to simulations only.
fn decide(rounds: &Rounds, history: &[RoundSummary]) -> Decision {
    judge(rounds, history, None, Refinement::Off)
}

fn judge(
    rounds: &Rounds,
    history: &[RoundSummary],
    pareto_k: Option<f64>,
    refinement: Refinement,
) -> Decision {
    let n = 1000 * history.len() as u64;
    let objectives = BTreeMap::new();
    let combined = WeightDiagnostics {
        pareto_k,
        ..diagnostics(n, 0.25)
    };
    after_round(
        rounds,
        &Past {
            n_parameters: 3,
            refinement,
            history,
            blind: None,
            objectives: &objectives,
            combined: &combined,
            simulations: n,
            elapsed_s: 60.0,
        },
    )
}

const CONTINUE: Decision = Decision::Continue { n_rows: 1000 };

fn dropped(efficiency: f64, best: f64) -> Decision {
    Decision::Stop(StopReason::EfficiencyDropped { efficiency, best })
}

#[test]
fn bootstrap_rule_stops_at_drops_beyond_the_combined_errors() {
    let rounds = rounds(StopRule::Bootstrap);
    let history = |newest| vec![round(0, 0.9, 0.0), round(1, 0.5, 0.03), newest];
    assert_eq!(decide(&rounds, &history(round(2, 0.51, 0.04))), CONTINUE);
    // Twice the combined error is 0.1.
    assert_eq!(decide(&rounds, &history(round(2, 0.41, 0.04))), CONTINUE);
    assert_eq!(
        decide(&rounds, &history(round(2, 0.39, 0.04))),
        dropped(0.39, 0.5)
    );
    // Against the best so far, not the previous one.
    let mut longer = history(round(2, 0.46, 0.04));
    longer.push(round(3, 0.39, 0.04));
    assert_eq!(decide(&rounds, &longer), dropped(0.39, 0.5));
}

#[test]
fn bootstrap_rule_does_not_judge_below_an_n_eff_of_100() {
    let rounds = rounds(StopRule::Bootstrap);
    let history = |efficiency| {
        [
            round(0, 0.001, 0.0),
            round(1, 0.5, 0.01),
            round(2, efficiency, 0.01),
        ]
    };
    assert_eq!(decide(&rounds, &history(0.0999)), CONTINUE);
    assert_eq!(decide(&rounds, &history(0.1)), dropped(0.1, 0.5));
}

#[test]
fn paper_rule_stops_at_any_drop_below_the_previous_round() {
    let rounds = rounds(StopRule::Paper);
    let first = [round(0, 0.9, 0.0), round(1, 0.02, 1.0)];
    assert_eq!(decide(&rounds, &first), CONTINUE, "the prior is no flow");
    let mut history = vec![
        round(0, 0.0, 0.0),
        round(1, 0.02, 1.0),
        round(2, 0.019, 1.0),
    ];
    assert_eq!(decide(&rounds, &history), dropped(0.019, 0.02));
    // Equal is no drop; better than the previous one is enough.
    history[2] = round(2, 0.02, 0.0);
    assert_eq!(decide(&rounds, &history), CONTINUE);
}

#[test]
fn targets_come_before_drops_and_drops_before_budgets() {
    let mut rounds = rounds(StopRule::Paper);
    let history = [round(0, 0.1, 0.0), round(1, 0.5, 0.0), round(2, 0.4, 0.0)];
    rounds.max = 3;
    assert_eq!(decide(&rounds, &history), dropped(0.4, 0.5));
    rounds.stop.efficiency = Some(0.4);
    let efficient = StopReason::TargetEfficiency {
        efficiency: 0.4,
        target: 0.4,
    };
    assert_eq!(decide(&rounds, &history), Decision::Stop(efficient));
    rounds.stop.n_eff = Some(750.0);
    let enough = StopReason::TargetEffectiveSampleSize {
        n_eff: 750.0,
        target: 750.0,
    };
    assert_eq!(decide(&rounds, &history), Decision::Stop(enough));
    rounds.stop.n_eff = Some(751.0);
    rounds.stop.efficiency = Some(0.41);
    assert_eq!(decide(&rounds, &history), dropped(0.4, 0.5));
}

#[test]
fn a_drop_is_no_reason_where_later_flows_learn_from_it() {
    let mut rounds = rounds(StopRule::Bootstrap);
    rounds.stop.simulations = Some(90_000);
    let history = [round(0, 0.1, 0.0), round(1, 0.5, 0.0), round(2, 0.3, 0.0)];
    assert_eq!(decide(&rounds, &history), dropped(0.3, 0.5));
    assert!(matches!(
        judge(&rounds, &history, None, Refinement::Tempered),
        Decision::Continue { .. }
    ));
}

#[test]
fn a_target_reached_by_heavy_weights_is_none_while_simulations_are_left() {
    let mut rounds = rounds(StopRule::Bootstrap);
    let history = [round(0, 0.1, 0.0), round(1, 0.5, 0.0), round(2, 0.5, 0.0)];
    rounds.stop.n_eff = Some(750.0);
    let is_stopped = |rounds: &Rounds, k| {
        matches!(
            judge(rounds, &history, Some(k), Refinement::Tempered),
            Decision::Stop(_)
        )
    };
    rounds.stop.simulations = Some(9000);
    assert!(!is_stopped(&rounds, 0.71));
    assert!(is_stopped(&rounds, 0.7));
    rounds.stop.simulations = Some(3000);
    assert!(is_stopped(&rounds, 0.71));
}

#[test]
fn the_priors_efficiency_is_no_target() {
    let mut rounds = rounds(StopRule::Bootstrap);
    rounds.stop.efficiency = Some(0.3);
    assert_eq!(decide(&rounds, &[round(0, 0.5, 0.0)]), CONTINUE);
}

#[test]
fn budgets_stop_before_they_are_overdrawn() {
    let history = [round(0, 0.1, 0.0), round(1, 0.5, 0.0)];
    let mut limited = rounds(StopRule::Bootstrap);
    limited.stop.simulations = Some(3000);
    assert_eq!(decide(&limited, &history), CONTINUE, "one more round fits");
    limited.stop.simulations = Some(2999);
    assert_eq!(
        decide(&limited, &history),
        Decision::Stop(StopReason::Simulations {
            used: 2000,
            max: 2999,
            next: 1000,
        })
    );
    let mut limited = rounds(StopRule::Bootstrap);
    limited.stop.wall_time_s = Some(60.5);
    assert_eq!(decide(&limited, &history), CONTINUE);
    limited.stop.wall_time_s = Some(60.0);
    assert_eq!(
        decide(&limited, &history),
        Decision::Stop(StopReason::WallTime { max_s: 60.0 })
    );
    limited.max = 2;
    assert_eq!(
        decide(&limited, &history),
        Decision::Stop(StopReason::Rounds { max: 2 })
    );
}

#[test]
fn the_most_efficient_proposal_is_that_of_a_training_round() {
    let mut history = vec![round(0, 0.9, 0.0)];
    assert_eq!(most_efficient(&history, None), RoundId(0));
    history.extend([round(1, 0.2, 0.0), round(2, 0.4, 0.0), round(3, 0.3, 0.0)]);
    assert_eq!(most_efficient(&history, None), RoundId(2));
    history.push(round(4, 0.4, 0.0));
    assert_eq!(
        most_efficient(&history, None),
        RoundId(4),
        "of equals the later one"
    );
    history.push(RoundSummary {
        kind: RoundKind::TopUp,
        ..round(5, 0.8, 0.0)
    });
    assert_eq!(most_efficient(&history, None), RoundId(4));
}

#[test]
fn proposals_keep_their_defensive_share() {
    let code_and_share = |newest, earlier: &[u32], share| -> Vec<(i32, f64)> {
        let earlier: Vec<FlowId> = earlier.iter().map(|&id| FlowId(id)).collect();
        let proposal = next_proposal(FlowId(newest), &earlier, None, &BTreeMap::new(), share);
        proposal
            .components
            .iter()
            .map(|&(component, share)| (component.code(), share))
            .collect()
    };
    assert_eq!(code_and_share(0, &[], 0.0), [(0, 1.0)]);
    assert_eq!(
        code_and_share(1, &[0], 0.0),
        [(1, 1.0)],
        "no component without a share"
    );
    assert_eq!(code_and_share(0, &[], 0.25), [(0, 0.75), (-1, 0.25)]);
    assert_eq!(
        code_and_share(2, &[0, 1], 0.25),
        [(2, 0.75), (0, 0.0625), (1, 0.0625), (-1, 0.125)]
    );
    let flows = [FlowId(0), FlowId(1)];
    let with_partner = next_proposal(FlowId(2), &flows, Some(FlowId(1)), &BTreeMap::new(), 0.25);
    assert_eq!(
        with_partner.components,
        [
            (Component::Flow(FlowId(2)), 0.75),
            (Component::Flow(FlowId(0)), 0.03125),
            (Component::Flow(FlowId(1)), 0.15625),
            (Component::Prior, 0.0625),
        ]
    );
    let density = LocalDensity {
        seams: vec![0.0],
        leans: Vec::new(),
        mean: vec![0.5],
        factor: vec![0.1],
    };
    let found = BTreeMap::from([(LocalId(4), density.clone()), (LocalId(9), density)]);
    let with_found = next_proposal(FlowId(0), &[], None, &found, 0.25);
    assert_eq!(
        with_found.components,
        [
            (Component::Flow(FlowId(0)), 0.625),
            (Component::Prior, 0.25),
            (Component::Local(LocalId(4)), 0.0625),
            (Component::Local(LocalId(9)), 0.0625),
        ]
    );
    assert_eq!(with_found.locals, found);
}

#[test]
fn flows_that_lost_a_mode_are_gone_back_to_by_nobody() {
    let mut rounds = rounds(StopRule::Bootstrap);
    rounds.stop.n_eff = Some(500.0);
    let from = |flow: u32, mut summary: RoundSummary| {
        summary.proposal = next_proposal(FlowId(flow), &[], None, &BTreeMap::new(), 0.1);
        summary
    };
    let history = [
        round(0, 0.001, 0.0),
        from(0, round(1, 0.9, 0.01)),
        from(1, round(2, 0.5, 0.01)),
    ];
    let drawn = Objective::WeightedDraws { exponent: 1.0 };
    let objectives = BTreeMap::from([(FlowId(0), drawn), (FlowId(1), drawn)]);
    let after = |history: &[RoundSummary], combined: &WeightDiagnostics, blind| {
        let past = Past {
            n_parameters: 3,
            refinement: Refinement::Tempered,
            history,
            blind,
            objectives: &objectives,
            combined,
            simulations: 3000,
            elapsed_s: 60.0,
        };
        after_round(&rounds, &past)
    };
    let (few, enough) = (diagnostics(3000, 0.1), diagnostics(3000, 0.2));
    let blind = Some(FlowId(0));
    assert_eq!(most_efficient(&history, None), RoundId(1));
    assert_eq!(most_efficient(&history, blind), RoundId(2));
    assert_eq!(
        most_efficient(&history[..2], blind),
        RoundId(1),
        "no other is there"
    );
    assert_eq!(after(&history, &few, blind), CONTINUE);
    // A target is not reached by draws of flows that know a part only.
    assert_eq!(after(&history[..2], &enough, blind), CONTINUE);
    let reached = |decision| match decision {
        Decision::Stop(StopReason::TargetEffectiveSampleSize { .. }) => true,
        Decision::Stop(_)
        | Decision::Continue { .. }
        | Decision::DrawFromPrior { .. }
        | Decision::DrawAgain { .. } => false,
    };
    assert!(reached(after(&history[..2], &enough, None)));
    assert!(reached(after(&history, &enough, blind)));
}

#[test]
fn top_up_covers_what_is_missing_within_the_budgets() {
    let stop = Stop {
        n_eff: Some(2000.0),
        top_up: 10_000,
        ..rounds(StopRule::Bootstrap).stop
    };
    // The best round's rows, defensive ones included, are 0.8 · 0.5 = 40 % efficient.
    let history = [round(0, 0.1, 0.0), round(1, 0.5, 0.0), round(2, 0.3, 0.0)];
    let size = |stop: &Stop, n_eff: f64| {
        let combined = diagnostics(3000, n_eff / 3000.0);
        top_up_size(stop, &history, RoundId(1), &combined, 3000)
    };
    assert_eq!(size(&stop, 1000.0), 2750);
    assert_eq!(size(&stop, 2000.0), 0);
    // Little is missing, but fresh draws must be able to stand alone.
    assert_eq!(size(&stop, 1999.0), 375);
    assert_eq!(
        size(
            &Stop {
                top_up: 0,
                ..stop.clone()
            },
            1000.0
        ),
        0
    );
    assert_eq!(
        size(
            &Stop {
                top_up: 500,
                ..stop.clone()
            },
            1000.0
        ),
        500
    );
    assert_eq!(
        size(
            &Stop {
                simulations: Some(3400),
                ..stop.clone()
            },
            1000.0
        ),
        400
    );
    assert_eq!(
        size(
            &Stop {
                simulations: Some(3374),
                ..stop.clone()
            },
            1000.0
        ),
        0,
        "a rest that cannot be trusted by itself is left"
    );
    assert_eq!(
        size(
            &Stop {
                simulations: Some(2000),
                ..stop.clone()
            },
            1000.0
        ),
        0
    );
    assert_eq!(
        size(
            &Stop {
                n_eff: None,
                ..stop.clone()
            },
            1000.0
        ),
        0
    );
    // Nothing weighs anything: all that the budget allows.
    let hopeless = [round(0, 0.0, 0.0), round(1, 0.0, 0.0)];
    assert_eq!(
        top_up_size(&stop, &hopeless, RoundId(1), &diagnostics(2000, 0.0), 2000),
        10_000
    );
}

#[test]
fn a_good_flow_that_is_no_better_than_the_one_before_is_drawn_from_again() {
    let mut rounds = rounds(StopRule::Bootstrap);
    rounds.stop.n_eff = Some(100_000.0);
    let drawn = |exponent| Objective::WeightedDraws { exponent };
    let objectives = BTreeMap::from([
        (FlowId(0), drawn(0.1)),
        (FlowId(1), drawn(1.0)),
        (FlowId(2), drawn(1.0)),
    ]);
    // Efficiencies of all components are 0.8 of these.
    let history = |second: f64, third: f64| {
        [
            round(0, 0.001, 0.0),
            round(1, 0.2, 0.01),
            round(2, second / 0.8, 0.01),
            round(3, third / 0.8, 0.01),
        ]
    };
    let after = |history: &[RoundSummary], blind, pareto_k| {
        let combined = WeightDiagnostics {
            pareto_k,
            ..diagnostics(4000, 0.5)
        };
        let past = Past {
            n_parameters: 3,
            refinement: Refinement::Tempered,
            history,
            blind,
            objectives: &objectives,
            combined: &combined,
            simulations: 4000,
            elapsed_s: 60.0,
        };
        after_round(&rounds, &past)
    };
    let again = Decision::DrawAgain { n_rows: 1000 };
    assert_eq!(after(&history(0.9, 0.91), None, Some(0.3)), again);
    assert_eq!(after(&history(0.91, 0.9), None, None), again);
    // Still better, worse, not good, heavy, without a mode, the first of its kind.
    assert_eq!(after(&history(0.85, 0.91), None, None), CONTINUE);
    assert_eq!(after(&history(0.9, 0.82), None, None), CONTINUE);
    assert_eq!(after(&history(0.7, 0.7), None, None), CONTINUE);
    assert_eq!(after(&history(0.9, 0.91), None, Some(0.8)), CONTINUE);
    assert_eq!(after(&history(0.9, 0.91), Some(FlowId(1)), None), CONTINUE);
    assert_eq!(after(&history(0.9, 0.91)[..3], None, None), CONTINUE);
    // Its rounds are one after the other held against the last one of another flow.
    let mut more = history(0.9, 0.91).to_vec();
    more.push(RoundSummary {
        round: RoundId(4),
        ..more[3].clone()
    });
    assert_eq!(after(&more, None, None), again);
}
