//! ENet's whole receive path for fuzzers, in both roles: bytes in, messages out.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use rusty_enet::{EventNoRef, PacketKind};

use super::{
    crafted::{acknowledge, connect, sealed, verify_connect},
    gate::{self, ConnectId, Role, STATE_CHANNEL},
    host::{ConnectionHost, Held, Outlet},
};
use crate::io::cookie::HEADER_BYTES;

/// The datagrams that a host sent.
#[derive(Clone, Default)]
pub(super) struct Sent(pub(super) Rc<RefCell<Vec<Vec<u8>>>>);

impl Outlet for Sent {
    fn send(&self, datagram: &[u8]) {
        self.0.borrow_mut().push(datagram.to_vec());
    }
}

/// A host whose path and clock are the caller's.
pub(super) struct Bench {
    pub(super) host: ConnectionHost<Sent>,
    pub(super) sent: Sent,
    pub(super) clock_ms: Arc<AtomicU64>,
    pub(super) bytes_held: Arc<AtomicUsize>,
    pub(super) connect_id: ConnectId,
}

impl Bench {
    /// Returns a host in this role, before the handshake has gone any further.
    pub(super) fn new(role: Role) -> Self {
        match role {
            Role::Server => Self::accept(&connect(*b"test", 3)),
            Role::Client => Self::connect(),
        }
    }

    /// Returns a client's host, which has sent its *connect*.
    pub(super) fn connect() -> Self {
        let (sent, clock_ms, bytes_held) = (Sent::default(), Arc::default(), Arc::default());
        let join = vec![0xd2; HEADER_BYTES];
        let host = ConnectionHost::connect(sent.clone(), join, Arc::clone(&bytes_held), clock(&clock_ms));
        let connect_id = gate::connect_id(&sent.0.borrow()[0][HEADER_BYTES..]).expect("a connect");
        Self { host: host.expect("random numbers"), sent, clock_ms, bytes_held, connect_id }
    }

    /// Returns the host of a server that read this *connect*.
    pub(super) fn accept(connect: &[u8]) -> Self {
        let (sent, clock_ms, bytes_held) = (Sent::default(), Arc::default(), Arc::default());
        let host = ConnectionHost::accept(sent.clone(), connect, Arc::clone(&bytes_held), clock(&clock_ms));
        let connect_id = gate::connect_id(connect).expect("a connect");
        let host = host.expect("random numbers").expect("a connect");
        let mut bench = Self { host, sent, clock_ms, bytes_held, connect_id };
        bench.settle(&mut |_, _| {});
        bench
    }

    /// Ends the handshake as a sound remote does.
    pub(super) fn complete(&mut self, role: Role) {
        let last = match role {
            Role::Client => verify_connect(self.connect_id),
            Role::Server => sealed(&[0, 0], &acknowledge(0xff, 1), self.connect_id),
        };
        self.feed(last.into(), &mut |_, _| {});
    }

    /// Feeds a datagram, and hands each message that comes of it to `on_message`. Returns whether
    /// the gate found no offence.
    pub(super) fn feed(&mut self, datagram: Bytes, on_message: &mut dyn FnMut(u8, &[u8])) -> bool {
        let sound = self.host.feed(datagram).is_ok();
        self.settle(on_message);
        sound
    }

    /// Runs ENet until it has nothing to say.
    pub(super) fn settle(&mut self, on_message: &mut dyn FnMut(u8, &[u8])) {
        while let Some(event) = self.host.service() {
            if let EventNoRef::Receive { channel_id, packet, .. } = event {
                on_message(channel_id, packet.data());
            }
        }
    }

    pub(super) fn send_control(&mut self, message: &[u8]) {
        self.host.send_control(Held::packet(message, PacketKind::Reliable, &self.bytes_held));
        self.host.flush();
    }

    pub(super) fn send_state(&mut self, message: &[u8]) {
        let kind = PacketKind::AlwaysUnreliable { sequenced: true };
        self.host.send(STATE_CHANNEL, &Held::packet(message, kind, &self.bytes_held));
        self.host.flush();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.clock_ms.fetch_add(time.as_millis() as u64, Relaxed);
    }
}

fn clock(ms: &Arc<AtomicU64>) -> impl Fn() -> Duration + Send + 'static {
    let ms = Arc::clone(ms);
    move || Duration::from_millis(ms.load(Relaxed))
}

/// Feeds datagrams to a connection. The first byte tells the role, and whether the handshake is
/// over. Then each step has a byte for what it does, a length and as many bytes.
///
/// # Panics
/// A message comes out that did not go in.
pub(crate) fn receive(input: &[u8]) {
    let Some((&setting, mut steps)) = input.split_first() else { return };
    let role = if setting & 1 == 0 { Role::Server } else { Role::Client };
    let mut bench = Bench::new(role);
    if setting & 2 == 0 {
        bench.complete(role);
    }
    let mut fed: Vec<Vec<u8>> = Vec::new();
    while let Some((&[what, length], rest)) = steps.split_first_chunk() {
        let (body, rest) = rest.split_at(usize::from(length).min(rest.len()));
        steps = rest;
        match what & 7 {
            0 => bench.pass(Duration::from_millis(u64::from(length) * 20)),
            1 => bench.send_control(body),
            2 => bench.send_state(body),
            3 => fed.push(body.to_vec()),
            4 => fed.push(sealed(&[0, 0], body, bench.connect_id)),
            _ => fed.push(sealed(&[0x80, 0, what, length], body, bench.connect_id)),
        }
        bench.sent.0.borrow_mut().clear(); // Nobody reads the replies.
        let datagram = if what & 7 > 2 { fed.last().cloned().unwrap_or_default() } else { Vec::new() };
        bench.feed(datagram.into(), &mut |_, message| {
            let came_in = |datagram: &Vec<u8>| contains(datagram, message);
            assert!(fed.iter().rev().any(came_in), "a message that was never sent");
        });
    }
}

fn contains(datagram: &[u8], message: &[u8]) -> bool {
    message.is_empty() || datagram.windows(message.len()).any(|window| window == message)
}
