//! A linear-Gaussian campaign, a worker that simulates it, and a trainer whose flows are fixed
//! Gaussians: all that the real ones do, except learning.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use sidereal_inference::base::{AttemptId, FlowId, Purpose, RowId, stream};
use sidereal_inference::campaign::model::{ModelId, Options, Origin, SimulatorSpec};
use sidereal_inference::campaign::{
    Campaign, Combine, DeviceChoice, Featurizer, Flow, GaussianNoise, Loss, Noise, Observation,
    Reading, Rounds, SigmaSource, Stop, StopRule, Training, Trust, Workers,
};
use sidereal_inference::records::shard::{RowStatus, ShardLayout, ShardRows};
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{
    BatchLease, BatchReport, Directory, Draws, FinalRound, ModelFiles, Scores, ScoresFile,
    ShardFile, TrainerReport, TrainerTask, TrainingSummary,
};
use sidereal_inference::space::{Parameter, ParameterSpace, Prior};
use sidereal_inference::weights::{Component, Objective};
use sidereal_proto::access::Access;
use sidereal_proto::client::{Client, ClientError};
use sidereal_proto::message::{
    FailureCause, FromTrainer, FromWorker, PeerKind, Registration, Session, ToTrainer, ToWorker,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

const DATA: [f64; 2] = [1.5, -1.0];
const SIGMA: f64 = 0.5;

fn linear_gaussian() -> ModelId {
    ModelId {
        origin: Origin::Builtin,
        name: "linear-gaussian".to_owned(),
        version: 1,
    }
}

pub fn campaign() -> Campaign {
    let matrix = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
    let parameter = |name: &str| Parameter {
        name: name.to_owned(),
        prior: Prior::Normal { mean: 0.0, sd: 1.0 },
        periodic: false,
    };
    Campaign {
        name: "linear".to_owned(),
        seed: 7,
        space: ParameterSpace::independent(vec![parameter("a"), parameter("b")]),
        truth_by_name: BTreeMap::new(),
        simulator: SimulatorSpec {
            model: linear_gaussian(),
            options: Options(BTreeMap::from([("matrix".to_owned(), matrix.into())])),
            grid: vec![0.0, 1.0],
            external: None,
        },
        observation: Some(Observation {
            grid: vec![0.0, 1.0],
            value: DATA.to_vec(),
            sigma: vec![SIGMA; 2],
        }),
        reading: Reading::default(),
        noise: Noise::Gaussian(GaussianNoise::of_sigma(SigmaSource::Observed)),
        training_noise: None,
        featurizer: Featurizer::Mlp {
            layers: 1,
            hidden: 4,
            features: 2,
        },
        flow: Flow::Maf {
            blocks: 1,
            hidden: 4,
            layers: 1,
            components: 1,
            max_log_scale: 3.0,
        },
        training: Training {
            device: DeviceChoice::Cpu,
            batch_size: 32,
            learning_rate: 1e-3,
            max_epochs: 2,
            patience: 1,
            validation_fraction: 0.1,
            clip_norm: 1.0,
            rounds: 5,
            loss: Loss::Nll,
            refinement: true,
            surrogate: false,
        },
        rounds: Rounds {
            max: 3,
            simulations: 200,
            defensive_share: 0.1,
            combine: Combine::Mixture,
            stop: Stop {
                rule: StopRule::Bootstrap,
                n_eff: Some(1e6),
                efficiency: None,
                simulations: None,
                wall_time_s: None,
                top_up: 100,
            },
        },
        workers: Workers {
            count: None,
            batch_rows: None,
            python: None,
        },
        trust: Trust::default(),
    }
}

pub fn constant_noise() -> Noise {
    Noise::Gaussian(GaussianNoise::of_sigma(SigmaSource::Constant(SIGMA)))
}

/// x ~ N(0, 1 + sigma²) for each datum.
pub fn exact_log_evidence() -> f64 {
    let variance = 1.0 + SIGMA * SIGMA;
    DATA.iter()
        .map(|x| -0.5 * (x * x / variance + (2.0 * std::f64::consts::PI * variance).ln()))
        .sum()
}

pub fn exact_mean() -> [f64; 2] {
    DATA.map(|x| x / (1.0 + SIGMA * SIGMA))
}

/// How a peer reaches its coordinator and the campaign's files.
#[derive(Debug, Clone)]
pub struct Reach {
    pub access: Access,
    /// None: shards go through the coordinator.
    pub directory: Option<Directory>,
}

/// How a worker behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    Steady,
    /// Leaves with a lease in hand after a few batches, and comes back.
    Dying,
    /// Reports a shard with other content than it says.
    Lying,
    /// Drops its connection each time that it has this row of the first round in hand, and comes back.
    KilledBy(u64),
}

