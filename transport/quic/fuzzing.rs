//! The fuzz target of the QUIC driver: frames in any order, over a real connection of quinn-proto.

use std::{cell::RefCell, collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use quinn_proto::{ServerConfig, crypto::rustls::QuicServerConfig};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::timeout,
};

use super::{
    DATAGRAM, Quic, STREAM, UNI,
    config::MAX_UNI_STREAMS,
    connection::{ConnectionGuard, Shared},
    endpoint::{Endpoint, EndpointHandle},
    injection::{FRAMES_BYTES_MAX, Injector},
    receiver,
};
use crate::{Connection, Identity, Lane, Options, Target, Trust, io::frame::HEADER_BYTES};

/// The timeout of every wait; none needs nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// The input bytes of one packet: a few frames.
const PACKET_INPUT_BYTES: usize = 24;
/// The times that the server's tasks may run between two packets.
const YIELDS: usize = 4;

thread_local! {
    /// The servers and witnesses of this thread, which all inputs share.
    static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
}

/// Sends the frames of `input` to a server of ours, which answers each update. The first byte
/// chooses the lane's carrier. Nothing panics, a witness beside it plays on, and the streams that
/// the server opens are bounded.
///
/// # Panics
/// If the invariant does not hold.
pub(crate) fn frames_in_any_order(input: &[u8]) {
    let Some((&lane, script)) = input.split_first() else { return };
    RIG.with_borrow_mut(|rig| {
        let Rig { runtime, lanes } = rig.get_or_insert_with(Rig::new);
        let lane = usize::from(lane) % lanes.len();
        runtime.block_on(lanes[lane].run(script));
    });
}

struct Rig {
    runtime: Runtime,
    lanes: Vec<Server>,
}

impl Rig {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let lanes = runtime.block_on(async {
            let mut lanes = Vec::new();
            for quic in [STREAM, UNI, DATAGRAM] {
                lanes.push(Server::start(quic).await);
            }
            lanes
        });
        Self { runtime, lanes }
    }
}

/// A server of one kind, with a witness.
struct Server {
    quic: Quic,
    endpoint: EndpointHandle,
    addr: SocketAddr,
    trust: Trust,
    witness: Option<[Connection; 2]>,
}

/// A client that injects, and the server's side of it.
struct Attack {
    client: ConnectionGuard,
    _endpoint: EndpointHandle,
    injector: Injector,
    server: ConnectionGuard,
}

impl Server {
    async fn start(quic: Quic) -> Self {
        let identity = Identity::generate(&["localhost".into()]).expect("an identity");
        let options = Options::default();
        let tls = identity.server_config(&options.alpn(quic.lane.kind()), false).expect("TLS");
        let tls = QuicServerConfig::try_from(tls).expect("TLS 1.3");
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(Arc::new(quic.config(&options).transport()));
        let localhost = ([127, 0, 0, 1], 0).into();
        let (endpoint, addr) = Endpoint::bind(localhost, Some(config), &options).expect("bound");
        let mut server = Self { quic, endpoint, addr, trust: identity.trust(), witness: None };
        let Attack { client, _endpoint, server: served, .. } = server.attack().await;
        let kind = quic.lane.kind();
        let client = receiver::split(client, kind, addr, Some(_endpoint));
        server.witness = Some([client, receiver::split(served, kind, addr, None)]);
        server
    }

    async fn attack(&self) -> Attack {
        let (options, injector) = (Options::default(), Injector::default());
        let kind = self.quic.lane.kind();
        let to = Target { kind, addr: self.addr, name: "localhost", trust: Some(&self.trust) };
        let connecting = self.quic.open_with(&to, &options, |tls| injector.around(tls));
        let accepting = async {
            let incoming = self.endpoint.next_incoming().await;
            let server = incoming.accept(|new| Shared::new(new, self.quic.config(&options)));
            let server = ConnectionGuard::new(server.expect("accepted"));
            server.connected().await.expect("connected");
            server
        };
        let both = async { tokio::join!(connecting, accepting) };
        let (client, server) = timeout(PATIENCE, both).await.expect("connected in time");
        let (client, endpoint) = client.expect("connected");
        Attack { client, _endpoint: endpoint, injector, server }
    }

    async fn run(&mut self, script: &[u8]) {
        let Attack { client, _endpoint, injector, server } = self.attack().await;
        let (shared, served) = (client.shared().clone(), server.shared().clone());
        let mut server = receiver::split(server, self.quic.lane.kind(), self.addr, None);
        let answering = tokio::spawn(async move {
            while let Ok((lane, message)) = server.receiver.recv().await {
                // A full control lane ends the connection, which the next call tells.
                let _ = match lane {
                    Lane::State => server.sender.send_state(&message).map(drop),
                    Lane::Control => server.sender.send_control(&message),
                };
            }
        });
        // The control stream begins with the client's greeting.
        let mut ends = HashMap::from([(0, HEADER_BYTES as u64)]);
        for bytes in script.chunks(PACKET_INPUT_BYTES) {
            if injector.send(&shared, &compose(bytes, &mut ends)).is_err() {
                break; // The server has closed the connection.
            }
            for _ in 0..YIELDS {
                yield_now().await;
            }
            let streams = served.lock().proto.streams().send_streams();
            assert!(streams <= 2 * MAX_UNI_STREAMS as usize, "the server opened {streams} streams");
        }
        drop((client, shared));
        timeout(PATIENCE, answering).await.expect("the connection ends").expect("no panic in its task");
        for task in self.endpoint.health() {
            assert_eq!(task.panics, 0, "{}", task.name);
        }
        let [client, server] = self.witness.as_mut().expect("a witness since the start");
        client.sender.send_control(b"still here?").expect("the witness is connected");
        let heard = timeout(PATIENCE, server.receiver.recv()).await.expect("the witness is heard");
        assert_eq!(heard, Ok((Lane::Control, "still here?".into())));
    }
}

