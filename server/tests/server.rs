//! The server as its players see it: real sockets, every transport, mixed pairs.

use std::time::Duration;

use netduel_client::{Event, PlayError, Player, bot_path::BotPath};
use netduel_protocol::{
    ClientMessage, CloseCode, LeaveReason, MAX_MESSAGE_BYTES, Move, MoveWithPayload,
    PAYLOAD_MAX_BYTES_OF_BOTH, ServerMessage, VERSION, clock, decode, encode,
    game::{Heading, Position, START},
};
use netduel_server::{Config, RelayPolicy};
use netduel_transport::{CloseReason, Connection, Options, TransportKind};
use tokio::time::timeout;

use running::{PATIENCE, PERIOD_US, Running, event, every_kind};

mod running;

impl Running {
    /// Starts a server without a limit on messages, since scripts send as fast as they can.
    fn for_scripts() -> Self {
        let unlimited = u32::MAX;
        Self::with(Config {
            messages_per_s_max: unlimited,
            capacity_messages_per_s: unlimited,
            bytes_per_s_max: unlimited,
            ..Config::default()
        })
    }

    fn with(config: Config) -> Self {
        // All players of a test share one address, and leave at once. `joins.rs` tests this limit.
        let config = Config { early_leave: Duration::ZERO, ..config };
        Self::start(every_kind(), config, &Options::default())
    }

    async fn player(&self, kind: TransportKind, name: &str) -> Player {
        Player::connect(&self.player_config(kind, name, &Options::default())).await.expect("connected")
    }

    /// Starts a match of two players, the first of them number 0.
    async fn matched(&self, kinds: [TransportKind; 2], code: &str) -> [Player; 2] {
        let mut players = [self.player(kinds[0], "Ada").await, self.player(kinds[1], "Grace").await];
        for player in &mut players {
            player.join(Some(code)).expect("open");
            if let Event::Waiting = event(player).await {
                continue;
            }
        }
        assert!(matches!(event(&mut players[0]).await, Event::Started(_)));
        for (number, player) in players.iter().enumerate() {
            let started = &player.current().expect("a match").started;
            assert_eq!(usize::from(started.player), number);
            assert_eq!(started.positions, START);
            assert_eq!(started.opponent_name, ["Grace", "Ada"][number]);
            assert_eq!(started.opponent_transport, kinds[1 - number].name());
        }
        players
    }

    async fn raw(&self, kind: TransportKind) -> Connection {
        let config = self.player_config(kind, "", &Options::default());
        kind.connect(config.addr, "localhost", config.trust.as_ref(), &config.options)
            .await
            .expect("connected")
    }
}

fn every_pair() -> Vec<[TransportKind; 2]> {
    let kinds: Vec<_> = every_kind().collect();
    // Each kind plays itself, and the kind two further on: tcp with quic-stream, tls with quic-uni,
    // …
    (0..kinds.len()).flat_map(|n| [[kinds[n], kinds[n]], [kinds[n], kinds[(n + 2) % kinds.len()]]]).collect()
}

