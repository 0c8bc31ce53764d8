//! ENet, a reliable-UDP protocol that games have used for twenty years, by `rusty_enet`. Only this
//! file and `enet/host.rs` name that library.
//!
//! *Control* is a reliable channel. *State* is an unreliable sequenced channel, on which ENet drops
//! packets older than the newest received. ENet throttles by itself: when round trips grow, it
//! drops a share of the unreliable packets. [`Recovery::throttled_messages`] counts them.
//!
//! Differences from plain ENet:
//! - Every connection has an ENet host of its own with one peer, also on a server, where
//!   [`Demux`](crate::io::udp_demux::Demux) tells the remotes apart by their addresses. ENet's
//!   usual way, one host for all, walks every peer for each packet it sends.
//! - **A proof of the client's address comes first** (`io/cookie.rs`). ENet has none: whoever
//!   forges a *connect* chooses every number of the connection, and can go on without an answer. So
//!   a client's *connect* stands behind a join. Everything after it is ENet's.
//! - **The checksum is on** (`enet_host.checksum = enet_crc32` in C; no compression). It begins
//!   with the connection's random number, which only the two sides know. Everything else that ENet
//!   checks is two bits, so without the checksum an attacker could end a connection with one
//!   datagram from a forged address. A remote without checksum gets no answer.
//! - **A gate in safe code** (`enet/gate.rs`) reads every datagram before ENet does.
//! - Control messages wait on this side while 8 KB of them are unacknowledged (`enet/host.rs`).
//! - A message fits one datagram, and nothing is cut into fragments.
//! - ENet's disconnect carries one number. The close frame's reason goes before it, on a third
//!   channel. A remote that has only the two lanes' channels gets the number alone.
//! - ENet looks at the time only when it is asked to: every [`RESEND_TICK`] while something is
//!   unacknowledged, otherwise at every keep-alive tick.
//! - ENet's clock counts milliseconds, and so do its round-trip times.
//! - Unreliable messages have 16-bit numbers. Every 65,536th goes as a reliable one and restarts
//!   the numbers.

#[cfg(any(test, feature = "fuzzing"))]
mod crafted;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing;
mod gate;
mod host;

#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::receive;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use rusty_enet::{EventNoRef, Packet, PacketKind, PeerState, consts::PEER_DEFAULT_ROUND_TRIP_TIME};
use tokio::time::{Interval, MissedTickBehavior};

use crate::{
    BoxFuture, Close, CloseReason, CloseState, ConnectError, Connection, FrameError, Identity, KindInfo,
    Lane, Listen, Options, PathStats, ReceiveHalf, Recovery, SendHalf, Target, Transport, TransportKind,
    io::{
        cookie::{Challenger, fetch_join, new_token},
        datagram_listener::DatagramListener,
        frame,
        keep_alive::KeepAliveTimer,
        outbox::CONTROL_QUEUE_BYTES,
        rate_limit::RateLimit,
        udp_demux::{self, AddressValidator, DatagramReceiver, DatagramSender},
    },
};
use gate::{CLOSE_CHANNEL, CONTROL_CHANNEL, STATE_CHANNEL};
use host::{ConnectionHost, Held};

/// The interval between looks at the clock while something is unacknowledged. ENet resends after
/// its round-trip time and four variations, which on a local network is as short as this.
const RESEND_TICK: Duration = Duration::from_millis(5);
/// The interval between looks at the clock during a handshake, which ENet resends after half a
/// second at first.
const HANDSHAKE_TICK: Duration = Duration::from_millis(50);

pub(crate) const ENET: Enet = Enet;

pub(crate) struct Enet;

impl Transport for Enet {
    fn info(&self) -> &'static KindInfo {
        TransportKind::Enet.info()
    }

    fn bind(
        &self,
        kind: TransportKind,
        addr: SocketAddr,
        _: &Identity,
        options: &Options,
    ) -> io::Result<Box<dyn Listen>> {
        let challenger = Arc::new(Challenger::new(&options.alpn(TransportKind::Enet))?);
        let validator = ConnectsOnly(challenger.clone());
        DatagramListener::bind(kind, addr, validator, options, move |datagrams_out, datagrams_in, options| {
            accept(challenger.clone(), datagrams_out, datagrams_in, options)
        })
    }

    fn connect<'a>(
        &'a self,
        to: &'a Target<'a>,
        options: &'a Options,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        Box::pin(async move {
            let unreachable = |error| ConnectError::Unreachable { addr: to.addr, kind: to.kind, error };
            let (datagrams_out, mut datagrams_in) =
                udp_demux::connect(to.addr, options).map_err(unreachable)?;
            let token = new_token().map_err(unreachable)?;
            let protocol = options.alpn(TransportKind::Enet);
            let (join, _) = (fetch_join(&protocol, &datagrams_out, &mut datagrams_in, token).await)
                .map_err(unreachable)?;
            let bytes_held = Arc::<AtomicUsize>::default();
            let host = ConnectionHost::connect(datagrams_out.clone(), join, bytes_held.clone(), clock())
                .map_err(unreachable)?;
            let mut receiver = assemble(datagrams_out, datagrams_in, host, bytes_held, options);
            let failed = |reason: String| ConnectError::Handshake { kind: to.kind, reason: reason.into() };
            poll_fn(|cx| receiver.poll_connected(cx, true)).await.map_err(unreachable)?;
            // The ping measures a client's first round trip.
            receiver.shared.host().peer().ping();
            receiver.into_connection(to.kind, options).map_err(failed)
        })
    }
}

