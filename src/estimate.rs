//! How long a campaign will take: from a few simulations and epochs that are timed, and from what campaigns usually need.

use crate::{numbers, words};
use sidereal_inference::base::RoundId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::method::{Prospect, first_round_size, prospect};
use sidereal_inference::records::Draws;
use sidereal_inference::records::shard::RowStatus;
use sidereal_models::Model;
use sidereal_trainer::timing::{RowSeconds, row_seconds};
use std::time::{Duration, Instant};

/// Simulations that are timed, unless they take longer than this.
const N_TIMED: u64 = 256;
const LONGEST: Duration = Duration::from_secs(2);
/// Epochs of a flow that is fitted to weighted draws, on average over a campaign: single ones take 34 to 150.
const EPOCHS: (f64, f64) = (50.0, 95.0);
/// Draws that it is fitted to, on average, as parts of all simulations.
const DRAWS: (f64, f64) = (0.4, 0.5);
/// Epochs of a flow that is fitted to simulations: so many after the best one at least.
const FEWEST_EPOCHS: f64 = 10.0;
/// What a round takes beside simulating and training: journal, weights, draws, searches for lost modes.
const ROUND_S: (f64, f64) = (0.05, 0.5);

/// What was timed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Timed {
    n_simulations: u64,
    n_failed: u64,
    simulation_s: f64,
    /// None where the training could not be tried.
    row_s: Option<RowSeconds>,
}

/// Where the simulations and trainings of a campaign are run.
pub struct Machine<'a> {
    pub model: &'a Model,
    pub n_workers: usize,
    pub n_cores: usize,
    pub n_threads: usize,
}

/// What it will take and what that rests on, as lines of a table.
pub fn lines(campaign: &Campaign, machine: &Machine) -> Vec<(&'static str, String)> {
    let timed = time(campaign, machine);
    let n_parallel = machine.n_workers.clamp(1, machine.n_cores.max(1));
    told(campaign, &timed, n_parallel)
}

fn told(campaign: &Campaign, timed: &Timed, n_parallel: usize) -> Vec<(&'static str, String)> {
    let expected = expected(campaign);
    let (low, high) = seconds(campaign, timed, &expected, n_parallel);
    let n_trainings = (
        u64::from(expected.n_on_simulations.0 + expected.n_on_draws.0),
        u64::from(expected.n_on_simulations.1 + expected.n_on_draws.1),
    );
    let trainings = match n_trainings {
        (1, 1) => "1 training".to_owned(),
        range => format!("{} trainings", words::count_range(range)),
    };
    let mut simulations = format!(
        "{} simulations of {}",
        words::count_range(expected.simulations),
        duration(timed.simulation_s)
    );
    if n_parallel > 1 {
        simulations.push_str(&format!(", {n_parallel} at a time"));
    }
    let time = match timed.row_s {
        Some(_) => numbers::seconds_range(low, high),
        None => format!("{} and the trainings", numbers::seconds_range(low, high)),
    };
    let training = match timed.row_s {
        Some(_) => "a few epochs",
        None => "no epochs, for want of simulations that did not fail",
    };
    let mut lines = vec![
        (
            "will take",
            format!("{time}: {simulations}, and {trainings}"),
        ),
        (
            "which rests on",
            format!(
                "{} simulations of draws from the prior and {training}, timed on this machine just now, and on what \
                 campaigns usually need",
                numbers::count(timed.n_simulations)
            ),
        ),
    ];
    if timed.n_failed > 0 {
        lines.push((
            "failing",
            format!(
                "{} of these {} simulations failed",
                numbers::count(timed.n_failed),
                numbers::count(timed.n_simulations)
            ),
        ));
    }
    lines
}

/// Simulations and trainings, fewest and most.
fn expected(campaign: &Campaign) -> Prospect {
    let rounds = &campaign.rounds;
    match campaign.observation {
        Some(_) => prospect(rounds, campaign.space.len(), campaign.refinement()),
        None => Prospect {
            simulations: (rounds.simulations, rounds.simulations),
            n_on_simulations: (1, 1),
            n_on_draws: (0, 0),
        },
    }
}

/// Shortest and longest.
fn seconds(
    campaign: &Campaign,
    timed: &Timed,
    expected: &Prospect,
    n_parallel: usize,
) -> (f64, f64) {
    let training = &campaign.training;
    let RowSeconds { simulations, draws } = timed.row_s.unwrap_or(RowSeconds {
        simulations: 0.0,
        draws: 0.0,
    });
    let most_epochs = f64::from(training.max_epochs);
    let fewest_epochs = (FEWEST_EPOCHS + f64::from(training.patience)).min(most_epochs);
    let first_rows = first_round_size(
        &campaign.rounds,
        campaign.space.len(),
        campaign.refinement(),
    ) as f64;
    let later_rows = first_rows * f64::from(training.rounds.max(1));
    let of =
        |n: u64, n_first: u32, n_draws: u32, rows: f64, epochs: f64, of_draws: f64, own: f64| {
            let all = n as f64;
            all * timed.simulation_s / n_parallel as f64
                + f64::from(n_first) * rows.min(all) * epochs * simulations
                + f64::from(n_draws) * all * of_draws * draws
                + f64::from(n_first + n_draws) * own
        };
    (
        of(
            expected.simulations.0,
            expected.n_on_simulations.0,
            expected.n_on_draws.0,
            first_rows,
            fewest_epochs,
            DRAWS.0 * EPOCHS.0,
            ROUND_S.0,
        ),
        of(
            expected.simulations.1,
            expected.n_on_simulations.1,
            expected.n_on_draws.1,
            later_rows,
            most_epochs,
            DRAWS.1 * EPOCHS.1,
            ROUND_S.1,
        ),
    )
}

