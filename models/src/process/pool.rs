//! The pool: rows shared out among children, failures mended, answers put in order.

use crate::process::child::{Child, Request};
use crate::process::pace::Pace;
use crate::process::reply::{AnswerShape, Outcome, Reply, cut};
use crate::process::rows::{Answers, Rows};
use crate::process::schedule::{Batch, Lost, Next, Schedule};
use crate::process::settings::ChildSettings;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

/// Times in a row that a child is started before the run is given up.
const STARTS: u32 = 5;

/// Between two starts, times their number.
const REST: Duration = Duration::from_millis(200);

/// How often a child without rows looks whether the run was abandoned.
const LOOK: Duration = Duration::from_millis(50);

/// Why a run came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the variants' own messages say it, with the fields"
)]
pub enum ChildError {
    #[error("no child can be started: {0}")]
    Settings(String),
    #[error("cannot start {program}: {reason}")]
    Start { program: String, reason: String },
    #[error("found {found} numbers and {n_rows} seeds, expected {n_inputs} numbers a row")]
    Rows {
        found: usize,
        n_rows: usize,
        n_inputs: usize,
    },
    #[error("row {first_row} and the {n_rows} after it are more than a round can have")]
    TooManyRows { first_row: u64, n_rows: usize },
    #[error("the run was abandoned")]
    Abandoned,
}

/// Child processes that run rows. They are started when rows are there for them, replaced where they fail, and killed with
/// all that they have started when this is dropped; where this process is killed, they end by themselves, as
/// their requests do.
pub struct Children {
    settings: ChildSettings,
    shape: AnswerShape,
    program: String,
    places: Vec<Mutex<Option<Child>>>,
    /// Of all runs: how long a row takes is known from the one before.
    pace: Mutex<Pace>,
    /// The longest that a child took for its first batch; None before any answered.
    first_batch: Mutex<Option<Duration>>,
    /// Whether it was said that a tiny likelihood is taken for none.
    has_said_tiny: AtomicBool,
}

impl Children {
    /// Starts one child and waits until it is ready, so that a program, an import or a function that is missing is told
    /// at once. A program that speaks in lines has no way to say so.
    pub fn start(settings: ChildSettings) -> Result<Self, ChildError> {
        if let Some(complaint) = settings.complaint() {
            return Err(ChildError::Settings(complaint));
        }
        let first = Child::start(&settings, &AtomicBool::new(false))
            .map_err(|reason| cannot_start(&settings, &reason))?;
        let shape = AnswerShape::of(&settings.hello);
        let n_values = shape.n_data + shape.theta.len() + shape.blobs.len();
        let program = first.program.clone();
        let mut places = vec![Mutex::new(Some(first))];
        places.resize_with(settings.n_children, || Mutex::new(None));
        Ok(Self {
            pace: Mutex::new(Pace::new(settings.hello.block, n_values)),
            settings,
            shape,
            program,
            places,
            first_batch: Mutex::new(None),
            has_said_tiny: AtomicBool::new(false),
        })
    }

    /// What the children call themselves: `Python 3.11.7, numpy 2.4.6`; empty where they speak in lines.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Runs rows, and gives one answer a row, in the rows' order. An answer depends on its row's id, parameters and seed alone:
    /// neither the number of children nor the length of batches shows.
    ///
    /// A row fails at once where the child says so. Where the process ends, hangs, answers what is no answer or
    /// asks for another try, it is replaced and its rows are tried again, in ever smaller batches; a row that fails so
    /// 3 times alone (2 times where it takes too long) is a failed row. Where a child cannot be started five times in a
    /// row, the run ends.
    ///
    /// Once `abandoned` is set, no rows are given out, and what is being run has 2 s left. Runs of several threads share
    /// the children.
    pub fn run(&self, rows: &Rows, abandoned: &AtomicBool) -> Result<Answers, ChildError> {
        self.check(rows)?;
        let block = self.settings.hello.block;
        let desk = Desk {
            work: Mutex::new(Work {
                schedule: Schedule::new(rows.first_row, rows.len(), block),
                answers: no_answers(rows.len(), &self.shape),
                error: None,
            }),
            changed: Condvar::new(),
            rows,
            abandoned,
        };
        thread::scope(|scope| {
            for place in self.places.iter().take(rows.len().div_ceil(block.max(1))) {
                let attendant = thread::Builder::new().name("child".to_owned());
                let spawned = attendant.spawn_scoped(scope, || self.attend(place, &desk));
                if let Err(error) = spawned {
                    desk.end(cannot_start(&self.settings, &error.to_string()));
                    return;
                }
            }
        });
        if abandoned.load(Ordering::Relaxed) {
            return Err(ChildError::Abandoned);
        }
        let work = desk
            .work
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match work.error {
            Some(error) => Err(error),
            None => Ok(work.answers),
        }
    }

