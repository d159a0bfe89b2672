//! What a process has used of the machine, from `/proc`.

use crate::Fallible;
use std::fs;

/// Linux's USER_HZ, on every architecture that we run on.
const TICKS_PER_S: f64 = 100.0;
const KIB_PER_MB: f64 = 1e6 / 1024.0;

/// So far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Of all threads, user and system.
    pub cpu_s: f64,
    pub rss_mb: f64,
    pub peak_rss_mb: f64,
}

impl Usage {
    pub fn of(process: u32) -> Fallible<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        // The name, which may hold anything, ends with the last parenthesis; utime and stime are fields 14 and 15.
        let after_name = stat.rsplit_once(')').ok_or("no name in stat")?.1;
        let ticks = |place: usize| -> Fallible<f64> {
            let field = after_name.split_whitespace().nth(place - 3);
            Ok(field.ok_or("stat is too short")?.parse()?)
        };
        Ok(Self {
            cpu_s: (ticks(14)? + ticks(15)?) / TICKS_PER_S,
            rss_mb: kib(&status, "VmRSS:")? / KIB_PER_MB,
            peak_rss_mb: kib(&status, "VmHWM:")? / KIB_PER_MB,
        })
    }

    pub fn of_this_process() -> Fallible<Self> {
        Self::of(std::process::id())
    }
}

fn kib(status: &str, key: &str) -> Fallible<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number
        .ok_or_else(|| format!("no {key} in status"))?
        .parse()?)
}
