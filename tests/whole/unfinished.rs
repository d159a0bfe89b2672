//! What `sidereal report` shows of a campaign that is not finished, and that it leaves everything else alone.

use crate::setup::{errors, fit, run, status, text, write};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const CAMPAIGN: &str = r#"
name = "small"
parameters = [{ name = "a", prior = { normal = { mean = 0.0, sd = 1.0 } } }]
[simulator]
builtin = "linear-gaussian"
matrix = [[1.0], [1.0]]
[observation]
grid = [0.0, 1.0]
value = [0.1, 0.2]
sigma = [0.5, 0.5]
[featurizer]
kind = "mlp"
layers = 1
hidden = 4
features = 4
[flow]
blocks = 1
hidden = 4
components = 2
[training]
max_epochs = 2
[rounds]
max = 2
simulations = 200
"#;

/// All files below a directory, by path.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(text(&path).to_owned(), fs::read(&path).expect("read"));
        }
    }
    found
}

/// A campaign as a coordinator leaves it that is killed before it writes the results.
fn killed(directory: &Path, rule: &str) -> std::path::PathBuf {
    let toml = format!("{CAMPAIGN}stop = {{ rule = \"{rule}\" }}\n");
    let (campaign, out) = (write(directory, "small.toml", &toml), directory.join("out"));
    fit(&campaign, &out, &[], &[0, 3]);
    let mut records: Vec<_> = fs::read_dir(out.join("journal"))
        .expect("a journal")
        .map(|entry| entry.expect("a record").path())
        .collect();
    records.sort();
    let is_result = |path: &Path| {
        fs::read_to_string(path)
            .expect("a record")
            .contains("\"finished\"")
    };
    let first = records
        .iter()
        .position(|path| is_result(path))
        .expect("a result");
    for record in &records[first..] {
        fs::remove_file(record).expect("remove");
    }
    for name in [
        "posterior.parquet",
        "summary.json",
        "fit.parquet",
        "fit.png",
        "corner.png",
        "training.png",
        "report.html",
    ] {
        fs::remove_file(out.join(name)).expect("remove");
    }
    out
}

/// The page; nothing else may have changed.
fn report(out: &Path) -> String {
    let before = files(out);
    let output = run(&["report", text(out)]);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    let page = out.join("report.html");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{}\n", page.display())
    );
    assert!(errors(&output).starts_with("still running: 2 rounds are weighed; "));
    let mut after = files(out);
    let page = after.remove(text(&page)).expect("a page");
    assert_eq!(before, after);
    String::from_utf8(page).expect("UTF-8")
}

#[test]
fn a_page_shows_the_posterior_so_far() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let page = report(&killed(directory.path(), "paper"));
    assert!(page.contains("<meta http-equiv=\"refresh\" content=\"10\">"));
    assert!(page.contains("<strong>Still running.</strong> 2 rounds are weighed; n_eff "));
    assert!(page.contains("alt=\"corner plot of the posterior\""));
    assert!(!page.contains("No check failed") && !page.contains("Not to be trusted"));
}

#[test]
fn a_page_shows_no_posterior_on_the_way_to_it() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let page = report(&killed(directory.path(), "bootstrap"));
    let sentence =
        "<strong>Still running.</strong> 2 rounds are weighed; finding the posterior: 2 rounds";
    assert!(page.contains(sentence), "{page}");
    assert!(!page.contains("corner plot") && !page.contains("<h2>Parameters"));
}
