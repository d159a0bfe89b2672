//! The rules of ARCHITECTURE.md that a machine can check.

mod imports;

use std::path::{Path, PathBuf};

/// A longer file usually has two subjects.
const MAX_LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust sources of the workspace, in order.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let parts = [
        "src",
        "tests",
        "inference",
        "models",
        "proto",
        "store",
        "coordinator",
        "worker",
        "trainer",
        "predict",
        "benches",
        "examples",
    ];
    let mut folders: Vec<PathBuf> = parts.iter().map(|part| root().join(part)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .expect("source folders can be read")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

/// Names under `[dependencies]`, without what only tests and build scripts need.
fn dependencies(member: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(member).join("Cargo.toml")).expect("Cargo.toml");
    text.lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let services = [
        "sidereal-coordinator",
        "sidereal-worker",
        "sidereal-trainer",
    ];
    for member in [
        "inference",
        "models",
        "proto",
        "store",
        "coordinator",
        "worker",
        "trainer",
    ] {
        let found = dependencies(member);
        for service in services {
            assert!(
                !found.iter().any(|name| name == service),
                "{member} depends on {service}"
            );
        }
    }
    for member in ["inference", "models"] {
        let found = dependencies(member);
        for forbidden in ["tokio", "tonic", "burn", "object_store", "sidereal-proto"] {
            assert!(
                !found.iter().any(|name| name == forbidden),
                "{member} depends on {forbidden}"
            );
        }
    }
    // Campaign files are read against a catalogue; only who runs models knows them.
    for member in ["inference", "proto", "store", "coordinator", "trainer"] {
        let found = dependencies(member);
        assert!(
            !found.iter().any(|name| name == "sidereal-models"),
            "{member} depends on the forward models"
        );
    }
}

#[test]
fn burn_is_in_the_trainer_alone() {
    for member in [
        ".",
        "inference",
        "models",
        "proto",
        "store",
        "coordinator",
        "worker",
        "predict",
    ] {
        assert!(
            !dependencies(member).iter().any(|name| name == "burn"),
            "{member} depends on burn"
        );
    }
    assert!(dependencies("trainer").iter().any(|name| name == "burn"));
}

#[test]
fn every_file_says_what_it_is_for_and_has_one_subject() {
    let mut faults = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
        let name = path.strip_prefix(root()).unwrap_or(&path).display();
        if !text.starts_with("//!") {
            faults.push(format!("{name} does not begin with a //! line"));
        }
        if text.lines().count() > MAX_LINES {
            faults.push(format!("{name} has more than {MAX_LINES} lines"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The folders of the libraries' sources.
const LIBRARIES: [&str; 9] = [
    "inference/src",
    "models/src",
    "proto/src",
    "store/src",
    "coordinator/src",
    "worker/src",
    "trainer/src",
    "predict/src",
    "src",
];

#[test]
fn no_files_import_from_each_other_in_a_circle() {
    let mut faults = Vec::new();
    for folder in LIBRARIES {
        if let Some(circle) = imports::cycle(&imports::of_crate(&root().join(folder))) {
            faults.push(format!("{folder}: {}", circle.join(" -> ")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Rooms of the mathematics, from the ground up: each imports from those below it only.
const ROOMS: [&str; 8] = [
    "base",
    "space",
    "campaign",
    "campaign_file",
    "weights",
    "records",
    "method",
    "account",
];

#[test]
fn rooms_of_the_mathematics_import_downwards_only() {
    let imports = imports::of_crate(&root().join("inference/src"));
    let floor = |module: &[String]| {
        let room = module.first()?;
        let floor = ROOMS.iter().position(|known| known == room);
        assert!(floor.is_some(), "{room} is no room of inference: {ROOMS:?}");
        floor
    };
    let mut faults = Vec::new();
    for (module, of) in &imports {
        for other in of.iter().filter(|_| !module.is_empty()) {
            if floor(other) > floor(module) {
                let (module, other) = (module.join("::"), other.join("::"));
                faults.push(format!("{module} imports from {other}, which is above it"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(imports.len() > 60, "only {} files found", imports.len());
}

#[test]
fn circles_are_found() {
    let of = |edges: &[(&str, &[&str])]| {
        let module = |name: &str| vec![name.to_owned()];
        let imports = edges
            .iter()
            .map(|(file, of)| (module(file), of.iter().map(|name| module(name)).collect()))
            .collect();
        imports::cycle(&imports).map(|circle| circle.join(" "))
    };
    let line: [(&str, &[&str]); 3] = [("a", &["b"]), ("b", &["c"]), ("c", &[])];
    assert_eq!(of(&line), None);
    let circle: [(&str, &[&str]); 4] =
        [("a", &["b"]), ("b", &["c"]), ("c", &["d", "b"]), ("d", &[])];
    assert_eq!(of(&circle).as_deref(), Some("b c b"));
}
