//! Catalogues: many targets at a time, the same bytes whatever the threads and however often it was killed.

use crate::setup::{errors, fit, run, sidereal, status, text, write};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CAMPAIGN: &str = r#"
name = "lines"
[[parameters]]
name = "a"
prior = { normal = { mean = 0.0, sd = 1.0 } }
[[parameters]]
name = "b"
prior = { normal = { mean = 0.0, sd = 1.0 } }
[simulator]
builtin = "linear-gaussian"
grid = [0, 1, 2, 3]
matrix = [[1, 0.0], [1, 1.0], [1, 2.0], [1, 3.0]]
[noise]
gaussian = { sigma = { uniform = { low = 0.3, high = 0.6 } } }
[featurizer]
kind = "mlp"
[flow]
kind = "maf"
blocks = 1
hidden = 16
components = 1
[training]
max_epochs = 20
[rounds]
simulations = 4000
"#;

const N_EFF: f64 = 3000.0;
const SETTINGS: [&str; 4] = ["--n-eff", "3000", "--simulations", "20000"];
const N_TARGETS: usize = 10;
/// One that lacks a datum.
const BROKEN: usize = 4;

/// A datum of a target: where, what, and its error.
type Datum = (f64, f64, f64);

fn name(target: usize) -> String {
    format!("star {target}")
}

fn data(target: usize) -> Vec<Datum> {
    let n_data = if target == BROKEN { 3 } else { 4 };
    let datum = |j: u32| {
        let (t, i) = (f64::from(j), target as f64);
        let value = 0.15 * i - 0.7 + (0.4 - 0.08 * i) * t + 0.3 * (i + 3.0 * t).sin();
        (t, value, 0.4 + 0.01 * i + 0.01 * t)
    };
    (0..n_data).map(datum).collect()
}

/// A row a datum, target by target.
fn write_parquet(path: &Path, targets: &[usize], change: f64) {
    let mut columns: [Vec<f64>; 3] = Default::default();
    let mut names = Vec::new();
    for &target in targets {
        for (grid, value, sigma) in data(target) {
            names.push(name(target));
            columns[0].push(grid);
            columns[1].push(value + change);
            columns[2].push(sigma);
        }
    }
    let [grid, value, sigma] =
        columns.map(|column| Arc::new(Float64Array::from(column)) as ArrayRef);
    let names = Arc::new(StringArray::from(names)) as ArrayRef;
    let columns = [
        ("target", names),
        ("time", grid),
        ("flux", value),
        ("flux_err", sigma),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let file = std::fs::File::create(path).expect("a new file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

/// A trained model and a catalogue.
struct Place {
    directory: tempfile::TempDir,
    model: PathBuf,
    catalogue: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let campaign = write(directory.path(), "campaign.toml", CAMPAIGN);
        let model = directory.path().join("run");
        fit(&campaign, &model, &[], &[0]);
        let catalogue = directory.path().join("stars.parquet");
        write_parquet(&catalogue, &(0..N_TARGETS).collect::<Vec<_>>(), 0.0);
        Self {
            directory,
            model,
            catalogue,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn predict(&self, catalogue: &Path, out: &Path, more: &[&str]) -> Output {
        let arguments = [
            "predict",
            text(&self.model),
            text(catalogue),
            "--out",
            text(out),
        ];
        run(&[&arguments[..], &SETTINGS, more].concat())
    }
}

/// All files by their paths.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root).expect("within").to_owned();
                files.insert(relative, std::fs::read(&path).expect("a file"));
            }
        }
    }
    files
}

fn assert_same(found: &Path, expected: &Path) {
    let (found, expected) = (tree(found), tree(expected));
    let paths: Vec<&PathBuf> = found.keys().collect();
    assert_eq!(paths, expected.keys().collect::<Vec<_>>());
    for (path, bytes) in &found {
        assert!(*bytes == expected[path], "{} differs", path.display());
    }
}

/// The table of all targets, in one piece.
fn table(out: &Path) -> RecordBatch {
    let file = std::fs::File::open(out.join("catalogue.parquet")).expect("a table");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let mut reader = builder.build().expect("readable");
    reader.next().expect("rows").expect("readable")
}

