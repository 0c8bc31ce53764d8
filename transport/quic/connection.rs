//! One QUIC connection, shared by its sender, its receiver and its endpoint.
//!
//! A task that changes the connection, under its lock, also sends at once what follows from the
//! change. The task that read one player's move writes the packet to the other player itself. The
//! one exception is a packet that has something for the receiver. Its consequences wait until the
//! receiver has read it, so that an answer takes the acknowledgement along.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use quinn_proto::{
    ConnectionError, ConnectionEvent, ConnectionHandle, Dir, EndpointEvent, Event, StreamEvent, Transmit,
    congestion::{Bbr, Cubic, NewReno},
};

#[cfg(test)]
use super::planned_panics;
use super::{
    config::{ConnectionConfig, StateLane},
    endpoint::{Arrived, Driven, Endpoint, NewConnection},
    state_lane::StateOut,
    streams::{StreamReader, control_stream, write},
    timer_grid::Tick,
    tls_session,
    work_limit::WorkLimit,
};
use crate::{
    Close, CloseReason, CloseState, Congestion, CongestionInEffect, PathStats, Recovery, SendHalf, Setting,
    connection::connection as connections,
    io::{frame::FrameKind, outbox::Outbox, supervised::contained},
    tls::suite::SUITE,
};

/// The priority of the control stream, which goes before state where both wait.
const CONTROL_PRIORITY: i32 = 1;
const UDP_HEADER_BYTES: u64 = 8;
/// The largest number of packets that wait for a server's handshake to go on: a ClientHello in four
/// packets, the end of the handshake, and the first messages, each twice. Further ones are dropped,
/// and the client sends them again.
pub(super) const HANDSHAKE_PACKETS_MAX: usize = 16;

/// The state that both halves of a connection and its endpoint hold.
pub(super) struct Shared {
    close_state: CloseState,
    state: Mutex<State>,
}

/// The state behind the lock.
pub(super) struct State {
    pub(super) proto: quinn_proto::Connection,
    endpoint: Arc<Endpoint>,
    handle: ConnectionHandle,
    pub(super) config: ConnectionConfig,
    control: Outbox,
    state: StateOut,
    phase: Phase,
    pub(super) wakeups: Wakeups,
    work_limit: WorkLimit,
    /// The packets that a server's handshake has not taken in yet.
    deferred: VecDeque<ConnectionEvent>,
    /// Whether packets arrived since the connection was last settled.
    touched: bool,
    /// Whether something happened since packets were last asked for.
    pub(super) unsettled: bool,
    /// The packet being sent. Its memory is reused.
    packet: Vec<u8>,
    /// The packet's destination, while the system has no room for the packet.
    unsent: Option<Transmit>,
    /// The time at which the endpoint's task looks at this connection.
    timer: Option<Tick>,
    /// Whether the endpoint has forgotten the connection, so that the handle may be another's.
    drained: bool,
    /// Whether the state panicked. Nothing may touch `proto` any more.
    broken: bool,
}

/// The phases of a connection.
enum Phase {
    /// The handshake is under way.
    Handshaking,
    /// The handshake is over.
    Open,
    /// The connection is over. What arrived before its end may still be read.
    Ended {
        reason: CloseReason,
        /// quinn-proto's reason, for a handshake that failed. `None` if this side found the reason.
        error: Option<ConnectionError>,
    },
}

/// The arrivals that the receiver has not seen yet, and whether it waits for them.
#[derive(Default)]
pub(super) struct Wakeups {
    /// Whether the receiver found nothing and is to be woken when something arrives.
    waiting: bool,
    /// Whether something arrived for the receiver since it last found nothing.
    arrived: bool,
    /// Whether something arrived on the control stream since it was last read to its end.
    pub(super) control_arrived: bool,
}

