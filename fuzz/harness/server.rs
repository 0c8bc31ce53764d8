//! The whole server under a script: a simulated world (`simulation/`) whose decisions are the script's bytes.

use netduel_server::Snapshot;

/// Runs the world of `script`: eight bytes set it up, each four are a step (`simulation/world.rs`).
///
/// # Panics
/// If something does not hold that must.
pub fn server(script: &[u8]) {
    play(script);
}

/// The same, and what the server counted.
///
/// # Panics
/// Likewise.
pub fn play(script: &[u8]) -> Snapshot {
    match netduel_simulation::run_script(script, false) {
        Ok(outcome) => outcome.counters,
        Err(violation) => panic!("violated {violation}"),
    }
}
