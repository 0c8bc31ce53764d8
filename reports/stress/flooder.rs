//! The flooders of `flood.rs`, in a separate process: each repeats one harmful action as fast as it
//! can until its standard input ends. A real flood brings its own processors, so the flooders run
//! only on an idle processor: see `flood.rs`.

use std::{
    io::BufRead,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::ValueEnum;
use netduel_loadgen::affinity;
use netduel_protocol::{
    ClientMessage, MAX_MESSAGE_BYTES, MatchId, Move, MoveWithPayload, ServerMessage, VERSION, decode, encode,
};
use netduel_transport::{Connection, Options, Socket, TransportKind, Trust};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, net::TcpSocket, net::UdpSocket, task::JoinSet};

/// The number of flooders over each transport.
const AT_ONCE: usize = 8;
/// The number of silent or slow streams: the limit of players of the server.
const STREAMS: usize = 1_000;
/// The number of source addresses, each of which may have many connections.
const ADDRESSES: usize = 16;
/// The messages per second of a flooder that does not read: below the limit.
const DEAF_HZ: u64 = 1_000;

/// The floods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Flood {
    /// A busy processor and no traffic: the cost of the process of the flooders
    Nothing,
    /// Connections that send nothing
    Silent,
    /// Connections that send one byte per second
    Slow,
    /// Players that send requests and never read
    Deaf,
    /// Datagrams of random bytes
    Garbage,
    /// A stream for each update, superseded at once (quic-uni only)
    Streams,
    /// One message repeated at the highest rate
    Repeated,
}

impl Flood {
    /// Every flood.
    pub(crate) const ALL: [Self; 7] =
        [Self::Nothing, Self::Silent, Self::Slow, Self::Deaf, Self::Garbage, Self::Streams, Self::Repeated];

    /// Returns the name of the flood.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Deaf => "deaf",
            Self::Garbage => "garbage",
            Self::Streams => "streams",
            Self::Repeated => "repeated",
        }
    }
}

/// The flood to run, and the server to flood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FloodPlan {
    pub(crate) flood: Flood,
    pub(crate) addresses: Vec<(TransportKind, SocketAddr)>,
    pub(crate) pin: String,
    /// The processor that the flooders are bound to.
    pub(crate) cpu: Option<usize>,
}

/// Reads the plan from standard input, and floods until standard input ends.
///
/// # Errors
/// A plan that cannot be read.
pub fn run_flooder() -> anyhow::Result<()> {
    let mut plan = String::new();
    std::io::stdin().lock().read_line(&mut plan)?;
    let plan: FloodPlan = serde_json::from_str(&plan)?;
    if let Some(cpu) = plan.cpu {
        affinity::bind(cpu)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut flooders = JoinSet::new();
        flood(&plan, plan.pin.parse()?, &mut flooders);
        println!("flooding");
        let ended =
            tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
        ended.await??;
        // Each flooder closes its connection; otherwise the server would keep probing the
        // connections over UDP.
        flooders.shutdown().await;
        Ok(())
    })
}

/// Starts the flooders of a plan.
fn flood(plan: &FloodPlan, pin: netduel_transport::Fingerprint, flooders: &mut JoinSet<()>) {
    let trust = Trust::pin(pin);
    for (kind, addr) in plan.addresses.iter().copied() {
        let streams = kind.socket() == Socket::Tcp;
        let client = Client { kind, addr, trust: trust.clone() };
        match plan.flood {
            Flood::Nothing => drop(flooders.spawn(burn())),
            Flood::Silent | Flood::Slow if streams => (0..STREAMS).for_each(|number| {
                drop(flooders.spawn(stream(addr, number, plan.flood == Flood::Slow)));
            }),
            Flood::Silent => (0..AT_ONCE).for_each(|_| drop(flooders.spawn(client.clone().silent()))),
            Flood::Garbage if !streams => drop(flooders.spawn(garbage(addr))),
            Flood::Slow | Flood::Garbage => {}
            Flood::Deaf => (0..AT_ONCE).for_each(|_| drop(flooders.spawn(client.clone().deaf()))),
            Flood::Streams if kind != TransportKind::QuicUni => {}
            Flood::Streams | Flood::Repeated => {
                let on_state = plan.flood == Flood::Streams;
                (0..AT_ONCE).for_each(|_| drop(flooders.spawn(client.clone().repeat(on_state))));
            }
        }
    }
}

/// Keeps the processor busy.
async fn burn() {
    loop {
        std::hint::black_box((0..10_000u64).fold(0, |sum, n| sum ^ std::hint::black_box(n)));
        tokio::task::yield_now().await;
    }
}

