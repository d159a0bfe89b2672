//! A disk that is full when a flow is stored: the flow is kept until it can be, and not trained again.

mod setup;

use bytes::Bytes;
use sidereal_inference::base::{AttemptId, FlowId, RoundId};
use sidereal_inference::records::shard::{RowStatus, ShardRows};
use sidereal_inference::records::{
    Created, Directory, DrawTask, Draws, FinalRound, Storage, TrainerTask,
};
use sidereal_inference::weights::{Component, Proposal};
use sidereal_trainer::device;
use sidereal_trainer::task::{self, TaskContext, TaskProgress};
use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Refuses the first write of each of the task's own files but checkpoints.
#[derive(Debug)]
struct FullDisk {
    files: Directory,
    refused: Mutex<BTreeSet<String>>,
}

impl Storage for FullDisk {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        self.files.read(path).map_err(|error| error.source)
    }

    fn write(&self, path: &str, contents: Bytes) -> io::Result<()> {
        let is_own = path.starts_with("rounds/000/model/") && !path.contains("checkpoint");
        let is_first = self
            .refused
            .lock()
            .expect("no panic")
            .insert(path.to_owned());
        if is_own && is_first {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.files
            .write(path, contents)
            .map_err(|error| error.source)
    }

    fn create(&self, path: &str, contents: Bytes) -> io::Result<Created> {
        self.files
            .create(path, contents)
            .map_err(|error| error.source)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.files.list(folder).map_err(|error| error.source)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.files.remove(path).map_err(|error| error.source)
    }

    fn location(&self) -> &'static str {
        "full"
    }
}

const SETTINGS: &str = r#"
[observation]
grid = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
value = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
sigma = [0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
[featurizer]
kind = "mlp"
layers = 1
hidden = 4
features = 4
[flow]
kind = "maf"
blocks = 1
hidden = 4
layers = 1
components = 1
[training]
max_epochs = 3
refinement = false
"#;

#[test]
fn a_full_disk_costs_no_training_and_is_told() {
    let campaign = setup::campaign(SETTINGS);
    let directory = Directory::new(FullDisk {
        files: Directory::in_memory(),
        refused: Mutex::default(),
    });
    let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), 0..40);
    let rows = ShardRows {
        simulated: (0..40)
            .flat_map(|i| [draws.theta_row(i)[0] as f32; 6])
            .collect(),
        draws,
        log_likelihood: vec![Some(-1.0); 40],
        n_data: 6,
        n_derived: 0,
        derived: Vec::new(),
        status: vec![RowStatus::Ok; 40],
        message: vec![None; 40],
    };
    let shard = rows
        .store(&directory, "rounds/000/shards/0.parquet", &campaign.space)
        .expect("stored");
    let prior = Proposal::of(vec![(Component::Prior, 1.0)]);
    let task = TrainerTask {
        attempt: AttemptId(1),
        train: Some(FlowId(0)),
        draw: Some(DrawTask {
            round: RoundId(1),
            n_rows: 20,
            proposal: Proposal::of(vec![(Component::Flow(FlowId(0)), 1.0)]),
        }),
        rounds: vec![FinalRound {
            round: RoundId(0),
            n_rows: 40,
            proposal: prior,
            shards: vec![shard],
            draws: None,
            scores: Vec::new(),
        }],
        models: Vec::new(),
        reused: Vec::new(),
        output: "rounds/000/model".to_owned(),
        earlier_attempts: Vec::new(),
        lease_s: 30.0,
    };
    let run = |interrupted: &AtomicBool, on_pause: &mut dyn FnMut()| {
        let mut told = Vec::new();
        let mut on_progress = |progress: TaskProgress| {
            told.push(match progress {
                TaskProgress::Training(progress) => format!("epoch {}", progress.epoch),
                TaskProgress::Drawing { .. } => "drawing".to_owned(),
                TaskProgress::Paused { reason } => {
                    on_pause();
                    reason
                }
                TaskProgress::Resumed => "resumed".to_owned(),
            });
        };
        let mut context = TaskContext {
            campaign: &campaign,
            directory: &directory,
            device: &device::choose(sidereal_inference::campaign::DeviceChoice::Cpu)
                .expect("a CPU"),
            pool: &setup::pool(1),
            noise: None,
            blind_spot: None,
            interrupted,
            on_progress: &mut on_progress,
        };
        let result = task::run(&task, &mut context);
        (result, told)
    };
    // Who is asked to leave does not wait for the disk.
    let leaving = AtomicBool::new(false);
    let (result, told) = run(&leaving, &mut || leaving.store(true, Ordering::Relaxed));
    let error = result.expect_err("asked to leave");
    assert!(error.is_store_fault(), "{error}");
    let weights = "cannot write full/rounds/000/model/weights.safetensors: no storage space";
    assert_eq!(told, ["epoch 1", "epoch 2", "epoch 3", weights, "resumed"]);
    let (result, told) = run(&AtomicBool::new(false), &mut || {});
    let report = result.unwrap_or_else(|error| panic!("{error}"));
    assert!(report.model.is_some() && report.draws.is_some());
    let is = |start: &str| told.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((is("epoch"), is("drawing")), (3, 1), "{told:#?}");
    let paused: Vec<&str> = told
        .iter()
        .filter_map(|line| line.strip_prefix("cannot write full/rounds/000/model/"))
        .collect();
    assert_eq!(
        paused,
        [
            "model.json: no storage space",
            "scores-round-000.parquet: no storage space",
            "draws.parquet: no storage space",
            "scores-round-001.parquet: no storage space"
        ]
    );
    assert_eq!(is("resumed"), 4);
}