impl Shared {
    pub(super) fn new(new: NewConnection, config: ConnectionConfig) -> Arc<Self> {
        let NewConnection { endpoint, handle, proto } = new;
        let state = StateOut::new(config.lane, proto.side());
        let work_limit = WorkLimit::new(config.options.packets_per_s_max);
        let state = Mutex::new(State {
            proto,
            endpoint,
            handle,
            config,
            control: Outbox::default(),
            state,
            phase: Phase::Handshaking,
            wakeups: Wakeups::default(),
            work_limit,
            deferred: VecDeque::new(),
            touched: false,
            unsettled: false,
            packet: Vec::new(),
            unsent: None,
            timer: None,
            drained: false,
            broken: false,
        });
        Arc::new(Self { close_state: CloseState::default(), state })
    }

    /// Locks the state. The lock is held for at most one system call for each packet, never across
    /// an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Calls into the state. A panic there ends this connection and no other.
    pub(super) fn with<T>(&self, call: impl FnOnce(&mut State) -> T) -> Result<T, CloseReason> {
        let mut state = self.lock();
        if state.broken {
            return Err(CloseReason::Fault);
        }
        let outcome = contained(|| call(&mut state));
        outcome.map_err(|said| {
            state.break_off(&said);
            drop(state);
            self.close_state.wake();
            CloseReason::Fault
        })
    }

    /// Ends the connection, since no task reads from it any more.
    fn end(&self, reason: CloseReason) {
        connections::end(self, reason);
    }
}

// Each of these comes from the endpoint's task, which has no use for the error: the receiver is
// woken and ends the connection.
impl Driven for Shared {
    fn on_packet(&self, event: ConnectionEvent) -> Arrived {
        self.with(|state| state.on_packet(event)).unwrap_or(Arrived::Dropped)
    }

    fn on_deadline(&self, now: Instant) {
        let due = self.with(|state| state.on_deadline(now));
        if due == Ok(true) {
            self.settle(now);
        }
    }

    fn settle(&self, now: Instant) {
        if self.with(|state| state.settle(now)) == Ok(true) {
            self.close_state.wake();
        }
    }

    fn abandon(&self) {
        self.end(CloseReason::Vanished);
    }
}

impl State {
    fn on_packet(&mut self, event: ConnectionEvent) -> Arrived {
        #[cfg(test)]
        planned_panics::of(self.proto.remote_address());
        if !self.work_limit.admits_packet() {
            return Arrived::Dropped;
        }
        if matches!(self.phase, Phase::Handshaking) && self.proto.side().is_server() {
            if self.deferred.len() == HANDSHAKE_PACKETS_MAX {
                return Arrived::Dropped;
            }
            self.deferred.push_back(event);
            self.wakeups.arrived = true;
        } else {
            self.take_in(event);
        }
        if mem::replace(&mut self.touched, true) { Arrived::Again } else { Arrived::First }
    }

    fn take_in(&mut self, event: ConnectionEvent) {
        self.proto.handle_event(event);
        if let Err(too_many) = self.work_limit.count_packet(&self.proto) {
            self.lose(too_many);
        }
    }

    /// Takes in the packets that wait for a server's handshake. Its receiver calls this, and not
    /// the endpoint's task, because a ClientHello costs a signature: the application decides when
    /// it goes on with handshakes.
    fn take_in_deferred(&mut self) {
        if self.deferred.is_empty() {
            return;
        }
        while let Some(event) = self.deferred.pop_front() {
            self.take_in(event);
        }
        self.collect_events();
        self.unsettled = true;
    }

    #[cfg(test)]
    pub(super) fn deferred_packets(&self) -> usize {
        self.deferred.len()
    }

    /// Handles the deadline that was set, which has passed. Returns `true` if something was due.
    fn on_deadline(&mut self, now: Instant) -> bool {
        self.timer = None;
        let due = self.unsent.is_some() || self.proto.poll_timeout().is_some_and(|deadline| deadline <= now);
        if due {
            self.proto.handle_timeout(now);
        } else {
            self.set_timer(now); // Packets have moved it on meanwhile, as they do nearly always.
        }
        due
    }

