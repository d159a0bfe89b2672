//! Leases of one row each: granted, reported and recorded, without shards.

use crate::Fallible;
use crate::coordinator::{Coordinator, Setup};
use crate::light::LightWorker;
use crate::table::{Line, number, print};
use crate::usage::Usage;
use sidereal_coordinator::event::{Event, Fact};
use sidereal_coordinator::journal::{self, Journal};
use sidereal_inference::base::{RoundId, RunId};
use sidereal_inference::records::{Directory, ShardFile, StoredFile};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const N_WORKERS: usize = 8;
/// The most that a worker is given.
const CREDITS: u32 = 64;
const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(10);
/// Leases a second.
const TARGET: f64 = 5_000.0;
const JOURNAL_ALONE: Duration = Duration::from_secs(3);
/// Most shards that the coordinator records together.
const GROUP: u64 = 256;

/// A moment of the run.
struct Moment {
    at: Instant,
    n_leases: u64,
    coordinator: Usage,
    workers: Usage,
}

pub async fn run() -> Fallible {
    let setup = Setup {
        n_rows: 10_000_000,
        n_data: 4,
        batch_rows: Some(1),
        opens_shards: false,
    };
    let mut coordinator = Coordinator::start(&setup).await?;
    let mut rows = coordinator.rows().await?;
    let mut workers = JoinSet::new();
    for _ in 0..N_WORKERS {
        let worker = LightWorker::connect(&coordinator.access, CREDITS).await?;
        workers.spawn(worker.report_at_once());
    }
    let mut moments = Vec::new();
    for duration in [WARM_UP, MEASURED] {
        let end = Instant::now() + duration;
        let mut n_leases = rows.next().await?;
        while Instant::now() < end {
            n_leases = rows.next().await?;
        }
        moments.push(Moment {
            at: Instant::now(),
            n_leases,
            coordinator: coordinator.usage()?,
            workers: Usage::of_this_process()?,
        });
    }
    let [start, end] = &moments[..] else {
        return Err("two moments".into());
    };
    let n_leases = (end.n_leases - start.n_leases) as f64;
    let seconds = (end.at - start.at).as_secs_f64();
    let directory = coordinator.directory.clone();
    coordinator.stop().await?;
    let (n_recorded, n_records) =
        tokio::task::spawn_blocking(move || recorded(&directory)).await??;
    if n_recorded < end.n_leases {
        return Err(format!("{n_recorded} leases are recorded, not {}", end.n_leases).into());
    }
    while workers.join_next().await.is_some() {}
    let journal_alone = tokio::task::spawn_blocking(journal_alone).await??;

    let micros = |from: Usage, to: Usage| number(1e6 * (to.cpu_s - from.cpu_s) / n_leases);
    print(
        &format!(
            "leases: one row each, {N_WORKERS} light workers with {CREDITS} credits each; nothing is written \
             but the journal"
        ),
        &[
            Line::at_least("leases a second", n_leases / seconds, TARGET),
            Line::plain(
                format!("journal alone, {GROUP} shards a record, a second"),
                number(journal_alone),
            ),
            Line::plain(
                "of the journal alone",
                number(n_leases / seconds / journal_alone),
            ),
            Line::plain(
                "leases a record",
                number(n_recorded as f64 / n_records.max(1) as f64),
            ),
            Line::plain(
                "coordinator, µs of CPU a lease",
                micros(start.coordinator, end.coordinator),
            ),
            Line::plain(
                "light workers, µs of CPU a lease",
                micros(start.workers, end.workers),
            ),
        ],
    );
    Ok(())
}

/// Shards of one row in the journal, and its records.
fn recorded(directory: &Directory) -> Fallible<(u64, usize)> {
    let is_lease = |event: &Event| match &event.fact {
        Fact::ShardCommitted(shard) => shard.n_rows == 1,
        Fact::Opened(_)
        | Fact::Reused(_)
        | Fact::Closed
        | Fact::RoundOpened(_)
        | Fact::RowGivenUp { .. }
        | Fact::RoundWeighed { .. }
        | Fact::TaskOpened(_)
        | Fact::TaskCommitted(_)
        | Fact::Stopped { .. }
        | Fact::Reopened
        | Fact::Finished { .. } => false,
    };
    let events = journal::read(directory)?.events;
    let n_leases = events.iter().filter(|event| is_lease(event)).count();
    Ok((n_leases as u64, directory.list("journal")?.len()))
}

/// Shards a second that the journal takes when nothing else is done.
fn journal_alone() -> Fallible<f64> {
    let place = tempfile::tempdir()?;
    let directory =
        sidereal_store::create(place.path().to_str().ok_or("a path that is not UTF-8")?)?;
    let mut journal = Journal::open(&directory, RunId("benchmark".to_owned()))?.journal;
    let started = Instant::now();
    let mut next_row = 0;
    while started.elapsed() < JOURNAL_ALONE {
        let events: Vec<Event> = (next_row..next_row + GROUP)
            .map(|row| Event {
                elapsed_s: started.elapsed().as_secs_f64(),
                fact: Fact::ShardCommitted(shard(row)),
            })
            .collect();
        journal.append(&events)?;
        next_row += GROUP;
    }
    Ok(next_row as f64 / started.elapsed().as_secs_f64())
}

fn shard(row: u64) -> ShardFile {
    ShardFile {
        round: RoundId(0),
        first_row: row,
        n_rows: 1,
        n_failed: 0,
        file: StoredFile {
            path: format!("rounds/000/shards/{row:09}-{:09}-{row}.parquet", row + 1),
            sha256: "0".repeat(64),
            n_bytes: 4096,
        },
    }
}
