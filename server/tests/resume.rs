//! Players that lose the connection and resume their seat: over real sockets, over every transport,
//! and from one transport to another.

use std::time::Duration;

use netduel_client::{Event, Player, PlayerConfig, bot_path::BotPath};
use netduel_protocol::{
    ClientMessage, CloseCode, LeaveReason, MAX_MESSAGE_BYTES, MatchId, Move, SeatToken, ServerMessage,
    Started, VERSION, clock, decode, encode,
    game::{Heading, Position},
};
use netduel_server::{Config, Snapshot};
use netduel_transport::{Close, CloseReason, Connection, Options, TransportKind};
use tokio::time::{Instant, sleep_until, timeout};

use netduel_testkit::TcpUdpProxy;
use running::{PERIOD_US, Running, every_kind};

mod running;

/// The timeout of every wait; none needs nearly as long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Moves of each player before the cut and after it.
const MOVES: u64 = 500;
/// The time for which a player that is cut off walks on. It notices the loss later.
const OUTAGE_WALK: Duration = Duration::from_secs(1);

/// Returns short timeouts, since the tests wait for a lost path to be noticed.
fn quick_to_notice() -> Options {
    Options {
        keep_alive: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(1_500),
        ..Options::default()
    }
}

fn kind(name: &str) -> TransportKind {
    name.parse().expect("a kind")
}

impl Running {
    /// Starts a server without a limit on messages, since scripts send as fast as they can. Its
    /// players lose their connections right after the start of a match.
    fn for_scripts(config: Config, options: &Options) -> Self {
        Self::start(
            every_kind(),
            Config {
                messages_per_s_max: u32::MAX,
                capacity_messages_per_s: u32::MAX,
                bytes_per_s_max: u32::MAX,
                early_leave: Duration::ZERO,
                ..config
            },
            options,
        )
    }

    fn config(&self, kind: TransportKind, options: &Options) -> PlayerConfig {
        self.player_config(kind, &format!("over {kind}"), options)
    }

    /// Opens a connection that sends a hello and `next`.
    async fn raw(&self, kind: TransportKind, next: &ClientMessage<'_>) -> Connection {
        let trust = Some(&self.trust);
        let connection = kind
            .connect(self.addresses[&kind], "localhost", trust, &Options::default())
            .await
            .expect("connected");
        for message in [&ClientMessage::Hello { version: VERSION }, next] {
            let mut buffer = [0; MAX_MESSAGE_BYTES];
            connection.sender.send_control(encode(message, &mut buffer).expect("encodes")).expect("open");
        }
        connection
    }

    /// Starts a match of two raw connections. Returns each with its start message.
    async fn raw_match(&self, kind: TransportKind) -> [(Connection, Started); 2] {
        let join = ClientMessage::Join { name: "raw".into(), code: Some("raw".into()) };
        let mut first = self.raw(kind, &join).await;
        hear(&mut first, |message| matches!(message, ServerMessage::Waiting).then_some(())).await;
        let mut second = self.raw(kind, &join).await;
        let (one, other) = (started(&mut first).await, started(&mut second).await);
        [(first, one), (second, other)]
    }

    /// Returns the server's close for a bad token.
    async fn refusal(&self, kind: TransportKind, match_id: MatchId, token: SeatToken, attempt: u32) -> Close {
        server_close(self.raw(kind, &ClientMessage::Resume { match_id, token, attempt }).await).await
    }

    /// Opens a connection that resumes a seat. Returns it with the next token.
    async fn back(
        &self,
        kind: TransportKind,
        match_id: MatchId,
        token: SeatToken,
        attempt: u32,
    ) -> (Connection, SeatToken) {
        let mut back = self.raw(kind, &ClientMessage::Resume { match_id, token, attempt }).await;
        let next = resumed(&mut back).await;
        (back, next)
    }
}

