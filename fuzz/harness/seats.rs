//! Seats under a script of bytes: players are cut off, come back with their tokens and take each other's seats, over the
//! memory transport, on one thread and without a clock that matters, so that the same bytes do the same again. The worlds of
//! `simulation/` keep no seats yet; once they do, this is theirs.

use std::{collections::HashMap, future::poll_fn, pin::pin, sync::LazyLock, task::Poll, time::Duration};

use netduel_protocol::{
    ClientMessage, GameId, MAX_MESSAGE_BYTES, Move, SeatToken, ServerMessage, VERSION, decode, encode,
    game::Position,
};
use netduel_server::{Census, Config, Observer, Server, Snapshot};
use netduel_transport::{Connection, Identity, Lane, Options, TransportKind};
use tokio_util::sync::CancellationToken;

/// Enough for two matches, one who waits, and one who is refused.
const PLAYERS: usize = 6;
/// Below the players, so that some are refused.
const CONNECTIONS_MAX: usize = 5;
/// Steps of one script: a fuzzer's longer inputs add nothing but time.
const STEPS_MAX: usize = 256;
/// Turns that let every task see what happened: each message passes a few tasks at most.
const TURNS: usize = 16;
/// Longer than a script: when it is over does not depend on bytes.
const GRACE: Duration = Duration::from_secs(3_600);

static IDENTITY: LazyLock<Identity> =
    LazyLock::new(|| Identity::generate(&["localhost".into()]).expect("an identity"));

/// What a player of the script knows.
struct Seat {
    connection: Connection,
    /// The match, and where it was at its beginning or when it came back.
    playing: Option<(GameId, Position)>,
    seq: u32,
    corrections: u16,
}

/// Runs `script`, two bytes a step: who, and what it does.
///
/// # Panics
/// If the server breaks what it promises.
pub fn seats(script: &[u8]) {
    play_seats(script);
}

/// The same, and what the server counted.
///
/// # Panics
/// Likewise.
pub fn play_seats(script: &[u8]) -> Snapshot {
    // No sockets, so no reactor: that makes a runtime cheap enough for one each run.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(World::run(script))
}

struct World {
    addr: std::net::SocketAddr,
    observer: Observer,
    seats: [Option<Seat>; PLAYERS],
    /// Who was told of a match, by player number.
    matches: HashMap<GameId, [Option<usize>; 2]>,
    /// What would bring each back that was ever told; it outlives the connection.
    ways_back: [Option<(GameId, SeatToken)>; PLAYERS],
}

impl World {
    async fn run(script: &[u8]) -> Snapshot {
        let kind = TransportKind::MEMORY;
        let listener =
            kind.bind(([127, 0, 0, 1], 0).into(), &IDENTITY, &Options::default()).expect("a free port");
        let addr = listener.local_addr();
        let config = Config {
            connections_max: CONNECTIONS_MAX,
            matches_max: 2,
            resume_grace: GRACE,
            ..Config::default()
        };
        let server = Server::new(vec![listener], config);
        let (observer, shutdown) = (server.observer(), CancellationToken::new());
        let serving = tokio::spawn(server.run(shutdown.clone()));
        let (seats, ways_back) = Default::default();
        let mut world = Self { addr, observer, seats, matches: HashMap::new(), ways_back };
        for step in script.chunks_exact(2).take(STEPS_MAX) {
            world.step(usize::from(step[0]) % PLAYERS, step[0] / PLAYERS as u8, step[1]).await;
            settle().await;
            for number in 0..PLAYERS {
                world.listen(number).await;
            }
            world.check();
        }
        world.seats = Default::default();
        settle().await;
        let Census { connections, waiting, matches, away, handshakes, .. } = world.observer.census();
        assert!(connections.is_empty() && [waiting, handshakes] == [0; 2], "something is left over");
        assert_eq!(away, 2 * matches, "a seat is taken by nobody");
        shutdown.cancel();
        let counters = serving.await.expect("the server does not panic");
        assert_eq!(
            counters.matches_started, counters.matches_ended,
            "the end of the server is that of all seats"
        );
        counters
    }

    async fn step(&mut self, number: usize, action: u8, value: u8) {
        let Some(seat) = &mut self.seats[number] else {
            let kind = TransportKind::MEMORY;
            let connection = kind.connect(self.addr, "localhost", None, &Options::default()).await;
            let connection = connection.expect("the server listens");
            let seat = Seat { connection, playing: None, seq: 0, corrections: 0 };
            // Most say hello; the others are there to be expelled.
            if value != 0 {
                seat.say(&ClientMessage::Hello { version: VERSION }, Lane::Control);
            }
            if action % 4 == 1 {
                // Its own seat, or somebody else's.
                let way_back = self.ways_back[usize::from(value) % PLAYERS].clone();
                let (game, token) = way_back.unwrap_or((1, SeatToken::new([0; SeatToken::BYTES])));
                let attempt = u32::from(value) / PLAYERS as u32;
                seat.say(&ClientMessage::Resume { game, token, attempt }, Lane::Control);
            }
            self.seats[number] = Some(seat);
            return;
        };
        match action % 8 {
            0 => self.seats[number] = None,
            1 => seat.say(&ClientMessage::Leave, Lane::Control),
            2 => seat.say(&ClientMessage::Ping { sent_us: value.into() }, Lane::Control),
            3 => seat.raw(&[value; 3], if value.is_multiple_of(2) { Lane::Control } else { Lane::State }),
            4 | 5 => {
                let code = (value > 200).then(|| (value % 3).to_string());
                seat.say(&ClientMessage::Join { name: number.to_string(), code }, Lane::Control);
            }
            _ => seat.walk(value),
        }
    }

