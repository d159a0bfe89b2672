//! `sidereal fit --from`: a campaign that begins with the simulations of earlier ones.

use crate::exit::CommandError;
use crate::terminal::Terminal;
use crate::{numbers, words};
use sidereal_coordinator::ReuseError;
use sidereal_inference::campaign::{Campaign, DeviceChoice};
use sidereal_inference::records::{Directory, Draws, StoredFile};
use sidereal_trainer::reused::ReusedFlows;

/// The directories that are named, for reading.
pub fn open(locations: &[String]) -> Result<Vec<Directory>, CommandError> {
    let mut directories = Vec::with_capacity(locations.len());
    for location in locations {
        directories.push(sidereal_store::open(location).map_err(CommandError::unusable)?);
    }
    Ok(directories)
}

/// `11,400 of runs/sine, 9,000 of runs/sine-2`: what would be reused, for `--dry-run`.
pub fn plan(campaign: &Campaign, earlier: &[Directory]) -> Result<String, CommandError> {
    let sources = sidereal_coordinator::reusable(campaign, earlier).map_err(refused)?;
    let sources = sources.iter();
    let each = sources.map(|source| {
        format!(
            "{} simulations of {}",
            numbers::count(source.n_rows),
            source.location
        )
    });
    Ok(each.collect::<Vec<_>>().join(", "))
}

/// Refuses a campaign that was begun with others.
pub fn check(directory: &Directory, earlier: &[Directory]) -> Result<(), CommandError> {
    match earlier.is_empty() {
        true => Ok(()),
        false => sidereal_coordinator::check_reused(directory, earlier).map_err(refused),
    }
}

/// Makes the simulations of `earlier` the first rounds of the campaign in `directory`, and says what they are worth here.
pub fn begin(
    directory: &Directory,
    campaign: &Campaign,
    earlier: &[Directory],
    n_threads: usize,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .map_err(CommandError::failed)?;
    // Flows are scored on the CPU whatever they were trained on.
    let device =
        sidereal_trainer::device::choose(DeviceChoice::Cpu).map_err(CommandError::failed)?;
    let score = |directory: &Directory, file: &StoredFile, draws: &Draws| {
        let flows = ReusedFlows::load(directory, file, &device).map_err(|e| e.to_string())?;
        let scores = flows.score(&campaign.space, draws, &pool);
        scores.map(|(_, scores)| scores).map_err(|e| e.to_string())
    };
    let begun =
        sidereal_coordinator::reuse(directory, campaign, earlier, &score).map_err(refused)?;
    let worth = begun.combined.map_or_else(String::new, |combined| {
        format!(
            "; weighed for this campaign they are worth n_eff {}, k-hat {}",
            numbers::n_eff(combined.n_eff),
            words::pareto_k(combined.pareto_k)
        )
    });
    terminal.note(&format!(
        "begins with {} simulations of {}{worth}",
        numbers::count(begun.n_rows),
        locations(earlier)
    ));
    Ok(())
}

fn locations(earlier: &[Directory]) -> String {
    let locations = earlier.iter().map(Directory::location);
    locations.collect::<Vec<_>>().join(", ")
}

fn refused(error: ReuseError) -> CommandError {
    match error.is_of_the_input() {
        true => CommandError::unusable(error),
        false => CommandError::failed(error),
    }
}
