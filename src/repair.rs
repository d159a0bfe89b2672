//! `sidereal repair`: simulates again the rows of committed shards that are missing or not as recorded.

use crate::exit::{CommandError, Ending};
use crate::services::{earlier, host_name, runtime};
use crate::{campaign_directory, results};
use clap::Args;
use sidereal_coordinator::{Committed, DamagedShard};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Directory;
use sidereal_models::Catalogue;

#[derive(Args)]
pub struct RepairArguments {
    /// Campaign directory, finished or not: a path or s3://bucket/prefix
    #[arg(value_name = "DIR")]
    directory: String,

    /// List the damaged shards and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Repair a campaign that was run on another machine and did not end in peace there
    #[arg(long)]
    take_over: bool,
}

pub fn run(arguments: &RepairArguments, models: &Catalogue) -> Result<Ending, CommandError> {
    let directory = sidereal_store::open(&arguments.directory).map_err(CommandError::unusable)?;
    let campaign = campaign_directory::load_campaign(&directory)?;
    let committed = Committed::read(&directory).map_err(CommandError::failed)?;
    if !arguments.dry_run {
        let host = host_name();
        let asked = committed.refuse_if_served(&host, earlier(arguments.take_over));
        let answer = runtime(1)?.block_on(asked);
        answer.map_err(|error| CommandError::of(&error, error.is_unusable_input()))?;
    }
    let n_shards = committed.shards().len();
    let damaged = committed.damaged().map_err(CommandError::failed)?;
    if damaged.is_empty() {
        results::print(&format!(
            "all {n_shards} committed shards are as the journal records them\n"
        ));
        return Ok(Ending::Done);
    }
    if arguments.dry_run {
        for found in &damaged {
            results::print(&format!("{} ({})\n", found.damage, found.rows()));
        }
        results::print(&format!(
            "damaged shards: {} of {n_shards} committed\n",
            damaged.len()
        ));
        return Ok(Ending::Done);
    }
    repair(&directory, &campaign, &committed, &damaged, models)
}

/// Repairs what can be repaired; an error names what cannot.
fn repair(
    directory: &Directory,
    campaign: &Campaign,
    committed: &Committed,
    damaged: &[DamagedShard],
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    let model = models
        .build(campaign, crate::services::n_cores())
        .map_err(|error| CommandError::unusable(format!("{}: {error}", directory.location())))?;
    let mut failures = Vec::new();
    for found in damaged {
        let repaired = committed.repair(campaign, found, |draws| {
            model
                .run(campaign, draws)
                .map_err(|error| error.to_string())
        });
        let kept = match repaired {
            Ok(Some(aside)) => format!("the damaged file is kept as {}", aside.display()),
            Ok(None) => "there was no file to keep".to_owned(),
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        results::print(&format!(
            "{}; {} simulated again, the recorded bytes are back; {kept}\n",
            found.damage,
            found.rows()
        ));
    }
    if failures.is_empty() {
        results::print(&format!("damaged shards repaired: {}\n", damaged.len()));
        return Ok(Ending::Done);
    }
    failures.push(format!(
        "damaged shards repaired: {} of {}",
        damaged.len() - failures.len(),
        damaged.len()
    ));
    Err(CommandError::Failed(failures.join("\n")))
}
