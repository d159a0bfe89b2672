//! What memory a training has in use after more and more steps: flat, or it leaks.

use crate::Fallible;
use crate::case::Case;
use std::process::Command;

/// Rows of the table.
const N_LOOKS: usize = 10;

/// Trains for about `n_steps`, in as many trainings as that takes, and prints the memory in use on the way.
pub fn follow(case: &Case, n_steps: usize) -> Fallible {
    println!("{}", case.name());
    println!();
    println!("| steps | RSS, MB | device, MB |");
    println!("|---|---|---|");
    let n_epochs = n_steps.div_ceil(case.n_steps());
    let mut epoch = 0;
    while epoch < n_epochs {
        case.train(n_epochs - epoch, |n_steps| {
            epoch += 1;
            if epoch == 1 || epoch * N_LOOKS / n_epochs != (epoch - 1) * N_LOOKS / n_epochs {
                let device = device_megabytes().map_or("-".to_owned(), |mb| mb.to_string());
                println!(
                    "| {} | {} | {device} |",
                    epoch * n_steps,
                    resident_megabytes()?
                );
            }
            Ok(())
        })?;
    }
    println!();
    Ok(())
}

/// Of this process.
fn resident_megabytes() -> Fallible<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("/proc/self/status: no VmRSS")?;
    let kilobytes: u64 = line.trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024)
}

/// In use on the first of NVIDIA's GPUs, by this process and others; None where there is none.
fn device_megabytes() -> Option<u64> {
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=memory.used", "--format=csv,noheader,nounits"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next()?.trim().parse().ok()
}
