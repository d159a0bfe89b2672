//! Searches on made-up posteriors of which a flow knows one mode.

use super::*;
use crate::base::{FlowId, RoundId, log_sum_exp, squared_distance};
use crate::space::{Parameter, ParameterSpace, Prior, standard_normal_log_density};
use crate::weights::{
    Evidence, LocalDensity, Objective, Proposal, RoundColumns, round_log_weights,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const FLOW: FlowId = FlowId(3);

fn space(d: usize) -> ParameterSpace {
    let parameter = |j: usize| Parameter {
        name: format!("p{j}"),
        prior: Prior::Normal { mean: 0.0, sd: 1.0 },
        periodic: false,
    };
    ParameterSpace::independent((0..d).map(parameter).collect())
}

/// Equal Gaussian modes of standard deviation `width` in every direction.
struct Modes {
    means: Vec<Vec<f64>>,
    width: f64,
}

impl Modes {
    fn log_density(&self, z: &[f64], mean: &[f64], width: f64) -> f64 {
        let d = z.len() as f64;
        -0.5 * squared_distance(z, mean) / (width * width)
            - d * (width * (2.0 * std::f64::consts::PI).sqrt()).ln()
    }

    /// Normalized mixture over the prior: the evidence is 1.
    fn log_likelihood(&self, z: &[f64]) -> f64 {
        let n = self.means.len() as f64;
        log_sum_exp(
            self.means
                .iter()
                .map(|mean| self.log_density(z, mean, self.width) - n.ln()),
        ) - standard_normal_log_density(z)
    }

    /// As it is before a flow has narrowed down to it: `factor` times as wide.
    fn draw_broadly(&self, n: usize, factor: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut z = Vec::new();
        for i in 0..n {
            let mean = &self.means[i % self.means.len()];
            z.extend(normal_around(mean, factor * self.width, rng));
        }
        z
    }
}

fn normal_around(mean: &[f64], width: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    use rand_distr::{Distribution, StandardNormal};
    mean.iter()
        .map(|mean| {
            let normal: f64 = StandardNormal.sample(rng);
            mean + width * normal
        })
        .collect()
}

/// A round of these z, `log_q` its proposal's density; the flow is the first mode alone.
fn round(
    modes: &Modes,
    index: u32,
    proposal: Proposal,
    component: Vec<Component>,
    z: Vec<f64>,
) -> RoundColumns {
    let d = modes.means[0].len();
    let rows: Vec<&[f64]> = z.chunks_exact(d).collect();
    let log_prior: Vec<f64> = rows
        .iter()
        .map(|z| standard_normal_log_density(z))
        .collect();
    let log_flow: Vec<f64> = rows
        .iter()
        .map(|z| modes.log_density(z, &modes.means[0], 1.05 * modes.width))
        .collect();
    let log_proposal = (0..rows.len())
        .map(|i| proposal.log_density_at(rows[i], log_prior[i], |_| log_flow[i]))
        .collect();
    RoundColumns {
        round: RoundId(index),
        proposal,
        log_likelihood: rows.iter().map(|z| Some(modes.log_likelihood(z))).collect(),
        log_prior,
        log_proposal,
        component,
        log_flow: BTreeMap::from([(FLOW, log_flow)]),
        z,
    }
}

/// Rounds that end with draws of a flow that knows the first mode only.
fn rounds_with_a_lost_mode(modes: &Modes, seed: u64, broad: &[(usize, f64)]) -> Vec<RoundColumns> {
    let d = modes.means[0].len();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let prior = |n: usize, rng: &mut ChaCha8Rng| normal_around(&vec![0.0; n * d], 1.0, rng);
    let mut rounds = vec![round(
        modes,
        0,
        Proposal::prior(),
        vec![Component::Prior; 1000],
        prior(1000, &mut rng),
    )];
    for &(n, factor) in broad {
        // Their density does not matter to the searches.
        let z = modes.draw_broadly(n, factor, &mut rng);
        let n = z.len() / d;
        rounds.push(round(
            modes,
            rounds.len() as u32,
            Proposal::prior(),
            vec![Component::Prior; n],
            z,
        ));
    }
    let proposal = Proposal::of(vec![(Component::Flow(FLOW), 0.9), (Component::Prior, 0.1)]);
    let mut z = Vec::new();
    let mut component = Vec::new();
    for i in 0..1000 {
        if i % 10 == 0 {
            z.extend(prior(1, &mut rng));
            component.push(Component::Prior);
        } else {
            z.extend(normal_around(&modes.means[0], 1.05 * modes.width, &mut rng));
            component.push(Component::Flow(FLOW));
        }
    }
    rounds.push(round(modes, rounds.len() as u32, proposal, component, z));
    rounds
}

/// Plays sessions to their end; the last state and the number of simulations.
fn search(modes: &Modes, rounds: &mut Vec<RoundColumns>, seed: u64) -> (Option<Probing>, u64) {
    let d = modes.means[0].len();
    let space = space(d);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut previous: Option<Probing> = None;
    let mut calls = 0;
    loop {
        let found = probe(&Knowledge {
            space: &space,
            rounds,
            evidence: Some(Evidence {
                log_evidence: 0.5f64.ln(),
                error: 0.01,
            }),
            objective: Some(Objective::WeightedDraws { exponent: 1.0 }),
            is_led: true,
            previous: previous.as_ref(),
        });
        let drawn = found
            .as_ref()
            .and_then(|probing| next_round(modes, rounds, probing, &mut rng));
        let Some(drawn) = drawn else {
            return (found, calls);
        };
        calls += drawn.component.len() as u64;
        rounds.push(drawn);
        previous = found;
    }
}

/// The draws of the next step; None once the session is over.
fn next_round(
    modes: &Modes,
    rounds: &[RoundColumns],
    probing: &Probing,
    rng: &mut ChaCha8Rng,
) -> Option<RoundColumns> {
    let (proposal, n_rows) = probing.next_round(modes.means[0].len())?;
    let mut z = Vec::new();
    let mut component = Vec::new();
    let ids: Vec<LocalId> = proposal.locals.keys().copied().collect();
    for row in 0..n_rows as usize {
        let id = ids[row % ids.len()];
        z.extend(proposal.locals[&id].draw(rng));
        component.push(Component::Local(id));
    }
    Some(round(modes, rounds.len() as u32, proposal, component, z))
}

/// In how many of 20 runs the lost one of two modes is found, or was met before; `other` is where it lies.
fn n_found(other: &[f64], rounds: impl Fn(&Modes, u64) -> Vec<RoundColumns>) -> usize {
    let d = other.len();
    let modes = Modes {
        means: vec![vec![-0.5; d], other.to_vec()],
        width: 0.02,
    };
    let is_found = |seed: &u64| {
        let mut rounds = rounds(&modes, *seed);
        let (probing, calls) = search(&modes, &mut rounds, seed + 100);
        assert!(
            calls < 500 * d as u64,
            "{calls} simulations in {d} dimensions"
        );
        match probing {
            // A draw from the prior has met the mode: its weight says so without any search.
            None => rounds
                .last()
                .is_some_and(|last| effective_sample_size(&round_log_weights(last)) < MIN_N_EFF),
            Some(probing) => probing.has_found(),
        }
    };
    (0..20).filter(is_found).count()
}

#[test]
fn a_mode_of_which_only_its_basin_was_seen_is_found_and_taken_in() {
    for d in [2, 3, 5] {
        let mut other = vec![0.0; d];
        other[0] = 1.2;
        let n_found = n_found(&other, |modes, seed| {
            rounds_with_a_lost_mode(modes, seed, &[(300, 15.0)])
        });
        assert!(n_found >= 19, "{n_found} of 20 in {d} dimensions");
    }
}

#[test]
fn a_mode_of_which_nothing_but_draws_of_the_prior_came_near_is_found() {
    for d in [2, 3, 5] {
        let mut other = vec![0.4; d];
        other[0] = 1.0;
        let n_found = n_found(&other, |modes, seed| {
            let mut rounds = rounds_with_a_lost_mode(modes, seed, &[]);
            // Earlier flows were everywhere around the known one.
            let known = Modes {
                means: vec![modes.means[0].clone()],
                width: modes.width,
            };
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let z = known.draw_broadly(900, 10.0, &mut rng);
            let component = vec![Component::Prior; 900];
            rounds.insert(1, round(modes, 1, Proposal::prior(), component, z));
            rounds
        });
        assert!(n_found >= 19, "{n_found} of 20 in {d} dimensions");
    }
}

/// Seven searches, and only the five highest of those still on their way go on.
#[test]
fn searches_at_a_peak_go_on_however_low_they_stand() {
    let d = 2;
    let around = |angle: f64| vec![angle.cos(), angle.sin()];
    let lost = (0..7).map(|i| around(f64::from(i) * std::f64::consts::TAU / 7.0));
    let modes = Modes {
        means: std::iter::once(vec![0.0; d]).chain(lost).collect(),
        width: 0.02,
    };
    let mut rounds = rounds_with_a_lost_mode(&modes, 1, &[]);
    let search = |mean: &Vec<f64>| Search {
        n_steps: 3,
        density: LocalDensity {
            seams: vec![0.0; d],
            leans: Vec::new(),
            mean: mean.clone(),
            factor: vec![modes.width, 0.0, 0.0, modes.width],
        },
        share: 0.0,
        peak: None,
        past: Vec::new(),
        aim: Aim::LeftBehind,
    };
    let searches = modes.means[1..].iter().map(search);
    let previous = Probing {
        scan: BTreeMap::new(),
        session: 1,
        flow: FLOW,
        searches: (0..).map(LocalId).zip(searches).collect(),
        outcomes: Vec::new(),
        found: BTreeMap::new(),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    rounds.extend(next_round(&modes, &rounds, &previous, &mut rng));
    let next = probe(&Knowledge {
        space: &space(d),
        rounds: &rounds,
        evidence: Some(Evidence {
            log_evidence: 0.0,
            error: 0.01,
        }),
        objective: Some(Objective::WeightedDraws { exponent: 1.0 }),
        is_led: true,
        previous: Some(&previous),
    });
    let next = next.unwrap();
    assert_eq!((next.searches.len(), next.outcomes), (7, Vec::new()));
}

/// Aliases in a row, equally far apart in shares of the prior: two were drawn from, nothing came near the third.
#[test]
fn the_next_of_a_row_goes_on_as_a_search_after_tempering_too() {
    use crate::space::circle::quantile;
    let aliases = Modes {
        means: [0.3, 0.5, 0.7]
            .map(|turns| vec![quantile(turns), 0.3])
            .to_vec(),
        width: 0.02,
    };
    let density = |mean: &Vec<f64>| LocalDensity {
        seams: vec![0.0; 2],
        leans: Vec::new(),
        mean: mean.clone(),
        factor: vec![aliases.width, 0.0, 0.0, aliases.width],
    };
    let known: BTreeMap<LocalId, LocalDensity> = (0..)
        .map(LocalId)
        .zip(aliases.means[..2].iter().map(density))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut rounds = rounds_with_a_lost_mode(&aliases, 7, &[]);
    let (mut z, mut component) = (Vec::new(), Vec::new());
    for (&id, density) in known.iter().cycle().take(400) {
        z.extend(density.draw(&mut rng));
        component.push(Component::Local(id));
    }
    let drawn = round(&aliases, 1, Proposal::of_locals(known), component, z);
    rounds.insert(1, drawn);
    let space = space(2);
    let probed = |rounds: &[RoundColumns], previous: Option<&Probing>| {
        let evidence = Evidence {
            log_evidence: 0.0,
            error: 0.01,
        };
        probe(&Knowledge {
            space: &space,
            rounds,
            evidence: Some(evidence),
            objective: Some(Objective::WeightedDraws { exponent: 1.0 }),
            is_led: false,
            previous,
        })
        .expect("a session")
    };
    let first = probed(&rounds, None);
    assert!(!first.scan.is_empty());
    rounds.extend(next_round(&aliases, &rounds, &first, &mut rng));
    let second = probed(&rounds, Some(&first));
    let copies = second
        .searches
        .values()
        .filter(|search| search.aim == Aim::Copy);
    let places: Vec<Vec<f64>> = copies
        .map(|search| search.density.uncut(&search.density.mean))
        .collect();
    let lost = &aliases.means[2];
    assert!(
        places
            .iter()
            .any(|place| squared_distance(place, lost).sqrt() < 3.0 * aliases.width),
        "{places:?} are not {lost:?}"
    );
}

#[test]
fn nothing_is_found_where_nothing_is_lost() {
    for d in [1, 2, 3, 5] {
        for seed in 0..10 {
            let modes = Modes {
                means: vec![vec![-0.5; d]],
                width: 0.02,
            };
            let mut rounds = rounds_with_a_lost_mode(&modes, seed, &[(300, 15.0)]);
            let (probing, _) = search(&modes, &mut rounds, seed + 100);
            let outcomes = probing.map_or(Vec::new(), |probing| probing.outcomes);
            assert!(
                outcomes.iter().all(|outcome| match outcome {
                    Outcome::Known | Outcome::Negligible | Outcome::Merged => true,
                    Outcome::Found { .. } => false,
                    Outcome::GivenUp { share } => *share < 0.05,
                }),
                "{outcomes:?}"
            );
        }
    }
}