    /// Sends what follows from what happened. Returns `true` to leave that to the receiver, which
    /// is to be woken.
    fn settle(&mut self, now: Instant) -> bool {
        self.touched = false;
        self.collect_events();
        if let Err(reason) = self.flush() {
            self.lose(reason);
        }
        let wake = self.wakeups.arrived && mem::take(&mut self.wakeups.waiting);
        if wake {
            self.unsettled = true;
            self.set_timer(now);
        } else {
            self.transmit(now);
        }
        wake
    }

    /// Gives the connection up after a panic, and tells the remote if that still works.
    fn break_off(&mut self, said: &str) {
        let close = CloseReason::Fault.to_close();
        // A second panic tells nothing that the first did not.
        let _ = contained(|| close.map(|close| self.close(&close)));
        self.broken = true;
        self.deferred.clear();
        self.phase = Phase::Ended { reason: CloseReason::Fault, error: Some(ConnectionError::LocallyClosed) };
        self.endpoint.on_broken_connection(said);
        if !mem::replace(&mut self.drained, true) {
            self.endpoint.set_timer(self.handle, self.timer.take(), None);
            self.endpoint.on_event(self.handle, EndpointEvent::drained());
        }
    }

    /// Takes in quinn-proto's events.
    fn collect_events(&mut self) {
        while let Some(event) = self.proto.poll_endpoint_events() {
            if event.is_drained() {
                // The handle may be another connection's from here on.
                self.drained = true;
                self.endpoint.set_timer(self.handle, self.timer.take(), None);
            }
            if let Some(answer) = self.endpoint.on_event(self.handle, event) {
                self.proto.handle_event(answer);
            }
        }
        let control = control_stream();
        while let Some(event) = self.proto.poll() {
            match event {
                Event::Connected => self.phase = Phase::Open,
                Event::ConnectionLost { reason } => {
                    self.phase = Phase::Ended { reason: self.close_reason(&reason), error: Some(reason) };
                }
                Event::Stream(StreamEvent::Readable { id }) if id == control => {
                    self.wakeups.control_arrived = true
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => self.wakeups.control_arrived = true,
                Event::Stream(StreamEvent::Opened { .. } | StreamEvent::Readable { .. })
                | Event::DatagramReceived => {}
                // Other events make room for what waits here, which is tried after every event.
                _ => continue,
            }
            self.wakeups.arrived = true;
        }
    }

    /// Hands quinn-proto as much of the waiting messages as it takes.
    fn flush(&mut self) -> Result<(), CloseReason> {
        let Self { proto, control, state, .. } = self;
        let control = control.flush(|bytes| write(proto, control_stream(), bytes));
        let flushed = control.and_then(|_| state.flush(proto));
        flushed.map(drop).map_err(|error| CloseReason::Transport(error.to_string().into()))
    }

    fn flush_and_transmit(&mut self) -> Result<(), CloseReason> {
        self.flush()?;
        self.transmit(Instant::now());
        Ok(())
    }

    /// Sends the packets that are ready now.
    pub(super) fn transmit(&mut self, now: Instant) {
        self.unsettled = false;
        loop {
            let transmit = match self.unsent.take() {
                Some(transmit) => transmit,
                None => {
                    self.packet.clear();
                    match self.proto.poll_transmit(now, 1, &mut self.packet) {
                        Some(transmit) => transmit,
                        None => break,
                    }
                }
            };
            if !self.endpoint.send(&transmit, &self.packet) {
                self.unsent = Some(transmit);
                break;
            }
        }
        self.set_timer(now);
    }

    /// Sets the endpoint's timer. A later deadline waits until the earlier one has passed, so that
    /// the packets of a busy connection move no timer.
    fn set_timer(&mut self, now: Instant) {
        let deadline = if self.unsent.is_some() { Some(now) } else { self.proto.poll_timeout() };
        let next = deadline.filter(|_| !self.proto.is_drained()).map(Tick::after);
        let in_time = match (self.timer, next) {
            (Some(set), Some(next)) => set <= next,
            (set, next) => set == next,
        };
        if !in_time {
            self.endpoint.set_timer(self.handle, self.timer, next);
            self.timer = next;
        }
    }

    /// Notes the end. The receiver ends the connection once it has read what came before.
    fn lose(&mut self, reason: CloseReason) {
        if !matches!(self.phase, Phase::Ended { .. }) {
            self.phase = Phase::Ended { reason, error: None };
        }
        self.wakeups.arrived = true;
    }

    fn check(&self) -> Result<(), CloseReason> {
        match &self.phase {
            Phase::Ended { reason, .. } => Err(reason.clone()),
            Phase::Handshaking | Phase::Open => Ok(()),
        }
    }

    fn close_reason(&self, error: &ConnectionError) -> CloseReason {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let code = u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX);
                CloseReason::Remote(Close::new(code, String::from_utf8_lossy(&close.reason)))
            }
            ConnectionError::TimedOut => CloseReason::IdleTimeout(self.config.options.idle_timeout),
            ConnectionError::Reset => CloseReason::Vanished,
            other => CloseReason::Transport(other.to_string().into()),
        }
    }

    /// Sends the close frame, unless the connection is closed already.
    fn close(&mut self, close: &Close) {
        let now = Instant::now();
        if matches!(self.phase, Phase::Handshaking) {
            // No receiver takes in packets any more, so the endpoint's task does.
            self.deferred.clear();
            self.lose(CloseReason::Local(close.clone()));
        }
        self.proto.close(now, close.code.into(), String::from(close.reason.clone()).into());
        self.transmit(now);
    }

    /// Sends what the receiver left, and has it woken when something arrives. The receiver has
    /// found nothing more.
    pub(super) fn wait(&mut self) -> Poll<CloseReason> {
        if let Phase::Ended { reason, .. } = &self.phase {
            return Poll::Ready(reason.clone());
        }
        if self.unsettled {
            self.transmit(Instant::now());
        }
        self.wakeups.arrived = false;
        self.wakeups.waiting = true;
        Poll::Pending
    }

    /// Returns the part of the state that reads streams.
    pub(super) fn reader(&mut self) -> StreamReader<'_> {
        StreamReader { proto: &mut self.proto, unsettled: &mut self.unsettled }
    }

    /// Returns ready once both lanes are open.
    fn poll_connected(&mut self) -> Poll<Result<(), ConnectionError>> {
        self.take_in_deferred();
        if let Phase::Ended { error: Some(error), .. } = &self.phase {
            return Poll::Ready(Err(error.clone()));
        }
        if !matches!(self.phase, Phase::Open) || !self.open_lanes() {
            return self.wait().map(|_| Err(ConnectionError::LocallyClosed));
        }
        // Without the priority the stream is only a little later under load, so a failure does no
        // harm.
        let _ = self.proto.send_stream(control_stream()).set_priority(CONTROL_PRIORITY);
        if self.proto.side().is_client() {
            // The server sees a stream only once something was sent on it.
            let greeting = self.control.push(FrameKind::KeepAlive, &[]);
            debug_assert!(greeting.is_ok(), "an empty outbox takes a greeting");
            let _ = self.flush();
            self.transmit(Instant::now());
        }
        Poll::Ready(Ok(()))
    }

    /// Opens this side of the lanes. Returns `false` until the remote has done its part.
    fn open_lanes(&mut self) -> bool {
        let client = self.proto.side().is_client();
        let mut streams = self.proto.streams();
        let control = if client { streams.open(Dir::Bi) } else { streams.accept(Dir::Bi) };
        debug_assert!(control.is_none_or(|stream| stream == control_stream()));
        if control.is_some() && self.config.lane == StateLane::Stream {
            // Each side lets the other open one stream from the beginning. With a remote that does
            // not, the first update fails.
            let _ = streams.open(Dir::Uni);
        }
        control.is_some()
    }
}

