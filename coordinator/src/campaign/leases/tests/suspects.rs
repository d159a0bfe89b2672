//! Rows that failed or lost their worker, and workers that keep losing theirs.

use super::*;

/// A worker that kills itself with whatever it holds, started again each second.
struct CrashLoop {
    n_starts: u64,
}

impl CrashLoop {
    /// One more life: it asks for two leases and vanishes with what it got. Rows that are given up by that.
    fn live(&mut self, leases: &mut Leases, now_s: f64) -> (Vec<Range<u64>>, Vec<u64>) {
        self.n_starts += 1;
        let name = format!("node:{}", 1000 + self.n_starts);
        let worker = registration(PeerKind::Worker, &name);
        let peer = leases.on_registered(&worker, now_s).expect("registered");
        leases.on_credits(peer, 2, now_s);
        let mut got = Vec::new();
        for (to, _, rows) in batches(leases.grant(now_s)) {
            assert_eq!(to, peer.0, "the other worker has no credits left");
            got.push(rows);
        }
        let mut given_up = Vec::new();
        for (_, verdict) in leases.on_lost(peer, Loss::Vanished, now_s) {
            if let FailureVerdict::GiveUp { row, .. } = verdict {
                given_up.push(row);
                leases.on_committed(&(row..row + 1));
            }
        }
        assert_eq!(leases.check(), Ok(()));
        (got, given_up)
    }
}

#[test]
fn a_worker_in_a_crash_loop_beside_a_healthy_one_costs_no_row_and_is_held_back() {
    let mut leases = Leases::new(rules(), AttemptId(0));
    // On the same machine, and busy all the time.
    let healthy = registration(PeerKind::Worker, "node:7");
    let healthy = leases.on_registered(&healthy, 0.0).expect("registered");
    leases.open_round(RoundId(0), vec![0..1000]);
    leases.on_credits(healthy, 2, 0.0);
    let mut in_hand = batches(leases.grant(0.0));
    let mut sick = CrashLoop { n_starts: 0 };
    let (mut n_rows, mut n_crashes) = (0, 0);
    let mut names = Vec::new();
    for second in 1..1000 {
        let now_s = f64::from(second);
        let (got, given_up) = sick.live(&mut leases, now_s);
        assert_eq!(given_up, [0; 0], "in second {second}");
        n_crashes += u32::from(!got.is_empty());
        names.extend(leases.held_back(now_s).pop().map(|held| held.name));
        leases.on_heard(healthy, now_s);
        if !in_hand.is_empty() {
            let (_, attempt, rows) = in_hand.remove(0);
            let verdict = leases.on_report(healthy, &report(attempt, rows.clone(), 1.0), 1e6);
            assert_eq!(verdict, Ok(ReportVerdict::Check));
            leases.on_committed(&rows);
            n_rows += rows.end - rows.start;
            leases.on_credits(healthy, 1, now_s);
        }
        in_hand.extend(batches(leases.grant(now_s)));
        assert!(in_hand.iter().all(|(peer, ..)| *peer == healthy.0));
        if n_rows == 1000 {
            assert!(n_crashes <= 4, "{n_crashes} crashes with rows in hand");
            assert_eq!(names.first().map(String::as_str), Some("node:1002"));
            return;
        }
    }
    panic!("{n_rows} of 1000 rows");
}

