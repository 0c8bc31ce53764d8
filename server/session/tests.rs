//! A session in which the server itself fails.

use netduel_client::{Event, PlayError, Player, PlayerConfig};
use netduel_protocol::{clock, game::Heading};
use netduel_transport::{Identity, Options, TransportKind};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Config, Server};

/// The timeout of every wait; none needs nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// The payload that makes the server panic. No other test sends it.
const FAULT: &[u8] = b"a fault of the server's own";

/// Panics if a message after the first join contains the fault.
pub(super) fn panic_if_asked(bytes: &[u8]) {
    assert!(!bytes.windows(FAULT.len()).any(|window| window == FAULT), "asked for by a test");
}

async fn player(server: std::net::SocketAddr, name: &str, code: &str) -> Player {
    let config = PlayerConfig {
        addr: server,
        server_name: "localhost".into(),
        kind: TransportKind::Memory,
        trust: None,
        options: Options::default(),
        name: name.into(),
        period_us: 16_667,
    };
    let mut player = Player::connect(&config).await.expect("connected");
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

#[tokio::test]
async fn panic_ends_one_match_only() {
    let identity = Identity::generate(&["localhost".into()]).expect("identity");
    let listener = TransportKind::Memory
        .bind(([127, 0, 0, 1], 0).into(), &identity, &Options::default())
        .expect("bound");
    let addr = listener.local_addr();
    let server = Server::new(vec![listener], Config::default());
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
