//! One connection's ENet host: its channels, the datagrams it is fed, the messages it holds, and
//! the window of unacknowledged messages.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use rusty_enet::{
    EventNoRef, Host, HostSettings, MTU_MAX, Packet, PacketKind, PacketReceived, Peer, PeerID, Socket,
    consts::PEER_PACKET_THROTTLE_INTERVAL, crc32,
};

use crate::{
    MAX_CONTROL_BYTES, Setting,
    io::{
        outbox::CONTROL_QUEUE_BYTES,
        udp_demux::{DatagramSender, PACKET_BYTES},
    },
};

/// The channels, by number. A remote has the first two at least.
pub(super) const CONTROL_CHANNEL: u8 = 0;
pub(super) const STATE_CHANNEL: u8 = 1;
pub(super) const CLOSE_CHANNEL: u8 = 2;
pub(super) const CHANNELS: usize = 3;
/// The one peer of each host.
const PEER: PeerID = PeerID(0);
/// The bytes that a queued message takes besides its payload: ENet's bookkeeping and ours. They
/// bound empty messages, too.
const MESSAGE_OVERHEAD_BYTES: usize = 64;
/// The largest number of unacknowledged control bytes in flight, overheads included. Further
/// messages wait here. ENet itself would send hundreds at once, and resend all of them tens of ms
/// after an acknowledgement was late. The window is that of `udp`: two of the largest messages.
const WINDOW_BYTES: usize = 8 * 1024;
/// The largest packet that ENet accepts, in bytes. Larger ones are refused before memory is taken
/// for them. It is one byte more than a lane takes, so that the error can say so.
const PACKET_MAX_BYTES: usize = MAX_CONTROL_BYTES + 1;
/// The start of an ENet clock, since ENet takes 0 for "never".
const CLOCK_START: Duration = Duration::from_secs(1);

/// An ENet host with one peer. Both halves of the connection share it under a lock.
pub(super) struct ConnectionHost {
    pub(super) enet: Host<Feed>,
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

impl ConnectionHost {
    pub(super) fn new(datagrams_out: Arc<DatagramSender>, bytes_held: Arc<AtomicUsize>) -> io::Result<Self> {
        let mut seed = [0; 4];
        (SystemRandom::new().fill(&mut seed))
            .map_err(|_| io::Error::other("the system has no random numbers"))?;
        let start = Instant::now();
        let settings = HostSettings {
            peer_limit: 1,
            channel_limit: CHANNELS,
            checksum: Some(Box::new(crc32)),
            time: Box::new(move || CLOCK_START + start.elapsed()),
            // The random number that the checksum begins with comes from the seed, which must not
            // be guessable.
            seed: Some(u32::from_ne_bytes(seed)),
            ..HostSettings::default()
        };
        let mut enet = Host::new(Feed { datagrams_out, datagram: None }, settings)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let within_limits = (enet.set_mtu(PACKET_BYTES as u16))
            .and_then(|()| enet.set_maximum_packet_size(PACKET_MAX_BYTES))
            .and_then(|()| enet.set_maximum_waiting_data(CONTROL_QUEUE_BYTES));
        within_limits.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            enet,
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

    /// Feeds the datagram that the next step reads.
    pub(super) fn feed(&mut self, datagram: Bytes) {
        self.enet.socket_mut().datagram = Some(datagram);
    }

    pub(super) fn is_fed(&self) -> bool {
        self.enet.socket().datagram.is_some()
    }

    pub(super) fn peer(&mut self) -> &mut Peer<Feed> {
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

    /// Runs one step of ENet: sends what is due and reads what was fed. Returns the event, and
    /// whether the remote was heard.
    pub(super) fn service(&mut self) -> (Option<EventNoRef>, bool) {
        // ENet counts only datagrams with a right checksum. The count restarts once a second, in
        // the call before a datagram is fed.
        let heard_bytes = self.peer().incoming_data_total();
        let event = match self.enet.service() {
            Ok(event) => event.map(rusty_enet::Event::no_ref),
            Err(never) => match never {},
        };
        let heard = self.peer().incoming_data_total() > heard_bytes;
        if heard && self.fill_window() {
            self.enet.flush();
        }
        let lost = self.peer().packets_lost();
        self.lost_packets += u64::from(lost.checked_sub(self.lost_seen).unwrap_or(lost));
        self.lost_seen = lost;
        (event, heard)
    }
}

/// ENet's socket: sends by the datagram sender, and reads the datagram that it was fed.
pub(super) struct Feed {
    datagrams_out: Arc<DatagramSender>,
    /// One datagram at a time, so that everything it brought is handed up before the next one can
    /// change it.
    datagram: Option<Bytes>,
}

impl Socket for Feed {
    /// A host has one peer, and the datagram receiver knows the remote's address.
    type Address = ();
    type Error = Infallible;

    fn send(&mut self, (): (), datagram: &[u8]) -> Result<usize, Infallible> {
        // A datagram that the system has no room for is lost, which ENet expects: state is
        // superseded, and control is resent.
        self.datagrams_out.send(datagram);
        Ok(datagram.len())
    }

    fn receive(&mut self, buffer: &mut [u8; MTU_MAX]) -> Result<Option<((), PacketReceived)>, Infallible> {
        let Some(datagram) = self.datagram.take() else { return Ok(None) };
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
