//! A campaign that begins with the simulations of earlier ones.
//!
//! Rows are copied into the new campaign's directory, round by round, with the likelihoods and priors that they have here and the
//! densities that they were drawn with there, and one record makes them its first rounds. From then on they are weighed,
//! fitted to and judged as any others.

mod differences;

use crate::campaign::apply::{Misfit, apply};
use crate::campaign::event::{Event, Fact, Reused, ReusedRound};
use crate::campaign::state::State;
use crate::journal::{Journal, JournalError};
use crate::start::{CAMPAIGN_FILE, fresh_run_id, write_campaign};
use crate::status::{StatusError, recorded, replay};
use differences::{differences, is_same_likelihood};
use sidereal_inference::base::files::{FileError, StoredFileError, sha256_hex};
use sidereal_inference::base::{FlowId, Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{Campaign, Noise};
use sidereal_inference::campaign_file::{self, CampaignError};
use sidereal_inference::method::open_searches;
use sidereal_inference::records::shard::{RowStatus, ShardLayout, ShardRows, for_each_rows};
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{
    Directory, Draws, FinalRound, ModelFiles, ReusedError, ReusedProposals, ReusedSource, Scores,
    ScoresFile, StoredFile, load_rows,
};
use sidereal_inference::space::ParameterSpace;
use sidereal_inference::weights::{
    Component, Proposal, RoundColumns, RoundKind, RoundSummary, WeightDiagnostics, WeightsError,
    combine, log_density_under, summarize_round,
};
use std::collections::BTreeSet;

/// Densities of draws under the proposals of a file, a column a round: flows are the trainer's.
pub type ScoreReused<'a> =
    dyn Fn(&Directory, &StoredFile, &Draws) -> Result<Vec<Vec<f64>>, String> + 'a;

/// Simulations that cannot be reused.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the variants' own messages say it, with the fields"
)]
pub enum ReuseError {
    #[error("{location}: no campaign there, expected a directory with campaign.toml")]
    NoCampaign { location: String },
    #[error("{location}: its simulations cannot be reused:\n  {}", reasons.join("\n  "))]
    Different {
        location: String,
        reasons: Vec<String>,
    },
    #[error(
        "{location}: no round of its own is complete, so that there is nothing to reuse{instead}"
    )]
    Nothing { location: String, instead: String },
    #[error("{location} is named twice")]
    Twice { location: String },
    #[error("{location}: begun without simulations of others, expected a new directory (--out)")]
    Begun { location: String },
    #[error(
        "{location}: begun with the simulations of {found}, expected the same again, or a new directory (--out)"
    )]
    Others { location: String, found: String },
    #[error("{0}")]
    Campaign(&'static str),
    #[error("flows of {location} cannot be used: {message}")]
    Flows { location: String, message: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Stored(#[from] StoredFileError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Proposals(#[from] ReusedError),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Recorded(#[from] CampaignError),
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

impl ReuseError {
    /// Whether what the user names cannot be reused, and not what was found in it.
    pub fn is_of_the_input(&self) -> bool {
        match self {
            Self::NoCampaign { .. }
            | Self::Different { .. }
            | Self::Nothing { .. }
            | Self::Twice { .. }
            | Self::Begun { .. }
            | Self::Others { .. }
            | Self::Campaign(_)
            | Self::Recorded(_) => true,
            Self::Flows { .. }
            | Self::File(_)
            | Self::Stored(_)
            | Self::Table(_)
            | Self::Weights(_)
            | Self::Proposals(_)
            | Self::Status(_)
            | Self::Journal(_)
            | Self::Misfit(_) => false,
        }
    }
}

/// What a campaign begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// Rows that are reused.
    pub n_rows: u64,
    /// Of all of them; None where none has a weight.
    pub combined: Option<WeightDiagnostics>,
}

/// Makes the simulations of `earlier` the first rounds of a campaign in a new directory. One that was begun so already is left as
/// it is; nothing is recorded before all files are there.
pub fn reuse(
    directory: &Directory,
    campaign: &Campaign,
    earlier: &[Directory],
    score: &ScoreReused,
) -> Result<Begun, ReuseError> {
    let opened = Journal::open(directory, fresh_run_id())?;
    if let Some(begun) = begun_before(directory, &opened.events, earlier)? {
        return Ok(begun);
    }
    let sources = sources(campaign, earlier)?;
    let mut files = Vec::with_capacity(sources.len());
    for source in &sources {
        files.push(source.store_proposals(directory)?);
    }
    let mut rounds = Vec::new();
    for source in &sources {
        for place in 0..source.rounds.len() {
            let others = sources.iter().zip(&files);
            let others: Vec<_> = others
                .filter(|(other, _)| other.place != source.place)
                .collect();
            rounds.push(source.copy(place, directory, campaign, &others, score)?);
        }
    }
    let reused = summarized(directory, campaign, &sources, files, rounds)?;
    write_campaign(directory, campaign)?;
    let event = Event {
        elapsed_s: 0.0,
        fact: Fact::Reused(Box::new(reused.clone())),
    };
    apply(&mut State::default(), &event)?;
    let mut journal = opened.journal;
    journal.append(&[event])?;
    Ok(Begun {
        n_rows: reused.n_rows(),
        combined: reused.combined,
    })
}

/// What of `earlier` a new campaign would begin with; nothing is written.
pub fn reusable(
    campaign: &Campaign,
    earlier: &[Directory],
) -> Result<Vec<ReusedSource>, ReuseError> {
    let sources = sources(campaign, earlier)?;
    Ok(sources.iter().map(Source::named).collect())
}

fn sources<'a>(
    campaign: &Campaign,
    earlier: &'a [Directory],
) -> Result<Vec<Source<'a>>, ReuseError> {
    if campaign.observation.is_none() || !campaign.is_refined() {
        return Err(ReuseError::Campaign(
            "simulations are reused for one posterior whose flows are fitted to weighted draws, found a campaign without an \
             observation, with `training.refinement = false` or with `rounds.stop.rule = \"paper\"`",
        ));
    }
    let mut sources: Vec<Source> = Vec::with_capacity(earlier.len());
    let mut first = 0;
    for (place, one) in earlier.iter().enumerate() {
        let is_same = |other: &Source| other.directory.location() == one.location();
        if sources.iter().any(is_same) {
            let location = one.location().to_owned();
            return Err(ReuseError::Twice { location });
        }
        let source = Source::open(one, campaign, place, first)?;
        first += source.rounds.len() as u32;
        sources.push(source);
    }
    Ok(sources)
}

