//! A few simulated worlds. `cargo simulate --seeds 10000` runs many.

use netduel_server::Snapshot;
use netduel_simulation::run;

/// A few seconds' worth, unoptimised.
const SEEDS: u64 = 200;

fn held(seed: u64) -> netduel_simulation::Outcome {
    run(seed, false).unwrap_or_else(|violation| {
        panic!(
            "seed {seed} is violated {violation}\n\
             to see it: cargo simulate --seed {seed} --trace"
        )
    })
}

#[test]
fn what_must_hold_does_and_the_worlds_reach_what_they_are_for() {
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
    reached("what may not come now", |counters| counters.expelled_unexpected);
    reached("somebody who never joins", |counters| counters.expelled_join_timeout);
    reached("a kept seat", |counters| counters.seats_kept);
    reached("a seat taken back", |counters| counters.seats_resumed);
    reached("a seat that nobody came back to", |counters| counters.seats_expired);
    reached("a token that is not good", |counters| counters.refused_resume);
    reached("a move for who is away", |counters| counters.updates_away);
}

#[test]
fn a_seed_does_the_same_again_and_another_does_not() {
    // 20 drains a server that players are on: it tells them in one order.
    for seed in 0..=20 {
        assert_eq!(held(seed), held(seed), "seed {seed}");
        assert_ne!(held(seed).trace_hash, held(seed + 1).trace_hash);
    }
}
