//! One connection's ENet host: the gate in front of it, the messages it holds, and the window of
//! unacknowledged messages.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use rusty_enet::{
    EventNoRef, Host, HostSettings, MTU_MAX, Packet, PacketKind, PacketReceived, Peer, PeerID, Socket,
    consts::PEER_PACKET_THROTTLE_INTERVAL, crc32,
};

use super::gate::{
    self, CHANNELS, CONTROL_AHEAD_MAX, CONTROL_CHANNEL, ConnectId, Gate, NO_PEER, Role, Verdict,
};
use crate::{
    FrameError, MAX_CONTROL_BYTES, Setting,
    io::{
        cookie::no_random_numbers,
        outbox::CONTROL_QUEUE_BYTES,
        udp_demux::{DatagramSender, PACKET_BYTES},
    },
};

/// The one peer of each host.
const PEER: PeerID = PeerID(0);
/// The bytes that a queued message takes besides its payload: ENet's bookkeeping and ours. They
/// bound empty messages, too.
const MESSAGE_OVERHEAD_BYTES: usize = 64;
/// The largest number of unacknowledged control bytes in flight, overheads included. Further
/// messages wait here. ENet itself would send hundreds at once, and resend all of them tens of ms
/// after an acknowledgement was late. The window is that of `udp`: seven of the largest messages.
const WINDOW_BYTES: usize = 8 * 1024;
/// The largest number of unacknowledged control messages in flight: empty ones.
const MESSAGES_IN_FLIGHT_MAX: usize = WINDOW_BYTES / MESSAGE_OVERHEAD_BYTES;
/// The bytes in a datagram beside a message that ENet does not cut into fragments: header and
/// checksum (8), and the largest command (24).
const MESSAGE_HEADERS_BYTES: usize = 8 + 24;
/// The start of an ENet clock, since ENet takes 0 for "never".
const CLOCK_START: Duration = Duration::from_secs(1);

const _: () =
    assert!(2 * MESSAGES_IN_FLIGHT_MAX <= CONTROL_AHEAD_MAX as usize, "the gate takes two whole windows");
const _: () =
    assert!(MAX_CONTROL_BYTES + MESSAGE_HEADERS_BYTES <= PACKET_BYTES, "the gate knows no fragments");

/// The way out for an ENet host's datagrams.
pub(super) trait Outlet {
    fn send(&self, datagram: &[u8]);
}

impl Outlet for Arc<DatagramSender> {
    fn send(&self, datagram: &[u8]) {
        // A datagram that the system has no room for is lost, which ENet expects: state is
        // superseded, and control is resent.
        DatagramSender::send(self, datagram);
    }
}

/// An ENet host with one peer. Both halves of the connection share it under a lock.
pub(super) struct ConnectionHost<O: Outlet = Arc<DatagramSender>> {
    enet: Host<Feed<O>>,
    gate: Gate,
    /// The bytes of messages that this side or ENet holds, overheads included.
    bytes_held: Arc<AtomicUsize>,
    /// The control messages that the window has no room for.
    waiting: VecDeque<Packet>,
    /// The bytes of the waiting messages, overheads included.
    waiting_bytes: usize,
    /// The number of unreliable messages that ENet dropped.
    pub(super) throttled_messages: u64,
    pub(super) lost_packets: u64,
    /// ENet's own count of lost packets, which restarts every ten seconds.
    lost_seen: u32,
}

impl<O: Outlet> ConnectionHost<O> {
    /// Makes the host of a client, and sends its *connect* behind `join`, which proves this side's
    /// address. `clock` begins at 0.
    pub(super) fn connect(
        outlet: O,
        join: Vec<u8>,
        bytes_held: Arc<AtomicUsize>,
        clock: impl Fn() -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        let mut host = Self::new(Role::Client, ConnectId::default(), outlet, bytes_held, clock)?;
        host.enet.socket_mut().join = join;
        host.enet.connect((), CHANNELS, 0).map_err(|error| io::Error::other(error.to_string()))?;
        host.enet.flush();
        let connect_id = host.enet.socket().connect_id;
        host.gate = Gate::new(Role::Client, connect_id);
        Ok(host)
    }

