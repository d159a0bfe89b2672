//! Files as people have them, and what is said of those that cannot be read.

mod fits_files;
mod text_files;

use super::*;

fn parse_bytes(
    bytes: &[u8],
    errors: Errors,
    reading: &Reading,
) -> Result<(Observation, Source), String> {
    Observation::parse(bytes, Path::new("obs.csv"), errors, reading, None)
        .map_err(|error| error.to_string())
}

fn parse(text: &str, errors: Errors) -> Result<Observation, String> {
    let found = parse_bytes(text.as_bytes(), errors, &Reading::default());
    found.map(|(observation, _)| observation)
}

fn reading(grid: &str, value: &str, sigma: &str) -> Reading {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    Reading {
        columns: ColumnNames {
            grid: name(grid),
            value: name(value),
            sigma: name(sigma),
        },
        ..Reading::default()
    }
}

/// Two rows, 1 ± 0.1 at 0 and -2.5e-3 ± 0.2 at 0.5, in whatever way they are written.
fn two_rows() -> Observation {
    Observation {
        grid: vec![0.0, 0.5],
        value: vec![1.0, -2.5e-3],
        sigma: vec![0.1, 0.2],
    }
}

#[test]
fn disorder_is_counted() {
    let disorder = |grid: &[f64]| {
        Observation {
            grid: grid.to_vec(),
            value: vec![0.0; grid.len()],
            sigma: Vec::new(),
        }
        .disorder()
    };
    assert_eq!(disorder(&[0.0]), (0, 0));
    assert_eq!(disorder(&[0.0, 1.0, 2.0]), (0, 0));
    assert_eq!(disorder(&[3.0, 1.0, 0.5]), (0, 0));
    assert_eq!(disorder(&[0.0, 1.0, 1.0, 2.0]), (1, 0));
    assert_eq!(disorder(&[0.0, 2.0, 1.0, 3.0, 0.0]), (1, 2));
}

#[test]
fn files_of_other_kinds_are_named() {
    let cases: [(&[u8], &str); 3] = [
        (b"\x1f\x8b\x08\x00", "a file packed by gzip"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"<?xml version='1.0'?>", "XML (a VOTable?)"),
    ];
    for (bytes, kind) in cases {
        let error = parse_bytes(bytes, Errors::Column, &Reading::default());
        assert_eq!(
            error.expect_err(kind),
            format!("obs.csv: found {kind}, expected CSV, ECSV or an unpacked FITS table")
        );
    }
    let reading = Reading {
        hdu: Some(Hdu::Index(1)),
        ..Reading::default()
    };
    let error = parse_bytes(b"t,value,sigma\n0,1,1\n", Errors::Column, &reading);
    assert_eq!(
        error.expect_err("no FITS"),
        "obs.csv: found no FITS file, expected one, as hdu is given"
    );
}

#[test]
fn damaged_files_are_observations_or_errors_but_no_panics() {
    use crate::base::{Purpose, RoundId, RowId, stream};
    use rand::RngExt;
    let text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: t, unit: 'd'}\n# - {name: value}\n\
                t,value,\"sigma\"\n0,1,0.1\n\"1\",\"\",0.2\n";
    let good = [
        text.as_bytes().to_vec(),
        fits_files::table().bytes(),
        b"\xef\xbb\xbf#t value err [d]\r\n0 1 2\r\n\r\n1 2 3".to_vec(),
    ];
    let mut rng = stream(1, RoundId(0), RowId(0), Purpose::Draw);
    for round in 0..6000 {
        let mut bytes = good[round % good.len()].clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = rng.random_range(0..=255),
                2 => bytes[at] = b"\"#,'{}[]=9-\n\r \t"[rng.random_range(0..15)],
                _ => {
                    let piece = bytes[at..(at + 7).min(bytes.len())].to_vec();
                    let to = rng.random_range(0..=bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        for errors in [Errors::Column, Errors::NoneNorGrid] {
            match parse_bytes(&bytes, errors, &Reading::default()) {
                Ok((observation, _)) => assert!(!observation.is_empty()),
                Err(message) => assert!(!message.is_empty()),
            }
        }
    }
}
