//! Training: the same bytes whatever the threads and interruptions, and what happens to bad losses.

mod setup;

use burn::tensor::{Device, Tensor};
use setup::{AfterEpoch, campaign, fit, fit_to_draws, weighted_draws};
use sidereal_inference::base::FlowId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Directory;
use sidereal_inference::weights::Objective;
use sidereal_trainer::checkpoint::{load, store};
use sidereal_trainer::estimator::Estimator;
use sidereal_trainer::parameters::named_tensors;
use sidereal_trainer::standardization::{Inputs, Standardization};
use sidereal_trainer::training::{TrainingError, TrainingState};

const SMALL: &str = r#"
[featurizer]
kind = "resnet-gru"
channels = 4
stages = 1
hidden = 8
features = 8
[flow]
kind = "maf"
blocks = 2
hidden = 8
components = 2
[training]
max_epochs = 6
batch_size = 100
"#;

/// As [`fit`] begins with.
fn network(campaign: &Campaign) -> Estimator {
    let device = Device::flex().autodiff();
    Estimator::init(
        campaign,
        FlowId(0),
        Objective::Simulations,
        Inputs::of_channels(1),
        &device,
    )
}

#[test]
fn threads_do_not_change_a_bit() {
    let campaign = campaign(SMALL);
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let one = fit(&campaign, 1, None, &mut ignore).expect("one thread");
    let three = fit(&campaign, 3, None, &mut ignore).expect("three threads");
    assert_eq!(
        named_tensors(&one.estimator),
        named_tensors(&three.estimator)
    );
    assert_eq!(one.summary, three.summary);
}

#[test]
fn interrupted_training_resumes_bit_for_bit() {
    let campaign = campaign(SMALL);
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let whole = fit(&campaign, 1, None, &mut ignore).expect("whole training");
    let directory = Directory::in_memory();
    let mut interrupt = AfterEpoch(|state: &TrainingState| {
        if state.epoch < 3 {
            return Ok(());
        }
        store(&directory, "attempt", "task", state).expect("checkpoint is written");
        Err(TrainingError::Interrupted)
    });
    assert!(matches!(
        fit(&campaign, 1, None, &mut interrupt),
        Err(TrainingError::Interrupted)
    ));
    let network = network(&campaign);
    assert!(load(&directory, "attempt", "another task", &network).is_none());
    let state = load(&directory, "attempt", "task", &network).expect("checkpoint");
    assert_eq!(state.epoch, 3);
    let resumed = fit(&campaign, 1, Some(state), &mut ignore).expect("resumed training");
    assert_eq!(
        named_tensors(&whole.estimator),
        named_tensors(&resumed.estimator)
    );
    assert_eq!(whole.summary, resumed.summary);
}

/// Not with the last epoch's network, which nothing says is any good.
#[test]
fn a_best_epoch_that_cannot_be_gone_back_to_ends_the_training() {
    let campaign = campaign(SMALL);
    let mut kept = None;
    let mut keep = AfterEpoch(|state: &TrainingState| {
        kept = Some(state.clone());
        Ok(())
    });
    fit(&campaign, 1, None, &mut keep).expect("training");
    let mut state = kept.expect("an epoch");
    assert_eq!(state.epoch, 6);
    state.best_epoch = 4;
    let name = state.best[0].name.clone();
    state.best[0].values[0] = f32::NAN;
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let Err(error) = fit(&campaign, 1, Some(state), &mut ignore) else {
        panic!("a model is made of the last epoch's weights");
    };
    assert_eq!(
        error.to_string(),
        format!(
            "the network of {} cannot go back to epoch 4: tensor `{name}` holds a value that is not finite",
            FlowId(0)
        )
    );
}

#[test]
fn damaged_checkpoint_is_ignored() {
    let campaign = campaign(SMALL);
    let directory = Directory::in_memory();
    let mut once = AfterEpoch(|state: &TrainingState| {
        store(&directory, "attempt", "task", state).expect("checkpoint is written");
        Err(TrainingError::Interrupted)
    });
    assert!(fit(&campaign, 1, None, &mut once).is_err());
    let path = "attempt/checkpoint.safetensors";
    let bytes = directory.read(path).expect("checkpoint");
    let network = network(&campaign);
    for n in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        directory.write(path, bytes.slice(..n)).expect("truncate");
        assert!(
            load(&directory, "attempt", "task", &network).is_none(),
            "{n} bytes"
        );
    }
}

