//! Panics that tests ask for, within the state of a connection and within an endpoint.

use std::net::SocketAddr;

use parking_lot::Mutex;

/// The datagram that makes the endpoint panic while it handles it.
pub(super) const ON_A_DATAGRAM: &[u8] = b"@panic on this datagram";
/// The datagram that makes the endpoint's task panic.
pub(super) const IN_THE_TASK: &[u8] = b"@panic in the task";
/// The remotes whose next packet makes their connection's state panic.
static UNLUCKY: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());

/// Asks for a panic at the next packet of `remote`.
pub(super) fn plan(remote: SocketAddr) {
    UNLUCKY.lock().push(remote);
}

/// Panics if it was asked for.
pub(super) fn of(remote: SocketAddr) {
    assert!(!UNLUCKY.lock().contains(&remote), "a test asked for a panic");
}

/// Panics at the packet that asks for it.
pub(super) fn at(packet: &[u8], magic: &[u8]) {
    assert_ne!(packet, magic, "a test asked for a panic");
}