    /// Makes the host of a server for the client that sent `connect`, which the next step reads.
    /// `None` if that is not a *connect*.
    pub(super) fn accept(
        outlet: O,
        connect: &[u8],
        bytes_held: Arc<AtomicUsize>,
        clock: impl Fn() -> Duration + Send + 'static,
    ) -> io::Result<Option<Self>> {
        let Some(connect_id) = gate::connect_id(connect) else { return Ok(None) };
        let mut host = Self::new(Role::Server, connect_id, outlet, bytes_held, clock)?;
        host.enet.socket_mut().datagram = Some(Bytes::copy_from_slice(connect));
        Ok(Some(host))
    }

    fn new(
        role: Role,
        connect_id: ConnectId,
        outlet: O,
        bytes_held: Arc<AtomicUsize>,
        clock: impl Fn() -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        let mut seed = [0; 4];
        SystemRandom::new().fill(&mut seed).map_err(|_| no_random_numbers())?;
        let passed_checksum = Arc::<AtomicU32>::default();
        let checksum = {
            let passed_checksum = passed_checksum.clone();
            move |parts: &[&[u8]]| match parts {
                // ENet gives what it reads as one part, and what it sends as many. The gate has
                // checked what is read.
                [_read] => passed_checksum.load(Relaxed),
                sent => crc32(sent),
            }
        };
        let settings = HostSettings {
            peer_limit: 1,
            channel_limit: CHANNELS,
            checksum: Some(Box::new(checksum)),
            time: Box::new(move || CLOCK_START + clock()),
            // The random number that the checksum begins with comes from the seed, which must not
            // be guessable.
            seed: Some(u32::from_ne_bytes(seed)),
            ..HostSettings::default()
        };
        let feed = Feed { outlet, join: Vec::new(), connect_id, datagram: None, passed_checksum };
        let mut enet = Host::new(feed, settings).map_err(|error| io::Error::other(error.to_string()))?;
        let within_limits = (enet.set_mtu(PACKET_BYTES as u16))
            .and_then(|()| enet.set_maximum_packet_size(MAX_CONTROL_BYTES))
            .and_then(|()| enet.set_maximum_waiting_data(CONTROL_QUEUE_BYTES));
        within_limits.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            enet,
            gate: Gate::new(role, connect_id),
            bytes_held,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            throttled_messages: 0,
            lost_packets: 0,
            lost_seen: 0,
        })
    }

    /// Returns the settings. The ping interval is read back from ENet.
    pub(super) fn settings(&mut self) -> Vec<Setting> {
        vec![
            Setting::EnetPingMs(self.peer().ping_interval().as_millis() as u64),
            Setting::EnetThrottleMs(PEER_PACKET_THROTTLE_INTERVAL),
            Setting::Checksum(true),
            Setting::ControlWindowBytes(WINDOW_BYTES),
        ]
    }

    /// Takes in a datagram, which the next step reads if the gate lets it pass. Every event of the
    /// one before must have been returned. Returns the number of its commands, which is 0 if the
    /// datagram may be forged.
    ///
    /// # Errors
    /// An offence of the remote.
    pub(super) fn feed(&mut self, datagram: Bytes) -> Result<u32, FrameError> {
        match self.gate.judge(&datagram)? {
            Verdict::Forged => Ok(0),
            Verdict::Early(commands) => Ok(commands),
            Verdict::Good(commands) => {
                self.enet.socket_mut().datagram = Some(datagram);
                Ok(commands)
            }
        }
    }

    /// Whether a datagram waits for the next step.
    pub(super) fn is_fed(&self) -> bool {
        self.enet.socket().datagram.is_some()
    }

    pub(super) fn peer(&mut self) -> &mut Peer<Feed<O>> {
        self.enet.peer_mut(PEER)
    }

    /// Hands a message to ENet.
    pub(super) fn send(&mut self, channel: u8, packet: &Packet) {
        // ENet refuses only if the peer is gone, which the receiver's task finds out.
        let _ = self.peer().send(channel, packet);
    }

    pub(super) fn send_control(&mut self, packet: Packet) {
        self.waiting_bytes += packet.data().len() + MESSAGE_OVERHEAD_BYTES;
        self.waiting.push_back(packet);
        self.fill_window();
    }

    /// Hands ENet the control messages that the window takes. Returns whether there were any.
    fn fill_window(&mut self) -> bool {
        let mut any = false;
        while self.bytes_held.load(Relaxed) - self.waiting_bytes < WINDOW_BYTES
            && let Some(packet) = self.waiting.pop_front()
        {
            self.waiting_bytes -= packet.data().len() + MESSAGE_OVERHEAD_BYTES;
            self.send(CONTROL_CHANNEL, &packet);
            any = true;
        }
        any
    }

    /// Sends what waits in ENet.
    pub(super) fn flush(&mut self) {
        self.enet.flush();
    }

    /// Runs one step of ENet: sends what is due and reads what was fed. Returns the event.
    pub(super) fn service(&mut self) -> Option<EventNoRef> {
        let fed = self.is_fed();
        let event = match self.enet.service() {
            Ok(event) => event.map(rusty_enet::Event::no_ref),
            Err(never) => match never {},
        };
        if fed && self.fill_window() {
            self.enet.flush();
        }
        let lost = self.peer().packets_lost();
        self.lost_packets += u64::from(lost.checked_sub(self.lost_seen).unwrap_or(lost));
        self.lost_seen = lost;
        self.noted(event)
    }

    /// Returns the next event that what was read has brought, without a look at the clock.
    pub(super) fn next_event(&mut self) -> Option<EventNoRef> {
        let event = self.enet.check_events().map(rusty_enet::Event::no_ref);
        self.noted(event)
    }

    /// Tells the gate what ENet delivers.
    fn noted(&mut self, event: Option<EventNoRef>) -> Option<EventNoRef> {
        if let Some(EventNoRef::Receive { channel_id, .. }) = &event {
            self.gate.delivered(*channel_id);
        }
        event
    }
}

