//! The cost of encoding, decoding and checking a move, and of framing it for a stream.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use netduel_benches::instructions::a_move;
use netduel_protocol::{
    ClientMessage, MAX_MESSAGE_BYTES, Move, MoveWithPayload, PAYLOAD_MAX_BYTES, WayBudget, decode, encode,
};
use netduel_transport::bench::{Frames, append_update};

/// The number of moves that one read brings together in a batch.
const BATCH: usize = 16;

fn codec(criterion: &mut Criterion) {
    let update = a_move();
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
        let (mut way, mut last) = (WayBudget::default(), update);
        bench.iter(|| {
            let next = Move { seq: last.seq + 1, at_us: last.at_us + 16_667, ..last };
            last = black_box(way.take(black_box(&last), black_box(&next), black_box(next.at_us)))
                .expect("legal");
        });
    });
    group.finish();
}

fn framing(criterion: &mut Criterion) {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let bytes = encode(&ClientMessage::Move(a_move().into()), &mut buffer).expect("encodes").to_vec();
    let mut group = criterion.benchmark_group("framing");
    let mut out = Vec::new();
    group.bench_function("frame a move", |bench| {
        bench.iter(|| {
            out.clear();
            append_update(black_box(&mut out), black_box(&bytes));
        });
    });
    let mut stream = Vec::new();
    append_update(&mut stream, &bytes);
    let mut frames = Frames::begin();
    group.bench_function("unframe a move", |bench| {
        bench.iter(|| {
            frames.arrive(black_box(&stream));
            frames.next_payload().expect("a frame").map(|payload| payload.len())
        });
    });
    let stream = stream.repeat(BATCH);
    group.bench_function("unframe 16 moves of one read", |bench| {
        bench.iter(|| {
            frames.arrive(black_box(&stream));
            let mut count = 0;
            while frames.next_payload().expect("frames").is_some() {
                count += 1;
            }
            assert_eq!(count, BATCH);
        });
    });
    group.finish();
}

criterion_group!(benches, codec, framing);
criterion_main!(benches);
