//! The gate in front of ENet: lets only those datagrams pass that our two ends and the C library
//! send in a connection of ours. Safe code, without I/O, a clock or memory of its own.
//!
//! `rusty_enet` reads datagrams in `unsafe` code as generous as its original in C. What a remote
//! gains by that is refused here, before the library reads a byte:
//! - **Fragments.** ENet counts them, and hands up memory that none of them filled. Every message
//!   fits one datagram, so there are none.
//! - **Messages that wait without a bound.** ENet keeps updates that are ahead of a missing
//!   reliable message, and searches them one by one. Here they count as lost. Control messages may
//!   be ahead by [`CONTROL_AHEAD_MAX`].
//! - **Numbers that a remote chooses for this side:** packet size, window, bandwidth, throttle,
//!   channels. Only ENet's defaults pass.
//! - **Datagrams full of small commands.** ENet puts [`COMMANDS_MAX`] into one, and so may the
//!   remote.
//!
//! The checksum is checked first. What fails it may be forged, so it changes nothing and ends
//! nothing. An offence with a right checksum is the remote's own and ends the connection.

use rusty_enet::{
    MTU_MAX,
    consts::{
        PEER_PACKET_THROTTLE_ACCELERATION, PEER_PACKET_THROTTLE_DECELERATION, PEER_PACKET_THROTTLE_INTERVAL,
        PROTOCOL_MAXIMUM_PACKET_COMMANDS, PROTOCOL_MAXIMUM_WINDOW_SIZE,
    },
    crc32,
};

use crate::{Close, FrameError, MAX_CONTROL_BYTES, MAX_STATE_BYTES, io::udp_demux::PACKET_BYTES};

/// The channels, by number. A remote has the first two at least.
pub(super) const CONTROL_CHANNEL: u8 = 0;
pub(super) const STATE_CHANNEL: u8 = 1;
pub(super) const CLOSE_CHANNEL: u8 = 2;
pub(super) const CHANNELS: usize = 3;

/// The largest number of commands in a datagram: ENet's own when it sends.
const COMMANDS_MAX: u32 = PROTOCOL_MAXIMUM_PACKET_COMMANDS;
/// The largest distance of a control message to the next one that is due. Twice of what our side
/// has in flight at once, since messages behind a lost one may be acknowledged. What is further
/// ahead counts as lost, and is sent again.
pub(super) const CONTROL_AHEAD_MAX: u16 = 256;
/// The same for updates with a reliable number, one in 65,536. A sender makes as many while a
/// stalled reader is not yet timed out.
const STATE_AHEAD_MAX: u16 = 4;
/// The same for close frames, of which there is one.
const CLOSE_AHEAD_MAX: u16 = 1;
/// The largest close frame in bytes: a code and a reason.
const CLOSE_BYTES_MAX: usize = 4 + Close::MAX_REASON_BYTES;

/// The first two bytes of a datagram: the remote's peer number 0 in session 0, without and with a
/// sent time. Every connection is its host's first.
const UNTIMED: [u8; 2] = [0, 0];
const TIMED: [u8; 2] = [0x80, 0];
/// The first two bytes of a *connect*: no peer number yet, with a sent time.
pub(super) const NO_PEER: [u8; 2] = [0x8f, 0xff];
const SENT_TIME_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 4;

/// The flag of a command that asks for an acknowledgement.
const ASKS: u8 = 0x80;
const ACKNOWLEDGE: u8 = 1;
const CONNECT: u8 = 2 | ASKS;
const VERIFY_CONNECT: u8 = 3 | ASKS;
const DISCONNECT: u8 = 4 | ASKS;
/// A disconnect that is sent once, with ENet's flag for "unsequenced".
const DISCONNECT_ONCE: u8 = 4 | 0x40;
const PING: u8 = 5 | ASKS;
const SEND_RELIABLE: u8 = 6 | ASKS;
const SEND_UNRELIABLE: u8 = 7;
const SEND_FRAGMENT: u8 = 8 | ASKS;
const SEND_UNRELIABLE_FRAGMENT: u8 = 12;
const BANDWIDTH_LIMIT: u8 = 10 | ASKS;
/// The channel number of commands for the whole connection.
const NO_CHANNEL: u8 = 0xff;