/// Holds a stream from one of several addresses, silent or `slow`; opens another one as soon as the
/// server closes it.
async fn stream(addr: SocketAddr, number: usize, slow: bool) {
    let from = Ipv4Addr::new(127, 0, 1, (number % ADDRESSES) as u8 + 1);
    let header = [1, 0, 0]; // A control frame of 256 bytes.
    loop {
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            let mut stream = socket.connect(addr).await?;
            for byte in header.into_iter().chain(std::iter::repeat(7)) {
                if slow {
                    stream.write_all(&[byte]).await?;
                } else {
                    stream.readable().await?;
                    let mut received = [0; 512];
                    if matches!(stream.try_read(&mut received), Ok(0)) {
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::io::Result::Ok(())
        };
        if connecting.await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Sends random datagrams.
async fn garbage(addr: SocketAddr) {
    let noise: Vec<u8> = (0..3_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else { return };
    for number in 0usize.. {
        let mut datagram = noise[number % 1_000..][..number * 7 % 1_400 + 1].to_vec();
        // The first bytes of the first packets of the protocols, in turn.
        datagram[0] = [0xc0, 0x40, 0xd0, 0xd2, 0x8f, 0x00, 0xff][number % 7];
        let _ = socket.send_to(&datagram, addr).await;
        tokio::task::consume_budget().await;
    }
}

/// A flooder that connects by a transport.
#[derive(Clone)]
struct Client {
    kind: TransportKind,
    addr: SocketAddr,
    trust: Trust,
}

impl Client {
    /// Connects, or waits a moment and returns `None`.
    async fn connect(&self) -> Option<Connection> {
        let options = Options { protocol: netduel_protocol::NAME.into(), ..Options::default() };
        let connected = self.kind.connect(self.addr, "localhost", Some(&self.trust), &options).await;
        if connected.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        connected.ok()
    }

    /// Connects and joins a match.
    async fn joined(&self) -> Option<Connection> {
        let connection = self.connect().await?;
        for message in [
            ClientMessage::Hello { version: VERSION },
            ClientMessage::Join { name: "flood".into(), code: Some("flood".into()) },
        ] {
            connection.sender.send_control(&bytes(&message)).ok()?;
        }
        Some(connection)
    }

    /// Holds a connection that sends nothing.
    async fn silent(self) {
        loop {
            if let Some(mut connection) = self.connect().await {
                while connection.receiver.recv().await.is_ok() {}
            }
        }
    }

    /// Sends requests and never reads the answers.
    async fn deaf(self) {
        let ping = bytes(&ClientMessage::Ping { sent_us: u64::MAX });
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            let Some(connection) = self.joined().await else { continue };
            'open: loop {
                ticks.tick().await;
                for _ in 0..DEAF_HZ / 100 {
                    if connection.sender.send_control(&ping).is_err() {
                        break 'open;
                    }
                }
            }
        }
    }

    /// Repeats one message at the highest rate until it is expelled, and then connects again.
    async fn repeat(self, on_state: bool) {
        const BATCH: usize = 64;
        loop {
            let Some(mut connection) = self.joined().await else { continue };
            let message = if on_state {
                let Some(match_id) = started(&mut connection).await else { continue };
                // A move to the same position is legal, so only its rate is limited.
                let update = Move { match_id, ..Move::default() };
                bytes(&ClientMessage::Move(MoveWithPayload { update, payload: &[] }))
            } else {
                bytes(&ClientMessage::Ping { sent_us: u64::MAX })
            };
            let sender = connection.sender.clone();
            let flood = async {
                loop {
                    for _ in 0..BATCH {
                        let sent = if on_state {
                            sender.send_state(&message).map(drop)
                        } else {
                            sender.send_control(&message)
                        };
                        if sent.is_err() {
                            return;
                        }
                    }
                    tokio::task::yield_now().await;
                }
            };
            let read = async { while connection.receiver.recv().await.is_ok() {} };
            tokio::select! {
                () = flood => {}
                () = read => {}
            }
        }
    }
}

/// Returns the match of the player once it starts.
async fn started(connection: &mut Connection) -> Option<MatchId> {
    loop {
        let (_, message) = connection.receiver.recv().await.ok()?;
        if let Ok(ServerMessage::Started(started)) = decode(&message) {
            return Some(started.match_id);
        }
    }
}

/// Encodes a message.
fn bytes(message: &ClientMessage<'_>) -> Vec<u8> {
    // The messages of this file always fit.
    encode(message, &mut [0; MAX_MESSAGE_BYTES]).map(<[u8]>::to_vec).unwrap_or_default()
}
