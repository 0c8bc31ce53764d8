//! Tests of the budget: its edges, legal players over bad paths, and liars.

use proptest::prelude::*;

use super::*;
use crate::game::{ARENA, Heading, PLAYER, Position, START, advance};

const SECOND_US: u64 = 1_000_000;

fn at(x: f32, y: f32, at_us: u64) -> Move {
    Move { at_us, position: Position { x, y }, ..Move::default() }
}

/// A player as the server sees it.
#[derive(Clone, Debug)]
struct Seat {
    budget: WayBudget,
    last: Move,
}

impl Seat {
    fn new() -> Self {
        Self { budget: WayBudget::default(), last: at(0.0, 0.0, 0) }
    }

    fn take(&mut self, next: Move, now_us: u64) -> Result<(), Illegal> {
        self.last = self.budget.take(&self.last, &next, now_us)?;
        Ok(())
    }

    /// Returns the longest way that the budget allows at `now_us`, in whole units.
    fn reach(&self, now_us: u64) -> u32 {
        let allowed = |units: &u32| {
            let x =
                if self.last.position.x > 0.0 { self.last.position.x - *units as f32 } else { *units as f32 };
            self.clone()
                .take(Move { position: Position { x, ..self.last.position }, ..self.last }, now_us)
                .is_ok()
        };
        (0..=(ARENA - PLAYER) as u32).take_while(allowed).last().expect("standing still is allowed")
    }
}

#[test]
fn earns_300_units_a_second() {
    for (now_us, units) in [(0, 0), (3_000, 0), (4_000, 1), (100_000, 30), (SECOND_US, 300)] {
        assert_eq!(Seat::new().reach(now_us), units, "at {now_us} µs");
    }
    let mut seat = Seat::new();
    assert_eq!(seat.take(at(30.0, 20.0, 0), 100_000), Ok(()));
    assert_eq!(seat.reach(100_000), 0, "all is spent");
    assert_eq!(seat.reach(200_000), 30);
    assert_eq!(seat.take(at(0.0, 20.0, 0), 200_000), Ok(()), "the way back counts, too");
    assert_eq!(seat.reach(200_000), 0);
    assert_eq!(seat.take(at(0.0, 50.0, 0), 300_000), Ok(()), "the longer axis counts");
    assert_eq!(seat.reach(300_000), 0);
}

#[test]
fn refusals_take_nothing_and_say_why() {
    let mut seat = Seat::new();
    let before = seat.budget;
    let Err(Illegal::TooFast { distance, allowed }) = seat.take(at(0.0, 31.0, 0), 100_000) else {
        panic!("31 units in the time of 30")
    };
    assert!(distance == 31.0 && (30.06..30.08).contains(&allowed), "{distance} of {allowed}");
    let edge = ARENA - PLAYER;
    for (x, y) in [(-0.1, 0.0), (edge + 0.1, 0.0), (0.0, -1.0), (0.0, f32::INFINITY), (f32::NAN, 0.0)] {
        assert!(matches!(seat.take(at(x, y, 0), SECOND_US), Err(Illegal::OutsideArena(_))), "({x}, {y})");
    }
    assert_eq!((seat.budget, seat.last), (before, at(0.0, 0.0, 0)));
    assert_eq!(seat.take(at(30.0, 0.0, 0), 100_000), Ok(()));
}

#[test]
fn tolerates_a_hundredth_of_a_unit() {
    assert_eq!(Seat::new().take(at(0.009, 0.0, 0), 0), Ok(()));
    assert!(Seat::new().take(at(0.011, 0.0, 0), 0).is_err());
    let mut seat = Seat::new();
    for _ in 0..100 {
        let x = if seat.last.position.x > 0.0 { 0.0 } else { 0.006 };
        let _ = seat.take(at(x, 0.0, 0), 0);
    }
    assert_eq!(seat.budget.spent_ns / 1_000, 19, "the tolerance is given once, and not with each move");
}

#[test]
fn late_moves_gain_twelve_seconds() {
    let mut seat = Seat::new();
    // The moves claim to be from the beginning of the match, so they are late.
    let hour_us = 3_600 * SECOND_US;
    let mut walked = 0;
    for _ in 0..100 {
        let reach = seat.reach(hour_us);
        walked += reach;
        let x = if seat.last.position.x > 0.0 { seat.last.position.x - reach as f32 } else { reach as f32 };
        assert_eq!(seat.take(at(x, 0.0, 0), hour_us), Ok(()));
    }
    assert_eq!(walked, 12 * 300 + 7, "with 0.2 % of slack");
    assert_eq!(seat.reach(hour_us + SECOND_US), 300);
}

