//! Tests of the players' process: several windows on the same connections.

use std::{collections::HashMap, process::Command, time::Duration};

use netduel_loadgen::{
    Fate, LoadEvent, LoadPlan, LoadResult, Moves, Process, Subject, Trusted, WindowPlan, Workload,
};
use netduel_transport::{Options, TransportKind};

/// The longest silence of a child.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server and the players of one load, each in a process of its own.
struct Load {
    players: Process,
    _server: Process,
}

impl Load {
    fn start(kind: TransportKind, change: impl FnOnce(&mut LoadPlan)) -> Self {
        let program = |argument| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_netduel-reports"));
            command.arg(argument);
            command
        };
        let start = |what, command| {
            Process::start(what, command, |mut command: Command| Ok(command.spawn()?)).expect("started")
        };
        let mut serve = program("serve");
        serve.args(["--listen", &format!("{kind}=127.0.0.1:0"), "--max-messages", "1000000"]);
        serve.args(["--max-bytes", "1000000000", "--capacity", "1000000000"]);
        let server = start("server", serve);
        let (mut addresses, mut trusted) = (HashMap::new(), Trusted::Unverified);
        loop {
            let line = server.line(TIMEOUT).expect("a line").expect("the server is not ready");
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["listening", _, addr] => {
                    addresses.insert(Subject::from(kind), addr.parse().expect("an address"));
                }
                ["pin", pin] => trusted = Trusted::Pin(pin.to_owned()),
                _ => break,
            }
        }
        let mut plan = LoadPlan {
            workload: Workload::Moves,
            cpu: None,
            addresses,
            second_ip: None,
            trusted,
            pairs: vec![[Subject::from(kind); 2]; 2],
            rate_hz: 100,
            in_flight: 0,
            payload_bytes: 0,
            pings_hz: 0,
            seed: 1,
            phase_us: 0,
            options: Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
        };
        change(&mut plan);
        let mut players = start("players", program("players"));
        players.tell(&serde_json::to_string(&plan).expect("serialises")).expect("told");
        let load = Self { players, _server: server };
        assert!(matches!(load.next(), LoadEvent::Paired));
        load
    }

    fn next(&self) -> LoadEvent {
        let line = self.players.line(TIMEOUT).expect("a line").expect("the players ended");
        serde_json::from_str(&line).expect("an event")
    }

    fn window(&mut self, duration_ms: u64) -> (LoadResult, Option<Moves>) {
        let window = WindowPlan { warmup_ms: 50, duration_ms, drain_ms: 300, keep_moves: true };
        self.players.tell(&serde_json::to_string(&window).expect("serialises")).expect("told");
        assert!(matches!(self.next(), LoadEvent::WindowOpen { .. }));
        let closed = std::iter::repeat_with(|| self.next()).find(|event| !matches!(event, LoadEvent::Tick));
        assert!(matches!(closed, Some(LoadEvent::WindowClosed)));
        match self.next() {
            LoadEvent::Window { result, moves } => (*result, moves),
            other => panic!("{other:?} in place of the result"),
        }
    }
}

#[test]
fn windows_count_moves_meant_for_them() {
    for kind in [TransportKind::Tcp, TransportKind::QuicDatagram, TransportKind::Enet] {
        let mut load = Load::start(kind, |_| {});
        for duration_ms in [200, 1_200, 200] {
            let (result, moves) = load.window(duration_ms);
            let stats = &result.stats;
            // 4 players × 100 Hz, each with a phase of its own.
            assert_eq!(result.sent, 4 * duration_ms / 10, "{kind}");
            assert_eq!(result.lateness.count(), result.sent);
            assert!(stats.fresh + stats.superseded_on_arrival <= result.sent, "{kind}: {stats:?}");
            // Nothing is lost on loopback, and a busy machine delays by less than the drain.
            let arrived = stats.fresh + stats.superseded_on_arrival + stats.late;
            assert!(arrived * 10 >= result.sent * 9, "{kind}: {arrived} of {}", result.sent);
            assert_eq!(result.corrected, 0);
            assert_eq!(stats.block_us, 1_000_000);
            assert_eq!(stats.blocks.len() as u64, duration_ms.div_ceil(1_000));
            assert!(stats.blocks.iter().all(|block| block.age.count() > 0));
            assert_eq!(result.players.len(), 4);
            assert_eq!(result.players.iter().map(|player| player.sent).sum::<u64>(), result.sent);
            assert_eq!(result.players.iter().map(|player| player.fresh).sum::<u64>(), stats.fresh);
            assert_eq!(result.players.iter().map(|player| player.freezes).sum::<u64>(), stats.freezes);
            let moves = moves.expect("asked for");
            assert_eq!((moves.rows.len() as u64, moves.left_out), (result.sent, 0));
            let count = |fate| moves.rows.iter().filter(|row| row.fate == fate).count() as u64;
            let at_once = count(Fate::SupersededOnArrival);
            assert_eq!(count(Fate::Fresh) + at_once, stats.fresh + stats.superseded_on_arrival);
            assert_eq!(
                (count(Fate::Late), count(Fate::SupersededBeforeLeaving)),
                (stats.late, result.superseded)
            );
        }
        load.players.end().expect("the players leave in order");
    }
}

#[test]
fn closed_loop_starts_at_once() {
    let mut load = Load::start(TransportKind::QuicDatagram, |plan| plan.in_flight = 4);
    for _ in 0..3 {
        let (result, _) = load.window(200);
        assert!(result.stats.fresh > 100, "{}", result.stats.fresh);
        assert_eq!((result.stats.freezes, result.lateness.count()), (0, 0));
    }
    load.players.end().expect("the players leave in order");
}

#[test]
fn connects_have_a_schedule_each_window() {
    let mut load = Load::start(TransportKind::Tls, |plan| {
        (plan.workload, plan.rate_hz) = (Workload::Connects, 10);
    });
    for _ in 0..2 {
        let connects = load.window(500).0.connects.expect("a load of connects");
        // 2 pairs × 10 Hz × 0.5 s, two players each.
        assert_eq!((connects.count, connects.paired.count(), connects.first_move.count()), (20, 20, 20));
        assert_eq!((connects.failed, connects.retries, connects.overflowed), (0, 0, 0));
        assert_eq!((connects.blocks.len(), connects.blocks[0].first_move.count()), (1, 20));
    }
    load.players.end().expect("the players leave in order");
}
