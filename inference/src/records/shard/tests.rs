//! Shards that are found again, and every kind that is refused.

mod long_shards;

use super::rows::FORMAT;
use super::*;
use crate::base::{FlowId, RoundId};
use crate::campaign::{GaussianNoise, NoiseTerm, Observation, RowNoise, SigmaSource};
use crate::records::directory::Directory;
use crate::records::draws::Draws;
use crate::records::table::encode;
use crate::records::task::ShardFile;
use crate::space::{Parameter, ParameterSpace, Prior};
use crate::weights::Component;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

const FLOW: Component = Component::Flow(FlowId(0));
const SECRET: &str = "of the coordinator";

fn layout(space: &ParameterSpace) -> ShardLayout<'_> {
    ShardLayout { space, n_data: 3 }
}

fn space() -> ParameterSpace {
    let prior = Prior::Uniform {
        low: 0.0,
        high: 1.0,
    };
    let parameter = |name: &str| Parameter {
        name: name.to_owned(),
        prior: prior.clone(),
        periodic: false,
    };
    ParameterSpace::independent(vec![parameter("a"), parameter("b")])
}

/// Rows 10, 11 and 12 of round 1 with three data each; row 11 failed.
fn rows() -> ShardRows {
    let draws = Draws {
        round: RoundId(1),
        first_row: 10,
        n_parameters: 2,
        z: vec![0.5, -0.5, 1.5, -1.5, 2.5, -2.5],
        theta: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        log_prior: vec![0.0, 0.0, 0.0],
        log_proposal: vec![1.25, 2.25, 3.25],
        component: vec![FLOW, Component::Prior, FLOW],
    };
    ShardRows {
        draws,
        log_likelihood: vec![Some(-1.0), None, Some(f64::NEG_INFINITY)],
        n_data: 3,
        simulated: vec![1.0, 2.0, 3.0, f32::NAN, f32::NAN, f32::NAN, 7.0, 8.0, 9.0],
        n_derived: 0,
        derived: Vec::new(),
        status: vec![RowStatus::Ok, RowStatus::Failed, RowStatus::Ok],
        message: vec![None, Some("no orbit".to_owned()), None],
    }
}

fn store(rows: &ShardRows) -> (Directory, ShardFile) {
    let directory = Directory::in_memory();
    let shard = rows
        .store(&directory, "shard.parquet", &space())
        .expect("store");
    (directory, shard)
}

/// Gaussian noise with the errors of an observation of two data.
fn two_data() -> (GaussianNoise, Observation) {
    let noise = GaussianNoise::of_sigma(SigmaSource::Observed);
    let observation = Observation {
        grid: vec![0.0, 1.0],
        value: vec![0.5, 0.5],
        sigma: vec![0.1, 0.1],
    };
    (noise, observation)
}

#[test]
fn shards_are_found_again_and_pass_their_check() {
    let rows = rows();
    let (directory, shard) = store(&rows);
    let numbers = (shard.round, shard.first_row, shard.n_rows, shard.n_failed);
    assert_eq!(numbers, (RoundId(1), 10, 3, 1));
    assert_eq!(store(&rows).1, shard, "the same rows give the same bytes");

    let loaded = ShardRows::load(&directory, &shard, layout(&space())).expect("load");
    assert!(loaded.simulated[3..6].iter().all(|value| value.is_nan()));
    let without_nan = |rows: &ShardRows| {
        let simulated = rows
            .simulated
            .iter()
            .map(|&x| if x.is_nan() { -1.0 } else { x })
            .collect();
        ShardRows {
            simulated,
            ..rows.clone()
        }
    };
    assert_eq!(without_nan(&loaded), without_nan(&rows));

    let dry = ShardRows::load_without_data(&directory, &shard, layout(&space())).expect("dry rows");
    let expected = ShardRows {
        n_data: 0,
        simulated: Vec::new(),
        ..rows.clone()
    };
    assert_eq!(dry, expected);
    check(
        &directory,
        &shard,
        layout(&space()),
        Weighed::ByObservation,
        &rows.draws,
        SECRET,
    )
    .expect("check");
}

