//! The bottleneck of a direction: a rate, its stalls, and the queue before it.
//!
//! A bottleneck outlives the schedule: a rewind starts the bad periods again, and leaves the queue
//! as it is. Its times are therefore those of the emulator, and the schedule's times count from
//! `zero` on.

use std::collections::VecDeque;

use crate::{
    emulator::{
        codel::{Codel, Fifo, Waiting},
        schedule::{BadTimes, Nanos},
    },
    spec::{
        link_spec::{DirectionSpec, QueueDiscipline, Rate},
        loss::Loss,
        spec_error::SpecError,
        trace::{OPPORTUNITY_BYTES, Trace},
    },
};

/// The nanoseconds of a millisecond, the unit of a trace.
const MS: Nanos = 1_000_000;

/// The decision about a packet that reaches the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Admission {
    /// The packet leaves at this time.
    Leaves(Nanos),
    /// The packet waits; [`Bottleneck::leave`] decides later.
    Waits,
    /// The packet does not fit and is dropped.
    Full,
}

/// A packet that has left the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left<T> {
    /// Value that belongs to the packet.
    pub(crate) what: T,
    /// Time at which the packet left, or was dropped.
    pub(crate) at: Nanos,
    /// Whether the queue dropped the packet.
    pub(crate) dropped: bool,
}

/// A queue before a rate.
pub(crate) struct Bottleneck<T> {
    capacity: Capacity,
    queue: Queue<T>,
}

enum Queue<T> {
    DropTail {
        bytes_max: u64,
        /// Departure time and length of each packet in the queue; `bytes_max` bounds it.
        packets: VecDeque<(Nanos, u64)>,
        bytes: u64,
    },
    Codel {
        codel: Codel,
        fifo: Fifo<T>,
        /// Packets about which the queue has decided.
        left: VecDeque<Left<T>>,
    },
}

impl<T> Bottleneck<T> {
    /// Makes the bottleneck of a direction; `None` if the direction has no rate and never stalls.
    pub(crate) fn new(spec: &DirectionSpec, mtu_bytes: u16) -> Result<Option<Self>, SpecError> {
        let (kind, bytes_max) = match &spec.rate {
            Some(Rate::MbitPerS(rate)) => {
                (Kind::Constant { ns_per_byte: 8e3 / rate, busy_until: 0.0 }, spec.queue_bytes)
            }
            Some(Rate::Trace(file)) => {
                let trace = Trace::read(file)?;
                (Kind::Trace { trace, opportunity: 0, used_bytes: 0, last: 0 }, spec.queue_bytes)
            }
            None if stalls(&spec.loss) => (Kind::Constant { ns_per_byte: 0.0, busy_until: 0.0 }, u64::MAX),
            None => return Ok(None),
        };
        let queue = match spec.queue {
            QueueDiscipline::DropTail => Queue::DropTail { bytes_max, packets: VecDeque::new(), bytes: 0 },
            QueueDiscipline::Codel => Queue::Codel {
                codel: Codel::new(mtu_bytes.into()),
                fifo: Fifo::new(bytes_max),
                left: VecDeque::new(),
            },
        };
        Ok(Some(Self { capacity: Capacity { kind, stalls: None, zero: 0 }, queue }))
    }

    /// Starts the schedule of stalls and of the trace again at `zero`. The queue stays as it is.
    pub(crate) fn restart(&mut self, stalls: Option<BadTimes>, zero: Nanos) {
        self.capacity.restart(stalls, zero);
    }

    /// Decides about a packet of `bytes` that reaches the queue at `now`. Times must not go back.
    pub(crate) fn offer(&mut self, now: Nanos, bytes: u64, what: T) -> Admission {
        self.settle(now);
        match &mut self.queue {
            Queue::DropTail { bytes_max, packets, bytes: queued } => {
                while let Some((_, left_bytes)) = packets.pop_front_if(|(departs, _)| *departs <= now) {
                    *queued -= left_bytes;
                }
                if *queued + bytes > *bytes_max {
                    return Admission::Full;
                }
                let departs = self.capacity.send(now, bytes);
                packets.push_back((departs, bytes));
                *queued += bytes;
                Admission::Leaves(departs)
            }
            Queue::Codel { fifo, .. } => {
                let fits = fifo.push(Waiting { arrived: now, bytes, what });
                if fits { Admission::Waits } else { Admission::Full }
            }
        }
    }

    /// Returns the next packet that has left the queue by `now`, in order of arrival. Only packets
    /// that were told to wait leave this way.
    pub(crate) fn leave(&mut self, now: Nanos) -> Option<Left<T>> {
        self.settle(now);
        match &mut self.queue {
            Queue::DropTail { .. } => None,
            Queue::Codel { left, .. } => left.pop_front(),
        }
    }

