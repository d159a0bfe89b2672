//! Starts coordinators, ends them at chosen moments, and compares what they leave with a calm run.

use super::peers::{Habit, Reach, campaign, spawn_trainer, spawn_worker};
use sidereal_coordinator::{
    AfterTheEnd, CampaignFailure, CampaignOutcome, CoordinatorConfig, Earlier, Running,
    ServeConfig, start,
};
use sidereal_inference::account::Progress;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Directory;
use sidereal_proto::access::{SERVER_NAME, Secrets};
use sidereal_proto::client::Client;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Bytes that must not depend on chance.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    posterior: Vec<u8>,
    fit: Vec<u8>,
    weights: Vec<u8>,
    /// Without `timing`.
    summary: serde_json::Value,
}

impl Files {
    /// Off the event loop, as everything that waits for storage.
    pub async fn read(directory: &Directory) -> Self {
        let directory = directory.clone();
        tokio::task::spawn_blocking(move || Self::read_now(&directory))
            .await
            .expect("no panic")
    }

    fn read_now(directory: &Directory) -> Self {
        let read = |name: &str| directory.read(name).expect("result file").to_vec();
        let mut summary: serde_json::Value =
            serde_json::from_slice(&read("summary.json")).expect("JSON");
        let timing = summary.as_object_mut().and_then(|map| map.remove("timing"));
        assert!(timing.is_some());
        Self {
            posterior: read("posterior.parquet"),
            fit: read("fit.parquet"),
            weights: read("model/weights.safetensors"),
            summary,
        }
    }
}

/// What a run leaves that nothing disturbs.
pub async fn calm() -> &'static Files {
    static FILES: OnceCell<Files> = OnceCell::const_new();
    FILES
        .get_or_init(|| async {
            let directory = Directory::in_memory();
            finish(&directory, campaign(), &[Habit::Steady]).await;
            Files::read(&directory).await
        })
        .await
}

/// Refuses results that are not those of a calm run.
pub async fn expect_calm(directory: &Directory) {
    let (found, expected) = (Files::read(directory).await, calm().await);
    assert_eq!(found.summary, expected.summary);
    assert!(
        found == *expected,
        "the same summary, but other posteriors or weights"
    );
}

/// Of all coordinators here.
pub fn secrets() -> &'static Secrets {
    static SECRETS: OnceLock<Secrets> = OnceLock::new();
    SECRETS.get_or_init(|| Secrets::generate().expect("secrets"))
}

pub fn config(directory: &Directory, campaign: Campaign) -> CoordinatorConfig {
    CoordinatorConfig {
        directory: directory.clone(),
        campaign,
        serve: ServeConfig {
            listen: loopback(),
            is_plaintext: false,
            client_ca: None,
            health: None,
            metrics: Some(loopback()),
        },
        trusted: None,
        secrets: secrets().clone(),
        advertise: "127.0.0.1".to_owned(),
        server_name: SERVER_NAME.to_owned(),
        access_file: None,
        host: "here".to_owned(),
        identity: None,
        earlier: Earlier::Respect,
        after_the_end: AfterTheEnd::Exit,
        lease_s: CoordinatorConfig::DEFAULT_LEASE_S,
    }
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A campaign that is disturbed and must not show it.
pub struct Trial {
    pub running: Running,
    pub directory: Directory,
}

impl Trial {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_on(directory: &Directory) -> Self {
        let running = start(config(directory, campaign())).await.expect("starts");
        Self {
            running,
            directory: directory.clone(),
        }
    }

    pub async fn start_with(change: impl FnOnce(&mut CoordinatorConfig)) -> Self {
        let directory = Directory::in_memory();
        let mut config = config(&directory, campaign());
        change(&mut config);
        let running = start(config).await.expect("starts");
        Self { running, directory }
    }

    pub fn reach(&self) -> Reach {
        Reach {
            access: self.running.access.clone(),
            directory: Some(self.directory.clone()),
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.running.access, None)
            .await
            .expect("connects")
    }

    pub async fn n_refused(&self) -> u64 {
        let status = self.client().await.status().await.expect("status");
        status.live.expect("a live coordinator").n_refused
    }

    /// What `/metrics` shows of this metric.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let address = self.running.metrics_address.expect("metrics");
        let reading = tokio::task::spawn_blocking(move || fetch(address, "/metrics"));
        let text = reading.await.expect("no panic");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().expect("a number"))
    }

    /// With steady peers the campaign ends as if nothing had happened.
    pub async fn ends_calmly(self) -> CampaignOutcome {
        let worker = spawn_worker(&self.reach(), Habit::Steady);
        self.ends_calmly_with(worker).await
    }

    /// As [`Trial::ends_calmly`], with this worker.
    pub async fn ends_calmly_with(
        self,
        worker: tokio::task::JoinHandle<Option<tonic::Code>>,
    ) -> CampaignOutcome {
        let trainer = spawn_trainer(&self.running.access, &self.directory);
        let outcome = soon(self.running.wait()).await.expect("finishes");
        expect_calm(&self.directory).await;
        assert_eq!(worker.await.expect("no panic"), None);
        trainer.await.expect("no panic");
        outcome
    }
}

