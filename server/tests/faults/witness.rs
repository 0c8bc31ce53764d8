//! The witnesses: a match that continues during every fault. Numbered pings are all answered, in
//! order; moves arrive; in the end both sides and the server hold the same positions.

use std::{net::SocketAddr, time::Duration};

use netduel_protocol::{
    ClientMessage, CloseCode, Move, ServerMessage, clock, decode,
    game::{self, Heading, Position},
};
use netduel_transport::{Close, Connection, Lane};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::world::{PATIENCE, World, bytes, hello, join};

/// The time between rounds, in each of which both players ping and move.
const ROUND: Duration = Duration::from_millis(5);

/// The match in progress.
pub(crate) struct Witness {
    stop: CancellationToken,
    playing: JoinHandle<u64>,
}

impl Witness {
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_at(world, world.addr, "witness").await
    }

    /// Starts a match whose first player connects to `addr`.
    pub(crate) async fn start_at(world: &World, addr: SocketAddr, code: &str) -> Self {
        let drops = world.kind.capabilities().state_may_drop;
        let mut first = Seat::new(world.connect_at(addr).await, drops);
        first.say(hello());
        first.say(join(code));
        while !first.waiting {
            first.hear().await;
        }
        let mut seats = [first, Seat::new(world.connect().await, drops)];
        seats[1].say(hello());
        seats[1].say(join(code));
        for seat in &mut seats {
            while seat.match_id.is_none() {
                seat.hear().await;
            }
        }
        let stop = CancellationToken::new();
        let playing = tokio::spawn(play(seats, stop.clone()));
        Self { stop, playing }
    }

    /// Ends the match, and returns its number of rounds.
    pub(crate) async fn finish(self) -> u64 {
        self.stop.cancel();
        match timeout(PATIENCE, self.playing).await.expect("the witnesses hang") {
            Ok(rounds) => rounds,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

async fn play(mut seats: [Seat; 2], stop: CancellationToken) -> u64 {
    let mut ticker = interval(ROUND);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rounds = 0;
    // The loop ends when everything sent since the last step has arrived.
    loop {
        let over = stop.is_cancelled();
        ticker.tick().await;
        rounds += 1;
        for seat in &mut seats {
            if !over {
                seat.ping();
                seat.step(rounds);
            } else {
                seat.stand();
            }
        }
        let [ada, grace] = &mut seats;
        let round = tokio::time::sleep(ROUND);
        tokio::pin!(round);
        loop {
            tokio::select! {
                () = &mut round => break,
                () = ada.hear() => {}
                () = grace.hear() => {}
            }
        }
        let told = |mover: &Seat, other: &Seat| other.opponent.position == mover.last.position;
        let answered = seats.iter().all(|seat| seat.pongs == seat.pings);
        if over && answered && told(&seats[0], &seats[1]) && told(&seats[1], &seats[0]) {
            break;
        }
    }
    let [mut ada, mut grace] = seats;
    let goals = [ada.last.position, grace.last.position];
    ada.say(bytes(&ClientMessage::Leave));
    let positions = loop {
        grace.hear().await;
        if let Some(positions) = grace.over {
            break positions;
        }
    };
    assert_eq!(positions, goals, "the server holds what both players hold");
    let done = || Close::new(CloseCode::Done.code(), "the witness is done");
    tokio::join!(ada.connection.receiver.close(done()), grace.connection.receiver.close(done()));
    rounds
}

struct Seat {
    connection: Connection,
    /// Whether the state lane may lose or reorder messages.
    drops: bool,
    waiting: bool,
    match_id: Option<u64>,
    started_us: u64,
    last: Move,
    /// The opponent's newest move.
    opponent: Move,
    pings: u64,
    pongs: u64,
    /// The server's final positions, after the opponent left.
    over: Option<[Position; 2]>,
}

impl Seat {
    fn new(connection: Connection, drops: bool) -> Self {
        let (last, opponent) = (Move::default(), Move::default());
        Self {
            connection,
            drops,
            waiting: false,
            match_id: None,
            started_us: 0,
            last,
            opponent,
            pings: 0,
            pongs: 0,
            over: None,
        }
    }

    fn say(&mut self, bytes: Vec<u8>) {
        self.connection.sender.send_control(&bytes).expect("the witness is connected");
    }

    fn ping(&mut self) {
        self.pings += 1;
        self.say(bytes(&ClientMessage::Ping { sent_us: self.pings }));
    }

    /// Moves along a square, by the rules.
    fn step(&mut self, round: u64) {
        let turn = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][(round / 20 % 4) as usize];
        self.steer(Heading { x: turn.0, y: turn.1 });
    }

    fn stand(&mut self) {
        self.steer(Heading::default());
    }

    fn steer(&mut self, heading: Heading) {
        let at_us = (clock::now_us() - self.started_us).max(self.last.at_us);
        let position = game::advance(self.last.position, heading, at_us - self.last.at_us);
        self.last = Move { seq: self.last.seq + 1, at_us, position, ..self.last };
        let told = bytes(&ClientMessage::Move(self.last.into()));
        self.connection.sender.send_state(&told).expect("the witness is connected");
    }

    /// Receives one message in time, and checks it.
    async fn hear(&mut self) {
        let heard = timeout(PATIENCE, self.connection.receiver.recv()).await;
        let (lane, bytes) = heard.expect("the witness is heard").expect("the witness stays connected");
        match (decode::<ServerMessage<'_>>(&bytes).expect("a message"), lane) {
            (ServerMessage::Welcome { .. }, Lane::Control) => {}
            (ServerMessage::Waiting, Lane::Control) => self.waiting = true,
            (ServerMessage::Started(started), Lane::Control) => {
                self.match_id = Some(started.match_id);
                self.started_us = started.started_us;
                let me = usize::from(started.player);
                let at = |number: usize| Move {
                    match_id: started.match_id,
                    position: started.positions[number],
                    ..Move::default()
                };
                (self.last, self.opponent) = (at(me), at(1 - me));
            }
            (ServerMessage::Pong(pong), Lane::Control) => {
                self.pongs += 1;
                assert_eq!(pong.ping_sent_us, self.pongs, "an answer was lost, repeated or overtaken");
            }
            (ServerMessage::Moved(told), Lane::State) => {
                assert_eq!(Some(told.update.match_id), self.match_id, "a move of another match");
                if told.update.seq > self.opponent.seq {
                    self.opponent = told.update;
                } else {
                    assert!(self.drops, "{:?} after {:?}", told.update, self.opponent);
                }
            }
            (ServerMessage::OpponentLeft { match_id, positions, .. }, Lane::Control) => {
                assert_eq!(Some(match_id), self.match_id);
                self.over = Some(positions);
            }
            other => panic!("the witness was told {other:?}"),
        }
    }
}
