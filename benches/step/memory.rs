//! What memory a training has in use after more and more steps: flat, or it leaks.

use crate::Fallible;
use crate::case::Case;

/// Rows of the table.
const N_LOOKS: usize = 10;
const MB: f64 = 1e6;

/// Trains for about `n_steps`, in as many trainings as that takes, and prints the memory in use on the way.
pub fn follow(case: &Case, n_steps: usize) -> Fallible {
    println!("{}", case.name());
    println!();
    println!("| steps | RSS, MB | live allocations | in use, MB | reserved, MB |");
    println!("|---|---|---|---|---|");
    let device = case.device()?;
    let n_epochs = n_steps.div_ceil(case.n_steps());
    let mut epoch = 0;
    while epoch < n_epochs {
        case.train(n_epochs - epoch, |n_steps| {
            epoch += 1;
            if epoch == 1 || epoch * N_LOOKS / n_epochs != (epoch - 1) * N_LOOKS / n_epochs {
                let pools = match device.memory_pool_usage() {
                    Some(usage) => format!(
                        "{} | {:.1} | {:.1}",
                        usage.number_allocs,
                        usage.bytes_in_use as f64 / MB,
                        usage.bytes_reserved as f64 / MB
                    ),
                    None => "- | - | -".to_owned(),
                };
                let resident = resident_bytes()? as f64 / MB;
                println!("| {} | {resident:.1} | {pools} |", epoch * n_steps);
            }
            Ok(())
        })?;
    }
    println!();
    Ok(())
}

/// Of this process.
fn resident_bytes() -> Fallible<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("/proc/self/status: no VmRSS")?;
    let kilobytes: u64 = line.trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
