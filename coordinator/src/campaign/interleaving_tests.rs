//! Random interleavings of reports, losses, duplicates, expiry and restarts; after every step:
//! every row is final exactly once or still offered, and replaying the journal gives the same state.

use super::decide::Input;
use super::effects::{Effect, effects_to_resume};
use super::event::{Fact, Results, Task};
use super::leases::batches::{FailureVerdict, ReportVerdict, shard_path};
use super::leases::rules::LeaseRules;
use super::leases::tasks::TaskVerdict;
use super::leases::workers::Loss;
use super::leases::{Grant, Leases};
use super::state::{OpenRound, Phase, rows_of};
use super::test_inputs::*;
use crate::weigh::Findings;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sidereal_inference::base::{AttemptId, PeerId, RoundId};
use sidereal_inference::records::{BatchReport, ShardFile};
use sidereal_inference::weights::RoundKind;
use sidereal_proto::message::{FailureCause, PeerKind, Registration};
use std::ops::Range;

/// One coordinator with its peers, whose every step is a throw of the dice.
struct World {
    rng: ChaCha8Rng,
    played: Played,
    leases: Leases,
    now_s: f64,
    n_restarts: u64,
    workers: Vec<PeerId>,
    trainers: Vec<PeerId>,
    /// Leases that somebody works on, also of peers that the coordinator has given up.
    batches: Vec<(PeerId, AttemptId, RoundId, Range<u64>)>,
    tasks: Vec<(PeerId, AttemptId)>,
    /// Shards under check.
    checking: Vec<(AttemptId, ShardFile)>,
    /// Shards of rows that are given up, written by the coordinator.
    given_up: Vec<(AttemptId, ShardFile)>,
    checking_task: Option<AttemptId>,
    weighing: bool,
    writing: bool,
    ended: bool,
}

fn rules() -> LeaseRules {
    LeaseRules {
        lease_s: 10.0,
        target_s: 2.0,
        first_rows: 8,
        least_rows: 4,
        max_rows: 32,
        fixed_rows: None,
        least_patience_s: 2.0,
        least_overdue_s: 40.0,
    }
}

