//! An emulated network path that real kernel TCP and UDP packets cross.
//!
//! Two network namespaces, a TUN interface in each, and a process of our own that carries packets between
//! them with delay, jitter, loss, reordering, duplication, a rate and a queue. What a packet meets is
//! decided by the spec, a seed and the time alone, so every transport meets the same bad periods.
//!
//! ```no_run
//! use netduel_link::{Lab, Limits, Privilege, Side, profile};
//! use std::process::Command;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     netduel_link::init(); // first: this process may have been started to be the emulator
//!     let lab = Lab::enter(Privilege::Auto)?; // before any thread
//!     let mut link = lab.link(&profile("lte")?.spec, 1)?;
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
//! Read in this order: `spec.rs` (what is asked), `schedule.rs` and `pipe.rs` (what happens to a packet;
//! pure), `emulator.rs` (the process that does it), `namespace.rs`, `lab.rs` and `link.rs` (where it
//! happens), `probe.rs` (whether it is true), `report.rs` (what was done).

// Elsewhere the emulator is missing, and with it what only it uses.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

use std::net::Ipv4Addr;

mod error;
mod histogram;
mod parse;
mod pipe;
mod probe;
mod profiles;
mod report;
mod schedule;
mod spec;
mod trace;

#[cfg(target_os = "linux")]
mod control;
#[cfg(target_os = "linux")]
mod emulator;
#[cfg(target_os = "linux")]
mod flow;
#[cfg(target_os = "linux")]
mod inhabitants;
#[cfg(target_os = "linux")]
mod lab;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
mod selftest;
#[cfg(target_os = "linux")]
mod stream;
#[cfg(target_os = "linux")]
mod sys;

#[cfg(not(target_os = "linux"))]
mod unsupported;

pub use error::LinkError;
pub use histogram::Histogram;
pub use parse::ParseError;
pub use pipe::Cause;
pub use probe::{Asked, Mismatch, PathProbe, ProbePlan, ProbeReport};
pub use profiles::{PROFILES, Profile, ProfileError, profile};
pub use report::{
    Counters, DROPS_MAX, Direction, Drop, Invalid, Limits, LinkReport, PathReport, Priority, Problem,
    Protocol,
};
pub use schedule::{BadPeriods, bad_periods};
pub use spec::{Jitter, LinkSpec, Loss, Outage, Path, Rate, Reorder, SpecError};
pub use trace::{Trace, TraceError};

#[cfg(target_os = "linux")]
pub use {
    lab::Lab,
    link::Link,
    selftest::{Finding, SELF_TESTS, SelfTest},
    sys::tcp_retransmits,
};

#[cfg(not(target_os = "linux"))]
pub use unsupported::{Finding, Lab, Link, SELF_TESTS, SelfTest};

/// Name of the interface to the link, the same on both sides.
pub const INTERFACE: &str = "link0";

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where the server runs.
    Server,
    /// Where the clients run.
    Client,
}

impl Side {
    /// The address of this end. It is the same on every link; links are apart by their namespaces. The
    /// addresses are from 198.18.0.0/15, kept for benchmarks (RFC 2544).
    pub const fn ip(self) -> Ipv4Addr {
        match self {
            Self::Server => Ipv4Addr::new(198, 18, 0, 1),
            Self::Client => Ipv4Addr::new(198, 18, 0, 2),
        }
    }
}

/// By which right network namespaces are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// As root if possible, else in a user namespace.
    Auto,
    /// As root (or with CAP_SYS_ADMIN and CAP_NET_ADMIN).
    Root,
    /// As an ordinary user, in a user namespace of this process's own.
    UserNamespace,
}

/// Call this first in `main()`, before any thread and before reading arguments.
///
/// A link's emulator is this same program, started again. If this process is one, `init` does its work and
/// never returns; otherwise it returns at once.
pub fn init() {
    #[cfg(target_os = "linux")]
    emulator::run_if_asked();
}
