//! Tests of the statistics of moves.

use proptest::prelude::*;

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
fn restart_keeps_the_newest_move() {
    let mut stats = MoveStats::new(10_000);
    stats.on_move(5_000, &sent(1, 0), 0);
    stats.restart(100_000);
    assert_eq!((stats.finished(100_000).freezes, stats.finished(100_000).longest_gap_us), (0, 0));
    stats.finish(150_000);
    assert_eq!((stats.fresh, stats.freezes, stats.longest_gap_us), (0, 1, 145_000));
    assert_eq!((stats.block_us, stats.blocks.len()), (0, 0), "a window without an end has no blocks");
    let mean_us = stats.age.mean_us().expect("some");
    assert!((mean_us - 125_000.0).abs() < 1_300.0, "{mean_us}");
}

/// A window from 1 to 3 s after a warm-up of half a second, and moves every 10 ms.
fn opened() -> MoveStats {
    let mut stats = MoveStats::new(10_000);
    stats.open(500_000, 1_000_000..3_000_000);
    stats
}

#[test]
fn windows_count_by_intended_time() {
    let mut stats = opened();
    for (now_us, seq, at_us) in [
        (510_000, 1, 500_000),
        (1_000_500, 2, 999_999),   // meant before the window, arrived within it
        (1_020_000, 3, 1_000_000), // the first that counts
        (2_990_000, 4, 2_980_000),
        (3_250_000, 5, 2_999_999), // the last that counts, in the drain
        (3_260_000, 6, 3_000_000),
    ] {
        stats.on_move(now_us, &sent(seq, at_us), 5);
    }
    stats.on_move(3_270_000, &sent(2, 1_500_000), 5);
    stats.on_move(3_270_000, &sent(2, 3_000_000), 5);
    stats.finish(3_300_000);
    assert_eq!((stats.fresh, stats.late, stats.one_way.count()), (3, 1, 3));
    assert!(near(stats.one_way.max_us().expect("some"), 250_001));
    assert_eq!((stats.clock_error_us, stats.arrived_before_sent), (5, 0));
    assert!(stats.counts(1_000_000) && stats.counts(2_999_999));
    assert!(!stats.counts(999_999) && !stats.counts(3_000_000));
    assert!(MoveStats::new(1).counts(0) && MoveStats::new(1).counts(u64::MAX));
}

#[test]
fn age_covers_exactly_the_window() {
    let mut stats = opened();
    stats.on_move(900_000, &sent(1, 890_000), 0);
    stats.on_move(3_100_000, &sent(2, 3_090_000), 0);
    stats.finish(3_300_000);
    // From 110 ms at the opening to 2,110 ms at the close.
    let mean_us = stats.age.mean_us().expect("some");
    assert!((mean_us - 1_110_000.0).abs() < 12_000.0, "{mean_us}");
    assert_eq!(stats.age.count(), 1, "one tooth");
    let slots = &stats.age_over_time.slots;
    assert_eq!((slots.len(), slots[0].known_us, slots[0].max_us), (20, 100_000, 210_000));
    assert_eq!(slots[19].max_us, 2_110_000);
    let means: Vec<u64> = stats.blocks.iter().map(|it| it.age.mean_us().expect("some") as u64).collect();
    assert!(means.len() == 2 && near(means[0], 610_000) && near(means[1], 1_610_000), "{means:?}");
    // The only gap began before the window, and it froze 30 ms after its beginning.
    assert_eq!((stats.freezes, stats.blocks[0].freezes, stats.blocks[1].freezes), (1, 1, 0));
    assert_eq!(stats.longest_gap_us, 2_200_000);
}