/// An address validator that admits joins whose challenge is good, with a *connect* behind it.
struct ConnectsOnly(Arc<Challenger>);

impl AddressValidator for ConnectsOnly {
    fn validate(&mut self, from: SocketAddr, datagram: &[u8], answer: &mut Vec<u8>) -> bool {
        self.0.answer_hello(from, datagram, answer);
        self.0.join(from, datagram).is_some_and(|join| gate::connect_id(join.rest).is_some())
    }
}

/// Does a server's side of the handshake, for a client whose join the validator has checked.
async fn accept(
    challenger: Arc<Challenger>,
    datagrams_out: Arc<DatagramSender>,
    mut datagrams_in: DatagramReceiver,
    options: Options,
) -> Result<Connection, String> {
    let failed = |error: io::Error| error.to_string();
    let join = poll_fn(|cx| datagrams_in.poll_recv(cx)).await.map_err(failed)?;
    let connect = challenger.join(datagrams_out.remote(), &join).map_or(&[][..], |join| join.rest);
    let bytes_held = Arc::<AtomicUsize>::default();
    let host = ConnectionHost::accept(datagrams_out.clone(), connect, bytes_held.clone(), clock());
    // The join is gone from here only if it was older than the newest few hundred datagrams.
    let host = host.map_err(failed)?.ok_or("its join was overtaken")?;
    let mut receiver = assemble(datagrams_out, datagrams_in, host, bytes_held, &options);
    poll_fn(|cx| receiver.poll_connected(cx, false)).await.map_err(failed)?;
    receiver.into_connection(TransportKind::Enet, &options)
}

/// Returns a clock that begins now.
fn clock() -> impl Fn() -> Duration + Send + 'static {
    let start = Instant::now();
    move || start.elapsed()
}

fn assemble(
    datagrams_out: Arc<DatagramSender>,
    datagrams_in: DatagramReceiver,
    host: ConnectionHost,
    bytes_held: Arc<AtomicUsize>,
    options: &Options,
) -> EnetReceiver {
    let keep_alive = KeepAliveTimer::new(options, datagrams_out.remote());
    let host = Mutex::new(host);
    let shared = Arc::new(Shared { datagrams_out, host, bytes_held, close_state: CloseState::default() });
    EnetReceiver {
        shared,
        datagrams_in,
        pool: BytesMut::new(),
        keep_alive,
        tick: every(HANDSHAKE_TICK),
        commands: RateLimit::new(options.packets_per_s_max),
    }
}

fn every(period: Duration) -> Interval {
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// The state that both halves hold.
struct Shared {
    datagrams_out: Arc<DatagramSender>,
    host: Mutex<ConnectionHost>,
    /// The bytes of messages that this side and ENet still hold, overheads included.
    bytes_held: Arc<AtomicUsize>,
    close_state: CloseState,
}

impl Shared {
    /// Locks the ENet host. The lock is held for some memory copies and system calls that do not
    /// wait, never across an await.
    fn host(&self) -> MutexGuard<'_, ConnectionHost> {
        self.host.lock()
    }

    fn hold(&self, message: &[u8], kind: PacketKind) -> Packet {
        Held::packet(message, kind, &self.bytes_held)
    }
}

impl SendHalf for Shared {
    fn close_state(&self) -> &CloseState {
        &self.close_state
    }

