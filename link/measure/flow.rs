//! A UDP flow at an even pace across a link, measured at its far end. The probe and the self-test
//! use it.
//!
//! Sender and receiver are threads of this process at the two ends of the link, and share a
//! monotonic clock.

use std::{
    io,
    net::UdpSocket,
    num::NonZeroU64,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force},
    thread::set_current_timer_slack,
};

use crate::{
    emulator::histogram::Histogram,
    error::LinkError,
    kernel::syscalls,
    testbed::Link,
    types::{Direction, Player},
};

/// The SCHED_FIFO priority of both threads, if allowed: below the emulator's, so that they never
/// delay it.
const REAL_TIME_PRIORITY: i32 = 5;
/// The receive buffer, bytes: room for 5,000 small packets.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// The interval at which the receiver checks whether the sender has finished.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The UDP header, bytes.
const UDP_HEADER_BYTES: usize = 8;
/// The smallest payload, bytes: a number and a time.
pub(crate) const PAYLOAD_BYTES_MIN: usize = 12;

/// The packets of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) packets: u32,
    pub(crate) packets_per_s: f64,
    pub(crate) payload_bytes: usize,
    /// Time after the last sending or the last arrival in which another packet may arrive. It must
    /// exceed the delay and the time in which the queue drains.
    pub(crate) drain: Duration,
}

/// Returns the length of the IP and UDP headers, bytes.
pub(crate) const fn header_bytes(ipv6: bool) -> usize {
    UDP_HEADER_BYTES + if ipv6 { 40 } else { 20 }
}

/// The arrivals of a flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    /// One-way delays of the packets that arrived, without duplicates.
    pub(crate) delay: Histogram,
    /// Packets that arrived, without duplicates.
    pub(crate) received: u32,
    /// Packets that did not arrive.
    pub(crate) lost: u32,
    /// Runs of lost packets, in order of sending.
    pub(crate) bursts: u32,
    /// Packets that arrived after a packet sent later (RFC 4737).
    pub(crate) reordered: u32,
    /// Duplicates.
    pub(crate) duplicated: u32,
    /// Rate between the first and the last arrival, Mbit/s of IP packets.
    pub(crate) mbit_per_s: f64,
}

/// Runs a flow in one direction and waits for its end.
pub(crate) fn run(link: &Link, direction: Direction, flow: Flow) -> Result<Arrivals, LinkError> {
    let (from, to) = direction.sides();
    let failed = || LinkError::system("run a flow of packets across the link");
    let bind = |side| link.inside(side, || UdpSocket::bind((link.ip(side, Player::First), 0)));
    let receiver = bind(to)?.map_err(failed())?;
    let address = receiver.local_addr().map_err(failed())?;
    let sender = bind(from)?.map_err(failed())?;
    sender.connect(address).map_err(failed())?;

    let header_bytes = header_bytes(link.spec().ipv6);
    let epoch = Instant::now();
    let sent_all = AtomicBool::new(false);
    thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&receiver, flow, header_bytes, epoch, &sent_all));
        let sending = scope.spawn(|| {
            let result = send(&sender, flow, epoch);
            sent_all.store(true, Ordering::Release);
            result
        });
        let sent = sending.join().expect("the sender does not panic");
        let received = receiving.join().expect("the receiver does not panic");
        sent.and(received).map_err(failed())
    })
}

fn send(socket: &UdpSocket, flow: Flow, epoch: Instant) -> io::Result<()> {
    raise_priority();
    let mut payload = vec![0; flow.payload_bytes.max(PAYLOAD_BYTES_MIN)];
    let start = Instant::now();
    for number in 0..flow.packets {
        let at = start + Duration::from_secs_f64(f64::from(number) / flow.packets_per_s);
        thread::sleep(at.saturating_duration_since(Instant::now()));
        payload[..4].copy_from_slice(&number.to_le_bytes());
        payload[4..12].copy_from_slice(&nanos_since(epoch).to_le_bytes());
        socket.send(&payload)?;
    }
    Ok(())
}

