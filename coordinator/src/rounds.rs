//! Where the draws of an open round come from.

use sidereal_inference::base::RoundId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{Directory, Draws, StoredFile};
use std::ops::Range;

/// Where the draws of a round come from.
#[derive(Debug)]
pub enum RoundDraws {
    /// Made on the fly, so that memory does not grow with the round.
    Prior(RoundId),
    Stored(Box<Draws>),
}

impl RoundDraws {
    /// `stored` as the round's record names it; None: drawn from the prior.
    pub fn load(
        directory: &Directory,
        campaign: &Campaign,
        round: RoundId,
        stored: Option<&StoredFile>,
    ) -> Result<Self, TableError> {
        match stored {
            None => Ok(Self::Prior(round)),
            Some(stored) => {
                let draws = Draws::load(directory, stored, &campaign.space, round)?;
                Ok(Self::Stored(Box::new(draws)))
            }
        }
    }

    /// The draws of some rows, which must belong to the round.
    pub fn rows(&self, campaign: &Campaign, rows: Range<u64>) -> Draws {
        match self {
            Self::Prior(round) => Draws::from_prior(&campaign.space, campaign.seed, *round, rows),
            Self::Stored(draws) => draws.slice(rows),
        }
    }
}
