//! One address for several listeners: SO_REUSEPORT.

use std::io;

use socket2::SockRef;

/// Lets other sockets bind the address of `socket`, too
/// ([`Options::share_port`](crate::Options::share_port)).
///
/// # Errors
/// The system's refusal; systems other than Linux always refuse.
pub(crate) fn share_port(socket: &SockRef<'_>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return socket.set_reuse_port(true);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        let reason = "only Linux spreads new connections over listeners of one address";
        Err(io::Error::new(io::ErrorKind::Unsupported, reason))
    }
}