fn campaign_settings() -> super::event::Settings {
    let mut settings = settings();
    settings.rounds.stop.n_eff = Some(1000.0);
    settings.rounds.stop.top_up = 150;
    settings
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            played: Played::default(),
            leases: Leases::new(rules(), AttemptId(0)),
            now_s: 0.0,
            n_restarts: 0,
            workers: Vec::new(),
            trainers: Vec::new(),
            batches: Vec::new(),
            tasks: Vec::new(),
            checking: Vec::new(),
            given_up: Vec::new(),
            checking_task: None,
            weighing: false,
            writing: false,
            ended: false,
        };
        world.restart();
        world
    }

    fn below(&mut self, n: usize) -> usize {
        (self.rng.next_u64() % n.max(1) as u64) as usize
    }

    /// Everything that is not recorded is lost.
    fn restart(&mut self) {
        self.n_restarts += 1;
        self.played.state = self.played.replayed();
        self.leases = Leases::new(rules(), AttemptId(self.n_restarts * 1_000_000));
        self.now_s = 0.0;
        self.workers.clear();
        self.trainers.clear();
        self.checking.clear();
        self.given_up.clear();
        self.checking_task = None;
        self.weighing = false;
        self.writing = false;
        let run = format!("run {}", self.n_restarts);
        self.step(start(&run, campaign_settings()));
    }

    fn step(&mut self, input: Input) {
        let is_start = matches!(input, Input::Start(_));
        let before = self.played.state.phase.name();
        let decision = self.played.step(input, self.now_s);
        let effects: Vec<Effect> = decision
            .effects
            .into_iter()
            .filter(|effect| !matches!(effect, Effect::Announce(_)))
            .collect();
        let expected = if is_start || before != self.played.state.phase.name() {
            effects_to_resume(&self.played.state)
        } else {
            Vec::new()
        };
        assert_eq!(effects, expected, "what is in flight is not begun again");
        for effect in effects {
            match effect {
                Effect::OfferRows(round) => {
                    if let Phase::Simulating(open) = &self.played.state.phase {
                        self.leases.open_round(round, open.missing());
                    }
                }
                Effect::Weigh(_) => {
                    let _ = self.leases.close_round();
                    self.weighing = true;
                }
                Effect::OfferTask => self.leases.open_task(),
                Effect::WriteResults => {
                    self.leases.close_task();
                    self.writing = true;
                }
                Effect::End => self.ended = true,
                Effect::Announce(_) => {}
            }
        }
    }

    fn register(&mut self, kind: PeerKind) {
        let registration = Registration {
            kind,
            name: "peer".to_owned(),
            n_threads: 1,
            campaign: None,
            remaining_s: (self.below(4) == 0).then_some(30.0),
            models: Vec::new(),
        };
        let peer = self
            .leases
            .on_registered(&registration, self.now_s)
            .expect("registered");
        match kind {
            PeerKind::Worker => {
                self.workers.push(peer);
                self.leases.on_credits(peer, 2, self.now_s);
            }
            PeerKind::Trainer => {
                self.trainers.push(peer);
                self.leases.on_ready(peer);
            }
        }
    }

    fn grant(&mut self) {
        for grant in self.leases.grant(self.now_s) {
            match grant {
                Grant::Batch {
                    peer,
                    attempt,
                    round,
                    rows,
                } => self.batches.push((peer, attempt, round, rows)),
                Grant::Task { peer, attempt } => self.tasks.push((peer, attempt)),
            }
        }
    }

    fn throw(&mut self) {
        match self.below(100) {
            0 => self.restart(),
            1..=4 if self.workers.len() < 5 => self.register(PeerKind::Worker),
            5..=6 if self.trainers.len() < 2 => self.register(PeerKind::Trainer),
            7..=8 if !self.workers.is_empty() => {
                let index = self.below(self.workers.len());
                let peer = self.workers.swap_remove(index);
                let loss = if self.below(2) == 0 {
                    Loss::Drained
                } else {
                    Loss::Vanished
                };
                for (_, verdict) in self.leases.on_lost(peer, loss, self.now_s) {
                    self.on_verdict(verdict);
                }
            }
            9 if !self.trainers.is_empty() => {
                let index = self.below(self.trainers.len());
                let peer = self.trainers.swap_remove(index);
                self.leases.on_lost(peer, Loss::Vanished, self.now_s);
            }
            10..=13 => {
                self.now_s += 4.0;
                self.leases.expire(self.now_s);
            }
            14 => self.jump(),
            15..=20 => {
                for &peer in &self.workers {
                    self.leases.on_heard(peer, self.now_s);
                }
            }
            21..=50 => self.report_batch(),
            51..=75 => self.finish_checks(),
            76..=80 => self.fail_batch(),
            81..=90 => self.report_task(),
            91..=94 => self.finish_task(),
            95 => self.finish_given_up(),
            _ => self.finish_work(),
        }
        self.now_s += 0.01;
        self.grant();
    }

    /// The clock jumps: a machine that slept. It never goes back, a monotonic clock does not.
    fn jump(&mut self) {
        self.now_s += 500.0;
        self.leases.expire(self.now_s);
    }

    /// A row that is given up becomes final by the coordinator's own shard, at some later time.
    fn on_verdict(&mut self, verdict: FailureVerdict) {
        if let FailureVerdict::GiveUp {
            attempt,
            round,
            row,
        } = verdict
        {
            let rows = row..row + 1;
            let mut shard = shard(round.0, rows.clone());
            shard.file.path = shard_path(round, &rows, attempt);
            shard.n_failed = 1;
            self.given_up.push((attempt, shard));
        }
    }

    fn finish_given_up(&mut self) {
        let Some((attempt, shard)) = self.given_up.pop() else {
            return;
        };
        self.step(Input::RowGivenUp {
            shard: shard.clone(),
            message: "kills its workers".to_owned(),
        });
        if self.played.state.holds(&shard) {
            self.leases.on_committed(&rows_of(&shard));
        } else {
            self.leases.on_ignored(attempt);
        }
    }

    fn report_batch(&mut self) {
        if self.batches.is_empty() {
            return;
        }
        let index = self.below(self.batches.len());
        let (peer, attempt, round, rows) = self.batches[index].clone();
        // Now and then the same report comes again later.
        if self.below(5) > 0 {
            self.batches.swap_remove(index);
        }
        if !self.workers.contains(&peer) {
            return;
        }
        let mut shard = shard(round.0, rows.clone());
        shard.file.path = shard_path(round, &rows, attempt);
        let report = BatchReport {
            attempt,
            shard,
            seconds: 0.1 * (rows.end - rows.start) as f64,
        };
        self.leases.on_heard(peer, self.now_s);
        self.leases.on_credits(peer, 1, self.now_s);
        if let Ok(ReportVerdict::Check) = self.leases.on_report(peer, &report, self.now_s) {
            self.checking.push((attempt, report.shard));
        }
    }

    /// Some checked shards are recorded together; a few are found torn.
    fn finish_checks(&mut self) {
        let n = self.below(4).min(self.checking.len());
        let mut shards = Vec::new();
        for _ in 0..n {
            let index = self.below(self.checking.len());
            let (attempt, shard) = self.checking.swap_remove(index);
            if self.below(20) == 0 {
                let verdict = self.leases.on_shard_refused(attempt, self.now_s);
                self.on_verdict(verdict);
            } else {
                self.leases.on_shard_good();
                shards.push((attempt, shard));
            }
        }
        if shards.is_empty() {
            return;
        }
        let reported = shards.iter().map(|(_, shard)| shard.clone()).collect();
        self.step(Input::ShardsChecked(reported));
        for (attempt, shard) in shards {
            if self.played.state.holds(&shard) {
                self.leases.on_committed(&rows_of(&shard));
            } else {
                self.leases.on_ignored(attempt);
            }
        }
    }

    fn fail_batch(&mut self) {
        if self.batches.is_empty() || self.below(3) > 0 {
            return;
        }
        let index = self.below(self.batches.len());
        let (peer, attempt, ..) = self.batches.swap_remove(index);
        if self.workers.contains(&peer) {
            let cause = if self.below(4) == 0 {
                FailureCause::Storage
            } else {
                FailureCause::Rows
            };
            if let Ok(verdict) = self
                .leases
                .on_batch_failure(peer, attempt, cause, self.now_s)
            {
                self.on_verdict(verdict);
            }
            self.leases.on_credits(peer, 1, self.now_s);
        }
    }

    fn report_task(&mut self) {
        let Some((peer, attempt)) = self.tasks.pop() else {
            return;
        };
        if !self.trainers.contains(&peer) {
            return;
        }
        self.leases.on_ready(peer);
        if let Ok(TaskVerdict::Check) = self.leases.on_task_report(peer, attempt) {
            self.checking_task = Some(attempt);
        }
    }

    fn finish_task(&mut self) {
        let Some(attempt) = self.checking_task.take() else {
            return;
        };
        if self.below(5) == 0 {
            self.leases.on_task_refused(attempt);
            // Whether or not it failed too often: this world never gives up.
            if !self.leases.has_task() {
                self.leases.open_task();
            }
            return;
        }
        let Phase::Training(open) = &self.played.state.phase else {
            return;
        };
        let Task { train, draw } = open.task.clone();
        let n_rounds = u32::try_from(self.played.state.rounds.len()).expect("few rounds");
        let result = task_result(train, draw.as_ref(), n_rounds);
        self.leases.close_task();
        self.step(Input::TaskChecked(Box::new(result)));
    }

    fn finish_work(&mut self) {
        if std::mem::take(&mut self.weighing)
            && let Phase::Weighing(complete) = &self.played.state.phase
        {
            let plan = complete.plan.clone();
            let n = self.played.state.n_simulations();
            let summary = summary(
                plan.round.0,
                plan.kind,
                plan.n_rows,
                plan.proposal.clone(),
                0.3,
            );
            // Each campaign searches once, for two steps.
            let probing = match (plan.round.0, plan.kind) {
                (1, RoundKind::Training) => Some(session(&[0, 1])),
                (_, RoundKind::Probe) if plan.proposal.locals.len() == 2 => Some(session(&[2])),
                (_, RoundKind::Probe) => Some(session(&[])),
                (_, RoundKind::Training | RoundKind::TopUp | RoundKind::Reused) => None,
            };
            self.step(Input::RoundWeighed(Box::new(Findings {
                summary,
                combined: Some(diagnostics(n, 0.3)),
                probing,
            })));
        }
        if std::mem::take(&mut self.writing) {
            self.step(Input::ResultsWritten(Results {
                summary: file("summary.json"),
                posterior: Some(file("posterior.parquet")),
            }));
        }
    }

    fn check(&self) {
        assert_eq!(self.played.replayed(), self.played.state);
        if let Phase::Simulating(open) = &self.played.state.phase {
            check_open_round(open);
            self.leases.check().expect("every wanted row has a future");
        }
        for round in &self.played.state.rounds {
            let mut next = 0;
            for shard in &round.files.shards {
                assert_eq!(
                    shard.first_row, next,
                    "rows in order, without gaps or overlap"
                );
                next += shard.n_rows;
            }
            assert_eq!(next, round.files.n_rows);
        }
    }
}