/// Works until told that nothing more will come or the coordinator is gone; the code of a refusal.
pub fn spawn_worker(reach: &Reach, habit: Habit) -> JoinHandle<Option<Code>> {
    let reach = reach.clone();
    tokio::spawn(async move {
        loop {
            match work(&reach, habit).await {
                Ok(End::Done) => return None,
                Ok(End::Died) => {}
                Err(ClientError::Refused(status)) if status.code() == Code::InvalidArgument => {
                    return Some(status.code());
                }
                Err(_) => return None,
            }
        }
    })
}

enum End {
    Done,
    Died,
}

async fn work(reach: &Reach, habit: Habit) -> Result<End, ClientError> {
    let mut client = Client::connect(&reach.access, None).await?;
    let session = client.register(&registration(PeerKind::Worker)).await?;
    let (sender, messages) = mpsc::channel(64);
    let mut leases = client
        .work(session.peer, ReceiverStream::new(messages))
        .await?;
    let mut n_done = 0;
    if sender.send(FromWorker::Credits(2)).await.is_err() {
        return Ok(End::Done);
    }
    while let Some(message) = leases.next().await {
        let lease = match message? {
            ToWorker::Done => return Ok(End::Done),
            ToWorker::Cancel(_) => continue,
            ToWorker::Lease(lease) => lease,
        };
        let is_last = match habit {
            Habit::Steady | Habit::Lying => false,
            Habit::Dying => n_done == 3,
            Habit::KilledBy(row) => {
                lease.draws.round.0 == 0
                    && (lease.draws.first_row..lease.draws.end_row()).contains(&row)
            }
        };
        if is_last {
            // What was sent before arrives: the kernel of a killed process sees to that, a dropped stream
            // does not.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Ok(End::Died);
        }
        let answer = match store(reach, &mut client, &session, lease, habit).await {
            Ok(report) => FromWorker::Report(report),
            Err((attempt, message)) => FromWorker::Failure {
                attempt,
                message,
                cause: FailureCause::Storage,
            },
        };
        n_done += 1;
        // A closed stream shows at the next lease.
        let _ = sender.send(answer.clone()).await;
        if habit == Habit::Steady {
            // Twice delivered.
            let _ = sender.send(answer).await;
        }
        let _ = sender.send(FromWorker::Credits(1)).await;
    }
    Ok(End::Done)
}

/// Simulates a lease and stores its shard.
async fn store(
    reach: &Reach,
    client: &mut Client,
    session: &Session,
    lease: BatchLease,
    habit: Habit,
) -> Result<BatchReport, (AttemptId, String)> {
    let attempt = lease.attempt;
    let path = lease.shard_path.clone();
    let campaign = session.campaign.clone();
    let directory = reach.directory.clone();
    let storing = tokio::task::spawn_blocking(move || {
        let rows = simulate(&campaign, lease, habit);
        let (place, is_sent) = match directory {
            Some(directory) => (directory, false),
            None => (Directory::in_memory(), true),
        };
        let shard = rows.store(&place, &path, &campaign.space)?;
        let contents = is_sent.then(|| place.read(&path)).transpose()?;
        Ok((shard, contents))
    });
    let failed = |error: String| (attempt, error);
    let stored: Result<_, TableError> = storing.await.expect("no panic");
    let (shard, contents): (ShardFile, _) = stored.map_err(|error| failed(error.to_string()))?;
    if let Some(contents) = contents {
        let sent = client
            .upload(session.peer, attempt, &shard.file.path, &contents)
            .await
            .map_err(|error| failed(error.to_string()))?;
        assert_eq!(sent, shard.file);
    }
    Ok(BatchReport {
        attempt,
        seconds: 0.001 * shard.n_rows as f64,
        shard,
    })
}

