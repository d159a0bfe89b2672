//! The table of keys in README.md is that of the declarations, and the defaults that it tells are those that a campaign
//! file without the keys gets; and what `sidereal schema` prints.

use sidereal_inference::campaign::{Campaign, Flow};
use sidereal_inference::campaign_file;
use sidereal_inference::campaign_file::keys::{
    Key, KeyDefault, Takes, file, flow, rounds, training,
};
use sidereal_models::Catalogue;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

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

/// The rows of the table by their keys, with default and meaning, all without backticks.
fn rows() -> BTreeMap<String, (String, String)> {
    let readme = include_str!("../../README.md");
    let table = readme
        .lines()
        .skip_while(|line| *line != "## The campaign file");
    let table = table.skip_while(|line| !line.starts_with("| key |"));
    let mut rows = BTreeMap::new();
    for row in table.take_while(|line| line.starts_with('|')).skip(2) {
        let row = row.replace('`', "");
        let cells: Vec<&str> = row
            .trim_matches('|')
            .splitn(3, '|')
            .map(str::trim)
            .collect();
        let [keys, default, meaning] = cells[..] else {
            panic!("{row}");
        };
        let mut section = "";
        for key in keys.split(", ") {
            let key = key.trim_matches(['[', ']']);
            let path = match key.strip_prefix('.') {
                Some(name) => format!("{section}.{name}"),
                None => {
                    section = key.rsplit_once('.').map_or("", |(section, _)| section);
                    key.to_owned()
                }
            };
            rows.insert(path, (default.to_owned(), meaning.to_owned()));
        }
    }
    rows
}

/// Takes out the rows of these keys: each has one, or all within it have.
fn take_rows(rows: &mut BTreeMap<String, (String, String)>, keys: &[Key], section: &str) {
    for key in keys {
        let path = match section {
            "" => key.name.to_owned(),
            section => format!("{section}.{}", key.name),
        };
        let is_list = matches!(key.takes, Takes::Tables(_));
        let row = rows.remove(&path);
        if row.is_none() || is_list {
            assert!(
                !key.takes.keys().is_empty(),
                "README.md has no row for {path}"
            );
            take_rows(rows, key.takes.keys(), &path);
        }
        let Some((default, meaning)) = row else {
            continue;
        };
        let expected = match key.default {
            KeyDefault::Required => "required",
            KeyDefault::Value(text) | KeyDefault::Words(text) => text,
            KeyDefault::Nothing => "",
        };
        assert_eq!(default, expected, "the default of {path} in README.md");
        let mut names = Vec::new();
        if let Takes::Choice(of_choice) = key.takes {
            names.extend(of_choice().iter().map(|name| format!("{name:?}")));
        } else if let Takes::OneOf(keys, _) = key.takes {
            names.extend(keys.iter().map(|key| format!("{} =", key.name)));
        }
        for name in names {
            let row = format!("{default} | {meaning}");
            assert!(
                row.contains(&name),
                "README.md does not say {name} of {path}"
            );
        }
    }
}

#[test]
fn every_key_has_its_row() {
    let mut rows = rows();
    assert!(rows.len() > 50, "{} rows", rows.len());
    take_rows(&mut rows, file::KEYS, "");
    assert!(rows.is_empty(), "README.md has rows of no key: {rows:?}");
}

/// Those that are declared in words.
#[test]
fn defaults_are_as_told() {
    let one = campaign("[observation]\ngrid = [0.0]\nvalue = [0.1]\nsigma = [0.1]\n");
    let any = campaign("grid = [0.0]\n[noise]\ngaussian = { sigma = 0.1 }\n");
    let splines =
        campaign("grid = [0.0]\n[noise]\ngaussian = { sigma = 0.1 }\n[flow]\nkind = \"nsf\"\n");
    let with_splines = |one: f64, splines: f64| format!("{one} ({splines} with spline flows)");
    let without = |one: u64, any: u64| format!("{one} ({any} without an observation)");
    let max_log_scale = |campaign: &Campaign| match campaign.flow {
        Flow::Maf { max_log_scale, .. } => max_log_scale,
        Flow::Nsf(size) | Flow::NsfCoupling(size) => size.max_log_scale,
    };
    let expected = [
        (
            training::LEARNING_RATE,
            with_splines(one.training.learning_rate, splines.training.learning_rate),
        ),
        (
            flow::MAX_LOG_SCALE,
            with_splines(max_log_scale(&one), max_log_scale(&splines)),
        ),
        (
            rounds::MAX,
            without(one.rounds.max.into(), any.rounds.max.into()),
        ),
        (
            rounds::SIMULATIONS,
            without(one.rounds.simulations, any.rounds.simulations),
        ),
    ];
    for (key, told) in expected {
        let name = key.name;
        let is_told = matches!(key.default, KeyDefault::Words(words) if words == told);
        assert!(is_told, "{name}: found {:?}, expected {told}", key.default);
    }
}

#[test]
fn the_schema_is_printed() {
    let output = Command::new(env!("CARGO_BIN_EXE_sidereal"))
        .arg("schema")
        .output()
        .expect("the command starts");
    assert!(output.status.success() && output.stderr.is_empty());
    let schema = campaign_file::schema(&Catalogue::default());
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(printed, format!("{schema:#}\n"));
    assert!(printed.contains("\"$schema\": \"https://json-schema.org/draft/2020-12/schema\""));
}
