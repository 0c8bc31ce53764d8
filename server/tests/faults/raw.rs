//! A client that writes frames by hand over every kind that has a byte stream, and can send what
//! our own clients never do.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use netduel_transport::{Close, Options, TransportKind, Trust};
use quinn::crypto::rustls::QuicClientConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::world::{PATIENCE, World, localhost};

/// Frame kinds, as `transport/io/frame.rs` defines them.
pub(crate) const CONTROL: u8 = 0;
pub(crate) const KEEP_ALIVE: u8 = 2;
const CLOSE: u8 = 3;

pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len()).expect("a short payload");
    [&size.to_be_bytes()[..], &[kind], payload].concat()
}

pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ReadWrite for T {}

/// A raw connection of one kind.
pub(crate) enum Raw {
    Stream(Box<dyn ReadWrite>),
    Quic(Quic),
    Udp(Udp),
}

/// A raw QUIC connection. Its control stream stays open both ways while this lives.
pub(crate) struct Quic {
    _endpoint: quinn::Endpoint,
    pub(crate) connection: quinn::Connection,
    pub(crate) control: quinn::SendStream,
    _answers: quinn::RecvStream,
}

impl Raw {
    pub(crate) async fn open(world: &World) -> Self {
        match world.kind {
            TransportKind::Tcp => Self::Stream(Box::new(tcp_stream(world.addr).await)),
            TransportKind::Tls => {
                let alpn = Options::default().alpn(TransportKind::Tls);
                Self::Stream(Box::new(tls_stream(&world.identity.trust(), &alpn, world.addr).await))
            }
            TransportKind::Udp => Self::Udp(Udp::open(world.addr).await),
            _ => Self::Quic(Quic::open(world, world.addr).await),
        }
    }

    /// Writes bytes. Fails once the server has closed the connection.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Quic(quic) => Ok(quic.control.write_all(bytes).await?),
            Self::Udp(udp) => udp.write(bytes).await,
        }
    }

    /// Waits for the server's close and returns it.
    pub(crate) async fn close_frame(self) -> Close {
        let closed = async {
            match self {
                Self::Stream(mut stream) => {
                    let mut said = Vec::new();
                    // A reset after the close frame leaves the frame readable.
                    let _ = stream.read_to_end(&mut said).await;
                    find_close(&said)
                }
                Self::Quic(quic) => match quic.connection.closed().await {
                    quinn::ConnectionError::ApplicationClosed(close) => {
                        let code = u32::try_from(close.error_code.into_inner()).expect("a code of ours");
                        Close::new(code, String::from_utf8_lossy(&close.reason))
                    }
                    other => panic!("not closed by the server: {other}"),
                },
                Self::Udp(mut udp) => loop {
                    udp.hear().await.expect("readable");
                    if let Some(close) = udp.close {
                        break close;
                    }
                },
            }
        };
        timeout(PATIENCE, closed).await.expect("a close in time")
    }
}

/// Connects with the smallest receive buffer, so that a client that stops reading fills it soon on
/// any machine.
pub(crate) async fn tcp_stream(addr: SocketAddr) -> TcpStream {
    const RECEIVE_BUFFER_BYTES: u32 = 4_096;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).expect("set");
    socket.connect(addr).await.expect("connected")
}

/// Connects as [`tcp_stream`] does, with TLS over it. The session is in the caller's hands.
pub(crate) async fn tls_stream(trust: &Trust, alpn: &str, addr: SocketAddr) -> TlsStream<TcpStream> {
    let config = trust.client_config_for(alpn).expect("a trust");
    let socket = tcp_stream(addr).await;
    let name = "localhost".try_into().expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake")
}

impl Quic {
    pub(crate) async fn open(world: &World, addr: SocketAddr) -> Self {
        let alpn = Options::default().alpn(world.kind);
        let config = (quinn::EndpointConfig::default(), quinn::TransportConfig::default());
        Self::open_with(&world.identity.trust(), &alpn, addr, config).await
    }

    /// Connects with transport parameters of the caller's.
    pub(crate) async fn open_with(
        trust: &Trust,
        alpn: &str,
        addr: SocketAddr,
        (endpoint, transport): (quinn::EndpointConfig, quinn::TransportConfig),
    ) -> Self {
        let config = trust.client_config_for(alpn).expect("a trust");
        let config = QuicClientConfig::try_from(config).expect("TLS 1.3");
        let socket = std::net::UdpSocket::bind(localhost()).expect("bound");
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = quinn::Endpoint::new(endpoint, None, socket, runtime).expect("an endpoint");
        let mut config = quinn::ClientConfig::new(Arc::new(config));
        config.transport_config(Arc::new(transport));
        let connecting = endpoint.connect_with(config, addr, "localhost").expect("connecting");
        let connection = timeout(PATIENCE, connecting).await.expect("in time").expect("a handshake");
        let (control, answers) = connection.open_bi().await.expect("a stream");
        Self { _endpoint: endpoint, connection, control, _answers: answers }
    }
}