    fn check(&self, rows: &Rows) -> Result<(), ChildError> {
        let n_inputs = self.settings.hello.n_inputs();
        let (found, n_rows) = (rows.inputs.len(), rows.len());
        if n_rows.checked_mul(n_inputs) != Some(found) {
            return Err(ChildError::Rows {
                found,
                n_rows,
                n_inputs,
            });
        }
        let first_row = rows.first_row;
        match first_row.checked_add(n_rows as u64) {
            Some(_) => Ok(()),
            None => Err(ChildError::TooManyRows { first_row, n_rows }),
        }
    }

    /// Gives rows to one child until there are none.
    fn attend(&self, place: &Mutex<Option<Child>>, desk: &Desk<'_>) {
        let Some(mut place) = desk.place(place) else {
            return;
        };
        while let Some(batch) = desk.next(self) {
            let child = match place.take() {
                Some(child) => Ok(child),
                None => self.start_again(desk.abandoned),
            };
            let mut child = match child {
                Ok(child) => child,
                Err(error) => return desk.end(error),
            };
            let began = Instant::now();
            let n_inputs = self.settings.hello.n_inputs();
            let inputs = batch.rows.start * n_inputs..batch.rows.end * n_inputs;
            let request = Request {
                first_row: desk.rows.first_row + batch.rows.start as u64,
                inputs: &desk.rows.inputs[inputs],
                seeds: &desk.rows.seeds[batch.rows.clone()],
            };
            let is_new = child.is_new();
            match child.exchange(&request, &self.settings, self.setup(), desk.abandoned) {
                Ok(mut reply) => {
                    let took = began.elapsed();
                    match is_new {
                        true => {
                            let mut longest = locked(&self.first_batch);
                            *longest = Some(longest.map_or(took, |longest| longest.max(took)));
                        }
                        false => locked(&self.pace).on_answered(batch.rows.len(), took),
                    }
                    if self.shape.judge(&mut reply) {
                        self.say_tiny();
                    }
                    let is_done = desk.on_answered(&batch, reply, &self.shape);
                    *place = is_done.then_some(child);
                }
                Err(failure) => {
                    drop(child);
                    let mut work = locked(&desk.work);
                    let lost = work.schedule.on_failed(batch, &failure);
                    work.lose(lost);
                }
            }
            desk.changed.notify_all();
        }
    }

    /// What a child's first batch may take beyond the row's limit: as long as it may take to start, until it is known how long
    /// others took, so that a row that hangs in a new child is not waited for as long.
    fn setup(&self) -> Duration {
        const TIMES: u32 = 4;
        const SPARE: Duration = Duration::from_secs(1);
        let limit = self.settings.setup_limit;
        let first_batch = *locked(&self.first_batch);
        first_batch.map_or(limit, |took| (TIMES * took + SPARE).min(limit))
    }

    /// A child in place of one that is gone.
    fn start_again(&self, abandoned: &AtomicBool) -> Result<Child, ChildError> {
        let mut n_starts = 0;
        loop {
            let reason = match Child::start(&self.settings, abandoned) {
                Ok(child) => return Ok(child),
                Err(reason) => reason,
            };
            n_starts += 1;
            if abandoned.load(Ordering::Relaxed) {
                return Err(ChildError::Abandoned);
            }
            if n_starts == STARTS {
                let reason = format!("{reason} (tried {STARTS} times)");
                return Err(cannot_start(&self.settings, &reason));
            }
            tracing::warn!("cannot start {}: {reason}", self.settings.program);
            thread::sleep(REST * n_starts);
        }
    }

    fn say_tiny(&self) {
        if !self.has_said_tiny.swap(true, Ordering::Relaxed) {
            tracing::warn!("a log-likelihood below -1e290 is taken for one of -inf");
        }
    }
}

