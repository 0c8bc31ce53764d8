//! Sessions in which the server itself fails, and the allowance of messages.

use netduel_client::{Event, PlayError, Player, PlayerConfig};
use netduel_protocol::{
    clock,
    game::{Heading, Position},
};
use netduel_transport::{Identity, Options, TransportKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Config, Server, faults, metrics::MetricsListener};

/// The timeout of every wait; none needs nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// The payload that makes the server panic. No other test sends it.
const FAULT: &[u8] = b"a fault of the server's own";

/// Panics if a message after the first join contains the fault.
pub(super) fn panic_if_asked(bytes: &[u8]) {
    assert!(!bytes.windows(FAULT.len()).any(|window| window == FAULT), "asked for by a test");
}

fn config(server: std::net::SocketAddr, name: &str) -> PlayerConfig {
    PlayerConfig {
        addr: server,
        server_name: "localhost".into(),
        kind: TransportKind::Memory,
        trust: None,
        options: Options::default(),
        name: name.into(),
        period_us: 16_667,
    }
}

async fn player(server: std::net::SocketAddr, name: &str, code: &str) -> Player {
    let mut player = Player::connect(&config(server, name)).await.expect("connected");
    player.join(Some(code)).expect("open");
    player
}

async fn event(player: &mut Player) -> Event {
    timeout(PATIENCE, player.next_event()).await.expect("an event in time").expect("open")
}

async fn matched(server: std::net::SocketAddr, code: &str) -> [Player; 2] {
    let mut players = [player(server, "Ada", code).await, player(server, "Grace", code).await];
    for player in &mut players {
        while !matches!(event(player).await, Event::Started(_)) {}
    }
    players
}

async fn plays_on([ada, grace]: &mut [Player; 2]) {
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(grace).await, Event::OpponentMoved { .. }));
}

/// Starts a server of memory connections. Returns it with its address.
fn server(config: Config) -> (Server, std::net::SocketAddr) {
    let identity = Identity::generate(&["localhost".into()]).expect("identity");
    let listener = TransportKind::Memory
        .bind(([127, 0, 0, 1], 0).into(), &identity, &Options::default())
        .expect("bound");
    let addr = listener.local_addr();
    (Server::new(vec![listener], config), addr)
}

#[tokio::test]
async fn panic_ends_one_match_only() {
    let (server, addr) = server(Config::default());
    let (observer, shutdown) = (server.observer(), CancellationToken::new());
    let serving = tokio::spawn(server.run(shutdown.clone()));

    let [mut ada, mut grace] = matched(addr, "witness").await;
    let [mut hit, mut opponent] = matched(addr, "hit").await;
    hit.set_payload(FAULT).expect("fits");
    hit.steer(Heading::default(), clock::now_us()).expect("open");
    let error = timeout(PATIENCE, hit.next_event()).await.expect("in time").expect_err("over");
    assert!(matches!(error, PlayError::Refused { code: CloseCode::ServerFault, .. }), "{error}");
    assert!(matches!(
        event(&mut opponent).await,
        Event::OpponentLeft { reason: LeaveReason::Disconnected, .. }
    ));
    opponent.join(None).expect("open");
    assert_eq!(event(&mut opponent).await, Event::Waiting, "the survivor may play again");

    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
    let census = observer.census();
    assert_eq!((census.matches, census.waiting), (1, 1));
    tokio::join!(ada.close(), grace.close(), opponent.close());
    shutdown.cancel();
    let counters = serving.await.expect("the server did not panic");
    assert_eq!((counters.panics, counters.expelled), (1, 0));
}

