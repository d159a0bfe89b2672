//! Noise that a function of the user's adds: what a row gets, and what becomes of a training without.

mod setup;

use setup::{AfterEpoch, pool, training_set};
use sidereal_inference::base::{Purpose, RoundId};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign::external::{ExternalNoise, PythonFunction};
use sidereal_inference::records::Draws;
use sidereal_trainer::noise::{AddNoise, NoiseSource};
use sidereal_trainer::noise_sequence::NoiseSequence;
use sidereal_trainer::parameters::named_tensors;
use sidereal_trainer::standardization::Standardization;
use sidereal_trainer::training::{self, Fitted, TrainingError, TrainingState};
use sidereal_trainer::training_set::TrainingSet;
use std::sync::atomic::{AtomicUsize, Ordering};

const SMALL: &str = r#"
[featurizer]
kind = "mlp"
layers = 1
hidden = 16
features = 8
[flow]
kind = "maf"
blocks = 1
hidden = 8
components = 2
[training]
max_epochs = 4
batch_size = 50
"#;

fn campaign() -> Campaign {
    let function = PythonFunction::parse("noise:f").expect("a function");
    Campaign {
        training_noise: Some(ExternalNoise {
            function,
            digest: String::new(),
            block: 0,
            global_rng: false,
            row_limit_s: 1.0,
            setup_limit_s: 1.0,
        }),
        ..setup::campaign(SMALL)
    }
}

/// Adds 1 to 2, by the seed alone; within a block also the place.
#[derive(Debug)]
struct Uniform {
    block: usize,
    /// Rows that are given noise before it fails.
    n_left: AtomicUsize,
}

impl Uniform {
    fn new(block: usize) -> Self {
        Self {
            block,
            n_left: AtomicUsize::new(usize::MAX),
        }
    }
}

impl AddNoise for Uniform {
    fn block(&self) -> usize {
        self.block
    }

    fn add(
        &self,
        first_row: u64,
        simulated: &[f64],
        theta: &[Vec<f64>],
        seeds: Vec<[u8; 16]>,
    ) -> Result<Vec<f64>, String> {
        let block = self.block.max(1);
        assert!(first_row.is_multiple_of(block as u64), "{first_row}");
        let n_left = self.n_left.load(Ordering::Relaxed);
        if n_left < seeds.len() {
            return Err("noise.py:f: ValueError: too bright (noise.py, line 3, in f)".to_owned());
        }
        self.n_left.store(n_left - seeds.len(), Ordering::Relaxed);
        let length = simulated.len() / seeds.len();
        assert_eq!(theta.len(), seeds.len());
        let noise = |i: usize| {
            let place = i / length;
            let byte = f64::from(seeds[place][i % length]) / 256.0;
            1.0 + (byte + 0.37 * (place % block) as f64).fract()
        };
        let rows = simulated.iter().enumerate();
        Ok(rows.map(|(i, x)| x + noise(i)).collect())
    }
}

/// Gives the first parameter in place of each datum.
#[derive(Debug)]
struct FirstParameter;

impl AddNoise for FirstParameter {
    fn block(&self) -> usize {
        0
    }

    fn add(
        &self,
        _first_row: u64,
        simulated: &[f64],
        theta: &[Vec<f64>],
        seeds: Vec<[u8; 16]>,
    ) -> Result<Vec<f64>, String> {
        let length = simulated.len() / seeds.len();
        let rows = theta.iter();
        Ok(rows.flat_map(|theta| vec![theta[0]; length]).collect())
    }
}

#[test]
fn noise_is_told_the_parameters_of_its_row() {
    let campaign = campaign();
    let noise = FirstParameter;
    let set = training_set(&campaign, 20)
        .with_noise(&noise)
        .expect("noise");
    let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), 0..20);
    let purpose = Purpose::TrainingNoise { epoch: 1 };
    let mut sequence = NoiseSequence::new(&set, vec![17, 0, 4], purpose).expect("noise");
    let found = sequence.take(3).expect("noise");
    for (x, row) in found.chunks_exact(6).zip([17, 0, 4]) {
        let expected = draws.theta_row(row)[0];
        let is_near = |&x: &f32| (f64::from(x) - expected).abs() < 1e-6;
        assert!(x.iter().all(is_near), "row {row}: {x:?}, not {expected}");
    }
}

