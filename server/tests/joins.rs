//! Players who join and leave at once, and who try match codes: they are held back, and nobody else
//! is. The time is simulated, and passes only while all wait.

use netduel_client::{Event, PlayError, Player};
use netduel_protocol::{CloseCode, clock, game::Heading};
use netduel_server::Config;
use netduel_transport::{Options, TransportKind};
use tokio::time::timeout;

use running::{PATIENCE, Running, event};

mod running;

const KIND: TransportKind = TransportKind::Memory;

impl Running {
    fn with(config: Config) -> Self {
        Self::start([KIND], config, &Options::default())
    }

    async fn player(&self, name: &str) -> Player {
        let config = self.player_config(KIND, name, &Options::default());
        Player::connect(&config).await.expect("connected")
    }

    async fn joined(&self, name: &str, code: Option<&str>) -> Player {
        let mut player = self.player(name).await;
        player.join(code).expect("open");
        player
    }

    async fn witness(&self) -> [Player; 2] {
        let mut players = [self.joined("Ada", Some("w")).await, self.joined("Grace", Some("w")).await];
        for player in &mut players {
            while !matches!(event(player).await, Event::Started(_)) {}
        }
        players
    }
}

async fn plays_on([ada, grace]: &mut [Player; 2]) {
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(grace).await, Event::OpponentMoved { .. }));
}

async fn next_is_started(player: &mut Player) -> bool {
    matches!(event(player).await, Event::Started(_))
}

#[tokio::test(start_paused = true)]
async fn grabber_is_held_back() {
    let server = Running::with(Config::default());
    let mut witness = server.witness().await;
    let mut waiter = server.player("waiter").await;
    let mut grabber = server.player("grabber").await;
    // A few early leaves are anybody's mistake.
    for _ in 0..3 {
        waiter.join(None).expect("open");
        assert_eq!(event(&mut waiter).await, Event::Waiting, "the player who was left joins at once");
        grabber.join(None).expect("open");
        assert!(next_is_started(&mut grabber).await && next_is_started(&mut waiter).await);
        grabber.leave().expect("open");
        assert!(matches!(event(&mut waiter).await, Event::OpponentLeft { .. }));
    }
    waiter.join(None).expect("open");
    assert_eq!(event(&mut waiter).await, Event::Waiting);
    grabber.join(None).expect("open");
    assert_eq!(event(&mut grabber).await, Event::Waiting, "although somebody waits");
    assert_eq!(server.observer.snapshot().joins_held, 1);
    let mut honest = server.joined("honest", None).await;
    assert!(next_is_started(&mut honest).await && next_is_started(&mut waiter).await);

    // The join that was held back takes effect later.
    let mut late = server.joined("late", None).await;
    loop {
        match event(&mut late).await {
            Event::Waiting => {}
            Event::Started(started) => break assert_eq!(started.opponent_name, "grabber"),
            other => panic!("{other:?}"),
        }
    }
    plays_on(&mut witness).await;
    let [ada, grace] = witness;
    tokio::join!(ada.close(), grace.close(), honest.close(), waiter.close(), late.close(), grabber.close());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leaving_ends_the_hold() {
    let server = Running::with(Config::default());
    let [mut ada, mut grace] = server.witness().await;
    for round in 0..4 {
        ada.leave().expect("open");
        assert!(matches!(event(&mut grace).await, Event::OpponentLeft { .. }));
        for player in [&mut ada, &mut grace] {
            player.join(Some("again")).expect("open");
        }
        if round < 2 {
            for player in [&mut ada, &mut grace] {
                while !next_is_started(player).await {}
            }
            continue;
        }
        // The third one is held. It may leave meanwhile, which changes nothing for the next.
        assert_eq!((event(&mut ada).await, event(&mut grace).await), (Event::Waiting, Event::Waiting));
        ada.leave().expect("open");
        ada.join(Some("again")).expect("open");
        assert_eq!(event(&mut ada).await, Event::Waiting);
        assert_eq!(server.observer.census().waiting, 2);
        assert!(next_is_started(&mut ada).await && next_is_started(&mut grace).await);
        break;
    }
    let counters = server.observer.snapshot();
    assert_eq!((counters.joins_held, counters.refused_joins, counters.expelled), (2, 0, 0));
    tokio::join!(ada.close(), grace.close());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn code_guesser_is_stopped() {
    let config =
        Config { connections_per_address_max: 16, messages_per_s_max: u32::MAX, ..Config::default() };
    let server = Running::with(config);
    let mut witness = server.witness().await;
    let mut friend = server.joined("friend", Some("031337")).await;
    assert_eq!(event(&mut friend).await, Event::Waiting);

    let mut guesser = server.player("guesser").await;
    let mut tried = 0;
    let guesses = async {
        loop {
            if let Err(error) = guesser.join(Some(&format!("{tried:06}"))) {
                break error;
            }
            match guesser.next_event().await {
                Ok(Event::Waiting) => tried += 1,
                Ok(other) => panic!("the guesser was told {other:?}"),
                Err(error) => break error,
            }
            if let Err(error) = guesser.leave() {
                break error;
            }
        }
    };
    let error = timeout(PATIENCE, guesses).await.expect("an end in time");
    assert!(matches!(error, PlayError::Refused { code: CloseCode::TooManyJoins, .. }), "{error}");
    assert!(tried < 100, "{tried} codes were tried");
    assert_eq!(server.observer.snapshot().refused_joins, 1);
    assert_eq!(server.observer.census().waiting, 1, "the friend waits as before");

    // Players without a code are not affected.
    let [mut first, mut second] = [server.joined("one", None).await, server.joined("two", None).await];
    for player in [&mut first, &mut second] {
        while !next_is_started(player).await {}
    }
    plays_on(&mut witness).await;
    let [ada, grace] = witness;
    tokio::join!(ada.close(), grace.close(), friend.close(), first.close(), second.close());
    server.stop().await;
}