    /// Returns the time at which the next packet leaves the queue, if one waits.
    pub(crate) fn next_leave(&mut self) -> Option<Nanos> {
        match &mut self.queue {
            Queue::DropTail { .. } => None,
            Queue::Codel { fifo, left, .. } => match left.front() {
                Some(left) => Some(left.at),
                None => fifo.front().map(|head| self.capacity.ready(head.arrived)),
            },
        }
    }

    /// Dequeues until `now`.
    fn settle(&mut self, now: Nanos) {
        let Queue::Codel { codel, fifo, left } = &mut self.queue else { return };
        while let Some(head) = fifo.front() {
            let at = self.capacity.ready(head.arrived);
            if at > now {
                return;
            }
            let sent = codel
                .dequeue(at, fifo, |Waiting { what, .. }| left.push_back(Left { what, at, dropped: true }));
            if let Some(Waiting { bytes, what, .. }) = sent {
                let at = self.capacity.send(at, bytes);
                left.push_back(Left { what, at, dropped: false });
            }
        }
    }
}

/// Whether packets wait for the end of a bad period.
pub(crate) fn stalls(loss: &Loss) -> bool {
    matches!(loss, Loss::GilbertElliottTime { stalls: true, .. })
}

/// A rate with its stalls.
struct Capacity {
    kind: Kind,
    stalls: Option<BadTimes>,
    /// Zero of the schedule.
    zero: Nanos,
}

enum Kind {
    Constant {
        ns_per_byte: f64,
        /// Departure time of the last packet, ns.
        busy_until: f64,
    },
    Trace {
        trace: Trace,
        /// Index of the opportunity in use.
        opportunity: u64,
        /// Bytes of this opportunity that are used up.
        used_bytes: u64,
        /// Departure time of the last packet, ns.
        last: Nanos,
    },
}

impl Capacity {
    fn restart(&mut self, stalls: Option<BadTimes>, zero: Nanos) {
        (self.stalls, self.zero) = (stalls, zero);
        if let Kind::Trace { trace, opportunity, used_bytes, last } = &mut self.kind {
            // The trace starts again, but no packet overtakes those that are queued.
            *opportunity = trace.first_from(last.saturating_sub(zero).div_ceil(MS));
            *used_bytes = 0;
        }
    }

    /// Returns the first time from `now` on at which the next packet can be sent: after all earlier
    /// packets and outside every stall.
    fn ready(&mut self, now: Nanos) -> Nanos {
        let mut from = now;
        loop {
            let at = match &mut self.kind {
                Kind::Constant { busy_until, .. } => from.max(busy_until.ceil() as Nanos),
                Kind::Trace { trace, opportunity, used_bytes, .. } => {
                    let first = trace.first_from(from.saturating_sub(self.zero).div_ceil(MS));
                    if first > *opportunity {
                        (*opportunity, *used_bytes) = (first, 0);
                    }
                    self.zero + trace.opportunity_ms(*opportunity) * MS
                }
            };
            let stall = self.stalls.as_mut().and_then(|stalls| stalls.at(at.saturating_sub(self.zero)));
            match stall {
                Some(stall) => from = self.zero + stall.end,
                None => return at,
            }
        }
    }

