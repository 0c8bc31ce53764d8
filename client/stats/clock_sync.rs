//! [`ClockSync`]: an estimate of the server's clock from pings.

use std::collections::VecDeque;

use netduel_protocol::Pong;

use super::Samples;

/// The number of round trips that the offset is estimated from: at ten pings a second, the last
/// 6.4 s. Clocks drift apart by less than a ms in that time.
const CLOCK_WINDOW: usize = 64;

/// An estimate of the server's clock: the interval in which the offset must lie by every recent
/// round trip. A way takes no negative time, so the answer's time of sending less that of its
/// arrival is a lower bound, and the ping's time of arrival less that of its sending an upper one.
#[derive(Clone, Debug, Default)]
pub struct ClockSync {
    /// The offset that both ends agree upon, so that nothing needs to be estimated: 0 where they
    /// read the same clock.
    agreed_us: Option<i64>,
    /// The bounds by each round trip in µs, the newest last.
    recent: VecDeque<(i64, i64)>,
    /// The round trips of pings.
    pub rtt: Samples,
}

impl ClockSync {
    /// Creates an estimate. `shared` says that both ends read one clock.
    pub fn new(shared: bool) -> Self {
        Self { agreed_us: shared.then_some(0), ..Self::default() }
    }

    /// Uses this offset from now on. Players who read one clock agree upon an offset: whatever its
    /// error, times that one of them sends another are exact.
    pub fn agree(&mut self, offset_us: i64) {
        self.agreed_us = Some(offset_us);
    }

    /// Records a pong that arrived at `now_us` by this side's clock. Returns the round trip in µs.
    pub fn on_pong(&mut self, now_us: u64, pong: &Pong) -> u64 {
        let in_server_us = pong.sent_us.saturating_sub(pong.received_us);
        let rtt_us = now_us.saturating_sub(pong.ping_sent_us).saturating_sub(in_server_us);
        let lower_us = difference_us(pong.sent_us, now_us);
        let upper_us = difference_us(pong.received_us, pong.ping_sent_us);
        // No honest round trip contradicts itself.
        if lower_us <= upper_us {
            if self.recent.len() == CLOCK_WINDOW {
                self.recent.pop_front();
            }
            self.recent.push_back((lower_us, upper_us));
        }
        self.rtt.record(rtt_us);
        rtt_us
    }

    /// Returns the server's time when this side's clock shows `now_us`; this side's time as long as
    /// nothing is known.
    pub fn server_us(&self, now_us: u64) -> u64 {
        now_us.saturating_add_signed(self.offset_us().unwrap_or(0))
    }

    /// Returns the server's clock less this side's; `None` before the first pong.
    pub fn offset_us(&self) -> Option<i64> {
        self.agreed_us.or_else(|| self.bounds_us().map(|(lower_us, upper_us)| lower_us.midpoint(upper_us)))
    }

    /// Returns the error bound of [`Self::server_us`], half of the interval; `None` before the
    /// first pong.
    pub fn error_us(&self) -> Option<u32> {
        if self.agreed_us.is_some() {
            return Some(0);
        }
        let (lower_us, upper_us) = self.bounds_us()?;
        // An error that is known to be immense is not the same as an unknown one.
        Some(u32::try_from(upper_us.abs_diff(lower_us).div_ceil(2)).unwrap_or(u32::MAX).min(u32::MAX - 1))
    }

    /// Returns the interval in which the offset lies. Where the clocks drifted or were set, older
    /// round trips contradict newer ones and are left out.
    fn bounds_us(&self) -> Option<(i64, i64)> {
        let mut newest_first = self.recent.iter().rev().copied();
        let mut known = newest_first.next()?;
        for (lower_us, upper_us) in newest_first {
            let both = (known.0.max(lower_us), known.1.min(upper_us));
            if both.0 > both.1 {
                break;
            }
            known = both;
        }
        Some(known)
    }
}

