//! A UDP proxy between one client and one server that drops, repeats, reorders and forges
//! datagrams.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

/// The treatment of datagrams by a [`DatagramProxy`].
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Impairment {
    /// Forwards every datagram once and in order.
    None,
    /// Drops 20 % of the datagrams, repeats 10 %, and delivers 10 % after the next one.
    Lossy,
    /// Drops every datagram.
    Blackhole,
    /// Drops every datagram of the server, so that the client acknowledges nothing.
    Deafen,
    /// Drops every second datagram of the client.
    DropAlternate,
    /// Delivers each datagram of the client 200 times.
    Flood,
    /// Gives the client another port, as a NAT that forgot it does, and then forwards every
    /// datagram.
    Rebind,
}

/// A UDP proxy for one client. The client connects to [`DatagramProxy::addr`].
pub struct DatagramProxy {
    addr: SocketAddr,
    impairment: Arc<AtomicU8>,
    /// The sockets that face the client and the server, in this order.
    ends: [Arc<UdpSocket>; 2],
    forwarding: JoinHandle<()>,
}

impl DatagramProxy {
    /// Binds a proxy on loopback that forwards to `server`.
    pub async fn to(server: SocketAddr) -> Self {
        let bind = async || Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await.expect("bind"));
        let ends = [bind().await, bind().await];
        ends[1].connect(server).await.expect("connected");
        let addr = ends[0].local_addr().expect("bound");
        let impairment = Arc::new(AtomicU8::new(Impairment::None as u8));
        let forwarding = tokio::spawn(forward(ends.clone(), impairment.clone()));
        Self { addr, impairment, ends, forwarding }
    }

    /// Returns the address that the client connects to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Treats all further datagrams this way.
    pub fn set(&self, impairment: Impairment) {
        self.impairment.store(impairment as u8, Relaxed);
    }

    /// Sends `datagram` to both sides, each from the address of the other.
    pub async fn forge(&self, datagram: &[u8]) {
        for end in &self.ends {
            end.send(datagram).await.expect("sent");
        }
    }
}

impl Drop for DatagramProxy {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

async fn forward(mut ends: [Arc<UdpSocket>; 2], impairment: Arc<AtomicU8>) {
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    let mut late: [Option<Vec<u8>>; 2] = [None, None];
    // The first datagram tells the client's address. The client keeps it.
    let (size, client) = ends[0].recv_from(&mut up).await.expect("a first datagram");
    ends[0].connect(client).await.expect("connected");
    let _ = ends[1].send(&up[..size]).await;
    let (mut chance, mut odd) = (1u32, false);
    loop {
        let (from, datagram) = tokio::select! {
            size = ends[0].recv(&mut up) => (0, size.map(|size| &up[..size])),
            size = ends[1].recv(&mut down) => (1, size.map(|size| &down[..size])),
        };
        // An error means that one side closed its socket. The other side may still send.
        let Ok(datagram) = datagram else { continue };
        if impairment.load(Relaxed) == Impairment::Rebind as u8 {
            let server = ends[1].peer_addr().expect("connected");
            let rebound = UdpSocket::bind(("127.0.0.1", 0)).await.expect("bind");
            rebound.connect(server).await.expect("connected");
            ends[1] = Arc::new(rebound);
            impairment.store(Impairment::None as u8, Relaxed);
        }
        let to = &ends[1 - from];
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let copies = match impairment.load(Relaxed) {
            blackhole if blackhole == Impairment::Blackhole as u8 => 0,
            deaf if deaf == Impairment::Deafen as u8 => u8::from(from == 0),
            alternate if alternate == Impairment::DropAlternate as u8 => {
                odd ^= from == 0;
                u8::from(!odd || from == 1)
            }
            flood if flood == Impairment::Flood as u8 && from == 0 => 200,
            lossy if lossy == Impairment::Lossy as u8 => match chance >> 16 & 0xffff {
                0..13_107 => 0,
                13_107..19_660 => 2,
                19_660..26_214 => {
                    if let Some(before) = late[from].replace(datagram.to_vec()) {
                        let _ = to.send(&before).await;
                    }
                    continue;
                }
                _ => 1,
            },
            _ => 1,
        };
        for _ in 0..copies {
            let _ = to.send(datagram).await;
        }
        if let Some(before) = late[from].take() {
            let _ = to.send(&before).await;
        }
    }
}