/// Returns the close frame among the received frames.
fn find_close(mut said: &[u8]) -> Close {
    while let Some((&[high, low, kind], rest)) = said.split_first_chunk::<3>() {
        let size = usize::from(u16::from_be_bytes([high, low]));
        let (payload, rest) = rest.split_at_checked(size).expect("whole frames");
        if kind == CLOSE {
            return parse_close(payload);
        }
        said = rest;
    }
    panic!("closed without a word")
}

pub(crate) fn parse_close(payload: &[u8]) -> Close {
    let (code, reason) = payload.split_first_chunk::<4>().expect("a code");
    Close::new(u32::from_be_bytes(*code), String::from_utf8_lossy(reason))
}

/// The control stream of the `udp` kind, segment by segment, and its handshake: see
/// `transport/udp/wire.rs`.
pub(crate) struct Udp {
    socket: UdpSocket,
    /// The number of bytes written, and of bytes acknowledged.
    place: u32,
    acknowledged: u32,
    close: Option<Close>,
}

const HELLO: u8 = 0xd0;
const CHALLENGE: u8 = 0xd1;
const JOIN: u8 = 0xd2;
const WELCOME: u8 = 0xd3;
const SEGMENT: u8 = 0xd5;
const ACKNOWLEDGE: u8 = 0xd6;
const UDP_CLOSE: u8 = 0xd8;
const TOKEN: [u8; 4] = *b"test";
const CHALLENGE_BYTES: usize = 40;
const SEGMENT_BYTES: usize = 1_000;
/// The time until an unanswered datagram is sent again.
const AGAIN: Duration = Duration::from_millis(50);

/// Encodes the first datagram of a handshake over `udp` or `enet`, for any protocol name.
pub(crate) fn udp_hello(protocol: &[u8]) -> Vec<u8> {
    let mut hello = [&[HELLO], &TOKEN[..], protocol].concat();
    hello.resize(1 + TOKEN.len() + CHALLENGE_BYTES, 0);
    hello
}

/// Gets a challenge over `udp` or `enet`. Returns the join that proves the socket's address.
pub(crate) async fn prove_address(socket: &UdpSocket, protocol: &str) -> Vec<u8> {
    let challenge = ask(socket, &udp_hello(protocol.as_bytes()), CHALLENGE).await;
    [&[JOIN], &TOKEN[..], &challenge].concat()
}

/// Sends a datagram until an answer of this type comes. Returns the answer's body.
async fn ask(socket: &UdpSocket, question: &[u8], answer: u8) -> Vec<u8> {
    let mut datagram = [0; 2048];
    loop {
        socket.send(question).await.expect("sent");
        while let Ok(size) = timeout(AGAIN, socket.recv(&mut datagram)).await {
            let size = size.expect("received");
            if datagram[0] == answer {
                return datagram[5..size].to_vec();
            }
        }
    }
}

impl Udp {
    async fn open(addr: SocketAddr) -> Self {
        let socket = UdpSocket::bind(localhost()).await.expect("bound");
        socket.connect(addr).await.expect("connected");
        let join = prove_address(&socket, &Options::default().alpn(TransportKind::Udp)).await;
        ask(&socket, &join, WELCOME).await;
        Self { socket, place: 0, acknowledged: 0, close: None }
    }

    /// Receives one datagram of the server.
    async fn hear(&mut self) -> io::Result<()> {
        let mut datagram = [0; 2048];
        let size = self.socket.recv(&mut datagram).await?;
        let body = &datagram[5..size];
        match datagram[0] {
            ACKNOWLEDGE => {
                let place = u32::from_be_bytes(body.try_into().map_err(io::Error::other)?);
                self.acknowledged = self.acknowledged.max(place);
            }
            UDP_CLOSE => self.close = Some(parse_close(body)),
            _ => {}
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for segment in bytes.chunks(SEGMENT_BYTES) {
            let datagram = [&[SEGMENT], &TOKEN[..], &self.place.to_be_bytes(), segment].concat();
            self.place += segment.len() as u32;
            while self.acknowledged < self.place {
                if self.close.is_some() {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                self.socket.send(&datagram).await?;
                if let Ok(heard) = timeout(AGAIN, self.hear()).await {
                    heard?;
                }
            }
        }
        Ok(())
    }
}
