//! Leases, call by call: who gets which rows, and what becomes of them.

#![expect(
    clippy::single_range_in_vec_init,
    reason = "rows that are missing come as ranges, here as one"
)]

mod suspects;

use super::*;
use crate::campaign::test_inputs::shard;

fn rules() -> LeaseRules {
    LeaseRules {
        lease_s: 60.0,
        target_s: 2.0,
        first_rows: 64,
        least_rows: 1,
        max_rows: 1000,
        fixed_rows: None,
        least_patience_s: 5.0,
        least_overdue_s: 600.0,
    }
}

fn with_workers(rules: LeaseRules, n_workers: usize) -> Leases {
    let mut leases = Leases::new(rules, AttemptId(100));
    for index in 0..n_workers {
        let worker = registration(PeerKind::Worker, &format!("worker {index}"));
        let peer = leases.on_registered(&worker, 0.0).expect("registered");
        assert_eq!(peer, PeerId(index as u64));
    }
    leases
}

fn registration(kind: PeerKind, name: &str) -> Registration {
    Registration {
        kind,
        name: name.to_owned(),
        n_threads: 1,
        campaign: None,
        remaining_s: None,
        models: Vec::new(),
    }
}

fn batches(grants: Vec<Grant>) -> Vec<(u64, u64, Range<u64>)> {
    grants
        .into_iter()
        .map(|grant| match grant {
            Grant::Batch {
                peer,
                attempt,
                rows,
                ..
            } => (peer.0, attempt.0, rows),
            Grant::Task { peer, attempt } => panic!("task for {peer}, {attempt}"),
        })
        .collect()
}

fn report(attempt: u64, rows: Range<u64>, seconds: f64) -> BatchReport {
    let mut shard = shard(0, rows.clone());
    shard.file.path = shard_path(RoundId(0), &rows, AttemptId(attempt));
    BatchReport {
        attempt: AttemptId(attempt),
        shard,
        seconds,
    }
}

#[test]
fn batches_start_small_take_turns_and_then_follow_the_measured_time() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..10_000]);
    leases.on_credits(PeerId(0), 2, 0.0);
    leases.on_credits(PeerId(1), 1, 0.0);
    assert_eq!(
        batches(leases.grant(0.0)),
        [(0, 100, 0..64), (1, 101, 64..128), (0, 102, 128..192)]
    );
    // 64 rows in 1 s: 128 in the 2 s that a batch should take.
    let verdict = leases.on_report(PeerId(0), &report(100, 0..64, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&(0..64));
    leases.on_credits(PeerId(0), 1, 0.0);
    assert_eq!(batches(leases.grant(1.0)), [(0, 103, 192..320)]);
    // No time at all: as much as is allowed.
    let verdict = leases.on_report(PeerId(1), &report(101, 64..128, 0.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&(64..128));
    leases.on_credits(PeerId(1), 1, 0.0);
    assert_eq!(batches(leases.grant(1.0)), [(1, 104, 320..1320)]);
    assert_eq!(leases.check(), Ok(()));
}

#[test]
fn a_few_rows_are_shared_among_the_workers() {
    let mut leases = with_workers(rules(), 4);
    leases.open_round(RoundId(0), vec![0..8]);
    for peer in 0..4 {
        leases.on_credits(PeerId(peer), 1, 0.0);
    }
    assert_eq!(
        batches(leases.grant(0.0)),
        [
            (0, 100, 0..2),
            (1, 101, 2..4),
            (2, 102, 4..6),
            (3, 103, 6..8)
        ]
    );
}

#[test]
fn credits_are_capped_and_fixed_batches_are_kept() {
    let mut leases = with_workers(
        LeaseRules {
            fixed_rows: Some(10),
            ..rules()
        },
        1,
    );
    leases.open_round(RoundId(0), vec![0..5, 20..10_000]);
    leases.on_credits(PeerId(0), u32::MAX, 0.0);
    leases.on_credits(PeerId(0), 5, 0.0);
    let granted = batches(leases.grant(0.0));
    assert_eq!(granted.len(), MAX_CREDITS as usize);
    assert_eq!(granted[0].2, 0..5);
    assert_eq!(granted[1].2, 20..30);
}

#[test]
fn an_expired_batch_is_offered_again_and_the_first_report_wins() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..64]);
    leases.on_credits(PeerId(0), 1, 0.0);
    assert_eq!(batches(leases.grant(0.0)), [(0, 100, 0..32)]);
    leases.on_heard(PeerId(0), 30.0);
    assert_eq!(leases.expire(89.9), []);
    let expired = (PeerId(0), AttemptId(100));
    assert_eq!(leases.expire(90.0), [expired]);
    assert_eq!(leases.expire(91.0), []);
    leases.on_credits(PeerId(1), 1, 0.0);
    assert_eq!(batches(leases.grant(91.0)), [(1, 101, 0..32)]);
    // The late one is first after all.
    let verdict = leases.on_report(PeerId(0), &report(100, 0..32, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&(0..32));
    let verdict = leases.on_report(PeerId(1), &report(101, 0..32, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::TooLate));
    assert_eq!(leases.check(), Ok(()));
}

