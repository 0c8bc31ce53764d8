//! A custom transport on top of `netduel-transport` alone: a greeting, then frames in a plain TCP
//! stream.

use std::{io, net::SocketAddr};

use netduel_transport::{
    Arrival, BoxFuture, Capabilities, CongestionControl, ConnectError, Connection, Handshake, Identity,
    KindInfo, Listen, MAX_STATE_BYTES, Options, PathStats, PortSharing, Proof, Proved, Socket, Target,
    Transport, TransportKind, tcp_path_stats,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

/// The first bytes of either side, which identify this transport.
const GREETING: &[u8; 6] = b"own/1\n";

/// The transport, for [`TransportKind::register`].
pub(crate) static OWN: Own = Own;

static INFO: KindInfo = KindInfo {
    name: "own",
    summary: "the example: a greeting, then both lanes in one plain TCP stream",
    default_port: 4500,
    socket: Socket::Tcp,
    capabilities: Capabilities {
        encrypted: false,
        state_may_drop: false,
        max_state_bytes: MAX_STATE_BYTES,
        congestion: CongestionControl::Own, // The default of the system: no option changes it.
    },
};

/// The custom transport.
pub(crate) struct Own;

impl Transport for Own {
    fn info(&self) -> &'static KindInfo {
        &INFO
    }

    fn bind(
        &self,
        kind: TransportKind,
        addr: SocketAddr,
        _: &Identity,
        options: &Options,
    ) -> io::Result<Box<dyn Listen>> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // The first of several listeners takes the address for itself before it shares it.
        socket.set_reuseport(options.port_sharing == PortSharing::Further)?;
        socket.bind(addr)?;
        socket.set_reuseport(options.port_sharing != PortSharing::Alone)?;
        let socket = socket.listen(1024)?;
        Ok(Box::new(OwnListener { kind, addr: socket.local_addr()?, socket, options: options.clone() }))
    }

    fn connect<'a>(
        &'a self,
        to: &'a Target<'a>,
        options: &'a Options,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        Box::pin(async move {
            let unreachable = |error| ConnectError::Unreachable { addr: to.addr, kind: to.kind, error };
            let stream = TcpStream::connect(to.addr).await.map_err(unreachable)?;
            greet(to.kind, to.addr, stream, options).await
        })
    }
}

struct OwnListener {
    kind: TransportKind,
    addr: SocketAddr,
    socket: TcpListener,
    options: Options,
}

impl Listen for OwnListener {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async move {
            let (stream, remote) = self.socket.accept().await?;
            let (kind, options) = (self.kind, self.options.clone());
            let handshake: Handshake = Box::pin(async move { greet(kind, remote, stream, &options).await });
            // The system hands over only clients that have finished TCP's handshake.
            Ok(Arrival::Proved(Proved::by(Proof::TcpHandshake, remote), handshake))
        })
    }
}

/// Exchanges the greetings, and turns the stream into a connection.
async fn greet(
    kind: TransportKind,
    remote: SocketAddr,
    mut stream: TcpStream,
    options: &Options,
) -> Result<Connection, ConnectError> {
    let failed = |error: io::Error| ConnectError::Handshake { kind, reason: error.to_string().into() };
    stream.set_nodelay(options.nodelay).map_err(failed)?;
    stream.write_all(GREETING).await.map_err(failed)?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await.map_err(failed)?;
    if greeting != *GREETING {
        return Err(failed(io::Error::other("the remote sent another greeting")));
    }
    let path_stats = |stream: &TcpStream| PathStats { congestion: None, ..tcp_path_stats(stream) };
    Ok(Connection::over_stream(kind, remote, stream, path_stats, options))
}
