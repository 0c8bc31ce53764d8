//! The sending side of the control lane over datagrams: a byte stream with retransmissions. Does no
//! I/O.
//!
//! It is go-back-N, like the simplest TCP: the receiver keeps nothing that arrives out of order.
//! Control messages are rare, so a second segment is hardly ever in flight that would have to be
//! resent with a lost one.

use std::time::Duration;

use tokio::time::Instant;

use super::wire::HEADER_BYTES;
use crate::{
    Setting,
    io::{
        frame::{self, FrameKind},
        outbox::CONTROL_QUEUE_BYTES,
        udp_demux::PACKET_BYTES,
    },
};

/// The largest segment of the stream in a datagram, in bytes: what [`PACKET_BYTES`] leaves beside
/// the datagram's header and the place.
pub(super) const SEGMENT_BYTES: usize = PACKET_BYTES - HEADER_BYTES - 4;
/// The largest number of unacknowledged bytes in flight: seven of the largest messages, so that a
/// burst fits into every buffer on the path.
const WINDOW_BYTES: usize = 8 * 1024;
/// The timeout before the first measurement. RFC 6298 says a second; the handshake measures before
/// anything is sent.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest timeout, since the remote's task may have to wait for a turn.
const TIMEOUT_MIN: Duration = Duration::from_millis(20);
/// The longest timeout: a dead path is tried at least this often, until the idle timeout.
const TIMEOUT_MAX: Duration = Duration::from_secs(1);

/// Returns the settings of the control lane.
pub(super) fn settings() -> Vec<Setting> {
    vec![
        Setting::ControlWindowBytes(WINDOW_BYTES),
        Setting::ControlTimeoutMinMs(TIMEOUT_MIN.as_millis() as u64),
    ]
}

/// A round-trip time estimate, smoothed as in RFC 6298.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
    lowest: Option<Duration>,
}

impl Rtt {
    pub(super) fn measured(&mut self, rtt: Duration) {
        self.lowest = Some(self.lowest.map_or(rtt, |lowest| lowest.min(rtt)));
        match &mut self.smoothed {
            None => {
                self.smoothed = Some(rtt);
                self.variation = rtt / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
                *smoothed = (*smoothed * 7 + rtt) / 8;
            }
        }
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    pub(super) fn lowest(&self) -> Option<Duration> {
        self.lowest
    }

    fn timeout(&self) -> Duration {
        let timeout = self.smoothed.map_or(FIRST_TIMEOUT, |smoothed| smoothed + 4 * self.variation);
        timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    }
}

/// The bytes that the remote has not acknowledged.
pub(super) struct ReliableStream {
    /// The bytes from the first unacknowledged one on.
    stream: Vec<u8>,
    /// The place of that byte in the whole stream. It wraps.
    place: u32,
    /// The number of bytes of `stream` in flight.
    under_way: usize,
    /// The number of bytes of `stream` that were in flight before a timeout and are being resent.
    sent_before: usize,
    resend_at: Option<Instant>,
    /// The number of timeouts in a row.
    timeouts: u32,
    /// A place whose acknowledgement gives a round-trip time, and the time at which the bytes
    /// before it left. Only bytes that were sent once count (Karn's rule).
    timing: Option<(u32, Instant)>,
    rtt: Rtt,
    resent: u64,
}

impl ReliableStream {
    pub(super) fn new(rtt: Rtt) -> Self {
        Self {
            stream: Vec::new(),
            place: 0,
            under_way: 0,
            sent_before: 0,
            resend_at: None,
            timeouts: 0,
            timing: None,
            rtt,
            resent: 0,
        }
    }

    /// Returns the bytes that wait to be sent or acknowledged.
    pub(super) fn queued_bytes(&self) -> usize {
        self.stream.len()
    }

    /// Queues a frame. `Err` holds the number of bytes waiting when the queue is full.
    pub(super) fn push(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), usize> {
        let waiting = self.stream.len();
        if waiting + frame::HEADER_BYTES + payload.len() > CONTROL_QUEUE_BYTES {
            return Err(waiting);
        }
        frame::append(&mut self.stream, kind, payload);
        Ok(())
    }

    /// Whether everything has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.stream.is_empty()
    }

    /// Returns the next segment to send now, and its place. [`Self::sent`] notes that it left.
    pub(super) fn due(&mut self, now: Instant) -> Option<(u32, &[u8])> {
        if self.resend_at.is_some_and(|at| at <= now) {
            self.sent_before = self.sent_before.max(self.under_way);
            self.under_way = 0;
            self.timeouts += 1;
            self.resend_at = None;
            self.timing = None;
        }
        let end = self.stream.len().min(self.under_way + SEGMENT_BYTES).min(WINDOW_BYTES);
        let segment = self.stream.get(self.under_way..end).filter(|segment| !segment.is_empty())?;
        Some((self.place.wrapping_add(self.under_way as u32), segment))
    }

