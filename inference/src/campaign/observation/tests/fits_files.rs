//! Binary tables of FITS files, made here by hand.

use super::*;

const BLOCK: usize = 2880;

/// A FITS file with an empty primary HDU and one table.
pub(super) struct File {
    /// Cards of the table beside those that say its sizes.
    cards: Vec<String>,
    row_bytes: usize,
    rows: Vec<Vec<u8>>,
}

fn header(cards: &[String]) -> Vec<u8> {
    let mut bytes: Vec<u8> = cards
        .iter()
        .chain([&"END".to_owned()])
        .flat_map(|card| format!("{card:<80}").into_bytes())
        .collect();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), b' ');
    bytes
}

fn card(key: &str, value: &str) -> String {
    format!("{key:<8}= {value:>20} / a comment")
}

impl File {
    fn hdu(&self) -> Vec<u8> {
        let mut cards = vec![
            card("XTENSION", "'BINTABLE'"),
            card("BITPIX", "8"),
            card("NAXIS", "2"),
            card("NAXIS1", &self.row_bytes.to_string()),
            card("NAXIS2", &self.rows.len().to_string()),
            card("PCOUNT", "0"),
            card("GCOUNT", "1"),
        ];
        cards.extend(self.cards.iter().cloned());
        let mut bytes = header(&cards);
        bytes.extend(self.rows.concat());
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = primary();
        bytes.extend(self.hdu());
        bytes
    }
}

/// An image of 3 x 2 numbers of 16 bits.
fn primary() -> Vec<u8> {
    let mut bytes = header(&[
        card("SIMPLE", "T"),
        card("BITPIX", "16"),
        card("NAXIS", "2"),
        card("NAXIS1", "3"),
        card("NAXIS2", "2"),
    ]);
    bytes.resize(bytes.len() + BLOCK, 7);
    bytes
}

/// Text, bits, time as a double, flux as a scaled whole number and its error as a float.
pub(super) fn table() -> File {
    let row = |time: f64, flux: i16, error: f32| {
        let mut row = b"abc\xff\xff".to_vec();
        row.extend(time.to_be_bytes());
        row.extend(flux.to_be_bytes());
        row.extend(error.to_be_bytes());
        row
    };
    let cards = [
        ("TFIELDS", "5"),
        ("EXTNAME", "'LIGHTCURVE'"),
        ("TTYPE1", "'NAME'"),
        ("TFORM1", "'3A'"),
        ("TTYPE2", "'QUALITY'"),
        ("TFORM2", "'12X'"),
        ("TTYPE3", "'TIME'"),
        ("TFORM3", "'D'"),
        ("TUNIT3", "'BJD - 2454833, days'"),
        ("TTYPE4", "'FLUX'"),
        ("TFORM4", "'1I'"),
        ("TSCAL4", "5.0D-4"),
        ("TZERO4", "1.0"),
        ("TNULL4", "-99"),
        ("TTYPE5", "'FLUX_ERR'"),
        ("TFORM5", "'1E'"),
        ("TUNIT5", "'e-/s ''net'''"),
    ];
    File {
        cards: cards.map(|(key, value)| card(key, value)).to_vec(),
        row_bytes: 19,
        rows: vec![row(0.0, 0, 0.125), row(0.5, -2005, 0.25)],
    }
}

fn parse_file(bytes: &[u8], hdu: Option<Hdu>) -> Result<(Observation, Source), String> {
    let reading = Reading {
        hdu,
        ..Reading::default()
    };
    parse_bytes(bytes, Errors::Column, &reading)
}

fn expected() -> Observation {
    Observation {
        grid: vec![0.0, 0.5],
        value: vec![1.0, 1.0 + 5.0e-4 * -2005.0],
        sigma: vec![0.125, 0.25],
    }
}

#[test]
fn the_first_binary_table_or_the_named_one_is_read() {
    let table = table();
    let mut several = primary();
    let mut other = self::table();
    other.cards[1] = card("EXTNAME", "'OTHER'");
    other.rows.truncate(1);
    several.extend(other.hdu());
    several.extend(table.hdu());
    let (found, source) = parse_file(&table.bytes(), None).expect("a table");
    assert_eq!(found, expected());
    assert_eq!(source.format, Format::Fits);
    let unit = |column: Option<Column>| column.and_then(|column| column.unit);
    assert_eq!(unit(source.grid).as_deref(), Some("BJD - 2454833, days"));
    assert_eq!(unit(Some(source.value)), None);
    assert_eq!(unit(source.sigma).as_deref(), Some("e-/s 'net'"));

    assert_eq!(parse_file(&several, None).expect("the first").0.len(), 1);
    for hdu in [Hdu::Index(2), Hdu::Name("lightcurve".to_owned())] {
        let (found, _) = parse_file(&several, Some(hdu)).expect("the second");
        assert_eq!(found, expected());
    }
    let refused = [
        (Some(Hdu::Index(0)), "HDU 0 is no binary table"),
        (
            Some(Hdu::Index(3)),
            "no HDU 3 in this FITS file, found the HDUs 0, 1 OTHER, 2 LIGHTCURVE",
        ),
        (
            Some(Hdu::Name("x".to_owned())),
            "no HDU of the name \"x\" in this FITS file, found the HDUs 0, 1 OTHER, 2 LIGHTCURVE",
        ),
    ];
    for (hdu, message) in refused {
        let error = parse_file(&several, hdu).expect_err(message);
        assert_eq!(error, format!("obs.csv: {message}"));
    }
    let error = parse_file(&primary(), None).expect_err("an image");
    assert_eq!(
        error,
        "obs.csv: no binary table in this FITS file, found the HDUs 0"
    );
}

