//! Workers and trainers that are connected, what they can take, and how fast they are.

use super::rules::LeaseRules;
use super::workers::{Loss, WorkerId, Workers};
use sidereal_inference::account::{HeldBack, PeerStatus};
use sidereal_inference::base::{AttemptId, PeerId};
use sidereal_proto::message::{PeerKind, Registration};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Most leases that a worker holds or waits for at a time.
pub const MAX_CREDITS: u32 = 64;

/// Most peers at a time.
const MAX_PEERS: usize = 100_000;

/// Longest name of a peer.
const MAX_NAME_BYTES: usize = 256;

/// Seconds before a worker's end in which nothing is leased to it: what storing a shard may take.
const LAST_SECONDS: f64 = 2.0;

/// Seconds without leases and credits after which a worker is not counted on: longer than the way of a report
/// and the credit that follows it.
const BETWEEN_LEASES_S: f64 = 10.0;

/// What a peer said is nonsense; it is told so, and nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{peer} is not registered with this coordinator")]
    UnknownPeer { peer: PeerId },
    #[error("{peer} is registered as a {registered}, not as a {found}")]
    WrongKind {
        peer: PeerId,
        registered: &'static str,
        found: &'static str,
    },
    #[error("{attempt} is not leased to {peer}")]
    NotHolder { peer: PeerId, attempt: AttemptId },
    #[error("{attempt} reports {what} {found}, expected {expected}")]
    WrongReport {
        attempt: AttemptId,
        what: &'static str,
        found: String,
        expected: String,
    },
    #[error("{MAX_PEERS} peers are registered already")]
    TooManyPeers,
    #[error("a name of {found} bytes, expected at most {MAX_NAME_BYTES}")]
    LongName { found: usize },
}

/// The peers at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Crew<'a> {
    pub peers: &'a Peers,
    /// Seconds of silence after which nobody counts on a worker.
    pub lease_s: f64,
    pub now_s: f64,
}

#[derive(Debug, Default)]
pub struct Peers {
    n_registered: u64,
    peer_by_id: BTreeMap<PeerId, Peer>,
    workers: Workers,
    n_workers: usize,
    /// Workers that have credits.
    with_credits: BTreeSet<PeerId>,
    /// Of all workers together: what is expected of one that was not measured yet.
    seconds_per_row: Option<f64>,
    /// The worker that was served last; the next one comes first.
    last_served: Option<PeerId>,
}

#[derive(Debug)]
struct Peer {
    name: String,
    kind: PeerKind,
    /// None: a trainer.
    worker: Option<WorkerId>,
    credits: u32,
    is_ready: bool,
    seconds_per_row: Option<f64>,
    n_done: u64,
    heard_s: f64,
    /// When it last registered, reported or gave credits.
    active_s: f64,
    /// When it will be gone, by its own word.
    ends_s: Option<f64>,
}

impl Peers {
    pub fn add(&mut self, registration: &Registration, now_s: f64) -> Result<PeerId, Refusal> {
        let found = registration.name.len();
        if found > MAX_NAME_BYTES {
            return Err(Refusal::LongName { found });
        }
        if self.peer_by_id.len() >= MAX_PEERS {
            return Err(Refusal::TooManyPeers);
        }
        let id = PeerId(self.n_registered);
        self.n_registered += 1;
        let worker = match registration.kind {
            PeerKind::Worker => {
                self.n_workers += 1;
                Some(self.workers.on_registered(id, &registration.name))
            }
            PeerKind::Trainer => None,
        };
        self.peer_by_id.insert(
            id,
            Peer {
                name: registration.name.clone(),
                kind: registration.kind,
                worker,
                credits: 0,
                is_ready: false,
                seconds_per_row: None,
                n_done: 0,
                heard_s: now_s,
                active_s: now_s,
                ends_s: registration.remaining_s.map(|remaining| now_s + remaining),
            },
        );
        Ok(id)
    }

    pub fn remove(&mut self, peer: PeerId, loss: Loss) {
        self.with_credits.remove(&peer);
        let worker = self.peer_by_id.remove(&peer).and_then(|peer| peer.worker);
        if let Some(worker) = worker {
            self.n_workers -= 1;
            self.workers.on_gone(worker, loss);
        }
    }

    /// The worker that a peer is a registration of; None for a trainer and for who is gone.
    pub fn worker(&self, peer: PeerId) -> Option<WorkerId> {
        self.peer_by_id.get(&peer)?.worker
    }

    /// All registered workers.
    pub fn workers(&self) -> impl Iterator<Item = (PeerId, WorkerId)> {
        self.peer_by_id
            .iter()
            .filter_map(|(&id, peer)| Some((id, peer.worker?)))
    }

