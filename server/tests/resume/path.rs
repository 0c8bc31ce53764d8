//! A client's path to a server, for streams and datagrams on one port, that can go dark or come from another address.

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

/// What the path is like now.
#[derive(Clone, Copy, Default)]
struct Weather {
    /// Nothing passes. What is in a stream waits, as it would in its sender's kernel.
    dark: bool,
    /// How often the client's address has changed. Streams from before have no other end any more.
    moves: u32,
}

type Forecast = watch::Receiver<Weather>;

/// See the module. The client connects to [`Path::addr`].
pub(crate) struct Path {
    addr: SocketAddr,
    weather: watch::Sender<Weather>,
    _carrying: JoinSet<()>,
}

impl Path {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let (streams, datagrams) = loop {
            let streams = TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
            // Somebody may have the other port of that number.
            if let Ok(datagrams) = UdpSocket::bind(streams.local_addr().expect("bound")).await {
                break (streams, datagrams);
            }
        };
        let addr = streams.local_addr().expect("bound");
        let (weather, forecast) = watch::channel(Weather::default());
        let mut carrying = JoinSet::new();
        carrying.spawn(carry_streams(streams, server, forecast.clone()));
        carrying.spawn(carry_datagrams(datagrams.into(), server, forecast));
        Self { addr, weather, _carrying: carrying }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn set_dark(&self, dark: bool) {
        self.weather.send_modify(|weather| weather.dark = dark);
    }

    /// From now on the client has another address.
    pub(crate) fn change_address(&self) {
        self.weather.send_modify(|weather| weather.moves += 1);
    }
}

async fn carry_streams(listener: TcpListener, server: SocketAddr, forecast: Forecast) {
    let mut carrying = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a stream");
        let mut forecast = forecast.clone();
        carrying.spawn(async move {
            forecast.wait_for(|weather| !weather.dark).await.expect("a path");
            let moves = forecast.borrow().moves;
            let upstream = TcpStream::connect(server).await.expect("the server listens");
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), upstream.into_split());
            tokio::join!(
                carry_stream(from_client, to_server, moves, forecast.clone()),
                carry_stream(from_server, to_client, moves, forecast),
            );
        });
    }
}

async fn carry_stream(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, moves: u32, mut forecast: Forecast) {
    let mut buffer = [0; 4096];
    loop {
        let size = from.read(&mut buffer).await.unwrap_or(0);
        let passes = |weather: &Weather| !weather.dark && weather.moves == moves;
        forecast.wait_for(passes).await.expect("a path");
        if size == 0 || to.write_all(&buffer[..size]).await.is_err() {
            return; // Which ends the other side's stream, too.
        }
    }
}

async fn carry_datagrams(front: Arc<UdpSocket>, server: SocketAddr, mut forecast: Forecast) {
    let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, AbortOnDropHandle<()>)> = HashMap::new();
    let mut buffer = [0; 2048];
    let mut moves = 0;
    loop {
        tokio::select! {
            changed = forecast.changed() => {
                changed.expect("a path");
                let weather = *forecast.borrow();
                if std::mem::replace(&mut moves, weather.moves) != weather.moves {
                    clients.clear();
                }
            }
            received = front.recv_from(&mut buffer) => {
                // An error says that some client's socket is gone.
                let Ok((size, client)) = received else { continue };
                if forecast.borrow().dark {
                    continue;
                }
                let (back, _) = match clients.entry(client) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        let back = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await.expect("bound"));
                        back.connect(server).await.expect("connected");
                        let carrying = carry_back(back.clone(), front.clone(), client, forecast.clone());
                        new.insert((back, AbortOnDropHandle::new(tokio::spawn(carrying))))
                    }
                };
                let _ = back.send(&buffer[..size]).await;
            }
        }
    }
}

async fn carry_back(back: Arc<UdpSocket>, front: Arc<UdpSocket>, client: SocketAddr, forecast: Forecast) {
    let mut buffer = [0; 2048];
    loop {
        let Ok(size) = back.recv(&mut buffer).await else { continue };
        if !forecast.borrow().dark {
            let _ = front.send_to(&buffer[..size], client).await;
        }
    }
}
