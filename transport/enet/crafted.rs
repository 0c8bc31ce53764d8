//! Datagrams of ENet by hand, for tests and fuzzers.

use rusty_enet::crc32;

use super::gate::{ConnectId, NO_PEER};

/// Returns a datagram with these commands and a right checksum. `header` is what stands before the
/// checksum.
pub(super) fn sealed(header: &[u8], commands: &[u8], seed: ConnectId) -> Vec<u8> {
    let checksum = crc32(&[header, &seed, commands]).to_ne_bytes();
    [header, &checksum, commands].concat()
}

/// Returns a datagram of a connection, with a sent time.
pub(super) fn timed(commands: &[u8], connect_id: ConnectId) -> Vec<u8> {
    sealed(&[0x80, 0, 1, 0], commands, connect_id)
}

/// Returns a datagram of a connection, without a sent time.
#[cfg(test)]
pub(super) fn untimed(commands: &[u8], connect_id: ConnectId) -> Vec<u8> {
    sealed(&[0, 0], commands, connect_id)
}

/// Returns a *connect* of a client with these channels.
pub(super) fn connect(connect_id: ConnectId, channels: u8) -> Vec<u8> {
    let command =
        [&[0x82, 0xff, 0, 1, 0, 0, 0xff, 0xff], &numbers(1200, channels)[..], &connect_id, &[0; 4]].concat();
    sealed(&[&NO_PEER[..], &[1, 0]].concat(), &command, ConnectId::default())
}

/// Returns a server's answer to a *connect*.
pub(super) fn verify_connect(connect_id: ConnectId) -> Vec<u8> {
    let command = [&[0x83, 0xff, 0, 1, 0, 0, 0, 0], &numbers(1200, 3)[..], &connect_id].concat();
    timed(&command, connect_id)
}

/// Returns packet size, window, channels, bandwidths and throttle.
fn numbers(packet_bytes: u32, channels: u8) -> Vec<u8> {
    [packet_bytes, 65_536, channels.into(), 0, 0, 5_000, 2, 2]
        .into_iter()
        .flat_map(u32::to_be_bytes)
        .collect()
}

pub(super) fn acknowledge(channel: u8, number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    vec![1, channel, high, low, high, low, 0, 1]
}

#[cfg(test)]
pub(super) fn ping(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    vec![0x85, 0xff, high, low]
}

#[cfg(test)]
pub(super) fn reliable(channel: u8, number: u16, payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u16).to_be_bytes();
    [&[0x86, channel], &number.to_be_bytes()[..], &size, payload].concat()
}

#[cfg(test)]
pub(super) fn update(reliable: u16, number: u16, payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u16).to_be_bytes();
    [&[7, 1], &reliable.to_be_bytes()[..], &number.to_be_bytes(), &size, payload].concat()
}
