//! Forward models that cost nothing, or time alone.

use sidereal_models::{Catalogue, ChaCha8Rng, ReadyModel, SimulationError, Simulator};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What the campaigns of this benchmark name.
pub const MODEL: &str = "trial";

pub fn catalogue(simulator: &Arc<dyn Simulator>) -> Catalogue {
    Catalogue::default().with_guest(ReadyModel {
        name: MODEL,
        simulator: Arc::clone(simulator),
    })
}

/// A parabola.
pub struct Trivial {
    pub n_data: usize,
}

impl Simulator for Trivial {
    fn n_data(&self) -> usize {
        self.n_data
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let &[a, b, c] = parameters else {
            return Err(SimulationError::Impossible("three parameters".to_owned()));
        };
        for (i, x) in out.iter_mut().enumerate() {
            let t = i as f64;
            *x = a + t * (b + t * c);
        }
        Ok(())
    }
}

/// Takes time and no processor, and notes down how much.
pub struct Sleeping {
    pub n_data: usize,
    pub row: Duration,
    pub began: OnceLock<Instant>,
    busy_ns: AtomicU64,
}

impl Sleeping {
    pub fn new(n_data: usize, row: Duration) -> Self {
        Self {
            n_data,
            row,
            began: OnceLock::new(),
            busy_ns: AtomicU64::new(0),
        }
    }

    /// Of all threads together, rows that have not ended left out.
    pub fn busy_s(&self) -> f64 {
        1e-9 * self.busy_ns.load(Ordering::Relaxed) as f64
    }
}

impl Simulator for Sleeping {
    fn n_data(&self) -> usize {
        self.n_data
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let started = Instant::now();
        self.began.get_or_init(|| started);
        std::thread::sleep(self.row);
        out.fill(parameters[0]);
        let nanos = started.elapsed().as_nanos() as u64;
        self.busy_ns.fetch_add(nanos, Ordering::Relaxed);
        Ok(())
    }
}