    /// Sends a packet at the first time from `now` on, and returns the time at which its last bit
    /// leaves.
    fn send(&mut self, now: Nanos, bytes: u64) -> Nanos {
        let mut left_bytes = bytes;
        loop {
            let ready = self.ready(now);
            match &mut self.kind {
                Kind::Constant { ns_per_byte, busy_until } => {
                    // A time is rounded up to be compared; fractions must not add up.
                    let begins = if busy_until.ceil() as Nanos == ready { *busy_until } else { ready as f64 };
                    *busy_until = begins + bytes as f64 * *ns_per_byte;
                    return busy_until.ceil() as Nanos;
                }
                Kind::Trace { opportunity, used_bytes, last, .. } => {
                    *last = ready;
                    let room_bytes = OPPORTUNITY_BYTES - *used_bytes;
                    if left_bytes < room_bytes {
                        *used_bytes += left_bytes;
                        return ready;
                    }
                    (*opportunity, *used_bytes) = (*opportunity + 1, 0);
                    left_bytes -= room_bytes;
                    if left_bytes == 0 {
                        return ready;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{spec::link_spec::LinkSpec, types::Direction};

    fn bottleneck(spec: &DirectionSpec) -> Bottleneck<u64> {
        Bottleneck::new(spec, 1_500).expect("a good spec").expect("a bottleneck")
    }

    fn constant(mbit_per_s: f64, queue_bytes: u64) -> DirectionSpec {
        DirectionSpec { rate: Some(Rate::MbitPerS(mbit_per_s)), queue_bytes, ..DirectionSpec::default() }
    }

    /// Returns the departure of each packet, `None` if dropped. A packet of `bytes` is sent every
    /// `every`.
    fn departures(spec: &DirectionSpec, count: u64, every: Nanos, bytes: u64) -> Vec<Option<Nanos>> {
        let mut bottleneck = bottleneck(spec);
        let departure = |index| match bottleneck.offer(index * every, bytes, index) {
            Admission::Leaves(at) => Some(at),
            Admission::Full => None,
            Admission::Waits => panic!("a drop-tail queue decides at once"),
        };
        (0..count).map(departure).collect()
    }

    #[test]
    fn spaces_packets_and_drops_overflow() {
        // 12 Mbit/s: one packet of 1500 bytes a millisecond. The queue has room for four.
        let spec = constant(12.0, 6_000);
        let at = departures(&spec, 6, 0, 1_500);
        assert_eq!(at, [Some(MS), Some(2 * MS), Some(3 * MS), Some(4 * MS), None, None]);
        let mut bottleneck = bottleneck(&spec);
        for number in 0..4 {
            assert!(matches!(bottleneck.offer(0, 1_500, number), Admission::Leaves(_)));
        }
        assert_eq!(bottleneck.offer(MS - 1, 1_500, 4), Admission::Full);
        assert_eq!(bottleneck.offer(MS, 1_500, 5), Admission::Leaves(5 * MS));
        assert_eq!(
            bottleneck.offer(MS, 1_500, 6),
            Admission::Full,
            "one packet left, and one took its place"
        );
        assert_eq!((bottleneck.leave(9 * MS), bottleneck.next_leave()), (None, None));
    }

    #[test]
    fn keeps_its_rate_under_overload() {
        let at: Vec<_> =
            departures(&constant(20.0, 50_000), 100_000, 100_000, 1_000).into_iter().flatten().collect();
        let bits = (at.len() - 1) as f64 * 8_000.0;
        let rate = bits * 1e3 / (at[at.len() - 1] - at[0]) as f64;
        assert!((rate - 20.0).abs() < 0.001, "{rate} Mbit/s");
    }

    #[test]
    fn fractions_do_not_add_up() {
        // A byte at 7 Mbit/s takes 1142.86 ns.
        let at = departures(&constant(7.0, u64::MAX), 700, 0, 1);
        assert!(at[699].is_some_and(|at| at.abs_diff(800_000) <= 1), "{:?}", at[699]);
    }

    #[test]
    fn idle_time_is_lost() {
        assert_eq!(departures(&constant(12.0, 6_000), 3, 5 * MS, 1_500), [1, 6, 11].map(|ms| Some(ms * MS)));
    }

    fn trace(lines: &[u8]) -> (tempfile::NamedTempFile, DirectionSpec) {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(lines).expect("writable");
        let spec = DirectionSpec { rate: Some(Rate::Trace(file.path().into())), ..DirectionSpec::default() };
        (file, spec)
    }

    #[test]
    fn traces_pass_packets_at_opportunities() {
        let (_file, spec) = trace(b"2\n2\n10\n");
        assert_eq!(
            departures(&spec, 5, 0, 1_500),
            [Some(2 * MS), Some(2 * MS), Some(10 * MS), Some(12 * MS), Some(12 * MS)]
        );
        // Three packets of 500 bytes share one opportunity; a large packet continues in the next.
        assert_eq!(departures(&spec, 4, 0, 500)[2..], [Some(2 * MS), Some(2 * MS)]);
        assert_eq!(departures(&spec, 2, 0, 2_000), [Some(2 * MS), Some(10 * MS)]);
        // An opportunity that passes unused is lost.
        assert_eq!(departures(&spec, 2, 5 * MS, 500), [Some(2 * MS), Some(10 * MS)]);
    }

    #[test]
    fn restarted_traces_keep_their_queue() {
        let (_file, spec) = trace(b"2\n4\n10\n");
        let mut bottleneck = bottleneck(&spec);
        let offers = |bottleneck: &mut Bottleneck<u64>, now, count| {
            (0..count).map(|number| bottleneck.offer(now, 1_500, number)).collect::<Vec<_>>()
        };
        let leaves = |ms: &[u64]| ms.iter().map(|ms| Admission::Leaves(ms * MS)).collect::<Vec<_>>();
        assert_eq!(offers(&mut bottleneck, 0, 4), leaves(&[2, 4, 10, 12]));
        // From 5 ms on the trace has opportunities at 7, 9, 15, 17 and 19 ms; none before 12 is
        // free.
        bottleneck.restart(None, 5 * MS);
        assert_eq!(offers(&mut bottleneck, 5 * MS, 3), leaves(&[15, 17, 19]));
        bottleneck.restart(None, 100 * MS);
        assert_eq!(offers(&mut bottleneck, 100 * MS, 2), leaves(&[102, 104]));
    }

    fn stalled(mut spec: DirectionSpec, at: &[(f64, f64)]) -> Bottleneck<u64> {
        let outages = at.iter().map(|(start_ms, end_ms)| crate::spec::loss::Outage {
            start_ms: *start_ms,
            length_ms: end_ms - start_ms,
        });
        let times = Loss::Outages { at: outages.collect(), repeat_every_ms: None };
        if spec.rate.is_none() {
            spec.loss = Loss::GilbertElliottTime {
                good_ms: 1.0,
                bad_ms: 1.0,
                loss_good: 0.0,
                loss_bad: 0.0,
                stalls: true,
            };
        }
        let link = LinkSpec::symmetric("stalled", DirectionSpec { loss: times, ..DirectionSpec::default() });
        let mut bottleneck = bottleneck(&spec);
        bottleneck.restart(Some(BadTimes::new(&link, 0, Direction::Up)), 100 * MS);
        bottleneck
    }

    #[test]
    fn stalls_hold_what_would_be_sent() {
        // Times count from 100 ms on, when the schedule starts.
        let stalls = [(2.0, 10.0), (11.0, 12.0)];
        let at = |now_ms: u64, bottleneck: &mut Bottleneck<u64>| match bottleneck.offer(
            (100 + now_ms) * MS,
            1_500,
            0,
        ) {
            Admission::Leaves(at) => at / MS - 100,
            other => panic!("{other:?}"),
        };
        let mut free = stalled(DirectionSpec::default(), &stalls);
        assert_eq!([0, 1, 2, 3, 9, 10, 11, 12].map(|now| at(now, &mut free)), [0, 1, 10, 10, 10, 10, 12, 12]);
        // At a millisecond for each packet, the queue of the stall leaves one by one after it.
        let mut rated = stalled(constant(12.0, 60_000), &stalls);
        assert_eq!([0, 1, 2, 3, 4].map(|now| at(now, &mut rated)), [1, 2, 11, 13, 14]);
        let (_file, spec) = trace(b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n");
        let mut traced = stalled(spec, &stalls);
        assert_eq!([0, 0, 0, 0].map(|now| at(now, &mut traced)), [1, 10, 12, 13]);
    }

    #[test]
    fn codel_counts_only_earlier_arrivals() {
        let codel = DirectionSpec { queue: QueueDiscipline::Codel, ..constant(12.0, 6_000) };
        let mut bottleneck = bottleneck(&codel);
        for number in 0..4 {
            assert_eq!(bottleneck.offer(0, 1_500, number), Admission::Waits);
        }
        // The first packet is being sent, so that there is room for one more.
        assert_eq!(bottleneck.offer(0, 1_500, 4), Admission::Waits);
        assert_eq!(bottleneck.offer(0, 1_500, 5), Admission::Full);
        let left = |what, ms| Some(Left { what, at: ms * MS, dropped: false });
        assert_eq!(bottleneck.next_leave(), Some(MS));
        assert_eq!([bottleneck.leave(0), bottleneck.leave(0)], [left(0, 1), None]);
        assert_eq!(bottleneck.next_leave(), Some(MS));
        assert_eq!(
            [bottleneck.leave(2 * MS), bottleneck.leave(2 * MS), bottleneck.leave(2 * MS)],
            [left(1, 2), left(2, 3), None]
        );
    }

    #[test]
    fn codel_keeps_the_queue_short() {
        let waits = |queue| {
            let spec = DirectionSpec { queue, ..constant(12.0, 600_000) };
            let mut bottleneck = bottleneck(&spec);
            let (mut waits, mut dropped) = (Vec::new(), 0);
            // A tenth more than the rate for ten seconds, as a sender that backs off slowly.
            for number in 0..11_000 {
                let now = number * MS * 10 / 11;
                if let Admission::Leaves(at) = bottleneck.offer(now, 1_500, now) {
                    waits.push(at - now);
                }
                while let Some(left) = bottleneck.leave(now) {
                    dropped += u32::from(left.dropped);
                    waits.extend((!left.dropped).then(|| left.at - left.what));
                }
            }
            waits.sort_unstable();
            (waits[waits.len() / 2] / MS, dropped)
        };
        let (long, none) = waits(QueueDiscipline::DropTail);
        let (short, dropped) = waits(QueueDiscipline::Codel);
        assert!(long > 300 && none == 0, "{long} ms");
        assert!(short < 120 && dropped > 300, "{short} ms, {dropped} dropped");
    }
}