/// Waits for the next `wanted` message, and returns what `wanted` took from it.
async fn hear<T>(connection: &mut Connection, wanted: impl Fn(ServerMessage<'_>) -> Option<T>) -> T {
    loop {
        let (_, bytes) = timeout(PATIENCE, connection.receiver.recv()).await.expect("in time").expect("open");
        if let Some(found) = wanted(decode(&bytes).expect("decodes")) {
            return found;
        }
    }
}

async fn started(connection: &mut Connection) -> Started {
    hear(connection, |message| match message {
        ServerMessage::Started(started) => Some(started),
        _ => None,
    })
    .await
}

/// Waits until the seat is resumed. Returns the next token.
async fn resumed(connection: &mut Connection) -> SeatToken {
    hear(connection, |message| match message {
        ServerMessage::Resumed(resumed) => Some(resumed.resume_ticket.token),
        _ => None,
    })
    .await
}

async fn opponent_back(connection: &mut Connection) {
    hear(connection, |message| matches!(message, ServerMessage::OpponentBack { .. }).then_some(())).await;
}

/// Waits for the server's close.
async fn server_close(mut connection: Connection) -> Close {
    loop {
        match timeout(PATIENCE, connection.receiver.recv()).await.expect("an end in time") {
            Ok(_) => {}
            Err(CloseReason::Remote(close)) => return close,
            Err(reason) => panic!("{reason}"),
        }
    }
}

fn token(started: &Started) -> SeatToken {
    started.resume_ticket.as_ref().expect("seats are kept").token.clone()
}

/// Two players in a match, both of them always polled, and their events except for moves.
struct Duel {
    players: [Player; 2],
    heard: [Vec<Event>; 2],
    bot_paths: [BotPath; 2],
    /// The time of the script, which chooses the headings.
    script_us: u64,
}

impl Duel {
    async fn begin(configs: [&PlayerConfig; 2], code: &str) -> Self {
        let connect = async |config| Player::connect(config).await.expect("connected");
        let players = [connect(configs[0]).await, connect(configs[1]).await];
        let mut duel = Self {
            players,
            heard: Default::default(),
            bot_paths: [BotPath::new(1), BotPath::new(2)],
            script_us: 0,
        };
        for number in [0, 1] {
            duel.players[number].join(Some(code)).expect("open");
            duel.until("the queue", |duel| !duel.heard[number].is_empty()).await;
        }
        duel.until("the start", |duel| duel.players.iter().all(|player| player.current().is_some())).await;
        duel.heard = Default::default();
        duel
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let (number, event) = tokio::select! {
                next = self.next() => next,
                () = sleep_until(deadline) => panic!("never came: {what}; heard {:?}", self.heard),
            };
            self.hear(number, event);
        }
    }

    async fn next(&mut self) -> (usize, Event) {
        let [one, other] = &mut self.players;
        let (number, event) = tokio::select! {
            event = one.next_event() => (0, event),
            event = other.next_event() => (1, event),
        };
        (number, event.unwrap_or_else(|error| panic!("player {number}: {error}; heard {:?}", self.heard)))
    }

    fn hear(&mut self, number: usize, event: Event) {
        match event {
            Event::OpponentMoved { .. } | Event::Pong { .. } => {}
            other => self.heard[number].push(other),
        }
    }

    fn heard(&self, number: usize, wanted: impl Fn(&Event) -> bool) -> bool {
        self.heard[number].iter().any(wanted)
    }

    /// Receives events for `time`.
    async fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok((number, event)) = tokio::time::timeout_at(end, self.next()).await {
            self.hear(number, event);
        }
    }

    /// Moves both players along the script, as fast as the moves can be sent.
    async fn walk(&mut self, moves: u64) {
        for number in 1..=moves {
            self.script_us += PERIOD_US;
            for (player, bot_path) in self.players.iter_mut().zip(&self.bot_paths) {
                player.steer(bot_path.heading(self.script_us), clock::now_us()).expect("goes on");
            }
            if number % 16 == 0 {
                self.listen(Duration::ZERO).await;
            }
        }
    }

    /// Moves both players along the script for so long.
    async fn walk_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.walk(1).await;
            self.listen(Duration::from_millis(5)).await;
        }
    }

    /// Moves both players along the script, in step.
    async fn play(&mut self) {
        for _ in 0..MOVES / 32 {
            self.walk(32).await;
            self.agree().await;
        }
    }

    /// Both players stand still and repeat their position until each has the other's. Returns the
    /// positions.
    async fn agree(&mut self) -> [Position; 2] {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for player in &mut self.players {
                player.steer(Heading::default(), clock::now_us()).expect("goes on");
            }
            self.listen(Duration::from_millis(5)).await;
            let [one, other] = [0, 1].map(|number| self.players[number].current().expect("a match"));
            if one.opponent_position == other.position && other.opponent_position == one.position {
                return [one.position, other.position];
            }
            assert!(Instant::now() < deadline, "they never agree: {:?}", self.heard);
        }
    }

    /// Checks that the server holds the positions that both players hold.
    async fn finish(mut self) {
        let goals = self.agree().await;
        let [one, mut other] = self.players;
        one.close().await;
        let left = async {
            loop {
                if let Event::OpponentLeft { reason, positions } = other.next_event().await.expect("open") {
                    return (reason, positions);
                }
            }
        };
        assert_eq!(timeout(PATIENCE, left).await.expect("in time"), (LeaveReason::Left, goals));
        other.close().await;
    }
}

