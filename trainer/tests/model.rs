//! Model files that were edited, and observations that do not fit a model: reasons, never a panic.

mod setup;

use burn::tensor::Device;
use serde_json::{Value, json};
use setup::{AfterEpoch, fit, training_set};
use sidereal_inference::base::{LocalId, Purpose, RoundId};
use sidereal_inference::campaign::{Campaign, Observation};
use sidereal_inference::records::Directory;
use sidereal_inference::weights::{LocalDensity, Proposal};
use sidereal_trainer::Model;
use sidereal_trainer::draw::{self, DrawPlan};
use sidereal_trainer::model::{MODEL_FILE, ModelError};
use sidereal_trainer::standardization::Standardization;
use sidereal_trainer::training::TrainingState;
use std::collections::BTreeMap;

const SMALL: &str = r#"
[featurizer]
kind = "mlp"
layers = 1
hidden = 4
features = 4
[flow]
kind = "maf"
blocks = 1
hidden = 4
components = 2
[training]
max_epochs = 1
"#;

fn model(campaign: &Campaign) -> Model {
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let fitted = fit(campaign, 1, None, &mut ignore).expect("training");
    Model::new(
        campaign.clone(),
        Standardization::new(&training_set(campaign, 400)),
        fitted.summary,
        fitted.estimator,
        Device::flex(),
    )
}

/// A change to the standardization of `model.json`, and what is said of it.
type Case = (fn(&mut Value), &'static str);

const CASES: &[Case] = &[
    (
        |edited| edited["z_mean"] = json!([0.0]),
        "standardization.z_mean has 1 numbers, expected 2 by the campaign's space.parameters or simulator.grid",
    ),
    (
        |edited| edited["seams"] = json!([]),
        "standardization.seams has 0 numbers, expected 2 by the campaign's space.parameters or simulator.grid",
    ),
    (
        |edited| edited["z_sd"][1] = json!(0.0),
        "standardization.z_sd[1] is 0.0, expected a positive number that single precision holds",
    ),
    (
        |edited| edited["x_mean"] = json!([]),
        "standardization.x_mean has 0 numbers, expected 6 by the campaign's space.parameters or simulator.grid",
    ),
    (
        |edited| edited["x_sd"][2] = json!(-1.0),
        "standardization.x_sd[2] is -1.0, expected a positive number that single precision holds",
    ),
    (
        |edited| edited["log_sigma"] = json!([0.0, 0.0]),
        "standardization.log_sigma is given, expected none where sigma is the same in all simulations",
    ),
    (
        |edited| edited["circles"] = json!([null]),
        "standardization.circles has 1 entries, expected 2",
    ),
    (
        |edited| edited["circles"] = json!([null, { "centre": 0.0, "enlargement": 1.0 }]),
        "standardization.circles has one for parameter 1, which the flow takes for a line",
    ),
];

#[test]
fn an_edited_standardization_is_refused_with_a_reason() {
    let campaign = setup::campaign(SMALL);
    let directory = Directory::in_memory();
    model(&campaign)
        .store(&directory, "")
        .expect("model is written");
    Model::load(&directory, "", &Device::flex()).expect("as it was written");
    let bytes = directory.read(MODEL_FILE).expect("model.json");
    for (edit, expected) in CASES {
        let mut document: Value = serde_json::from_slice(&bytes).expect("JSON");
        edit(&mut document["standardization"]);
        let edited = serde_json::to_vec(&document).expect("JSON");
        directory.write(MODEL_FILE, edited).expect("edited");
        match Model::load(&directory, "", &Device::flex()) {
            Err(ModelError::Invalid { reason, .. }) => assert_eq!(reason, *expected),
            Err(error) => panic!("{expected}: {error}"),
            Ok(_) => panic!("{expected}: loaded"),
        }
    }
}

#[test]
fn observations_that_do_not_fit_are_refused() {
    let campaign = setup::campaign(SMALL);
    let model = model(&campaign);
    let refusal = |value: Vec<f64>, sigma: Vec<f64>| {
        let observation = Observation {
            grid: campaign.simulator.grid.clone(),
            value,
            sigma,
        };
        model
            .scorer(&observation)
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(refusal(vec![0.5; 6], vec![0.3; 6]), None);
    assert_eq!(
        refusal(vec![0.5; 5], vec![0.3; 5]).as_deref(),
        Some("the observation has 5 data, the model was trained on 6")
    );
    assert_eq!(
        refusal(vec![0.5; 6], vec![0.3; 5]).as_deref(),
        Some("the observation has 5 errors for 6 data")
    );
    let lost = refusal(vec![f64::NAN; 6], vec![0.3; 6]).expect("no features");
    assert!(lost.contains("is not finite"), "{lost}");
}

#[test]
fn a_proposal_says_which_of_its_densities_is_at_fault() {
    let campaign = setup::campaign(SMALL);
    let refusal = |density: LocalDensity| {
        let proposal = Proposal::of_locals(BTreeMap::from([(LocalId(4), density)]));
        let plan = DrawPlan {
            campaign: &campaign,
            seed: 1,
            purpose: Purpose::Draw,
            round: RoundId(1),
            rows: 0..50,
            proposal: &proposal,
        };
        draw::draw(&plan, &BTreeMap::new(), &setup::pool(1))
            .err()
            .map(|error| error.to_string())
    };
    let density = |factor: Vec<f64>| LocalDensity {
        seams: vec![0.0; 2],
        leans: Vec::new(),
        mean: vec![0.0; 2],
        factor,
    };
    assert_eq!(refusal(density(vec![0.5, 0.0, 0.0, 0.5])), None);
    assert_eq!(
        refusal(density(vec![0.5, 0.0])).as_deref(),
        Some("proposal: local density 4 is no density of 2 parameters")
    );
}
