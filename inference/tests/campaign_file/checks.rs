//! Campaigns from elsewhere (model files), held against the rules of campaign files.

use super::correlated::{CORRELATED, own_noise};
use super::{SINE, directory, parse_in};
use serde_json::{Value, json};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file::check;

/// The campaign of a file, with the value at a JSON pointer exchanged.
fn edited(text: &str, pointer: &str, value: Value) -> Campaign {
    let campaign = parse_in(directory().path(), text).expect("campaign");
    assert_eq!(check(&campaign), Ok(()), "as it was read");
    let mut json = serde_json::to_value(&campaign).expect("JSON");
    *json.pointer_mut(pointer).expect(pointer) = value;
    serde_json::from_value(json).expect("a campaign by its types")
}

#[test]
fn what_no_campaign_file_gives_is_refused_with_its_key() {
    let glm = own_noise(
        "bernoulli-glm\"\ndesign_matrix = [[1, 2, 3], [4, 5, 6.5]]\n#\"",
        "value = [1, 2, 3]",
    );
    let cases = [
        (
            SINE,
            "/flow/blocks",
            json!(0),
            "flow.blocks: found 0, expected a whole number from 1 to 100",
        ),
        (
            SINE,
            "/flow/hidden",
            json!(1_u64 << 53),
            "flow.hidden: found 9007199254740992, expected a whole number from 1 to 4096",
        ),
        (
            SINE,
            "/flow/max_log_scale",
            json!(1e308),
            "flow.max_log_scale: found 1e308, expected a number from 0.01 to 20",
        ),
        (
            SINE,
            "/training/validation_fraction",
            json!(-1.0),
            "training.validation_fraction: found -1.0, expected a number above 0 and at most 0.5",
        ),
        (
            SINE,
            "/space/parameters/0/prior/uniform/high",
            json!(0.0),
            "parameters[0].prior.uniform: low 0 is not below high 0",
        ),
        (
            SINE,
            "/space/parameters/1/name",
            json!("a b"),
            "parameters[1].name: found \"a b\", expected letters, digits and _, a letter first",
        ),
        (
            SINE,
            "/observation/sigma",
            json!([0.1, 0.1]),
            "observation: found 3 numbers in grid, 3 in value and 2 in sigma, expected as many in each, at least one",
        ),
        (
            SINE,
            "/simulator/grid",
            json!([0.0, 0.5]),
            "simulator.grid: found 2 values, expected 3",
        ),
        (
            SINE,
            "/simulator/grid/2",
            json!(7.0),
            "simulator.grid[2]: found 7.0, expected 1.0",
        ),
        (
            SINE,
            "/seed",
            json!(u64::MAX),
            "seed: found 18446744073709551615, expected 9223372036854775807",
        ),
        (
            CORRELATED,
            "/space/parameters/0/prior/normal/sd",
            json!(3.0),
            "space.parameters[0].prior.normal.sd: found 3.0, expected 2.0",
        ),
        (
            glm.as_str(),
            "/simulator/options/design_matrix/1",
            json!([1e300]),
            "simulator.design_matrix[1][0]: found 1e300, expected a finite number (of single precision)",
        ),
        (
            SINE,
            "/simulator/model/version",
            json!(0),
            "simulator.version: found 0, expected a whole number from 1 to 4294967295",
        ),
    ];
    for (text, pointer, value, expected) in cases {
        let found = check(&edited(text, pointer, value)).expect_err(pointer);
        assert!(
            found.iter().any(|message| message == expected),
            "{pointer}: {found:#?}"
        );
    }
}
