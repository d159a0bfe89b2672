//! Jitter and offset of Gaussian noise: which parameters they are, and by what they go.

use super::{directory, parse_in};
use sidereal_inference::campaign::{Campaign, Noise, NoiseTerm, NoiseTerms};
use sidereal_inference::campaign_file::{changed_keys, check, parse_recorded, to_toml};
use std::path::Path;
use tempfile::TempDir;

const VELOCITIES: &str = r#"name = "velocities"
parameters = [
    { name = "s_a", prior = { uniform = { low = 0.0, high = 5.0 } } },
    { name = "phi0", prior = { uniform = { low = 0.0, high = 6.25 } } },
    { name = "gamma", prior = { normal = { mean = 0.0, sd = 10.0 } } },
    { name = "A", prior = { normal = { mean = 0.0, sd = 2.0 } } },
    { name = "s_b", prior = { fixed = 0.5 } },
    { name = "omega", prior = { uniform = { low = 6.0, high = 36.0 } } },
]
[simulator]
builtin = "sine"
[observation]
path = "velocities.csv"
"#;

fn place() -> TempDir {
    let directory = directory();
    let rows =
        "time,rv,rv_err,instrument,Site\n0,1,0.1,HARPS,x\n0.5,2,0.1, HIRES ,y\n1,3,0.1,HARPS,x\n";
    std::fs::write(directory.path().join("velocities.csv"), rows).expect("write");
    directory
}

fn parse_with(noise: &str) -> Result<Campaign, Vec<String>> {
    parse_in(
        place().path(),
        &format!("{VELOCITIES}[noise]\ngaussian = {{ sigma = \"observed\", {noise} }}\n"),
    )
}

fn terms(campaign: &Campaign) -> &NoiseTerms {
    match &campaign.noise {
        Noise::Gaussian(noise) => &noise.terms,
        Noise::Simulator => panic!("the simulator's noise"),
    }
}

fn by_label(pairs: &[(&str, &str)]) -> Option<NoiseTerm> {
    let pairs = pairs.iter();
    let pairs = pairs.map(|(label, name)| ((*label).to_owned(), (*name).to_owned()));
    Some(NoiseTerm::ByLabel(pairs.collect()))
}

#[test]
fn terms_go_by_a_column_and_their_parameters_are_the_noises_alone() {
    let campaign =
        parse_with("jitter = { HARPS = \"s_a\", HIRES = \"s_b\" }, offset = { HIRES = \"gamma\" }")
            .expect("a campaign");
    let found = terms(&campaign);
    assert_eq!(
        found.jitter,
        by_label(&[("HARPS", "s_a"), ("HIRES", "s_b")])
    );
    assert_eq!(found.offset, by_label(&[("HIRES", "gamma")]));
    let labels: Vec<&str> = found.labels.iter().collect();
    assert_eq!(labels, ["HARPS", "HIRES", "HARPS"]);
    // The model has its three, and is given no others.
    let space = &campaign.space;
    assert_eq!(space.of_noise, ["s_a", "s_b", "gamma"]);
    assert_eq!(space.model_names(), ["phi0", "A", "omega"]);
    let theta = [1.0, 2.0, 3.0, 4.0, 5.0];
    assert_eq!(space.model_parameters(&theta), [2.0, 4.0, 5.0]);
    assert_eq!(space.value("s_b", &theta), Some(0.5));
    // As it is written it is read, with the labels in place.
    let text = to_toml(&campaign);
    assert!(
        text.contains("by = [\"HARPS\", \"HIRES\", \"HARPS\"]"),
        "{text}"
    );
    let again = parse_recorded(&text, Path::new("c.toml")).expect("recorded");
    assert_eq!(again, campaign);
    assert_eq!(check(&campaign), Ok(()));
    let json = serde_json::to_string(&campaign).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Campaign>(&json).expect("a campaign"),
        campaign
    );
}

#[test]
fn another_column_another_case_one_for_all_and_a_list() {
    let campaign =
        parse_with("jitter = { x = \"s_a\", y = \"s_b\" }, offset = \"gamma\", by = \"site\"")
            .expect("a campaign");
    let labels: Vec<&str> = terms(&campaign).labels.iter().collect();
    assert_eq!(labels, ["x", "y", "x"]);
    assert_eq!(
        terms(&campaign).offset,
        Some(NoiseTerm::One("gamma".to_owned()))
    );
    let list = parse_with(
        "jitter = { x = \"s_a\" , y = \"s_b\" }, offset = { y = \"gamma\" }, by = [\"x\", \"y\", \"y\"]",
    )
    .expect("a campaign");
    let labels: Vec<&str> = terms(&list).labels.iter().collect();
    assert_eq!(labels, ["x", "y", "y"]);
    let mut other = list.clone();
    if let Noise::Gaussian(noise) = &mut other.noise {
        noise.terms.jitter = by_label(&[("x", "s_b")]);
    }
    assert_eq!(
        changed_keys(&list, &other),
        [
            "noise.gaussian.jitter.x: \"s_a\" -> \"s_b\"",
            "noise.gaussian.jitter.y: \"s_b\" -> nothing"
        ]
    );
}

