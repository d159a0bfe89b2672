//! Writes the results: `posterior.parquet`, `summary.json` and the final model.

use crate::campaign::event::{Results, Settings};
use crate::campaign::state::State;
use sidereal_inference::account::{SUMMARY_FORMAT, SUMMARY_VERSION, Summary, Timing};
use sidereal_inference::base::files::{FileError, StoredFileError};
use sidereal_inference::base::{RowId, files};
use sidereal_inference::campaign::{Campaign, DeviceChoice, Observation};
use sidereal_inference::method::fit_check::{Fit, check_posterior};
use sidereal_inference::method::{StopReason, misfit, missing_mass, modes, thin_tail, trust};
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{
    Directory, FIT_FILE, ModelBand, ModelFiles, Posterior, PosteriorRow, RoundRows, StoredFile,
    doubts, load_rows, load_simulated, parameter_summaries,
};
use sidereal_inference::weights::{
    CombinedWeights, Objective, RoundColumns, WeightDiagnostics, WeightsError, combine,
};
use std::collections::{BTreeMap, BTreeSet};

/// Results that could not be computed from what is stored, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A recorded file is missing or not as recorded.
    #[error(transparent)]
    Stored(#[from] StoredFileError),
    /// A recorded table does not hold what it should.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The rounds do not give weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A number has no form in JSON.
    #[error("summary cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// There is no result before.
    #[error("the campaign has not stopped")]
    NotStopped,
}

impl FinishError {
    /// Whether the storage is at fault and not what is stored.
    pub fn is_store_fault(&self) -> bool {
        match self {
            Self::File(error) => error.is_store_fault(),
            Self::Stored(error) => error.is_store_fault(),
            Self::Table(error) => error.is_store_fault(),
            Self::Weights(_) | Self::Json(_) | Self::NotStopped => false,
        }
    }
}

pub const SUMMARY_FILE: &str = "summary.json";
pub const POSTERIOR_FILE: &str = "posterior.parquet";

/// Directory of the final model, in the campaign directory: the same whichever attempt trained it.
pub const MODEL_DIRECTORY: &str = "model";

/// Writes the results of a stopped campaign; a pure function of state and stored files, but for
/// `timing`.
pub fn finish(
    directory: &Directory,
    campaign: &Campaign,
    state: &State,
) -> Result<Results, FinishError> {
    let computed = compute(directory, campaign, state)?;
    copy_model(directory, state)?;
    if let Some(band) = computed.band {
        band.store(directory, FIT_FILE)?;
    }
    let posterior = match computed.posterior {
        Some(bytes) => Some(directory.store(POSTERIOR_FILE, bytes)?),
        None => None,
    };
    Ok(Results {
        summary: directory.store(SUMMARY_FILE, computed.summary)?,
        posterior,
    })
}

/// What the result files hold.
pub struct Computed {
    pub summary: Vec<u8>,
    /// None without an observation.
    pub posterior: Option<Vec<u8>>,
    /// None where the data cannot be compared.
    pub band: Option<ModelBand>,
}

/// The results of a stopped campaign; nothing is written.
pub fn compute(
    directory: &Directory,
    campaign: &Campaign,
    state: &State,
) -> Result<Computed, FinishError> {
    if state.stopped.is_none() {
        return Err(FinishError::NotStopped);
    }
    let SoFar {
        summary,
        posterior,
        band,
    } = so_far(directory, campaign, state)?;
    let posterior = match posterior {
        Some(posterior) => {
            let path = directory.join(POSTERIOR_FILE);
            Some(posterior.encode(&campaign.space, &path)?)
        }
        None => None,
    };
    let mut text = serde_json::to_string_pretty(&summary)?;
    text.push('\n');
    Ok(Computed {
        summary: text.into_bytes(),
        posterior,
        band,
    })
}

/// What the weighed rounds of a campaign say.
#[derive(Debug)]
pub struct SoFar {
    /// Of a campaign that goes on without a judgement.
    pub summary: Summary,
    /// None without an observation, or without a round.
    pub posterior: Option<Posterior>,
    /// None where the data cannot be compared.
    pub band: Option<ModelBand>,
}