fn check_open_round(open: &OpenRound) {
    let n_missing: u64 = open
        .missing()
        .iter()
        .map(|rows| rows.end - rows.start)
        .sum();
    assert_eq!(open.n_committed + n_missing, open.plan.n_rows);
    for shard in open.shards.values() {
        assert!(!open.takes(shard));
    }
}

/// Prints the seed of a world that fails.
struct NamedInPanic(u64);

impl Drop for NamedInPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world of seed {} failed", self.0);
        }
    }
}

/// What the campaign did, without the chances of its shards, attempts and restarts.
fn story(world: &World) -> Vec<String> {
    world
        .played
        .events
        .iter()
        .filter_map(|event| match &event.fact {
            Fact::Opened(_) | Fact::Closed | Fact::ShardCommitted(_) | Fact::RowGivenUp { .. } => {
                None
            }
            Fact::Reused(_)
            | Fact::RoundOpened(_)
            | Fact::RoundWeighed { .. }
            | Fact::TaskOpened(_)
            | Fact::TaskCommitted(_)
            | Fact::Stopped { .. }
            | Fact::Reopened
            | Fact::Finished { .. } => Some(format!("{:?}", event.fact)),
        })
        .collect()
}

#[test]
fn whatever_happens_every_row_is_final_once_and_the_story_is_the_same() {
    let mut stories = Vec::new();
    let mut n_restarts = 0;
    for seed in 0..200 {
        let _named = NamedInPanic(seed);
        let mut world = World::new(seed);
        for _ in 0..20_000 {
            if world.ended {
                break;
            }
            world.throw();
            world.check();
        }
        assert!(
            world.ended,
            "seed {seed} ends in phase {}",
            world.played.state.phase.name()
        );
        n_restarts += world.n_restarts;
        let kinds: Vec<RoundKind> = world
            .played
            .state
            .rounds
            .iter()
            .map(|round| round.summary.kind)
            .collect();
        assert_eq!(kinds.last(), Some(&RoundKind::TopUp), "seed {seed}");
        stories.push(story(&world));
    }
    assert!(
        n_restarts > 400,
        "{n_restarts} restarts are too few to tell"
    );
    for story in &stories {
        assert_eq!(story, &stories[0]);
    }
}
