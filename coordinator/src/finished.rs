//! A finished campaign: whether its results are still those that the journal records, and how they come back.

use crate::campaign::decide::{Input, decide};
use crate::campaign::event::{Event, Fact, Opened, Results};
use crate::campaign::state::State;
use crate::finish::{Computed, FinishError, SoFar, compute, copy_model, so_far};
use crate::journal;
use crate::start::settings;
use crate::status::{StatusError, recorded, replay, status_of};
use sidereal_inference::account::{CampaignStatus, Summary};
use sidereal_inference::base::RunId;
use sidereal_inference::base::files::{StoredFileError, sha256_hex};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::method::{Decision, StopReason, after_round};
use sidereal_inference::records::{Directory, FIT_FILE, StoredFile};
use std::path::PathBuf;

/// Results that are not those that were recorded.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] StatusError),
    /// The storage is at fault and not what is stored.
    #[error(transparent)]
    Store(StoredFileError),
    /// A result file is missing or not as recorded.
    #[error(
        "{0}; the results are not those that the journal records; `sidereal fit` with the campaign's file writes them \
         again from the recorded shards"
    )]
    Damaged(StoredFileError),
    /// Neither is what they were made of.
    #[error("{damage}; the results cannot be written again: {source}")]
    Lost {
        /// What is wrong with the first damaged file.
        damage: String,
        /// Why it cannot be made again.
        #[source]
        source: FinishError,
    },
    /// By another version of this program, or on another kind of processor.
    #[error(
        "{damage}; written again {} would have the SHA-256 {found}, expected {expected}: the campaign was finished by \
         another version, or on another kind of processor; nothing is written",
        path.display()
    )]
    Different {
        /// What is wrong with the first damaged file.
        damage: String,
        /// The file that would be another.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// The recorded one.
        expected: String,
    },
    /// Of a campaign that is not finished.
    #[error("the rounds so far cannot be read: {0}")]
    SoFar(FinishError),
    /// As recorded, and by another program.
    #[error("{}: not a summary: {source}", path.display())]
    Summary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// A campaign for which nothing is left to do.
#[derive(Debug)]
pub struct FinishedCampaign {
    /// Its result.
    pub summary: Summary,
    /// Result files that were damaged and are written again.
    pub written_again: Vec<PathBuf>,
    /// Why stops that are not those that the campaign was run with change nothing; None where they are the same.
    pub still_stopped: Option<StopReason>,
}

/// The result that the journal records, refused where its files have changed since; None where there is none. Nothing
/// is written and no coordinator disturbed.
pub fn read_results(directory: &Directory) -> Result<Option<Summary>, ResultsError> {
    let events = journal::read(directory).map_err(StatusError::from)?.events;
    let Some((_, results)) = last_finished(&events) else {
        return Ok(None);
    };
    match damage(directory, results)?.into_iter().next() {
        Some((_, damage)) => Err(ResultsError::Damaged(damage)),
        None => read_summary(directory, results).map(Some),
    }
}

/// What a campaign has found so far, finished or not, and where it stands. Nothing is written and no coordinator
/// disturbed.
#[derive(Debug)]
pub struct Unfinished {
    /// Where it stands.
    pub status: CampaignStatus,
    /// Whether a coordinator has it, as far as the journal knows.
    pub is_open: bool,
    /// What its weighed rounds say.
    pub so_far: SoFar,
}

/// None where the journal records results, or where no coordinator has begun.
pub fn read_unfinished(
    directory: &Directory,
    campaign: &Campaign,
) -> Result<Option<Unfinished>, ResultsError> {
    let (_, state) = recorded(directory)?;
    let (Some(run), None) = (&state.run, state.results()) else {
        return Ok(None);
    };
    Ok(Some(Unfinished {
        status: status_of(&state, &campaign.name, state.elapsed_s),
        is_open: run.opened.address.is_some(),
        so_far: so_far(directory, campaign, &state).map_err(ResultsError::SoFar)?,
    }))
}

/// The result of a campaign for which nothing is left to do, also with the stops that `campaign` has; None where there
/// is something. Damaged result files are written again, where the recorded shards give the recorded bytes; else
/// nothing is written.
pub fn read_or_restore(
    directory: &Directory,
    campaign: &Campaign,
) -> Result<Option<FinishedCampaign>, ResultsError> {
    let (events, state) = recorded(directory)?;
    let (Some(started), Some((n_before, results))) =
        (started(&state, campaign), last_finished(&events))
    else {
        return Ok(None);
    };
    let written_again = restore(directory, campaign, &events[..n_before], results)?;
    Ok(Some(FinishedCampaign {
        summary: read_summary(directory, results)?,
        written_again,
        still_stopped: still_stopped(&state, &started),
    }))
}

