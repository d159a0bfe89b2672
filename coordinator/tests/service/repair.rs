//! Committed shards that are cut, changed or gone: found, simulated again, and refused where that gives other bytes.

use super::peers::{Habit, campaign, simulate, spawn_trainer, spawn_worker};
use super::runs::{Trial, soon};
use sidereal_coordinator::{Committed, Earlier, RepairError, StartError};
use sidereal_inference::base::AttemptId;
use sidereal_inference::records::shard::ShardRows;
use sidereal_inference::records::{BatchLease, Directory, Draws, ShardFile};

/// As the workers of the tests do.
fn again(draws: Draws) -> Result<ShardRows, String> {
    let lease = BatchLease {
        attempt: AttemptId(0),
        shard_path: String::new(),
        draws,
        lease_s: 1.0,
    };
    Ok(simulate(&campaign(), lease, Habit::Steady))
}

/// All files and what they hold.
fn snapshot(directory: &Directory) -> Vec<(String, Vec<u8>)> {
    let names = directory.list("").expect("list");
    let read = |name: String| {
        let bytes = directory.read(&name).expect("read").to_vec();
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

fn cut(directory: &Directory, shard: &ShardFile) {
    let bytes = directory.read(&shard.file.path).expect("read");
    let half = bytes.slice(..bytes.len() / 2);
    directory.write(&shard.file.path, half).expect("write");
}

/// A finished campaign whose row 5 of round 0 was given up.
async fn finished() -> Directory {
    let trial = Trial::start().await;
    let worker = spawn_worker(&trial.reach(), Habit::KilledBy(5));
    let trainer = spawn_trainer(&trial.running.access, &trial.directory);
    soon(trial.running.wait()).await.expect("finishes");
    worker.await.expect("no panic");
    trainer.await.expect("no panic");
    trial.directory
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_damaged_shard_comes_back_byte_for_byte() {
    let directory = finished().await;
    let good = snapshot(&directory);
    let committed = Committed::read(&directory).expect("a journal");
    let shards = committed.shards();
    assert!(committed.damaged().expect("read").is_empty());
    let n_rows: u64 = shards.iter().map(|shard| shard.n_rows).sum();
    assert_eq!(n_rows, 700);
    // Each in one of three ways, the row that was given up and those that a flow has drawn among them.
    let mut kept = Vec::new();
    for (i, shard) in shards.iter().enumerate() {
        let path = &shard.file.path;
        match i % 3 {
            0 => cut(&directory, shard),
            1 => {
                let mut bytes = directory.read(path).expect("read").to_vec();
                bytes[60] ^= 1;
                directory.write(path, bytes).expect("write");
            }
            _ => directory.remove(path).expect("remove"),
        }
        if i % 3 < 2 {
            let damaged = directory.read(path).expect("read").to_vec();
            kept.push((format!("{path}.damaged"), damaged));
        }
    }
    assert!(
        shards
            .iter()
            .any(|shard| (shard.n_rows, shard.n_failed) == (1, 1))
    );
    let damaged = committed.damaged().expect("read");
    assert_eq!(damaged.len(), shards.len());
    for (found, shard) in damaged.iter().zip(&shards) {
        assert_eq!(found.shard, *shard);
        let kept = committed.repair(&campaign(), found, again);
        let kept = kept.unwrap_or_else(|error| panic!("{error}"));
        let aside = directory.join(&format!("{}.damaged", shard.file.path));
        let expected = directory
            .list("")
            .expect("list")
            .contains(&format!("{}.damaged", shard.file.path))
            .then_some(aside);
        assert_eq!(kept, expected);
    }
    assert!(committed.damaged().expect("read").is_empty());
    let mut expected = good;
    expected.extend(kept);
    expected.sort();
    assert!(snapshot(&directory) == expected, "other files");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_and_lost_draws_are_refused_and_nothing_is_written() {
    let directory = finished().await;
    let committed = Committed::read(&directory).expect("a journal");
    let shards = committed.shards();
    let first = shards
        .iter()
        .find(|shard| shard.round.0 == 0 && shard.n_failed == 0)
        .expect("a shard");
    let second = shards
        .iter()
        .find(|shard| shard.round.0 == 1)
        .expect("a shard of a flow");
    cut(&directory, first);
    cut(&directory, second);
    let draws = directory
        .list("rounds")
        .expect("list")
        .into_iter()
        .find(|name| name.ends_with("draws.parquet"))
        .expect("draws");
    directory.remove(&draws).expect("remove");
    let before = snapshot(&directory);
    let damaged = committed.damaged().expect("read");
    assert_eq!(damaged.len(), 2);

    let other = |draws: Draws| {
        let mut rows = again(draws)?;
        rows.simulated[0] = f32::from_bits(rows.simulated[0].to_bits() ^ 1);
        Ok(rows)
    };
    let error = committed
        .repair(&campaign(), &damaged[0], other)
        .expect_err("other bytes");
    assert!(matches!(error, RepairError::Different { .. }), "{error}");
    let last = first.first_row + first.n_rows - 1;
    let start = format!(
        "{}; rows {} to {last} of round 0 simulated again have the SHA-256 ",
        damaged[0].damage, first.first_row
    );
    let end = format!(
        ", expected {}: they were simulated by another version of this program, or on another kind of processor, and it \
         must repair them; nothing is written",
        first.file.sha256
    );
    let message = error.to_string();
    assert!(
        message.starts_with(&start) && message.ends_with(&end),
        "{message}"
    );

    let error = committed
        .repair(&campaign(), &damaged[0], |_| Err("no".to_owned()))
        .expect_err("no simulator");
    let end = "of round 0 cannot be simulated again: no";
    assert!(error.to_string().ends_with(end), "{error}");

    let error = committed
        .repair(&campaign(), &damaged[1], again)
        .expect_err("no draws");
    let part = format!("of round 1 cannot be simulated again: cannot read memory/{draws}: ");
    assert!(error.to_string().contains(&part), "{error}");
    assert!(snapshot(&directory) == before, "something was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_answers_is_told_of_and_one_that_is_gone_is_not() {
    let trial = Trial::start().await;
    let asked = |host: &'static str, earlier| {
        let directory = trial.directory.clone();
        async move {
            let committed = Committed::read(&directory).expect("a journal");
            committed.refuse_if_served(host, earlier).await
        }
    };
    for earlier in [Earlier::Respect, Earlier::TakeOver] {
        let error = asked("here", earlier).await.expect_err("served");
        assert!(matches!(error, StartError::Served { .. }), "{error}");
        assert!(error.is_unusable_input());
    }
    let error = asked("there", Earlier::Respect).await.expect_err("unknown");
    assert!(matches!(error, StartError::Elsewhere { .. }), "{error}");
    asked("there", Earlier::TakeOver)
        .await
        .expect("the user knows");
    let directory = trial.directory.clone();
    trial.ends_calmly().await;
    let committed = Committed::read(&directory).expect("a journal");
    for host in ["here", "there"] {
        let asked = committed.refuse_if_served(host, Earlier::Respect).await;
        asked.expect("finished and gone");
    }
    let empty = Committed::read(&Directory::in_memory()).expect("no journal");
    let asked = empty.refuse_if_served("here", Earlier::Respect).await;
    asked.expect("nobody");
    assert!(empty.shards().is_empty());
}