/// Refuses a campaign that was begun with other simulations than these, or with none; nothing is written.
pub fn check_reused(directory: &Directory, earlier: &[Directory]) -> Result<(), ReuseError> {
    let (events, _) = recorded(directory)?;
    begun_before(directory, &events, earlier).map(|_| ())
}

/// None where nothing is recorded yet.
fn begun_before(
    directory: &Directory,
    events: &[Event],
    earlier: &[Directory],
) -> Result<Option<Begun>, ReuseError> {
    if events.is_empty() {
        return Ok(None);
    }
    let locations: Vec<&str> = earlier.iter().map(Directory::location).collect();
    let location = directory.location().to_owned();
    let state = replay(directory, events)?;
    let Some(reused) = state.reused else {
        return Err(ReuseError::Begun { location });
    };
    let found: Vec<&str> = reused
        .sources
        .iter()
        .map(|source| source.location.as_str())
        .collect();
    if found != locations {
        let found = found.join(", ");
        return Err(ReuseError::Others { location, found });
    }
    Ok(Some(Begun {
        n_rows: reused.n_rows(),
        combined: reused.combined,
    }))
}

/// An earlier campaign with those of its rounds that are reused.
struct Source<'a> {
    directory: &'a Directory,
    /// Among all that are reused.
    place: usize,
    campaign: Campaign,
    /// Each with its number in the new campaign.
    rounds: Vec<(RoundId, FinalRound)>,
    /// Of the flows that their proposals name.
    models: Vec<ModelFiles>,
    /// Whether log-likelihoods are the same there and here.
    is_same_likelihood: bool,
    doubt: Option<String>,
}

impl<'a> Source<'a> {
    fn open(
        directory: &'a Directory,
        campaign: &Campaign,
        place: usize,
        first: u32,
    ) -> Result<Self, ReuseError> {
        let location = || directory.location().to_owned();
        let Some(bytes) = directory.read_if_there(CAMPAIGN_FILE)? else {
            let location = location();
            return Err(ReuseError::NoCampaign { location });
        };
        let text = String::from_utf8_lossy(&bytes);
        let old = campaign_file::parse_recorded(&text, &directory.join(CAMPAIGN_FILE))?;
        let reasons = differences(&old, campaign);
        if !reasons.is_empty() {
            let location = location();
            return Err(ReuseError::Different { location, reasons });
        }
        let (_, state) = recorded(directory)?;
        let own = state
            .rounds
            .iter()
            .filter(|round| match round.summary.kind {
                RoundKind::Training | RoundKind::TopUp => !round.files.proposal.is_local(),
                RoundKind::Probe | RoundKind::Reused => false,
            });
        let numbers = (first..).map(RoundId);
        let rounds: Vec<(RoundId, FinalRound)> =
            numbers.zip(own.map(|round| round.files.clone())).collect();
        if rounds.is_empty() {
            let of_others = state.reused.iter().flat_map(|reused| &reused.sources);
            let of_others: Vec<&str> = of_others.map(|one| one.location.as_str()).collect();
            let instead = match of_others.is_empty() {
                true => String::new(),
                false => format!(
                    "; its draws are those of {}: name that",
                    of_others.join(", ")
                ),
            };
            let location = location();
            return Err(ReuseError::Nothing { location, instead });
        }
        let components = rounds
            .iter()
            .flat_map(|(_, round)| &round.proposal.components);
        let flows = components.filter_map(|(component, _)| match component {
            Component::Flow(flow) => Some(*flow),
            Component::Prior | Component::Local(_) => None,
        });
        let flows: BTreeSet<FlowId> = flows.collect();
        let models = state.models.iter();
        let models: Vec<ModelFiles> = models
            .filter(|model| flows.contains(&model.flow))
            .cloned()
            .collect();
        Ok(Self {
            directory,
            place,
            is_same_likelihood: is_same_likelihood(&old, campaign),
            doubt: state.probing.as_ref().and_then(open_searches),
            campaign: old,
            rounds,
            models,
        })
    }

