//! Shards that are not what was leased, and those that come through the coordinator.

use super::hands::{WorkerHand, code};
use super::peers::{Habit, Reach, simulate, spawn_worker};
use super::runs::{Trial, secrets, soon};
use super::strangers::raw_client;
use sidereal_inference::base::files::sha256_hex;
use sidereal_inference::base::{AttemptId, FlowId, RoundId};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::shard::{RowStatus, ShardRows, recomputed_lines};
use sidereal_inference::records::{BatchLease, BatchReport, Directory, ShardFile, StoredFile};
use sidereal_inference::weights::Component;
use sidereal_proto::message::{FromWorker, ToWorker, UploadPiece};
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::Code;

/// What a worker stores and reports instead of the truth.
type Spoil = fn(&Directory, &mut ShardFile);

/// Changes of the file, or of what is said of it; each with a part of the refusal.
const SPOILT_FILES: [(&str, Spoil, &str); 14] = [
    (
        "truncated",
        |directory, shard| {
            let bytes = directory.read(&shard.file.path).expect("read");
            let half = bytes.slice(..bytes.len() / 2);
            directory.write(&shard.file.path, half).expect("write");
        },
        "the size is",
    ),
    (
        "truncated and owned up to",
        |directory, shard| {
            let bytes = directory.read(&shard.file.path).expect("read");
            let half = bytes.slice(..bytes.len() / 2).to_vec();
            shard.file = directory.store(&shard.file.path, half).expect("store");
        },
        "as Parquet",
    ),
    (
        "a byte in the middle",
        |directory, shard| {
            let mut bytes = directory.read(&shard.file.path).expect("read").to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            directory.write(&shard.file.path, bytes).expect("write");
        },
        "the SHA-256 is",
    ),
    (
        "empty",
        |directory, shard| {
            shard.file = directory
                .store(&shard.file.path, Vec::new())
                .expect("store");
        },
        "as Parquet",
    ),
    (
        "not Parquet",
        |directory, shard| {
            let noise = vec![b'P'; 5000];
            shard.file = directory.store(&shard.file.path, noise).expect("store");
        },
        "as Parquet",
    ),
    (
        "missing",
        |directory, shard| directory.remove(&shard.file.path).expect("remove"),
        "cannot read",
    ),
    (
        "a lying hash",
        |_, shard| shard.file.sha256 = sha256_hex(b"something else"),
        "the SHA-256 is",
    ),
    (
        "a lying size",
        |_, shard| shard.file.n_bytes += 1,
        "the size is",
    ),
    (
        "lying failures",
        |_, shard| shard.n_failed += 1,
        "failed rows",
    ),
    (
        "outside",
        |_, shard| shard.file.path = "../../etc/passwd".to_owned(),
        "path",
    ),
    (
        "absolute",
        |_, shard| shard.file.path = "/etc/passwd".to_owned(),
        "path",
    ),
    (
        "of another attempt",
        |_, shard| shard.file.path = shard.file.path.replace(".parquet", "9.parquet"),
        "path",
    ),
    ("rows not leased", |_, shard| shard.first_row += 1, "rows"),
    (
        "another round",
        |_, shard| shard.round = RoundId(shard.round.0 + 1),
        "rows",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_shard_is_refused_and_costs_nothing() {
    let trial = Trial::start().await;
    for (name, spoil, reason) in SPOILT_FILES {
        let directory = trial.directory.clone();
        let refusal = report(&trial, |campaign, lease| {
            let path = lease.shard_path.clone();
            let rows = simulate(campaign, lease, Habit::Steady);
            let mut shard = rows
                .store(&directory, &path, &campaign.space)
                .expect("store");
            spoil(&directory, &mut shard);
            shard
        })
        .await;
        assert!(refusal.contains(reason), "{name}: {refusal}");
    }
    let n_spoilt = SPOILT_FILES.len() as u64;
    assert_eq!(trial.n_refused().await, n_spoilt);
    trial.ends_calmly().await;
}

type SpoilRows = fn(&mut ShardRows);

/// Changes of the rows, before they are stored and reported truly.
const SPOILT_ROWS: [(&str, SpoilRows, &str); 12] = [
    (
        "a likelihood that is NaN",
        |rows| rows.log_likelihood[3] = Some(f64::NAN),
        "log_likelihood in line 3",
    ),
    (
        "an infinite likelihood",
        |rows| rows.log_likelihood[3] = Some(f64::INFINITY),
        "log_likelihood in line 3",
    ),
    (
        "no likelihood",
        |rows| rows.log_likelihood[3] = None,
        "log_likelihood in line 3",
    ),
    (
        "data that are NaN",
        |rows| rows.simulated[5] = f32::NAN,
        "x[1] in line 2",
    ),
    (
        "a likelihood of a failed row",
        |rows| rows.status[0] = RowStatus::Failed,
        "log_likelihood in line 0",
    ),
    (
        "more data",
        |rows| {
            rows.n_data = 3;
            rows.simulated = vec![0.0; 3 * rows.status.len()];
        },
        "width of column x",
    ),
    (
        "other rows",
        |rows| rows.draws.first_row += 1,
        "row_id in line 0",
    ),
    (
        "another theta",
        |rows| rows.draws.theta[0] = rows.draws.theta[0].next_up(),
        "a in line 0",
    ),
    ("another z", |rows| rows.draws.z[1] = 0.0, "z_b in line 0"),
    (
        "another prior",
        |rows| rows.draws.log_prior[0] += 1.0,
        "log_prior in line 0",
    ),
    (
        "another proposal",
        |rows| rows.draws.log_proposal[0] = f64::NEG_INFINITY,
        "log_proposal in line 0",
    ),
    (
        "another component",
        |rows| rows.draws.component[0] = Component::Flow(FlowId(7)),
        "component in line 0",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoilt_rows_are_refused_and_cost_nothing() {
    let trial = Trial::start().await;
    for (name, spoil, reason) in SPOILT_ROWS {
        let directory = trial.directory.clone();
        let refusal = report(&trial, |campaign, lease| {
            let path = lease.shard_path.clone();
            let first_row = lease.draws.first_row;
            let mut rows = simulate(campaign, lease, Habit::Steady);
            spoil(&mut rows);
            let stored = rows.store(&directory, &path, &campaign.space);
            let stored = stored.expect("store");
            // What is said of it fits the lease.
            ShardFile {
                first_row,
                ..stored
            }
        })
        .await;
        assert!(refusal.contains(reason), "{name}: {refusal}");
    }
    // The file of something else, under the right name.
    let directory = trial.directory.clone();
    let refusal = report(&trial, |campaign, lease| ShardFile {
        round: lease.draws.round,
        first_row: lease.draws.first_row,
        n_rows: lease.draws.n_rows() as u64,
        n_failed: 0,
        file: lease
            .draws
            .store(&campaign.space, &directory, &lease.shard_path)
            .expect("store"),
    })
    .await;
    assert!(refusal.contains("sidereal.format"), "{refusal}");
    trial.ends_calmly().await;
}

/// The first rows, the last ones, or every ninth: a worker that knew which ones are looked at could lie about the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_likelihood_is_found_in_rows_that_follow_from_the_coordinators_key() {
    let trial = Trial::start().await;
    let secret = sha256_hex(secrets().private_key.as_bytes());
    let directory = trial.directory.clone();
    let mut line = 1;
    let refusal = report(&trial, |campaign, lease| {
        let path = lease.shard_path.clone();
        let rows = simulate(campaign, lease, Habit::Steady);
        loop {
            let mut wrong = rows.clone();
            wrong.log_likelihood[line] = Some(-1e9);
            let stored = wrong.store(&directory, &path, &campaign.space);
            let stored = stored.expect("store");
            let lines = recomputed_lines(stored.n_rows, &stored.file.sha256, &secret);
            if lines.contains(&(line as u64)) {
                return stored;
            }
            // Neither the first nor the last, nor one that is evenly between them.
            line += if line % 9 == 8 { 2 } else { 1 };
            assert!(line < rows.status.len() - 1, "in no line");
        }
    })
    .await;
    let expected = format!("log_likelihood in line {line} is -1000000000, expected ");
    assert!(refusal.contains(&expected), "{refusal}");
    trial.ends_calmly().await;
}

/// A worker takes a lease and reports this; why it is sent away.
async fn report(trial: &Trial, shard: impl FnOnce(&Campaign, BatchLease) -> ShardFile) -> String {
    let mut hand = WorkerHand::open(&trial.reach()).await;
    let lease = hand.lease().await;
    let attempt = lease.attempt;
    let shard = shard(&hand.session.campaign, lease);
    hand.send(FromWorker::Report(BatchReport {
        attempt,
        shard,
        seconds: 0.1,
    }))
    .await;
    let refusal = hand.refusal().await;
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    refusal.message().to_owned()
}

/// One broken machine must not cost rows while others are sound, however often it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_always_spoils_its_shards_costs_no_row() {
    let trial = Trial::start_with(|config| config.campaign.workers.batch_rows = Some(8)).await;
    let reach = trial.reach();
    let broken = tokio::spawn(async move {
        for _ in 0..60 {
            if spawn_worker(&reach, Habit::Lying)
                .await
                .expect("no panic")
                .is_none()
            {
                break;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let outcome = trial.ends_calmly().await;
    assert_eq!(outcome.summary.not_reproducible, Vec::<String>::new());
    broken.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_on_what_was_not_leased_do_nothing() {
    let trial = Trial::start().await;
    let mut owner = WorkerHand::open(&trial.reach()).await;
    let lease = owner.lease().await;
    let attempt = lease.attempt;
    let path = lease.shard_path.clone();
    let campaign = &owner.session.campaign;
    let shard = simulate(campaign, lease, Habit::Steady)
        .store(&trial.directory, &path, &campaign.space)
        .expect("store");
    let report = |attempt, shard: &ShardFile| {
        FromWorker::Report(BatchReport {
            attempt,
            shard: shard.clone(),
            seconds: f64::MIN_POSITIVE,
        })
    };
    // A lease that nobody has held, as far as anybody knows: it may be one of long ago.
    let mut thief = WorkerHand::open(&trial.reach()).await;
    thief
        .send(report(AttemptId(attempt.0 + 1000), &shard))
        .await;
    thief.lease().await;
    assert_eq!(
        trial.metric("sidereal_reports_ignored_total").await,
        Some(1.0)
    );
    // The lease of somebody else.
    thief.send(report(attempt, &shard)).await;
    let refusal = thief.refusal().await;
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("is not leased to"), "{refusal}");
    // Its owner's word still counts.
    owner.send(report(attempt, &shard)).await;
    owner.lease().await;
    drop(owner);
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_without_end_do_not_take_the_whole_round() {
    let trial = Trial::start_with(|config| config.campaign.workers.batch_rows = Some(1)).await;
    // What the coordinator promises to itself.
    const MOST: u32 = 64;
    let mut greedy = WorkerHand::open(&trial.reach()).await;
    for _ in 0..3 {
        greedy.send(FromWorker::Credits(u32::MAX)).await;
    }
    let mut n_leases = 0;
    while let Ok(message) =
        tokio::time::timeout(Duration::from_millis(500), greedy.messages.next()).await
    {
        message.expect("open").expect("no refusal");
        n_leases += 1;
    }
    assert!(n_leases <= MOST, "{n_leases} leases at once");
    drop(greedy);
    trial.ends_calmly().await;
}

/// Who is to blame when a worker vanishes is told from this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_arrive_in_the_order_in_which_they_were_granted() {
    let trial = Trial::start_with(|config| config.campaign.workers.batch_rows = Some(1)).await;
    for _ in 0..3 {
        let mut hand = WorkerHand::open(&trial.reach()).await;
        let mut attempts = Vec::new();
        hand.send(FromWorker::Credits(60)).await;
        while attempts.len() < 60 {
            let message = soon(hand.messages.next()).await.expect("open");
            match message.expect("no refusal") {
                ToWorker::Lease(lease) => attempts.push(lease.attempt),
                ToWorker::Cancel(_) => {}
                ToWorker::Done => panic!("the campaign is over"),
            }
        }
        assert!(attempts.is_sorted(), "{attempts:?}");
        hand.send(FromWorker::Drain).await;
        while hand.messages.next().await.is_some() {}
    }
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_through_the_coordinator_are_as_good() {
    let trial = Trial::start().await;
    let through = Reach {
        directory: None,
        ..trial.reach()
    };
    let worker = spawn_worker(&through, Habit::Steady);
    trial.ends_calmly_with(worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_go_nowhere_but_where_the_lease_says() {
    let trial = Trial::start().await;
    let mut hand = WorkerHand::open(&trial.reach()).await;
    let lease = hand.lease().await;
    let other = WorkerHand::open(&trial.reach()).await;
    let (own, path) = (hand.session.peer, lease.shard_path.as_str());
    for (peer, attempt, path) in [
        (own, lease.attempt, "campaign.toml"),
        (own, lease.attempt, "../outside"),
        (own, lease.attempt, "/etc/passwd"),
        (own, lease.attempt, "journal/00000002.json"),
        (own, lease.attempt, ""),
        (own, AttemptId(lease.attempt.0 + 1), path),
        (other.session.peer, lease.attempt, path),
    ] {
        let error = hand
            .client
            .upload(peer, attempt, path, b"contents")
            .await
            .expect_err("refused");
        assert_eq!(code(error), Code::PermissionDenied, "{path}");
    }
    let error = hand.client.upload(own, lease.attempt, path, b"").await;
    assert_eq!(code(error.expect_err("nothing")), Code::InvalidArgument);
    let found = trial.directory.list("").expect("list");
    assert!(
        found
            .iter()
            .all(|path| path == "campaign.toml" || path.starts_with("journal/")),
        "{found:?}"
    );
    // After all that the right one is taken.
    let sent = hand
        .client
        .upload(own, lease.attempt, path, b"contents")
        .await;
    assert_eq!(
        sent.expect("stored"),
        StoredFile {
            path: path.to_owned(),
            sha256: sha256_hex(b"contents"),
            n_bytes: 8,
        }
    );
    drop(hand);
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_without_end_are_refused() {
    let trial = Trial::start().await;
    let mut hand = WorkerHand::open(&trial.reach()).await;
    let lease = hand.lease().await;
    let first = UploadPiece {
        peer: hand.session.peer,
        attempt: lease.attempt,
        path: lease.shard_path.clone(),
        contents: vec![0; 8 << 20],
    };
    let mut raw = raw_client(&trial.running.access).await;
    let refusal = raw
        .upload(tokio_stream::iter(std::iter::repeat(first.into())))
        .await
        .expect_err("refused");
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    let found = trial.directory.read_if_there(&lease.shard_path);
    assert_eq!(found.expect("read"), None);
    drop(hand);
    trial.ends_calmly().await;
}

/// Half-sent uploads: as many as are taken at a time, and no more comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_stop_midway_do_not_keep_others_waiting_for_ever() {
    let trial = Trial::start_with(|config| config.lease_s = 1.0).await;
    let mut stuck = Vec::new();
    for _ in 0..4 {
        let mut hand = WorkerHand::open(&trial.reach()).await;
        let lease = hand.lease().await;
        let piece = UploadPiece {
            peer: hand.session.peer,
            attempt: lease.attempt,
            path: lease.shard_path,
            contents: vec![0; 10],
        };
        let access = trial.running.access.clone();
        stuck.push(tokio::spawn(async move {
            let mut raw = raw_client(&access).await;
            let pieces = tokio_stream::iter([piece.into()]).chain(tokio_stream::pending());
            // Refused in the end, or cut off with the coordinator.
            let _ = raw.upload(pieces).await;
            drop(hand);
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let through = Reach {
        directory: None,
        ..trial.reach()
    };
    let worker = spawn_worker(&through, Habit::Steady);
    soon(trial.ends_calmly_with(worker)).await;
    for stuck in stuck {
        stuck.abort();
    }
}
