//! How much of their time workers spend in a forward model of 10 ms.

use crate::Fallible;
use crate::coordinator::{Coordinator, Setup};
use crate::models::Sleeping;
use crate::table::{Line, number, print};
use crate::workers::Workers;
use std::sync::Arc;
use std::time::{Duration, Instant};

const N_DATA: usize = 64;
const N_WORKERS: usize = 8;
const ROW: Duration = Duration::from_millis(10);
/// About half a minute.
const N_ROWS: u64 = 24_000;
/// Of the workers' time.
const TARGET: f64 = 0.95;

pub async fn run() -> Fallible {
    let setup = Setup {
        n_rows: N_ROWS,
        n_data: N_DATA,
        batch_rows: None,
        opens_shards: true,
    };
    let mut coordinator = Coordinator::start(&setup).await?;
    let mut rows = coordinator.rows().await?;
    let model = Arc::new(Sleeping::new(N_DATA, ROW));
    let workers = Workers::start(&coordinator, N_WORKERS, Arc::clone(&model) as _);
    let share = || -> Fallible<f64> {
        let began = model.began.get().ok_or("no row was simulated")?;
        let available_s = N_WORKERS as f64 * (Instant::now() - *began).as_secs_f64();
        Ok(model.busy_s() / available_s)
    };
    rows.reach(N_ROWS * 9 / 10).await?;
    let until_then = share()?;
    rows.reach(N_ROWS).await?;
    let whole = share()?;
    coordinator.stop().await?;
    workers.stop().await?;
    print(
        &format!(
            "busy: a forward model of {} ms, {N_WORKERS} workers of one thread, {} rows",
            ROW.as_millis(),
            number(N_ROWS as f64)
        ),
        &[
            Line::at_least(
                "of the workers' time, first row to last commit",
                whole,
                TARGET,
            ),
            Line::plain("  until nine tenths were committed", number(until_then)),
        ],
    );
    Ok(())
}
