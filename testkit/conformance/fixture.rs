//! A listener and connections to it, as every case needs them.

use std::{cell::RefCell, net::SocketAddr, time::Duration};

use netduel_transport::{
    CloseReason, Connection, Identity, Lane, Listener, Options, Receiver, Socket, TransportKind,
};
use tokio::time::timeout;

use crate::DatagramProxy;

/// The limit on a single wait. No case needs nearly as long; a case that hangs fails instead.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    /// The options of the running case. A case runs on one thread.
    static BASE: RefCell<Options> = RefCell::default();
}

/// Sets the options of the next case.
pub(super) fn set_base_options(options: Options) {
    BASE.set(options);
}

/// Returns the options that a case varies: the defaults, unless the suite was told others.
pub(super) fn base_options() -> Options {
    BASE.with_borrow(Clone::clone)
}

/// A listener and its identity.
pub(super) struct Server {
    pub(super) listener: Listener,
    pub(super) identity: Identity,
}

fn localhost() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Binds a listener on loopback.
pub(super) fn serve(kind: TransportKind, options: &Options) -> Server {
    let identity = Identity::generate(&["localhost".into(), "127.0.0.1".into()]).expect("identity");
    let listener = kind.bind(localhost(), &identity, options).expect("bind");
    Server { listener, identity }
}

impl Server {
    pub(super) async fn accept(&self) -> Connection {
        self.listener.accept().await.expect("accept").finish().await.expect("server handshake")
    }

    pub(super) async fn connect(&self, options: &Options) -> Connection {
        let kind = self.listener.kind();
        kind.connect(self.listener.local_addr(), "localhost", Some(&self.identity.trust()), options)
            .await
            .expect("client handshake")
    }

    pub(super) async fn pair(&self, options: &Options) -> (Connection, Connection) {
        tokio::join!(self.connect(options), self.accept())
    }
}

/// Connects a pair with default options.
pub(super) async fn pair(kind: TransportKind) -> (Connection, Connection) {
    serve(kind, &base_options()).pair(&base_options()).await
}

/// Receives a message or the end of the connection, within [`PATIENCE`].
pub(super) async fn recv(receiver: &mut Receiver) -> Result<(Lane, Vec<u8>), CloseReason> {
    let message = timeout(PATIENCE, receiver.recv()).await.expect("a message or an end, in time");
    message.map(|(lane, bytes)| (lane, bytes.to_vec()))
}

/// Receives a message while polling the receiver of the sending side, which drives that side.
///
/// A socket with small buffers does not take a large message at once, so the sending side writes
/// the rest when it is polled.
pub(super) async fn recv_while_driving(
    receiver: &mut Receiver,
    driving: &mut Receiver,
) -> Result<(Lane, Vec<u8>), CloseReason> {
    tokio::select! {
        received = recv(receiver) => received,
        early = driving.recv() => panic!("the other side sends nothing: {early:?}"),
    }
}

/// Returns a pair with a proxy between the two sides; `None` where the kind does not run over UDP.
pub(super) async fn pair_over_proxy(
    kind: TransportKind,
    options: &Options,
) -> Option<(DatagramProxy, Connection, Connection)> {
    if !over_udp(kind) {
        return None;
    }
    let server = serve(kind, options);
    let path = DatagramProxy::to(server.listener.local_addr()).await;
    let trust = server.identity.trust();
    let connecting = kind.connect(path.addr(), "localhost", Some(&trust), options);
    let (client, accepted) = tokio::join!(connecting, server.accept());
    Some((path, client.expect("client handshake"), accepted))
}

/// Polls a receiver until its connection ends, as every user of a connection must.
pub(super) fn drive(mut receiver: Receiver) -> tokio::task::JoinHandle<CloseReason> {
    tokio::spawn(async move {
        loop {
            if let Err(reason) = receiver.recv().await {
                return reason;
            }
        }
    })
}

/// Sends a control message each way.
pub(super) async fn echo_works(client: &mut Connection, server: &mut Connection) {
    for (from, to) in [(&client.sender, &mut server.receiver), (&server.sender, &mut client.receiver)] {
        from.send_control(b"still here").expect("open");
        assert_eq!(recv(to).await, Ok((Lane::Control, b"still here".to_vec())));
    }
}

/// Whether the kind runs over the kernel's TCP.
pub(super) fn over_tcp(kind: TransportKind) -> bool {
    kind.socket() == Socket::Tcp
}

/// Whether the kind runs over UDP, so that a test can stand between the two sides.
pub(super) fn over_udp(kind: TransportKind) -> bool {
    kind.socket() == Socket::Udp
}

/// Whether the kind stays within this process, without a socket.
pub(super) fn in_process(kind: TransportKind) -> bool {
    kind.socket() == Socket::None
}