#[test]
fn a_straggler_is_run_a_second_time_and_cancelled_where_it_comes_second() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..64]);
    leases.on_credits(PeerId(0), 1, 0.0);
    leases.on_credits(PeerId(1), 2, 0.0);
    let granted = batches(leases.grant(0.0));
    assert_eq!(granted, [(0, 100, 0..32), (1, 101, 32..64)]);
    let verdict = leases.on_report(PeerId(1), &report(101, 32..64, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    assert_eq!(leases.on_committed(&(32..64)), []);
    // 32 rows should take a second; five are the least patience.
    assert_eq!(leases.grant(4.9), []);
    assert_eq!(batches(leases.grant(5.1)), [(1, 102, 0..32)]);
    // No third run.
    leases.on_credits(PeerId(1), 5, 0.0);
    assert_eq!(leases.grant(50.0), []);
    // Where one of the two fails or is lost, the other one goes on.
    let verdict = leases.on_batch_failure(PeerId(1), AttemptId(102), FailureCause::Rows, 0.0);
    assert_eq!(verdict, Ok(FailureVerdict::OfferedAgain { n_failures: 1 }));
    assert_eq!(leases.check(), Ok(()));
    assert_eq!(batches(leases.grant(60.0)), [(1, 103, 0..32)]);
    let verdict = leases.on_report(PeerId(1), &report(103, 0..32, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    let needless = leases.on_committed(&(0..32));
    assert_eq!(needless, [(PeerId(0), AttemptId(100))]);
    assert_eq!(leases.check(), Ok(()));
}

#[test]
fn a_straggler_goes_to_another_worker_also_where_it_is_its_holders_turn() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..64]);
    leases.on_credits(PeerId(0), 2, 0.0);
    leases.on_credits(PeerId(1), 2, 0.0);
    let granted = batches(leases.grant(0.0));
    assert_eq!(granted, [(0, 100, 0..32), (1, 101, 32..64)]);
    let verdict = leases.on_report(PeerId(1), &report(101, 32..64, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&(32..64));
    // Worker 1 was served last: it is the turn of worker 0, which hangs in the batch.
    assert_eq!(batches(leases.grant(10.0)), [(1, 102, 0..32)]);
}

#[test]
fn of_two_overlapping_shards_the_ignored_ones_other_rows_are_offered_again() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..64]);
    leases.on_credits(PeerId(0), 1, 0.0);
    assert_eq!(batches(leases.grant(0.0)), [(0, 100, 0..32)]);
    leases.on_credits(PeerId(1), 1, 0.0);
    leases.on_heard(PeerId(1), 99.0);
    assert_eq!(leases.expire(100.0).len(), 1);
    // A part of the late batch goes to a worker of little time.
    let mortal = Registration {
        remaining_s: Some(22.0),
        ..registration(PeerKind::Worker, "mortal")
    };
    let mortal = leases.on_registered(&mortal, 100.0).expect("registered");
    leases.on_lost(PeerId(1), Loss::Drained, 0.0);
    leases.on_credits(mortal, 1, 0.0);
    let granted = batches(leases.grant(100.0));
    assert_eq!(granted.len(), 1);
    let (_, attempt, rows) = granted[0].clone();
    assert_eq!(rows.start, 0);
    let verdict = leases.on_report(mortal, &report(attempt, rows.clone(), 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    let verdict = leases.on_report(PeerId(0), &report(100, 0..32, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&rows);
    leases.on_ignored(AttemptId(100));
    assert_eq!(leases.check(), Ok(()));
    assert_eq!(leases.n_leased(), 0);
}

#[test]
fn what_a_worker_holds_and_waits_for_together_is_capped() {
    let mut leases = with_workers(
        LeaseRules {
            fixed_rows: Some(1),
            ..rules()
        },
        1,
    );
    leases.open_round(RoundId(0), vec![0..10_000]);
    let mut n_granted = 0;
    for _ in 0..100 {
        leases.on_credits(PeerId(0), 64, 0.0);
        n_granted += leases.grant(0.0).len();
    }
    assert_eq!(n_granted, MAX_CREDITS as usize);
}

#[test]
fn a_worker_near_its_end_is_given_what_it_can_finish() {
    let mut leases = with_workers(rules(), 1);
    let mortal = Registration {
        remaining_s: Some(20.0),
        ..registration(PeerKind::Worker, "mortal")
    };
    let mortal = leases.on_registered(&mortal, 0.0).expect("registered");
    leases.open_round(RoundId(0), vec![0..10_000]);
    leases.on_credits(PeerId(0), 1, 0.0);
    assert_eq!(batches(leases.grant(0.0)), [(0, 100, 0..64)]);
    // 10 rows a second.
    let verdict = leases.on_report(PeerId(0), &report(100, 0..64, 6.4), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&(0..64));
    leases.on_credits(mortal, 64, 0.0);
    // At 14 s, 4 s are left to work in; half of that for each of two leases in hand.
    let rows: Vec<u64> = batches(leases.grant(17.0))
        .iter()
        .map(|(_, _, rows)| rows.end - rows.start)
        .collect();
    assert!(rows.iter().all(|&n| n == 5), "{rows:?}");
    assert_eq!(leases.grant(18.5), []);
}

#[test]
fn a_batch_that_takes_far_too_long_is_offered_again_though_its_worker_lives() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..200]);
    leases.on_credits(PeerId(0), 1, 0.0);
    assert_eq!(batches(leases.grant(0.0)), [(0, 100, 0..64)]);
    let verdict = leases.on_report(PeerId(0), &report(100, 0..64, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&(0..64));
    leases.on_credits(PeerId(0), 1, 0.0);
    assert_eq!(batches(leases.grant(1.0)), [(0, 101, 64..132)]);
    leases.on_heard(PeerId(0), 600.0);
    assert_eq!(leases.expire(600.0), []);
    leases.on_heard(PeerId(0), 602.0);
    assert_eq!(leases.expire(602.0).len(), 1);
    assert_eq!(leases.check(), Ok(()));
}

