//! Standard error as people see it: notes, warnings, and progress as a bar or as plain lines.

use crate::numbers;
use crate::services::LogFormat;
use crate::words;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sidereal_inference::progress::Progress;
use sidereal_inference::summary::{RoundKind, RoundSummary, TrainingSummary};
use sidereal_inference::task::TrainingProgress;
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
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
        self.bar.reset();
        self.bar.set_length(length);
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
    last_line: Option<Instant>,
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

impl<'a> CampaignView<'a> {
    pub fn new(terminal: &'a Terminal) -> Self {
        Self {
            terminal,
            phase: Phase::Idle,
            last_line: None,
        }
    }

    pub fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::RoundOpened {
                round,
                kind,
                n_rows,
            } => {
                self.begin(Phase::Idle);
                let what = match kind {
                    RoundKind::Training => "",
                    RoundKind::Probe => " (probing for lost modes)",
                    RoundKind::TopUp => " (top-up)",
                };
                self.plain(&format!(
                    "{round}{what}: simulating {}",
                    numbers::count(*n_rows)
                ));
            }
            Progress::RowsCommitted {
                round,
                n_committed,
                n_rows,
                n_failed,
            } => {
                self.on_rows(&round.to_string(), *n_committed, *n_rows, *n_failed);
            }
            Progress::RoundWeighed { summary, seconds } => {
                self.begin(Phase::Idle);
                self.terminal.note(&round_line(summary, *seconds));
            }
            Progress::Training(training) => self.on_training(training),
            Progress::Drawing { round, n_rows } => {
                let line = format!("drawing {} rows for {round}", numbers::count(*n_rows));
                if self.phase != Phase::Drawing {
                    self.begin(Phase::Drawing);
                    self.plain(&line);
                    self.bar(0, &line, "{msg}");
                }
            }
            Progress::Trained { summary, seconds } => {
                self.begin(Phase::Idle);
                self.terminal.note(&training_line(summary, *seconds));
            }
            Progress::Stopped { reason, .. } => {
                self.begin(Phase::Idle);
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

    fn on_training(&mut self, training: &TrainingProgress) {
        if self.phase != Phase::Training {
            self.begin(Phase::Training);
            let template = format!(
                "{}: training {{bar:16}} {{pos}}/{{len}}  {{msg}}",
                training.flow
            );
            self.bar(u64::from(training.max_epochs), "", &template);
        }
        let left = f64::from(training.max_epochs.saturating_sub(training.epoch)) * training.epoch_s;
        let [last, validation, best] = [
            training.training_loss,
            training.validation_loss,
            training.best_validation_loss,
        ]
        .map(loss);
        let left = numbers::seconds(left);
        // In 80 columns; early stopping may come first.
        let message = format!("loss {last}/{validation}  best {best}  ≤ {left}");
        self.terminal.bar.set_position(u64::from(training.epoch));
        self.terminal.bar.set_message(message);
        self.sometimes(&format!(
            "{}: epoch {}/{}  loss {last}  validation {validation}  best {best}  at most {left} left",
            training.flow, training.epoch, training.max_epochs
        ));
    }

    fn begin(&mut self, phase: Phase) {
        self.terminal.clear();
        self.phase = phase;
        self.last_line = None;
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

    /// As [`Self::plain`], but only now and then.
    fn sometimes(&mut self, line: &str) {
        let now = Instant::now();
        if self
            .last_line
            .is_none_or(|last| now - last >= LINE_INTERVAL)
        {
            self.last_line = Some(now);
            self.plain(line);
        }
    }
}

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

fn round_line(round: &RoundSummary, seconds: f64) -> String {
    let name = match round.kind {
        RoundKind::Training => round.round.to_string(),
        RoundKind::Probe => format!("{} (probe)", round.round),
        RoundKind::TopUp => format!("{} (top-up)", round.round),
    };
    let failed = match round.n_failed {
        0 => String::new(),
        n_failed => format!("  {} failed", numbers::count(n_failed)),
    };
    let weighed = match &round.all.evidence {
        None => String::new(),
        Some(_) => format!(
            "  n_eff {:>6}  efficiency {:>7}  k-hat {:>5}",
            numbers::short(round.all.n_eff),
            numbers::percent(round.all.efficiency),
            words::pareto_k(round.all.pareto_k)
        ),
    };
    format!(
        "{name:<8} n {:>7}{weighed}{failed}  {:>6}",
        numbers::count(round.all.n),
        numbers::seconds(seconds)
    )
}

fn training_line(training: &TrainingSummary, seconds: f64) -> String {
    let recoveries = match training.n_recoveries {
        0 => String::new(),
        n => format!("  diverged and went back {n} times"),
    };
    format!(
        "{:<8} fitted to {}  {} epochs, best {}  validation loss {}{recoveries}  {}",
        training.flow.to_string(),
        words::objective(&training.objective),
        training.n_epochs,
        training.best_epoch,
        loss(training.best_validation_loss),
        numbers::seconds(seconds)
    )
}

fn loss(loss: f64) -> String {
    let text = if loss.abs() < 1e5 {
        format!("{loss:.3}")
    } else {
        format!("{loss:.2e}")
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_count_only_what_this_run_has_done() {
        let seconds = Duration::from_secs(2);
        assert_eq!(rate(500, 1000, seconds, 0), "250/s  4.0 s left");
        assert_eq!(rate(500, 0, seconds, 3), "250/s  0.0 s left  3 failed");
        assert_eq!(rate(0, 1000, Duration::ZERO, 3), "3 failed");
    }
}
