//! The two halves of a connection as a kind of transport implements them.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use super::{
    close::CloseState,
    error::{Close, CloseReason},
    lane::Lane,
    path_stats::PathStats,
};

/// A boxed future, so that the traits are object safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The longest time that a closing side waits until its close frame has arrived.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// The sending half of a connection, which any task may use.
///
/// Every method returns at once: it never waits for the network. An error ends the connection, and
/// no message is sent on a connection that has ended. The sizes of messages have been checked
/// against [`Lane::max_bytes`].
pub trait SendHalf: Send + Sync {
    /// Returns the state that both halves share: whether the connection has ended, and the task
    /// that drives it.
    fn close_state(&self) -> &CloseState;

    /// Queues a control message, which may wait for [`Self::flush`]. A full queue is an error
    /// ([`CloseReason::ControlLaneFull`]).
    ///
    /// # Errors
    /// The reason that ends the connection.
    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason>;

    /// Sends a state message. Returns how many unsent updates it replaced.
    ///
    /// # Errors
    /// The reason that ends the connection.
    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason>;

    /// Sends what was queued. Returns how many queued updates were superseded because not all could
    /// leave.
    ///
    /// # Errors
    /// The reason that ends the connection.
    fn flush(&self) -> Result<usize, CloseReason> {
        Ok(0)
    }

    /// Sends a control message.
    ///
    /// # Errors
    /// The reason that ends the connection.
    fn send_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.queue_control(message)?;
        self.flush().map(drop)
    }

    /// Queues a state message, which may wait for [`Self::flush`], for kinds that gain by one write
    /// of many. Returns how many unsent updates it replaced.
    ///
    /// # Errors
    /// The reason that ends the connection.
    fn queue_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        self.send_state(message)
    }

    /// Returns the bytes that wait to be sent.
    fn queued_bytes(&self) -> usize {
        0
    }

    /// Sends the close frame, without waiting for it to arrive. Called at most once.
    fn send_close(&self, close: &Close);

    /// Returns the transport's statistics of the path.
    fn path_stats(&self) -> PathStats;

    /// Whether the TLS handshake resumed an earlier session; `None` without TLS.
    fn resumed(&self) -> Option<bool> {
        None
    }
}

/// The receiving half of a connection, which one task polls. It drives the connection.
///
/// An error ends the connection, and a connection that has ended is not polled again. Dropping the
/// half frees its socket.
pub trait ReceiveHalf: Send {
    /// Polls for the next message and its lane, and does what else is due: writes that wait,
    /// keep-alives, timeouts.
    ///
    /// The task is also polled after [`CloseState::wake`].
    ///
    /// # Errors
    /// The reason why the connection is over.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>>;

    /// Returns the next of the messages that [`Self::poll_message`] has read already. Never asks
    /// the system.
    ///
    /// # Errors
    /// The reason why the connection is over.
    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        Ok(None)
    }

    /// Waits until the close frame has left, and has arrived where the protocol can tell. The
    /// caller limits the time.
    fn flush_close(self: Box<Self>) -> BoxFuture<'static, ()>;
}
