//! One list of promises, held by every transport: each case of [`CASES`] runs over each kind, on real sockets.
//!
//! A new kind in `TransportKind::ALL` is tested without a line here. The cases run one after another, since some of
//! them count what the whole process holds.

mod hostile_input;
mod trust;

use std::{future::Future, net::SocketAddr, pin::Pin, process::ExitCode, time::Duration};

use crate::{DatagramProxy, Impairment};
use hostile_input::{
    a_rough_path_costs_no_control_message, forged_datagrams_change_nothing,
    half_closed_and_unfinished_input_ends_the_connection, two_kinds_never_connect,
};
use libtest_mimic::{Arguments, Failed, Trial};
use netduel_transport::{
    CloseReason, Congestion, CongestionControl, ConnectError, Connection, Goodbye, Identity, Lane, Listener,
    MAX_CONTROL_BYTES, MAX_STATE_BYTES, Options, Receiver, SendError, Sender, TransportKind,
};
use tokio::{net::TcpStream, time::timeout};
use trust::{
    no_session_outlives_its_trust_or_its_certificate, only_trusted_certificates_are_accepted,
    sessions_are_resumed_only_where_both_sides_ask_for_it,
};

/// No single wait in this suite needs nearly as long; a case that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

type Case = fn(TransportKind) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        const CASES: &[(&str, Case)] = &[$((stringify!($name), |kind| Box::pin($name(kind)))),*];
    };
}

cases![
    both_lanes_carry_messages_both_ways,
    a_batch_leaves_with_its_flush,
    a_batch_of_control_leaves_with_its_flush_and_keeps_its_place,
    control_keeps_order_under_load,
    a_stalled_reader_gets_the_newest_state_and_costs_no_memory,
    the_largest_messages_pass_and_larger_ones_are_refused,
    either_side_closes_with_a_reason,
    a_dropped_connection_says_goodbye,
    a_full_control_lane_ends_the_connection,
    quiet_connections_stay_alive,
    a_silent_peer_is_given_up_after_the_idle_timeout,
    messages_right_behind_the_handshake_arrive,
    nobody_there_is_a_typed_error,
    only_trusted_certificates_are_accepted,
    two_kinds_never_connect,
    half_closed_and_unfinished_input_ends_the_connection,
    forged_datagrams_change_nothing,
    a_rough_path_costs_no_control_message,
    a_thousand_connections_leave_nothing_behind,
    listeners_share_an_address_only_where_asked,
    path_stats_say_what_is_in_effect,
    sessions_are_resumed_only_where_both_sides_ask_for_it,
    no_session_outlives_its_trust_or_its_certificate,
];

/// Runs every case over each of `kinds`, as a test program with the usual arguments.
pub fn run(kinds: impl IntoIterator<Item = TransportKind>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = kinds.into_iter().flat_map(trials).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Returns every case over `kind`.
pub fn trials(kind: TransportKind) -> Vec<Trial> {
    CASES.iter().map(|(name, case)| trial(kind, name, *case)).collect()
}

fn trial(kind: TransportKind, name: &str, case: Case) -> Trial {
    Trial::test(format!("{kind}::{name}"), move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime
            .block_on(async { timeout(PATIENCE * 3, case(kind)).await })
            .map_err(|_| Failed::from("the case hangs"))
    })
}

// ---- what the cases are made of ----

struct Server {
    listener: Listener,
    identity: Identity,
}

fn localhost() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn serve(kind: TransportKind, options: &Options) -> Server {
    let identity = Identity::generate(&["localhost".into(), "127.0.0.1".into()]).expect("identity");
    let listener = kind.bind(localhost(), &identity, options).expect("bind");
    Server { listener, identity }
}

impl Server {
    async fn accept(&self) -> Connection {
        self.listener.accept().await.expect("accept").finish().await.expect("server handshake")
    }

