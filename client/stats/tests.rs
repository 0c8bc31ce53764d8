//! Tests of the statistics of moves.

use super::{age_series::SLOTS_MAX, *};

fn sent(seq: u32, at_us: u64) -> Move {
    Move { seq, at_us, ..Move::default() }
}

/// Whether `value` is within the histogram's 1 % of `wanted`.
fn near(value: u64, wanted: u64) -> bool {
    value.abs_diff(wanted) * 100 <= wanted
}

#[test]
fn delay_includes_the_sender_s_stall() {
    let mut stats = MoveStats::new(10_000);
    for seq in 1..=100u32 {
        // The sender meant to send every 10 ms and stalled from 50 to 350 ms; then all moves
        // arrive at once.
        let at_us = u64::from(seq) * 10_000;
        let arrives_us = if (50_000..350_000).contains(&at_us) { 350_000 } else { at_us + 1_000 };
        stats.on_move(arrives_us, &sent(seq, at_us), 0);
    }
    // Of the 30 that arrive at once only the newest is of use.
    assert_eq!((stats.fresh, stats.superseded_on_arrival, stats.one_way.count()), (71, 29, 100));
    assert!(near(stats.one_way.max_us().expect("some"), 300_000), "a ping-pong would show one slow answer");
    assert_eq!(stats.freezes, 1);
    assert_eq!(stats.longest_gap_us, 350_000 - 41_000);
}

#[test]
fn age_is_integrated_over_time() {
    // Every 100 ms a move arrives after 20 ms, so the age runs evenly from 20 to 120 ms.
    let mut stats = MoveStats::new(100_000);
    for seq in 1..=50u32 {
        let at_us = u64::from(seq) * 100_000;
        stats.on_move(at_us + 20_000, &sent(seq, at_us), 0);
    }
    let mean_us = stats.age.mean_us().expect("some");
    assert!((mean_us - 70_000.0).abs() < 700.0, "{mean_us}");
    assert!(near(stats.age.quantile_us(0.5).expect("enough"), 70_000));
    assert_eq!(stats.age.quantile_us(0.99), None, "49 teeth cannot tell a p99");
    assert!(near(stats.age.max_us().expect("some"), 120_000));
}

#[test]
fn windows_count_only_their_own_time() {
    let mut stats = MoveStats::new(10_000);
    stats.on_move(5_000, &sent(1, 0), 0);
    stats.restart(100_000);
    stats.finish(150_000);
    assert_eq!((stats.fresh, stats.freezes), (0, 1));
    let mean_us = stats.age.mean_us().expect("some");
    assert!((mean_us - 125_000.0).abs() < 1_300.0, "{mean_us}");
}

#[test]
fn separates_late_missing_and_jitter() {
    let mut stats = MoveStats::new(10_000);
    for (now_us, seq) in [(11_000, 1), (41_000, 4), (42_000, 2), (42_000, 4)] {
        stats.on_move(now_us, &sent(seq, u64::from(seq) * 10_000), 7);
    }
    assert_eq!((stats.fresh, stats.late, stats.missing), (2, 2, 2));
    assert_eq!(stats.jitter_us, 0.0, "sent and arrived 30 ms apart");
    stats.on_move(67_000, &sent(5, 50_000), 7);
    assert_eq!(stats.jitter_us, 1_000.0, "16 ms late, a sixteenth of which counts");
    assert_eq!(stats.clock_error_us, 7);
}

#[test]
fn age_series_is_bounded() {
    let mut stats = MoveStats::new(50_000);
    stats.on_move(20_000, &sent(1, 0), 0);
    stats.restart(50_000);
    stats.on_move(250_000, &sent(2, 240_000), 0);
    stats.finish(260_000);
    // The age runs from 50 to 150 and to 250 ms in the first two slots, and from 10 to 20 ms in
    // the third.
    let slots = &stats.age_over_time.slots;
    let means: Vec<f64> = slots.iter().filter_map(AgeSlot::mean_us).collect();
    assert_eq!(means, [100_000.0, 200_000.0, 15_000.0]);
    assert_eq!(slots.iter().map(|slot| slot.max_us).collect::<Vec<_>>(), [150_000, 250_000, 20_000]);

    let mut hour = AgeSeries::default();
    (0..36_000).for_each(|slot| hour.record(slot * 100_000, (slot + 1) * 100_000, 0));
    assert!(hour.slots.len() <= SLOTS_MAX);
    assert_eq!(hour.slots.iter().map(|slot| slot.known_us).sum::<u64>(), 3_600_000_000);
    let mut both = stats.age_over_time.clone();
    both.merge(&hour);
    assert_eq!((both.slot_us, both.slots.len()), (hour.slot_us, hour.slots.len()));
    assert_eq!(both.slots[0].known_us, hour.slots[0].known_us + 210_000);
}
