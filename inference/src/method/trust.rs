//! How far a finished campaign's result is to be trusted, in words with numbers.

use super::coverage::MissingMass;
use super::fit_check::{Fit, LargestResidual, MAX_P_OF_MISFIT, Verdict};
use super::probing::{Outcome, Probing};
use crate::campaign::Misfit;
use crate::weights::{Evidence, MAX_PARETO_K, MIN_N_EFF, RoundSummary, WeightDiagnostics};

/// Largest share of failed rows in the final round.
const MAX_FAILED: f64 = 0.01;

/// Combined standard errors by which the two evidences may differ.
const MAX_EVIDENCE_ERRORS: f64 = 3.0;

/// Largest share of the posterior that the final proposal may leave out.
const MAX_MISSING_MASS: f64 = 0.05;

/// Largest share of the posterior that the last searches for lost modes may have found: where there was one such place, there
/// may be another.
const MAX_FOUND_LAST: f64 = 0.01;

/// Reasons not to trust the result; empty where there are none.
///
/// `combined` are the weights of all rounds, `fresh` those of the final round alone, whose draws no
/// flow in its proposal was fitted to, and `missing` is what the final proposal leaves out; `searches` is the last session of
/// them. `tempered` is the exponent
/// of the last flow, where it is none of the last ones: the campaign was cut short.
pub fn trust(
    combined: &WeightDiagnostics,
    fresh: &WeightDiagnostics,
    final_round: &RoundSummary,
    missing: &MissingMass,
    searches: Option<&Probing>,
    tempered: Option<f64>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(exponent) = tempered {
        warnings.push(format!(
            "the campaign ended before it had found the posterior, and needs more simulations or rounds: its last flow \
             was fitted to draws weighted by likelihood^{exponent:.2e}"
        ));
    }
    if let Some(k) = combined.pareto_k.filter(|&k| k > MAX_PARETO_K) {
        warnings.push(format!(
            "k-hat of all weights is {k:.2}, above {MAX_PARETO_K}: a few draws carry the result"
        ));
    }
    for (which, diagnostics) in [
        ("all rounds combined", combined),
        ("the final proposal's draws alone", fresh),
    ] {
        warnings.extend(few_effective(&format!("n_eff of {which}"), diagnostics));
    }
    match (combined.evidence, fresh.evidence) {
        (Some(all), Some(alone)) => warnings.extend(evidences_differ(all, alone)),
        (Some(_), None) => {
            warnings.push("no draw of the final round has a positive weight".to_owned())
        }
        (None, _) => warnings.push("no draw has a positive weight".to_owned()),
    }
    warnings.extend(lost_modes(missing));
    warnings.extend(searches.and_then(open_searches));
    let which = "simulations of the final round";
    warnings.extend(many_failed(final_round.n_failed, final_round.all.n, which));
    warnings
}

/// As [`trust`], for one observation weighed with the draws of one flow.
pub fn trust_prediction(weights: &WeightDiagnostics, n_failed: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    match weights.pareto_k {
        Some(k) if k > MAX_PARETO_K => {
            warnings.push(format!("k-hat is {k:.2}, above {MAX_PARETO_K}: a few draws carry the result"))
        }
        Some(_) => {}
        None => warnings.push("too few weights are positive for a k-hat, which tells whether a few draws carry the result".to_owned()),
    }
    warnings.extend(few_effective("n_eff", weights));
    warnings.extend(many_failed(n_failed, weights.n, "simulations"));
    warnings
}

fn few_effective(what: &str, weights: &WeightDiagnostics) -> Option<String> {
    let WeightDiagnostics { n, n_eff, .. } = weights;
    (*n_eff < MIN_N_EFF)
        .then(|| format!("{what} is {n_eff:.1} from {n} simulations, below {MIN_N_EFF}"))
}

