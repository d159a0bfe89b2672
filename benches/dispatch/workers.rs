//! Real workers with a forward model of the benchmark's.

use crate::Fallible;
use crate::coordinator::Coordinator;
use crate::models::catalogue;
use sidereal_models::Simulator;
use sidereal_proto::access::AccessSource;
use sidereal_store::StorageChoice;
use sidereal_worker::{WorkerConfig, WorkerError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Workers of one thread each, until they are stopped.
pub struct Workers {
    tasks: JoinSet<Result<(), WorkerError>>,
    shut_down: watch::Sender<bool>,
}

impl Workers {
    pub fn start(
        coordinator: &Coordinator,
        n_workers: usize,
        simulator: Arc<dyn Simulator>,
    ) -> Self {
        let (shut_down, shutdown) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for index in 0..n_workers {
            let config = WorkerConfig {
                access: AccessSource::Fixed(coordinator.access.clone()),
                identity: None,
                storage: StorageChoice::Directory(coordinator.directory.clone()),
                name: format!("worker {index}"),
                models: catalogue(&simulator),
                n_threads: 1,
                patience: WorkerConfig::DEFAULT_PATIENCE,
                idle_timeout: None,
                grace: Duration::ZERO,
                ends_at: None,
            };
            tasks.spawn(sidereal_worker::run(config, shutdown.clone()));
        }
        Self { tasks, shut_down }
    }

    pub async fn stop(mut self) -> Fallible {
        // Without receivers nobody is left to be told.
        let _ = self.shut_down.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}
