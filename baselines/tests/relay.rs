//! Every baseline relays moves between two players, over real sockets.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use netduel_baselines::{Baseline, Player, Relay, Update, check};
use netduel_transport::{Identity, Trust};

const MOVES: u32 = 200;
/// A first move that does not arrive within this came before the relay knew both players.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_ATTEMPTS_MAX: usize = 10;

fn update(number: u32) -> Update {
    format!("{number:024x}").into_bytes().try_into().expect("24 digits")
}

/// Two pairs after each other, of players who tell each other everything, one move in flight each
/// way.
fn play(baseline: Baseline, addr: SocketAddr, trust: Option<&Trust>) {
    runtime().block_on(async {
        let connect = || Player::connect(baseline, addr, trust);
        // The second shows that the first is forgotten.
        for moves in [MOVES, 10] {
            let mut first = connect().await.expect("connected");
            let mut second = connect().await.expect("connected");
            let mut attempts = 0..FIRST_ATTEMPTS_MAX;
            loop {
                attempts.next().unwrap_or_else(|| panic!("{baseline} relays nothing"));
                first.send(&update(0)).await.expect("open");
                if let Ok(came) = tokio::time::timeout(FIRST_TIMEOUT, second.next()).await {
                    assert_eq!(came.expect("open"), update(0), "{baseline}");
                    break;
                }
            }
            for number in 1..=moves {
                first.send(&update(number)).await.expect("open");
                assert_eq!(second.next().await.expect("open"), update(number), "{baseline}");
                second.send(&update(!number)).await.expect("open");
                assert_eq!(first.next().await.expect("open"), update(!number), "{baseline}");
            }
            let path = first.path_stats();
            assert!(
                path.sent_bytes.is_none_or(|bytes| bytes > u64::from(moves) * 52),
                "{baseline}: {path:?}"
            );
            tokio::join!(first.close(), second.close());
        }
    });
}

/// In a thread of its own, as a bench has it.
#[test]
fn baselines_keep_order_both_ways() {
    for baseline in Baseline::ALL.into_iter().filter(|baseline| *baseline != Baseline::PodSixNet) {
        let identity = Identity::generate(&["localhost".into()]).expect("an identity");
        let trust = identity.trust();
        let (tell, addr) = std::sync::mpsc::sync_channel(1);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let relay = Relay::bind(baseline, ([127, 0, 0, 1], 0).into(), &identity).expect("bound");
                tell.send(relay.local_addr().expect("bound")).expect("the test waits");
                tokio::select! {
                    failed = relay.run() => panic!("{baseline} ended by itself: {failed:?}"),
                    _ = ended => {}
                }
            });
        });
        play(baseline, addr.recv().expect("an address"), Some(&trust));
        end.send(()).expect("it runs");
        thread.join().expect("no panic");
    }
}

/// In a process of its own, as Python has to be; `netduel-baselines serve` becomes it.
#[test]
fn podsixnet_keeps_order_both_ways() {
    let baseline = Baseline::PodSixNet;
    if let Err(why) = check(baseline) {
        assert!(std::env::var_os("NETDUEL_PODSIXNET_REQUIRED").is_none(), "{why:#}");
        println!("skipped: {why:#}");
        return;
    }
    let (mut server, addr) = serve(baseline);
    play(baseline, addr, None);
    drop(server.stdin.take());
    assert!(server.wait().expect("ours").success(), "it ends with its standard input");
}

fn serve(baseline: Baseline) -> (Child, SocketAddr) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_netduel-baselines"))
        .args(["serve", baseline.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let stdout = BufReader::new(server.stdout.take().expect("asked for"));
    let mut lines = Vec::new();
    // All that it says: it would not outlive a pipe that is closed before.
    for line in stdout.lines() {
        lines.push(line.expect("readable"));
        if lines.last().is_some_and(|line| line.starts_with("ready:")) {
            break;
        }
    }
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    let ["listening", name, addr] = words[..] else { panic!("it said {lines:?}") };
    assert_eq!(name, baseline.name());
    (server, addr.parse().expect("an address"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
