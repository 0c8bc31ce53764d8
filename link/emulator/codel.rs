//! The CoDel queue of RFC 8289 as a pure state machine: [`Codel::dequeue`] decides which packets
//! are dropped when the link is ready for the next one.

use std::collections::VecDeque;

use crate::emulator::schedule::Nanos;

/// The wait that is acceptable, ns (TARGET, RFC 8289 section 4.2).
const TARGET: Nanos = 5_000_000;
/// The time for which the wait must be above the target before a drop, ns (INTERVAL, RFC 8289
/// section 4.3).
const INTERVAL: Nanos = 100_000_000;
/// The number of intervals within which a new state of dropping resumes the rate of the last one.
const RESUME_INTERVALS: u64 = 16;

/// A packet that waits in the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Waiting<T> {
    /// Time of arrival at the queue, ns.
    pub(crate) arrived: Nanos,
    /// Length of the packet, bytes.
    pub(crate) bytes: u64,
    /// Value that belongs to the packet.
    pub(crate) what: T,
}

/// A first-in first-out queue with a limit in bytes.
pub(crate) struct Fifo<T> {
    packets: VecDeque<Waiting<T>>,
    bytes: u64,
    bytes_max: u64,
}

impl<T> Fifo<T> {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { packets: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Adds a packet. Returns whether it fits.
    pub(crate) fn push(&mut self, packet: Waiting<T>) -> bool {
        if self.bytes + packet.bytes > self.bytes_max {
            return false;
        }
        self.bytes += packet.bytes;
        self.packets.push_back(packet);
        true
    }

    fn pop(&mut self) -> Option<Waiting<T>> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.bytes;
        Some(packet)
    }

    pub(crate) fn front(&self) -> Option<&Waiting<T>> {
        self.packets.front()
    }
}

/// The state of CoDel; the names are those of the RFC.
#[derive(Debug)]
pub(crate) struct Codel {
    /// Largest packet of the link, bytes. A queue of one packet or less is never too long.
    maxpacket_bytes: u64,
    /// Time at which the wait has been above the target for an interval.
    first_above_time: Option<Nanos>,
    /// Time of the next drop.
    drop_next: Nanos,
    /// Drops since the state of dropping began.
    count: u32,
    /// Value of `count` when the state of dropping last began.
    lastcount: u32,
    dropping: bool,
}

impl Codel {
    pub(crate) fn new(maxpacket_bytes: u64) -> Self {
        Self {
            maxpacket_bytes,
            first_above_time: None,
            drop_next: 0,
            count: 0,
            lastcount: 0,
            dropping: false,
        }
    }

    /// Takes packets from the queue at `now`, when the link is ready for one. Returns the packet to
    /// send, if any is left, and passes those before it to `dropped`.
    pub(crate) fn dequeue<T>(
        &mut self,
        now: Nanos,
        queue: &mut Fifo<T>,
        mut dropped: impl FnMut(Waiting<T>),
    ) -> Option<Waiting<T>> {
        let (mut packet, mut ok_to_drop) = self.take(now, queue);
        if self.dropping {
            self.dropping = ok_to_drop;
            while self.dropping && now >= self.drop_next {
                packet.map(&mut dropped);
                self.count += 1;
                (packet, ok_to_drop) = self.take(now, queue);
                if ok_to_drop {
                    self.drop_next = self.control_law(self.drop_next);
                } else {
                    self.dropping = false;
                }
            }
        } else if ok_to_drop {
            packet.map(&mut dropped);
            (packet, _) = self.take(now, queue);
            self.dropping = true;
            // A queue that grows again soon is controlled at about the rate that was needed.
            let delta = self.count.saturating_sub(self.lastcount);
            let soon = now.saturating_sub(self.drop_next) < RESUME_INTERVALS * INTERVAL;
            self.count = if delta > 1 && soon { delta } else { 1 };
            self.drop_next = self.control_law(now);
            self.lastcount = self.count;
        }
        packet
    }

    /// Takes one packet, and returns with it whether it may be dropped.
    fn take<T>(&mut self, now: Nanos, queue: &mut Fifo<T>) -> (Option<Waiting<T>>, bool) {
        let Some(packet) = queue.pop() else {
            self.first_above_time = None;
            return (None, false);
        };
        if now.saturating_sub(packet.arrived) < TARGET || queue.bytes <= self.maxpacket_bytes {
            self.first_above_time = None;
            return (Some(packet), false);
        }
        let first_above = *self.first_above_time.get_or_insert(now + INTERVAL);
        (Some(packet), now >= first_above)
    }

