//! The cost for two players to connect, say hello, join and be paired, beside two connections to a
//! bare relay.

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, measurement::WallTime};
use netduel_benches::{
    contender::Contender,
    player::Player,
    runtime,
    server::{Server, served},
    share_one_cpu,
};
use netduel_transport::TransportKind;

/// Few samples, so that TCP does not run out of ports: each connection keeps its port for a while
/// after its end.
const SAMPLES: usize = 20;

fn connect(criterion: &mut Criterion) {
    share_one_cpu();
    let mut group = criterion.benchmark_group("two players connect and are paired");
    group.sample_size(SAMPLES).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    for kind in TransportKind::ALL {
        run(&mut group, kind.name(), Contender::Ours(kind));
        if let Some(bare) = Contender::bare_relay_of(kind) {
            run(&mut group, &format!("{kind}: its bare relay, {bare}"), bare);
        }
    }
    group.finish();
}

fn run(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, contender: Contender) {
    let server = Server::start(contender).expect("a server");
    let runtime = runtime();
    group.bench_function(name, |bench| {
        bench.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                spent += runtime.block_on(async {
                    let begun = Instant::now();
                    let mut first = Player::connect(&server).await.expect("connected");
                    let mut second = Player::connect(&server).await.expect("connected");
                    first.start().await.expect("paired");
                    second.start().await.expect("paired");
                    let spent = begun.elapsed();
                    tokio::join!(first.close(), second.close());
                    spent
                });
            }
            spent
        });
    });
}

criterion_group!(benches, connect);

fn main() {
    if !served() {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