fn cannot_start(settings: &ChildSettings, reason: &str) -> ChildError {
    ChildError::Start {
        program: settings.program.to_string(),
        reason: reason.to_owned(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the children of one run get their rows and bring their answers.
struct Desk<'a> {
    work: Mutex<Work>,
    /// Rows have come back, or the run has ended.
    changed: Condvar,
    rows: &'a Rows,
    abandoned: &'a AtomicBool,
}

struct Work {
    schedule: Schedule,
    answers: Answers,
    error: Option<ChildError>,
}

impl Desk<'_> {
    /// A child's place, waited for where another run has it; None: this run is done before.
    fn place<'p>(&self, place: &'p Mutex<Option<Child>>) -> Option<MutexGuard<'p, Option<Child>>> {
        let mut work = locked(&self.work);
        loop {
            match place.try_lock() {
                Ok(place) => return Some(place),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            if self.is_over(&work) || work.schedule.is_done() {
                return None;
            }
            work = self.wait(work);
        }
    }

    fn is_over(&self, work: &Work) -> bool {
        work.error.is_some() || self.abandoned.load(Ordering::Relaxed)
    }

    /// Until something has changed, or it is time to look.
    fn wait<'w>(&self, work: MutexGuard<'w, Work>) -> MutexGuard<'w, Work> {
        let waited = self.changed.wait_timeout(work, LOOK);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Rows for a child, waited for where some may come back; None: it is done.
    fn next(&self, children: &Children) -> Option<Batch> {
        let mut work = locked(&self.work);
        loop {
            if self.is_over(&work) {
                return None;
            }
            let n_left = work.schedule.n_left();
            let length = locked(&children.pace).next_length(n_left, children.places.len());
            match work.schedule.next(length) {
                Next::Run(batch) => return Some(batch),
                Next::Done => return None,
                Next::Wait => {}
            }
            work = self.wait(work);
        }
    }

    /// Takes an answer; gives whether the child goes on: one that asks for another try is replaced first.
    fn on_answered(&self, batch: &Batch, reply: Reply, shape: &AnswerShape) -> bool {
        let mut work = locked(&self.work);
        let again = work.take(batch, reply, shape);
        for lost in work.schedule.on_answered(batch, &again) {
            work.lose(Some(lost));
        }
        again.is_empty()
    }

    /// Ends the run; the first reason is the one that is told.
    fn end(&self, error: ChildError) {
        locked(&self.work).error.get_or_insert(error);
        self.changed.notify_all();
    }
}

impl Work {
    /// Puts answers in their places; gives the rows that are to be tried again.
    fn take(&mut self, batch: &Batch, reply: Reply, shape: &AnswerShape) -> Vec<(usize, String)> {
        let mut again = Vec::new();
        let answers = &mut self.answers;
        for (place, outcome) in reply.outcomes.into_iter().enumerate() {
            let row = batch.rows.start + place;
            match outcome {
                Outcome::Answered => answers.outcomes[row] = Ok(()),
                Outcome::Failed(message) => {
                    answers.outcomes[row] = Err(message);
                    continue;
                }
                Outcome::TryAgain(message) => {
                    again.push((row, message));
                    continue;
                }
            }
            let put = |to: &mut [f64], from: &[f64], width: usize| {
                to[row * width..][..width].copy_from_slice(&from[place * width..][..width]);
            };
            put(&mut answers.x, &reply.x, shape.n_data);
            put(&mut answers.theta, &reply.theta, shape.theta.len());
            put(&mut answers.blobs, &reply.blobs, shape.blobs.len());
            if let Some(values) = &reply.log_likelihood {
                answers.log_likelihood[row] = values[place];
            }
        }
        again
    }

    fn lose(&mut self, lost: Option<Lost>) {
        if let Some(Lost { row, message }) = lost {
            self.answers.outcomes[row] = Err(cut(&message));
        }
    }
}

fn no_answers(n_rows: usize, shape: &AnswerShape) -> Answers {
    let matrix = |width: usize| vec![f64::NAN; n_rows * width];
    Answers {
        outcomes: vec![Err(String::new()); n_rows],
        x: matrix(shape.n_data),
        log_likelihood: vec![None; n_rows],
        theta: matrix(shape.theta.len()),
        blobs: matrix(shape.blobs.len()),
    }
}
