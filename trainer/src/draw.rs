//! Drawing from a proposal and scoring draws under flows.

use crate::flow::BaseDraws;
use crate::model::{ModelError, Scorer};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, log_sum_exp, stream};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::{Draws, Scores};
use sidereal_inference::weights::{Component, Proposal};
use std::collections::BTreeMap;
use std::ops::Range;

/// Rows that go through a network together: fixed, so that results never depend on threads.
const CHUNK_ROWS: usize = 1024;

/// Which rows to draw, and from what streams.
pub struct DrawPlan<'a> {
    /// Whose parameter space is drawn in.
    pub campaign: &'a Campaign,
    /// Seed of the streams: the campaign's, or a prediction's own.
    pub seed: u64,
    /// What the streams are for.
    pub purpose: Purpose,
    /// The round of the streams.
    pub round: RoundId,
    /// Ids within the round; each row has a stream of its own.
    pub rows: Range<u64>,
    /// What is drawn from.
    pub proposal: &'a Proposal,
}

/// Draws the rows of `plan` and scores them under every flow of `scorers`.
///
/// `log_proposal` is the density of the whole mixture at the stored z, from the same scores.
pub fn draw(
    plan: &DrawPlan,
    scorers: &BTreeMap<FlowId, Scorer>,
    pool: &rayon::ThreadPool,
) -> Result<(Draws, Scores), ModelError> {
    let d = plan.campaign.space.len();
    // All of them take part in the density of every row.
    if let Some((id, _)) = plan
        .proposal
        .locals
        .iter()
        .find(|(_, local)| !local.is_valid(d))
    {
        return Err(invalid(format!("{id} is no density of {d} parameters")));
    }
    let n = (plan.rows.end - plan.rows.start) as usize;
    let mut draws = Draws {
        round: plan.round,
        first_row: plan.rows.start,
        n_parameters: d,
        z: vec![0.0; n * d],
        theta: vec![0.0; n * d],
        log_prior: vec![0.0; n],
        log_proposal: vec![0.0; n],
        component: vec![Component::Prior; n],
    };
    let mut pending: BTreeMap<(FlowId, usize), Pending> = BTreeMap::new();
    for index in 0..n {
        let row = RowId(plan.rows.start + index as u64);
        let mut rng = stream(plan.seed, plan.round, row, plan.purpose);
        let component = plan.proposal.pick(rng.random());
        draws.component[index] = component;
        match component {
            Component::Prior => {
                for z in &mut draws.z[index * d..(index + 1) * d] {
                    *z = StandardNormal.sample(&mut rng);
                }
            }
            Component::Local(id) => {
                let Some(local) = plan.proposal.locals.get(&id) else {
                    return Err(invalid(format!("{id} is drawn from but was not given")));
                };
                let z = local.draw(&mut rng);
                check_finite(&z, component)?;
                draws.z[index * d..(index + 1) * d].copy_from_slice(&z);
            }
            Component::Flow(flow) => {
                let piece = scorers
                    .get(&flow)
                    .map_or(0, |scorer| scorer.flow.pick(&mut rng));
                let pending = pending.entry((flow, piece)).or_default();
                pending.rows.push(index);
                for _ in 0..d {
                    pending.uniform.push(rng.random());
                    pending.normal.push(StandardNormal.sample(&mut rng));
                }
            }
        }
    }
    for ((flow, piece), pending) in pending {
        let Some(scorer) = scorers.get(&flow) else {
            return Err(invalid(format!("{flow} is drawn from but was not given")));
        };
        let z = draw_z(scorer, piece, &pending, d, pool);
        for (&index, z) in pending.rows.iter().zip(z.chunks_exact(d)) {
            check_finite(z, Component::Flow(flow))?;
            draws.z[index * d..(index + 1) * d].copy_from_slice(z);
        }
    }
    for index in 0..n {
        let row = index * d..(index + 1) * d;
        plan.campaign
            .space
            .constrain(&draws.z[row.clone()], &mut draws.theta[row.clone()]);
        draws.log_prior[index] = plan.campaign.space.log_prior(&draws.theta[row]);
    }
    let mut log_density = BTreeMap::new();
    for (&flow, scorer) in scorers {
        log_density.insert(flow, score(plan.campaign, scorer, &draws, pool)?);
    }
    for index in 0..n {
        let log_flow = |flow| {
            log_density
                .get(&flow)
                .map_or(f64::NEG_INFINITY, |scores: &Vec<f64>| scores[index])
        };
        draws.log_proposal[index] =
            plan.proposal
                .log_density_at(draws.z_row(index), draws.log_prior[index], log_flow);
    }
    let scores = Scores {
        round: plan.round,
        flows: log_density.keys().copied().collect(),
        log_density: log_density.into_values().collect(),
    };
    Ok((draws, scores))
}

