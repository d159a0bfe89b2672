//! What a network is shown of data whose noise the simulator drew.

mod setup;

use sidereal_inference::base::{FlowId, Purpose};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::weights::Objective;
use sidereal_models::Catalogue;
use sidereal_trainer::standardization::Standardization;
use sidereal_trainer::training_set::TrainingSet;
use std::path::Path;

/// Three data, the second of them always zero, the first mostly.
fn campaign() -> Campaign {
    let text = r#"
name = "counts"
[[parameters]]
name = "beta"
prior = { log_normal = { mean = -1.0, sd = 0.5 } }
[[parameters]]
name = "gamma"
prior = { log_normal = { mean = -2.0, sd = 0.2 } }
[simulator]
builtin = "sir"
[observation]
grid = [0, 10, 60]
value = [0, 0, 250]
"#;
    campaign_file::parse(text, Path::new("counts.toml"), &Catalogue::default())
        .expect("the campaign file is valid")
}

fn set(campaign: &Campaign) -> TrainingSet<'_> {
    let mut set = TrainingSet::new(campaign, FlowId(0), Objective::Simulations);
    for row in 0..100u16 {
        let first = if row % 10 == 0 { 3.0 } else { 0.0 };
        set.push_simulation(&[0.1, -0.2], &[first, 0.0, 150.0 + f32::from(row)]);
    }
    set
}

#[test]
fn distances_have_a_unit_of_their_own() {
    let campaign = campaign();
    let standardization = Standardization::new(&set(&campaign));
    assert_eq!(standardization.reference, [0.0, 0.0, 250.0]);
    // Zeros are at the observation; what is never away from it has any unit. The third datum's distances are 1 to
    // 100: eleven of them are at most 11.
    assert_eq!(standardization.unit, Some(vec![3.0, 1.0, 11.0]));
    assert_eq!(standardization.n_channels(), 2);
    assert_eq!(standardization.x_sd[1], 1.0);
    let mut channels = Vec::new();
    standardization.append_channels(&[3.0, 0.0, 250.0], &[], &mut channels);
    assert_eq!(channels.len(), 6);
    assert!(channels.iter().all(|channel| channel.is_finite()));
    assert!((channels[1] - 1f32.asinh()).abs() < 1e-6);
    assert_eq!(channels[5], 0.0);
    // It is stored with a model.
    let json = serde_json::to_string(&standardization).expect("JSON");
    let again: Standardization = serde_json::from_str(&json).expect("a standardization");
    assert_eq!(again, standardization);
}

#[test]
fn rows_are_shown_as_they_were_drawn_in_every_epoch() {
    let campaign = campaign();
    let set = set(&campaign);
    let standardization = Standardization::new(&set);
    let shown = |purpose| set.minibatch(&[0, 7, 42], purpose, &standardization).x;
    let validation = shown(Purpose::ValidationNoise);
    assert_eq!(validation.len(), 3 * 3 * 2);
    for epoch in 0..3 {
        assert_eq!(shown(Purpose::TrainingNoise { epoch }), validation);
    }
}

#[test]
fn gaussian_noise_is_the_unit_where_there_is_any() {
    let campaign = setup::campaign("");
    let standardization = Standardization::new(&setup::training_set(&campaign, 50));
    assert_eq!(standardization.unit, None);
    let json = serde_json::to_string(&standardization).expect("JSON");
    assert!(!json.contains("unit"), "{json}");
}
