//! The messages between a [`Link`](crate::Link) and its emulator, over a Unix socket.
//!
//! Each message is a length (4 bytes, little-endian) and JSON. The first message carries the two
//! TUN devices. The emulator answers every request with a report or an error. When the stream ends,
//! the host has ended: the emulator then kills every process that is left behind the link, and
//! exits.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{emulator::report::LinkReport, kernel::namespace::NamespaceId, spec::link_spec::LinkSpec};

/// The longest message, bytes: [`DROPS_MAX`](crate::emulator::report::DROPS_MAX) drops of about 100
/// bytes each, twice.
const MESSAGE_BYTES_MAX: u32 = 20_000_000;
/// The byte that accompanies the devices: a message with descriptors needs at least one byte.
const DEVICES_FOLLOW: u8 = b'D';

/// A request from the host to the emulator.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Begins the schedule.
    Start {
        spec: Box<LinkSpec>,
        seed: u64,
        /// Processor that the emulator binds itself to; `None` leaves the choice to the scheduler.
        cpu: Option<usize>,
        /// Namespaces whose processes the emulator kills when the host ends.
        namespaces: [NamespaceId; 2],
    },
    /// Asks for a report without the list of drops.
    Snapshot,
    /// Restarts the schedule and all counts at this time of CLOCK_MONOTONIC, ns; now if `None`.
    Rewind { started_ns: Option<u64> },
    /// Asks for a report with the list of drops.
    Finish,
}

/// An answer from the emulator to the host.
pub(crate) type Reply = Result<LinkReport, String>;

pub(crate) fn send<T: Serialize>(mut stream: &UnixStream, message: &T) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&bytes)
}

/// Receives a message.
///
/// # Errors
/// Returns `UnexpectedEof` if the other end has closed the stream.
pub(crate) fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "a message of {length} bytes exceeds the bound of {MESSAGE_BYTES_MAX} bytes"
        )));
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Sends the two devices, the server's first.
pub(crate) fn send_devices(stream: &UnixStream, devices: &[OwnedFd; 2]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [devices[0].as_fd(), devices[1].as_fd()];
    assert!(
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)),
        "the space is for two descriptors"
    );
    sendmsg(stream, &[IoSlice::new(&[DEVICES_FOLLOW])], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// Receives the two devices, the server's first.
pub(crate) fn receive_devices(stream: &UnixStream) -> io::Result<[OwnedFd; 2]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    descriptors.try_into().map_err(|_| io::Error::other("expected two devices"))
}
