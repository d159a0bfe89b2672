//! Coordinator, workers and trainer as processes of their own, to be killed.

use crate::setup::{sidereal, summary_without_timing, text};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where the processes of one campaign find each other.
pub struct Place {
    pub campaign: PathBuf,
    /// Path or URL.
    pub directory: String,
    pub access: PathBuf,
    /// Environment of every process.
    pub variables: Vec<(&'static str, String)>,
    /// Standard error of all processes.
    pub log: PathBuf,
}

impl Place {
    pub fn coordinator(&self) -> Child {
        self.coordinator_with(&[])
    }

    pub fn coordinator_with(&self, more: &[&str]) -> Child {
        let mut command = sidereal(&[
            "coordinator",
            text(&self.campaign),
            "--dir",
            &self.directory,
            "--access",
            text(&self.access),
            "--listen",
            "127.0.0.1:0",
            "--lease",
            "5",
            "--device",
            "cpu",
        ]);
        command.args(more);
        self.spawn(command)
    }

    pub fn worker(&self) -> Child {
        self.spawn(self.peer("worker"))
    }

    pub fn trainer(&self) -> Child {
        self.spawn(self.peer("trainer"))
    }

    pub fn peer(&self, verb: &str) -> Command {
        sidereal(&[
            verb,
            "--access",
            text(&self.access),
            "--threads",
            "1",
            "--grace",
            "5",
            "--idle-timeout",
            "120",
        ])
    }

    pub fn spawn(&self, mut command: Command) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("log");
        command
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the command starts")
    }

    /// The end of the log, for messages.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

/// Waits for a process to end by itself; kills it and panics where it does not.
pub fn wait(child: &mut Child, patience: Duration, place: &Place) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process can be asked") {
            return status;
        }
        if started.elapsed() > patience {
            child.kill().expect("SIGKILL");
            panic!(
                "a process did not end in {} s:\n{}",
                patience.as_secs(),
                place.last_words()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal by name, such as STOP.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(child.id().to_string())
        .status()
        .expect("kill runs");
    assert!(status.success(), "kill -{name} {}", child.id());
}

/// What must not differ: the posterior, the summary outside `timing`, the model's weights.
pub fn fingerprint(out: &Path) -> (Vec<u8>, serde_json::Value, Vec<u8>) {
    (
        std::fs::read(out.join("posterior.parquet")).expect("posterior.parquet"),
        summary_without_timing(out),
        std::fs::read(out.join("model/weights.safetensors")).expect("weights"),
    )
}
