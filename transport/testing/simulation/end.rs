//! One side of a simulated connection.

use std::{
    future::{Future, pending},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{
    path::Side,
    tap::{Event, Tap},
    wire::{Found, UPDATES_MAX, Wire},
};
use crate::{
    BoxFuture, Close, CloseReason, CloseState, Connection, Lane, Options, PathStats, ReceiveHalf, SendHalf,
    TransportKind,
    io::{keep_alive::KeepAliveTimer, outbox::CONTROL_QUEUE_BYTES},
};

/// The state that one side's senders and its receiver share.
pub(super) struct End {
    pub(super) number: usize,
    pub(super) side: Side,
    pub(super) tap: Arc<dyn Tap>,
    pub(super) inbox: Arc<Wire>,
    pub(super) outbox: Arc<Wire>,
}

impl End {
    fn see(&self, event: Event<'_>) {
        self.tap.see(self.number, self.side, event);
    }

    fn control(&self, message: &[u8], at_once: bool) -> Result<(), CloseReason> {
        let mut queue = self.outbox.queue();
        if queue.control_bytes + message.len() > CONTROL_QUEUE_BYTES {
            return Err(CloseReason::ControlLaneFull(queue.control_bytes));
        }
        queue.control_bytes += message.len();
        queue.control_unsent.push_back(Bytes::copy_from_slice(message));
        queue.flows[Lane::Control as usize].sent += 1;
        if at_once {
            queue.flush_control();
        }
        drop(queue);
        self.see(Event::Sent(Lane::Control, message, 0));
        self.outbox.close_state.wake();
        Ok(())
    }

    fn update(&self, message: &[u8], at_once: bool) -> Result<usize, CloseReason> {
        let mut queue = self.outbox.queue();
        queue.flows[Lane::State as usize].sent += 1;
        queue.unsent.push_back(Bytes::copy_from_slice(message));
        let superseded = if at_once || queue.unsent.len() == UPDATES_MAX { queue.flush() } else { 0 };
        drop(queue);
        self.see(Event::Sent(Lane::State, message, superseded));
        self.outbox.close_state.wake();
        Ok(superseded)
    }
}

impl SendHalf for End {
    fn close_state(&self) -> &CloseState {
        &self.inbox.close_state
    }

    fn send_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.control(message, true)
    }

    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.control(message, false)
    }

    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        self.update(message, true)
    }

    fn queue_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        self.update(message, false)
    }

    fn flush(&self) -> Result<usize, CloseReason> {
        let superseded = self.outbox.queue().flush();
        self.see(Event::Flushed(superseded));
        self.outbox.close_state.wake();
        Ok(superseded)
    }

    fn send_close(&self, close: &Close) {
        self.see(Event::Closed(close));
        self.outbox.end(CloseReason::Remote(close.clone()));
    }

    fn path_stats(&self) -> PathStats {
        PathStats::default()
    }
}

/// Makes the connection of a side whose handshake is over.
pub(super) fn connected(end: Arc<End>, remote: SocketAddr, options: &Options) -> Connection {
    end.see(Event::Connected);
    let alarm = Box::pin(sleep(Duration::ZERO));
    let receiver =
        SimulatedReceiver { end: end.clone(), keep_alive: KeepAliveTimer::new(options, remote), alarm };
    Connection::new(TransportKind::Memory, remote, end, Box::new(receiver))
}

struct SimulatedReceiver {
    end: Arc<End>,
    keep_alive: KeepAliveTimer,
    /// The timer of the next arrival.
    alarm: Pin<Box<Sleep>>,
}

impl SimulatedReceiver {
    /// Returns what has arrived, or the time of the next arrival.
    fn arrived(&mut self) -> Result<Result<(Lane, Bytes), Option<Instant>>, CloseReason> {
        loop {
            let found = self.end.inbox.queue().next(Instant::now());
            match found {
                Found::Closed(reason) => {
                    self.end.see(Event::Ended(&reason));
                    return Err(reason);
                }
                Found::KeepAlive => self.keep_alive.heard(),
                Found::Nothing(until) => return Ok(Err(until)),
                Found::Message(lane, message) => {
                    self.keep_alive.heard();
                    return Ok(Ok((lane, message)));
                }
            }
        }
    }

    fn keep_alive(&mut self) {
        let mut queue = self.end.outbox.queue();
        let wrote = std::mem::take(&mut queue.wrote);
        if self.keep_alive.keep_alive_due(wrote) && !queue.silent {
            let due = Instant::now() + (queue.fates)(Lane::Control).delay;
            queue.keep_alives.push_back(due);
            drop(queue);
            self.end.outbox.close_state.wake();
        }
    }
}

impl ReceiveHalf for SimulatedReceiver {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        loop {
            let until = match self.arrived()? {
                Ok((lane, message)) => {
                    self.end.see(Event::Received(lane, &message));
                    return Poll::Ready(Ok((lane, message)));
                }
                Err(until) => until,
            };
            if let Some(until) = until {
                if self.alarm.deadline() != until || self.alarm.is_elapsed() {
                    self.alarm.as_mut().reset(until);
                }
                if self.alarm.as_mut().poll(cx).is_ready() {
                    continue;
                }
            }
            match ready!(self.keep_alive.poll_tick(cx)) {
                Ok(()) => self.keep_alive(),
                Err(reason) => {
                    self.end.see(Event::Ended(&reason));
                    return Poll::Ready(Err(reason));
                }
            }
        }
    }

    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        let message = self.arrived()?.ok();
        self.end.see(match &message {
            Some((lane, message)) => Event::ReceivedAhead(*lane, message),
            None => Event::NothingAhead,
        });
        Ok(message)
    }

    fn flush_close(self: Box<Self>) -> BoxFuture<'static, ()> {
        let end = self.end.outbox.queue().end.as_ref().map(|(due, _)| *due);
        Box::pin(async move {
            match end {
                None => {}
                Some(Some(due)) => sleep_until(due).await,
                Some(None) => pending().await,
            }
        })
    }
}

impl Drop for SimulatedReceiver {
    fn drop(&mut self) {
        self.end.see(Event::Released);
    }
}