fn receive(
    socket: &UdpSocket,
    flow: Flow,
    header_bytes: usize,
    epoch: Instant,
    sent_all: &AtomicBool,
) -> io::Result<Arrivals> {
    raise_priority();
    if set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_BYTES).is_err() {
        set_socket_recv_buffer_size(socket, RECEIVE_BUFFER_BYTES)?;
    }
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    let mut counter = ArrivalCounter::new(flow.packets, header_bytes);
    let mut payload = [0; 2_048];
    let mut quiet_since = Instant::now();
    while counter.arrivals.received < flow.packets {
        match socket.recv(&mut payload) {
            Ok(bytes) if bytes >= PAYLOAD_BYTES_MIN => {
                counter.count(&payload[..bytes], nanos_since(epoch));
                quiet_since = Instant::now();
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !sent_all.load(Ordering::Acquire) {
                    quiet_since = Instant::now();
                } else if quiet_since.elapsed() > flow.drain {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(counter.finish())
}

/// Raises the priority of the calling thread, so that its own delays do not count as delays of the
/// link.
pub(crate) fn raise_priority() {
    // The system refuses an ordinary user. The figures are then as accurate as the machine is idle.
    let _ = syscalls::go_real_time(REAL_TIME_PRIORITY);
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

fn nanos_since(epoch: Instant) -> u64 {
    epoch.elapsed().as_nanos() as u64
}

/// A counter of arrivals, without input or output.
struct ArrivalCounter {
    header_bytes: usize,
    seen: Vec<bool>,
    newest: u32,
    first_ns: Option<u64>,
    last_ns: u64,
    /// Bytes after the first packet.
    later_bytes: usize,
    arrivals: Arrivals,
}

impl ArrivalCounter {
    fn new(packets: u32, header_bytes: usize) -> Self {
        Self {
            header_bytes,
            seen: vec![false; packets as usize],
            newest: 0,
            first_ns: None,
            last_ns: 0,
            later_bytes: 0,
            arrivals: Arrivals::default(),
        }
    }

    fn count(&mut self, payload: &[u8], now_ns: u64) {
        let number = u32::from_le_bytes([payload[0], payload[1], payload[2], payload[3]]);
        let mut sent_ns = [0; 8];
        sent_ns.copy_from_slice(&payload[4..12]);
        let sent_ns = u64::from_le_bytes(sent_ns);
        match self.seen.get_mut(number as usize) {
            None => return, // Not a packet of this flow.
            Some(seen) if *seen => self.arrivals.duplicated += 1,
            Some(seen) => {
                *seen = true;
                self.arrivals.received += 1;
                self.arrivals.reordered += u32::from(number < self.newest);
                self.arrivals.delay.record_ns(now_ns.saturating_sub(sent_ns));
            }
        }
        self.newest = self.newest.max(number);
        if self.first_ns.is_some() {
            self.later_bytes += payload.len() + self.header_bytes;
        }
        self.first_ns.get_or_insert(now_ns);
        self.last_ns = now_ns;
    }

    fn finish(mut self) -> Arrivals {
        let lost = |seen: &&bool| !**seen;
        self.arrivals.lost = self.seen.iter().filter(lost).count() as u32;
        let begins = self.seen.windows(2).filter(|pair| pair[0] && !pair[1]).count();
        self.arrivals.bursts = begins as u32 + u32::from(self.seen.first().is_some_and(|seen| !seen));
        let lasted_ns = self.last_ns - self.first_ns.unwrap_or(self.last_ns);
        if lasted_ns > 0 {
            self.arrivals.mbit_per_s = self.later_bytes as f64 * 8e3 / lasted_ns as f64;
        }
        self.arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lost_reordered_and_duplicated() {
        let mut counter = ArrivalCounter::new(8, header_bytes(false));
        // 0 is lost, 3 and 4 are lost together, 2 comes after 5, 6 comes twice.
        for (now_ns, number) in (1..).zip([1_u32, 5, 2, 6, 6, 7]) {
            let mut payload = [0; 22];
            payload[..4].copy_from_slice(&number.to_le_bytes());
            counter.count(&payload, now_ns * 1_000_000);
        }
        let arrivals = counter.finish();
        assert_eq!((arrivals.received, arrivals.lost, arrivals.bursts), (5, 3, 2));
        assert_eq!((arrivals.reordered, arrivals.duplicated), (1, 1));
        // Five packets of 50 bytes after the first, in 5 ms.
        assert!((arrivals.mbit_per_s - 0.4).abs() < 1e-9, "{}", arrivals.mbit_per_s);
    }
}
