//! Tests of a few simulated worlds. `cargo simulate --seeds 10000` runs many.

use netduel_server::Snapshot;
use netduel_simulation::run;

/// The number of worlds, which take a few seconds without optimisation.
const SEEDS: u64 = 200;

fn held(seed: u64) -> netduel_simulation::Outcome {
    run(seed, false).unwrap_or_else(|violation| {
        panic!(
            "seed {seed}: violation {violation}\n\
             to see it, run: cargo simulate --seed {seed} --trace"
        )
    })
}

#[test]
fn worlds_hold_and_reach_every_case() {
    let worlds: Vec<Snapshot> = (0..SEEDS).map(|seed| held(seed).counters).collect();
    let reached = |what: &str, count: fn(&Snapshot) -> u64| {
        let worlds = worlds.iter().filter(|counters| count(counters) > 0).count();
        assert!(worlds > 0, "no world reaches {what}");
    };
    reached("a match", |counters| counters.matches_started);
    reached("a relayed move", |counters| counters.updates_relayed);
    reached("a superseded update", |counters| counters.updates_superseded);
    reached("an illegal move", |counters| counters.moves_illegal);
    reached("a stale move", |counters| counters.moves_stale);
    reached("an idle timeout", |counters| counters.idle_timeouts);
    reached("a failed handshake", |counters| counters.handshakes_failed);
    reached("a full server", |counters| counters.refused_full);
    reached("a full address", |counters| counters.refused_address);
    reached("too many matches", |counters| counters.refused_matches);
    reached("a flood", |counters| counters.expelled_flooding);
    reached("garbage", |counters| counters.expelled_malformed);
    reached("an unexpected message", |counters| counters.expelled_unexpected);
    reached("a join timeout", |counters| counters.expelled_join_timeout);
    reached("a kept seat", |counters| counters.seats_kept);
    reached("a resumed seat", |counters| counters.seats_resumed);
    reached("an expired seat", |counters| counters.seats_expired);
    reached("an invalid token", |counters| counters.refused_resume);
    reached("a move for an absent opponent", |counters| counters.updates_away);
}

#[test]
fn seed_reproduces_its_world() {
    // Seed 20 drains a server with players, whom it notifies in a fixed order.
    for seed in 0..=20 {
        assert_eq!(held(seed), held(seed), "seed {seed}");
        assert_ne!(held(seed).trace_hash, held(seed + 1).trace_hash);
    }
}