#[test]
fn rows_that_failed_on_one_worker_wait_for_another_that_is_kept_free_for_them() {
    let fixed = LeaseRules {
        fixed_rows: Some(10),
        ..rules()
    };
    let mut leases = with_workers(fixed, 2);
    leases.open_round(RoundId(0), vec![0..100]);
    leases.on_credits(PeerId(1), 2, 0.0);
    assert_eq!(
        batches(leases.grant(0.0)),
        [(1, 100, 0..10), (1, 101, 10..20)]
    );
    leases.on_credits(PeerId(0), 1, 0.0);
    assert_eq!(batches(leases.grant(0.0)), [(0, 102, 20..30)]);
    let verdict = leases.on_batch_failure(PeerId(0), AttemptId(102), FailureCause::Rows, 1.0);
    assert_eq!(verdict, Ok(FailureVerdict::OfferedAgain { n_failures: 1 }));
    // Worker 0 is free, but it has failed these rows: it gets others.
    leases.on_credits(PeerId(0), 1, 1.0);
    assert_eq!(batches(leases.grant(1.0)), [(0, 103, 30..40)]);
    // Worker 1 is given nothing else until it holds nothing.
    for (attempt, rows) in [(100, 0..10), (101, 10..20)] {
        leases.on_credits(PeerId(1), 1, 2.0);
        assert_eq!(leases.grant(2.0), []);
        let verdict = leases.on_report(PeerId(1), &report(attempt, rows.clone(), 1.0), 2.0);
        assert_eq!(verdict, Ok(ReportVerdict::Check));
        leases.on_committed(&rows);
    }
    assert_eq!(batches(leases.grant(2.0)), [(1, 104, 20..30)]);
    // Where there is no other worker any more, anybody may have them.
    leases.on_lost(PeerId(1), Loss::Drained, 3.0);
    let verdict = leases.on_report(PeerId(0), &report(103, 30..40, 1.0), 3.0);
    assert_eq!(verdict, Ok(ReportVerdict::Check));
    leases.on_committed(&(30..40));
    leases.on_credits(PeerId(0), 1, 3.0);
    assert_eq!(batches(leases.grant(3.0)), [(0, 105, 20..30)]);
    assert_eq!(leases.check(), Ok(()));
}

#[test]
fn a_row_that_kills_two_workers_in_turn_is_given_up_without_a_standstill() {
    let one_row = LeaseRules {
        fixed_rows: Some(1),
        ..rules()
    };
    let mut leases = Leases::new(one_row, AttemptId(0));
    leases.open_round(RoundId(0), vec![0..8]);
    let killing_row = 5;
    let mut n_starts = [0_u32; 2];
    let mut peers = [PeerId(0); 2];
    let mut start = |leases: &mut Leases, machine: usize, now_s| {
        n_starts[machine] += 1;
        let name = format!("node {machine}:{}", n_starts[machine]);
        let worker = registration(PeerKind::Worker, &name);
        let peer = leases.on_registered(&worker, now_s).expect("registered");
        leases.on_credits(peer, 1, now_s);
        peer
    };
    for (machine, peer) in peers.iter_mut().enumerate() {
        *peer = start(&mut leases, machine, 0.0);
    }
    let mut killed = Vec::new();
    for second in 0..40 {
        let now_s = f64::from(second);
        for (peer, attempt, rows) in batches(leases.grant(now_s)) {
            let peer = PeerId(peer);
            if rows.contains(&killing_row) {
                let machine = peers.iter().position(|&other| other == peer);
                let machine = machine.expect("one of the two");
                killed.push(machine);
                for (_, verdict) in leases.on_lost(peer, Loss::Vanished, now_s) {
                    if let FailureVerdict::GiveUp { row, .. } = verdict {
                        assert_eq!(row, killing_row);
                        assert_eq!(killed.len(), 4);
                        assert!(killed.contains(&0) && killed.contains(&1));
                        return;
                    }
                }
                peers[machine] = start(&mut leases, machine, now_s);
            } else {
                let verdict = leases.on_report(peer, &report(attempt, rows.clone(), 0.1), 1e6);
                assert_eq!(verdict, Ok(ReportVerdict::Check));
                leases.on_committed(&rows);
                leases.on_credits(peer, 1, now_s);
            }
        }
        for peer in peers {
            leases.on_heard(peer, now_s);
        }
        assert_eq!(leases.check(), Ok(()));
    }
    panic!("the row was not given up within 40 s");
}
