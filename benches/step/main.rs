//! Time of a training step beside PyTorch's for the same network, batch and threads; `benches/README.md` says what
//! it showed.
//!
//! `cargo bench -p sidereal-trainer --bench step [-- NAME ...]`, where a name begins a case's,
//! as `resnet-gru/64` does. PyTorch is that of `$PYTHON` (or `python3`);
//! without it our times stand alone. Both train in turns, an epoch each, so that a busy machine is as busy for both.

mod case;
#[path = "../cpu_time.rs"]
mod cpu_time;
mod peer;

use case::Case;
use peer::Peer;
use std::process::ExitCode;

/// What goes wrong here is shown and ends the benchmark.
pub type Fallible<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("step: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(asked: &[String]) -> Fallible {
    let cases = Case::all();
    if let Some(unknown) = asked
        .iter()
        .find(|asked| !cases.iter().any(|case| case.name().starts_with(*asked)))
    {
        let names: Vec<String> = cases.iter().map(Case::name).collect();
        return Err(format!("{unknown:?} begins none of {}", names.join(", ")).into());
    }
    let mut peer = match Peer::start() {
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
        let name = case.name();
        if asked.is_empty() || asked.iter().any(|asked| name.starts_with(asked)) {
            compare(&case, peer.as_mut())?;
        }
    }
    Ok(())
}

fn compare(case: &Case, mut peer: Option<&mut Peer>) -> Fallible {
    let their_parameters = match &mut peer {
        Some(peer) => Some(peer.build(case)?),
        None => None,
    };
    let mut theirs = Vec::new();
    let ours = case.train(|n_steps| {
        if let Some(peer) = &mut peer {
            theirs.push(peer.steps(n_steps)?);
        }
        Ok(())
    })?;
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
    let (wall, cpu) = times(&ours.times);
    let theirs = (!theirs.is_empty()).then(|| times(&theirs[case::WARM_UP..]));
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
