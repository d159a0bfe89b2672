//! The journal: numbered, immutable records of what happened, each created if absent.
//!
//! A record is one line of JSON that ends with the SHA-256 of all bytes before that field:
//! `{"format":"sidereal-journal","version":1,"run":"..","sequence":7,"events":[..],"sha256":".."}`.
//! Of two coordinators that write the same number, exactly one succeeds; the other stops.

use crate::campaign::event::Event;
use serde::{Deserialize, Serialize};
use sidereal_inference::base::files::FileError;
use sidereal_inference::base::{RunId, files};
use sidereal_inference::records::{Created, Directory};
use std::io;
use std::path::{Path, PathBuf};

const FORMAT: &str = "sidereal-journal";
const VERSION: u32 = 1;
const CHECKSUM_KEY: &str = ",\"sha256\":\"";
/// `,"sha256":"<64 digits>"}` and a line feed.
const CHECKSUM_BYTES: usize = CHECKSUM_KEY.len() + 64 + 3;
const FOLDER: &str = "journal";
/// Times that a record is created again that was there and is not.
const MAX_VANISHED: u32 = 5;

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A record cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not the last record, so a torn write does not explain it.
    #[error("{}: journal record is damaged: {message}", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A number is left out.
    #[error("{}: journal record is missing though later ones are there", path.display())]
    Missing {
        /// The record.
        path: PathBuf,
    },
    /// Another version of this program has written it.
    #[error("{}: journal record has version {found}, this program reads version {VERSION}", path.display())]
    Version {
        /// The record.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Somebody else goes on with the campaign; this run must not write any more.
    #[error("{}: another coordinator (run {}) has taken over the campaign", path.display(), other.0)]
    Superseded {
        /// The other one's record.
        path: PathBuf,
        /// Its run.
        other: RunId,
    },
    /// The store does not keep the promise that everything rests on.
    #[error(
        "{}: created twice, though it was there; a store that allows that cannot hold a campaign",
        path.display()
    )]
    CreatesTwice {
        /// What was tried.
        path: PathBuf,
    },
    /// Nor does one that cannot tell.
    #[error(
        "{}: cannot be created only if absent ({source}); a file system without hard links, or a store \
         without conditional writes, cannot hold a campaign",
        path.display()
    )]
    CannotCreate {
        /// What was tried.
        path: PathBuf,
        /// What the store said.
        #[source]
        source: io::Error,
    },
    /// A number has no form in JSON.
    #[error("events cannot be written as JSON and read again: {message}")]
    Unrecordable {
        /// Why.
        message: String,
    },
}

impl JournalError {
    /// Whether no campaign can be held there: the user has to choose another place.
    pub fn is_unusable_store(&self) -> bool {
        match self {
            Self::CreatesTwice { .. } | Self::CannotCreate { .. } => true,
            Self::File(error) => error.is_read_only(),
            Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::Version { .. }
            | Self::Superseded { .. }
            | Self::Unrecordable { .. } => false,
        }
    }
}

/// The journal of one campaign, open for one run.
#[derive(Debug)]
pub struct Journal {
    directory: Directory,
    run: RunId,
    next_sequence: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    format: String,
    version: u32,
    run: RunId,
    sequence: u64,
    events: Vec<Event>,
}

/// A journal as found.
#[derive(Debug)]
pub struct OpenedJournal {
    /// To go on with.
    pub journal: Journal,
    /// All events so far, in order.
    pub events: Vec<Event>,
    /// The damaged last record, and where it was put aside.
    pub put_aside: Option<PathBuf>,
}

/// A journal as read, without taking part.
#[derive(Debug)]
pub struct Records {
    /// All events, in order.
    pub events: Vec<Event>,
    next_sequence: u64,
    /// Of the damaged last record.
    damaged: Option<String>,
}

