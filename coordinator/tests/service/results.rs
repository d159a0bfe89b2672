//! Results of a finished campaign that have changed since: refused, and written again from what is recorded.

use super::peers::{Habit, campaign};
use super::runs::{config, finish};
use sidereal_coordinator::{ResultsError, read_or_restore, read_results, start};
use sidereal_inference::base::files::sha256_hex;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::method::StopReason;
use sidereal_inference::records::Directory;

const POSTERIOR: &str = "posterior.parquet";
const SUMMARY: &str = "summary.json";

/// All files and their hashes.
fn snapshot(directory: &Directory) -> Vec<(String, String)> {
    let names = directory.list("").expect("list");
    let hash = |name: String| {
        let hash = sha256_hex(&directory.read(&name).expect("read"));
        (name, hash)
    };
    names.into_iter().map(hash).collect()
}

/// A small finished campaign, started once more since.
async fn finished() -> (Directory, Campaign) {
    let directory = Directory::in_memory();
    let mut short = campaign();
    short.rounds.max = 2;
    short.rounds.stop.top_up = 0;
    finish(&directory, short.clone(), &[Habit::Steady]).await;
    let running = start(config(&directory, short.clone())).await;
    running.expect("starts").wait().await.expect("finished");
    (directory, short)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_results_are_refused_and_come_back_byte_for_byte() {
    let (directory, campaign) = finished().await;
    let good = snapshot(&directory);
    let summary = read_results(&directory).expect("whole").expect("finished");
    let found = read_or_restore(&directory, &campaign)
        .expect("whole")
        .expect("nothing is left to do");
    assert_eq!(
        (found.summary, found.written_again.len()),
        (summary.clone(), 0)
    );

    let posterior = directory.read(POSTERIOR).expect("read").to_vec();
    let mut flipped = posterior.clone();
    flipped[posterior.len() / 2] ^= 1;
    let cases: [(&str, Option<Vec<u8>>, String); 4] = [
        (
            POSTERIOR,
            Some(flipped.clone()),
            format!(
                "memory/posterior.parquet: the SHA-256 is {}, expected {}",
                sha256_hex(&flipped),
                sha256_hex(&posterior)
            ),
        ),
        (
            POSTERIOR,
            Some(posterior[..100].to_vec()),
            format!(
                "memory/posterior.parquet: the size is 100 bytes, expected {} bytes",
                posterior.len()
            ),
        ),
        (
            POSTERIOR,
            None,
            "cannot read memory/posterior.parquet: ".to_owned(),
        ),
        (
            SUMMARY,
            Some(b"{}".to_vec()),
            "memory/summary.json: the size is 2 bytes".to_owned(),
        ),
    ];
    for (name, contents, expected) in cases {
        match contents {
            Some(contents) => directory.write(name, contents).expect("damage"),
            None => directory.remove(name).expect("remove"),
        }
        let error = read_results(&directory).expect_err("damaged");
        assert!(matches!(error, ResultsError::Damaged(_)), "{error}");
        let message = error.to_string();
        assert!(message.starts_with(&expected), "{message}");
        assert!(
            message.ends_with(
                "`sidereal fit` with the campaign's file writes them again from the recorded shards"
            ),
            "{message}"
        );
        let found = read_or_restore(&directory, &campaign)
            .expect("restored")
            .expect("nothing is left to do");
        assert_eq!(found.summary, summary);
        assert_eq!(found.written_again, [directory.join(name)]);
        assert_eq!(snapshot(&directory), good, "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_shards_a_damaged_result_is_left_as_it_is() {
    let (directory, campaign) = finished().await;
    let names = directory.list("rounds/001/shards").expect("list");
    let shard = names.first().expect("a shard");
    directory.remove(shard).expect("remove");
    read_results(&directory).expect("the results themselves are whole");
    directory.write(POSTERIOR, "no posterior").expect("damage");
    let before = snapshot(&directory);
    let error = read_or_restore(&directory, &campaign).expect_err("lost");
    let message = error.to_string();
    let part = format!("the results cannot be written again: cannot read memory/{shard}");
    assert!(message.contains(&part), "{message}");
    assert_eq!(snapshot(&directory), before, "nothing is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_has_more_to_do_is_left_to_its_coordinator() {
    let (directory, mut campaign) = finished().await;
    let before = snapshot(&directory);
    campaign.rounds.max = 3;
    let found = read_or_restore(&directory, &campaign).expect("a journal");
    assert!(found.is_none(), "one more round is asked for");
    campaign.rounds.max = 2;
    let stop = campaign.rounds.stop.clone();
    campaign.rounds.stop.n_eff = None;
    campaign.rounds.stop.top_up = 100;
    let found = read_or_restore(&directory, &campaign).expect("a journal");
    assert_eq!(
        found.expect("nothing is left to do").still_stopped,
        Some(StopReason::Rounds { max: 2 }),
        "a top-up is for an n_eff that is missed"
    );
    campaign.rounds.stop = stop;
    let found = read_or_restore(&directory, &campaign).expect("a journal");
    assert_eq!(found.expect("nothing is left to do").still_stopped, None);
    campaign.seed += 1;
    let found = read_or_restore(&directory, &campaign).expect("a journal");
    assert!(found.is_none(), "another campaign");
    let empty = Directory::in_memory();
    assert!(read_results(&empty).expect("no journal").is_none());
    assert!(
        read_or_restore(&empty, &campaign)
            .expect("no journal")
            .is_none()
    );
    assert_eq!(snapshot(&directory), before, "nothing is written");
}