    /// Returns the time of the next drop: drops come closer with the square root of their number.
    fn control_law(&self, from: Nanos) -> Nanos {
        from + (INTERVAL as f64 / f64::from(self.count).sqrt()) as Nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;
    const PACKET_BYTES: u64 = 1_000;

    /// Returns a queue in which one packet arrived every millisecond from `from_ms` on.
    fn queue(from_ms: u64, count: u64) -> Fifo<u64> {
        let mut queue = Fifo::new(u64::MAX);
        for number in 0..count {
            let arrived = (from_ms + number) * MS;
            assert!(queue.push(Waiting { arrived, bytes: PACKET_BYTES, what: number }));
        }
        queue
    }

    /// Dequeues once and returns the number of the packet sent, and those of the packets dropped.
    fn dequeue(codel: &mut Codel, now: Nanos, queue: &mut Fifo<u64>) -> (Option<u64>, Vec<u64>) {
        let mut dropped = Vec::new();
        let sent = codel.dequeue(now, queue, |packet| dropped.push(packet.what));
        (sent.map(|packet| packet.what), dropped)
    }

    #[test]
    fn fifo_keeps_order_and_limit() {
        let mut queue = Fifo::new(2_500);
        let packet = |what| Waiting { arrived: 7 * MS, bytes: 1_000, what };
        assert!(queue.push(packet(1)) && queue.push(packet(2)) && !queue.push(packet(3)));
        assert_eq!(queue.front().map(|packet| (packet.what, packet.arrived)), Some((1, 7 * MS)));
        assert_eq!(queue.pop().map(|packet| packet.what), Some(1));
        assert!(queue.push(packet(4)));
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop()].map(|it| it.map(|it| it.what)),
            [Some(2), Some(4), None]
        );
    }

    #[test]
    fn drops_after_an_interval_above_target() {
        let mut codel = Codel::new(PACKET_BYTES);
        let mut queue = queue(0, 1_000);
        // The first packet below the target starts no interval.
        assert_eq!(dequeue(&mut codel, 5 * MS - 1, &mut queue), (Some(0), vec![]));
        assert_eq!(dequeue(&mut codel, 6 * MS, &mut queue), (Some(1), vec![]));
        for number in 2..95 {
            assert_eq!(dequeue(&mut codel, (number + 10) * MS, &mut queue), (Some(number), vec![]));
        }
        // The wait has been above the target since 6 ms.
        assert_eq!(dequeue(&mut codel, 106 * MS - 1, &mut queue), (Some(95), vec![]));
        assert_eq!(dequeue(&mut codel, 106 * MS, &mut queue), (Some(97), vec![96]));
    }

    #[test]
    fn drops_come_closer_by_square_root() {
        let mut codel = Codel::new(PACKET_BYTES);
        let mut queue = queue(0, 100_000);
        let mut times = Vec::new();
        // The wait grows without end, because the link takes a packet only every 2 ms.
        for at in (50..2_000).step_by(2) {
            let (_, dropped) = dequeue(&mut codel, at * MS, &mut queue);
            times.extend(dropped.iter().map(|_| at as f64));
        }
        assert_eq!(times[0], 150.0);
        let mut expected = times[0];
        for (index, time) in times.iter().enumerate().skip(1) {
            expected += 100.0 / (index as f64).sqrt();
            assert!((time - expected).abs() <= 2.0, "drop {index} at {time} instead of {expected}");
        }
        assert!(times.len() > 60, "{}", times.len());
    }

    #[test]
    fn a_single_packet_is_never_dropped() {
        let mut codel = Codel::new(PACKET_BYTES);
        for round in 0..100 {
            // Two packets of which the second stays make the queue one packet long.
            let mut queue = queue(0, 2);
            let now = (1_000 + round * 50) * MS;
            assert_eq!(dequeue(&mut codel, now, &mut queue), (Some(0), vec![]), "round {round}");
        }
        assert_eq!(dequeue(&mut codel, 9_000 * MS, &mut Fifo::new(0)), (None, vec![]));
    }

    #[test]
    fn a_short_wait_ends_dropping() {
        let mut codel = Codel::new(PACKET_BYTES);
        let mut long = queue(0, 1_000);
        assert_eq!(dequeue(&mut codel, 50 * MS, &mut long), (Some(0), vec![]));
        assert_eq!(dequeue(&mut codel, 150 * MS, &mut long), (Some(2), vec![1]));
        assert!(codel.dropping);
        let mut short = queue(150, 1_000);
        assert_eq!(dequeue(&mut codel, 152 * MS, &mut short), (Some(0), vec![]));
        assert!(!codel.dropping && codel.first_above_time.is_none());
        // The interval starts again.
        assert_eq!(dequeue(&mut codel, 260 * MS, &mut short), (Some(1), vec![]));
        assert_eq!(dequeue(&mut codel, 359 * MS, &mut short), (Some(2), vec![]));
        assert_eq!(dequeue(&mut codel, 360 * MS, &mut short), (Some(4), vec![3]));
    }

    #[test]
    fn dropping_resumes_at_its_rate() {
        let resumed_after = |pause_ms: u64| {
            let mut codel = Codel::new(PACKET_BYTES);
            let mut long = queue(0, 100_000);
            for at in (50..1_000).step_by(2) {
                dequeue(&mut codel, at * MS, &mut long);
            }
            let count = codel.count;
            assert!(codel.dropping && count > 10, "{count}");
            let begin_ms = 1_000 + pause_ms;
            dequeue(&mut codel, begin_ms * MS, &mut queue(begin_ms, 9));
            assert!(!codel.dropping);
            let mut again = queue(begin_ms, 1_000);
            dequeue(&mut codel, (begin_ms + 50) * MS, &mut again);
            assert_eq!(dequeue(&mut codel, (begin_ms + 150) * MS, &mut again).1.len(), 1);
            (count, codel.count)
        };
        let (before, after) = resumed_after(0);
        assert_eq!(after, before - 1, "the drops of the last state, without its first");
        assert_eq!(resumed_after(1_500).1, 1);
    }
}
