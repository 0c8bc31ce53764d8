//! The receiving half: takes out of a connection what has arrived on both lanes.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::Bytes;
use quinn_proto::StreamId;

use super::{
    connection::{Owner, Read, State, control_stream},
    endpoint::Open,
    state_lane::StateIn,
};
use crate::{
    BoxFuture, CloseReason, Connection, FrameError, Lane, Options, TransportKind,
    connection::RecvHalf,
    frame::{FrameKind, FrameReader, READ_CHUNK_BYTES},
};

/// A stream of frames.
pub(super) struct Framed {
    stream: StreamId,
    frames: FrameReader,
}

impl Framed {
    pub(super) fn new(stream: StreamId, options: &Options) -> Self {
        Self { stream, frames: FrameReader::new(options.read_deadline) }
    }

    pub(super) fn poll_frame(
        &mut self,
        wanted: FrameKind,
        cx: &mut Context<'_>,
        state: &mut State,
    ) -> Poll<Result<Bytes, CloseReason>> {
        loop {
            while let Some((kind, payload)) = self.frames.next()? {
                match kind {
                    kind if kind == wanted => return Poll::Ready(Ok(payload)),
                    FrameKind::KeepAlive => {}
                    _ => return Poll::Ready(Err(FrameError::Misplaced("close or other lane's").into())),
                }
            }
            if let Poll::Ready(reason) = self.frames.poll_deadline(cx) {
                return Poll::Ready(Err(reason));
            }
            match state.read(self.stream, READ_CHUNK_BYTES) {
                Read::Bytes(bytes) => self.frames.buffer().extend_from_slice(&bytes),
                Read::Nothing => return Poll::Pending,
                Read::Finished | Read::Gone => return Poll::Ready(Err(CloseReason::Vanished)),
            }
        }
    }
}

struct QuicReceiver {
    // Before the endpoint, which would not see its goodbye out otherwise.
    owner: Owner,
    control: Framed,
    state: StateIn,
    /// A client's own socket, which goes with the connection.
    endpoint: Option<Open>,
}

/// The two halves of a connection whose handshake is over.
pub(super) fn split(
    owner: Owner,
    kind: TransportKind,
    remote: SocketAddr,
    endpoint: Option<Open>,
) -> Connection {
    let shared = owner.shared().clone();
    let state = shared.lock();
    let (terms, peer) = (&state.terms, !state.proto.side());
    let control = Framed::new(control_stream(), &terms.options);
    let state_in = StateIn::new(terms.lane, peer, &terms.options);
    drop(state);
    let receiver = QuicReceiver { owner, control, state: state_in, endpoint };
    Connection::new(kind, remote, shared, Box::new(receiver))
}

impl QuicReceiver {
    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        state: &mut State,
    ) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        if state.control_news || self.control.frames.has_begun() {
            match self.control.poll_frame(FrameKind::Control, cx, state) {
                Poll::Ready(message) => return Poll::Ready(message.map(|bytes| (Lane::Control, bytes))),
                Poll::Pending => state.control_news = false,
            }
        }
        let state_lane = self.state.poll_update(cx, state);
        state_lane.map(|message| message.map(|bytes| (Lane::State, bytes)))
    }
}

impl RecvHalf for QuicReceiver {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        let shared = self.owner.shared().clone();
        let mut state = shared.lock();
        if let Some(reason) = state.ended() {
            return Poll::Ready(Err(reason));
        }
        match self.poll_message(cx, &mut state) {
            Poll::Ready(message) => Poll::Ready(message.map_err(|reason| state.end(reason))),
            Poll::Pending => state.wait(cx).map(Err),
        }
    }

    fn flush_goodbye(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(endpoint) = &self.endpoint {
                endpoint.idle().await;
            }
        })
    }
}
