//! The fuzz target of the whole server: a simulated world (`simulation/`) whose decisions are the
//! input's bytes.

use netduel_server::Snapshot;

/// Runs the world of `script`. Eight bytes set up the world, and each further four bytes are a step
/// (`simulation/world.rs`).
///
/// # Panics
/// An invariant is violated.
pub fn server(script: &[u8]) {
    play(script);
}

/// Runs the world of `script`, and returns the server's counters.
///
/// # Panics
/// An invariant is violated.
pub fn play(script: &[u8]) -> Snapshot {
    match netduel_simulation::run_script(script, false) {
        Ok(outcome) => outcome.counters,
        Err(violation) => panic!("violation {violation}"),
    }
}
