//! What a campaign directory holds, looked at before anything runs.

use crate::exit::CommandError;
use crate::terminal::Terminal;
use crate::words;
use sidereal_inference::account::{SUMMARY_FORMAT, SUMMARY_VERSION, Summary};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign::external::ExternalNoise;
use sidereal_inference::campaign_file;
use sidereal_inference::records::Directory;
use sidereal_store::Kind;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub const CAMPAIGN_FILE: &str = "campaign.toml";
pub const SUMMARY_FILE: &str = "summary.json";
pub const POSTERIOR_FILE: &str = "posterior.parquet";
const JOURNAL: &str = "journal";
/// What a coordinator makes before its first record.
const FIRST_ENTRIES: [&str; 6] = [
    CAMPAIGN_FILE,
    JOURNAL,
    "rounds",
    "access.json",
    "access.key",
    "logs",
];

/// What stands in the place of a campaign's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or an empty directory.
    Nothing,
    /// This campaign, begun.
    Begun,
}

/// What becomes of a campaign whose model's files are not what they were when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedModel {
    Refused,
    Accepted,
}

/// Where a campaign runs unless told otherwise: `runs/<name>` in the current directory.
pub fn default_for(campaign: &Campaign) -> PathBuf {
    let name: String = campaign.name.trim().trim_matches('.').to_owned();
    Path::new("runs").join(if name.is_empty() { "campaign" } else { &name })
}

/// Refuses a directory that belongs to another campaign, to a changed one, or to no campaign.
pub fn inspect(
    location: &str,
    campaign: &Campaign,
    changed_model: ChangedModel,
) -> Result<Found, CommandError> {
    let found = match sidereal_store::kind(location) {
        Kind::FileSystem => inspect_entries(Path::new(location))?,
        Kind::ObjectStore => Found::Begun,
    };
    match found {
        Found::Nothing => return Ok(Found::Nothing),
        Found::Begun => {}
    }
    let directory = sidereal_store::open(location).map_err(CommandError::unusable)?;
    let Some(bytes) = read(&directory, CAMPAIGN_FILE)? else {
        return Ok(Found::Nothing);
    };
    let text = String::from_utf8_lossy(&bytes);
    let begun =
        campaign_file::parse_recorded(&text, &directory.join(CAMPAIGN_FILE)).map_err(|error| {
            match refuse_unbegun(&directory) {
                Ok(()) => CommandError::unusable(error),
                // A file that a user has written.
                Err(unbegun) => unbegun,
            }
        })?;
    let changed = campaign_file::changed_keys(&begun, campaign);
    if changed.is_empty() {
        return match changed_model {
            ChangedModel::Refused => refuse_changed_model(location, &begun, campaign),
            ChangedModel::Accepted => Ok(()),
        }
        .map(|()| Found::Begun);
    }
    let what = if begun.name == campaign.name {
        "was begun with other values, which may not change".to_owned()
    } else {
        format!(
            "belongs to campaign {:?}, not to {:?}",
            begun.name, campaign.name
        )
    };
    Err(CommandError::unusable(format!(
        "{location}: {what} (choose another directory with --out or --dir):\n  {}",
        changed.join("\n  ")
    )))
}

/// Refuses a model or noise whose files are not what they were when the campaign began.
fn refuse_changed_model(
    location: &str,
    begun: &Campaign,
    campaign: &Campaign,
) -> Result<(), CommandError> {
    let model = |campaign: &Campaign| {
        let external = campaign.simulator.external.as_ref();
        external.map(|external| external.digest.clone())
    };
    let noise = |campaign: &Campaign| {
        let noise = campaign.training_noise.as_ref();
        noise.map(|noise| noise.digest.clone())
    };
    let changed = if model(begun) != model(campaign) {
        Some((campaign.simulator.model.name.clone(), "model"))
    } else if noise(begun) != noise(campaign) {
        let name = campaign.training_noise.as_ref().map(ExternalNoise::name);
        name.map(|name| (name, "noise"))
    } else {
        None
    };
    let Some((name, what)) = changed else {
        return Ok(());
    };
    Err(CommandError::unusable(format!(
        "{location}: {name} has changed since the campaign began; expected the same {what}, a new directory (--out or --dir), \
         or --accept-changed-model, which goes on with what is simulated already as it is"
    )))
}

