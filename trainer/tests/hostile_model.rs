//! `model.json` with any one of its values exchanged: refused with a reason or as good as before, never a panic, and no
//! more memory than the files ask for.

mod setup;

use burn::tensor::Device;
use serde_json::{Value, json};
use setup::{AfterEpoch, fit, fit_to_draws, normals, pool, training_set, weighted_draws};
use sidereal_inference::base::{FlowId, Purpose, RoundId};
use sidereal_inference::campaign::{Campaign, Observation};
use sidereal_inference::records::Directory;
use sidereal_inference::weights::{Component, Objective, Proposal};
use sidereal_trainer::Model;
use sidereal_trainer::draw::{DrawPlan, draw};
use sidereal_trainer::model::MODEL_FILE;
use sidereal_trainer::standardization::Standardization;
use sidereal_trainer::training::TrainingState;
use sidereal_trainer::training_set::TrainingSet;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Ten thousand times what these models need; a size of a hostile field is far beyond it.
const ADDRESS_SPACE: u64 = 8 << 30;
/// As many as trials made by hand, of one model.
const FEWEST_EDITS: usize = 227;

const MAF: &str = r#"
[featurizer]
kind = "mlp"
layers = 2
hidden = 4
features = 3
[flow]
kind = "maf"
blocks = 2
hidden = 4
layers = 1
components = 2
[training]
max_epochs = 1
"#;

const SPLINES: &str = r#"
[featurizer]
kind = "resnet-gru"
channels = 2
stages = 1
hidden = 3
features = 3
normalization = "weight"
[flow]
kind = "nsf"
blocks = 1
hidden = 4
layers = 2
bins = 3
[training]
max_epochs = 1
"#;

const BATCHES: &str = r#"
[featurizer]
kind = "resnet"
channels = 2
stages = 1
features = 3
normalization = "batch"
[flow]
kind = "nsf-coupling"
blocks = 1
hidden = 4
layers = 1
bins = 3
[training]
max_epochs = 1
loss = "nll"
"#;