    pub fn on_loss(&mut self, worker: WorkerId, now_s: f64) {
        self.workers.on_loss(worker, now_s);
    }

    pub fn on_done(&mut self, worker: WorkerId) {
        self.workers.on_done(worker);
    }

    /// Workers with repeated losses, which are given nothing for now while there are others.
    pub fn held_back(&self, now_s: f64) -> BTreeSet<PeerId> {
        self.workers.peers_held_back(now_s)
    }

    pub fn held_back_status(&self, now_s: f64) -> Vec<HeldBack> {
        self.workers.status(now_s)
    }

    /// Whether the peer was heard from within a lease.
    pub fn is_heard(&self, peer: PeerId, now_s: f64, lease_s: f64) -> bool {
        self.heard_s(peer)
            .is_some_and(|heard_s| now_s < heard_s + lease_s)
    }

    /// Whether the worker has credits, or has had something to do until just now, and time for a row.
    pub fn waits_for_work(&self, peer: PeerId, now_s: f64) -> bool {
        let waits = |peer: &Peer| peer.credits > 0 || now_s < peer.active_s + BETWEEN_LEASES_S;
        self.peer_by_id.get(&peer).is_some_and(waits) && self.rows_in_time(peer, now_s) > 0
    }

    /// The worker has reported.
    pub fn on_active(&mut self, peer: PeerId, now_s: f64) {
        if let Some(peer) = self.peer_by_id.get_mut(&peer) {
            peer.active_s = now_s;
        }
    }

    /// Registered workers and trainers.
    pub fn n_by_kind(&self) -> (usize, usize) {
        (self.n_workers, self.peer_by_id.len() - self.n_workers)
    }

    pub fn on_heard(&mut self, peer: PeerId, now_s: f64) {
        if let Some(peer) = self.peer_by_id.get_mut(&peer) {
            peer.heard_s = now_s;
        }
    }

    pub fn on_all_heard(&mut self, now_s: f64) {
        for peer in self.peer_by_id.values_mut() {
            peer.heard_s = now_s;
        }
    }

    /// When the peer was last heard from; None where it is gone.
    pub fn heard_s(&self, peer: PeerId) -> Option<f64> {
        self.peer_by_id.get(&peer).map(|peer| peer.heard_s)
    }

    /// Peers last heard from before that moment.
    pub fn silent_since(&self, moment_s: f64) -> Vec<PeerId> {
        let is_silent = |(id, peer): (&PeerId, &Peer)| (peer.heard_s < moment_s).then_some(*id);
        self.peer_by_id.iter().filter_map(is_silent).collect()
    }

    /// What people are told; leases are not known here.
    pub fn status(&self, now_s: f64) -> Vec<(PeerId, PeerStatus)> {
        let status = |(&id, peer): (&PeerId, &Peer)| {
            let status = PeerStatus {
                name: peer.name.clone(),
                is_trainer: match peer.kind {
                    PeerKind::Worker => false,
                    PeerKind::Trainer => true,
                },
                n_leases: 0,
                n_rows: 0,
                n_done: peer.n_done,
                rows_per_s: peer
                    .seconds_per_row
                    .filter(|&seconds| seconds > 0.0)
                    .map(|seconds| 1.0 / seconds),
                silent_s: (now_s - peer.heard_s).max(0.0),
            };
            (id, status)
        };
        self.peer_by_id.iter().map(status).collect()
    }

    pub fn expect(&self, peer: PeerId, kind: PeerKind) -> Result<(), Refusal> {
        let Some(registered) = self.peer_by_id.get(&peer) else {
            return Err(Refusal::UnknownPeer { peer });
        };
        if registered.kind != kind {
            return Err(Refusal::WrongKind {
                peer,
                registered: kind_name(registered.kind),
                found: kind_name(kind),
            });
        }
        Ok(())
    }

    pub fn name(&self, peer: PeerId) -> &str {
        self.peer_by_id
            .get(&peer)
            .map_or("unknown", |peer| &peer.name)
    }

    /// Adds credits up to `most`.
    pub fn add_credits(&mut self, id: PeerId, credits: u32, most: u32) {
        if let Some(peer) = self.peer_by_id.get_mut(&id) {
            peer.credits = peer.credits.saturating_add(credits).min(most);
            match peer.kind {
                PeerKind::Worker if peer.credits > 0 => {
                    self.with_credits.insert(id);
                }
                PeerKind::Worker | PeerKind::Trainer => {}
            }
        }
    }

