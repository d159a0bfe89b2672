//! The coordinator's memory while ten million rows are committed.

use crate::Fallible;
use crate::coordinator::{Coordinator, Setup};
use crate::models::Trivial;
use crate::table::{Line, number, print};
use crate::workers::Workers;
use std::sync::Arc;
use std::time::Instant;

const N_DATA: usize = 4;
const N_WORKERS: usize = 2;
const MILESTONES: [u64; 3] = [1_000_000, 5_000_000, 10_000_000];
/// So that the round is not weighed yet when the last milestone is reached.
const N_MORE_ROWS: u64 = 1_000_000;
/// MB.
const TARGET: f64 = 300.0;

pub async fn run() -> Fallible {
    let setup = Setup {
        n_rows: MILESTONES[2] + N_MORE_ROWS,
        n_data: N_DATA,
        batch_rows: None,
        opens_shards: true,
    };
    let mut coordinator = Coordinator::start(&setup).await?;
    let mut rows = coordinator.rows().await?;
    let mut lines = vec![Line::plain(
        "RSS before the first row, MB",
        number(coordinator.usage()?.rss_mb),
    )];
    let started = Instant::now();
    let model = Arc::new(Trivial { n_data: N_DATA });
    let workers = Workers::start(&coordinator, N_WORKERS, model);
    for milestone in MILESTONES {
        rows.reach(milestone).await?;
        lines.push(Line::plain(
            format!("RSS at {} million rows, MB", milestone / 1_000_000),
            number(coordinator.usage()?.rss_mb),
        ));
    }
    let seconds = started.elapsed().as_secs_f64();
    lines.push(Line::below(
        "peak RSS, MB",
        coordinator.usage()?.peak_rss_mb,
        TARGET,
    ));
    lines.push(Line::plain(
        "rows a second, by the way",
        number(MILESTONES[2] as f64 / seconds),
    ));
    coordinator.stop().await?;
    workers.stop().await?;
    print(
        &format!(
            "memory: the coordinator's, rows of {N_DATA} f32, {N_WORKERS} workers in another process"
        ),
        &lines,
    );
    Ok(())
}