fn is_reconnecting(event: &Event) -> bool {
    matches!(event, Event::Reconnecting { .. })
}

/// The duration of an outage.
#[derive(Clone, Copy)]
enum Outage {
    UntilBothNotice,
    /// The outage ends before the server notices the loss.
    UntilThePlayerNotices,
    Lasts(Duration),
}

/// Cuts player 0 off in a match over `from`, and lets it resume over `to`.
async fn cut_off(configs: [PlayerConfig; 2], opponent: PlayerConfig, outage: Outage) {
    let [from, to] = configs;
    let what = format!("{} to {}, against {}", from.kind, to.kind, opponent.kind);
    let (path, back_path) = (TcpUdpProxy::to(from.addr).await, TcpUdpProxy::to(to.addr).await);
    let from = PlayerConfig { addr: path.addr(), ..from };
    let to = PlayerConfig { addr: back_path.addr(), ..to };
    let code = format!("{}-{}", from.kind, to.kind);
    let mut duel = Duel::begin([&from, &opponent], &code).await;
    duel.players[0].set_reconnect_targets(vec![to.clone()]);
    duel.play().await;
    let before = duel.players[1].current().expect("a match").stats.fresh;
    assert!(before > 0, "{what}: nothing came");

    [&path, &back_path].iter().for_each(|path| path.set_blackhole(true));
    // These moves are lost. The player keeps its position, which the server lets it catch up with.
    let before_outage = duel.players[0].current().expect("a match").position;
    duel.walk_for(OUTAGE_WALK).await;
    let walked_to = duel.players[0].current().expect("a match").position;
    assert_ne!(walked_to, before_outage, "{what}: nothing was lost");
    match outage {
        Outage::UntilBothNotice => {
            let noticed = |duel: &Duel| {
                duel.heard(0, is_reconnecting)
                    && duel.heard(1, |event| matches!(event, Event::OpponentReconnecting { .. }))
            };
            duel.until(&format!("the loss, {what}"), noticed).await;
        }
        Outage::UntilThePlayerNotices => {
            duel.until(&format!("the loss, {what}"), |duel| duel.heard(0, is_reconnecting)).await;
        }
        Outage::Lasts(time) => duel.listen(time).await,
    }
    // The server hears nothing of the one player, and drops the updates for it.
    duel.walk(10).await;
    [&path, &back_path].iter().for_each(|path| path.set_blackhole(false));
    duel.until(&format!("the return, {what}"), |duel| {
        duel.heard(0, |event| *event == Event::Resumed)
            && duel.heard(1, |event| matches!(event, Event::OpponentBack { .. }))
    })
    .await;
    let back = Event::OpponentBack { transport: to.kind.name().into() };
    assert!(duel.heard(1, |event| *event == back), "{what}: {:?}", duel.heard);
    assert_eq!(duel.players[0].kind(), to.kind);
    let opponents =
        [0, 1].map(|number| &duel.players[number].current().expect("a match").started.opponent_transport);
    assert_eq!(opponents, [opponent.kind.name(), to.kind.name()]);

    duel.heard = Default::default();
    assert_eq!(duel.agree().await[0], walked_to, "{what}: the lost moves count");
    duel.play().await;
    assert!(
        !duel.heard(0, |event| matches!(event, Event::Corrected(_))),
        "{what}: put back after its return"
    );
    let stats = &duel.players[1].current().expect("a match").stats;
    assert!(
        stats.fresh > before && stats.freezes > 0,
        "{what}: one match's statistics, with the outage in them"
    );
    duel.finish().await;
}

