//! The stored corpus of journals, as the fuzzer runs it.

#[path = "../../../fuzz/parsers/journal.rs"]
mod parser;

use super::peers::{Habit, campaign};
use super::runs::finish;
use sidereal_inference::records::Directory;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/journal")
}

#[test]
fn no_journal_of_the_corpus_makes_us_panic() {
    let entries = std::fs::read_dir(folder()).expect("the corpus");
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let is_good = |path: &PathBuf| parser::parse(&std::fs::read(path).expect("a file"));
    let n_good = paths.iter().filter(|path| is_good(path)).count();
    assert!(n_good >= 2, "{n_good} of {} are journals", paths.len());
}

/// Writes the journals of a campaign that is finished, and of one that goes on with a raised target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes fuzz/corpus/journal"]
async fn write_the_corpus() {
    let directory = Directory::in_memory();
    let mut short = campaign();
    short.rounds.max = 2;
    for (name, top_up) in [("finished", 0), ("topped-up", 100)] {
        short.rounds.stop.top_up = top_up;
        finish(&directory, short.clone(), &[Habit::Steady]).await;
        let mut lines = String::new();
        for record in directory.list("journal").expect("list") {
            let bytes = directory.read(&record).expect("read");
            let text = String::from_utf8_lossy(&bytes);
            let (body, _checksum) = text.rsplit_once(",\"sha256\"").expect("a record");
            lines.push_str(body);
            lines.push_str("}\n");
        }
        std::fs::write(folder().join(name), lines).expect("write");
    }
}
