//! Drawing with log densities beside zuko, interleaved; `benches/README.md` says what it showed.
//!
//! `PYTHON=python3 cargo bench -p sidereal-trainer --bench draw`, with what `peer.py` asks for installed.

#[path = "../cpu_time.rs"]
mod cpu_time;

use burn::tensor::Device;
use cpu_time::cpu_seconds;
use sidereal_inference::base::{FlowId, Purpose, RoundId};
use sidereal_inference::campaign::{Campaign, Flow};
use sidereal_inference::records::TrainingSummary;
use sidereal_inference::weights::{Component, Objective, Proposal};
use sidereal_models::Catalogue;
use sidereal_trainer::draw::{self, DrawPlan};
use sidereal_trainer::estimator::Estimator;
use sidereal_trainer::model::{Model, Scorer};
use sidereal_trainer::standardization::{Inputs, Standardization};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// What goes wrong here is shown and ends the benchmark.
type Fallible<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const N_DRAWS: u64 = 100_000;
const REPEATS: usize = 5;

/// Wall and CPU seconds.
#[derive(Clone, Copy)]
struct Seconds {
    wall: f64,
    cpu: f64,
}

fn main() -> Fallible {
    let mut peer = Peer::start()?;
    println!("{} draws, {}, medians of {REPEATS}", N_DRAWS, peer.name);
    println!();
    println!(
        "| flow | parameters | threads | ours, s | zuko, s | ratio | ours, CPU s | zuko, CPU s | CPU ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for n_threads in [1, 2] {
        for kind in ["maf", "nsf", "nsf-coupling"] {
            for d in [3, 5, 10] {
                compare(kind, d, n_threads, &mut peer)?;
            }
        }
    }
    Ok(())
}

fn compare(kind: &str, d: usize, n_threads: usize, peer: &mut Peer) -> Fallible {
    let campaign = campaign(kind, d)?;
    let model = model(&campaign, d);
    let Some(observation) = &campaign.observation else {
        return Err("the campaign has no observation".into());
    };
    let scorers = BTreeMap::from([(FlowId(0), model.scorer(observation)?)]);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()?;
    let request = request(&campaign.flow, d, n_threads);
    // One each to warm up.
    ours(&campaign, &scorers, &pool)?;
    peer.draw(&request)?;
    let (mut own, mut zuko) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        own.push(ours(&campaign, &scorers, &pool)?);
        zuko.push(peer.draw(&request)?);
    }
    let (own, zuko) = (medians(&own), medians(&zuko));
    println!(
        "| {kind} | {d} | {n_threads} | {:.3} | {:.3} | {:.2} | {:.3} | {:.3} | {:.2} |",
        own.wall,
        zuko.wall,
        own.wall / zuko.wall,
        own.cpu,
        zuko.cpu,
        own.cpu / zuko.cpu
    );
    Ok(())
}

/// All that a round does: random streams, draws, parameters, prior, and the density at the stored z.
fn ours(
    campaign: &Campaign,
    scorers: &BTreeMap<FlowId, Scorer>,
    pool: &rayon::ThreadPool,
) -> Fallible<Seconds> {
    let proposal = Proposal::of(vec![(Component::Flow(FlowId(0)), 1.0)]);
    let plan = DrawPlan {
        campaign,
        seed: 1,
        purpose: Purpose::Predict,
        round: RoundId(0),
        rows: 0..N_DRAWS,
        proposal: &proposal,
    };
    let (started, cpu) = (Instant::now(), cpu_seconds()?);
    std::hint::black_box(draw::draw(&plan, scorers, pool)?);
    Ok(Seconds {
        wall: started.elapsed().as_secs_f64(),
        cpu: cpu_seconds()? - cpu,
    })
}

/// Parameters with normal priors, and the flow's sizes by default.
fn campaign(kind: &str, d: usize) -> Fallible<Campaign> {
    let parameters: String = (0..d)
        .map(|i| {
            format!(
                "[[parameters]]\nname = \"p{i}\"\nprior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }}\n"
            )
        })
        .collect();
    let list = |value: &dyn Fn(usize) -> String| (0..d).map(value).collect::<Vec<_>>().join(", ");
    let text = format!(
        "name = \"draw\"\n{parameters}[simulator]\nbuiltin = \"linear-gaussian\"\n[observation]\ngrid = [{}]\n\
         value = [{}]\nsigma = [{}]\n[flow]\nkind = \"{kind}\"\n",
        list(&|i| format!("{i}.0")),
        list(&|_| "0.0".to_owned()),
        list(&|_| "1.0".to_owned()),
    );
    sidereal_inference::campaign_file::parse(&text, Path::new("draw.toml"), &Catalogue::default())
        .map_err(|error| error.to_string().into())
}

/// An untrained model, which costs what a trained one does.
fn model(campaign: &Campaign, d: usize) -> Model {
    let device = Device::flex();
    let objective = Objective::WeightedDraws { exponent: 1.0 };
    let estimator = Estimator::init(
        campaign,
        FlowId(0),
        objective,
        Inputs::of_channels(0),
        &device,
    );
    let standardization = Standardization {
        seams: vec![0.0; d],
        leans: Vec::new(),
        circles: Vec::new(),
        z_mean: vec![0.0; d],
        z_sd: vec![1.0; d],
        pieces: Vec::new(),
        x_mean: Vec::new(),
        x_sd: Vec::new(),
        log_sigma: None,
    };
    let training = TrainingSummary {
        flow: FlowId(0),
        objective,
        n_rows: 0,
        n_epochs: 0,
        best_epoch: 0,
        best_validation_loss: 0.0,
        training_loss: Vec::new(),
        validation_loss: Vec::new(),
        n_recoveries: 0,
        weights_sha256: String::new(),
    };
    Model::new(
        campaign.clone(),
        standardization,
        training,
        estimator,
        device,
    )
}

fn request(flow: &Flow, d: usize, n_threads: usize) -> String {
    let (kind, blocks, hidden, layers, bins) = match *flow {
        Flow::Maf {
            blocks,
            hidden,
            layers,
            ..
        } => ("maf", blocks, hidden, layers, 0),
        Flow::Nsf(size) => ("nsf", size.blocks, size.hidden, size.layers, size.bins),
        Flow::NsfCoupling(size) => ("coupling", size.blocks, size.hidden, size.layers, size.bins),
    };
    format!("{kind} {d} {blocks} {hidden} {layers} {bins} {N_DRAWS} {n_threads}\n")
}

fn medians(seconds: &[Seconds]) -> Seconds {
    let median = |of: &dyn Fn(&Seconds) -> f64| {
        let mut values: Vec<f64> = seconds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Seconds {
        wall: median(&|seconds| seconds.wall),
        cpu: median(&|seconds| seconds.cpu),
    }
}

/// The Python process with zuko.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    name: String,
}

impl Peer {
    fn start() -> Fallible<Self> {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/draw/peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the peer has no pipes".into());
        };
        let mut peer = Self {
            child,
            input,
            output: BufReader::new(output),
            name: String::new(),
        };
        peer.name = peer.line()?;
        Ok(peer)
    }

    fn draw(&mut self, request: &str) -> Fallible<Seconds> {
        self.input.write_all(request.as_bytes())?;
        let line = self.line()?;
        let Some((wall, cpu)) = line.split_once(' ') else {
            return Err(format!("the peer says `{line}`").into());
        };
        Ok(Seconds {
            wall: wall.parse()?,
            cpu: cpu.parse()?,
        })
    }

    fn line(&mut self) -> Fallible<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the peer has ended; see what `peer.py` needs".into());
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