    async fn connect(&self, options: &Options) -> Connection {
        let kind = self.listener.kind();
        kind.connect(self.listener.local_addr(), "localhost", Some(&self.identity.trust()), options)
            .await
            .expect("client handshake")
    }

    async fn pair(&self, options: &Options) -> (Connection, Connection) {
        tokio::join!(self.connect(options), self.accept())
    }
}

async fn pair(kind: TransportKind) -> (Connection, Connection) {
    serve(kind, &Options::default()).pair(&Options::default()).await
}

async fn recv(receiver: &mut Receiver) -> Result<(Lane, Vec<u8>), CloseReason> {
    let message = timeout(PATIENCE, receiver.recv()).await.expect("a message or an end, in time");
    message.map(|(lane, bytes)| (lane, bytes.to_vec()))
}

/// A pair with a path between them that the test holds; `None` if the kind's own packets are the kernel's.
async fn pair_over_a_path(
    kind: TransportKind,
    options: &Options,
) -> Option<(DatagramProxy, Connection, Connection)> {
    let server = serve(kind, options);
    let addr = server.listener.local_addr();
    if kind == TransportKind::MEMORY || raw_tcp(addr).await.is_some() {
        return None;
    }
    let path = DatagramProxy::to(addr).await;
    let trust = server.identity.trust();
    let connecting = kind.connect(path.addr(), "localhost", Some(&trust), options);
    let (client, accepted) = tokio::join!(connecting, server.accept());
    Some((path, client.expect("client handshake"), accepted))
}

fn done() -> Goodbye {
    Goodbye::new(Goodbye::FIRST_APPLICATION_CODE, "done")
}

/// Polls a receiver until its connection ends, as every user of a connection must.
fn drive(mut receiver: Receiver) -> tokio::task::JoinHandle<CloseReason> {
    tokio::spawn(async move {
        loop {
            if let Err(reason) = receiver.recv().await {
                return reason;
            }
        }
    })
}

async fn echo_works(client: &mut Connection, server: &mut Connection) {
    for (from, to) in [(&client.sender, &mut server.receiver), (&server.sender, &mut client.receiver)] {
        from.send_control(b"still here").expect("open");
        assert_eq!(recv(to).await, Ok((Lane::Control, b"still here".to_vec())));
    }
}

/// Whether the address speaks TCP, found by trying: the suite asks no kind for its name.
async fn raw_tcp(addr: SocketAddr) -> Option<TcpStream> {
    TcpStream::connect(addr).await.ok()
}

// ---- the promises ----

async fn both_lanes_carry_messages_both_ways(kind: TransportKind) {
    let (mut client, mut server) = pair(kind).await;
    for round in 0..50u8 {
        for (from, to) in [(&client.sender, &mut server.receiver), (&server.sender, &mut client.receiver)] {
            for (lane, send) in [
                (Lane::Control, Sender::send_control as fn(&Sender, &[u8]) -> _),
                (Lane::State, |sender, message| sender.send_state(message).map(drop)),
            ] {
                let message = vec![round; usize::from(round) + 1];
                send(from, &message).expect("open");
                assert_eq!(recv(to).await, Ok((lane, message)));
            }
        }
    }
}

async fn a_batch_of_control_leaves_with_its_flush_and_keeps_its_place(kind: TransportKind) {
    let (mut client, mut server) = pair(kind).await;
    let number = |number: u32| number.to_be_bytes();
    for round in 0..3 {
        let numbers = round * 20..(round + 1) * 20;
        for count in numbers.clone().take(19) {
            client.sender.queue_control(&number(count)).expect("open");
        }
        // In one round by a flush, in the others by what does not wait.
        match round {
            0 => {
                client.sender.queue_control(&number(19)).expect("open");
                assert_eq!(client.sender.flush(), Ok(0));
            }
            _ => client.sender.send_control(&number(round * 20 + 19)).expect("open"),
        }
        for count in numbers {
            let (lane, message) = tokio::select! {
                received = timeout(PATIENCE, server.receiver.recv()) => received.expect("in time").expect("open"),
                early = client.receiver.recv() => panic!("the server says nothing: {early:?}"),
            };
            assert_eq!((lane, &message[..]), (Lane::Control, &number(count)[..]));
        }
    }
}