/// ENet's socket: sends by the outlet, and reads the datagram that it was fed.
pub(super) struct Feed<O> {
    outlet: O,
    /// The proof of a client's address, which goes before its *connect*.
    join: Vec<u8>,
    connect_id: ConnectId,
    /// One datagram at a time, so that everything it brought is handed up before the next one can
    /// change it.
    datagram: Option<Bytes>,
    /// The checksum of the datagram that ENet reads, which the gate has checked.
    passed_checksum: Arc<AtomicU32>,
}

impl<O: Outlet> Socket for Feed<O> {
    /// A host has one peer, and the datagram receiver knows the remote's address.
    type Address = ();
    type Error = Infallible;

    fn send(&mut self, (): (), datagram: &[u8]) -> Result<usize, Infallible> {
        if !self.join.is_empty() && datagram.starts_with(&NO_PEER) {
            self.connect_id = gate::connect_id(datagram).unwrap_or_default();
            self.outlet.send(&[&self.join, datagram].concat());
        } else {
            self.outlet.send(datagram);
        }
        Ok(datagram.len())
    }

    fn receive(&mut self, buffer: &mut [u8; MTU_MAX]) -> Result<Option<((), PacketReceived)>, Infallible> {
        let Some(datagram) = self.datagram.take() else { return Ok(None) };
        self.passed_checksum.store(gate::checksum_of(&datagram), Relaxed);
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(Some(((), PacketReceived::Complete(datagram.len()))))
    }
}

/// A message that ENet holds. It is dropped when it is acknowledged, or was sent and needs no
/// acknowledgement.
pub(super) struct Held {
    message: Box<[u8]>,
    bytes_held: Arc<AtomicUsize>,
}

impl Held {
    pub(super) fn packet(message: &[u8], kind: PacketKind, bytes_held: &Arc<AtomicUsize>) -> Packet {
        bytes_held.fetch_add(message.len() + MESSAGE_OVERHEAD_BYTES, Relaxed);
        Packet::new(Box::new(Self { message: message.into(), bytes_held: bytes_held.clone() }), kind)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bytes_held.fetch_sub(self.message.len() + MESSAGE_OVERHEAD_BYTES, Relaxed);
    }
}