#[test]
fn a_rows_noise_does_not_depend_on_how_many_are_asked_for() {
    let campaign = campaign();
    for block in [0, 8] {
        let noise = Uniform::new(block);
        let set = training_set(&campaign, 60)
            .with_noise(&noise)
            .expect("noise");
        let order: Vec<usize> = (0..60).map(|i| i * 7 % 60).collect();
        let taken = |sizes: &[usize], order: &[usize], epoch: u32| -> Vec<f32> {
            let purpose = Purpose::TrainingNoise { epoch };
            let mut sequence = NoiseSequence::new(&set, order.to_vec(), purpose).expect("noise");
            let take = |&n: &usize| sequence.take(n).expect("noise");
            sizes.iter().flat_map(take).collect()
        };
        let whole = taken(&[60], &order, 3);
        assert_eq!(whole.len(), 60 * 6);
        assert_eq!(taken(&[7, 7, 7, 20, 19], &order, 3), whole);
        assert_eq!(taken(&[31], &order, 3), whole[..31 * 6]);
        assert_ne!(taken(&[60], &order, 4), whole);
        if block == 0 {
            // A row's own generator, whatever comes before.
            let mut reversed = order.clone();
            reversed.reverse();
            let mut rows: Vec<&[f32]> = whole.chunks_exact(6).collect();
            rows.reverse();
            assert_eq!(taken(&[60], &reversed, 3), rows.concat());
        }
    }
}

fn fitted(
    noise: &Uniform,
    n_threads: usize,
    resumed: Option<TrainingState>,
) -> Result<Fitted, TrainingError> {
    let campaign = campaign();
    let set = with_noise(&campaign, noise);
    let standardization = Standardization::new(&set);
    let device = burn::tensor::Device::flex();
    let estimator = training::network(&set, &standardization, &device);
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let pool = pool(n_threads);
    training::fit(
        &set,
        &standardization,
        estimator,
        resumed,
        &pool,
        &mut ignore,
    )
}

fn with_noise<'a>(campaign: &'a Campaign, noise: &'a Uniform) -> TrainingSet<'a> {
    training_set(campaign, 400)
        .with_noise(noise)
        .expect("noise")
}

#[test]
fn scales_are_those_of_data_with_their_noise() {
    let campaign = campaign();
    let noise = Uniform::new(0);
    let [bare, noisy_scales] = [training_set(&campaign, 400), with_noise(&campaign, &noise)]
        .map(|set| Standardization::new(&set));
    assert_eq!(noisy_scales.n_channels(), 1);
    let set = with_noise(&campaign, &noise);
    let sequence = NoiseSequence::new(&set, (0..400).collect(), Purpose::ValidationNoise);
    let noisy = sequence.expect("noise").take(400).expect("noise");
    for i in 0..6 {
        let moved = noisy_scales.x_mean[i] - bare.x_mean[i];
        assert!((moved - 1.5).abs() < 0.1, "{moved}");
        let column = || noisy.iter().skip(i).step_by(6).map(|&x| f64::from(x));
        let mean = column().sum::<f64>() / 400.0;
        let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / 400.0;
        assert!((noisy_scales.x_mean[i] - mean).abs() < 1e-12);
        assert!((noisy_scales.x_sd[i] - variance.sqrt()).abs() < 1e-12);
    }
}

#[test]
fn threads_do_not_change_a_bit_and_a_failure_is_told() {
    for block in [0, 32] {
        let [one, three] = [1, 3].map(|n| fitted(&Uniform::new(block), n, None).expect("training"));
        assert_eq!(one.summary.training_loss, three.summary.training_loss);
        assert_eq!(
            named_tensors(&one.estimator),
            named_tensors(&three.estimator)
        );
    }
    // Scales and validation have their noise, and the first epoch a part of its.
    let failing = Uniform::new(0);
    failing.n_left.store(400 + 40 + 120, Ordering::Relaxed);
    match fitted(&failing, 2, None) {
        Err(error @ TrainingError::Noise { .. }) => assert_eq!(
            error.to_string(),
            "the training of flow 0 has no noise: noise.py:f: ValueError: too bright (noise.py, line 3, in f)"
        ),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("trained"),
    }
}

#[test]
fn a_trainer_that_runs_no_functions_says_so() {
    let found = NoiseSource::default()
        .of(&campaign())
        .expect_err("no functions");
    assert_eq!(
        found,
        "noise.python noise:f: this trainer runs no functions"
    );
    let without = setup::campaign(SMALL);
    assert!(NoiseSource::default().of(&without).expect("none").is_none());
}
