//! One file a mistake, with the message that it gets; and bytes that are no campaign at all.

use super::bad_cases::{FORWARD_MODEL, PARAMETERS, TOP_LEVEL};
use super::bad_estimators::{ESTIMATOR, ROUNDS};
use super::{SINE, directory, parse_in};
use rand::RngExt;
use sidereal_inference::base::{Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign_file::load;
use sidereal_models::Catalogue;

const SIGMA: &str = "expected \"observed\", a positive number, or { uniform = { low, high } }, \
                     { log_uniform = { low, high } } or { table = \"sigmas.csv\" }";

#[test]
fn every_mistake_gets_its_message() {
    let directory = directory();
    let mut wrong = Vec::new();
    for (old, new, expected) in [TOP_LEVEL, PARAMETERS, FORWARD_MODEL, ESTIMATOR, ROUNDS].concat() {
        let text = if old.is_empty() {
            format!("{SINE}{new}\n")
        } else {
            SINE.replacen(old, new, 1)
        };
        let found = parse_in(directory.path(), &text).expect_err(new);
        if found != expected {
            wrong.push(format!(
                "{old:?} -> {new:?}\n  found    {found:#?}\n  expected {expected:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_full_of_mistakes_is_answered_in_one_go() {
    let directory = directory();
    let text = "name = \"x\"\nfoo = 1\n[[parameters]]\nprior = { uniform = { low = 2, high = 1 } }\n\
                [simulator]\nbuiltin = \"sin\"\n[rounds]\nmax = 0\n";
    let found = parse_in(directory.path(), text).expect_err("mistakes");
    assert_eq!(
        found,
        [
            "c.toml:2: foo: unknown key, did you mean flow?",
            "c.toml:3: parameters[0].name: missing, expected the parameter's name",
            "c.toml:4: parameters[0].prior.uniform: low 2 is not below high 1",
            "c.toml:5: simulator.grid: missing, expected a list of numbers or { start, stop, count }, as there is no \
             [observation] to take it from",
            "c.toml:6: simulator.builtin: found \"sin\", did you mean sine?",
            "c.toml:8: rounds.max: found 0, expected a whole number from 1 to 10000",
            "c.toml: noise: missing, expected [noise] with gaussian = { sigma = ... } or python = \"noise.py:add_noise\"",
        ]
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = directory();
    let path = directory.path().join("none.toml");
    let message = load(&path, &Catalogue::default())
        .expect_err("missing")
        .to_string();
    assert_eq!(
        message,
        format!(
            "cannot read {}: No such file or directory (os error 2)",
            path.display()
        )
    );

    std::fs::write(&path, b"name = 1\nseed = \xff").expect("write");
    let message = load(&path, &Catalogue::default())
        .expect_err("not text")
        .to_string();
    assert_eq!(
        message,
        format!("{}:2: found bytes that are not UTF-8 text", path.display())
    );

    std::fs::write(&path, b"").expect("write");
    let mistakes = load(&path, &Catalogue::default())
        .expect_err("empty")
        .mistakes;
    let prefix = format!("{}: ", path.display());
    let keys: Vec<&str> = mistakes
        .iter()
        .filter_map(|mistake| mistake.strip_prefix(&prefix)?.split(':').next())
        .collect();
    assert_eq!(keys, ["name", "parameters", "simulator", "noise"]);
}

#[test]
fn damaged_files_are_campaigns_or_errors_but_no_panics() {
    let directory = directory();
    let whole = format!(
        "{SINE}[noise]\ngaussian = {{ sigma = {{ table = [[1, 2, 3]] }} }}\n[rounds]\nmax = 5\nstop = {{ n_eff = 1e3, \
         wall_time = \"2h\" }}\n[featurizer]\nkind = \"resnet-gru\"\nstages = 1\n[flow]\nblocks = 2\n"
    );
    parse_in(directory.path(), &whole).expect("campaign");
    let mut rng = stream(1, RoundId(0), RowId(0), Purpose::Draw);
    let pieces = [
        "=",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "\n",
        "-",
        "0",
        "inf",
        "nan",
        "1e400",
        "[[",
        "'",
        "#",
        ",",
        ".",
        "é",
        "\u{0}",
        "99999999999999999999999999",
        "true",
        "1979-05-27",
        "parameters",
        "[]",
        "{}",
    ];
    for _ in 0..3000 {
        let mut text = whole.clone();
        for _ in 0..rng.random_range(1..4) {
            let place = |rng: &mut rand_chacha::ChaCha8Rng| {
                let place = rng.random_range(0..=text.len());
                (0..=place)
                    .rev()
                    .find(|&place| text.is_char_boundary(place))
                    .unwrap_or(0)
            };
            let start = place(&mut rng);
            let end = place(&mut rng).clamp(start, start + 12).min(text.len());
            let end = (end..=text.len())
                .find(|&end| text.is_char_boundary(end))
                .unwrap_or(text.len());
            let piece = if rng.random_bool(0.3) {
                ""
            } else {
                pieces[rng.random_range(0..pieces.len())]
            };
            text.replace_range(start..end, piece);
        }
        if let Err(mistakes) = parse_in(directory.path(), &text) {
            assert!(!mistakes.is_empty(), "refused without a reason:\n{text}");
        }
    }
}

#[test]
fn sigma_is_refused_where_it_is_a_list() {
    let text = format!("{SINE}[noise]\ngaussian = {{ sigma = [0.1] }}\n");
    let found = parse_in(directory().path(), &text).expect_err("list");
    assert_eq!(found, [format!("c.toml:16: noise.gaussian.sigma: {SIGMA}")]);
}
