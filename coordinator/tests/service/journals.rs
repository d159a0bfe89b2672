//! What the journal promises, on sound and on faulty stores: acknowledged events stay, in order,
//! and of two runs exactly one goes on.

use super::faulty::{Creation, Faults, Faulty};
use super::on_disk;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sidereal_coordinator::event::{Event, Fact};
use sidereal_coordinator::journal::{Journal, JournalError, read};
use sidereal_inference::base::RunId;
use sidereal_inference::records::Directory;
use std::io;

/// Times that a call is tried again; far more than any seed here needs.
const PATIENCE: u32 = 1000;

const KINDS_OF_FAULTS: [(&str, Faults); 6] = [
    ("none", NONE),
    (
        "refused",
        Faults {
            refused: 0.04,
            ..NONE
        },
    ),
    ("lost", Faults { lost: 0.3, ..NONE }),
    (
        "tried again",
        Faults {
            tried_again: 0.3,
            ..NONE
        },
    ),
    ("late", Faults { late: 0.3, ..NONE }),
    (
        "all",
        Faults {
            refused: 0.04,
            lost: 0.1,
            tried_again: 0.1,
            late: 0.1,
        },
    ),
];
const NONE: Faults = Faults {
    refused: 0.0,
    lost: 0.0,
    tried_again: 0.0,
    late: 0.0,
};

/// A store, and what a crash does to it.
struct Ground {
    directory: Directory,
    faulty: Option<Faulty>,
}

impl Ground {
    fn crash(&self) {
        if let Some(faulty) = &self.faulty {
            faulty.crash();
        }
    }
}

#[test]
fn memory_keeps_what_it_acknowledges() {
    for seed in 0..50 {
        let ground = Ground {
            directory: Directory::in_memory(),
            faulty: None,
        };
        check(&ground, "memory", seed);
    }
}

#[test]
fn a_file_system_keeps_what_it_acknowledges() {
    for seed in 0..6 {
        let (_guard, directory) = on_disk();
        let ground = Ground {
            directory,
            faulty: None,
        };
        check(&ground, "file system", seed);
    }
}

#[test]
fn faulty_stores_keep_what_they_acknowledge() {
    for (kind, faults) in KINDS_OF_FAULTS {
        let mut n_faults = 0;
        for seed in 0..300 {
            let faulty = Faulty::new(seed, faults);
            let ground = Ground {
                directory: faulty.directory(),
                faulty: Some(faulty.clone()),
            };
            check(&ground, kind, seed);
            n_faults += faulty.n_faults();
        }
        assert_eq!(n_faults > 0, kind != "none", "{kind}: {n_faults} faults");
    }
}

