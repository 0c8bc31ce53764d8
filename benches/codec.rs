//! What it costs to make bytes of a move and a move of bytes, and to check it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use netduel_protocol::{
    ClientMessage, MAX_MESSAGE_BYTES, Move, MoveWithPayload, PAYLOAD_MAX_BYTES, decode, encode,
    game::{self, Position},
};

fn codec(criterion: &mut Criterion) {
    let update = Move {
        game: 1_000,
        seq: 10_000,
        at_us: 166_000_000,
        position: Position { x: 120.0, y: 305.5 },
        ..Move::default()
    };
    let next = Move { seq: 10_001, at_us: update.at_us + 16_667, ..update };
    let message = ClientMessage::Move(update.into());
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let bytes = encode(&message, &mut buffer).expect("encodes").to_vec();

    let mut group = criterion.benchmark_group("codec");
    group.bench_function("encode a move", |bench| {
        bench.iter(|| encode(black_box(&message), black_box(&mut buffer)).map(<[u8]>::len));
    });
    group.bench_function("decode a move", |bench| {
        bench.iter(|| decode::<ClientMessage>(black_box(&bytes)));
    });
    let laden = ClientMessage::Move(MoveWithPayload { update, payload: &[7; PAYLOAD_MAX_BYTES] });
    group.bench_function("encode a move with 1 KiB", |bench| {
        bench.iter(|| encode(black_box(&laden), black_box(&mut buffer)).map(<[u8]>::len));
    });
    let laden_bytes = encode(&laden, &mut buffer).expect("encodes").to_vec();
    group.bench_function("decode a move with 1 KiB", |bench| {
        bench.iter(|| decode::<ClientMessage>(black_box(&laden_bytes)));
    });
    group.bench_function("check a move", |bench| {
        bench.iter(|| game::check(black_box(&update), black_box(&next)));
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