/// Plays `moves` scripted moves of both players, as fast as they can be sent, and compares every
/// party's final positions.
async fn scripted_match(server: &Running, kinds: [TransportKind; 2], moves: u64) {
    let [mut ada, mut grace] =
        server.matched(kinds, &format!("{kinds:?}")[..32.min(format!("{kinds:?}").len())]).await;
    let bot_paths = [BotPath::new(1), BotPath::new(2)];
    for number in 1..=moves {
        let at_us = number * PERIOD_US;
        ada.steer(bot_paths[0].heading(at_us), clock::now_us()).expect("open");
        grace.steer(bot_paths[1].heading(at_us), clock::now_us()).expect("open");
        if number % 16 == 0 {
            for player in [&mut ada, &mut grace] {
                while let Ok(event) = timeout(Duration::ZERO, player.next_event()).await {
                    assert!(
                        matches!(event.expect("open"), Event::OpponentMoved { .. }),
                        "a legal move was corrected"
                    );
                }
            }
        }
    }
    // Both stand still and repeat their position until the opponent has it, as players do on a lane
    // that may drop.
    let goals = [&ada, &grace].map(|player| player.current().expect("a match").position);
    let mut repeats = 0;
    let opponent_at = |player: &Player| player.current().expect("a match").opponent_position;
    while opponent_at(&ada) != goals[1] || opponent_at(&grace) != goals[0] {
        repeats += 1;
        for player in [&mut ada, &mut grace] {
            player.steer(Heading::default(), clock::now_us()).expect("open");
            while let Ok(event) = timeout(Duration::from_millis(5), player.next_event()).await {
                event.expect("open");
            }
        }
        assert!(repeats < 1_000, "{kinds:?} never agree");
    }
    ada.leave().expect("open");
    loop {
        if let Event::OpponentLeft { reason, positions } = event(&mut grace).await {
            assert_eq!(reason, LeaveReason::Left);
            assert_eq!(positions, goals, "the server holds what both players hold");
            break;
        }
    }
    tokio::join!(ada.close(), grace.close());
}

#[tokio::test]
async fn everybody_agrees_after_ten_thousand_moves() {
    let server = Running::for_scripts();
    for kinds in every_pair() {
        scripted_match(&server, kinds, 10_000).await;
    }
    let counters = server.stop().await;
    assert_eq!(counters.moves_illegal, 0);
    assert_eq!(counters.matches_started, every_pair().len() as u64);
    assert_eq!(counters.matches_ended, counters.matches_started);
    assert_eq!(counters.expelled, 0);
}

#[tokio::test]
async fn relay_both_doubles_the_updates() {
    const MOVES: u64 = 500;
    for (relay, updates) in [(RelayPolicy::Other, 2 * MOVES), (RelayPolicy::Both, 4 * MOVES)] {
        let server = Running::with(Config { relay, ..Config::default() });
        let [mut ada, mut grace] =
            server.matched([TransportKind::ALL[0], TransportKind::ALL[1]], "both").await;
        for number in 1..=MOVES {
            for player in [&mut ada, &mut grace] {
                player.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
            }
            // The players move in step, so that nothing is superseded and the counts are exact.
            for player in [&mut ada, &mut grace] {
                while player.current().expect("a match").stats.in_order() < number {
                    assert!(matches!(event(player).await, Event::OpponentMoved { .. }));
                }
            }
        }
        tokio::join!(ada.close(), grace.close());
        let counters = server.stop().await;
        assert_eq!(counters.moves_received, 2 * MOVES);
        assert_eq!(counters.updates_relayed, updates);
    }
}

/// Moves that one read brings count as a burst. The last one arrives alone where the server is
/// told so.
#[tokio::test]
async fn relays_newest_of_a_burst() {
    // As many as the server handles together.
    const MOVES: u64 = 8;
    for kind in [TransportKind::Tcp, TransportKind::QuicDatagram, TransportKind::Udp] {
        for (newest_of_burst, relayed) in [(false, MOVES), (true, 1)] {
            let server = Running::with(Config { newest_of_burst, ..Config::default() });
            let [mut ada, mut grace] = server.matched([kind; 2], "burst").await;
            // Nothing here waits, so the server finds all moves at once.
            for _ in 0..MOVES {
                ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
            }
            let goal = ada.current().expect("a match").position;
            while grace.current().expect("a match").opponent_position != goal {
                assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
            }
            tokio::join!(ada.close(), grace.close());
            let counters = server.stop().await;
            assert_eq!(counters.moves_received, MOVES, "{kind}");
            assert_eq!(counters.updates_relayed, relayed, "{kind}");
            assert_eq!(counters.updates_outdated, MOVES - relayed, "{kind}");
        }
    }
}