#[test]
fn a_row_that_kills_its_workers_is_found_and_given_up() {
    let mut leases = Leases::new(rules(), AttemptId(0));
    leases.open_round(RoundId(0), vec![0..16]);
    let bad_row = 11;
    for _ in 0..1000 {
        let worker = registration(PeerKind::Worker, "fragile");
        let peer = leases.on_registered(&worker, 0.0).expect("registered");
        leases.on_credits(peer, 2, 0.0);
        let granted = batches(leases.grant(0.0));
        let mut lost = Vec::new();
        for (_, attempt, rows) in granted {
            if rows.contains(&bad_row) {
                lost = leases.on_lost(peer, Loss::Vanished, 0.0);
                break;
            }
            let verdict = leases.on_report(peer, &report(attempt, rows.clone(), 0.1), 1e6);
            assert_eq!(verdict, Ok(ReportVerdict::Check));
            leases.on_committed(&rows);
        }
        assert_eq!(leases.check(), Ok(()));
        for (_, verdict) in lost {
            if let FailureVerdict::GiveUp { round, row, .. } = verdict {
                assert_eq!((round, row), (RoundId(0), bad_row));
                leases.on_committed(&(row..row + 1));
                assert_eq!(leases.check(), Ok(()));
                return;
            }
        }
        leases.on_lost(peer, Loss::Drained, 0.0);
    }
    panic!("the row was not found");
}

