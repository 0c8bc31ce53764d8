//! What one move update costs from player to player through the server, over each transport: closed loop, one in flight.
//!
//! Everything is pinned to one CPU. Whether the scheduler puts server and player on one core or on two decides between
//! 20 and 100 µs, alike for every transport, and would be all that is measured. `memory` is our own part, without a
//! network.
//!
//! The server has a thread and a runtime of its own, as it has a process of its own in `netduel-report`. criterion
//! measures cost, not tails: for those, and for what the server alone spends, run `cargo compare`.

use std::{net::SocketAddr, thread::JoinHandle};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netduel_client::{Event, Player, PlayerConfig, stats::Freshness};
use netduel_protocol::game::Heading;
use netduel_server::{Config, Snapshot};
use netduel_transport::{Identity, Options, TransportKind, Trust};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

const PERIOD_US: u64 = 16_667;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("runtime")
}

struct Server {
    addr: SocketAddr,
    trust: Trust,
    shutdown: CancellationToken,
    thread: JoinHandle<Snapshot>,
}

impl Server {
    fn start(kind: TransportKind) -> Self {
        let identity = Identity::generate(&["localhost".into()]).expect("identity");
        let (trust, shutdown) = (identity.trust(), CancellationToken::new());
        let (tell, addr) = std::sync::mpsc::sync_channel(1);
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let listener =
                    kind.bind(([127, 0, 0, 1], 0).into(), &identity, &Options::default()).expect("bind");
                tell.send(listener.local_addr()).expect("somebody waits");
                let config = Config { messages_per_s_max: u32::MAX, ..Config::default() };
                netduel_server::run(vec![listener], config, stop).await
            })
        });
        Self { addr: addr.recv().expect("an address"), trust, shutdown, thread }
    }

    async fn player(&self, kind: TransportKind) -> Player {
        let config = PlayerConfig {
            addr: self.addr,
            server_name: "localhost".into(),
            kind,
            trust: Some(self.trust.clone()),
            options: Options::default(),
            name: "bench".into(),
            period_us: PERIOD_US,
        };
        let mut player = Player::connect(&config).await.expect("connected");
        player.join(None).expect("open");
        player
    }
}

async fn until_started(player: &mut Player) {
    while !matches!(player.next_event().await.expect("open"), Event::Started(_)) {}
}

/// This thread, and those it starts, on the first CPU they may use.
fn pin_to_one_cpu() {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let allowed = sched_getaffinity(None).expect("readable");
        let first = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).expect("at least one");
        let mut only = CpuSet::new();
        only.set(first);
        sched_setaffinity(None, &only).expect("allowed");
    }
}

fn relay(criterion: &mut Criterion) {
    pin_to_one_cpu();
    let mut group = criterion.benchmark_group("relay one move, one in flight");
    group.throughput(Throughput::Elements(1));
    let kinds = TransportKind::ALL.into_iter().chain([TransportKind::MEMORY]);
    for kind in kinds {
        let server = Server::start(kind);
        let runtime = runtime();
        let (mut mover, mut watcher) = runtime.block_on(async {
            let mut players = (server.player(kind).await, server.player(kind).await);
            until_started(&mut players.0).await;
            until_started(&mut players.1).await;
            players
        });
        let mut at_us = mover.current().expect("a match").started.started_us;
        group.bench_function(kind.name(), |bench| {
            bench.iter(|| {
                at_us += PERIOD_US;
                runtime.block_on(async {
                    mover.steer(Heading { x: 0.5, y: 0.0 }, at_us).expect("open");
                    loop {
                        // The mover's connection needs its polls, too: that is where it hears of acknowledgements.
                        tokio::select! {
                            event = watcher.next_event() => {
                                let event = event.expect("open");
                                if let Event::PeerMoved { freshness: Freshness::Fresh, .. } = event {
                                    break;
                                }
                            }
                            event = mover.next_event() => drop(event.expect("open")),
                        }
                    }
                });
            });
        });
        runtime.block_on(async { tokio::join!(mover.close(), watcher.close()) });
        server.shutdown.cancel();
        server.thread.join().expect("no panic");
    }
    group.finish();
}

criterion_group!(benches, relay);
criterion_main!(benches);