#[test]
fn without_an_observation_a_list_says_what_each_datum_is() {
    let text = VELOCITIES.replace("[observation]\npath = \"velocities.csv\"\n", "");
    let with = |by: &str| {
        let noise = "gaussian = { sigma = 0.1, jitter = { a = \"s_a\", b = \"s_b\" }, offset = { b = \"gamma\" }";
        parse_in(
            place().path(),
            &format!("{text}grid = [0.0, 1.0]\n[noise]\n{noise}{by} }}\n"),
        )
    };
    let campaign = with(", by = [\"a\", \"b\"]").expect("a campaign");
    assert_eq!(terms(&campaign).labels.len(), 2);
    let expected = "expected a list of texts, one a datum, as there is no file of the observation with such a column";
    assert_eq!(
        with("").expect_err("no labels"),
        [format!("c.toml:14: noise.gaussian.by: missing, {expected}")]
    );
    assert_eq!(
        with(", by = \"instrument\"").expect_err("no file"),
        [format!(
            "c.toml:14: noise.gaussian.by: found \"instrument\", {expected}"
        )]
    );
    assert_eq!(
        with(", by = [\"a\"]").expect_err("too short"),
        ["c.toml:14: noise.gaussian.by: found 1 texts, expected 2, one a datum"]
    );
}

#[test]
fn mistakes_say_what_was_found() {
    let both = "jitter = { HARPS = \"s_a\", HIRES = \"s_b\" }";
    let gamma = "offset = \"gamma\"";
    let cases: &[(String, &[&str])] = &[
        (
            "jitter = { HARPS = \"s_a\", HIRESS = \"s_b\" }, offset = \"gamma\"".to_owned(),
            &[
                "c.toml:15: noise.gaussian.jitter.HIRESS: no row has \"HIRESS\" in column instrument of velocities.csv, \
                 found HARPS, HIRES",
            ],
        ),
        (
            format!("{both}, {gamma}, by = \"telescope\""),
            &[
                "velocities.csv:1: no column is called \"telescope\", as noise.gaussian.by is said to be; found the columns \
                 time, rv, rv_err, instrument, Site",
            ],
        ),
        (
            "jitter = { HARPS = \"s_a\", HIRES = \"s_b\" }, offset = \"gama\"".to_owned(),
            &[
                "c.toml:5: parameters[2].name: simulator sine has no parameter \"gamma\", expected only phi0, A, omega",
                "c.toml:15: noise.gaussian.offset: found \"gama\", did you mean gamma?",
            ],
        ),
        (
            format!("{both}, {gamma}, by = 3"),
            &[
                "c.toml:15: noise.gaussian.by: found 3, expected the name of a column of the observation, or a list of texts, \
                 one a datum",
            ],
        ),
        (
            "jitter = \"gamma\", offset = { HARPS = \"s_a\", HIRES = \"s_b\" }".to_owned(),
            &[
                "c.toml:15: noise.gaussian.jitter: the prior of gamma reaches down to -inf, expected one from 0 on, as only \
                 the square of a jitter counts",
            ],
        ),
        (
            format!("{both}, offset = {{ HARPS = \"gamma\", HIRES = \"A\" }}"),
            &[
                "c.toml:15: noise.gaussian.offset.HIRES: \"A\" is a parameter of the model sine, expected one that the model \
                 does not take",
            ],
        ),
        (
            format!("{both}, offset = {{}}"),
            &[
                "c.toml:5: parameters[2].name: simulator sine has no parameter \"gamma\", expected only phi0, A, omega",
                "c.toml:15: noise.gaussian.offset: found an empty table, expected the name of a parameter, or a table of such \
                 names by the values of a column",
            ],
        ),
        (
            format!("{both}, offset = 3.0"),
            &[
                "c.toml:5: parameters[2].name: simulator sine has no parameter \"gamma\", expected only phi0, A, omega",
                "c.toml:15: noise.gaussian.offset: found 3.0, expected the name of a parameter, or a table of such names by \
                 the values of a column",
            ],
        ),
        (
            "jitter = \"s_a\", offset = \"gamma\", by = \"instrument\"".to_owned(),
            &[
                "c.toml:7: parameters[4].name: simulator sine has no parameter \"s_b\", expected only phi0, A, omega",
                "c.toml:15: noise.gaussian.by: found it where neither jitter nor offset is a table, expected none",
            ],
        ),
    ];
    for (noise, expected) in cases {
        let found = parse_with(noise).expect_err(noise);
        assert_eq!(found, *expected, "{noise}");
    }
}

#[test]
fn a_model_is_left_a_parameter_and_a_fixed_jitter_is_not_negative() {
    let text = "name = \"one\"\nparameters = [{ name = \"s\", prior = { uniform = { low = 0, high = 1 } } },\n\
                { name = \"t\", prior = { fixed = -1 } }]\n[simulator]\nbuiltin = \"linear-gaussian\"\n\
                [observation]\ngrid = [0.0]\nvalue = [1.0]\nsigma = [1.0]\n[noise]\n\
                gaussian = { sigma = \"observed\", jitter = \"JITTER\", offset = \"s\" }\n";
    let directory = place();
    let found = parse_in(directory.path(), &text.replace("JITTER", "t"));
    assert_eq!(
        found.expect_err("nothing is left"),
        [
            "c.toml:11: noise.gaussian: the noise takes all parameters, expected one at least that the model takes",
            "c.toml:11: noise.gaussian.jitter: the prior of t reaches down to -1, expected one from 0 on, as only the square \
             of a jitter counts",
        ]
    );
}
