//! What becomes of lost modes: campaigns whose flows are blind to one of two equal modes until one has come to the
//! posterior, beside campaigns that are left alone; `benches/README.md` says what they showed.
//!
//! `cargo bench --bench lost_modes [-- --seeds 0-9] [--surrogate] [NAME ...]`. Two campaigns run at a time, one training thread each.

mod campaign;
mod problems;

use problems::{PROBLEMS, Problem};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What goes wrong here is shown and ends the benchmark.
pub type Fallible<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CAMPAIGNS_AT_A_TIME: usize = 2;
/// A mode's posterior mass, one half, must be found to this.
const MASS_TOLERANCE: f64 = 0.1;

/// How a campaign is run.
#[derive(Debug, Clone, Copy)]
pub struct How {
    pub is_cut: bool,
    /// `training.surrogate`.
    pub has_surrogate: bool,
}

/// How one campaign ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Both modes are there, and the result is trusted.
    Right,
    /// Status 3.
    Said,
    /// A mode's mass is wrong, and nothing says so.
    Silent,
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lost_modes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Fallible {
    let mut seeds = 0..=9;
    let mut has_surrogate = false;
    let mut problems = Vec::new();
    // Cargo adds `--bench`.
    let mut arguments = arguments.filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        if argument == "--seeds" {
            seeds = parsed(&arguments.next().unwrap_or_default())?;
            continue;
        }
        if argument == "--surrogate" {
            has_surrogate = true;
            continue;
        }
        match PROBLEMS.iter().find(|problem| problem.name == argument) {
            Some(problem) => problems.push(problem),
            None => return Err(format!("{argument:?} is no problem").into()),
        }
    }
    if problems.is_empty() {
        problems.extend(&PROBLEMS);
    }
    let runtime = Runtime::new()?;
    println!(
        "| problem | mode cut | runs | both modes, status 0 | status 3 | lost in silence |\n|---|---|---|---|---|---|"
    );
    for problem in problems {
        for is_cut in [true, false] {
            let how = How {
                is_cut,
                has_surrogate,
            };
            let endings = runtime.block_on(all(problem, how, seeds.clone()))?;
            let n = |ending| endings.iter().filter(|other| **other == ending).count();
            println!(
                "| {} | {} | {} | {} | {} | {} |",
                problem.name,
                if is_cut { "yes" } else { "no" },
                endings.len(),
                n(Ending::Right),
                n(Ending::Said),
                n(Ending::Silent)
            );
        }
    }
    Ok(())
}

fn parsed(seeds: &str) -> Fallible<RangeInclusive<u64>> {
    let (first, last) = seeds.split_once('-').unwrap_or((seeds, seeds));
    Ok(first.parse()?..=last.parse()?)
}

async fn all(
    problem: &'static Problem,
    how: How,
    seeds: RangeInclusive<u64>,
) -> Fallible<Vec<Ending>> {
    let places = Arc::new(Semaphore::new(CAMPAIGNS_AT_A_TIME));
    let mut runs = JoinSet::new();
    for seed in seeds {
        let places = Arc::clone(&places);
        runs.spawn(async move {
            let _place = places.acquire().await?;
            one(problem, how, seed).await
        });
    }
    let mut endings = Vec::new();
    while let Some(ended) = runs.join_next().await {
        endings.push(ended??);
    }
    Ok(endings)
}

async fn one(problem: &Problem, how: How, seed: u64) -> Fallible<Ending> {
    let found = campaign::run(problem, how, seed).await?;
    let is_whole = (found.mass - 0.5).abs() <= MASS_TOLERANCE;
    let ending = match (found.warnings.is_empty(), is_whole) {
        (false, _) => Ending::Said,
        (true, true) => Ending::Right,
        (true, false) => Ending::Silent,
    };
    let cut = if how.is_cut { "cut" } else { "untouched" };
    eprintln!(
        "{} {cut}, seed {seed}: {ending:?}, mass {:.3}, n_eff {:.0}, {} simulations, searches {:?} {:?}",
        problem.name, found.mass, found.n_eff, found.simulations, found.outcomes, found.warnings
    );
    Ok(ending)
}
