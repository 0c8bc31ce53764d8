//! The receiving half of a QUIC connection: takes out of it what has arrived on both lanes.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    connection::{ConnectionGuard, State},
    endpoint::EndpointHandle,
    state_lane::StateIn,
    streams::{Framed, control_stream},
};
use crate::{BoxFuture, CloseReason, Connection, Lane, ReceiveHalf, TransportKind, io::frame::FrameKind};

struct QuicReceiver {
    // Stands before the endpoint, which would not send its close frame otherwise.
    owner: ConnectionGuard,
    control: Framed,
    state: StateIn,
    /// A client's own socket, which is closed with the connection.
    endpoint: Option<EndpointHandle>,
}

/// Makes the two halves of a connection whose handshake is over.
pub(super) fn split(
    owner: ConnectionGuard,
    kind: TransportKind,
    remote: SocketAddr,
    endpoint: Option<EndpointHandle>,
) -> Connection {
    let shared = owner.shared().clone();
    let state = shared.lock();
    let (config, remote_side) = (&state.config, !state.proto.side());
    let control = Framed::new(control_stream(), &config.options);
    let state_in = StateIn::new(config.lane, remote_side, &config.options);
    drop(state);
    let receiver = QuicReceiver { owner, control, state: state_in, endpoint };
    Connection::new(kind, remote, shared, Box::new(receiver))
}

impl QuicReceiver {
    fn next(&mut self, state: &mut State) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        if state.wakeups.control_arrived {
            if let Some(message) = self.control.next(FrameKind::Control, &mut state.reader())? {
                return Ok(Some((Lane::Control, message)));
            }
            state.wakeups.control_arrived = false;
        }
        Ok(self.state.next(&mut state.reader())?.map(|message| (Lane::State, message)))
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        match self.control.poll_deadline(cx) {
            Poll::Pending => self.state.poll_deadline(cx),
            over => over,
        }
    }
}

impl ReceiveHalf for QuicReceiver {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        let shared = self.owner.shared().clone();
        let polled = shared.with(|state| {
            if let Some(message) = self.next(state)? {
                return Poll::Ready(Ok(message));
            }
            match self.poll_deadline(cx) {
                Poll::Pending => state.wait().map(Err),
                over => over.map(Err),
            }
        });
        polled.unwrap_or_else(|fault| Poll::Ready(Err(fault)))
    }

    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        let shared = self.owner.shared().clone();
        shared.with(|state| self.next(state))?
    }

    fn flush_close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(endpoint) = &self.endpoint {
                endpoint.idle().await;
            }
        })
    }
}