#[test]
fn rows_that_become_final_while_offered_again_are_offered_no_more() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..64]);
    leases.on_credits(PeerId(0), 1, 0.0);
    assert_eq!(batches(leases.grant(0.0)), [(0, 100, 0..32)]);
    assert_eq!(leases.expire(100.0).len(), 1);
    let verdict = leases.on_report(PeerId(0), &report(100, 0..32, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&(0..32));
    assert_eq!(leases.check(), Ok(()));
    leases.on_credits(PeerId(1), 5, 0.0);
    let granted = batches(leases.grant(101.0));
    assert!(
        granted.iter().all(|(_, _, rows)| rows.start >= 32),
        "{granted:?}"
    );
    assert!(!granted.is_empty());
}

#[test]
fn a_lost_workers_batches_are_offered_again_but_not_a_reported_one() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..128]);
    leases.on_credits(PeerId(0), 2, 0.0);
    assert_eq!(
        batches(leases.grant(0.0)),
        [(0, 100, 0..64), (0, 101, 64..128)]
    );
    let verdict = leases.on_report(PeerId(0), &report(100, 0..64, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_lost(PeerId(0), Loss::Vanished, 0.0);
    leases.on_credits(PeerId(1), 5, 0.0);
    assert_eq!(batches(leases.grant(0.0)), [(1, 102, 64..128)]);
    // What was reported turns out to be torn.
    let verdict = leases.on_shard_refused(AttemptId(100), 0.0);
    assert_eq!(verdict, FailureVerdict::OfferedAgain { n_failures: 0 });
    // What a worker was lost with is run alone.
    assert_eq!(leases.grant(0.0), []);
    let verdict = leases.on_report(PeerId(1), &report(102, 64..128, 1.0), 1e6);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    assert_eq!(batches(leases.grant(0.0)), [(1, 103, 0..64)]);
}

#[test]
fn more_than_a_hundred_refused_shards_in_a_row_for_a_minute_end_the_campaign() {
    let mut leases = Leases::new(rules(), AttemptId(100));
    let refuse = |leases: &mut Leases, now_s| leases.on_shard_refused(AttemptId(7), now_s);
    // A single broken machine is this fast.
    for n in 0..300 {
        let verdict = refuse(&mut leases, f64::from(n) * 0.2);
        assert_eq!(verdict, FailureVerdict::TooLate);
    }
    leases.on_shard_good();
    for n in 0..100 {
        let verdict = refuse(&mut leases, 100.0 + f64::from(n));
        assert_eq!(verdict, FailureVerdict::TooLate);
    }
    let ends = FailureVerdict::Ends { n_refused: 101 };
    assert_eq!(refuse(&mut leases, 200.0), ends);
}

#[test]
fn a_good_row_that_was_in_hand_beside_a_killing_one_is_not_given_up() {
    let mut leases = Leases::new(
        LeaseRules {
            fixed_rows: Some(1),
            ..rules()
        },
        AttemptId(0),
    );
    leases.open_round(RoundId(0), vec![0..6]);
    let killing_row = 3;
    let mut given_up = Vec::new();
    for _ in 0..200 {
        let worker = registration(PeerKind::Worker, "storing and running");
        let peer = leases.on_registered(&worker, 0.0).expect("registered");
        leases.on_credits(peer, 2, 0.0);
        let granted = batches(leases.grant(0.0));
        if granted.is_empty() {
            break;
        }
        if granted
            .iter()
            .any(|(_, _, rows)| rows.contains(&killing_row))
        {
            // It dies before what it ran before is reported.
            for (_, verdict) in leases.on_lost(peer, Loss::Vanished, 0.0) {
                if let FailureVerdict::GiveUp { row, .. } = verdict {
                    given_up.push(row);
                    leases.on_committed(&(row..row + 1));
                }
            }
        } else {
            for (_, attempt, rows) in granted {
                let verdict = leases.on_report(peer, &report(attempt, rows.clone(), 0.1), 1e6);
                assert_eq!(verdict, Ok(ReportVerdict::Check));
                leases.on_committed(&rows);
            }
            leases.on_lost(peer, Loss::Drained, 0.0);
        }
        assert_eq!(leases.check(), Ok(()));
    }
    assert_eq!(given_up, [killing_row]);
}

#[test]
fn a_batch_that_keeps_failing_is_split_down_to_the_row() {
    let mut leases = with_workers(rules(), 1);
    leases.open_round(RoundId(0), vec![0..16]);
    let bad_row = 5;
    for _ in 0..1000 {
        leases.on_credits(PeerId(0), 1, 0.0);
        let granted = batches(leases.grant(0.0));
        let Some((_, attempt, rows)) = granted.first() else {
            panic!("nothing granted");
        };
        if rows.contains(&bad_row) {
            let verdict =
                leases.on_batch_failure(PeerId(0), AttemptId(*attempt), FailureCause::Rows, 0.0);
            match verdict.expect("holder") {
                FailureVerdict::GiveUp { round, row, .. } => {
                    assert_eq!((round, row), (RoundId(0), bad_row));
                    return;
                }
                FailureVerdict::OfferedAgain { .. } | FailureVerdict::Split { .. } => {}
                FailureVerdict::TooLate | FailureVerdict::Ends { .. } => {
                    panic!("{attempt} is current")
                }
            }
        } else {
            let verdict = leases.on_report(PeerId(0), &report(*attempt, rows.clone(), 1.0), 1e6);
            assert_eq!(verdict, Ok(ReportVerdict::Check));
            leases.on_committed(rows);
        }
        assert_eq!(leases.check(), Ok(()));
    }
    panic!("the row was not found");
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let mut leases = with_workers(rules(), 2);
    leases.open_round(RoundId(0), vec![0..64]);
    leases.on_credits(PeerId(0), 1, 0.0);
    leases.grant(0.0);
    let not_holder = leases.on_report(PeerId(1), &report(100, 0..32, 1.0), 1e6);
    assert!(matches!(not_holder, Err(Refusal::NotHolder { .. })));
    let wrong_rows = leases.on_report(PeerId(0), &report(100, 0..33, 1.0), 1e6);
    assert!(matches!(wrong_rows, Err(Refusal::WrongReport { .. })));
    let mut elsewhere = report(100, 0..32, 1.0);
    elsewhere.shard.file.path = "rounds/000/shards/other.parquet".to_owned();
    let wrong_path = leases.on_report(PeerId(0), &elsewhere, 1e6);
    assert!(matches!(wrong_path, Err(Refusal::WrongReport { .. })));
    assert_eq!(
        leases.expect(PeerId(9), PeerKind::Worker),
        Err(Refusal::UnknownPeer { peer: PeerId(9) })
    );
    assert!(leases.expect(PeerId(0), PeerKind::Trainer).is_err());
    // An attempt that nobody knows may be one of an earlier run.
    let unknown = leases.on_report(PeerId(1), &report(7, 0..32, 1.0), 1e6);
    assert_eq!(unknown, Ok(ReportVerdict::TooLate));
    let good = leases.on_report(PeerId(0), &report(100, 0..32, 1.0), 1e6);
    assert_eq!(good, Ok(ReportVerdict::Check));
}

#[test]
fn a_task_goes_to_one_trainer_at_a_time_and_fails_after_four_attempts() {
    let mut leases = Leases::new(rules(), AttemptId(100));
    for name in ["first", "second"] {
        let trainer = registration(PeerKind::Trainer, name);
        leases.on_registered(&trainer, 0.0).expect("registered");
    }
    leases.open_task();
    assert_eq!(leases.grant(0.0), []);
    leases.on_ready(PeerId(0));
    leases.on_ready(PeerId(1));
    let task = |peer, attempt| Grant::Task {
        peer: PeerId(peer),
        attempt: AttemptId(attempt),
    };
    assert_eq!(leases.grant(0.0), [task(0, 100)]);
    assert_eq!(leases.grant(0.0), []);
    leases.on_lost(PeerId(0), Loss::Vanished, 0.0);
    assert_eq!(leases.grant(0.0), [task(1, 101)]);
    for n_failures in 1..=4 {
        let attempt = AttemptId(100 + n_failures);
        let verdict = leases.on_task_failure(PeerId(1), attempt, FailureCause::Rows);
        let n_failures = u32::try_from(n_failures).expect("small");
        if n_failures < 4 {
            assert_eq!(verdict, Ok(TaskVerdict::OfferedAgain { n_failures }));
            leases.on_ready(PeerId(1));
            assert_eq!(leases.grant(0.0), [task(1, attempt.0 + 1)]);
        } else {
            assert_eq!(verdict, Ok(TaskVerdict::Fails { n_failures }));
        }
    }
}
