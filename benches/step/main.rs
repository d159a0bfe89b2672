//! Time of a training step beside PyTorch's for the same network, batch and threads; `benches/README.md` says what
//! it showed.
//!
//! `cargo bench -p sidereal-trainer --bench step [-- [--gpu] [--memory STEPS] [NAME ...]]`, where a name begins a case's,
//! as `resnet-gru/64` does. PyTorch is that of `$PYTHON` (or `python3`);
//! without it our times stand alone. Both train in turns, an epoch each, so that a busy machine is as busy for both.
//! `--gpu` trains on wgpu beside CUDA. `--memory` trains so many steps and prints what memory the process, and on a GPU
//! burn's pools of memory there, hold on the way.

mod case;
#[path = "../cpu_time.rs"]
mod cpu_time;
mod memory;
mod peer;

use case::{Case, EPOCHS, Hardware, WARM_UP};
use peer::Peer;
use std::process::ExitCode;

/// What goes wrong here is shown and ends the benchmark.
pub type Fallible<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    match Asked::parse(arguments).and_then(|asked| run(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("step: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
struct Asked {
    place: Hardware,
    memory_steps: Option<usize>,
    /// None: all.
    names: Vec<String>,
}

impl Asked {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Fallible<Self> {
        let mut asked = Self {
            place: Hardware::Cpu,
            memory_steps: None,
            names: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--gpu" => asked.place = Hardware::Gpu,
                "--memory" => {
                    let steps = arguments.next().ok_or("--memory: expected steps")?;
                    let n_steps = steps
                        .parse()
                        .map_err(|_| format!("--memory: found {steps:?}, expected a number"))?;
                    asked.memory_steps = Some(n_steps);
                }
                _ => asked.names.push(argument),
            }
        }
        Ok(asked)
    }

    fn cases(&self) -> Fallible<Vec<Case>> {
        let mut cases = Case::all(self.place);
        for asked in &self.names {
            if !cases.iter().any(|case| case.name().starts_with(asked)) {
                let names: Vec<String> = cases.iter().map(Case::name).collect();
                return Err(format!("{asked:?} begins none of {}", names.join(", ")).into());
            }
        }
        let is_asked = |name: &String| self.names.iter().any(|asked| name.starts_with(asked));
        cases.retain(|case| self.names.is_empty() || is_asked(&case.name()));
        Ok(cases)
    }
}

fn run(asked: &Asked) -> Fallible {
    let cases = asked.cases()?;
    if let Some(n_steps) = asked.memory_steps {
        return cases
            .iter()
            .try_for_each(|case| memory::follow(case, n_steps));
    }
    let mut peer = match Peer::start(asked.place) {
        Ok(peer) => Some(peer),
        Err(error) => {
            println!("PyTorch is left out: {error}; set PYTHON to an interpreter that has it");
            None
        }
    };
    println!("Milliseconds a step: median wall time of an epoch's steps, and CPU time.");
    println!();
    println!(
        "| network | L | batch | threads | parameters | sidereal | PyTorch | ratio | sidereal CPU | PyTorch CPU | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for case in cases {
        compare(&case, peer.as_mut())?;
    }
    Ok(())
}

fn compare(case: &Case, mut peer: Option<&mut Peer>) -> Fallible {
    let their_parameters = match &mut peer {
        Some(peer) => Some(peer.build(case)?),
        None => None,
    };
    let mut theirs = Vec::new();
    let ours = case.train(EPOCHS, |n_steps| {
        if let Some(peer) = &mut peer {
            theirs.push(peer.steps(n_steps)?);
        }
        Ok(())
    })?;
    if ours.times.len() < EPOCHS {
        return Err("the training ended before it was measured".into());
    }
    if let Some(theirs) = their_parameters.filter(|&theirs| theirs != ours.n_parameters) {
        return Err(format!(
            "networks differ: {} parameters here, {theirs} in PyTorch",
            ours.n_parameters
        )
        .into());
    }
    let times = |times: &[Time]| {
        let wall = median(times.iter().map(|time| time.wall_s).collect());
        let cpu = times.iter().map(|time| time.cpu_s).sum::<f64>() / times.len() as f64;
        (wall * 1e3, cpu * 1e3)
    };
    let (wall, cpu) = times(&ours.times[WARM_UP..]);
    let theirs = (!theirs.is_empty()).then(|| times(&theirs[WARM_UP..]));
    let or_dash = |value: Option<f64>, digits: usize| {
        value.map_or("-".into(), |value| format!("{value:.digits$}"))
    };
    println!(
        "| {} | {} | {} | {} | {} | {wall:.1} | {} | {} | {cpu:.1} | {} | {} |",
        case.kind,
        case.length,
        case.batch,
        case.threads,
        ours.n_parameters,
        or_dash(theirs.map(|theirs| theirs.0), 1),
        or_dash(theirs.map(|theirs| wall / theirs.0), 2),
        or_dash(theirs.map(|theirs| theirs.1), 1),
        or_dash(theirs.map(|theirs| cpu / theirs.1), 2),
    );
    Ok(())
}

/// Of one step.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    pub wall_s: f64,
    /// Of all threads.
    pub cpu_s: f64,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}