/// The answer to a plain HTTP request.
fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asks");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// What comes within any sensible time.
#[track_caller]
pub fn soon<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        tokio::time::timeout(Duration::from_secs(30), future)
            .await
            .unwrap_or_else(|_| panic!("nothing within 30 s, at {caller}"))
    }
}

/// Runs a campaign to its end with these workers, and a watcher that hears of every round.
pub async fn finish(
    directory: &Directory,
    campaign: Campaign,
    habits: &[Habit],
) -> CampaignOutcome {
    let running = start(config(directory, campaign)).await.expect("starts");
    let mut client = Client::connect(&running.access, None)
        .await
        .expect("connects");
    let mut progress = client.watch().await.expect("watches");
    let (workers, trainer) = spawn_peers(&running, directory, habits);
    let mut told = Vec::new();
    while let Some(Ok(step)) = progress.next().await {
        told.push(step);
    }
    let outcome = running.wait().await.expect("finishes");
    assert_eq!(told.last(), Some(&Progress::Finished));
    let weighed: Vec<_> = told
        .iter()
        .filter_map(|step| match step {
            Progress::RoundWeighed { summary, .. } => Some(summary.as_ref().clone()),
            Progress::RoundOpened { .. }
            | Progress::RowsCommitted { .. }
            | Progress::Training(_)
            | Progress::Drawing { .. }
            | Progress::Trained { .. }
            | Progress::Stopped { .. }
            | Progress::Paused { .. }
            | Progress::Resumed
            | Progress::Finished
            | Progress::Failed { .. } => None,
        })
        .collect();
    assert_eq!(weighed, outcome.summary.rounds);
    trainer.await.expect("no panic");
    for worker in workers {
        worker.await.expect("no panic");
    }
    outcome
}

/// Ends a coordinator as soon as a watcher hears of `moment`; a campaign that is past it ends at once.
pub async fn run_until(directory: &Directory, campaign: Campaign, moment: fn(&Progress) -> bool) {
    let running = start(config(directory, campaign)).await.expect("starts");
    let mut client = Client::connect(&running.access, None)
        .await
        .expect("connects");
    let mut progress = client.watch().await.expect("watches");
    let (workers, trainer) = spawn_peers(&running, directory, &[Habit::Dying, Habit::Steady]);
    while let Some(Ok(step)) = progress.next().await {
        if moment(&step) {
            break;
        }
    }
    stop(running).await;
    trainer.await.expect("no panic");
    for worker in workers {
        worker.await.expect("no panic");
    }
}

/// Stops a coordinator in the middle.
pub async fn stop(running: Running) {
    running.stop();
    let failure = running.wait().await.expect_err("interrupted");
    assert!(matches!(failure, CampaignFailure::Interrupted), "{failure}");
}

type Peers = (
    Vec<tokio::task::JoinHandle<Option<tonic::Code>>>,
    tokio::task::JoinHandle<()>,
);

/// Workers with these habits, and a trainer.
pub fn spawn_peers(running: &Running, directory: &Directory, habits: &[Habit]) -> Peers {
    let reach = Reach {
        access: running.access.clone(),
        directory: Some(directory.clone()),
    };
    let workers = habits
        .iter()
        .map(|&habit| spawn_worker(&reach, habit))
        .collect();
    (workers, spawn_trainer(&running.access, directory))
}