async fn a_batch_leaves_with_its_flush(kind: TransportKind) {
    const BATCH: u32 = 200; // More than may wait unwritten, with what surrounds it.
    let (client, mut server) = pair(kind).await;
    let (sender, _driving) = (client.sender, drive(client.receiver));
    for round in 0..5 {
        let numbers = round * BATCH + 1..=(round + 1) * BATCH;
        let mut superseded = 0;
        for number in numbers.clone() {
            superseded += sender.queue_state(&[&number.to_be_bytes()[..], &[0; 40]].concat()).expect("open");
        }
        superseded += sender.flush().expect("open");
        let (mut newest, mut received) = (round * BATCH, 0);
        while newest < *numbers.end() {
            let mut next =
                Some(timeout(PATIENCE, server.receiver.recv()).await.expect("in time").expect("open"));
            while let Some((lane, message)) = next {
                assert_eq!(lane, Lane::State);
                let number = u32::from_be_bytes(message[..4].try_into().expect("four bytes"));
                assert!(number > newest, "{number} after {newest}");
                (newest, received) = (number, received + 1);
                next = server.receiver.try_recv().expect("open");
            }
        }
        if !kind.capabilities().state_may_drop {
            assert_eq!(received + superseded, BATCH as usize, "each arrives or is counted");
        }
    }
}

async fn control_keeps_order_under_load(kind: TransportKind) {
    const MESSAGES: u32 = 5_000;
    const BURST: u32 = 100;
    let (client, server) = pair(kind).await;
    let (sender, _driving) = (client.sender, drive(client.receiver));
    let mut receiver = server.receiver;
    for burst in 0..MESSAGES / BURST {
        for number in burst * BURST..(burst + 1) * BURST {
            sender.send_control(&number.to_be_bytes()).expect("open");
            sender.send_state(b"in between").expect("open");
        }
        for expected in burst * BURST..(burst + 1) * BURST {
            loop {
                match recv(&mut receiver).await.expect("open") {
                    (Lane::Control, message) => break assert_eq!(message, expected.to_be_bytes()),
                    (Lane::State, message) => assert_eq!(message, b"in between"),
                }
            }
        }
    }
}