/// Returns `a − b`, wide enough for any claim of a server.
fn difference_us(a: u64, b: u64) -> i64 {
    let exact = i128::from(a) - i128::from(b);
    // A quarter of the range leaves room for sums.
    let bound = i128::from(i64::MAX / 4);
    i64::try_from(exact.clamp(-bound, bound)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's clock is 5 s ahead. Returns the round trip of a ping that takes `up_us` there
    /// and `down_us` back, and 500 µs within the server.
    fn ping(clock: &mut ClockSync, sent_us: u64, up_us: u64, down_us: u64) -> u64 {
        let received_us = 5_000_000 + sent_us + up_us;
        let pong = Pong { ping_sent_us: sent_us, received_us, sent_us: received_us + 500 };
        clock.on_pong(sent_us + up_us + 500 + down_us, &pong)
    }

    #[test]
    fn nothing_is_known_before_a_pong() {
        let clock = ClockSync::new(false);
        assert_eq!((clock.offset_us(), clock.error_us(), clock.server_us(7)), (None, None, 7));
    }

    #[test]
    fn offset_lies_between_the_best_ways() {
        // No round trip is short, but one way or the other of each is.
        let mut clock = ClockSync::new(false);
        assert_eq!(ping(&mut clock, 0, 2_000, 30_000), 32_000);
        assert_eq!((clock.offset_us(), clock.error_us()), (Some(4_986_000), Some(16_000)));
        assert_eq!(ping(&mut clock, 100_000, 40_000, 1_000), 41_000);
        // The bounds are 5 s less 1 ms and 5 s plus 2 ms: an error that no round trip alone gives.
        assert_eq!((clock.offset_us(), clock.error_us()), (Some(5_000_500), Some(1_500)));
        ping(&mut clock, 200_000, 9_000, 9_000);
        assert_eq!((clock.server_us(1_000_000), clock.error_us()), (6_000_500, Some(1_500)));
        assert_eq!(clock.rtt.count(), 3);
    }

    #[test]
    fn newer_pongs_win_after_a_step() {
        let mut clock = ClockSync::new(false);
        ping(&mut clock, 0, 1_000, 1_000);
        let stepped = Pong { ping_sent_us: 50_000, received_us: 950_000, sent_us: 950_000 };
        clock.on_pong(60_000, &stepped);
        assert_eq!((clock.offset_us(), clock.error_us()), (Some(895_000), Some(5_000)));
    }

    #[test]
    fn old_pongs_are_forgotten() {
        let mut clock = ClockSync::new(false);
        ping(&mut clock, 0, 10, 10);
        for number in 1..CLOCK_WINDOW as u64 {
            ping(&mut clock, number * 1_000, 900, 900);
        }
        assert_eq!(clock.error_us(), Some(10), "the first one still counts");
        ping(&mut clock, 1_000_000, 900, 900);
        assert_eq!(clock.error_us(), Some(900));
    }

    #[test]
    fn agreed_offsets_have_no_error() {
        assert_eq!((ClockSync::new(true).server_us(77), ClockSync::new(true).error_us()), (77, Some(0)));
        let mut clock = ClockSync::new(false);
        ping(&mut clock, 0, 2_000, 2_000);
        clock.agree(5_001_000);
        ping(&mut clock, 100_000, 10, 10);
        assert_eq!((clock.server_us(1_000_000), clock.error_us()), (6_001_000, Some(0)));
    }

    #[test]
    fn hostile_pongs_do_no_harm() {
        let mut clock = ClockSync::new(false);
        let hostile = |ping_sent_us, received_us, sent_us| Pong { ping_sent_us, received_us, sent_us };
        // The answer claims to be sent after it arrived: the round trip contradicts itself.
        clock.on_pong(10, &hostile(0, 1_000, 5_000));
        assert_eq!(clock.offset_us(), None);
        clock.on_pong(u64::MAX, &hostile(0, u64::MAX, u64::MAX));
        clock.on_pong(u64::MAX, &hostile(u64::MAX, 0, 0));
        assert!(clock.offset_us().is_some() && clock.error_us().is_some());
        let mut clock = ClockSync::new(false);
        clock.on_pong(u64::MAX, &hostile(0, u64::MAX, 0));
        assert_eq!(clock.error_us(), Some(u32::MAX - 1), "immense, and known to be");
    }
}