/// The rows of a lease.
pub fn simulate(campaign: &Campaign, lease: BatchLease, habit: Habit) -> ShardRows {
    let mut draws = lease.draws;
    if habit == Habit::Lying {
        draws.theta[0] += 1e-9;
    }
    let n_rows = draws.n_rows();
    let log_likelihood = (0..n_rows)
        .map(|row| {
            let observation = campaign.observation.as_ref()?;
            match &campaign.noise {
                Noise::Gaussian(noise) => {
                    let theta = draws.theta_row(row);
                    let noise = noise.terms.of_row(&campaign.space, theta);
                    Some(noise.log_likelihood(observation, theta))
                }
                Noise::Simulator => None,
            }
        })
        .collect();
    ShardRows {
        log_likelihood,
        n_data: 2,
        simulated: draws.theta.iter().map(|&x| x as f32).collect(),
        n_derived: 0,
        derived: Vec::new(),
        status: vec![RowStatus::Ok; n_rows],
        message: vec![None; n_rows],
        draws,
    }
}

/// Trains until told that nothing more will come or the coordinator is gone.
pub fn spawn_trainer(access: &Access, directory: &Directory) -> JoinHandle<()> {
    let (access, directory) = (access.clone(), directory.clone());
    tokio::spawn(async move {
        // A coordinator that is stopped closes the stream, or refuses the connection.
        let _ = train(&access, &directory).await;
    })
}

async fn train(access: &Access, directory: &Directory) -> Result<(), ClientError> {
    let mut client = Client::connect(access, None).await?;
    let session = client.register(&registration(PeerKind::Trainer)).await?;
    let (sender, messages) = mpsc::channel(64);
    let mut tasks = client
        .train(session.peer, ReceiverStream::new(messages))
        .await?;
    let _ = sender.send(FromTrainer::Ready).await;
    while let Some(message) = tasks.next().await {
        let task = match message? {
            ToTrainer::Done => return Ok(()),
            ToTrainer::Task(task) => *task,
        };
        if let Some(draw) = &task.draw {
            let _ = sender
                .send(FromTrainer::Drawing {
                    round: draw.round,
                    n_rows: draw.n_rows,
                })
                .await;
        }
        let attempt = task.attempt;
        let campaign = session.campaign.clone();
        let directory = directory.clone();
        let ran = tokio::task::spawn_blocking(move || run_task(&campaign, &directory, &task))
            .await
            .expect("no panic");
        let answer = match ran {
            Ok(report) => FromTrainer::Report(Box::new(report)),
            Err(error) => FromTrainer::Failure {
                attempt,
                message: error.to_string(),
                cause: FailureCause::Storage,
            },
        };
        let _ = sender.send(answer).await;
        let _ = sender.send(FromTrainer::Ready).await;
    }
    Ok(())
}

pub fn registration(kind: PeerKind) -> Registration {
    Registration {
        kind,
        name: "test".to_owned(),
        n_threads: 1,
        campaign: None,
        remaining_s: None,
        models: vec![linear_gaussian()],
    }
}

/// All that a task asks for.
pub fn run_task(
    campaign: &Campaign,
    directory: &Directory,
    task: &TrainerTask,
) -> Result<TrainerReport, TableError> {
    let (mut model, mut training) = (None, None);
    if let Some(flow) = task.train {
        let store = |name: &str| {
            let bytes = format!("{name} of {flow}");
            let path = format!("{}/{name}", task.output);
            Ok::<_, TableError>(directory.store(&path, bytes.into_bytes())?.sha256)
        };
        let files = ModelFiles {
            flow,
            path: task.output.clone(),
            weights_sha256: store("weights.safetensors")?,
            model_json_sha256: store("model.json")?,
        };
        training = Some(TrainingSummary {
            flow,
            objective: Objective::Simulations,
            n_rows: task.rounds.iter().map(|round| round.n_rows).sum(),
            n_epochs: 1,
            best_epoch: 1,
            best_validation_loss: 0.1,
            training_loss: vec![0.1],
            validation_loss: vec![0.1],
            n_recoveries: 0,
            weights_sha256: files.weights_sha256.clone(),
        });
        model = Some(files);
    }
    let flows: Vec<FlowId> = task
        .models
        .iter()
        .map(|model| model.flow)
        .chain(task.train)
        .collect();
    let mut scores = Vec::new();
    if let (Some(flow), Some(_)) = (task.train, &task.draw) {
        for round in &task.rounds {
            let draws = draws_of(campaign, directory, round)?;
            scores.push(store_scores(campaign, directory, task, &draws, &[flow])?);
        }
    }
    let mut stored_draws = None;
    if task.draw.is_some() {
        let draws = draw(campaign, task);
        scores.push(store_scores(campaign, directory, task, &draws, &flows)?);
        let path = format!("{}/draws.parquet", task.output);
        stored_draws = Some(draws.store(&campaign.space, directory, &path)?);
    }
    Ok(TrainerReport {
        attempt: task.attempt,
        model,
        training,
        draws: stored_draws,
        scores,
        seconds: 0.01,
    })
}