fn many_failed(n_failed: u64, n: u64, which: &str) -> Option<String> {
    (n_failed as f64 > MAX_FAILED * n as f64).then(|| {
        format!(
            "{n_failed} of {n} {which} failed ({:.1} %, above {:.0} %): the evidence is a lower bound",
            100.0 * n_failed as f64 / n as f64,
            100.0 * MAX_FAILED
        )
    })
}

/// The warning of a model that does not fit, where the campaign lets that count.
pub fn misfit(fit: &Fit, rule: Misfit) -> Option<String> {
    let check = match (fit, rule) {
        (Fit::Checked(check), Misfit::Fail) => check,
        (Fit::NotChecked { .. }, _) | (Fit::Checked(_), Misfit::Warn) => return None,
    };
    match check.verdict() {
        Verdict::Fits | Verdict::Doubtful => return None,
        Verdict::Misfit => {}
    }
    let largest = check.largest_residual.as_ref();
    let largest = largest.map_or(String::new(), |largest| {
        let LargestResidual { residual, grid, .. } = largest;
        format!(", the largest residual {residual:.1} sigma at {grid}")
    });
    Some(format!(
        "the model does not fit the data: the smallest chi-square is {:.1} for {} data and {:.1} effective \
         parameters{largest}; p is {:.1e}, below {MAX_P_OF_MISFIT:e}",
        check.chi_square, check.n_data, check.effective_parameters, check.p
    ))
}

fn lost_modes(missing: &MissingMass) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(mass) = missing.mass.filter(|&mass| mass > MAX_MISSING_MASS) {
        warnings.push(format!(
            "{:.1} % of the posterior mass lies where the final proposal is under 1 % of the posterior, above \
             {:.0} %: it has lost a part of the posterior",
            100.0 * mass,
            100.0 * MAX_MISSING_MASS
        ));
    }
    // A later flow may have covered the place since: the rows found there say so.
    let may_be_missing = missing.mass.is_none_or(|mass| mass > MAX_MISSING_MASS);
    for outcome in &missing.outcomes {
        match *outcome {
            Outcome::GivenUp { share } if may_be_missing && share > MAX_MISSING_MASS => warnings.push(format!(
                "a search for lost modes was given up at a place that holds {:.0} % of the posterior mass, above {:.0} %",
                100.0 * share,
                100.0 * MAX_MISSING_MASS
            )),
            Outcome::GivenUp { .. }
            | Outcome::Found { .. }
            | Outcome::Known
            | Outcome::Merged
            | Outcome::Negligible => {}
        }
    }
    warnings
}

/// Why the last session of searches for lost modes, if it is the last, had not come to an end.
pub fn open_searches(last: &Probing) -> Option<String> {
    if let Some(share) = last
        .largest_given_up()
        .filter(|&share| share > MAX_MISSING_MASS)
    {
        return Some(format!(
            "the last searches for lost modes ended at a place with {:.0} % of the posterior before it was known, and there were \
             none after them: it may be missing",
            100.0 * share
        ));
    }
    let largest = last
        .largest_found()
        .filter(|&share| share > MAX_FOUND_LAST)?;
    Some(format!(
        "the last searches for lost modes found a place with {:.0} % of the posterior, and there were none after them: there \
         may be more",
        100.0 * largest
    ))
}

