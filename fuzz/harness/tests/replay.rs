//! Replay of the fuzz targets on stable Rust: every committed seed, its mutations, and reproducible
//! random inputs.

use std::{fs, path::PathBuf};

use netduel_fuzz_harness::{ALL, play};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The number of random inputs per target. They take about a second; `fuzz/README.md` says how to
/// fuzz for longer.
const RANDOM_INPUTS: usize = 2_000;
/// The number of scripts of the targets that take some milliseconds each: a world of the server,
/// which the simulation runs at random, and a connection of QUIC.
const SCRIPTS: usize = 100;
/// The targets whose input is a script.
const SCRIPTED: [&str; 2] = ["server", "quic_frames"];
/// The largest size of a random input, in bytes.
const INPUT_MAX_BYTES: usize = 400;

/// Returns the committed seeds of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "seeds", target].iter().collect();
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of seeds exists")
        .map(|entry| entry.expect("read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds in {}", folder.display());
    files.iter().map(|file| fs::read(file).expect("read")).collect()
}

#[test]
fn seeds_and_their_mutations_hold() {
    for (name, harness) in ALL {
        for seed in seeds(name) {
            harness(&seed);
            // The random test mutates the seeds of these.
            if SCRIPTED.contains(&name) {
                continue;
            }
            (0..seed.len()).for_each(|length| harness(&seed[..length]));
            for bit in 0..8 * seed.len() {
                let mut flipped = seed.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                harness(&flipped);
            }
        }
    }
}

#[test]
fn random_inputs_hold() {
    for (name, harness) in ALL {
        let (seeds, mut random) = (seeds(name), ChaCha8Rng::seed_from_u64(1));
        let inputs = if SCRIPTED.contains(&name) { SCRIPTS } else { RANDOM_INPUTS };
        for number in 0..inputs {
            let mut input = if number % 2 == 0 {
                seeds[number / 2 % seeds.len()].clone()
            } else {
                vec![0; random.random_range(0..INPUT_MAX_BYTES)]
            };
            if number % 2 == 1 {
                random.fill_bytes(&mut input);
            }
            for _ in 0..random.random_range(0..4_u8) {
                if !input.is_empty() {
                    let place = random.random_range(0..input.len());
                    input[place] = random.random();
                }
            }
            println!("{name} {input:?}"); // The test prints this only on failure.
            harness(&input);
        }
    }
}

/// Checks the coverage of the seeds, because a script that reaches nothing would pass, too.
#[test]
fn server_seeds_reach_every_case() {
    let played: Vec<_> = seeds("server").iter().map(|script| play(script)).collect();
    let reached = |what: &str, count: u64| assert!(count > 0, "no seed reaches {what}");
    reached("a match", played.iter().map(|counters| counters.matches_started).sum());
    reached("a relayed move", played.iter().map(|counters| counters.updates_relayed).sum());
    reached("an illegal move", played.iter().map(|counters| counters.moves_illegal).sum());
    reached("a stale move", played.iter().map(|counters| counters.moves_stale).sum());
    reached("a full server", played.iter().map(|counters| counters.refused_full).sum());
    reached("a superseded update", played.iter().map(|counters| counters.updates_superseded).sum());
    reached("an idle timeout", played.iter().map(|counters| counters.idle_timeouts).sum());
    reached("a flood", played.iter().map(|counters| counters.expelled_flooding).sum());
    reached("too many matches", played.iter().map(|counters| counters.refused_matches).sum());
    reached("garbage", played.iter().map(|counters| counters.expelled_malformed).sum());
    reached("an unexpected message", played.iter().map(|counters| counters.expelled_unexpected).sum());
    reached("a kept seat", played.iter().map(|counters| counters.seats_kept).sum());
    reached("a resumed seat", played.iter().map(|counters| counters.seats_resumed).sum());
    reached("an invalid token", played.iter().map(|counters| counters.refused_resume).sum());
    reached("an expired seat", played.iter().map(|counters| counters.seats_expired).sum());
    reached("a move for an absent opponent", played.iter().map(|counters| counters.updates_away).sum());
}