/// What the campaign has found, whether it has stopped or not; nothing is written.
pub fn so_far(
    directory: &Directory,
    campaign: &Campaign,
    state: &State,
) -> Result<SoFar, FinishError> {
    let Some(run) = &state.run else {
        return Err(FinishError::NotStopped);
    };
    let mut summary = summary_without_results(campaign, &run.opened.settings, state);
    summary.model = final_model(state).map(|_| MODEL_DIRECTORY.to_owned());
    let (mut found, mut band) = (None, None);
    if let Some(observation) = &campaign.observation
        && !state.rounds.is_empty()
    {
        let mut rounds = Vec::with_capacity(state.rounds.len());
        for round in &state.rounds {
            rounds.push(load_rows(directory, campaign, &round.files)?);
        }
        summary.not_reproducible.extend(tried_again(&rounds));
        let (columns, places): (Vec<_>, Vec<_>) = rounds
            .into_iter()
            .map(|rows| (rows.columns, (rows.theta, rows.derived)))
            .unzip();
        let combined = combine(&columns, campaign.rounds.combine)?;
        let posterior = posterior(campaign, &columns, &places, &combined);
        let diagnostics = combined.diagnostics();
        if diagnostics.evidence.is_some() {
            summary.parameters = parameter_summaries(&campaign.space, &posterior);
            summary.modes = modes(&campaign.space, &posterior, diagnostics.n_eff);
        }
        let missing = missing_mass(&columns, &combined, state.final_flow(), state.outcomes());
        if let (Some(last), Some(_)) = (state.final_round(), &state.stopped) {
            let fresh: &WeightDiagnostics = &last.summary.all;
            let tempered = tempered(campaign, state);
            let searches = state.probing.as_ref();
            let warnings = trust(
                &diagnostics,
                fresh,
                &last.summary,
                &missing,
                searches,
                tempered,
            );
            summary.warnings = warnings;
            if searches.is_none() {
                summary.warnings.extend(doubts(&summary.reused));
            }
            summary.fresh = Some(fresh.clone());
        }
        let (fit, compared) = check_fit(directory, campaign, observation, state, &posterior)?;
        if state.stopped.is_some() {
            summary.warnings.extend(misfit(&fit, campaign.trust.misfit));
            let tail = thin_tail(&campaign.space, &posterior);
            summary.warnings.extend(tail);
            summary.missing_mass = Some(missing);
        }
        summary.fit = Some(fit);
        band = compared;
        summary.combined = Some(diagnostics);
        found = Some(posterior);
    }
    Ok(SoFar {
        summary,
        posterior: found,
        band,
    })
}

/// Reads a summary that a record names.
pub fn read_summary(directory: &Directory, stored: &StoredFile) -> Result<Summary, FinishError> {
    Ok(serde_json::from_slice(&directory.read_stored(stored)?)?)
}

fn summary_without_results(campaign: &Campaign, settings: &Settings, state: &State) -> Summary {
    Summary {
        format: SUMMARY_FORMAT.to_owned(),
        version: SUMMARY_VERSION,
        campaign: campaign.name.clone(),
        seed: campaign.seed,
        simulations: state.n_simulations(),
        reused: state
            .reused
            .as_ref()
            .map_or_else(Vec::new, |reused| reused.sources.clone()),
        rounds: state
            .rounds
            .iter()
            .map(|round| round.summary.clone())
            .collect(),
        combined: None,
        fresh: None,
        parameters: Vec::new(),
        modes: Vec::new(),
        best_flow: state.best_flow(),
        model: None,
        stop_reason: state.stopped.as_ref().map(|stopped| stopped.reason.clone()),
        warnings: Vec::new(),
        fit: None,
        missing_mass: None,
        training: state.training.clone(),
        not_reproducible: not_reproducible(settings, state),
        timing: Timing {
            total_s: state.elapsed_s,
            rounds: state
                .rounds
                .iter()
                .map(|round| round.timing.clone())
                .collect(),
        },
    }
}

/// The exponent of the last flow, where it was fitted to weighted draws on the way to the posterior.
fn tempered(campaign: &Campaign, state: &State) -> Option<f64> {
    let objective = state.training.last()?.objective;
    match objective {
        Objective::Simulations | Objective::SurrogateDraws => None,
        Objective::WeightedDraws { exponent } => {
            (!objective.is_final(campaign.space.len())).then_some(exponent)
        }
    }
}

