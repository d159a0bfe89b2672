//! Workers and trainers that are connected, what they can take, and how fast they are.

use super::LeaseRules;
use sidereal_inference::ids::{AttemptId, PeerId};
use sidereal_proto::message::{PeerKind, Registration};
use std::collections::BTreeMap;

/// Most leases that a worker holds or waits for at a time.
pub const MAX_CREDITS: u32 = 64;

/// Most peers at a time.
const MAX_PEERS: usize = 100_000;

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
}

#[derive(Debug, Default)]
pub struct Peers {
    n_registered: u64,
    peer_by_id: BTreeMap<PeerId, Peer>,
    /// The worker that was served last; the next one comes first.
    last_served: Option<PeerId>,
}

#[derive(Debug)]
struct Peer {
    name: String,
    kind: PeerKind,
    credits: u32,
    is_ready: bool,
    seconds_per_row: Option<f64>,
}

impl Peers {
    pub fn add(&mut self, registration: &Registration) -> Result<PeerId, Refusal> {
        if self.peer_by_id.len() >= MAX_PEERS {
            return Err(Refusal::TooManyPeers);
        }
        let id = PeerId(self.n_registered);
        self.n_registered += 1;
        self.peer_by_id.insert(
            id,
            Peer {
                name: registration.name.clone(),
                kind: registration.kind,
                credits: 0,
                is_ready: false,
                seconds_per_row: None,
            },
        );
        Ok(id)
    }

    pub fn remove(&mut self, peer: PeerId) {
        self.peer_by_id.remove(&peer);
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

    pub fn add_credits(&mut self, peer: PeerId, credits: u32) {
        if let Some(peer) = self.peer_by_id.get_mut(&peer) {
            peer.credits = peer.credits.saturating_add(credits).min(MAX_CREDITS);
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
        peer.seconds_per_row = Some(match peer.seconds_per_row {
            None => measured,
            Some(known) => 0.5 * (known + measured),
        });
    }

    /// The worker whose turn it is among those with credits.
    pub fn next_worker(&mut self) -> Option<PeerId> {
        let can_take = |(id, peer): (&PeerId, &Peer)| {
            let is_worker = match peer.kind {
                PeerKind::Worker => true,
                PeerKind::Trainer => false,
            };
            (is_worker && peer.credits > 0).then_some(*id)
        };
        let after_last = self.last_served.and_then(|last| {
            let after = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
            self.peer_by_id.range(after).find_map(can_take)
        });
        after_last.or_else(|| self.peer_by_id.iter().find_map(can_take))
    }

    pub fn take_credit(&mut self, worker: PeerId) {
        self.last_served = Some(worker);
        if let Some(peer) = self.peer_by_id.get_mut(&worker) {
            peer.credits = peer.credits.saturating_sub(1);
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

    /// Rows of a worker's next batch: what it does in the target time, but never so much that
    /// another worker is left with nothing of the `n_wanted` rows.
    pub fn batch_rows(&self, worker: PeerId, n_wanted: u64, rules: &LeaseRules) -> u64 {
        if let Some(rows) = rules.fixed_rows {
            return rows.clamp(1, rules.max_rows);
        }
        let seconds_per_row = self
            .peer_by_id
            .get(&worker)
            .and_then(|peer| peer.seconds_per_row);
        let by_time = match seconds_per_row {
            None => rules.first_rows,
            // `as` saturates, and a row that takes no time gives infinity.
            Some(seconds) => (rules.target_s / seconds) as u64,
        };
        let n_workers = self
            .peer_by_id
            .values()
            .filter(|peer| match peer.kind {
                PeerKind::Worker => true,
                PeerKind::Trainer => false,
            })
            .count()
            .max(1) as u64;
        by_time
            .min(n_wanted.div_ceil(n_workers))
            .clamp(1, rules.max_rows)
    }
}

fn kind_name(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Worker => "worker",
        PeerKind::Trainer => "trainer",
    }
}