#[test]
fn every_kind_of_number_is_read() {
    let row: Vec<u8> = [&(-7_i64).to_be_bytes()[..], &3_i32.to_be_bytes(), &[200]].concat();
    let cards = [
        ("TFIELDS", "3"),
        ("TTYPE1", "'t'"),
        ("TFORM1", "'1K'"),
        ("TTYPE2", "'value'"),
        ("TFORM2", "'J'"),
        ("TZERO2", "2147483648"),
        ("TTYPE3", "'sigma'"),
        ("TFORM3", "'1B'"),
    ];
    let file = File {
        cards: cards.map(|(key, value)| card(key, value)).to_vec(),
        row_bytes: 13,
        rows: vec![row],
    };
    let (found, _) = parse_file(&file.bytes(), None).expect("a table");
    assert_eq!(
        found,
        Observation {
            grid: vec![-7.0],
            value: vec![2_147_483_651.0],
            sigma: vec![200.0]
        }
    );
}

#[test]
fn missing_numbers_and_bad_tables_are_told_with_their_place() {
    let mut with_gaps = table();
    let gap = with_gaps.rows[0].clone();
    with_gaps.rows.insert(1, gap.clone());
    with_gaps.rows.insert(2, gap);
    with_gaps.rows[1][13..15].copy_from_slice(&(-99_i16).to_be_bytes());
    with_gaps.rows[2][15..19].copy_from_slice(&f32::NAN.to_be_bytes());
    let drop = "(missing = \"drop\" in [observation] leaves such rows out)";
    assert_eq!(
        parse_file(&with_gaps.bytes(), None).expect_err("gaps"),
        format!(
            "obs.csv: row 2: FLUX: found -99, which stands for nothing (TNULL), expected a number {drop}\n\
             obs.csv: row 3: FLUX_ERR: found NaN, expected a number {drop}"
        )
    );
    let reading = Reading {
        missing: Missing::Drop,
        ..Reading::default()
    };
    let (found, source) =
        parse_bytes(&with_gaps.bytes(), Errors::Column, &reading).expect("two rows");
    assert_eq!((found, source.n_dropped), (expected(), 2));

    let changed = |from: &str, to: &str| {
        let mut file = table();
        for card in &mut file.cards {
            *card = card.replace(from, to);
        }
        file.bytes()
    };
    let cut_short = table().bytes()[..3 * BLOCK].to_vec();
    let cases = [
        (
            changed("'1I'", "'2I'"),
            "the table's columns have 21 bytes, expected at most the row's, 19",
        ),
        (
            changed("'1I'", "'1Z'"),
            "TFORM4 is \"1Z\", expected a count and a letter such as 1D",
        ),
        (
            changed("'D'", "'8B'"),
            "column TIME has 8 numbers a row, expected one number a row",
        ),
        (
            changed("'1E'", "'4A'"),
            "column FLUX_ERR has the format 4A, expected one number a row",
        ),
        (
            cut_short,
            "the table has 2 rows of 19 bytes, and the file ends before them",
        ),
        (
            changed(
                "TFIELDS =                    5",
                "TFIELDS =  99999999999999999",
            ),
            "TFIELDS is 99999999999999999, expected at most 999",
        ),
        (
            primary()[..400].to_vec(),
            "a FITS file whose first header has no end",
        ),
    ];
    for (bytes, message) in cases {
        let error = parse_file(&bytes, None).expect_err(message);
        assert_eq!(error, format!("obs.csv: {message}"));
    }
}

#[test]
fn columns_of_texts_and_of_numbers_are_labels() {
    let labels = |label: &str| {
        let (path, errors) = (Path::new("obs.fits"), Errors::Column);
        let bytes = table().bytes();
        Observation::parse(&bytes, path, errors, &Reading::default(), Some(label))
            .map(|(_, source)| source.labels)
            .map_err(|error| error.to_string())
    };
    assert_eq!(labels("name"), Ok(vec!["abc".to_owned(); 2]));
    assert_eq!(labels("TIME"), Ok(vec!["0".to_owned(), "0.5".to_owned()]));
    assert_eq!(
        labels("quality"),
        Err("obs.fits: column QUALITY has bits, expected a text or a number a row".to_owned())
    );
}