/// Refuses a directory with files of others and no campaign.
fn inspect_entries(directory: &Path) -> Result<Found, CommandError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(CommandError::unusable(format!(
                "{}: not a directory",
                directory.display()
            )));
        }
        Err(error) => return Err(cannot_read(directory, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| cannot_read(directory, &error))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    if names.is_empty() {
        return Ok(Found::Nothing);
    }
    let has_journal = directory.join(JOURNAL).is_dir();
    // Temporary files of an interrupted write begin with a dot.
    let foreign = names
        .iter()
        .find(|name| !FIRST_ENTRIES.contains(&name.as_str()) && !name.starts_with('.'));
    if let Some(foreign) = foreign
        && !has_journal
    {
        return Err(CommandError::unusable(format!(
            "{}: holds {foreign:?} but no campaign, expected a new, an empty or a campaign directory (choose it with --out or --dir)",
            directory.display()
        )));
    }
    Ok(Found::Begun)
}

/// Refuses a directory in which no campaign was begun, such as that of an example.
fn refuse_unbegun(directory: &Directory) -> Result<(), CommandError> {
    let records = directory.list(JOURNAL).map_err(CommandError::failed)?;
    if records.is_empty() {
        return Err(CommandError::unusable(format!(
            "{}: no campaign was begun here, its journal is empty or missing; expected a directory that `sidereal fit` or \
             `sidereal coordinator` made",
            directory.location()
        )));
    }
    Ok(())
}

/// Campaign and result of a finished campaign directory, whose result files are those that its journal records.
pub fn load_finished(directory: &Directory) -> Result<(Campaign, Summary), CommandError> {
    let campaign = load_campaign(directory)?;
    match sidereal_coordinator::read_results(directory).map_err(CommandError::failed)? {
        Some(summary) => {
            check_version(directory, &summary)?;
            Ok((campaign, summary))
        }
        None => Err(CommandError::unusable(format!(
            "{}: the campaign is not finished, its journal records no results; `sidereal fit` goes on with it",
            directory.location()
        ))),
    }
}

/// The result of a campaign for which nothing is left to do; None where there is something. Damaged result files are
/// written again, and changed stops may change nothing, which is said.
pub fn finished_before(
    directory: &Directory,
    campaign: &Campaign,
    terminal: &Terminal,
) -> Result<Option<Summary>, CommandError> {
    let found =
        sidereal_coordinator::read_or_restore(directory, campaign).map_err(CommandError::failed)?;
    let Some(finished) = found else {
        return Ok(None);
    };
    for path in &finished.written_again {
        tracing::warn!(
            "{}: was not as the journal records it; written again from the recorded shards",
            path.display()
        );
    }
    if let Some(reason) = &finished.still_stopped {
        terminal.note(&format!(
            "the stops have changed, but there is nothing more to do with them: {}",
            words::stop_reason(reason)
        ));
    }
    check_version(directory, &finished.summary)?;
    Ok(Some(finished.summary))
}

/// Takes true values that have changed since a campaign finished into its file, so that pictures go on showing them.
pub fn keep_truth(
    directory: &Directory,
    campaign: &Campaign,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let begun = load_campaign(directory)?;
    if begun.truth_by_name == campaign.truth_by_name {
        return Ok(());
    }
    let changed = Campaign {
        truth_by_name: campaign.truth_by_name.clone(),
        ..begun
    };
    match directory.write(CAMPAIGN_FILE, campaign_file::to_toml(&changed)) {
        Ok(()) => Ok(()),
        Err(error) if error.is_read_only() => {
            terminal.note(&format!("{CAMPAIGN_FILE} is not written: {error}"));
            Ok(())
        }
        Err(error) => Err(CommandError::failed(error)),
    }
}

fn check_version(directory: &Directory, summary: &Summary) -> Result<(), CommandError> {
    if summary.format == SUMMARY_FORMAT && summary.version == SUMMARY_VERSION {
        return Ok(());
    }
    Err(CommandError::unusable(format!(
        "{}: found format {:?} version {}, expected {SUMMARY_FORMAT:?} version {SUMMARY_VERSION}",
        directory.join(SUMMARY_FILE).display(),
        summary.format,
        summary.version
    )))
}

/// The campaign that a directory holds.
pub fn load_campaign(directory: &Directory) -> Result<Campaign, CommandError> {
    let Some(bytes) = read(directory, CAMPAIGN_FILE)? else {
        return Err(CommandError::unusable(format!(
            "{}: not a campaign directory, it has no {CAMPAIGN_FILE}",
            directory.location()
        )));
    };
    refuse_unbegun(directory)?;
    let text = String::from_utf8_lossy(&bytes);
    campaign_file::parse_recorded(&text, &directory.join(CAMPAIGN_FILE))
        .map_err(CommandError::unusable)
}

