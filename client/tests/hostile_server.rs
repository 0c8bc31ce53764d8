//! Servers that lie: any messages in any order, and texts that would take over a terminal.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    time::Duration,
};

use netduel_client::{
    Event, Player, PlayerConfig,
    stats::{
        Freshness,
        live::{LiveStats, RECENT_US, TRACE_US},
    },
};
use netduel_protocol::{
    Correction, LeaveReason, MAX_MESSAGE_BYTES, Move, MoveWithPayload, Pong, ResumeTicket, Resumed,
    SeatToken, ServerMessage, Started, VERSION, clock, encode,
    game::{Heading, Position},
};
use netduel_transport::{CloseReason, Connection, Identity, Options, TransportKind};
use proptest::prelude::*;
use tokio::time::timeout;

/// A text that clears a screen, sets a title, writes the clipboard, forges a line of a log, and
/// reverses what follows.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;mine\u{7}\u{1b}]52;c;cm0=\u{7}\r\n\
    2026 INFO all is well\u{202e}\u{2066}\u{2028}\u{9b}1m";
/// The characters of it that are no controls, and are not seen either.
const UNSEEN: &str = "\u{202e}\u{2066}\u{2028}";

/// The numbers of a liar.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), Just(u64::MAX - 1), 0u64..10_000_000, any::<u64>()]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(u32::MAX), Just(u32::MAX - 1), 0u32..100, any::<u32>()]
}

fn position() -> impl Strategy<Value = Position> {
    (0f32..=550.0, 0f32..=550.0).prop_map(|(x, y)| Position { x, y })
}

fn update() -> impl Strategy<Value = MoveWithPayload<'static>> {
    (small(), number(), small(), any::<u16>(), position(), 0usize..=500).prop_map(
        |(seq, at_us, clock_error_us, corrections, position, bytes)| MoveWithPayload {
            update: Move { match_id: 1, seq, at_us, clock_error_us, corrections, position },
            payload: &[7; 500][..bytes],
        },
    )
}

fn ticket() -> impl Strategy<Value = ResumeTicket> {
    small().prop_map(|grace_ms| ResumeTicket { token: SeatToken::new([1; SeatToken::BYTES]), grace_ms })
}

fn started() -> impl Strategy<Value = Started> {
    (0u8..=1, small(), [position(), position()], number(), proptest::option::of(ticket())).prop_map(
        |(player, tick_rate_hz, positions, started_us, resume_ticket)| Started {
            match_id: 1,
            player,
            velocity: f32::MAX,
            tick_rate_hz,
            positions,
            started_us,
            opponent_name: "liar".into(),
            opponent_transport: "tcp".into(),
            resume_ticket,
        },
    )
}

fn message() -> impl Strategy<Value = ServerMessage<'static>> {
    let corrected = (any::<u16>(), small(), position()).prop_map(|(corrections, seq, position)| {
        ServerMessage::Corrected(Correction { match_id: 1, corrections, seq, position })
    });
    let resumed = (0u8..=1, [position(), position()], small(), any::<u16>(), ticket()).prop_map(
        |(player, positions, seq, corrections, resume_ticket)| {
            let opponent_transport = "udp".into();
            let match_id = 1;
            ServerMessage::Resumed(Resumed {
                match_id,
                player,
                positions,
                seq,
                corrections,
                opponent_transport,
                resume_ticket,
            })
        },
    );
    let pong = [number(), number(), number()].prop_map(|[ping_sent_us, received_us, sent_us]| {
        ServerMessage::Pong(Pong { ping_sent_us, received_us, sent_us })
    });
    prop_oneof![
        10 => update().prop_map(ServerMessage::Moved),
        2 => [update(), update()].prop_map(ServerMessage::MovedBoth),
        4 => pong,
        2 => corrected,
        2 => started().prop_map(ServerMessage::Started),
        1 => small().prop_map(|seconds| ServerMessage::Draining { seconds }),
        1 => small().prop_map(|grace_ms| ServerMessage::OpponentReconnecting { match_id: 1, grace_ms }),
        1 => Just(ServerMessage::OpponentBack { match_id: 1, opponent_transport: "tls".into() }),
        1 => Just(ServerMessage::Waiting),
        1 => resumed,
        1 => [position(), position()].prop_map(|positions| {
            ServerMessage::OpponentLeft { match_id: 1, reason: LeaveReason::Left, positions }
        }),
    ]
}

/// An action of a player between two messages.
#[derive(Clone, Copy, Debug)]
enum Act {
    Steer(u64),
    Ping,
    Restart,
    Open([u64; 3]),
    Finish,
    Nothing,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => number().prop_map(Act::Steer),
        1 => Just(Act::Ping),
        1 => Just(Act::Restart),
        1 => [number(), number(), number()].prop_map(Act::Open),
        1 => Just(Act::Finish),
        4 => Just(Act::Nothing),
    ]
}

fn say(server: &Connection, message: &ServerMessage<'_>) {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    if let Ok(bytes) = encode(message, &mut buffer) {
        let _ = server.sender.send_control(bytes);
    }
}

/// Looks at everything that a window shows of a match.
fn look(player: &Player, live: &LiveStats) {
    let now_us = player.match_us(clock::now_us());
    let Some(current) = player.current() else { return };
    let _ = live.figures(now_us, &current.stats, current.sent, current.superseded);
    let _ = (live.trace(now_us, TRACE_US, 200), live.trace(now_us, RECENT_US, 600));
    let totals = current.stats.finished(now_us);
    let mut merged = totals.clone();
    merged.merge(&totals);
    let _ = (merged.in_order(), merged.perceived_delay_us(), merged.age.mean_us());
}

