//! CSV, columns between white space, ECSV.

use super::*;

#[test]
fn columns_are_known_by_their_usual_names() {
    let files = [
        "time,value,sigma\n0,1,0.1\n0.5,-2.5e-3,0.2\n",
        "# by hand\r\n t , sigma , value \r\n0, 0.1, 1\r\n\r\n0.5, 0.2, -2.5e-3",
        "BJD,Flux,Flux_Err\n0,1,0.1\n0.5,-0.0025,0.2\n",
        "mjd;mag;e_mag\n0;1;0.1\n0.5;-2.5D-3;0.2\n",
        "name\tHJD\tRV\trv_error\tflag\n\"a, b\"\t0\t1\t.1\t\nc\t0.5\t-25e-4\t2e-1\tx\n",
        "\u{feff}Wavelength  y  err\n  0    1  0.1\n  0.5 -2.5e-3  0.2\n",
        "# made by somebody in 2016\n# t value err\n0 1 0.1\n0.5 -2.5e-3 0.2\n",
        "# t [d] flux [mJy] flux_err [mJy]\n# d mJy mJy\n0\t1\t0.1\n0.5\t-2.5e-3\t0.2\n",
        "#time,mag,mag_err,flux_err\n0,1,0.1,nan\n0.5,-2.5e-3,0.2,\n",
        // Any name will do for the grid where there is no other column.
        "epoch,value,sigma\n0,1,0.1\n0.5,-2.5e-3,0.2\n",
        "value,sigma,day number\r0.001e3,0.1,0\r-2.5e-3,0.2,0.5\r",
        // Errors of the time are none of the value.
        "jd,jd_err,e_rv,rv\n0,9,0.1,1\n0.5,9,0.2,-2.5e-3\n",
    ];
    for text in files {
        assert_eq!(parse(text, Errors::Column), Ok(two_rows()), "{text}");
    }
}

#[test]
fn columns_may_be_told() {
    let text = "TIME,SAP_FLUX,SAP_FLUX_ERR,PDCSAP_FLUX,PDCSAP_FLUX_ERR,QUALITY\n\
                0,7,8,1,0.1,0\n0.5,7,8,-2.5e-3,0.2,many words\n";
    for reading in [
        reading("", "PDCSAP_FLUX", ""),
        reading("time", "pdcsap_flux", "pdcsap_flux_err"),
    ] {
        let (found, source) =
            parse_bytes(text.as_bytes(), Errors::Column, &reading).expect("columns");
        assert_eq!(found, two_rows());
        assert_eq!(
            source.sigma.map(|sigma| sigma.name).as_deref(),
            Some("PDCSAP_FLUX_ERR")
        );
    }
    let unnamed = "0 1 0.1\n0.5 -2.5e-3 0.2\n";
    let found = parse_bytes(
        unnamed.as_bytes(),
        Errors::Column,
        &reading("col1", "col2", "col3"),
    );
    assert_eq!(found.map(|(observation, _)| observation), Ok(two_rows()));
    // Upper and lower case count where both are there.
    let cases = "t,F,f,sigma\n0,1,9,0.1\n0.5,-2.5e-3,9,0.2\n";
    let found = parse_bytes(cases.as_bytes(), Errors::Column, &reading("", "F", ""));
    assert_eq!(found.map(|(observation, _)| observation), Ok(two_rows()));
}