/// Kills each task of the server in turn, beside a match. The match continues, health names the
/// task, and the task starts again.
#[tokio::test]
async fn task_panic_ends_nothing_else() {
    let (server, addr) = server(Config { resume_grace: Duration::from_millis(20), ..Config::default() });
    let (observer, shutdown) = (server.observer(), CancellationToken::new());
    let metrics = MetricsListener::bind(([127, 0, 0, 1], 0).into(), vec![]).await.expect("bound");
    let metrics_addr = metrics.local_addr().expect("bound");
    metrics.serve(&observer);
    let serving = tokio::spawn(server.run(shutdown.clone()));
    let mut witness = matched(addr, "witness").await;

    let strike = async |place: &'static str| {
        faults::arm(place);
        let provoke = async {
            match place {
                "metrics" => drop(health(metrics_addr).await),
                "deadlines" => lose_a_player(addr).await,
                "memory" => {} // It acts by itself.
                _ => drop(Player::connect(&config(addr, "struck")).await),
            }
        };
        let struck = async {
            while !faults::is_spent() {
                tokio::task::yield_now().await;
            }
            observer.trouble()
        };
        let (trouble, ()) = tokio::join!(struck, provoke);
        trouble
    };
    for (count, place) in (1..).zip(["accept", "metrics", "deadlines", "memory", "handshake"]) {
        let trouble = timeout(PATIENCE, strike(place)).await.expect("struck");
        match place {
            // One session ends, and no task.
            "handshake" => assert_eq!(trouble, None),
            _ => assert!(trouble.is_some_and(|said| said.contains(place)), "health names '{place}'"),
        }
        plays_on(&mut witness).await;
        assert_eq!(observer.snapshot().panics, count, "{place}");
        while observer.trouble().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The task does its work again, the interrupted deadline included.
        let next = matched(addr, "next").await;
        let mut lost = lost_player(addr).await;
        assert!(matches!(event(&mut lost).await, Event::OpponentLeft { .. }), "after '{place}'");
        assert!(health(metrics_addr).await.starts_with("HTTP/1.1 200 OK"), "after '{place}'");
        plays_on(&mut witness).await;
        let [ada, grace] = next;
        tokio::join!(ada.close(), grace.close(), lost.close());
    }
    let [ada, grace] = witness;
    tokio::join!(ada.close(), grace.close());
    shutdown.cancel();
    let counters = serving.await.expect("the server did not panic");
    assert_eq!((counters.panics, counters.matches_started), (5, counters.matches_ended));
}

/// Starts a match of which one player is lost. Returns the other one.
async fn lost_player(addr: std::net::SocketAddr) -> Player {
    let [mut ada, grace] = matched(addr, "lost").await;
    drop(grace);
    assert!(matches!(event(&mut ada).await, Event::OpponentReconnecting { .. }));
    ada
}

/// Loses a player, and waits for the end of its match.
async fn lose_a_player(addr: std::net::SocketAddr) {
    let mut ada = lost_player(addr).await;
    assert!(matches!(event(&mut ada).await, Event::OpponentLeft { .. }));
}

async fn health(addr: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connected");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await; // A struck task answers nothing.
    answer
}

/// Returns how often `act` was answered before the server expelled the player for its messages.
async fn answers_before_expulsion(
    player: &mut Player,
    act: impl Fn(&mut Player) -> Result<(), PlayError>,
    answered: fn(&Event) -> bool,
) -> u32 {
    let mut answers = 0;
    loop {
        let heard = match act(player) {
            Ok(()) => timeout(PATIENCE, player.next_event()).await.expect("in time"),
            Err(error) => Err(error),
        };
        match heard {
            Ok(event) => answers += u32::from(answered(&event)),
            Err(PlayError::Refused { code: CloseCode::TooManyMessages, .. }) => return answers,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The clock stands still, so that the allowance is that of one second.
#[tokio::test(start_paused = true)]
async fn messages_cost_what_they_cause() {
    const PER_S: u32 = 100;
    let config = Config { messages_per_s_max: PER_S, ..Config::default() };
    let (server, addr) = server(config);
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.run(shutdown.clone()));

    let mut pinger = player(addr, "pinger", "alone").await;
    assert_eq!(event(&mut pinger).await, Event::Waiting);
    let pongs = answers_before_expulsion(&mut pinger, |it| it.ping(), |it| matches!(it, Event::Pong { .. }));
    assert_eq!(pongs.await, PER_S);

    let mut joiner = player(addr, "joiner", "again").await;
    assert_eq!(event(&mut joiner).await, Event::Waiting);
    let again = |player: &mut Player| player.leave().and_then(|()| player.join(Some("again")));
    let waits = answers_before_expulsion(&mut joiner, again, |it| *it == Event::Waiting).await;
    assert_eq!(waits, PER_S / (1 + 1 + JOIN_COST), "of a leave and a join each");

    let [mut cheat, victim] = matched(addr, "cheat").await;
    let jump = |player: &mut Player| player.send_move(Position { x: 500.0, y: 500.0 }, 0).map(drop);
    let corrected = |it: &Event| matches!(it, Event::Corrected(_));
    assert_eq!(answers_before_expulsion(&mut cheat, jump, corrected).await, PER_S / 5);

    drop(victim);
    shutdown.cancel();
    assert_eq!(serving.await.expect("no panic").expelled_flooding, 3);
}