#[test]
fn silence_is_infinitely_old() {
    let mut stats = opened();
    stats.finish(3_300_000);
    assert_eq!(stats.age.count(), 200, "as many teeth as moves that should have come");
    assert_eq!(stats.age.mean_us(), Some(Samples::VALUE_MAX_US as f64));
    assert_eq!(stats.age.quantile_us(0.5), Some(Samples::VALUE_MAX_US));
    assert!(stats.blocks.iter().all(|block| block.age.count() == 100));
    assert!(stats.age_over_time.slots.is_empty(), "nothing is known");
    assert_eq!((stats.freezes, stats.longest_gap_us), (1, 2_800_000));

    // An infinite quarter of the window leaves the median as it is.
    let mut stats = opened();
    stats.on_move(1_500_000, &sent(1, 1_490_000), 0);
    stats.finish(3_000_000);
    assert_eq!(stats.age.count(), 51);
    assert!(stats.age.quantile_of_all_us(0.7).is_some_and(|us| us < 2_000_000));
    assert_eq!(stats.age.quantile_of_all_us(0.76), Some(Samples::VALUE_MAX_US));
    assert_eq!(MoveStats::new(10).finished(1_000).age.count(), 0, "without a window nothing is awaited");
}

#[test]
fn windows_forget_what_was_before() {
    let mut stats = opened();
    stats.on_move(600_000, &sent(1, 590_000), 0);
    stats.on_move(600_500, &sent(2, 600_000), 0);
    stats.finish(3_300_000);
    stats.open(9_000_000, 10_000_000..11_000_000);
    assert_eq!((stats.fresh, stats.blocks.len(), stats.age.count()), (0, 1, 0));
    assert!(stats.jitter_us > 0.0, "the jitter goes on");
    assert_eq!(stats.on_move(9_050_000, &sent(2, 9_040_000), 0), Freshness::Late, "its number is known");
    // A move from before the begin is no news in this window, but its number counts.
    assert_eq!(stats.on_move(9_100_000, &sent(9, 8_999_999), 0), Freshness::Fresh);
    assert_eq!(stats.on_move(9_100_000, &sent(9, 9_500_000), 0), Freshness::Late);
    stats.on_move(10_500_000, &sent(10, 10_490_000), 0);
    stats.finish(11_000_000);
    assert_eq!((stats.fresh, stats.late, stats.missing), (1, 0, 0));
    assert_eq!(stats.age.max_us(), Some(Samples::VALUE_MAX_US), "nothing was known until 10.5 s");
    // A move from the begin on is, even if it came before the opening.
    stats.open(10_490_000, 10_600_000..11_000_000);
    assert!(stats.finished(11_000_000).age.max_us().is_some_and(|us| near(us, 510_000)));
}

#[test]
fn bursts_are_not_fresh() {
    let mut stats = opened();
    for (now_us, seq, at_us) in [
        (1_005_000, 1, 990_000),
        (1_005_100, 2, 1_000_000),
        (1_005_999, 3, 1_010_000),
        (1_006_999, 4, 1_020_000),
        (2_999_900, 5, 2_990_000),
        (3_000_800, 6, 3_000_000),
    ] {
        stats.on_move(now_us, &sent(seq, at_us), 0);
    }
    // 1 does not count, 2 and 5 are replaced at once; 3 remains for a whole millisecond.
    assert_eq!((stats.fresh, stats.superseded_on_arrival, stats.in_order()), (2, 2, 4));
    assert_eq!(stats.one_way.count(), 4);
    assert!(supersedes_on_arrival(999, 2_000) && !supersedes_on_arrival(1_000, 1_000_000));
    assert!(supersedes_on_arrival(499, 1_000) && !supersedes_on_arrival(500, 1_000));
    assert!(!supersedes_on_arrival(0, 0), "a closed loop has no period");
}

