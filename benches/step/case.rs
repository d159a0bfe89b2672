//! What is trained: networks, lengths, batches and threads.

use crate::cpu_time::cpu_seconds;
use crate::{Fallible, Time};
use burn::tensor::Device;
use serde_json::{Value, json};
use sidereal_inference::base::{FlowId, RoundId};
use sidereal_inference::campaign::{Campaign, DeviceChoice};
use sidereal_inference::campaign_file;
use sidereal_inference::records::Draws;
use sidereal_inference::weights::Objective;
use sidereal_models::Catalogue;
use sidereal_trainer::standardization::Standardization;
use sidereal_trainer::training::{self, Observer, TrainingError, TrainingState};
use sidereal_trainer::training_set::TrainingSet;
use sidereal_trainer::{device, parameters};
use std::path::Path;
use std::time::Instant;

/// Featurizers, and the flow alone on weighted draws.
const KINDS: [&str; 3] = ["resnet-gru", "resnet", "none"];
/// Epochs that do not count.
pub const WARM_UP: usize = 2;
/// Those and the ones that do.
pub const EPOCHS: usize = 9;
/// What the trainer shows of weighted draws in an epoch.
const DRAWS_PER_EPOCH: usize = 2560;
const N_PARAMETERS: usize = 5;
const FEATURES: usize = 32;

/// Where a network is trained, here and in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardware {
    Cpu,
    /// wgpu and CUDA.
    Gpu,
}

/// One row of the table.
pub struct Case {
    pub place: Hardware,
    pub kind: &'static str,
    pub length: usize,
    pub batch: usize,
    pub threads: usize,
}

/// How long our steps took.
pub struct Trained {
    pub n_parameters: usize,
    pub times: Vec<Time>,
}

/// Sizes of a network.
struct Sizes {
    channels: usize,
    stages: usize,
    hidden: usize,
    flow_hidden: usize,
}

impl Case {
    pub fn all(place: Hardware) -> Vec<Self> {
        // On a GPU threads prepare the minibatches alone.
        let (batches, threads): (&[usize], &[usize]) = match place {
            Hardware::Cpu => (&[64, 256], &[1, 2]),
            Hardware::Gpu => (&[64, 256, 1024], &[2]),
        };
        let mut cases = Vec::new();
        for kind in KINDS {
            for length in [64, 512, 2048] {
                for &batch in batches {
                    for &threads in threads {
                        // The flow alone has a batch of its own and sees no data.
                        if kind != "none" || (length == 64 && batch == 256) {
                            cases.push(Self {
                                place,
                                kind,
                                length,
                                batch,
                                threads,
                            });
                        }
                    }
                }
            }
        }
        cases
    }

    pub fn name(&self) -> String {
        let Self {
            kind,
            length,
            batch,
            threads,
            ..
        } = self;
        format!("{kind}/{length}/{batch}/{threads}")
    }

    fn sizes(&self) -> Sizes {
        if self.kind == "none" {
            // As a campaign of five parameters has them by default.
            return Sizes {
                channels: 1,
                stages: 1,
                hidden: 1,
                flow_hidden: 80,
            };
        }
        if self.length <= 64 {
            return Sizes {
                channels: 32,
                stages: 3,
                hidden: 192,
                flow_hidden: 128,
            };
        }
        Sizes {
            channels: 64,
            stages: 5,
            hidden: 256,
            flow_hidden: 192,
        }
    }

    pub fn device(&self) -> Fallible<Device> {
        Ok(match self.place {
            Hardware::Cpu => Device::flex(),
            Hardware::Gpu => device::choose(DeviceChoice::Wgpu)?,
        })
    }

    /// Of an epoch.
    pub fn n_steps(&self) -> usize {
        let n_rows = match (self.kind, self.length) {
            // Every fifth is held out, the others are resampled.
            ("none", _) => DRAWS_PER_EPOCH,
            (_, 64) => 1024,
            (_, _) => 512,
        };
        match self.place {
            Hardware::Cpu => n_rows / self.batch,
            // An epoch ends with a validation and a look at all weights, which is to weigh little.
            Hardware::Gpu if self.kind == "none" => n_rows / self.batch,
            Hardware::Gpu => 16 * n_rows / self.batch,
        }
    }

    /// What PyTorch builds the same network from.
    pub fn description(&self) -> Value {
        let sizes = self.sizes();
        json!({
            "kind": self.kind,
            "length": self.length,
            "batch": self.batch,
            "threads": self.threads,
            "device": match self.place {
                Hardware::Cpu => "cpu",
                Hardware::Gpu => "cuda",
            },
            "channels": sizes.channels,
            "stages": sizes.stages,
            "hidden": sizes.hidden,
            "features": FEATURES,
            "parameters": N_PARAMETERS,
            "flow": {
                "blocks": 4,
                "hidden": sizes.flow_hidden,
                "layers": 2,
                "components": 8,
                "max_log_scale": 5.0,
            },
        })
    }

