//! Standard error as people see it: notes, warnings, and progress as a bar or as plain lines.

use crate::logs::LogFormat;
use crate::{numbers, words};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sidereal_inference::account::Progress;
use sidereal_inference::method::Standing;
use sidereal_inference::records::{TrainingProgress, TrainingSummary};
use sidereal_inference::weights::{Component, RoundKind, RoundSummary};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;

/// Between two plain lines about the same thing.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// A person watches.
    Bar,
    /// A file or a program reads.
    Lines,
    /// Only warnings and errors.
    Quiet,
}

/// Standard error; clones share the bar.
#[derive(Clone)]
pub struct Terminal {
    manner: Manner,
    bar: ProgressBar,
}

impl Terminal {
    pub fn new(quiet: bool) -> Self {
        let manner = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Manner::Quiet,
            (false, true) => Manner::Bar,
            (false, false) => Manner::Lines,
        };
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self { manner, bar }
    }

    /// What the crates log goes to standard error, above the bar.
    pub fn start_logging(&self, format: LogFormat, filter: EnvFilter) {
        let bar = self.bar.clone();
        let logging = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(move || AboveBar { bar: bar.clone() });
        match format {
            LogFormat::Text => logging.init(),
            LogFormat::Json => logging.json().flatten_event(true).init(),
        }
    }

    /// One line of information.
    pub fn note(&self, line: &str) {
        if self.manner != Manner::Quiet {
            self.print(line);
        }
    }

    /// A result that is not to be trusted, loud even where the terminal is quiet.
    pub fn not_trusted(&self, warnings: &[String]) {
        let (loud, plain) = if io::stderr().is_terminal() {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        self.print(&format!("{loud}NOT TO BE TRUSTED:{plain}"));
        for warning in warnings {
            self.print(&format!("{loud}  {warning}{plain}"));
        }
    }

    pub fn error(&self, message: &str) {
        self.clear();
        for line in message.lines() {
            let introduction = if line.starts_with(' ') { "" } else { "error: " };
            self.print(&format!("{introduction}{line}"));
        }
    }

    /// A bar over `n` things that takes part in the terminal's manner.
    pub fn count(&self, what: &str, n: u64) {
        if self.manner == Manner::Bar {
            self.show_bar(
                n,
                &format!("{what} {{bar:30}} {{pos}}/{{len}}  {{eta}} left"),
            );
        }
    }

    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn print(&self, line: &str) {
        // Nothing is left to do where standard error is closed.
        self.bar.suspend(|| {
            let _ = writeln!(io::stderr(), "{line}");
        });
    }

    fn show_bar(&self, length: u64, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        // What was shown before is gone before it is seen in the new form.
        self.bar.reset();
        self.bar.set_length(length);
        self.bar.set_message("");
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
    }
}

/// Writes whole log lines without tearing the bar.
struct AboveBar {
    bar: ProgressBar,
}

impl Write for AboveBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bar.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Shows a campaign's progress, step by step.
pub struct CampaignView<'a> {
    terminal: &'a Terminal,
    phase: Phase,
    last_line: Instant,
    searches: Option<Searches>,
    /// Whether it was said what n_eff is.
    is_n_eff_explained: bool,
    /// Whether what comes was told when it happened.
    is_known: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Idle,
    /// Since when, and the rows that were there already.
    Simulating {
        since: Instant,
        n_before: u64,
    },
    Training,
    Drawing,
}

/// The rounds of a session of searches for lost modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Searches {
    n_rounds: u32,
    n_simulations: u64,
    n_found: u64,
}

impl<'a> CampaignView<'a> {
    pub fn new(terminal: &'a Terminal) -> Self {
        Self {
            terminal,
            is_known: false,
            phase: Phase::Idle,
            last_line: Instant::now(),
            searches: None,
            is_n_eff_explained: false,
        }
    }

    /// Of a campaign that had stopped: shows only what comes after.
    pub fn after_the_stop(terminal: &'a Terminal) -> Self {
        Self {
            is_known: true,
            ..Self::new(terminal)
        }
    }