fn evidences_differ(all: Evidence, alone: Evidence) -> Option<String> {
    let difference = (all.log_evidence - alone.log_evidence).abs();
    let error = all.error.hypot(alone.error);
    (difference > MAX_EVIDENCE_ERRORS * error).then(|| {
        format!(
            "log evidence is {:.3} ± {:.3} from all rounds but {:.3} ± {:.3} from the final proposal's draws alone: \
             they differ by {:.1} combined standard errors, above {MAX_EVIDENCE_ERRORS}",
            all.log_evidence,
            all.error,
            alone.log_evidence,
            alone.error,
            difference / error
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FlowId, RoundId};
    use crate::method::fit_check::{FitCheck, LargestResidual};
    use crate::weights::{Proposal, RoundKind};
    use std::collections::BTreeMap;

    fn diagnostics(n_eff: f64, pareto_k: f64, log_evidence: f64, error: f64) -> WeightDiagnostics {
        WeightDiagnostics {
            n: 1000,
            n_eff,
            efficiency: n_eff / 1000.0,
            pareto_k: Some(pareto_k),
            max_weight: 0.01,
            evidence: Some(Evidence {
                log_evidence,
                error,
            }),
        }
    }

    fn final_round(all: &WeightDiagnostics, n_failed: u64) -> RoundSummary {
        RoundSummary {
            round: RoundId(3),
            kind: RoundKind::TopUp,
            proposal: Proposal::prior(),
            n_failed,
            n_possible: 1000,
            failed_median: None,
            all: all.clone(),
            newest_component: all.clone(),
            efficiency_error: 0.01,
        }
    }

    fn nothing_missing() -> MissingMass {
        MissingMass {
            flow: Some(FlowId(7)),
            mass: Some(0.05),
            n_prior_draws: 1000,
            prior_volume: Some(0.003),
            probing_simulations: 100,
            outcomes: vec![
                Outcome::Known,
                Outcome::Negligible,
                Outcome::Found { share: 0.5 },
                Outcome::GivenUp { share: 0.3 },
            ],
        }
    }

    #[test]
    fn misfit_is_said_unless_it_may_be() {
        let check = FitCheck {
            n_data: 9,
            chi_square: 198.26,
            mean_chi_square: 201.1,
            effective_parameters: 2.84,
            degrees_of_freedom: 6.16,
            p_chi_square: 0.9e-40,
            largest_residual: Some(LargestResidual {
                datum: 4,
                grid: 0.25,
                residual: -13.04,
                p: 1e-37,
            }),
            runs: None,
            p: 1.2e-40,
        };
        let fit = |p| Fit::Checked(FitCheck { p, ..check.clone() });
        assert_eq!(
            misfit(&fit(1.2e-40), Misfit::Fail).as_deref(),
            Some(
                "the model does not fit the data: the smallest chi-square is 198.3 for 9 data and 2.8 effective \
                 parameters, the largest residual -13.0 sigma at 0.25; p is 1.2e-40, below 1e-6"
            )
        );
        assert_eq!(misfit(&fit(1.2e-40), Misfit::Warn), None);
        assert_eq!(misfit(&fit(1e-6), Misfit::Fail), None);
        let reason = "no draw has a positive weight".to_owned();
        assert_eq!(misfit(&Fit::NotChecked { reason }, Misfit::Fail), None);
    }

    #[test]
    fn lost_modes_are_said() {
        let fresh = diagnostics(500.0, 0.1, 10.0, 0.01);
        let missing = MissingMass {
            mass: Some(0.481),
            outcomes: vec![Outcome::GivenUp { share: 0.3 }],
            ..nothing_missing()
        };
        assert_eq!(
            trust(
                &fresh,
                &fresh,
                &final_round(&fresh, 0),
                &missing,
                None,
                None
            ),
            [
                "48.1 % of the posterior mass lies where the final proposal is under 1 % of the posterior, above \
                 5 %: it has lost a part of the posterior",
                "a search for lost modes was given up at a place that holds 30 % of the posterior mass, above 5 %",
            ]
        );
    }

    #[test]
    fn results_at_the_limits_are_trusted() {
        let (combined, fresh) = (
            diagnostics(100.0, 0.7, 10.0, 0.75),
            diagnostics(100.0, 0.9, 13.75, 1.0),
        );
        assert_eq!(
            trust(
                &combined,
                &fresh,
                &final_round(&fresh, 10),
                &nothing_missing(),
                None,
                None
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_reason_is_given_with_its_numbers() {
        let (combined, fresh) = (
            diagnostics(99.94, 0.71, 10.0, 0.03),
            diagnostics(12.0, 0.2, 10.5, 0.04),
        );
        assert_eq!(
            trust(
                &combined,
                &fresh,
                &final_round(&fresh, 11),
                &nothing_missing(),
                None,
                Some(0.0312)
            ),
            [
                "the campaign ended before it had found the posterior, and needs more simulations or rounds: its last \
                 flow was fitted to draws weighted by likelihood^3.12e-2",
                "k-hat of all weights is 0.71, above 0.7: a few draws carry the result",
                "n_eff of all rounds combined is 99.9 from 1000 simulations, below 100",
                "n_eff of the final proposal's draws alone is 12.0 from 1000 simulations, below 100",
                "log evidence is 10.000 ± 0.030 from all rounds but 10.500 ± 0.040 from the final proposal's draws alone: \
                 they differ by 10.0 combined standard errors, above 3",
                "11 of 1000 simulations of the final round failed (1.1 %, above 1 %): the evidence is a lower bound",
            ]
        );
    }

    #[test]
    fn searches_that_still_found_something_are_not_the_last_ones() {
        let good = diagnostics(500.0, 0.1, 0.0, 0.1);
        let warnings = |outcomes: Vec<Outcome>| {
            let last = Probing {
                scan: BTreeMap::new(),
                session: 2,
                flow: FlowId(7),
                searches: BTreeMap::new(),
                outcomes,
                found: BTreeMap::new(),
            };
            let round = final_round(&good, 0);
            trust(&good, &good, &round, &nothing_missing(), Some(&last), None)
        };
        let found = |share| Outcome::Found { share };
        assert_eq!(
            warnings(vec![found(0.03), Outcome::Known, found(0.076)]),
            [
                "the last searches for lost modes found a place with 8 % of the posterior, and there were none after them: there may be more"
            ]
        );
        assert_eq!(
            warnings(vec![found(0.01), Outcome::Known]),
            Vec::<String>::new()
        );
        // One that was given up where much lies has not come to an end either.
        let given_up = |share| Outcome::GivenUp { share };
        assert_eq!(
            warnings(vec![given_up(0.228), Outcome::Known, given_up(0.0)]),
            [
                "the last searches for lost modes ended at a place with 23 % of the posterior before it was known, and there were \
                 none after them: it may be missing"
            ]
        );
        assert_eq!(warnings(vec![given_up(0.04)]), Vec::<String>::new());
    }

    #[test]
    fn predictions_are_held_to_the_same_limits() {
        assert_eq!(
            trust_prediction(&diagnostics(100.0, 0.7, 0.0, 0.1), 10),
            Vec::<String>::new()
        );
        let nothing = WeightDiagnostics {
            pareto_k: None,
            ..diagnostics(61.44, 0.0, 0.0, 0.1)
        };
        assert_eq!(
            trust_prediction(&nothing, 11),
            [
                "too few weights are positive for a k-hat, which tells whether a few draws carry the result",
                "n_eff is 61.4 from 1000 simulations, below 100",
                "11 of 1000 simulations failed (1.1 %, above 1 %): the evidence is a lower bound",
            ]
        );
        assert_eq!(
            trust_prediction(&diagnostics(500.0, 0.91, 0.0, 0.1), 0),
            ["k-hat is 0.91, above 0.7: a few draws carry the result"]
        );
    }

    #[test]
    fn no_weight_at_all_is_said() {
        let nothing = WeightDiagnostics {
            evidence: None,
            pareto_k: None,
            ..diagnostics(0.0, 0.0, 0.0, 0.0)
        };
        let combined = diagnostics(500.0, 0.1, 0.0, 0.1);
        let last = |fresh| {
            trust(
                &combined,
                fresh,
                &final_round(fresh, 0),
                &nothing_missing(),
                None,
                None,
            )
            .pop()
        };
        assert_eq!(
            last(&nothing).as_deref(),
            Some("no draw of the final round has a positive weight")
        );
        let all = trust(
            &nothing,
            &nothing,
            &final_round(&nothing, 0),
            &nothing_missing(),
            None,
            None,
        )
        .pop();
        assert_eq!(all.as_deref(), Some("no draw has a positive weight"));
    }
}
