//! The columns that weights are made of, and densities of proposals at their rows.

use super::diagnostics::log_weight;
use super::proposal::{Component, Proposal};
use crate::base::{FlowId, LocalId, RoundId, RowId, log_sum_exp};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The stored columns of one round that weights are made of; all of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundColumns {
    pub round: RoundId,
    pub proposal: Proposal,
    /// None: unknown, because the simulator failed. -inf: known to be zero.
    pub log_likelihood: Vec<Option<f64>>,
    pub log_prior: Vec<f64>,
    /// log q of the whole proposal of this round.
    pub log_proposal: Vec<f64>,
    /// What each row was drawn from.
    pub component: Vec<Component>,
    /// log q_flow(θ) of the flows that the proposals to be combined name.
    pub log_flow: BTreeMap<FlowId, Vec<f64>>,
    /// Unconstrained parameters, row-major: what local densities are densities of. Empty where no proposal
    /// to be combined has any.
    pub z: Vec<f64>,
}

/// Columns that do not make weights.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightsError {
    #[error("{round} has no log densities under {flow}, which the mixture of all rounds needs")]
    MissingScores { round: RoundId, flow: FlowId },
    #[error("{round} was drawn from {id}, which its proposal does not define")]
    UnknownLocal { round: RoundId, id: LocalId },
    #[error("{round}: column `{column}` has {found} rows, expected {expected}")]
    Length {
        round: RoundId,
        column: String,
        found: usize,
        expected: usize,
    },
    #[error("{round}, {row}: {column} is {value}, expected a finite number")]
    NotFinite {
        round: RoundId,
        row: RowId,
        column: &'static str,
        value: f64,
    },
}

/// Log weights of a round alone, under its own proposal.
pub fn round_log_weights(columns: &RoundColumns) -> Vec<f64> {
    log_weights_under(columns, &columns.log_proposal)
}

/// Log weights of the rows that the proposal's newest component drew, under that component alone.
pub fn newest_component_log_weights(columns: &RoundColumns) -> Result<Vec<f64>, WeightsError> {
    let newest = columns.proposal.newest();
    let log_density = component_column(columns, &columns.proposal, newest)?;
    Ok((0..columns.component.len())
        .filter(|&i| columns.component[i] == newest)
        .map(|i| {
            log_weight(
                columns.log_likelihood[i],
                columns.log_prior[i],
                log_density[i],
            )
        })
        .collect())
}

/// log Σ_s (n_s / n) q_s(θ) at every row of every round, failed rows counted in n.
pub fn mixture_log_proposal(rounds: &[RoundColumns]) -> Result<Vec<Vec<f64>>, WeightsError> {
    let n: usize = rounds.iter().map(|round| round.log_prior.len()).sum();
    rounds
        .iter()
        .enumerate()
        .map(|(own, columns)| {
            let per_proposal: Vec<Vec<f64>> = rounds
                .iter()
                .enumerate()
                .map(|(other, round)| {
                    if own == other {
                        Ok(columns.log_proposal.clone())
                    } else {
                        log_density_under(columns, &round.proposal)
                    }
                })
                .collect::<Result<_, WeightsError>>()?;
            let log_shares: Vec<f64> = rounds
                .iter()
                .map(|round| (round.log_prior.len() as f64 / n as f64).ln())
                .collect();
            Ok((0..columns.log_prior.len())
                .map(|i| {
                    log_sum_exp(
                        per_proposal
                            .iter()
                            .zip(&log_shares)
                            .map(|(q, share)| share + q[i]),
                    )
                })
                .collect())
        })
        .collect()
}

pub(super) fn check(columns: &RoundColumns) -> Result<(), WeightsError> {
    let (round, expected) = (columns.round, columns.log_prior.len());
    let mut lengths = vec![
        ("log_likelihood".to_owned(), columns.log_likelihood.len()),
        ("log_proposal".to_owned(), columns.log_proposal.len()),
        ("component".to_owned(), columns.component.len()),
    ];
    lengths.extend(
        columns
            .log_flow
            .iter()
            .map(|(flow, column)| (format!("log_flow_{}", flow.0), column.len())),
    );
    for (column, found) in lengths {
        if found != expected {
            return Err(WeightsError::Length {
                round,
                column,
                found,
                expected,
            });
        }
    }
    for i in 0..expected {
        let row = RowId(i as u64);
        for (column, value) in [
            ("log_prior", columns.log_prior[i]),
            ("log_proposal", columns.log_proposal[i]),
        ] {
            if !value.is_finite() {
                return Err(WeightsError::NotFinite {
                    round,
                    row,
                    column,
                    value,
                });
            }
        }
        // A log-likelihood of -inf is an answer, a density under a foreign flow may underflow.
        if let Some(value) =
            columns.log_likelihood[i].filter(|value| value.is_nan() || *value == f64::INFINITY)
        {
            return Err(WeightsError::NotFinite {
                round,
                row,
                column: "log_likelihood",
                value,
            });
        }
        for column in columns.log_flow.values() {
            if column[i].is_nan() || column[i] == f64::INFINITY {
                return Err(WeightsError::NotFinite {
                    round,
                    row,
                    column: "log_flow",
                    value: column[i],
                });
            }
        }
    }
    Ok(())
}

/// log q(θ) of a proposal at the rows of a round.
pub fn log_density_under(
    columns: &RoundColumns,
    proposal: &Proposal,
) -> Result<Vec<f64>, WeightsError> {
    let parts: Vec<(f64, Cow<[f64]>)> = proposal
        .components
        .iter()
        .map(|&(component, share)| {
            Ok((share.ln(), component_column(columns, proposal, component)?))
        })
        .collect::<Result<_, WeightsError>>()?;
    Ok((0..columns.log_prior.len())
        .map(|i| {
            log_sum_exp(
                parts
                    .iter()
                    .map(|(log_share, column)| log_share + column[i]),
            )
        })
        .collect())
}

/// log q(θ) of one component of a proposal at the rows of a round.
fn component_column<'a>(
    columns: &'a RoundColumns,
    proposal: &Proposal,
    component: Component,
) -> Result<Cow<'a, [f64]>, WeightsError> {
    match component {
        Component::Prior => Ok(Cow::Borrowed(&columns.log_prior)),
        Component::Flow(flow) => match columns.log_flow.get(&flow) {
            Some(column) => Ok(Cow::Borrowed(column)),
            None => Err(WeightsError::MissingScores {
                round: columns.round,
                flow,
            }),
        },
        Component::Local(id) => {
            let local = proposal.locals.get(&id).ok_or(WeightsError::UnknownLocal {
                round: columns.round,
                id,
            })?;
            let d = local.mean.len();
            if columns.z.len() != columns.log_prior.len() * d {
                return Err(WeightsError::Length {
                    round: columns.round,
                    column: "z".to_owned(),
                    found: columns.z.len(),
                    expected: columns.log_prior.len() * d,
                });
            }
            let ratios = columns
                .z
                .chunks_exact(d)
                .map(|z| local.log_ratio_to_prior(z));
            let column = ratios
                .zip(&columns.log_prior)
                .map(|(ratio, log_prior)| ratio + log_prior);
            Ok(Cow::Owned(column.collect()))
        }
    }
}

pub(super) fn log_weights_under(columns: &RoundColumns, log_denominator: &[f64]) -> Vec<f64> {
    columns
        .log_likelihood
        .iter()
        .zip(&columns.log_prior)
        .zip(log_denominator)
        .map(|((&log_likelihood, &log_prior), &log_q)| log_weight(log_likelihood, log_prior, log_q))
        .collect()
}
