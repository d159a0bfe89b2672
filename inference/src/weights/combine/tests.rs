//! Combined weights against closed forms.

use super::*;
use crate::base::{FlowId, LocalId, RoundId, log_sum_exp};
use crate::weights::proposal::{Component, Proposal};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;

const FLOW: FlowId = FlowId(0);

fn log_normal_density(x: f64, mean: f64, sd: f64) -> f64 {
    crate::base::normal::log_density((x - mean) / sd) - sd.ln()
}

fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    crate::base::normal::quantile_of_log(rng.random::<f64>().max(1e-300).ln())
}

/// Prior N(0, 3), likelihood N(x; 1, 0.5), flow N(1.2, 0.7); round 1 has a fifth of prior draws.
fn toy_rounds(n: usize, seed: u64) -> (Vec<RoundColumns>, Vec<Vec<f64>>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let proposals = [
        Proposal::prior(),
        Proposal::of(vec![(Component::Flow(FLOW), 0.8), (Component::Prior, 0.2)]),
    ];
    let mut rounds = Vec::new();
    let mut draws = Vec::new();
    for (index, proposal) in proposals.into_iter().enumerate() {
        let component: Vec<Component> = (0..n).map(|_| proposal.pick(rng.random())).collect();
        let x: Vec<f64> = component
            .iter()
            .map(|component| match component {
                Component::Prior => 3.0 * standard_normal(&mut rng),
                Component::Flow(_) | Component::Local(_) => 1.2 + 0.7 * standard_normal(&mut rng),
            })
            .collect();
        let log_prior: Vec<f64> = x.iter().map(|&x| log_normal_density(x, 0.0, 3.0)).collect();
        let log_flow: Vec<f64> = x.iter().map(|&x| log_normal_density(x, 1.2, 0.7)).collect();
        let log_proposal = (0..n)
            .map(|i| {
                proposal.log_density(|component| match component {
                    Component::Prior => log_prior[i],
                    Component::Flow(_) | Component::Local(_) => log_flow[i],
                })
            })
            .collect();
        rounds.push(RoundColumns {
            round: RoundId(index as u32),
            proposal,
            log_likelihood: x
                .iter()
                .map(|&x| Some(log_normal_density(x, 1.0, 0.5)))
                .collect(),
            log_prior,
            log_proposal,
            component,
            log_flow: BTreeMap::from([(FLOW, log_flow)]),
            z: Vec::new(),
        });
        draws.push(x);
    }
    (rounds, draws)
}

/// Two rows from the prior, one from the flow, with round numbers.
fn small_rounds() -> Vec<RoundColumns> {
    vec![
        RoundColumns {
            round: RoundId(0),
            proposal: Proposal::prior(),
            log_likelihood: vec![Some(2f64.ln()), None],
            log_prior: vec![0.0, 0.0],
            log_proposal: vec![0.0, 0.0],
            component: vec![Component::Prior; 2],
            log_flow: BTreeMap::from([(FLOW, vec![4f64.ln(), 1f64.ln()])]),
            z: Vec::new(),
        },
        RoundColumns {
            round: RoundId(1),
            proposal: Proposal::of(vec![(Component::Flow(FLOW), 1.0)]),
            log_likelihood: vec![Some(6f64.ln())],
            log_prior: vec![0.0],
            log_proposal: vec![7f64.ln()],
            component: vec![Component::Flow(FlowId(0))],
            log_flow: BTreeMap::from([(FLOW, vec![7f64.ln()])]),
            z: Vec::new(),
        },
    ]
}

#[track_caller]
fn assert_all_near(found: &[Vec<f64>], expected: &[&[f64]]) {
    assert_eq!(
        found.iter().map(Vec::len).collect::<Vec<_>>(),
        expected.iter().map(|e| e.len()).collect::<Vec<_>>()
    );
    for (found, expected) in found
        .iter()
        .flatten()
        .zip(expected.iter().copied().flatten())
    {
        assert!(
            (found - expected).abs() < 1e-14,
            "{found} is not {expected}"
        );
    }
}

#[test]
fn mixture_divides_every_row_by_all_rounds_proposals() {
    let combined = combine(&small_rounds(), Combine::Mixture).expect("complete columns");
    // (2·1 + 1·4)/3 = 2, (2·1 + 1·1)/3 = 1, (2·1 + 1·7)/3 = 3: weights 1, 0, 2.
    let logs = |values: [f64; 3]| values.map(f64::ln);
    let (denominators, weights) = (logs([2.0, 1.0, 3.0]), [1.0 / 3.0, 0.0, 2.0 / 3.0]);
    assert_all_near(
        &combined.log_denominator,
        &[&denominators[..2], &denominators[2..]],
    );
    assert_all_near(&combined.normalized, &[&weights[..2], &weights[2..]]);
    assert_eq!(combined.log_weights[0][1], f64::NEG_INFINITY);
    // Z = 1; strata 0 (weights 1, 0: n var = 1) and 1 (a single row: its weight squared).
    let own = combine_as_mixture(&small_rounds()).expect("complete columns");
    let evidence = own.evidence.expect("evidence");
    assert!(evidence.log_evidence.abs() < 1e-14);
    assert!((evidence.error - 5f64.sqrt() / 3.0).abs() < 1e-14);
    let diagnostics = combined.diagnostics();
    assert_eq!(
        (diagnostics.n, diagnostics.evidence),
        (3, combined.evidence)
    );
    assert!((diagnostics.n_eff - 0.8).abs() < 1e-14);
    assert!((diagnostics.max_weight - 2.0 / 3.0).abs() < 1e-14);
}