#[test]
fn columns_that_cannot_be_told_apart_are_listed_with_the_line_to_write() {
    let cases = [
        (
            "TIME,SAP_FLUX,SAP_FLUX_ERR,PDCSAP_FLUX\n0,1,1,1\n",
            reading("", "", ""),
            "obs.csv:1: no column has a name that is known as a value's (value, flux, mag, ...); found the columns TIME, \
             SAP_FLUX, SAP_FLUX_ERR, PDCSAP_FLUX; say which is which: columns = { grid = \"TIME\", value = \"SAP_FLUX\", \
             sigma = \"SAP_FLUX_ERR\" }",
        ),
        (
            "0 1 0.1\n",
            reading("", "", ""),
            "obs.csv:1: no column has a name that is known as a grid's (time, bjd, wavelength, ...); no column has a \
             name that is known as a value's (value, flux, mag, ...); found the columns col1, col2, col3; say which is which: columns = { grid = \"col1\", value = \"col2\", sigma = \
             \"col3\" }",
        ),
        (
            "\n# x\ntime,phase,mag,err\n0,1,0.1,2\n",
            reading("", "", ""),
            "obs.csv:3: time and phase could each be the grid; found the columns time, phase, mag, err; say which is \
             which: columns = { grid = \"time\", value = \"mag\", sigma = \"err\" }",
        ),
        (
            "time,value\n0,1\n",
            reading("", "", ""),
            "obs.csv:1: no column has a name that is known as a sigma's (sigma, flux_err, ...), and \
             noise.gaussian.sigma is not a number that could stand for it; found the columns time, value; say which is \
             which: columns = { grid = \"time\", value = \"value\", sigma = \"...\" }",
        ),
        (
            "t,value,sigma,value\n0,1,1,1\n",
            reading("", "", ""),
            "obs.csv:1: value and value could each be the value; found the columns t, value, sigma, value; say which \
             is which: columns = { grid = \"t\", value = \"value\", sigma = \"sigma\" }",
        ),
        (
            "t,value,sigma\n0,1,1\n",
            reading("bjd", "", ""),
            "obs.csv:1: no column is called \"bjd\", as grid is said to be; found the columns t, value, sigma; say \
             which is which: columns = { grid = \"t\", value = \"value\", sigma = \"sigma\" }",
        ),
        (
            "t,value,sigma\n0,1,1\n",
            reading("value", "", ""),
            "obs.csv:1: grid and value are one column, value, expected two",
        ),
    ];
    for (text, reading, expected) in cases {
        let error = parse_bytes(text.as_bytes(), Errors::Column, &reading);
        assert_eq!(error.expect_err(text), expected);
    }
}

#[test]
fn a_constant_sigma_stands_for_a_column_or_before_it() {
    let constant = |sigma: f64| Observation {
        sigma: vec![sigma; 2],
        ..two_rows()
    };
    let bare = "t,value\n0,1\n0.5,-2.5e-3";
    let zeros = "t,value,sigma\n0,1,0\n0.5,-2.5e-3,nonsense";
    assert_eq!(parse(bare, Errors::ColumnOr(0.3)), Ok(constant(0.3)));
    assert_eq!(parse(bare, Errors::Constant(0.3)), Ok(constant(0.3)));
    assert_eq!(parse(zeros, Errors::Constant(0.3)), Ok(constant(0.3)));
    let with_errors = "t,sigma,value\n0,0.1,1\n0.5,0.2,-2.5e-3";
    assert_eq!(parse(with_errors, Errors::ColumnOr(0.3)), Ok(two_rows()));
}

#[test]
fn data_without_errors_may_be_values_alone() {
    let expected = Observation {
        grid: vec![0.0, 1.0, 2.0],
        value: vec![1.0, -2.5, 0.0],
        sigma: Vec::new(),
    };
    assert_eq!(
        parse("value\n1\n-2.5\n0\n", Errors::NoneNorGrid),
        Ok(expected.clone())
    );
    for text in [
        "day,value\n0,1\n17,-2.5\n34,0\n",
        "value,n\n1,0\n-2.5,17\n0,34\n",
        "time,value,value_err\n0,1,9\n17,-2.5,9\n34,0,9\n",
    ] {
        assert_eq!(
            parse(text, Errors::None),
            Ok(Observation {
                grid: vec![0.0, 17.0, 34.0],
                ..expected.clone()
            })
        );
    }
    let mistakes = [
        (
            "day,value,sigma\n0,1,1\n",
            "obs.csv:1: found a column sigma, expected none: the simulator draws the noise",
        ),
        (
            "value\n1\n",
            "obs.csv:1: no column has a name that is known as a grid's (time, bjd, wavelength, ...); found the columns \
             value; say which is which: columns = { grid = \"...\", value = \"value\" }",
        ),
    ];
    for (text, expected) in mistakes {
        assert_eq!(parse(text, Errors::None).expect_err(text), expected);
    }
}

