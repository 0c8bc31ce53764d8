//! Fault 25: clocks that jump, and a host that stops for a while. `server/session/tests.rs` tests a
//! panic in a match.

use std::time::Duration;

use netduel_client::{Event, Player};
use netduel_protocol::{clock, game::Heading};
use netduel_transport::{Options, TransportKind};

use super::world::{World, event};

/// The client's clock jumps a year ahead, an hour back, and to before the match. The opponent sees
/// legal moves only, and no player is expelled.
pub(crate) async fn a_players_clock_that_jumps(world: &World) {
    const YEAR_US: u64 = 365 * 86_400 * 1_000_000;
    const HOUR_US: u64 = 3_600 * 1_000_000;
    let [mut ada, mut grace] = world.matched("jumps").await;
    let now_us = clock::now_us();
    let jumps = [now_us, now_us + YEAR_US, now_us + YEAR_US - HOUR_US, 0, u64::MAX / 2, now_us];
    for (number, at_us) in jumps.into_iter().enumerate() {
        let heading = Heading { x: if number % 2 == 0 { 1.0 } else { -1.0 }, y: 0.0 };
        ada.steer(heading, at_us).expect("open");
    }
    // In the end both players hold the same position.
    let goal = settled(&mut ada, &mut grace, now_us).await;
    assert!(world.observer.snapshot().expelled == 0, "{goal:?}");
    tokio::join!(ada.close(), grace.close());
}

async fn settled(ada: &mut Player, grace: &mut Player, now_us: u64) -> (f32, f32) {
    for _ in 0..2_000 {
        ada.steer(Heading::default(), now_us).expect("open");
        for player in [&mut *ada, &mut *grace] {
            while let Ok(heard) = tokio::time::timeout(Duration::from_millis(5), player.next_event()).await {
                assert!(matches!(heard.expect("open"), Event::OpponentMoved { .. } | Event::Corrected(_)));
            }
        }
        let position = ada.current().expect("a match").position;
        if grace.current().expect("a match").opponent_position == position {
            return (position.x, position.y);
        }
    }
    panic!("the players never agree");
}

/// All of the server's deadlines expire at once when it wakes up; the match continues.
pub(crate) async fn a_host_that_slept(world: &World) {
    let asleep = Program::start(world.kind);
    let [mut ada, mut grace] = asleep.matched().await;
    asleep.signal("-STOP");
    // The fault itself lasts longer than any of the server's timers, except for those that end a
    // session.
    tokio::time::sleep(Duration::from_secs(3)).await;
    ada.ping().expect("open");
    asleep.signal("-CONT");
    loop {
        if let Event::Pong { rtt_us, .. } = event(&mut ada).await {
            assert!(rtt_us > 0);
            break;
        }
    }
    settled(&mut ada, &mut grace, clock::now_us()).await;
    tokio::join!(ada.close(), grace.close());
}

/// The server as a program, since a process can be stopped and a thread cannot.
struct Program {
    child: std::process::Child,
    kind: TransportKind,
    addr: std::net::SocketAddr,
    trust: Option<netduel_transport::Trust>,
}

impl Program {
    fn start(kind: TransportKind) -> Self {
        use std::io::{BufRead, BufReader};
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netduel-server"));
        command.args(["--listen", &format!("{kind}=127.0.0.1:0")]).env_remove("RUST_LOG");
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("started");
        let (mut addr, mut trust) = (None, None);
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("read");
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["listening", _, text] => addr = Some(text.parse().expect("an address")),
                ["certificate", "sha256", pin] => {
                    trust = Some(netduel_transport::Trust::pin(pin.parse().expect("a fingerprint")));
                }
                ["ready:", ..] => break,
                _ => panic!("{line}"),
            }
        }
        Self { child, kind, addr: addr.expect("it listens"), trust }
    }

    async fn matched(&self) -> [Player; 2] {
        let config = netduel_client::PlayerConfig {
            addr: self.addr,
            server_name: "localhost".into(),
            kind: self.kind,
            trust: self.trust.clone(),
            options: Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
            name: "player".into(),
            period_us: 16_667,
        };
        let connect = async || Player::connect(&config).await.expect("connected");
        let mut players = [connect().await, connect().await];
        for player in &mut players {
            player.join(None).expect("open");
        }
        for player in &mut players {
            while !matches!(event(player).await, Event::Started(_)) {}
        }
        players
    }

    fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
