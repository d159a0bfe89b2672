//! Rows of a trivial forward model, committed to Parquet by two workers, beside a plain Parquet writer.

use crate::coordinator::{Coordinator, Setup};
use crate::models::Trivial;
use crate::table::{Line, number, print};
use crate::usage::Usage;
use crate::workers::Workers;
use crate::{Fallible, plain};
use sidereal_coordinator::event::Fact;
use sidereal_coordinator::journal;
use sidereal_inference::records::{Directory, ShardFile};
use std::sync::Arc;
use std::time::Instant;

const N_ROWS: u64 = 4_000_000;
const N_DATA: usize = 64;
const N_WORKERS: usize = 2;
/// Rows a second.
const TARGET: f64 = 500_000.0;
const SMALL_BYTES: u64 = 1 << 20;
/// Leases that each worker holds at a time: so many are cut before any is measured, and at the round's end.
const LEASES_IN_HAND: usize = 2;

pub async fn run() -> Fallible {
    let setup = Setup {
        n_rows: N_ROWS,
        n_data: N_DATA,
        batch_rows: None,
        opens_shards: true,
    };
    let mut coordinator = Coordinator::start(&setup).await?;
    let mut rows = coordinator.rows().await?;
    let before = (coordinator.usage()?, Usage::of_this_process()?);
    let started = Instant::now();
    let model = Arc::new(Trivial { n_data: N_DATA });
    let workers = Workers::start(&coordinator, N_WORKERS, model);
    rows.reach(N_ROWS).await?;
    let seconds = started.elapsed().as_secs_f64();
    let after = (coordinator.usage()?, Usage::of_this_process()?);
    // It weighs the round already, which is not measured here.
    coordinator.kill();
    workers.stop().await?;

    let directory = coordinator.directory.clone();
    let shards = tokio::task::spawn_blocking(move || committed_shards(&directory)).await??;
    let small = small_shards(&shards);
    let directory = coordinator.directory.clone();
    let n_shards = shards.len();
    let n_bytes: u64 = shards.iter().map(|shard| shard.file.n_bytes).sum();
    let written =
        tokio::task::spawn_blocking(move || plain::write(&directory, &shards, N_WORKERS)).await??;

    let rate = N_ROWS as f64 / seconds;
    let plain_rate = N_ROWS as f64 / written.seconds;
    let micros = |seconds: f64| number(1e6 * seconds / N_ROWS as f64);
    print(
        &format!(
            "rows: {} million rows of {N_DATA} f32, {N_WORKERS} workers of one thread, {n_shards} shards",
            N_ROWS / 1_000_000
        ),
        &[
            Line::at_least("rows a second", rate, TARGET),
            Line::plain(
                format!("plain writer of the same files, {N_WORKERS} threads, rows a second"),
                number(plain_rate),
            ),
            Line::plain("of the plain writer", number(rate / plain_rate)),
            Line::plain(
                "stored MB a second",
                number(1e-6 * n_bytes as f64 / seconds),
            ),
            Line::plain(
                "coordinator, µs of CPU a row",
                micros(after.0.cpu_s - before.0.cpu_s),
            ),
            Line::plain(
                "workers, µs of CPU a row",
                micros(after.1.cpu_s - before.1.cpu_s),
            ),
            Line::plain("plain writer, µs of CPU a row", micros(written.cpu_s)),
            Line::plain("coordinator, peak RSS, MB", number(after.0.peak_rss_mb)),
            Line::plain(
                "shards under 1 MiB and 1 s: first ones, before any was measured",
                number(small.first as f64),
            ),
            Line::below("  in between", small.between as f64, 1.0),
            Line::plain("  last ones", number(small.last as f64)),
        ],
    );
    Ok(())
}

/// In the order in which they were recorded.
fn committed_shards(directory: &Directory) -> Fallible<Vec<ShardFile>> {
    let events = journal::read(directory)?.events;
    let mut shards = Vec::new();
    for event in events {
        if let Fact::ShardCommitted(shard) = event.fact {
            shards.push(shard);
        }
    }
    Ok(shards)
}

/// Shards under 1 MiB. A row of this forward model takes less than a microsecond, so that no shard has a second
/// of work.
struct SmallShards {
    first: usize,
    between: usize,
    last: usize,
}

fn small_shards(shards: &[ShardFile]) -> SmallShards {
    let n_excused = N_WORKERS * LEASES_IN_HAND;
    let mut in_order: Vec<&ShardFile> = shards.iter().collect();
    in_order.sort_by_key(|shard| shard.first_row);
    let n_small = |shards: &[&ShardFile]| {
        let is_small = |shard: &&&ShardFile| shard.file.n_bytes < SMALL_BYTES;
        shards.iter().filter(is_small).count()
    };
    let (first, rest) = in_order.split_at(n_excused.min(in_order.len()));
    let (between, last) = rest.split_at(rest.len().saturating_sub(n_excused));
    SmallShards {
        first: n_small(first),
        between: n_small(between),
        last: n_small(last),
    }
}
