//! Storage with faults that are drawn from a seed: refused and lost calls, late writes, crashes.

use bytes::Bytes;
use object_store::memory::InMemory;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sidereal_inference::records::{Created, Directory, Storage};
use sidereal_store::ObjectStorage;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Shares of calls that go wrong, each between 0 and 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// An error, and nothing done.
    pub refused: f64,
    /// A write is done, and its answer lost. What nobody has seen before the next crash may vanish or be
    /// torn by it.
    pub lost: f64,
    /// A creation is done, its answer lost, and the client of the store tries again by itself: "already
    /// exists" for an own write.
    pub tried_again: f64,
    /// A creation times out and is done only later, perhaps after others have gone on.
    pub late: f64,
}

/// What the store makes of create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    Kept,
    /// Overwrites, and says that it was created.
    Ignored,
    /// Overwrites, and says that it was there.
    OverwritesAll,
    /// Keeps the first one, and says that the second was created.
    SaysYes,
    Unsupported,
}

/// Clones are the same store.
#[derive(Debug, Clone)]
pub struct Faulty {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: ObjectStorage,
    creation: Creation,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: ChaCha8Rng,
    faults: Faults,
    /// Writes whose answer was lost, with what was there before; gone once somebody has seen them.
    unseen: Vec<(String, Option<Bytes>)>,
    /// Creations that are under way and belong to nobody any more.
    under_way: Vec<(String, Bytes)>,
    n_faults: u64,
    is_journal_down: bool,
}

impl Faulty {
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::with_creation(seed, faults, Creation::Kept)
    }

    pub fn with_creation(seed: u64, faults: Faults, creation: Creation) -> Self {
        let inner = ObjectStorage::new(Arc::new(InMemory::new()), "faulty".to_owned());
        Self {
            shared: Arc::new(Shared {
                inner,
                creation,
                state: Mutex::new(State {
                    rng: ChaCha8Rng::seed_from_u64(seed),
                    faults,
                    unseen: Vec::new(),
                    under_way: Vec::new(),
                    n_faults: 0,
                    is_journal_down: false,
                }),
            }),
        }
    }

    pub fn directory(&self) -> Directory {
        Directory::new(self.clone())
    }

    /// Faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// As a disk would be that is full: nothing can be created in the journal.
    pub fn set_journal_down(&self, is_down: bool) {
        self.state().is_journal_down = is_down;
    }

    pub fn n_faults(&self) -> u64 {
        self.state().n_faults
    }

    /// Whoever used the store is gone; of what nobody was told that it is there, each part may be.
    pub fn crash(&self) {
        let mut state = self.state();
        for (path, before) in std::mem::take(&mut state.unseen) {
            let written = self.shared.inner.read(&path).expect("was written");
            let share = state.share();
            let after = if share < 0.3 {
                before
            } else if share < 0.6 {
                let length = (state.share() * written.len() as f64) as usize;
                Some(written.slice(..length))
            } else {
                Some(written)
            };
            match after {
                Some(contents) => self.shared.inner.write(&path, contents),
                None => self.shared.inner.remove(&path),
            }
            .expect("memory");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no panic")
    }

    /// Lets some of the late creations happen; the state for the call itself, or its failure.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        for (path, contents) in std::mem::take(&mut state.under_way) {
            if state.share() < 0.3 {
                self.shared.inner.create(&path, contents)?;
            } else {
                state.under_way.push((path, contents));
            }
        }
        let refused = state.faults.refused;
        if state.happens(refused) {
            return Err(io::Error::other("503 slow down"));
        }
        Ok(state)
    }
}

impl State {
    fn share(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn happens(&mut self, probability: f64) -> bool {
        let happens = self.share() < probability;
        self.n_faults += u64::from(happens);
        happens
    }

    fn see(&mut self, path: &str) {
        self.unseen.retain(|(unseen, _)| unseen != path);
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer")
}

impl Storage for Faulty {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        let mut state = self.call()?;
        state.see(path);
        self.shared.inner.read(path)
    }

    fn write(&self, path: &str, contents: Bytes) -> io::Result<()> {
        let mut state = self.call()?;
        let before = self.shared.inner.read(path).ok();
        self.shared.inner.write(path, contents)?;
        state.see(path);
        let lost_share = state.faults.lost;
        if state.happens(lost_share) {
            state.unseen.push((path.to_owned(), before));
            return Err(lost());
        }
        Ok(())
    }

    fn create(&self, path: &str, contents: Bytes) -> io::Result<Created> {
        let mut state = self.call()?;
        match self.shared.creation {
            Creation::Kept => {}
            Creation::Ignored => {
                self.shared.inner.write(path, contents)?;
                return Ok(Created::Created);
            }
            Creation::OverwritesAll => {
                let created = self.shared.inner.create(path, contents.clone())?;
                self.shared.inner.write(path, contents)?;
                return Ok(created);
            }
            Creation::SaysYes => {
                self.shared.inner.create(path, contents)?;
                return Ok(Created::Created);
            }
            Creation::Unsupported => return Err(io::ErrorKind::Unsupported.into()),
        }
        if state.is_journal_down && path.starts_with("journal/") {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let faults = state.faults;
        if state.happens(faults.late) {
            state.under_way.push((path.to_owned(), contents));
            return Err(lost());
        }
        let created = self.shared.inner.create(path, contents)?;
        match created {
            Created::AlreadyExists => state.see(path),
            Created::Created => {
                if state.happens(faults.lost) {
                    state.unseen.push((path.to_owned(), None));
                    return Err(lost());
                }
                if state.happens(faults.tried_again) {
                    return Ok(Created::AlreadyExists);
                }
            }
        }
        Ok(created)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let _state = self.call()?;
        self.shared.inner.list(folder)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.call()?;
        self.shared.inner.remove(path)?;
        state.see(path);
        let lost_share = state.faults.lost;
        if state.happens(lost_share) {
            return Err(lost());
        }
        Ok(())
    }

    fn location(&self) -> &'static str {
        "faulty"
    }
}