/// The state once a coordinator has started on it; None where that has more to do than to tell the result.
fn started(state: &State, campaign: &Campaign) -> Option<State> {
    let identity = campaign_file::identity(campaign);
    state.results()?;
    if state.run.as_ref()?.opened.campaign != identity {
        return None;
    }
    let opened = Opened {
        run: RunId("a look".to_owned()),
        campaign: identity,
        settings: settings(campaign),
        address: None,
        certificate: None,
        server_name: None,
        host: None,
    };
    let mut started = state.clone();
    let events = decide(&mut started, Input::Start(Box::new(opened)), 0.0).ok()?;
    (events.len() == 1).then_some(started)
}

fn still_stopped(before: &State, started: &State) -> Option<StopReason> {
    let (old, new) = (before.run.as_ref()?, started.run.as_ref()?);
    if old.opened.settings.stops_like(&new.opened.settings) {
        return None;
    }
    match started.judged(after_round)? {
        Decision::Continue { .. } | Decision::DrawFromPrior { .. } | Decision::DrawAgain { .. } => {
            None
        }
        Decision::Stop(reason) => Some(reason),
    }
}

/// What the newest record of results says, and how many events there were before it.
fn last_finished(events: &[Event]) -> Option<(usize, &Results)> {
    let mut newest_first = events.iter().enumerate().rev();
    newest_first.find_map(|(position, event)| match &event.fact {
        Fact::Finished(results) => Some((position, results)),
        Fact::Opened(_)
        | Fact::Reused(_)
        | Fact::Closed
        | Fact::RoundOpened(_)
        | Fact::ShardCommitted(_)
        | Fact::RowGivenUp(_)
        | Fact::RoundWeighed { .. }
        | Fact::TaskOpened(_)
        | Fact::TaskCommitted(_)
        | Fact::Stopped(_)
        | Fact::Reopened => None,
    })
}

/// Result files that are missing or not as recorded.
fn damage(
    directory: &Directory,
    results: &Results,
) -> Result<Vec<(StoredFile, StoredFileError)>, ResultsError> {
    let mut damaged = Vec::new();
    for stored in [&results.summary].into_iter().chain(&results.posterior) {
        match directory.read_stored(stored) {
            Ok(_) => {}
            Err(error) if error.is_store_fault() => return Err(ResultsError::Store(error)),
            Err(error) => damaged.push((stored.clone(), error)),
        }
    }
    Ok(damaged)
}

/// Writes damaged result files again from what is recorded before the end: the same bytes, or none.
fn restore(
    directory: &Directory,
    campaign: &Campaign,
    before: &[Event],
    results: &Results,
) -> Result<Vec<PathBuf>, ResultsError> {
    let damaged = damage(directory, results)?;
    let Some((_, first)) = damaged.first() else {
        return Ok(Vec::new());
    };
    let first = first.to_string();
    let state = replay(directory, before)?;
    let lost = |source| ResultsError::Lost {
        damage: first.clone(),
        source,
    };
    let Computed {
        summary,
        posterior,
        band,
    } = compute(directory, campaign, &state).map_err(lost)?;
    let mut writes = Vec::with_capacity(damaged.len());
    for (stored, _) in &damaged {
        let bytes = if *stored == results.summary {
            summary.clone()
        } else {
            posterior.clone().unwrap_or_default()
        };
        let found = sha256_hex(&bytes);
        if found != stored.sha256 {
            return Err(ResultsError::Different {
                damage: first.clone(),
                path: directory.join(&stored.path),
                found,
                expected: stored.sha256.clone(),
            });
        }
        writes.push((stored, bytes));
    }
    copy_model(directory, &state).map_err(lost)?;
    if let Some(band) = band {
        band.store(directory, FIT_FILE)
            .map_err(|error| lost(error.into()))?;
    }
    let mut written = Vec::with_capacity(writes.len());
    for (stored, bytes) in writes {
        directory
            .write(&stored.path, bytes)
            .map_err(|error| lost(error.into()))?;
        written.push(directory.join(&stored.path));
    }
    Ok(written)
}

fn read_summary(directory: &Directory, results: &Results) -> Result<Summary, ResultsError> {
    let bytes = directory
        .read_stored(&results.summary)
        .map_err(ResultsError::Store)?;
    serde_json::from_slice(&bytes).map_err(|source| ResultsError::Summary {
        path: directory.join(&results.summary.path),
        source,
    })
}
