//! Tests of the limits on joins, without a clock.

use proptest::prelude::*;

use super::*;

fn at(begin: Instant, seconds: f64) -> Instant {
    begin + Duration::from_secs_f64(seconds)
}

fn address(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

/// Returns the delays of the joins after each of `leaves` early leaves of one connection, in s.
fn delays(limits: &mut JoinLimits, leaves: u32, begin: Instant) -> Vec<Result<u64, TooManyJoins>> {
    let config = Config::default();
    let mut now = begin;
    let mut leave = || {
        limits.left_early(1, now);
        let from = limits.join(1, false, now, &config)?.unwrap_or(now);
        let delay = (from - now).as_secs();
        now = from;
        Ok(delay)
    };
    (0..leaves).map(|_| leave()).collect()
}

#[test]
fn early_leaves_double_the_delay() {
    let (mut limits, begin) = (JoinLimits::default(), Instant::now());
    limits.enter(1, address(1), begin);
    let expected = [0, 0, 1, 2, 4, 8, 16, 32].map(Ok);
    assert_eq!(delays(&mut limits, 8, begin), expected);
}

#[test]
fn leaves_are_forgiven_in_time() {
    let (mut limits, begin) = (JoinLimits::default(), Instant::now());
    let config = Config::default();
    limits.enter(1, address(1), begin);
    for _ in 0..FREE_OF_CONNECTION + 3 {
        limits.left_early(1, begin);
    }
    assert_eq!(limits.join(1, false, begin, &config), Ok(Some(at(begin, 4.0))));
    assert_eq!(limits.join(1, false, at(begin, 4.0), &config), Ok(None), "it has waited");
    limits.left_early(1, at(begin, 200.0));
    assert_eq!(limits.join(1, false, at(begin, 200.0), &config), Ok(Some(at(begin, 201.0))));
}

#[test]
fn new_connections_share_the_address() {
    let (mut limits, begin) = (JoinLimits::default(), Instant::now());
    let config = Config::default();
    // A connection for each early leave.
    for player in 0..u64::from(FREE_OF_ADDRESS) + 1 {
        limits.enter(player, address(1), begin);
        assert_eq!(limits.join(player, false, begin, &config), Ok(None));
        limits.left_early(player, begin);
        limits.remove(player);
    }
    for (player, seconds) in [(100, 1.0), (101, 2.0), (102, 3.0)] {
        limits.enter(player, address(1), begin);
        assert_eq!(limits.join(player, false, begin, &config), Ok(Some(at(begin, seconds))), "in turns");
    }
    limits.enter(200, address(2), begin);
    assert_eq!(limits.join(200, false, begin, &config), Ok(None), "another address");
    let later = at(begin, 70.0);
    assert_eq!(limits.join(100, false, later, &config), Ok(None), "one leave is forgiven");
}

#[test]
fn persistent_leavers_are_refused() {
    let (mut limits, now) = (JoinLimits::default(), Instant::now());
    limits.enter(1, address(1), now);
    (0..100).for_each(|_| limits.left_early(1, now));
    assert_eq!(limits.join(1, false, now, &Config::default()), Err(TooManyJoins::Leaves));
    // Connections that each left once hold the address's joins back, one after another.
    limits.enter(2, address(1), now);
    let held: Vec<_> = (0..10).map(|_| limits.join(2, false, now, &Config::default())).collect();
    let most = HELD_MAX.as_secs() / DELAY_OF_ADDRESS_MAX.as_secs();
    assert_eq!(held.iter().filter(|join| matches!(join, Ok(Some(_)))).count() as u64, most);
    assert_eq!(held.last(), Some(&Err(TooManyJoins::Leaves)));
}

/// All codes of six digits take days.
#[test]
fn wrong_codes_are_limited_per_address() {
    const CODES: u64 = 1_000_000;
    let (mut limits, begin) = (JoinLimits::default(), Instant::now());
    let config = Config::default();
    let at_once = u64::from(codes_at_once(&config));
    let mut now = begin;
    for player in 0..at_once + 200 {
        limits.enter(player, address(1), now);
        now = limits.join(player, true, now, &config).expect("held at most").unwrap_or(now);
        limits.remove(player);
    }
    let s_a_code = (now - begin).as_secs_f64() / 200.0;
    assert!(s_a_code * CODES as f64 > 11.0 * 86_400.0, "{s_a_code} s");

    limits.enter(1, address(1), now);
    assert_eq!(limits.join(1, false, now, &config), Ok(None), "without a code");
    limits.enter(2, address(2), now);
    assert_eq!(limits.join(2, true, now, &config), Ok(None), "another address");
    let refused = (0..2 * at_once).filter(|_| limits.join(1, true, now, &config) == Err(TooManyJoins::Codes));
    assert!(refused.count() > 0, "the joins that are held are bounded");
}

#[test]
fn right_codes_cost_nothing() {
    let (mut limits, now) = (JoinLimits::default(), Instant::now());
    let config = Config::default();
    for player in 0..10_000 {
        limits.enter(player, address(1), now);
        assert_eq!(limits.join(player, true, now, &config), Ok(None));
        limits.matched(player, &config);
        limits.matched(player, &config);
        limits.remove(player);
    }
    let guesses = (0..1_000).map(|player| {
        limits.enter(player, address(1), now);
        limits.join(player, true, now, &config)
    });
    assert_eq!(guesses.filter(|join| *join == Ok(None)).count(), codes_at_once(&config) as usize);
}

#[test]
fn remembered_addresses_are_bounded() {
    let (mut limits, begin) = (JoinLimits::default(), Instant::now());
    for number in 0..2 * ADDRESSES_MAX as u32 {
        limits.enter(1, IpAddr::from(number.to_be_bytes()), begin);
        limits.left_early(1, begin);
        limits.remove(1);
    }
    assert_eq!((limits.addresses.len(), limits.connections.len()), (ADDRESSES_MAX, 0));
    let later = at(begin, 61.0);
    limits.enter(1, address(1), later);
    limits.left_early(1, later);
    assert_eq!(limits.addresses.len(), 1, "the others are forgotten");
}

proptest! {
    /// Whatever a connection does, its joins are held for a bounded time, and a player that never
    /// leaves early and gives no code is held only for its address.
    #[test]
    fn holds_are_bounded(steps in prop::collection::vec((0u64..4, 0u8..3, 0u16..2_000), 0..200)) {
        let (mut limits, mut now) = (JoinLimits::default(), Instant::now());
        let config = Config::default();
        for player in 0..4 {
            limits.enter(player, address((player % 2) as u8), now);
        }
        limits.enter(9, address(9), now);
        for (player, what, ms) in steps {
            now += Duration::from_millis(ms.into());
            match what {
                0 => limits.left_early(player, now),
                coded => {
                    if let Ok(Some(from)) = limits.join(player, coded == 1, now, &config) {
                        prop_assert!(from > now && from <= now + HELD_MAX);
                    }
                }
            }
            prop_assert_eq!(limits.join(9, false, now, &config), Ok(None));
        }
    }
}
