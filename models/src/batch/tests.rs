//! Rows of a batch: independent of everything but their draws, and failed one by one.

use super::*;
use crate::{Catalogue, OwnNoise, WithOwnNoise};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use sidereal_inference::base::RoundId;
use sidereal_inference::campaign_file;
use sidereal_inference::records::shard::RowStatus;
use std::ops::Range;
use std::sync::atomic::AtomicUsize;

/// Two parameters, three data.
fn campaign(sigma: &str) -> Campaign {
    let directory = tempfile::tempdir().expect("temporary directory");
    let observation = format!("x,value,sigma\n0,1,{sigma}\n1,2,{sigma}\n2,4,{sigma}\n");
    std::fs::write(directory.path().join("observation.csv"), observation).expect("write");
    let text = r#"
        name = "batch"
        seed = 3
        [[parameters]]
        name = "a"
        prior = { normal = { mean = 0.0, sd = 1.0 } }
        [[parameters]]
        name = "b"
        prior = { normal = { mean = 0.0, sd = 1.0 } }
        [simulator]
        builtin = "linear-gaussian"
        matrix = [[1, 0], [1, 1], [1, 2]]
        [observation]
        path = "observation.csv"
    "#;
    campaign_file::parse(
        text,
        &directory.path().join("campaign.toml"),
        &Catalogue::default(),
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

fn draws(campaign: &Campaign, rows: Range<u64>) -> Draws {
    Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), rows)
}

/// A random straight line, or whatever `answer` makes of the row's first draw of randomness.
struct Scripted<F>(F);

impl<F> Simulator for Scripted<F>
where
    F: Fn(&[f64], u32, &mut [f64]) -> Result<(), SimulationError> + Send + Sync,
{
    fn n_data(&self) -> usize {
        3
    }

    fn simulate(
        &self,
        parameters: &[f64],
        rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        for (x, value) in out.iter_mut().enumerate() {
            *value = parameters[0] + parameters[1] * x as f64;
        }
        (self.0)(parameters, rng.next_u32(), out)
    }
}

fn on_threads<T: Send>(n_threads: usize, run: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .expect("pool");
    pool.install(run)
}

#[test]
fn rows_are_the_same_on_any_threads_and_in_any_batches() {
    let campaign = campaign("0.1");
    let simulator = Scripted(|_: &[f64], random, out: &mut [f64]| {
        out[0] += f64::from(random) * 1e-9;
        if random % 16 == 0 {
            panic!("unlucky {random}")
        }
        Ok(())
    });
    let whole = on_threads(1, || {
        run_batch(&campaign, &simulator, draws(&campaign, 0..200))
    })
    .expect("rows");
    let n_failed = whole.n_failed();
    assert!((1..60).contains(&n_failed), "{n_failed}");
    for (row, status) in whole.status.iter().enumerate() {
        let data = whole.simulated_row(row);
        let message = whole.message[row].as_deref().unwrap_or_default();
        match status {
            RowStatus::Ok => {
                assert!(data.iter().all(|x| x.is_finite()) && whole.log_likelihood[row].is_some())
            }
            RowStatus::Failed => {
                assert!(data.iter().all(|x| x.is_nan()) && whole.log_likelihood[row].is_none());
                assert!(
                    message.starts_with("the simulator panicked: unlucky "),
                    "{message}"
                );
            }
        }
    }
    for (n_threads, split) in [(4, 200), (1, 7), (4, 64)] {
        let mut row = 0;
        for first in (0..200).step_by(split) {
            let rows = first..(first + split as u64).min(200);
            let part = on_threads(n_threads, || {
                run_batch(&campaign, &simulator, draws(&campaign, rows))
            })
            .expect("rows");
            for i in 0..part.status.len() {
                let bits = |rows: &ShardRows, i: usize| {
                    let data: Vec<u32> =
                        rows.simulated_row(i).iter().map(|x| x.to_bits()).collect();
                    (
                        data,
                        rows.log_likelihood[i].map(f64::to_bits),
                        rows.status[i],
                        rows.message[i].clone(),
                    )
                };
                assert_eq!(bits(&part, i), bits(&whole, row), "row {row}");
                row += 1;
            }
        }
        assert_eq!(row, 200);
    }
}