#[test]
fn timely_moves_save_one_second() {
    let mut seat = Seat::new();
    let minute_us = 60 * SECOND_US;
    assert_eq!(seat.take(at(0.0, 0.0, minute_us), minute_us), Ok(()));
    assert_eq!(seat.reach(minute_us), 300);
    // A move that admits an error may be as late as that.
    let vague = Move { clock_error_us: 500_000, ..at(0.0, 0.0, minute_us) };
    let mut seat = Seat::new();
    assert_eq!(seat.take(vague, minute_us), Ok(()));
    assert_eq!(seat.reach(minute_us), 450);
    // A claim from the future takes no way that the clocks might have earned.
    let ahead = Move { clock_error_us: 0, ..at(0.0, 0.0, u64::MAX) };
    let mut seat = Seat::new();
    assert_eq!(seat.take(ahead, minute_us), Ok(()));
    assert_eq!(seat.reach(minute_us), 225, "a second less the margin of the clocks");
}

#[test]
fn times_are_told_as_credible() {
    let told = |last_us, at_us, clock_error_us, now_us| {
        let next = Move { clock_error_us, at_us, seq: 9, ..Move::default() };
        let told = WayBudget::default().take(&at(0.0, 0.0, last_us), &next, now_us).expect("legal");
        assert_eq!(Move { at_us, ..told }, next, "nothing else changes");
        told.at_us
    };
    assert_eq!(told(10, 500, 0, SECOND_US), 500, "late");
    assert_eq!(told(10, 10, 0, SECOND_US), 10);
    assert_eq!(told(10, 9, 0, SECOND_US), 10, "time does not run back");
    assert_eq!(told(10, 1_250_000, 0, SECOND_US), 1_250_000);
    assert_eq!(told(10, 1_250_001, 0, SECOND_US), 1_250_000);
    assert_eq!(told(10, 1_250_001, 1, SECOND_US), 1_250_001, "the admitted error counts");
    assert_eq!(told(10, u64::MAX, SECOND_US as u32, SECOND_US), 2_250_000);
    assert_eq!(told(10, u64::MAX, u32::MAX - 1, SECOND_US), 2_250_000, "up to a second");
    assert_eq!(told(10, u64::MAX, Move::CLOCK_UNKNOWN, SECOND_US), 1_250_000);
    assert_eq!(told(u64::MAX, 0, 0, 0), u64::MAX);
    assert_eq!(told(0, u64::MAX, 0, u64::MAX), u64::MAX);
}

/// A step of a player: the time since the step before, the steering, and the fate of its move.
#[derive(Clone, Debug)]
struct Step {
    after_us: u64,
    heading: Heading,
    lost: bool,
    delay_us: u64,
    /// The error of the estimate of the server's clock, as a share of the admitted error.
    error: f64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after_us = prop_oneof![20 => 800u64..20_000, 5 => 20_000u64..300_000, 1 => 0u64..30_000_000];
    let heading = (-1.5f32..1.5, prop_oneof![Just(-1.0f32), Just(1.0), -1.5f32..1.5]);
    let delay_us = prop_oneof![8 => 0u64..50_000, 1 => 0u64..1_000_000];
    let step = (after_us, heading, 0..100, delay_us, -1.0..1.0);
    let step = step.prop_map(|(after_us, (x, y), luck, delay_us, error)| Step {
        after_us,
        heading: Heading { x, y },
        lost: luck < 20,
        delay_us,
        error,
    });
    prop::collection::vec(step, 1..400)
}

/// A path between a player and the server.
#[derive(Clone, Debug)]
struct Path {
    /// Whether moves wait in a stall, and never overtake each other; otherwise they are lost in it.
    in_order: bool,
    /// The share of moves that are lost, as the steps say, outside of stalls.
    loses: bool,
    /// The begin of a stall in every period of 13 s, and its length.
    stalls_us: Vec<(u64, u64)>,
}

impl Path {
    const PERIOD_US: u64 = 13 * SECOND_US;

    /// Returns the end of the stall at this time, if there is one.
    fn stalled_until_us(&self, now_us: u64) -> Option<u64> {
        let number = now_us / Self::PERIOD_US;
        let &(begin_us, length_us) = self.stalls_us.get(number as usize % self.stalls_us.len().max(1))?;
        let begin_us = number * Self::PERIOD_US + begin_us;
        (begin_us..begin_us + length_us).contains(&now_us).then_some(begin_us + length_us)
    }
}

fn path() -> impl Strategy<Value = Path> {
    let stalls_us = prop::collection::vec((0u64..3 * SECOND_US, 0u64..9_500_000), 0..4);
    (any::<bool>(), any::<bool>(), stalls_us).prop_map(|(in_order, loses, stalls_us)| Path {
        in_order,
        loses: loses && !in_order,
        stalls_us,
    })
}

