//! The parts that the benches share: relays, Netduel's and bare ones, each in a process of its own;
//! minimal players; and the loads that both go through.
//!
//! `codec.rs`, `relay.rs` and `connect.rs` are criterion's. criterion measures one bench after
//! another while the machine drifts, so that its figures are not divided by each other.
//! `targets.rs` alternates between Netduel and its bare relay, and judges the ratios of single
//! rounds.

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

/// Returns a runtime of one thread, like a server's.
///
/// # Panics
/// Panics without descriptors for it.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Binds this process, and the servers that it starts, to one processor, for the reasons of
/// `loadgen/affinity.rs`: whether server and player share a processor decides between 20 and 100
/// µs, alike for every transport.
///
/// # Panics
/// Panics if the system refuses a processor that it just named.
pub fn share_one_cpu() {
    if let Some(cpu) = netduel_loadgen::affinity::run_cpu() {
        netduel_loadgen::affinity::bind(cpu).expect("a processor of ours");
    }
}