#[test]
fn mixture_recovers_posterior_and_evidence_of_a_conjugate_model() {
    // Posterior precision 1/9 + 4; Z = N(1; 0, sqrt(9.25)).
    let (mean, log_z) = (
        4.0 / (4.0 + 1.0 / 9.0),
        log_normal_density(1.0, 0.0, 9.25f64.sqrt()),
    );
    for how in [Combine::Fresh, Combine::Mixture, Combine::PerRound] {
        let (rounds, draws) = toy_rounds(20_000, 5);
        let combined = combine(&rounds, how).expect("complete columns");
        let total: f64 = combined.normalized.iter().flatten().sum();
        assert!((total - 1.0).abs() < 1e-12);
        let found: f64 = combined
            .normalized
            .iter()
            .flatten()
            .zip(draws.iter().flatten())
            .map(|(weight, x)| weight * x)
            .sum();
        let diagnostics = combined.diagnostics();
        assert!(
            (found - mean).abs() < 4.0 * 0.493 / diagnostics.n_eff.sqrt(),
            "{how:?}: {found}"
        );
        let evidence = combined.evidence.expect("evidence");
        assert!(
            (evidence.log_evidence - log_z).abs() < 4.0 * evidence.error,
            "{how:?}: {evidence:?}"
        );
        assert!(evidence.error < 0.01, "{how:?}: {evidence:?}");
        assert!(
            diagnostics.pareto_k.is_some_and(|k| k < 0.5),
            "{how:?}: {diagnostics:?}"
        );
    }
}

#[test]
fn evidence_error_is_the_spread_over_repetitions() {
    let runs: Vec<Evidence> = (0..200)
        .map(|seed| {
            let (rounds, _) = toy_rounds(200, seed);
            combine(&rounds, Combine::Mixture)
                .expect("complete columns")
                .evidence
                .expect("evidence")
        })
        .collect();
    let mean = runs.iter().map(|run| run.log_evidence).sum::<f64>() / 200.0;
    let sd = (runs
        .iter()
        .map(|run| (run.log_evidence - mean).powi(2))
        .sum::<f64>()
        / 199.0)
        .sqrt();
    let stated = runs.iter().map(|run| run.error).sum::<f64>() / 200.0;
    assert!((stated / sd - 1.0).abs() < 0.2, "{stated} {sd}");
}

#[test]
fn per_round_weights_share_by_n_eff() {
    let logs = |weights: &[f64]| {
        weights
            .iter()
            .map(|weight| Some(weight.ln()))
            .collect::<Vec<_>>()
    };
    let round = |index, log_likelihood: Vec<Option<f64>>| RoundColumns {
        round: RoundId(index),
        proposal: Proposal::prior(),
        log_prior: vec![0.0; log_likelihood.len()],
        log_proposal: vec![0.0; log_likelihood.len()],
        component: vec![Component::Prior; log_likelihood.len()],
        log_flow: BTreeMap::new(),
        z: Vec::new(),
        log_likelihood,
    };
    // n_eff 1 and 3; Z 2 and 4.
    let rounds = [round(0, logs(&[2.0, 2.0])), round(1, logs(&[4.0; 4]))];
    let combined = combine(&rounds, Combine::PerRound).expect("complete columns");
    assert_all_near(&combined.normalized, &[&[0.125; 2], &[0.1875; 4]]);
    assert_all_near(&combined.log_denominator, &[&[0.0; 2], &[0.0; 4]]);
    // That of fresh draws: shares of 2 and 4.
    let evidence = combined.evidence.expect("evidence");
    assert!((evidence.log_evidence - (10f64 / 3.0).ln()).abs() < 1e-12);
    // One positive weight in all: n_eff is 0, the weight is all there is.
    let single = combine(
        &[round(0, vec![None; 2]), round(1, logs(&[3.0, 0.0]))],
        Combine::PerRound,
    );
    assert_all_near(
        &single.expect("complete columns").normalized,
        &[&[0.0; 2], &[1.0, 0.0]],
    );
    // Draws of searches weigh nothing: they know some places only.
    let id = LocalId(0);
    let density = crate::weights::local::LocalDensity {
        seams: vec![0.0],
        leans: Vec::new(),
        mean: vec![0.0],
        factor: vec![1.0],
    };
    let search = RoundColumns {
        proposal: Proposal::of_locals(BTreeMap::from([(id, density)])),
        component: vec![Component::Local(id); 6],
        ..round(2, logs(&[5.0; 6]))
    };
    let with_search = [rounds[0].clone(), rounds[1].clone(), search].map(|round| RoundColumns {
        z: vec![0.5; round.log_prior.len()],
        ..round
    });
    let with_search = combine(&with_search, Combine::PerRound).expect("complete columns");
    assert_all_near(
        &with_search.normalized,
        &[&[0.125; 2], &[0.1875; 4], &[0.0; 6]],
    );
    let none = combine(&[round(0, vec![None; 2])], Combine::PerRound).expect("complete columns");
    assert_eq!((none.evidence, none.normalized), (None, vec![vec![0.0; 2]]));
}

#[test]
fn mixture_of_one_round_is_that_round() {
    let (rounds, _) = toy_rounds(100, 2);
    let last = &rounds[1..];
    let combined = combine(last, Combine::Mixture).expect("complete columns");
    assert_all_near(&combined.log_denominator, &[&last[0].log_proposal]);
    assert_eq!(
        combined.evidence,
        super::super::diagnostics(&round_log_weights(&last[0])).evidence
    );
    let total = log_sum_exp(combined.log_weights[0].iter().copied());
    assert!(
        (total - 100f64.ln() - combined.evidence.expect("evidence").log_evidence).abs() < 1e-12
    );
}