/// Reads all records; a damaged last one is left out, any other damage is an error.
pub fn read(directory: &Directory) -> Result<Records, JournalError> {
    let mut events = Vec::new();
    let mut next_sequence = 0;
    let sequences = list(directory)?;
    for (index, &sequence) in sequences.iter().enumerate() {
        let path = directory.join(&record_path(next_sequence));
        if sequence != next_sequence {
            return Err(JournalError::Missing { path });
        }
        let name = record_path(sequence);
        match parse(&path, sequence, &directory.read(&name)?) {
            Ok(record) => {
                events.extend(record.events);
                next_sequence = sequence + 1;
            }
            Err(JournalError::Damaged { .. }) if index + 1 == sequences.len() => {
                return Ok(Records {
                    events,
                    next_sequence,
                    damaged: Some(name),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Records {
        events,
        next_sequence,
        damaged: None,
    })
}

impl Journal {
    /// Reads all records; a damaged last one is put aside, any other damage is an error. Refuses a store
    /// on which two runs could create the same record.
    pub fn open(directory: &Directory, run: RunId) -> Result<OpenedJournal, JournalError> {
        probe(directory, &run)?;
        let records = read(directory)?;
        let put_aside = match &records.damaged {
            Some(path) => Some(move_aside(directory, path)?),
            None => None,
        };
        let journal = Self {
            directory: directory.clone(),
            run,
            next_sequence: records.next_sequence,
        };
        Ok(OpenedJournal {
            journal,
            events: records.events,
            put_aside,
        })
    }

    /// The run that it is open for.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Records events, durably once it returns. After [`JournalError::File`] the same events may be
    /// appended again; after any other error this run must not go on.
    pub fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        let bytes = self.encode(events)?;
        let name = record_path(self.next_sequence);
        let path = self.directory.join(&name);
        for _ in 0..MAX_VANISHED {
            match self.directory.create(&name, bytes.clone())? {
                Created::Created => {
                    self.on_appended(&name);
                    return Ok(());
                }
                Created::AlreadyExists => {}
            }
            // The answer to our own write may have been lost.
            match self.directory.read_if_there(&name)? {
                Some(found) if found == bytes => {
                    self.on_appended(&name);
                    return Ok(());
                }
                Some(found) => {
                    let other = match parse(&path, self.next_sequence, &found) {
                        Ok(record) => record.run,
                        Err(_) => RunId("unknown".to_owned()),
                    };
                    return Err(JournalError::Superseded { path, other });
                }
                None => {}
            }
        }
        let source = io::Error::other("said to be there and not found, again and again");
        Err(FileError::new("create", path, source).into())
    }

    fn on_appended(&mut self, name: &str) {
        self.next_sequence += 1;
        // From the first one on: where it is gone the campaign is, and none is begun in its place.
        self.directory.anchor(name);
    }

    fn encode(&self, events: &[Event]) -> Result<Vec<u8>, JournalError> {
        let unrecordable = |error: serde_json::Error| JournalError::Unrecordable {
            message: error.to_string(),
        };
        let record = Record {
            format: FORMAT.to_owned(),
            version: VERSION,
            run: self.run.clone(),
            sequence: self.next_sequence,
            events: events.to_vec(),
        };
        let mut text = serde_json::to_string(&record).map_err(unrecordable)?;
        // JSON has no infinity: what cannot be read again must not get into the journal.
        let again: Record = serde_json::from_str(&text).map_err(unrecordable)?;
        if again != record {
            return Err(JournalError::Unrecordable {
                message: "the events read again differ".to_owned(),
            });
        }
        text.pop();
        let checksum = files::sha256_hex(text.as_bytes());
        text.push_str(CHECKSUM_KEY);
        text.push_str(&checksum);
        text.push_str("\"}\n");
        Ok(text.into_bytes())
    }
}

fn parse(path: &Path, sequence: u64, bytes: &[u8]) -> Result<Record, JournalError> {
    let damaged = |message: String| JournalError::Damaged {
        path: path.to_owned(),
        message,
    };
    let n_body = bytes
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .ok_or_else(|| damaged(format!("{} bytes are too few", bytes.len())))?;
    let (body, tail) = bytes.split_at(n_body);
    let expected = format!("{CHECKSUM_KEY}{}\"}}\n", files::sha256_hex(body));
    if tail != expected.as_bytes() {
        return Err(damaged("its checksum does not fit".to_owned()));
    }
    let mut text = body.to_vec();
    text.push(b'}');
    let header: Header =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if header.format != FORMAT {
        return Err(damaged(format!(
            "format is {:?}, expected {FORMAT:?}",
            header.format
        )));
    }
    if header.version != VERSION {
        return Err(JournalError::Version {
            path: path.to_owned(),
            found: header.version,
        });
    }
    let record: Record =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if record.sequence != sequence {
        return Err(damaged(format!(
            "sequence is {}, expected {sequence}",
            record.sequence
        )));
    }
    Ok(record)
}

#[derive(Debug, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// Numbers of the records that are there, in order.
fn list(directory: &Directory) -> Result<Vec<u64>, JournalError> {
    let sequence = |path: &String| -> Option<u64> {
        let digits = path
            .strip_prefix(FOLDER)?
            .strip_prefix('/')?
            .strip_suffix(".json")?;
        let is_record = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_record.then(|| digits.parse().ok())?
    };
    let mut sequences: Vec<u64> = directory
        .list(FOLDER)?
        .iter()
        .filter_map(sequence)
        .collect();
    sequences.sort_unstable();
    Ok(sequences)
}

/// Creates an object twice: the second time must fail.
fn probe(directory: &Directory, run: &RunId) -> Result<(), JournalError> {
    let name = format!("{FOLDER}/probe-{}", run.0);
    let path = directory.join(&name);
    let create = |contents: &'static str| {
        directory.create(&name, contents).map_err(|error| {
            let is_unable = matches!(
                error.source.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            );
            if !is_unable {
                return JournalError::from(error);
            }
            JournalError::CannotCreate {
                path: path.clone(),
                source: error.source,
            }
        })
    };
    create("first")?;
    let second = create("second")?;
    let found = directory.read_if_there(&name)?;
    directory.remove(&name)?;
    let is_kept = found.is_none_or(|found| found == "first");
    match second {
        Created::AlreadyExists if is_kept => Ok(()),
        Created::Created | Created::AlreadyExists => Err(JournalError::CreatesTwice { path }),
    }
}

fn move_aside(directory: &Directory, name: &str) -> Result<PathBuf, JournalError> {
    let contents = directory.read(name)?;
    let stem = name.strip_suffix(".json").unwrap_or(name);
    for n in 0_u32.. {
        let aside = format!("{stem}.damaged-{n}");
        match directory.create(&aside, contents.clone())? {
            Created::Created => {
                // Another coordinator may have moved it already and written its own record there.
                if directory.read_if_there(name)?.as_ref() == Some(&contents) {
                    directory.remove(name)?;
                }
                return Ok(directory.join(&aside));
            }
            Created::AlreadyExists => {}
        }
    }
    Ok(directory.join(name))
}

fn record_path(sequence: u64) -> String {
    format!("{FOLDER}/{sequence:08}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::event::Fact;

    fn events(elapsed_s: f64) -> Vec<Event> {
        vec![Event {
            elapsed_s,
            fact: Fact::Reopened,
        }]
    }

    fn open(directory: &Directory, run: &str) -> OpenedJournal {
        Journal::open(directory, RunId(run.to_owned())).expect("journal opens")
    }

    #[test]
    fn a_half_written_last_record_is_cut_and_its_number_used_again() {
        let directory = Directory::in_memory();
        let mut journal = open(&directory, "a").journal;
        for second in 0..3 {
            journal.append(&events(f64::from(second))).expect("append");
        }
        let last = "journal/00000002.json";
        let whole = directory.read(last).expect("read");
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            directory.write(last, whole.slice(..length)).expect("tear");
            let opened = open(&directory, "b");
            assert_eq!(opened.events, [events(0.0), events(1.0)].concat());
            assert!(opened.put_aside.is_some());
            let mut journal = opened.journal;
            journal.append(&events(7.0)).expect("append");
            let opened = open(&directory, "c");
            assert_eq!(
                opened.events,
                [events(0.0), events(1.0), events(7.0)].concat()
            );
            assert_eq!(opened.put_aside, None);
        }
    }

    #[test]
    fn damage_before_the_last_record_names_the_file() {
        let directory = Directory::in_memory();
        let mut journal = open(&directory, "a").journal;
        for second in 0..3 {
            journal.append(&events(f64::from(second))).expect("append");
        }
        let name = "journal/00000001.json";
        let middle = directory.join(name);
        let mut bytes = directory.read(name).expect("read").to_vec();
        let digit = bytes.iter().position(|&b| b == b'.').expect("a number");
        bytes[digit + 1] = b'9';
        directory.write(name, bytes).expect("damage");
        let error = Journal::open(&directory, RunId("b".to_owned())).expect_err("damage");
        assert!(
            matches!(&error, JournalError::Damaged { path, .. } if *path == middle),
            "{error}"
        );
        directory.remove(name).expect("remove");
        let error = Journal::open(&directory, RunId("b".to_owned())).expect_err("gap");
        assert!(
            matches!(&error, JournalError::Missing { path } if *path == middle),
            "{error}"
        );
    }

    #[test]
    fn of_two_runs_the_one_that_writes_second_stops() {
        let directory = Directory::in_memory();
        let mut first = open(&directory, "first").journal;
        first.append(&events(0.0)).expect("append");
        let mut second = open(&directory, "second").journal;
        second.append(&events(1.0)).expect("append");
        let error = first.append(&events(1.0)).expect_err("superseded");
        assert!(
            matches!(&error, JournalError::Superseded { other, .. } if other.0 == "second"),
            "{error}"
        );
        second.append(&events(2.0)).expect("append");
    }

    #[test]
    fn a_record_of_our_own_that_is_already_there_is_success() {
        let directory = Directory::in_memory();
        let mut journal = open(&directory, "a").journal;
        journal.append(&events(0.0)).expect("append");
        // As if the store had done the write and its answer had been lost.
        journal.next_sequence = 0;
        journal.append(&events(0.0)).expect("append again");
        assert_eq!(journal.next_sequence, 1);
    }

    #[test]
    fn what_json_cannot_hold_is_refused_before_it_is_written() {
        let directory = Directory::in_memory();
        let mut journal = open(&directory, "a").journal;
        let error = journal.append(&events(f64::INFINITY)).expect_err("no JSON");
        assert!(
            matches!(error, JournalError::Unrecordable { .. }),
            "{error}"
        );
        assert!(open(&directory, "b").events.is_empty());
    }
}