async fn hear(player: &mut Player, live: &mut LiveStats) -> bool {
    while let Ok(heard) = timeout(Duration::ZERO, player.next_event()).await {
        let Ok(event) = heard else { return false };
        let now_us = player.match_us(clock::now_us());
        match event {
            Event::OpponentMoved { update, freshness, .. } => {
                live.on_move(now_us, &update, freshness);
                live.on_move(now_us, &update, Freshness::Fresh);
            }
            Event::Pong { rtt_us, up_us, in_server_us } => {
                live.on_pong(now_us, up_us, in_server_us, rtt_us.saturating_sub(up_us));
            }
            _ => {}
        }
        live.on_path(now_us, player.path_stats());
        look(player, live);
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever numbers a server sends, in whatever order, the player goes on or ends with an
    /// error.
    /// This build checks every sum for overflow.
    #[test]
    fn no_number_of_a_server_panics(
        clock: u64,
        first in started(),
        script in prop::collection::vec((message(), act()), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let identity = Identity::generate(&["localhost".into()]).expect("identity");
            let kind = TransportKind::Memory;
            let listener = kind.bind(([127, 0, 0, 1], 0).into(), &identity, &Options::default()).expect("bound");
            let config = PlayerConfig {
                addr: listener.local_addr(),
                server_name: "localhost".into(),
                kind,
                trust: None,
                options: Options::default(),
                name: "Ada".into(),
                period_us: 16_667,
            };
            let accepted = async {
                let server = listener.accept().await.expect("a client").finish().await.expect("connected");
                say(&server, &ServerMessage::Welcome { version: VERSION, clock, payload_max_bytes: u16::MAX });
                server
            };
            let (player, server) = tokio::join!(Player::connect(&config), accepted);
            let (mut player, mut live) = (player.expect("welcome"), LiveStats::default());
            player.set_reconnect_targets(Vec::new());
            say(&server, &ServerMessage::Started(first));
            for (message, act) in script {
                if !hear(&mut player, &mut live).await {
                    return;
                }
                let goes_on = match act {
                    Act::Steer(at_us) => player.steer(Heading { x: 1.0, y: -1.0 }, at_us).is_ok(),
                    Act::Ping => player.ping().is_ok(),
                    Act::Restart => {
                        player.restart_stats();
                        true
                    }
                    Act::Open([begin_us, open_us, close_us]) => {
                        player.open_window(begin_us, open_us.min(close_us)..close_us);
                        true
                    }
                    Act::Finish => {
                        player.finish_stats();
                        true
                    }
                    Act::Nothing => true,
                };
                look(&player, &live);
                say(&server, &message);
                let _ = goes_on;
            }
            hear(&mut player, &mut live).await;
        });
    }
}

/// Runs the bot against a server that answers everybody with `answer`. Returns all that it prints,
/// its log included.
fn printed(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.write_all(&answer);
            // Until the bot has gone: an early close would reset what it has not read yet.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let output = Command::new(env!("CARGO_BIN_EXE_netduel-bot"))
        .args(["--server", &addr, "--transport", "tcp"])
        .env("RUST_LOG", "trace")
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(1));
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    text(output.stdout) + &text(output.stderr)
}

/// Makes a frame of the stream kinds.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u16).to_be_bytes()[..], &[kind], payload].concat()
}

#[test]
fn hostile_texts_reach_no_terminal() {
    const CONTROL: u8 = 0;
    const CLOSE: u8 = 3;
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let mut control =
        |message: &ServerMessage<'_>| frame(CONTROL, encode(message, &mut buffer).expect("encodes"));
    let close = |code: u32| frame(CLOSE, &[&code.to_be_bytes()[..], HOSTILE.as_bytes()].concat());
    let welcome = control(&ServerMessage::Welcome { version: VERSION, clock: 0, payload_max_bytes: 100 });
    let named = |opponent_name: &str, opponent_transport: &str| Started {
        match_id: 1,
        player: 0,
        velocity: 5.0,
        tick_rate_hz: 60,
        positions: [Position::default(); 2],
        started_us: 0,
        opponent_name: opponent_name.into(),
        opponent_transport: opponent_transport.into(),
        resume_ticket: None,
    };
    let hostile_name = control(&ServerMessage::Started(named(&HOSTILE[..20], "tcp")));
    let hostile_transport = control(&ServerMessage::Started(named("Ada", &HOSTILE[..20])));
    for (what, answer, told) in [
        ("a refusal", close(0x102), "all is well"),
        ("a close of its own", close(0x9999), "all is well"),
        ("a close after the welcome", [welcome.clone(), close(0x102)].concat(), "all is well"),
        ("a name", [welcome.clone(), hostile_name].concat(), "cannot be shown"),
        ("a transport", [welcome, hostile_transport].concat(), "cannot be shown"),
    ] {
        let printed = printed(answer);
        assert!(printed.contains(told), "{what}: {printed}");
        let unseen = |char: char| char.is_control() && char != '\n' || UNSEEN.contains(char);
        assert!(!printed.contains(unseen), "{what}: {printed:?}");
        assert!(
            !printed.lines().any(|line| line.starts_with("2026 INFO")),
            "{what}: a forged line: {printed}"
        );
    }
}

#[test]
fn close_reasons_are_shown_safely() {
    let close = netduel_transport::Close::new(1, HOSTILE);
    for reason in [CloseReason::Remote(close), CloseReason::Transport(HOSTILE.into())] {
        let text = netduel_client::PlayError::from(reason).to_string();
        assert!(!text.contains(|char: char| char.is_control() || char == '\u{202e}'), "{text:?}");
    }
}
