//! A proxy for TCP and UDP on one port that can drop everything or change the client's address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream, UdpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// The state of the path.
#[derive(Clone, Copy, Default)]
struct State {
    /// The proxy forwards nothing. Bytes of a stream wait, as they would in their sender's kernel.
    blackhole: bool,
    /// The number of address changes of the client. Older streams have lost their other end.
    address_changes: u32,
}

type Watch = watch::Receiver<State>;

/// A proxy for any number of clients, who connect to [`TcpUdpProxy::addr`].
pub struct TcpUdpProxy {
    addr: SocketAddr,
    state: watch::Sender<State>,
    _forwarding: JoinSet<()>,
}

impl TcpUdpProxy {
    /// Binds a proxy on loopback that forwards to `server`.
    pub async fn to(server: SocketAddr) -> Self {
        let (streams, datagrams) = loop {
            let streams = TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
            // Another process may hold the UDP port of that number.
            if let Ok(datagrams) = UdpSocket::bind(streams.local_addr().expect("bound")).await {
                break (streams, datagrams);
            }
        };
        let addr = streams.local_addr().expect("bound");
        let (state, watch) = watch::channel(State::default());
        let mut forwarding = JoinSet::new();
        forwarding.spawn(forward_streams(streams, server, watch.clone()));
        forwarding.spawn(forward_datagrams(datagrams.into(), server, watch));
        Self { addr, state, _forwarding: forwarding }
    }

    /// Returns the address that clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops forwarding, or starts it again.
    pub fn set_blackhole(&self, blackhole: bool) {
        self.state.send_modify(|state| state.blackhole = blackhole);
    }

    /// Gives the client another address and cuts its streams.
    pub fn change_address(&self) {
        self.state.send_modify(|state| state.address_changes += 1);
    }
}

async fn forward_streams(listener: TcpListener, server: SocketAddr, watch: Watch) {
    let mut forwarding = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a stream");
        let mut watch = watch.clone();
        forwarding.spawn(async move {
            watch.wait_for(|state| !state.blackhole).await.expect("the proxy lives");
            let address_changes = watch.borrow().address_changes;
            let upstream = TcpStream::connect(server).await.expect("the server listens");
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), upstream.into_split());
            tokio::join!(
                forward_stream(from_client, to_server, address_changes, watch.clone()),
                forward_stream(from_server, to_client, address_changes, watch),
            );
        });
    }
}

async fn forward_stream(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    address_changes: u32,
    mut watch: Watch,
) {
    let mut buffer = [0; 4096];
    loop {
        let size = from.read(&mut buffer).await.unwrap_or(0);
        let passes = |state: &State| !state.blackhole && state.address_changes == address_changes;
        watch.wait_for(passes).await.expect("the proxy lives");
        if size == 0 || to.write_all(&buffer[..size]).await.is_err() {
            return; // Dropping `to` ends the other side's stream, too.
        }
    }
}

async fn forward_datagrams(front: Arc<UdpSocket>, server: SocketAddr, mut watch: Watch) {
    let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, AbortOnDropHandle<()>)> = HashMap::new();
    let mut buffer = [0; 2048];
    let mut address_changes = 0;
    loop {
        tokio::select! {
            changed = watch.changed() => {
                changed.expect("the proxy lives");
                let state = *watch.borrow();
                if std::mem::replace(&mut address_changes, state.address_changes) != state.address_changes {
                    clients.clear();
                }
            }
            received = front.recv_from(&mut buffer) => {
                // An error means that a client closed its socket.
                let Ok((size, client)) = received else { continue };
                if watch.borrow().blackhole {
                    continue;
                }
                let (back, _) = match clients.entry(client) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        let back = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await.expect("bound"));
                        back.connect(server).await.expect("connected");
                        let forwarding = forward_to_client(back.clone(), front.clone(), client, watch.clone());
                        new.insert((back, AbortOnDropHandle::new(tokio::spawn(forwarding))))
                    }
                };
                let _ = back.send(&buffer[..size]).await;
            }
        }
    }
}

async fn forward_to_client(back: Arc<UdpSocket>, front: Arc<UdpSocket>, client: SocketAddr, watch: Watch) {
    let mut buffer = [0; 2048];
    loop {
        let Ok(size) = back.recv(&mut buffer).await else { continue };
        if !watch.borrow().blackhole {
            let _ = front.send_to(&buffer[..size], client).await;
        }
    }
}
