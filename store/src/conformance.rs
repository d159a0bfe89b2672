//! What every [`Storage`](sidereal_inference::records::Storage) must do, as checks that run on any of them.

use sidereal_inference::records::{Created, Directory};
use std::io;
use std::sync::Barrier;

/// Runs all checks; the reason of the first that fails. `directory` must be empty.
pub fn check(directory: &Directory) -> Result<(), String> {
    reads_what_was_written(directory)?;
    reads_several_in_order(directory)?;
    creates_once(directory)?;
    lists_in_order(directory)?;
    of_many_creators_one_wins(directory)
}

fn reads_what_was_written(directory: &Directory) -> Result<(), String> {
    let missing = said(directory.read_if_there("a/none"))?;
    expect(missing.is_none(), "an object that is not there was read")?;
    match directory.read("a/none") {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("a missing object gives {error}, not NotFound")),
        Ok(_) => return Err("an object that is not there was read".to_owned()),
    }
    for contents in ["first", "second, longer", ""] {
        said(directory.write("a/object", contents))?;
        let found = said(directory.read("a/object"))?;
        expect(found == contents, "what was written is not what is read")?;
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    said(directory.write("a/large", large.clone()))?;
    expect(
        said(directory.read("a/large"))? == large,
        "a large object changed",
    )?;
    said(directory.remove("a/large"))?;
    said(directory.remove("a/large"))?;
    expect(
        said(directory.read_if_there("a/large"))?.is_none(),
        "a removed object is there",
    )
}

fn reads_several_in_order(directory: &Directory) -> Result<(), String> {
    let mut stored = Vec::new();
    for n in 0..40 {
        let contents = format!("object {n}").into_bytes();
        stored.push(said(directory.store(&format!("several/{n}"), contents))?);
    }
    let all: Vec<_> = stored.iter().collect();
    let read = directory.read_all_stored(&all);
    let read = read.map_err(|error| error.to_string())?;
    for (n, contents) in read.iter().enumerate() {
        expect(
            contents == format!("object {n}").as_bytes(),
            "several objects are out of order",
        )?;
    }
    said(directory.remove("several/20"))?;
    expect(
        directory.read_all_stored(&all).is_err(),
        "a missing object among several was read",
    )
}

fn creates_once(directory: &Directory) -> Result<(), String> {
    let first = said(directory.create("c/once", "first"))?;
    expect(
        first == Created::Created,
        "a new object was not created as new",
    )?;
    let second = said(directory.create("c/once", "second"))?;
    expect(
        second == Created::AlreadyExists,
        "an object was created twice",
    )?;
    expect(
        said(directory.read("c/once"))? == "first",
        "the second creation replaced the first",
    )
}

fn lists_in_order(directory: &Directory) -> Result<(), String> {
    for name in ["l/b", "l/a/2", "l/a/1", "lower/x"] {
        said(directory.write(name, name))?;
    }
    let found = said(directory.list("l"))?;
    expect(
        found == ["l/a/1", "l/a/2", "l/b"],
        &format!("the folder lists {found:?}"),
    )?;
    expect(
        said(directory.list("nowhere"))?.is_empty(),
        "a missing folder lists something",
    )
}

fn of_many_creators_one_wins(directory: &Directory) -> Result<(), String> {
    const N: usize = 8;
    for n in 0..8 {
        let path = format!("race/{n}");
        let barrier = Barrier::new(N);
        let results: Vec<Result<Created, String>> = std::thread::scope(|scope| {
            let creators: Vec<_> = (0..N)
                .map(|creator| {
                    let (path, barrier) = (&path, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        said(directory.create(path, format!("creator {creator}")))
                    })
                })
                .collect();
            creators
                .into_iter()
                .map(|creator| {
                    creator
                        .join()
                        .unwrap_or_else(|_| Err("a creator panicked".to_owned()))
                })
                .collect()
        });
        let mut winners = Vec::new();
        for (creator, result) in results.into_iter().enumerate() {
            if result? == Created::Created {
                winners.push(format!("creator {creator}"));
            }
        }
        let found = said(directory.read(&path))?;
        expect(winners.len() == 1, &format!("{winners:?} created {path}"))?;
        expect(
            found == winners[0],
            "another's contents than the winner's are there",
        )?;
    }
    Ok(())
}

fn said<T>(result: Result<T, sidereal_inference::base::files::FileError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn expect(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}