    /// Trains for `n_epochs`, or fewer where the training ends before, calling `between` with the number of steps after each.
    pub fn train(
        &self,
        n_epochs: usize,
        between: impl FnMut(usize) -> Fallible,
    ) -> Fallible<Trained> {
        let campaign = self.campaign()?;
        let n_steps = self.n_steps();
        let (objective, n_rows) = match self.kind {
            "none" => (Objective::WeightedDraws { exponent: 1.0 }, DRAWS_PER_EPOCH),
            // One row is held out.
            _ => (Objective::Simulations, n_steps * self.batch + 1),
        };
        let set = training_set(&campaign, objective, n_rows);
        let standardization = Standardization::new(&set);
        let estimator = training::network(&set, &standardization, &self.device()?);
        let n_parameters = parameters::flat(&estimator).dims()[0];
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build()?;
        let mut watch = Watch {
            n_epochs,
            n_steps,
            between,
            times: Vec::new(),
            started: (Instant::now(), cpu_seconds()?),
            failure: None,
        };
        let ended = training::fit(&set, &standardization, estimator, None, &pool, &mut watch);
        match (watch.failure, ended) {
            (Some(error), _) => Err(error),
            (None, Ok(_) | Err(TrainingError::Interrupted)) => Ok(Trained {
                n_parameters,
                times: watch.times,
            }),
            (None, Err(error)) => Err(error.into()),
        }
    }

    fn campaign(&self) -> Fallible<Campaign> {
        let sizes = self.sizes();
        let n = self.length;
        let parameters: Vec<String> = (0..N_PARAMETERS)
            .map(|i| {
                format!("{{ name = \"p{i}\", prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }} }}")
            })
            .collect();
        let grid: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let matrix: Vec<Vec<f64>> = grid
            .iter()
            .map(|t| {
                (0..N_PARAMETERS)
                    .map(|i| (t / n as f64 * (i + 1) as f64).cos())
                    .collect()
            })
            .collect();
        let featurizer = match self.kind {
            "resnet-gru" => format!(
                "kind = \"resnet-gru\"\nchannels = {}\nstages = {}\nhidden = {}\nfeatures = {FEATURES}",
                sizes.channels, sizes.stages, sizes.hidden
            ),
            _ => format!(
                "kind = \"resnet\"\nchannels = {}\nstages = {}\nfeatures = {FEATURES}",
                sizes.channels, sizes.stages
            ),
        };
        let text = format!(
            r#"
name = "step"
parameters = [{}]
[simulator]
builtin = "linear-gaussian"
grid = {grid:?}
matrix = {matrix:?}
[noise]
gaussian = {{ sigma = 0.3 }}
[rounds]
max = 1
[featurizer]
{featurizer}
[flow]
kind = "maf"
blocks = 4
hidden = {}
layers = 2
components = 8
max_log_scale = 5.0
[training]
device = "cpu"
batch_size = {}
max_epochs = 100000
patience = 100000
validation_fraction = 1e-6
"#,
            parameters.join(", "),
            sizes.flow_hidden,
            self.batch
        );
        Ok(campaign_file::parse(
            &text,
            Path::new("step.toml"),
            &Catalogue::default(),
        )?)
    }
}

fn training_set(campaign: &Campaign, objective: Objective, n_rows: usize) -> TrainingSet<'_> {
    let mut set = TrainingSet::new(campaign, FlowId(0), objective);
    let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), 0..n_rows as u64);
    let n = campaign.simulator.grid.len();
    for i in 0..n_rows {
        match objective {
            Objective::Simulations => {
                let theta = draws.theta_row(i);
                let x: Vec<f32> = (0..n)
                    .map(|j| {
                        let t = j as f64 / n as f64;
                        let terms = theta.iter().zip(1..);
                        terms
                            .map(|(theta, k)| theta * (t * f64::from(k)).cos())
                            .sum::<f64>() as f32
                    })
                    .collect();
                set.push_simulation(draws.z_row(i), &x);
            }
            Objective::WeightedDraws { .. } | Objective::SurrogateDraws => {
                set.push_draw(draws.z_row(i), 1.0)
            }
        }
    }
    set
}

/// Times epochs, and ends the training after enough of them.
struct Watch<F> {
    n_epochs: usize,
    n_steps: usize,
    between: F,
    times: Vec<Time>,
    started: (Instant, f64),
    failure: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl<F: FnMut(usize) -> Fallible> Watch<F> {
    fn after_epoch(&mut self) -> Fallible {
        let (wall, cpu) = self.started;
        self.times.push(Time {
            wall_s: wall.elapsed().as_secs_f64() / self.n_steps as f64,
            cpu_s: (cpu_seconds()? - cpu) / self.n_steps as f64,
        });
        (self.between)(self.n_steps)?;
        self.started = (Instant::now(), cpu_seconds()?);
        Ok(())
    }
}

impl<F: FnMut(usize) -> Fallible> Observer for Watch<F> {
    fn on_epoch(&mut self, _state: &TrainingState, _seconds: f64) -> Result<(), TrainingError> {
        if let Err(error) = self.after_epoch() {
            self.failure = Some(error);
            return Err(TrainingError::Interrupted);
        }
        if self.times.len() == self.n_epochs {
            return Err(TrainingError::Interrupted);
        }
        Ok(())
    }
}
