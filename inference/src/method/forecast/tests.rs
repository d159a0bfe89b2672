//! Forecasts held against what came, in campaigns that were run.

use super::*;
use crate::base::RoundId;
use crate::campaign::{Combine, Stop, StopRule};
use crate::weights::{Proposal, RoundKind, RoundSummary, WeightDiagnostics};
use std::collections::BTreeMap;

/// A weighed training round.
#[derive(Clone, Copy)]
struct Came {
    /// Of the flow that it drew from; 0 for the prior and for the flow fitted to simulations.
    exponent: f64,
    n_rows: u64,
    /// So far, searches included.
    simulations: u64,
    efficiency: f64,
    /// Of all rounds.
    n_eff: f64,
    pareto_k: f64,
    /// Whether lost modes were searched for before.
    is_searched: bool,
}

type Row = (f64, u64, u64, f64, f64, f64, bool);

fn came(rows: &[Row]) -> Vec<Came> {
    rows.iter()
        .map(
            |&(exponent, n_rows, simulations, efficiency, n_eff, pareto_k, is_searched)| Came {
                exponent,
                n_rows,
                simulations,
                efficiency,
                n_eff,
                pareto_k,
                is_searched,
            },
        )
        .collect()
}

/// The sine example.
const SINE: [Row; 14] = [
    (0.0, 1280, 1280, 5.24e-16, 6.71e-13, 44.45, false),
    (0.0, 600, 1880, 0.0, 0.0, 90.22, false),
    (0.00783, 600, 2480, 0.0, 0.0, 19.11, false),
    (0.0165, 600, 3080, 0.000129, 0.07753, 54.37, false),
    (0.0213, 600, 3680, 0.012, 7.192, 13.69, false),
    (0.0554, 600, 4280, 0.0391, 23.47, 3.22, false),
    (0.291, 600, 4880, 0.199, 119.2, 0.12, false),
    (1.0, 600, 5480, 0.579, 347.4, 0.13, false),
    (1.0, 1200, 6936, 0.8, 1308.0, 0.48, true),
    (1.0, 1280, 8216, 0.87, 2422.0, 0.57, true),
    (1.0, 1280, 9496, 0.899, 3574.0, 0.67, true),
    (1.0, 1280, 10776, 0.902, 4729.0, 0.69, true),
    (1.0, 1280, 12056, 0.921, 5909.0, 0.7, true),
    (1.0, 744, 12800, 0.918, 6593.0, 0.72, true),
];

/// The microlensing example, which its budget ends.
const MICROLENSING: [Row; 18] = [
    (0.0, 1280, 1280, 2.56e-14, 3.278e-11, 100.0, false),
    (0.0, 600, 1880, 0.0, 0.0, 113.12, false),
    (0.000134, 600, 2480, 5.89e-11, 3.534e-08, 69.4, false),
    (0.000362, 600, 3080, 0.0, 0.0, 107.76, false),
    (0.000978, 600, 3680, 0.0, 0.0, 127.0, false),
    (0.00261, 600, 4280, 0.000111, 0.0, 127.0, false),
    (0.00613, 600, 4880, 4.14e-07, 0.0002481, 47.26, false),
    (0.0166, 600, 5480, 0.000313, 0.1878, 24.44, false),
    (0.0447, 600, 6080, 0.000507, 0.3045, 9.53, false),
    (0.115, 600, 6680, 0.023, 13.82, 4.98, false),
    (0.248, 600, 7280, 0.0542, 32.5, 1.84, false),
    (0.456, 600, 7880, 0.314, 188.3, 0.02, false),
    (1.0, 600, 8480, 0.537, 322.3, 0.09, false),
    (1.0, 1201, 10473, 0.729, 875.5, 0.02, true),
    (1.0, 1280, 11753, 0.794, 1890.0, 0.19, true),
    (1.0, 1280, 13033, 0.847, 2975.0, 0.18, true),
    (1.0, 1280, 14313, 0.856, 4071.0, 0.22, true),
    (1.0, 1047, 15360, 0.866, 4978.0, 0.23, true),
];

/// Three parameters whose posterior lies in a corner of the prior.
const CORNER: [Row; 10] = [
    (0.0, 1280, 1280, 0.000135, 0.1723, 133.15, false),
    (0.0, 600, 1880, 0.00368, 2.242, 176.76, false),
    (0.00104, 600, 2480, 0.00782, 7.443, 13.23, false),
    (0.00545, 600, 3080, 0.0219, 20.54, 4.95, false),
    (0.0286, 600, 3680, 0.0105, 24.19, 2.12, false),
    (0.15, 600, 4280, 0.11, 97.84, 0.35, false),
    (0.739, 600, 4880, 0.473, 401.5, 0.15, false),
    (1.0, 600, 5480, 0.559, 335.2, 0.5, false),
    (1.0, 1200, 7352, 0.675, 1141.0, 0.64, true),
    (1.0, 1280, 8632, 0.817, 2167.0, 0.69, true),
];