fn numbers(table: &RecordBatch, name: &str) -> Vec<Option<f64>> {
    let column = table.column_by_name(name).expect(name);
    let column = column.as_any().downcast_ref::<Float64Array>().expect(name);
    column.iter().collect()
}

/// Mean and standard deviation of both parameters, in closed form.
fn exact(data: &[Datum]) -> [(f64, f64); 2] {
    // Of the prior.
    let mut precision = [1.0, 0.0, 1.0];
    let mut right = [0.0, 0.0];
    for (t, value, sigma) in data {
        let weight = 1.0 / (sigma * sigma);
        precision[0] += weight;
        precision[1] += weight * t;
        precision[2] += weight * t * t;
        right[0] += weight * value;
        right[1] += weight * t * value;
    }
    let [p, q, r] = precision;
    let determinant = p * r - q * q;
    [
        (
            (r * right[0] - q * right[1]) / determinant,
            (r / determinant).sqrt(),
        ),
        (
            (p * right[1] - q * right[0]) / determinant,
            (p / determinant).sqrt(),
        ),
    ]
}

#[test]
fn a_catalogue_has_the_same_bytes_whatever_the_threads_and_kills() {
    let place = Place::new();
    let one = place.path("one");
    let output = place.predict(&place.catalogue, &one, &["--threads", "1"]);
    assert_eq!(status(&output), 3, "{}", errors(&output));
    let message = "target star 4: found 3 data, the model was trained on 4";
    assert!(errors(&output).contains(message), "{}", errors(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "targets            10\n",
        "status 0           9 done\n",
        "status 2           1 cannot be used\n",
        "n_eff of 3,000     9 have it\n",
        "targets a second)",
    ] {
        assert!(printed.contains(line), "{printed}");
    }
    check_table(&one);

    let four = place.path("four");
    let output = place.predict(&place.catalogue, &four, &["--threads", "4", "-q"]);
    assert_eq!(status(&output), 3, "{}", errors(&output));
    assert_same(&four, &one);

    let killed = place.path("killed");
    let n_done = kill_in_the_middle(&place, &killed);
    assert!((1..N_TARGETS - 1).contains(&n_done), "{n_done} are done");
    let output = place.predict(&place.catalogue, &killed, &["--threads", "2"]);
    assert_eq!(status(&output), 3, "{}", errors(&output));
    assert!(
        errors(&output).contains("targets, going on with"),
        "{}",
        errors(&output)
    );
    assert_same(&killed, &one);

    // What is damaged is made again; what is done is left as it is.
    let posterior = killed.join("posteriors/target=star%207/posterior.parquet");
    let mut bytes = std::fs::read(&posterior).expect("draws");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&posterior, bytes).expect("one bit of damage");
    let before = modified(&killed.join("targets/star%202.json"));
    let output = place.predict(&place.catalogue, &killed, &[]);
    assert_eq!(status(&output), 3, "{}", errors(&output));
    assert_same(&killed, &one);
    assert_eq!(modified(&killed.join("targets/star%202.json")), before);

    // A folder of files of the same names.
    let folder = place.path("folder");
    std::fs::create_dir(&folder).expect("a folder");
    for target in 0..N_TARGETS {
        let row = |(grid, value, sigma): Datum| format!("{grid},{value},{sigma}\n");
        let rows: String = data(target).into_iter().map(row).collect();
        write(
            &folder,
            &format!("{}.csv", name(target)),
            &format!("time,flux,flux_err\n{rows}"),
        );
    }
    let of_folder = place.path("of-folder");
    let output = place.predict(&folder, &of_folder, &["-q", "--json"]);
    assert_eq!(status(&output), 3, "{}", errors(&output));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(N_TARGETS));
    for part in ["posteriors", "targets"] {
        assert_same(&of_folder.join(part), &one.join(part));
    }
}

fn modified(path: &Path) -> std::time::SystemTime {
    let metadata = std::fs::metadata(path).expect("it is there");
    metadata.modified().expect("a time")
}

