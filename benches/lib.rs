//! What the benches share: relays, ours and bare ones, each in a process of its own; players that do as little as can be;
//! and what the two are put through.
//!
//! `codec.rs`, `relay.rs` and `connect.rs` are criterion's. It measures one bench after another, while the machine
//! drifts, so its figures are not divided by each other: `targets.rs` takes turns between ours and its floor, and judges
//! the ratios of single rounds.

pub mod allocations;
mod callgrind;
pub mod contender;
pub mod instructions;
pub mod load;
pub mod player;
pub mod profile;
pub mod server;
pub mod table;

use tokio::runtime::{Builder, Runtime};

/// A runtime as the server has one: of one thread.
///
/// # Panics
/// Without descriptors for it.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Binds this process, and the servers that it starts, to one processor, for the reasons of `loadgen/affinity.rs`: whether
/// server and player share one decides between 20 and 100 µs, alike for every transport.
///
/// # Panics
/// If the system refuses one that it just named.
pub fn share_one_cpu() {
    if let Some(cpu) = netduel_loadgen::affinity::run_cpu() {
        netduel_loadgen::affinity::bind(cpu).expect("a processor of ours");
    }
}
