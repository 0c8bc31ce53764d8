//! What a [`Link`](crate::Link) and its emulator say to each other over a Unix socket.
//!
//! Each message is a length (4 bytes, little-endian) and JSON. The first one carries the two TUN devices,
//! and every request is answered by a report or by what went wrong. The end of the stream is the end of the
//! host: the emulator then kills whoever is left behind the link, and goes.

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

/// Longest message, bytes: [`DROPS_MAX`](crate::emulator::report::DROPS_MAX) drops of about 100 bytes each, twice.
const MESSAGE_BYTES_MAX: u32 = 20_000_000;
/// What accompanies the devices: descriptors cannot be sent without a byte.
const DEVICES_FOLLOW: u8 = b'D';

/// From the host to the emulator.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Begin.
    Start {
        spec: Box<LinkSpec>,
        seed: u64,
        /// Whoever is in these when the host goes is killed.
        namespaces: [NamespaceId; 2],
    },
    /// Report, without the single drops.
    Snapshot,
    /// Start the schedule and all counts again from zero.
    Rewind,
    /// Report with the single drops.
    Finish,
}

/// From the emulator to the host.
pub(crate) type Reply = Result<LinkReport, String>;

pub(crate) fn send<T: Serialize>(mut stream: &UnixStream, message: &T) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&bytes)
}

/// Receives a message; `UnexpectedEof` when the other end is gone.
pub(crate) fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {length} bytes is over the bound")));
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Hands over the two devices, the server's first.
pub(crate) fn send_devices(stream: &UnixStream, devices: &[OwnedFd; 2]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [devices[0].as_fd(), devices[1].as_fd()];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)), "the space is made for two");
    sendmsg(stream, &[IoSlice::new(&[DEVICES_FOLLOW])], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// Takes over the two devices, the server's first.
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