#[test]
fn freezes_count_where_they_begin() {
    let mut stats = opened();
    let mut seq = 0;
    // 30 ms are no freeze yet. The second gap freezes at 1.99 s, the third one at 2 s.
    for now_us in [990_000, 1_000_000, 1_030_000, 1_960_000, 1_991_000, 2_500_000, 2_530_001, 2_990_000] {
        seq += 1;
        stats.on_move(now_us, &sent(seq, now_us - 5_000), 0);
    }
    stats.on_move(3_400_000, &sent(seq + 1, 3_390_000), 0);
    stats.finish(3_500_000);
    let blocks: Vec<u64> = stats.blocks.iter().map(|block| block.freezes).collect();
    // 1.03 to 1.96 and 1.96 to 1.991; 1.991 to 2.5, which is frozen at 2.021; and two more, the
    // last of which would freeze after the close.
    assert_eq!((stats.freezes, blocks), (5, vec![2, 3]));
    assert_eq!(stats.longest_gap_us, 930_000);
}

#[test]
fn closed_loops_do_not_freeze() {
    let mut stats = MoveStats::new(0);
    stats.open(0, 0..2_000_000);
    stats.on_move(1_000_000, &sent(1, 999_000), 0);
    stats.on_move(1_000_001, &sent(2, 999_001), 0);
    stats.finish(2_000_000);
    assert_eq!((stats.freezes, stats.fresh, stats.longest_gap_us), (0, 2, 1_000_000));
    assert_eq!(stats.age.count(), 3, "the silence before the first move is one observation");
}

#[test]
fn unknown_clocks_give_no_delays() {
    let mut stats = MoveStats::new(10_000);
    stats.on_move(50_000, &sent(1, 40_000), Move::CLOCK_UNKNOWN);
    stats.on_move(70_000, &Move { clock_error_us: Move::CLOCK_UNKNOWN, ..sent(2, 60_000) }, 0);
    stats.finish(90_000);
    assert_eq!((stats.fresh, stats.one_way.count(), stats.age.count()), (2, 0, 0));
    assert_eq!((stats.clock_error_us, stats.longest_gap_us), (0, 0));
    stats.on_move(90_000, &Move { clock_error_us: 3, ..sent(3, 91_000) }, 4);
    assert_eq!((stats.clock_error_us, stats.arrived_before_sent, stats.one_way.max_us()), (7, 1, Some(0)));
    stats.on_move(100_000, &sent(4, 100_000), 2);
    assert_eq!((stats.clock_error_us, stats.arrived_before_sent), (7, 1));
}

#[test]
fn skipped_moves_count_by_their_times() {
    // Of the moves at 0.95, 1.0 … 2.95 and 3.0 s, 40 lie within the window.
    for (first, last, missing) in [(0, 41, 40), (0, 1, 0), (1, 3, 1), (0, 2, 1), (39, 41, 1), (40, 42, 0)] {
        let mut stats = opened();
        for step in [first, last] {
            let at_us = 950_000 + step * 50_000;
            stats.on_move(at_us + 1_000_000, &sent(step as u32 + 1, at_us), 0);
        }
        assert_eq!(stats.missing, missing, "{first} to {last}");
    }
    let mut hostile = opened();
    hostile.on_move(1_000_000, &sent(1, 1_000_000), 0);
    hostile.on_move(1_100_000, &sent(u32::MAX, 1_000_000), 0);
    assert!(hostile.missing < u64::from(u32::MAX));
}

