//! Messages as bytes: bincode 2 with varints, in this file only.
//!
//! Payloads are borrowed from the bytes they came in, and messages are written to a buffer of the caller's, so that a move
//! costs no allocation either way.
//!
//! A decoder of network input must be bounded and strict: bincode's limit stops a length that lies before anything is
//! allocated, trailing bytes are refused, and what decodes is checked for sense (texts, finite numbers). No
//! message may hold a zero-sized element type or a recursive type: the limit does not bound those.

use bincode::{
    BorrowDecode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
    error::{DecodeError, EncodeError},
};

use crate::{
    ClientMessage, MAX_CODE_BYTES, MAX_NAME_BYTES, MAX_TRANSPORT_BYTES, MoveWithPayload, PAYLOAD_MAX_BYTES,
    PAYLOAD_MAX_BYTES_OF_BOTH, Resumed, ServerMessage, Started,
};

/// No message is longer: the longest, two moves with full payloads, takes 1,109 bytes. bincode's limit counts a number at
/// its full width and not at that of its varint, which makes 1,112 of them, hence the few to spare.
pub const MAX_MESSAGE_BYTES: usize = 1_120;

/// A move at its longest: numbers of 64 bits take 9 bytes, of 32 bits 5, of 16 bits 3, and two floats 4 each.
const MOVE_MAX_BYTES: usize = 9 + 5 + 9 + 5 + 3 + 2 * 4;
/// The length of a payload that takes more than a byte to say.
const PAYLOAD_LENGTH_BYTES: usize = 3;
const TAG_BYTES: usize = 1;
const _: () = {
    let one = TAG_BYTES + MOVE_MAX_BYTES + PAYLOAD_LENGTH_BYTES + PAYLOAD_MAX_BYTES;
    let both = TAG_BYTES + 2 * (MOVE_MAX_BYTES + PAYLOAD_LENGTH_BYTES + PAYLOAD_MAX_BYTES_OF_BOTH);
    assert!(one <= MAX_MESSAGE_BYTES && both <= MAX_MESSAGE_BYTES);
};

const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_MESSAGE_BYTES>> =
    bincode::config::standard().with_limit::<MAX_MESSAGE_BYTES>();

/// Bytes that are not a message, or a message that cannot be bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes do not decode.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// A message with more behind it.
    #[error("{0} bytes follow the message")]
    TrailingBytes(usize),
    /// It decodes, but one of its values makes no sense.
    #[error("bad value: {0}")]
    BadValue(&'static str),
}

/// What can be checked of a message by itself.
pub trait Message: Encode {
    /// The values make sense, whatever the state of the game.
    ///
    /// # Errors
    /// Names the value that does not.
    fn validate(&self) -> Result<(), CodecError>;
}

/// Encodes `message` into `buffer` and returns the part used. Allocates nothing.
///
/// # Errors
/// A message whose texts or payloads are over their limits by so much that the buffer cannot hold it.
pub fn encode<'a>(
    message: &impl Message,
    buffer: &'a mut [u8; MAX_MESSAGE_BYTES],
) -> Result<&'a [u8], CodecError> {
    let size = bincode::encode_into_slice(message, buffer, CONFIG).map_err(|error| match error {
        EncodeError::UnexpectedEnd => CodecError::BadValue("the message is too long"),
        other => CodecError::Malformed(other.to_string()),
    })?;
    Ok(&buffer[..size])
}

/// Decodes one message that fills `bytes` exactly. Its payload, if it has one, is a part of them.
///
/// # Errors
/// Anything else.
pub fn decode<'a, M: Message + BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<M, CodecError> {
    let (message, consumed) = bincode::borrow_decode_from_slice::<M, _>(bytes, CONFIG)
        .map_err(|error: DecodeError| CodecError::Malformed(error.to_string()))?;
    match bytes.len() - consumed {
        0 => message.validate().map(|()| message),
        trailing => Err(CodecError::TrailingBytes(trailing)),
    }
}

impl Message for ClientMessage<'_> {
    fn validate(&self) -> Result<(), CodecError> {
        match self {
            Self::Join { name, code } => {
                shown(name, MAX_NAME_BYTES, "the name is longer than 32 bytes")?;
                shown(
                    code.as_deref().unwrap_or_default(),
                    MAX_CODE_BYTES,
                    "the match code is longer than 32 bytes",
                )
            }
            Self::Move(update) => update.validate(PAYLOAD_MAX_BYTES),
            Self::Hello { .. } | Self::Leave | Self::Ping { .. } | Self::Resume { .. } => Ok(()),
        }
    }
}

impl Message for ServerMessage<'_> {
    fn validate(&self) -> Result<(), CodecError> {
        match self {
            Self::Started(started) => started.validate(),
            Self::Moved(update) => update.validate(PAYLOAD_MAX_BYTES),
            Self::MovedBoth(updates) => {
                updates.iter().try_for_each(|update| update.validate(PAYLOAD_MAX_BYTES_OF_BOTH))
            }
            Self::Corrected(correction) => finite(&[correction.position.x, correction.position.y]),
            Self::OpponentLeft { positions: [a, b], .. } => finite(&[a.x, a.y, b.x, b.y]),
            Self::Resumed(resumed) => resumed.validate(),
            Self::OpponentBack { opponent_transport, .. } => transport(opponent_transport),
            Self::Welcome { .. }
            | Self::Waiting
            | Self::Pong(_)
            | Self::Draining { .. }
            | Self::OpponentReconnecting { .. } => Ok(()),
        }
    }
}

impl Started {
    fn validate(&self) -> Result<(), CodecError> {
        shown(&self.opponent_name, MAX_NAME_BYTES, "the name is longer than 32 bytes")?;
        transport(&self.opponent_transport)?;
        let [a, b] = self.positions;
        finite(&[self.velocity, a.x, a.y, b.x, b.y])?;
        player(self.player)
    }
}

impl Resumed {
    fn validate(&self) -> Result<(), CodecError> {
        transport(&self.opponent_transport)?;
        let [a, b] = self.positions;
        finite(&[a.x, a.y, b.x, b.y])?;
        player(self.player)
    }
}

fn transport(name: &str) -> Result<(), CodecError> {
    shown(name, MAX_TRANSPORT_BYTES, "the transport's name is longer than 32 bytes")
}

fn player(number: u8) -> Result<(), CodecError> {
    if number > 1 { Err(CodecError::BadValue("there are players 0 and 1")) } else { Ok(()) }
}

impl MoveWithPayload<'_> {
    fn validate(&self, payload_max_bytes: usize) -> Result<(), CodecError> {
        if self.payload.len() > payload_max_bytes {
            return Err(CodecError::BadValue("the payload is longer than may be"));
        }
        finite(&[self.update.position.x, self.update.position.y])
    }
}

/// A text that people see: not too long, and nothing in it that moves a terminal's cursor or forges a line of a log.
fn shown(text: &str, max: usize, too_long: &'static str) -> Result<(), CodecError> {
    if text.len() > max {
        Err(CodecError::BadValue(too_long))
    } else if text.contains(char::is_control) {
        Err(CodecError::BadValue("a control character in a name or code"))
    } else {
        Ok(())
    }
}

fn finite(numbers: &[f32]) -> Result<(), CodecError> {
    if numbers.iter().all(|number| number.is_finite()) {
        Ok(())
    } else {
        Err(CodecError::BadValue("a number is infinite or none"))
    }
}

#[cfg(test)]
mod tests;
