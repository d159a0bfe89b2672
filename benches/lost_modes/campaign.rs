//! One campaign in this process, with coordinator, worker and trainer as `sidereal fit` has them.

use crate::problems::{Mirrored, Problem, Source};
use crate::{Fallible, How};
use sidereal_coordinator::{AfterTheEnd, CoordinatorConfig, Earlier, ServeConfig, start};
use sidereal_inference::campaign::{Campaign, DeviceChoice};
use sidereal_inference::campaign_file;
use sidereal_inference::method::Outcome;
use sidereal_inference::records::Posterior;
use sidereal_models::{Catalogue, ReadyModel};
use sidereal_proto::access::{AccessSource, SERVER_NAME, Secrets};
use sidereal_store::StorageChoice;
use sidereal_trainer::TrainerConfig;
use sidereal_trainer::noise::NoiseSource;
use sidereal_worker::WorkerConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a campaign found.
pub struct Found {
    /// Posterior mass of the mode that is cut, or left alone.
    pub mass: f64,
    pub n_eff: f64,
    pub simulations: u64,
    pub outcomes: Vec<Outcome>,
    pub warnings: Vec<String>,
}

pub async fn run(problem: &Problem, how: How, seed: u64) -> Fallible<Found> {
    let place = tempfile::tempdir()?;
    let location = place.path().to_str().ok_or("a path that is not UTF-8")?;
    let directory = sidereal_store::create(location)?;
    let mut campaign = Campaign {
        seed,
        ..campaign(problem)?
    };
    campaign.training.surrogate = how.has_surrogate;
    let running = start(CoordinatorConfig {
        directory: directory.clone(),
        campaign: campaign.clone(),
        serve: ServeConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            is_plaintext: false,
            client_ca: None,
            health: None,
            metrics: None,
        },
        secrets: Secrets::generate()?,
        advertise: Ipv4Addr::LOCALHOST.to_string(),
        server_name: SERVER_NAME.to_owned(),
        access_file: None,
        host: "benchmark".to_owned(),
        identity: None,
        trusted: None,
        earlier: Earlier::Respect,
        after_the_end: AfterTheEnd::Exit,
        lease_s: CoordinatorConfig::DEFAULT_LEASE_S,
    })
    .await?;
    let (_shut_down, shutdown) = watch::channel(false);
    let worker = WorkerConfig {
        access: AccessSource::Fixed(running.access.clone()),
        identity: None,
        storage: StorageChoice::Directory(directory.clone()),
        name: "worker".to_owned(),
        models: models(),
        n_threads: 1,
        patience: WorkerConfig::DEFAULT_PATIENCE,
        idle_timeout: None,
        grace: Duration::ZERO,
        ends_at: None,
    };
    let worker = tokio::spawn(sidereal_worker::run(worker, shutdown.clone()));
    let trainer = tokio::spawn(sidereal_trainer::run_with_blind_spot(
        TrainerConfig {
            access: AccessSource::Fixed(running.access.clone()),
            identity: None,
            storage: StorageChoice::Directory(directory.clone()),
            name: "trainer".to_owned(),
            device: Some(DeviceChoice::Cpu),
            noise: NoiseSource::default(),
            n_threads: 1,
            patience: TrainerConfig::DEFAULT_PATIENCE,
            idle_timeout: None,
            grace: Duration::ZERO,
        },
        how.is_cut.then_some(problem.mode),
        shutdown,
    ));
    let outcome = running.wait().await?;
    worker.await??;
    trainer.await??;
    let path = outcome.posterior_path.ok_or("no posterior")?;
    // Storage blocks: not on the event loop.
    let load = move || Posterior::load(&directory, &path, &campaign.space);
    let posterior = tokio::task::spawn_blocking(load).await??;
    let mass = (0..posterior.n_rows())
        .filter(|&row| (problem.mode)(posterior.theta_row(row)))
        .map(|row| posterior.weight[row])
        .sum();
    let summary = outcome.summary;
    Ok(Found {
        mass,
        n_eff: summary.combined.map_or(0.0, |combined| combined.n_eff),
        simulations: summary.simulations,
        outcomes: summary
            .missing_mass
            .map_or(Vec::new(), |missing| missing.outcomes),
        warnings: summary.warnings,
    })
}

fn models() -> Catalogue {
    Catalogue::default().with_guest(ReadyModel {
        name: "mirrored",
        simulator: Arc::new(Mirrored),
    })
}

fn campaign(problem: &Problem) -> Fallible<Campaign> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(match problem.file {
        Source::Path(path) => campaign_file::load(&root.join(path), &models())?,
        Source::Text(text) => campaign_file::parse(text, Path::new(problem.name), &models())?,
    })
}