async fn a_stalled_reader_gets_the_newest_state_and_costs_no_memory(kind: TransportKind) {
    const UPDATES: u32 = 200_000;
    const GROWTH_MAX_BYTES: usize = 6 << 20; // a fifth of what is sent
    let update = |number: u32| {
        let mut bytes = vec![0; 150];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let (client, server) = pair(kind).await;
    let (sender, _driving) = (client.sender, drive(client.receiver));
    let mut receiver = server.receiver;
    let before = resident_bytes();
    for number in 0..UPDATES {
        sender.send_state(&update(number)).expect("open");
        if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        assert!(after.saturating_sub(before) < GROWTH_MAX_BYTES, "grew from {before} to {after} bytes");
    }
    // The reader wakes up. Where the wire may drop, the sender does what a game does: it goes on sending.
    let newest = update(UPDATES);
    sender.send_state(&newest).expect("open");
    let mut previous = 0;
    loop {
        match timeout(Duration::from_millis(100), receiver.recv()).await {
            Ok(message) => {
                let (lane, message) = message.expect("open");
                assert_eq!(lane, Lane::State);
                let number = u32::from_be_bytes(message[..4].try_into().expect("four bytes"));
                if !kind.capabilities().state_may_drop {
                    assert!(number >= previous, "{number} came after {previous}");
                }
                previous = number;
                if number == UPDATES {
                    break;
                }
            }
            Err(_) if kind.capabilities().state_may_drop => drop(sender.send_state(&newest).expect("open")),
            Err(_) => panic!("the newest update never arrived"),
        }
    }
}

async fn the_largest_messages_pass_and_larger_ones_are_refused(kind: TransportKind) {
    let (mut client, mut server) = pair(kind).await;
    let (control, state) = (vec![7; MAX_CONTROL_BYTES], vec![8; MAX_STATE_BYTES]);
    client.sender.send_control(&control).expect("open");
    assert_eq!(recv(&mut server.receiver).await, Ok((Lane::Control, control.clone())));
    client.sender.send_state(&state).expect("open");
    assert_eq!(recv(&mut server.receiver).await, Ok((Lane::State, state.clone())));
    client.sender.send_control(&[]).expect("open");
    assert_eq!(recv(&mut server.receiver).await, Ok((Lane::Control, vec![])));

    let refused = |size: usize, max: usize| SendError::TooLarge { size, max };
    let larger = [control, vec![7]].concat();
    assert_eq!(client.sender.send_control(&larger), Err(refused(MAX_CONTROL_BYTES + 1, MAX_CONTROL_BYTES)));
    let larger = [state, vec![8]].concat();
    assert_eq!(client.sender.send_state(&larger), Err(refused(MAX_STATE_BYTES + 1, MAX_STATE_BYTES)));
    echo_works(&mut client, &mut server).await;
}

async fn either_side_closes_with_a_reason(kind: TransportKind) {
    let server = serve(kind, &Options::default());
    for client_closes in [true, false] {
        let (client, accepted) = server.pair(&Options::default()).await;
        let (closing, mut other) = if client_closes { (client, accepted) } else { (accepted, client) };
        let goodbye = Goodbye::new(Goodbye::FIRST_APPLICATION_CODE + 3, "the server is full: try later");
        closing.sender.close(goodbye.clone());
        closing.sender.close(Goodbye::new(1, "the first goodbye counts"));
        let closed = CloseReason::Local(goodbye.clone());
        assert_eq!(closing.sender.send_control(b"late"), Err(SendError::Closed(closed.clone())));
        assert_eq!(closing.sender.send_state(b"late"), Err(SendError::Closed(closed.clone())));
        let mut receiver = closing.receiver;
        assert_eq!(recv(&mut receiver).await, Err(closed.clone()));
        assert_eq!(recv(&mut receiver).await, Err(closed), "the same again");
        let flushed = tokio::spawn(receiver.close(goodbye.clone()));
        assert_eq!(recv(&mut other.receiver).await, Err(CloseReason::Peer(goodbye.clone())));
        assert_eq!(
            recv(&mut other.receiver).await,
            Err(CloseReason::Peer(goodbye.clone())),
            "the same again"
        );
        assert_eq!(other.sender.send_state(b"late"), Err(SendError::Closed(CloseReason::Peer(goodbye))));
        drop(other);
        flushed.await.expect("closed");
    }
}

async fn a_dropped_connection_says_goodbye(kind: TransportKind) {
    let (client, mut server) = pair(kind).await;
    let sender = client.sender.clone();
    drop(client.receiver);
    assert!(matches!(sender.send_state(b"?"), Err(SendError::Closed(CloseReason::Local(_)))));
    match recv(&mut server.receiver).await {
        Err(CloseReason::Peer(goodbye)) => assert_eq!(goodbye.code, Goodbye::GONE),
        other => panic!("{other:?}"),
    }
}

async fn a_full_control_lane_ends_the_connection(kind: TransportKind) {
    let (client, server) = pair(kind).await;
    let (sender, ending) = (client.sender, drive(client.receiver));
    let message = vec![1; MAX_CONTROL_BYTES];
    let mut sent = 0;
    let error = loop {
        match sender.send_control(&message) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 100_000, "400 MB were queued for a peer that does not read");
        tokio::task::yield_now().await;
    };
    assert!(matches!(error, SendError::Closed(CloseReason::ControlLaneFull(_))), "{error}");
    assert!(matches!(ending.await, Ok(CloseReason::ControlLaneFull(_))));
    // The peer, once it reads again, finds that it is over.
    let mut receiver = server.receiver;
    while recv(&mut receiver).await.is_ok() {}
}

