//! Inputs that the tests of the campaign share.

use super::apply::apply;
use super::decide::{Input, decide};
use super::effects::{Effect, effects_of};
use super::event::{Event, Fact, Opened, Settings, TaskResult};
use super::state::State;
use crate::weigh::Findings;
use sidereal_inference::base::{CampaignHash, FlowId, LocalId, RoundId, RunId};
use sidereal_inference::campaign::{
    Combine, DeviceChoice, Refinement, Rounds, Stop, StopRule, Workers,
};
use sidereal_inference::method::{Aim, Probing, Search};
use sidereal_inference::records::{
    DrawTask, ModelFiles, ScoresFile, ShardFile, StoredFile, TrainingSummary,
};
use sidereal_inference::weights::{
    Component, LocalDensity, Objective, Proposal, RoundKind, RoundSummary, WeightDiagnostics,
};
use std::collections::BTreeMap;
use std::ops::Range;

pub fn settings() -> Settings {
    Settings {
        n_parameters: 1,
        refinement: Refinement::Tempered,
        has_observation: true,
        rounds: Rounds {
            max: 3,
            simulations: 100,
            defensive_share: 0.1,
            combine: Combine::Mixture,
            stop: Stop {
                rule: StopRule::Bootstrap,
                n_eff: None,
                efficiency: None,
                simulations: None,
                wall_time_s: None,
                top_up: 0,
            },
        },
        workers: Workers {
            count: None,
            batch_rows: None,
            python: None,
        },
        device: DeviceChoice::Cpu,
    }
}

pub fn opened(run: &str, settings: Settings) -> Opened {
    Opened {
        run: RunId(run.to_owned()),
        campaign: CampaignHash("the campaign".to_owned()),
        settings,
        address: None,
        certificate: None,
        server_name: None,
        host: None,
    }
}

pub fn start(run: &str, settings: Settings) -> Input {
    Input::Start(Box::new(opened(run, settings)))
}

pub fn file(path: &str) -> StoredFile {
    StoredFile {
        path: path.to_owned(),
        sha256: "0".repeat(64),
        n_bytes: 1,
    }
}

pub fn shard(round: u32, rows: Range<u64>) -> ShardFile {
    ShardFile {
        round: RoundId(round),
        first_row: rows.start,
        n_rows: rows.end - rows.start,
        n_failed: 0,
        file: file("shard"),
    }
}

pub fn diagnostics(n: u64, efficiency: f64) -> WeightDiagnostics {
    WeightDiagnostics {
        n,
        n_eff: efficiency * n as f64,
        efficiency,
        pareto_k: None,
        max_weight: 0.1,
        evidence: None,
    }
}

pub fn summary(
    round: u32,
    kind: RoundKind,
    n: u64,
    proposal: Proposal,
    efficiency: f64,
) -> RoundSummary {
    RoundSummary {
        round: RoundId(round),
        kind,
        proposal,
        n_failed: 0,
        n_possible: 1000,
        failed_median: None,
        all: diagnostics(n, efficiency),
        newest_component: diagnostics(n, efficiency),
        efficiency_error: 0.001,
    }
}

/// What a trainer makes of a task, for rounds `0..n_rounds`.
pub fn task_result(train: Option<FlowId>, draw: Option<&DrawTask>, n_rounds: u32) -> TaskResult {
    let scores_of = |round: RoundId, flows: Vec<FlowId>| ScoresFile {
        round,
        flows,
        file: file("scores"),
    };
    let mut scores = Vec::new();
    if let (Some(flow), Some(_)) = (train, draw) {
        scores.extend((0..n_rounds).map(|round| scores_of(RoundId(round), vec![flow])));
    }
    scores.extend(draw.map(|draw| scores_of(draw.round, (0..n_rounds).map(FlowId).collect())));
    TaskResult {
        model: train.map(|flow| ModelFiles {
            flow,
            path: "model".to_owned(),
            weights_sha256: "1".repeat(64),
            model_json_sha256: "2".repeat(64),
        }),
        training: train.map(|flow| TrainingSummary {
            flow,
            objective: Objective::Simulations,
            n_rows: 1,
            n_epochs: 1,
            best_epoch: 1,
            best_validation_loss: 0.5,
            training_loss: vec![0.5],
            validation_loss: vec![0.5],
            n_recoveries: 0,
            weights_sha256: "1".repeat(64),
        }),
        draws: draw.map(|_| file("draws")),
        scores,
    }
}

/// A state with all events that led to it.
#[derive(Debug, Default)]
pub struct Played {
    pub state: State,
    pub events: Vec<Event>,
}

/// What came of an input.
#[derive(Debug, Default, PartialEq)]
pub struct Decided {
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
}

impl Played {
    /// One step, as the driver makes it.
    pub fn step(&mut self, input: Input, now_s: f64) -> Decided {
        let decided = decide(&mut self.state, input, now_s);
        let events = decided.expect("a decision's events fit its state");
        self.events.extend(events.iter().cloned());
        let effects = effects_of(&self.state, &events);
        Decided { events, effects }
    }

    pub fn facts(decision: &Decided) -> Vec<Fact> {
        decision
            .events
            .iter()
            .map(|event| event.fact.clone())
            .collect()
    }

    pub fn replayed(&self) -> State {
        let mut state = State::default();
        for event in &self.events {
            apply(&mut state, event).expect("recorded events fit");
        }
        state
    }
}

/// A session with searches of these numbers under way.
pub fn session(ids: &[u32]) -> Probing {
    let search = Search {
        n_steps: 1,
        density: LocalDensity {
            seams: vec![0.0],
            leans: Vec::new(),
            mean: vec![0.5],
            factor: vec![0.1],
        },
        share: 0.0,
        peak: None,
        past: Vec::new(),
        aim: Aim::default(),
    };
    Probing {
        scan: Default::default(),
        session: 1,
        flow: FlowId(0),
        searches: ids
            .iter()
            .map(|&id| (LocalId(id), search.clone()))
            .collect(),
        outcomes: Vec::new(),
        found: BTreeMap::new(),
    }
}

pub fn proposal_of_flow_0() -> Proposal {
    Proposal::of(vec![
        (Component::Flow(FlowId(0)), 0.9),
        (Component::Prior, 0.1),
    ])
}

/// A round that weighs in with this efficiency, as all rounds together do.
pub fn weighed(round: u32, kind: RoundKind, n: u64, proposal: Proposal, efficiency: f64) -> Input {
    let n_eff = efficiency * n as f64 * f64::from(round + 1);
    Input::RoundWeighed(Box::new(Findings {
        summary: summary(round, kind, n, proposal, efficiency),
        combined: Some(diagnostics(
            n * u64::from(round + 1),
            n_eff / (n as f64 * f64::from(round + 1)),
        )),
        probing: None,
    }))
}