/// log q_flow(θ) of every draw, in the parameters' own units.
pub fn score(
    campaign: &Campaign,
    scorer: &Scorer,
    draws: &Draws,
    pool: &rayon::ThreadPool,
) -> Result<Vec<f64>, ModelError> {
    let d = draws.n_parameters;
    let standardization = scorer.standardization();
    let of_chunk = |(chunk, z): (usize, &[f64])| -> Vec<f64> {
        let mut y = Vec::with_capacity(z.len());
        let log_determinant: Vec<f64> = z
            .chunks_exact(d)
            .map(|z| standardization.append_y(z, &mut y))
            .collect();
        let log_density = log_density(scorer, &y);
        let theta = draws.theta[chunk * CHUNK_ROWS * d..].chunks_exact(d);
        z.chunks_exact(d)
            .zip(theta)
            .zip(log_density.iter().zip(&log_determinant))
            .map(|((z, theta), (&log_density, log_determinant))| {
                let log_density_z = log_density + log_determinant;
                campaign.space.log_density(z, theta, log_density_z)
            })
            .collect()
    };
    let chunks: Vec<Vec<f64>> = pool.install(|| {
        draws
            .z
            .par_chunks(CHUNK_ROWS * d)
            .enumerate()
            .map(of_chunk)
            .collect()
    });
    let scores = chunks.concat();
    if scores
        .iter()
        .any(|score| score.is_nan() || *score == f64::INFINITY)
    {
        return Err(ModelError::NotFinite(Component::Flow(scorer.model.flow())));
    }
    Ok(scores)
}

/// log q of the scorer's draws at rows of y: the flow's own density, and what it brings back from beyond the bounds that
/// are leant on.
fn log_density(scorer: &Scorer, y: &[f32]) -> Vec<f64> {
    let mut log_density = scorer.flow.log_density(y);
    let Some(bounds) = scorer.standardization().bounds() else {
        return log_density;
    };
    let d = y.len() / log_density.len().max(1);
    let (mut beyond, mut sources) = (Vec::with_capacity(y.len()), Vec::new());
    let mut other = vec![0.0; d];
    for (row, y) in y.chunks_exact(d).enumerate() {
        for (other, &y) in other.iter_mut().zip(y) {
            *other = f64::from(y);
        }
        if let Some(log_volume) = bounds.inverted(&mut other) {
            beyond.extend(other.iter().map(|&y| y as f32));
            sources.push((row, log_volume));
        }
    }
    for ((row, log_volume), beyond) in sources.into_iter().zip(scorer.flow.log_density(&beyond)) {
        // So far out that single precision has no number for it, there is nothing.
        if !beyond.is_nan() {
            let (own, beyond) = (log_density[row], beyond + log_volume);
            log_density[row] = log_sum_exp([own, beyond].into_iter());
        }
    }
    log_density
}

/// Rows that wait to be drawn from one piece of a flow, with their randomness.
#[derive(Default)]
struct Pending {
    rows: Vec<usize>,
    uniform: Vec<f64>,
    normal: Vec<f64>,
}

fn draw_z(
    scorer: &Scorer,
    piece: usize,
    pending: &Pending,
    d: usize,
    pool: &rayon::ThreadPool,
) -> Vec<f64> {
    let of_chunk = |(uniform, normal): (&[f64], &[f64])| -> Vec<f64> {
        let y = scorer.flow.draw(piece, &BaseDraws { uniform, normal });
        let mut z = vec![0.0; y.len()];
        for (y, z) in y.chunks_exact(d).zip(z.chunks_exact_mut(d)) {
            scorer.standardization().z(y, z);
        }
        z
    };
    let size = CHUNK_ROWS * d;
    let chunks: Vec<Vec<f64>> = pool.install(|| {
        pending
            .uniform
            .par_chunks(size)
            .zip(pending.normal.par_chunks(size))
            .map(of_chunk)
            .collect()
    });
    chunks.concat()
}

fn check_finite(z: &[f64], component: Component) -> Result<(), ModelError> {
    if z.iter().all(|z| z.is_finite()) {
        Ok(())
    } else {
        Err(ModelError::NotFinite(component))
    }
}

fn invalid(reason: String) -> ModelError {
    ModelError::Invalid {
        path: "proposal".into(),
        reason,
    }
}
