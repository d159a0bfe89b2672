//! The columns that weights are made of, and densities of proposals at their rows.

use super::diagnostics::log_weight;
use super::proposal::{Component, Proposal};
use crate::base::{FlowId, LocalId, RoundId, RowId, log_sum_exp};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The stored columns of one round that weights are made of; all of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundColumns {
    /// Its number.
    pub round: RoundId,
    /// What its rows were drawn from.
    pub proposal: Proposal,
    /// None: unknown, because the simulator failed. -inf: known to be zero.
    pub log_likelihood: Vec<Option<f64>>,
    /// log p(θ), in the parameters' own units.
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
#[expect(
    missing_docs,
    reason = "the variants' own messages say it, with the fields"
)]
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
    let weights = log_weights_under(columns, &log_density).into_iter();
    let drawn = weights.zip(&columns.component);
    Ok(drawn
        .filter(|(_, component)| **component == newest)
        .map(|(log_weight, _)| log_weight)
        .collect())
}

/// log Σ_s (n_s / n) q_s(θ) at every row of every round, failed rows counted in n.
pub fn mixture_log_proposal(rounds: &[RoundColumns]) -> Result<Vec<Vec<f64>>, WeightsError> {
    let n: usize = rounds.iter().map(|round| round.log_prior.len()).sum();
    let at_rows_of = |(own, columns): (usize, &RoundColumns)| {
        let part = |(other, round): (usize, &RoundColumns)| {
            let log_share = (round.log_prior.len() as f64 / n as f64).ln();
            let column = match own == other {
                true => Cow::Borrowed(&columns.log_proposal[..]),
                false => Cow::Owned(log_density_under(columns, &round.proposal)?),
            };
            Ok((log_share, column))
        };
        let parts = rounds.iter().enumerate().map(part);
        let parts: Vec<(f64, Cow<[f64]>)> = parts.collect::<Result<_, WeightsError>>()?;
        Ok(log_mixture(&parts, columns.log_prior.len()))
    };
    rounds.iter().enumerate().map(at_rows_of).collect()
}

/// log Σ share · exp(column) at each of `n` rows, of log shares and columns.
fn log_mixture(parts: &[(f64, Cow<[f64]>)], n: usize) -> Vec<f64> {
    let at = |i: usize| {
        let terms = parts.iter();
        log_sum_exp(terms.map(|(log_share, column)| log_share + column[i]))
    };
    (0..n).map(at).collect()
}

/// Refuses columns of different lengths, and values that no weight can be made of.
pub(super) fn check(columns: &RoundColumns) -> Result<(), WeightsError> {
    let (round, expected) = (columns.round, columns.log_prior.len());
    let mut lengths = vec![
        ("log_likelihood".to_owned(), columns.log_likelihood.len()),
        ("log_proposal".to_owned(), columns.log_proposal.len()),
        ("component".to_owned(), columns.component.len()),
    ];
    let log_flow = columns.log_flow.iter();
    lengths.extend(log_flow.map(|(flow, column)| (format!("log_flow_{}", flow.0), column.len())));
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
    // A log-likelihood of -inf is an answer, a density under a foreign flow may underflow.
    let is_log = |value: f64| !value.is_nan() && value != f64::INFINITY;
    for i in 0..expected {
        let densities = [
            ("log_prior", columns.log_prior[i]),
            ("log_proposal", columns.log_proposal[i]),
        ];
        // A reused row that this campaign's prior rules out has no likelihood.
        let is_ruled_out = |name: &str, value: f64| {
            name == "log_prior"
                && value == f64::NEG_INFINITY
                && columns.log_likelihood[i].is_none_or(|value| value == f64::NEG_INFINITY)
        };
        let mut wrong = densities
            .into_iter()
            .filter(|&(name, value)| !value.is_finite() && !is_ruled_out(name, value));
        let flows = columns
            .log_flow
            .values()
            .map(|column| ("log_flow", column[i]));
        let likelihood = columns.log_likelihood[i].map(|value| ("log_likelihood", value));
        let mut others = likelihood.into_iter().chain(flows);
        let wrong = wrong
            .next()
            .or_else(|| others.find(|(_, value)| !is_log(*value)));
        if let Some((column, value)) = wrong {
            return Err(WeightsError::NotFinite {
                round,
                row: RowId(i as u64),
                column,
                value,
            });
        }
    }
    Ok(())
}

/// log q(θ) of a proposal at the rows of a round.
pub fn log_density_under(
    columns: &RoundColumns,
    proposal: &Proposal,
) -> Result<Vec<f64>, WeightsError> {
    let part = |&(component, share): &(Component, f64)| {
        Ok((share.ln(), component_column(columns, proposal, component)?))
    };
    let parts = proposal.components.iter().map(part);
    let parts: Vec<(f64, Cow<[f64]>)> = parts.collect::<Result<_, WeightsError>>()?;
    Ok(log_mixture(&parts, columns.log_prior.len()))
}