const CONNECT_BYTES: usize = 48;
const VERIFY_CONNECT_BYTES: usize = 44;
/// The start of both: the command, no channel, and the number 1, since it is the first.
const FIRST: [u8; 3] = [NO_CHANNEL, 0, 1];

/// The random number of a connection, which begins its checksums.
pub(super) type ConnectId = [u8; 4];

/// The end of a connection that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// The judgement on a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The checksum is wrong. The datagram may be anybody's.
    Forged,
    /// The remote's, but ahead of what is due: as good as lost. Holds the number of its commands.
    Early(u32),
    /// ENet may read it. Holds the number of its commands.
    Good(u32),
}

/// The gate of one connection.
pub(super) struct Gate {
    role: Role,
    connect_id: ConnectId,
    /// The number of the reliable message that each channel delivered last. ENet counts from 1.
    delivered: [u16; CHANNELS],
    /// Whether all updates that the datagram which passed last can bring are reliable.
    updates_are_reliable: bool,
}

impl Gate {
    pub(super) fn new(role: Role, connect_id: ConnectId) -> Self {
        Self { role, connect_id, delivered: [0; CHANNELS], updates_are_reliable: false }
    }

    /// Judges a datagram. Everything that the one before brought must have been delivered.
    ///
    /// # Errors
    /// An offence of the remote, which nobody else can have sent.
    pub(super) fn judge(&mut self, datagram: &[u8]) -> Result<Verdict, FrameError> {
        let Some((timed, commands)) = authentic(datagram, self.connect_id) else {
            return Ok(Verdict::Forged);
        };
        self.updates_are_reliable = false;
        let mut seen = Seen::default();
        let mut rest = commands;
        while let Some(&kind) = rest.first() {
            seen.commands += 1;
            if seen.commands > COMMANDS_MAX {
                return Err(FrameError::Misplaced("overfull ENet"));
            }
            if kind & ASKS != 0 && !timed {
                return Err(FrameError::Misplaced("timeless ENet"));
            }
            self.command(kind, &mut rest, &mut seen)?;
        }
        if seen.commands == 0 || (seen.alone && seen.commands > 1) {
            return Err(FrameError::Misplaced("misassembled ENet"));
        }
        // ENet does not tell reliable updates from others. It sends them apart.
        if seen.early || (seen.due_update && seen.unreliable_update) {
            return Ok(Verdict::Early(seen.commands));
        }
        self.updates_are_reliable = seen.due_update;
        Ok(Verdict::Good(seen.commands))
    }

    /// Notes that ENet delivered a message of the datagram that passed last.
    pub(super) fn delivered(&mut self, channel: u8) {
        let reliable = channel != STATE_CHANNEL || self.updates_are_reliable;
        if reliable && let Some(delivered) = self.delivered.get_mut(usize::from(channel)) {
            *delivered = delivered.wrapping_add(1);
        }
    }

