//! The cost of one move from player to player, over each transport and over its bare relay: closed
//! loop, one in flight, server and players on one processor.
//!
//! `memory` is Netduel's own part, without a network. criterion measures cost, not tails: `cargo
//! compare` has those. The server's share and the ratios are in `targets.rs`.

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, measurement::WallTime};
use netduel_benches::{
    contender::Contender,
    instructions::in_memory,
    player::{self, Pair},
    runtime,
    server::{Server, served},
    share_one_cpu,
};
use netduel_transport::TransportKind;
use tokio::runtime::Runtime;

fn relay(criterion: &mut Criterion) {
    share_one_cpu();
    let mut group = criterion.benchmark_group("relay one move, one in flight");
    group.throughput(Throughput::Elements(1));
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for kind in TransportKind::ALL {
        between_processes(&mut group, kind.name(), Contender::Ours(kind));
        if let Some(bare) = Contender::bare_relay_of(kind) {
            between_processes(&mut group, &format!("{kind}: its bare relay, {bare}"), bare);
        }
    }
    let (runtime, pair) = in_memory().expect("a match");
    run(&mut group, TransportKind::Memory.name(), &runtime, pair);
    group.finish();
}

fn between_processes(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, contender: Contender) {
    let server = Server::start(contender).expect("a server");
    let runtime = runtime();
    let mut pairs = runtime.block_on(player::pairs(&server, 1)).expect("a match");
    run(group, name, &runtime, pairs.remove(0));
}

fn run(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, runtime: &Runtime, pair: Pair) {
    let [mut mover, mut watcher] = pair;
    group.bench_function(name, |bench| {
        bench.iter(|| runtime.block_on(player::relay(&mut mover, &mut watcher)).expect("relayed"));
    });
    runtime.block_on(async { tokio::join!(mover.close(), watcher.close()) });
}

criterion_group!(benches, relay);

fn main() {
    if !served() {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