    fn named(&self) -> ReusedSource {
        ReusedSource {
            location: self.directory.location().to_owned(),
            campaign: self.campaign.name.clone(),
            n_rows: self.rounds.iter().map(|(_, round)| round.n_rows).sum(),
            doubt: self.doubt.clone(),
        }
    }

    fn folder(&self) -> String {
        format!("rounds/reused-{:03}", self.place)
    }

    /// Copies the flows, and writes what the rounds were drawn from.
    fn store_proposals(&self, directory: &Directory) -> Result<StoredFile, ReuseError> {
        let mut models = Vec::with_capacity(self.models.len());
        for model in &self.models {
            let path = format!("{}/flow-{:03}", self.folder(), model.flow.0);
            for (name, sha256) in crate::finish::files_of(model) {
                let stored = file_of(self.directory, model, name, sha256)?;
                directory.write(&format!("{path}/{name}"), stored)?;
            }
            models.push(ModelFiles {
                path,
                ..model.clone()
            });
        }
        let rounds = self.rounds.iter();
        let rounds = rounds.map(|(number, round)| (*number, round.proposal.clone()));
        let proposals = ReusedProposals::new(self.campaign.space.clone(), models, rounds.collect());
        Ok(proposals.store(directory, &format!("{}/proposals.json", self.folder()))?)
    }

    /// Copies one round: shards with likelihoods and priors as they are here, draws, and densities under all reused proposals.
    fn copy(
        &self,
        place: usize,
        directory: &Directory,
        campaign: &Campaign,
        others: &[(&Source, &StoredFile)],
        score: &ScoreReused,
    ) -> Result<FinalRound, ReuseError> {
        let (number, old) = &self.rounds[place];
        let folder = format!("{}/round-{:03}", self.folder(), number.0);
        let mut draws = Draws::empty(*number, 0, campaign.space.len());
        let mut shards = Vec::with_capacity(old.shards.len());
        let mut failure = None;
        let layout = ShardLayout::of(&self.campaign);
        for_each_rows(self.directory, &old.shards, layout, |rows| {
            if failure.is_some() {
                return;
            }
            let rows = self.rows_here(rows, *number, campaign);
            let name = format!("{folder}/rows-{:09}.parquet", rows.draws.first_row);
            match rows.store(directory, &name, &campaign.space) {
                Ok(shard) => shards.push(shard),
                Err(error) => failure = Some(error),
            }
            draws.append(rows.draws);
        })?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        let name = format!("{folder}/draws.parquet");
        let stored = draws.store(&campaign.space, directory, &name)?;
        let mut scores = vec![self.own_scores(*number, old, &folder, directory)?];
        for (other, file) in others {
            let log_density =
                score(directory, file, &draws).map_err(|message| ReuseError::Flows {
                    location: other.directory.location().to_owned(),
                    message,
                })?;
            let rounds = other.rounds.iter();
            let flows = rounds.map(|(round, _)| FlowId::of_reused(*round)).collect();
            let found = Scores {
                round: *number,
                flows,
                log_density,
            };
            let name = format!("{folder}/scores-{:03}.parquet", other.place);
            scores.push(found.store(directory, &name)?);
        }
        Ok(FinalRound {
            round: *number,
            n_rows: old.n_rows,
            proposal: Proposal::of(vec![(Component::Flow(FlowId::of_reused(*number)), 1.0)]),
            shards,
            draws: Some(stored),
            scores,
        })
    }