/// A guard of a connection, held during the handshake and then by the receiver. Dropping it ends
/// the connection.
pub(super) struct ConnectionGuard(Arc<Shared>);

impl ConnectionGuard {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Completes the handshake.
    pub(super) async fn connected(&self) -> Result<(), ConnectionError> {
        let poll = || self.0.with(State::poll_connected);
        let broken = |_| Poll::Ready(Err(ConnectionError::LocallyClosed));
        poll_fn(|cx| self.0.close_state.drive(cx, |_| poll().unwrap_or_else(broken))).await
    }
}

impl Drop for ConnectionGuard {
    /// Closes a connection that ended without a close frame, or never began.
    fn drop(&mut self) {
        let gone = Close::new(Close::GONE, "the program dropped the connection");
        // A broken connection has told the remote already.
        let _ = self.0.with(|state| state.close(&gone));
    }
}

impl SendHalf for Shared {
    fn close_state(&self) -> &CloseState {
        &self.close_state
    }

    fn send_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.queue_control(message)?;
        self.with(State::flush_and_transmit)?
    }

    fn queued_bytes(&self) -> usize {
        self.lock().control.queued_bytes()
    }

    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.with(|state| {
            state.check()?;
            state.control.push(FrameKind::Control, message).map_err(CloseReason::ControlLaneFull)
        })?
    }

    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        self.with(|state| {
            state.check()?;
            let replaced = state.state.replace(&mut state.proto, message)?;
            state.flush_and_transmit()?;
            Ok(replaced + state.state.take_superseded())
        })?
    }

    fn queue_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        self.with(|state| {
            state.check()?;
            if !state.state.has_room(&mut state.proto, message.len()) {
                state.flush_and_transmit()?;
            }
            state.state.queue(&mut state.proto, message)
        })?
    }

    fn flush(&self) -> Result<usize, CloseReason> {
        self.with(|state| {
            state.check()?;
            state.flush_and_transmit()?;
            Ok(state.state.take_superseded())
        })?
    }

    fn send_close(&self, close: &Close) {
        // A broken connection has told the remote already.
        let _ = self.with(|state| state.close(close));
    }

    fn path_stats(&self) -> PathStats {
        let state = self.lock();
        let stats = state.proto.stats();
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).ok();
        PathStats {
            rtt_us: micros(stats.path.rtt),
            min_rtt_us: micros(stats.path.min_rtt),
            congestion_window_bytes: Some(stats.path.cwnd),
            congestion: state.congestion_in_effect().map(CongestionInEffect::Known),
            lost_packets: Some(stats.path.lost_packets),
            retransmitted_packets: None,
            recovery: Recovery {
                congestion_events: Some(stats.path.congestion_events),
                ..Recovery::default()
            },
            sent_packets: Some(stats.udp_tx.datagrams),
            received_packets: Some(stats.udp_rx.datagrams),
            sent_bytes: Some(stats.udp_tx.bytes),
            received_bytes: Some(stats.udp_rx.bytes),
            max_packet_bytes: Some(stats.path.current_mtu.into()),
            tls: Some(SUITE),
            settings: state.settings(),
        }
        .with_headers(state.remote_addr(), UDP_HEADER_BYTES)
    }

    fn resumed(&self) -> Option<bool> {
        tls_session::resumed(self.lock().proto.crypto_session())
    }
}

impl State {
    pub(super) fn remote_addr(&self) -> SocketAddr {
        self.proto.remote_address()
    }

    /// Returns the settings. quinn-proto reports few of them, so most are as it was told. The
    /// socket's are read back from the kernel.
    fn settings(&self) -> Vec<Setting> {
        let mut settings = self.config.settings();
        settings.extend(self.endpoint.socket_buffers.iter().cloned());
        settings
    }

    /// Asks the controller itself, not the configuration.
    fn congestion_in_effect(&self) -> Option<Congestion> {
        let controller = self.proto.congestion_state().clone_box().into_any();
        let congestion = if controller.is::<Cubic>() {
            Congestion::Cubic
        } else if controller.is::<Bbr>() {
            Congestion::Bbr
        } else if controller.is::<NewReno>() {
            Congestion::Reno
        } else {
            return None;
        };
        Some(congestion)
    }
}