    fn queued_bytes(&self) -> usize {
        self.bytes_held.load(Relaxed)
    }

    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        let waiting = self.bytes_held.load(Relaxed);
        if waiting + message.len() > CONTROL_QUEUE_BYTES {
            return Err(CloseReason::ControlLaneFull(waiting));
        }
        self.host().send_control(self.hold(message, PacketKind::Reliable));
        Ok(())
    }

    fn flush(&self) -> Result<usize, CloseReason> {
        self.host().flush();
        if self.bytes_held.load(Relaxed) > 0 {
            self.close_state.wake(); // It must watch for the acknowledgement.
        }
        Ok(0)
    }

    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        let mut host = self.host();
        let sent_bytes = self.datagrams_out.sent_bytes();
        host.send(STATE_CHANNEL, &self.hold(message, PacketKind::AlwaysUnreliable { sequenced: true }));
        host.flush();
        // ENet does not report a throttled message, but every other message has left by now.
        if self.datagrams_out.sent_bytes() - sent_bytes < message.len() as u64 {
            host.throttled_messages += 1;
        }
        drop(host);
        if self.bytes_held.load(Relaxed) > 0 {
            self.close_state.wake(); // One in 65,536 must be watched like control.
        }
        Ok(0)
    }

    fn send_close(&self, close: &Close) {
        let mut host = self.host();
        if host.peer().channel_count() > usize::from(CLOSE_CHANNEL) {
            let words = frame::encode_close(close);
            host.send(CLOSE_CHANNEL, &self.hold(&words, PacketKind::Reliable));
        } else {
            host.peer().disconnect_later(close.code);
        }
        host.flush();
    }

    fn path_stats(&self) -> PathStats {
        let mut host = self.host();
        let rtt = host.peer().round_trip_time();
        let measured = rtt != Duration::from_millis(PEER_DEFAULT_ROUND_TRIP_TIME.into());
        PathStats {
            rtt_us: measured.then(|| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            lost_packets: Some(host.lost_packets),
            recovery: Recovery { throttled_messages: Some(host.throttled_messages), ..Recovery::default() },
            max_packet_bytes: Some(host.peer().mtu().into()),
            settings: host.settings(),
            ..self.datagrams_out.path_stats()
        }
        .with_settings(self.datagrams_out.socket_buffers())
    }
}

struct EnetReceiver {
    shared: Arc<Shared>,
    datagrams_in: DatagramReceiver,
    /// The memory that messages are cut from.
    pool: BytesMut,
    keep_alive: KeepAliveTimer,
    tick: Interval,
    /// The rate limit on ENet's commands in datagrams with a right checksum.
    commands: RateLimit,
}

/// The reasons why ENet does not go on.
enum Trouble {
    /// An error from the path, which may be forged.
    Path(io::Error),
    /// The remote acknowledges nothing.
    Silence,
    /// An offence of the remote.
    Offence(FrameError),
}

impl EnetReceiver {
    /// Takes in a datagram, for the next step.
    fn feed(&mut self, datagram: Bytes) -> Result<(), FrameError> {
        let commands = self.shared.host().feed(datagram)?;
        if commands > 0 {
            self.keep_alive.heard();
            self.commands.count(commands, "ENet commands")?;
        }
        Ok(())
    }

    /// Runs one step of ENet and returns its event.
    fn step(&mut self) -> Result<Option<EventNoRef>, Trouble> {
        let mut host = self.shared.host();
        let fed = host.is_fed();
        match host.service() {
            // Nothing was fed, so ENet itself gave up.
            Some(EventNoRef::Disconnect { .. }) if !fed => Err(Trouble::Silence),
            event => Ok(event),
        }
    }