/// Makes frames of input bytes: each begins with a byte that chooses its type, and the fields
/// follow. `ends` has the end of each stream so far.
fn compose(mut input: &[u8], ends: &mut HashMap<u64, u64>) -> Vec<u8> {
    let mut frames = Vec::new();
    while let Some(kind) = next(&mut input) {
        let begin = frames.len();
        frame(kind, &mut input, &mut frames, ends);
        if frames.len() > FRAMES_BYTES_MAX {
            frames.truncate(begin);
            break;
        }
    }
    frames
}

fn next(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

/// Appends one frame (RFC 9000, 19; RFC 9221; draft-ietf-quic-ack-frequency).
fn frame(kind: u8, input: &mut &[u8], frames: &mut Vec<u8>, ends: &mut HashMap<u64, u64>) {
    let (kind, fields): (u64, usize) = match kind % 27 {
        0 => (0x00, 0), // PADDING
        1 => (0x01, 0), // PING
        2 => (0x02, 4), // ACK: largest, delay, ranges, first range
        3 => (0x04, 3), // RESET_STREAM
        4 => (0x05, 2), // STOP_SENDING
        5 => (0x10, 1), // MAX_DATA
        6 => (0x11, 2), // MAX_STREAM_DATA
        7 => (0x12, 1), // MAX_STREAMS
        8 => (0x13, 1),
        9 => (0x14, 1),  // DATA_BLOCKED
        10 => (0x15, 2), // STREAM_DATA_BLOCKED
        11 => (0x16, 1), // STREAMS_BLOCKED
        12 => (0x17, 1),
        13 => (0x19, 1),                                // RETIRE_CONNECTION_ID
        14 => (0x1e, 0),                                // HANDSHAKE_DONE
        15 => (0x1f, 0),                                // IMMEDIATE_ACK
        16 => (0xaf, 4),                                // ACK_FREQUENCY
        17 => (0x1d, 1),                                // CONNECTION_CLOSE, with an empty reason
        18 => return with_data(0x06, 1, input, frames), // CRYPTO
        19 => return with_data(0x07, 0, input, frames), // NEW_TOKEN
        20..=23 => return stream(kind % 27 < 22, input, frames, ends),
        24 => return with_data(0x31, 0, input, frames), // DATAGRAM
        25 => {
            varint(0x18, frames); // NEW_CONNECTION_ID: sequence, retire prior to, ID, token
            let (sequence, retire) = (value(input), value(input));
            varint(sequence, frames);
            varint(retire, frames);
            frames.push(8);
            frames.extend_from_slice(&sequence.to_be_bytes());
            return frames.extend_from_slice(&[sequence as u8; 16]);
        }
        _ => {
            // PATH_CHALLENGE or PATH_RESPONSE, with its data
            varint(0x1a + value(input) % 2, frames);
            return frames.extend_from_slice(&value(input).to_be_bytes());
        }
    };
    varint(kind, frames);
    for _ in 0..fields {
        varint(value(input), frames);
    }
    if kind == 0x1d {
        varint(0, frames);
    }
}

/// Appends a STREAM frame. quinn-proto 0.11.19 takes an end below what came before, and then
/// subtracts with an overflow, so such an end is left out. `library_panic_ends_one_connection` in
/// `tests.rs` sends one.
fn stream(last: bool, input: &mut &[u8], frames: &mut Vec<u8>, ends: &mut HashMap<u64, u64>) {
    let (id, offset, length) = (value(input), value(input), value(input).min(600));
    let end = ends.entry(id).or_default();
    let last = last && offset + length >= *end;
    *end = (*end).max(offset + length);
    varint(0x0e | u64::from(last), frames);
    varint(id, frames);
    varint(offset, frames);
    varint(length, frames);
    frames.extend((0..length).map(|place| place as u8));
}

/// Appends a frame of `fields` numbers, a length and as much data.
fn with_data(kind: u64, fields: usize, input: &mut &[u8], frames: &mut Vec<u8>) {
    varint(kind, frames);
    for _ in 0..fields {
        varint(value(input), frames);
    }
    let length = value(input).min(600);
    varint(length, frames);
    frames.extend((0..length).map(|place| place as u8));
}

/// Returns a number of one input byte: small ones exactly, then powers of two up to the largest
/// that QUIC has.
fn value(input: &mut &[u8]) -> u64 {
    match next(input).unwrap_or(0) {
        small @ 0..=127 => small.into(),
        large => (1_u64 << (large - 128).min(62)).min((1 << 62) - 1),
    }
}

/// Appends a variable-length integer (RFC 9000, 16).
fn varint(value: u64, to: &mut Vec<u8>) {
    match value {
        0..0x40 => to.push(value as u8),
        0x40..0x4000 => to.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => to.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => to.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}