    /// What the server says to a player, and whether it may.
    async fn listen(&mut self, number: usize) {
        let Some(seat) = &mut self.seats[number] else { return };
        while let Some(heard) = at_once(seat.connection.receiver.recv()).await {
            let Ok((lane, bytes)) = heard else {
                self.seats[number] = None;
                return;
            };
            match (decode::<ServerMessage>(&bytes).expect("the server speaks the protocol"), lane) {
                (ServerMessage::Started(started), Lane::Control) => {
                    let told = self.matches.entry(started.game).or_default();
                    let mine = &mut told[usize::from(started.player)];
                    assert_eq!(mine.replace(number), None, "told twice that one match begins");
                    assert_ne!(started.peer_name, number.to_string(), "a match with oneself");
                    if let [Some(first), Some(second)] = *told {
                        let peer = if number == first { second } else { first };
                        assert_eq!(started.peer_name, peer.to_string(), "partners of different matches");
                    }
                    let start = started.positions[usize::from(started.player)];
                    (seat.seq, seat.corrections, seat.playing) = (0, 0, Some((started.game, start)));
                    let way_back = started.way_back.expect("seats are kept");
                    self.ways_back[number] = Some((started.game, way_back.token));
                }
                (ServerMessage::Resumed(resumed), Lane::Control) => {
                    assert!(self.matches.contains_key(&resumed.game) && seat.playing.is_none());
                    let place = resumed.positions[usize::from(resumed.player)];
                    (seat.seq, seat.corrections) = (resumed.seq, resumed.corrections);
                    seat.playing = Some((resumed.game, place));
                    self.ways_back[number] = Some((resumed.game, resumed.way_back.token));
                }
                (
                    ServerMessage::PeerReconnecting { game, .. } | ServerMessage::PeerBack { game, .. },
                    Lane::Control,
                ) => {
                    assert_eq!(seat.playing.map(|(playing, _)| playing), Some(game), "not its match");
                }
                (ServerMessage::Moved(told), Lane::State) => {
                    let playing = seat.playing.map(|(game, _)| game);
                    // The other lane may be ahead: a move of a match that is over comes late.
                    assert!(self.matches.contains_key(&told.update.game), "a move of no match: {playing:?}");
                }
                (ServerMessage::Corrected(correction), Lane::Control) => {
                    seat.corrections = correction.corrections;
                }
                (ServerMessage::PeerLeft { .. }, Lane::Control) => seat.playing = None,
                (ServerMessage::Welcome { .. } | ServerMessage::Waiting | ServerMessage::Pong(_), _) => {}
                (other, lane) => panic!("{other:?} on the {lane:?} lane"),
            }
        }
    }

    fn check(&self) {
        let census = self.observer.census();
        let connected: usize = census.connections.iter().map(|(_, count)| count).sum();
        assert!(connected <= CONNECTIONS_MAX, "more than may be: {census:?}");
        assert!(census.away <= 2 * census.matches, "more seats than there are: {census:?}");
        let seated = 2 * census.matches - census.away;
        assert!(seated + census.waiting <= connected, "seats without players: {census:?}");
        assert!(!census.draining);
        let counters = self.observer.snapshot();
        let Snapshot { matches_started, matches_ended, panics, .. } = counters;
        assert_eq!(matches_started - matches_ended, census.matches as u64, "matches get lost");
        assert_eq!(panics, 0);
        let accounted = counters.updates_relayed
            + counters.updates_undeliverable
            + counters.updates_away
            + counters.moves_stale
            + counters.moves_illegal;
        let lost = counters.moves_received - accounted;
        assert!(lost <= counters.expelled, "moves vanish: {counters:?}");
    }
}

impl Seat {
    fn say(&self, message: &ClientMessage<'_>, lane: Lane) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        self.raw(encode(message, &mut buffer).expect("fits"), lane);
    }

    /// Whether the connection still stands is for [`World::listen`] to find out.
    fn raw(&self, bytes: &[u8], lane: Lane) {
        match lane {
            Lane::Control => drop(self.connection.sender.send_control(bytes)),
            Lane::State => drop(self.connection.sender.send_state(bytes)),
        }
    }

    /// A move: in its place, or somewhere it cannot be, or of a match that is not its own.
    fn walk(&mut self, value: u8) {
        self.seq += 1;
        let (game, start) = self.playing.unwrap_or((1, Position::default()));
        let game = if value == 255 { game + 1 } else { game };
        let position = if value > 240 { Position { x: f32::from(value), ..start } } else { start };
        let seq = if (231..=240).contains(&value) { 1 } else { self.seq };
        let update = Move {
            game,
            seq,
            position,
            corrections: self.corrections,
            at_us: u64::from(seq),
            ..Move::default()
        };
        self.say(&ClientMessage::Move(update.into()), Lane::State);
    }
}

/// What `future` has now. A timeout of nothing would wait for the timer's next millisecond.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn settle() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}
