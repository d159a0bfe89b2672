//! Work on files that is tried again while the storage is at fault: what was computed is not lost by a full disk.

use std::ops::ControlFlow;
use std::time::Duration;

/// Between two tries; each wait is twice the one before.
pub const SHORTEST_WAIT: Duration = Duration::from_millis(500);
pub const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Does `work` until it succeeds or fails for another reason than the storage. `pause` waits for as long as it is
/// told, or breaks, which ends with the error.
pub fn while_store_fails<T, E>(
    is_store_fault: impl Fn(&E) -> bool,
    mut pause: impl FnMut(&E, Duration) -> ControlFlow<()>,
    mut work: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut wait = SHORTEST_WAIT;
    loop {
        let error = match work() {
            Err(error) if is_store_fault(&error) => error,
            result => return result,
        };
        if pause(&error, wait).is_break() {
            return Err(error);
        }
        wait = (2 * wait).min(LONGEST_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_tried_again_with_growing_waits_until_it_is_done_or_not_the_stores_fault() {
        let mut waits = Vec::new();
        let mut answers = vec![
            Ok("done"),
            Err("full"),
            Err("full"),
            Err("full"),
            Err("full"),
        ];
        let pause = |_: &&str, wait: Duration| {
            waits.push(wait.as_millis());
            ControlFlow::Continue(())
        };
        let work = || answers.pop().expect("an answer");
        let done = while_store_fails(|error| *error == "full", pause, work);
        assert_eq!(done, Ok("done"));
        assert_eq!(waits, [500, 1000, 2000, 4000]);

        let never = |_: &&str, _| -> ControlFlow<()> { panic!("no wait") };
        let wrong: Result<(), &str> =
            while_store_fails(|error| *error == "full", never, || Err("torn"));
        assert_eq!(wrong, Err("torn"));
        let stop = |_: &&str, _| ControlFlow::Break(());
        let stopped: Result<(), &str> = while_store_fails(|_| true, stop, || Err("full"));
        assert_eq!(stopped, Err("full"));
    }
}
