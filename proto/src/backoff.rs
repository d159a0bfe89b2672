//! Waits between attempts to reach a coordinator: growing, and jittered so that workers do not come
//! back all at once.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::{Duration, SystemTime};

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// The waits of one peer.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    rng: ChaCha8Rng,
}

impl Backoff {
    /// Waits that differ from process to process; they decide nothing but how long one waits.
    pub fn of_this_process() -> Self {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seed = u64::from(now.subsec_nanos()) ^ (u64::from(std::process::id()) << 32);
        Self::new(ChaCha8Rng::seed_from_u64(seed))
    }

    fn new(rng: ChaCha8Rng) -> Self {
        Self {
            next: SHORTEST,
            rng,
        }
    }

    /// The next wait: twice the last one up to the longest, times a factor in [0.5, 1.5).
    pub fn next_wait(&mut self) -> Duration {
        let factor = 0.5 + f64::from(self.rng.next_u32()) / 2_f64.powi(32);
        let wait = self.next.mul_f64(factor);
        self.next = (self.next * 2).min(LONGEST);
        wait
    }

    /// After the coordinator was heard from.
    pub fn reset(&mut self) {
        self.next = SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_jitter_up_to_the_longest() {
        let mut backoff = Backoff::new(ChaCha8Rng::seed_from_u64(1));
        let mut nominal = SHORTEST;
        for _ in 0..9 {
            let wait = backoff.next_wait();
            assert!(
                wait >= nominal / 2 && wait < nominal * 3 / 2,
                "{wait:?} around {nominal:?}"
            );
            nominal = (nominal * 2).min(LONGEST);
        }
        assert_eq!(nominal, LONGEST);
        backoff.reset();
        assert!(backoff.next_wait() < SHORTEST * 3 / 2);
    }
}
