//! TCP across a link, for the self-test: a bulk transfer and a stream of small messages.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_tcp_congestion;

use crate::{
    emulator::histogram::Histogram,
    error::LinkError,
    kernel::syscalls::tcp_retransmits,
    measure::flow::raise_priority,
    testbed::Link,
    types::{Direction, Player},
};

/// The congestion control of every transfer, whatever the system's default is.
const CONGESTION_CONTROL: &str = "cubic";
/// The longest silence of a transfer. TCP waits 3 s if the same segment is lost four times (0.2 +
/// 0.4 + 0.8 and 1.6 s).
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// The size of one write of a bulk transfer, bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// The size of a small message, bytes; the message begins with its time of sending.
const MESSAGE_BYTES: usize = 64;

/// The result of a bulk transfer.
pub(crate) struct Bulk {
    /// Retransmitted segments.
    pub(crate) retransmits: u32,
    /// Rate of the last three quarters of the data, Mbit/s.
    pub(crate) mbit_per_s: f64,
}

/// Sends `bytes` bytes and waits until all have arrived.
pub(crate) fn bulk(link: &Link, direction: Direction, bytes: usize) -> Result<Bulk, LinkError> {
    let send = |stream: &mut TcpStream| {
        let chunk = [0; CHUNK_BYTES];
        let mut left = bytes;
        while left > 0 {
            left -= stream.write(&chunk[..left.min(CHUNK_BYTES)])?;
        }
        Ok(())
    };
    let receive = |stream: &mut TcpStream| {
        io::copy(&mut stream.take(bytes as u64 / 4), &mut io::sink())?;
        let started = Instant::now();
        let rest = io::copy(stream, &mut io::sink())?;
        Ok(rest as f64 * 8e-6 / started.elapsed().as_secs_f64())
    };
    let (retransmits, mbit_per_s) = transfer(link, direction, send, receive)?;
    Ok(Bulk { retransmits, mbit_per_s })
}

/// Sends small messages at an even pace and returns their one-way delays.
pub(crate) fn messages(
    link: &Link,
    direction: Direction,
    count: u32,
    per_s: f64,
) -> Result<Histogram, LinkError> {
    let epoch = Instant::now();
    let now_ns = move || epoch.elapsed().as_nanos() as u64;
    let send = |stream: &mut TcpStream| {
        let start = Instant::now();
        for number in 0..count {
            let at = start + Duration::from_secs_f64(f64::from(number) / per_s);
            thread::sleep(at.saturating_duration_since(Instant::now()));
            let mut message = [0; MESSAGE_BYTES];
            message[..8].copy_from_slice(&now_ns().to_le_bytes());
            stream.write_all(&message)?;
        }
        Ok(())
    };
    let receive = |stream: &mut TcpStream| {
        let mut delays = Histogram::default();
        let mut message = [0; MESSAGE_BYTES];
        for _ in 0..count {
            stream.read_exact(&mut message)?;
            let mut sent_ns = [0; 8];
            sent_ns.copy_from_slice(&message[..8]);
            delays.record_ns(now_ns().saturating_sub(u64::from_le_bytes(sent_ns)));
        }
        Ok(delays)
    };
    transfer(link, direction, send, receive).map(|(_, delays)| delays)
}

/// Connects, runs sender and receiver on a thread each, and waits for both.
fn transfer<T: Send>(
    link: &Link,
    direction: Direction,
    send: impl FnOnce(&mut TcpStream) -> io::Result<()> + Send,
    receive: impl FnOnce(&mut TcpStream) -> io::Result<T> + Send,
) -> Result<(u32, T), LinkError> {
    let (from, to) = direction.sides();
    let failed = || LinkError::system("send TCP across the link");
    let listener =
        link.inside(to, || TcpListener::bind((link.ip(to, Player::First), 0)))?.map_err(failed())?;
    let address = listener.local_addr().map_err(failed())?;
    let mut sender = link.inside(from, || TcpStream::connect(address))?.map_err(failed())?;
    let (mut receiver, _) = listener.accept().map_err(failed())?;

    thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            raise_priority();
            receiver.set_read_timeout(Some(SILENCE_MAX))?;
            receive(&mut receiver)
        });
        let sending = scope.spawn(move || {
            raise_priority();
            // Some kernels lack this congestion control; the transfer then uses the system's
            // default.
            let _ = set_tcp_congestion(&sender, CONGESTION_CONTROL);
            sender.set_nodelay(true)?;
            sender.set_read_timeout(Some(SILENCE_MAX))?;
            send(&mut sender)?;
            sender.shutdown(Shutdown::Write)?;
            // The receiver closes when it has all data, so the end of its stream means that all
            // data arrived.
            io::copy(&mut sender, &mut io::sink())?;
            tcp_retransmits(&sender)
        });
        let retransmits = sending.join().expect("the sender does not panic").map_err(failed());
        let received = receiving.join().expect("the receiver does not panic").map_err(failed());
        Ok((retransmits?, received?))
    })
}
