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
fn a_datum_is_one_channel() {
    let campaign = campaign();
    let standardization = Standardization::new(&set(&campaign));
    assert_eq!(standardization.n_channels(), 1);
    assert_eq!(standardization.x_mean[..2], [0.3, 0.0]);
    // What never varies has any scale.
    assert_eq!(standardization.x_sd[1], 1.0);
    let mut channels = Vec::new();
    standardization.append_channels(&[0.3, 2.0, 1e9], &[], &mut channels);
    assert_eq!(channels[..2], [0.0, 2.0]);
    // (10⁹ - mean) / sd is beyond 3, from where on it is logarithmic.
    let sd = standardization.x_sd[2];
    let far = (1e9 - standardization.x_mean[2]) / sd;
    assert!((f64::from(channels[2]) - (3.0 + (far - 2.0).ln())).abs() < 1e-5);
    assert_eq!(channels.len(), 3);
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
    let shown = |purpose| {
        set.minibatch(&[0, 7, 42], purpose, None, &standardization)
            .x
    };
    let validation = shown(Purpose::ValidationNoise);
    assert_eq!(validation.len(), 3 * 3);
    for epoch in 0..3 {
        assert_eq!(shown(Purpose::TrainingNoise { epoch }), validation);
    }
}

#[test]
fn sigma_is_beside_a_datum_where_it_varies() {
    let noise = "gaussian = { sigma = { log_uniform = { low = 0.1, high = 10.0 } } }";
    let campaign = setup::campaign_with_noise(noise, "");
    let standardization = Standardization::new(&setup::training_set(&campaign, 50));
    let (mean, sd) = standardization.log_sigma.expect("sigma varies");
    assert_eq!(standardization.n_channels(), 2);
    let x = &standardization.x_mean;
    let mut channels = Vec::new();
    standardization.append_channels(x, &[0.5; 6], &mut channels);
    let sigma = ((0.5f64.ln() - mean) / sd) as f32;
    assert_eq!(channels, [[0.0, sigma]; 6].concat());
}
