//! An emulated network path that real kernel TCP and UDP packets cross.
//!
//! Two network namespaces, a TUN interface in each, and a process of our own that carries packets between
//! them with delay, jitter, loss, reordering, duplication, a rate and a queue. What a packet meets is
//! decided by the spec, a seed and the time alone, so every transport meets the same bad periods.
//!
//! ```no_run
//! use netduel_link::{Testbed, Limits, Privilege, Side, profile};
//! use std::process::Command;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     netduel_link::init(); // first: this process may have been started to be the emulator
//!     let testbed = Testbed::enter(Privilege::Auto)?; // before any thread
//!     let mut link = testbed.link(&profile("lte")?.spec, 1)?;
//!     let mut server = link.spawn(Side::Server, Command::new("my-server"))?;
//!     let mut client = Command::new("my-client");
//!     client.arg(Side::Server.ip().to_string());
//!     link.spawn(Side::Client, client)?.wait()?;
//!     server.kill()?;
//!     link.finish()?.valid(&Limits::default())?;
//!     Ok(())
//! }
//! ```
//!
//! Read in this order: `spec/` (the request), `emulator/schedule.rs` and `emulator/impairment.rs` (what happens to a packet;
//! pure), `emulator/process.rs` (the process that does it), `kernel/` and `testbed/` (where it happens),
//! `measure/probe.rs` (whether it is true), `emulator/report.rs` (what was done).

// Elsewhere the emulator is missing, and with it what only it uses.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

pub mod cli;

mod emulator;
mod error;
#[cfg(target_os = "linux")]
mod kernel;
mod measure;
mod spec;
mod testbed;
mod types;

#[cfg(target_os = "linux")]
pub use kernel::syscalls::tcp_retransmits;
pub use {
    emulator::{
        histogram::Histogram,
        report::{
            Counters, DROPS_MAX, DirectionReport, DroppedPacket, Invalid, Limits, LinkReport, Priority,
            Problem,
        },
        schedule::{BadPeriods, bad_periods},
    },
    error::LinkError,
    measure::{
        SELF_TESTS,
        finding::{Finding, SelfTest},
        probe::{Asked, DirectionProbe, Mismatch, ProbePlan, ProbeReport},
    },
    spec::{
        link_spec::{DirectionSpec, Jitter, LinkSpec, Loss, Outage, Rate, Reorder, SpecError},
        parse::ParseError,
        profiles::{PROFILES, Profile, ProfileError, profile},
        trace::{Trace, TraceError},
    },
    testbed::{Link, Testbed},
    types::{Direction, DropCause, INTERFACE, Privilege, Protocol, Side},
};

/// Call this first in `main()`, before any thread and before reading arguments.
///
/// A link's emulator is this same program, started again. If this process is one, `init` does its work and
/// never returns; otherwise it returns at once.
pub fn init() {
    #[cfg(target_os = "linux")]
    emulator::process::run_if_asked();
}
