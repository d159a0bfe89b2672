//! `[observation]` with files as people have them.

use super::{SINE, directory, parse_in};
use sidereal_inference::campaign::{
    ColumnNames, GaussianNoise, Hdu, Missing, Noise, Observation, Reading, SigmaSource,
};
use sidereal_inference::campaign_file::{
    changed_keys, identity, load, load_with_source, parse_columns, to_toml,
};
use sidereal_models::Catalogue;
use std::path::Path;

fn names(grid: Option<&str>, value: Option<&str>, sigma: Option<&str>) -> ColumnNames {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    ColumnNames {
        grid: owned(grid),
        value: owned(value),
        sigma: owned(sigma),
    }
}

const KEPLER: &str = "TIME,SAP_FLUX,SAP_FLUX_ERR\n0,1,0.1\n0.25,,\n0.5,2,0.1\n1,3,0.1\n";

#[test]
fn columns_and_missing_rows_are_as_the_file_says_and_the_copy_needs_no_file() {
    let directory = directory();
    std::fs::write(directory.path().join("kepler.csv"), KEPLER).expect("write");
    let keys = "path = \"kepler.csv\"\ncolumns = { value = \"SAP_FLUX\" }\nmissing = \"drop\"";
    let path = directory.path().join("c.toml");
    std::fs::write(&path, SINE.replace("path = \"observation.csv\"", keys)).expect("write");
    let (campaign, source) = load_with_source(&path, &Catalogue::default()).expect("campaign");
    let plain = parse_in(directory.path(), SINE).expect("campaign");
    assert_eq!(campaign.observation, plain.observation);
    assert_eq!(
        campaign.reading,
        Reading {
            columns: names(None, Some("SAP_FLUX"), None),
            missing: Missing::Drop,
            hdu: None
        }
    );
    assert_eq!(source.expect("a file").n_dropped, 1);
    // How a file was read is no part of what the campaign is.
    assert_eq!(identity(&campaign), identity(&plain));
    assert_eq!(changed_keys(&campaign, &plain), Vec::<String>::new());

    let elsewhere = tempfile::tempdir().expect("temporary directory");
    let copy = elsewhere.path().join("campaign.toml");
    std::fs::write(&copy, to_toml(&campaign)).expect("write");
    assert_eq!(
        load_with_source(&copy, &Catalogue::default()).expect("copy"),
        (campaign, None)
    );
}

#[test]
fn a_constant_sigma_wins_over_a_column() {
    let directory = directory();
    let zeros = "time,value,sigma\n0,1,0\n0.5,2,0\n1,3,0\n";
    std::fs::write(directory.path().join("zeros.csv"), zeros).expect("write");
    let text = SINE.replace("observation.csv", "zeros.csv");
    let text = format!("{text}[noise]\ngaussian = {{ sigma = 0.01 }}\n");
    let campaign = parse_in(directory.path(), &text).expect("campaign");
    assert_eq!(
        campaign.observation,
        Some(Observation {
            grid: vec![0.0, 0.5, 1.0],
            value: vec![1.0, 2.0, 3.0],
            sigma: vec![0.01; 3],
        })
    );
    assert_eq!(
        campaign.noise,
        Noise::Gaussian(GaussianNoise::of_sigma(SigmaSource::Constant(0.01)))
    );
    let copy = parse_in(directory.path(), &to_toml(&campaign));
    assert_eq!(copy, Ok(campaign));
}

#[test]
fn columns_without_data_are_those_of_later_observations() {
    let directory = directory();
    let head = SINE.split("[observation]").next().unwrap_or_default();
    let text = format!(
        "{head}grid = [0, 1]\n[observation]\ncolumns = {{ value = \"rate\" }}\nhdu = \"LIGHTCURVE\"\n\
         [noise]\ngaussian = {{ sigma = 1 }}\n"
    );
    let campaign = parse_in(directory.path(), &text).expect("campaign");
    assert_eq!((&campaign.observation, campaign.rounds.max), (&None, 1));
    assert_eq!(
        campaign.reading,
        Reading {
            columns: names(None, Some("rate"), None),
            missing: Missing::Refuse,
            hdu: Some(Hdu::Name("LIGHTCURVE".to_owned())),
        }
    );
    assert_eq!(
        parse_in(directory.path(), &to_toml(&campaign)),
        Ok(campaign)
    );
}

#[test]
fn names_of_columns_are_read_from_an_argument() {
    let text = "{ grid = \"bjd\", sigma = \"e\" }";
    assert_eq!(
        parse_columns(text, "--columns").expect("names"),
        names(Some("bjd"), None, Some("e"))
    );
    let refused = [
        ("grid=bjd", "--columns:1: "),
        (
            "{ grd = \"bjd\" }",
            "--columns:1: columns.grd: unknown key, did you mean grid?",
        ),
        ("3", "--columns:1: columns: found 3, expected a table"),
        ("{}\nx = 1", "--columns:2: x: unknown key"),
    ];
    for (text, expected) in refused {
        let message = parse_columns(text, "--columns")
            .expect_err(text)
            .to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn campaign_files_may_begin_with_a_byte_order_mark() {
    let directory = directory();
    let path = directory.path().join("c.toml");
    std::fs::write(&path, format!("\u{feff}{}", SINE.replace('\n', "\r\n"))).expect("write");
    let plain = parse_in(directory.path(), SINE).expect("campaign");
    assert_eq!(load(&path, &Catalogue::default()).expect("campaign"), plain);
}

#[test]
fn what_has_no_end_is_no_campaign_file() {
    let message = load(Path::new("/dev/zero"), &Catalogue::default())
        .expect_err("a device")
        .to_string();
    assert_eq!(
        message,
        "cannot read /dev/zero: found a device, expected a regular file"
    );
}
