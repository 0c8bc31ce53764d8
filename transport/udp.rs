//! Plain datagrams with the least that the two lanes need: the lower bound that every other
//! kind is measured against.
//!
//! *State* leaves at once as a numbered datagram. The receiver drops updates older than the newest
//! received. *Control* is one byte stream of frames, which `reliable_stream.rs` cuts into segments
//! and resends until they are acknowledged. There is no encryption and no congestion control, so it
//! is no choice for a game on the internet.
//!
//! Every datagram (`wire.rs`) carries the connection's token, a random number of the client. An
//! attacker who cannot see the traffic must guess it, as with TCP's sequence numbers. The token has
//! 32 bits: an attacker who knows both addresses and ports ends a connection after 2^31 forged
//! datagrams on average. A kind that must withstand that encrypts.
//!
//! The handshake proves the client's address before the server keeps anything (`io/cookie.rs`).

mod handshake;
mod reliable_stream;
mod wire;

#[cfg(feature = "fuzzing")]
pub(crate) use wire::parts_make_it_again;

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, Sleep};

use crate::{
    BoxFuture, Close, CloseReason, CloseState, ConnectError, Connection, FrameError, Identity, KindInfo,
    Lane, Listen, MAX_STATE_BYTES, Options, PathStats, ReceiveHalf, SendHalf, Target, Transport,
    TransportKind,
    connection::halves::LINGER,
    io::{
        cookie::{Challenger, Join, new_token},
        datagram_listener::DatagramListener,
        frame::{self, FrameKind, FrameReader},
        keep_alive::KeepAliveTimer,
        rate_limit::RateLimit,
        udp_demux::{self, DatagramReceiver, DatagramSender},
    },
};
use handshake::{JoinsOnly, shake_hands};
use reliable_stream::{ReliableStream, Rtt, SEGMENT_BYTES};
use wire::{Token, Type, parse, write_header};

/// The interval between the close frames of a side that waits for them to arrive. A few of them fit
/// into [`LINGER`].
const CLOSE_INTERVAL: Duration = Duration::from_millis(100);
/// The interval after which a datagram that the system had no room for is tried again: the time of
/// some packets on a slow link.
const ROOM_INTERVAL: Duration = Duration::from_millis(2);

pub(crate) const UDP: Udp = Udp;

pub(crate) struct Udp;

impl Transport for Udp {
    fn info(&self) -> &'static KindInfo {
        TransportKind::Udp.info()
    }

    fn bind(
        &self,
        kind: TransportKind,
        addr: SocketAddr,
        _: &Identity,
        options: &Options,
    ) -> io::Result<Box<dyn Listen>> {
        let challenger = Arc::new(Challenger::new(&options.alpn(TransportKind::Udp))?);
        let validator = JoinsOnly(challenger.clone());
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
            let rtt = shake_hands(&options.alpn(to.kind), &datagrams_out, &mut datagrams_in, token)
                .await
                .map_err(unreachable)?;
            Ok(assemble(datagrams_out, datagrams_in, token, rtt, options))
        })
    }
}

/// Does a server's side of the handshake, for a client whose join the validator has checked.
async fn accept(
    challenger: Arc<Challenger>,
    datagrams_out: Arc<DatagramSender>,
    mut datagrams_in: DatagramReceiver,
    options: Options,
) -> Result<Connection, String> {
    let join = poll_fn(|cx| datagrams_in.poll_recv(cx)).await.map_err(|error| error.to_string())?;
    // The join is gone from here only if it was older than the newest few hundred datagrams.
    let Some(Join { token, age, .. }) = challenger.join(datagrams_out.remote(), &join) else {
        return Err("its join was overtaken".into());
    };
    let mut rtt = Rtt::default();
    rtt.measured(age);
    let connection = assemble(datagrams_out.clone(), datagrams_in, token, rtt, &options);
    let mut welcome = Vec::new();
    write_header(&mut welcome, Type::Welcome, token);
    datagrams_out.send(&welcome);
    Ok(connection)
}

fn assemble(
    datagrams_out: Arc<DatagramSender>,
    datagrams_in: DatagramReceiver,
    token: Token,
    rtt: Rtt,
    options: &Options,
) -> Connection {
    let remote = datagrams_out.remote();
    let shared = Arc::new(Shared {
        datagrams_out,
        token,
        out: Mutex::new(Out {
            control: ReliableStream::new(rtt),
            update: Vec::new(),
            number: 0,
            datagram: Vec::new(),
            wrote: false,
        }),
        close_state: CloseState::default(),
    });
    let receiver = UdpReceiver {
        shared: shared.clone(),
        datagrams_in,
        arrived: 0,
        frames: FrameReader::new(options.read_deadline),
        newest: None,
        datagrams: RateLimit::new(options.packets_per_s_max),
        keep_alive: KeepAliveTimer::new(options, remote),
        timer: Box::pin(tokio::time::sleep(ROOM_INTERVAL)),
    };
    Connection::new(TransportKind::Udp, remote, shared, Box::new(receiver))
}