    /// Densities of a round's draws under the proposals of all rounds of the same campaign, from its own columns.
    fn own_scores(
        &self,
        number: RoundId,
        old: &FinalRound,
        folder: &str,
        directory: &Directory,
    ) -> Result<ScoresFile, ReuseError> {
        let columns = load_rows(self.directory, &self.campaign, old)?.columns;
        let mut log_density = Vec::with_capacity(self.rounds.len());
        for (other, round) in &self.rounds {
            log_density.push(match *other == number {
                true => columns.log_proposal.clone(),
                false => log_density_under(&columns, &round.proposal)?,
            });
        }
        let flows = self.rounds.iter();
        let found = Scores {
            round: number,
            flows: flows.map(|(round, _)| FlowId::of_reused(*round)).collect(),
            log_density,
        };
        let name = format!("{folder}/scores-{:03}.parquet", self.place);
        Ok(found.store(directory, &name)?)
    }

    /// Rows of a shard with the z, priors and likelihoods that they have here.
    fn rows_here(&self, mut rows: ShardRows, number: RoundId, campaign: &Campaign) -> ShardRows {
        let (space, d) = (&campaign.space, campaign.space.len());
        let is_same_space = *space == self.campaign.space;
        rows.draws.round = number;
        rows.draws
            .component
            .fill(Component::Flow(FlowId::of_reused(number)));
        for i in 0..rows.draws.n_rows() {
            let row = i * d..(i + 1) * d;
            let is_possible = is_same_space || here(&mut rows.draws, i, space);
            let is_answered = rows.status[i] == RowStatus::Ok;
            if is_answered && !is_possible {
                rows.log_likelihood[i] = Some(f64::NEG_INFINITY);
            } else if is_answered && !self.is_same_likelihood {
                let theta = &rows.draws.theta[row];
                rows.log_likelihood[i] = log_likelihood(campaign, theta, rows.simulated_row(i));
            }
        }
        rows
    }
}

/// Gives the `i`-th row its z and log prior in `space`; false where the prior rules it out: its likelihood is then zero, and
/// its z of no meaning.
fn here(draws: &mut Draws, i: usize, space: &ParameterSpace) -> bool {
    let d = space.len();
    let row = i * d..(i + 1) * d;
    let theta = &draws.theta[row.clone()];
    let mut z = vec![0.0; d];
    let log_prior = space.log_prior(theta);
    if log_prior.is_finite() {
        space.unconstrain(theta, &mut z);
    }
    let is_possible = log_prior.is_finite() && z.iter().all(|z| z.is_finite());
    draws.log_prior[i] = if is_possible {
        log_prior
    } else {
        z.fill(0.0);
        f64::NEG_INFINITY
    };
    draws.z[row].copy_from_slice(&z);
    is_possible
}

/// Of data that are known in single precision; zero where it is no number.
fn log_likelihood(campaign: &Campaign, theta: &[f64], simulated: &[f32]) -> Option<f64> {
    let (Noise::Gaussian(noise), Some(observation)) = (&campaign.noise, &campaign.observation)
    else {
        return None;
    };
    let simulated: Vec<f64> = simulated.iter().map(|&x| f64::from(x)).collect();
    let noise = noise.terms.of_row(&campaign.space, theta);
    let found = noise.log_likelihood(observation, &simulated);
    Some(match found.is_nan() || found == f64::INFINITY {
        true => f64::NEG_INFINITY,
        false => found,
    })
}

/// A file of a model as it was recorded.
fn file_of(
    directory: &Directory,
    model: &ModelFiles,
    name: &str,
    sha256: &str,
) -> Result<Vec<u8>, ReuseError> {
    let path = format!("{}/{name}", model.path);
    let bytes = directory.read(&path)?;
    let found = sha256_hex(&bytes);
    if found != sha256 {
        return Err(ReuseError::Stored(StoredFileError::Changed {
            path: directory.join(&path),
            what: "the SHA-256",
            found,
            expected: sha256.to_owned(),
        }));
    }
    Ok(bytes.into())
}

/// The record of what was copied, with the weights that it has here.
fn summarized(
    directory: &Directory,
    campaign: &Campaign,
    sources: &[Source],
    proposals: Vec<StoredFile>,
    rounds: Vec<FinalRound>,
) -> Result<Reused, ReuseError> {
    let mut columns: Vec<RoundColumns> = Vec::with_capacity(rounds.len());
    let mut summaries: Vec<RoundSummary> = Vec::with_capacity(rounds.len());
    for round in &rounds {
        let rows = load_rows(directory, campaign, round)?;
        let mut rng = stream(campaign.seed, round.round, RowId(0), Purpose::Bootstrap);
        let kind = RoundKind::Reused;
        let summary = summarize_round(kind, &rows.columns, &rows.theta, &rows.is_failed, &mut rng)?;
        summaries.push(summary);
        columns.push(rows.columns);
    }
    let combined = combine(&columns, campaign.rounds.combine)?.diagnostics();
    let rounds = rounds.into_iter().zip(summaries);
    Ok(Reused {
        sources: sources.iter().map(Source::named).collect(),
        proposals,
        rounds: rounds
            .map(|(files, summary)| ReusedRound { files, summary })
            .collect(),
        combined: Some(combined),
    })
}