/// Cuts off matches of every transport at once: to the same transport, and from a stream to
/// datagrams and back.
async fn cut_off_everywhere(server_options: &Options, outage: Outage) -> Snapshot {
    let options = quick_to_notice();
    let server = Running::for_scripts(Config::default(), server_options);
    let kinds = TransportKind::ALL;
    let moves = [("tcp", "quic-datagram"), ("udp", "tls")].map(|(from, to)| [kind(from), kind(to)]);
    let mut cut = tokio::task::JoinSet::new();
    for (number, ways) in kinds.map(|kind| [kind, kind]).into_iter().chain(moves).enumerate() {
        let configs = ways.map(|kind| server.config(kind, &options));
        cut.spawn(cut_off(configs, server.config(kinds[(number + 3) % kinds.len()], &options), outage));
    }
    let count = cut.len() as u64;
    while let Some(ended) = cut.join_next().await {
        ended.expect("no panic");
    }
    let census = server.observer.census();
    assert_eq!((census.matches, census.away), (0, 0));
    let counters = server.stop().await;
    // Seats are resumed more often than players lost the connection: an attempt that was given up
    // may have succeeded in the end.
    assert!(counters.seats_resumed >= count && counters.seats_expired == 0, "{counters:?}");
    assert_eq!((counters.matches_started, counters.matches_ended), (count, count));
    counters
}

#[tokio::test]
async fn resumes_over_every_transport() {
    let counters = cut_off_everywhere(&quick_to_notice(), Outage::UntilBothNotice).await;
    assert!(counters.seats_kept >= counters.matches_started);
    assert!(counters.updates_away > 0, "moves for a player that is away are counted");
}

/// QUIC applies the shorter of both sides' idle timeouts, so there the server notices as early as
/// the player.
#[tokio::test]
async fn resume_replaces_a_dead_connection() {
    let server_options = Options { idle_timeout: PATIENCE, ..quick_to_notice() };
    let counters = cut_off_everywhere(&server_options, Outage::UntilThePlayerNotices).await;
    assert!(counters.seats_kept < counters.matches_started);
}

#[tokio::test]
#[ignore = "takes as long as the outage; run it with --ignored"]
async fn resumes_after_five_seconds() {
    cut_off_everywhere(&quick_to_notice(), Outage::Lasts(Duration::from_secs(5))).await;
}