fn read(directory: &Directory, name: &str) -> Result<Option<bytes::Bytes>, CommandError> {
    directory.read_if_there(name).map_err(CommandError::failed)
}

fn cannot_read(directory: &Path, error: &io::Error) -> CommandError {
    CommandError::unusable(format!(
        "{}: cannot be read as a directory: {error}",
        directory.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_models::Catalogue;

    const CAMPAIGN: &str = r#"
        name = "line"
        [[parameters]]
        name = "a"
        prior = { normal = { mean = 0.0, sd = 1.0 } }
        [simulator]
        builtin = "linear-gaussian"
        [observation]
        grid = [0.0]
        value = [0.3]
        sigma = [0.1]
        [noise]
        gaussian = { sigma = "observed" }
    "#;

    fn campaign(text: &str) -> Campaign {
        campaign_file::parse(text, Path::new("line.toml"), &Catalogue::default())
            .expect("a campaign")
    }

    #[test]
    fn only_new_empty_and_own_directories_are_taken() {
        let root = tempfile::tempdir().expect("temporary directory");
        let line = campaign(CAMPAIGN);
        let directory = root.path().join("run");
        let inspect = |path: &Path, campaign: &Campaign| {
            super::inspect(
                path.to_str().expect("UTF-8"),
                campaign,
                ChangedModel::Refused,
            )
        };
        assert_eq!(inspect(&directory, &line), Ok(Found::Nothing));
        fs::create_dir_all(directory.join(JOURNAL)).expect("create");
        assert_eq!(inspect(&directory, &line), Ok(Found::Nothing));
        fs::write(directory.join(CAMPAIGN_FILE), campaign_file::to_toml(&line)).expect("write");
        fs::write(directory.join("notes.txt"), "mine").expect("write");
        assert_eq!(inspect(&directory, &line), Ok(Found::Begun));

        let more_rounds = campaign(&format!("{CAMPAIGN}\n[rounds]\nmax = 7\n"));
        assert_eq!(inspect(&directory, &more_rounds), Ok(Found::Begun));

        let reseeded = campaign(&format!("seed = 5\n{CAMPAIGN}"));
        let refusal = inspect(&directory, &reseeded)
            .expect_err("another seed")
            .to_string();
        assert!(refusal.ends_with("\n  seed: 0 -> 5"), "{refusal}");
        let renamed = campaign(&CAMPAIGN.replace("\"line\"", "\"other\""));
        let refusal = inspect(&directory, &renamed)
            .expect_err("another campaign")
            .to_string();
        assert!(
            refusal.contains("belongs to campaign \"line\", not to \"other\""),
            "{refusal}"
        );

        // The directory of the campaign file and its data is not one to run in.
        let users = root.path().join("users");
        fs::create_dir_all(&users).expect("create");
        fs::write(users.join(CAMPAIGN_FILE), CAMPAIGN).expect("write");
        let refusal = inspect(&users, &line)
            .expect_err("a user's file")
            .to_string();
        assert!(refusal.contains("no campaign was begun here"), "{refusal}");
        fs::remove_dir(directory.join(JOURNAL)).expect("remove");
        let refusal = inspect(&directory, &line)
            .expect_err("foreign files")
            .to_string();
        assert!(
            refusal.contains("holds \"notes.txt\" but no campaign"),
            "{refusal}"
        );
        let file = directory.join("notes.txt");
        assert!(matches!(
            inspect(&file, &line),
            Err(CommandError::UnusableInput(_))
        ));
    }

    #[test]
    fn true_values_given_later_are_kept_and_nothing_else_is() {
        let directory = Directory::in_memory();
        let line = campaign(CAMPAIGN);
        let kept = |campaign: &Campaign| {
            keep_truth(&directory, campaign, &Terminal::new(true)).expect("kept");
            directory.read(CAMPAIGN_FILE).expect("read")
        };
        let first = format!("# as it was\n{}", campaign_file::to_toml(&line));
        directory
            .write(CAMPAIGN_FILE, first.clone())
            .expect("write");
        directory
            .write("journal/00000000.json", "{}")
            .expect("a record");
        assert_eq!(kept(&line), first);
        let known =
            campaign(&CAMPAIGN.replace("prior = { normal", "truth = 0.25\nprior = { normal"));
        let more = Campaign {
            seed: 9,
            ..known.clone()
        };
        assert_eq!(kept(&more), campaign_file::to_toml(&known));
    }
}