#[test]
fn an_empty_batch_keeps_its_width() {
    let rows = ShardRows {
        draws: rows().draws.slice(10..10),
        log_likelihood: vec![],
        n_data: 3,
        simulated: vec![],
        n_derived: 0,
        derived: Vec::new(),
        status: vec![],
        message: vec![],
    };
    let (directory, shard) = store(&rows);
    assert_eq!(
        ShardRows::load(&directory, &shard, layout(&space())).expect("load"),
        rows
    );
}

#[test]
fn every_kind_of_wrong_shard_is_refused_with_its_place() {
    fn change(change: impl FnOnce(&mut ShardRows)) -> ShardRows {
        let mut rows = rows();
        change(&mut rows);
        rows
    }
    let table = [
        (
            change(|rows| rows.draws.theta[3] = 0.41),
            "b in line 1 is 0.41, expected 0.4",
        ),
        (
            change(|rows| rows.draws.z[4] = 0.0),
            "z_a in line 2 is 0, expected 2.5",
        ),
        (
            change(|rows| rows.draws.log_prior[1] = -0.0),
            "log_prior in line 1 is -0, expected 0",
        ),
        (
            change(|rows| rows.draws.log_proposal[2] = 3.5),
            "log_proposal in line 2 is 3.5, expected 3.25",
        ),
        (
            change(|rows| rows.draws.component[1] = FLOW),
            "component in line 1 is flow 0, expected the prior",
        ),
        (
            change(|rows| rows.draws.first_row = 11),
            "the batch is round 1 row 11 and 3 rows from it, expected round 1 row 10 and 3 rows from it",
        ),
        (
            change(|rows| rows.draws.round = RoundId(2)),
            "the batch is round 2 row 10 and 3 rows from it, expected round 1 row 10 and 3 rows from it",
        ),
        (
            change(|rows| rows.log_likelihood[0] = Some(f64::NAN)),
            "log_likelihood in line 0 is NaN, expected null, a finite number or -inf",
        ),
        (
            change(|rows| rows.log_likelihood[0] = None),
            "log_likelihood in line 0 (status ok) is null, expected a number",
        ),
        (
            change(|rows| rows.log_likelihood[1] = Some(0.5)),
            "log_likelihood in line 1 (status failed) is 0.5, expected null",
        ),
        (
            change(|rows| rows.message[2] = Some("all is well".to_owned())),
            "message in line 2 (status ok) is 11 bytes long, expected at most 0 bytes",
        ),
        (
            change(|rows| rows.simulated[7] = f32::INFINITY),
            "x[1] in line 2 (status ok) is inf, expected a finite number",
        ),
        (
            change(|rows| {
                rows.n_data = 1;
                rows.simulated = vec![1.0; 3];
            }),
            "the width of column x is 1, expected 3",
        ),
    ];
    for (rows, expected) in table {
        let (directory, shard) = store(&rows);
        let error = check(
            &directory,
            &shard,
            layout(&space()),
            Weighed::ByObservation,
            &super::tests::rows().draws,
            SECRET,
        )
        .expect_err(expected);
        let path = directory.join("shard.parquet");
        assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));
    }
}

#[test]
fn reports_that_do_not_fit_their_shard_are_refused() {
    let rows = rows();
    let (directory, shard) = store(&rows);
    let refused = |shard: ShardFile| {
        let error = ShardRows::load(&directory, &shard, layout(&space()))
            .expect_err("refused")
            .to_string();
        error.rsplit(": ").next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        refused(ShardFile {
            n_failed: 0,
            ..shard.clone()
        }),
        "the number of failed rows is 1, expected 0"
    );
    assert_eq!(
        refused(ShardFile {
            n_rows: 4,
            ..shard.clone()
        }),
        "the number of rows is 3, expected 4"
    );
    assert_eq!(
        refused(ShardFile {
            first_row: 9,
            ..shard.clone()
        }),
        "row_id in line 0 is 10, expected 9"
    );
    assert_eq!(
        refused(ShardFile {
            round: RoundId(0),
            ..shard.clone()
        }),
        "sidereal.round is 1, expected 0"
    );

    let never = check(
        &directory,
        &shard,
        layout(&space()),
        Weighed::Never,
        &rows.draws,
        SECRET,
    )
    .expect_err("weighed");
    assert!(
        never
            .to_string()
            .ends_with("log_likelihood in line 0 (status ok) is -1, expected null"),
        "{never}"
    );
}