/// The player's packets come from another address, as when a Wi-Fi gives way to the telephone
/// network. QUIC connections survive that; the other kinds time out and resume over a new
/// connection.
#[tokio::test]
async fn survives_a_change_of_address() {
    let options = quick_to_notice();
    let server = Running::for_scripts(Config::default(), &options);
    let mut moved = tokio::task::JoinSet::new();
    for kind in TransportKind::ALL {
        let [config, opponent] = [kind, kind].map(|kind| server.config(kind, &options));
        let options = options.clone();
        moved.spawn(async move {
            let path = TcpUdpProxy::to(config.addr).await;
            let mut duel =
                Duel::begin([&PlayerConfig { addr: path.addr(), ..config }, &opponent], kind.name()).await;
            duel.play().await;
            path.change_address();
            if !kind.is_quic() {
                duel.until("the return", |duel| duel.heard(0, |event| *event == Event::Resumed)).await;
                duel.heard = Default::default();
            }
            duel.play().await;
            // The wait is longer than a loss takes to be noticed.
            duel.listen(2 * options.idle_timeout).await;
            let heard = duel.heard.concat();
            let harmless = |event: &Event| matches!(event, Event::OpponentBack { .. });
            assert!(heard.iter().all(harmless), "{kind}: {heard:?}");
            duel.finish().await;
        });
    }
    while let Some(ended) = moved.join_next().await {
        ended.expect("no panic");
    }
    let counters = server.stop().await;
    let resumed = TransportKind::ALL.iter().filter(|kind| !kind.is_quic()).count() as u64;
    assert_eq!((counters.seats_kept, counters.seats_resumed), (resumed, resumed));
}

#[tokio::test]
async fn tokens_are_good_once() {
    let server = Running::for_scripts(Config::default(), &Options::default());
    let elsewhere = Running::for_scripts(Config::default(), &Options::default());
    for kind in every_kind() {
        let [one, other] = [kind, kind].map(|kind| server.config(kind, &Options::default()));
        let mut witness = Duel::begin([&one, &other], "witness").await;
        let [(seat, mine), (mut opponent, theirs)] = server.raw_match(kind).await;
        let [_, (_foreign, strangers)] = elsewhere.raw_match(kind).await;
        assert_ne!(token(&mine), token(&theirs));

        // The seat is resumed while its old connection still stands, as where one side has not
        // noticed the loss.
        let match_id = mine.match_id;
        let (unanswered, _) = server.back(kind, match_id, token(&mine), 2).await;
        opponent_back(&mut opponent).await;
        let replaced = server_close(seat).await;
        assert_eq!(replaced.code, CloseCode::Replaced.code(), "{kind}: {replaced}");
        let mut refusals = vec![
            ("a try repeated", server.refusal(kind, match_id, token(&mine), 2).await),
            ("a try overtaken", server.refusal(kind, match_id, token(&mine), 1).await),
        ];
        // The answer may be lost, so the token is good for later attempts until a move shows that
        // the next token arrived.
        let (back, next) = server.back(kind, match_id, token(&mine), 3).await;
        opponent_back(&mut opponent).await;
        assert_eq!(server_close(unanswered).await.code, CloseCode::Replaced.code());
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let update = Move { match_id, seq: 1, position: mine.positions[0], ..Move::default() };
        let a_move = encode(&ClientMessage::Move(update.into()), &mut buffer).expect("encodes");
        back.sender.send_state(a_move).expect("open");
        hear(&mut opponent, |message| matches!(message, ServerMessage::Moved(_)).then_some(())).await;

        let witnessed = witness.players[0].current().expect("a match").started.match_id;
        let guess = SeatToken::new([7; SeatToken::BYTES]);
        refusals.extend([
            ("used", server.refusal(kind, match_id, token(&mine), 4).await),
            ("guessed", server.refusal(kind, match_id, guess, 1).await),
            ("of another match", server.refusal(kind, witnessed, next.clone(), 1).await),
            ("of no match", server.refusal(kind, match_id + 1_000, next.clone(), 1).await),
            ("of another server", server.refusal(kind, match_id, token(&strangers), 1).await),
        ]);
        // None of the refused attempts moved a player.
        back.receiver.close(Close::new(CloseCode::Done.code(), "done")).await;
        hear(&mut opponent, |message| matches!(message, ServerMessage::OpponentLeft { .. }).then_some(()))
            .await;
        refusals.push(("of a match that is over", server.refusal(kind, match_id, next, 1).await));
        for (what, refusal) in &refusals {
            assert_eq!(refusal.code, CloseCode::NoSuchSeat.code(), "{kind}, {what}: {refusal}");
            assert_eq!(refusal, &refusals[0].1, "{kind}, {what}: it tells something");
        }

        witness.walk(32).await;
        witness.agree().await;
        assert_eq!(witness.heard.concat(), [], "{kind}: the witness noticed");
        witness.finish().await;
    }
    elsewhere.stop().await;
    let counters = server.stop().await;
    let kinds = every_kind().count() as u64;
    assert_eq!((counters.seats_resumed, counters.refused_resume), (2 * kinds, 8 * kinds));
    assert_eq!((counters.seats_kept, counters.expelled), (0, 0));
}

