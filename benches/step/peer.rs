//! The same network in PyTorch, in a process of its own.

use crate::case::{Case, Hardware};
use crate::{Fallible, Time};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/step/network.py");

pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(place: Hardware) -> Fallible<Self> {
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let mut child = Command::new(&python)
            .arg(SCRIPT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", python.display()))?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut peer = Self {
            child,
            input,
            output,
        };
        let answer = peer.ask(&json!({ "hello": true }))?;
        let version = answer["version"].as_str().unwrap_or("unknown");
        match (place, answer["gpu"].as_str()) {
            (Hardware::Cpu, _) => println!("PyTorch {version}"),
            (Hardware::Gpu, Some(gpu)) => println!("PyTorch {version} on {gpu}"),
            (Hardware::Gpu, None) => return Err(format!("PyTorch {version} finds no GPU").into()),
        }
        Ok(peer)
    }

    /// The number of its parameters.
    pub fn build(&mut self, case: &Case) -> Fallible<usize> {
        let answer = self.ask(&json!({ "build": case.description() }))?;
        let n = answer["parameters"].as_u64().ok_or("no parameters")?;
        Ok(usize::try_from(n)?)
    }

    /// The time of each of so many steps.
    pub fn steps(&mut self, n_steps: usize) -> Fallible<Time> {
        let answer = self.ask(&json!({ "steps": n_steps }))?;
        let of_step = |key: &str| -> Fallible<f64> {
            let seconds = answer[key].as_f64().ok_or_else(|| format!("no {key}"))?;
            Ok(seconds / n_steps as f64)
        };
        Ok(Time {
            wall_s: of_step("seconds")?,
            cpu_s: of_step("cpu_seconds")?,
        })
    }

    fn ask(&mut self, request: &Value) -> Fallible<Value> {
        writeln!(self.input, "{request}")?;
        self.input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("network.py ended".into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