async fn quiet_connections_stay_alive(kind: TransportKind) {
    let options = Options {
        keep_alive: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(400),
        ..Options::default()
    };
    let (mut client, mut server) = serve(kind, &options).pair(&options).await;
    let quiet = async { tokio::join!(client.receiver.recv(), server.receiver.recv()) };
    assert!(timeout(options.idle_timeout * 3, quiet).await.is_err(), "nothing is said, and nobody hangs up");
    echo_works(&mut client, &mut server).await;
}

async fn a_silent_peer_is_given_up_after_the_idle_timeout(kind: TransportKind) {
    if kind == TransportKind::MEMORY {
        return; // Its peer cannot fall silent: it is here.
    }
    let idle_timeout = Duration::from_millis(400);
    let impatient = Options { keep_alive: idle_timeout / 2, idle_timeout, ..Options::default() };
    let start = std::time::Instant::now();
    let given_up = Err(CloseReason::IdleTimeout(idle_timeout));
    if let Some((path, mut client, mut accepted)) = pair_over_a_path(kind, &impatient).await {
        echo_works(&mut client, &mut accepted).await;
        path.set(Impairment::Blackhole);
        let (ours, theirs) = tokio::join!(recv(&mut client.receiver), recv(&mut accepted.receiver));
        assert_eq!((ours, theirs), (given_up.clone(), given_up));
    } else {
        // The kernel carries a stream, so the peer is silenced instead: it is not polled, and says nothing by itself.
        let seldom = Options { keep_alive: PATIENCE * 2, idle_timeout: PATIENCE * 4, ..Options::default() };
        let server = serve(kind, &seldom);
        let (mut client, _accepted) = tokio::join!(server.connect(&impatient), server.accept());
        assert_eq!(recv(&mut client.receiver).await, given_up);
    }
    assert!(start.elapsed() >= idle_timeout, "not before its time");
}

async fn messages_right_behind_the_handshake_arrive(kind: TransportKind) {
    let server = serve(kind, &Options::default());
    for _ in 0..20 {
        let client = async {
            let client = server.connect(&Options::default()).await;
            client.sender.send_control(b"hello at once").expect("open");
            client
        };
        let (_client, mut accepted) = tokio::join!(client, server.accept());
        assert_eq!(recv(&mut accepted.receiver).await, Ok((Lane::Control, b"hello at once".to_vec())));
    }
}

async fn nobody_there_is_a_typed_error(kind: TransportKind) {
    let options = Options { handshake_timeout: Duration::from_millis(300), ..Options::default() };
    let server = serve(kind, &options);
    let (addr, trust) = (server.listener.local_addr(), server.identity.trust());
    drop(server);
    match kind.connect(addr, "localhost", Some(&trust), &options).await {
        Err(ConnectError::Unreachable { .. } | ConnectError::Timeout { .. }) => {}
        other => panic!("{other:?}"),
    }
}

async fn a_thousand_connections_leave_nothing_behind(kind: TransportKind) {
    const CONNECTIONS: usize = 1_000;
    let server = serve(kind, &Options::default());
    let metrics = tokio::runtime::Handle::current().metrics();
    let mut baseline = None;
    for number in 0..CONNECTIONS {
        let (client, mut accepted) = server.pair(&Options::default()).await;
        client.sender.send_control(b"one of a thousand").expect("open");
        recv(&mut accepted.receiver).await.expect("a message");
        // QUIC lingers for a few round trips after its close; nobody needs to wait in line for that.
        tokio::spawn(client.receiver.close(done()));
        recv(&mut accepted.receiver).await.expect_err("closed");
        if number == 0 {
            drop(accepted);
            settle(|| metrics.num_alive_tasks(), |alive| alive <= 2).await;
            baseline = Some((metrics.num_alive_tasks(), open_files()));
        }
    }
    let (tasks, files) = baseline.expect("ran");
    settle(|| metrics.num_alive_tasks(), |alive| alive <= tasks).await;
    settle(open_files, |open| open <= files).await;
}

