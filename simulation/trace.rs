//! The trace of a world: a hash of all events, which differs between any two different runs, and a
//! text log.

use netduel_protocol::{ClientMessage, ServerMessage, decode};
use netduel_transport::{
    Lane,
    simulation::{Event, Side},
};

/// The trace of one world.
#[derive(Debug)]
pub(crate) struct Trace {
    /// The hash of all events (FNV-1a, 64 bits).
    pub(crate) hash: u64,
    pub(crate) events: u64,
    print: bool,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, print }
    }

    /// Adds an event to the hash, and prints it if the trace is printed.
    pub(crate) fn event(&mut self, at_us: u64, connection: usize, side: Side, event: Event<'_>) {
        self.events += 1;
        self.add(&at_us.to_le_bytes());
        self.add(&connection.to_le_bytes());
        self.add(&[side as u8]);
        match event {
            Event::Connected => self.add(&[0]),
            Event::Sent(lane, bytes, superseded) => {
                self.add(&[1, lane as u8, superseded as u8]);
                self.add_message(side, lane, bytes);
            }
            Event::Received(lane, bytes) | Event::ReceivedAhead(lane, bytes) => {
                self.add(&[2, lane as u8]);
                let from = if side == Side::Server { Side::Client } else { Side::Server };
                self.add_message(from, lane, bytes);
            }
            Event::NothingAhead => self.add(&[3]),
            Event::Flushed(superseded) => self.add(&[4, superseded as u8]),
            Event::Closed(close) => self.add(close.to_string().as_bytes()),
            Event::Ended(reason) => self.add(reason.to_string().as_bytes()),
            Event::Released => self.add(&[5]),
        }
        if self.print && !matches!(event, Event::NothingAhead | Event::Flushed(0)) {
            self.note(at_us, format_args!("{side:?} {connection}: {}", describe(side, event)));
        }
    }

    /// Prints a note, if the trace is printed.
    pub(crate) fn note(&self, at_us: u64, what: std::fmt::Arguments<'_>) {
        if self.print {
            println!("{:>12.6} {what}", at_us as f64 / 1e6);
        }
    }

    /// Adds a message to the hash. Seat tokens are random in every run, so a message with a token
    /// is hashed as text without it.
    fn add_message(&mut self, from: Side, lane: Lane, bytes: &[u8]) {
        let has_token = lane == Lane::Control
            && match from {
                Side::Client => matches!(decode(bytes), Ok(ClientMessage::Resume { .. })),
                Side::Server => {
                    matches!(decode(bytes), Ok(ServerMessage::Started(_) | ServerMessage::Resumed(_)))
                }
            };
        if has_token {
            self.add(message(from, bytes).as_bytes());
        } else {
            self.add(bytes);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hash = bytes
            .iter()
            .fold(self.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }
}

/// Describes an event at `side` for people.
pub(crate) fn describe(side: Side, event: Event<'_>) -> String {
    match (event, side) {
        (Event::Sent(_, bytes, 0), _) => format!("sent {}", message(side, bytes)),
        (Event::Sent(_, bytes, count), _) => {
            format!("sent {} in place of {count}", message(side, bytes))
        }
        (Event::Received(_, bytes) | Event::ReceivedAhead(_, bytes), Side::Client) => {
            format!("received {}", message(Side::Server, bytes))
        }
        (Event::Received(_, bytes) | Event::ReceivedAhead(_, bytes), Side::Server) => {
            format!("received {}", message(Side::Client, bytes))
        }
        (event, _) => format!("{event:?}"),
    }
}

fn message(from: Side, bytes: &[u8]) -> String {
    let known = match from {
        Side::Client => decode::<ClientMessage>(bytes).map(|message| match message {
            ClientMessage::Move(told) => format!("{:?} and {} B", told.update, told.payload.len()),
            other => format!("{other:?}"),
        }),
        Side::Server => decode::<ServerMessage>(bytes).map(|message| match message {
            ServerMessage::Moved(told) => format!("{:?} and {} B", told.update, told.payload.len()),
            ServerMessage::MovedBoth(both) => format!("{:?}", both.map(|told| told.update)),
            other => format!("{other:?}"),
        }),
    };
    known.unwrap_or_else(|_| format!("{} B that do not decode", bytes.len()))
}