/// Runs one after another and at the same time, each until it crashes or is superseded.
fn check(ground: &Ground, kind: &str, seed: u64) {
    let context = format!("store {kind}, seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pick = move |n: u64| rng.next_u64() % n;
    let mut history = History {
        acknowledged: Vec::new(),
        pending: Vec::new(),
        context,
    };
    let mut n_runs = 0;
    let mut n_events = 0;
    let mut open = |ground: &Ground, history: &mut History| {
        // Each try is another process, with an id of its own.
        let opened = patiently(|| {
            n_runs += 1;
            Journal::open(&ground.directory, RunId(format!("run-{n_runs}")))
        });
        history.on_read(&opened.events);
        opened.journal
    };
    for _ in 0..6 {
        ground.crash();
        let first = open(ground, &mut history);
        let mut journals = vec![Some(first)];
        if pick(3) == 0 {
            journals.push(Some(open(ground, &mut history)));
        }
        let n_both = journals.len();
        let mut n_superseded = 0;
        for _ in 0..2 + pick(10) {
            let which = pick(journals.len() as u64) as usize;
            let Some(journal) = &mut journals[which] else {
                continue;
            };
            n_events += 1;
            let events = events(n_events);
            // As the driver does, unless this is where the process dies.
            let n_tries = if pick(8) == 0 { 1 } else { PATIENCE };
            match append(journal, &events, n_tries) {
                Ok(()) => history.on_acknowledged(events),
                Err(JournalError::File(_)) => {
                    history.pending.push(events);
                    journals[which] = None;
                }
                Err(JournalError::Superseded { .. }) => {
                    let again = append(journal, &events, PATIENCE);
                    assert!(
                        matches!(again, Err(JournalError::Superseded { .. })),
                        "{}: {again:?} after it was superseded",
                        history.context
                    );
                    journals[which] = None;
                    n_superseded += 1;
                }
                Err(error) => panic!("{}: {error}", history.context),
            }
        }
        if history.pending.is_empty() && n_both == 2 && journals.iter().all(Option::is_none) {
            panic!(
                "{}: {n_superseded} superseded, none goes on",
                history.context
            );
        }
    }
    ground.crash();
    open(ground, &mut history);
    let records = patiently(|| read(&ground.directory));
    history.on_read(&records.events);
}

/// What must be found.
struct History {
    acknowledged: Vec<Event>,
    /// Of runs that died before they had an answer: each may be there, at its place, or not.
    pending: Vec<Vec<Event>>,
    context: String,
}

impl History {
    fn on_acknowledged(&mut self, events: Vec<Event>) {
        // The place after which an unanswered one was meant to be is taken, by that one or by another.
        self.acknowledged.extend(events);
    }

    /// Everything acknowledged, in order; what was pending counts as acknowledged once it was read.
    fn on_read(&mut self, found: &[Event]) {
        let n = self.acknowledged.len();
        let known = found.len().min(n);
        assert_eq!(
            found[..known],
            self.acknowledged[..known],
            "{}",
            self.context
        );
        assert!(
            found.len() >= n,
            "{}: {} of {n} events",
            self.context,
            found.len()
        );
        if found.len() > n {
            let more = &found[n..];
            assert!(
                self.pending.iter().any(|events| events == more),
                "{}: {more:?} was never written",
                self.context
            );
            self.acknowledged.extend_from_slice(more);
        }
    }
}

/// Tries as often as this while the store refuses.
fn append(journal: &mut Journal, events: &[Event], n_tries: u32) -> Result<(), JournalError> {
    let mut result = journal.append(events);
    for _ in 1..n_tries {
        match result {
            Err(JournalError::File(_)) => result = journal.append(events),
            Ok(()) | Err(_) => break,
        }
    }
    result
}

fn patiently<T>(mut call: impl FnMut() -> Result<T, JournalError>) -> T {
    for _ in 0..PATIENCE {
        match call() {
            Ok(value) => return value,
            Err(JournalError::File(_)) => {}
            Err(JournalError::CannotCreate { source, .. })
                if source.kind() != io::ErrorKind::Unsupported => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the store refuses for ever");
}

/// Distinct from all others.
fn events(n: u32) -> Vec<Event> {
    (0..=n % 3)
        .map(|i| Event {
            elapsed_s: f64::from(10 * n + i),
            fact: Fact::Reopened,
        })
        .collect()
}

#[test]
fn of_runs_that_write_at_the_same_time_exactly_one_goes_on() {
    let grounds: Vec<(Option<tempfile::TempDir>, Directory)> = (0..12)
        .map(|n| match n % 3 {
            0 => {
                let (guard, directory) = on_disk();
                (Some(guard), directory)
            }
            1 => (None, Directory::in_memory()),
            _ => {
                let faults = KINDS_OF_FAULTS[5].1;
                let without_late = Faults {
                    late: 0.0,
                    ..faults
                };
                (None, Faulty::new(n, without_late).directory())
            }
        })
        .collect();
    for (n, (_guard, directory)) in grounds.iter().enumerate() {
        let mut n_runs = 0;
        let mut open = || {
            let opened = patiently(|| {
                n_runs += 1;
                Journal::open(directory, RunId(format!("run-{n_runs}")))
            });
            opened.journal
        };
        let journals = [open(), open(), open()];
        let results: Vec<Result<Vec<Event>, JournalError>> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..)
                .zip(journals)
                .map(|(writer, mut journal)| {
                    scope.spawn(move || {
                        let mut written = Vec::new();
                        for i in 0..10 {
                            let events = events(100 * writer + i);
                            append(&mut journal, &events, PATIENCE)?;
                            written.extend(events);
                        }
                        Ok(written)
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().expect("no panic"))
                .collect()
        });
        let found = patiently(|| read(directory)).events;
        let mut winners = Vec::new();
        for result in results {
            match result {
                Ok(written) => winners.push(written),
                Err(JournalError::Superseded { .. }) => {}
                Err(error) => panic!("store {n}: {error}"),
            }
        }
        assert_eq!(winners, [found], "store {n}");
    }
}

#[test]
fn a_store_that_creates_twice_is_refused() {
    for creation in [
        Creation::Ignored,
        Creation::OverwritesAll,
        Creation::SaysYes,
    ] {
        let faulty = Faulty::with_creation(0, NONE, creation);
        let opened = Journal::open(&faulty.directory(), RunId("a".to_owned()));
        let error = opened.expect_err("refused");
        assert!(
            matches!(error, JournalError::CreatesTwice { .. }),
            "{creation:?}: {error}"
        );
    }
}

#[test]
fn a_store_that_cannot_create_is_refused() {
    let faulty = Faulty::with_creation(0, NONE, Creation::Unsupported);
    let opened = Journal::open(&faulty.directory(), RunId("a".to_owned()));
    let error = opened.expect_err("refused");
    assert!(
        matches!(error, JournalError::CannotCreate { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("hard links"), "{error}");
}

/// A store that is down for a moment is not one that cannot hold a campaign.
#[test]
fn a_store_that_does_not_answer_is_not_called_unfit() {
    let down = Faults {
        refused: 1.0,
        ..NONE
    };
    let faulty = Faulty::new(0, down);
    let opened = Journal::open(&faulty.directory(), RunId("a".to_owned()));
    let error = opened.expect_err("down");
    assert!(matches!(error, JournalError::File(_)), "{error}");
}
