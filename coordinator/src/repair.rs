//! Committed shards that are missing or not as the journal records them: found, and simulated again.

use crate::asking::{Asking, Earlier, refuse_if_served};
use crate::campaign::state::{Phase, State, rows_of};
use crate::error::StartError;
use crate::rounds::RoundDraws;
use crate::status::{StatusError, recorded};
use sidereal_inference::base::RoundId;
use sidereal_inference::base::files::{FileError, StoredFileError};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::shard::{ShardLayout, ShardRows};
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{Directory, Draws, ShardFile, StoredFile, shard};
use sidereal_proto::access::SERVER_NAME;
use std::path::PathBuf;

/// What a damaged shard is kept as, after its name.
const ASIDE: &str = "damaged";

/// All that the journal of a campaign records.
#[derive(Debug)]
pub struct Committed {
    directory: Directory,
    state: State,
}

/// A committed shard that is missing or not as recorded.
#[derive(Debug)]
pub struct DamagedShard {
    /// As recorded.
    pub shard: ShardFile,
    /// How its file differs.
    pub damage: StoredFileError,
}

impl DamagedShard {
    /// `rows 64 to 127 of round 1`
    pub fn rows(&self) -> String {
        let rows = rows_of(&self.shard);
        let last = rows.end.saturating_sub(1);
        format!("rows {} to {last} of {}", rows.start, self.shard.round)
    }
}

/// Why a damaged shard stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The round's draws are damaged too.
    #[error("{damage}; {rows} cannot be simulated again: {source}")]
    Draws {
        /// What is wrong with the shard.
        damage: String,
        /// [`DamagedShard::rows`].
        rows: String,
        /// What is wrong with the draws.
        #[source]
        source: Box<TableError>,
    },
    /// The forward model does not run.
    #[error("{damage}; {rows} cannot be simulated again: {message}")]
    Simulation {
        /// What is wrong with the shard.
        damage: String,
        /// [`DamagedShard::rows`].
        rows: String,
        /// Why.
        message: String,
    },
    /// By another version of this program, or on another kind of processor.
    #[error(
        "{damage}; {rows} simulated again have the SHA-256 {found}, expected {expected}: they were simulated by another \
         version of this program, or on another kind of processor, and it must repair them; nothing is written"
    )]
    Different {
        /// What is wrong with the shard.
        damage: String,
        /// [`DamagedShard::rows`].
        rows: String,
        /// SHA-256 of the new shard.
        found: String,
        /// The recorded one.
        expected: String,
    },
    /// A shard cannot be kept or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The new shard cannot be encoded.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Committed {
    /// Nothing is written and no coordinator disturbed.
    pub fn read(directory: &Directory) -> Result<Self, StatusError> {
        Ok(Self {
            directory: directory.clone(),
            state: recorded(directory)?.1,
        })
    }

    /// Refuses where the newest coordinator still answers. One that would refuse us answers too: no token is needed.
    pub async fn refuse_if_served(&self, host: &str, earlier: Earlier) -> Result<(), StartError> {
        let Some(run) = &self.state.run else {
            return Ok(());
        };
        let asking = Asking {
            location: self.directory.location(),
            host,
            token: "",
            server_name: SERVER_NAME,
            identity: None,
            earlier: match self.state.results() {
                // One that cannot be asked has nothing left to do.
                Some(_) => Earlier::TakeOver,
                None => earlier,
            },
        };
        refuse_if_served(&asking, run).await
    }

    /// All committed shards, by round and row.
    pub fn shards(&self) -> Vec<ShardFile> {
        let weighed = self
            .state
            .rounds
            .iter()
            .flat_map(|round| &round.files.shards);
        let mut shards: Vec<ShardFile> = weighed.cloned().collect();
        match &self.state.phase {
            Phase::Simulating(open) => shards.extend(open.shards.values().cloned()),
            Phase::Weighing(complete) => shards.extend(complete.shards.iter().cloned()),
            Phase::New
            | Phase::Deciding
            | Phase::Training(_)
            | Phase::Finishing
            | Phase::Finished(_) => {}
        }
        shards
    }

    /// Those that are missing or not as recorded; an error where the storage is at fault.
    pub fn damaged(&self) -> Result<Vec<DamagedShard>, StoredFileError> {
        let damaged = shard::damaged(&self.directory, &self.shards())?;
        let damaged = damaged.into_iter();
        Ok(damaged
            .map(|(shard, damage)| DamagedShard { shard, damage })
            .collect())
    }

    /// Simulates the rows of a damaged shard again and, where they are the recorded bytes, puts them in its place; else
    /// nothing is written. Where the damaged one is kept; None where it is missing.
    pub fn repair(
        &self,
        campaign: &Campaign,
        damaged: &DamagedShard,
        simulate: impl FnOnce(Draws) -> Result<ShardRows, String>,
    ) -> Result<Option<PathBuf>, RepairError> {
        let (damage, rows) = (damaged.damage.to_string(), damaged.rows());
        let shard = &damaged.shard;
        let stored = self.draws_of(shard.round);
        let draws = RoundDraws::load(&self.directory, campaign, shard.round, stored);
        let draws = match draws {
            Ok(draws) => draws.rows(campaign, rows_of(shard)),
            Err(source) => {
                return Err(RepairError::Draws {
                    damage,
                    rows,
                    source: Box::new(source),
                });
            }
        };
        let simulated = match self.given_up(shard) {
            Some(message) => ShardRows::given_up(draws, ShardLayout::of(campaign), message),
            None => match simulate(draws) {
                Ok(simulated) => simulated,
                Err(message) => {
                    return Err(RepairError::Simulation {
                        damage,
                        rows,
                        message,
                    });
                }
            },
        };
        let path = &shard.file.path;
        let in_memory = Directory::in_memory();
        let found = simulated.store(&in_memory, path, &campaign.space)?;
        if found != *shard {
            return Err(RepairError::Different {
                damage,
                rows,
                found: found.file.sha256,
                expected: shard.file.sha256.clone(),
            });
        }
        let aside = format!("{path}.{ASIDE}");
        let kept = match self.directory.read_if_there(path)? {
            Some(contents) => {
                self.directory.write(&aside, contents)?;
                Some(self.directory.join(&aside))
            }
            None => None,
        };
        self.directory.write(path, in_memory.read(path)?)?;
        Ok(kept)
    }

    /// The stored draws of a round; None where they are made on the fly.
    fn draws_of(&self, round: RoundId) -> Option<&StoredFile> {
        let plan = self.state.current_round().map(|current| current.plan);
        let weighed = self.state.rounds.iter().map(|weighed| &weighed.files);
        weighed
            .map(|files| (files.round, &files.draws))
            .chain(plan.map(|plan| (plan.round, &plan.draws)))
            .find(|(found, _)| *found == round)
            .and_then(|(_, draws)| draws.as_ref())
    }

    /// Why the row of this shard was given up, where it was.
    fn given_up(&self, shard: &ShardFile) -> Option<&str> {
        let mut given_up = self.state.given_up.iter();
        let of_shard = given_up.find(|given_up| {
            (given_up.round, given_up.row, 1) == (shard.round, shard.first_row, shard.n_rows)
        });
        of_shard.map(|given_up| given_up.message.as_str())
    }
}
