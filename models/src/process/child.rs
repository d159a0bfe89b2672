//! One child: its start, its threads, and the exchange of one batch.

use crate::process::arrow_answers::AnswerReader;
use crate::process::arrow_requests::RequestWriter;
use crate::process::handshake::{BOOT, hello_frame, python_source, read_ready};
use crate::process::lines;
use crate::process::reply::{AnswerShape, Asked, NoReply, Reply};
use crate::process::schedule::Failure;
use crate::process::settings::{ChildSettings, Program};
use crate::process::standard_error::LastLines;
use crate::process::system::Process;
use std::ffi::OsString;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Runs a program whose requests come on descriptor 3 and whose answers go to 4; all that it prints goes to standard error.
const APART: &str = r#"exec 3<&0 4>&1 </dev/null >&2; exec "$@""#;

/// Set to 1 where the user has not set them.
const THREAD_VARIABLES: [&str; 5] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
];

const XLA_FLAGS: &str = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1";

/// Beyond the limit of a row, for the way to the child and back.
const ROUNDING: Duration = Duration::from_secs(1);

/// How long an answer is waited for that nobody needs any more, rather than to kill a child that is set up.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether an answer is needed still.
const LOOK: Duration = Duration::from_millis(50);

/// A process that is ready. It is killed, with its group, when it is dropped.
pub struct Child {
    process: Process,
    last_lines: LastLines,
    /// What the child calls itself.
    pub program: String,
    protocol: Protocol,
    requests: Sender<Vec<u8>>,
    asked: Sender<Asked>,
    replies: Receiver<Result<Reply, NoReply>>,
    /// Whether it has answered nothing yet, and may have to compile first.
    is_new: bool,
}

enum Protocol {
    Arrow(Box<RequestWriter>),
    Lines,
}

/// What one batch asks for.
pub struct Request<'a> {
    pub first_row: u64,
    /// \[row, input\]
    pub inputs: &'a [f64],
    pub seeds: &'a [[u8; 16]],
}

impl Child {
    /// Starts a child and waits until it is ready; an error says why it is not.
    pub fn start(settings: &ChildSettings, abandoned: &AtomicBool) -> Result<Self, String> {
        let io_error = |error: io::Error| error.to_string();
        let (requests, to_write) = channel();
        let (asked, to_read) = channel();
        let (answered, replies) = channel();
        let (say_ready, ready) = channel();
        let (started, process) = channel();
        let command = command(&settings.program);
        in_thread("child-requests", move || {
            start_and_write(command, &started, &to_write);
        })?;
        let mut process = process
            .recv()
            .map_err(|error| error.to_string())?
            .map_err(io_error)?;
        let child = process.child();
        let process_id = child.id();
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("it has no pipes".to_owned());
        };
        let last_lines = LastLines::of(stderr, process_id).map_err(io_error)?;
        let shape = Arc::new(AnswerShape::of(&settings.hello));
        let stdout = BufReader::new(stdout);
        let hello = match &settings.program {
            Program::Python { .. } => {
                Some([python_source(), hello_frame(&settings.hello)?].concat())
            }
            Program::Arrow { .. } => Some(hello_frame(&settings.hello)?),
            Program::Lines { .. } => None,
        };
        let protocol = match hello {
            Some(hello) => {
                // A child that is gone already is found by its answers.
                let _ = requests.send(hello);
                in_thread("child-answers", move || {
                    read_arrow(stdout, shape, &say_ready, &to_read, &answered);
                })?;
                let writer = RequestWriter::new(&settings.hello);
                Protocol::Arrow(Box::new(writer.map_err(|error| error.to_string())?))
            }
            None => {
                in_thread("child-answers", move || {
                    read_lines(stdout, &shape, &to_read, &answered);
                })?;
                Protocol::Lines
            }
        };
        let mut child = Self {
            process,
            last_lines,
            program: String::new(),
            protocol,
            requests,
            asked,
            replies,
            is_new: true,
        };
        match child.protocol {
            Protocol::Arrow(_) => {
                let ready = child.wait(&ready, settings.setup_limit, abandoned);
                child.program = ready.map_err(|failure| match failure {
                    Failure::TooLong(limit) => {
                        format!("it was not ready after {} s", limit.as_secs_f64())
                    }
                    Failure::Ended(_) | Failure::Nonsense(_) | Failure::TryAgain(_) => {
                        failure.to_string()
                    }
                })??;
            }
            Protocol::Lines => {}
        }
        Ok(child)
    }

    /// Whether it has answered nothing yet.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The answer to a batch; the first one may take `setup` beyond the row's limit. After a failure the child is of no more use.
    pub fn exchange(
        &mut self,
        request: &Request<'_>,
        settings: &ChildSettings,
        setup: Duration,
        abandoned: &AtomicBool,
    ) -> Result<Reply, Failure> {
        let bytes = match &mut self.protocol {
            Protocol::Arrow(writer) => writer
                .request(request.first_row, request.inputs, request.seeds)
                .map_err(|error| Failure::Nonsense(format!("the request: {error}")))?,
            Protocol::Lines => lines::request(request.inputs, settings.hello.parameters.len()),
        };
        let asked = Asked {
            first_row: request.first_row,
            n_rows: request.seeds.len(),
        };
        // Where the threads have ended, the replies have as well.
        let _ = self.asked.send(asked);
        let _ = self.requests.send(bytes);
        let n_rows = u32::try_from(settings.hello.block.max(1)).unwrap_or(u32::MAX);
        let mut limit = settings.row_limit.saturating_mul(n_rows);
        if self.is_new {
            limit = limit.saturating_add(setup);
        }
        let reply = self.wait(&self.replies, limit, abandoned)?;
        self.is_new = false;
        Ok(reply)
    }

    fn wait<T>(
        &self,
        channel: &Receiver<Result<T, NoReply>>,
        limit: Duration,
        abandoned: &AtomicBool,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let mut abandoned_at = None;
        loop {
            match channel.recv_timeout(LOOK) {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(NoReply::Ended)) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Ended(self.how_it_ended()));
                }
                Ok(Err(NoReply::Nonsense(message))) => return Err(Failure::Nonsense(message)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if abandoned.load(Ordering::Relaxed) {
                abandoned_at.get_or_insert_with(Instant::now);
            }
            let is_given_up = abandoned_at.is_some_and(|at| at.elapsed() >= PATIENCE);
            if is_given_up || began.elapsed() >= limit.saturating_add(ROUNDING) {
                return Err(Failure::TooLong(limit));
            }
        }
    }

    fn how_it_ended(&self) -> String {
        let end = self.process.how_it_ended();
        match self.last_lines.last_words() {
            Some(words) => format!("{end}; its last lines: {words}"),
            None => end,
        }
    }
}