    /// Notes that the due segment left, all of its `bytes`.
    pub(super) fn sent(&mut self, bytes: usize, now: Instant) {
        if self.under_way < self.sent_before {
            self.resent += 1;
        } else if self.timing.is_none() {
            self.timing = Some((self.place.wrapping_add((self.under_way + bytes) as u32), now));
        }
        self.under_way += bytes;
        self.resend_at.get_or_insert(now + self.timeout());
    }

    /// Notes that the remote has everything before `place`. A place that the remote cannot have is
    /// ignored: it is old or forged.
    pub(super) fn acknowledged(&mut self, place: u32, now: Instant) {
        let count = place.wrapping_sub(self.place) as usize;
        if count == 0 || count > self.under_way.max(self.sent_before) {
            return;
        }
        if let Some((end, left)) = self.timing
            && (place.wrapping_sub(end) as i32) >= 0
        {
            self.rtt.measured(now.saturating_duration_since(left));
            self.timing = None;
        }
        self.stream.drain(..count);
        self.place = place;
        self.under_way = self.under_way.saturating_sub(count);
        self.sent_before = self.sent_before.saturating_sub(count);
        self.timeouts = 0;
        self.resend_at = (self.under_way > 0).then(|| now + self.timeout());
    }

    /// Returns the time at which [`Self::due`] will have a segment to resend.
    pub(super) fn resend_at(&self) -> Option<Instant> {
        self.resend_at
    }

    pub(super) fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// Returns the number of segments sent again.
    pub(super) fn resent(&self) -> u64 {
        self.resent
    }

    fn timeout(&self) -> Duration {
        (self.rtt.timeout() * (1 << self.timeouts.min(8))).min(TIMEOUT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends all that is due, and returns it as (place, bytes).
    fn send_all(out: &mut ReliableStream, now: Instant) -> Vec<(u32, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some((place, segment)) = out.due(now) {
            sent.push((place, segment.to_vec()));
            let bytes = segment.len();
            out.sent(bytes, now);
        }
        sent
    }

    #[test]
    fn resends_with_exponential_back_off() {
        let mut rtt = Rtt::default();
        rtt.measured(Duration::from_millis(40));
        let mut out = ReliableStream::new(rtt);
        let mut now = Instant::now();
        out.push(FrameKind::Control, b"one").expect("room");
        let first = send_all(&mut out, now);
        assert_eq!(first.len(), 1);
        out.push(FrameKind::Control, b"two").expect("room");
        assert_eq!(send_all(&mut out, now), [(6, vec![0, 3, 0, b't', b'w', b'o'])]);
        for wait_ms in [120, 240, 480, 960, 1000, 1000] {
            assert_eq!(out.resend_at(), Some(now + Duration::from_millis(wait_ms)));
            assert!(send_all(&mut out, now + Duration::from_millis(wait_ms - 1)).is_empty());
            now += Duration::from_millis(wait_ms);
            let again = send_all(&mut out, now);
            assert_eq!(again, [(0, [&first[0].1[..], &[0, 3, 0, b't', b'w', b'o']].concat())], "in one now");
        }
        assert_eq!(out.resent(), 6);
        out.acknowledged(6, now + Duration::from_millis(1));
        assert_eq!(
            out.rtt().smoothed(),
            Some(Duration::from_millis(40)),
            "nothing is learnt from what was resent"
        );
        assert!(!out.is_empty());
        out.acknowledged(12, now);
        assert!(out.is_empty() && out.resend_at().is_none());
    }

    #[test]
    fn impossible_acknowledgements_change_nothing() {
        let mut out = ReliableStream::new(Rtt::default());
        let now = Instant::now();
        out.push(FrameKind::Control, &[7; 100]).expect("room");
        out.acknowledged(50, now);
        assert_eq!(send_all(&mut out, now).len(), 1, "it had not left yet");
        for place in [0, 104, 1 << 31, u32::MAX] {
            out.acknowledged(place, now);
            assert!(!out.is_empty());
        }
        out.acknowledged(103, now + Duration::from_millis(5));
        assert!(out.is_empty());
        assert_eq!(out.rtt().smoothed(), Some(Duration::from_millis(5)));
    }

    #[test]
    fn queue_and_window_are_bounded() {
        let mut out = ReliableStream::new(Rtt::default());
        let full = (0..).find_map(|_| out.push(FrameKind::Control, &[0; 1000]).err());
        assert!(full.is_some_and(|waiting| waiting <= CONTROL_QUEUE_BYTES));
        let sent: usize = send_all(&mut out, Instant::now()).iter().map(|(_, segment)| segment.len()).sum();
        assert_eq!(sent, WINDOW_BYTES);
    }

    #[test]
    fn stream_survives_wrapping_places() {
        let mut out = ReliableStream { place: u32::MAX - 2, ..ReliableStream::new(Rtt::default()) };
        let now = Instant::now();
        out.push(FrameKind::Control, &[1; 7]).expect("room");
        assert_eq!(send_all(&mut out, now)[0].0, u32::MAX - 2);
        out.acknowledged(7, now);
        assert!(out.is_empty());
        out.push(FrameKind::Control, &[2]).expect("room");
        assert_eq!(send_all(&mut out, now)[0].0, 7);
    }
}