    pub fn set_ready(&mut self, peer: PeerId) {
        if let Some(peer) = self.peer_by_id.get_mut(&peer) {
            peer.is_ready = true;
        }
    }

    /// Learns how long a row takes; half of what was known is forgotten each time.
    pub fn measure(&mut self, peer: PeerId, n_rows: u64, seconds: f64) {
        let Some(peer) = self.peer_by_id.get_mut(&peer) else {
            return;
        };
        if n_rows == 0 || !seconds.is_finite() || seconds < 0.0 {
            return;
        }
        let measured = seconds / n_rows as f64;
        let learn = |known: Option<f64>| known.map_or(measured, |known| 0.5 * (known + measured));
        peer.seconds_per_row = Some(learn(peer.seconds_per_row));
        peer.n_done += n_rows;
        self.seconds_per_row = Some(learn(self.seconds_per_row));
    }

    /// How long the worker takes for a row; None where no worker has run any.
    pub fn seconds_per_row(&self, worker: PeerId) -> Option<f64> {
        self.peer_by_id
            .get(&worker)
            .and_then(|peer| peer.seconds_per_row)
            .or(self.seconds_per_row)
    }

    /// Workers with credits and time for at least a row, in the order of their turns.
    pub fn workers_in_turn(&self, now_s: f64) -> impl Iterator<Item = PeerId> {
        let (after, before) = match self.last_served {
            Some(last) => (
                (Bound::Excluded(last), Bound::Unbounded),
                (Bound::Unbounded, Bound::Included(last)),
            ),
            None => (
                (Bound::Unbounded, Bound::Unbounded),
                (Bound::Unbounded, Bound::Excluded(PeerId(0))),
            ),
        };
        self.with_credits
            .range(after)
            .chain(self.with_credits.range(before))
            .copied()
            .filter(move |id| self.rows_in_time(*id, now_s) > 0)
    }

    pub fn take_credit(&mut self, worker: PeerId) {
        self.last_served = Some(worker);
        if let Some(peer) = self.peer_by_id.get_mut(&worker) {
            peer.credits = peer.credits.saturating_sub(1);
            if peer.credits == 0 {
                self.with_credits.remove(&worker);
            }
        }
    }

    pub fn take_ready_trainer(&mut self) -> Option<PeerId> {
        let (id, peer) = self
            .peer_by_id
            .iter_mut()
            .find(|(_, peer)| match peer.kind {
                PeerKind::Trainer => peer.is_ready,
                PeerKind::Worker => false,
            })?;
        peer.is_ready = false;
        Some(*id)
    }

    /// Rows of a worker's next batch: what it does in the target time. Towards the end of a round fewer, so
    /// that no other worker is left with nothing of the `n_wanted` rows, but no less than one second of work
    /// or the smallest shard.
    pub fn batch_rows(&self, worker: PeerId, n_wanted: u64, rules: &LeaseRules, now_s: f64) -> u64 {
        let in_time = self.rows_in_time(worker, now_s).max(1);
        if let Some(rows) = rules.fixed_rows {
            return rows.clamp(1, rules.max_rows).min(in_time);
        }
        // `as` saturates, and a row that takes no time gives infinity.
        let (by_time, least) = match self.seconds_per_row(worker) {
            None => (rules.first_rows, 1),
            Some(seconds) => (
                (rules.target_s / seconds) as u64,
                rules.least_rows.min((1.0 / seconds) as u64),
            ),
        };
        let n_workers = self.n_workers.max(1) as u64;
        by_time
            .min(n_wanted.div_ceil(n_workers))
            .max(least)
            .clamp(1, rules.max_rows)
            .min(in_time)
    }

    /// Rows that the worker can run before its end.
    fn rows_in_time(&self, worker: PeerId, now_s: f64) -> u64 {
        let Some(ends_s) = self.peer_by_id.get(&worker).and_then(|peer| peer.ends_s) else {
            return u64::MAX;
        };
        let left_s = ends_s - LAST_SECONDS - now_s;
        if left_s <= 0.0 {
            return 0;
        }
        let own = self
            .peer_by_id
            .get(&worker)
            .and_then(|peer| peer.seconds_per_row);
        // Two leases may be in hand.
        match (own, self.seconds_per_row) {
            (Some(seconds), _) => (0.5 * left_s / seconds) as u64,
            // Others may be slower than this one: it may try a row.
            (None, Some(seconds)) => ((0.5 * left_s / seconds) as u64).max(1),
            (None, None) => u64::MAX,
        }
    }
}

fn kind_name(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Worker => "worker",
        PeerKind::Trainer => "trainer",
    }
}
