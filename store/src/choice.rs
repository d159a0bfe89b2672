//! Where a worker or trainer keeps a campaign's files: in a directory that it was given, in the one that its
//! coordinator names, or in none.

use crate::open::open;
use sidereal_inference::base::CampaignHash;
use sidereal_inference::base::files::FileError;
use sidereal_inference::campaign_file;
use sidereal_inference::records::Directory;
use std::path::PathBuf;

const CAMPAIGN_FILE: &str = "campaign.toml";

/// Which campaign directory a worker or trainer uses.
#[derive(Debug, Clone)]
pub enum StorageChoice {
    /// This one.
    Directory(Directory),
    /// The one that the coordinator names, where it can be reached from here.
    AsCoordinatorSays,
    /// None, whatever can be reached: files go through the coordinator.
    ThroughCoordinator,
}

/// A directory that was chosen and cannot be the campaign's.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// Worth a retry: the storage may be out of reach for a while.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its campaign file is none.
    #[error("{}: not a campaign: {reason}", path.display())]
    Invalid {
        /// The campaign file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is another campaign's.
    #[error(
        "{location} is the directory of campaign {}, expected that of {}, which the coordinator serves",
        found.0, expected.0
    )]
    Foreign {
        /// The directory.
        location: String,
        /// Whose it is.
        found: CampaignHash,
        /// Whose it should be.
        expected: CampaignHash,
    },
}

impl ChoiceError {
    /// Whether the same directory may turn out right later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Invalid { .. } | Self::Foreign { .. } => false,
        }
    }
}

impl StorageChoice {
    /// The directory of `campaign`; None where there is none to be used from here. `location` is what the
    /// coordinator calls it: a directory of that name is only taken if it holds that very campaign, so that
    /// another machine's is not, and if it can be written to. One that was given explicitly may also be without a campaign as yet.
    /// Blocks.
    pub fn resolve(
        &self,
        location: &str,
        campaign: &CampaignHash,
    ) -> Result<Option<Directory>, ChoiceError> {
        match self {
            Self::Directory(directory) => {
                match campaign_in(directory)? {
                    Some(found) if found != *campaign => {
                        return Err(ChoiceError::Foreign {
                            location: directory.location().to_owned(),
                            found,
                            expected: campaign.clone(),
                        });
                    }
                    Some(_) => directory.anchor(CAMPAIGN_FILE),
                    None => {}
                }
                Ok(Some(directory.clone()))
            }
            Self::AsCoordinatorSays => {
                // What cannot be read cannot be used.
                let is_the_campaigns = |directory: &Directory| {
                    campaign_in(directory).is_ok_and(|found| found.as_ref() == Some(campaign))
                };
                let directory = open(location).ok();
                let directory = directory.filter(is_the_campaigns).filter(is_writable);
                if let Some(directory) = &directory {
                    directory.anchor(CAMPAIGN_FILE);
                }
                Ok(directory)
            }
            Self::ThroughCoordinator => Ok(None),
        }
    }
}

/// Whether this process may write there: a directory that can only be read is of no use.
fn is_writable(directory: &Directory) -> bool {
    let name = format!("rounds/probe-{}", std::process::id());
    let written = directory.write(&name, "");
    written.and_then(|()| directory.remove(&name)).is_ok()
}

/// None where the directory holds no campaign file.
fn campaign_in(directory: &Directory) -> Result<Option<CampaignHash>, ChoiceError> {
    let Some(bytes) = directory.read_if_there(CAMPAIGN_FILE)? else {
        return Ok(None);
    };
    let path = directory.join(CAMPAIGN_FILE);
    let parsed = match str::from_utf8(&bytes) {
        Ok(text) => campaign_file::parse_recorded(text, &path).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match parsed {
        Ok(campaign) => Ok(Some(campaign_file::identity(&campaign))),
        Err(reason) => Err(ChoiceError::Invalid { path, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn text(seed: u64) -> String {
        format!(
            r#"
            name = "choice"
            seed = {seed}
            parameters = [{{ name = "a", prior = {{ uniform = {{ low = 0.0, high = 1.0 }} }} }}]
            [simulator]
            builtin = "linear-gaussian"
            version = 1
            grid = [0.0]
            matrix = [[1.0]]
            [noise]
            gaussian = {{ sigma = 1.0 }}
            "#
        )
    }

    fn hash(seed: u64) -> CampaignHash {
        let campaign = campaign_file::parse_recorded(&text(seed), Path::new("campaign.toml"));
        campaign_file::identity(&campaign.expect("a campaign"))
    }

    #[test]
    fn a_directory_of_the_same_name_is_taken_only_with_the_same_campaign() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let location = directory.path().to_str().expect("UTF-8");
        let choice = StorageChoice::AsCoordinatorSays;
        let found = |location: &str, seed| {
            let resolved = choice.resolve(location, &hash(seed)).expect("no error");
            resolved.map(|directory| directory.location().to_owned())
        };
        assert_eq!(found(location, 1), None, "no campaign in it");
        std::fs::write(directory.path().join(CAMPAIGN_FILE), text(1)).expect("write");
        assert_eq!(found(location, 1).as_deref(), Some(location));
        assert_eq!(found(location, 2), None, "another campaign");
        assert_eq!(found("/nonexistent/campaign", 1), None);
        std::fs::write(directory.path().join(CAMPAIGN_FILE), "name = 1").expect("write");
        assert_eq!(found(location, 1), None, "no campaign file");
    }

    #[test]
    fn a_given_directory_of_another_campaign_is_an_error() {
        let directory = Directory::in_memory();
        let choice = StorageChoice::Directory(directory.clone());
        let resolve = |seed| choice.resolve("elsewhere", &hash(seed));
        let resolved = resolve(1).expect("empty is as good").expect("a directory");
        assert_eq!(resolved.location(), directory.location());
        directory.write(CAMPAIGN_FILE, text(1)).expect("write");
        assert!(resolve(1).expect("the same").is_some());
        let error = resolve(2).expect_err("another");
        assert!(!error.is_transient());
        let message = error.to_string();
        assert!(
            message.contains(&hash(1).0) && message.contains(&hash(2).0),
            "{message}"
        );
        directory.write(CAMPAIGN_FILE, "name = 1").expect("write");
        let message = resolve(1).expect_err("not a campaign").to_string();
        assert!(message.contains("not a campaign"), "{message}");
    }

    #[test]
    fn through_the_coordinator_means_no_directory() {
        let choice = StorageChoice::ThroughCoordinator;
        assert!(choice.resolve("/", &hash(1)).expect("no error").is_none());
    }
}
