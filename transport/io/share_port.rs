//! One address for several listeners of one program: SO_REUSEPORT.

use std::{io, net::SocketAddr};

use socket2::SockRef;

use crate::PortSharing;

/// Binds `socket` to `addr`, alone or shared.
///
/// The first socket is bound without the option. Another program's socket at the address then
/// refuses it, whether or not that one is shared. The option comes right after, before the
/// further sockets.
///
/// # Errors
/// The system's refusal; systems other than Linux refuse to share.
pub(crate) fn bind(socket: &SockRef<'_>, addr: SocketAddr, sharing: PortSharing) -> io::Result<()> {
    if sharing == PortSharing::Further {
        share(socket)?;
    }
    socket.bind(&addr.into())?;
    if sharing == PortSharing::First {
        share(socket)?;
    }
    Ok(())
}

/// Lets other sockets with the option bind the address of `socket`, too.
fn share(socket: &SockRef<'_>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return socket.set_reuse_port(true);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        let reason = "only Linux spreads new connections over listeners of one address";
        Err(io::Error::new(io::ErrorKind::Unsupported, reason))
    }
}