#[test]
fn files_of_other_formats_are_refused() {
    let rows = rows();
    let (directory, shard) = store(&rows);
    let draws = rows
        .draws
        .store(&space(), &directory, "draws.parquet")
        .expect("store");
    let error = ShardRows::load(
        &directory,
        &ShardFile {
            file: draws,
            ..shard.clone()
        },
        layout(&space()),
    );
    let message = error.expect_err("draws").to_string();
    assert!(
        message.ends_with("sidereal.format is sidereal-draws, expected sidereal-shard"),
        "{message}"
    );

    let text = directory
        .store("text", b"not a table at all".to_vec())
        .expect("store");
    let error = ShardRows::load(
        &directory,
        &ShardFile {
            file: text,
            ..shard
        },
        layout(&space()),
    );
    let message = error.expect_err("text").to_string();
    let start = format!(
        "cannot read {} as Parquet: ",
        directory.join("text").display()
    );
    assert!(message.starts_with(&start), "{message}");
}

#[test]
fn long_messages_are_cut_where_they_are_written_and_refused_where_they_are_not() {
    let mut long = rows();
    long.message[1] = Some("é".repeat(600) + "!");
    let (directory, shard) = store(&long);
    let expected = &rows().draws;
    let weighed = Weighed::ByObservation;
    check(
        &directory,
        &shard,
        layout(&space()),
        weighed,
        expected,
        SECRET,
    )
    .expect("cut");
    let loaded = ShardRows::load(&directory, &shard, layout(&space())).expect("load");
    assert_eq!(loaded.message[1], Some("é".repeat(512)));

    for (length, what) in [
        (
            1025,
            "message in line 1 (status failed) is 1025 bytes long, expected at most 1024 bytes",
        ),
        (1 << 20, "the unpacked size of column message is"),
    ] {
        let message = "m".repeat(length);
        let messages = [None, Some(message.as_str()), None];
        let path = directory.join("long");
        let columns = long.columns(&path, &space(), &messages).expect("columns");
        let bytes = encode(&path, FORMAT, &[("round", "1".to_owned())], columns).expect("encode");
        let file = directory.store("long", bytes).expect("store");
        let shard = ShardFile {
            file,
            ..shard.clone()
        };
        let error = check(
            &directory,
            &shard,
            layout(&space()),
            weighed,
            expected,
            SECRET,
        )
        .expect_err(what);
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_log_likelihood_that_contradicts_the_data_is_refused() {
    let mut noise = GaussianNoise::of_sigma(SigmaSource::Observed);
    noise.terms.jitter = Some(NoiseTerm::One("a".to_owned()));
    noise.terms.offset = Some(NoiseTerm::One("b".to_owned()));
    let observation = Observation {
        grid: vec![0.0, 1.0, 2.0],
        value: vec![1.5, 2.5, 3.5],
        sigma: vec![0.1, 0.2, 0.3],
    };
    let weighed = Weighed::ByNoise(&noise, &observation);
    let mut rows = rows();
    // What the worker had before it rounded.
    let data = [[1.000_000_01, 2.000_000_01, 3.0], [7.000_000_1, 8.0, 9.0]];
    rows.simulated = [data[0], [f64::NAN; 3], data[1]]
        .concat()
        .iter()
        .map(|&x| x as f32)
        .collect();
    let log_likelihood = |theta: &[f64], data: &[f64]| {
        let noise = noise.terms.of_row(&space(), theta);
        Some(noise.log_likelihood(&observation, data))
    };
    rows.log_likelihood = vec![
        log_likelihood(&[0.1, 0.2], &data[0]),
        None,
        log_likelihood(&[0.5, 0.6], &data[1]),
    ];
    let checked = |rows: &ShardRows| {
        let (directory, shard) = store(rows);
        let error = check(
            &directory,
            &shard,
            layout(&space()),
            weighed,
            &rows.draws,
            SECRET,
        )
        .err();
        error.map(|error| error.to_string())
    };
    assert_eq!(checked(&rows), None);
    rows.log_likelihood[2] = rows.log_likelihood[0];
    let message = checked(&rows).expect("refused");
    assert!(
        message.contains("log_likelihood in line 2 is -1.75") && message.contains("by its data"),
        "{message}"
    );
    rows.log_likelihood[2] = Some(f64::NEG_INFINITY);
    assert!(checked(&rows).is_some());
}

#[test]
fn damaged_shards_are_found_and_a_reader_says_what_repairs_them() {
    let directory = Directory::in_memory();
    let rows = rows();
    let names = ["whole", "cut", "changed", "missing"];
    let shards: Vec<ShardFile> = names
        .iter()
        .map(|name| rows.store(&directory, name, &space()).expect("store"))
        .collect();
    assert!(damaged(&directory, &shards).expect("read").is_empty());
    let bytes = directory.read("whole").expect("read");
    directory.write("cut", bytes.slice(..100)).expect("cut");
    let mut changed = bytes.to_vec();
    changed[50] ^= 1;
    directory.write("changed", changed.clone()).expect("change");
    directory.remove("missing").expect("remove");
    let found = damaged(&directory, &shards).expect("read");
    let found: Vec<(&str, String)> = found
        .iter()
        .map(|(shard, damage)| (shard.file.path.as_str(), damage.to_string()))
        .collect();
    let expected = [
        (
            "cut",
            format!(
                "memory/cut: the size is 100 bytes, expected {} bytes",
                bytes.len()
            ),
        ),
        (
            "changed",
            format!(
                "memory/changed: the SHA-256 is {}, expected {}",
                crate::base::files::sha256_hex(&changed),
                crate::base::files::sha256_hex(&bytes)
            ),
        ),
        ("missing", "cannot read memory/missing: ".to_owned()),
    ];
    assert_eq!(found.len(), 3, "{found:?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.0, expected.0);
        assert!(found.1.starts_with(&expected.1), "{found:?}");
    }
    let read = for_each_rows(&directory, &shards, layout(&space()), |_| {});
    let error = read.expect_err("damaged");
    assert!(!error.is_store_fault());
    assert_eq!(
        error.to_string(),
        format!(
            "{}; `sidereal repair memory` simulates the rows of damaged shards again",
            expected[0].1
        )
    );
}

/// `n_rows` draws of the prior with their own values as data, weighed by noise that takes no parameters.
fn many_rows(n_rows: u64, observation: &Observation) -> ShardRows {
    let draws = Draws::from_prior(&space(), 1, RoundId(1), 0..n_rows);
    let simulated: Vec<f32> = draws.theta.iter().map(|&theta| theta as f32).collect();
    let n_rows = draws.n_rows();
    ShardRows {
        log_likelihood: simulated
            .chunks_exact(2)
            .map(|data| {
                let data: Vec<f64> = data.iter().map(|&x| f64::from(x)).collect();
                Some(RowNoise::default().log_likelihood(observation, &data))
            })
            .collect(),
        n_data: 2,
        simulated,
        n_derived: 0,
        derived: Vec::new(),
        status: vec![RowStatus::Ok; n_rows],
        message: vec![None; n_rows],
        draws,
    }
}

#[test]
fn the_rows_that_are_looked_at_follow_from_the_content_and_the_secret() {
    fn lines(n_rows: u64, content: &str, secret: &str) -> Vec<u64> {
        let lines = recomputed_lines(n_rows, content, secret);
        lines.into_iter().collect()
    }
    assert_eq!(lines(0, "a", SECRET), Vec::<u64>::new());
    assert_eq!(lines(8, "a", SECRET), [0, 1, 2, 3, 4, 5, 6, 7]);
    let nine = lines(9, "a", SECRET);
    assert!(nine.len() == 8 && nine.iter().all(|&line| line < 9));
    let found = lines(1000, "a", SECRET);
    assert_eq!(found, lines(1000, "a", SECRET));
    assert_eq!(found.len(), 8);
    assert_ne!(found, lines(1000, "b", SECRET));
    assert_ne!(found, lines(1000, "a", "of another one"));

    let (noise, observation) = two_data();
    let good = many_rows(64, &observation);
    let mut n_refused = 0;
    for line in 0..64 {
        let mut rows = good.clone();
        rows.log_likelihood[line] = Some(-1e9);
        let (directory, shard) = store(&rows);
        let weighed = Weighed::ByNoise(&noise, &observation);
        let checked = check(
            &directory,
            &shard,
            ShardLayout {
                space: &space(),
                n_data: 2,
            },
            weighed,
            &rows.draws,
            SECRET,
        );
        let is_looked_at = lines(64, &shard.file.sha256, SECRET).contains(&(line as u64));
        assert_eq!(checked.is_err(), is_looked_at, "line {line}");
        n_refused += u32::from(is_looked_at);
    }
    assert!((2..=16).contains(&n_refused), "{n_refused} of 64");
}

#[test]
fn pages_that_say_to_unpack_to_more_than_their_column_are_refused_before_they_are() {
    let (noise, observation) = two_data();
    let rows = many_rows(100, &observation);
    let (directory, shard) = store(&rows);
    let good = directory.read("shard.parquet").expect("read");
    let checked = |bytes: Vec<u8>| {
        let file = directory.store("shard.parquet", bytes).expect("store");
        let shard = ShardFile {
            file,
            ..shard.clone()
        };
        let weighed = Weighed::ByNoise(&noise, &observation);
        check(
            &directory,
            &shard,
            ShardLayout {
                space: &space(),
                n_data: 2,
            },
            weighed,
            &rows.draws,
            SECRET,
        )
        .map_err(|error| error.to_string().replace("memory/shard.parquet: ", ""))
    };
    assert_eq!(checked(good.to_vec()), Ok(()));
    let reader = ArrowReaderMetadata::load(&good, Default::default()).expect("a shard");
    let column = reader.metadata().row_group(0).columns().last().expect("x");
    assert_eq!(column.column_path().string(), "x.list.item");
    let page = usize::try_from(column.data_page_offset()).expect("in the file");
    // A number of two bytes: what the page of 100 rows of two data unpacks to.
    assert_eq!(good[page..page + 3], [0x15, 0x00, 0x15]);
    assert!(good[page + 3] & 0x80 != 0 && good[page + 4] & 0x80 == 0);
    let mut large = good.to_vec();
    large[page + 3..page + 5].copy_from_slice(&[0xfe, 0x7f]);
    let reason = format!(
        "what the pages of column x unpack to is 8191 bytes, expected at most the column's {} bytes",
        column.uncompressed_size()
    );
    assert_eq!(checked(large.clone()), Err(reason.clone()));
    // Whoever reads it.
    let file = directory.store("shard.parquet", large).expect("store");
    let large = ShardFile {
        file,
        ..shard.clone()
    };
    let error = ShardRows::load(&directory, &large, layout(&space())).expect_err("large");
    assert_eq!(error.to_string(), format!("memory/shard.parquet: {reason}"));
    let mut other = good.to_vec();
    other[page + 1] = 4;
    assert_eq!(
        checked(other),
        Err(
            "a page of column x is one of another type, expected a data page of plain values"
                .to_owned()
        )
    );
}
