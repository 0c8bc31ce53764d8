//! A path for datagrams between a client and a server that can be rough, dark, or bring what nobody sent.
//! The faults of `server/tests/faults.rs` use it, too.

#![allow(dead_code, reason = "each suite that includes this file uses a part of it")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

/// How a path treats datagrams.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Weather {
    /// All arrive, once and in order.
    Clear,
    /// Of ten, two are lost, one comes twice, and one comes after the next.
    Rough,
    /// None arrives.
    Dark,
    /// Of what the client sends, every second one arrives.
    Holes,
    /// What the client sends arrives many times.
    Echoes,
    /// The server sees the client come from another port from now on; then it is clear.
    Rebind,
}

/// One client's path to a server. The client connects to [`Path::addr`].
pub(crate) struct Path {
    addr: SocketAddr,
    weather: Arc<AtomicU8>,
    /// What the client takes for the server, and what the server takes for the client.
    ends: [Arc<UdpSocket>; 2],
    carrying: JoinHandle<()>,
}

impl Path {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let bind = async || Arc::new(UdpSocket::bind(super::localhost()).await.expect("bind"));
        let ends = [bind().await, bind().await];
        ends[1].connect(server).await.expect("connected");
        let addr = ends[0].local_addr().expect("bound");
        let weather = Arc::new(AtomicU8::new(Weather::Clear as u8));
        let carrying = tokio::spawn(carry(ends.clone(), weather.clone()));
        Self { addr, weather, ends, carrying }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.store(weather as u8, Relaxed);
    }

    /// Brings both sides a datagram that looks like the other's.
    pub(crate) async fn forge(&self, datagram: &[u8]) {
        for end in &self.ends {
            end.send(datagram).await.expect("sent");
        }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(mut ends: [Arc<UdpSocket>; 2], weather: Arc<AtomicU8>) {
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    let mut late: [Option<Vec<u8>>; 2] = [None, None];
    // The client's address is known from its first datagram on; it has no other.
    let (size, client) = ends[0].recv_from(&mut up).await.expect("a first datagram");
    ends[0].connect(client).await.expect("connected");
    let _ = ends[1].send(&up[..size]).await;
    let (mut chance, mut odd) = (1u32, false);
    loop {
        let (from, datagram) = tokio::select! {
            size = ends[0].recv(&mut up) => (0, size.map(|size| &up[..size])),
            size = ends[1].recv(&mut down) => (1, size.map(|size| &down[..size])),
        };
        // An error says that one side's socket is gone, and the other may still want to be heard.
        let Ok(datagram) = datagram else { continue };
        if weather.load(Relaxed) == Weather::Rebind as u8 {
            let server = ends[1].peer_addr().expect("connected");
            let rebound = UdpSocket::bind(super::localhost()).await.expect("bind");
            rebound.connect(server).await.expect("connected");
            ends[1] = Arc::new(rebound);
            weather.store(Weather::Clear as u8, Relaxed);
        }
        let to = &ends[1 - from];
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let copies = match weather.load(Relaxed) {
            dark if dark == Weather::Dark as u8 => 0,
            holes if holes == Weather::Holes as u8 => {
                odd ^= from == 0;
                u8::from(!odd || from == 1)
            }
            echoes if echoes == Weather::Echoes as u8 && from == 0 => 200,
            rough if rough == Weather::Rough as u8 => match chance >> 16 & 0xffff {
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