/// The state that both halves hold.
struct Shared {
    datagrams_out: Arc<DatagramSender>,
    token: Token,
    out: Mutex<Out>,
    close_state: CloseState,
}

struct Out {
    control: ReliableStream,
    /// The newest update as a datagram, if the system had no room for it. Empty otherwise.
    update: Vec<u8>,
    /// The number of the update sent last. It wraps.
    number: u16,
    /// The memory in which datagrams are assembled. It is reused, so that the steady state
    /// allocates nothing.
    datagram: Vec<u8>,
    /// Whether anything was written since the last keep-alive tick. If so, no keep-alive is due.
    wrote: bool,
}

impl Out {
    /// Whether nothing is left to send or resend.
    fn is_empty(&self) -> bool {
        self.control.is_empty() && self.update.is_empty()
    }
}

impl Shared {
    /// Locks the sending state. The lock is held for a memory copy and a system call that does not
    /// wait, never across an await.
    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock()
    }

    /// Sends a datagram whose loss does no harm.
    fn send(&self, out: &mut Out, kind: Type, body: &[u8]) {
        write_header(&mut out.datagram, kind, self.token);
        out.datagram.extend_from_slice(body);
        out.wrote |= self.datagrams_out.send(&out.datagram);
    }

    /// Sends what is due and what waited for room. Returns the time at which there is something to
    /// send again.
    fn send_due(&self, out: &mut Out, now: Instant) -> Option<Instant> {
        let mut room = true;
        while room && let Some((place, segment)) = out.control.due(now) {
            write_header(&mut out.datagram, Type::Control, self.token);
            out.datagram.extend_from_slice(&place.to_be_bytes());
            out.datagram.extend_from_slice(segment);
            let bytes = segment.len();
            room = self.datagrams_out.send(&out.datagram);
            if room {
                out.wrote = true;
                out.control.sent(bytes, now);
            }
        }
        if room && !out.update.is_empty() {
            room = self.datagrams_out.send(&out.update);
            if room {
                out.wrote = true;
                out.update.clear();
            }
        }
        if room { out.control.resend_at() } else { Some(now + ROOM_INTERVAL) }
    }
}

impl SendHalf for Shared {
    fn close_state(&self) -> &CloseState {
        &self.close_state
    }

    fn queued_bytes(&self) -> usize {
        self.out().control.queued_bytes()
    }

    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.out().control.push(FrameKind::Control, message).map_err(CloseReason::ControlLaneFull)
    }

    fn flush(&self) -> Result<usize, CloseReason> {
        let mut out = self.out();
        self.send_due(&mut out, Instant::now());
        let waits = !out.is_empty();
        drop(out);
        if waits {
            self.close_state.wake(); // It must know when to send again.
        }
        Ok(0)
    }

    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        let mut out = self.out();
        let out = &mut *out;
        let replaced = usize::from(!out.update.is_empty());
        out.number = out.number.wrapping_add(1);
        write_header(&mut out.update, Type::State, self.token);
        out.update.extend_from_slice(&out.number.to_be_bytes());
        out.update.extend_from_slice(message);
        if self.datagrams_out.send(&out.update) {
            out.wrote = true;
            out.update.clear();
        } else {
            self.close_state.wake();
        }
        Ok(replaced)
    }

    fn send_close(&self, close: &Close) {
        self.send(&mut self.out(), Type::Close, &frame::encode_close(close));
    }

    fn path_stats(&self) -> PathStats {
        let out = self.out();
        let micros = |time: Duration| u64::try_from(time.as_micros()).ok();
        PathStats {
            rtt_us: out.control.rtt().smoothed().and_then(micros),
            min_rtt_us: out.control.rtt().lowest().and_then(micros),
            retransmitted_packets: Some(out.control.resent()),
            settings: reliable_stream::settings(),
            ..self.datagrams_out.path_stats()
        }
        .with_settings(self.datagrams_out.socket_buffers())
    }
}

struct UdpReceiver {
    shared: Arc<Shared>,
    datagrams_in: DatagramReceiver,
    /// The place up to which the control stream has arrived.
    arrived: u32,
    frames: FrameReader,
    /// The number of the newest update received.
    newest: Option<u16>,
    /// The rate limit on datagrams with the right token.
    datagrams: RateLimit,
    keep_alive: KeepAliveTimer,
    timer: Pin<Box<Sleep>>,
}