fn trained(campaign: &Campaign) -> Model {
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

fn fitted_to_draws(campaign: &Campaign) -> Model {
    fitted_to(campaign, &weighted_draws(campaign, 400))
}

/// To draws that fall into two pieces.
fn fitted_to_pieces(campaign: &Campaign) -> Model {
    let objective = Objective::WeightedDraws { exponent: 1.0 };
    let mut set = TrainingSet::new(campaign, FlowId(0), objective);
    for pair in normals(400).chunks_exact(2).enumerate() {
        let (i, pair) = pair;
        let middle = if i % 2 == 0 { -1.0 } else { 1.0 };
        set.push_draw(&[middle + 0.01 * pair[0], 0.01 * pair[1]], 1.0);
    }
    assert_eq!(Standardization::new(&set).pieces.len(), 2);
    fitted_to(campaign, &set)
}

fn fitted_to(campaign: &Campaign, set: &TrainingSet) -> Model {
    let fitted = fit_to_draws(set, 1);
    Model::new(
        campaign.clone(),
        Standardization::new(set),
        fitted.summary,
        fitted.estimator,
        Device::flex(),
    )
}

/// JSON pointers of a value and of all that is in it.
fn pointers(value: &Value, own: &str, found: &mut Vec<String>) {
    found.push(own.to_owned());
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                pointers(value, &format!("{own}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                pointers(item, &format!("{own}/{i}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What may stand in the place of a value.
fn replacements(value: &Value) -> Vec<Value> {
    let mut all = vec![
        json!(0),
        json!(-1),
        json!(1),
        json!(0.5),
        json!(1e308),
        json!(-1e308),
        json!(1e-308),
        json!(4096),
        json!(1_u64 << 53),
        json!(u64::MAX),
        // What JSON makes of a number that is none.
        Value::Null,
        json!(""),
        json!("text"),
        json!(true),
        json!([]),
        json!({}),
        json!([null]),
        json!({ "kind": "mlp" }),
    ];
    if let Value::Array(items) = value {
        let mut longer = items.clone();
        longer.push(items.last().cloned().unwrap_or_else(|| json!(1.0)));
        all.push(json!(longer));
        all.push(json!(&items[..items.len().saturating_sub(1)]));
    }
    all.retain(|replacement| replacement != value);
    all
}

/// The document without what the pointer names; None for the whole.
fn removed(document: &Value, pointer: &str) -> Option<Value> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let mut document = document.clone();
    match document.pointer_mut(parent)? {
        Value::Object(entries) => {
            entries.shift_remove(key);
        }
        Value::Array(items) => {
            items.remove(key.parse().ok()?);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(document)
}

/// What each edit does, and the edited document.
fn edits(document: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    pointers(document, "", &mut found);
    let mut edits = Vec::new();
    for pointer in found {
        let own = document.pointer(&pointer).expect("its own pointer");
        for replacement in replacements(own) {
            let mut edited = document.clone();
            let what = format!("{pointer} = {replacement}");
            *edited.pointer_mut(&pointer).expect("its own pointer") = replacement;
            edits.push((what, edited));
        }
        if let Some(edited) = removed(document, &pointer) {
            edits.push((format!("{pointer} removed"), edited));
        }
    }
    edits
}

/// As `predict` uses a model: loaded, shown an observation, drawn from.
fn use_model(directory: &Directory) -> Result<(), String> {
    let model = Model::load(directory, "", &Device::flex()).map_err(|error| error.to_string())?;
    let campaign = model.campaign();
    let n = campaign.simulator.grid.len();
    let observation = Observation {
        grid: campaign.simulator.grid.clone(),
        value: vec![0.5; n],
        sigma: vec![0.3; n],
    };
    let scorer = model
        .scorer(&observation)
        .map_err(|error| error.to_string())?;
    let flow = model.flow();
    let proposal = Proposal::of(vec![(Component::Flow(flow), 1.0)]);
    let plan = DrawPlan {
        campaign,
        seed: 1,
        purpose: Purpose::Predict,
        round: RoundId(0),
        rows: 0..8,
        proposal: &proposal,
    };
    let pool = pool(1);
    draw(&plan, &BTreeMap::from([(flow, scorer)]), &pool)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Whether a reason has the edited field, what it is in, or the field that it contradicts. The whole has no name.
fn tells_the_field(what: &str, reason: &str) -> bool {
    let pointer = what.split(' ').next().unwrap_or_default();
    let mut keys = pointer
        .split('/')
        .filter(|key| !key.is_empty() && key.parse::<usize>().is_err())
        .peekable();
    keys.peek().is_none()
        || keys.any(|key| reason.contains(key))
        || pointer.ends_with("/periodic") && reason.contains("standardization.circles")
        // How many there are is how many features the flow has.
        || pointer.ends_with("/pieces") && reason.contains("context.weight")
}

#[test]
fn no_edit_of_a_model_description_makes_us_panic() {
    let (_, hard) = rlimit::Resource::AS.get().expect("a limit");
    rlimit::Resource::AS
        .set(ADDRESS_SPACE.min(hard), hard)
        .expect("a lower limit");
    let periodic = |campaign: &str| {
        let mut campaign = setup::campaign(campaign);
        campaign.space.parameters[1].periodic = true;
        campaign
    };
    let models = [
        ("maf", trained(&setup::campaign(MAF))),
        ("splines", trained(&periodic(SPLINES))),
        ("batches", trained(&setup::campaign(BATCHES))),
        ("draws", fitted_to_draws(&periodic(MAF))),
        ("pieces", fitted_to_pieces(&setup::campaign(MAF))),
    ];
    let mut panics = Vec::new();
    for (name, model) in models {
        let directory = Directory::in_memory();
        model.store(&directory, "").expect("model is written");
        use_model(&directory).expect("as it was written");
        let bytes = directory.read(MODEL_FILE).expect("model.json");
        let document: Value = serde_json::from_slice(&bytes).expect("JSON");
        let edits = edits(&document);
        assert!(edits.len() >= FEWEST_EDITS, "{name}: {}", edits.len());
        let mut n_refused = 0;
        for (what, edited) in &edits {
            let edited = serde_json::to_vec(edited).expect("JSON");
            directory.write(MODEL_FILE, edited).expect("edited");
            match catch_unwind(AssertUnwindSafe(|| use_model(&directory))) {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => {
                    assert!(tells_the_field(what, &reason), "{name}: {what}: {reason}");
                    n_refused += 1;
                }
                Err(_) => panics.push(format!("{name}: {what}")),
            }
        }
        println!("{name}: {} edits, {n_refused} refused", edits.len());
        // Most values are needed as they are; names, seeds and some bounds may be others.
        assert!(2 * n_refused > edits.len(), "{name}: {n_refused}");
    }
    assert!(
        panics.is_empty(),
        "{} panics:\n{}",
        panics.len(),
        panics.join("\n")
    );
}

/// An edit, and what is said of it.
type Case = (&'static str, Value, &'static str);

#[test]
fn what_is_wrong_is_told_with_the_field() {
    let directory = Directory::in_memory();
    let model = trained(&setup::campaign(MAF));
    model.store(&directory, "").expect("model is written");
    let bytes = directory.read(MODEL_FILE).expect("model.json");
    let cases: [Case; 10] = [
        (
            "/campaign/flow/hidden",
            json!(1_u64 << 53),
            "memory/model.json: campaign: flow.hidden: found 9007199254740992, expected a whole number from 1 to 4096",
        ),
        (
            "/campaign/flow/blocks",
            json!(0),
            "memory/model.json: campaign: flow.blocks: found 0, expected a whole number from 1 to 100",
        ),
        (
            "/campaign/featurizer/hidden",
            json!(4096),
            "memory/weights.safetensors: not the weights of the network that model.json describes: tensor \
             `featurizer.Mlp.input.weight` of shape [6, 4] stands where \
             `featurizer.Mlp.input.weight` of shape [6, 4096] is expected",
        ),
        (
            "/campaign/simulator/grid",
            json!([]),
            "memory/model.json: campaign: simulator.grid: found an empty list, expected at least one number",
        ),
        (
            "/standardization/seams/0",
            json!(2.0),
            "memory/model.json: standardization.seams[0] is 2.0, expected turns from 0 to 1",
        ),
        (
            "/standardization/z_mean/1",
            json!(1e308),
            "memory/model.json: standardization.z_mean[1] is 1e308, expected a number that single precision holds",
        ),
        (
            "/standardization/x_sd/0",
            json!(1e-308),
            "memory/model.json: standardization.x_sd[0] is 1e-308, expected a positive number that single precision holds",
        ),
        (
            "/training/n_epochs",
            json!(7),
            "memory/model.json: training.training_loss has 1 numbers, expected the 7 of training.n_epochs",
        ),
        (
            "/training/flow",
            json!(3),
            "memory/model.json: training.flow is 3, expected 0 as flow says",
        ),
        (
            "/standardization/z_mean/0",
            json!("text"),
            "memory/model.json: not a model description: standardization.z_mean[0]: invalid type: string \"text\", \
             expected f64",
        ),
    ];
    for (pointer, value, expected) in cases {
        let mut document: Value = serde_json::from_slice(&bytes).expect("JSON");
        *document.pointer_mut(pointer).expect(pointer) = value;
        let edited = serde_json::to_vec(&document).expect("JSON");
        directory.write(MODEL_FILE, edited).expect("edited");
        let error = Model::load(&directory, "", &Device::flex()).expect_err(pointer);
        let found = error.to_string();
        assert!(
            found.starts_with(expected),
            "{pointer}\n{found}\n{expected}"
        );
    }
}
