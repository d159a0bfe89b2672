//! CPU time of this process, to the nanosecond, from `/proc`.

use crate::Fallible;
use std::{fs, io};

/// Linux's number for "no such process", which reading the file of a thread that has just ended gives.
const ESRCH: i32 = 3;

/// Seconds of all threads that live, by the scheduler's count. What a thread has used is gone when it ends, so that both
/// ends of a measurement must see the same ones.
pub fn cpu_seconds() -> Fallible<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = match fs::read_to_string(task?.path().join("schedstat")) {
            Ok(text) => text,
            Err(error) if has_ended(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        let nanoseconds = text.split_whitespace().next().unwrap_or("0");
        sum += nanoseconds.parse::<f64>()? * 1e-9;
    }
    Ok(sum)
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}