impl UdpReceiver {
    /// Sends what is due, and sets the timer for what is due later.
    fn poll_flush(&mut self, cx: &mut Context<'_>) {
        loop {
            let at = {
                let mut out = self.shared.out();
                if out.is_empty() {
                    return;
                }
                self.shared.send_due(&mut out, Instant::now())
            };
            let Some(at) = at else { return };
            if self.timer.deadline() != at {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
        }
    }

    /// Returns the next control message that has wholly arrived.
    fn next_control(&mut self) -> Result<Option<(Lane, Bytes)>, FrameError> {
        match self.frames.next()? {
            None => Ok(None),
            Some((FrameKind::Control, payload)) => Ok(Some((Lane::Control, payload))),
            Some(_) => Err(FrameError::Misplaced("state or close")),
        }
    }

    /// Takes in a datagram. Returns its update if that is newer than the newest received.
    fn on_datagram(&mut self, datagram: &Bytes) -> Result<Option<Bytes>, CloseReason> {
        let Some((kind, token, mut body)) = parse(datagram) else { return Ok(None) };
        if token != self.shared.token {
            return Ok(None);
        }
        self.keep_alive.heard();
        self.datagrams.count(1, "datagrams")?;
        let size = body.len();
        match kind {
            Type::State if size > 2 + MAX_STATE_BYTES => {
                return Err(FrameError::TooLong { size: size - 2, max: MAX_STATE_BYTES }.into());
            }
            Type::State if size >= 2 => {
                let number = body.get_u16();
                if self.newest.is_none_or(|newest| is_newer(number, newest)) {
                    self.newest = Some(number);
                    return Ok(Some(body));
                }
            }
            Type::Control if (4..=4 + SEGMENT_BYTES).contains(&size) => {
                let behind = self.arrived.wrapping_sub(body.get_u32()) as usize;
                // A resent segment may be cut elsewhere and begin before the missing bytes. A gap
                // is left for the remote to resend.
                if behind < body.len() {
                    body.advance(behind);
                    self.frames.extend(&body);
                    self.arrived = self.arrived.wrapping_add(body.len() as u32);
                }
                self.shared.send(&mut self.shared.out(), Type::Acknowledge, &self.arrived.to_be_bytes());
            }
            Type::Acknowledge if size == 4 => {
                self.shared.out().control.acknowledged(body.get_u32(), Instant::now());
            }
            Type::Join => self.shared.send(&mut self.shared.out(), Type::Welcome, &[]), // The first was lost.
            Type::Close => {
                self.shared.send(&mut self.shared.out(), Type::Closed, &[]);
                return Err(CloseReason::Remote(frame::decode_close(body)?));
            }
            // The remote has forgotten this connection.
            Type::Closed => return Err(CloseReason::Vanished),
            Type::Hello | Type::Challenge | Type::Welcome | Type::KeepAlive => {}
            Type::State | Type::Control | Type::Acknowledge => {
                return Err(FrameError::Misplaced("mis-sized").into());
            }
        }
        Ok(None)
    }

    /// Returns ready when the remote has acknowledged the close frame, or sends its own.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Ok(datagram) = ready!(self.datagrams_in.poll_recv(cx)) else { continue };
            match parse(&datagram) {
                Some((Type::Closed | Type::Close, token, _)) if token == self.shared.token => {
                    return Poll::Ready(());
                }
                _ => {}
            }
        }
    }
}

/// Whether `number` is newer than `than`. Numbers wrap: newer is what lies less than half of all
/// numbers ahead.
fn is_newer(number: u16, than: u16) -> bool {
    (1..1 << 15).contains(&number.wrapping_sub(than))
}

impl ReceiveHalf for UdpReceiver {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        loop {
            if let Some(message) = self.next_control()? {
                return Poll::Ready(Ok(message));
            }
            while let Poll::Ready(tick) = self.keep_alive.poll_tick(cx) {
                tick?;
                let mut out = self.shared.out();
                let wrote = std::mem::take(&mut out.wrote);
                if self.keep_alive.keep_alive_due(wrote) {
                    self.shared.send(&mut out, Type::KeepAlive, &[]);
                }
            }
            self.poll_flush(cx);
            if let Poll::Ready(reason) = self.frames.poll_deadline(cx) {
                return Poll::Ready(Err(reason));
            }
            let Ok(datagram) = ready!(self.datagrams_in.poll_recv(cx)) else { continue };
            if let Some(update) = self.on_datagram(&datagram)? {
                return Poll::Ready(Ok((Lane::State, update)));
            }
        }
    }

    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        loop {
            if let Some(message) = self.next_control()? {
                return Ok(Some(message));
            }
            let Some(datagram) = self.datagrams_in.try_recv() else { return Ok(None) };
            if let Some(update) = self.on_datagram(&datagram)? {
                return Ok(Some((Lane::State, update)));
            }
        }
    }

    /// Resends the close frame until the remote acknowledges it, or until the linger time is over.
    fn flush_close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Some(close) = self.shared.close_state.reason().and_then(CloseReason::to_close) else {
                return;
            };
            let until = Instant::now() + LINGER;
            while Instant::now() < until {
                let closed = pin!(poll_fn(|cx| self.poll_closed(cx)));
                if tokio::time::timeout(CLOSE_INTERVAL, closed).await.is_ok() {
                    return;
                }
                self.shared.send_close(&close);
            }
        })
    }
}
