//! Lines that people see.

use super::*;
use sidereal_inference::base::{FlowId, RoundId};
use sidereal_inference::method::Way;
use sidereal_inference::weights::{Evidence, Objective, Proposal, WeightDiagnostics};

#[test]
fn rates_count_only_what_this_run_has_done() {
    let seconds = Duration::from_secs(2);
    assert_eq!(rate(500, 1000, seconds, 0), "250/s  4.0 s left");
    assert_eq!(rate(500, 0, seconds, 3), "250/s  0.0 s left  3 failed");
    assert_eq!(rate(0, 1000, Duration::ZERO, 3), "3 failed");
}

fn summary(kind: RoundKind, n_failed: u64) -> RoundSummary {
    let all = WeightDiagnostics {
        n: 1280,
        n_eff: 1024.0,
        efficiency: 0.8,
        pareto_k: Some(0.2),
        max_weight: 0.0,
        evidence: Some(Evidence {
            log_evidence: 0.0,
            error: 0.1,
        }),
    };
    RoundSummary {
        round: RoundId(13),
        kind,
        proposal: Proposal::prior(),
        n_failed,
        n_possible: 1000,
        failed_median: None,
        newest_component: all.clone(),
        all,
        efficiency_error: 0.01,
    }
}

#[test]
fn a_round_is_one_line() {
    let mut standing = Standing {
        n_eff: 1830.0,
        pareto_k: None,
        target: Some(6500.0),
        simulations: 6936,
        budget: Some(12_800),
        n_rounds: 8,
        max_rounds: 50,
        way: None,
        left: None,
    };
    let training = summary(RoundKind::Training, 0);
    assert_eq!(
        round_line(&training, Some(&standing)),
        "round 13  n_eff 1,830 of 6,500  (efficiency 80.0 %)"
    );
    assert_eq!(
        round_line(&summary(RoundKind::TopUp, 3), None),
        "round 13 (extra draws)  1,280 simulations  (efficiency 80.0 %, 3 of 1,280 simulations failed)"
    );
    let mut unlikely = training.clone();
    unlikely.n_possible = 17;
    assert_eq!(
        round_line(&unlikely, Some(&standing)),
        "round 13  n_eff 1,830 of 6,500  (efficiency 80.0 %, 17 of 1,280 draws of the prior have a likelihood above \
         zero)"
    );
    standing.way = Some(Way {
        n_done: 8,
        n_in_all: None,
        is_out_of_reach: false,
    });
    assert_eq!(
        round_line(&training, Some(&standing)),
        "round 13  finding the posterior: 8 rounds"
    );
}

#[test]
fn searches_and_trainings_are_told_where_they_matter() {
    let mut searches = Searches {
        n_rounds: 1,
        n_simulations: 48,
        n_found: 0,
    };
    assert_eq!(
        searches_line(searches),
        "searched for modes that the proposal may have lost (1 short round, 48 simulations): found none"
    );
    searches.n_rounds = 7;
    searches.n_found = 1;
    assert_eq!(
        searches_line(searches),
        "searched for modes that the proposal may have lost (7 short rounds, 48 simulations): found one, which is \
         taken in: n_eff may fall"
    );
    let mut training = TrainingSummary {
        flow: FlowId(3),
        objective: Objective::Simulations,
        n_rows: 1280,
        n_epochs: 97,
        best_epoch: 67,
        best_validation_loss: 0.0,
        training_loss: Vec::new(),
        validation_loss: Vec::new(),
        n_recoveries: 0,
        weights_sha256: String::new(),
    };
    assert_eq!(training_line(&training, 9.0), None);
    assert_eq!(
        training_line(&training, 12.0).as_deref(),
        Some("learned from round 3 in 12 s (97 passes)")
    );
    training.n_recoveries = 2;
    assert_eq!(
        training_line(&training, 2.0).as_deref(),
        Some("learned from round 3 in 2.0 s (97 passes, diverged and went back 2 times)")
    );
}