    /// Checks the command of this kind at the start of `rest`, and cuts it off.
    fn command(&self, kind: u8, rest: &mut &[u8], seen: &mut Seen) -> Result<(), FrameError> {
        match kind {
            ACKNOWLEDGE => cut(rest, 8).map(drop),
            PING => for_connection(cut(rest, 4)?).map(drop),
            BANDWIDTH_LIMIT => match for_connection(cut(rest, 12)?)? {
                [0, 0, 0, 0, 0, 0, 0, 0] => Ok(()),
                _ => Err(FrameError::Misplaced("bandwidth-limiting ENet")),
            },
            SEND_RELIABLE => {
                let (channel, number) = cut_message(rest, 6)?;
                let place = self.place(channel, number, seen);
                let ahead_max = match channel {
                    CONTROL_CHANNEL => CONTROL_AHEAD_MAX,
                    STATE_CHANNEL => STATE_AHEAD_MAX,
                    _ => CLOSE_AHEAD_MAX,
                };
                seen.early |= place > i32::from(ahead_max);
                if place == 1 {
                    seen.in_order[usize::from(channel)] += 1;
                    seen.due_update |= channel == STATE_CHANNEL;
                }
                Ok(())
            }
            SEND_UNRELIABLE => {
                let (channel, number) = cut_message(rest, 8)?;
                if channel != STATE_CHANNEL {
                    return Err(FrameError::Misplaced("unreliable control"));
                }
                // ENet would keep it until the reliable message before it has come.
                seen.early |= self.place(channel, number, seen) > 0;
                seen.unreliable_update = true;
                Ok(())
            }
            VERIFY_CONNECT if self.role == Role::Client => {
                seen.alone = true;
                let sound = is_verify_connect(cut(rest, VERIFY_CONNECT_BYTES)?, self.connect_id);
                sound.then_some(()).ok_or(FrameError::Misplaced("foreign ENet verify"))
            }
            DISCONNECT | DISCONNECT_ONCE => {
                seen.alone = true;
                for_connection(cut(rest, 8)?).map(drop)
            }
            SEND_FRAGMENT | SEND_UNRELIABLE_FRAGMENT => Err(FrameError::Misplaced("fragment")),
            _ => Err(FrameError::Misplaced("foreign ENet")),
        }
    }

    /// Returns the place of a reliable number: 1 if it is due, more if it is ahead, less if it was
    /// delivered or stands in this datagram already. Numbers wrap.
    fn place(&self, channel: u8, number: u16, seen: &Seen) -> i32 {
        let channel = usize::from(channel);
        let last = self.delivered[channel].wrapping_add(seen.in_order[channel]);
        i32::from(number.wrapping_sub(last).cast_signed())
    }
}

/// The findings in a datagram so far.
#[derive(Default)]
struct Seen {
    commands: u32,
    /// Whether a command is ahead of what is due.
    early: bool,
    /// Whether a command stands alone in its datagram.
    alone: bool,
    /// Whether there is an update with a reliable number that is due, and one without.
    due_update: bool,
    unreliable_update: bool,
    /// The reliable messages of each channel that follow the delivered ones without a gap.
    in_order: [u16; CHANNELS],
}

/// Returns the random number of a *connect* as our clients and the C library send it.
pub(super) fn connect_id(datagram: &[u8]) -> Option<ConnectId> {
    let header_bytes = NO_PEER.len() + SENT_TIME_BYTES + CHECKSUM_BYTES;
    let (header, command) = datagram.split_at_checked(header_bytes)?;
    let command: &[u8; CONNECT_BYTES] = command.try_into().ok()?;
    let sound = header.starts_with(&NO_PEER)
        && checksum_holds(datagram, header_bytes, ConnectId::default())
        && command[0] == CONNECT
        && command[1..4] == FIRST
        && command[4..6] == [0, 0] // The first peer of its host,
        && command[6..8] == [0xff, 0xff] // which had no session before.
        && (PACKET_BYTES..=MTU_MAX).contains(&(number(command, 8) as usize))
        && (1..=CHANNELS).contains(&(number(command, 16) as usize))
        && has_defaults(command)
        && number(command, 44) == 0;
    sound.then(|| command[40..44].try_into().ok()).flatten()
}

fn is_verify_connect(command: &[u8], connect_id: ConnectId) -> bool {
    command[1..4] == FIRST
        && command[4..8] == [0, 0, 0, 0] // The first peer of its host, in its first session.
        && number(command, 8) as usize == PACKET_BYTES
        // ENet frees the channels by their number, which must stay as it was.
        && number(command, 16) as usize == CHANNELS
        && has_defaults(command)
        && command[40..44] == connect_id
}

