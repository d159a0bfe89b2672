//! Benchmarks of the coordinator's dispatch over loopback; `benches/README.md` says what they showed.
//!
//! `cargo bench --bench dispatch [-- NAME ...]`. The coordinator runs in a process of its own, workers and
//! clients in this one, so that each side's memory and CPU time can be told apart.

mod busy;
mod clients;
mod coordinator;
mod leases;
mod light;
mod memory;
mod models;
mod plain;
mod rows;
mod table;
mod usage;
mod workers;

use std::process::ExitCode;
use tokio::runtime::Runtime;

/// What goes wrong here is shown and ends the benchmark.
pub type Fallible<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const NAMES: [&str; 5] = ["leases", "rows", "memory", "busy", "clients"];

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let result = match arguments.first() {
        Some(role) if role == coordinator::ROLE => coordinator::serve(&arguments[1..]),
        Some(_) | None => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dispatch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(names: &[String]) -> Fallible {
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("{unknown:?} is none of {}", NAMES.join(", ")).into());
    }
    let is_asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let runtime = Runtime::new()?;
    for name in NAMES.into_iter().filter(|name| is_asked(name)) {
        match name {
            "leases" => runtime.block_on(leases::run())?,
            "rows" => runtime.block_on(rows::run())?,
            "memory" => runtime.block_on(memory::run())?,
            "busy" => runtime.block_on(busy::run())?,
            "clients" => runtime.block_on(clients::run())?,
            _ => {}
        }
    }
    Ok(())
}