    /// Drives ENet until it has an event. `always_tick` is set where something other than a message
    /// is unacknowledged.
    fn poll_event(&mut self, cx: &mut Context<'_>, always_tick: bool) -> Poll<Result<EventNoRef, Trouble>> {
        loop {
            if let Some(event) = self.step()? {
                return Poll::Ready(Ok(event));
            }
            if let Poll::Ready(datagram) = self.datagrams_in.poll_recv(cx) {
                self.feed(datagram.map_err(Trouble::Path)?).map_err(Trouble::Offence)?;
                continue;
            }
            let watch = always_tick || self.shared.bytes_held.load(Relaxed) > 0;
            if !watch || self.tick.poll_tick(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Drives ENet through the handshake. A refusal from the path counts only for a client, which
    /// hopes for an answer.
    fn poll_connected(&mut self, cx: &mut Context<'_>, client: bool) -> Poll<io::Result<()>> {
        loop {
            match ready!(self.poll_event(cx, true)) {
                Ok(EventNoRef::Connect { .. }) => return Poll::Ready(Ok(())),
                Ok(EventNoRef::Disconnect { .. }) => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
                }
                Ok(EventNoRef::Receive { .. }) => {}
                Err(Trouble::Silence) => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Err(Trouble::Offence(error)) => return Poll::Ready(Err(io::Error::other(error))),
                Err(Trouble::Path(error)) if client => return Poll::Ready(Err(error)),
                Err(Trouble::Path(_)) => {}
            }
        }
    }

    fn into_connection(mut self, kind: TransportKind, options: &Options) -> Result<Connection, String> {
        let mut host = self.shared.host();
        let peer = host.peer();
        let channels = peer.channel_count();
        if channels <= usize::from(STATE_CHANNEL) {
            peer.disconnect_now(Close::BAD_FRAME);
            return Err(format!("the remote asks for {channels} channel, and the two lanes need one each"));
        }
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
        peer.set_ping_interval(millis(options.enet_ping.min(options.keep_alive)));
        // Our idle timeout comes first. ENet's own timeout is for a remote that sends and never
        // acknowledges.
        let give_up = millis(options.idle_timeout * 2);
        peer.set_timeout(0, give_up, give_up);
        host.flush();
        drop(host);
        self.tick = every(RESEND_TICK);
        let remote = self.shared.datagrams_out.remote();
        Ok(Connection::new(kind, remote, self.shared.clone(), Box::new(self)))
    }

    /// Returns the message that an event brought, if any.
    fn on_event(&mut self, event: Result<EventNoRef, Trouble>) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        match event {
            Ok(EventNoRef::Receive { channel_id, packet, .. }) => {
                self.on_packet(channel_id, &packet).map(Some)
            }
            Ok(EventNoRef::Disconnect { data, .. }) => {
                Err(CloseReason::Remote(Close::new(data, "the remote disconnected")))
            }
            Ok(EventNoRef::Connect { .. }) | Err(Trouble::Path(_)) => Ok(None),
            Err(Trouble::Silence) => Err(CloseReason::Transport("the remote acknowledges nothing".into())),
            Err(Trouble::Offence(error)) => Err(error.into()),
        }
    }

    /// Returns the message in a packet. The gate has checked its size.
    fn on_packet(&mut self, channel: u8, packet: &Packet) -> Result<(Lane, Bytes), CloseReason> {
        self.pool.extend_from_slice(packet.data());
        let message = self.pool.split().freeze();
        match channel {
            CONTROL_CHANNEL => Ok((Lane::Control, message)),
            STATE_CHANNEL => Ok((Lane::State, message)),
            _ => {
                // The number is for ENet's sake: the remote waits for our side of the disconnect.
                let close = frame::decode_close(message)?;
                self.shared.host().peer().disconnect_now(close.code);
                Err(CloseReason::Remote(close))
            }
        }
    }
}

impl ReceiveHalf for EnetReceiver {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        loop {
            let event = match self.poll_event(cx, false) {
                Poll::Ready(event) => event,
                Poll::Pending => {
                    ready!(self.keep_alive.poll_tick(cx))?;
                    continue; // ENet's turn to send its ping.
                }
            };
            if let Some(message) = self.on_event(event)? {
                return Poll::Ready(Ok(message));
            }
        }
    }

    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        // Takes what the last datagram brought, without a look at the socket or the clock, and then
        // what the next datagrams bring.
        let mut event = self.shared.host().next_event().map(Ok);
        loop {
            while let Some(happened) = event {
                if let Some(message) = self.on_event(happened)? {
                    return Ok(Some(message));
                }
                event = self.shared.host().next_event().map(Ok);
            }
            let Some(datagram) = self.datagrams_in.try_recv() else { return Ok(None) };
            self.feed(datagram)?;
            event = self.step().transpose();
        }
    }

    /// Waits until the remote has disconnected in answer. ENet resends lost close frames.
    fn flush_close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let said = self.shared.close_state.reason().is_some_and(|reason| reason.to_close().is_some());
        Box::pin(poll_fn(move |cx| {
            loop {
                if !said || self.shared.host().peer().state() == PeerState::Disconnected {
                    return Poll::Ready(());
                }
                match ready!(self.poll_event(cx, true)) {
                    Ok(EventNoRef::Disconnect { .. }) => return Poll::Ready(()),
                    Ok(EventNoRef::Receive { channel_id: CLOSE_CHANNEL, .. }) => return Poll::Ready(()),
                    _ => {}
                }
            }
        }))
    }
}

impl Drop for EnetReceiver {
    fn drop(&mut self) {
        // One disconnect is sent at once, for a remote that did not get the close frame.
        let close = self.shared.close_state.reason().and_then(CloseReason::to_close);
        let code = close.map_or(Close::GONE, |close| close.code);
        self.shared.host().peer().disconnect_now(code);
    }
}