#[test]
fn every_mistake_is_named_with_file_line_and_column() {
    let empty = "obs.csv: empty, expected a header line with the grid's name, value and sigma";
    let drop = "(missing = \"drop\" in [observation] leaves such rows out)";
    let table: &[(&str, String)] = &[
        ("", empty.to_owned()),
        ("# nothing\n\n", empty.to_owned()),
        (
            "time,value,sigma\n",
            "obs.csv: no rows, expected at least one below the header line".to_owned(),
        ),
        (
            "t,value,sigma\r\n0,1,0\r\n1,2,-3\r\n# comment\r\n\r\n2,nan,1\r\n3,,1\r\n4,1.2.3,1\r\n5,inf,1e-60\r\n6,1\r\n\
             --,1,1\r\n",
            format!(
                "obs.csv:2: sigma: found 0, expected a positive number (of single precision)\n\
                 obs.csv:3: sigma: found -3, expected a positive number (of single precision)\n\
                 obs.csv:6: value: found NaN, expected a number {drop}\n\
                 obs.csv:7: value: found nothing, expected a number {drop}\n\
                 obs.csv:8: value: found \"1.2.3\", expected a number\n\
                 obs.csv:9: value: found inf, expected a finite number (of single precision)\n\
                 obs.csv:9: sigma: found 1e-60, expected a positive number (of single precision)\n\
                 obs.csv:10: found 2 fields, expected 3\n\
                 obs.csv:11: t: found --, expected a number {drop}"
            ),
        ),
        (
            "t,value,sigma\n\"0,1,1\n\"0\"1,1,1\n",
            "obs.csv:2: found a quote that is not closed\n\
             obs.csv:3: found text behind a closing quote"
                .to_owned(),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(parse(text, Errors::Column).expect_err(text), *expected);
    }
}

#[test]
fn rows_with_missing_numbers_are_left_out_where_that_is_said() {
    let reading = Reading {
        missing: Missing::Drop,
        ..Reading::default()
    };
    let text = "t,note,value,sigma\n0,,1,0.1\n1,a,NaN,1\n2,b,,1\n0.5,,-2.5e-3,0.2\nN/A,c,1,1\n";
    let (found, source) = parse_bytes(text.as_bytes(), Errors::Column, &reading).expect("rows");
    assert_eq!((found, source.n_dropped), (two_rows(), 3));
    let nothing = "t,value,sigma\n0,nan,1\n1,null,1\n";
    let error = parse_bytes(nothing.as_bytes(), Errors::Column, &reading);
    assert_eq!(
        error.expect_err("no rows"),
        "obs.csv: no rows are left, in each of 2 a number is missing"
    );
}

#[test]
fn units_are_read_from_headers() {
    let column = |name: &str, unit: Option<&str>| Column {
        name: name.to_owned(),
        unit: unit.map(str::to_owned),
    };
    let ecsv = "# %ECSV 1.0\n# ---\n# delimiter: DELIMITER\n# datatype:\n\
                # - {name: bjd, unit: d, datatype: float64, description: 'mid-exposure, {TDB}'}\n\
                # - name: flux\n#   unit: 'erg / (s cm2)'\n#   datatype: float32\n\
                # - {name: flux_err, datatype: float64,\n#   unit: erg / (s cm2)}\n\
                # - {name: flag, datatype: string}\n\
                # meta: !!omap\n# - {name: sigma, unit: none}\n# schema: astropy-2.0\n\
                bjd flux flux_err flag\n0.0 1 0.1 \"a b\"\n0.5 -2.5e-3 0.2 \"\"\n";
    let comma = ecsv
        .replace("DELIMITER", "','")
        .replace("bjd flux flux_err flag", "bjd,flux,flux_err,flag")
        .replace("0.0 1 0.1 ", "0.0,1,0.1,")
        .replace("0.5 -2.5e-3 0.2 ", "0.5,-2.5e-3,0.2,");
    for text in [ecsv.replace("DELIMITER", "' '"), comma] {
        let (found, source) =
            parse_bytes(text.as_bytes(), Errors::Column, &Reading::default()).expect("ECSV");
        assert_eq!(found, two_rows());
        let expected = Source {
            path: PathBuf::from("obs.csv"),
            format: Format::Ecsv,
            grid: Some(column("bjd", Some("d"))),
            value: column("flux", Some("erg / (s cm2)")),
            sigma: Some(column("flux_err", Some("erg / (s cm2)"))),
            label: None,
            labels: Vec::new(),
            n_dropped: 0,
        };
        assert_eq!(source, expected);
    }
    let text = "time [d],flux [mJy],flux_err\n0,1,0.1\n0.5,-2.5e-3,0.2\n";
    let (_, source) = parse_bytes(
        text.as_bytes(),
        Errors::Column,
        &reading("time [d]", "", ""),
    )
    .expect("CSV");
    assert_eq!(source.format, Format::Text);
    assert_eq!(source.grid, Some(column("time", Some("d"))));
    assert_eq!(source.value, column("flux", Some("mJy")));
    assert_eq!(source.sigma, Some(column("flux_err", None)));
}

#[test]
fn masked_numbers_of_ecsv_are_missing() {
    let text = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: t, datatype: float64}\nt value sigma\n0 1 0.1\n\
                \"\" 1 1\n0.5 -2.5e-3 0.2\n";
    assert_eq!(
        parse(text, Errors::Column).expect_err("masked"),
        "obs.csv:7: t: found nothing, expected a number (missing = \"drop\" in [observation] leaves such rows out)"
    );
}