#[tokio::test]
async fn seats_expire_after_the_grace() {
    let config = Config { resume_grace: Duration::from_millis(300), ..Config::default() };
    let server = Running::for_scripts(config, &Options::default());
    for kind in every_kind() {
        let [(lost, mine), (mut opponent, _)] = server.raw_match(kind).await;
        let match_id = mine.match_id;
        // The connection is dropped without a close.
        drop(lost);
        let away = |message: ServerMessage<'_>| match message {
            ServerMessage::OpponentReconnecting { match_id, grace_ms } => Some((match_id, grace_ms)),
            _ => None,
        };
        assert_eq!(hear(&mut opponent, away).await, (match_id, 300), "{kind}");
        let left = |message: ServerMessage<'_>| match message {
            ServerMessage::OpponentLeft { match_id, reason, .. } => Some((match_id, reason)),
            _ => None,
        };
        assert_eq!(hear(&mut opponent, left).await, (match_id, LeaveReason::Disconnected), "{kind}");
        let refusal = server.refusal(kind, match_id, token(&mine), 1).await;
        assert_eq!(refusal.code, CloseCode::NoSuchSeat.code(), "{kind}, expired: {refusal}");
        // The opponent is told once: the next message is the answer to this ping.
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let ping = encode(&ClientMessage::Ping { sent_us: 1 }, &mut buffer).expect("encodes");
        opponent.sender.send_control(ping).expect("open");
        let next = hear(&mut opponent, |message| Some(matches!(message, ServerMessage::Pong(_)))).await;
        assert!(next, "{kind}: told twice");
    }
    assert_eq!(server.observer.census().matches, 0);
    let counters = server.stop().await;
    let kinds = every_kind().count() as u64;
    assert_eq!((counters.seats_kept, counters.seats_expired), (kinds, kinds));
}

#[tokio::test]
async fn keeps_no_seat_after_a_close() {
    let options = Options::default();
    let server = Running::for_scripts(Config::default(), &options);
    let kind = TransportKind::ALL[0];
    let [one, other] = [kind, kind].map(|kind| server.config(kind, &options));

    let Duel { players: [ada, mut grace], .. } = Duel::begin([&one, &other], "close").await;
    ada.close().await;
    let next = timeout(PATIENCE, grace.next_event()).await.expect("in time").expect("open");
    assert!(matches!(next, Event::OpponentLeft { reason: LeaveReason::Left, .. }), "{next:?}");

    let [(lost, _), (mut opponent, _)] = server.raw_match(kind).await;
    let [(lost_later, _), (mut later, _)] = server.raw_match(kind).await;
    drop(lost);
    hear(&mut opponent, |message| {
        matches!(message, ServerMessage::OpponentReconnecting { .. }).then_some(())
    })
    .await;
    server.shutdown.cancel();
    let left =
        |message: ServerMessage<'_>| matches!(message, ServerMessage::OpponentLeft { .. }).then_some(());
    hear(&mut opponent, left).await;
    assert_eq!(server_close(opponent).await.code, CloseCode::ShuttingDown.code());
    hear(&mut later, |message| matches!(message, ServerMessage::Draining { .. }).then_some(())).await;
    drop(lost_later);
    hear(&mut later, left).await;
    assert_eq!(server_close(later).await.code, CloseCode::ShuttingDown.code());
    let counters = server.stop().await;
    assert_eq!((counters.seats_kept, counters.matches_started), (1, counters.matches_ended));
}
