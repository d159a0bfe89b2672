//! Processes in groups of their own: the one place that needs Unix.

use std::io;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a child may take to end once it has closed its answers.
const END: Duration = Duration::from_secs(1);

/// A process that is killed with its group when it is dropped.
pub struct Process(Child);

impl Process {
    /// Starts a process as the first of a group of its own.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        group::lead(command)?;
        command.spawn().map(Self)
    }

    /// For its streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// What has become of a process that sends no more, in words.
    pub fn how_it_ended(&self) -> String {
        let began = Instant::now();
        loop {
            match group::end(&self.0) {
                Ok(Some(end)) => return end,
                Ok(None) if began.elapsed() < END => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(None) => return "the process closed its answers".to_owned(),
                Err(error) => return format!("the process is gone: {error}"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A group that is gone already is as it should be.
        let _ = group::kill(&self.0);
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
mod group {
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
    use std::io;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    pub fn lead(command: &mut Command) -> io::Result<()> {
        command.process_group(0);
        Ok(())
    }

    pub fn kill(leader: &Child) -> io::Result<()> {
        Ok(kill_process_group(Pid::from_child(leader), Signal::KILL)?)
    }

    /// How a process has ended; its number stays taken, and so its group can be killed still.
    pub fn end(leader: &Child) -> io::Result<Option<String>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(Pid::from_child(leader)), options)?;
        Ok(status.map(|status| match status.terminating_signal() {
            Some(signal) => format!("the process was killed by signal {}", words_of(signal)),
            None => {
                let code = status.exit_status().unwrap_or_default();
                format!("the process ended with exit code {code}")
            }
        }))
    }

    fn words_of(signal: i32) -> String {
        let names = [
            (Signal::HUP, "SIGHUP"),
            (Signal::INT, "SIGINT"),
            (Signal::ILL, "SIGILL"),
            (Signal::TRAP, "SIGTRAP"),
            (Signal::ABORT, "SIGABRT"),
            (Signal::BUS, "SIGBUS"),
            (Signal::FPE, "SIGFPE"),
            (Signal::KILL, "SIGKILL"),
            (Signal::SEGV, "SIGSEGV"),
            (Signal::PIPE, "SIGPIPE"),
            (Signal::TERM, "SIGTERM"),
            (Signal::XCPU, "SIGXCPU"),
            (Signal::SYS, "SIGSYS"),
        ];
        let named = names.iter().find(|(known, _)| known.as_raw() == signal);
        match named {
            Some((_, name)) => format!("{signal} ({name})"),
            None => signal.to_string(),
        }
    }
}

#[cfg(not(unix))]
mod group {
    use std::io;
    use std::process::{Child, Command};

    pub fn lead(_: &mut Command) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "models in processes of their own need Linux, macOS or another Unix",
        ))
    }

    pub fn kill(_: &Child) -> io::Result<()> {
        Ok(())
    }

    pub fn end(_: &Child) -> io::Result<Option<String>> {
        Ok(None)
    }
}