    pub fn show(&mut self, progress: &Progress) {
        if self.is_known {
            self.is_known = !matches!(progress, Progress::Stopped { .. });
            return;
        }
        match progress {
            Progress::RoundOpened {
                round,
                kind,
                n_rows,
            } => {
                self.begin(Phase::Idle);
                match kind {
                    RoundKind::Probe => {
                        self.searches.get_or_insert_default();
                    }
                    RoundKind::Training | RoundKind::TopUp | RoundKind::Reused => {
                        self.end_searches()
                    }
                }
                let what = round_label(round.0, *kind);
                // Only the first rows of all may take long before anything else is said.
                if round.0 == 0 {
                    let n = numbers::count(*n_rows);
                    self.plain(&format!("{what}: simulating {n} draws of the prior"));
                }
            }
            Progress::RowsCommitted {
                round,
                n_committed,
                n_rows,
                n_failed,
            } => {
                let kind = match self.searches {
                    Some(_) => RoundKind::Probe,
                    None => RoundKind::Training,
                };
                let label = round_label(round.0, kind);
                self.on_rows(&label, *n_committed, *n_rows, *n_failed);
            }
            Progress::RoundWeighed {
                summary,
                standing,
                n_found,
                ..
            } => {
                self.begin(Phase::Idle);
                self.on_weighed(summary, standing.as_deref(), *n_found);
            }
            Progress::Training(training) => self.on_training(training),
            Progress::Drawing { n_rows, .. } => {
                if self.phase != Phase::Drawing {
                    self.begin(Phase::Drawing);
                    let line = format!("proposing {} draws", numbers::count(*n_rows));
                    self.bar(0, &line, "{msg}");
                }
            }
            Progress::Trained { summary, seconds } => {
                self.begin(Phase::Idle);
                if let Some(line) = training_line(summary, *seconds) {
                    self.terminal.note(&line);
                }
            }
            Progress::Stopped { reason, .. } => {
                self.begin(Phase::Idle);
                self.end_searches();
                self.terminal
                    .note(&format!("stopped: {}", words::stop_reason(reason)));
            }
            Progress::Paused { reason } => {
                self.begin(Phase::Idle);
                self.terminal.note(&format!("paused: {reason}"));
            }
            Progress::Resumed => self.terminal.note("goes on"),
            Progress::Finished => self.begin(Phase::Idle),
            Progress::Failed { message } => {
                self.begin(Phase::Idle);
                self.terminal.note(&format!("failed: {message}"));
            }
        }
    }

    fn on_rows(&mut self, round: &str, n_committed: u64, n_rows: u64, n_failed: u64) {
        let now = Instant::now();
        let (since, n_before) = match self.phase {
            Phase::Simulating { since, n_before } => (since, n_before),
            Phase::Idle | Phase::Training | Phase::Drawing => {
                self.begin(Phase::Simulating {
                    since: now,
                    n_before: n_committed,
                });
                self.bar(
                    n_rows,
                    "",
                    &format!("{round}: simulating {{bar:20}} {{pos}}/{{len}}  {{msg}}"),
                );
                (now, n_committed)
            }
        };
        let text = rate(
            n_committed - n_before.min(n_committed),
            n_rows - n_committed.min(n_rows),
            now - since,
            n_failed,
        );
        self.terminal.bar.set_position(n_committed);
        self.terminal.bar.set_message(text.clone());
        if n_committed > n_before {
            self.sometimes(&format!(
                "{round}: {} of {} simulated  {text}",
                numbers::count(n_committed),
                numbers::count(n_rows)
            ));
        }
    }

    fn on_weighed(&mut self, round: &RoundSummary, standing: Option<&Standing>, n_found: u64) {
        match (round.kind, &mut self.searches) {
            (RoundKind::Probe, Some(searches)) => {
                searches.n_rounds += 1;
                searches.n_simulations += round.all.n;
                searches.n_found = n_found;
                return;
            }
            (RoundKind::Probe, None)
            | (RoundKind::Training | RoundKind::TopUp | RoundKind::Reused, _) => {}
        }
        let tells_n_eff = standing.is_some_and(|standing| standing.way.is_none());
        if tells_n_eff && !self.is_n_eff_explained {
            self.is_n_eff_explained = true;
            self.terminal.note(N_EFF);
        }
        self.terminal.note(&round_line(round, standing));
    }

    fn end_searches(&mut self) {
        if let Some(searches) = self.searches.take()
            && searches.n_rounds > 0
        {
            self.terminal.note(&searches_line(searches));
        }
    }

    fn on_training(&mut self, training: &TrainingProgress) {
        // A flow has the number of the newest round that it was fitted to.
        let what = format!("learning from round {}", training.flow.0);
        if self.phase != Phase::Training {
            self.begin(Phase::Training);
            self.bar(
                u64::from(training.max_epochs),
                "",
                &format!("{what} {{bar:20}} {{pos}}/{{len}} passes  {{msg}}"),
            );
        }
        let left = f64::from(training.max_epochs.saturating_sub(training.epoch)) * training.epoch_s;
        // It ends earlier once nothing more is learned.
        let left = format!("at most {} left", numbers::seconds(left));
        self.terminal.bar.set_position(u64::from(training.epoch));
        self.terminal.bar.set_message(left.clone());
        self.sometimes(&format!(
            "{what}: pass {} of at most {}, {left}",
            training.epoch, training.max_epochs
        ));
    }

