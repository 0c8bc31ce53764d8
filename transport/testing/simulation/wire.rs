//! One direction of a simulated path: the packets in flight, and the time at which each arrives.

use std::{collections::VecDeque, future::pending};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use super::path::{Fates, Flow};
use crate::{CloseReason, CloseState, Lane};

/// The largest number of updates in flight in one direction. A path that holds more drops or
/// supersedes.
pub(super) const UPDATES_MAX: usize = 64;

/// One direction, and the inbox at its end.
pub(super) struct Wire {
    pub(super) queue: Mutex<Queue>,
    /// The state of the side at its end.
    pub(super) close_state: CloseState,
}

pub(super) struct Queue {
    pub(super) in_order: bool,
    pub(super) fates: Fates,
    pub(super) silent: bool,
    /// The control messages with their arrival times. On a silent path they have no time yet.
    pub(super) control: VecDeque<(Option<Instant>, Bytes)>,
    /// The control messages that wait for a flush.
    pub(super) control_unsent: VecDeque<Bytes>,
    /// The bytes of both queues.
    pub(super) control_bytes: usize,
    pub(super) updates: Vec<(Instant, Bytes)>,
    /// The updates that wait for a flush or for the path.
    pub(super) unsent: VecDeque<Bytes>,
    pub(super) keep_alives: VecDeque<Instant>,
    pub(super) end: Option<(Option<Instant>, CloseReason)>,
    /// Whether anything left since the flag was last read.
    pub(super) wrote: bool,
    /// The counters by lane.
    pub(super) flows: [Flow; 2],
}

/// The arrival that a reader finds.
pub(super) enum Found {
    Message(Lane, Bytes),
    KeepAlive,
    Closed(CloseReason),
    /// Nothing arrives before this time.
    Nothing(Option<Instant>),
}

impl Wire {
    pub(super) fn new(in_order: bool, fates: Fates) -> Self {
        let queue = Queue {
            in_order,
            fates,
            silent: false,
            control: VecDeque::new(),
            control_unsent: VecDeque::new(),
            control_bytes: 0,
            updates: Vec::new(),
            unsent: VecDeque::new(),
            keep_alives: VecDeque::new(),
            end: None,
            wrote: false,
            flows: Default::default(),
        };
        Self { queue: Mutex::new(queue), close_state: CloseState::default() }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Carries one packet of a handshake. A silent path never carries it.
    pub(super) async fn cross(&self) {
        let delay = {
            let mut queue = self.queue();
            let fate = (queue.fates)(Lane::Control);
            (!queue.silent).then_some(fate.delay)
        };
        match delay {
            Some(delay) => sleep(delay).await,
            None => pending().await,
        }
    }

    pub(super) fn silence(&self, silent: bool) {
        let mut queue = self.queue();
        queue.silent = silent;
        if silent {
            return;
        }
        for index in 0..queue.control.len() {
            if queue.control[index].0.is_none() {
                queue.control[index].0 = queue.control_due(index);
            }
        }
        if let Some((None, reason)) = queue.end.take_if(|(due, _)| due.is_none()) {
            let due = queue.last_due();
            queue.end = Some((due, reason));
        }
        queue.flush_updates();
        drop(queue);
        self.close_state.wake();
    }

    pub(super) fn end(&self, reason: CloseReason) {
        let mut queue = self.queue();
        // Over datagrams it is said for a while and then no more.
        if queue.end.is_none() && (queue.in_order || !queue.silent) {
            let due = if queue.in_order {
                queue.flush_control(); // A byte stream has it before the close.
                queue.last_due()
            } else {
                Some(Instant::now() + (queue.fates)(Lane::Control).delay)
            };
            queue.end = Some((due, reason));
        }
        drop(queue);
        self.close_state.wake();
    }
}

impl Queue {
    /// Returns the arrival time of a control message that is sent now behind `ahead` others.
    pub(super) fn control_due(&mut self, ahead: usize) -> Option<Instant> {
        let due = Instant::now() + (self.fates)(Lane::Control).delay;
        let before = ahead.checked_sub(1).and_then(|index| self.control[index].0);
        (!self.silent).then(|| before.map_or(due, |before| before.max(due)))
    }

    pub(super) fn last_due(&mut self) -> Option<Instant> {
        self.control_due(self.control.len())
    }

    /// Sends the waiting control messages, which the path may hold back.
    pub(super) fn flush_control(&mut self) {
        while let Some(message) = self.control_unsent.pop_front() {
            let due = self.last_due();
            self.wrote = true;
            self.control.push_back((due, message));
        }
    }

    /// Sends everything that waits. Returns how many updates were superseded.
    pub(super) fn flush(&mut self) -> usize {
        self.flush_control();
        self.flush_updates()
    }

    /// Sends the waiting updates, if the path takes them. Returns how many were superseded.
    fn flush_updates(&mut self) -> usize {
        let mut superseded = 0;
        if self.silent && self.in_order {
            superseded = self.unsent.len().saturating_sub(1);
            self.unsent.drain(..superseded);
        } else {
            while let Some(update) = self.unsent.pop_front() {
                self.wrote = true;
                let fate = (self.fates)(Lane::State);
                let mut due = Instant::now() + fate.delay;
                if self.in_order {
                    due = due.max(self.updates.last().map_or(due, |(before, _)| *before));
                } else if fate.lost || self.silent {
                    self.flows[Lane::State as usize].lost += 1;
                    continue;
                }
                if self.updates.len() == UPDATES_MAX {
                    // The newest gives way in a stream that is full, the oldest to a datagram.
                    if self.in_order {
                        self.updates.pop();
                        superseded += 1;
                    } else {
                        self.updates.remove(0);
                        self.flows[Lane::State as usize].lost += 1;
                    }
                }
                self.updates.push((due, update));
            }
        }
        self.flows[Lane::State as usize].superseded += superseded as u64;
        superseded
    }

    /// Returns the next arrival, if it has come by `now`. The order of simultaneous arrivals is
    /// control, updates, keep-alives, the end.
    pub(super) fn next(&mut self, now: Instant) -> Found {
        let update = (0..self.updates.len()).min_by_key(|&index| self.updates[index].0);
        let dues = [
            self.control.front().and_then(|(due, _)| *due),
            update.map(|index| self.updates[index].0),
            self.keep_alives.front().copied(),
            self.end.as_ref().and_then(|(due, _)| *due),
        ];
        let first = (0..dues.len()).filter_map(|which| Some((dues[which]?, which))).min();
        let Some((due, which)) = first.filter(|(due, _)| *due <= now) else {
            return Found::Nothing(first.map(|(due, _)| due));
        };
        match (which, update) {
            (0, _) => {
                let (_, message) = self.control.pop_front().unwrap_or_default();
                self.control_bytes -= message.len();
                self.flows[Lane::Control as usize].delivered += 1;
                Found::Message(Lane::Control, message)
            }
            (1, Some(index)) => {
                self.flows[Lane::State as usize].delivered += 1;
                Found::Message(Lane::State, self.updates.remove(index).1)
            }
            (2, _) => {
                self.keep_alives.pop_front();
                Found::KeepAlive
            }
            _ => match self.end.take() {
                Some((_, reason)) => Found::Closed(reason),
                None => Found::Nothing(Some(due)),
            },
        }
    }
}
