//! [`ClockSync`]: an estimate of the server's clock from pings.

use netduel_protocol::Pong;

use super::Samples;

/// The number of round trips that the offset is chosen from: at ten pings a second, the last 6.4 s.
const CLOCK_WINDOW: usize = 64;

/// An estimate of the server's clock: the offset of the shortest round trip, which is the least
/// distorted.
#[derive(Clone, Debug, Default)]
pub struct ClockSync {
    /// Whether both ends read the same clock, so that nothing needs to be estimated.
    shared: bool,
    /// Round trips and offsets in µs, the newest last.
    recent: std::collections::VecDeque<(u64, i64)>,
    /// The round trips of pings.
    pub rtt: Samples,
}

impl ClockSync {
    /// Creates an estimate. `shared` says that both ends read one clock.
    pub fn new(shared: bool) -> Self {
        Self { shared, ..Self::default() }
    }

    /// Records a pong that arrived at `now_us` by this side's clock. Returns the round trip in µs.
    pub fn on_pong(&mut self, now_us: u64, pong: &Pong) -> u64 {
        let in_server_us = pong.sent_us.saturating_sub(pong.received_us);
        let rtt_us = now_us.saturating_sub(pong.ping_sent_us).saturating_sub(in_server_us);
        // The type is wide enough for any claim of a server.
        let there = i128::from(pong.received_us) - i128::from(pong.ping_sent_us);
        let back = i128::from(pong.sent_us) - i128::from(now_us);
        if self.recent.len() == CLOCK_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back((rtt_us, i64::try_from((there + back) / 2).unwrap_or(0)));
        self.rtt.record(rtt_us);
        rtt_us
    }

    /// Returns the server's time when this side's clock shows `now_us`.
    pub fn server_us(&self, now_us: u64) -> u64 {
        now_us.saturating_add_signed(self.best().map_or(0, |(_, offset_us)| offset_us))
    }

    /// Returns the error bound of [`Self::server_us`]: half of the shortest round trip, since its
    /// two parts cannot be told apart.
    pub fn error_us(&self) -> u32 {
        match (self.shared, self.best()) {
            (true, _) => 0,
            (false, Some((rtt_us, _))) => u32::try_from(rtt_us.div_ceil(2)).unwrap_or(u32::MAX),
            (false, None) => u32::MAX,
        }
    }

    fn best(&self) -> Option<(u64, i64)> {
        if self.shared { None } else { self.recent.iter().copied().min() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_uses_the_shortest_round_trip() {
        // The server's clock is 5 s ahead. One way takes 2 ms, the other 2 ms plus queueing.
        let mut clock = ClockSync::new(false);
        assert_eq!(clock.error_us(), u32::MAX);
        for (sent_us, queue_us) in [(0, 30_000), (100_000, 0), (200_000, 9_000)] {
            let received_us = 5_000_000 + sent_us + 2_000;
            let pong = Pong { ping_sent_us: sent_us, received_us, sent_us: received_us + 500 };
            let rtt_us = clock.on_pong(sent_us + 2_000 + 500 + 2_000 + queue_us, &pong);
            assert_eq!(rtt_us, 4_000 + queue_us);
        }
        assert_eq!(clock.server_us(1_000_000), 6_000_000);
        assert_eq!(clock.error_us(), 2_000);
        let hostile = Pong { ping_sent_us: 0, received_us: u64::MAX, sent_us: u64::MAX };
        ClockSync::new(false).on_pong(u64::MAX, &hostile);
        assert_eq!(ClockSync::new(true).server_us(77), 77);
        assert_eq!(ClockSync::new(true).error_us(), 0);
    }
}