fn time(campaign: &Campaign, machine: &Machine) -> Timed {
    let round = RoundId(0);
    let draws = Draws::from_prior(&campaign.space, campaign.seed, round, 0..N_TIMED);
    let mut rows = Vec::new();
    let (mut n_simulations, mut n_failed) = (0, 0);
    let one_at_a_time = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let started = Instant::now();
    // More and more at once, as a worker gets them.
    let mut n_rows = 1;
    while n_simulations < N_TIMED && started.elapsed() < LONGEST {
        let end = (n_simulations + n_rows).min(N_TIMED);
        let run = || machine.model.run(campaign, draws.slice(n_simulations..end));
        let Ok(Ok(simulated)) = one_at_a_time.as_ref().map(|pool| pool.install(run)) else {
            break;
        };
        for (i, status) in simulated.status.iter().enumerate() {
            match status {
                RowStatus::Ok => rows.push((
                    simulated.draws.z_row(i).to_vec(),
                    simulated.simulated_row(i).to_vec(),
                )),
                RowStatus::Failed => n_failed += 1,
            }
        }
        (n_simulations, n_rows) = (end, 2 * n_rows);
    }
    let simulation_s = started.elapsed().as_secs_f64() / n_simulations.max(1) as f64;
    Timed {
        n_simulations,
        n_failed,
        simulation_s,
        row_s: time_training(campaign, &rows, machine.n_threads),
    }
}

fn time_training(
    campaign: &Campaign,
    rows: &[(Vec<f64>, Vec<f32>)],
    n_threads: usize,
) -> Option<RowSeconds> {
    let device = sidereal_trainer::device::choose(campaign.training.device).ok()?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .ok()?;
    let found = row_seconds(campaign, rows, &device, &pool);
    found
        .inspect_err(|error| tracing::debug!(%error, "no training is timed"))
        .ok()
}

/// `0.73 µs`, `20.0 ms`, `3.1 s`
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1e-4 => format!("{} µs", numbers::short(1e6 * seconds)),
        seconds if seconds < 0.1 => format!("{} ms", numbers::short(1e3 * seconds)),
        seconds => numbers::seconds(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::campaign_file;
    use sidereal_models::Catalogue;
    use std::path::Path;

    fn campaign(observation: &str, rounds: &str) -> Campaign {
        let text = format!(
            "name = \"line\"\n[[parameters]]\nname = \"a\"\nprior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }}\n\
             [simulator]\nbuiltin = \"linear-gaussian\"\n{observation}\n[training]\nmax_epochs = 100\npatience = 20\n\
             [rounds]\n{rounds}\n"
        );
        campaign_file::parse(&text, Path::new("line.toml"), &Catalogue::default())
            .expect("a campaign")
    }

    const OBSERVED: &str = "[observation]\ngrid = [0.0]\nvalue = [0.3]\nsigma = [0.1]\n[noise]\ngaussian = { sigma = \"observed\" }";

    const TIMED: Timed = Timed {
        n_simulations: 256,
        n_failed: 0,
        simulation_s: 0.01,
        row_s: Some(RowSeconds {
            simulations: 1e-4,
            draws: 1e-5,
        }),
    };

    #[test]
    fn an_amortized_campaign_is_its_simulations_and_one_training() {
        let any = campaign(
            "grid = [0.0]\n[noise]\ngaussian = { sigma = 0.1 }",
            "simulations = 10000",
        );
        // 10,000 of 0.01 s by two, and 30 to 100 epochs of a second.
        assert_eq!(
            told(&any, &TIMED, 2),
            [
                (
                    "will take",
                    "80 s to 3 min: 10,000 simulations of 10.0 ms, 2 at a time, and 1 training".to_owned()
                ),
                (
                    "which rests on",
                    "256 simulations of draws from the prior and a few epochs, timed on this machine just now, and on \
                     what campaigns usually need"
                        .to_owned()
                ),
            ]
        );
    }

    #[test]
    fn what_fails_and_what_is_not_timed_is_said() {
        let one = campaign(OBSERVED, "simulations = 1000\nmax = 1");
        let timed = Timed {
            n_simulations: 3,
            n_failed: 3,
            simulation_s: 1.5,
            row_s: None,
        };
        assert_eq!(
            told(&one, &timed, 1),
            [
                (
                    "will take",
                    "25 to 26 min and the trainings: 1,000 simulations of 1.5 s, and 1 training".to_owned()
                ),
                (
                    "which rests on",
                    "3 simulations of draws from the prior and no epochs, for want of simulations that did not fail, \
                     timed on this machine just now, and on what campaigns usually need"
                        .to_owned()
                ),
                ("failing", "3 of these 3 simulations failed".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_timed_is_what_would_be_run() {
        let one = campaign(OBSERVED, "simulations = 1000");
        let model = sidereal_models::Catalogue::default()
            .build(&one, 1)
            .expect("built");
        let timed = time(
            &one,
            &Machine {
                model: &model,
                n_workers: 1,
                n_cores: 1,
                n_threads: 1,
            },
        );
        assert_eq!((timed.n_simulations, timed.n_failed), (N_TIMED, 0));
        let row_s = timed.row_s.expect("trained");
        assert!(timed.simulation_s > 0.0 && row_s.draws > 0.0);
        assert_eq!(row_s.simulations, 0.0);
    }
}
