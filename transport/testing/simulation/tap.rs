//! The observation of a simulated connection: [`Event`] and [`Tap`].

use super::path::Side;
use crate::{Close, CloseReason, Lane};

/// An event at one side, as a [`Tap`] sees it.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The handshake is over.
    Connected,
    /// The side sent a message, which replaced this many unsent updates.
    Sent(Lane, &'a [u8], usize),
    /// The side flushed its queue, of which this many updates were superseded.
    Flushed(usize),
    /// The side received a message.
    Received(Lane, &'a [u8]),
    /// The side received another message before it has handled the last one.
    ReceivedAhead(Lane, &'a [u8]),
    /// The side asked for another message, and none was there.
    NothingAhead,
    /// The side sent a close frame.
    Closed(&'a Close),
    /// The connection ended for the side, by its remote or by silence.
    Ended(&'a CloseReason),
    /// The side dropped the receiver.
    Released,
}

/// An observer of all events, called inside the task that causes the event. It must not call the
/// transport.
pub trait Tap: Send + Sync {
    /// Notes an event. `connection` is the number that
    /// [`Network::connect`](super::Network::connect) was given.
    fn see(&self, connection: usize, side: Side, event: Event<'_>);
}