#[test]
fn merge_adds_every_figure() {
    let one = |shift: u64, seq: u32| {
        let mut stats = opened();
        let times = [(1_100_000, 1_u32, 1_000_000), (1_100_500, 2, 1_010_000), (2_500_000, 7, 2_499_000)];
        for (now_us, number, at_us) in times {
            stats.on_move(now_us + shift * u64::from(1 + number / 7), &sent(number, at_us), 7 + shift as u32);
        }
        stats.on_move(2_600_000 + 3 * shift, &sent(seq, 2_500_000), 0);
        stats.on_move(2_700_000 + shift, &sent(8, 2_800_000), 0);
        stats.finish(3_300_000);
        stats
    };
    let (ours, theirs) = (one(0, 3), one(20_000, 4));
    let mut both = ours.clone();
    both.merge(&theirs);
    let sum = |read: fn(&MoveStats) -> u64| assert_eq!(read(&both), read(&ours) + read(&theirs));
    sum(|it| it.one_way.count());
    sum(|it| it.age.count());
    sum(|it| it.fresh);
    sum(|it| it.superseded_on_arrival);
    sum(|it| it.late);
    sum(|it| it.missing);
    sum(|it| it.freezes);
    sum(|it| it.arrived_before_sent);
    sum(|it| it.age_over_time.slots.iter().map(|slot| slot.area_us2).sum());
    sum(|it| it.blocks[0].age.count());
    sum(|it| it.blocks[1].freezes);
    assert!(ours.superseded_on_arrival * ours.late * ours.missing * ours.blocks[1].freezes > 0);
    assert_eq!(ours.arrived_before_sent, 1);
    assert!(theirs.jitter_us != ours.jitter_us && theirs.longest_gap_us != ours.longest_gap_us);
    assert_eq!(both.jitter_us, ours.jitter_us.max(theirs.jitter_us));
    assert_eq!(both.longest_gap_us, ours.longest_gap_us.max(theirs.longest_gap_us));
    assert_eq!((both.clock_error_us, both.block_us, both.blocks.len()), (20_007, 1_000_000, 2));
    let mut empty = MoveStats::default();
    empty.merge(&ours);
    assert_eq!(
        (empty.block_us, empty.blocks.len(), empty.blocks[1].freezes),
        (1_000_000, 2, ours.blocks[1].freezes)
    );
}

#[test]
fn blocks_are_bounded() {
    for (window_s, block_s, count) in [(1, 1, 1), (120, 1, 120), (121, 2, 61), (240, 2, 120), (241, 4, 61)] {
        let mut stats = MoveStats::new(10_000);
        stats.open(0, 5..window_s * 1_000_000 + 5);
        assert_eq!((stats.block_us, stats.blocks.len()), (block_s * 1_000_000, count));
    }
    let mut stats = MoveStats::new(10_000);
    stats.open(0, 0..1_500_000);
    assert_eq!(stats.blocks.len(), 2, "the last block may be shorter");
}

/// A move of a model: its number, its intended time, and its arrival if it arrives.
type Fate = (u32, u64, Option<u64>);

/// Moves every `period_us` that take some of `delays_us`; `None` is lost.
fn moves(period_us: u64, delays_us: &[Option<u64>]) -> Vec<Fate> {
    let fate = |(number, delay_us): (usize, &Option<u64>)| {
        let at_us = number as u64 * period_us;
        (number as u32 + 1, at_us, delay_us.map(|delay_us| at_us + delay_us))
    };
    delays_us.iter().enumerate().map(fate).collect()
}

/// Returns the moves that arrive, in the order of their arrival.
fn arrivals(moves: &[Fate]) -> Vec<(u32, u64, u64)> {
    let mut arrivals: Vec<_> =
        moves.iter().filter_map(|&(seq, at_us, arrives_us)| Some((seq, at_us, arrives_us?))).collect();
    arrivals.sort_by_key(|&(seq, _, arrives_us)| (arrives_us, seq));
    arrivals
}