#[test]
fn likelihood_is_of_the_data_before_they_are_rounded() {
    let mut campaign = campaign("1e-9");
    let simulator = Scripted(|_: &[f64], _, out: &mut [f64]| {
        out.copy_from_slice(&[1.0, 2.0, 4.000_000_001]);
        Ok(())
    });
    let rows = run_batch(&campaign, &simulator, draws(&campaign, 0..1)).expect("rows");
    let [Some(log_likelihood)] = rows.log_likelihood[..] else {
        panic!("one likelihood")
    };
    // One residual of 1 sigma.
    let expected = -0.5 - 3.0 * (1e-9_f64.ln() + 0.5 * std::f64::consts::TAU.ln());
    assert!(
        (log_likelihood - expected).abs() < 1e-5,
        "{log_likelihood}, expected {expected}"
    );
    assert_eq!(rows.simulated, [1.0, 2.0, 4.0]);
    campaign.observation = None;
    let rows = run_batch(&campaign, &simulator, draws(&campaign, 0..1)).expect("rows");
    assert_eq!(
        (&rows.log_likelihood[..], &rows.status[..]),
        (&[None][..], &[RowStatus::Ok][..])
    );
}

/// What becomes of one row under a simulator.
fn row_of(
    answer: impl Fn(&[f64], u32, &mut [f64]) -> Result<(), SimulationError> + Send + Sync,
) -> (Option<f64>, RowStatus, Option<String>) {
    only_row(&campaign("1"), answer)
}

fn only_row(
    campaign: &Campaign,
    answer: impl Fn(&[f64], u32, &mut [f64]) -> Result<(), SimulationError> + Send + Sync,
) -> (Option<f64>, RowStatus, Option<String>) {
    let mut rows = run_batch(campaign, &Scripted(answer), draws(campaign, 0..1)).expect("rows");
    (
        rows.log_likelihood.remove(0),
        rows.status.remove(0),
        rows.message.remove(0),
    )
}

#[test]
fn rows_without_an_answer_fail_with_its_message() {
    let failed = |message: &str| (None, RowStatus::Failed, Some(message.to_owned()));
    assert_eq!(
        row_of(|_, _, _| Err(SimulationError::Impossible("no such star".to_owned()))),
        failed("no such star")
    );
    assert_eq!(
        row_of(|_, _, out| {
            out[1] = f64::NAN;
            Ok(())
        }),
        failed("datum 1 is NaN, expected a finite number")
    );
    assert_eq!(
        row_of(|_, _, out| {
            out[2] = -1e39;
            Ok(())
        }),
        failed("datum 2 is -1000000000000000000000000000000000000000, beyond single precision")
    );
    assert_eq!(
        row_of(|_, _, _| panic!("at once")),
        failed("the simulator panicked: at once")
    );
    assert_eq!(
        row_of(|_, _, _| std::panic::panic_any(7)),
        failed("the simulator panicked: no message")
    );
}

#[test]
fn a_likelihood_of_zero_is_an_answer() {
    let mut campaign = campaign("1");
    if let Some(observation) = &mut campaign.observation {
        observation.sigma = vec![1e-200; 3];
    }
    assert_eq!(
        only_row(&campaign, |_, _, _| Ok(())),
        (Some(f64::NEG_INFINITY), RowStatus::Ok, None)
    );
}

#[test]
fn only_what_a_retry_can_help_is_tried_again() {
    let transient = || SimulationError::Transient("licence server is down".to_owned());
    let n_tries = AtomicUsize::new(0);
    let third_time = |_: &[f64], _, _: &mut [f64]| match n_tries.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err(transient()),
        _ => Ok(()),
    };
    assert_eq!(row_of(third_time).1, RowStatus::Ok);
    let (_, _, message) = row_of(|_, _, _| Err(transient()));
    assert_eq!(
        message.as_deref(),
        Some("tried 3 times: licence server is down")
    );
    let n_tries = AtomicUsize::new(0);
    let impossible = |_: &[f64], _, _: &mut [f64]| {
        n_tries.fetch_add(1, Ordering::Relaxed);
        Err(SimulationError::Impossible("no".to_owned()))
    };
    assert_eq!(row_of(impossible).1, RowStatus::Failed);
    assert_eq!(n_tries.load(Ordering::Relaxed), 1);
}

