//! Deterministic simulation: runs the whole server and its players in one thread under a virtual
//! clock.
//!
//! The clock jumps from one event to the next. A seed, or the bytes of a script, decide which
//! players join, move, cheat, leave and lose their connection, and how the network paths behave.
//! The same seed reproduces the same run. The invariants are in `oracle.rs`.
//!
//! `world.rs` sets up a world, steps through it and ends it. `slot.rs` is a place in the world for
//! one player after another. `player_model.rs` holds the state that a player knows, and `player.rs`
//! sends its messages. `path.rs` makes the network paths, and `entropy.rs` the decisions.

mod entropy;
mod oracle;
mod outcome;
mod path;
mod player;
mod player_model;
mod slot;
mod trace;
mod world;

use entropy::Entropy;

pub use outcome::{Outcome, Violation};

/// Runs the world of `seed`. With `print`, prints every event on standard output.
///
/// # Errors
/// An invariant was violated.
pub fn run(seed: u64, print: bool) -> Result<Outcome, Violation> {
    world::run(Entropy::from_seed(seed), print)
}

/// Runs the world whose decisions are the bytes of `script`. With `print`, prints every event on
/// standard output.
///
/// # Errors
/// An invariant was violated.
pub fn run_script(script: &[u8], print: bool) -> Result<Outcome, Violation> {
    world::run(Entropy::from_script(script), print)
}