fn not_reproducible(settings: &Settings, state: &State) -> Vec<String> {
    let mut conditions = Vec::new();
    match state.stopped.as_ref().map(|stopped| &stopped.reason) {
        Some(StopReason::WallTime { max_s }) => conditions.push(format!(
            "the campaign was stopped by the clock, after {max_s} s"
        )),
        Some(
            StopReason::TargetEffectiveSampleSize { .. }
            | StopReason::TargetEfficiency { .. }
            | StopReason::EfficiencyDropped { .. }
            | StopReason::Rounds { .. }
            | StopReason::Simulations { .. }
            | StopReason::Amortized,
        )
        | None => {}
    }
    match settings.device {
        DeviceChoice::Wgpu => conditions.push("flows were trained on device wgpu".to_owned()),
        DeviceChoice::Auto | DeviceChoice::Cpu => {}
    }
    let given_up = &state.given_up;
    if let Some(first) = given_up.first() {
        conditions.push(format!(
            "{} rows were given up because no worker could run them, the first of them row {} of {}: {}",
            given_up.len(),
            first.row,
            first.round,
            first.message
        ));
    }
    conditions
}

/// Rows that failed after several tries.
fn tried_again(rounds: &[RoundRows]) -> Option<String> {
    let of_round = |rows: &RoundRows| rows.tried_again.len();
    let n_rows: usize = rounds.iter().map(of_round).sum();
    let first = rounds.iter().find(|rows| of_round(rows) > 0)?;
    let (row, message) = first.tried_again.first()?;
    Some(format!(
        "{n_rows} rows failed after several tries, which another run may answer, the first of them row {row} of {}: {message}",
        first.columns.round
    ))
}

/// All rows with a known likelihood, in the order of rounds and rows; `places` are θ and derived quantities of each round.
fn posterior(
    campaign: &Campaign,
    columns: &[RoundColumns],
    places: &[(Vec<f64>, Vec<f64>)],
    combined: &CombinedWeights,
) -> Posterior {
    let (n_parameters, n_derived) = (campaign.space.len(), campaign.space.derived.len());
    let rounds = columns.iter().zip(places).enumerate();
    let rows = rounds.flat_map(|(index, (round, (theta, all_derived)))| {
        let thetas = theta.chunks_exact(n_parameters).enumerate();
        thetas.filter_map(move |(row, theta)| {
            Some(PosteriorRow {
                theta,
                derived: &all_derived[row * n_derived..(row + 1) * n_derived],
                log_likelihood: round.log_likelihood[row]?,
                log_prior: round.log_prior[row],
                log_proposal: combined.log_denominator[index][row],
                round: round.round,
                row: RowId(row as u64),
                weight: combined.normalized[index][row],
            })
        })
    });
    Posterior::of_rows(&campaign.space, rows)
}

/// Checks the fit, as far as the data can be compared.
fn check_fit(
    directory: &Directory,
    campaign: &Campaign,
    observation: &Observation,
    state: &State,
    posterior: &Posterior,
) -> Result<(Fit, Option<ModelBand>), TableError> {
    let simulated = |draws: &BTreeSet<usize>| {
        let mut found = BTreeMap::new();
        for round in &state.rounds {
            let number = round.summary.round.0;
            let of_round = draws
                .iter()
                .filter(|&&draw| posterior.round[draw] == number);
            let draw_by_row: BTreeMap<u64, usize> = of_round
                .map(|&draw| (posterior.row_id[draw], draw))
                .collect();
            let rows = draw_by_row.keys().copied().collect();
            for (row, data) in load_simulated(directory, campaign, &round.files, &rows)? {
                found.insert(draw_by_row[&row], data);
            }
        }
        Ok::<_, TableError>(found)
    };
    check_posterior(
        &campaign.space,
        &campaign.noise,
        observation,
        posterior,
        simulated,
    )
}

/// The model of the flow that the campaign ended with.
fn final_model(state: &State) -> Option<&ModelFiles> {
    let flow = state.best_flow()?;
    state.models.iter().find(|model| model.flow == flow)
}

/// Names in a model's directory, with their SHA-256.
pub fn files_of(model: &ModelFiles) -> [(&'static str, &String); 2] {
    [
        ("weights.safetensors", &model.weights_sha256),
        ("model.json", &model.model_json_sha256),
    ]
}

/// Copies the final flow's model to where users find it.
pub fn copy_model(directory: &Directory, state: &State) -> Result<(), FinishError> {
    let Some(model) = final_model(state) else {
        return Ok(());
    };
    for (name, sha256) in files_of(model) {
        let path = format!("{}/{name}", model.path);
        let bytes = directory.read(&path)?;
        let found = files::sha256_hex(&bytes);
        if found != *sha256 {
            return Err(FinishError::Stored(StoredFileError::Changed {
                path: directory.join(&path),
                what: "the SHA-256",
                found,
                expected: sha256.clone(),
            }));
        }
        directory.write(&format!("{MODEL_DIRECTORY}/{name}"), bytes)?;
    }
    Ok(())
}
