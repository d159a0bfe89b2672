//! Fresh weights against closed forms, and against the mixture's where proposals are fitted to the draws.

use super::super::columns::log_density_under;
use super::*;
use crate::base::{FlowId, RoundId, log_sum_exp};
use crate::campaign::Combine;
use crate::weights::combine::combine;
use crate::weights::proposal::{Component, Proposal};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;

const FLOW: FlowId = FlowId(0);

/// A round of `n` draws of the prior or of the flow, all of weight `w`.
fn round_of_weight(index: u32, component: Component, n: usize, w: f64) -> RoundColumns {
    RoundColumns {
        round: RoundId(index),
        proposal: Proposal::of(vec![(component, 1.0)]),
        log_likelihood: vec![Some(w.ln()); n],
        log_prior: vec![0.0; n],
        log_proposal: vec![0.0; n],
        component: vec![component; n],
        log_flow: BTreeMap::from([(FLOW, vec![0.0; n])]),
        z: Vec::new(),
    }
}

#[test]
fn halves_have_shares_by_the_efficiency_of_the_other_half() {
    let flow = Component::Flow(FLOW);
    let mut second = round_of_weight(1, flow, 300, 6.0);
    // Of the 150 even rows 19 weigh nothing: the odd ones count for 131.
    for i in (0..300).step_by(16) {
        second.log_likelihood[i] = None;
    }
    let rounds = [round_of_weight(0, Component::Prior, 200, 2.0), second];
    let found = combine(&rounds, Combine::Fresh).expect("complete columns");
    let evidence: f64 = (200.0 * 2.0 + 131.0 * 6.0 + 131.0 * 6.0) / 481.0;
    let log_evidence = found.evidence.expect("evidence").log_evidence;
    assert!(
        (log_evidence - evidence.ln()).abs() < 1e-12,
        "{log_evidence}"
    );
    // The mean of all weights is the evidence, and what is normalized follows from the same columns.
    let mean = log_sum_exp(found.log_weights.iter().flatten().copied()) - 500f64.ln();
    assert!((mean - evidence.ln()).abs() < 1e-12, "{mean}");
    assert_eq!(found.normalized[1][0], 0.0);
    let [first, even, odd] = [
        found.normalized[0][0],
        found.normalized[1][2],
        found.normalized[1][1],
    ];
    assert!((even / first - 3.0).abs() < 1e-12 && (odd / first - 2.62).abs() < 1e-12);

    // One round alone, with or without searches, is what it is.
    let alone = [round_of_weight(0, Component::Prior, 200, 2.0)];
    let fresh = combine(&alone, Combine::Fresh).expect("complete columns");
    for weight in &fresh.normalized[0] {
        assert!((weight - 1.0 / 200.0).abs() < 1e-15);
    }
    let evidence = fresh.evidence.expect("evidence").log_evidence;
    assert!((evidence - 2f64.ln()).abs() < 1e-12);
}

#[test]
fn rounds_whose_proposal_has_lost_a_part_do_not_count() {
    let flow = Component::Flow(FLOW);
    let mut rounds = [
        round_of_weight(0, Component::Prior, 200, 2.0),
        round_of_weight(1, flow, 300, 3.0),
        round_of_weight(2, flow, 300, 3.0),
    ];
    // Density of the flow a thousandth of the posterior's at a fifth of the mass.
    for round in &mut rounds {
        let column = round.log_flow.get_mut(&FLOW).expect("scored");
        column.iter_mut().step_by(5).for_each(|q| *q = -7.0);
    }
    let mixture = combine(&rounds, Combine::Mixture).expect("complete columns");
    let only_prior = vec![[0.5; 2], [0.0; 2], [0.0; 2]];
    assert_eq!(shares(&rounds, &mixture), Ok(Some(only_prior)));
    // Where all have lost a part, those count that have lost the least.
    let lost = &rounds[1..];
    let mixture = combine(lost, Combine::Mixture).expect("complete columns");
    assert_eq!(shares(lost, &mixture), Ok(Some(vec![[0.25; 2]; 2])));
    // As long as it was drawn from another flow, which has lost nothing, the second one counts.
    let other = FlowId(1);
    rounds[1].proposal = Proposal::of(vec![(Component::Flow(other), 1.0)]);
    for round in &mut rounds {
        let n = round.log_prior.len();
        round.log_flow.insert(other, vec![0.0; n]);
    }
    let mixture = combine(&rounds, Combine::Mixture).expect("complete columns");
    let shares = shares(&rounds, &mixture)
        .expect("scored")
        .expect("two rounds");
    let expected = [[0.2, 0.2], [0.3, 0.3], [0.0, 0.0]];
    for (found, expected) in shares.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-12, "{shares:?}");
    }
}

/// Prior N(0, 1), log L = -(x - 1)² / (2 · 0.3²): Z = 0.3 / √1.09 · exp(-1 / 2.18).
const SD: f64 = 0.3;

fn log_likelihood(x: f64) -> f64 {
    -0.5 * ((x - 1.0) / SD).powi(2)
}

fn log_evidence() -> f64 {
    (SD / 1.09f64.sqrt()).ln() - 1.0 / 2.18
}

fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    crate::base::normal::quantile_of_log(rng.random::<f64>().max(1e-300).ln())
}