/// Returns the payload of move `seq` of player `number`: of each size in turn, and different for
/// each move.
fn payload(number: usize, seq: u32, max: usize) -> Vec<u8> {
    let sizes = [16, 0, 1, 250, 251, max, 256, 512];
    let size = sizes[(seq as usize + number) % sizes.len()];
    (0..size as u32)
        .map(|n| (n.wrapping_add(seq).wrapping_mul(2_654_435_761) >> 19) as u8 ^ number as u8)
        .collect()
}

#[tokio::test]
async fn payloads_arrive_byte_for_byte() {
    const MOVES: u32 = 40;
    for relay in [RelayPolicy::Other, RelayPolicy::Both] {
        let server = Running::with(Config { relay, ..Config::default() });
        for kind in TransportKind::ALL.into_iter().chain([TransportKind::Memory]) {
            let mut players = server.matched([kind, kind], "payload").await;
            let max = players[0].payload_max_bytes();
            assert_eq!(max, relay.payload_max_bytes());
            for seq in 1..=MOVES {
                for (number, player) in players.iter_mut().enumerate() {
                    player.set_payload(&payload(number, seq, max)).expect("short enough");
                    player.steer(Heading::default(), clock::now_us()).expect("open");
                }
                for (number, player) in players.iter_mut().enumerate() {
                    while player.current().expect("a match").stats.in_order() < u64::from(seq) {
                        let Event::OpponentMoved { update, payload: got, .. } = event(player).await else {
                            panic!("not a move over {kind}")
                        };
                        // Under `both`, older moves come again, each with its own payload.
                        assert_eq!(got, payload(1 - number, update.seq, max), "{kind}, {relay}, {update:?}");
                    }
                }
            }
            let [ada, grace] = players;
            tokio::join!(ada.close(), grace.close());
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn refuses_long_payloads() {
    let both = Config { relay: RelayPolicy::Both, ..Config::default() };
    refuses_payloads_over(PAYLOAD_MAX_BYTES_OF_BOTH, both).await;
    refuses_payloads_over(100, Config { payload_max_bytes: 100, ..Config::default() }).await;
}

async fn refuses_payloads_over(limit: usize, config: Config) {
    let too_long = vec![1; limit + 1];
    let server = Running::with(config);
    for kind in TransportKind::ALL {
        let mut ada = server.player(kind, "Ada").await;
        let error = ada.set_payload(&too_long).expect_err("too long");
        assert!(
            matches!(error, PlayError::PayloadTooLong { size, max } if size > max && max == limit),
            "{error}"
        );
        ada.set_payload(&too_long[1..]).expect("short enough");
        ada.join(Some("refused")).expect("open");
        assert_eq!(event(&mut ada).await, Event::Waiting);

        let mut bad = server.raw(kind).await;
        let say = |message: &ClientMessage<'_>| {
            encode(message, &mut [0; MAX_MESSAGE_BYTES]).expect("encodes").to_vec()
        };
        bad.sender.send_control(&say(&ClientMessage::Hello { version: VERSION })).expect("open");
        let join = ClientMessage::Join { name: "Mallory".into(), code: Some("refused".into()) };
        bad.sender.send_control(&say(&join)).expect("open");
        let reason = loop {
            match timeout(PATIENCE, bad.receiver.recv()).await.expect("in time") {
                Ok((_, bytes)) => {
                    if let Ok(ServerMessage::Started(started)) = decode(&bytes) {
                        let update = Move { match_id: started.match_id, seq: 1, ..Move::default() };
                        let told = MoveWithPayload { update, payload: &too_long };
                        bad.sender.send_state(&say(&ClientMessage::Move(told))).expect("open");
                    }
                }
                Err(reason) => break reason,
            }
        };
        assert!(
            matches!(&reason, CloseReason::Remote(close) if close.code == CloseCode::PayloadTooLong.code()),
            "{kind}: {reason}"
        );
        assert!(matches!(event(&mut ada).await, Event::Started(_)));
        assert!(matches!(event(&mut ada).await, Event::OpponentLeft { reason: LeaveReason::Expelled, .. }));
        ada.close().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn survivors_play_again() {
    let server = Running::with(Config { resume_grace: Duration::ZERO, ..Config::default() });
    for kind in TransportKind::ALL {
        // A waiting player that leaves, or whose connection ends, is not matched.
        let mut gone = server.player(kind, "gone").await;
        gone.join(None).expect("open");
        assert_eq!(event(&mut gone).await, Event::Waiting);
        gone.leave().expect("open");
        gone.join(None).expect("open");
        assert_eq!(event(&mut gone).await, Event::Waiting);
        gone.close().await;
        // The server may not have noticed yet that the player left; then the next one is matched
        // with it, and told.
        let mut ada = server.player(kind, "Ada").await;
        loop {
            ada.join(None).expect("open");
            match event(&mut ada).await {
                Event::Waiting => break,
                Event::Started(_) => drop(event(&mut ada).await),
                other => panic!("{other:?}"),
            }
        }
        let mut grace = server.player(kind, "Grace").await;
        grace.join(None).expect("open");
        assert!(matches!(event(&mut ada).await, Event::Started(_)));
        assert!(matches!(event(&mut grace).await, Event::Started(_)));
        // The survivor is told the reason, and queues again on the same connection.
        drop(grace);
        assert!(matches!(
            event(&mut ada).await,
            Event::OpponentLeft { reason: LeaveReason::Disconnected, .. }
        ));
        ada.join(None).expect("open");
        assert_eq!(event(&mut ada).await, Event::Waiting);
        let mut next = server.player(kind, "next").await;
        next.join(None).expect("open");
        assert!(matches!(event(&mut ada).await, Event::Started(_)));
        tokio::join!(ada.close(), next.close());
    }
    server.stop().await;
}

/// Tests kinds whose close cannot overtake the move: both arrive in one read.
#[tokio::test]
async fn last_move_before_the_close_counts() {
    let server = Running::with(Config::default());
    for kind in [TransportKind::ALL[0], TransportKind::ALL[1]] {
        let [mut ada, mut grace] = server.matched([kind, kind], "last").await;
        ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
        let last = ada.current().expect("a match").position;
        ada.close().await;
        let positions = loop {
            match event(&mut grace).await {
                Event::OpponentLeft { positions, .. } => break positions,
                Event::OpponentMoved { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(positions.contains(&last), "{kind}: {positions:?}, not {last:?}");
        grace.close().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn corrects_illegal_moves() {
    let server = Running::with(Config::default());
    for kind in TransportKind::ALL {
        let [mut ada, mut grace] = server.matched([kind, kind], "correct").await;
        // The right to jump so far takes a second to earn.
        ada.send_move(Position { x: 300.0, y: 300.0 }, clock::now_us()).expect("open");
        let Event::Corrected(correction) = event(&mut ada).await else { panic!("no correction over {kind}") };
        assert_eq!((correction.corrections, correction.seq, correction.position), (1, 1, START[0]));
        assert_eq!(ada.current().expect("a match").position, START[0], "the prediction is undone");

        ada.steer(Heading { x: 1.0, y: 1.0 }, clock::now_us()).expect("open");
        let expected = ada.current().expect("a match").position;
        match event(&mut grace).await {
            Event::OpponentMoved { update, .. } => {
                assert_eq!((update.position, update.corrections), (expected, 1))
            }
            other => panic!("{other:?}"),
        }
        tokio::join!(ada.close(), grace.close());
    }
    let counters = server.stop().await;
    assert_eq!(counters.moves_illegal, TransportKind::ALL.len() as u64);
}

#[tokio::test]
async fn expels_flooders_and_cheats() {
    let server = Running::with(Config { messages_per_s_max: 500, ..Config::default() });
    for kind in TransportKind::ALL {
        let [mut ada, mut grace] = server.matched([kind, kind], "witness").await;
        let [flooder, mut victim] = server.matched([kind, kind], "flooded").await;
        let flood = async {
            let mut flooder = flooder;
            loop {
                // Pings use the reliable lane, in step with their answers, so that nothing is lost
                // on the way.
                if let Err(error) = flooder.ping() {
                    break error;
                }
                if let Err(error) = flooder.next_event().await {
                    break error;
                }
            }
        };
        let error = timeout(PATIENCE, flood).await.expect("an end in time");
        assert!(
            matches!(error, PlayError::Refused { code: CloseCode::TooManyMessages, .. }),
            "{kind}: {error}"
        );
        assert!(matches!(
            event(&mut victim).await,
            Event::OpponentLeft { reason: LeaveReason::Expelled, .. }
        ));
        victim.close().await;

        ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
        assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }), "{kind}");
        tokio::join!(ada.close(), grace.close());
    }
    let counters = server.stop().await;
    assert_eq!(counters.expelled, TransportKind::ALL.len() as u64);

    let server = Running::for_scripts();
    let kind = TransportKind::ALL[0];
    let [mut cheat, mut victim] = server.matched([kind, kind], "cheat").await;
    let error = loop {
        // The cheat applies every correction and jumps again.
        if let Err(error) = cheat.send_move(Position { x: 600.0, y: 500.0 }, clock::now_us()) {
            break error;
        }
        if let Err(error) = cheat.next_event().await {
            break error;
        }
    };
    assert!(matches!(error, PlayError::Refused { code: CloseCode::TooManyCorrections, .. }), "{error}");
    assert!(matches!(event(&mut victim).await, Event::OpponentLeft { reason: LeaveReason::Expelled, .. }));
    server.stop().await;
}

#[tokio::test]
async fn refuses_when_full_and_expels_silence() {
    let config = Config { connections_max: 2, join_timeout: Duration::from_millis(200), ..Config::default() };
    let server = Running::with(config);
    for kind in TransportKind::ALL {
        let silent = [server.raw(kind).await, server.raw(kind).await];
        // The server is full once it has entered both; until then the third is admitted.
        let refusal = loop {
            match Player::connect(&server.player_config(kind, "third", &Options::default())).await {
                Ok(player) => player.close().await,
                Err(error) => break error,
            }
        };
        assert!(matches!(refusal, PlayError::Refused { code: CloseCode::ServerFull, .. }), "{refusal}");
        for mut connection in silent {
            let reason =
                timeout(PATIENCE, connection.receiver.recv()).await.expect("in time").expect_err("silent");
            let CloseReason::Remote(close) = reason else { panic!("{reason}") };
            assert!(
                [CloseCode::JoinTimeout.code(), CloseCode::ServerFull.code()].contains(&close.code),
                "{close}"
            );
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn drain_lets_matches_finish() {
    for (lets_finish, drain_timeout) in [(true, PATIENCE), (false, Duration::from_millis(100))] {
        let server = Running::with(Config { drain_timeout, ..Config::default() });
        let [kind, other] = [TransportKind::ALL[0], TransportKind::ALL[4]];
        let [mut ada, mut grace] = server.matched([kind, other], "drained").await;
        let mut waiting = server.player(kind, "waiting").await;
        waiting.join(None).expect("open");
        assert_eq!(event(&mut waiting).await, Event::Waiting);

        server.shutdown.cancel();
        let shutting_down =
            |error: PlayError| matches!(error, PlayError::Refused { code: CloseCode::ShuttingDown, .. });
        assert!(shutting_down(waiting.next_event().await.expect_err("no player waits any more")));
        for player in [&mut ada, &mut grace] {
            assert!(matches!(event(player).await, Event::Draining { .. }));
        }
        if lets_finish {
            ada.steer(Heading::default(), clock::now_us()).expect("open");
            assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
            ada.close().await;
        }
        let ended = async {
            loop {
                if let Err(error) = grace.next_event().await {
                    break error;
                }
            }
        };
        assert!(shutting_down(timeout(PATIENCE, ended).await.expect("in time")));
        server.stop().await;
    }
}