/// Waits until `good(read())`, and fails with the last reading if that does not come.
async fn settle<T: Copy + std::fmt::Debug>(read: impl Fn() -> T, good: impl Fn(T) -> bool) {
    let polling = async {
        while !good(read()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, polling).await.is_ok(), "stays at {:?}", read());
}

/// Descriptors this process holds; `None` where the system does not show them.
fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

fn resident_bytes() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

async fn listeners_share_an_address_only_where_asked(kind: TransportKind) {
    const CONNECTIONS: usize = 32; // All on one of two listeners: once in two billion.
    let server = serve(kind, &Options::default());
    let addr = server.listener.local_addr();
    assert!(kind.bind(addr, &server.identity, &Options::default()).is_err(), "it is taken");
    if kind == TransportKind::MEMORY || cfg!(not(target_os = "linux")) {
        return; // There is nothing to share.
    }
    let options = Options { share_port: true, ..Options::default() };
    let first = serve(kind, &options);
    let second = kind.bind(first.listener.local_addr(), &first.identity, &options).expect("shared");
    let mut accepted = [0; 2];
    let accept = async {
        for _ in 0..CONNECTIONS {
            let (which, accepting) = tokio::select! {
                accepting = first.listener.accept() => (0, accepting),
                accepting = second.accept() => (1, accepting),
            };
            let mut connection = accepting.expect("accept").finish().await.expect("server handshake");
            assert!(recv(&mut connection.receiver).await.is_ok());
            accepted[which] += 1;
        }
    };
    let connect = async {
        for _ in 0..CONNECTIONS {
            let client = first.connect(&options).await;
            client.sender.send_control(b"hello").expect("open");
            drive(client.receiver);
        }
    };
    tokio::join!(accept, connect);
    assert!(accepted[0] > 0 && accepted[1] > 0, "{accepted:?}");
}

async fn path_stats_say_what_is_in_effect(kind: TransportKind) {
    for congestion in [Congestion::Cubic, Congestion::Reno] {
        let options = Options { congestion, nodelay: false, ..Options::default() };
        let (mut client, mut server) = serve(kind, &options).pair(&options).await;
        echo_works(&mut client, &mut server).await;
        for sender in [&client.sender, &server.sender] {
            let stats = sender.path_stats();
            assert_eq!(stats.tls.is_some(), kind.capabilities().encrypted);
            if kind == TransportKind::MEMORY || !cfg!(target_os = "linux") {
                continue;
            }
            assert!(stats.rtt_us.is_some_and(|rtt| rtt > 0 && rtt < 1_000_000), "{stats:?}");
            assert!(stats.sent_bytes.is_some_and(|bytes| bytes > 10), "{stats:?}");
            assert!(stats.sent_packets.is_some_and(|packets| packets > 1), "{stats:?}");
            if kind.capabilities().congestion != CongestionControl::AsAsked {
                assert_eq!(stats.congestion, None, "it has none of those");
                continue;
            }
            assert!(stats.congestion_window_bytes.is_some_and(|window| window > 1_000), "{stats:?}");
            let in_effect = stats.congestion.expect("read back");
            // An ordinary user may use only what the system allows; the promise is that we say what we got.
            let allowed = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_allowed_congestion_control");
            if allowed.is_ok_and(|list| list.contains(congestion.name())) {
                assert_eq!(in_effect, congestion.name());
            }
        }
    }
}