/// Whether window, bandwidths and throttle of a *connect* or its answer are ENet's defaults.
fn has_defaults(command: &[u8]) -> bool {
    let throttle =
        [PEER_PACKET_THROTTLE_INTERVAL, PEER_PACKET_THROTTLE_ACCELERATION, PEER_PACKET_THROTTLE_DECELERATION];
    number(command, 12) == PROTOCOL_MAXIMUM_WINDOW_SIZE
        && [number(command, 20), number(command, 24)] == [0, 0]
        && [number(command, 28), number(command, 32), number(command, 36)] == throttle
}

/// Returns the number of four bytes at a place.
fn number(command: &[u8], place: usize) -> u32 {
    command[place..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Returns the commands of a datagram of this connection with a right checksum, and whether it has
/// a sent time.
fn authentic(datagram: &[u8], connect_id: ConnectId) -> Option<(bool, &[u8])> {
    let timed = match *datagram.first_chunk()? {
        TIMED => true,
        UNTIMED => false,
        _ => return None,
    };
    let header_bytes = 2 + CHECKSUM_BYTES + if timed { SENT_TIME_BYTES } else { 0 };
    let commands = datagram.get(header_bytes..)?;
    checksum_holds(datagram, header_bytes, connect_id).then_some((timed, commands))
}

/// Whether the checksum at the end of the header is right. It was made over the datagram with
/// `seed` in its place.
fn checksum_holds(datagram: &[u8], header_bytes: usize, seed: ConnectId) -> bool {
    let (before, commands) = (&datagram[..header_bytes - CHECKSUM_BYTES], &datagram[header_bytes..]);
    checksum(datagram, header_bytes) == crc32(&[before, &seed, commands])
}

/// Returns the checksum that a datagram which passed the gate has in its header.
pub(super) fn checksum_of(datagram: &[u8]) -> u32 {
    let timed = datagram.starts_with(&TIMED) || datagram.starts_with(&NO_PEER);
    checksum(datagram, 2 + CHECKSUM_BYTES + if timed { SENT_TIME_BYTES } else { 0 })
}

/// Returns the checksum at the end of a header. ENet writes it in the order of the machine.
fn checksum(datagram: &[u8], header_bytes: usize) -> u32 {
    let place = header_bytes - CHECKSUM_BYTES;
    datagram[place..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// Cuts a command's fixed bytes off.
fn cut<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], FrameError> {
    let (command, behind) = rest.split_at_checked(bytes).ok_or(FrameError::Misplaced("mis-sized ENet"))?;
    *rest = behind;
    Ok(command)
}

/// Cuts a message off, with its payload. Returns its channel and its reliable number.
fn cut_message(rest: &mut &[u8], fixed_bytes: usize) -> Result<(u8, u16), FrameError> {
    let command = cut(rest, fixed_bytes)?;
    let channel = command[1];
    let short = |place: usize| u16::from_be_bytes([command[place], command[place + 1]]);
    let size = usize::from(short(fixed_bytes - 2));
    let max = match channel {
        CONTROL_CHANNEL => MAX_CONTROL_BYTES,
        STATE_CHANNEL => MAX_STATE_BYTES,
        CLOSE_CHANNEL => CLOSE_BYTES_MAX,
        _ => return Err(FrameError::Misplaced("foreign ENet channel's")),
    };
    if size > max {
        return Err(FrameError::TooLong { size, max });
    }
    cut(rest, size)?;
    Ok((channel, short(2)))
}

/// Returns what follows the header of a command for the whole connection.
fn for_connection(command: &[u8]) -> Result<&[u8], FrameError> {
    match command {
        [_, NO_CHANNEL, _, _, body @ ..] => Ok(body),
        _ => Err(FrameError::Misplaced("foreign ENet channel's")),
    }
}

#[cfg(test)]
mod tests;