    fn begin(&mut self, phase: Phase) {
        self.terminal.clear();
        self.phase = phase;
        self.last_line = Instant::now();
    }

    fn bar(&self, length: u64, message: &str, template: &str) {
        if self.terminal.manner == Manner::Bar {
            self.terminal.show_bar(length, template);
            self.terminal.bar.set_message(message.to_owned());
        }
    }

    /// A line where there is no bar.
    fn plain(&self, line: &str) {
        if self.terminal.manner == Manner::Lines {
            self.terminal.note(line);
        }
    }

    /// As [`Self::plain`], but only now and then, and not at the beginning.
    fn sometimes(&mut self, line: &str) {
        let now = Instant::now();
        if now - self.last_line >= LINE_INTERVAL {
            self.last_line = now;
            self.plain(line);
        }
    }
}

/// Said before the first line that tells n_eff.
const N_EFF: &str = "n_eff: the weighted draws are worth so many independent draws of the posterior; efficiency: how many \
                     of them a simulation brings";

/// Trainings that are worth a line.
const LONG_TRAINING_S: f64 = 10.0;

fn rate(n_done: u64, n_left: u64, elapsed: Duration, n_failed: u64) -> String {
    let failed = if n_failed > 0 {
        format!("  {} failed", numbers::count(n_failed))
    } else {
        String::new()
    };
    let per_second = n_done as f64 / elapsed.as_secs_f64();
    if n_done == 0 || !per_second.is_finite() {
        return failed.trim_start().to_owned();
    }
    let left = numbers::seconds(n_left as f64 / per_second);
    format!("{}/s  {left} left{failed}", numbers::short(per_second))
}

/// `round 7`, `round 9 (search for lost modes)`
fn round_label(round: u32, kind: RoundKind) -> String {
    match kind {
        RoundKind::Training => format!("round {round}"),
        RoundKind::Probe => format!("round {round} (search for lost modes)"),
        RoundKind::TopUp => format!("round {round} (extra draws)"),
        RoundKind::Reused => format!("round {round} (reused)"),
    }
}

/// `round 13  n_eff 1,830 of 6,500; about 4,100 to 6,000 simulations and 20 to 40 s left  (efficiency 80.0 %)`
fn round_line(round: &RoundSummary, standing: Option<&Standing>) -> String {
    let name = round_label(round.round.0, round.kind);
    let mut remarks = Vec::new();
    let is_on_the_way = standing.is_some_and(|standing| standing.way.is_some());
    if round.all.evidence.is_some() && !is_on_the_way {
        remarks.push(format!(
            "efficiency {}",
            numbers::percent(round.all.efficiency)
        ));
    }
    if round.n_failed > 0 {
        remarks.push(format!(
            "{} of {} simulations failed",
            numbers::count(round.n_failed),
            numbers::count(round.all.n)
        ));
    }
    let is_prior = matches!(round.proposal.newest(), Component::Prior);
    if is_prior && round.n_possible < round.all.n / 2 {
        remarks.push(format!(
            "{} of {} draws of the prior have a likelihood above zero",
            numbers::count(round.n_possible),
            numbers::count(round.all.n)
        ));
    }
    let remarks = match remarks.is_empty() {
        true => String::new(),
        false => format!("  ({})", remarks.join(", ")),
    };
    let stands = match standing {
        Some(standing) => words::standing(standing),
        None => format!("{} simulations", numbers::count(round.all.n)),
    };
    format!("{name:<8}  {stands}{remarks}")
}

fn searches_line(searches: Searches) -> String {
    let Searches {
        n_rounds,
        n_simulations,
        n_found,
    } = searches;
    let rounds = match n_rounds {
        1 => "1 short round".to_owned(),
        n => format!("{n} short rounds"),
    };
    let found = match n_found {
        0 => "found none".to_owned(),
        1 => "found one, which is taken in: n_eff may fall".to_owned(),
        n => format!("found {n}, which are taken in: n_eff may fall"),
    };
    format!(
        "searched for modes that the proposal may have lost ({rounds}, {} simulations): {found}",
        numbers::count(n_simulations)
    )
}

/// None where there is nothing to say about it.
fn training_line(training: &TrainingSummary, seconds: f64) -> Option<String> {
    let recoveries = match training.n_recoveries {
        0 if seconds < LONG_TRAINING_S => return None,
        0 => String::new(),
        1 => ", diverged and went back once".to_owned(),
        n => format!(", diverged and went back {n} times"),
    };
    Some(format!(
        "learned from round {} in {} ({} passes{recoveries})",
        training.flow.0,
        numbers::seconds(seconds),
        training.n_epochs
    ))
}

#[cfg(test)]
mod tests;