/// Flows of narrow kernels at 40 draws taken by weight: of the rounds before where `is_fitted`, else of draws that
/// have nothing to do with them. Returns the log mean weight and the mean of x for each way to combine.
fn adaptive_campaign(seed: u64, is_fitted: bool) -> [(f64, f64); 2] {
    const N: usize = 300;
    const WIDTH: f64 = 0.03;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut flows: Vec<Vec<f64>> = Vec::new();
    let mut x: Vec<Vec<f64>> = Vec::new();
    let mut rounds: Vec<RoundColumns> = Vec::new();
    let log_flow = |kernels: &[f64], x: f64| {
        let kernel =
            |centre: &f64| crate::base::normal::log_density((x - centre) / WIDTH) - WIDTH.ln();
        log_sum_exp(kernels.iter().map(kernel)) - (kernels.len() as f64).ln()
    };
    for round in 0..6u32 {
        let proposal = match flows.len() {
            0 => Proposal::prior(),
            n => Proposal::of(vec![
                (Component::Flow(FlowId(n as u32 - 1)), 0.8),
                (Component::Prior, 0.2),
            ]),
        };
        let mut own = Vec::new();
        let mut component = Vec::new();
        for _ in 0..N {
            let picked = proposal.pick(rng.random());
            component.push(picked);
            own.push(match (picked, flows.last()) {
                (Component::Flow(_), Some(kernels)) => {
                    let centre = kernels[rng.random_range(0..kernels.len())];
                    centre + WIDTH * standard_normal(&mut rng)
                }
                _ => standard_normal(&mut rng),
            });
        }
        x.push(own);
        rounds.push(RoundColumns {
            round: RoundId(round),
            proposal,
            log_likelihood: x[round as usize]
                .iter()
                .map(|&x| Some(log_likelihood(x)))
                .collect(),
            log_prior: x[round as usize]
                .iter()
                .map(|&x| crate::base::normal::log_density(x))
                .collect(),
            log_proposal: vec![0.0; N],
            component,
            log_flow: BTreeMap::new(),
            z: Vec::new(),
        });
        for (columns, x) in rounds.iter_mut().zip(&x) {
            for (flow, kernels) in flows.iter().enumerate() {
                let column = x.iter().map(|&x| log_flow(kernels, x)).collect();
                columns.log_flow.insert(FlowId(flow as u32), column);
            }
            columns.log_proposal = log_density_under(columns, &columns.proposal).expect("scored");
        }
        let mixture = combine(&rounds, Combine::Mixture).expect("complete columns");
        let weight: Vec<f64> = mixture.normalized.concat();
        let drawn: Vec<f64> = x.concat();
        let fitted = (0..40).map(|_| {
            let mut left: f64 = rng.random();
            let picked = weight.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            drawn[picked.unwrap_or(0)]
        });
        let fitted: Vec<f64> = fitted.collect();
        flows.push(match is_fitted {
            true => fitted,
            // The posterior's own draws.
            false => (0..40)
                .map(|_| 1.0 / 1.09 + SD / 1.09f64.sqrt() * standard_normal(&mut rng))
                .collect(),
        });
    }
    [Combine::Fresh, Combine::Mixture].map(|how| {
        let combined = combine(&rounds, how).expect("complete columns");
        let n = (N * rounds.len()) as f64;
        let mean_weight = log_sum_exp(combined.log_weights.iter().flatten().copied()) - n.ln();
        let mean = combined
            .normalized
            .iter()
            .flatten()
            .zip(x.iter().flatten())
            .map(|(weight, x)| weight * x)
            .sum();
        (mean_weight, mean)
    })
}

/// Mean and error of the relative excess of the evidence, and of the offset of the posterior's mean.
fn bias(runs: &[(f64, f64)]) -> [(f64, f64); 2] {
    let of = |values: Vec<f64>| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, (square / n).sqrt())
    };
    [
        of(runs
            .iter()
            .map(|run| (run.0 - log_evidence()).exp_m1())
            .collect()),
        of(runs.iter().map(|run| run.1 - 1.0 / 1.09).collect()),
    ]
}

#[test]
fn with_proposals_fixed_in_advance_every_denominator_is_exact() {
    let runs: Vec<[(f64, f64); 2]> = (0..150)
        .map(|seed| adaptive_campaign(seed, false))
        .collect();
    for how in 0..2 {
        let of_how: Vec<(f64, f64)> = runs.iter().map(|run| run[how]).collect();
        for (mean, error) in bias(&of_how) {
            assert!(
                mean.abs() < 3.5 * error && error < 0.01,
                "{how}: {mean} ± {error}"
            );
        }
    }
}

#[test]
fn proposals_fitted_to_the_draws_bias_the_mixture_and_not_fresh_weights() {
    let runs: Vec<[(f64, f64); 2]> = (0..150).map(|seed| adaptive_campaign(seed, true)).collect();
    let [fresh, mixture] = [0, 1].map(|how| {
        let of_how: Vec<(f64, f64)> = runs.iter().map(|run| run[how]).collect();
        bias(&of_how)
    });
    for (mean, error) in fresh {
        assert!(mean.abs() < 3.5 * error && error < 0.01, "{mean} ± {error}");
    }
    let (mean, error) = mixture[0];
    assert!(mean < -6.0 * error, "{mean} ± {error}");
}
