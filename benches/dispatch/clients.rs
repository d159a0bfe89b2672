//! What a thousand connected workers cost the coordinator while there is nothing for them to do.

use crate::Fallible;
use crate::coordinator::{Coordinator, Setup};
use crate::light::LightWorker;
use crate::table::{Line, number, print};
use sidereal_proto::message::FromWorker;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

const N_CLIENTS: usize = 1_000;
const CONNECTED_AT_A_TIME: usize = 50;
/// As real workers do.
const CREDITS: u32 = 2;
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Longer than a heartbeat, so that these are spread as the connections were.
const SETTLING: Duration = Duration::from_secs(12);
const MEASURED: Duration = Duration::from_secs(30);
/// Cores.
const TARGET: f64 = 0.5;

pub async fn run() -> Fallible {
    let setup = Setup {
        // One lease, which nobody reports: all others wait.
        n_rows: 64,
        n_data: 64,
        batch_rows: Some(64),
        opens_shards: true,
    };
    let mut coordinator = Coordinator::start(&setup).await?;
    let alone = coordinator.usage()?;
    let started = Instant::now();
    let mut waiting = JoinSet::new();
    let mut n_left = N_CLIENTS;
    while n_left > 0 {
        let n_now = n_left.min(CONNECTED_AT_A_TIME);
        let mut connecting = JoinSet::new();
        for _ in 0..n_now {
            let access = coordinator.access.clone();
            connecting.spawn(async move { LightWorker::connect(&access, CREDITS).await });
        }
        while let Some(connected) = connecting.join_next().await {
            waiting.spawn(wait(connected??));
        }
        n_left -= n_now;
    }
    let connecting_s = started.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLING).await;
    let (before, started) = (coordinator.usage()?, Instant::now());
    tokio::time::sleep(MEASURED).await;
    let (after, seconds) = (coordinator.usage()?, started.elapsed().as_secs_f64());
    let status = coordinator.connect().await?.status().await?;
    let n_connected = status.live.map_or(0, |live| live.peers.len());
    if n_connected != N_CLIENTS {
        return Err(format!("{n_connected} of {N_CLIENTS} clients are connected").into());
    }
    coordinator.stop().await?;
    while waiting.join_next().await.is_some() {}
    print(
        &format!(
            "clients: {} connected workers that wait, a heartbeat every {} s",
            number(N_CLIENTS as f64),
            HEARTBEAT.as_secs()
        ),
        &[
            Line::below(
                "coordinator, cores",
                (after.cpu_s - before.cpu_s) / seconds,
                TARGET,
            ),
            Line::plain("RSS without clients, MB", number(alone.rss_mb)),
            Line::plain("RSS with them, MB", number(after.rss_mb)),
            Line::plain("connecting all of them, s", number(connecting_s)),
        ],
    );
    Ok(())
}

/// Sends heartbeats, reports nothing, until the coordinator ends.
async fn wait(mut worker: LightWorker) {
    let mut heartbeats = interval(HEARTBEAT);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = worker.incoming.next() => match message {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            _ = heartbeats.tick() => {
                if worker.outgoing.send(FromWorker::Heartbeat).await.is_err() {
                    return;
                }
            }
        }
    }
}