#[test]
fn draws_of_another_shape_are_refused() {
    let campaign = campaign("1");
    let simulator = Scripted(|_: &[f64], _, _: &mut [f64]| Ok(()));
    let good = draws(&campaign, 0..4);
    let refusal = |change: fn(&mut Draws)| {
        let mut draws = good.clone();
        change(&mut draws);
        run_batch(&campaign, &simulator, draws)
            .err()
            .map(|error| error.to_string())
    };
    let expected = |text: &str| Some(text.to_owned());
    assert_eq!(
        refusal(|draws| {
            draws.n_parameters = 1;
            draws.theta.truncate(4);
            draws.z.truncate(4);
        }),
        expected("draws have 1 parameters a row, expected 2")
    );
    assert_eq!(
        refusal(|draws| draws.theta.truncate(7)),
        expected("draws have 7 values of theta, expected 8")
    );
    assert_eq!(
        refusal(|draws| draws.log_proposal.truncate(3)),
        expected("draws have 3 values of log_proposal, expected 4")
    );
    let mut shorter = campaign.clone();
    if let Some(observation) = &mut shorter.observation {
        observation.value.pop();
    }
    assert_eq!(
        run_batch(&shorter, &simulator, good.clone()).err(),
        Some(BatchError::DataLength {
            simulated: 3,
            observed: 2
        })
    );
}

#[test]
fn no_rows_are_a_batch_too() {
    let campaign = campaign("1");
    let simulator = Scripted(|_: &[f64], _, _: &mut [f64]| Ok(()));
    let rows = run_batch(&campaign, &simulator, draws(&campaign, 5..5)).expect("rows");
    assert_eq!((rows.status.len(), rows.simulated.len()), (0, 0));
}

/// Two counts of one rate, and their Poisson-like likelihood up to a constant.
struct Counts;

impl OwnNoise for Counts {
    type State = f64;

    fn n_data(&self) -> usize {
        3
    }

    fn state(&self, parameters: &[f64]) -> Result<f64, SimulationError> {
        if parameters[0] > 1.5 {
            return Err(SimulationError::Impossible("too fast".to_owned()));
        }
        Ok(parameters[0])
    }

    fn draw(&self, rate: &f64, rng: &mut ChaCha8Rng, out: &mut [f64]) {
        for value in out {
            *value = rate + f64::from(rng.next_u32() % 10);
        }
    }

    fn log_likelihood(&self, rate: &f64, observed: &[f64]) -> f64 {
        if *rate < -1.5 {
            return f64::NEG_INFINITY;
        }
        rate * observed.iter().sum::<f64>()
    }
}

#[test]
fn a_simulators_own_likelihood_is_taken_as_it_is() {
    let mut own = campaign("1");
    own.noise = Noise::Simulator;
    let simulator = WithOwnNoise(Counts);
    let rows = run_batch(&own, &simulator, draws(&own, 0..300)).expect("rows");
    let (mut n_failed, mut n_zero) = (0, 0);
    for row in 0..300 {
        let rate = rows.draws.theta_row(row)[0];
        let found = rows.log_likelihood[row];
        if rate > 1.5 {
            n_failed += 1;
            assert_eq!((found, rows.status[row]), (None, RowStatus::Failed));
        } else if rate < -1.5 {
            n_zero += 1;
            assert_eq!(found, Some(f64::NEG_INFINITY));
        } else {
            // The observation is 1, 2, 4.
            assert_eq!(found, Some(rate * 7.0));
        }
    }
    assert!(n_failed > 0 && n_zero > 0);

    // The data are the same where nothing is observed, and no likelihood is known.
    let mut amortized = own.clone();
    amortized.observation = None;
    let unobserved = run_batch(&amortized, &simulator, draws(&own, 0..300)).expect("rows");
    let bits =
        |rows: &ShardRows| -> Vec<u32> { rows.simulated.iter().map(|x| x.to_bits()).collect() };
    assert_eq!(bits(&unobserved), bits(&rows));
    assert!(unobserved.log_likelihood.iter().all(Option::is_none));

    let deterministic = Scripted(|_: &[f64], _, _: &mut [f64]| Ok(()));
    assert_eq!(
        run_batch(&own, &deterministic, draws(&own, 0..3)).err(),
        Some(BatchError::NoLikelihood)
    );
}