/// log q(θ) of one component of a proposal at the rows of a round.
fn component_column<'a>(
    columns: &'a RoundColumns,
    proposal: &Proposal,
    component: Component,
) -> Result<Cow<'a, [f64]>, WeightsError> {
    let round = columns.round;
    match component {
        Component::Prior => Ok(Cow::Borrowed(&columns.log_prior)),
        Component::Flow(flow) => {
            let column = columns.log_flow.get(&flow);
            let column = column.ok_or(WeightsError::MissingScores { round, flow })?;
            Ok(Cow::Borrowed(column))
        }
        Component::Local(id) => {
            let local = proposal.locals.get(&id);
            let local = local.ok_or(WeightsError::UnknownLocal { round, id })?;
            let d = local.mean.len();
            let (found, expected) = (columns.z.len(), columns.log_prior.len() * d);
            if found != expected {
                return Err(WeightsError::Length {
                    round,
                    column: "z".to_owned(),
                    found,
                    expected,
                });
            }
            let rows = columns.z.chunks_exact(d).zip(&columns.log_prior);
            let column = rows.map(|(z, log_prior)| local.log_ratio_to_prior(z) + log_prior);
            Ok(Cow::Owned(column.collect()))
        }
    }
}

/// log (L p / denominator) of each row; -inf where the likelihood is zero or unknown.
pub(super) fn log_weights_under(columns: &RoundColumns, log_denominator: &[f64]) -> Vec<f64> {
    columns
        .log_likelihood
        .iter()
        .zip(&columns.log_prior)
        .zip(log_denominator)
        .map(|((&log_likelihood, &log_prior), &log_q)| log_weight(log_likelihood, log_prior, log_q))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: FlowId = FlowId(0);

    /// A row of the flow and one of the prior, each with its own numbers.
    fn round() -> RoundColumns {
        RoundColumns {
            round: RoundId(1),
            proposal: Proposal::of(vec![
                (Component::Flow(FLOW), 0.75),
                (Component::Prior, 0.25),
            ]),
            log_likelihood: vec![Some(2.0), Some(3.0)],
            log_prior: vec![-1.0, -1.5],
            log_proposal: vec![-0.5, -1.0],
            component: vec![Component::Flow(FLOW), Component::Prior],
            log_flow: BTreeMap::from([(FLOW, vec![-0.25, -0.75])]),
            z: Vec::new(),
        }
    }

    #[test]
    fn newest_component_is_judged_by_its_own_rows_and_density() {
        assert_eq!(round_log_weights(&round()), [1.5, 2.5]);
        assert_eq!(newest_component_log_weights(&round()), Ok(vec![1.25]));
        // In round 0 the prior is all there is.
        let first = RoundColumns {
            proposal: Proposal::prior(),
            component: vec![Component::Prior; 2],
            ..round()
        };
        assert_eq!(newest_component_log_weights(&first), Ok(vec![2.0, 3.0]));
    }

    #[test]
    fn columns_that_make_no_weights_are_refused() {
        assert_eq!(check(&round()), Ok(()));
        let refused = |change: fn(&mut RoundColumns)| {
            let mut round = round();
            change(&mut round);
            check(&round).expect_err("no weights").to_string()
        };
        // Drawn where the proposal is zero.
        assert_eq!(
            refused(|round| round.log_proposal[0] = f64::NEG_INFINITY),
            "round 1, row 0: log_proposal is -inf, expected a finite number"
        );
        assert_eq!(
            refused(|round| round.log_likelihood[1] = Some(f64::NAN)),
            "round 1, row 1: log_likelihood is NaN, expected a finite number"
        );
        assert_eq!(
            refused(|round| round
                .log_flow
                .insert(FLOW, vec![0.0, f64::NAN])
                .map_or((), drop)),
            "round 1, row 1: log_flow is NaN, expected a finite number"
        );
        assert_eq!(
            refused(|round| round.log_flow.insert(FLOW, vec![0.0]).map_or((), drop)),
            "round 1: column `log_flow_0` has 1 rows, expected 2"
        );

        let mut unscored = RoundColumns {
            round: RoundId(0),
            proposal: Proposal::prior(),
            ..round()
        };
        unscored.log_flow.clear();
        let missing = mixture_log_proposal(&[unscored, round()]);
        let expected = WeightsError::MissingScores {
            round: RoundId(0),
            flow: FLOW,
        };
        assert_eq!(missing, Err(expected));
    }
}