fn in_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop).map_err(|error| error.to_string())
}

/// Starts the process, and writes to it until there is nothing to write any more, or nobody to read it. A process that asked to be
/// killed with its parent (`PR_SET_PDEATHSIG`) is killed with the thread that has started it: so it is this one.
fn start_and_write(
    mut command: Command,
    started: &Sender<io::Result<Process>>,
    to_write: &Receiver<Vec<u8>>,
) {
    let mut process = Process::start(&mut command);
    let stdin = process.as_mut().ok();
    let stdin = stdin.and_then(|process| process.child().stdin.take());
    let (Ok(()), Some(mut stdin)) = (started.send(process), stdin) else {
        return;
    };
    while let Ok(bytes) = to_write.recv() {
        if stdin.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn read_arrow(
    mut stdout: BufReader<ChildStdout>,
    shape: Arc<AnswerShape>,
    say_ready: &Sender<Result<Result<String, String>, NoReply>>,
    to_read: &Receiver<Asked>,
    answered: &Sender<Result<Reply, NoReply>>,
) {
    let ready = read_ready(&mut stdout);
    let is_ready = ready.as_ref().is_ok_and(Result::is_ok);
    if say_ready.send(ready).is_err() || !is_ready {
        return;
    }
    let mut reader = AnswerReader::new(stdout, shape);
    read_each(to_read, answered, |asked| reader.reply(asked));
}

fn read_lines(
    mut stdout: BufReader<ChildStdout>,
    shape: &AnswerShape,
    to_read: &Receiver<Asked>,
    answered: &Sender<Result<Reply, NoReply>>,
) {
    read_each(to_read, answered, |asked| {
        lines::reply(&mut stdout, shape, asked)
    });
}

/// Until nothing is asked any more, or there is no answer.
fn read_each(
    to_read: &Receiver<Asked>,
    answered: &Sender<Result<Reply, NoReply>>,
    mut read: impl FnMut(Asked) -> Result<Reply, NoReply>,
) {
    while let Ok(asked) = to_read.recv() {
        let reply = read(asked);
        let is_last = reply.is_err();
        if answered.send(reply).is_err() || is_last {
            return;
        }
    }
}

/// How the program is started.
fn command(program: &Program) -> Command {
    let mut command = match program {
        Program::Python { interpreter } => {
            let mut command = apart();
            command.arg(interpreter).args(["-c", BOOT]);
            command
        }
        Program::Arrow {
            command: words,
            directory,
        } => {
            let mut command = apart();
            command
                .args(within(words, directory))
                .current_dir(directory);
            command
        }
        Program::Lines {
            command: words,
            directory,
        } => {
            let mut words = within(words, directory).into_iter();
            let mut command = Command::new(words.next().unwrap_or_default());
            command.args(words).current_dir(directory);
            command
        }
    };
    for name in THREAD_VARIABLES {
        set_where_unset(&mut command, name, "1");
    }
    set_where_unset(&mut command, "XLA_FLAGS", XLA_FLAGS);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn apart() -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", APART, "sh"])
        .env("SIDEREAL_REQUESTS", "3")
        .env("SIDEREAL_ANSWERS", "4");
    command
}

fn set_where_unset(command: &mut Command, name: &str, value: &str) {
    if std::env::var_os(name).is_none() {
        command.env(name, value);
    }
}

/// The command with its program's path, where it is one, as seen from anywhere.
fn within(words: &[String], directory: &Path) -> Vec<OsString> {
    let mut found: Vec<OsString> = words.iter().map(OsString::from).collect();
    if let Some(first) = found.first_mut()
        && words[0].contains('/')
    {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| PathBuf::from("."));
        *first = directory.join(&words[0]).into_os_string();
    }
    found
}