/// A regression with eight parameters.
const REGRESSION: [Row; 7] = [
    (0.0, 1280, 1280, 0.00138, 1.762, 7.03, false),
    (0.0, 960, 2240, 0.0176, 17.01, 0.9, false),
    (0.156, 960, 3200, 0.00753, 23.5, 0.85, false),
    (0.327, 960, 4160, 0.0976, 123.5, 0.52, false),
    (0.685, 960, 5120, 0.456, 437.5, 0.02, false),
    (1.0, 960, 6080, 0.665, 1075.0, 0.1, false),
    (1.0, 960, 7184, 0.826, 1854.0, 0.13, true),
];

fn rounds(n_eff: Option<f64>, simulations: Option<u64>) -> Rounds {
    Rounds {
        max: 50,
        simulations: 1280,
        defensive_share: 0.1,
        combine: Combine::Fresh,
        stop: Stop {
            rule: StopRule::Bootstrap,
            n_eff,
            efficiency: None,
            simulations,
            wall_time_s: None,
            top_up: 1280,
        },
    }
}

fn diagnostics(n: u64, n_eff: f64, pareto_k: f64) -> WeightDiagnostics {
    WeightDiagnostics {
        n,
        n_eff,
        efficiency: n_eff / n as f64,
        pareto_k: Some(pareto_k),
        max_weight: 0.0,
        evidence: None,
    }
}

/// After these rounds, each of which took a second to simulate; trainings took two.
fn after(rounds: &Rounds, n_parameters: usize, so_far: &[Came], goes_on: bool) -> Standing {
    let history: Vec<RoundSummary> = (0..)
        .zip(so_far)
        .map(|(i, came)| {
            let n_eff = came.efficiency * came.n_rows as f64;
            let all = diagnostics(came.n_rows, n_eff, came.pareto_k);
            RoundSummary {
                round: RoundId(i),
                kind: RoundKind::Training,
                proposal: match i {
                    0 => Proposal::prior(),
                    _ => Proposal::of(vec![(Component::Flow(FlowId(i - 1)), 1.0)]),
                },
                n_failed: 0,
                n_possible: 1000,
                failed_median: None,
                newest_component: all.clone(),
                all,
                efficiency_error: 0.01,
            }
        })
        .collect();
    let objectives: BTreeMap<FlowId, Objective> = (0..)
        .map(FlowId)
        .zip(so_far.iter().skip(1))
        .map(|(flow, came)| {
            let exponent = came.exponent;
            let objective = match exponent > 0.0 {
                true => Objective::WeightedDraws { exponent },
                false => Objective::Simulations,
            };
            (flow, objective)
        })
        .collect();
    let timings: Vec<RoundTiming> = (0..so_far.len() as u32)
        .map(|round| RoundTiming {
            round,
            simulating_s: 1.0,
            training_s: if round + 1 < so_far.len() as u32 {
                2.0
            } else {
                0.0
            },
        })
        .collect();
    let last = so_far[so_far.len() - 1];
    let past = Past {
        n_parameters,
        refinement: Refinement::Tempered,
        history: &history,
        blind: None,
        objectives: &objectives,
        combined: &diagnostics(last.simulations, last.n_eff, last.pareto_k),
        simulations: last.simulations,
        elapsed_s: 0.0,
    };
    let pace = Pace {
        timings: &timings,
        is_searched: last.is_searched,
    };
    standing(rounds, &past, &pace, goes_on).expect("rounds")
}

/// The range with two digits, outwards, as people see it.
fn as_told((low, high): (u64, u64)) -> (u64, u64) {
    let unit = |n: u64| 10u64.pow(n.max(1).ilog10().saturating_sub(1));
    (
        low / unit(low) * unit(low),
        high.div_ceil(unit(high)) * unit(high),
    )
}

