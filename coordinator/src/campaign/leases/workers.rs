//! Workers through all their registrations: which of them keep losing what they hold, and until when they are
//! held back.

use sidereal_inference::account::HeldBack;
use sidereal_inference::base::PeerId;
use std::collections::{BTreeMap, BTreeSet};

/// Losses after each other from which on a worker is held back.
const LOSSES_TO_HOLD: u32 = 2;
/// Seconds that it is held back first; twice as long after each further loss.
const SHORTEST_HOLD_S: f64 = 10.0;
const LONGEST_HOLD_S: f64 = 600.0;
/// Workers without a registration that are remembered.
const MAX_GONE: usize = 1000;

/// How a peer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It said goodbye, or was sent away: nothing that it ran is to blame.
    Drained,
    /// Without a word.
    Vanished,
}

/// A worker through all its registrations: a process that is started again after a crash is the same worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(u64);

/// All workers, and those that are gone and may come back.
#[derive(Debug, Default)]
pub struct Workers {
    n_known: u64,
    worker_by_id: BTreeMap<WorkerId, Worker>,
    /// Those without a registration, in the order in which they went.
    gone: Vec<WorkerId>,
    /// Those with enough losses to be held back, for a while or no more.
    troubled: BTreeSet<WorkerId>,
}

#[derive(Debug)]
struct Worker {
    name: String,
    /// Its registration; None while it is gone.
    peer: Option<PeerId>,
    /// Times that it lost or failed what it held, each batch since then taken off.
    n_losses: u32,
    held_until_s: f64,
}

impl Workers {
    /// A registration. It continues a worker that is gone and had the same name, or else ran on the same machine:
    /// two that are registered at the same time are never the same worker.
    pub fn on_registered(&mut self, peer: PeerId, name: &str) -> WorkerId {
        let gone = |is_same: &dyn Fn(&str) -> bool| {
            self.gone.iter().rposition(|id| {
                let worker = self.worker_by_id.get(id);
                worker.is_some_and(|worker| is_same(&worker.name))
            })
        };
        let place =
            gone(&|other| other == name).or_else(|| gone(&|other| machine(other) == machine(name)));
        let id = match place {
            Some(place) => self.gone.remove(place),
            None => {
                self.n_known += 1;
                WorkerId(self.n_known)
            }
        };
        let worker = self.worker_by_id.entry(id).or_insert_with(|| Worker {
            name: String::new(),
            peer: None,
            n_losses: 0,
            held_until_s: f64::NEG_INFINITY,
        });
        name.clone_into(&mut worker.name);
        worker.peer = Some(peer);
        id
    }

    /// The registration has ended. Who left in peace and has lost nothing is forgotten.
    pub fn on_gone(&mut self, id: WorkerId, loss: Loss) {
        let Some(worker) = self.worker_by_id.get_mut(&id) else {
            return;
        };
        worker.peer = None;
        let is_forgotten = match loss {
            Loss::Drained => worker.n_losses == 0,
            Loss::Vanished => false,
        };
        if is_forgotten {
            self.worker_by_id.remove(&id);
            return;
        }
        self.gone.push(id);
        if self.gone.len() > MAX_GONE {
            let oldest = self.gone.remove(0);
            self.worker_by_id.remove(&oldest);
            self.troubled.remove(&oldest);
        }
    }

    /// The worker vanished with rows, could not run them, or gave others than it was asked for.
    pub fn on_loss(&mut self, id: WorkerId, now_s: f64) {
        let Some(worker) = self.worker_by_id.get_mut(&id) else {
            return;
        };
        worker.n_losses = worker.n_losses.saturating_add(1);
        let Some(n_holds) = worker.n_losses.checked_sub(LOSSES_TO_HOLD) else {
            return;
        };
        // As a float it may be infinite, which is cut.
        let hold_s = SHORTEST_HOLD_S * f64::from(n_holds).exp2();
        worker.held_until_s = now_s + hold_s.min(LONGEST_HOLD_S);
        self.troubled.insert(id);
    }

    /// Rows that the worker ran are final.
    pub fn on_done(&mut self, id: WorkerId) {
        let Some(worker) = self.worker_by_id.get_mut(&id) else {
            return;
        };
        worker.n_losses = worker.n_losses.saturating_sub(1);
        if worker.n_losses < LOSSES_TO_HOLD {
            self.troubled.remove(&id);
        }
    }

    /// Registrations of those that are held back.
    pub fn peers_held_back(&self, now_s: f64) -> BTreeSet<PeerId> {
        self.held_back(now_s)
            .filter_map(|worker| worker.peer)
            .collect()
    }

    /// What people are told of them.
    pub fn status(&self, now_s: f64) -> Vec<HeldBack> {
        let status = |worker: &Worker| HeldBack {
            name: worker.name.clone(),
            n_losses: worker.n_losses,
            for_s: worker.held_until_s - now_s,
        };
        self.held_back(now_s).map(status).collect()
    }

    fn held_back(&self, now_s: f64) -> impl Iterator<Item = &Worker> {
        self.troubled
            .iter()
            .filter_map(|id| self.worker_by_id.get(id))
            .filter(move |worker| now_s < worker.held_until_s)
    }
}

/// The name without the process id that names end with unless the user gave one.
fn machine(name: &str) -> &str {
    let is_process = |process: &str| process.bytes().all(|byte| byte.is_ascii_digit());
    match name.rsplit_once(':') {
        Some((machine, process)) if is_process(process) => machine,
        Some(_) | None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_comes_back_is_the_one_that_went_and_never_one_that_is_there() {
        let mut workers = Workers::default();
        let healthy = workers.on_registered(PeerId(0), "node:10");
        let sick = workers.on_registered(PeerId(1), "node:11");
        assert_ne!(healthy, sick);
        workers.on_gone(sick, Loss::Vanished);
        assert_eq!(workers.on_registered(PeerId(2), "node:12"), sick);
        let third = workers.on_registered(PeerId(3), "node:13");
        assert!(third != sick && third != healthy);
        workers.on_gone(healthy, Loss::Vanished);
        workers.on_gone(sick, Loss::Vanished);
        // The very name comes first, then who went last from the machine.
        assert_eq!(workers.on_registered(PeerId(4), "node:10"), healthy);
        let elsewhere = workers.on_registered(PeerId(5), "other:12");
        assert!(![healthy, sick, third].contains(&elsewhere));
        assert_eq!(workers.on_registered(PeerId(6), "node:14"), sick);
        // Who says goodbye is forgotten.
        workers.on_gone(third, Loss::Drained);
        assert_ne!(workers.on_registered(PeerId(7), "node:13"), third);
    }

    #[test]
    fn the_waits_after_losses_grow_and_end_with_what_is_done() {
        let mut workers = Workers::default();
        let id = workers.on_registered(PeerId(0), "node:1");
        workers.on_loss(id, 0.0);
        assert_eq!(workers.peers_held_back(0.0), BTreeSet::new());
        for (n_losses, for_s) in [(2, 10.0), (3, 20.0), (4, 40.0)] {
            workers.on_loss(id, 100.0);
            let held = HeldBack {
                name: "node:1".to_owned(),
                n_losses,
                for_s,
            };
            assert_eq!(workers.status(100.0), [held]);
        }
        for _ in 0..2000 {
            workers.on_loss(id, 100.0);
        }
        assert_eq!(workers.peers_held_back(699.0), BTreeSet::from([PeerId(0)]));
        assert_eq!(workers.peers_held_back(700.0), BTreeSet::new());
        for _ in 0..2003 {
            workers.on_done(id);
        }
        assert_eq!(workers.status(100.0), []);
    }
}
