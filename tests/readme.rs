//! The defaults that README.md gives are those that a campaign file without the keys gets.

use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_models::Catalogue;
use std::path::Path;

const MINIMAL: &str = r#"
name = "minimal"
[[parameters]]
name = "a"
prior = { normal = { mean = 0.0, sd = 1.0 } }
[simulator]
builtin = "linear-gaussian"
"#;

fn campaign(more: &str) -> Campaign {
    let text = format!("{MINIMAL}{more}");
    campaign_file::parse(&text, Path::new("minimal.toml"), &Catalogue::default())
        .expect("a campaign")
}

#[test]
fn defaults_are_as_told() {
    let one = campaign("[observation]\ngrid = [0.0]\nvalue = [0.1]\nsigma = [0.1]\n");
    let any = campaign("grid = [0.0]\n[noise]\ngaussian = { sigma = 0.1 }\n");
    let splines =
        campaign("grid = [0.0]\n[noise]\ngaussian = { sigma = 0.1 }\n[flow]\nkind = \"nsf\"\n");
    let (training, rounds) = (&one.training, &one.rounds);
    let expected = [
        ("seed", one.seed.to_string()),
        ("training.batch_size", training.batch_size.to_string()),
        (
            "training.learning_rate",
            format!(
                "{} ({} with spline flows)",
                training.learning_rate, splines.training.learning_rate
            ),
        ),
        ("training.max_epochs", training.max_epochs.to_string()),
        ("training.patience", training.patience.to_string()),
        (
            "training.validation_fraction",
            training.validation_fraction.to_string(),
        ),
        ("training.clip_norm", training.clip_norm.to_string()),
        ("training.rounds", training.rounds.to_string()),
        (
            "rounds.max",
            format!("{} ({} without an observation)", rounds.max, any.rounds.max),
        ),
        (
            "rounds.simulations",
            format!(
                "{} ({} without an observation)",
                rounds.simulations, any.rounds.simulations
            ),
        ),
        ("rounds.defensive_share", rounds.defensive_share.to_string()),
    ];
    let readme = include_str!("../README.md");
    for (key, default) in expected {
        let row = format!("| `{key}` | {default} |");
        assert!(
            readme.contains(&row),
            "README.md has no row that begins with {row}"
        );
    }
}