/// From the shards, as the trainer finds them.
fn draws_of(
    campaign: &Campaign,
    directory: &Directory,
    round: &FinalRound,
) -> Result<Draws, TableError> {
    let draws = match &round.draws {
        Some(stored) => Draws::load(directory, stored, &campaign.space, round.round)?,
        None => Draws::from_prior(&campaign.space, campaign.seed, round.round, 0..round.n_rows),
    };
    let mut theta = Vec::new();
    for shard in &round.shards {
        theta.extend(
            ShardRows::load_without_data(directory, shard, ShardLayout::of(campaign))?
                .draws
                .theta,
        );
    }
    assert_eq!(theta, draws.theta);
    Ok(draws)
}

pub fn draw(campaign: &Campaign, task: &TrainerTask) -> Draws {
    let asked = task.draw.as_ref().expect("asked for");
    let mut draws = Draws::empty(asked.round, 0, 2);
    for row in 0..asked.n_rows {
        let mut rng = stream(campaign.seed, asked.round, RowId(row), Purpose::Draw);
        let component = asked.proposal.pick(uniform(&mut rng));
        let mut z = [normal(&mut rng), normal(&mut rng)];
        if let Component::Flow(flow) = component {
            z = [0, 1].map(|i| mean(flow)[i] + sd(flow) * z[i]);
        }
        let mut theta = [0.0; 2];
        campaign.space.constrain(&z, &mut theta);
        let log_prior = campaign.space.log_prior(&theta);
        draws.log_proposal.push(
            asked
                .proposal
                .log_density_at(&z, log_prior, |flow| log_flow(campaign, flow, &z, &theta)),
        );
        draws.z.extend(z);
        draws.theta.extend(theta);
        draws.log_prior.push(log_prior);
        draws.component.push(component);
    }
    draws
}

fn store_scores(
    campaign: &Campaign,
    directory: &Directory,
    task: &TrainerTask,
    draws: &Draws,
    flows: &[FlowId],
) -> Result<ScoresFile, TableError> {
    let score = |flow: &FlowId| {
        (0..draws.n_rows())
            .map(|row| log_flow(campaign, *flow, draws.z_row(row), draws.theta_row(row)))
            .collect()
    };
    let scores = Scores {
        round: draws.round,
        flows: flows.to_vec(),
        log_density: flows.iter().map(score).collect(),
    };
    let path = format!("{}/scores-round-{:03}.parquet", task.output, draws.round.0);
    scores.store(directory, &path)
}

/// Closer to the posterior with each flow.
fn mean(flow: FlowId) -> [f64; 2] {
    let far = 0.4 / f64::from(flow.0 + 1);
    exact_mean().map(|mean| mean + far)
}

fn sd(flow: FlowId) -> f64 {
    0.5 + 0.3 / f64::from(flow.0 + 1)
}

fn log_flow(campaign: &Campaign, flow: FlowId, z: &[f64], theta: &[f64]) -> f64 {
    let log_density_z = z
        .iter()
        .zip(mean(flow))
        .map(|(z, mean)| {
            let distance = (z - mean) / sd(flow);
            -0.5 * distance * distance - sd(flow).ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
        })
        .sum();
    campaign.space.log_density(z, theta, log_density_z)
}

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * uniform(rng)).cos()
}
