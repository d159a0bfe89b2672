//! The stored corpus of campaign files, campaigns of models and shards, as the fuzzer runs it.

#[path = "../../fuzz/parsers/campaign_file.rs"]
mod campaign_file;
#[path = "../../fuzz/parsers/campaign_json.rs"]
mod campaign_json;
#[path = "../../fuzz/parsers/shard.rs"]
mod shard;

use sidereal_inference::campaign_file::{load, parse, to_toml};
use sidereal_inference::records::Directory;
use sidereal_inference::records::shard::{RowStatus, ShardRows};
use sidereal_models::Catalogue;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// How many of a target's files it takes; none may make it panic.
fn n_good(target: &str, parse: impl Fn(&[u8]) -> bool) -> usize {
    let entries = std::fs::read_dir(root().join("fuzz/corpus").join(target)).expect("the corpus");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| parse(&std::fs::read(path).expect("a file")))
        .count()
}

#[test]
fn no_campaign_file_of_the_corpus_makes_us_panic() {
    let n_good = n_good("campaign_file", campaign_file::parse);
    assert!(n_good >= 6, "{n_good} are campaigns");
}

#[test]
fn no_campaign_of_a_model_in_the_corpus_makes_us_panic() {
    let n_good = n_good("campaign_json", campaign_json::parse);
    assert!(n_good >= 6, "{n_good} are campaigns");
}

#[test]
fn no_shard_of_the_corpus_makes_us_panic() {
    let n_good = n_good("shard", shard::parse);
    assert!(n_good >= 3, "{n_good} are shards");
}

/// What the examples leave out.
const MORE: [(&str, &str); 4] = [
    (
        "joint",
        r#"
name = "joint"
parameters = [
    { name = "a" },
    { name = "b", prior = { beta = { alpha = 2, beta = 3, low = -1 } } },
    { name = "c" },
]
[prior]
multivariate_normal = { mean = [1, 2], covariance = [[4, 1], [1, 9.25]] }
[simulator]
builtin = "linear-gaussian"
[observation]
grid = [0, 1, 2]
value = [1, 2, 3]
sigma = [1, 1, 1]
[featurizer]
kind = "resnet-gru"
[flow]
kind = "nsf-coupling"
"#,
    ),
    (
        "slcp",
        r#"
name = "slcp"
parameters = [
    { name = "a", prior = { normal = { mean = 0, sd = 1 } } },
    { name = "b", prior = { log_normal = { mean = 0, sd = 0.5 } } },
    { name = "c", prior = { truncated_normal = { mean = 0, sd = 1, low = -1, high = 4 } } },
    { name = "d", prior = { uniform = { low = -3, high = 3 } }, periodic = true },
    { name = "e", prior = { log_uniform = { low = 0.1, high = 10 } } },
]
[simulator]
builtin = "slcp"
[observation]
value = [1, 2, 3, 4, 5, 6, 7, 8]
[flow]
kind = "nsf"
bins = 5
[training]
loss = "nll"
[rounds]
stop = { n_eff = 100, simulations = 4_000, wall_time = "1h30m" }
"#,
    ),
    (
        "lotka-volterra",
        r#"
name = "lotka-volterra"
seed = 7
parameters = [
    { name = "alpha", prior = { log_normal = { mean = -0.1, sd = 0.5 } } },
    { name = "beta", prior = { log_normal = { mean = -3.0, sd = 0.5 } } },
    { name = "gamma", prior = { log_normal = { mean = -0.1, sd = 0.5 } } },
    { name = "delta", prior = { log_normal = { mean = -3.0, sd = 0.5 } } },
]
[simulator]
builtin = "lotka-volterra"
prey = 20
grid = [0, 1, 2.5, 0, 1, 2.5]
[training]
loss = "apt"
atoms = 5
[workers]
count = 3
"#,
    ),
    (
        "spectrum",
        r#"
name = "spectrum"
parameters = [
    { name = "c0", prior = { normal = { mean = 0, sd = 1 } } },
    { name = "s", prior = { normal = { mean = 0, sd = 1 } } },
    { name = "d", prior = { normal = { mean = 0, sd = 1 } } },
    { name = "v", prior = { normal = { mean = 0, sd = 1 } } },
    { name = "w", prior = { normal = { mean = 0, sd = 1 } } },
    { name = "r", prior = { normal = { mean = 0, sd = 1 } } },
]
[simulator]
builtin = "absorption-spectrum"
lines = [0.25, 0.75]
grid = { start = 0, stop = 1, count = 12 }
[noise]
gaussian = { sigma = { log_uniform = { low = 0.1, high = 1 } } }
[featurizer]
kind = "resnet"
normalization = "batch"
"#,
    ),
];

/// Writes the examples and what they leave out, their JSON, and shards of the parser's rows.
#[test]
#[ignore = "writes fuzz/corpus"]
fn write_the_corpus() {
    let corpus = root().join("fuzz/corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::write(corpus.join(target).join(name), bytes).expect("write");
    };
    let example = |name: &str| {
        let path = root().join(format!("examples/sine/{name}.toml"));
        to_toml(&load(&path, &Catalogue::default()).expect("an example"))
    };
    let mut campaigns = vec![
        ("sine", example("campaign")),
        ("sine-amortized", example("amortized")),
    ];
    campaigns.extend(MORE.map(|(name, text)| (name, text.to_owned())));
    for (name, text) in campaigns {
        let campaign = parse(&text, Path::new(name), &Catalogue::default()).expect(name);
        write("campaign_file", name, text.as_bytes());
        let json = serde_json::to_vec(&campaign).expect("JSON");
        write("campaign_json", name, &json);
    }
    write("shard", "good", &shard_of(0, true));
    write("shard", "failed", &shard_of(1, true));
    write("shard", "amortized", &shard_of(0, false));
}

/// The parser's rows, of which the first `n_failed` have no answer.
fn shard_of(n_failed: usize, is_weighed: bool) -> Vec<u8> {
    let n = shard::N_ROWS as usize;
    let failed = |row: usize| row < n_failed;
    let status = |row: usize| match failed(row) {
        true => RowStatus::Failed,
        false => RowStatus::Ok,
    };
    let datum = |i: usize| match failed(i / shard::N_DATA) {
        true => f32::NAN,
        false => i as f32,
    };
    let rows = ShardRows {
        draws: shard::draws(),
        log_likelihood: (0..n)
            .map(|row| (is_weighed && !failed(row)).then_some(-0.5 * row as f64))
            .collect(),
        n_data: shard::N_DATA,
        simulated: (0..n * shard::N_DATA).map(datum).collect(),
        n_derived: 0,
        derived: Vec::new(),
        status: (0..n).map(status).collect(),
        message: (0..n)
            .map(|row| failed(row).then(|| "no answer".to_owned()))
            .collect(),
    };
    let directory = Directory::in_memory();
    rows.store(&directory, "shard", &shard::space())
        .expect("stored");
    directory.read("shard").expect("read").to_vec()
}
