//! The delays that the schedule of a link gives to packets at an even pace, without a link.

use std::collections::VecDeque;

use crate::{
    emulator::{
        histogram::Histogram,
        impairment::{Impairment, Outcome},
    },
    spec::{link_spec::LinkSpec, spec_error::SpecError},
    types::Direction,
};

/// Packets at an even pace from the schedule's start on.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Number of packets.
    pub packets: u32,
    /// Packets per second.
    pub packets_per_s: f64,
    /// Length of each IP packet, bytes.
    pub packet_bytes: usize,
}

/// Returns the delays of the packets that the schedule of a seed delivers in one direction.
///
/// # Errors
/// Returns an error if a trace of the spec cannot be read.
pub fn scheduled_delay(
    spec: &LinkSpec,
    seed: u64,
    direction: Direction,
    pace: Pace,
) -> Result<Histogram, SpecError> {
    let mut impairment = Impairment::new(spec, seed, direction, 0)?;
    let mut delays = Histogram::default();
    // Times of sending of the packets that wait in the queue.
    let mut waiting: VecDeque<u64> = VecDeque::new();
    for number in 0..=pace.packets {
        let last = number == pace.packets;
        let now = if last { u64::MAX } else { (f64::from(number) / pace.packets_per_s * 1e9) as u64 };
        while let Some(outcome) = impairment.leave(now) {
            let sent = waiting.pop_front();
            sent.into_iter().for_each(|sent| count(&mut delays, outcome, sent));
        }
        if !last {
            match impairment.offer(now, pace.packet_bytes) {
                Outcome::Wait => waiting.push_back(now),
                outcome => count(&mut delays, outcome, now),
            }
        }
    }
    Ok(delays)
}

fn count(delays: &mut Histogram, outcome: Outcome, sent: u64) {
    if let Outcome::Deliver { at, .. } = outcome {
        delays.record_ns(at.saturating_sub(sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_follow_rate_and_queue() {
        // 1 Mbit/s: a packet of 1,250 bytes takes 10 ms, and twice as many are sent.
        let pace = Pace { packets: 200, packets_per_s: 200.0, packet_bytes: 1_250 };
        let of = |text: &str| {
            let spec: LinkSpec = text.parse().expect("a link");
            scheduled_delay(&spec, 1, Direction::Up, pace).expect("no trace")
        };
        let drop_tail = of("delay=5ms,rate=1mbit,queue=1MB");
        assert_eq!(drop_tail.count(), 200);
        assert!((drop_tail.max_ms() - (5.0 + 10.0 + 199.0 * 5.0)).abs() < 2.0, "{}", drop_tail.max_ms());
        let codel = of("delay=5ms,rate=1mbit,queue=1MB/codel");
        assert!((120..180).contains(&codel.count()), "{}", codel.count());
        assert!(codel.max_ms() < drop_tail.max_ms() * 0.95, "{} ms", codel.max_ms());
    }
}