proptest! {
    /// No legal move is refused over any path: random losses, delays, reordering, stalls in which
    /// all is lost or all waits, clocks that run apart by 400 ppm and whose offset is wrong.
    #[test]
    fn no_legal_move_is_refused(
        steps in steps(),
        path in path(),
        began_us in 0u64..5_000_000,
        error_us in 0u32..900_000,
        ppm in -400i64..=400,
    ) {
        let mut position = START[1];
        let (mut local_us, mut claimed_us, mut passed_us) = (0_u64, 0_u64, 0_u64);
        let mut arrivals = Vec::new();
        for (seq, step) in (1..).zip(&steps) {
            local_us += step.after_us;
            position = advance(position, step.heading, step.after_us);
            // The server's clock when the player steps.
            let drift_us = local_us.cast_signed() * ppm / 1_000_000;
            let stepped_us = (began_us + local_us).saturating_sub_signed(drift_us);
            let wrong_us = (f64::from(error_us) * step.error) as i64;
            claimed_us = stepped_us.saturating_add_signed(wrong_us).max(claimed_us);
            let mut arrived_us = stepped_us + step.delay_us;
            match path.stalled_until_us(stepped_us) {
                Some(until_us) if path.in_order => arrived_us = until_us + step.delay_us % 50_000,
                Some(_) => continue,
                None if path.loses && step.lost => continue,
                None => {}
            }
            if path.in_order {
                arrived_us = arrived_us.max(passed_us);
                passed_us = arrived_us;
            }
            let update =
                Move { seq, at_us: claimed_us, clock_error_us: error_us, position, ..Move::default() };
            arrivals.push((arrived_us, update));
        }
        arrivals.sort_by_key(|(arrived_us, update)| (*arrived_us, update.seq));
        let mut seat = Seat { last: Move { position: START[1], ..Move::default() }, ..Seat::new() };
        for (now_us, update) in arrivals {
            if update.seq > seat.last.seq {
                prop_assert_eq!(seat.take(update, now_us), Ok(()), "at {} µs: {:?}", now_us, update);
                prop_assert_eq!(seat.last, update, "nor is its time changed");
            }
        }
    }

    /// A liar gets no more way over any window than the rule: the window's time and twelve seconds.
    /// If its moves say that they are on time, it gets one second, where the window begins with an
    /// accepted move. A refused one tells no more than a lost one.
    #[test]
    fn liars_keep_to_the_rule(
        moves in prop::collection::vec(
            (
                prop_oneof![3 => 0u64..2_000, 1 => 0u64..20_000_000],
                (0f32..550.0, 0f32..550.0),
                prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0u64..100_000_000],
                prop_oneof![Just(0), any::<u32>()],
            ),
            1..300,
        ),
        timely: bool,
    ) {
        let units_per_us = 300.0 * 1.002 / 1e6;
        let mut seat = Seat::new();
        let (mut now_us, mut walked) = (0_u64, 0.0);
        // The least of the way walked by a time less the way that time had earned by then. No
        // window has gained more than the difference to it.
        let mut least = 0_f64;
        for (after_us, (x, y), at_us, clock_error_us) in moves {
            now_us += after_us;
            let (at_us, clock_error_us) = if timely { (now_us, 0) } else { (at_us, clock_error_us) };
            let before = seat.last.position;
            let seq = seat.last.seq + 1;
            // A timely liar stands still after a silence, which might have been its path's.
            let waits = timely && after_us > 2_000;
            let position = if waits { before } else { Position { x, y } };
            let update = Move { seq, at_us, clock_error_us, position, ..Move::default() };
            let earned = now_us as f64 * units_per_us;
            if !timely {
                least = least.min(walked - earned);
            }
            if seat.take(update, now_us).is_ok() {
                walked += f64::from((position.x - before.x).abs().max((position.y - before.y).abs()));
                let saved_us = if timely { SAVED_MAX_US } else { CATCH_UP_MAX_US } as f64;
                let gained = walked - earned - least;
                prop_assert!(gained <= saved_us * units_per_us + 0.02, "gained {gained} at {now_us} µs");
                least = least.min(walked - earned);
                prop_assert!(seat.last.at_us <= now_us + CLOCK_MARGIN_US + u64::from(CLOCK_ERROR_MAX_US));
            }
        }
    }

    /// Steps of any length are legal, one by one and all together.
    #[test]
    fn rounding_never_adds_up(
        step_us in 100u64..5_000,
        heading in prop_oneof![Just(1.0f32), Just(-1.0), -1.0f32..1.0],
    ) {
        let heading = Heading { x: heading, y: -heading };
        let start = if heading.x > 0.0 { 250.0 } else { ARENA - PLAYER };
        let mut seat = Seat { last: at(start, 275.0, 0), ..Seat::new() };
        let mut now_us = 0;
        while now_us < 900_000 {
            now_us += step_us;
            let position = advance(seat.last.position, heading, step_us);
            prop_assert_eq!(seat.take(Move { at_us: now_us, position, ..seat.last }, now_us), Ok(()));
        }
    }
}