/// Kills once a target is done, and says how many are.
fn kill_in_the_middle(place: &Place, out: &Path) -> usize {
    let arguments = [
        "predict",
        text(&place.model),
        text(&place.catalogue),
        "--out",
        text(out),
    ];
    let mut command = sidereal(&[&arguments[..], &SETTINGS, &["--threads", "1", "-q"]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the command starts");
    let n_done = || {
        let entries = std::fs::read_dir(out.join("targets"))
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).count()
    };
    let begun = Instant::now();
    while n_done() == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no target was done"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    n_done()
}

/// The posteriors are those in closed form, and the table says where they are.
fn check_table(out: &Path) {
    let table = table(out);
    let statuses = table.column_by_name("status").expect("a column");
    let statuses = statuses
        .as_any()
        .downcast_ref::<UInt32Array>()
        .expect("integers");
    let n_eff = numbers(&table, "n_eff");
    let mut medians = ["a_median", "b_median"].map(|name| numbers(&table, name).into_iter());
    for target in 0..N_TARGETS {
        let found = medians
            .each_mut()
            .map(|medians| medians.next().expect("a row"));
        if target == BROKEN {
            assert_eq!((statuses.value(target), n_eff[target]), (2, None));
            assert_eq!(found, [None; 2]);
            continue;
        }
        assert_eq!(statuses.value(target), 0, "target {target}");
        let n_eff = n_eff[target].expect("draws");
        assert!(n_eff >= N_EFF, "target {target} has {n_eff}");
        for (median, (mean, sd)) in found.into_iter().zip(exact(&data(target))) {
            // The median of a Gaussian is its mean, with an error larger by √(π / 2).
            let error = 1.2533 * sd / n_eff.sqrt();
            let distance = (median.expect("a median") - mean).abs() / error;
            assert!(distance < 4.5, "target {target} is {distance} errors off");
        }
        let posterior = format!("posteriors/target=star%20{target}/posterior.parquet");
        assert!(out.join(posterior).exists());
    }
    let page = std::fs::read_to_string(out.join("catalogue.html")).expect("a page");
    assert!(
        page.contains("star 9") && page.contains("found 3 data"),
        "{page}"
    );
}

#[test]
fn results_of_something_else_are_refused_and_catalogues_may_grow() {
    let place = Place::new();
    let out = place.path("out");
    let few = place.path("few.parquet");
    write_parquet(&few, &[3, 1], 0.0);
    let output = place.predict(&few, &out, &["-q"]);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    let before = tree(&out);
    let refused = |catalogue: &Path, more: &[&str], expected: &str| {
        let output = place.predict(catalogue, &out, more);
        assert_eq!(status(&output), 2, "{}", errors(&output));
        assert!(errors(&output).contains(expected), "{}", errors(&output));
        assert!(tree(&out) == before, "something was written");
    };
    refused(
        &few,
        &["--seed", "1"],
        "made with another --seed: found 0, asked for 1",
    );
    let changed = place.path("changed.parquet");
    write_parquet(&changed, &[1, 3], 0.01);
    refused(
        &changed,
        &[],
        "results of 2 targets whose data are not what they were: star 1, star 3",
    );
    let other = place.path("other.parquet");
    write_parquet(&other, &[1, 2], 0.0);
    refused(
        &other,
        &[],
        "results of 1 target that the catalogue does not have: star%203",
    );
    let broken = place.path("broken.parquet");
    write_parquet(&broken, &[BROKEN], 0.0);
    refused(
        &broken,
        &[],
        "target star 4: found 3 data, the model was trained on 4",
    );
    refused(&few, &["--draws", "10"], "cannot be used with");
    let nothing = write(place.directory.path(), "nothing.parquet", "PAR1");
    refused(&nothing, &[], "nothing.parquet: ");

    let grown = place.path("grown.parquet");
    write_parquet(&grown, &[0, 1, 2, 3], 0.0);
    let output = place.predict(&grown, &out, &["-q"]);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    let at_once = place.path("at-once");
    let output = place.predict(&grown, &at_once, &["-q"]);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    assert_same(&out, &at_once);

    // Without its options a catalogue is one all the same, but not with those of single observations.
    let alone = ["predict", text(&place.model), text(&few), "--draws", "10"];
    let output = run(&alone);
    assert_eq!(status(&output), 2, "{}", errors(&output));
    let message = "found --draws, expected --n-eff and --simulations with a catalogue";
    assert!(errors(&output).contains(message), "{}", errors(&output));
}