/// Returns the smallest playout delay in ms with which a player stands still for at most 1 % of the
/// time from `from_ms` to `to_ms`. It shows the opponent of that delay ago, and stands still while
/// it has no move from then or later.
fn smallest_playout_delay_ms(arrivals: &[(u32, u64, u64)], from_ms: u64, to_ms: u64) -> u64 {
    let stalls = |delay_ms: u64| {
        let (mut next, mut newest_us, mut stalled) = (0, None, 0);
        for now_ms in from_ms..to_ms {
            while next < arrivals.len() && arrivals[next].2 <= now_ms * 1_000 {
                newest_us = newest_us.max(Some(arrivals[next].1));
                next += 1;
            }
            // The middle of each millisecond stands for all of it.
            let shown_us = (now_ms * 1_000 + 500).saturating_sub(delay_ms * 1_000);
            stalled += u64::from(newest_us.is_none_or(|newest_us| newest_us < shown_us));
        }
        stalled * 100 > to_ms - from_ms
    };
    let (mut low, mut high) = (0, to_ms);
    while low < high {
        let middle = low.midpoint(high);
        if stalls(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Delays of 20 to 60 ms in whole ms, every so often a loss, and stalls after which many moves
/// arrive together.
fn paths(count: usize) -> impl Strategy<Value = Vec<Option<u64>>> {
    let delay = prop_oneof![
        12 => (20u64..60).prop_map(|ms| Some(ms * 1_000)),
        1 => Just(None),
        1 => (60u64..900).prop_map(|ms| Some(ms * 1_000)),
    ];
    prop::collection::vec(delay, count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The mean age of a sawtooth with a constant delay is the delay, and the sum of the squares of
    /// the gaps over twice their sum, whichever moves are lost.
    #[test]
    fn age_agrees_with_closed_form(
        period_ms in 5u64..40, delay_ms in 0u64..300, lost in prop::collection::vec(any::<bool>(), 30..200),
    ) {
        let (period_us, delay_us) = (period_ms * 1_000, delay_ms * 1_000);
        let mut delays_us: Vec<_> = lost.iter().map(|lost| (!lost).then_some(delay_us)).collect();
        (delays_us[0], *delays_us.last_mut().expect("some")) = (Some(delay_us), Some(delay_us));
        let arrivals = arrivals(&moves(period_us, &delays_us));
        let (open_us, close_us) = (delay_us, (lost.len() as u64 - 1) * period_us + delay_us);
        let mut stats = MoveStats::new(period_us);
        stats.open(0, open_us..close_us);
        for &(seq, at_us, now_us) in &arrivals {
            stats.on_move(now_us, &sent(seq, at_us), 0);
        }
        stats.finish(close_us + 1_000_000);
        let gaps = arrivals.windows(2).map(|pair| (pair[1].2 - pair[0].2) as f64);
        let (squares, sum) = gaps.fold((0.0, 0.0), |(squares, sum), gap| (squares + gap * gap, sum + gap));
        let wanted_us = delay_us as f64 + squares / (2.0 * sum);
        let mean_us = stats.age.mean_us().expect("some");
        prop_assert!((mean_us - wanted_us).abs() <= wanted_us / 100.0 + 2.0, "{} {}", mean_us, wanted_us);
        let by_series: f64 = stats.age_over_time.slots.iter().map(|slot| slot.area_us2 as f64).sum();
        prop_assert!((by_series / sum - wanted_us).abs() <= 1.0, "{} {}", by_series / sum, wanted_us);
    }

    /// Every figure agrees with a count over the whole list of moves.
    #[test]
    fn figures_agree_with_the_list(delays_us in paths(300), finish_ms in 3_000u64..5_000) {
        let (period_us, open_us, close_us) = (10_000, 500_000, 2_500_000);
        let moves = moves(period_us, &delays_us);
        let mut arrivals = arrivals(&moves);
        arrivals.retain(|&(_, _, now_us)| now_us < finish_ms * 1_000);
        let mut stats = MoveStats::new(period_us);
        stats.open(0, open_us..close_us);
        let mut newest = 0;
        let mut in_order = Vec::new();
        for &(seq, at_us, now_us) in &arrivals {
            let freshness = stats.on_move(now_us, &sent(seq, at_us), 0);
            prop_assert_eq!(freshness == Freshness::Fresh, seq > newest);
            if seq > newest {
                (newest, _) = (seq, in_order.push((seq, at_us, now_us)));
            }
        }
        stats.finish(finish_ms * 1_000);
        let within = |at_us: u64| (open_us..close_us).contains(&at_us);
        let sent_in_window = moves.iter().filter(|it| within(it.1)).count() as u64;
        let counted = in_order.iter().filter(|it| within(it.1)).count() as u64;
        let replaced =
            in_order.windows(2).filter(|pair| within(pair[0].1) && pair[1].2 - pair[0].2 < 1_000).count() as u64;
        prop_assert_eq!((stats.in_order(), stats.superseded_on_arrival), (counted, replaced));
        prop_assert_eq!(stats.one_way.count(), counted);
        let arrived = arrivals.iter().filter(|it| within(it.1)).count() as u64;
        prop_assert_eq!(stats.late, arrived - counted);
        prop_assert!(stats.fresh + stats.superseded_on_arrival + stats.late <= sent_in_window);
        let (first, last) = (in_order[0].0, newest);
        let skipped = moves.iter().filter(|it| it.0 > first && it.0 < last && within(it.1));
        let skipped = skipped.filter(|it| in_order.iter().all(|other| other.0 != it.0)).count() as u64;
        prop_assert_eq!(stats.missing, skipped);

        let gaps: Vec<(u64, u64)> = std::iter::once(0).chain(in_order.iter().map(|it| it.2))
            .zip(in_order.iter().map(|it| it.2).chain([finish_ms * 1_000])).collect();
        let frozen = gaps.iter().filter(|&&(from, to)| {
            let freezes_us = (from + 3 * period_us).max(open_us);
            freezes_us < to && freezes_us < close_us
        });
        prop_assert_eq!(stats.freezes, frozen.count() as u64);
        prop_assert_eq!(stats.freezes, stats.blocks.iter().map(|block| block.freezes).sum::<u64>());
        let overlapping = gaps.iter().filter(|&&(from, to)| to > open_us && from < close_us);
        prop_assert_eq!(stats.longest_gap_us, overlapping.map(|(from, to)| to - from).max().unwrap_or(0));

        // All blocks together are the whole window.
        let mut all = Samples::default();
        stats.blocks.iter().for_each(|block| all.merge(&block.age));
        let (whole_us, blocks_us) = (stats.age.mean_us().expect("some"), all.mean_us().expect("some"));
        prop_assert!((whole_us - blocks_us).abs() <= whole_us / 100.0, "{} {}", whole_us, blocks_us);
    }

    /// The 99th percentile of the age is the smallest playout delay with which a player stands
    /// still for 1 % of the time.
    #[test]
    fn perceived_delay_is_the_playout_delay(delays_us in paths(3_200)) {
        let arrivals = arrivals(&moves(10_000, &delays_us));
        let mut stats = MoveStats::new(10_000);
        stats.open(0, 1_000_000..31_000_000);
        for &(seq, at_us, now_us) in arrivals.iter().take_while(|it| it.2 < 32_000_000) {
            stats.on_move(now_us, &sent(seq, at_us), 0);
        }
        stats.finish(32_000_000);
        let simulated_us = smallest_playout_delay_ms(&arrivals, 1_000, 31_000) * 1_000;
        let told_us = stats.age.quantile_of_all_us(0.99).expect("some");
        prop_assert!(told_us.abs_diff(simulated_us) <= told_us / 100 + 1_000, "{} {}", told_us, simulated_us);
        prop_assert_eq!(stats.perceived_delay_us(), Some(told_us), "1,000 teeth can tell");
    }
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
    stats.on_move(77_000, &sent(6, 60_000), 7);
    assert_eq!(stats.jitter_us, 937.5, "the next one is on time, and a sixteenth is forgotten");
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

/// The newest move of a window stays known in the next one, but counts in neither twice.
#[test]
fn restart_forgets_what_was_counted() {
    let mut stats = MoveStats::new(16_667);
    stats.on_move(20_000, &Move { seq: 1, at_us: 10_000, ..Move::default() }, 0);
    stats.restart(20_100);
    stats.on_move(20_200, &Move { seq: 2, at_us: 20_150, ..Move::default() }, 0);
    assert_eq!((stats.fresh, stats.superseded_on_arrival), (1, 0));
}
