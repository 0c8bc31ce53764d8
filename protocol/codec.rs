//! The codec of messages: bincode 2 with varints, used in this file only.
//!
//! Payloads are borrowed from the bytes they arrived in, and messages are written to the caller's
//! buffer, so that a move costs no allocation either way.
//!
//! A decoder of network input must be bounded and strict. bincode's limit refuses a false length
//! before anything is allocated; trailing bytes are refused; decoded values are checked (texts,
//! positions, finite numbers). No message may contain a zero-sized element type or a recursive
//! type, which the limit does not bound.

use bincode::{
    BorrowDecode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
    error::{DecodeError, EncodeError},
};

use netduel_shown::Shown;

use crate::{
    ClientMessage, MAX_CODE_BYTES, MAX_NAME_BYTES, MAX_TRANSPORT_BYTES, MoveWithPayload, PAYLOAD_MAX_BYTES,
    PAYLOAD_MAX_BYTES_OF_BOTH, Resumed, ServerMessage, Started,
    game::{self, Position},
};

/// The longest message in bytes. Two moves with full payloads take 1,109 bytes. bincode's limit
/// counts a number at its full width, not at that of its varint, so they count 1,112; hence the few
/// bytes to spare.
pub const MAX_MESSAGE_BYTES: usize = 1_120;

/// The longest encoding of a move: numbers of 64 bits take 9 bytes, of 32 bits 5, of 16 bits 3, and
/// two floats 4 each.
const MOVE_MAX_BYTES: usize = 9 + 5 + 9 + 5 + 3 + 2 * 4;
/// The longest encoding of a payload's length.
const PAYLOAD_LENGTH_BYTES: usize = 3;
const TAG_BYTES: usize = 1;
const _: () = {
    let one = TAG_BYTES + MOVE_MAX_BYTES + PAYLOAD_LENGTH_BYTES + PAYLOAD_MAX_BYTES;
    let both = TAG_BYTES + 2 * (MOVE_MAX_BYTES + PAYLOAD_LENGTH_BYTES + PAYLOAD_MAX_BYTES_OF_BOTH);
    assert!(one <= MAX_MESSAGE_BYTES && both <= MAX_MESSAGE_BYTES);
};

const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_MESSAGE_BYTES>> =
    bincode::config::standard().with_limit::<MAX_MESSAGE_BYTES>();

/// The error of encoding or decoding a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes do not decode.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Bytes follow the message.
    #[error("{0} bytes follow the message")]
    TrailingBytes(usize),
    /// The message decodes, but one of its values makes no sense.
    #[error("bad value: {0}")]
    BadValue(&'static str),
}

/// A message that can be checked by itself.
pub trait Message: Encode {
    /// Checks that the values make sense in any state of the game.
    ///
    /// # Errors
    /// Names the bad value.
    fn validate(&self) -> Result<(), CodecError>;
}

/// Encodes `message` into `buffer` and returns the part used. Allocates nothing.
///
/// # Errors
/// The message's texts or payloads are so much too long that the buffer cannot hold it.
pub fn encode<'a>(
    message: &impl Message,
    buffer: &'a mut [u8; MAX_MESSAGE_BYTES],
) -> Result<&'a [u8], CodecError> {
    let size = bincode::encode_into_slice(message, buffer, CONFIG).map_err(|error| match error {
        EncodeError::UnexpectedEnd => CodecError::BadValue("the message is longer than 1,120 bytes"),
        other => CodecError::Malformed(other.to_string()),
    })?;
    Ok(&buffer[..size])
}

/// Decodes one message that fills `bytes` exactly. The message's payload is a part of `bytes`.
///
/// # Errors
/// The bytes do not decode, more bytes follow, or a value makes no sense.
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
                player_name(name)?;
                shown(code.as_deref().unwrap_or_default(), MAX_CODE_BYTES, "the match code exceeds 32 bytes")
            }
            Self::Move(update) => {
                update.validate(PAYLOAD_MAX_BYTES)?;
                // A position outside the arena is an illegal move, which the server corrects.
                let Position { x, y } = update.update.position;
                finite(&[x, y])
            }
            Self::Hello { .. } | Self::Leave | Self::Ping { .. } | Self::Resume { .. } => Ok(()),
        }
    }
}

impl Message for ServerMessage<'_> {
    fn validate(&self) -> Result<(), CodecError> {
        match self {
            Self::Started(started) => started.validate(),
            Self::Moved(update) => {
                update.validate(PAYLOAD_MAX_BYTES)?;
                inside(&[update.update.position])
            }
            Self::MovedBoth(updates) => {
                updates.iter().try_for_each(|update| update.validate(PAYLOAD_MAX_BYTES_OF_BOTH))?;
                inside(&updates.map(|update| update.update.position))
            }
            Self::Corrected(correction) => inside(&[correction.position]),
            Self::OpponentLeft { positions, .. } => inside(positions),
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
        player_name(&self.opponent_name)?;
        transport(&self.opponent_transport)?;
        inside(&self.positions)?;
        finite(&[self.velocity])?;
        player(self.player)
    }
}

impl Resumed {
    fn validate(&self) -> Result<(), CodecError> {
        transport(&self.opponent_transport)?;
        inside(&self.positions)?;
        if self.seq == u32::MAX {
            return Err(CodecError::BadValue("the match has no move numbers left"));
        }
        player(self.player)
    }
}

fn transport(name: &str) -> Result<(), CodecError> {
    shown(name, MAX_TRANSPORT_BYTES, "the transport's name exceeds 32 bytes")
}

fn player(number: u8) -> Result<(), CodecError> {
    if number > 1 { Err(CodecError::BadValue("the player number is neither 0 nor 1")) } else { Ok(()) }
}

impl MoveWithPayload<'_> {
    fn validate(&self, payload_max_bytes: usize) -> Result<(), CodecError> {
        if self.payload.len() > payload_max_bytes {
            return Err(CodecError::BadValue(
                "the payload exceeds its limit (1,024 bytes, or 512 where a message carries two)",
            ));
        }
        Ok(())
    }
}

/// Checks the name of a player: people can see it.
fn player_name(name: &str) -> Result<(), CodecError> {
    if name.trim().is_empty() {
        return Err(CodecError::BadValue("the name is empty"));
    }
    shown(name, MAX_NAME_BYTES, "the name exceeds 32 bytes")
}

/// Checks a text that people see: it is short, and all of it can be shown as it is.
fn shown(text: &str, max: usize, too_long: &'static str) -> Result<(), CodecError> {
    if text.len() > max {
        Err(CodecError::BadValue(too_long))
    } else if Shown::from(text).as_str() != text {
        Err(CodecError::BadValue("a name or code contains a character that cannot be shown"))
    } else {
        Ok(())
    }
}

fn inside(positions: &[Position]) -> Result<(), CodecError> {
    if positions.iter().all(|position| game::is_inside(*position)) {
        Ok(())
    } else {
        Err(CodecError::BadValue("a position is outside the arena"))
    }
}

fn finite(numbers: &[f32]) -> Result<(), CodecError> {
    if numbers.iter().all(|number| number.is_finite()) {
        Ok(())
    } else {
        Err(CodecError::BadValue("a number is infinite or not a number"))
    }
}

#[cfg(test)]
mod tests;