#[test]
fn what_came_was_within_what_was_foretold() {
    let campaigns: [(&[Row], usize, f64, u64); 4] = [
        (&SINE, 3, 6500.0, 12_800),
        (&MICROLENSING, 5, 5500.0, 15_360),
        (&CORNER, 3, 2000.0, 15_000),
        (&REGRESSION, 8, 1500.0, 20_000),
    ];
    for (rows, n_parameters, target, budget) in campaigns {
        let rounds = rounds(Some(target), Some(budget));
        let all = came(rows);
        let last = final_exponent(n_parameters) - 1e-3;
        let n_way = all.iter().filter(|came| came.exponent < last).count() as u32;
        let end = all[all.len() - 1].simulations;
        for n in 1..all.len() {
            let found = after(&rounds, n_parameters, &all[..n], true);
            let told = found.left.expect("goes on");
            let (fewest, most) = as_told(told.simulations);
            let more = end - all[n - 1].simulations;
            assert!(
                (fewest..=most).contains(&more),
                "{n} rounds: {more} more simulations came, foretold were {fewest} to {most}"
            );
            assert_eq!(found.way.is_some(), n as u32 <= n_way, "{n} rounds");
            if let Some(way) = found.way {
                let Way {
                    n_done,
                    n_in_all,
                    is_out_of_reach,
                } = way;
                assert!(!is_out_of_reach, "{n} rounds");
                assert_eq!(n_done, n as u32);
                // One exponent tells little.
                assert!(n_in_all.is_none() || n > 2, "{n} rounds");
                assert!(n_in_all.is_some() || n < 4, "{n} rounds");
                let (fewest, most) = n_in_all.unwrap_or((0, u32::MAX));
                assert!(
                    (fewest..=most).contains(&n_way),
                    "{n} rounds: {n_way} on the way came, foretold were {fewest} to {most}"
                );
            }
        }
    }
}

#[test]
fn a_budget_that_is_too_small_says_how_far_it_goes() {
    let rounds = rounds(Some(5500.0), Some(15_360));
    let all = came(&MICROLENSING);
    let found = after(&rounds, 5, &all[..17], true);
    let left = found.left.expect("goes on");
    assert_eq!(left.simulations, (1047, 1047));
    // 4,978 came.
    let (low, high) = left.n_eff.expect("foreseen");
    assert_eq!((low.round(), high.round()), (4922.0, 5016.0));
}

#[test]
fn a_campaign_that_will_end_on_the_way_is_foreseen() {
    let all = came(&MICROLENSING);
    let is_out_of_reach = |budget| {
        let rounds = rounds(Some(5500.0), Some(budget));
        let found = after(&rounds, 5, &all[..5], true);
        found.way.map(|way| way.is_out_of_reach)
    };
    // Seven more rounds of 600 at the least, where eight came.
    assert_eq!(is_out_of_reach(3680 + 6 * 600), Some(true));
    assert_eq!(is_out_of_reach(3680 + 7 * 600), Some(false));
}

#[test]
fn time_is_told_once_flows_on_draws_were_timed() {
    let rounds = rounds(Some(6500.0), Some(12_800));
    let all = came(&SINE);
    let seconds = |n: usize| {
        let left = after(&rounds, 3, &all[..n], true).left.expect("goes on");
        left.seconds.map(|(low, high)| (low.round(), high.round()))
    };
    // Of the prior, and of the flow fitted to simulations: no training like those to come.
    assert_eq!(seconds(1), None);
    assert_eq!(seconds(2), None);
    // One more round of 744 simulations: 1 s for 1,280, and 0.85 to 1.5 of two seconds.
    assert_eq!(seconds(13), Some((2.0, 4.0)));
    let mut hasty = rounds.clone();
    hasty.stop.wall_time_s = Some(1.5);
    let left = after(&hasty, 3, &all[..13], true).left.expect("goes on");
    assert_eq!(left.seconds, Some((1.5, 1.5)));
}

#[test]
fn a_budget_without_a_target_is_spent_unless_an_efficiency_may_end_it() {
    let so_far = &came(&SINE)[..8];
    let mut rounds = rounds(None, Some(12_800));
    let rest = 12_800 - so_far.last().expect("rounds").simulations;
    let left = |rounds: &Rounds| after(rounds, 3, so_far, true).left.expect("goes on");
    assert_eq!(left(&rounds).simulations, (rest, rest));
    rounds.stop.efficiency = Some(0.9);
    assert_eq!(left(&rounds).simulations, (0, rest));
}

#[test]
fn a_campaign_that_has_stopped_has_nothing_left() {
    let rounds = rounds(Some(6500.0), Some(12_800));
    let found = after(&rounds, 3, &came(&SINE), false);
    assert_eq!((found.left, found.way, found.n_rounds), (None, None, 14));
}

#[test]
fn what_a_campaign_will_take_is_told_before_it_begins() {
    let mut rounds = rounds(Some(6500.0), Some(12_800));
    let found = prospect(&rounds, 3, Refinement::Tempered);
    // 12,800 in 13 trainings came.
    assert_eq!(found.simulations, (8800, 12_800));
    rounds.max = 1;
    let found = prospect(&rounds, 3, Refinement::Tempered);
    assert_eq!(
        found,
        Prospect {
            simulations: (1280, 1280),
            n_on_simulations: (0, 0),
            n_on_draws: (0, 0),
        }
    );
    rounds.max = 4;
    rounds.stop.rule = StopRule::Paper;
    let found = prospect(&rounds, 3, Refinement::Off);
    assert_eq!(
        found,
        Prospect {
            // With extra draws.
            simulations: (1280, 6400),
            n_on_simulations: (1, 3),
            n_on_draws: (0, 0),
        }
    );
}