#[test]
fn long_lists_of_mistakes_are_cut() {
    let text = format!("t,value,sigma\n{}", "0,1,0\n".repeat(15));
    let message = parse(&text, Errors::Column).expect_err("zero sigma");
    assert_eq!(message.lines().count(), 11);
    assert!(
        message.ends_with("obs.csv: and 5 more mistakes"),
        "{message}"
    );
}

#[test]
fn bytes_that_are_not_text_are_refused_where_they_matter() {
    let parse = |bytes: &[u8]| parse_bytes(bytes, Errors::Column, &Reading::default());
    assert_eq!(
        parse(b"t,value,sigma\n\xff\xfe,1,1\n").expect_err("bytes"),
        "obs.csv:2: t: found bytes that are not UTF-8 text"
    );
    assert_eq!(
        parse(b"t,\xb5,sigma\n0,1,1\n").expect_err("bytes"),
        "obs.csv:1: found bytes that are not UTF-8 text"
    );
    let latin = b"# \xe5ngstr\xf6m\nt,value,sigma,note\n0,1,0.1,\xb5\n0.5,-2.5e-3,0.2,\n";
    assert_eq!(
        parse(latin).map(|(observation, _)| observation),
        Ok(two_rows())
    );
}

#[test]
fn a_column_of_texts_is_read_beside_the_numbers() {
    let parse = |text: &str, missing: Missing, label: &str| {
        let reading = Reading {
            missing,
            ..Reading::default()
        };
        let path = Path::new("obs.csv");
        let errors = Errors::Column;
        let found = Observation::parse(text.as_bytes(), path, errors, &reading, Some(label));
        found.map_err(|error| error.to_string())
    };
    // The only other column is the grid, whatever its name.
    let text = "epoch,rv,rv_err,Instrument\n0,1,0.1,\"a b\"\n0.5,-2.5e-3,0.2,2\n";
    let (found, source) = parse(text, Missing::Refuse, "instrument").expect("CSV");
    assert_eq!(found, two_rows());
    assert_eq!(source.labels, ["a b", "2"]);
    let label = source.label.map(|column| column.name);
    assert_eq!(label.as_deref(), Some("Instrument"));
    // Rows without one are left out, or refused; and so are rows without a number.
    let text = "t,rv,rv_err,band\n0,1,0.1,g\n0.1,1,1,\n0.2,,1,r\n0.5,-2.5e-3,0.2,i\n";
    let (found, source) = parse(text, Missing::Drop, "band").expect("CSV");
    assert_eq!((found, source.n_dropped), (two_rows(), 2));
    assert_eq!(source.labels, ["g", "i"]);
    assert_eq!(
        parse(text, Missing::Refuse, "band").expect_err("missing"),
        "obs.csv:3: band: found nothing, expected a text (missing = \"drop\" in [observation] leaves such rows out)\n\
         obs.csv:4: rv: found nothing, expected a number (missing = \"drop\" in [observation] leaves such rows out)"
    );
    assert_eq!(
        parse(text, Missing::Refuse, "instrument").expect_err("no such column"),
        "obs.csv:1: no column is called \"instrument\", as noise.gaussian.by is said to be; found the columns t, rv, rv_err, \
         band"
    );
}