#[test]
fn checkpoint_of_another_network_is_ignored() {
    let small = campaign(SMALL);
    let directory = Directory::in_memory();
    let mut once = AfterEpoch(|state: &TrainingState| {
        let device = state.values.device();
        let shorter = TrainingState {
            average: Tensor::zeros([3], &device),
            ..state.clone()
        };
        let mut renamed = state.clone();
        renamed.best[2].name.push('x');
        let mut endless = state.clone();
        endless.current[0].values[0] = f32::NAN;
        let mut bestless = state.clone();
        bestless.best[0].values[0] = f32::NAN;
        let mut epochless = state.clone();
        epochless.training_loss.clear();
        for (folder, state) in [
            ("whole", state),
            ("shorter", &shorter),
            ("renamed", &renamed),
            ("endless", &endless),
            ("bestless", &bestless),
            ("epochless", &epochless),
        ] {
            store(&directory, folder, "task", state).expect("checkpoint is written");
        }
        Err(TrainingError::Interrupted)
    });
    assert!(fit(&small, 1, None, &mut once).is_err());
    let own = network(&small);
    assert!(load(&directory, "whole", "task", &own).is_some());
    for folder in ["shorter", "renamed", "endless", "bestless", "epochless"] {
        assert!(load(&directory, folder, "task", &own).is_none(), "{folder}");
    }
    let wider = network(&campaign(&SMALL.replace("channels = 4", "channels = 5")));
    assert!(load(&directory, "whole", "task", &wider).is_none());
}

#[test]
fn loss_falls_and_the_best_epoch_is_kept() {
    let campaign =
        campaign(&SMALL.replace("batch_size = 100", "batch_size = 60\nlearning_rate = 1e-2"));
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let fitted = fit(&campaign, 2, None, &mut ignore).expect("training");
    let losses = &fitted.summary.validation_loss;
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(best, fitted.summary.best_validation_loss);
    assert_eq!(losses[fitted.summary.best_epoch as usize - 1], best);
    assert!(best < losses[0] - 0.2, "{losses:?}");
}

#[test]
fn infinite_loss_goes_back_and_gives_up_in_the_end() {
    let campaign = campaign(&SMALL.replace(
        "batch_size = 100",
        "batch_size = 100\nlearning_rate = 1e30\nclip_norm = 1e30",
    ));
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    match fit(&campaign, 1, None, &mut ignore) {
        Err(TrainingError::Diverged { n, .. }) => assert_eq!(n, 6),
        Err(error) => panic!("{error}"),
        Ok(fitted) => panic!("trained to {}", fitted.summary.best_validation_loss),
    }
}

#[test]
fn training_that_diverges_goes_on_from_the_best_epoch_at_a_lower_rate() {
    let campaign = campaign(SMALL);
    let mut third = None;
    let mut keep = AfterEpoch(|state: &TrainingState| {
        third = (state.epoch == 3).then(|| state.clone()).or(third.take());
        Ok(())
    });
    let usual = fit(&campaign, 1, None, &mut keep)
        .expect("training")
        .summary;
    assert_eq!(usual.n_recoveries, 0);
    let mut state = third.expect("three epochs");
    state.values = state.values * 30.0;
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let summary = fit(&campaign, 1, Some(state), &mut ignore)
        .expect("training")
        .summary;
    let losses = &summary.training_loss;
    assert_eq!((summary.n_recoveries, losses.len()), (1, 6), "{losses:?}");
    assert!(losses[3] > losses[2] + 10.0, "{losses:?}");
    assert!(losses[4] < losses[2] + 0.1, "{losses:?}");
    assert!(summary.best_validation_loss < usual.validation_loss[2]);
}

#[test]
fn weighted_draws_are_fitted_to_as_if_they_were_drawn() {
    let campaign = campaign(SMALL);
    let set = weighted_draws(&campaign, 3000);
    let standardization = Standardization::new(&set);
    for (mean, sd) in standardization.z_mean.iter().zip(&standardization.z_sd) {
        assert!(
            (mean - 1.0).abs() < 0.05 && (sd - 0.5).abs() < 0.03,
            "{mean} {sd}"
        );
    }
    let fitted = fit_to_draws(&set, 2);
    // Standardized, the best that there is: the entropy of two standard normal numbers.
    let entropy = (2.0 * std::f64::consts::PI * std::f64::consts::E).ln();
    let loss = fitted.summary.best_validation_loss;
    assert!((loss - entropy).abs() < 0.1, "{loss}, expected {entropy}");
    let other = fit_to_draws(&set, 1);
    assert_eq!(
        named_tensors(&fitted.estimator),
        named_tensors(&other.estimator),
        "threads do not change a bit"
    );
}
