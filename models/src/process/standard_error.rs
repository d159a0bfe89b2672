//! What children print: every line of it goes to the log, and the last ones are kept to say why one has ended.

use std::collections::VecDeque;
use std::io::{Read, Result};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that are kept.
const N_KEPT: usize = 20;

/// Bytes of a line; a longer one is cut.
const MOST_BYTES: usize = 1_000;

/// Bytes of a line, and of all lines, where they say why a row has failed: the last ones matter most.
const MOST_BYTES_OF_LAST: usize = 120;
const MOST_BYTES_OF_ALL: usize = 850;

/// Lines of one child that the log gets in a second.
const LINES_A_SECOND: usize = 20;

/// How long the last lines of a child that is gone are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The last lines that a child has printed.
pub struct LastLines {
    kept: Arc<Mutex<VecDeque<String>>>,
    /// Sent to by nobody: it ends with the thread that reads.
    reading: Receiver<()>,
}

impl LastLines {
    /// Reads `stream` to its end, on a thread of its own.
    pub fn of(stream: impl Read + Send + 'static, process_id: u32) -> Result<Self> {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let (guard, reading) = sync_channel(0);
        let of_thread = Arc::clone(&kept);
        thread::Builder::new()
            .name("child-stderr".to_owned())
            .spawn(move || {
                let _guard = guard;
                drain(stream, process_id, &of_thread);
            })?;
        Ok(Self { kept, reading })
    }

    /// The last lines of a child that is gone, in one; None where it was silent.
    pub fn last_words(&self) -> Option<String> {
        // A grandchild may hold the stream open for longer.
        let _ = self.reading.recv_timeout(LAST_WORDS);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = kept.iter().map(String::as_str).collect();
        words_of(&lines)
    }
}

fn words_of(lines: &[&str]) -> Option<String> {
    let cut = |line: &&str| match line.len() <= MOST_BYTES_OF_LAST {
        true => line.trim_start().to_owned(),
        false => format!(
            "{}...",
            &line[..line.floor_char_boundary(MOST_BYTES_OF_LAST)]
        ),
    };
    let lines: Vec<String> = lines.iter().map(cut).collect();
    let mut first = lines.len();
    let mut n_bytes = 0;
    while let Some(line) = first.checked_sub(1).map(|before| &lines[before]) {
        n_bytes += line.len() + 3;
        if n_bytes > MOST_BYTES_OF_ALL {
            break;
        }
        first -= 1;
    }
    (first < lines.len()).then(|| lines[first..].join(" | "))
}

fn drain(mut stream: impl Read, process_id: u32, kept: &Mutex<VecDeque<String>>) {
    let mut lines = Lines::default();
    let mut rate = Rate::default();
    let began = Instant::now();
    let mut say = |line: String| {
        let verdict = rate.verdict(began.elapsed().as_secs());
        if let Some(n_left_out) = verdict.n_left_out {
            tracing::info!(process_id, "{n_left_out} more lines");
        }
        if verdict.is_said {
            tracing::info!(process_id, "{line}");
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == N_KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    };
    let mut piece = vec![0; 8_192];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n_bytes) => lines.feed(&piece[..n_bytes], &mut say),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines.end(&mut say);
}

/// Takes lines apart, whatever pieces they come in.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, piece: &[u8], say: &mut impl FnMut(String)) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = MOST_BYTES.saturating_sub(self.begun.len());
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            self.begun.extend(&text[..text.len().min(room)]);
            if part.len() > text.len() {
                self.end(say);
            }
        }
    }

    /// Empty lines are not said.
    fn end(&mut self, say: &mut impl FnMut(String)) {
        let line = String::from_utf8_lossy(&self.begun).trim_end().to_owned();
        self.begun.clear();
        if !line.is_empty() {
            say(line);
        }
    }
}

/// How many lines the log has got in this second.
#[derive(Default)]
struct Rate {
    second: u64,
    n_lines: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    is_said: bool,
    /// Of the seconds before.
    n_left_out: Option<usize>,
}

impl Rate {
    fn verdict(&mut self, second: u64) -> Verdict {
        let mut n_left_out = None;
        if second != self.second {
            n_left_out = self
                .n_lines
                .checked_sub(LINES_A_SECOND)
                .filter(|n_lines| *n_lines > 0);
            *self = Self { second, n_lines: 0 };
        }
        self.n_lines += 1;
        Verdict {
            is_said: self.n_lines <= LINES_A_SECOND,
            n_left_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_and_cut() {
        let mut found = Vec::new();
        let mut say = |line| found.push(line);
        let mut lines = Lines::default();
        lines.feed(b"one\ntw", &mut say);
        lines.feed(b"o\r\n\n\xff\n", &mut say);
        lines.feed(&[b'x'; 3_000], &mut say);
        lines.feed(b"\nlast", &mut say);
        lines.end(&mut say);
        let long = "x".repeat(1_000);
        assert_eq!(found, ["one", "two", "\u{fffd}", long.as_str(), "last"]);
    }

    #[test]
    fn twenty_lines_a_second_are_said() {
        let mut rate = Rate::default();
        let n_said = (0..50).filter(|_| rate.verdict(3).is_said).count();
        assert_eq!(n_said, 20);
        let after = Verdict {
            is_said: true,
            n_left_out: Some(30),
        };
        assert_eq!(rate.verdict(4), after);
        let quiet = Verdict {
            is_said: true,
            n_left_out: None,
        };
        assert_eq!(rate.verdict(9), quiet);
    }

    #[test]
    fn the_last_words_are_short() {
        assert_eq!(words_of(&[]), None);
        let long = "x".repeat(130);
        let found = words_of(&["  indented", &long]).unwrap();
        assert_eq!(found, format!("indented | {}...", "x".repeat(120)));
        let many = vec!["y".repeat(97); 20];
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(words_of(&many), words_of(&many[..8]));
    }

    #[test]
    fn the_last_lines_are_kept() {
        let text: String = (0..100).map(|line| format!("{line}\n")).collect();
        let lines = LastLines::of(std::io::Cursor::new(text), 1).unwrap();
        let expected: Vec<String> = (80..100).map(|line| line.to_string()).collect();
        assert_eq!(lines.last_words(), Some(expected.join(" | ")));
        let silent = LastLines::of(std::io::empty(), 1).unwrap();
        assert_eq!(silent.last_words(), None);
    }
}
